package licenses_test

import (
	"fmt"
	"testing"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func count(entries []events.Entry) (n int) {
	for i := range entries {
		n += len(entries[i].Events)
	}
	return n
}

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
		n += count(entries)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkApply(b *testing.B) {
	const each = 2500 // licenses of a provider
	entries := ledgertest.Fleet(each, 1)
	bought := entries[:1+20*(each+1)]
	b.Run("bought and allocated", func(b *testing.B) { measure(b, nil, bought) })
	b.Run("renewed", func(b *testing.B) { measure(b, bought, entries[len(bought):]) })
	b.Run("reports", func(b *testing.B) {
		var reports []events.Entry
		for i := range 20_000 {
			e := entries[len(entries)-1]
			e.Provider = "provider-01"
			e.Events = []events.Event{{Data: &events.UsageRecorded{Agent: fmt.Sprintf("pc-%06d", i%2000), Seq: uint64(i/2000 + 1)}}}
			reports = append(reports, e)
		}
		measure(b, nil, reports)
	})
}

func BenchmarkLoadState(b *testing.B) {
	const each = 5000 // licenses of a provider
	f := newFile(b)
	f.apply(ledgertest.Fleet(each, 0)...)
	var s *license.State
	for b.Loop() {
		f.read(func(tx *bbolt.Tx) {
			var err error
			if s, err = licenses.LoadState(tx, "provider-07"); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(s.Size()), "us/license")
}

func BenchmarkPage(b *testing.B) {
	f := newFile(b)
	f.apply(ledgertest.Fleet(5000, 0)...)
	for _, filter := range []licenses.Filter{{}, {Company: "company-3"}, {Type: "server", Status: "used"}} {
		filter.Provider = "provider-07"
		b.Run(fmt.Sprintf("%+v", filter), func(b *testing.B) {
			for b.Loop() {
				f.read(func(tx *bbolt.Tx) {
					if rows, err := licenses.Page(tx, filter, "", 50); err != nil || len(rows) != 50 {
						b.Fatal(len(rows), err)
					}
				})
			}
		})
	}
}
