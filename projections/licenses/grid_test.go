package licenses_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// all are the licenses of a provider, from their events alone.
func (f *follower) all(provider string) []events.License {
	last := map[string]events.License{}
	for _, e := range f.Entries[:f.applied] {
		for _, ev := range e.Events {
			if l := events.LicenseAfter(ev.Data); l != nil && e.Provider == provider {
				last[l.ID] = *l
			}
		}
	}
	var list []events.License
	for _, id := range slices.Sorted(maps.Keys(last)) {
		list = append(list, last[id])
	}
	return list
}

// selects says what a filter means.
func selects(f licenses.Filter, l *events.License) bool {
	company := l.Company // whom it serves or served last
	if company == "" && !l.Assigned {
		company = l.Pool
	}
	switch {
	case f.Company != "" && f.Company != company, f.Type != "" && f.Type != l.Type:
		return false
	case f.Status == licenses.Used:
		return l.Assigned && (l.Status == events.Trial || l.Status == events.Paid)
	}
	return f.Status == "" || f.Status == string(l.Status)
}

// filters are all that there can be, some of which select nothing.
func filters(provider string) []licenses.Filter {
	var list []licenses.Filter
	for _, company := range []string{"", "globex", "globex-2", "initech", "nobody"} {
		for _, licenseType := range []string{"", "server", "vm-server", "vm-server-socket", "connect", "nothing"} {
			for _, status := range []string{"", "trial", "paid", "expired", "released", "used", "none"} {
				list = append(list, licenses.Filter{Provider: provider, Company: company, Type: licenseType, Status: status})
			}
		}
	}
	return list
}

// L15: a page under any filter is what a walk over all licenses finds, and counters count it.
func TestGrid(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := follow(t, seed)
			for _, stop := range []int{40, 150, 400} {
				for len(f.Entries) < stop {
					f.Step()
				}
				f.catchUp(7 * stop / 40)
				f.read(func(tx *bbolt.Tx) {
					for _, p := range []string{"acme", "acme-2", "b"} {
						f.checkGrid(tx, p)
					}
				})
			}
		})
	}
}

func (f *follower) checkGrid(tx *bbolt.Tx, provider string) {
	all := f.all(provider)
	for _, filter := range filters(provider) {
		var want []events.License
		var counters licenses.Counters
		for i := range all {
			l := &all[i]
			if !selects(filter, l) {
				continue
			}
			want = append(want, *l)
			counters.All++
			switch l.Status {
			case events.Trial:
				counters.ActiveTrial++
			case events.Paid:
				counters.Paid++
			case events.Released:
				counters.Released++
			}
			if l.Serving() {
				counters.Used++
			}
		}
		if got, err := licenses.Count(tx, filter); err != nil || got != counters {
			f.t.Fatalf("counters under %+v are %+v, want %+v", filter, got, counters)
		}
		for _, limit := range []int{1, 4, 1000} {
			var got []events.License
			for after, more := "", true; more; more = after != "" {
				page, next, err := licenses.Page(tx, filter, licenses.Order{}, after, limit)
				after = next
				if err != nil {
					f.t.Fatal(err)
				}
				if len(page) > limit {
					f.t.Fatalf("a page of %d under %+v holds %d", limit, filter, len(page))
				}
				got = append(got, page...)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				f.t.Fatalf("pages of %d under %+v (-want +got):\n%s", limit, filter, diff)
			}
		}
		for i := range want[:min(len(want), 3)] {
			l, ok, err := licenses.LoadLicense(tx, provider, want[i].ID)
			if err != nil || !ok || l != want[i] {
				f.t.Fatalf("license %s is %+v, %v, %v", want[i].ID, l, ok, err)
			}
		}
	}
}

