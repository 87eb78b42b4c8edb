package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// spent is usage of a month that comes to an amount.
func spent(month, amount string) []Line {
	if amount == "0.00" {
		return nil
	}
	l := Line{
		Kind: Usage, Company: "globex", LicenseType: "server", Policy: events.DaysActive, Unit: PerEndpoint,
		UnitPrice: money("6.99"), Quantity: Count(1), DaysActive: 1, BilledDays: 1, Month: mon(month), Amount: money(amount),
	}
	l.ID = l.Key().ID()
	return []Line{l}
}

func late(month, amount string) Line { return spent(month, amount)[0] }

func adjust(month string, before, after []Line) []Line {
	return Adjust(mon(month), standard(mon(month)), "USD", before, after)
}

func assemble(t *testing.T, month string, usage, adjustments []Line, in Carry) Statement {
	t.Helper()
	s := Assemble(mon(month), standard(mon(month)), "USD", usage, adjustments, in)
	if !Total(s.Lines).Equal(s.Total.Decimal) || s.Total.IsNegative() {
		t.Errorf("B2: the total is %s, the lines make %s", s.Total, Total(s.Lines))
	}
	ids := make(map[string]bool)
	for i := range s.Lines {
		if l := &s.Lines[i]; ids[l.ID] || l.ID != l.Key().ID() {
			t.Errorf("the id %s of line %+v", l.ID, l)
		} else {
			ids[l.ID] = true
		}
	}
	return s
}

// shown gives "kind amount" of each line, "month kind amount" where the line's month is another than the statement's.
func shown(s Statement) []string {
	var out []string
	for _, l := range s.Lines {
		text := fmt.Sprint(l.Kind, " ", l.Amount.String())
		if l.Month != s.Month {
			text = l.Month.String() + " " + text
		}
		out = append(out, text)
	}
	return out
}

func TestB3Minimum(t *testing.T) {
	for _, tt := range []struct{ month, spent, total, minimum string }{
		{"2024-09", "18.00", "20.00", "2.00"},
		{"2024-09", "23.00", "23.00", "0.00"}, // with 5.00 more
		{"2024-07", "18.00", "18.00", "0.00"}, // before August 2024
		{"2024-08", "18.00", "20.00", "2.00"},
		{"2024-09", "20.00", "20.00", "0.00"},
		{"2024-09", "0.01", "20.00", "19.99"},
		{"2024-09", "0.00", "0.00", "0.00"}, // nothing spent, nothing charged
	} {
		s := assemble(t, tt.month, spent(tt.month, tt.spent), nil, Carry{})
		if s.Total.String() != tt.total || s.Minimum.String() != tt.minimum || s.Subtotal.String() != tt.spent {
			t.Errorf("%s %s: total %s (minimum %s), want %s (%s)", tt.month, tt.spent, s.Total, s.Minimum, tt.total, tt.minimum)
		}
	}
	if got := TopUp(standard(mon("2024-09")), "EUR", money("1.00")); !got.IsZero() {
		t.Errorf("a currency without minimum is topped up by %s", got)
	}
	if s := assemble(t, "2024-09", nil, nil, Carry{}); len(s.Lines) != 0 {
		t.Errorf("B2: no use, but lines %v", shown(s))
	}
}

