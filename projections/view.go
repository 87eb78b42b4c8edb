package projections

import (
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// View turns entries into rows of its own bbolt file. The runtime calls it from one goroutine.
//
// What a view writes may depend on the entries and their order alone: not on how
// they were batched, not on stream sequences, not on a clock, not on what its caches hold.
//
// A view that changes the shape of its rows has a method Format() int; see [Open]. A view may be a [Pacer], and its batches
// a [Recorder].
type View interface {
	// Name is the view's name: its file, its label in logs and metrics. Letters only.
	Name() string
	// Usage says whether the view wants events of usage; without them entries that hold nothing else come without events.
	Usage() bool
	// Begin starts a batch of entries that become visible together, in one transaction with the view's position.
	// Every bucket but [MetaBucket] is the view's.
	Begin(tx *bbolt.Tx) (Batch, error)
}

// Pacer is a [View] whose commits are dear: while nobody waits it commits at most once in so long a time (at most half a
// second), where other views do so every 50 ms.
type Pacer interface {
	Pace() time.Duration
}

// Recorder is a [Batch] that wants the bytes of entries as they were appended.
type Recorder interface {
	// Record takes a record before its entries are applied. Its bytes are shared with other views: they may be kept, but
	// never changed. How entries are put into records, and a record's id, must not show in what the view writes.
	Record(r *events.Record) error
}

// Batch takes entries one after the other. After an error or a panic of any of its methods only Done(false) is called.
type Batch interface {
	// Apply takes the next entry. An error stops the view for good: nothing of the batch is kept.
	// The entry is shared with other views: it may be kept, but never changed.
	Apply(e *events.Entry) error
	// Flush writes what is still held back. It is called once, after the last Apply.
	Flush() error
	// Done tells whether the transaction was committed, so that caches are kept or dropped.
	Done(committed bool)
}
