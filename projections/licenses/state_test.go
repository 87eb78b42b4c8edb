package licenses_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
	"licenseledger/projections/viewtest"
)

func TestView(t *testing.T) {
	viewtest.Run(t, func() projections.View { return licenses.New() }, func(t *rapid.T) []events.Record {
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 90).Draw(t, "entries")
		return viewtest.Pack("history", ledgertest.History(seed, n))
	})
}

// told writes a decision in the bytes of the log.
func told(d license.Decision, err error) string {
	b := fmt.Appendf(nil, "%d due, duplicate %v, error %v", len(d.Due), d.Duplicate, err)
	for _, ev := range slices.Concat(d.Due, d.Events) {
		var bad error
		if b, bad = events.AppendEvent(append(b, '\n'), &ev); bad != nil {
			panic(bad)
		}
	}
	return string(b)
}

// What is loaded is the fold: every command of a busy ledger is decided alike on both, and everything that a state tells is the same.
func TestLoadState(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			f := follow(t, seed)
			commands := map[string]bool{} // every id that was ever used
			f.Deciding = func(s *license.State, c ledger.Command) {
				f.catchUp(1 + int(seed)*5)
				facts := f.Facts(c)
				var loaded *license.State
				f.read(func(tx *bbolt.Tx) {
					var err error
					if loaded, err = licenses.LoadState(tx, c.Provider); err != nil {
						t.Fatal(err)
					}
					if facts.Spool != nil {
						r := c.Body.(license.Report)
						spool, err := licenses.LoadSpool(tx, c.Provider, r.Agent, r.Spool)
						if err != nil {
							t.Fatal(err)
						}
						if diff := cmp.Diff(*facts.Spool, spool); diff != "" {
							t.Fatalf("spool %s/%s/%s (-fold +row):\n%s", c.Provider, r.Agent, r.Spool, diff)
						}
					}
					_, facts.Catalogs, err = licenses.LoadSystem(tx)
					if err != nil {
						t.Fatal(err)
					}
				})
				d, err := license.Decide(s, c.Body, f.Facts(c))
				again, againErr := license.Decide(loaded, c.Body, facts)
				if want, got := told(d, err), told(again, againErr); got != want {
					t.Fatalf("%+v is decided in another way on what was loaded:\n%s\nwant\n%s", c.Body, got, want)
				}
				if c.Provider != "" { // the ledger's own commands are remembered nowhere
					commands[c.ID] = true
					same(t, s, loaded, commands)
				}
			}
			for len(f.Entries) < 250 {
				f.Step()
			}
		})
	}
}

