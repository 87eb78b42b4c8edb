package projections_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.etcd.io/bbolt"

	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string)
		view *rows
		want string
	}{
		{"another view's file", func(t *testing.T, dir string) {
			s := open(t, dir, &rows{name: "other"})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "other.db"), filepath.Join(dir, "rows.db")); err != nil {
				t.Fatal(err)
			}
		}, &rows{}, "view other"},
		{"rows of an older format", func(t *testing.T, dir string) {
			if err := open(t, dir, &rows{}).Close(); err != nil {
				t.Fatal(err)
			}
		}, &rows{format: 2}, "rows of format 1"},
		{"no bbolt file", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "rows.db"), make([]byte, 1<<16), 0o600); err != nil {
				t.Fatal(err)
			}
		}, &rows{}, "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := viewtest.TempDir(t)
			c.make(t, dir)
			_, err := projections.Open(dir, c.view)
			var refused *projections.RefusedError
			if !errors.As(err, &refused) || refused.View != "rows" || !strings.Contains(refused.Reason, c.want) {
				t.Fatalf("got %v, want a refusal that says %q", err, c.want)
			}
			if refused.Outdated != (c.view.format == 2) {
				t.Errorf("only the rows are of another format: %t", refused.Outdated)
			}
			// Whatever is wrong, removing the file and starting again helps.
			if err := projections.Remove(dir, c.view); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir, c.view)
			follow(t, source(3), projections.Options{}, s)
			wait(t, s, 2)
		})
	}
}

func TestOpenNames(t *testing.T) {
	for _, name := range []string{"a.b", "../x", "x1", " "} {
		if _, err := projections.Open(viewtest.TempDir(t), &rows{name: name}); err == nil {
			t.Errorf("a view may not be named %q", name)
		}
	}
}

func TestFileIsPrivateAndLocked(t *testing.T) {
	// In a bubble: the second that opening waits for the lock costs none.
	synctest.Test(t, func(t *testing.T) {
		dir := viewtest.TempDir(t)
		open(t, dir, &rows{})
		info, err := os.Stat(filepath.Join(dir, "rows.db"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if _, err := projections.Open(dir, &rows{}); !errors.Is(err, projections.ErrLocked) {
			t.Errorf("opening twice: %v", err)
		}
		if err := projections.Remove(dir, &rows{}); !errors.Is(err, projections.ErrLocked) {
			t.Errorf("removing an open file: %v", err)
		}
		if err := projections.Remove(dir, &rows{name: "none"}); err != nil {
			t.Errorf("removing nothing: %v", err)
		}
	})
}

func TestWait(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{onApply: failAt(6)})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(canceled, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with an ended context: %v", err)
	}
	src := source(6)
	follow(t, src, projections.Options{}, s)
	if err := s.WaitTail(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	if s.Next() != 6 || s.Lag() != 0 {
		t.Errorf("at the tail: next %d, lag %d", s.Next(), s.Lag())
	}

	waiting := make(chan error)
	go func() { waiting <- s.Wait(context.Background(), 100) }()
	src.Append(viewtest.Pack("r", history("L1", 8))[6:]...)
	err := <-waiting
	var stopped *projections.StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, errPoison) || stopped.Next != 6 {
		t.Errorf("waiting for a view that stops: %v", err)
	}
	if err := s.Wait(t.Context(), 5); err != nil {
		t.Errorf("what a stopped view shows needs no waiting: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s, err := projections.Open(viewtest.TempDir(t), &rows{})
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() { waiting <- s.Wait(context.Background(), 0) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, projections.ErrClosed) {
		t.Errorf("waiting: %v", err)
	}
	if err := s.Read(t.Context(), func(*bbolt.Tx, uint64) error { return nil }); !errors.Is(err, projections.ErrClosed) {
		t.Errorf("reading: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestReadShowsRowsAndPositionTogether(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{})
	src := source(300, 3)
	follow(t, src, projections.Options{}, s)
	for done := false; !done; {
		err := s.Read(t.Context(), func(tx *bbolt.Tx, next uint64) error {
			n := 0
			if b := tx.Bucket([]byte("rows")); b != nil {
				n = b.Stats().KeyN
			}
			if uint64(n) != next {
				t.Errorf("%d rows at position %d", n, next)
			}
			done = next == 300
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDump(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &nested{})
	follow(t, source(1), projections.Options{}, s)
	wait(t, s, 0)
	want := `"a" "k" "v"
"a" "nest" "\x00\xff" "\u00e9"
"a" "z" ""
"b" "\n \"" "x"
`
	if got := dump(t, s); got != want {
		t.Errorf("dump:\n%swant:\n%s", got, want)
	}
	hash, next, err := projections.DumpHash(s)
	if err != nil || next != 1 || hash != sha256.Sum256([]byte(want)) {
		t.Errorf("hash %x at %d, %v", hash, next, err)
	}
}
