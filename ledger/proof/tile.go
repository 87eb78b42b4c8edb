package proof

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Height and Width of a tile: C2SP tlog-tiles has 256 hashes, or entries, in each.
const (
	Height = 8
	Width  = 1 << Height
)

// EntriesLevel is the level of bundles of entries among tiles.
const EntriesLevel = -1

// ErrNoTile says that a [Source] does not have a tile or checkpoint.
var ErrNoTile = errors.New("it is not there")

// Source holds the tiles of a ledger. Its methods are safe for concurrent use. What is not there is [ErrNoTile].
type Source interface {
	// Checkpoint is the newest signed checkpoint.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile is a tile of hashes, or of level [EntriesLevel] a bundle. Who asks for a partial tile gets the first t.W hashes or entries, also where
	// the tile has grown.
	Tile(ctx context.Context, t tlog.Tile) ([]byte, error)
}

// LeafHash is the hash of an entry's line.
func LeafHash(line []byte) tlog.Hash { return tlog.RecordHash(line) }

// Path names a tile as C2SP tlog-tiles does: tile/0/x001/234.p/5, tile/entries/000.
func Path(t tlog.Tile) string {
	path := strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(Height)+"/")
	if rest, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + rest
	}
	return "tile/" + path
}

// ParsePath reads what [Path] writes, and nothing else.
func ParsePath(path string) (tlog.Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if inside, is := strings.CutPrefix(rest, "entries/"); is {
		rest = "data/" + inside
	}
	t, err := tlog.ParseTilePath("tile/" + strconv.Itoa(Height) + "/" + rest)
	if err != nil || !ok || t.L > 63 || t.N < 0 || Path(t) != path {
		return tlog.Tile{}, fmt.Errorf("%.80q does not name a tile", path)
	}
	return t, nil
}

// EdgeTile is the last tile of a level in a tree of so many entries; false if that tile would be empty. Level
// [EntriesLevel] gives the last bundle.
func EdgeTile(level int, size uint64) (tlog.Tile, bool) {
	n := size
	if level > 0 {
		n >>= Height * uint(level)
	}
	w := n % Width
	return tlog.Tile{H: Height, L: level, N: int64(n / Width), W: int(w)}, w > 0
}

// Covers says whether a tree of so many entries has a tile, or has had it while it grew.
func Covers(size uint64, t tlog.Tile) bool {
	if t.L > 0 {
		size >>= Height * uint(t.L)
	}
	return t.N >= 0 && t.W > 0 && uint64(t.N) <= size/Width && uint64(t.N)*Width+uint64(t.W) <= size
}

// tileOf is the tile with number n of a level as a tree of so many entries has it.
func tileOf(level int, n, size uint64) tlog.Tile {
	if level > 0 {
		size >>= Height * uint(level)
	}
	return tlog.Tile{H: Height, L: level, N: int64(n), W: int(min(size-n*Width, Width))}
}

// AppendLine appends an entry's line to a bundle. A line has at most 65,535 bytes.
func AppendLine(bundle, line []byte) []byte {
	if len(line) > 0xffff {
		panic(fmt.Sprintf("proof: a line of %d bytes", len(line))) // the ledger never writes one
	}
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(line))), line...)
}

// Lines reads the lines of a bundle. A bundle that is cut off is an error, which comes last. The lines are the bundle's bytes.
func Lines(bundle []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(bundle) > 0 {
			if len(bundle) < 2 || len(bundle)-2 < int(binary.BigEndian.Uint16(bundle)) {
				yield(nil, errors.New("the bundle is cut off in the middle of an entry"))
				return
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if !yield(bundle[2:end:end], nil) {
				return
			}
			bundle = bundle[end:]
		}
	}
}

// CutBundle is the part of a bundle that holds its first n entries; false if it holds fewer.
func CutBundle(bundle []byte, n int) ([]byte, bool) {
	end := 0
	for range n {
		if len(bundle)-end < 2 {
			return nil, false
		}
		end += 2 + int(binary.BigEndian.Uint16(bundle[end:]))
		if end > len(bundle) {
			return nil, false
		}
	}
	return bundle[:end:end], true
}

// numbered says whether a line is entry n's: every line begins with its number.
func numbered(line []byte, n uint64) bool {
	var b [40]byte
	start := append(b[:0], `{"entry":`...)
	start = append(strconv.AppendUint(start, n, 10), ',')
	return bytes.HasPrefix(line, start)
}
