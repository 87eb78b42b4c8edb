package licenses_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections/licenses"
)

// texts are what a license is found by, from the events alone.
func (f *follower) texts(provider string, l *events.License) (list []string) {
	list = append(list, l.Type)
	company := l.Company
	if company == "" && !l.Assigned {
		company = l.Pool
	}
	names, companies := map[string]string{}, map[string]string{}
	for _, e := range f.Entries[:f.applied] {
		for _, ev := range e.Events {
			switch d := ev.Data.(type) {
			case *events.EndpointSet:
				if e.Provider == provider {
					names[d.Endpoint] = d.Name
				}
			case *events.EndpointRemoved:
				if e.Provider == provider {
					delete(names, d.Endpoint)
				}
			case *events.CompanySet:
				if e.Provider == provider {
					companies[d.Company] = d.Name
				}
			}
		}
	}
	if _, ok := companies[company]; ok {
		list = append(list, company, companies[company])
	}
	if l.Assignee.ID != "" && (l.Assigned || !l.Status.InForce()) {
		list = append(list, l.Assignee.ID)
		if l.Assignee.Kind == events.Endpoint {
			list = append(list, names[l.Assignee.ID])
		}
	}
	return list
}

func (f *follower) finds(provider, q string, l *events.License) bool {
	var words []string
	for _, text := range f.texts(provider, l) {
		words = append(words, split(text)...)
	}
	for _, typed := range split(q) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, typed) }) &&
			!(len(typed) >= 10 && strings.HasPrefix(strings.ToLower(l.ID), typed)) {
			return false
		}
	}
	return true
}

