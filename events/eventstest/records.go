package eventstest

import (
	"encoding/binary"
	"math/rand/v2"

	"licenseledger/events"
)

// Records puts entries into records as a sequencer under some load might have: of one command, of a few, of many; never larger
// than [events.MaxRecord], and never with a part of a command. Ids are chained from the first record, whose Prev is empty.
func Records(entries []events.Entry, seed uint64) []events.Record {
	r := rand.New(rand.NewPCG(seed, 1))
	var records []events.Record
	for len(entries) > 0 {
		record := events.Record{ID: recordID(r, &entries[0]), First: entries[0].Number}
		if n := len(records); n > 0 {
			record.Prev = records[n-1].ID
		}
		for commands := 1 + r.IntN(1<<r.IntN(9)); commands > 0 && len(entries) > 0; commands-- {
			parts := 1
			for parts < len(entries) && entries[parts-1].Part < entries[parts-1].Parts {
				parts++
			}
			body := record.Body
			for i := range entries[:parts] {
				body = append(must(events.AppendEntry(body, &entries[i])), '\n')
			}
			if len(body) > events.MaxRecord && len(record.Body) > 0 {
				break // the command goes into the next record
			}
			record.Body, entries = body, entries[parts:]
		}
		records = append(records, record)
	}
	return records
}

func recordID(r *rand.Rand, e *events.Entry) string {
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[:], r.Uint64())
	return events.ULIDAt(e.Time, entropy)
}
