package names

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func pseudonym(t *testing.T, s *Store, provider, kind, id string) string {
	t.Helper()
	alias, err := s.Pseudonym(provider, kind, id)
	if err != nil {
		t.Fatal(err)
	}
	return alias
}

// secretOf reads a provider's secret from the file of an open store.
func secretOf(t *testing.T, s *Store, provider string) (secret []byte) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error {
		secret = bytes.Clone(tx.Bucket(secretsBucket).Get([]byte(provider)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return secret
}

// Domain U4: HMAC-SHA-256 under a secret of the provider, 128 bits.
func TestPseudonymsU4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	secret := secretOf(t, s, "acme")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("administrator\x00ann"))
	if want := hex.EncodeToString(mac.Sum(nil)[:16]); ann != want || len(secret) != 32 {
		t.Errorf("pseudonym %s under a secret of %d bytes, want %s", ann, len(secret), want)
	}
	seen := map[string]string{ann: "ann of acme"}
	for _, other := range [][3]string{
		{"acme", "administrator", "bob"}, {"acme", "domain-user", "ann"}, {"globex", "administrator", "ann"},
		{"acme", "domain-user", "a"}, {"acme", "domain-use", "ra"}, {"acme", "d", "omain-usera"}, {"acme", "a", "b\x00c"},
	} {
		alias := pseudonym(t, s, other[0], other[1], other[2])
		if same, ok := seen[alias]; ok {
			t.Errorf("%q has the pseudonym of %s", other, same)
		}
		seen[alias] = fmt.Sprint(other)
		if id, _, ok := s.Reveal(other[0], alias); !ok || id != other[2] {
			t.Errorf("%q is revealed as %q, %v", other, id, ok)
		}
	}
	if bytes.Equal(secret, secretOf(t, s, "globex")) {
		t.Error("two providers have the same secret")
	}
	// The same again: from memory, from the file, and from another process's file.
	if again := pseudonym(t, s, "acme", "administrator", "ann"); again != ann {
		t.Error("the pseudonym changed")
	}
	s.forget()
	if again := pseudonym(t, s, "acme", "administrator", "ann"); again != ann {
		t.Error("the pseudonym changed without the cache")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestReveal(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "names.db"))
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	for _, row := range [][2]string{
		{"globex", ann}, {"", ann}, {"acme", ""}, {"acme", "ann"}, {"acme", ann[:30]}, {"acme", ann + "00"},
		{"acme", "00000000000000000000000000000000"},
	} {
		if id, name, ok := s.Reveal(row[0], row[1]); ok || id+name != "" {
			t.Errorf("%q reveals %q, %q", row, id, name)
		}
	}
}

func TestNames(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "names.db"))
	alias := pseudonym(t, s, "acme", "domain-user", "u-1")
	check := func(want string) {
		t.Helper()
		if id, name, ok := s.Reveal("acme", alias); !ok || id != "u-1" || name != want {
			t.Errorf("revealed as %q, %q, %v; want the name %q", id, name, ok, want)
		}
	}
	check("")
	for _, name := range []string{"Ann", "Ann <Smith> & Söhne", "", "Ann"} {
		if err := s.SetName("acme", "domain-user", "u-1", name); err != nil {
			t.Fatal(err)
		}
		check(name)
	}
	// Without a name it stays; with one it is replaced, also from the cache.
	aliases, err := s.Pseudonyms("acme", []Person{{"domain-user", "u-2", "Bob"}, {"domain-user", "u-1", ""}, {"domain-user", "u-2", ""}})
	if err != nil || aliases[1] != alias || aliases[0] != aliases[2] {
		t.Fatalf("%v, %v", aliases, err)
	}
	check("Ann")
	if _, err := s.Pseudonyms("acme", []Person{{"domain-user", "u-1", "Anna"}}); err != nil {
		t.Fatal(err)
	}
	check("Anna")
	if _, name, _ := s.Reveal("acme", aliases[0]); name != "Bob" {
		t.Errorf("u-2 is %q", name)
	}
	// A name may come before anything else of its person.
	if err := s.SetName("globex", "administrator", "carl", "Carl"); err != nil {
		t.Fatal(err)
	}
	if id, name, ok := s.Reveal("globex", pseudonym(t, s, "globex", "administrator", "carl")); !ok || id != "carl" || name != "Carl" {
		t.Errorf("carl is %q, %q, %v", id, name, ok)
	}
}

