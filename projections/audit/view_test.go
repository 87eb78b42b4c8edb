package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

// testKey gives every ledger the same secret.
func testKey(origin string) (proof.Key, error) { return proof.NewKey(origin, [32]byte{1}) }

func newTestView() *View { return New(testKey) }

// drawHistory draws a legal history, often longer than a bundle.
func drawHistory(rt *rapid.T) []events.Record {
	n := rapid.SampledFrom([]int{12, 12, 40, 270}).Draw(rt, "entries")
	return viewtest.Pack("drawn", eventstest.History(rapid.Uint64().Draw(rt, "seed"), n))
}

func TestView(t *testing.T) {
	viewtest.Run(t, func() projections.View { return newTestView() }, drawHistory)
}

// follow opens the view and follows a stream to its end, or until it stops.
func follow(t testing.TB, dir string, v *View, src *viewtest.Source, entries int) error {
	t.Helper()
	store, err := projections.Open(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	go func() { done <- projections.Follow(ctx, src, projections.Options{Log: quiet}, store) }()
	err = store.Wait(ctx, uint64(entries-1))
	cancel()
	<-done
	if cerr := store.Close(); cerr != nil {
		t.Fatal(cerr)
	}
	return err
}

// files are the files of a folder of tiles, but for those that are not whole yet.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	root := folder(dir)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || strings.HasPrefix(name, newFolder) {
			return err
		}
		all[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func verifier(t testing.TB, entries []events.Entry) proof.Key {
	t.Helper()
	k, err := testKey(proof.Origin(entries[0].Events[0].Data.(*events.LedgerOpened).Ledger))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// checkFolder checks that the tiles are whole, signed, and hold the entries exactly as they were appended.
func checkFolder(t testing.TB, dir string, entries []events.Entry) {
	t.Helper()
	tiles := Folder(dir)
	c, err := proof.Verify(t.Context(), tiles, verifier(t, entries).Verifier(), proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != uint64(len(entries)) {
		t.Fatalf("the checkpoint covers %d entries, want %d", c.Size, len(entries))
	}
	n := 0
	for line, err := range proof.Entries(t.Context(), tiles, 0, c.Size) {
		if err != nil {
			t.Fatal(err)
		}
		want, err := events.AppendEntry(nil, &entries[n])
		if err != nil || !bytes.Equal(line, want) {
			t.Fatalf("entry %d stands there as %q, want %q: %v", n, line, want, err)
		}
		n++
	}
}

func TestTilesHoldTheLog(t *testing.T) {
	entries := eventstest.History(1, 700)
	dir := viewtest.TempDir(t)
	if err := follow(t, dir, newTestView(), viewtest.NewSource(viewtest.Pack("r", entries, 3, 1, 20)...), len(entries)); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, entries)
	for name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(folder(dir), name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", name, info.Mode(), err)
		}
	}
}

// The index may be lost: it is built again, every entry compared with the tiles, of which none is touched.
func TestIndexIsBuiltAgain(t *testing.T) {
	entries := eventstest.History(2, 600)
	records := viewtest.Pack("r", entries, 5)
	dir := viewtest.TempDir(t)
	if err := follow(t, dir, newTestView(), viewtest.NewSource(records...), len(entries)); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	if err := projections.Remove(dir, newTestView()); err != nil {
		t.Fatal(err)
	}
	if len(before) == 0 || !sameFiles(files(t, dir), before) {
		t.Fatal("the tiles went with the view")
	}
	if err := follow(t, dir, newTestView(), viewtest.NewSource(viewtest.Pack("other", entries, 1, 9)...), len(entries)); err != nil {
		t.Fatal(err)
	}
	if !sameFiles(files(t, dir), before) {
		t.Error("tiles were written again")
	}

	// A stream that says something else is refused by name.
	for _, n := range []int{0, 3, 255, 256, 511, 599} {
		changed := slices.Clone(entries)
		changed[n].Salt[3]++
		if err := projections.Remove(dir, newTestView()); err != nil {
			t.Fatal(err)
		}
		err := follow(t, dir, newTestView(), viewtest.NewSource(viewtest.Pack("changed", changed, 5)...), len(entries))
		var mismatch *MismatchError
		if !errors.As(err, &mismatch) || !strings.HasPrefix(mismatch.Path, "tile/0/00") || !strings.Contains(err.Error(), fmt.Sprintf("entry %d is another one", n)) {
			t.Errorf("a stream with another entry %d gave %v", n, err)
		}
		if !sameFiles(files(t, dir), before) {
			t.Fatal("a refused stream has changed the tiles")
		}
	}
	foreign := slices.Clone(entries)
	opened := *entries[0].Events[0].Data.(*events.LedgerOpened)
	opened.Ledger = "other"
	foreign[0].Events = []events.Event{{Data: &opened}}
	if err := projections.Remove(dir, newTestView()); err != nil {
		t.Fatal(err)
	}
	var mismatch *MismatchError
	if err := follow(t, dir, newTestView(), viewtest.NewSource(viewtest.Pack("foreign", foreign)...), len(entries)); !errors.As(err, &mismatch) {
		t.Errorf("a stream of another ledger gave %v", err)
	}
}

func sameFiles(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

// What was done to the folder is refused by name at the next start, before anything is written.
func TestDamagedFolderIsRefused(t *testing.T) {
	entries := eventstest.History(3, 300)
	records := viewtest.Pack("r", entries, 7)
	dir := viewtest.TempDir(t)
	half := 260
	var first []events.Record
	for _, r := range records {
		if r.First < uint64(half) {
			first = append(first, r)
		}
	}
	covered := int(records[len(first)].First)
	if err := follow(t, dir, newTestView(), viewtest.NewSource(first...), covered); err != nil {
		t.Fatal(err)
	}
	edge := func(prefix string) string {
		for name := range files(t, dir) {
			if strings.HasPrefix(name, prefix) {
				return name
			}
		}
		t.Fatalf("no %s", prefix)
		return ""
	}
	for _, row := range []struct {
		name string
		file string
		do   func(b []byte) []byte // nil: the file goes
		says string
	}{
		{"the last tile of hashes", edge("tile/0/001.p/"), flip, "a tile of hashes was changed"},
		{"a tile of a higher level", "tile/1/000.p/1", flip, "a tile of hashes was changed"},
		{"the last bundle", edge("tile/entries/001.p/"), flip, "entries were changed"},
		{"the last bundle is cut off", edge("tile/entries/001.p/"), func(b []byte) []byte { return b[:len(b)-1] }, "entries were changed"},
		{"the checkpoint", "checkpoint", flip, "not a checkpoint of this ledger"},
		{"the checkpoint is gone", "checkpoint", nil, "tiles were lost"},
		{"the last bundle is gone", edge("tile/entries/001.p/"), nil, "tile/entries/001.p"},
		{"the last tile of hashes is gone", edge("tile/0/001.p/"), nil, "tile/0/001.p"},
	} {
		t.Run(row.name, func(t *testing.T) {
			copied := viewtest.TempDir(t)
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(folder(copied), row.file)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if row.do == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, row.do(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := files(t, copied)
			if err := follow(t, copied, newTestView(), viewtest.NewSource(records...), len(entries)); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("gave %v, want %q", err, row.says)
			}
			if !sameFiles(files(t, copied), before) {
				t.Error("the folder was changed")
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		other := New(func(origin string) (proof.Key, error) { return proof.NewKey(origin, [32]byte{2}) })
		if err := follow(t, dir, other, viewtest.NewSource(records...), len(entries)); !errors.Is(err, proof.ErrCheckpoint) {
			t.Errorf("another key gave %v", err)
		}
	})
	t.Run("no key", func(t *testing.T) {
		none := errors.New("no key here")
		other := New(func(string) (proof.Key, error) { return proof.Key{}, none })
		if err := follow(t, dir, other, viewtest.NewSource(records...), len(entries)); !errors.Is(err, none) {
			t.Errorf("without a key it gave %v", err)
		}
	})
	// It was only looked at: the right stream goes on.
	if err := follow(t, dir, newTestView(), viewtest.NewSource(records...), len(entries)); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, dir, entries)
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}
