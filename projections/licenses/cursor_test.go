package licenses_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections/licenses"
)

// shop is a provider whose licenses a test makes one by one.
type shop struct {
	*file
	ids  *events.IDs
	at   time.Time
	next uint64
}

func newShop(t testing.TB, at time.Time) *shop {
	s := &shop{file: newFile(t), ids: events.NewIDs(events.Seed{1}, at), at: at}
	s.apply(events.Entry{Time: at, Actor: "test", Command: "test/open", Events: []events.Event{{Data: &events.LedgerOpened{Ledger: "01KGB000000000000000000000"}}}})
	s.next = 1
	s.record(&events.ProviderSet{Name: "Acme", Currency: "USD"})
	return s
}

func (s *shop) record(data ...events.Data) {
	s.t.Helper()
	e := events.Entry{Number: s.next, Time: s.at, Provider: "acme", Actor: "test", Command: fmt.Sprint("test/", s.next)}
	for _, d := range data {
		e.Events = append(e.Events, events.Event{Data: d})
	}
	s.apply(e)
	s.next++
}

// serve allocates a paid server to an endpoint.
func (s *shop) serve(company, endpoint string) events.License {
	s.t.Helper()
	l := events.License{
		ID: s.ids.Next(), Type: "server", Status: events.Paid, Company: company, Assigned: true, AutoRenew: true,
		Assignee: events.Assignee{Kind: events.Endpoint, ID: endpoint}, Created: s.at, ExpiresAt: events.MonthOf(s.at).End(),
	}
	s.record(&events.LicenseAllocated{License: l})
	return l
}

// L15: a search goes on where it was, also if another of its words has become the one with the fewest licenses meanwhile, and if a
// company is called something else.
func TestSearchGoesOn(t *testing.T) {
	march := time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)
	for name, meanwhile := range map[string]func(s *shop){
		"other word": func(s *shop) {
			for i := range 9 {
				s.serve("globex", fmt.Sprint("blue-", i))
			}
		},
		"other name": func(s *shop) { s.record(&events.CompanySet{Company: "redsea", Name: "Blue Reef"}) },
		"gone name":  func(s *shop) { s.record(&events.CompanySet{Company: "a1", Name: "Nothing"}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, march)
			s.record(&events.CompanySet{Company: "a1", Name: "Red Blue"}, &events.CompanySet{Company: "globex", Name: "Globex"}, &events.CompanySet{Company: "redsea", Name: "Blue"})
			var want []string
			for i := range 12 {
				want = append(want, s.serve("globex", fmt.Sprint("red-blue-", i)).ID)
			}
			for i := range 3 {
				want = append(want, s.serve("redsea", fmt.Sprint("blue-pc-", i)).ID)
				s.serve("globex", fmt.Sprint("red-pc-", i))
				s.serve("globex", fmt.Sprint("red-vm-", i))
			}
			filter := licenses.Filter{Provider: "acme", Search: parse("blue red")}
			var seen []string
			for after, pages := "", 0; pages == 0 || after != ""; pages++ {
				s.read(func(tx *bbolt.Tx) {
					rows, next, err := licenses.Page(tx, filter, licenses.Order{}, after, 4)
					if err != nil {
						t.Fatal(err)
					}
					for _, l := range rows {
						seen = append(seen, l.ID)
					}
					after = next
				})
				if pages == 0 {
					meanwhile(s)
				}
				if pages > 20 {
					t.Fatal("the list has no end")
				}
			}
			slices.Sort(seen)
			if !slices.Equal(seen, want) {
				t.Errorf("%d licenses were seen, %d different ones; want %d", len(seen), len(slices.Compact(slices.Clone(seen))), len(want))
			}
		})
	}
}

// D2, D3, L15: what ran out at the very start of a month was not in force in it; what was released then was.
func TestInForceInAMonth(t *testing.T) {
	s := newShop(t, time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC))
	expired, released, renewed := s.serve("globex", "pc-1"), s.serve("globex", "pc-2"), s.serve("globex", "pc-3")
	s.at = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	expired.Status, expired.Assigned = events.Expired, false
	renewed.ExpiresAt = events.MonthOf(s.at).End()
	s.record(&events.MonthClosed{Month: events.MonthOf(s.at) - 1})
	s.record(&events.LicenseExpired{License: expired})
	s.record(&events.LicenseRenewed{License: renewed})
	released.Status, released.Assigned, released.ExpiresAt = events.Released, false, s.at
	s.record(&events.LicenseReleased{License: released})
	for month, want := range map[events.Month][]string{
		events.MonthOf(s.at) - 1: {expired.ID, released.ID, renewed.ID},
		events.MonthOf(s.at):     {released.ID, renewed.ID},
		events.MonthOf(s.at) + 1: {renewed.ID},
	} {
		s.read(func(tx *bbolt.Tx) {
			filter := licenses.Filter{Provider: "acme", Month: month}
			rows, _, err := licenses.Page(tx, filter, licenses.Order{}, "", 9)
			var got []string
			for _, l := range rows {
				got = append(got, l.ID)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("in %s %v were in force, want %v, %v", month, got, want, err)
			}
			if n, err := licenses.Count(tx, filter); err != nil || int(n.All) != len(want) {
				t.Errorf("in %s %d are counted, want %d, %v", month, n.All, len(want), err)
			}
		})
	}
}

// An endpoint that is installed again brings its name back to the licenses that it held, whatever a transaction holds of that.
func TestSearchInstalledAgain(t *testing.T) {
	var dumps []string
	for _, each := range []int{1, 100} {
		s := newShop(t, time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC))
		set := func(name string) events.Data {
			return &events.EndpointSet{Endpoint: "pc-1", Company: "globex", Name: name}
		}
		s.record(set("Zürich"))
		l := s.serve("globex", "pc-1")
		l.Status, l.Assigned, l.ExpiresAt = events.Released, false, s.at
		var entries []events.Entry
		for _, d := range []events.Data{&events.LicenseReleased{License: l}, &events.EndpointRemoved{Endpoint: "pc-1"}, set("Zürich")} {
			entries = append(entries, events.Entry{
				Number: s.next, Time: s.at, Provider: "acme", Actor: "test", Command: fmt.Sprint("test/", s.next), Events: []events.Event{{Data: d}},
			})
			s.next++
		}
		for part := range slices.Chunk(entries, each) {
			s.apply(part...)
		}
		s.read(func(tx *bbolt.Tx) {
			rows, _, err := licenses.Page(tx, licenses.Filter{Provider: "acme", Search: parse("zür")}, licenses.Order{}, "", 9)
			if err != nil || len(rows) != 1 {
				t.Errorf("in transactions of %d: %d licenses are found by the name, %v", each, len(rows), err)
			}
			dump := ""
			err = tx.Bucket([]byte("words")).ForEach(func(k, v []byte) error { dump += fmt.Sprintf("%q %q\n", k, v); return nil })
			if err != nil {
				t.Fatal(err)
			}
			dumps = append(dumps, dump)
		})
	}
	if dumps[0] != dumps[1] {
		t.Errorf("the rows depend on what a transaction holds:\n%s\n%s", dumps[0], dumps[1])
	}
}
