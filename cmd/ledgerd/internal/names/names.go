package names

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file, and the lengths of what stands in them.
var (
	secretsBucket = []byte("secrets")
	peopleBucket  = []byte("people")
)

const (
	secretLength = 32
	aliasLength  = 16
)

// maxCached bounds the pseudonyms that are kept in memory; one takes about 200 bytes.
const maxCached = 1 << 16

// patience is how long Open waits for another process to let go of the file.
const patience = 200 * time.Millisecond

// ErrLocked says that another process works on the file.
var ErrLocked = errors.New("the store of names is in use by another process")

// Person is somebody whose id must not reach the log.
type Person struct {
	Kind string // of the id, such as "administrator" or "domain-user"; ids of different kinds have different pseudonyms
	ID   string
	Name string // for display; empty: as it was before
}

// Store is an open file of names. It is safe for concurrent use.
type Store struct {
	path string

	mu sync.RWMutex // held shared by every use of db, alone while an erasure replaces it
	db *bbolt.DB

	cached sync.Mutex
	cache  map[identity]string // pseudonyms that are on disk
}

// identity is what a pseudonym stands for.
type identity struct{ provider, kind, id string }

// person is a row of the people bucket.
type person struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// Open opens the file, and makes it if there is none. [ErrLocked] if another process has it.
func Open(path string) (*Store, error) {
	// An erasure that was cut off leaves its unfinished file; the old one stands as it was.
	if err := os.Remove(unfinished(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the store of names: %w", err)
	}
	db, err := openFile(path)
	if err == nil {
		if err = syncFolder(filepath.Dir(path)); err != nil {
			_ = db.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the store of names: %w", err)
	}
	return &Store{path: path, db: db, cache: make(map[identity]string)}, nil
}

func unfinished(path string) string { return path + ".new" }

func openFile(path string) (db *bbolt.DB, err error) {
	damaged := func(why any) error {
		return fmt.Errorf("%s is damaged: %v: restore it from a copy, as nothing else knows what it held", path, why)
	}
	defer func() {
		// bbolt meets some kinds of damage with a panic.
		if p := recover(); p != nil {
			db, err = nil, damaged(p)
		}
	}()
	// So is a file that was cut off: it ends before its mapping does, which would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: patience})
	var system syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	case err != nil && !errors.As(err, &system):
		return nil, damaged(err)
	case err != nil:
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if info, err := os.Stat(path); err != nil {
			return err
		} else if missing := tx.Size() - info.Size(); missing > 0 {
			return damaged(fmt.Sprintf("the last %d bytes are missing", missing))
		}
		_, err := tx.CreateBucketIfNotExists(secretsBucket)
		if err == nil {
			_, err = tx.CreateBucketIfNotExists(peopleBucket)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close waits for calls that are under way. Later ones fail.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	return s.db.Close()
}

// Pseudonym is what stands for a person in the log. When it returns, the way back is on disk. Kinds are not empty and
// have no NUL; ids are not empty.
func (s *Store) Pseudonym(provider, kind, id string) (string, error) {
	aliases, err := s.Pseudonyms(provider, []Person{{Kind: kind, ID: id}})
	if err != nil {
		return "", err
	}
	return aliases[0], nil
}

// Pseudonyms does for many people of a provider at once what [Store.Pseudonym] does for one, at the cost of one: those
// who are new share an fsync. It also sets the names that are given. Either all is done or nothing.
func (s *Store) Pseudonyms(provider string, people []Person) ([]string, error) {
	return s.keep(provider, people, false)
}

// Alias is what stands for a person in the log, or would: nothing is kept, so the way back may be missing. ok is false
// where nobody of the provider has a pseudonym yet.
func (s *Store) Alias(provider, kind, id string) (pseudonym string, ok bool) {
	if provider == "" || kind == "" || id == "" {
		return "", false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_ = s.db.View(func(tx *bbolt.Tx) error { // fails only when the store is closed
		if secret := tx.Bucket(secretsBucket).Get([]byte(provider)); secret != nil {
			pseudonym, ok = hex.EncodeToString(alias(secret, Person{Kind: kind, ID: id})), true
		}
		return nil
	})
	return pseudonym, ok
}

// Aliases is what stands for people of a provider in the log, or would: nothing is kept. kept says that the way back of all of them is
// on disk, with the names that are given; ok is false where nobody of the provider has a pseudonym yet.
func (s *Store) Aliases(provider string, people []Person) (pseudonyms []string, kept, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_ = s.db.View(func(tx *bbolt.Tx) error { // fails only when the store is closed
		secret := tx.Bucket(secretsBucket).Get([]byte(provider))
		if secret == nil {
			return nil
		}
		bucket := tx.Bucket(peopleBucket).Bucket([]byte(provider))
		pseudonyms, kept, ok = make([]string, len(people)), bucket != nil, true
		for i, p := range people {
			key := alias(secret, p)
			pseudonyms[i] = hex.EncodeToString(key)
			if kept {
				there, known := row(bucket, key)
				kept = known && (p.Name == "" || p.Name == there.Name)
			}
		}
		return nil
	})
	return pseudonyms, kept, ok
}

// SetName changes a person's name for display; empty removes it. It is on disk when SetName returns.
func (s *Store) SetName(provider, kind, id, name string) error {
	_, err := s.keep(provider, []Person{{Kind: kind, ID: id, Name: name}}, true)
	return err
}

// Reveal is the way back: whose pseudonym it is. ok is false if it is nobody's, or was erased.
func (s *Store) Reveal(provider, pseudonym string) (id, name string, ok bool) {
	key, err := hex.DecodeString(pseudonym)
	if err != nil || len(key) != aliasLength || provider == "" {
		return "", "", false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var p person
	_ = s.db.View(func(tx *bbolt.Tx) error { // fails only when the store is closed
		if people := tx.Bucket(peopleBucket).Bucket([]byte(provider)); people != nil {
			p, ok = row(people, key)
		}
		return nil
	})
	return p.ID, p.Name, ok
}

// keep gives the pseudonyms of people and writes what is new; replace says that an empty name is one too.
func (s *Store) keep(provider string, people []Person, replace bool) ([]string, error) {
	for _, p := range people {
		if provider == "" || p.Kind == "" || strings.ContainsRune(p.Kind, 0) || p.ID == "" || !utf8.ValidString(p.Kind+p.ID+p.Name) {
			return nil, fmt.Errorf("a person needs a provider, a kind and an id, in UTF-8; got %q, %q, and an id of %d bytes", provider, p.Kind, len(p.ID))
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if aliases, ok := s.fromCache(provider, people); ok && !replace {
		return aliases, nil
	}
	var aliases []string
	work := func(tx *bbolt.Tx) (err error) {
		aliases, err = keepIn(tx, provider, people, replace)
		return err
	}
	err := s.db.View(work)
	if errors.Is(err, errNews) {
		err = s.db.Update(work) // fsynced when it returns
	}
	if err != nil {
		return nil, fmt.Errorf("keep the names of people of provider %q: %w", provider, err)
	}
	s.toCache(provider, people, aliases)
	return aliases, nil
}

// errNews says that something has to be written, in a transaction that cannot.
var errNews = errors.New("something has to be written")

func keepIn(tx *bbolt.Tx, provider string, people []Person, replace bool) ([]string, error) {
	secret, bucket := tx.Bucket(secretsBucket).Get([]byte(provider)), tx.Bucket(peopleBucket).Bucket([]byte(provider))
	if (secret == nil || bucket == nil) && !tx.Writable() {
		return nil, errNews
	}
	if secret == nil {
		secret = make([]byte, secretLength)
		_, _ = rand.Read(secret) // never fails: it ends the process instead
		if err := tx.Bucket(secretsBucket).Put([]byte(provider), secret); err != nil {
			return nil, err
		}
	}
	if bucket == nil {
		var err error
		if bucket, err = tx.Bucket(peopleBucket).CreateBucket([]byte(provider)); err != nil {
			return nil, err
		}
	}
	aliases := make([]string, len(people))
	for i, p := range people {
		key := alias(secret, p)
		aliases[i] = hex.EncodeToString(key)
		there, ok := row(bucket, key)
		if p.Name == "" && !replace {
			p.Name = there.Name
		}
		if ok && p.Name == there.Name {
			continue
		}
		if !tx.Writable() {
			return nil, errNews
		}
		if err := put(bucket, key, person(p)); err != nil {
			return nil, err
		}
	}
	return aliases, nil
}

func alias(secret []byte, p Person) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(append(append([]byte(p.Kind), 0), p.ID...))
	return mac.Sum(nil)[:aliasLength]
}

func row(people *bbolt.Bucket, key []byte) (p person, ok bool) {
	v := people.Get(key)
	if v == nil || json.Unmarshal(v, &p) != nil {
		return person{}, false
	}
	return p, true
}

func put(people *bbolt.Bucket, key []byte, p person) error {
	v, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return people.Put(key, v)
}

// forget empties the cache.
func (s *Store) forget() {
	s.cached.Lock()
	defer s.cached.Unlock()
	clear(s.cache)
}

// fromCache answers if nothing has to be looked up: all pseudonyms are known, and no names are given.
func (s *Store) fromCache(provider string, people []Person) ([]string, bool) {
	aliases := make([]string, len(people))
	s.cached.Lock()
	defer s.cached.Unlock()
	for i, p := range people {
		a, ok := s.cache[identity{provider, p.Kind, p.ID}]
		if !ok || p.Name != "" {
			return nil, false
		}
		aliases[i] = a
	}
	return aliases, true
}

// toCache keeps pseudonyms that are on disk; where there are too many, any others go.
func (s *Store) toCache(provider string, people []Person, aliases []string) {
	s.cached.Lock()
	defer s.cached.Unlock()
	for i, p := range people {
		s.cache[identity{provider, p.Kind, p.ID}] = aliases[i]
	}
	for k := range s.cache {
		if len(s.cache) <= maxCached {
			break
		}
		delete(s.cache, k)
	}
}
