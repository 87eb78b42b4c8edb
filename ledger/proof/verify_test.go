package proof_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/ledger/proof"
)

// A tree of any size has the root, and the tiles, that the library computes.
func TestTreeIsTheLibrarys(t *testing.T) {
	k := key(t, 1)
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	const size = 2*256*256 + 300
	sizes := []int{1, 2, 3, 255, 256, 257, 511, 512, 65535, 65536, 65537, size}
	var tree proof.Tree
	none := func(tlog.Tile, []byte) error { return nil }
	for n := range size {
		h := proof.LeafHash([]byte(line(n)))
		more, err := tlog.StoredHashesForRecordHash(int64(n), h, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		if err := tree.Append(h, none); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(sizes, n+1) {
			want, err := tlog.TreeHash(int64(n+1), reader)
			if err != nil || tree.Root() != want {
				t.Fatalf("the root of %d entries is %s, want %s: %v", n+1, tree.Root(), want, err)
			}
		}
	}
	for _, n := range []int{1, 255, 256, 257, 600} {
		files := write(t, k, lines(n))
		got := 0
		for _, tile := range tlog.NewTiles(proof.Height, 0, int64(n)) {
			want, err := tlog.ReadTileData(tile, reader)
			if err != nil {
				t.Fatal(err)
			}
			if f := files[proof.Path(tile)]; f == nil || !slices.Equal(f.Data, want) {
				t.Errorf("%d entries: %s is not the library's", n, proof.Path(tile))
			}
			got++
		}
		bundles := (n + proof.Width - 1) / proof.Width
		if want := got + bundles + 1; len(files) != want {
			t.Errorf("%d entries make %d files, want %d", n, len(files), want)
		}
	}
	if (&proof.Tree{}).Root() != tlog.Hash([]byte("\xe3\xb0\xc4\x42\x98\xfc\x1c\x14\x9a\xfb\xf4\xc8\x99\x6f\xb9\x24\x27\xae\x41\xe4\x64\x9b\x93\x4c\xa4\x95\x99\x1b\x78\x52\xb8\x55")) {
		t.Error("the empty tree's root is not SHA-256 of nothing")
	}
}

// What is whole verifies, also against every checkpoint of before.
func TestVerify(t *testing.T) {
	k := key(t, 1)
	for _, n := range []int{1, 7, 256, 300, 1000} {
		files := write(t, k, lines(n))
		for _, old := range []int{1, 7, 255, 256, 257, 300, 1000} {
			if old > n {
				continue
			}
			before := write(t, k, lines(old))
			for _, hashesOnly := range []bool{false, true} {
				o := proof.Options{Old: before[proof.CheckpointFile].Data, HashesOnly: hashesOnly}
				if err := verify(files, k, o); err != nil {
					t.Errorf("%d entries after %d, hashes only %v: %v", n, old, hashesOnly, err)
				}
			}
			now, _ := proof.OpenCheckpoint(files[proof.CheckpointFile].Data, k.Verifier())
			then, _ := proof.OpenCheckpoint(before[proof.CheckpointFile].Data, k.Verifier())
			if err := proof.Consistent(context.Background(), proof.Folder{FS: files}, now, then); err != nil {
				t.Errorf("%d entries after %d: %v", n, old, err)
			}
		}
		seen := uint64(0)
		err := verify(files, k, proof.Options{Progress: func(done, total uint64) {
			if done <= seen || total != uint64(n) {
				t.Errorf("progress went from %d to %d of %d", seen, done, total)
			}
			seen = done
		}})
		if err != nil || seen != uint64(n) {
			t.Errorf("progress ended at %d of %d: %v", seen, n, err)
		}
	}
}

// The tamper table of domain section 8: whatever is done to the tiles is refused by name.
func TestTampering(t *testing.T) {
	const n = 700
	k := key(t, 1)
	whole := lines(n)
	good := write(t, k, whole)
	old := write(t, k, whole[:600])
	oldNote := old[proof.CheckpointFile].Data
	edited := strings.Replace(whole[300], `"acme"`, `"evil"`, 1)
	replace := func(path string, with fstest.MapFS) fstest.MapFS {
		files := clone(good)
		files[path] = with[path]
		return files
	}
	bundle := func(lines []string) *fstest.MapFile {
		var b []byte
		for _, l := range lines {
			b = proof.AppendLine(b, []byte(l))
		}
		return &fstest.MapFile{Data: b}
	}
	with := func(path string, f *fstest.MapFile) fstest.MapFS {
		files := clone(good)
		files[path] = f
		return files
	}
	without := func(path string) fstest.MapFS {
		files := clone(good)
		delete(files, path)
		return files
	}
	swap := func(list []string, i, j int) []string {
		list = slices.Clone(list)
		list[i], list[j] = list[j], list[i]
		return list
	}
	renumbered := func(list []string, from int) []string { // entries behind a dropped or inserted one take their places
		list = slices.Clone(list)
		for i := from; i < len(list); i++ {
			_, rest, _ := strings.Cut(list[i], ",")
			list[i] = fmt.Sprintf(`{"entry":%d,%s`, i, rest)
		}
		return list
	}
	dropped := renumbered(slices.Delete(slices.Clone(whole), 300, 301), 300)
	inserted := renumbered(slices.Insert(slices.Clone(whole), 300, edited), 300)
	rewritten := slices.Clone(whole)
	rewritten[300] = edited
	// Everything is written anew, without the key: only the checkpoint is left.
	rehashed := write(t, k, rewritten)
	rehashed[proof.CheckpointFile] = good[proof.CheckpointFile]
	other := key(t, 2)

	for _, row := range []struct {
		name  string
		files fstest.MapFS
		old   []byte
		is    error
		says  string
	}{
		{"a byte of a full bundle", with("tile/entries/001", flip(good["tile/entries/001"], 5000)), nil, proof.ErrEntries, "tile/entries/001"},
		{"a byte of a length in a bundle", with("tile/entries/001", flip(good["tile/entries/001"], 1)), nil, proof.ErrEntries, "tile/entries/001"},
		{"a byte of the last bundle", with("tile/entries/002.p/188", flip(good["tile/entries/002.p/188"], 90)), nil, proof.ErrEntries, "entry 512"},
		{"a byte of a full tile of hashes", with("tile/0/001", flip(good["tile/0/001"], 33)), nil, proof.ErrHashTile, "tile/0/001, at hash 1 (entry 257)"},
		{"a byte of a partial tile of hashes", with("tile/0/002.p/188", flip(good["tile/0/002.p/188"], 0)), nil, proof.ErrHashTile, "tile/0/002.p/188"},
		{"a byte of a tile of a higher level", with("tile/1/000.p/2", flip(good["tile/1/000.p/2"], 40)), nil, proof.ErrHashTile, "tile/1/000.p/2, at hash 1 (entries 256 to 511)"},
		{"a byte of the checkpoint's root", with("checkpoint", flip(good["checkpoint"], len(origin)+8)), nil, proof.ErrCheckpoint, "not signed by " + origin},
		{"a byte of the signature", with("checkpoint", flip(good["checkpoint"], len(good["checkpoint"].Data)-20)), nil, proof.ErrCheckpoint, "not signed"},
		{"an entry edited", with("tile/entries/001", bundle(rewritten[256:512])), nil, proof.ErrEntries, "entry 300 is not what was signed (tile/entries/001)"},
		{"an entry dropped", with("tile/entries/001", bundle(slices.Delete(slices.Clone(whole[256:512]), 44, 45))), nil, proof.ErrEntries, "where entry 300 belongs, stands"},
		{"an entry dropped, the others renumbered", with("tile/entries/001", bundle(dropped[256:512])), nil, proof.ErrEntries, "entry 300 is not"},
		{"the last entry of a bundle dropped", with("tile/entries/001", bundle(whole[256:511])), nil, proof.ErrEntries, "tile/entries/001 holds 255 entries, not 256"},
		{"an entry inserted", with("tile/entries/001", bundle(slices.Insert(slices.Clone(whole[256:512]), 44, edited))), nil, proof.ErrEntries, "tile/entries/001"},
		{"an entry inserted, the others renumbered", with("tile/entries/001", bundle(inserted[256:512])), nil, proof.ErrEntries, "entry 300 is not"},
		{"an entry appended to a bundle", with("tile/entries/001", bundle(whole[256:513])), nil, proof.ErrEntries, "more than 256"},
		{"two entries swapped", with("tile/entries/001", bundle(swap(whole, 300, 301)[256:512])), nil, proof.ErrEntries, "where entry 300 belongs"},
		{"two bundles swapped", with("tile/entries/001", good["tile/entries/000"]), nil, proof.ErrEntries, "where entry 256 belongs"},
		{"an entry edited and its tile of hashes with it", func() fstest.MapFS {
			files := replace("tile/0/001", rehashed)
			files["tile/entries/001"] = rehashed["tile/entries/001"]
			return files
		}(), nil, proof.ErrEntries, "entries 256 to 511"},
		{"everything hashed anew, without the key", rehashed, nil, proof.ErrRewritten, "not the checkpoint that was signed for 700 entries"},
		{"everything hashed and signed anew, with another key", write(t, other, rewritten), nil, proof.ErrCheckpoint, "not signed by " + origin},
		{"everything hashed and signed anew, with the key", write(t, k, rewritten), oldNote, proof.ErrRewritten, "the first 600 entries are not those of the stored checkpoint"},
		{"an entry dropped, everything signed anew with the key", write(t, k, dropped), oldNote, proof.ErrRewritten, "the first 600 entries"},
		{"two histories of the same length, both signed", write(t, k, rewritten[:600]), oldNote, proof.ErrRewritten, "two checkpoints of 600 entries"},
		{"the tail cut off and signed anew with the key", write(t, k, whole[:500]), oldNote, proof.ErrCut, "covers 500 entries, the stored one 600"},
		{"an older state", old, good["checkpoint"].Data, proof.ErrCut, "covers 600 entries, the stored one 700"},
		{"a bundle lost", without("tile/entries/000"), nil, proof.ErrNoTile, "tile/entries/000"},
		{"the last bundle lost", without("tile/entries/002.p/188"), nil, proof.ErrNoTile, "tile/entries/002.p/188"},
		{"a tile of hashes lost", without("tile/0/000"), nil, proof.ErrNoTile, "tile/0/000"},
		{"the checkpoint lost", without("checkpoint"), nil, proof.ErrNoTile, "read the checkpoint"},
		{"the stored checkpoint is of another key", good, write(t, other, whole[:600])["checkpoint"].Data, proof.ErrCheckpoint, "the stored checkpoint: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := verify(row.files, k, proof.Options{Old: row.old})
			if !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) || !proof.Tampered(err) {
				t.Errorf("gave %v, want %q and %q", err, row.is, row.says)
			}
		})
	}

	t.Run("by hashes alone", func(t *testing.T) {
		for path, file := range good {
			if strings.HasPrefix(path, "tile/entries/") {
				continue
			}
			for _, at := range []int{0, len(file.Data) / 2, len(file.Data) - 2} {
				if err := verify(with(path, flip(file, at)), k, proof.Options{HashesOnly: true}); !proof.Tampered(err) {
					t.Errorf("byte %d of %s: %v", at, path, err)
				}
			}
		}
		for _, row := range []struct {
			files fstest.MapFS
			is    error
		}{{write(t, k, rewritten), proof.ErrRewritten}, {write(t, k, whole[:500]), proof.ErrCut}} {
			if err := verify(row.files, k, proof.Options{Old: oldNote, HashesOnly: true}); !errors.Is(err, row.is) {
				t.Errorf("gave %v, want %v", err, row.is)
			}
		}
	})

	t.Run("any byte of anything", func(t *testing.T) {
		small := write(t, k, whole[:260])
		for path, file := range small {
			step := max(1, len(file.Data)/97)
			for at := 0; at < len(file.Data); at += step {
				files := clone(small)
				files[path] = flip(file, at)
				if err := verify(files, k, proof.Options{}); !proof.Tampered(err) {
					t.Errorf("byte %d of %s: %v", at, path, err)
				}
			}
		}
	})
}

