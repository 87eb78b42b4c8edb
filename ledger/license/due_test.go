package license_test

import (
	"testing"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// What is due at T has happened before any command at T or later (domain D3, D4, L8, L9).
func TestDue(t *testing.T) {
	once := license.Buy{Type: "server", Quantity: 1, NoRenew: true}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"D4: nothing is due in the last millisecond of a month", []step{
			{"2026-02-10T09:00", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
			{"2026-02-28T23:59:59.999Z", license.Release{License: "L1"}, `released L1 server`},
		}},
		{"D4, L9: at 00:00:00 the month is closed and the license renewed before the command", []step{
			{"2026-02-10T09:00", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
			{"2026-03-01", license.Release{License: "L1"}, `
				due closed 2026-02
				due renewed L1 server until 2026-04-01
				released L1 server`},
		}},
		{"D4: events carry the time at which they took effect when the command comes late", []step{
			{"2026-02-10T09:00", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
			{"2026-03-01T00:00:00.001Z", license.Release{License: "L1"}, `
				due closed 2026-02 at 2026-03-01
				due renewed L1 server until 2026-04-01 at 2026-03-01
				released L1 server`},
		}},
		{"L8, D3: without auto-renew it is over at 00:00:00, and the refused command leaves only what was due", []step{
			{"2026-02-10T09:00", once, `bought L1 server in "", not renewing until 2026-03-01`},
			{"2026-03-01", license.Release{License: "L1"}, `
				due closed 2026-02
				due expired L1 server, auto-renew-off
				refused license_closed`},
			{"2026-03-02", license.Release{License: "L1"}, `refused license_closed`},
		}},
		{"D4: a command settles the licenses that it touches; the others wait for the clock's pages", []step{
			{"2026-02-10T09:00", buy("server", 3, ""), `
				bought L1 server in "" until 2026-03-01
				bought L2 server in "" until 2026-03-01
				bought L3 server in "" until 2026-03-01`},
			{"2026-03-04", license.Release{License: "L2"}, `
				due closed 2026-02 at 2026-03-01
				due renewed L2 server until 2026-04-01 at 2026-03-01
				released L2 server`},
			{"2026-03-05", license.Settle{Limit: 1}, `due renewed L1 server until 2026-04-01 at 2026-03-01`},
			{"2026-03-05", license.Settle{Limit: 1}, `due renewed L3 server until 2026-04-01 at 2026-03-01`},
			{"2026-03-05", license.Settle{Limit: 1}, ``},
			{"2026-03-05", license.Settle{}, ``},
		}},
		{"D4, B6: months late: every month closes after what fell due in it, in the order of time", []step{
			{"2026-01-10T09:00", buy("server", 2, ""), `
				bought L1 server in "" until 2026-02-01
				bought L2 server in "" until 2026-02-01`},
			{"2026-01-11", once, `bought L3 server in "", not renewing until 2026-02-01`},
			{"2026-04-02", license.Release{License: "L2"}, `
				due closed 2026-01 at 2026-02-01
				due renewed L1 server until 2026-03-01 at 2026-02-01
				due renewed L2 server until 2026-03-01 at 2026-02-01
				due expired L3 server, auto-renew-off at 2026-02-01
				due closed 2026-02 at 2026-03-01
				due renewed L1 server until 2026-04-01 at 2026-03-01
				due renewed L2 server until 2026-04-01 at 2026-03-01
				due closed 2026-03 at 2026-04-01
				due renewed L2 server until 2026-05-01 at 2026-04-01
				released L2 server`},
			{"2026-04-02", license.Settle{}, `due renewed L1 server until 2026-05-01 at 2026-04-01`},
		}},
		{"D4: a refused command, too, finds its provider past what was due", []step{
			{"2026-01-10T09:00", buy("server", 0, ""), `refused invalid quantity`},
			{"2026-02-01", buy("server", 0, ""), "due closed 2026-01\nrefused invalid quantity"},
			{"2026-02-01", buy("server", 0, ""), `refused invalid quantity`},
		}},
		{"L9: without payment method it expires", []step{
			{"2026-02-10T09:00", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
			{"2026-02-20", license.RemovePaymentMethod{}, `payment-method.removed.v1`},
			{"2026-03-01", license.Settle{}, `
				due closed 2026-02
				due expired L1 server, no-payment-method`},
		}},
		{"L9: the month's end is decided under the payment method of that instant", []step{
			{"2026-02-10T09:00", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
			{"2026-03-01", license.RemovePaymentMethod{}, `
				due closed 2026-02
				due renewed L1 server until 2026-04-01
				payment-method.removed.v1`},
			{"2026-04-03", license.SetPaymentMethod{System: "fastspring", Account: "a1"}, `
				due closed 2026-03 at 2026-04-01
				due expired L1 server, no-payment-method at 2026-04-01
				pays by a1`},
		}},
		{"L8 before L9: auto-renew off is the reason where both are", []step{
			{"2026-02-10T09:00", once, `bought L1 server in "", not renewing until 2026-03-01`},
			{"2026-02-20", license.RemovePaymentMethod{}, `payment-method.removed.v1`},
			{"2026-03-01", license.Settle{}, "due closed 2026-02\ndue expired L1 server, auto-renew-off"},
		}},
		{"L9, L5: an unassigned license is renewed too, an assigned one goes on serving", []step{
			{"2026-02-10T09:00", buy("server", 2, "globex"), `
				bought L1 server in "globex" until 2026-03-01
				bought L2 server in "globex" until 2026-03-01`},
			{"2026-02-10T09:00", allocate("server", "globex", "pc-1"), `
				endpoint pc-1 of "globex"
				allocated L1 server from company-pool to pc-1 of "globex"`},
			{"2026-03-01", allocate("server", "globex", "pc-1"), `
				due closed 2026-02
				due renewed L1 server until 2026-04-01
				refused license_already_held`},
			{"2026-03-01", allocate("server", "globex", "pc-2"), `
				due renewed L2 server until 2026-04-01
				endpoint pc-2 of "globex"
				allocated L2 server from company-pool to pc-2 of "globex"`},
		}},
		{"L4, L8: what has run out serves nobody any more, and its place in the pool is empty", []step{
			{"2026-02-10T09:00", license.Buy{Type: "server", Quantity: 2, Company: "globex", NoRenew: true}, `
				bought L1 server in "globex", not renewing until 2026-03-01
				bought L2 server in "globex", not renewing until 2026-03-01`},
			{"2026-02-10T09:00", allocate("server", "globex", "pc-1"), `
				endpoint pc-1 of "globex"
				allocated L1 server from company-pool to pc-1 of "globex"`},
			{"2026-03-01", allocate("server", "globex", "pc-1"), `
				due closed 2026-02
				due expired L1 server, auto-renew-off
				due expired L2 server, auto-renew-off
				refused pool_empty`},
		}},
		{"D1: February has 28 days, a year twelve months", []step{
			{"2026-01-31T23:59:59.999Z", buy("server", 1, ""), `bought L1 server in "" until 2026-02-01`},
			{"2026-02-01", license.Settle{}, "due closed 2026-01\ndue renewed L1 server until 2026-03-01"},
			{"2026-12-31", license.Settle{}, `
				due closed 2026-02 at 2026-03-01
				due renewed L1 server until 2026-04-01 at 2026-03-01
				due closed 2026-03 at 2026-04-01
				due renewed L1 server until 2026-05-01 at 2026-04-01
				due closed 2026-04 at 2026-05-01
				due renewed L1 server until 2026-06-01 at 2026-05-01
				due closed 2026-05 at 2026-06-01
				due renewed L1 server until 2026-07-01 at 2026-06-01
				due closed 2026-06 at 2026-07-01
				due renewed L1 server until 2026-08-01 at 2026-07-01
				due closed 2026-07 at 2026-08-01
				due renewed L1 server until 2026-09-01 at 2026-08-01
				due closed 2026-08 at 2026-09-01
				due renewed L1 server until 2026-10-01 at 2026-09-01
				due closed 2026-09 at 2026-10-01
				due renewed L1 server until 2026-11-01 at 2026-10-01
				due closed 2026-10 at 2026-11-01
				due renewed L1 server until 2026-12-01 at 2026-11-01
				due closed 2026-11 at 2026-12-01
				due renewed L1 server until 2027-01-01 at 2026-12-01`},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { newDesk(t, test.steps[0].at[:7]+"-01").run(test.steps...) })
	}
}

func TestSettleOfNobody(t *testing.T) {
	d := emptyDesk(t, "2026-01-05")
	if got := d.do(license.Settle{}); got != "refused not_found" {
		t.Error(got)
	}
}

// NextDue is what the clock waits for.
func TestNextDue(t *testing.T) {
	d := newDesk(t, "2026-01-05")
	check := func(want string) {
		t.Helper()
		if got := d.State("acme").NextDue(); !got.Equal(instant(want)) {
			t.Errorf("at %s the next is due at %s, want %s", events.FormatTime(d.Now), got, want)
		}
	}
	check("2026-02-01") // the month's end
	d.must(buy("server", 1, ""))
	d.at("2026-02-01")
	d.must(license.Release{License: "L1"})
	check("2026-03-01")
	d.must(buy("server", 1, ""))
	d.at("2026-03-01")
	d.do(buy("server", 0, "")) // closes the month, and leaves the license
	check("2026-03-01")
	d.must(license.Settle{})
	check("2026-04-01")
}

// Whatever the commands and however late they come (domain D4, B6): what happens takes effect in the month that is open, months
// close one after the other, and a license ends or goes on before anything else happens to it.
func TestDueIsInOrder(t *testing.T) {
	for seed := range uint64(10) {
		entries := ledgertest.History(seed, 400)
		open := map[string]events.Month{}
		ends := map[string]events.License{}
		for _, e := range entries {
			for i, ev := range e.Events {
				at := e.EffectiveAt(i)
				if at.After(e.Time) || e.Actor != events.ClockActor && !ev.Effective.IsZero() {
					t.Fatalf("seed %d: event %d.%d takes effect at %s", seed, e.Number, i, at)
				}
				switch d := ev.Data.(type) {
				case *events.ProviderSet:
					if open[e.Provider] == 0 {
						open[e.Provider] = events.MonthOf(e.Time)
					}
				case *events.MonthClosed:
					if d.Month != open[e.Provider] || !at.Equal(d.Month.End()) {
						t.Fatalf("seed %d: entry %d closes %s, open is %s", seed, e.Number, d.Month, open[e.Provider])
					}
					open[e.Provider]++
				}
				if m := open[e.Provider]; m != 0 && events.MonthOf(at) != m {
					t.Fatalf("seed %d: event %d.%d takes effect at %s, when %s was open", seed, e.Number, i, at, m)
				}
				l := events.LicenseAfter(ev.Data)
				if l == nil {
					continue
				}
				before, known := ends[l.ID]
				switch ev.Data.(type) {
				case *events.LicenseRenewed, *events.LicenseExpired:
					if !at.Equal(before.ExpiresAt) {
						t.Fatalf("seed %d: event %d.%d ends a license at %s that runs to %s", seed, e.Number, i, at, before.ExpiresAt)
					}
				default:
					if known && !before.ExpiresAt.After(at) {
						t.Fatalf("seed %d: event %d.%d touches a license at %s that ran to %s", seed, e.Number, i, at, before.ExpiresAt)
					}
				}
				ends[l.ID] = *l
			}
		}
		if len(open) == 0 || len(ends) == 0 {
			t.Fatalf("seed %d: nothing happened", seed)
		}
	}
}

// Pages of the clock come to an end, and by then nothing is due. No page holds more licenses than it was asked for.
func TestSettleInPages(t *testing.T) {
	const limit = 3
	traffic := ledgertest.NewTraffic(3)
	for len(traffic.Entries) < 300 {
		traffic.Step()
	}
	pages := 0
	traffic.Now = events.MonthOf(traffic.Now).End()
	for _, p := range traffic.Providers() {
		if _, err := traffic.Do(p, license.Settle{}); err != nil {
			t.Fatal(err)
		}
	}
	traffic.Now = events.MonthOf(traffic.Now).End()
	for _, p := range traffic.Providers() {
		for {
			d, err := traffic.Submit(ledger.Command{ID: "clock/settle", Actor: events.ClockActor, Provider: p, Body: license.Settle{Limit: limit}})
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Due) == 0 {
				break
			}
			if _, closes := d.Due[0].Data.(*events.MonthClosed); closes {
				d.Due = d.Due[1:]
			}
			if len(d.Due) > limit {
				t.Errorf("a page of %s holds %d licenses", p, len(d.Due))
			}
			pages++
		}
		if next := traffic.State(p).NextDue(); !next.After(traffic.Now) {
			t.Errorf("after all pages of %s something is due at %s", p, next)
		}
	}
	if pages < 10 {
		t.Errorf("there were %d pages; the test wants more", pages)
	}
}
