package proof_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/ledger/proof"
)

func TestPaths(t *testing.T) {
	for path, tile := range map[string]tlog.Tile{
		"tile/0/000":                       {H: 8, L: 0, N: 0, W: 256},
		"tile/0/001.p/7":                   {H: 8, L: 0, N: 1, W: 7},
		"tile/2/x001/x234/067":             {H: 8, L: 2, N: 1234067, W: 256},
		"tile/entries/000.p/1":             {H: 8, L: proof.EntriesLevel, N: 0, W: 1},
		"tile/entries/x001/x234/067.p/255": {H: 8, L: proof.EntriesLevel, N: 1234067, W: 255},
	} {
		if got := proof.Path(tile); got != path {
			t.Errorf("%v is %s, want %s", tile, got, path)
		}
		if got, err := proof.ParsePath(path); err != nil || got != tile {
			t.Errorf("%s is %v (%v), want %v", path, got, err, tile)
		}
	}
	for _, path := range []string{
		"", "tile", "tile/", "tile/8/0/000", "tile/0/0", "tile/0/1000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/64/000",
		"tile/-1/000", "tile/data/000", "/tile/0/000", "tile/0/000/", "tile/0/../000", "tile/entries/000.p", "checkpoint", "tile/0/x000/000", "tile/00/000",
	} {
		if tile, err := proof.ParsePath(path); err == nil {
			t.Errorf("%q is taken for %v", path, tile)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, path := range []string{"tile/0/000", "tile/entries/x001/234.p/5", "tile/63/x999/999", "tile/0/000.p/256"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		tile, err := proof.ParsePath(path)
		if err == nil && proof.Path(tile) != path {
			t.Errorf("%q is %v, which is %q", path, tile, proof.Path(tile))
		}
	})
}

// A bundle holds its lines, and what is cut off is an error.
func TestBundles(t *testing.T) {
	want := []string{"", "a", line(7), string(bytes.Repeat([]byte("y"), 65535))}
	var bundle []byte
	for _, l := range want {
		bundle = proof.AppendLine(bundle, []byte(l))
	}
	at := 0
	for l, err := range proof.Lines(bundle) {
		if err != nil || string(l) != want[at] {
			t.Fatalf("line %d: %v", at, err)
		}
		at++
		first, ok := proof.CutBundle(bundle, at)
		if !ok || !bytes.HasSuffix(first, l) {
			t.Errorf("the first %d entries are cut wrongly", at)
		}
	}
	if at != len(want) {
		t.Errorf("%d lines, want %d", at, len(want))
	}
	if _, ok := proof.CutBundle(bundle, at+1); ok {
		t.Error("more entries than there are")
	}
	var failed error
	for _, err := range proof.Lines(bundle[:len(bundle)-1]) {
		failed = err
	}
	if failed == nil {
		t.Error("a bundle that is cut off is read without an error")
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte{})
	f.Add(proof.AppendLine(proof.AppendLine(nil, []byte(line(1))), []byte(line(2))))
	f.Add([]byte{0, 5, 'a'})
	f.Fuzz(func(t *testing.T, bundle []byte) {
		var again []byte
		n := 0
		for l, err := range proof.Lines(bundle) {
			if err != nil {
				if _, ok := proof.CutBundle(bundle, n+1); ok {
					t.Error("an entry that Lines does not read is cut off as one")
				}
				return
			}
			again = proof.AppendLine(again, l)
			n++
			if first, ok := proof.CutBundle(bundle, n); !ok || !bytes.Equal(first, again) {
				t.Errorf("the first %d entries are cut wrongly", n)
			}
		}
		if !bytes.Equal(again, bundle) {
			t.Error("a bundle is read and not written back")
		}
	})
}

// A folder that grows still gives the partial tiles of before.
func TestFolderThatHasGrown(t *testing.T) {
	k := key(t, 1)
	whole := lines(600)
	at300, at310 := write(t, k, whole[:300]), write(t, k, whole[:310])
	for _, now := range []fstest.MapFS{at310, write(t, k, whole)} {
		folder := proof.Folder{FS: now}
		for _, path := range []string{"tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"} {
			tile, err := proof.ParsePath(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := folder.Tile(t.Context(), tile)
			if err != nil || !bytes.Equal(got, at300[path].Data) {
				t.Errorf("%s of a tree that has grown: %v", path, err)
			}
		}
	}
	if _, err := (proof.Folder{FS: at300}).Tile(t.Context(), tlog.Tile{H: 8, L: 0, N: 1, W: 45}); !errors.Is(err, proof.ErrNoTile) {
		t.Errorf("a tile that is not full yet gave %v", err)
	}
}

func TestEntries(t *testing.T) {
	k := key(t, 1)
	files := write(t, k, lines(600))
	for _, span := range [][2]uint64{{0, 0}, {0, 1}, {0, 600}, {255, 257}, {256, 512}, {300, 300}, {511, 600}, {599, 600}} {
		n := span[0]
		for l, err := range proof.Entries(t.Context(), proof.Folder{FS: files}, span[0], span[1]) {
			if err != nil || string(l) != line(int(n)) {
				t.Fatalf("entry %d of %v: %q, %v", n, span, l, err)
			}
			n++
		}
		if n != span[1] {
			t.Errorf("%v ends with %d", span, n)
		}
	}
	last := func(files fstest.MapFS, to uint64) (err error) {
		for _, err = range proof.Entries(context.Background(), proof.Folder{FS: files}, 0, to) {
		}
		return err
	}
	if err := last(files, 601); !errors.Is(err, proof.ErrNoTile) {
		t.Errorf("more entries than there are gave %v", err)
	}
	short := clone(files)
	short["tile/entries/000"] = &fstest.MapFile{Data: short["tile/entries/000"].Data[:40]}
	if err := last(short, 600); !errors.Is(err, proof.ErrEntries) {
		t.Errorf("a bundle that is cut off gave %v", err)
	}
	few := clone(files)
	few["tile/entries/000"] = &fstest.MapFile{Data: proof.AppendLine(nil, []byte(line(0)))}
	if err := last(few, 600); !errors.Is(err, proof.ErrEntries) {
		t.Errorf("a bundle with too few entries gave %v", err)
	}
}
