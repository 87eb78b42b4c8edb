package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
)

// Reader answers questions about entries with their lines. It is safe for concurrent use, also while the view follows the stream.
type Reader struct {
	store *projections.Store
	root  string
}

// NewReader reads the view of a store that lies in a folder of views.
func NewReader(views string, store *projections.Store) *Reader {
	return &Reader{store: store, root: folder(views)}
}

// Tiles is the folder of tiles.
func (r *Reader) Tiles() proof.Folder { return proof.Folder{FS: os.DirFS(r.root)} }

// Query chooses entries. The zero value chooses all.
type Query struct {
	First    uint64    // the first number
	From, To time.Time // times of entries: from From on, before To; zero: without end
	Provider string    // of this provider; empty: of all, and the ledger's own
	Kind     string    // with an event of this kind; empty: of any
	// Below, if it is not 0, is the number after the last. It is never beyond what the view shows.
	Below uint64
}

// Entry is an entry's line, exactly as it was appended.
type Entry struct {
	Number uint64
	Line   []byte // it may be kept
}

// piece is how many entries are found at once: the file is not held while they are read and handed on.
const piece = 4096

// Entries yields what the query chooses, in order, up to the last entry that the view shows when it begins. Of a provider's entries nothing
// else is read; of a kind, only bundles that hold it. An error comes last; the context's end is one.
func (r *Reader) Entries(ctx context.Context, q Query) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := r.bound(ctx, &q); err != nil {
			yield(Entry{}, err)
			return
		}
		find := findBundles
		if q.Provider != "" {
			find = findRuns
		}
		for q.First < q.Below {
			var found []span
			err := r.store.Read(ctx, func(tx *bbolt.Tx, _ uint64) (err error) {
				found, q.First, err = find(tx, &q)
				return err
			})
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for e, err := range r.lines(ctx, found) {
				at, wanted := time.Time{}, true
				if err == nil {
					at, err = timeOf(e.Line)
				}
				if err == nil && q.Provider == "" && q.Kind != "" {
					wanted, err = hasKind(e.Line, q.Kind)
				}
				switch {
				case err != nil:
					yield(Entry{}, err)
					return
				case !q.To.IsZero() && !at.Before(q.To):
					return // times never run backwards
				case at.Before(q.From) || !wanted:
					continue
				case !yield(e, nil):
					return
				}
			}
		}
	}
}

// bound turns the days of a query into numbers of entries.
func (r *Reader) bound(ctx context.Context, q *Query) error {
	return r.store.Read(ctx, func(tx *bbolt.Tx, next uint64) error {
		if q.Below == 0 || q.Below > next {
			q.Below = next
		}
		days := tx.Bucket(bucketDays)
		if days == nil {
			return nil // nothing was seen so far
		}
		// firstOf is the first entry of a day or of one after it; next where there is none.
		firstOf := func(day events.Date) (uint64, error) {
			k, row := days.Cursor().Seek(binary.BigEndian.AppendUint32(nil, uint32(min(max(0, day), maxDay))))
			switch {
			case k == nil:
				return next, nil
			case len(row) != 8:
				return 0, errDamaged
			}
			return binary.BigEndian.Uint64(row), nil
		}
		first, err := firstOf(events.DateOf(q.From))
		if err != nil {
			return err
		}
		q.First = max(q.First, first)
		if !q.To.IsZero() {
			below, err := firstOf(events.DateOf(q.To) + 1)
			if err != nil {
				return err
			}
			q.Below = min(q.Below, below)
		}
		return nil
	})
}

// maxDay is the last day that has a row: no time of an entry is later.
const maxDay = events.Date(1<<31 - 1)

// Entry is one entry. [proof.ErrNoTile] says that the view does not show it.
func (r *Reader) Entry(ctx context.Context, n uint64) ([]byte, error) {
	if n >= r.store.Next() {
		return nil, fmt.Errorf("entry %d: %w", n, proof.ErrNoTile)
	}
	for line, err := range proof.Entries(ctx, r.Tiles(), n, n+1) {
		return line, err
	}
	return nil, fmt.Errorf("entry %d: %w", n, proof.ErrNoTile)
}

// span is entries that stand one after the other in a bundle, or one that stands alone.
type span struct {
	first, end uint64
	offset     int // of the first; -1: not known, the bundle is read from its beginning
}