// A cursor is good while licenses come and change: what was there all along, and did not change, is seen once, in any order.
func TestCursorsAreStable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type way func(*bbolt.Tx, licenses.Filter, licenses.Order, string, int) ([]events.License, string, error)
	for seed := range uint64(6) {
		f := follow(t, 100+seed)
		for len(f.Entries) < 150 {
			f.Step()
		}
		for _, list := range []struct {
			licenses.Filter
			licenses.Order
			q    string
			page way
		}{
			{page: licenses.Page},
			{Filter: licenses.Filter{Status: "paid"}, page: licenses.Page},
			{Filter: licenses.Filter{Company: "globex"}, page: licenses.Page},
			{Filter: licenses.Filter{Type: "server", Status: "used"}, page: licenses.Page},
			{q: "pc server", page: licenses.Page},
			{q: "globex s", page: licenses.Page},
			{Order: licenses.Order{By: licenses.SortID, Descending: true}, page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortType}, page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortStatus, Descending: true}, page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortCompany}, q: "s", page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortAssignee, Descending: true}, page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortAssignee}, page: licenses.PageByIndex},
			{Order: licenses.Order{By: licenses.SortExpiry}, page: licenses.Page},
		} {
			f.catchUp(20)
			list.Provider = "acme"
			if list.q != "" {
				list.Search = parse(list.q)
			}
			fits := func(l *events.License) bool {
				return selects(list.Filter, l) && (list.q == "" || f.finds("acme", list.q, l))
			}
			always := map[string]events.License{}
			for _, l := range f.all("acme") {
				if fits(&l) {
					always[l.ID] = l
				}
			}
			seen := map[string]int{}
			var order []string
			for after, more := "", true; more; {
				limit := 1 + r.IntN(3)
				f.read(func(tx *bbolt.Tx) {
					page, next, err := list.page(tx, list.Filter, list.Order, after, limit)
					if err != nil {
						t.Fatal(err)
					}
					for _, l := range page {
						seen[l.ID]++
						order = append(order, l.ID)
					}
					after, more = next, next != ""
				})
				f.Step()
				f.catchUp(20)
				now := map[string]events.License{}
				for _, l := range f.all("acme") {
					now[l.ID] = l
				}
				for id, l := range always {
					if is := now[id]; is != l || !fits(&is) {
						delete(always, id)
					}
				}
			}
			if list.Order == (licenses.Order{}) && list.q == "" && !slices.IsSorted(order) {
				t.Fatalf("seed %d: ids came out of order: %v", seed, order)
			}
			for id := range always {
				if seen[id] != 1 {
					t.Fatalf("seed %d, %+v by %+v: license %s was seen %d times", seed, list.Filter, list.Order, id, seen[id])
				}
			}
		}
	}
}

// What an assignee holds or held last, for decisions and for people.
func TestByAssignee(t *testing.T) {
	f := follow(t, 5)
	for len(f.Entries) < 400 {
		f.Step()
	}
	f.catchUp(30)
	found := 0
	for _, p := range f.Providers() {
		want := map[events.Assignee][]events.License{{Kind: events.Endpoint, ID: "pc-nobody"}: nil, {Kind: events.Endpoint, ID: "pc-"}: nil}
		for _, l := range f.all(p) {
			if l.Assignee != (events.Assignee{}) {
				want[l.Assignee] = append(want[l.Assignee], l)
			}
		}
		f.read(func(tx *bbolt.Tx) {
			for a, list := range want {
				got, err := licenses.ByAssignee(tx, p, a)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(list, got); diff != "" {
					t.Errorf("%s, %+v (-want +got):\n%s", p, a, diff)
				}
				found += len(got)
			}
		})
	}
	if found < 10 {
		t.Errorf("%d licenses had assignees; the test wants more", found)
	}
}

// What is due next, and for whom, is what the states say (the clock lives by it).
func TestDue(t *testing.T) {
	for seed := range uint64(5) {
		f := follow(t, 200+seed)
		for len(f.Entries) < 250 {
			f.Step()
			f.catchUp(3)
			next := map[string]time.Time{}
			for _, p := range f.Providers() {
				s := f.State(p)
				if a := s.Account(); a.Exists() {
					next[p] = s.NextDue()
				}
			}
			var earliest time.Time
			for _, at := range next {
				if earliest.IsZero() || at.Before(earliest) {
					earliest = at
				}
			}
			f.read(func(tx *bbolt.Tx) {
				if got, ok := licenses.NextDue(tx); ok != (len(next) > 0) || !got.Equal(earliest) {
					t.Fatalf("seed %d: next due at %s, %v; want %s", seed, got, ok, earliest)
				}
				for _, at := range []time.Time{earliest, earliest.Add(-events.Precision), f.Now, events.MonthOf(f.Now).End(), f.Now.Add(5000 * time.Hour)} {
					var want []string
					for p, due := range next {
						if !due.After(at) {
							want = append(want, p)
						}
					}
					slices.Sort(want)
					got := licenses.DueProviders(tx, at, 10)
					slices.Sort(got)
					if !slices.Equal(got, want) {
						t.Fatalf("seed %d: due at %s for %v, want %v", seed, at, got, want)
					}
					if some := licenses.DueProviders(tx, at, 1); len(some) != min(1, len(want)) {
						t.Fatalf("seed %d: of %v, at most one is %v", seed, want, some)
					}
				}
			})
		}
	}
}

