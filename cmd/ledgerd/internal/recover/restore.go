package recover

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/journal"
	"licenseledger/ledger/proof"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
)

// Restore says how a ledger's stream is made again.
type Restore struct {
	Data     string // the data folder, locked
	Tiles    proof.Source
	Key      note.Verifier // of the tiles' checkpoint
	Journal  string        // its folder
	Progress func(done, total uint64)
	Logger   *slog.Logger
}

// Restored is what was made.
type Restored struct {
	Entries uint64
	Signed  uint64 // of them, those that were checked against the checkpoint
	Aside   string // where the old files are; empty: there were none
}

// Names within the data folder.
const (
	streamFolder = "nats"
	unfinished   = "nats.restoring"
	// AsideFolder holds what of the store was copied before the server opened it after an unclean stop, until all copies agree.
	AsideFolder = "nats.aside"
)

// Run makes the stream anew from tiles and journal, checks it against the signed checkpoint, and puts it in the place of the old one, which
// is moved aside with the views that rest on it and the journal. The tiles stay. Killed at any moment, it can be run again.
//
// Errors wrap [ErrNeither] where entries are in neither copy, [ErrTiles] where the journal contradicts the tiles, and what [proof.Verify] finds.
func (r Restore) Run(ctx context.Context) (Restored, error) {
	c, err := proof.Verify(ctx, r.Tiles, r.Key, proof.Options{})
	if errors.Is(err, proof.ErrNoTile) && c.Size == 0 {
		if _, cerr := r.Tiles.Checkpoint(ctx); errors.Is(cerr, proof.ErrNoTile) {
			err = nil // nothing was signed so far
		}
	}
	if err != nil {
		return Restored{}, fmt.Errorf("the tiles: %w", err)
	}
	known, err := readNotes(r.Journal)
	if err != nil {
		return Restored{}, err
	}
	chain := known.chain()
	if len(chain) > 0 && chain[len(chain)-1].Next <= c.Size {
		chain = nil // the tiles have it all
	}
	if len(chain) > 0 && chain[0].First > c.Size {
		return Restored{}, fmt.Errorf("the tiles end before entry %d and the journal begins with entry %d: %w", c.Size, chain[0].First, ErrNeither)
	}
	if len(chain) == 0 && c.Size == 0 {
		return Restored{}, errors.New("there are neither tiles nor journalled records to restore from")
	}
	made := Restored{Entries: c.Size, Signed: c.Size}
	if len(chain) > 0 {
		made.Entries = chain[len(chain)-1].Next
	}
	if err := r.build(ctx, c, chain, made.Entries); err != nil {
		return Restored{}, err
	}
	made.Aside, err = r.exchange()
	return made, err
}

// build makes the new store.
func (r Restore) build(ctx context.Context, c proof.Checkpoint, chain []journalled, total uint64) (err error) {
	dir := filepath.Join(r.Data, unfinished)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	server, err := natsd.Start(ctx, natsd.Config{Dir: dir, Logger: r.Logger})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	conn, err := server.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	admin, err := server.ConnectAdmin()
	if err != nil {
		return err
	}
	log, err := stream.Create(ctx, admin, conn, stream.Config{Replicas: 1})
	admin.Close()
	if err != nil {
		return err
	}
	w := &rebuilding{log: log, progress: r.Progress, total: total}
	if err := w.tiles(ctx, r.Tiles, c, chain); err != nil {
		return err
	}
	if err := w.journal(ctx, r.Journal, r.Tiles, c, chain); err != nil {
		return err
	}
	return check(ctx, log, c, total)
}

// rebuilding appends to a new stream.
type rebuilding struct {
	log      ledger.Log
	progress func(done, total uint64)
	total    uint64

	last uint64 // sequence
	id   string
	next uint64 // entry
}

func (w *rebuilding) append(ctx context.Context, r events.Record) error {
	r.Prev = w.id
	if err := w.log.Append(ctx, r, w.last); err != nil {
		return err
	}
	w.last, w.id, w.next = w.last+1, r.ID, r.First+uint64(bytes.Count(r.Body, []byte{'\n'}))
	if w.progress != nil {
		w.progress(w.next, w.total)
	}
	return nil
}

