package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// What [Verify] and [Consistent] find, beside [ErrCheckpoint] and [ErrNoTile]. The errors that wrap these name the place.
var (
	// ErrEntries says that a bundle's entries are not those that were signed: one was edited, dropped, inserted or exchanged.
	ErrEntries = errors.New("entries were changed")
	// ErrHashTile says that a tile of hashes is not what was signed.
	ErrHashTile = errors.New("a tile of hashes was changed")
	// ErrRewritten says that history is another one than a checkpoint has it: it was written anew, or two histories were signed.
	ErrRewritten = errors.New("history was rewritten")
	// ErrCut says that entries which a stored checkpoint covers are no longer there: the tail was cut off, or this is an older state.
	ErrCut = errors.New("the tail was cut off")
)

// Tampered says whether an error is one of those by which a check says that something is not what was signed.
func Tampered(err error) bool {
	for _, found := range []error{ErrCheckpoint, ErrNoTile, ErrEntries, ErrHashTile, ErrRewritten, ErrCut, ErrProof} {
		if errors.Is(err, found) {
			return true
		}
	}
	return false
}

// Options of [Verify]. The zero value works.
type Options struct {
	// Old is a signed checkpoint of before: its entries must still be there, unchanged.
	Old []byte
	// HashesOnly leaves the entries out: the tiles of hashes are enough to tell whether history was rewritten or cut.
	HashesOnly bool
	// Progress is told now and then how many entries were seen.
	Progress func(done, total uint64)
}

