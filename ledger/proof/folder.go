package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// Folder is a folder of tiles as a [Source]; [os.DirFS] makes one of a path. It may be read while it grows: what the
// checkpoint covers stays readable.
type Folder struct{ fs.FS }

// CheckpointFile is the name of the checkpoint within a folder of tiles.
const CheckpointFile = "checkpoint"

// Checkpoint is the newest signed checkpoint.
func (f Folder) Checkpoint(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	signed, err := fs.ReadFile(f.FS, CheckpointFile)
	return signed, absent(err)
}

// Tile reads a tile or bundle. Where the partial one is gone because it has grown, it is cut from the one that is there.
func (f Folder) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		data, again, err := f.tile(t)
		if !again {
			return data, absent(err)
		}
	}
}

// tile reads a tile once; again says that a file vanished while it was looked for, as it does when it grows.
func (f Folder) tile(t tlog.Tile) (data []byte, again bool, err error) {
	data, err = fs.ReadFile(f.FS, Path(t))
	if err == nil || t.W == Width || !errors.Is(err, fs.ErrNotExist) {
		return data, false, err
	}
	whole := t
	whole.W = Width
	if data, err = fs.ReadFile(f.FS, Path(whole)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return cut(t, data), false, err
	}
	list, err := fs.ReadDir(f.FS, path.Dir(Path(t)))
	if err != nil {
		return nil, false, err
	}
	for _, file := range list {
		if w, err := strconv.Atoi(file.Name()); err == nil && w > t.W && w < Width {
			whole.W = w
			data, err = fs.ReadFile(f.FS, Path(whole))
			return cut(t, data), errors.Is(err, fs.ErrNotExist), err
		}
	}
	return nil, false, fs.ErrNotExist
}

// cut gives the first entries or hashes of a tile that has more. What is damaged is given as it is, for who checks it.
func cut(t tlog.Tile, data []byte) []byte {
	if t.L == EntriesLevel {
		if first, ok := CutBundle(data, t.W); ok {
			return first
		}
		return data
	}
	return data[:min(len(data), t.W*tlog.HashSize)]
}

func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNoTile, err)
	}
	return err
}

// Entries yields the lines of the entries from to to-1, in order, as bundles have them: nothing is compared with hashes. An error, such as
// [ErrNoTile] where the source ends before that, comes last. The lines may be kept.
func Entries(ctx context.Context, src Source, from, to uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for n := from; n < to; {
			tile := tileOf(EntriesLevel, n/Width, to)
			data, err := src.Tile(ctx, tile)
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", Path(tile), err))
				return
			}
			at := n / Width * Width
			for line, err := range Lines(data) {
				if err != nil {
					yield(nil, fmt.Errorf("read %s: %w: %v", Path(tile), ErrEntries, err))
					return
				}
				if at++; at <= n {
					continue
				}
				if n++; !yield(line, nil) {
					return
				}
			}
			if want := tile.N*Width + int64(tile.W); int64(n) != want {
				yield(nil, fmt.Errorf("read %s: %w: it ends with entry %d, not %d", Path(tile), ErrEntries, int64(n)-1, want-1))
				return
			}
		}
	}
}
