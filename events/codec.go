package events

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"reflect"
)

// ErrMalformed is wrapped by every error about bytes that are not exactly what the codec writes.
var ErrMalformed = errors.New("not the canonical form of an entry")

// ErrTooLarge says that an event or an entry exceeds its bound; such an entry is never written.
var ErrTooLarge = errors.New("too large for one entry")

// maxParts bounds the parts of one command.
const maxParts = 1 << 20

// AppendEntry appends the entry's line without the newline. What it writes,
// [DecodeEntry] reads back. It fails, and appends nothing, where that could not be: with [ErrTooLarge]; without
// events; on a time that is not as [Stamp] makes it, on text that is not UTF-8, on a list or map that is nil but
// may not be left out, on an impossible part, on a kind that is not in the table.
func AppendEntry(b []byte, e *Entry) ([]byte, error) {
	p := printer{b: b}
	p.literal(`{"entry":`)
	p.uint(e.Number)
	p.literal(`,"time":`)
	p.time(e.Time)
	if e.Provider != "" {
		p.literal(`,"provider":`)
		p.string(e.Provider)
	}
	p.literal(`,"actor":`)
	p.string(e.Actor)
	p.literal(`,"command":`)
	p.string(e.Command)
	if e.Part != 0 || e.Parts != 0 {
		if !possiblePart(e.Part, e.Parts) {
			p.fail("part %d of %d is impossible", e.Part, e.Parts)
		}
		p.literal(`,"part":`)
		p.uint(uint64(e.Part))
		p.literal(`,"parts":`)
		p.uint(uint64(e.Parts))
	}
	if e.Request != (Digest{}) {
		p.literal(`,"request":`)
		p.hex(e.Request[:])
	}
	p.literal(`,"salt":`)
	p.hex(e.Salt[:])
	p.literal(`,"events":[`)
	if len(e.Events) == 0 {
		p.fail("an entry has at least one event")
	}
	if p.err != nil {
		return b, fmt.Errorf("encode entry %d: %w", e.Number, p.err)
	}
	for i := range e.Events {
		if i > 0 {
			p.literal(`,`)
		}
		if p.event(&e.Events[i]); p.err != nil {
			return b, fmt.Errorf("encode event %d of entry %d: %w", i, e.Number, p.err)
		}
	}
	p.literal(`]}`)
	if n := len(p.b) - len(b); n > MaxEntry {
		return b, fmt.Errorf("entry %d has %d bytes: %w", e.Number, n, ErrTooLarge)
	}
	return p.b, nil
}

func possiblePart(part, parts int) bool {
	return part >= 1 && parts >= 2 && part <= parts && parts <= maxParts
}

// AppendEvent appends one event as it stands in an entry's line. It fails as [AppendEntry] does.
func AppendEvent(b []byte, e *Event) ([]byte, error) {
	p := printer{b: b}
	if p.event(e); p.err != nil {
		return b, p.err
	}
	return p.b, nil
}

func (p *printer) event(e *Event) {
	start := len(p.b)
	if v := reflect.ValueOf(e.Data); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		p.fail("an event without data")
		return
	}
	kind := e.Data.Kind()
	row, ok := kindTable[kind]
	if !ok {
		p.fail("kind %q is not in the table of kinds", kind)
		return
	}
	p.literal(`{"kind":"`)
	p.literal(kind)
	p.literal(`"`)
	if !e.Effective.IsZero() {
		p.literal(`,"effective":`)
		p.time(e.Effective)
	}
	p.literal(`,"data":`)
	if !p.handwritten(e.Data) {
		if !row.stamped(e.Data) {
			p.fail("a time that is not UTC in whole milliseconds")
		}
		p.json(e.Data)
	}
	p.literal(`}`)
	if p.err != nil {
		p.err = fmt.Errorf("%s: %w", kind, p.err)
	} else if n := len(p.b) - start; n > MaxEvent {
		p.err = fmt.Errorf("an event of kind %s has %d bytes: %w", kind, n, ErrTooLarge)
	}
}

// handwritten writes data of the kinds that come by the million, in the bytes that encoding/json would write; false for
// all others. (An interface would say the same with fewer words, and make the printer a heap object of every event.)
func (p *printer) handwritten(d Data) bool {
	switch d := d.(type) {
	case *UsageRecorded:
		p.usage(d)
	case *LicenseBought:
		p.bare(&d.License)
	case *LicenseAllocated:
		p.allocated(d)
	case *LicenseReleased:
		p.bare(&d.License)
	case *LicenseRenewed:
		p.bare(&d.License)
	case *LicenseExpired:
		p.expired(d)
	default:
		return false
	}
	return true
}