func split(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func parse(q string) []licenses.Term {
	return licenses.ParseSearch(q, func(string) []string { return nil })
}

// everything reads all pages.
func (f *follower) everything(tx *bbolt.Tx, filter licenses.Filter, o licenses.Order, limit int) (rows []events.License) {
	f.t.Helper()
	for after, more := "", true; more; more = after != "" {
		page, next, err := licenses.Page(tx, filter, o, after, limit)
		if err != nil || len(page) > limit {
			f.t.Fatalf("%d rows on a page of %d, %v", len(page), limit, err)
		}
		rows, after = append(rows, page...), next
	}
	return rows
}

func ids(rows []events.License) map[string]bool {
	set := map[string]bool{}
	for _, l := range rows {
		set[l.ID] = true
	}
	return set
}

// L15: what is typed finds the licenses whose words begin with it, under any filter, each once, and counters count them.
func TestSearch(t *testing.T) {
	found := 0
	for seed := range uint64(4) {
		f := follow(t, 40+seed)
		for _, stop := range []int{60, 300} {
			for len(f.Entries) < stop {
				f.Step()
			}
			f.catchUp(9)
			all := f.all("acme")
			queries := []string{"pc", "PC-1", "ser", "server", "vm socket", "glob", "globex pc", "initech ser", "nothing", "socket-vm", "connect"}
			for i := range all {
				if i%7 == 0 {
					queries = append(queries, all[i].ID, all[i].ID[:12])
					for _, text := range f.texts("acme", &all[i]) {
						if words := split(text); len(words) > 0 {
							queries = append(queries, words[len(words)-1], text+" "+all[i].Type)
						}
					}
				}
			}
			f.read(func(tx *bbolt.Tx) {
				for _, q := range queries {
					for _, filter := range []licenses.Filter{{}, {Company: "globex"}, {Status: "used"}, {Type: "server", Status: "released"}} {
						filter.Provider, filter.Search = "acme", parse(q)
						if len(filter.Search) == 0 {
							continue
						}
						want := map[string]bool{}
						for i := range all {
							if selects(filter, &all[i]) && f.finds("acme", q, &all[i]) {
								want[all[i].ID] = true
							}
						}
						found += len(want)
						for _, limit := range []int{1, 3, 1000} {
							rows := f.everything(tx, filter, licenses.Order{}, limit)
							if got := ids(rows); len(got) != len(rows) || !maps.Equal(got, want) {
								t.Fatalf("seed %d, %q under %+v: %d rows, %d different ones, want %d", seed, q, filter, len(rows), len(got), len(want))
							}
						}
						if n, err := licenses.Count(tx, filter); err != nil || int(n.All) != len(want) {
							t.Fatalf("seed %d, %q under %+v: counted %+v, want %d, %v", seed, q, filter, n, len(want), err)
						}
					}
				}
			})
		}
	}
	if found < 1000 {
		t.Errorf("only %d were found in all", found)
	}
}

// A renamed endpoint is found by its new name and no more by the old one.
func TestSearchRenamed(t *testing.T) {
	f := follow(t, 3)
	for len(f.Entries) < 200 {
		f.Step()
	}
	f.catchUp(10)
	var served events.License
	for _, l := range f.all("acme") {
		if l.Serving() && l.Assignee.Kind == events.Endpoint {
			served = l
		}
	}
	if served.ID == "" {
		t.Fatal("no license serves an endpoint")
	}
	last := f.Entries[f.applied-1]
	rename := func(name string) {
		last.Number++
		f.apply(events.Entry{
			Number: last.Number, Time: last.Time, Provider: "acme", Actor: "test", Command: fmt.Sprint("test/rename/", name),
			Events: []events.Event{{Data: &events.EndpointSet{Endpoint: served.Assignee.ID, Company: served.Company, Name: name}}},
		})
	}
	has := func(q string) bool {
		found := false
		f.read(func(tx *bbolt.Tx) {
			found = ids(f.everything(tx, licenses.Filter{Provider: "acme", Search: parse(q)}, licenses.Order{}, 100))[served.ID]
		})
		return found
	}
	rename("Zürich Außenstelle")
	if !has("zür") || !has("außen") || !has(served.Assignee.ID) {
		t.Error("the new name does not find it")
	}
	rename("Bern")
	if has("zür") || !has("bern") {
		t.Error("the old name finds it")
	}
}

// sawMonth says whether a license was in force on any date of a month, as it stood at its end (domain D2, D3).
func sawMonth(l *events.License, m events.Month) bool {
	last := events.DateOf(l.ExpiresAt)
	if l.Status != events.Released {
		last = events.LastDateBefore(l.ExpiresAt)
	}
	return l.Status.InForce() || last >= events.DateOf(m.Start())
}

// L15: with a month, the licenses that were in force in it, as they stood when it was closed; the running one as now.
func TestMonths(t *testing.T) {
	for seed := range uint64(3) {
		f := follow(t, 70+seed)
		for len(f.Entries) < 500 {
			f.Step()
		}
		f.catchUp(13)
		is := map[string]events.License{}
		closed := map[events.Month][]events.License{}
		var open events.Month
		for _, e := range f.Entries[:f.applied] {
			for _, ev := range e.Events {
				if e.Provider != "acme" {
					continue
				}
				if l := events.LicenseAfter(ev.Data); l != nil {
					is[l.ID] = *l
				}
				if d, ok := ev.Data.(*events.MonthClosed); ok {
					open = d.Month + 1
					for _, id := range slices.Sorted(maps.Keys(is)) {
						closed[d.Month] = append(closed[d.Month], is[id])
					}
				}
			}
		}
		if len(closed) < 2 {
			t.Fatalf("seed %d: %d months were closed", seed, len(closed))
		}
		closed[open] = f.all("acme")
		f.read(func(tx *bbolt.Tx) {
			for month, all := range closed {
				for _, filter := range []licenses.Filter{{}, {Company: "globex"}, {Status: "released"}, {Type: "server", Status: "used"}} {
					filter.Provider, filter.Month = "acme", month
					var want []events.License
					for _, l := range all {
						if selects(filter, &l) && sawMonth(&l, month) {
							want = append(want, l)
						}
					}
					got := f.everything(tx, filter, licenses.Order{}, 7)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("seed %d, %s under %+v (-want +got):\n%s", seed, month, filter, diff)
					}
					if n, err := licenses.Count(tx, filter); err != nil || int(n.All) != len(want) {
						t.Fatalf("seed %d, %s under %+v: counted %+v, want %d, %v", seed, month, filter, n, len(want), err)
					}
				}
			}
			// A search finds in the running month what it finds otherwise.
			for _, q := range []string{"pc", "server", "globex pc", "s"} {
				filter := licenses.Filter{Provider: "acme", Month: open, Search: parse(q)}
				want := map[string]bool{}
				for _, l := range closed[open] {
					if sawMonth(&l, open) && f.finds("acme", q, &l) {
						want[l.ID] = true
					}
				}
				rows := f.everything(tx, filter, licenses.Order{}, 3)
				if got := ids(rows); len(got) != len(rows) || !maps.Equal(got, want) {
					t.Fatalf("seed %d, %q in the running month: %d rows, want %d", seed, q, len(rows), len(want))
				}
				if n, err := licenses.Count(tx, filter); err != nil || int(n.All) != len(want) {
					t.Fatalf("seed %d, %q in the running month: counted %+v, want %d, %v", seed, q, n, len(want), err)
				}
			}
			// Before the provider there is nothing.
			if rows := f.everything(tx, licenses.Filter{Provider: "acme", Month: 12}, licenses.Order{}, 7); len(rows) > 0 {
				t.Errorf("%d licenses in the beginning of time", len(rows))
			}
		})
	}
}

