package invoices_test

import (
	"testing"

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
