package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

// statements are those of a provider, as the API shows them, in the order of their months.
func statements(t *testing.T, c *api.Client, provider string) (list []api.Invoice) {
	t.Helper()
	for s, err := range c.AllInvoices(t.Context(), provider, api.InvoiceQuery{PageOptions: api.PageOptions{Sort: "month"}}) {
		list = append(list, must(s, err)(t))
	}
	return list
}

// checkMonths checks in the log that no month was closed twice, statements are numbered without gaps, each after its month's
// end and in order, and each license was renewed at most once for each month.
func checkMonths(t *testing.T, entries []events.Entry, provider string, months ...string) {
	t.Helper()
	var closed, issued []string
	renewed := make(map[string]bool)
	for i := range entries {
		if entries[i].Provider != provider {
			continue
		}
		for j, ev := range entries[i].Events {
			at := entries[i].EffectiveAt(j)
			switch d := ev.Data.(type) {
			case *events.MonthClosed:
				closed = append(closed, d.Month.String())
				if !at.Equal(d.Month.End()) {
					t.Errorf("%s: %s is closed at %s", provider, d.Month, at)
				}
			case *events.StatementIssued:
				issued = append(issued, d.Month.String())
				if want := fmt.Sprintf("S-%06d", len(issued)); d.Number != want || len(issued) > len(closed) || entries[d.Cut].Provider != provider {
					t.Errorf("%s: statement %s of %s, want number %s; closed are %v", provider, d.Number, d.Month, want, closed)
				}
			case *events.LicenseRenewed:
				name := d.License.ID + " " + at.Format(time.DateOnly)
				if renewed[name] || at.Day() != 1 {
					t.Errorf("%s: license renewed twice or not on the first: %s", provider, name)
				}
				renewed[name] = true
			}
		}
	}
	if !slices.Equal(closed, months) || !slices.Equal(issued, months) {
		t.Errorf("%s: closed %v, issued %v, want %v", provider, closed, issued, months)
	}
}

// One move of the clock over four months does what four months do, in their order (domain D4, L8, L9, B2, B3).
func TestClockOverMonths(t *testing.T) {
	dir := t.TempDir()
	d := within(t, onTestClock(dir)...)
	c := d.ready()
	ctx := t.Context()
	for provider, n := range map[string]int{"acme": 4, "umbrella": 1} {
		setUp(t, c, provider)
		for i := range n {
			body := api.LicenseAllocate{LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: fmt.Sprint("pc-", i)}}
			if i == 3 { // ends with January
				once := api.LicenseBuy{LicenseType: "server", Quantity: 1, AutoRenew: new(false)}
				body.LicenseType, body.License = "", must(c.BuyLicenses(ctx, provider, once, api.ChangeOptions{}))(t).Licenses[0].ID
			}
			must(c.AllocateLicense(ctx, provider, body, api.ChangeOptions{}))(t)
		}
	}
	to := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	moved := must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
	if !moved.Now.Equal(to) {
		t.Errorf("the clock stands at %s", moved.Now)
	}

	// Nothing has to be waited for: the move answers when all of it can be seen. 27 of January's 31 days: 6.09 each.
	for provider, totals := range map[string][]string{"acme": {"24.36", "20.97", "20.97", "20.97"}, "umbrella": {"20.00", "20.00", "20.00", "20.00"}} {
		var got []string
		for i, s := range statements(t, c, provider) {
			month := time.Date(2026, time.January+time.Month(i), 1, 0, 0, 0, 0, time.UTC)
			if s.Number != fmt.Sprintf("S-%06d", i+1) || s.Month != month.Format("2006-01") || !s.IssuedAt.Equal(month.AddDate(0, 1, 0)) {
				t.Errorf("%s: %s of %s issued at %s", provider, s.Number, s.Month, s.IssuedAt)
			}
			got = append(got, s.Total)
		}
		if !slices.Equal(got, totals) {
			t.Errorf("%s: totals %v, want %v", provider, got, totals)
		}
	}
	counters := must(c.LicenseCounters(ctx, "acme", api.CountersQuery{}))(t)
	if counters.All != 4 || counters.Used != 3 {
		t.Errorf("licenses of acme: %+v", counters)
	}

	// Moving to where it stands changes nothing, back is refused.
	again := must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
	if *again.Position != *moved.Position {
		t.Errorf("moved to where it stood: entry %d, was %d", *again.Position, *moved.Position)
	}
	if _, err := c.SetClock(ctx, api.Clock{Now: to.Add(-time.Second)}, api.ChangeOptions{}); api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("moved back: %v", err)
	}
	d.stop()
	_, entries := readLog(t, dir)
	for _, provider := range []string{"acme", "umbrella"} {
		checkMonths(t, entries, provider, "2026-01", "2026-02", "2026-03", "2026-04")
	}

	// It goes on where it stood, whatever the flag says.
	d = within(t, onTestClock(dir)...)
	if now := must(d.ready().Clock(ctx, api.ReadOptions{}))(t).Now; !now.Equal(to) {
		t.Errorf("started again, the clock stands at %s", now)
	}
	d.stop()
}

