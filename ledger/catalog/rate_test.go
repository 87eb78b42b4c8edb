package catalog

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"licenseledger/events"
)

const gib = 1 << 30

// mon reads "2026-02".
func mon(s string) events.Month {
	m, err := events.ParseMonth(s)
	if err != nil {
		panic(err)
	}
	return m
}

func at(s string) time.Time {
	t, err := events.ParseTime(s)
	if err != nil {
		panic(err)
	}
	return t
}

func money(s string) events.Money {
	m, err := events.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

func quantity(s string) events.Quantity {
	q, err := events.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

// used is a use from one day of the month to another, for company globex; of another company: "license@company".
func used(license, typ string, m events.Month, from, to int) Use {
	u := Use{License: license, Type: typ, Company: "globex"}
	for i := range license {
		if license[i] == '@' {
			u.License, u.Company = license[:i], license[i+1:]
			break
		}
	}
	u.From, u.To = m.First()+events.Date(from)-1, m.First()+events.Date(to)-1
	u.Activated = u.From.Start()
	u.Created = u.Activated
	return u
}

// standard is the default catalog in force in a month.
func standard(m events.Month) events.Catalog {
	c, _, ok := defaultBook().At(m)
	if !ok {
		panic("no catalog in " + m.String())
	}
	return c
}

func defaultBook() Book {
	var b Book
	for _, c := range Default() {
		b = b.Publish(c, 0)
	}
	return b
}

// with gives a catalog in which one type is changed.
func with(c events.Catalog, id string, change func(*events.Type)) events.Catalog {
	c.Types = slices.Clone(c.Types)
	i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == id })
	change(&c.Types[i])
	return c
}

func rate(t *testing.T, in Input) Rating {
	t.Helper()
	r, err := Rate(in)
	if err != nil {
		t.Fatal(err)
	}
	sum := money("0.00")
	for _, row := range r.Rows {
		sum = add(sum, row.Cost)
	}
	if !sum.Equal(r.Subtotal.Decimal) || !Total(r.Lines).Equal(r.Subtotal.Decimal) {
		t.Errorf("B2: rows cost %s, lines %s, the subtotal is %s", sum, Total(r.Lines), r.Subtotal)
	}
	return r
}

func rateUses(t *testing.T, m events.Month, uses ...Use) Rating {
	t.Helper()
	return rate(t, Input{Month: m, Catalog: standard(m), Currency: "USD", Uses: uses})
}

func texts[T fmt.Stringer](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v.String()
	}
	return out
}

func costs(r Rating) []string {
	out := make([]events.Money, len(r.Rows))
	for i := range r.Rows {
		out[i] = r.Rows[i].Cost
	}
	return texts(out)
}

