package ledgertest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"licenseledger/events"
)

// Stream is a stream in memory that any number of writers share. It is safe for concurrent use.
type Stream struct {
	// ForeignRecord makes the records of [Stream.Foreign] and of the fault [Overtaken]. It is set before the stream is used; nil is [RecordAfter] with small records.
	ForeignRecord func(prev events.Record, id string) events.Record

	t       testing.TB
	clock   *Clock
	mu      sync.Mutex
	records []events.Stored
	lost    map[uint64]bool
	ids     map[string]attempt // every id that a writer ever used
	changed chan struct{}      // closed, and replaced, when a reader has to look again
	foreign int
}

// attempt is what a record's id was first used for. It must not be used for anything else.
type attempt struct {
	record events.Record
	after  uint64
}

// NewStream makes an empty stream that fails t when a writer does what it must
// not. Records carry the time at which clock stands; with a nil clock they are a second apart.
func NewStream(t testing.TB, clock *Clock) *Stream {
	return &Stream{t: t, clock: clock, lost: map[uint64]bool{}, ids: map[string]attempt{}, changed: make(chan struct{})}
}

// Open gives a writer, or a reader, its own way to the stream. Opening again after a "restart" of the writer is opening another one.
func (s *Stream) Open() *Log { return &Log{stream: s} }

// Records lists what is in the stream. The caller must not change bodies.
func (s *Stream) Records() []events.Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Foreign appends the record of another writer.
func (s *Stream) Foreign() events.Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addForeign()
}

// Truncate loses all records after last: what a server does that finds a rotten block.
func (s *Stream) Truncate(last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records[last:] {
		delete(s.ids, r.ID)
		delete(s.lost, r.Seq)
	}
	s.records = s.records[:last:last]
	s.wake()
}

// Lose makes one record unreadable; its sequence stays taken.
func (s *Stream) Lose(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost[seq] = true
	s.wake()
}

// The methods below are called with the lock held.

func (s *Stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// last is the last record, the zero record if there is none.
func (s *Stream) last() events.Record {
	if len(s.records) == 0 {
		return events.Record{}
	}
	return s.records[len(s.records)-1].Record
}

func (s *Stream) addForeign() events.Stored {
	s.foreign++
	id := fmt.Sprintf("foreign-%d", s.foreign)
	var r events.Record
	if s.ForeignRecord != nil {
		r = s.ForeignRecord(s.last(), id)
	} else {
		r = RecordAfter(s.last(), id, 0)
	}
	after := uint64(len(s.records))
	if err := s.police(r, after); err != nil {
		s.t.Errorf("ledgertest: the foreign record: %v", err)
	}
	return s.add(r)
}

// land adds the record if the stream ends at after.
func (s *Stream) land(r events.Record, after uint64) bool {
	if after != uint64(len(s.records)) {
		return false
	}
	s.add(r)
	return true
}

func (s *Stream) add(r events.Record) events.Stored {
	r.Body = bytes.Clone(r.Body)
	stored := events.Stored{Record: r, Seq: uint64(len(s.records)) + 1}
	if s.clock != nil {
		stored.At = s.clock.stands()
	} else {
		stored.At = time.UnixMilli(1767225600000).UTC().Add(time.Duration(stored.Seq) * time.Second)
	}
	s.records = append(s.records, stored)
	s.wake()
	return stored
}

// police says what is wrong with appending r after that sequence, whatever stands there.
func (s *Stream) police(r events.Record, after uint64) error {
	if r.ID == "" || len(r.ID) > 64 {
		return fmt.Errorf("a record's id has 1 to 64 characters, not %d", len(r.ID))
	}
	if len(r.Body) > events.MaxRecord {
		return fmt.Errorf("record %s has %d bytes: at most %d", r.ID, len(r.Body), events.MaxRecord)
	}
	if _, err := events.DecodeRecord(&r); err != nil {
		return err
	}
	if after > uint64(len(s.records)) {
		return fmt.Errorf("record %s expects %d records; nobody was told of more than %d", r.ID, after, len(s.records))
	}
	var prev events.Record
	if after > 0 {
		prev = s.records[after-1].Record
	}
	if r.Prev != prev.ID {
		return fmt.Errorf("record %s comes after %q by its headers; %q stands at %d", r.ID, r.Prev, prev.ID, after)
	}
	if want := NextEntry(prev); r.First != want {
		return fmt.Errorf("record %s begins with entry %d; after record %d comes entry %d", r.ID, r.First, after, want)
	}
	before, used := s.ids[r.ID]
	if !used {
		r.Body = bytes.Clone(r.Body)
		s.ids[r.ID] = attempt{r, after}
		return nil
	}
	if before.after != after || before.record.Prev != r.Prev || before.record.First != r.First || !bytes.Equal(before.record.Body, r.Body) {
		return fmt.Errorf("the id %s was used for another record or another place before", r.ID)
	}
	return nil
}
