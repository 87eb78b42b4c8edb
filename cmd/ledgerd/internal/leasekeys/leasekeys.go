// Package leasekeys holds the keys that sign leases: files in the data folder, one per key.
//
//	keys, err := leasekeys.Open(filepath.Join(data, "keys", "leases"), lease.DefaultOffline, now)
//	claims.Issue(ledger, now, keys.Offline())
//	text, err := keys.Sign(claims, now)
//	set, err := keys.Public(now) // what /.well-known/jwks.json answers
//
// # Rotation
//
// Nobody has to do anything. A key that is 90 days old is followed by a new one; the new one is published for a day before
// it signs, so that whoever keeps a copy of the published keys has it by then. The old one is
// published until every lease that it signed has ended, and then its file is removed. Leases that still run are
// verified all the while.
//
// A key that others have seen is taken out of service by removing its file while ledgerd does not run: leases that it signed
// are worth nothing from then on, and programs get new ones at their next refresh.
//
// # Files
//
// <kid>.json, mode 0600: a private JWK (RFC 8037) with created, the time of the ledger's clock at which it was made, and
// offline, the longest time for which a lease that it signs may be used offline. They are part of backups of the data folder.
// A folder without them gets a new key: programs offline with an old lease go on with the keys that they have.
package leasekeys

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"licenseledger/ledger/lease"
)

const (
	rotateEvery = 90 * 24 * time.Hour // how old a key becomes before it is followed by a new one
	lead        = 24 * time.Hour      // how long a new key is published before it signs
	suffix      = ".json"
)

// Keys are the keys of a folder. They are safe for concurrent use.
type Keys struct {
	dir     string
	offline time.Duration

	mu   sync.Mutex
	keys []key // by created, oldest first; at least one
}

type key struct {
	lease.SigningKey
	created time.Time
	offline time.Duration // the longest of its leases
}

// Open reads the keys of a folder, and makes the folder and the first key where there are none: on disk when Open returns.
// offline is for how long leases may be used offline; now is the ledger's time.
func Open(dir string, offline time.Duration, now time.Time) (*Keys, error) {
	k := &Keys{dir: dir, offline: offline}
	if err := k.open(now); err != nil {
		return nil, fmt.Errorf("the keys of leases: %w", err)
	}
	return k, nil
}

func (k *Keys) open(now time.Time) error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	above := filepath.Dir(k.dir)
	if err := errors.Join(syncFolder(above), syncFolder(filepath.Dir(above))); err != nil {
		return err
	}
	files, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), suffix) {
			continue // what a start or a rotation that was cut off has left
		}
		read, err := readKey(filepath.Join(k.dir, f.Name()))
		if err != nil {
			return err
		}
		k.keys = append(k.keys, read)
	}
	slices.SortFunc(k.keys, func(a, b key) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.ID(), b.ID()))
	})
	if len(k.keys) == 0 {
		return k.add(now)
	}
	for i := range k.keys {
		if k.keys[i].offline < k.offline {
			k.keys[i].offline = k.offline
			if err := k.write(k.keys[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Offline is for how long a lease may be used offline.
func (k *Keys) Offline() time.Duration { return k.offline }

// Sign signs a lease that is issued at a time of the ledger's clock.
func (k *Keys) Sign(c lease.Claims, now time.Time) (string, error) {
	k.mu.Lock()
	err := k.rotate(now)
	signer := k.signer(now)
	k.mu.Unlock()
	if err != nil {
		return "", err
	}
	return lease.Sign(c, signer.SigningKey)
}

// Public are the keys that verify every lease that still runs, and those that will sign next.
func (k *Keys) Public(now time.Time) (lease.KeySet, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.rotate(now); err != nil {
		return nil, err
	}
	public := make([]ed25519.PublicKey, len(k.keys))
	for i := range k.keys {
		public[i] = k.keys[i].Public()
	}
	return lease.NewKeySet(public...), nil
}

// signer is the newest key that has been published for long enough; the oldest, if none has.
func (k *Keys) signer(now time.Time) key {
	for i := len(k.keys) - 1; i > 0; i-- {
		if !k.keys[i].created.Add(lead).After(now) {
			return k.keys[i]
		}
	}
	return k.keys[0]
}

// rotate makes the next key when it is time, and forgets those whose leases have all ended.
func (k *Keys) rotate(now time.Time) error {
	if newest := k.keys[len(k.keys)-1]; !newest.created.Add(rotateEvery).After(now) {
		if err := k.add(now); err != nil {
			return fmt.Errorf("the keys of leases: %w", err)
		}
	}
	// A key signs until the next one does. Leases that others hold count by their own clocks, so a little more than needed.
	for len(k.keys) > 1 && !k.keys[1].created.Add(lead+k.keys[0].offline+lease.ClockTolerance).After(now) {
		if err := os.Remove(k.file(k.keys[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("the keys of leases: %w", err)
		}
		k.keys = k.keys[1:]
	}
	return nil
}

func (k *Keys) add(now time.Time) error {
	var seed [ed25519.SeedSize]byte
	_, _ = rand.Read(seed[:]) // never fails: it ends the process instead
	made := key{SigningKey: lease.NewSigningKey(seed), created: now.UTC(), offline: k.offline}
	if err := k.write(made); err != nil {
		return err
	}
	k.keys = append(k.keys, made)
	return nil
}

func (k *Keys) file(key key) string { return filepath.Join(k.dir, key.ID()+suffix) }

// stored is a key in its file.
type stored struct {
	KeyType string    `json:"kty"`
	Curve   string    `json:"crv"`
	X       string    `json:"x"`
	D       string    `json:"d"`
	ID      string    `json:"kid"`
	Created time.Time `json:"created"`
	Offline string    `json:"offline"`
}

// write lets a key's file appear, or change, whole and on disk.
func (k *Keys) write(key key) error {
	seed := key.Seed()
	text, err := json.Marshal(stored{
		KeyType: "OKP", Curve: "Ed25519", X: encode(key.Public()), D: encode(seed[:]), ID: key.ID(),
		Created: key.created, Offline: key.offline.String(),
	})
	if err != nil {
		return err
	}
	path := k.file(key)
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(unfinished, path); err != nil {
		return err
	}
	return syncFolder(k.dir)
}

// readKey reads a key's file, which must be as it was written.
func readKey(path string) (k key, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return k, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return k, fmt.Errorf("%s can be read by other users (mode %04o): make it 0600, or remove it to have a new key made", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	var s stored
	err = json.Unmarshal(text, &s)
	seed, derr := base64.RawURLEncoding.Strict().DecodeString(s.D)
	offline, oerr := time.ParseDuration(s.Offline)
	if err := errors.Join(err, derr, oerr); err != nil || len(seed) != ed25519.SeedSize || s.Created.IsZero() {
		return k, damaged(path)
	}
	k = key{SigningKey: lease.NewSigningKey([ed25519.SeedSize]byte(seed)), created: s.Created, offline: offline}
	if k.ID() != s.ID || filepath.Base(path) != s.ID+suffix || encode(k.Public()) != s.X {
		return k, damaged(path)
	}
	return k, nil
}

func damaged(path string) error {
	return fmt.Errorf("%s does not hold a key as it was written: restore it from a copy, or remove it (leases that it signed end then)", path)
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