// A long move of the clock is killed again and again, and once stopped politely; moving again goes on where it was. In the end
// there is what one move without a break does.
func TestClockKilled(t *testing.T) {
	choose := rand.New(rand.NewPCG(seedOf(t), 3))
	dir := t.TempDir()
	ctx := t.Context()
	d := start(t, onTestClock(dir)...)
	c := d.ready()
	licenses := map[string]int{"acme": 2500, "umbrella": 700}
	for provider, n := range licenses {
		setUp(t, c, provider)
		for left := n; left > 0; left -= 500 {
			must(c.BuyLicenses(ctx, provider, api.LicenseBuy{LicenseType: "server", Quantity: min(left, 500)}, api.ChangeOptions{}))(t)
		}
		must(c.AllocateLicense(ctx, provider, api.LicenseAllocate{
			LicenseType: "ultimate", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "pc-1"},
		}, api.ChangeOptions{}))(t)
	}
	var begun uint64
	must(c.LicenseCounters(ctx, "acme", api.CountersQuery{ReadOptions: api.ReadOptions{Seen: &begun}}))(t)
	d.stop()

	// What one move does.
	to := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	whole := copyFolder(t, dir)
	d = start(t, onTestClock(whole)...)
	c = d.ready()
	ended := *must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t).Position
	want := make(map[string][]api.Invoice)
	for provider := range licenses {
		want[provider] = statements(t, c, provider)
	}
	d.stop()

	// The same in pieces.
	var moments []uint64
	for range 7 {
		moments = append(moments, begun+1+choose.Uint64N(ended-begun-1))
	}
	slices.Sort(moments)
	interrupted := 0
	for i, moment := range moments {
		d := start(t, onTestClock(dir)...)
		c := d.ready()
		moving := make(chan error, 1)
		go func() {
			_, err := c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{})
			moving <- err
		}()
		// A read waits for the entry, and for more than it takes on a busy machine if it is asked again.
		for {
			_, err := c.LicenseCounters(ctx, "acme", api.CountersQuery{ReadOptions: api.ReadOptions{After: moment}})
			if err == nil {
				break
			}
			if api.CodeOf(err) != api.CodeBehind {
				t.Fatal(err)
			}
		}
		if i == len(moments)/2 {
			d.stop()
		} else {
			d.kill()
		}
		if <-moving != nil { // it may have come to its end
			interrupted++
		}
	}
	if interrupted == 0 {
		t.Error("no move was interrupted")
	}
	t.Logf("%d moves of %d were interrupted", interrupted, len(moments))
	d = start(t, onTestClock(dir)...)
	c = d.ready()
	must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
	for provider := range licenses {
		got := statements(t, c, provider)
		if d := cmp.Diff(want[provider], got, cmpopts.IgnoreFields(api.Invoice{}, "Position")); d != "" || len(got) != 8 {
			t.Errorf("%s (- in one move, + in pieces):\n%s", provider, d)
		}
	}
	d.end(syscall.SIGTERM)
	d.exits(0)
	_, entries := readLog(t, dir)
	months := []string{"2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06", "2026-07", "2026-08"}
	for provider, n := range licenses {
		checkMonths(t, entries, provider, months...)
		renewals := 0
		for i := range entries {
			for _, ev := range entries[i].Events {
				if _, ok := ev.Data.(*events.LicenseRenewed); ok && entries[i].Provider == provider {
					renewals++
				}
			}
		}
		if renewals != (n+1)*len(months) {
			t.Errorf("%s: %d renewals, want %d", provider, renewals, (n+1)*len(months))
		}
	}
}
