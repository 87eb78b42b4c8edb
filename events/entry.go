package events

import (
	"encoding/hex"
	"fmt"
	"time"
)

// MaxEntry bounds an entry's line in bytes (C2SP tlog-tiles entry bundles use 16-bit lengths).
const MaxEntry = 65535

// MaxEvent bounds one event of an entry in bytes.
const MaxEvent = 60000

// MaxRecord bounds a record's body in bytes; RecordTarget is the size at which a record is normally closed.
const (
	MaxRecord    = 1 << 20
	RecordTarget = 512 << 10
)

// ClockActor is the actor of what fell due by itself (domain D4).
const ClockActor = "clock"

// Digest is the SHA-256 of a request; the zero value stands for no request (what falls due by itself has none).
type Digest [32]byte

// MarshalText writes lower-case hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads lower-case hexadecimal.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) || !lowerHex(b) {
		return fmt.Errorf("%.80q is not a digest", b)
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Salt makes the hash of a guessable line unguessable.
type Salt [16]byte

// Entry is one accepted command with its events, or part Part of Parts of a large one.
type Entry struct {
	// Number counts entries from 0 without gaps over the whole ledger: the position that
	// receipts, invoices and proofs name.
	Number uint64
	// Time is when the sequencer decided; it never runs backwards from entry to entry.
	Time time.Time
	// Provider is empty for the ledger's own entries: its opening, catalogs, moves of a test clock.
	Provider string
	Actor    string
	// Command is door/actor/idempotency key. Part and Parts are zero unless one command made several entries.
	Command     string
	Part, Parts int
	Request     Digest
	Salt        Salt
	Events      []Event
}

// Event is one thing that happened.
type Event struct {
	// Effective is when it took effect, where that differs from the entry's time; else zero. Billing goes by it (domain D4).
	Effective time.Time
	Data      Data
}

// EffectiveAt is the time at which event i of the entry took effect.
func (e *Entry) EffectiveAt(i int) time.Time {
	if t := e.Events[i].Effective; !t.IsZero() {
		return t
	}
	return e.Time
}

// Data is what an event says. Its kind is its name on the wire, with a version: "license.allocated.v1".
type Data interface{ Kind() string }

// Record is one message of the stream: entries as JSON Lines, each ending in a
// newline. The id and the id of the record before it chain records, so that a
// writer can tell its own record from a foreign one and a reader can tell that none is missing.
type Record struct {
	ID    string
	Prev  string // empty for the first record
	First uint64 // number of the first entry
	Body  []byte
}

// Stored is a record in the stream.
type Stored struct {
	Record
	Seq uint64    // its place in the stream, from 1 without gaps
	At  time.Time // when the server stored it, by the server's clock
}