// Lists of providers, companies and endpoints are in order, and page by page the same.
func TestLists(t *testing.T) {
	f := follow(t, 7)
	for len(f.Entries) < 300 || len(f.Providers()) < 3 {
		f.Step()
	}
	f.catchUp(11)
	companies, endpoints := map[string]events.CompanySet{}, map[string]events.EndpointSet{}
	for _, e := range f.Entries {
		for _, ev := range e.Events {
			switch d := ev.Data.(type) {
			case *events.CompanySet:
				companies[e.Provider+" "+d.Company] = *d
			case *events.EndpointSet:
				endpoints[e.Provider+" "+d.Endpoint] = *d
			}
		}
	}
	f.read(func(tx *bbolt.Tx) {
		var ids []string
		var gotCompanies []events.CompanySet
		var gotEndpoints []events.EndpointSet
		for after := ""; ; {
			page, accounts, err := licenses.Providers(tx, after, 2)
			if err != nil || len(accounts) != len(page) {
				t.Fatalf("%v, %v, %v", page, accounts, err)
			}
			for i, id := range page {
				a := f.State(id).Account()
				if diff := cmp.Diff(a, accounts[i]); diff != "" {
					t.Errorf("the account of %s (-fold +row):\n%s", id, diff)
				}
				if one, ok, err := licenses.LoadAccount(tx, id); !ok || err != nil || !reflect.DeepEqual(one, accounts[i]) {
					t.Errorf("the account of %s alone: %+v, %v, %v", id, one, ok, err)
				}
			}
			if ids = append(ids, page...); len(page) < 2 {
				break
			}
			after = page[1]
		}
		for _, p := range ids {
			for after, more := "", true; more; {
				page, err := licenses.Companies(tx, p, after, 2)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range page {
					after = c.Company
					if one, ok, err := licenses.LoadCompany(tx, p, c.Company); !ok || err != nil || !cmp.Equal(one, companies[p+" "+c.Company]) {
						t.Errorf("company %s alone: %+v, %v, %v", c.Company, one, ok, err)
					}
				}
				gotCompanies, more = append(gotCompanies, page...), len(page) == 2
			}
			for after, more := "", true; more; {
				page, err := licenses.Endpoints(tx, p, after, 3)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					after = e.Endpoint
					if one, ok, err := licenses.LoadEndpoint(tx, p, e.Endpoint); !ok || err != nil || one != endpoints[p+" "+e.Endpoint] {
						t.Errorf("endpoint %s alone: %+v, %v, %v", e.Endpoint, one, ok, err)
					}
				}
				gotEndpoints, more = append(gotEndpoints, page...), len(page) == 3
			}
		}
		if !slices.Equal(ids, f.Providers()) {
			t.Errorf("providers are %v, want %v", ids, f.Providers())
		}
		if diff := cmp.Diff(inOrder(companies), gotCompanies); diff != "" {
			t.Errorf("companies (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(inOrder(endpoints), gotEndpoints); diff != "" {
			t.Errorf("endpoints (-want +got):\n%s", diff)
		}
		if _, ok, err := licenses.LoadCompany(tx, "acme", "nobody"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if _, ok, err := licenses.LoadEndpoint(tx, "acme", "pc-nobody"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
}

func inOrder[T any](m map[string]T) (list []T) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list
}

// Usage of a provider that was never created leaves a spool and no provider.
func TestUsageOfNobody(t *testing.T) {
	f := newFile(t)
	f.apply(events.Entry{
		Number: 1, Time: time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC), Provider: "nobody", Command: "nats/x",
		Events: []events.Event{{Data: &events.UsageVoided{Agent: "pc-1", Seq: 3, Reason: "x"}}},
	})
	f.read(func(tx *bbolt.Tx) {
		if ids, _, err := licenses.Providers(tx, "", 10); len(ids) != 0 || err != nil {
			t.Errorf("%v, %v", ids, err)
		}
		if _, ok, err := licenses.LoadAccount(tx, "nobody"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if _, ok := licenses.NextDue(tx); ok {
			t.Error("something is due")
		}
		s, err := licenses.LoadSpool(tx, "nobody", "pc-1", "")
		if err != nil || s.High != 3 || !slices.Equal(s.Gaps, []license.Range{{From: 1, To: 2}}) {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// A license that serves one after the other, of the same company or of another, and that is in no pool for a while, is found under
// the last one alone, whether its events came in one transaction or in several.
func TestLicenseMoves(t *testing.T) {
	at := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
	l := events.License{ID: "L1", Type: "server", Status: events.Paid, Pool: "globex", Created: at, ExpiresAt: events.MonthOf(at).End()}
	states := []events.License{l}
	for _, to := range []struct{ company, endpoint string }{{"globex", "pc-1"}, {"globex", "pc-2"}, {"initech", "pc-2"}, {"", ""}, {"globex", "pc-1"}} {
		l.Company, l.Assigned, l.Assignee = to.company, to.endpoint != "", events.Assignee{Kind: events.Endpoint, ID: to.endpoint}
		if !l.Assigned {
			l.Assignee = events.Assignee{}
		}
		states = append(states, l)
	}
	var entries []events.Entry
	for i, l := range states {
		entries = append(entries, events.Entry{
			Number: uint64(i), Time: at, Provider: "acme", Command: "test/x", Events: []events.Event{{Data: &events.LicenseAllocated{License: l}}},
		})
	}
	for size := 1; size <= len(entries); size++ {
		f := newFile(t)
		for from := 0; from < len(entries); from += size {
			end := min(from+size, len(entries))
			f.apply(entries[from:end]...)
			f.read(func(tx *bbolt.Tx) {
				is := states[end-1]
				for _, company := range []string{"globex", "initech"} {
					want := uint64(0)
					if selects(licenses.Filter{Company: company}, &is) {
						want = 1
					}
					filter := licenses.Filter{Provider: "acme", Company: company}
					rows, _, err := licenses.Page(tx, filter, licenses.Order{}, "", 10)
					n, failed := licenses.Count(tx, filter)
					if err != nil || failed != nil || uint64(len(rows)) != want || n.All != want {
						t.Errorf("%d at a time, after %d: %s has %v, %+v, %v, %v", size, end, company, rows, n, err, failed)
					}
				}
				for _, endpoint := range []string{"pc-1", "pc-2"} {
					rows, err := licenses.ByAssignee(tx, "acme", events.Assignee{Kind: events.Endpoint, ID: endpoint})
					if holds := is.Assignee.ID == endpoint; err != nil || (len(rows) == 1) != holds {
						t.Errorf("%d at a time, after %d: %s has %v, %v", size, end, endpoint, rows, err)
					}
				}
				if n, err := licenses.Count(tx, licenses.Filter{Provider: "acme"}); err != nil || n.All != 1 {
					t.Errorf("%d at a time, after %d: %d licenses, %v", size, end, n.All, err)
				}
			})
		}
	}
}

// The index of the grid is the same however many entries a transaction holds: a license that moves between companies and stays in the
// grid of all is not taken out of it.
func TestGridOfLargeTransactions(t *testing.T) {
	entries := eventstest.History(5, 900)
	rows := func(size int) []string {
		f := newFile(t)
		for some := range slices.Chunk(entries, size) {
			f.apply(some...)
		}
		var list []string
		f.read(func(tx *bbolt.Tx) {
			_ = tx.Bucket([]byte("grid")).ForEach(func(k, _ []byte) error {
				list = append(list, fmt.Sprintf("%q", k))
				return nil
			})
		})
		return list
	}
	want := rows(1)
	for size := 20; size <= 800; size += 20 {
		if diff := cmp.Diff(want, rows(size)); diff != "" {
			t.Fatalf("(-one entry at a time +%d at once):\n%s", size, diff)
		}
	}
}