func TestB5Adjustments(t *testing.T) {
	august := standard(mon("2024-08"))
	correction := Correction{Month: mon("2024-08"), Company: "globex", LicenseType: "server", Amount: money("-10.00")}.Line(august, "USD")
	for _, tt := range []struct {
		name          string
		month         string
		before, after []Line
		want          []string
	}{
		{"12.00 charged 20.00, late 3.00", "2024-08", spent("2024-08", "12.00"), spent("2024-08", "15.00"), []string{"3.00", "-3.00"}},
		{"12.00 charged 20.00, late 10.00", "2024-08", spent("2024-08", "12.00"), spent("2024-08", "22.00"), []string{"10.00", "-8.00"}},
		{"25.00 corrected by -10.00", "2024-08", spent("2024-08", "25.00"), append(spent("2024-08", "25.00"), correction), []string{"-10.00", "5.00"}},
		{"a second correction goes on from the first", "2024-08", append(spent("2024-08", "25.00"), correction),
			append(spent("2024-08", "25.00"), correction, correction), []string{"-10.00", "10.00"}},
		{"below nothing: the minimum falls away", "2024-08", spent("2024-08", "5.00"), append(spent("2024-08", "5.00"), correction), []string{"-10.00", "-15.00"}},
		{"late for a month without a statement", "2024-08", nil, spent("2024-08", "3.00"), []string{"3.00", "17.00"}},
		{"a month without minimum", "2024-07", spent("2024-07", "12.00"), spent("2024-07", "15.00"), []string{"3.00"}},
		{"nothing changed", "2024-08", spent("2024-08", "12.00"), spent("2024-08", "12.00"), nil},
		{"the month being billed itself", "2024-08", spent("2024-08", "25.00"), append(spent("2024-08", "25.00"), correction), []string{"-10.00", "5.00"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := adjust(tt.month, tt.before, tt.after)
			var got []string
			for _, l := range lines {
				got = append(got, l.Amount.String())
				if l.Kind != Adjustment || l.Month != mon(tt.month) {
					t.Errorf("%+v", l)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if last := len(lines) - 1; last > 0 && (lines[last].Policy != OfMinimum || lines[0].LicenseType != "server") {
				t.Errorf("%+v", lines)
			}
		})
	}
}

func TestB5InTheOpenMonth(t *testing.T) {
	plus3 := adjust("2024-08", spent("2024-08", "12.00"), spent("2024-08", "15.00"))
	plus10 := adjust("2024-08", spent("2024-08", "12.00"), spent("2024-08", "22.00"))
	minus25 := adjust("2024-08", spent("2024-08", "30.00"), append(spent("2024-08", "30.00"), late("2024-08", "-30.00")))

	for _, tt := range []struct {
		name     string
		usage    []Line
		adjusted []Line
		lines    []string
		total    string
	}{
		{"they do not fill the minimum", spent("2024-09", "18.00"), plus10,
			[]string{"usage 18.00", "minimum 2.00", "2024-08 adjustment 10.00", "2024-08 adjustment -8.00"}, "22.00"},
		{"they do not escape it", spent("2024-09", "21.00"), minus25[:1],
			[]string{"usage 21.00", "2024-08 adjustment -30.00", "carried 9.00"}, "0.00"},
		{"they alone start none", nil, plus10, []string{"2024-08 adjustment 10.00", "2024-08 adjustment -8.00"}, "2.00"},
		{"they may come to nothing", nil, plus3, []string{"2024-08 adjustment 3.00", "2024-08 adjustment -3.00"}, "0.00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := assemble(t, "2024-09", tt.usage, tt.adjusted, Carry{})
			if diff := cmp.Diff(tt.lines, shown(s)); diff != "" || s.Total.String() != tt.total {
				t.Error(s.Total, diff)
			}
		})
	}
}

func TestB5Carried(t *testing.T) {
	credit := adjust("2024-08", spent("2024-08", "100.00"), spent("2024-08", "40.00"))
	s := assemble(t, "2024-09", spent("2024-09", "25.00"), credit, Carry{})
	if diff := cmp.Diff([]string{"usage 25.00", "2024-08 adjustment -60.00", "carried 35.00"}, shown(s)); diff != "" {
		t.Fatal(diff)
	}
	// A month without anything has no statement, and the credit does not lapse.
	s = assemble(t, "2024-10", nil, nil, s.Carry)
	if len(s.Lines) != 0 || s.Carry.Amount.String() != "-35.00" || s.Carry.Month != mon("2024-09") {
		t.Fatalf("%v, %+v", shown(s), s.Carry)
	}
	// It opens the next one; its rest goes on.
	s = assemble(t, "2024-11", spent("2024-11", "12.00"), nil, s.Carry)
	if diff := cmp.Diff([]string{"2024-09 carried -35.00", "usage 12.00", "minimum 8.00", "carried 15.00"}, shown(s)); diff != "" {
		t.Fatal(diff)
	}
	s = assemble(t, "2024-12", spent("2024-12", "30.00"), nil, s.Carry)
	if diff := cmp.Diff([]string{"2024-11 carried -15.00", "usage 30.00"}, shown(s)); diff != "" || !s.Carry.Amount.IsZero() {
		t.Fatal(s.Carry, diff)
	}
}

func TestB6Digest(t *testing.T) {
	feb := mon("2026-02")
	s := assemble(t, "2026-02", rateUses(t, feb, used("a", "server", feb, 1, 10)).Lines, nil, Carry{})
	digest := DigestLines(s.Lines)
	// A change of this value is a change of the canonical form: statements of old would not verify any more.
	if got, _ := digest.MarshalText(); string(got) != goldenDigest {
		t.Errorf("digest %s", got)
	}
	b, err := json.Marshal(s.Lines)
	if err != nil {
		t.Fatal(err)
	}
	var again []Line
	if err := json.Unmarshal(b, &again); err != nil || DigestLines(again) != digest {
		t.Errorf("stored and read again they have another digest (%v)", err)
	}
	swapped := slices.Clone(s.Lines)
	slices.Reverse(swapped)
	changed := slices.Clone(s.Lines)
	changed[0].BilledDays++
	for name, lines := range map[string][]Line{"order": swapped, "a number of days": changed, "a line's absence": s.Lines[:1]} {
		if DigestLines(lines) == digest {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

const goldenDigest = "3791f33306469aec8c4d31857ee4a3c956f6a1e92cc000c0bfd52287b13be462"

func TestQuantityJSON(t *testing.T) {
	for in, want := range map[string]string{"486": "486", "33.33": "33.33", "-2": "-2", "1.70": "1.7", "0": "0"} {
		var q Quantity
		if err := json.Unmarshal([]byte(in), &q); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(q); err != nil || string(b) != want {
			t.Errorf("%s becomes %s (%v)", in, b, err)
		}
	}
	for _, in := range []string{`"1"`, "1e9", "true", "null"} {
		var q Quantity
		if err := q.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("%s is taken for %s", in, q)
		}
	}
}

func units(n int64) decimal.Decimal { return decimal.NewFromInt(n) }

func TestEstimate(t *testing.T) {
	for _, tt := range []struct {
		month string
		items []Item
		lines []string
		total string
	}{
		{"2026-02", []Item{{"server", units(1), 10}}, []string{"usage 2.50", "minimum 17.50"}, "20.00"},
		{"2026-04", []Item{{"vm-server", units(1), 30}, {"vm-server-socket", units(3), 30}}, []string{"usage 12.99", "usage 19.47"}, "32.46"},
		{"2026-04", []Item{{"advanced-rebranding", units(1), 10}, {"advanced-rebranding", units(1), 0}}, []string{"usage 16.33", "minimum 3.67"}, "20.00"}, // C8
		{"2026-04", []Item{{"backup-storage", units(100), 10}}, []string{"usage 0.20", "minimum 19.80"}, "20.00"},                                          // C7
		{"2026-04", []Item{{"backup-storage", units(50), 10}, {"backup-storage", units(50), 10}}, []string{"usage 0.20", "minimum 19.80"}, "20.00"},        // B1
		{"2026-01", []Item{{"server", units(3), 24}}, []string{"usage 16.23", "minimum 3.77"}, "20.00"},                                                    // B1: 3 x 5.41
		{"2026-04", []Item{{"backup-storage", decimal.RequireFromString("33.5"), 0}}, []string{"usage 0.20", "minimum 19.80"}, "20.00"},
		{"2024-07", []Item{{"server", units(2), 0}}, []string{"usage 13.98"}, "13.98"},
		{"2026-04", nil, nil, "0.00"},
	} {
		s, err := Estimate(mon(tt.month), standard(mon(tt.month)), "USD", tt.items)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.lines, shown(s)); diff != "" || s.Total.String() != tt.total {
			t.Errorf("%v: total %s, %s", tt.items, s.Total, diff)
		}
	}
	for field, items := range map[string][]Item{
		"items[0].license_type": {{"mainframe", units(1), 1}},
		"items[1].license_type": {{"server", units(1), 1}, {"backup-user", units(1), 1}},
		"items[0].quantity":     {{"server", units(MaxEstimateLicenses + 1), 1}},
		"items[1].quantity":     {{"backup-storage", decimal.RequireFromString("0.5"), 1}, {"server", decimal.RequireFromString("0.5"), 1}},
		"items[2].quantity":     {{"server", units(1), 1}, {"server", units(1), 1}, {"backup-storage", units(0), 1}},
		"items[0].days":         {{"server", units(1), 31}},
		"items":                 {{"server", units(MaxEstimateLicenses), 1}, {"desktop", units(1), 1}},
	} {
		_, err := Estimate(mon("2026-04"), standard(mon("2026-04")), "USD", items)
		if p, ok := err.(Problems); !ok || len(p) != 1 || p[0].Field != field {
			t.Errorf("want a problem of %s: %v", field, err)
		}
	}
	apr := mon("2026-04")
	if _, err := Estimate(apr, standard(apr), "EUR", []Item{{"server", units(1), 1}}); err == nil {
		t.Error("a price in euro is not there, but estimated")
	}
}
