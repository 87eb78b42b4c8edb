package names

import (
	"path/filepath"
	"testing"
)

// An alias can be worked out without keeping anything.
func TestAlias(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "names.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, ok := s.Alias("acme", "administrator", "ann"); ok {
		t.Error("a provider without people has a secret")
	}
	ann, err := s.Pseudonym("acme", "administrator", "ann")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Alias("acme", "administrator", "ann"); !ok || got != ann {
		t.Errorf("ann is %q, %v", got, ok)
	}
	bob, ok := s.Alias("acme", "administrator", "bob")
	if !ok || bob == ann {
		t.Errorf("bob is %q, %v", bob, ok)
	}
	if _, _, ok := s.Reveal("acme", bob); ok {
		t.Error("the way back was kept")
	}
	if err := s.ErasePerson("acme", "administrator", "ann"); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Alias("acme", "administrator", "ann"); !ok || got != ann {
		t.Errorf("erased, ann is %q, %v", got, ok)
	}
	if _, _, ok := s.Reveal("acme", ann); ok {
		t.Error("asking for the alias brings the erased way back")
	}
	for _, row := range [][3]string{{"", "administrator", "ann"}, {"acme", "", "ann"}, {"acme", "administrator", ""}} {
		if a, ok := s.Alias(row[0], row[1], row[2]); ok {
			t.Errorf("%q: %q", row, a)
		}
	}
}
