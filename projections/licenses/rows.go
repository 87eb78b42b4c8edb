package licenses

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// Rows of which there are many (licenses, spools, commands) are written field by field, in the order of the functions below: a text
// with its length before it, numbers as varints, times in milliseconds. All others are JSON.

// errDamaged says that a row is not as this program writes it.
var errDamaged = errors.New("the row is damaged")

// appendLicense writes all of a license but its id, which stands in the key.
func appendLicense(b []byte, l *events.License) []byte {
	for _, s := range [...]string{l.Type, string(l.Status), l.Pool, l.Company, string(l.Assignee.Kind), l.Assignee.ID, string(l.Lapsed)} {
		b = appendText(b, s)
	}
	b = append(b, flag(l.Assigned)|flag(l.AutoRenew)<<1|flag(l.Trialed)<<2|flag(l.Announced)<<3)
	b = appendTime(appendTime(b, l.Created), l.ExpiresAt)
	return binary.AppendVarint(b, int64(l.BilledFrom))
}

func readLicense(id string, row []byte) (*events.License, error) {
	r := reader{b: row}
	l := &events.License{ID: id, Type: r.text(), Status: events.Status(r.text()), Pool: r.text(), Company: r.text()}
	l.Assignee = events.Assignee{Kind: events.AssigneeKind(r.text()), ID: r.text()}
	l.Lapsed = events.Lapse(r.text())
	flags := r.byte()
	l.Assigned, l.AutoRenew, l.Trialed, l.Announced = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
	l.Created, l.ExpiresAt = r.time(), r.time()
	l.BilledFrom = events.Date(r.int())
	return l, r.end(bucketLicenses)
}

func appendSpool(b []byte, s *license.Spool) []byte {
	b = binary.AppendUvarint(b, s.High)
	b = binary.AppendUvarint(b, uint64(len(s.Gaps)))
	for _, g := range s.Gaps {
		b = binary.AppendUvarint(binary.AppendUvarint(b, g.From), g.To-g.From)
	}
	for _, r := range s.Recent {
		b = append(binary.AppendUvarint(b, r.Seq), r.Digest[:]...)
	}
	return b
}

func readSpool(row []byte) (s license.Spool, err error) {
	r := reader{b: row}
	s.High = r.uint()
	if n := r.uint(); n > uint64(len(r.b)/2) {
		r.bad = true
	} else if n > 0 {
		s.Gaps = make([]license.Range, n)
	}
	for i := range s.Gaps {
		from := r.uint()
		s.Gaps[i] = license.Range{From: from, To: from + r.uint()}
	}
	for len(r.b) > 0 && !r.bad {
		recent := license.Recent{Seq: r.uint()}
		copy(recent.Digest[:], r.bytes(len(recent.Digest)))
		s.Recent = append(s.Recent, recent)
	}
	return s, r.end(bucketSpools)
}

// appendCommand writes all of what is remembered of a command but its time, which stands in the key.
func appendCommand(b []byte, c *license.Remembered) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, c.Entry), uint64(c.Parts))
	return append(b, c.Digest[:]...)
}

func readCommand(at time.Time, row []byte) (license.Remembered, error) {
	r := reader{b: row}
	c := license.Remembered{Entry: r.uint(), Parts: int(r.uint()), Time: at}
	copy(c.Digest[:], r.bytes(len(c.Digest)))
	return c, r.end(bucketCommands)
}

func readJSON[T any](bucket, row []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(row, v); err != nil {
		return nil, fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return v, nil
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte { return binary.AppendVarint(b, t.UnixMilli()) }

// reader takes fields off the front of a row. Once it is bad, all that it gives is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) text() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *reader) time() time.Time { return time.UnixMilli(r.int()).UTC() }

// end is an error unless the row was read to its end.
func (r *reader) end(bucket []byte) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("read a row of %s: %w", bucket, errDamaged)
	}
	return nil
}