// Verify reads all tiles, computes the tree anew and compares it with the checkpoint, which the key must have signed, and
// with an older one. Nothing is kept in memory but a few tiles. The first difference is an error that wraps [ErrCheckpoint],
// [ErrEntries], [ErrHashTile], [ErrNoTile], [ErrRewritten] or [ErrCut]; errors of the source are returned as they are.
func Verify(ctx context.Context, src Source, key note.Verifier, o Options) (Checkpoint, error) {
	signed, err := src.Checkpoint(ctx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	c, err := OpenCheckpoint(signed, key)
	if err != nil {
		return Checkpoint{}, err
	}
	v := verifier{ctx: ctx, src: src, checkpoint: c, hashesOnly: o.HashesOnly}
	if o.Old != nil {
		if v.old, err = OpenCheckpoint(o.Old, key); err != nil {
			return Checkpoint{}, fmt.Errorf("the stored checkpoint: %w", err)
		}
		if err := older(c, v.old); err != nil {
			return Checkpoint{}, err
		}
	}
	for n := uint64(0); n*Width < c.Size; n++ {
		if err := ctx.Err(); err != nil {
			return Checkpoint{}, err
		}
		if err := v.bundle(n); err != nil {
			return Checkpoint{}, err
		}
		if o.Progress != nil {
			o.Progress(v.tree.Size(), c.Size)
		}
	}
	if err := v.tree.Edge(v.compare); err != nil {
		return Checkpoint{}, err
	}
	if v.tree.Root() != c.Root {
		return Checkpoint{}, fmt.Errorf("%w: the tiles fit each other, but not the checkpoint that was signed for %d entries", ErrRewritten, c.Size)
	}
	return c, nil
}

// older compares two checkpoints as far as that takes no tiles.
func older(now, old Checkpoint) error {
	switch {
	case old.Size > now.Size:
		return fmt.Errorf("%w: the checkpoint here covers %d entries, the stored one %d", ErrCut, now.Size, old.Size)
	case old.Size == now.Size && old.Root != now.Root:
		return fmt.Errorf("%w: two checkpoints of %d entries were signed, with other roots", ErrRewritten, now.Size)
	}
	return nil
}

// verifier is one call of Verify.
type verifier struct {
	ctx        context.Context
	src        Source
	checkpoint Checkpoint
	old        Checkpoint // of size 0: none
	hashesOnly bool
	tree       Tree
}

// bundle adds the entries of a bundle, or of a tile of hashes, to the tree.
func (v *verifier) bundle(n uint64) error {
	level := EntriesLevel
	if v.hashesOnly {
		level = 0
	}
	tile := tileOf(level, n, v.checkpoint.Size)
	data, err := v.src.Tile(v.ctx, tile)
	if err != nil {
		return fmt.Errorf("read %s: %w", Path(tile), err)
	}
	if v.hashesOnly {
		if len(data) != tile.W*tlog.HashSize {
			return fmt.Errorf("%w: %s has %d bytes, not %d", ErrHashTile, Path(tile), len(data), tile.W*tlog.HashSize)
		}
		for ; len(data) > 0; data = data[tlog.HashSize:] {
			if err := v.add(tlog.Hash(data[:tlog.HashSize])); err != nil {
				return err
			}
		}
		return nil
	}
	inside := 0
	for line, err := range Lines(data) {
		number := v.tree.Size()
		switch {
		case err != nil:
			return fmt.Errorf("%w: %s: behind entry %d: %v", ErrEntries, Path(tile), number, err)
		case inside == tile.W:
			return fmt.Errorf("%w: %s holds more than %d entries", ErrEntries, Path(tile), tile.W)
		case !numbered(line, number):
			return fmt.Errorf("%w: in %s, where entry %d belongs, stands %.40q", ErrEntries, Path(tile), number, line)
		}
		inside++
		if err := v.add(LeafHash(line)); err != nil {
			return err
		}
	}
	if inside < tile.W {
		return fmt.Errorf("%w: %s holds %d entries, not %d", ErrEntries, Path(tile), inside, tile.W)
	}
	return nil
}

func (v *verifier) add(leaf tlog.Hash) error {
	if err := v.tree.Append(leaf, v.compare); err != nil {
		return err
	}
	if v.tree.Size() == v.old.Size && v.tree.Root() != v.old.Root {
		// It may be the last tile that is wrong, which has not been compared yet.
		if err := v.tree.Edge(v.compareStart); err != nil {
			return err
		}
		return rewritten(v.old)
	}
	return nil
}

func rewritten(old Checkpoint) error {
	return fmt.Errorf("%w: the first %d entries are not those of the stored checkpoint", ErrRewritten, old.Size)
}

// compareStart is compare for a tile that the tree has only begun.
func (v *verifier) compareStart(tile tlog.Tile, hashes []byte) error {
	whole := tileOf(tile.L, uint64(tile.N), v.checkpoint.Size)
	there, err := v.src.Tile(v.ctx, whole)
	if err != nil {
		return fmt.Errorf("read %s: %w", Path(whole), err)
	}
	return v.same(whole, hashes, there[:min(len(hashes), len(there))])
}

// compare compares a tile of hashes with what the entries, and the tiles below, come to.
func (v *verifier) compare(tile tlog.Tile, hashes []byte) error {
	if v.hashesOnly && tile.L == 0 {
		return nil // it is where they come from
	}
	there, err := v.src.Tile(v.ctx, tile)
	if err != nil {
		return fmt.Errorf("read %s: %w", Path(tile), err)
	}
	return v.same(tile, hashes, there)
}

func (v *verifier) same(tile tlog.Tile, computed, there []byte) error {
	if bytes.Equal(computed, there) {
		return nil
	}
	if len(computed) != len(there) {
		return fmt.Errorf("%w: %s has %d bytes, not %d", ErrHashTile, Path(tile), len(there), len(computed))
	}
	i := 0
	for computed[i] == there[i] {
		i++
	}
	i /= tlog.HashSize
	first := (uint64(tile.N)*Width + uint64(i)) << (Height * uint(tile.L)) // the first entry below the hash that differs
	// Which side is right? The one that hashes to the checkpoint.
	if v.signed(tile, i) {
		if v.hashesOnly {
			return fmt.Errorf("%w: a tile below hash %d of %s", ErrHashTile, i, Path(tile))
		}
		return fmt.Errorf("%w: %s is not what was signed (%s)", ErrEntries, entries(tile, first), Path(tlog.Tile{H: Height, L: EntriesLevel, N: int64(first / Width), W: tileOf(EntriesLevel, first/Width, v.checkpoint.Size).W}))
	}
	return fmt.Errorf("%w: %s, at hash %d (%s)", ErrHashTile, Path(tile), i, entries(tile, first))
}

// entries names the entries below one hash of a tile.
func entries(tile tlog.Tile, first uint64) string {
	if tile.L == 0 {
		return fmt.Sprintf("entry %d", first)
	}
	return fmt.Sprintf("entries %d to %d", first, first+1<<(Height*uint(tile.L))-1)
}

// signed says whether hash i of a tile, as the source has it, leads to the checkpoint's root.
func (v *verifier) signed(tile tlog.Tile, i int) bool {
	index := tlog.StoredHashIndex(Height*tile.L, tile.N*Width+int64(i))
	_, err := hashes(v.ctx, v.src, v.checkpoint).ReadHashes([]int64{index})
	return err == nil
}

// hashes reads hashes out of tiles, and checks that they lead to the checkpoint's root.
func hashes(ctx context.Context, src Source, c Checkpoint) tlog.HashReader {
	return tlog.TileHashReader(c.tree(), &tiles{ctx, src})
}

// tiles is a source as tlog wants it.
type tiles struct {
	ctx context.Context
	src Source
}

func (*tiles) Height() int { return Height }

func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(list))
	for i, tile := range list {
		var err error
		if data[i], err = t.src.Tile(t.ctx, tile); err != nil {
			return nil, fmt.Errorf("read %s: %w", Path(tile), err)
		}
	}
	return data, nil
}

func (*tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// Consistent says whether the entries of an old checkpoint are the first ones of a newer one, by the tiles of hashes that
// it takes: a handful. Both must be known to be the ledger's. Errors are those of [Verify].
func Consistent(ctx context.Context, src Source, now, old Checkpoint) error {
	if err := older(now, old); err != nil || old.Size == 0 {
		return err
	}
	root, err := tlog.TreeHash(int64(old.Size), hashes(ctx, src, now))
	if err != nil {
		if errors.Is(err, ErrNoTile) || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%w: what the checkpoint of %d entries needs does not lead to its root: %w", ErrHashTile, now.Size, err)
	}
	if root != old.Root {
		return rewritten(old)
	}
	return nil
}
