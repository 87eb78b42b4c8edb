package intake

import (
	"bytes"
	"fmt"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// Decode reads a report that names its agent, as it comes over HTTP, checks it ([license.Report.Check]) and computes its
// digest. An error is a [*license.Refusal] with the code invalid; Field says where, as in "readings[3].value". Beside
// an error the report holds what was read before it, such as the number. The report does not keep the body.
func Decode(body []byte) (license.Report, error) { return decode(body, "") }

// DecodeFrom is Decode for a door that knows the agent: the report need not name it, and must not name another.
func DecodeFrom(agent string, body []byte) (license.Report, error) { return decode(body, agent) }

func decode(body []byte, agent string) (license.Report, error) {
	s, r := scanner{b: body}, license.Report{}
	if s.report(&r); s.err != nil {
		return r, s.err
	}
	if agent != "" {
		if r.Agent != "" && r.Agent != agent {
			return r, refuse("agent", "the report of %q names another agent, %.80q", agent, r.Agent)
		}
		r.Agent = agent
	}
	return r, finish(&r)
}

// finish does with a report what every door does.
func finish(r *license.Report) error {
	if err := r.Check(); err != nil {
		return err
	}
	if r.Void != "" {
		r.Digest = events.DigestVoid(r.Void)
	} else {
		r.Digest, r.Printed = events.PrintReadings(r.Readings)
	}
	return nil
}

func refuse(field, format string, args ...any) error {
	return &license.Refusal{Code: license.Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// The fields of a report and of a reading, as bits of what was seen.
const (
	fieldAgent = 1 << iota
	fieldSpool
	fieldSeq
	fieldCompany
	fieldReadings
	fieldVoid

	fieldMeter = 1 << iota
	fieldValue
	fieldAt
	allOfReading = fieldMeter | fieldValue | fieldAt
)

func (s *scanner) report(r *license.Report) {
	seen := 0
	s.take('{', "a report, an object,")
	for first := true; s.more(first, '}'); first = false {
		name, field := s.key(), 0
		switch string(name) {
		case "agent":
			field = fieldAgent
			r.Agent = s.given()
		case "spool":
			field = fieldSpool
			r.Spool = string(s.text())
		case "seq":
			field = fieldSeq
			r.Seq = s.count()
		case "company":
			field = fieldCompany
			r.Company = s.given()
		case "readings":
			field = fieldReadings
			r.Readings = s.readings()
		case "void":
			field = fieldVoid
			r.Void = s.given()
		}
		if s.member(&seen, field, name); s.err != nil {
			s.blame("%.40s", name)
		}
	}
	s.end()
	switch {
	case s.err != nil:
	case seen&fieldSeq == 0:
		s.fail("a report has a number")
		s.blame("seq")
	case seen&fieldVoid != 0 && seen&fieldReadings != 0:
		s.fail("a number that is given up has no readings")
		s.blame("void")
	}
}

// member refuses a field that is unknown or that was seen before.
func (s *scanner) member(seen *int, field int, name []byte) {
	switch {
	case s.err != nil:
	case field == 0:
		s.fail("there is no field %.40q", name)
	case *seen&field != 0:
		s.fail("the field %q comes twice", name)
	}
	*seen |= field
}

// given takes a string that is left out rather than empty.
func (s *scanner) given() string {
	v := s.text()
	if s.err == nil && len(v) == 0 {
		s.fail("empty: leave it out, or fill it")
	}
	return string(v)
}

func (s *scanner) readings() []events.Reading {
	if s.take('[', "an array of readings"); s.err != nil {
		return nil
	}
	// Every reading begins with a brace, so this is enough for all of them.
	readings := make([]events.Reading, 0, min(bytes.Count(s.b[s.i:], []byte("{")), events.MaxReadings))
	for first := true; s.more(first, ']'); first = false {
		if len(readings) == events.MaxReadings {
			s.fail("a report has at most %d readings", events.MaxReadings)
			break
		}
		readings = append(readings, events.Reading{})
		if s.reading(readings); s.err != nil {
			s.blame("readings[%d]", len(readings)-1)
		}
	}
	return readings
}

// reading takes the last of the readings.
func (s *scanner) reading(readings []events.Reading) {
	n := len(readings) - 1
	r, seen := &readings[n], 0
	s.take('{', "a reading, an object,")
	for first := true; s.more(first, '}'); first = false {
		name, field := s.key(), 0
		switch string(name) {
		case "meter":
			field = fieldMeter
			r.Meter = s.meter(readings[:n])
		case "value":
			field = fieldValue
			r.Value = s.quantity()
		case "at":
			field = fieldAt
			r.At = s.instant()
		}
		if s.member(&seen, field, name); s.err != nil {
			s.blame("readings[%d].%.40s", n, name)
		}
	}
	if s.err == nil && seen != allOfReading {
		s.fail("a reading has meter, value and at")
	}
}

// meter takes the name of a meter. A report has few and repeats them, so readings share the text.
func (s *scanner) meter(before []events.Reading) string {
	v := s.text()
	if s.err != nil {
		return ""
	}
	const few = 8
	for i := len(before) - 1; i >= max(0, len(before)-few); i-- {
		if before[i].Meter == string(v) {
			return before[i].Meter
		}
	}
	if len(v) == 0 || len(v) > events.MaxMeterLength {
		s.fail("the name of a meter has 1 to %d characters", events.MaxMeterLength)
		return ""
	}
	for _, c := range v {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			s.fail("the name of a meter is printable ASCII without quotation mark and backslash")
			return ""
		}
	}
	return string(v)
}
