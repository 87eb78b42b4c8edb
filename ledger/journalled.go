package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"

	"licenseledger/events"
)

// Journal keeps what is appended to the log once more, beside it (package journal). The sequencer appends to both at the same time.
type Journal interface {
	// Append returns when the payload, its parts one after the other, is on disk. next is the number of the entry after the
	// record's last one. After an error nothing is known of this call, and every later one fails.
	Append(next uint64, payload ...[]byte) error
}

// Journalled is what stands in a [Journal]: a record on its way to a place in the log, or, if it did not get there, that
// it was dropped. As bytes it is a line of JSON, followed by the record's body:
//
//	{"seq":42,"id":"01KGB5TQ0JXW7E1R8Z3S5V9M2C","prev":"01KGB5TPZH4N6Y0K8D2T7F3QXA","first":1207}
//	{"entry":1207,...
//
// A dropped record has `"dropped":true` there and no body. That a record is journalled does not mean that it was
// acknowledged, nor that it ever stood in the log.
type Journalled struct {
	events.Record
	Seq     uint64 // where it was to stand
	Dropped bool
}

type journalledHead struct {
	Seq     uint64 `json:"seq"`
	ID      string `json:"id"`
	Prev    string `json:"prev,omitempty"`
	First   uint64 `json:"first"`
	Dropped bool   `json:"dropped,omitempty"`
}

// Head is the line before the body, with its newline.
func (j *Journalled) Head() []byte {
	// Strings and numbers always have a text.
	b, _ := json.Marshal(journalledHead{j.Seq, j.ID, j.Prev, j.First, j.Dropped})
	return append(b, '\n')
}

// ParseJournalled reads what stands in a journal; the body is part of b. Errors wrap [events.ErrMalformed].
func ParseJournalled(b []byte) (Journalled, error) {
	line, body, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return Journalled{}, fmt.Errorf("a journalled record without its first line: %w", events.ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var head journalledHead
	if err := d.Decode(&head); err != nil {
		return Journalled{}, fmt.Errorf("a journalled record's first line %.100q: %w: %w", line, err, events.ErrMalformed)
	}
	if head.ID == "" || head.Seq == 0 || head.Dropped != (len(body) == 0) {
		return Journalled{}, fmt.Errorf("a journalled record begins with %.200q and has %d bytes: %w", line, len(body), events.ErrMalformed)
	}
	return Journalled{
		Record: events.Record{ID: head.ID, Prev: head.Prev, First: head.First, Body: body}, Seq: head.Seq, Dropped: head.Dropped,
	}, nil
}
