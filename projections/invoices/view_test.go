package invoices_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
	"licenseledger/projections/viewtest"
)

// Histories hold statements that were issued: the view reproduces every one of them, in whatever transactions.
func TestView(t *testing.T) {
	viewtest.Run(t, func() projections.View { return invoices.New() }, func(rt *rapid.T) []events.Record {
		tr := newTraffic(t, rapid.Uint64().Draw(rt, "seed"))
		defer tr.close()
		for n := rapid.IntRange(1, 120).Draw(rt, "entries"); len(tr.Entries) < n; {
			tr.Step()
		}
		return viewtest.Pack("history", tr.Entries)
	})
}

// Every statement, draft and usage history of a busy ledger is what the reference comes to, and adds up at every level (B2, B6, L15).
func TestTraffic(t *testing.T) {
	statements, compared := 0, 0
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			tr := newTraffic(t, seed)
			r := rand.New(rand.NewPCG(seed, 3))
			for len(tr.Entries) < 400 {
				tr.Step()
				if r.IntN(8) > 0 {
					continue
				}
				tr.catchUp()
				for _, p := range tr.Providers() {
					if a := tr.State(p).Account(); a.Exists() && checkOpen(t, tr, p, r) {
						compared++
					}
				}
			}
			tr.catchUp()
			for _, p := range tr.Providers() {
				statements += checkIssued(t, tr, p)
			}
		})
	}
	if statements < 20 || compared < 100 {
		t.Errorf("only %d statements were issued, and %d months compared", statements, compared)
	}
}

func checkOpen(t *testing.T, tr *traffic, provider string, r *rand.Rand) bool {
	t.Helper()
	open := tr.State(provider)
	a := open.Account()
	// What the clock still has to renew is not used yet, by the log.
	for l := range open.Licenses() {
		if l.Status.InForce() && !l.ExpiresAt.After(tr.Now) {
			return false
		}
	}
	through := a.Open.First() + events.Date(r.IntN(a.Open.Days()+5))
	want := tr.reference.history(provider, a.Open, min(through, a.Open.Last()))
	got := tr.draft(provider, through)
	if diff := cmp.Diff(toldReference(want.lines), toldLines(linesOf(got, catalog.Usage))); diff != "" {
		t.Fatalf("%s's draft of %s through %s (-reference +view):\n%s", provider, a.Open, through, diff)
	}
	tr.read(func(tx *bbolt.Tx) {
		history, err := invoices.History(tx, provider, a.Open, through)
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, got, history)
	})
	if got.Number != "" || got.Cut != 0 || got.Month != a.Open {
		t.Fatalf("the draft is %+v", got)
	}

	created := events.MonthOf(a.Created)
	m := created + events.Month(r.IntN(int(a.Open-created)+1))
	through = m.Last()
	if m == a.Open {
		through = min(through, events.DateOf(tr.Now))
	}
	want = tr.reference.history(provider, m, through)
	tr.read(func(tx *bbolt.Tx) {
		got, err := invoices.History(tx, provider, m, through)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.rows, toldRows(got)); diff != "" {
			t.Fatalf("%s's usage history of %s (-reference +view):\n%s", provider, m, diff)
		}
	})
	return true
}

// checkIssued walks over what was issued.
func checkIssued(t *testing.T, tr *traffic, provider string) int {
	f := tr.file
	list := f.issued(provider)
	a := tr.State(provider).Account()
	if len(list) != a.Statements {
		t.Fatalf("%s has %d statements, %d were issued", provider, len(list), a.Statements)
	}
	checkReference(t, &tr.reference, provider, list)
	for i, s := range list {
		if s.Number != license.StatementNumber(i+1) || i > 0 && s.Month <= list[i-1].Month || !s.IssuedAt.Equal(s.Month.End()) {
			t.Errorf("%s's statement %d is %s of %s, issued %s", provider, i, s.Number, s.Month, s.IssuedAt)
		}
		checkSums(t, s, f.history(provider, s.Month))
		if s.Digest != catalog.DigestLines(s.Lines) {
			t.Errorf("%s of %s: the digest is not of the lines", s.Number, provider)
		}
		issued, ok := tr.Entries[s.Entry].Events[0].Data.(*events.StatementIssued)
		if !ok || issued.Number != s.Number || tr.Entries[s.Entry].Provider != provider {
			t.Errorf("%s of %s names entry %d as that which issued it", s.Number, provider, s.Entry)
		}
		if !slices.ContainsFunc(tr.Entries[s.Cut].Events, func(ev events.Event) bool {
			closed, ok := ev.Data.(*events.MonthClosed)
			return ok && closed.Month == s.Month
		}) {
			t.Errorf("%s of %s names entry %d as its cut", s.Number, provider, s.Cut)
		}
		f.read(func(tx *bbolt.Tx) {
			one, ok, err := invoices.ByNumber(tx, provider, s.Number)
			if err != nil || !ok || !cmp.Equal(one, s, sameMoney) {
				t.Errorf("%s of %s by its number: %+v, %v, %v", s.Number, provider, one, ok, err)
			}
			rest, err := invoices.Issued(tx, provider, s.Month, 1)
			if err != nil || len(rest) != min(1, len(list)-i-1) || len(rest) == 1 && rest[0].Number != list[i+1].Number {
				t.Errorf("after %s of %s comes %+v, %v", s.Number, provider, rest, err)
			}
		})
	}
	return len(list)
}

