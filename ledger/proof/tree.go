package proof

import (
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is the Merkle tree of a ledger while it grows: its size and the unfinished tiles on its right edge. The zero value
// is the empty tree.
type Tree struct {
	size uint64
	edge [][]byte // by level: the hashes of the unfinished tile; fewer than Width
}

// ResumeTree makes a tree of so many entries from its unfinished tiles, which read gives: those of [EdgeTile] of every
// level. Whether it is the tree that was signed, [Tree.Root] tells.
func ResumeTree(size uint64, read func(tlog.Tile) ([]byte, error)) (*Tree, error) {
	t := &Tree{size: size}
	for level := 0; size>>(Height*uint(level)) > 0 && level < 8; level++ {
		var hashes []byte
		if tile, ok := EdgeTile(level, size); ok {
			data, err := read(tile)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", Path(tile), err)
			}
			if len(data) != tile.W*tlog.HashSize {
				return nil, fmt.Errorf("%w: %s has %d bytes, %d hashes have %d", ErrHashTile, Path(tile), len(data), tile.W, tile.W*tlog.HashSize)
			}
			hashes = append(make([]byte, 0, Width*tlog.HashSize), data...)
		}
		t.edge = append(t.edge, hashes)
	}
	return t, nil
}

// Size is the number of entries.
func (t *Tree) Size() uint64 { return t.size }

// Append adds the hash of the next entry. Tiles of hashes that become full by it are handed to full, the lowest level
// first; it must not keep the bytes.
func (t *Tree) Append(leaf tlog.Hash, full func(tile tlog.Tile, hashes []byte) error) error {
	t.size++
	for level := 0; ; level++ {
		if level == len(t.edge) {
			t.edge = append(t.edge, make([]byte, 0, Width*tlog.HashSize))
		}
		t.edge[level] = append(t.edge[level], leaf[:]...)
		hashes := t.edge[level]
		if len(hashes) < Width*tlog.HashSize {
			return nil
		}
		tile := tlog.Tile{H: Height, L: level, N: int64(t.size>>(Height*uint(level+1))) - 1, W: Width}
		if err := full(tile, hashes); err != nil {
			return err
		}
		leaf = fold(hashes)
		t.edge[level] = hashes[:0]
	}
}

// Edge hands out the unfinished tiles, the lowest level first. The bytes are the tree's.
func (t *Tree) Edge(fn func(tile tlog.Tile, hashes []byte) error) error {
	for level, hashes := range t.edge {
		if tile, ok := EdgeTile(level, t.size); ok {
			if err := fn(tile, hashes); err != nil {
				return err
			}
		}
	}
	return nil
}

// Root is the root of the tree: SHA-256 of nothing while it is empty.
func (t *Tree) Root() tlog.Hash {
	root, some := tlog.Hash(sha256.Sum256(nil)), false
	for _, hashes := range t.edge {
		// The hashes make as many perfect trees as their number has bits, the smallest on the right.
		for end := len(hashes) / tlog.HashSize; end > 0; end &= end - 1 {
			start := end & (end - 1)
			left := fold(hashes[start*tlog.HashSize : end*tlog.HashSize])
			if !some {
				root, some = left, true
				continue
			}
			root = tlog.NodeHash(left, root)
		}
	}
	return root
}

// fold is the root of a perfect tree over these hashes.
func fold(hashes []byte) tlog.Hash {
	if len(hashes) == tlog.HashSize {
		return tlog.Hash(hashes)
	}
	half := len(hashes) / 2
	return tlog.NodeHash(fold(hashes[:half]), fold(hashes[half:]))
}
