package invoices_test

import (
	"errors"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

// listed are the numbers of acme's invoices of both kinds, read in pages.
func (d *desk) listed(page int) (numbers []string) {
	d.t.Helper()
	d.read(func(tx *bbolt.Tx) {
		for after := ""; ; {
			rows, err := invoices.Invoices(tx, "acme", after, page)
			if err != nil {
				d.t.Fatal(err)
			}
			for _, row := range rows {
				if after = row.Place; row.Statement != nil {
					numbers = append(numbers, row.Statement.Number)
				} else {
					numbers = append(numbers, row.Prepaid.Number)
				}
			}
			if len(rows) < page {
				return
			}
		}
	})
	return numbers
}

func orderKey(seats int) license.OrderKey {
	return license.OrderKey{Type: "backup-user", Seats: seats, Salt: "9f86d081884c7d659a2feaa0c55ad015"}
}

// B8: prepaid invoices are separate documents: never topped up, never counted to the minimum; both kinds are listed as they were issued.
func TestB8Prepaid(t *testing.T) {
	d := newDesk(t, "2026-01-20")
	d.must(orderKey(1)) // more than the minimum, and no reason for one
	d.allocate("server", events.Endpoint, "pc-1")
	if s := d.draft("acme", date("2026-01-31")); s.Subtotal.String() != "2.71" || s.Total.String() != "20.00" {
		t.Errorf("the statement is %s, %s in all", s.Subtotal, s.Total)
	}
	d.at("2026-02-01")
	d.must(license.Settle{})
	d.must(orderKey(2)) // in the instant in which January's statement is issued
	d.issue()
	d.at("2026-02-10")
	d.must(orderKey(3))
	d.must(license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed})
	d.must(license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	for range 3 {
		d.Now = events.MonthOf(d.Now).End()
		d.must(license.Settle{})
		d.issue()
	}
	want := []string{"P-000001", "P-000002", "S-000001", "P-000003", "S-000002", "S-000003", "S-000004"}
	for page := 1; page <= 8; page++ {
		if got := d.listed(page); !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v", page, got)
		}
	}
	for _, s := range d.issued("acme") {
		if !s.Total.Equal(money("20.00").Decimal) {
			t.Errorf("%s is %s", s.Number, s.Total)
		}
	}
	d.read(func(tx *bbolt.Tx) {
		v, ok, err := invoices.PrepaidByNumber(tx, "acme", "P-000002")
		if err != nil || !ok || v.Amount.String() != "43.20" || v.Outcome != "" || v.For != events.ForOrder || !v.IssuedAt.Equal(instant("2026-02-01")) {
			t.Errorf("%+v, %v, %v", v, ok, err)
		}
		if v, _, _ := invoices.PrepaidByNumber(tx, "acme", "P-000001"); v.Outcome != events.Failed {
			t.Errorf("its charge is %q", v.Outcome)
		}
		for _, number := range []string{"P-000004", "S-000001", ""} {
			if _, ok, err := invoices.PrepaidByNumber(tx, "acme", number); ok || err != nil {
				t.Errorf("%q is one: %v, %v", number, ok, err)
			}
		}
		if rows, err := invoices.Invoices(tx, "acme", invoices.PlaceBefore(instant("2026-02-01")), 2); err != nil || len(rows) != 2 || rows[0].Prepaid == nil || rows[0].Prepaid.Number != "P-000002" {
			t.Errorf("from February on: %+v, %v", rows, err)
		}
	})
}

// B8: an invoice whose line is not what its digest says, or whose number is not the next one, stops the view.
func TestB8PrepaidMismatch(t *testing.T) {
	for name, change := range map[string]func(*events.PrepaidIssued){
		"another amount": func(p *events.PrepaidIssued) { p.Amount = money("1.00") },
		"another number": func(p *events.PrepaidIssued) { p.Number = "P-000002" },
		"another digest": func(p *events.PrepaidIssued) { p.Digest[0]++ },
	} {
		d := newDesk(t, "2026-01-20")
		decision, err := d.Do("acme", orderKey(1))
		if err != nil {
			t.Fatal(err)
		}
		bad := *decision.Events[1].Data.(*events.PrepaidIssued)
		change(&bad)
		entry := d.Entries[len(d.Entries)-1]
		entry.Events = []events.Event{entry.Events[0], {Data: &bad}}
		var mismatch *invoices.MismatchError
		if err := d.try(entry); !errors.As(err, &mismatch) || mismatch.Entry != entry.Number {
			t.Errorf("%s: %v", name, err)
		}
		d.catchUp() // the right one is taken
	}
}