func TestPeopleThatCannotBe(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "names.db"))
	for _, row := range [][3]string{{"", "k", "i"}, {"p", "", "i"}, {"p", "k", ""}, {"p", "k\x00", "i"}, {"p", "k", "\xff"}} {
		if alias, err := s.Pseudonym(row[0], row[1], row[2]); err == nil {
			t.Errorf("%q has the pseudonym %s", row, alias)
		}
	}
	// All or nothing.
	if _, err := s.Pseudonyms("p", []Person{{"k", "fine", ""}, {"k", "", ""}}); err == nil {
		t.Error("a person without an id was taken")
	}
	if secretOf(t, s, "p") != nil {
		t.Error("something was written")
	}
}

// A pseudonym that was returned stands in the file at that moment, not only once the store is closed.
func TestPseudonymsSurviveACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	if s.db.NoSync || s.db.NoGrowSync {
		t.Error("writes are not fsynced")
	}
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	asItIs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := filepath.Join(t.TempDir(), "names.db")
	if err := os.WriteFile(after, asItIs, 0o600); err != nil {
		t.Fatal(err)
	}
	crashed := open(t, after)
	if id, _, ok := crashed.Reveal("acme", ann); !ok || id != "ann" {
		t.Errorf("after the crash: %q, %v", id, ok)
	}
	if again := pseudonym(t, crashed, "acme", "administrator", "ann"); again != ann {
		t.Error("after the crash ann has another pseudonym")
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	// Also the file that an erasure puts in its place.
	if err := s.EraseProvider("acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice after an erasure: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "names.db"))
	if err != nil {
		t.Fatal(err)
	}
	alias := pseudonym(t, s, "acme", "administrator", "ann")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pseudonym("acme", "administrator", "ann"); err == nil {
		t.Error("a pseudonym from a closed store")
	}
	if _, _, ok := s.Reveal("acme", alias); ok {
		t.Error("a person from a closed store")
	}
	if err := s.ErasePerson("acme", "administrator", "ann"); err == nil {
		t.Error("an erasure in a closed store")
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "names.db"))
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	many, aliases := make([]Person, maxCached+100), make([]string, maxCached+100)
	for i := range many {
		many[i] = Person{Kind: "domain-user", ID: fmt.Sprint(i)}
	}
	s.toCache("acme", many, aliases)
	if len(s.cache) != maxCached {
		t.Errorf("%d pseudonyms are cached", len(s.cache))
	}
	// Whether ann is among those that had to go or not, nothing changes.
	if again := pseudonym(t, s, "acme", "administrator", "ann"); again != ann {
		t.Error("the pseudonym changed")
	}
}

func TestConcurrently(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "names.db"))
	var all sync.WaitGroup
	aliases := make([][]string, 8)
	for w := range aliases {
		all.Go(func() {
			for i := range 20 {
				alias, err := s.Pseudonym("acme", "domain-user", fmt.Sprint(i))
				if err != nil {
					t.Error(err)
					return
				}
				aliases[w] = append(aliases[w], alias)
				if id, _, ok := s.Reveal("acme", alias); !ok || id != fmt.Sprint(i) {
					t.Errorf("person %d is %q", i, id)
				}
				if w == 0 && i%5 == 0 {
					if err := s.ErasePerson("acme", "domain-user", "nobody"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	for w := range aliases {
		for i := range aliases[w] {
			if aliases[w][i] != aliases[0][i] {
				t.Fatalf("person %d has two pseudonyms", i)
			}
		}
	}
}

func BenchmarkPseudonymKnown(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "names.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.Pseudonym("acme", "administrator", "ann"); err != nil {
			b.Fatal(err)
		}
	}
}
