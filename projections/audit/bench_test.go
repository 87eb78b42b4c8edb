package audit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/projections/viewtest"
)

// load is reports of so many readings each, in records of about half a MiB, as intake makes them.
func load(b *testing.B, reports, readings int) (records []events.Record, size int64) {
	b.Helper()
	start := eventstest.Time("2026-03-01T00:00:00Z")
	entries := []events.Entry{eventstest.Entry(0, start, "", &events.LedgerOpened{Ledger: "L1", Catalog: eventstest.Catalog(events.MonthOf(start))})}
	for i := range reports {
		u := &events.UsageRecorded{Agent: fmt.Sprintf("pc-%06d", i%1000), Seq: uint64(i/1000 + 1), Company: "globex", Readings: make([]events.Reading, readings)}
		for j := range u.Readings {
			u.Readings[j] = events.Reading{Meter: "backup_bytes", Value: eventstest.Quantity(fmt.Sprint(i * j)), At: start.Add(time.Duration(j) * time.Minute)}
		}
		entries = append(entries, eventstest.Entry(uint64(len(entries)), start, fmt.Sprintf("provider-%02d", i%20), u))
	}
	records = viewtest.Pack("b", entries, max(1, events.RecordTarget/len(viewtest.Pack("b", entries[1:2])[0].Body)))
	for _, r := range records {
		size += int64(len(r.Body))
	}
	return records, size
}

// BenchmarkView is what the view does for entries that were decoded beforehand, to the disk and synced: hashes, tiles, a checkpoint
// and index rows for every 8 MiB. The line rate is to be compared with what intake takes.
func BenchmarkView(b *testing.B) {
	for _, shape := range []struct{ reports, readings int }{{2000, 500}, {100_000, 1}} {
		b.Run(fmt.Sprintf("%d readings per report", shape.readings), func(b *testing.B) {
			records, size := load(b, shape.reports, shape.readings)
			decoded := make([][]events.Entry, len(records))
			for i := range records {
				var err error
				if decoded[i], err = events.DecodeRecord(&records[i]); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(size)
			for b.Loop() {
				b.StopTimer()
				db, err := bbolt.Open(b.TempDir()+"/audit.db", 0o600, &bbolt.Options{InitialMmapSize: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				v := newTestView()
				b.StartTimer()
				for at := 0; at < len(records); {
					if at, err = apply(db, v, records, decoded, at); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(shape.reports*shape.readings)*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

// apply applies 8 MiB of records in one transaction.
func apply(db *bbolt.DB, v *View, records []events.Record, decoded [][]events.Entry, at int) (next int, err error) {
	return next, db.Update(func(tx *bbolt.Tx) error {
		begun, err := v.Begin(tx)
		if err != nil {
			return err
		}
		bat := begun.(*batch)
		for bytes := 0; at < len(records) && bytes < 8<<20; at++ {
			bytes += len(records[at].Body)
			if err := bat.Record(&records[at]); err != nil {
				return err
			}
			for i := range decoded[at] {
				if err := bat.Apply(&decoded[at][i]); err != nil {
					return err
				}
			}
		}
		next = at
		return bat.Flush()
	})
}

// BenchmarkReplay reads a provider's entries among those of twenty.
func BenchmarkReplay(b *testing.B) {
	records, size := load(b, 50_000, 5)
	var entries []events.Entry
	for i := range records {
		more, err := events.DecodeRecord(&records[i])
		if err != nil {
			b.Fatal(err)
		}
		entries = append(entries, more...)
	}
	_, r := opened(b, entries)
	for _, q := range []Query{{}, {Provider: "provider-07"}} {
		b.Run("of "+q.Provider, func(b *testing.B) {
			if q.Provider == "" {
				b.SetBytes(size)
			}
			n := 0
			for b.Loop() {
				for _, err := range r.Entries(context.Background(), q) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
