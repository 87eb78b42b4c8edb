package viewtest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"licenseledger/events"
)

// Source is a stream of records in memory, a [projections.Source]. It is safe for concurrent use.
type Source struct {
	mu      sync.Mutex
	stored  []events.Stored
	repeat  map[uint64]bool
	missing map[uint64]bool
	grown   chan struct{} // closed when a record is appended
	reads   int
}

// NewSource makes a stream of these records.
func NewSource(records ...events.Record) *Source {
	s := &Source{repeat: map[uint64]bool{}, missing: map[uint64]bool{}, grown: make(chan struct{})}
	s.Append(records...)
	return s
}

// Append adds records under the next sequences.
func (s *Source) Append(records ...events.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.stored = append(s.stored, events.Stored{Record: r, Seq: uint64(len(s.stored) + 1)})
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

// Records are the records appended so far.
func (s *Source) Records() []events.Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stored)
}

// Repeat makes every Read go back once it has yielded the record: the one before it and the record itself come again.
func (s *Source) Repeat(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeat[seq] = true
}

// Drop makes every Read leave the record out.
func (s *Source) Drop(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missing[seq] = true
}

// Reads is how often Read was called.
func (s *Source) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Last is the sequence of the last record.
func (s *Source) Last(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.stored)), nil
}

// Read yields the records from sequence from on and then waits for more.
func (s *Source) Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error] {
	return func(yield func(events.Stored, error) bool) {
		s.mu.Lock()
		s.reads++
		s.mu.Unlock()
		for seq := max(from, 1); ctx.Err() == nil; {
			s.mu.Lock()
			grown := s.grown
			if seq > uint64(len(s.stored)) {
				s.mu.Unlock()
				select {
				case <-grown:
				case <-ctx.Done():
				}
				continue
			}
			batch := s.stored[seq-1 : seq]
			if s.repeat[seq] {
				batch = slices.Concat(batch, s.stored[max(seq, 2)-2:seq])
			}
			if s.missing[seq] {
				batch = nil
			}
			s.mu.Unlock()
			seq++
			for _, r := range batch {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// Pack puts entries into records, sizes[0] of them into the first, sizes[1] into the second and so on, over and
// over; without sizes one each. A command of several parts is never divided, so a record may hold more. Ids begin
// with the tag: different tags make different records of the same entries.
// Entries must encode; Pack panics otherwise.
func Pack(tag string, entries []events.Entry, sizes ...int) []events.Record {
	if len(sizes) == 0 {
		sizes = []int{1}
	}
	var records []events.Record
	prev := ""
	for n := 0; len(entries) > 0; n++ {
		take := min(max(sizes[n%len(sizes)], 1), len(entries))
		for take < len(entries) && entries[take-1].Part < entries[take-1].Parts {
			take++
		}
		r := events.Record{ID: fmt.Sprintf("%s-%06d", tag, n+1), Prev: prev, First: entries[0].Number}
		for i := range entries[:take] {
			var err error
			if r.Body, err = events.AppendEntry(r.Body, &entries[i]); err != nil {
				panic(fmt.Sprintf("viewtest: an entry that cannot be written: %v", err))
			}
			r.Body = append(r.Body, '\n')
		}
		records, entries, prev = append(records, r), entries[take:], r.ID
	}
	return records
}

// Entries reads the entries of records.
func Entries(records []events.Record) ([]events.Entry, error) {
	var out []events.Entry
	for i := range records {
		entries, err := events.DecodeRecord(&records[i])
		if err != nil {
			return nil, err
		}
		out = slices.Concat(out, entries)
	}
	return out, nil
}
