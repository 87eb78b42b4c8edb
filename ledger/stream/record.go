package stream

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/events"
)

// Headers of a record's message.
const (
	headerExpected = "Nats-Expected-Last-Sequence"
	headerRecord   = "Ledger-Record"
	headerPrev     = "Ledger-Prev"
	headerFirst    = "Ledger-First"
)

// maxID bounds a record's id in bytes, so that headers stay within headerRoom.
const maxID = 64

// encode makes the message that appends r after sequence after.
func encode(r events.Record, after uint64) (*nats.Msg, error) {
	if !isID(r.ID) {
		return nil, fmt.Errorf("%.80q is not a record's id", r.ID)
	}
	if r.Prev != "" && !isID(r.Prev) {
		return nil, fmt.Errorf("%.80q is not the id of a record before", r.Prev)
	}
	if len(r.Body) == 0 {
		return nil, fmt.Errorf("a record without entries")
	}
	if len(r.Body) > events.MaxRecord {
		return nil, fmt.Errorf("a record of %d bytes: at most %d", len(r.Body), events.MaxRecord)
	}
	return &nats.Msg{
		Subject: Subject,
		Header: nats.Header{
			headerExpected: {strconv.FormatUint(after, 10)},
			headerRecord:   {r.ID},
			headerPrev:     {r.Prev},
			headerFirst:    {strconv.FormatUint(r.First, 10)},
		},
		Data: r.Body,
	}, nil
}

// decode reads the message that stands at seq. It takes the body as it is.
func decode(h nats.Header, body []byte, seq uint64, at time.Time) (events.Stored, error) {
	fail := func(header string) (events.Stored, error) {
		return events.Stored{}, fmt.Errorf("message %d of stream %s is not a record: header %s is %.80q: %w", seq, Name, header, h[header], events.ErrMalformed)
	}
	one := func(header string) (string, bool) {
		if len(h[header]) != 1 {
			return "", false
		}
		return h[header][0], true
	}
	id, ok := one(headerRecord)
	if !ok || !isID(id) {
		return fail(headerRecord)
	}
	prev, ok := one(headerPrev)
	if !ok || prev != "" && !isID(prev) {
		return fail(headerPrev)
	}
	number, _ := one(headerFirst)
	first, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return fail(headerFirst)
	}
	return events.Stored{Record: events.Record{ID: id, Prev: prev, First: first, Body: body}, Seq: seq, At: at.UTC()}, nil
}

// isID says whether s survives as a header's value.
func isID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
