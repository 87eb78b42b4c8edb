package ledgertest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"licenseledger/events"
)

// filler bounds the entries of a made record in bytes; two of that size leave room for a third.
const filler = 30000

// RecordAfter makes a record that continues prev (the zero record: the first of
// a stream). Its body has exactly size bytes, or is one small entry if size is 0. Its entries are
// those of an agent that gives up report numbers: legal lines, but of a provider that nobody set up.
func RecordAfter(prev events.Record, id string, size int) events.Record {
	r := events.Record{ID: id, Prev: prev.ID, First: NextEntry(prev)}
	number := r.First
	line := func(padding int) []byte {
		reason := "disk lost" + strings.Repeat(".", padding)
		b, err := events.AppendEntry(nil, &events.Entry{
			Number: number, Time: time.UnixMilli(1767225600000 + int64(number)).UTC(),
			Provider: "somebody", Actor: "ledgertest", Command: fmt.Sprintf("ledgertest/%s/%d", id, number),
			Events: []events.Event{{Data: &events.UsageVoided{Agent: "a1", Seq: number + 1, Reason: reason, Digest: events.DigestVoid(reason)}}},
		})
		if err != nil {
			panic(fmt.Sprintf("ledgertest: an entry of %d bytes: %v", padding, err))
		}
		number++
		return append(b, '\n')
	}
	if size == 0 {
		r.Body = line(0)
		return r
	}
	for size-len(r.Body) > 2*filler {
		r.Body = append(r.Body, line(filler)...)
	}
	rest := size - len(r.Body)
	least := len(line(0))
	number--
	if rest < least {
		panic(fmt.Sprintf("ledgertest: no record of %d bytes: an entry has %d", size, least))
	}
	r.Body = append(r.Body, line(rest-least)...)
	return r
}

// NextEntry is the number of the first entry after a record, 0 after the zero record.
func NextEntry(r events.Record) uint64 {
	return r.First + uint64(bytes.Count(r.Body, []byte{'\n'}))
}
