package names

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// people fills a store so that those who are erased lie among others, on several pages.
func people(t *testing.T, s *Store) {
	t.Helper()
	for _, provider := range []string{"acme", "globex"} {
		many := make([]Person, 300)
		for i := range many {
			many[i] = Person{"domain-user", fmt.Sprintf("user-%d@%s.example", i, provider), fmt.Sprintf("User Number %d of %s", i, provider)}
		}
		if _, err := s.Pseudonyms(provider, many); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Mechthild", "Mechthild von Magdeburg"} {
		if err := s.SetName("acme", "administrator", "mechthild@acme.example", name); err != nil {
			t.Fatal(err)
		}
	}
}

// inFile says which of the texts stand in the files of the store's folder. bbolt's own files are all there is.
func inFile(t *testing.T, path string, texts ...string) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Dir(path) + "/*")
	if err != nil || len(files) != 1 || files[0] != path {
		t.Fatalf("the folder holds %v, %v", files, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if bytes.Contains(b, []byte(text)) {
			found = append(found, text)
		}
	}
	return found
}

// Domain U4: erasing a person leaves nothing of id and name, nor of names that were replaced before.
func TestErasePersonU4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	people(t, s)
	traces := []string{"mechthild", "Mechthild", "Magdeburg"}
	if found := inFile(t, path, traces...); len(found) != len(traces) {
		t.Fatalf("before the erasure only %q are in the file: this test can no longer fail", found)
	}
	alias := pseudonym(t, s, "acme", "administrator", "mechthild@acme.example")
	secret := secretOf(t, s, "acme")

	if err := s.ErasePerson("acme", "administrator", "mechthild@acme.example"); err != nil {
		t.Fatal(err)
	}
	if found := inFile(t, path, traces...); found != nil {
		t.Errorf("after the erasure the file still holds %q", found)
	}
	if id, name, ok := s.Reveal("acme", alias); ok || id+name != "" {
		t.Errorf("revealed as %q, %q", id, name)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Everybody else stays, also in the file that the next start opens.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, path)
	if !bytes.Equal(secretOf(t, next, "acme"), secret) {
		t.Error("the provider's secret changed")
	}
	for _, provider := range []string{"acme", "globex"} {
		for i := range 300 {
			id := fmt.Sprintf("user-%d@%s.example", i, provider)
			got, name, ok := next.Reveal(provider, hex.EncodeToString(alias16(t, next, provider, id)))
			if !ok || got != id || name != fmt.Sprintf("User Number %d of %s", i, provider) {
				t.Fatalf("%s is %q, %q, %v", id, got, name, ok)
			}
		}
	}
	// Whoever comes again gets the same pseudonym, without the old name.
	if again := pseudonym(t, next, "acme", "administrator", "mechthild@acme.example"); again != alias {
		t.Error("the person has another pseudonym now")
	}
	if _, name, _ := next.Reveal("acme", alias); name != "" {
		t.Errorf("the person's name is %q again", name)
	}
}

// alias16 works a pseudonym out without asking the store for it, which would store it.
func alias16(t *testing.T, s *Store, provider, id string) []byte {
	t.Helper()
	return alias(secretOf(t, s, provider), Person{Kind: "domain-user", ID: id})
}

// Domain U4: erasing a provider's secret cuts its pseudonyms from everybody.
func TestEraseProviderU4(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	people(t, s)
	secret := secretOf(t, s, "acme")
	old := pseudonym(t, s, "acme", "domain-user", "user-1@acme.example")
	other := pseudonym(t, s, "globex", "domain-user", "user-1@globex.example")
	traces := []string{string(secret), "acme.example", "of acme", "Mechthild"}
	if found := inFile(t, path, traces...); len(found) != len(traces) {
		t.Fatalf("before the erasure only %q are in the file: this test can no longer fail", found)
	}
	if err := s.EraseProvider("acme"); err != nil {
		t.Fatal(err)
	}
	if found := inFile(t, path, append(traces, "acme")...); found != nil {
		t.Errorf("after the erasure the file still holds %q", found)
	}
	if _, _, ok := s.Reveal("acme", old); ok {
		t.Error("a pseudonym of the provider still leads to somebody")
	}
	if id, _, ok := s.Reveal("globex", other); !ok || id != "user-1@globex.example" {
		t.Errorf("another provider's user is %q, %v", id, ok)
	}
	if again := pseudonym(t, s, "acme", "domain-user", "user-1@acme.example"); again == old {
		t.Error("the secret was not forgotten: the pseudonym is the old one")
	}
}

func TestEraseTheUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	people(t, s)
	for _, err := range []error{
		s.ErasePerson("acme", "administrator", "nobody"), s.ErasePerson("nowhere", "administrator", "nobody"), s.EraseProvider("nowhere"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, name, ok := s.Reveal("acme", pseudonym(t, s, "acme", "domain-user", "user-7@acme.example")); !ok || name != "User Number 7 of acme" {
		t.Errorf("somebody else is %q, %v", name, ok)
	}
}

// An erasure that was cut off before the new file took its place leaves the old one as it was.
func TestEraseCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unfinished(path), []byte("half a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := open(t, path)
	if found := inFile(t, path, "half a database"); found != nil {
		t.Error("the unfinished file is still there")
	}
	if id, _, ok := next.Reveal("acme", ann); !ok || id != "ann" {
		t.Errorf("ann is %q, %v", id, ok)
	}
}

// An erasure that cannot write its file says so, and the store goes on.
func TestEraseFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.db")
	s := open(t, path)
	ann := pseudonym(t, s, "acme", "administrator", "ann")
	if err := errors.Join(os.Mkdir(unfinished(path), 0o700), os.WriteFile(filepath.Join(unfinished(path), "x"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.ErasePerson("acme", "administrator", "bob"); err == nil {
		t.Error("no error")
	}
	if id, _, ok := s.Reveal("acme", ann); !ok || id != "ann" {
		t.Errorf("ann is %q, %v", id, ok)
	}
	if err := os.RemoveAll(unfinished(path)); err != nil {
		t.Fatal(err)
	}
	if err := s.ErasePerson("acme", "administrator", "ann"); err != nil {
		t.Error(err)
	}
	if _, _, ok := s.Reveal("acme", ann); ok {
		t.Error("ann is still there")
	}
}
