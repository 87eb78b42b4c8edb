package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Limits of a report (domain U3).
const (
	MaxReadings    = 500
	MaxMeterLength = 64
)

// CheckMeter says whether s may name a meter: 1 to 64 printable ASCII characters, spaces included, but for the quotation mark and
// the backslash. So each takes one byte of an entry, and [MaxReadings] of them fit [MaxEvent].
func CheckMeter(s string) error {
	if s == "" || len(s) > MaxMeterLength || !plain(s) {
		return fmt.Errorf("%.80q is not a meter: 1 to %d printable ASCII characters, without \" and \\", s, MaxMeterLength)
	}
	return nil
}

// Reading is one value of a meter at a time. On the wire it is a triple, to keep
// 500 of them below [MaxEvent]: ["backup_bytes",1234,"2026-03-11T04:00:00Z"].
type Reading struct {
	Meter string
	Value Quantity
	At    time.Time
}

// UsageRecorded is a report of an agent, taken whole (domain U3).
type UsageRecorded struct {
	Agent   string // the endpoint's id
	Spool   string // empty: the agent's default spool
	Seq     uint64 // the agent's own number in that spool, from 1
	Company string // the endpoint's company when the report came
	// Digest tells a repeated report from another one under the same number (domain U2).
	Digest   ReportDigest
	Readings []Reading
	// Printed is nil, or the readings as the log has them ([PrintReadings]), which are then not printed again: a tenth of
	// what the intake takes is won by that. Nobody reads it from the log.
	Printed []byte
}

// UsageVoided says that the agent gave up a report's number (domain U2).
type UsageVoided struct {
	Agent  string `json:"agent"`
	Spool  string `json:"spool,omitempty"`
	Seq    uint64 `json:"seq"`
	Reason string `json:"reason"`
	// Digest stands for the reason, as a report's stands for its readings.
	Digest ReportDigest `json:"digest"`
}

// ReportDigest is the first 8 bytes of the SHA-256 of a report's canonical readings, or of "void:" and the reason.
type ReportDigest [8]byte

// DigestReadings makes the digest of a report. The order of the readings counts; the company that it names does not.
func DigestReadings(readings []Reading) ReportDigest {
	digest, _ := PrintReadings(readings)
	return digest
}

// PrintReadings is [DigestReadings] for a report that will be recorded: it gives as well what it had to print for that.
func PrintReadings(readings []Reading) (digest ReportDigest, printed []byte) {
	p := printer{b: make([]byte, 0, 64*len(readings))}
	p.readings(readings)
	sum := sha256.Sum256(p.b)
	return ReportDigest(sum[:8]), p.b
}

// DigestVoid makes the digest of a number that was given up.
func DigestVoid(reason string) ReportDigest {
	sum := sha256.Sum256([]byte("void:" + reason))
	return ReportDigest(sum[:8])
}

// MarshalText writes lower-case hexadecimal.
func (d ReportDigest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads lower-case hexadecimal.
func (d *ReportDigest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) || !lowerHex(b) {
		return fmt.Errorf("%.40q is not a report's digest", b)
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Kind is "usage.recorded.v1".
func (*UsageRecorded) Kind() string { return "usage.recorded.v1" }

// Kind is "usage.voided.v1".
func (*UsageVoided) Kind() string { return "usage.voided.v1" }

// usage writes the report; it equals what a JSON encoder would make of it, without the cost.
func (p *printer) usage(u *UsageRecorded) {
	p.literal(`{"agent":`)
	p.string(u.Agent)
	if u.Spool != "" {
		p.literal(`,"spool":`)
		p.string(u.Spool)
	}
	p.literal(`,"seq":`)
	p.uint(u.Seq)
	p.literal(`,"company":`)
	p.string(u.Company)
	p.literal(`,"digest":`)
	p.hex(u.Digest[:])
	p.literal(`,"readings":`)
	if u.Printed != nil {
		p.b = append(p.b, u.Printed...)
	} else {
		p.readings(u.Readings)
	}
	p.literal(`}`)
}

func (p *printer) readings(readings []Reading) {
	p.literal(`[`)
	for i := range readings {
		r := &readings[i]
		if i > 0 {
			p.b = append(p.b, ',')
		}
		p.b = append(p.b, '[')
		p.string(r.Meter)
		p.b = append(p.b, ',')
		p.b = append(r.Value.Append(p.b), ',')
		p.time(r.At)
		p.b = append(p.b, ']')
	}
	p.literal(`]`)
}

func (s *scanner) usage(u *UsageRecorded) {
	s.literal(`{"agent":`)
	u.Agent = s.string()
	if s.has(`,"spool":`) {
		u.Spool = s.filled()
	}
	s.literal(`,"seq":`)
	u.Seq = s.uint()
	s.literal(`,"company":`)
	u.Company = s.string()
	s.literal(`,"digest":`)
	s.hex(u.Digest[:])
	s.literal(`,"readings":[`)
	if s.err != nil {
		return
	}
	// Every reading begins with a bracket, so this is enough for all of them; a meter with brackets costs only memory.
	u.Readings = make([]Reading, 0, min(bytes.Count(s.b, []byte("[")), MaxReadings))
	if s.has(`]}`) {
		return
	}
	var meters meterNames
	for s.err == nil {
		var r Reading
		s.byte('[')
		if name, ok := s.plain(); ok {
			r.Meter = meters.share(name)
		} else {
			r.Meter = s.string()
		}
		s.byte(',')
		r.Value = s.quantity()
		r.At = s.time()
		s.byte(']')
		u.Readings = append(u.Readings, r)
		if !s.hasByte(',') {
			break
		}
	}
	s.literal(`]}`)
}

// meterNames shares the text of meters, of which a report has few and repeats them.
type meterNames struct {
	names [8]string
	n     int
}

func (m *meterNames) share(name []byte) string {
	for _, known := range m.names[:m.n] {
		if known == string(name) {
			return known
		}
	}
	s := string(name)
	if m.n < len(m.names) {
		m.names[m.n] = s
		m.n++
	}
	return s
}

// quantity takes a value and the comma behind it.
func (s *scanner) quantity() Quantity {
	v := s.until(',')
	if s.err != nil {
		return Quantity{}
	}
	q, canonical, err := parseQuantity(v)
	if err != nil {
		s.fail(err.Error())
	} else if !canonical {
		s.fail("a value not written the canonical way")
	}
	return q
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
