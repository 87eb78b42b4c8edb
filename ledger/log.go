package ledger

import (
	"context"
	"errors"
	"iter"

	"licenseledger/events"
)

// Log is the stream of records that everything true is in.
//
// Sequences count records from 1 without gaps. What Append has acknowledged is
// on disk (fsync, or a majority of replicas that did so) and is never changed or
// removed. All methods are safe for concurrent use, but a ledger has one
// [Sequencer] per process, and that one appends one record at a time.
type Log interface {
	// Append adds the record as sequence after+1, if the log ends at after. The caller may change the body again afterwards.
	//
	// [ErrConflict]: the log does not end there; this call added nothing. It is
	// also what a repeated call answers whose first attempt was acknowledged to nobody: who
	// must know reads what stands at after+1 and compares record ids. With several replicas the record in
	// the way may still be uncommitted, and may vanish with its leader: then nothing stands there, and the call is to be repeated.
	// [ErrRefused]: nothing was added, nor will be by this call.
	// Any other error: the outcome is unknown, and may still change while the call's message is under way.
	Append(ctx context.Context, r events.Record, after uint64) error

	// Get reads one record, through the leader where there are several replicas: it does not miss an acknowledged record. [ErrNoRecord]: nothing
	// stands there. [ErrGap]: something did, and cannot be read. [events.ErrMalformed]: what stands there is not a record.
	Get(ctx context.Context, seq uint64) (events.Stored, error)

	// Last is the sequence of the last record, 0 if there is none, as Get would see it. [ErrGap]: records before it are missing.
	Last(ctx context.Context) (uint64, error)

	// Read yields the records from sequence from on (1 is the first), in order and without
	// gaps, and then waits for more until ctx ends (which ends the iteration without an error). After an
	// error, which is yielded once, the iteration ends. [ErrGap]: a record is missing, or the log ends
	// before from-1. [events.ErrMalformed]: the next message is not a record. After any other error the caller may read on from where it was.
	Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error]
}

// Errors of a [Log].
var (
	ErrConflict = errors.New("another record stands there")
	ErrNoRecord = errors.New("no such record")
	ErrRefused  = errors.New("the stream refused the record")
	ErrGap      = errors.New("records are missing from the stream")
)
