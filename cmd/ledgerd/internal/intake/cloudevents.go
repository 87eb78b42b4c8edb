package intake

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// maxBatch bounds the events of a batch. The shortest valid event has more than 110 bytes, so a body of 1 MiB never has
// as many valid ones; without a bound one of nothing but commas would cost far more memory than its size.
const maxBatch = 10_000

// Event is one event of a batch: a report with one reading, or the reason why it is none.
type Event struct {
	// ID names the event in the answer; empty where the event has none that is valid. It does nothing else: what was
	// counted before is told by source and sequence, as with every report.
	ID      string
	Report  license.Report
	Request events.Digest // of the event as it came
	Err     error         // a *[license.Refusal] with the code invalid; the others of the batch are not touched
}

// CloudEvents reads a batch of CloudEvents (application/cloudevents-batch+json), in its order. Each event is a report of
// the agent's default spool: source is the agent, sequence the report's number (digits in a string, leading zeros
// allowed), type the meter, subject the company, time and data.value the reading. Other attributes are not read; one that is null is not set.
//
// The error says that the body is no batch at all: not JSON, not an array, or an array that is too long.
func CloudEvents(body []byte) ([]Event, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, refuse("", "the body is not JSON in UTF-8")
	}
	s := scanner{b: body}
	if s.take('[', "an array of events"); s.err != nil {
		return nil, s.err
	}
	var batch []Event
	for first := true; s.more(first, ']'); first = false {
		if len(batch) == maxBatch {
			return nil, refuse("", "a batch has at most %d events", maxBatch)
		}
		batch = append(batch, event(s.value()))
	}
	return batch, nil
}

// value takes the next value, whatever it is, of a body that is known to be JSON.
func (s *scanner) value() []byte {
	s.peek()
	start, depth, quoted := s.i, 0, false
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case quoted && c == '\\':
			s.i++
		case c == '"':
			if quoted = !quoted; !quoted && depth == 0 {
				s.i++
				return s.b[start:s.i]
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return s.b[start:s.i] // behind a number, true, false or null
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				s.i++
				return s.b[start:s.i]
			}
		}
	}
	return s.b[start:s.i]
}

// attributes are the values of an object's members of those names, in their order; nil where there is none. It refuses
// a name that comes twice, but not before it has seen the rest.
func (s *scanner) attributes(names ...string) [][]byte {
	values, twice := make([][]byte, len(names)), ""
	s.take('{', "an object")
	for first := true; s.more(first, '}'); first = false {
		name, v := s.key(), s.value()
		for i := range names {
			if string(name) == names[i] {
				if values[i] != nil {
					twice = names[i]
				}
				values[i] = v
			}
		}
	}
	if twice != "" {
		s.fail("the attribute comes twice")
		s.blame("%s", twice)
	}
	return values
}

// event reads one event. It goes on after the first error, for the id.
func event(body []byte) Event {
	e := Event{Request: sha256.Sum256(body)}
	s := scanner{b: body}
	v := s.attributes("id", "specversion", "source", "sequence", "type", "subject", "time", "data")
	for i := range v {
		if string(v[i]) == "null" { // an attribute that is not set
			v[i] = nil
		}
	}
	refusal := s.err
	attribute := func(name string, value []byte, read func(s *scanner)) {
		s := scanner{b: value}
		if value == nil {
			s.fail("an event of usage has this attribute")
		} else if read(&s); s.err == nil {
			s.end()
		}
		if s.blame("%s", name); refusal == nil {
			refusal = s.err
		}
	}
	r, reading := &e.Report, events.Reading{}
	attribute("id", v[0], func(s *scanner) {
		if e.ID = s.given(); len(e.ID) > events.MaxTextLength {
			e.ID = ""
			s.fail("at most %d bytes", events.MaxTextLength)
		}
	})
	attribute("specversion", v[1], func(s *scanner) {
		if version := s.text(); s.err == nil && string(version) != "1.0" {
			s.fail("%.40q is not 1.0", version)
		}
	})
	attribute("source", v[2], func(s *scanner) { r.Agent = s.given() })
	attribute("sequence", v[3], func(s *scanner) { r.Seq = s.sequence() })
	attribute("type", v[4], func(s *scanner) { reading.Meter = s.meter(nil) })
	if v[5] != nil {
		attribute("subject", v[5], func(s *scanner) { r.Company = s.given() })
	}
	attribute("time", v[6], func(s *scanner) { reading.At = s.instant() })
	attribute("data", v[7], func(s *scanner) {
		data := s.attributes("value")
		if s.err == nil && data[0] == nil {
			s.fail("the data of an event of usage has a value")
		}
		if s.err != nil {
			return
		}
		in := scanner{b: data[0]}
		if reading.Value = in.quantity(); in.err == nil {
			in.end()
		}
		in.blame("data.value")
		s.err = in.err
	})
	if refusal != nil {
		e.Report, e.Err = license.Report{}, refusal
		return e
	}
	r.Readings = []events.Reading{reading}
	e.Err = finish(r)
	return e
}

// sequence takes a number that stands in a string. Leading zeros, which let numbers sort as texts, are no part of it.
func (s *scanner) sequence() uint64 {
	v := s.text()
	if s.err != nil {
		return 0
	}
	const longest = 64
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil || n == 0 || len(v) > longest {
		s.fail("%.40q is not the number of a report: from 1, in digits", v)
	}
	return n
}
