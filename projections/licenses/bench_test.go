package licenses_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// fleet makes the entries of a ledger with 20 providers: licenses are bought and allocated, and, for as many months as asked for,
// renewed in pages of 100 when the month was closed.
func fleet(perProvider, months int) []events.Entry {
	at := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
	var entries []events.Entry
	entry := func(provider string, data ...events.Data) {
		e := events.Entry{Number: uint64(len(entries)), Time: at, Provider: provider, Actor: "operator", Command: "clock/settle"}
		for _, d := range data {
			e.Events = append(e.Events, events.Event{Data: d})
		}
		entries = append(entries, e)
	}
	var providers [20]string
	var all [20][]events.License
	for p := range providers {
		providers[p] = fmt.Sprintf("provider-%02d", p)
		entry(providers[p], &events.ProviderSet{Currency: "USD"}, &events.PaymentMethodSet{System: "fastspring", Account: "a", Status: events.PaymentActive})
		ids := events.NewIDs(events.Seed{byte(p)}, at)
		for i := range perProvider {
			l := events.License{
				ID: ids.Next(), Type: "server", Status: events.Paid, Pool: "globex", AutoRenew: true, Created: at, ExpiresAt: events.MonthOf(at).End(),
			}
			bought := &events.LicenseBought{License: l}
			l.Company, l.Assigned, l.Assignee = fmt.Sprintf("company-%d", i%10), true, events.Assignee{Kind: events.Endpoint, ID: fmt.Sprintf("pc-%06d", i)}
			entry(providers[p], bought, &events.LicenseAllocated{Source: events.BoughtOnTheSpot, License: l})
			all[p] = append(all[p], l)
		}
	}
	for range months {
		month := events.MonthOf(at)
		at = month.End()
		for p := range providers {
			entry(providers[p], &events.MonthClosed{Month: month})
			var page []events.Data
			for i := range all[p] {
				all[p][i].ExpiresAt = (month + 1).End()
				if page = append(page, &events.LicenseRenewed{License: all[p][i]}); len(page) == 100 || i == len(all[p])-1 {
					entry(providers[p], page...)
					page = nil
				}
			}
		}
	}
	return entries
}

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
	const each = 2500
	entries := fleet(each, 1)
	bought := entries[:20*(each+1)]
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
	const each = 5000
	f := newFile(b)
	f.apply(fleet(each, 0)...)
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
	f.apply(fleet(5000, 0)...)
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