var sameMoney = cmp.Options{
	cmp.Comparer(func(a, b events.Money) bool { return a.Equal(b.Decimal) }),
	cmp.Comparer(func(a, b catalog.Quantity) bool { return a.Equal(b.Decimal) }),
	cmp.Transformer("empty", func(l []catalog.Line) []catalog.Line {
		if len(l) == 0 {
			return nil
		}
		return slices.Clone(l)
	}),
}

func linesOf(s invoices.Statement, kind catalog.LineKind) (list []catalog.Line) {
	for _, l := range s.Lines {
		if l.Kind == kind {
			list = append(list, l)
		}
	}
	return list
}

// checkSums holds a statement's sums against each other and against its usage history (B2): per company and type, and as a whole.
func checkSums(t ledgertest.T, s invoices.Statement, history catalog.Rating) {
	t.Helper()
	cells := map[string]events.Money{}
	add := func(k string, m events.Money, sign int64) {
		sum := cells[k]
		if sign < 0 {
			m.Decimal = m.Neg()
		}
		sum.Decimal = sum.Add(m.Decimal)
		cells[k] = sum
	}
	for _, row := range history.Rows {
		add(row.Company+" "+row.Type, row.Cost, 1)
		add("subtotal", row.Cost, 1)
	}
	add("total", s.Total, -1)
	add("subtotal", s.Subtotal, -1)
	add("minimum", s.Minimum, -1)
	for _, l := range s.Lines {
		add("total", l.Amount, 1)
		switch l.Kind {
		case catalog.Usage:
			add(l.Company+" "+l.LicenseType, l.Amount, -1)
		case catalog.Minimum:
			add("minimum", l.Amount, 1)
		}
	}
	for k, rest := range cells {
		if !rest.IsZero() {
			t.Fatalf("B2: %s of %s does not add up: %s is left over", k, s.Month, rest)
		}
	}
}

// B6: a statement that cannot be reproduced stops the view with an error that names it, and nothing of the batch is kept.
func TestMismatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*events.StatementIssued)
		says   string
	}{
		{"another digest", func(s *events.StatementIssued) { s.Digest[0]++ }, "another digest"},
		{"another cut", func(s *events.StatementIssued) { s.Cut++ }, "cut by entry"},
		{"another number", func(s *events.StatementIssued) { s.Number = "S-000003" }, "the next number is S-000002"},
		{"a number that was used", func(s *events.StatementIssued) { s.Number = "S-000001" }, "the next number is S-000002"},
		{"other rules", func(s *events.StatementIssued) { s.Rules++ }, "rules 2"},
		{"another catalog", func(s *events.StatementIssued) { s.Catalog++ }, "published by entry"},
		{"another total", func(s *events.StatementIssued) { s.Total = money("20.01") }, "20.01"},
		{"another subtotal", func(s *events.StatementIssued) { s.Subtotal = money("0.01") }, "0.01"},
		{"another currency", func(s *events.StatementIssued) { s.Currency = "EUR" }, "EUR"},
		{"a month that was issued", func(s *events.StatementIssued) { s.Month-- }, "issued before, as S-000001"},
		{"a month without lines", func(s *events.StatementIssued) { s.Month--; s.Month-- }, "has no lines"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, "2026-01-20")
			d.at("2026-02-10")
			d.allocate("server", events.Endpoint, "pc-1")
			d.at("2026-03-01")
			d.must(license.Settle{})
			d.issue()
			d.at("2026-04-01")
			d.must(license.Settle{})
			good := d.pending(10)
			if _, err := d.Do("acme", issueOf(&good[0].Statement)); err != nil {
				t.Fatal(err)
			}
			entry := d.Entries[len(d.Entries)-1]
			bad := *entry.Events[0].Data.(*events.StatementIssued)
			test.change(&bad)
			entry.Events = []events.Event{{Data: &bad}}
			noise := d.Entries[d.applied-1]

			err := d.try(noise, entry)
			var mismatch *invoices.MismatchError
			if !errors.As(err, &mismatch) || mismatch.Number != bad.Number || mismatch.Provider != "acme" || mismatch.Entry != entry.Number {
				t.Fatalf("%v, want a mismatch that names %s", err, bad.Number)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%q does not say %q", err, test.says)
			}
			if now := d.pending(10); !cmp.Equal(good, now, sameMoney) {
				t.Errorf("a refused batch left something behind: %+v", now)
			}
			d.catchUp() // the right one is taken
			if n := len(d.issued("acme")); n != 2 {
				t.Errorf("%d statements", n)
			}
		})
	}
}

