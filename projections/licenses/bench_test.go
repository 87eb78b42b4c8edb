package licenses_test

import (
	"fmt"
	"testing"
	"time"

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
					if rows, _, err := licenses.Page(tx, filter, licenses.Order{}, "", 50); err != nil || len(rows) != 50 {
						b.Fatal(len(rows), err)
					}
				})
			}
		})
	}
}

// large is the file of one provider with n servers, of 1,000 companies, each serving an endpoint.
func large(b *testing.B, n int) *file {
	f := newFile(b)
	at := events.Stamp(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	ids := events.NewIDs(events.Seed{1}, at)
	opened := events.Entry{Time: at, Actor: "test", Command: "test/open", Events: []events.Event{{Data: &events.LedgerOpened{Ledger: "01KGB000000000000000000000"}}}}
	first := events.Entry{Number: 1, Time: at, Provider: "acme", Actor: "test", Command: "test/1", Events: []events.Event{{Data: &events.ProviderSet{Name: "Acme", Currency: "USD"}}}}
	for i := range 1000 {
		first.Events = append(first.Events, events.Event{Data: &events.CompanySet{Company: fmt.Sprintf("company-%d", i), Name: fmt.Sprintf("Company %d", i)}})
	}
	f.apply(opened, first)
	for done := 0; done < n; {
		var entries []events.Entry
		for len(entries) < 50 && done < n {
			e := events.Entry{Number: uint64(done + 2), Time: at, Provider: "acme", Actor: "test", Command: "test/n"}
			for range min(400, n-done) {
				endpoint := fmt.Sprintf("pc-%07d", done)
				e.Events = append(e.Events, events.Event{Data: &events.LicenseAllocated{License: events.License{
					ID: ids.Next(), Type: "server", Status: events.Paid, Company: fmt.Sprintf("company-%d", done%1000), Assigned: true,
					Assignee: events.Assignee{Kind: events.Endpoint, ID: endpoint}, AutoRenew: true, Created: at, ExpiresAt: events.MonthOf(at).End(),
				}}})
				done++
			}
			entries = append(entries, e)
		}
		f.apply(entries...)
	}
	return f
}

// BenchmarkGrid asks the same of a provider with 10,000 licenses and of one with 1,000,000.
func BenchmarkGrid(b *testing.B) {
	search := func(q string) []licenses.Term {
		return licenses.ParseSearch(q, func(string) []string { return nil })
	}
	march := events.MonthOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	for _, n := range []int{10_000, 1_000_000} {
		f := large(b, n)
		for _, list := range []struct {
			name string
			licenses.Filter
			sort licenses.Column
		}{
			{name: "all"}, {name: "company", Filter: licenses.Filter{Company: "company-3"}}, {name: "month", Filter: licenses.Filter{Month: march}},
			{name: "search p", Filter: licenses.Filter{Search: search("p")}}, {name: "search pc-00077", Filter: licenses.Filter{Search: search("pc-00077")}},
			{name: "search company-77 pc", Filter: licenses.Filter{Search: search("company-77 pc")}},
			{name: "search server pc", Filter: licenses.Filter{Search: search("server pc")}},
			{name: "by type", sort: licenses.SortType}, {name: "by company", sort: licenses.SortCompany}, {name: "by assignee", sort: licenses.SortAssignee},
			{name: "search p by company", Filter: licenses.Filter{Search: search("p")}, sort: licenses.SortCompany},
			{name: "by end", sort: licenses.SortExpiry},
		} {
			list.Provider = "acme"
			b.Run(fmt.Sprintf("%s/page of %d", list.name, n), func(b *testing.B) {
				for b.Loop() {
					f.read(func(tx *bbolt.Tx) {
						if rows, _, err := licenses.Page(tx, list.Filter, licenses.Order{By: list.sort}, "", 50); err != nil || len(rows) == 0 {
							b.Fatal(len(rows), err)
						}
					})
				}
			})
			if list.sort != "" {
				continue
			}
			b.Run(fmt.Sprintf("%s/counters of %d", list.name, n), func(b *testing.B) {
				for b.Loop() {
					f.read(func(tx *bbolt.Tx) {
						if _, err := licenses.Count(tx, list.Filter); err != nil {
							b.Fatal(err)
						}
					})
				}
			})
		}
	}
}
