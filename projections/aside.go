package projections

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// asideEntries is how many entries one transaction of [Aside] takes. With 20,000 a million entries of 1,000 providers take half as long again.
const asideEntries = 100_000

// Aside is a view of its own, folded from entries that its maker chose: what the view would show had the ledger ended
// with them. It is how a past moment is looked at: the ledger's own entries and those of one provider, up to
// that moment, make the rows of that provider as they were then.
//
// The rows live in a file without a name and without fsync, and are gone with Close. Reads are safe for concurrent use.
type Aside struct {
	db   *bbolt.DB
	last *uint64
}

// NewAside folds the entries, which come in the order of their numbers, into a new file in dir ("" for the
// system's folder of temporary files). An error of the entries, or of the view, is given back.
func NewAside(dir string, v View, entries iter.Seq2[*events.Entry, error]) (a *Aside, err error) {
	fail := func(err error) (*Aside, error) { return nil, fmt.Errorf("fold view %s aside: %w", v.Name(), err) }
	f, err := os.CreateTemp(dir, "licenseledger-"+v.Name()+"-*.db")
	if err != nil {
		return fail(err)
	}
	_ = f.Close()
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	// The file goes when the last of its users does, however the process ends.
	if err := errors.Join(err, os.Remove(f.Name())); err != nil {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		return fail(err)
	}
	a = &Aside{db: db}
	if err := guarded(func() error { return a.fold(v, entries) }); err != nil {
		return fail(errors.Join(err, db.Close()))
	}
	return a, nil
}

func (a *Aside) fold(v View, entries iter.Seq2[*events.Entry, error]) error {
	var tx *bbolt.Tx
	var batch Batch
	count := 0
	begin := func() (err error) {
		if tx, err = a.db.Begin(true); err == nil {
			batch, err = v.Begin(tx)
		}
		return err
	}
	commit := func() error {
		if err := batch.Flush(); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		batch.Done(true)
		tx, batch, count = nil, nil, 0
		return nil
	}
	defer func() {
		if tx == nil {
			return
		}
		_ = tx.Rollback() // a failed commit has closed it already
		if batch != nil {
			batch.Done(false)
		}
	}()
	if err := begin(); err != nil {
		return err
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		if !v.Usage() && onlyUsage(e.Events) {
			bare := *e
			bare.Events = nil
			e = &bare
		}
		if err := batch.Apply(e); err != nil {
			return fmt.Errorf("entry %d: %w", e.Number, err)
		}
		a.last = new(e.Number)
		if count++; count == asideEntries {
			if err := commit(); err != nil {
				return err
			}
			if err := begin(); err != nil {
				return err
			}
		}
	}
	return commit()
}

// Last is the number of the last entry that was folded; nil if there was none.
func (a *Aside) Last() *uint64 { return a.last }

// Read calls fn with a read transaction. Nothing read may be used after fn.
func (a *Aside) Read(fn func(tx *bbolt.Tx) error) error { return a.db.View(fn) }

// Dump writes all rows, as the function of this name does for a store.
func (a *Aside) Dump(w io.Writer) error {
	return a.db.View(func(tx *bbolt.Tx) error { return dump(tx, w) })
}

// Close gives the file back, once reads have ended.
func (a *Aside) Close() error { return a.db.Close() }