// findRuns finds the next entries of a provider, and says from where on others may follow.
func findRuns(tx *bbolt.Tx, q *Query) (found []span, next uint64, err error) {
	wanted, err := wantedKinds(tx, q.Kind)
	if err != nil {
		return nil, 0, err
	}
	prefix := append([]byte(q.Provider), 0)
	c := tx.Bucket(bucketRuns).Cursor()
	k, row := seekRun(c, prefix, q.First)
	if k == nil {
		k, row = c.Seek(runKey(q.Provider, q.First))
	}
	for ; bytes.HasPrefix(k, prefix); k, row = c.Next() {
		start, err := readRunKey(k[len(prefix):])
		switch {
		case err != nil:
			return nil, 0, err
		case start >= q.Below:
			return found, q.Below, nil
		case len(found) >= piece:
			return found, start, nil
		}
		err = eachRef(row, start, func(e ref) error {
			if e.number < q.First || e.number >= q.Below || q.Kind != "" && !wanted[e.kinds] {
				return nil
			}
			if last := len(found) - 1; last >= 0 && found[last].end == e.number && e.number%proof.Width != 0 {
				found[last].end++
			} else {
				found = append(found, span{e.number, e.number + 1, e.offset})
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("run %x: %w", k, err)
		}
	}
	return found, q.Below, nil
}

// findBundles finds the next entries of all providers, by their bundles, and says from where on others may follow.
func findBundles(tx *bbolt.Tx, q *Query) (found []span, next uint64, err error) {
	wanted, err := wantedKinds(tx, q.Kind)
	if err != nil {
		return nil, 0, err
	}
	c := tx.Bucket(bucketBundles).Cursor()
	for k, row := c.Seek(binary.BigEndian.AppendUint64(nil, q.First/proof.Width)); k != nil; k, row = c.Next() {
		if len(k) != 8 {
			return nil, 0, errDamaged
		}
		start := binary.BigEndian.Uint64(k) * proof.Width
		switch {
		case start >= q.Below:
			return found, q.Below, nil
		case len(found) >= piece/proof.Width:
			return found, start, nil
		}
		kinds, err := readKinds(row)
		if err != nil {
			return nil, 0, err
		}
		if q.Kind == "" || slices.ContainsFunc(kinds, func(k uint32) bool { return wanted[k] }) {
			found = append(found, span{max(q.First, start), min(start+proof.Width, q.Below), -1})
		}
	}
	return found, q.Below, nil
}

// wantedKinds are the numbers of the sets that hold a kind.
func wantedKinds(tx *bbolt.Tx, kind string) (map[uint32]bool, error) {
	if kind == "" {
		return nil, nil
	}
	wanted := map[uint32]bool{}
	return wanted, tx.Bucket(bucketKinds).ForEach(func(k, set []byte) error {
		if len(k) != 4 {
			return errDamaged
		}
		if slices.Contains(strings.Fields(string(set)), kind) {
			wanted[binary.BigEndian.Uint32(k)] = true
		}
		return nil
	})
}

// lines reads the lines of spans.
func (r *Reader) lines(ctx context.Context, spans []span) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, s := range spans {
			if s.offset < 0 {
				n := s.first
				for line, err := range proof.Entries(ctx, r.Tiles(), s.first, s.end) {
					if !yield(Entry{n, line}, err) || err != nil {
						return
					}
					n++
				}
				continue
			}
			err := ctx.Err()
			var bundle *os.File
			if err == nil {
				bundle, err = r.openBundle(s)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			offset := int64(s.offset)
			for n := s.first; n < s.end; n++ {
				line, err := lineAt(bundle, offset)
				if err != nil {
					err = fmt.Errorf("read entry %d: %w: %w", n, proof.ErrEntries, err)
				}
				if !yield(Entry{n, line}, err) || err != nil {
					_ = bundle.Close() // it was only read
					return
				}
				offset += 2 + int64(len(line))
			}
			_ = bundle.Close() // it was only read
		}
	}
}

// openBundle opens the file of a bundle that holds a span. Partial bundles come and go while the view works.
func (r *Reader) openBundle(s span) (*os.File, error) {
	whole := proof.Path(tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(s.first / proof.Width), W: proof.Width})
	path := filepath.Join(r.root, filepath.FromSlash(whole))
	for {
		f, err := os.Open(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		list, err := os.ReadDir(path + ".p")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		best := -1
		for _, e := range list {
			w := -1
			if _, err := fmt.Sscan(e.Name(), &w); err == nil {
				best = max(best, w)
			}
		}
		if uint64(best) > (s.end-1)%proof.Width && best >= 0 {
			f, err := os.Open(filepath.Join(path+".p", fmt.Sprint(best)))
			if !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
			continue // it has grown meanwhile
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("read %s: %w", whole, proof.ErrNoTile)
		}
	}
}

// lineAt reads the line that stands at an offset of a bundle.
func lineAt(bundle io.ReaderAt, offset int64) ([]byte, error) {
	var length [2]byte
	if _, err := bundle.ReadAt(length[:], offset); err != nil {
		return nil, err
	}
	line := make([]byte, binary.BigEndian.Uint16(length[:]))
	if n, err := bundle.ReadAt(line, offset+2); n < len(line) {
		return nil, err
	}
	return line, nil
}

// timeOf is the time of an entry's line, without reading the rest of it.
func timeOf(line []byte) (time.Time, error) {
	const before = `,"time":"`
	i := bytes.Index(line, []byte(before))
	if i < 0 || i > 40 {
		return time.Time{}, fmt.Errorf("%.40q has no time: %w", line, proof.ErrEntries)
	}
	rest := line[i+len(before):]
	end := max(0, bytes.IndexByte(rest, '"'))
	at, err := events.ParseTime(rest[:end])
	if err != nil {
		return at, fmt.Errorf("%.80q: %w: %w", line, proof.ErrEntries, err)
	}
	return at, nil
}

// hasKind says whether a line has an event of a kind.
func hasKind(line []byte, kind string) (bool, error) {
	// Most lines have not even the word. Within texts quotation marks are escaped, but a text may be the word itself.
	if !bytes.Contains(line, []byte(`{"kind":"`+kind+`"`)) {
		return false, nil
	}
	e, err := events.DecodeEntry(line)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(e.Events, func(ev events.Event) bool { return ev.Data.Kind() == kind }), nil
}
