package proof_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/ledger/proof"
)

const origin = "licenseledger/01KGBT6WRX5D5MZ8F4GQ0M4T7K"

func key(t testing.TB, first byte) proof.Key {
	t.Helper()
	k, err := proof.NewKey(origin, [32]byte{first})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// line is the line of an entry of no meaning.
func line(n int) string {
	return fmt.Sprintf(`{"entry":%d,"time":"2026-03-01T00:00:00.000Z","provider":"acme","events":[{"kind":"test.v1","data":%q}]}`, n, strings.Repeat("x", n%50))
}

func lines(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = line(i)
	}
	return list
}

// write makes the tiles of these lines and signs them.
func write(t testing.TB, k proof.Key, lines []string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	put := func(tile tlog.Tile, data []byte) error {
		files[proof.Path(tile)] = &fstest.MapFile{Data: append([]byte(nil), data...)}
		return nil
	}
	var tree proof.Tree
	var bundle []byte
	for i, line := range lines {
		bundle = proof.AppendLine(bundle, []byte(line))
		if (i+1)%proof.Width == 0 {
			_ = put(tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(i / proof.Width), W: proof.Width}, bundle)
			bundle = nil
		}
		if err := tree.Append(proof.LeafHash([]byte(line)), put); err != nil {
			t.Fatal(err)
		}
	}
	if tile, ok := proof.EdgeTile(proof.EntriesLevel, tree.Size()); ok {
		_ = put(tile, bundle)
	}
	_ = tree.Edge(put)
	signed, err := proof.Checkpoint{Origin: origin, Size: tree.Size(), Root: tree.Root()}.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	files[proof.CheckpointFile] = &fstest.MapFile{Data: signed}
	return files
}

// clone copies files whose contents may be replaced, not changed.
func clone(files fstest.MapFS) fstest.MapFS { return maps.Clone(files) }

// flip gives a file with one bit changed.
func flip(f *fstest.MapFile, at int) *fstest.MapFile {
	data := append([]byte(nil), f.Data...)
	data[at] ^= 1
	return &fstest.MapFile{Data: data}
}

func verify(files fstest.MapFS, k proof.Key, o proof.Options) error {
	_, err := proof.Verify(context.Background(), proof.Folder{FS: files}, k.Verifier(), o)
	return err
}
