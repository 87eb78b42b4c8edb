package usage

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

// load is a million readings from so many endpoints in reports of one size.
type load struct {
	name                string
	endpoints, readings int
}

const benchReadings = 1_000_000

var loads = []load{
	{"1000 endpoints, 100 per report", 1000, 100},
	{"100000 endpoints, 10 per report", 100_000, 10},
}

// records makes the load: every endpoint reports four meters, day after day in March.
func (l load) records(b *testing.B) []events.Record {
	start := eventstest.Time("2026-03-01T00:00:00Z")
	entries := []events.Entry{eventstest.Entry(0, start, "", &events.LedgerOpened{Ledger: "L1", Catalog: eventstest.Catalog(events.MonthOf(start))})}
	for i := range benchReadings / l.readings {
		agent, round := i%l.endpoints, i/l.endpoints
		u := &events.UsageRecorded{
			Agent: fmt.Sprintf("pc-%06d", agent*7919%l.endpoints), Seq: uint64(round + 1), Company: fmt.Sprintf("company-%03d", agent%200),
			Readings: make([]events.Reading, l.readings),
		}
		for j := range u.Readings {
			u.Readings[j] = events.Reading{
				Meter: [...]string{"backup_bytes", "storage_bytes", "power_on_hours", "objects"}[j%4],
				Value: eventstest.Quantity(fmt.Sprint(i * j % 100_000_007)),
				At:    start.AddDate(0, 0, round%31).Add(time.Duration(j/4) * 50 * time.Minute),
			}
		}
		entries = append(entries, eventstest.Entry(uint64(len(entries)), start.AddDate(0, 0, round%31), fmt.Sprintf("provider-%02d", agent%20), u))
	}
	size := 512 << 10 / (len(viewtest.Pack("b", entries[1:2])[0].Body))
	return viewtest.Pack("b", entries, size)
}

// BenchmarkApply is the view alone: entries are decoded beforehand.
func BenchmarkApply(b *testing.B) {
	for _, l := range loads {
		b.Run(l.name, func(b *testing.B) {
			records := l.records(b)
			decoded := make([][]events.Entry, len(records))
			for i := range records {
				var err error
				if decoded[i], err = events.DecodeRecord(&records[i]); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				b.StopTimer()
				db, err := bbolt.Open(filepath.Join(b.TempDir(), "usage.db"), 0o600, &bbolt.Options{InitialMmapSize: 1 << 30})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for rest := decoded; len(rest) > 0; {
					n := min(16, len(rest)) // 8 MiB, as the runtime does
					apply(b, db, rest[:n])
					rest = rest[n:]
				}
				b.StopTimer()
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(benchReadings*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

func apply(b *testing.B, db *bbolt.DB, records [][]events.Entry) {
	err := db.Update(func(tx *bbolt.Tx) error {
		batch, err := View{}.Begin(tx)
		if err != nil {
			return err
		}
		for _, entries := range records {
			for i := range entries {
				if err := batch.Apply(&entries[i]); err != nil {
					return err
				}
			}
		}
		return batch.Flush()
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFollow is a rebuild: records are decoded, applied and synced.
func BenchmarkFollow(b *testing.B) {
	for _, l := range loads {
		b.Run(l.name, func(b *testing.B) {
			records := l.records(b)
			src := viewtest.NewSource(records...)
			for b.Loop() {
				store, err := projections.Open(b.TempDir(), View{})
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				done := make(chan error)
				go func() { done <- projections.Follow(ctx, src, projections.Options{}, store) }()
				if err := store.WaitTail(ctx, src); err != nil {
					b.Fatal(err)
				}
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				if err := store.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(benchReadings*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

// BenchmarkRows is a page of a month of 100,000 endpoints.
func BenchmarkRows(b *testing.B) {
	tb := newTable(b)
	records := loads[1].records(b)
	for i := range records {
		entries, err := events.DecodeRecord(&records[i])
		if err != nil {
			b.Fatal(err)
		}
		for j := range entries {
			if entries[j].Provider != "" {
				entries[j].Provider = "acme"
			}
		}
		tb.batch(entries...)
	}
	for _, group := range []string{"company", "company,endpoint", "endpoint", "day"} {
		g, err := ParseGroup(group)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(group, func(b *testing.B) {
			for b.Loop() {
				tb.rows(Query{Provider: "acme", Meter: "storage_bytes", From: eventstest.Time("2026-03-01T00:00:00Z"), Group: g, Limit: 50})
			}
		})
	}
}
