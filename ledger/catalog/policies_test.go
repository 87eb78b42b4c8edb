package catalog

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"licenseledger/events"
)

func TestC5FullMonth(t *testing.T) {
	feb := mon("2026-02")
	c := with(standard(feb), "server", func(t *events.Type) { t.Policy = events.FullMonth })
	r := rate(t, Input{Month: feb, Catalog: c, Currency: "USD", Uses: []Use{
		used("a", "server", feb, 28, 28),
		used("b", "server", feb, 5, 4), // bought and changed away the same day: no day of its own
		used("b", "server", feb, 5, 6),
		used("b@initech", "server", feb, 10, 20),
	}})
	if diff := cmp.Diff([]string{"6.99", "0.00", "6.99", "0.00"}, costs(r)); diff != "" {
		t.Error("any active day bills the month, carried by the first assignment:", diff)
	}
	if l := r.Lines[0]; len(r.Lines) != 1 || l.Quantity.String() != "2" || l.DaysActive != 3 || l.BilledDays != 56 || l.Policy != events.FullMonth {
		t.Errorf("lines %+v", r.Lines)
	}
}

func TestC6Peak(t *testing.T) {
	apr := mon("2026-04")
	c := with(standard(apr), "server", func(t *events.Type) { t.Policy = events.Peak })
	var uses []Use
	for i := range 5 { // 5 licenses at first,
		uses = append(uses, used(fmt.Sprint("a", i), "server", apr, 1, 15))
	}
	for i := range 2 { // 7 from the 10th on,
		uses = append(uses, used(fmt.Sprint("b", i), "server", apr, 10, 30))
	}
	for i := range 5 { // 7 again from the 16th on.
		uses = append(uses, used(fmt.Sprint("c", i), "server", apr, 16, 30))
	}
	uses = append(uses, used("d@initech", "server", apr, 3, 3))
	r := rate(t, Input{Month: apr, Catalog: c, Currency: "USD", Uses: uses})
	if len(r.Lines) != 2 || r.Lines[0].Amount.String() != "48.93" || r.Lines[0].Quantity.String() != "7" || r.Lines[1].Amount.String() != "6.99" {
		t.Fatalf("5, 7, 7 is 7 x price, per company: %+v", r.Lines)
	}
	var carried, own int
	for _, row := range r.Rows {
		switch {
		case row.Use == nil:
			own++
			if row.Company == "globex" && (row.PeakDate.String() != "2026-04-10" || row.Quantity.String() != "7" || !row.Cost.IsZero()) {
				t.Errorf("the company's row: %+v", row)
			}
		case row.Company == "globex" && !row.Cost.IsZero():
			carried++
			if row.Use.License[0] == 'c' || row.Cost.String() != "6.99" || row.BilledDays != 30 {
				t.Errorf("license %s carries %s for %d days", row.Use.License, row.Cost, row.BilledDays)
			}
		}
	}
	if carried != 7 || own != 2 {
		t.Errorf("%d licenses carry the peak, %d rows of companies", carried, own)
	}
}

func TestC6PeakIsRoundedPerLine(t *testing.T) {
	apr := mon("2026-04")
	c := with(standard(apr), "server", func(t *events.Type) {
		t.Policy, t.Prices = events.Peak, map[string]events.Money{"USD": money("1.004")}
	})
	r := rate(t, Input{Month: apr, Catalog: c, Currency: "USD", Uses: []Use{
		used("a", "server", apr, 1, 1), used("b", "server", apr, 1, 1), used("c", "server", apr, 1, 1),
	}})
	if diff := cmp.Diff([]string{"1.00", "1.01", "1.00", "0.00"}, costs(r)); diff != "" || r.Subtotal.String() != "3.01" {
		t.Error(r.Subtotal, diff)
	}
}

func TestC8FreeUnits(t *testing.T) {
	apr := mon("2026-04")
	first := used("z", "advanced-rebranding", apr, 1, 10) // the oldest, whatever its id says
	first.Created = at("2026-03-31T08:00:00Z")
	second := used("a", "advanced-rebranding", apr, 1, 30)
	second.Created = at("2026-03-31T09:00:00Z")
	r := rateUses(t, apr, first, second)
	if diff := cmp.Diff([]string{"16.33", "0.00"}, costs(r)); diff != "" {
		t.Error(diff)
	}
	if row := r.Rows[0]; row.DaysActive != 30 || row.BilledDays != 10 {
		t.Errorf("%d active and %d billed days, want 30 and 10", row.DaysActive, row.BilledDays)
	}
	if l := r.Lines[0]; l.Quantity.String() != "2" || l.DaysActive != 40 || l.BilledDays != 10 {
		t.Errorf("line %+v", l)
	}

	t.Run("the free unit alone makes no line", func(t *testing.T) {
		r := rateUses(t, apr, first)
		if len(r.Rows) != 1 || len(r.Lines) != 0 {
			t.Errorf("%d rows, lines %v", len(r.Rows), r.Lines)
		}
	})
	t.Run("over all companies, under every policy", func(t *testing.T) {
		for policy, want := range map[events.Policy][]string{
			events.DaysActive: {"16.33", "0.00"},
			events.FullMonth:  {"49.00", "0.00"},
			events.Peak:       {"49.00", "0.00", "0.00", "0.00"}, // with the two companies' rows
		} {
			c := with(standard(apr), "advanced-rebranding", func(t *events.Type) { t.Policy = policy })
			other := first
			other.Company = "initech"
			r := rate(t, Input{Month: apr, Catalog: c, Currency: "USD", Uses: []Use{second, other}})
			if diff := cmp.Diff(want, costs(r)); diff != "" {
				t.Error(policy, diff)
			}
		}
	})
	t.Run("two free units of three", func(t *testing.T) {
		c := with(standard(apr), "advanced-rebranding", func(t *events.Type) { t.FreeUnits = 2 })
		third := used("b", "advanced-rebranding", apr, 5, 12)
		r := rate(t, Input{Month: apr, Catalog: c, Currency: "USD", Uses: []Use{first, second, third}})
		// The third is billed while the others are both there: from the 5th to the 10th.
		if r.Subtotal.String() != "9.80" || r.Lines[0].BilledDays != 6 {
			t.Errorf("%+v", r.Lines)
		}
	})
}

