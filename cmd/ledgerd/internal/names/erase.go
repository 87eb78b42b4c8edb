package names

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// ErasePerson forgets a person: nothing of id and name is left in the file. It is no error if the person is unknown;
// then too the file holds nothing of it afterwards. Every other call waits while it runs, which takes as long as
// writing the whole file.
func (s *Store) ErasePerson(provider, kind, id string) error {
	err := s.erase(func(tx *bbolt.Tx) error {
		secret, people := tx.Bucket(secretsBucket).Get([]byte(provider)), tx.Bucket(peopleBucket).Bucket([]byte(provider))
		if secret == nil || people == nil {
			return nil
		}
		return people.Delete(alias(secret, Person{Kind: kind, ID: id}))
	})
	if err != nil {
		return fmt.Errorf("erase a person of provider %q: %w", provider, err)
	}
	return nil
}

// EraseProvider forgets a provider's secret and all its people, in the way of [Store.ErasePerson]. Pseudonyms of people
// who come again are new ones.
func (s *Store) EraseProvider(provider string) error {
	err := s.erase(func(tx *bbolt.Tx) error {
		people := tx.Bucket(peopleBucket)
		if people.Bucket([]byte(provider)) != nil {
			if err := people.DeleteBucket([]byte(provider)); err != nil {
				return err
			}
		}
		return tx.Bucket(secretsBucket).Delete([]byte(provider))
	})
	if err != nil {
		return fmt.Errorf("erase provider %q: %w", provider, err)
	}
	return nil
}

// erase deletes, and replaces the file by one that never held what was deleted. After an error the erasure has to be
// repeated: rows may be gone and their bytes not.
func (s *Store) erase(remove func(tx *bbolt.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if err := s.db.Update(remove); err != nil {
		return err
	}
	return s.rewrite()
}

// rewrite copies what the file holds to a new one, which takes its place when it is on disk. The new file is open, and
// so locked, before it can be found under the name.
func (s *Store) rewrite() error {
	path := unfinished(s.path)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = bbolt.Compact(db, s.db, 1<<20)
	if err == nil {
		err = db.Sync()
	}
	if err == nil {
		err = os.Rename(path, s.path)
	}
	if err != nil {
		return errors.Join(err, db.Close(), os.Remove(path))
	}
	old := s.db
	s.db = db
	// The old file has no name any more; closing it frees its blocks.
	return errors.Join(syncFolder(filepath.Dir(s.path)), old.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