// B6: under the runtime, too, the view stops, says why, and a rebuild stops at the same entry.
func TestMismatchStopsTheView(t *testing.T) {
	d := newDesk(t, "2026-02-10")
	d.allocate("server", events.Endpoint, "pc-1")
	d.at("2026-03-01")
	d.must(license.Settle{})
	before := len(d.Entries)
	d.issue()
	issued := d.Entries[before].Events[0].Data.(*events.StatementIssued)
	issued.Digest[31]++

	dir := viewtest.TempDir(t)
	src := viewtest.NewSource(viewtest.Pack("r", d.Entries)...)
	for _, run := range []string{"live", "opened again", "rebuilt"} {
		if run == "rebuilt" {
			if err := projections.Remove(dir, invoices.New()); err != nil {
				t.Fatal(err)
			}
		}
		store, err := projections.Open(dir, invoices.New())
		if err != nil {
			t.Fatal(err)
		}
		err = projections.Follow(t.Context(), src, projections.Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, store)
		var mismatch *invoices.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Number != "S-000001" || mismatch.Entry != uint64(before) {
			t.Errorf("%s: %v, want a mismatch of S-000001", run, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Months that were closed late wait together: of a provider the oldest is issued first, so that numbers follow the months (B2).
func TestPendingStatements(t *testing.T) {
	d := newDesk(t, "2026-01-20")
	if _, err := d.Do("other", license.SetProvider{}); err != nil {
		t.Fatal(err)
	}
	d.allocate("server", events.Endpoint, "pc-1")
	d.at("2026-04-15")
	d.must(license.Settle{})
	var numbers []string
	for want := month("2026-01"); want <= month("2026-03"); want++ {
		pending := d.pending(10)
		if len(pending) != 1 || pending[0].Provider != "acme" || pending[0].Statement.Month != want {
			t.Fatalf("%+v waits, want %s", pending, want)
		}
		if _, err := d.Do("acme", issueOf(&pending[0].Statement)); err != nil {
			t.Fatal(err)
		}
		d.catchUp()
		s := d.issued("acme")
		numbers = append(numbers, s[len(s)-1].Number)
	}
	if len(d.pending(10)) != 0 || !slices.Equal(numbers, []string{"S-000001", "S-000002", "S-000003"}) {
		t.Errorf("issued %v, %+v is left", numbers, d.pending(10))
	}
	d.at("2026-05-01")
	if _, err := d.Do("other", license.SetPaymentMethod{System: "fastspring", Account: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Do("other", license.SetCompany{CompanySet: events.CompanySet{Company: "auto", Allocation: events.Automatic}}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Do("other", license.Allocate{Type: "desktop", Company: "auto", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}}); err != nil {
		t.Fatal(err)
	}
	d.at("2026-06-01")
	for _, p := range []string{"other", "acme"} {
		if _, err := d.Do(p, license.Settle{}); err != nil {
			t.Fatal(err)
		}
	}
	d.catchUp()
	both := d.pending(10)
	if len(both) != 2 || both[0].Provider != "acme" || both[0].Statement.Month != month("2026-04") || both[1].Provider != "other" {
		t.Errorf("%+v waits", both)
	}
	if one := d.pending(1); len(one) != 1 || one[0].Provider != "acme" {
		t.Errorf("%+v is the first", one)
	}
}

func TestEmptyFile(t *testing.T) {
	f := newFile(t)
	f.read(func(tx *bbolt.Tx) {
		if _, ok, err := invoices.Draft(tx, "acme", date("2026-02-01")); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if r, err := invoices.History(tx, "acme", month("2026-02"), date("2026-02-28")); len(r.Rows) != 0 || err != nil {
			t.Errorf("%v, %v", r, err)
		}
		if _, ok, err := invoices.ByNumber(tx, "acme", "S-000001"); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
	if len(f.issued("acme")) != 0 || len(f.pending(10)) != 0 {
		t.Error("there are statements")
	}
}
