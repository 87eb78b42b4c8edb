package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/projections/viewtest"
)

// These tests read the folder with code of others alone: tessera's names of files, its client and its fsck, the Go checksum
// database's proofs and notes.

// foreignFolder reads files by the names that tessera gives them.
type foreignFolder string

func (f foreignFolder) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(f), name))
}

func (f foreignFolder) ReadCheckpoint(context.Context) ([]byte, error) {
	return f.read(layout.CheckpointPath)
}

func (f foreignFolder) ReadTile(_ context.Context, level, index uint64, p uint8) ([]byte, error) {
	return f.read(layout.TilePath(level, index, p))
}

func (f foreignFolder) ReadEntryBundle(_ context.Context, index uint64, p uint8) ([]byte, error) {
	return f.read(layout.EntriesPath(index, p))
}

// writtenByTheView makes a folder of so many entries, in several transactions, and gives the origin and the public key.
func writtenByTheView(t *testing.T, n int) (dir foreignFolder, entries []events.Entry, origin string, key note.Verifier) {
	t.Helper()
	entries = eventstest.History(uint64(n), n)
	views := viewtest.TempDir(t)
	records := viewtest.Pack("r", entries, 11)
	src := viewtest.NewSource()
	for _, end := range []int{len(records) / 3, len(records) / 2, len(records)} {
		src.Append(records[len(src.Records()):end]...)
		if end == 0 {
			continue
		}
		if err := follow(t, views, newTestView(), src, int(lastOf(records[end-1]))); err != nil {
			t.Fatal(err)
		}
	}
	k := verifier(t, entries)
	key, err := note.NewVerifier(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return foreignFolder(folder(views)), entries, k.Name(), key
}

// bundleHasher hashes the entries of a bundle, as whoever knows RFC 6962 and C2SP tlog-tiles would.
func bundleHasher(bundle []byte) ([][]byte, error) {
	var hashes [][]byte
	for len(bundle) > 0 {
		n := int(binary.BigEndian.Uint16(bundle))
		h := tlog.RecordHash(bundle[2 : 2+n])
		hashes, bundle = append(hashes, h[:]), bundle[2+n:]
	}
	return hashes, nil
}

func TestTesseraReadsTheTiles(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 800} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir, entries, origin, key := writtenByTheView(t, n)
			if err := fsck.New(origin, key, dir, bundleHasher, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
				t.Fatalf("fsck: %v", err)
			}
			checkpoint, _, _, err := client.FetchCheckpoint(t.Context(), dir.ReadCheckpoint, key, origin)
			if err != nil || checkpoint.Size != uint64(n) {
				t.Fatalf("the checkpoint is %v: %v", checkpoint, err)
			}
			size := func(context.Context) (uint64, error) { return checkpoint.Size, nil }
			at := 0
			for b, err := range client.EntryBundles(t.Context(), 2, size, dir.ReadEntryBundle, 0, checkpoint.Size) {
				if err != nil {
					t.Fatal(err)
				}
				for bundle := b.Data; len(bundle) > 0; at++ {
					width := int(binary.BigEndian.Uint16(bundle))
					want, err := events.AppendEntry(nil, &entries[at])
					if err != nil || string(bundle[2:2+width]) != string(want) {
						t.Fatalf("entry %d is read as %q: %v", at, bundle[2:2+width], err)
					}
					bundle = bundle[2+width:]
				}
			}
			if at != n {
				t.Errorf("%d entries were read, want %d", at, n)
			}
			builder, err := client.NewProofBuilder(t.Context(), checkpoint.Size, dir.ReadTile)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := builder.InclusionProof(t.Context(), uint64(n)/2); err != nil {
				t.Error(err)
			}
			// It would have noticed.
			bundle := filepath.Join(string(dir), layout.EntriesPath(0, uint8(min(n, 256))))
			text, err := os.ReadFile(bundle)
			if err == nil {
				text[len(text)/2] ^= 1
				err = os.WriteFile(bundle, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := fsck.New(origin, key, dir, bundleHasher, fsck.Opts{N: 2}).Check(t.Context()); err == nil {
				t.Error("fsck is content with a changed entry")
			}
		})
	}
}

// foreignTiles is a folder as the checksum database's code reads tiles.
type foreignTiles struct{ foreignFolder }

func (foreignTiles) Height() int { return layout.TileHeight }

func (f foreignTiles) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, t := range tiles {
		p := uint8(0) // tessera's sign for a full tile
		if t.W < layout.TileWidth {
			p = uint8(t.W)
		}
		b, err := f.read(layout.TilePath(uint64(t.L), uint64(t.N), p))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (foreignTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func TestChecksumDatabaseReadsTheTiles(t *testing.T) {
	const n = 800
	dir, entries, origin, key := writtenByTheView(t, n)
	signed, err := dir.ReadCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(opened.Text, "\n")
	root, err := tlog.ParseHash(text[2])
	if err != nil || text[0] != origin || text[1] != fmt.Sprint(n) {
		t.Fatalf("the checkpoint says %q: %v", text, err)
	}
	hashes := tlog.TileHashReader(tlog.Tree{N: n, Hash: root}, foreignTiles{dir})
	for _, i := range []int64{0, 255, 256, 511, 799} {
		way, err := tlog.ProveRecord(n, i, hashes)
		if err != nil {
			t.Fatal(err)
		}
		line, err := events.AppendEntry(nil, &entries[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(way, n, root, i, tlog.RecordHash(line)); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
		if err := tlog.CheckRecord(way, n, root, i, tlog.RecordHash(slices.Concat(line, []byte(" ")))); err == nil {
			t.Errorf("another entry %d is proved", i)
		}
	}
	old, err := tlog.TreeHash(300, hashes)
	if err != nil {
		t.Fatal(err)
	}
	way, err := tlog.ProveTree(n, 300, hashes)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(way, n, root, 300, old); err != nil {
		t.Errorf("the first 300 entries are not those of the tree: %v", err)
	}
}