// storage is readings of one endpoint on the first n days of the month, the same highest value each day.
func storage(m events.Month, company, endpoint string, value string, n int) []MeterDay {
	var days []MeterDay
	for i := range n {
		days = append(days, MeterDay{
			Type: "backup-storage", Company: company, Endpoint: endpoint, Date: m.First() + events.Date(i),
			Highest: quantity(value), Last: quantity(value), Sum: quantity(value).Decimal(), Values: []events.Quantity{quantity(value)},
		})
	}
	return days
}

func rateReadings(t *testing.T, m events.Month, aggregate events.Aggregate, unit, price string, days []MeterDay) Rating {
	t.Helper()
	c := with(standard(m), "backup-storage", func(t *events.Type) {
		t.Aggregate, t.Unit, t.Prices = aggregate, unit, map[string]events.Money{"USD": money(price)}
	})
	return rate(t, Input{Month: m, Catalog: c, Currency: "USD", Readings: days})
}

func TestC7Metered(t *testing.T) {
	apr := mon("2026-04")
	hundred := fmt.Sprint(100 * gib)
	in := Input{Month: apr, Catalog: standard(apr), Currency: "USD", Readings: storage(apr, "globex", "pc-17", hundred, 10)}
	r := rate(t, in)
	if l := r.Lines[0]; l.Quantity.String() != "33.33" || l.Amount.String() != "0.20" || l.UnitPrice.String() != "0.0060" || l.BilledDays != 10 {
		t.Errorf("100 GiB on 10 of 30 days: %+v", l)
	}
	if row := r.Rows[0]; row.Use != nil || row.Cost.String() != "0.20" || row.Quantity.String() != "33.33" || row.DaysActive != 10 {
		t.Errorf("the company's row: %+v", row)
	}

	t.Run("endpoint days of a trial do not bill", func(t *testing.T) {
		days := storage(apr, "globex", "pc-17", hundred, 20)
		for i := range 10 {
			days[i].Trial = true
		}
		in.Readings = days
		r := rate(t, in)
		if l := r.Lines[0]; l.Quantity.String() != "33.33" || l.DaysActive != 20 || l.BilledDays != 10 {
			t.Errorf("%+v", l)
		}
		in.Readings = days[:10]
		if r = rate(t, in); len(r.Lines) != 0 || len(r.Rows) != 1 || r.Rows[0].DaysActive != 10 {
			t.Errorf("only a trial: %+v", r)
		}
	})
	t.Run("rounded once per company", func(t *testing.T) {
		// Each endpoint alone would cost 0.0034 and vanish.
		var days []MeterDay
		for i := range 3 {
			days = append(days, storage(apr, "globex", fmt.Sprint("pc-", i), fmt.Sprint(gib), 17)...)
		}
		in.Readings = append(days, storage(apr, "initech", "pc-9", hundred, 30)...)
		r := rate(t, in)
		if len(r.Lines) != 2 || r.Lines[0].Amount.String() != "0.01" || r.Lines[0].Quantity.String() != "1.7" || r.Lines[1].Amount.String() != "0.60" {
			t.Errorf("%+v", r.Lines)
		}
	})
}

func TestC7Aggregates(t *testing.T) {
	feb := mon("2026-02")
	day := func(endpoint string, date int, sum, highest, last string, values ...string) MeterDay {
		d := MeterDay{
			Type: "backup-storage", Company: "globex", Endpoint: endpoint, Date: feb.First() + events.Date(date) - 1,
			Sum: quantity(sum).Decimal(), Highest: quantity(highest), Last: quantity(last),
		}
		for _, v := range values {
			d.Values = append(d.Values, quantity(v))
		}
		return d
	}
	days := []MeterDay{
		day("pc-1", 1, "12", "7", "5", "5", "7"),
		day("pc-1", 3, "9.5", "6", "3.5", "6", "3.5"),
		day("pc-2", 2, "7", "7", "7", "7"),
	}
	for aggregate, want := range map[events.Aggregate]struct{ quantity, amount string }{
		events.Sum:     {"28.5", "57"},   // 12 + 9.5 + 7
		events.Max:     {"14", "28"},     // 7 and 7
		events.Last:    {"10.5", "21"},   // 3.5 and 7
		events.Unique:  {"4", "8"},       // 3.5, 5, 6, 7
		events.Average: {"0.71", "1.43"}, // (7 + 6 + 7) / 28 = 0.7142..., x 2 = 1.4285...
	} {
		for range 2 { // the order of readings does not matter
			slices.Reverse(days)
			r := rateReadings(t, feb, aggregate, "unit", "2.00", days)
			if l := r.Lines[0]; l.Quantity.String() != want.quantity || !l.Amount.Equal(decimal.RequireFromString(want.amount)) {
				t.Errorf("%s: %s for %s, want %s for %s", aggregate, l.Quantity, l.Amount, want.quantity, want.amount)
			}
		}
	}
}