func TestWorkedFigures(t *testing.T) {
	jan, feb, leap, mar, apr := mon("2026-01"), mon("2026-02"), mon("2024-02"), mon("2026-03"), mon("2026-04")
	for _, tt := range []struct {
		rule  string
		month events.Month
		uses  []Use
		costs []string
		total string
	}{
		{"D2: released at 00:00:00 of the 10th: 10 days", feb, []Use{used("a", "server", feb, 1, 10)}, []string{"2.50"}, "2.50"},
		{"C4: 10 days of 29", leap, []Use{used("a", "server", leap, 1, 10)}, []string{"2.41"}, "2.41"},
		{"C4: 10 days of 30", apr, []Use{used("a", "server", apr, 1, 10)}, []string{"2.33"}, "2.33"},
		{"C4: 10 days of 31", mar, []Use{used("a", "server", mar, 1, 10)}, []string{"2.25"}, "2.25"},
		{"C4: a whole month is the price", feb, []Use{used("a", "server", feb, 1, 28)}, []string{"6.99"}, "6.99"},
		{"C4: a whole month is the price", leap, []Use{used("a", "server", leap, 1, 29)}, []string{"6.99"}, "6.99"},
		{"C4: a whole month is the price", apr, []Use{used("a", "server", apr, 1, 30)}, []string{"6.99"}, "6.99"},
		{"C4: a whole month is the price", mar, []Use{used("a", "server", mar, 1, 31)}, []string{"6.99"}, "6.99"},
		{"L2: converted on the 24th", jan, []Use{used("a", "server", jan, 24, 31)}, []string{"1.80"}, "1.80"},
		{"L2: converted and released on the 24th", jan, []Use{used("a", "server", jan, 24, 24)}, []string{"0.23"}, "0.23"},
		{"L2: released before the conversion", jan, nil, []string{}, "0.00"},
		{"L6: changed on 31 January: the old one has 31 days, the new one none", jan,
			[]Use{used("a", "server", jan, 1, 31), used("b", "ultimate", jan, 32, 31)}, []string{"6.99", "0.00"}, "6.99"},
		{"L6: server to ultimate on the 15th and back on the 20th", jan,
			[]Use{used("a", "server", jan, 1, 15), used("b", "ultimate", jan, 16, 20), used("c", "server", jan, 21, 31)},
			[]string{"3.38", "2.48", "1.61"}, "7.47"},
		{"L10: 8 and 20 days of one license", jan,
			[]Use{used("a", "server", jan, 1, 8), used("a", "server", jan, 12, 31)}, []string{"1.80", "4.51"}, "6.31"},
		{"L12: 2 sockets", apr, []Use{used("a", "vm-server", apr, 1, 30)}, []string{"12.99"}, "12.99"},
		{"L12: 3 sockets", apr,
			[]Use{used("a", "vm-server", apr, 1, 30), used("b", "vm-server-socket", apr, 1, 30)}, []string{"12.99", "6.49"}, "19.48"},
		{"L12: 5 sockets", apr,
			[]Use{
				used("a", "vm-server", apr, 1, 30), used("b", "vm-server-socket", apr, 1, 30),
				used("c", "vm-server-socket", apr, 1, 30), used("d", "vm-server-socket", apr, 1, 30),
			}, []string{"12.99", "6.49", "6.49", "6.49"}, "32.46"},
		{"B1: assignees of 10, 10 and 11 days", jan,
			[]Use{used("a", "server", jan, 1, 10), used("a", "server", jan, 11, 20), used("a", "server", jan, 21, 31)},
			[]string{"2.25", "2.26", "2.48"}, "6.99"},
		{"B1: dates shared by two assignees belong to the first", jan,
			[]Use{used("a", "server", jan, 1, 10), used("a", "server", jan, 10, 20), used("a", "server", jan, 20, 31)},
			[]string{"2.25", "2.26", "2.48"}, "6.99"},
		{"B1: half up to the cent: 1.59 x 15 / 30 = 0.795", apr,
			[]Use{used("a", "microsoft-365", apr, 1, 15)}, []string{"0.80"}, "0.80"},
	} {
		t.Run(tt.rule+" "+tt.month.String(), func(t *testing.T) {
			r := rateUses(t, tt.month, tt.uses...)
			if diff := cmp.Diff(tt.costs, costs(r)); diff != "" {
				t.Error(diff)
			}
			if r.Subtotal.String() != tt.total {
				t.Errorf("subtotal %s, want %s", r.Subtotal, tt.total)
			}
		})
	}
}

