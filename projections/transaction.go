package projections

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// record is a record of the stream, decoded once for all views.
type record struct {
	events.Stored
	entries []events.Entry
	err     error // why there are no entries
	missing bool  // the source will never deliver what stands at Seq; nothing but err is set

	hash func() events.Digest
	bare func() []*events.Entry
}

func decode(stored events.Stored) *record {
	r := &record{Stored: stored}
	r.entries, r.err = events.DecodeRecord(&r.Record)
	// Most records are neither the last of a transaction nor looked at without usage.
	r.hash = sync.OnceValue(func() events.Digest { return sha256.Sum256(r.Body) })
	r.bare = sync.OnceValue(func() []*events.Entry { return withoutUsage(r.entries) })
	return r
}

// withoutUsage takes the events out of entries that hold nothing but usage.
func withoutUsage(entries []events.Entry) []*events.Entry {
	out := make([]*events.Entry, len(entries))
	for i := range entries {
		out[i] = &entries[i]
		if onlyUsage(entries[i].Events) {
			e := entries[i]
			e.Events = nil
			out[i] = &e
		}
	}
	return out
}

func onlyUsage(list []events.Event) bool {
	for i := range list {
		switch list[i].Data.(type) {
		case *events.UsageRecorded, *events.UsageVoided:
		default:
			return false
		}
	}
	return true
}

// Bounds of a transaction: a record that reaches one of them is its last.
const (
	maxTxBytes   = 8 << 20 // of record bodies
	maxTxEntries = 50_000
	maxTxAge     = 500 * time.Millisecond // so that a slow view shows progress
)

// What a view applies on its way to the end that the log had when it began to follow goes in larger transactions: fewer pages are written that
// the next transaction writes again. 1,000,000 entries of 1,000 providers are replayed in 14 s, with the bounds above in 26. A view
// that has caught up keeps to those: larger ones made a month's end a tenth slower.
const (
	catchUpSize = 4
	catchUpAge  = 2
)

// transaction is the writing side of a store: the entries that were applied and
// are not visible yet. One goroutine uses it. It is empty until a record is applied.
type transaction struct {
	s     *Store
	pos   position // including what is not committed
	at    *record  // the record at pos; nil if it was applied by an earlier run
	tx    *bbolt.Tx
	batch Batch

	bytes, entries int
	began          time.Time
	committed      time.Time // the last time
	took           time.Duration
}

func newTransaction(s *Store) *transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &transaction{s: s, pos: s.pos}
}

func (t *transaction) open() bool { return t.tx != nil }

// full says whether the last record was the transaction's last; end is the entry at which the view has caught up.
func (t *transaction) full(end uint64) bool {
	size, age := 1, time.Duration(1)
	if t.pos.Next < end {
		size, age = catchUpSize, catchUpAge
	}
	return t.bytes >= size*maxTxBytes || t.entries >= size*maxTxEntries || t.open() && time.Since(t.began) >= age*maxTxAge
}

// apply takes the next record. One that was applied before is skipped. After an error the transaction must be abandoned.
func (t *transaction) apply(r *record) error {
	if again, err := t.continues(r); again || err != nil {
		return err
	}
	if t.pos.Next == 0 {
		opened, ok := r.entries[0].Events[0].Data.(*events.LedgerOpened)
		if !ok {
			return t.refused("entry 0 does not open a ledger: it holds %s", r.entries[0].Events[0].Data.Kind())
		}
		t.pos.Ledger = opened.Ledger
	}
	err := guarded(func() error {
		if t.tx == nil {
			if err := t.begin(); err != nil {
				return err
			}
		}
		return t.hand(r)
	})
	if err != nil {
		return err
	}
	t.pos.Next += uint64(len(r.entries))
	t.pos.Seq, t.pos.Record, t.at = r.Seq, r.ID, r
	t.bytes += len(r.Body)
	t.entries += len(r.entries)
	return nil
}

// continues checks that a record is the next one; again is true for one that was applied before.
func (t *transaction) continues(r *record) (again bool, err error) {
	switch {
	case r.Seq < t.pos.Seq:
		return true, nil
	case r.missing:
		return false, r.err
	case r.Seq == t.pos.Seq:
		if r.ID != t.pos.Record || t.at == nil && r.hash() != t.pos.Hash {
			return false, t.refused("it has applied record %s as sequence %d, but there stands record %s with other bytes", t.pos.Record, r.Seq, r.ID)
		}
		return true, nil
	case r.Seq != t.pos.Seq+1:
		return false, fmt.Errorf("sequence %d is followed by %d: %w", t.pos.Seq, r.Seq, ErrGap)
	case r.err != nil:
		return false, r.err
	case r.Prev != t.pos.Record:
		return false, t.refused("record %s at sequence %d continues record %q, not %q", r.ID, r.Seq, r.Prev, t.pos.Record)
	case r.First != t.pos.Next:
		return false, fmt.Errorf("entry %d comes where %d belongs: %w", r.First, t.pos.Next, ErrGap)
	}
	return false, nil
}

func (t *transaction) refused(format string, args ...any) error {
	return &RefusedError{View: t.s.name, Reason: fmt.Sprintf(format, args...)}
}

func (t *transaction) begin() error {
	tx, err := t.s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	t.tx, t.began = tx, time.Now()
	if t.batch, err = t.s.view.Begin(tx); err != nil {
		return fmt.Errorf("begin a batch: %w", err)
	}
	return nil
}

func (t *transaction) hand(r *record) error {
	if b, ok := t.batch.(Recorder); ok {
		if err := b.Record(&r.Record); err != nil {
			return fmt.Errorf("take record %s: %w", r.ID, err)
		}
	}
	if t.s.view.Usage() {
		for i := range r.entries {
			if err := t.batch.Apply(&r.entries[i]); err != nil {
				return fmt.Errorf("apply entry %d: %w", r.entries[i].Number, err)
			}
		}
		return nil
	}
	for _, e := range r.bare() {
		if err := t.batch.Apply(e); err != nil {
			return fmt.Errorf("apply entry %d: %w", e.Number, err)
		}
	}
	return nil
}

// commit makes visible what was applied. After an error the transaction must be abandoned.
func (t *transaction) commit() error {
	if t.tx == nil {
		return nil
	}
	start := time.Now()
	t.pos.Hash = t.at.hash()
	err := guarded(func() error {
		if err := t.batch.Flush(); err != nil {
			return fmt.Errorf("flush entries up to %d: %w", t.pos.Next-1, err)
		}
		if err := putJSON(t.tx.Bucket([]byte(MetaBucket)), keyPosition, t.pos); err != nil {
			return fmt.Errorf("write the position: %w", err)
		}
		if err := t.tx.Commit(); err != nil {
			return fmt.Errorf("commit entries up to %d: %w", t.pos.Next-1, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	batch := t.batch
	t.tx, t.batch, t.bytes, t.entries, t.committed = nil, nil, 0, 0, time.Now()
	t.took = t.committed.Sub(start)
	t.s.committed(t.pos, t.took)
	return guarded(func() error { batch.Done(true); return nil })
}

// abandon undoes what was not committed. It ends the transaction's use.
func (t *transaction) abandon() error {
	var errs []error
	if t.tx != nil {
		errs = append(errs, guarded(func() error {
			// A failed commit has closed it already.
			_ = t.tx.Rollback()
			return nil
		}))
	}
	if t.batch != nil {
		errs = append(errs, guarded(func() error { t.batch.Done(false); return nil }))
	}
	return errors.Join(errs...)
}
