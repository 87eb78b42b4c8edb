package past_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/projections/licenses"
	"licenseledger/projections/viewtest"
)

// shown is all that the grid shows under a filter in an order, with its counters, and each row alone.
type shown struct {
	Rows     []events.License
	Counters licenses.Counters
	Alone    []events.License
}

func show(t *testing.T, tx *bbolt.Tx, f licenses.Filter, o licenses.Order, one func(id string) (events.License, bool, error)) (s shown) {
	t.Helper()
	for after, more := "", true; more; more = after != "" {
		rows, next, err := licenses.Page(tx, f, o, after, 5)
		if err != nil {
			t.Fatal(err)
		}
		s.Rows, after = append(s.Rows, rows...), next
	}
	var err error
	if s.Counters, err = licenses.Count(tx, f); err != nil {
		t.Fatal(err)
	}
	for i := range s.Rows {
		l, ok, err := one(s.Rows[i].ID)
		if err != nil || !ok {
			t.Fatalf("license %s alone: %v, %v", s.Rows[i].ID, ok, err)
		}
		s.Alone = append(s.Alone, l)
	}
	return s
}

// Domain, section 8: in random histories, at random times, the versions of the month before and what happened since show what the live view
// showed: the grid, its counters and each license.
func TestLicensesAreAsTheyWere(t *testing.T) {
	told := 0
	for seed := range uint64(5) {
		traffic := ledgertest.NewTraffic(200 + seed)
		for len(traffic.Entries) < 500 {
			traffic.Step()
		}
		entries := traffic.Entries
		p := open(t, entries)
		now := live(t, viewtest.TempDir(t), entries, licenses.New())[0]
		r := rand.New(rand.NewPCG(seed, 7))
		for range 12 {
			n := 1 + r.IntN(len(entries)-1)
			at := entries[n].Time
			for n+1 < len(entries) && !entries[n+1].Time.After(at) {
				n++
			}
			for _, provider := range providers(entries) {
				then, last, ok, err := p.Licenses(t.Context(), provider, at)
				if err != nil {
					t.Fatal(err)
				}
				if !ok { // a view aside tells it
					continue
				}
				told++
				if want := lastOf(entries[:n+1], provider); last != want {
					t.Fatalf("seed %d, at %s, provider %s: the last entry is %d, not %d", seed, at, provider, last, want)
				}
				aside, err := p.View(t.Context(), licenses.New(), provider, past.At(at))
				if err != nil {
					t.Fatal(err)
				}
				month := events.MonthOf(at)
				for i, list := range []struct {
					licenses.Filter
					licenses.Order
				}{
					{}, {Filter: licenses.Filter{Status: licenses.Used}}, {Filter: licenses.Filter{Company: "globex", Type: "server"}},
					{Filter: licenses.Filter{Month: month}}, {Filter: licenses.Filter{Month: month - 1}}, {Filter: licenses.Filter{Month: month - 2, Status: "paid"}},
					{Order: licenses.Order{By: licenses.SortExpiry, Descending: true}}, {Order: licenses.Order{By: licenses.SortAssignee}, Filter: licenses.Filter{Month: month}},
				} {
					list.Provider = provider
					var was, is shown
					err := aside.Read(func(tx *bbolt.Tx) error {
						was = show(t, tx, list.Filter, list.Order, func(id string) (events.License, bool, error) { return licenses.LoadLicense(tx, provider, id) })
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					list.Then = then
					err = now.Read(t.Context(), func(tx *bbolt.Tx, _ uint64) error {
						is = show(t, tx, list.Filter, list.Order, func(id string) (events.License, bool, error) {
							return licenses.LoadLicenseThen(tx, provider, id, then)
						})
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(was, is); diff != "" {
						t.Fatalf("seed %d, at %s, provider %s, list %d (-was +is):\n%s", seed, at, provider, i, diff)
					}
				}
				if err := aside.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if told < 30 {
		t.Errorf("only %d moments were told by versions", told)
	}
}

func lastOf(entries []events.Entry, provider string) (last uint64) {
	for i := range entries {
		if entries[i].Provider == provider {
			last = entries[i].Number
		}
	}
	return last
}
