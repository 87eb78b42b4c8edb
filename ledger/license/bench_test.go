package license_test

import (
	"fmt"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// sizes of the states that are measured, in licenses: half of them serve an endpoint, half are free.
var sizes = []int{10, 100_000}

// busy is a provider's state with n licenses, and the ledger around it.
func busy(b *testing.B, n int) (*ledgertest.Ledger, *license.State) {
	l := ledgertest.NewLedger(time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC))
	for _, body := range []license.Body{
		license.SetProvider{}, license.SetPaymentMethod{System: "fastspring", Account: "a"},
		license.SetCompany{CompanySet: events.CompanySet{Company: "globex", Allocation: events.Automatic}},
	} {
		if _, err := l.Do("acme", body); err != nil {
			b.Fatal(err)
		}
	}
	s := l.State("acme")
	ids := events.NewIDs(events.Seed{1}, l.Now)
	for i := range n {
		e := events.Entry{Number: l.System.Next, Time: l.Now, Provider: "acme", Command: "nats/x"}
		held := events.License{
			ID: ids.Next(), Type: "server", Status: events.Paid, Pool: "globex", AutoRenew: true,
			Created: l.Now, ExpiresAt: events.MonthOf(l.Now).End(),
		}
		e.Events = append(e.Events, events.Event{Data: &events.LicenseBought{License: held}})
		if i%2 == 0 {
			held.Company, held.Assigned, held.Assignee = "globex", true, endpoint(fmt.Sprintf("pc-%d", i))
			e.Events = append(e.Events,
				events.Event{Data: &events.EndpointSet{Endpoint: held.Assignee.ID, Company: "globex"}},
				events.Event{Data: &events.LicenseAllocated{Source: events.FromCompanyPool, License: held}})
		}
		s.Apply(&e)
	}
	return l, s
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range sizes {
		l, s := busy(b, n)
		facts := license.Facts{Provider: "acme", Now: l.Now, Catalogs: l.System.Catalogs, Opened: true, Spool: new(license.Spool)}
		var held string
		for got := range s.Licenses() {
			if got.Assigned {
				held = got.ID
			}
		}
		readings := make([]events.Reading, 10)
		for i := range readings {
			readings[i] = events.Reading{Meter: "storage_bytes", At: l.Now}
		}
		for _, c := range []struct {
			name string
			body license.Body
		}{
			{"allocate", allocate("server", "globex", "new")},
			{"release", license.Release{License: held}},
			{"report", report("pc-0", 1, readings...)},
			{"buy", buy("server", 1, "globex")},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					facts.IDs = events.NewIDs(events.Seed{byte(i)}, l.Now)
					if _, err := license.Decide(s, c.body, facts); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkCommand decides and folds: what the sequencer does for each command; and with the events folded anew.
func BenchmarkCommand(b *testing.B) {
	for _, n := range sizes {
		for _, way := range []struct {
			name   string
			decide func(*license.State, license.Body, license.Facts) (license.Decision, error)
		}{{"ahead", license.Advance}, {"folded", license.Decide}} {
			l, s := busy(b, n)
			facts := license.Facts{Provider: "acme", Now: l.Now, Catalogs: l.System.Catalogs, Opened: true}
			b.Run(fmt.Sprintf("allocate and release, %s/%d", way.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for i := uint64(0); b.Loop(); i++ {
					held := ""
					for _, name := range []string{"allocate", "release"} {
						body := license.Body(license.Release{License: held})
						if name == "allocate" {
							body = allocate("server", "globex", "new")
						}
						facts.IDs = events.NewIDs(events.Seed{byte(i), byte(i >> 8), byte(i >> 16)}, l.Now)
						d, err := way.decide(s, body, facts)
						if err != nil {
							b.Fatal(err)
						}
						d.Wrote(&events.Entry{Number: i, Time: l.Now, Provider: "acme", Command: fmt.Sprintf("http/operator/%s-%d", name, i), Events: d.Events})
						held = events.LicenseAfter(d.Events[len(d.Events)-1].Data).ID
					}
				}
			})
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, n := range sizes {
		l, s := busy(b, n)
		var renewals []events.Entry
		for got := range s.Licenses() {
			renewed := *got
			renewals = append(renewals, events.Entry{
				Time: l.Now, Provider: "acme", Command: "clock/settle", Events: []events.Event{{Data: &events.LicenseRenewed{License: renewed}}},
			})
		}
		b.Run(fmt.Sprintf("renewal/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Apply(&renewals[i%len(renewals)])
			}
		})
	}
}

func BenchmarkFork(b *testing.B) {
	for _, n := range sizes {
		_, s := busy(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Fork()
			}
		})
	}
}

// BenchmarkFromRows loads a state, as the sequencer does when a provider is not in its cache.
func BenchmarkFromRows(b *testing.B) {
	for _, n := range sizes {
		_, s := busy(b, n)
		rows := s.Rows()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				license.FromRows(rows)
			}
		})
	}
}

func BenchmarkSpool(b *testing.B) {
	b.ReportAllocs()
	var s license.Spool
	for b.Loop() {
		seq := s.High + 1
		if _, err := s.Check(seq, events.ReportDigest{}); err != nil {
			b.Fatal(err)
		}
		s = s.Add(seq, events.ReportDigest{})
	}
}
