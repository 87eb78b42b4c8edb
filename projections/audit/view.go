// Package audit is the view that keeps the second copy of the log, which the
// broker cannot lose, and the index that finds entries in it.
//
// The copy is a folder of C2SP tlog-tiles beside the view's file (package
// ledger/proof tells their format): bundles of entries exactly as they were
// appended, tiles of the hashes of the Merkle tree over them, and a checkpoint
// that is signed with the ledger's key:
//
//	views/audit.db                            the index
//	views/audit/checkpoint                    the newest signed checkpoint
//	views/audit/tile/entries/000              entries 0 to 255
//	views/audit/tile/0/001.p/7                the hashes of entries 256 to 262
//
// # The folder
//
// Unlike a view's file the folder is never deleted to be built again: [projections.Remove] leaves it alone, and a view
// that starts anew compares every entry with what the tiles have in its place ([MismatchError] names the first tile that
// differs). What a transaction brings is put on disk before the view's position moves: bundles, tiles of hashes, their
// folders, the checkpoint by rename, each synced. A tile has its name only when it is whole and on disk, and is never written again;
// partial tiles stay for the newest checkpoint and the one before it. So a kill at any moment leaves a folder whose
// checkpoint is right, perhaps with tiles beyond it, which the next start compares and goes on from. A checkpoint covers whole records that were
// acknowledged, never fewer entries than the one before, and follows within half a second of them. Once a day the clock has one recorded
// in the log (checkpoint.signed): the tree must agree with it for ever, or the view stops before it signs anything.
//
// Who reads the folder takes [Folder], which is a [proof.Source], and proof.Entries, also while a ledger writes it:
//
//	tiles := audit.Folder(filepath.Join(data, "views"))
//	checkpoint, err := proof.Verify(ctx, tiles, key.Verifier(), proof.Options{})
//	for line, err := range proof.Entries(ctx, tiles, 0, checkpoint.Size) { ... }
//
// # The index
//
// Rows lead from a provider and a day to its entries: for each its number, the set of its kinds and its place in its bundle, a few
// bytes in all (index.go). [Reader] answers with the lines of all entries or of one provider's, from and to any instant, of one kind or of all.
package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
)

// View is the audit view. It belongs to one store.
type View struct {
	key    func(origin string) (proof.Key, error)
	open   func(root string) disk
	writer *writer // nil until a batch begins, and after one that failed
}

// New makes the view. key gives the key that signs the checkpoints of an origin; it is asked once the ledger's id is known.
func New(key func(origin string) (proof.Key, error)) *View {
	return &View{key: key, open: func(root string) disk { return osDisk(root) }}
}

// Name is "audit".
func (*View) Name() string { return "audit" }

// Usage is wanted: the index tells its kinds.
func (*View) Usage() bool { return true }

// pace is between checkpoints while nobody waits for one: signing and syncing cost little then, and within a second everything is signed.
const pace = 500 * time.Millisecond

// Pace makes the view a [projections.Pacer].
func (*View) Pace() time.Duration { return pace }

// Folder is the folder of tiles beside the view's file in a folder of views.
func Folder(views string) proof.Folder { return proof.Folder{FS: os.DirFS(folder(views))} }

func folder(views string) string { return filepath.Join(views, "audit") }

// Begin starts a batch.
func (v *View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	if v.writer == nil {
		var err error
		// The folder goes with the file, wherever that is.
		if v.writer, err = openWriter(v.open(strings.TrimSuffix(tx.DB().Path(), ".db")), v.key); err != nil {
			return nil, err
		}
	}
	x, err := newIndex(tx)
	if err != nil {
		return nil, err
	}
	return &batch{view: v, index: x}, nil
}

// batch is a [projections.Recorder]: a record's lines go to the tiles, its entries to the index.
type batch struct {
	view    *View
	index   *index
	offsets []int // of the entries of the record that are still to be applied
}

// Record adds the lines of a record to the tiles.
func (b *batch) Record(r *events.Record) error {
	w := b.view.writer
	if err := w.from(r.First); err != nil {
		return err
	}
	b.offsets = b.offsets[:0]
	for line, err := range events.Lines(r.Body) {
		if err != nil {
			return err
		}
		offset, err := w.add(line)
		if err != nil {
			return err
		}
		b.offsets = append(b.offsets, offset)
	}
	return nil
}

// Apply indexes an entry.
func (b *batch) Apply(e *events.Entry) error {
	if len(b.offsets) == 0 {
		return errors.New("an entry came without its record")
	}
	offset := b.offsets[0]
	b.offsets = b.offsets[1:]
	switch d := e.Events[0].Data.(type) {
	case *events.LedgerOpened:
		if err := b.opened(d); err != nil {
			return err
		}
	case *events.CheckpointSigned:
		if err := b.view.writer.record(e.Number, d.Note); err != nil {
			return err
		}
	}
	return b.index.add(e, proof.Width, offset)
}

// opened learns the ledger's id.
func (b *batch) opened(d *events.LedgerOpened) error {
	w, origin := b.view.writer, proof.Origin(d.Ledger)
	if w.key.Signer == nil {
		return w.useKey(origin, b.view.key)
	}
	if w.key.Name() != origin {
		return &MismatchError{Path: proof.CheckpointFile, What: fmt.Sprintf("it is of %s, the stream of %s", w.key.Name(), origin)}
	}
	return nil
}

// Flush writes the index and puts the tiles on disk.
func (b *batch) Flush() error {
	if err := b.index.flush(); err != nil {
		return err
	}
	return b.view.writer.commit()
}

// Done drops what the tiles' writer remembers where the batch failed: what is in the folder counts.
func (b *batch) Done(committed bool) {
	if !committed {
		b.view.writer = nil
	}
}