// Two checkpoints compare by a handful of tiles.
func TestConsistent(t *testing.T) {
	k := key(t, 1)
	whole := lines(700)
	rewritten := slices.Clone(whole)
	rewritten[10] = strings.Replace(rewritten[10], "acme", "evil", 1)
	files := write(t, k, whole)
	open := func(files fstest.MapFS) proof.Checkpoint {
		c, err := proof.OpenCheckpoint(files["checkpoint"].Data, k.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	damaged := clone(files)
	damaged["tile/0/002.p/188"] = flip(damaged["tile/0/002.p/188"], 7)
	for _, row := range []struct {
		name     string
		files    fstest.MapFS
		now, old proof.Checkpoint
		is       error
	}{
		{"older", files, open(files), open(write(t, k, whole[:300])), nil},
		{"the same", files, open(files), open(files), nil},
		{"empty", files, open(files), proof.Checkpoint{Origin: origin}, nil},
		{"rewritten", files, open(files), open(write(t, k, rewritten[:300])), proof.ErrRewritten},
		{"forked", files, open(files), open(write(t, k, rewritten)), proof.ErrRewritten},
		{"cut", write(t, k, whole[:300]), open(write(t, k, whole[:300])), open(files), proof.ErrCut},
		{"a tile is damaged", damaged, open(files), open(write(t, k, whole[:300])), proof.ErrHashTile},
		{"a tile is gone", fstest.MapFS{}, open(files), open(write(t, k, whole[:300])), proof.ErrNoTile},
	} {
		if err := proof.Consistent(context.Background(), proof.Folder{FS: row.files}, row.now, row.old); !errors.Is(err, row.is) {
			t.Errorf("%s: %v, want %v", row.name, err, row.is)
		}
	}
}

func TestStopped(t *testing.T) {
	k := key(t, 1)
	files := write(t, k, lines(300))
	ctx, cancel := context.WithCancel(context.Background())
	_, err := proof.Verify(ctx, proof.Folder{FS: files}, k.Verifier(), proof.Options{Progress: func(uint64, uint64) { cancel() }})
	if !errors.Is(err, context.Canceled) || proof.Tampered(err) {
		t.Errorf("a check that was stopped gave %v", err)
	}
}