// same compares all that two states tell.
func same(t *testing.T, want, got *license.State, commands map[string]bool) {
	t.Helper()
	if diff := cmp.Diff(want.Account(), got.Account()); diff != "" {
		t.Fatalf("the account (-fold +rows):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Collect(want.Licenses()), slices.Collect(got.Licenses())); diff != "" {
		t.Fatalf("the licenses (-fold +rows):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Collect(want.Keys()), slices.Collect(got.Keys())); diff != "" {
		t.Fatalf("the keys (-fold +rows):\n%s", diff)
	}
	for k := range want.Keys() {
		if diff := cmp.Diff(slices.Collect(want.Seats(k.ID)), slices.Collect(got.Seats(k.ID))); diff != "" || want.UsedSeats(k.ID) != got.UsedSeats(k.ID) {
			t.Fatalf("the seats of key %s, %d and %d (-fold +rows):\n%s", k.ID, want.UsedSeats(k.ID), got.UsedSeats(k.ID), diff)
		}
	}
	for i := range want.Instances() {
		if found, ok := got.Instance(i.ID); !ok || !cmp.Equal(i, found) {
			t.Fatalf("instance %s is %+v; the fold says %+v", i.ID, found, i)
		}
	}
	if want.Size() != got.Size() || !want.NextDue().Equal(got.NextDue()) {
		t.Fatalf("size %d, next due %s; the fold says %d, %s", got.Size(), got.NextDue(), want.Size(), want.NextDue())
	}
	for id := range commands {
		a, inFold := want.Command(id)
		b, inRows := got.Command(id)
		if inFold != inRows || a != b {
			t.Fatalf("command %s is remembered as %+v, %v; the fold says %+v, %v", id, b, inRows, a, inFold)
		}
	}
}

// Commands are forgotten by the provider's own entries, 24 hours later, whatever transactions there were.
func TestForgetting(t *testing.T) {
	at := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
	var entries []events.Entry
	entry := func(after time.Duration, provider, command string) {
		entries = append(entries, events.Entry{
			Number: uint64(len(entries)), Time: at.Add(after), Provider: provider, Actor: "operator", Command: command,
			Request: events.Digest{1}, Events: []events.Event{{Data: &events.ProviderSet{Name: "x", Currency: "USD"}}},
		})
	}
	const day = license.MemoryOfCommands
	entry(0, "acme", "http/operator/k1")
	entry(0, "acme-2", "http/operator/k1")
	entry(time.Hour, "acme", "http/operator/k2")
	entry(2*time.Hour, "acme", "nats/agent/k3")
	entry(3*time.Hour, "acme", "http/operator/k1") // once more, as two writers might leave it
	entry(day, "acme", "clock/due")                // exactly a day after the first: still there
	entry(day+2*time.Hour, "acme-2", "clock/due")  // another provider's time
	entry(day+2*time.Hour, "acme", "http/operator/k4")
	entry(day+3*time.Hour+events.Precision, "acme", "clock/due")

	fold := map[string]*license.State{"acme": license.NewState(), "acme-2": license.NewState()}
	single := newFile(t)
	ids := map[string]bool{"http/operator/k1": true, "http/operator/k2": true, "http/operator/k4": true, "nats/agent/k3": true}
	for i := range entries {
		single.apply(entries[i])
		whole := newFile(t)
		whole.apply(entries[:i+1]...)
		fold[entries[i].Provider].Apply(&entries[i])
		for p, want := range fold {
			for _, f := range []*file{whole, single} {
				f.read(func(tx *bbolt.Tx) {
					got, err := licenses.LoadState(tx, p)
					if err != nil {
						t.Fatal(err)
					}
					same(t, want, got, ids)
				})
			}
		}
	}
	var left []string
	for id := range ids {
		if _, ok := fold["acme"].Command(id); ok {
			left = append(left, id)
		}
	}
	if len(left) != 1 || left[0] != "http/operator/k4" {
		t.Errorf("in the end %v are remembered", left)
	}
}

// The ledger's own state, and catalogs of which a later one of the same month replaces the earlier (domain C1).
func TestLoadSystem(t *testing.T) {
	f := follow(t, 1)
	catalogs := 0
	for len(f.Entries) < 600 || catalogs < 3 {
		f.Step()
		catalogs = 0
		for _, e := range f.Entries {
			for _, ev := range e.Events {
				if _, ok := ev.Data.(*events.CatalogPublished); ok {
					catalogs++
				}
			}
		}
	}
	f.catchUp(9)
	f.read(func(tx *bbolt.Tx) {
		s, book, err := licenses.LoadSystem(tx)
		if err != nil {
			t.Fatal(err)
		}
		if want := (licenses.System{Ledger: f.System.Ledger, TestClock: true, Time: f.System.Time, Checkpoint: f.System.Checkpoint}); s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
		for m := events.MonthOf(f.Now) - 40; m < events.MonthOf(f.Now)+4; m++ {
			got, entry, ok := book.At(m)
			want, wantEntry, wantOK := f.System.Catalogs.At(m)
			if entry != wantEntry || ok != wantOK {
				t.Errorf("the catalog of %s is of entry %d, %v; want %d, %v", m, entry, ok, wantEntry, wantOK)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the catalog of %s (-fold +rows):\n%s", m, diff)
			}
		}
	})
}

// Before anything was applied there is nothing, and no error.
func TestEmptyFile(t *testing.T) {
	newFile(t).read(func(tx *bbolt.Tx) {
		s, _, err := licenses.LoadSystem(tx)
		if s != (licenses.System{}) || err != nil {
			t.Errorf("%+v, %v", s, err)
		}
		state, err := licenses.LoadState(tx, "acme")
		if err != nil || state.Size() != 1 {
			t.Errorf("%v, %v", state, err)
		}
		_, ok, err := licenses.LoadLicense(tx, "acme", "x")
		if ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if _, ok, err := licenses.LoadAccount(tx, "acme"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if spool, err := licenses.LoadSpool(tx, "acme", "pc-1", ""); err != nil || spool.High != 0 {
			t.Errorf("%+v, %v", spool, err)
		}
		if _, ok := licenses.NextDue(tx); ok {
			t.Error("something is due")
		}
		if ids := licenses.DueProviders(tx, time.Now(), 10); ids != nil {
			t.Errorf("%v are due", ids)
		}
		if n, err := licenses.Count(tx, licenses.Filter{Provider: "acme"}); err != nil || n != (licenses.Counters{}) {
			t.Errorf("%+v", n)
		}
		for _, f := range []licenses.Filter{{Provider: "acme"}, {Provider: "acme", Status: "paid"}} {
			if rows, _, err := licenses.Page(tx, f, licenses.Order{}, "", 10); len(rows) != 0 || err != nil {
				t.Errorf("%v, %v", rows, err)
			}
		}
		if rows, err := licenses.ByAssignee(tx, "acme", events.Assignee{}); len(rows) != 0 || err != nil {
			t.Errorf("%v, %v", rows, err)
		}
	})
}