// tiles appends the entries that only the tiles have, in new records; a command is never split. Where the journal goes on, the last one has
// the id that it names.
func (w *rebuilding) tiles(ctx context.Context, src proof.Source, c proof.Checkpoint, chain []journalled) error {
	to, lastID := c.Size, ""
	if len(chain) > 0 {
		to, lastID = chain[0].First, chain[0].Prev
	}
	rec := events.Record{}
	var command []byte
	var at time.Time
	for line, err := range proof.Entries(ctx, src, 0, to) {
		if err != nil {
			return err
		}
		e, err := events.DecodeEntry(line)
		if err != nil {
			return err
		}
		command = append(append(command, line...), '\n')
		if e.Part < e.Parts {
			continue
		}
		if len(rec.Body) > 0 && (len(rec.Body)+len(command) > events.MaxRecord || len(rec.Body) >= events.RecordTarget) {
			if err := w.append(ctx, rec); err != nil {
				return err
			}
			rec = events.Record{Body: rec.Body[:0]}
		}
		if len(rec.Body) == 0 {
			var entropy [10]byte
			_, _ = crand.Read(entropy[:]) // never fails
			rec.ID, rec.First = events.ULIDAt(e.Time, entropy), w.next
		}
		rec.Body, command, at = append(rec.Body, command...), command[:0], e.Time
	}
	if len(command) > 0 {
		return fmt.Errorf("the tiles end in the middle of a command of %s: %w", events.FormatTime(at), ErrNeither)
	}
	if len(rec.Body) == 0 {
		return nil
	}
	if lastID != "" {
		rec.ID = lastID
	}
	return w.append(ctx, rec)
}

// journal appends the records of the chain, and compares those that the tiles have as well.
func (w *rebuilding) journal(ctx context.Context, dir string, src proof.Source, c proof.Checkpoint, chain []journalled) error {
	if len(chain) == 0 {
		return nil
	}
	wanted := make(map[string]bool, len(chain))
	for _, n := range chain {
		wanted[n.ID] = true
	}
	signed, stop := iter.Pull2(proof.Entries(ctx, src, min(chain[0].First, c.Size), c.Size))
	defer stop()
	_, err := journal.Scan(dir, func(r journal.Record) error {
		j, err := ledger.ParseJournalled(r.Payload)
		if err != nil || j.Dropped || !wanted[j.ID] || j.First != w.next {
			return err
		}
		number := j.First
		for line, err := range events.Lines(j.Body) {
			if err != nil {
				return err
			}
			if number < c.Size {
				want, err, ok := signed()
				if err != nil || !ok {
					return errors.Join(err, fmt.Errorf("entry %d is missing: %w", number, ErrTiles))
				}
				if !bytes.Equal(line, want) {
					return fmt.Errorf("entry %d of the journal: %w", number, ErrTiles)
				}
			}
			number++
		}
		return w.append(ctx, j.Record)
	})
	if err == nil && w.next != chain[len(chain)-1].Next {
		err = fmt.Errorf("the journal can be read up to entry %d alone: %w", w.next, ErrNeither)
	}
	return err
}

// check reads the new stream once more: what is on disk must lead to the root that was signed.
func check(ctx context.Context, log *stream.Stream, c proof.Checkpoint, total uint64) error {
	last, err := log.Last(ctx)
	if err != nil {
		return err
	}
	tree := &proof.Tree{}
	s := &comparison{Config: Config{Log: log}}
	err = s.read(ctx, 1, last, func(r events.Stored) error {
		for line, err := range events.Lines(r.Body) {
			if err != nil {
				return err
			}
			if tree.Size() == c.Size {
				return nil
			}
			if err := tree.Append(proof.LeafHash(line), keepNothing); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case s.next != total:
		return fmt.Errorf("the new stream ends before entry %d, not %d", s.next, total)
	case c.Size > 0 && tree.Root() != c.Root:
		return fmt.Errorf("the new stream: %w", ErrTiles)
	}
	return nil
}

// exchange puts the new store in the place of the old one. The journal goes last: until then everything can be done again.
func (r Restore) exchange() (aside string, err error) {
	aside = filepath.Join(r.Data, "before-restore-"+time.Now().UTC().Format("20060102T150405.000"))
	if err := os.MkdirAll(filepath.Join(aside, "views"), 0o700); err != nil {
		return "", err
	}
	views, err := filepath.Glob(filepath.Join(r.Data, "views", "*.db"))
	if err != nil {
		return "", err
	}
	moved := false
	move := func(from, to string) {
		if err != nil {
			return
		}
		if err = os.Rename(from, to); errors.Is(err, fs.ErrNotExist) {
			err = nil
		} else if err == nil {
			moved = true
		}
	}
	for _, v := range views {
		move(v, filepath.Join(aside, "views", filepath.Base(v)))
	}
	move(filepath.Join(r.Data, AsideFolder), filepath.Join(aside, AsideFolder))
	move(filepath.Join(r.Data, streamFolder), filepath.Join(aside, streamFolder))
	if err == nil {
		err = os.Rename(filepath.Join(r.Data, unfinished), filepath.Join(r.Data, streamFolder))
	}
	if err == nil {
		err = syncFolder(r.Data)
	}
	move(r.Journal, filepath.Join(aside, "journal"))
	if err == nil {
		err = errors.Join(syncFolder(r.Data), syncFolder(aside))
	}
	if err == nil && !moved {
		return "", os.RemoveAll(aside)
	}
	return aside, err
}

func keepNothing(tlog.Tile, []byte) error { return nil }

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