// Sorted by any column, in both directions, every row comes once and in order.
func TestSorted(t *testing.T) {
	f := follow(t, 90)
	for len(f.Entries) < 300 {
		f.Step()
	}
	f.catchUp(30)
	all := f.all("acme")
	f.read(func(tx *bbolt.Tx) {
		for _, column := range []licenses.Column{
			licenses.SortID, licenses.SortType, licenses.SortCompany, licenses.SortAssignee, licenses.SortStatus, licenses.SortExpiry,
		} {
			value := func(l *events.License) string {
				switch column {
				case licenses.SortType:
					return l.Type
				case licenses.SortCompany:
					return licenses.CompanyOf(l)
				case licenses.SortAssignee:
					if !l.Assigned && l.Status.InForce() || l.Assignee.ID == "" {
						return ""
					}
					return string(l.Assignee.Kind) + " " + l.Assignee.ID
				case licenses.SortStatus:
					return string(l.Status)
				case licenses.SortExpiry:
					return events.FormatTime(l.ExpiresAt)
				}
				return l.ID
			}
			for _, descending := range []bool{false, true} {
				for _, filter := range []licenses.Filter{{Provider: "acme"}, {Provider: "acme", Search: parse("s")}, {Provider: "acme", Status: "paid"}, {Provider: "acme", Company: "globex"}, {Provider: "acme", Type: "server"}} {
					o := licenses.Order{By: column, Descending: descending}
					rows := f.everything(tx, filter, o, 4)
					want := 0
					for i := range all {
						if selects(filter, &all[i]) && (filter.Search == nil || f.finds("acme", "s", &all[i])) {
							want++
						}
					}
					if len(ids(rows)) != want || len(rows) != want {
						t.Fatalf("by %s under %+v: %d rows, want %d", column, filter, len(rows), want)
					}
					for i := 1; i < len(rows); i++ {
						if a, b := value(&rows[i-1]), value(&rows[i]); a > b && !descending || a < b && descending {
							t.Fatalf("by %s, descending %t: %q comes before %q", column, descending, a, b)
						}
					}
					if column == licenses.SortExpiry { // which has no index
						continue
					}
					// Out of the indexes and out of all rows come the same pages, and the places of one are good for the other.
					for after, n := "", 0; n == 0 || after != ""; n++ {
						byRows, next, err := licenses.PageByRows(tx, filter, o, after, 3)
						if err != nil {
							t.Fatal(err)
						}
						byIndex, place, err := licenses.PageByIndex(tx, filter, o, after, 3)
						if diff := cmp.Diff(byRows, byIndex, cmpopts.EquateEmpty()); err != nil || diff != "" || next != place {
							t.Fatalf("by %s, descending %t, under %+v, behind %q: next %q and %q, %v (-rows +index)\n%s", column, descending, filter, after, next, place, err, diff)
						}
						after = next
					}
				}
			}
		}
	})
}