func TestB1SharedDates(t *testing.T) {
	jan := mon("2026-01")
	day := func(hour string) time.Time { return at("2026-01-05T" + hour + ":00:00Z") }
	first := used("a", "server", jan, 1, 5)
	first.Deactivated = day("10")
	// Assigned and taken away again at the same instant at which the next one begins: still the earlier.
	second := used("a@initech", "server", jan, 5, 5)
	second.Activated, second.Deactivated = day("12"), day("12")
	third := used("a@umbrella", "server", jan, 5, 31)
	third.Activated = day("12")

	r := rateUses(t, jan, third, first, second)
	type row struct {
		Company      string
		Active, Paid int
		Cost         string
	}
	var got []row
	for _, x := range r.Rows {
		got = append(got, row{x.Company, x.DaysActive, x.BilledDays, x.Cost.String()})
	}
	want := []row{{"globex", 5, 5, "1.13"}, {"initech", 0, 0, "0.00"}, {"umbrella", 26, 26, "5.86"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(r.Lines) != 2 {
		t.Errorf("%d lines, want 2: what costs nothing makes none", len(r.Lines))
	}
}

func TestC4Line(t *testing.T) {
	feb := mon("2026-02")
	r := rateUses(t, feb, used("a", "server", feb, 1, 10))
	b, err := AppendLine(nil, &r.Lines[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"bafa59cde67d","kind":"usage","company":"globex","license_type":"server","policy":"days-active",` +
		`"unit":"endpoint","unit_price":"6.99","quantity":1,"days_active":10,"billed_days":10,"month":"2026-02","amount":"2.50"}` + "\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestB1RoundCent(t *testing.T) {
	for in, want := range map[string]string{
		"0.005": "0.01", "-0.005": "-0.01", "0.0049999999": "0.00", "2.345": "2.35", "2.344": "2.34", "7": "7.00", "-1.999": "-2.00",
	} {
		if got := RoundCent(decimal.RequireFromString(in)).String(); got != want {
			t.Errorf("%s rounds to %s, want %s", in, got, want)
		}
	}
	// K7: 10 seats, 184 days 1 h of 365 left: 185 started days.
	if got := Prorate(money("21.60"), 10, 185, 365).String(); got != "109.48" {
		t.Errorf("K7: %s", got)
	}
}

func TestRateRefuses(t *testing.T) {
	feb := mon("2026-02")
	c := standard(feb)
	one := func(u Use) Input { return Input{Month: feb, Catalog: c, Currency: "USD", Uses: []Use{u}} }
	reading := func(d MeterDay) Input {
		return Input{Month: feb, Catalog: c, Currency: "USD", Readings: []MeterDay{d}}
	}
	euro := one(used("a", "server", feb, 1, 1))
	euro.Currency = "EUR"
	for name, tt := range map[string]struct {
		in   Input
		want error
	}{
		"an unknown type":          {one(used("a", "mainframe", feb, 1, 1)), ErrNoType},
		"no price in the currency": {euro, ErrNoPrice},
		"a key":                    {one(used("a", "backup-user", feb, 1, 1)), ErrPolicy},
		"a metered type in use":    {one(used("a", "backup-storage", feb, 1, 1)), ErrPolicy},
		"the 29th of February":     {one(used("a", "server", feb, 1, 29)), ErrDay},
		"a day of January":         {one(used("a", "server", feb, 0, 3)), ErrDay},
		"an unknown metered type":  {reading(MeterDay{Type: "x", Date: feb.First()}), ErrNoType},
		"readings for a server":    {reading(MeterDay{Type: "server", Date: feb.First()}), ErrPolicy},
		"readings of 1 March":      {reading(MeterDay{Type: "backup-storage", Date: feb.Last() + 1}), ErrDay},
	} {
		if r, err := Rate(tt.in); !errors.Is(err, tt.want) || len(r.Rows) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// B1: a date shared by several belongs to the first of them also where all of them began and ended at one instant.
func TestB1UsesOfOneInstant(t *testing.T) {
	m := mon("2026-01")
	var uses []Use
	for turn, company := range []string{"zeta", "alpha", "beta"} {
		u := used("a@"+company, "server", m, 5, 5)
		u.Deactivated, u.Turn = u.Activated, turn
		uses = append([]Use{u}, uses...)
	}
	r, err := Rate(Input{Month: m, Catalog: standard(m), Currency: "USD", Uses: uses})
	if err != nil || len(r.Lines) != 1 || r.Lines[0].Company != "zeta" {
		t.Errorf("%+v, %v", r.Lines, err)
	}
}