func (s *scanner) handwritten(d Data) bool {
	switch d := d.(type) {
	case *UsageRecorded:
		s.usage(d)
	case *LicenseBought:
		s.bare(&d.License)
	case *LicenseAllocated:
		s.allocated(d)
	case *LicenseReleased:
		s.bare(&d.License)
	case *LicenseRenewed:
		s.bare(&d.License)
	case *LicenseExpired:
		s.expired(d)
	default:
		return false
	}
	return true
}

// DecodeEntry reads one line without its newline. Errors wrap [ErrMalformed] or are an [*UnknownKindError].
func DecodeEntry(line []byte) (Entry, error) {
	if len(line) > MaxEntry {
		return Entry{}, fmt.Errorf("a line of %d bytes: %w", len(line), ErrMalformed)
	}
	e, s := Entry{}, scanner{b: line}
	s.literal(`{"entry":`)
	e.Number = s.uint()
	s.literal(`,"time":`)
	e.Time = s.time()
	if s.has(`,"provider":`) {
		e.Provider = s.filled()
	}
	s.literal(`,"actor":`)
	e.Actor = s.string()
	s.literal(`,"command":`)
	e.Command = s.string()
	if s.has(`,"part":`) {
		e.Part = int(s.uint())
		s.literal(`,"parts":`)
		e.Parts = int(s.uint())
		if !possiblePart(e.Part, e.Parts) {
			s.fail("impossible part")
		}
	}
	if s.has(`,"request":`) {
		if s.hex(e.Request[:]); e.Request == (Digest{}) {
			s.fail("empty request digest")
		}
	}
	s.literal(`,"salt":`)
	s.hex(e.Salt[:])
	s.literal(`,"events":[`)
	for s.err == nil {
		ev, err := s.event(e.Number)
		if err != nil {
			return Entry{}, err
		}
		e.Events = append(e.Events, ev)
		if !s.has(`,`) {
			break
		}
	}
	s.literal(`]}`)
	if s.err == nil && len(s.b) > 0 {
		s.fail("bytes after the end")
	}
	if s.err != nil {
		return Entry{}, fmt.Errorf("entry %d, at byte %d: %w", e.Number, len(line)-len(s.b), s.err)
	}
	return e, nil
}

func (s *scanner) event(entry uint64) (Event, error) {
	var ev Event
	start := len(s.b)
	s.literal(`{"kind":`)
	kind, ok := s.plain()
	if !ok {
		kind = []byte(s.string())
	}
	if s.err != nil {
		return ev, nil
	}
	row, ok := kindTable[string(kind)]
	if !ok {
		return ev, &UnknownKindError{Entry: entry, Kind: string(kind)}
	}
	ev.Data = row.make()
	if s.has(`,"effective":`) {
		ev.Effective = s.time()
	}
	s.literal(`,"data":`)
	if s.err == nil {
		if !s.handwritten(ev.Data) {
			if s.json(ev.Data); s.err == nil && !row.stamped(ev.Data) {
				s.fail("a time that is not UTC in whole milliseconds")
			}
		}
	}
	s.literal(`}`)
	if start-len(s.b) > MaxEvent {
		s.fail("an event larger than its bound")
	}
	return ev, nil
}

// Lines splits a record's body into the lines of its entries, without newlines. The last line must end in a newline like every other.
func Lines(body []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for len(body) > 0 {
			i := bytes.IndexByte(body, '\n')
			if i < 0 {
				yield(nil, fmt.Errorf("a record's last line has no end: %w", ErrMalformed))
				return
			}
			if !yield(body[:i:i], nil) {
				return
			}
			body = body[i+1:]
		}
	}
}

// DecodeRecord reads all entries of a record and checks that they are numbered from First without gaps.
func DecodeRecord(r *Record) ([]Entry, error) {
	if len(r.Body) == 0 {
		return nil, fmt.Errorf("record %s is empty: %w", r.ID, ErrMalformed)
	}
	entries := make([]Entry, 0, 1+len(r.Body)/4096)
	for line, err := range Lines(r.Body) {
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.ID, err)
		}
		e, err := DecodeEntry(line)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", r.ID, err)
		}
		if want := r.First + uint64(len(entries)); e.Number != want {
			return nil, fmt.Errorf("record %s holds entry %d where %d belongs: %w", r.ID, e.Number, want, ErrMalformed)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
