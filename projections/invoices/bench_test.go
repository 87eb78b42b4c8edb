package invoices_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
)

// measure applies entries in transactions of 2,000 and reports events per second.
func measure(b *testing.B, before, entries []events.Entry) {
	n := 0
	for b.Loop() {
		b.StopTimer()
		f := newFile(b)
		for at := 0; at < len(before); at += 2000 {
			f.apply(before[at:min(at+2000, len(before))]...)
		}
		b.StartTimer()
		for at := 0; at < len(entries); at += 2000 {
			f.apply(entries[at:min(at+2000, len(entries))]...)
		}
		for i := range entries {
			n += len(entries[i].Events)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkApply(b *testing.B) {
	const each = 2500 // licenses of a provider
	entries := ledgertest.Fleet(each, 1)
	bought := entries[:1+20*(each+1)]
	b.Run("bought and allocated", func(b *testing.B) { measure(b, nil, bought) })
	b.Run("closed and renewed", func(b *testing.B) { measure(b, bought, entries[len(bought):]) })
}

// BenchmarkUsage applies reports of 500 readings of four meters, of which a company bills none or one.
func BenchmarkUsage(b *testing.B) {
	at := time.Date(2026, time.February, 10, 9, 0, 0, 0, time.UTC)
	before := ledgertest.Fleet(1, 0)
	value, _ := events.ParseQuantity("1234567890") // always one
	meters := []string{"storage_bytes", "backup_bytes", "restore_bytes", "errors"}
	for name, metered := range map[string][]string{"nobody bills": nil, "one meter billed": {"backup-storage"}} {
		b.Run(name, func(b *testing.B) {
			n := uint64(len(before))
			entry := func(d events.Data) events.Entry {
				n++
				return events.Entry{Number: n, Time: at, Provider: "provider-00", Actor: "agent", Command: "test", Events: []events.Event{{Data: d}}}
			}
			f := newFile(b)
			f.apply(append(slices.Clone(before), entry(&events.CompanySet{Company: "globex", Metered: metered}))...)
			var entries []events.Entry
			for i := range 400 {
				u := &events.UsageRecorded{Agent: fmt.Sprint("pc-", i%100), Seq: uint64(i), Company: "globex"}
				for k := range 500 {
					u.Readings = append(u.Readings, events.Reading{Meter: meters[k%4], Value: value, At: at.Add(-time.Duration(k) * time.Minute)})
				}
				entries = append(entries, entry(u))
			}
			for b.Loop() {
				f.apply(entries...)
			}
			b.ReportMetric(float64(b.N)*400*500/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkDraft rates the open month of a provider with 5,000 licenses in use.
func BenchmarkDraft(b *testing.B) {
	f := newFile(b)
	f.apply(ledgertest.Fleet(5000, 0)...)
	for b.Loop() {
		if s := f.draft("provider-07", date("2026-02-28")); len(s.Lines) == 0 {
			b.Fatal("no lines")
		}
	}
}
