package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"licenseledger/events"
)

var months = []string{"2026-02", "2024-02", "2026-04", "2026-03"} // 28, 29, 30, 31 days

// drawInput makes a month of a small provider: few companies and licenses, many handovers.
func drawInput(t *rapid.T) Input {
	m := mon(rapid.SampledFrom(months).Draw(t, "month"))
	in := Input{Month: m, Catalog: standard(mon("2026-01")), Currency: "USD"}
	in.Catalog.Types = slices.Clone(in.Catalog.Types)
	for i := range in.Catalog.Types {
		typ := &in.Catalog.Types[i]
		typ.Prices = map[string]events.Money{"USD": {Decimal: decimal.New(rapid.Int64Range(0, 99_999_999).Draw(t, "price"), -6)}}
		switch typ.ID {
		case "server", "connect":
			typ.Policy = rapid.SampledFrom([]events.Policy{events.DaysActive, events.FullMonth, events.Peak}).Draw(t, "policy")
			typ.FreeUnits = rapid.IntRange(0, 2).Draw(t, "free units")
		}
	}
	companies := []string{"", "acme", "globex"}
	for l := range rapid.IntRange(0, 8).Draw(t, "licenses") {
		typ := rapid.SampledFrom([]string{"server", "connect", "advanced-rebranding"}).Draw(t, "type")
		created := m.Start().AddDate(0, 0, -rapid.IntRange(0, 3).Draw(t, "age"))
		day := 1
		for range rapid.IntRange(1, 4).Draw(t, "uses") {
			from := rapid.IntRange(day, m.Days()).Draw(t, "from")
			to := rapid.IntRange(from-1, m.Days()).Draw(t, "to")
			u := used(fmt.Sprint("L", l, "@", rapid.SampledFrom(companies).Draw(t, "company")), typ, m, from, to)
			u.Created, u.Activated = created, u.From.Start().Add(time.Duration(len(in.Uses))*time.Minute)
			in.Uses = append(in.Uses, u)
			day = max(day, to) // the next may share its first day
		}
	}
	for e := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
		company := rapid.SampledFrom(companies[1:]).Draw(t, "company")
		value := fmt.Sprint(rapid.Int64Range(0, 1<<40).Draw(t, "bytes"))
		in.Readings = append(in.Readings, storage(m, company, fmt.Sprint("pc-", e), value, rapid.IntRange(0, m.Days()).Draw(t, "days"))...)
	}
	return in
}

// model rates licenses day by day and company by company, the slow way, straight from the rules. It gives the amounts of the usage lines.
func model(in Input) map[string]string {
	type holder struct{ license, company string }
	amounts := make(map[string]decimal.Decimal)
	days := decimal.NewFromInt(int64(in.Month.Days()))
	for _, typ := range in.Catalog.Types {
		if typ.Policy == events.Metered {
			continue
		}
		price := typ.Prices["USD"]
		var uses []Use
		for _, u := range in.Uses {
			if u.Type == typ.ID {
				uses = append(uses, u)
			}
		}
		slices.SortFunc(uses, func(a, b Use) int { return a.Activated.Compare(b.Activated) })
		billed := make(map[string]int)      // days per license
		first := make(map[string]string)    // company of its first day
		charged := make(map[string]bool)    // full month
		peak := make(map[string]int)        // per company
		before := make(map[string]struct{}) // licenses with a billed day
		for d := in.Month.First(); d <= in.Month.Last(); d++ {
			var active []holder
			created := make(map[string]time.Time)
			for _, u := range uses {
				if u.From <= d && d <= u.To && !slices.ContainsFunc(active, func(h holder) bool { return h.license == u.License }) {
					active = append(active, holder{u.License, u.Company})
					created[u.License] = u.Created
				}
			}
			for _, h := range active {
				if _, ok := first[h.license]; !ok {
					first[h.license] = h.company
				}
			}
			slices.SortFunc(active, func(a, b holder) int {
				if c := created[a.license].Compare(created[b.license]); c != 0 {
					return c
				}
				return compareBool(a.license > b.license, b.license > a.license)
			})
			today := make(map[string]int)
			for _, h := range active[min(typ.FreeUnits, len(active)):] {
				before[h.license] = struct{}{}
				today[h.company]++
				if typ.Policy == events.DaysActive {
					n := decimal.NewFromInt(int64(billed[h.license]))
					was := price.Mul(n).DivRound(days, 2)
					is := price.Mul(n.Add(decimal.NewFromInt(1))).DivRound(days, 2)
					key := h.company + "/" + typ.ID
					amounts[key] = amounts[key].Add(is.Sub(was))
					billed[h.license]++
				}
			}
			for company, n := range today {
				peak[company] = max(peak[company], n)
			}
		}
		switch typ.Policy {
		case events.FullMonth:
			for license := range before {
				if !charged[license] {
					key := first[license] + "/" + typ.ID
					amounts[key] = amounts[key].Add(price.Round(2))
				}
			}
		case events.Peak:
			for company, n := range peak {
				amounts[company+"/"+typ.ID] = price.Mul(decimal.NewFromInt(int64(n))).Round(2)
			}
		}
	}
	out := make(map[string]string)
	for key, amount := range amounts {
		if !amount.IsZero() {
			out[key] = amount.StringFixed(2)
		}
	}
	return out
}

func TestRateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Readings = nil
		r, err := Rate(in)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for _, l := range r.Lines {
			got[l.Company+"/"+l.LicenseType] = l.Amount.String()
		}
		if diff := cmp.Diff(model(in), got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestB2Sums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		r, err := Rate(in)
		if err != nil {
			t.Fatal(err)
		}
		sum := decimal.Zero
		rows := make(map[string]decimal.Decimal)
		days := make(map[string]int)
		for _, row := range r.Rows {
			if row.Cost.IsNegative() || row.BilledDays < 0 || row.DaysActive < 0 {
				t.Fatalf("%+v", row)
			}
			key := row.Company + "/" + row.Type
			rows[key] = rows[key].Add(row.Cost.Decimal)
			days[key] += row.BilledDays
			sum = sum.Add(row.Cost.Decimal)
		}
		for _, l := range r.Lines {
			key := l.Company + "/" + l.LicenseType
			if !rows[key].Equal(l.Amount.Decimal) || days[key] != l.BilledDays {
				t.Fatalf("the rows of %s cost %s for %d days, its line is %+v", key, rows[key], days[key], l)
			}
		}
		if !sum.Equal(r.Subtotal.Decimal) || !Total(r.Lines).Equal(sum) {
			t.Fatalf("rows %s, lines %s, subtotal %s", sum, Total(r.Lines), r.Subtotal)
		}
	})
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		want, err := Rate(in)
		if err != nil {
			t.Fatal(err)
		}
		shuffle := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		other := in
		other.Uses, other.Readings = slices.Clone(in.Uses), slices.Clone(in.Readings)
		shuffle.Shuffle(len(other.Uses), func(i, j int) { other.Uses[i], other.Uses[j] = other.Uses[j], other.Uses[i] })
		shuffle.Shuffle(len(other.Readings), func(i, j int) {
			other.Readings[i], other.Readings[j] = other.Readings[j], other.Readings[i]
		})
		got, err := Rate(other)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || DigestLines(want.Lines) != DigestLines(got.Lines) {
			t.Fatal(diff)
		}
	})
}

func TestB1SplittingNeverChangesALicensesMonth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := mon(rapid.SampledFrom(months).Draw(t, "month"))
		policy := rapid.SampledFrom([]events.Policy{events.DaysActive, events.FullMonth}).Draw(t, "policy")
		c := with(standard(mon("2026-01")), "server", func(typ *events.Type) {
			typ.Policy = policy
			typ.Prices = map[string]events.Money{"USD": {Decimal: decimal.New(rapid.Int64Range(0, 99_999_999).Draw(t, "price"), -6)}}
		})
		from := rapid.IntRange(1, m.Days()).Draw(t, "from")
		to := rapid.IntRange(from, m.Days()).Draw(t, "to")
		whole := []Use{used("a", "server", m, from, to)}
		var parts []Use
		for at := from; ; {
			end := rapid.IntRange(at, to).Draw(t, "end")
			parts = append(parts, used("a@"+rapid.SampledFrom([]string{"acme", "globex"}).Draw(t, "company"), "server", m, at, end))
			if end == to {
				break
			}
			if end == at {
				at++ // not for ever on the same day
			} else {
				at = end + rapid.IntRange(0, 1).Draw(t, "next day")
			}
		}
		cost := func(uses []Use) string {
			r, err := Rate(Input{Month: m, Catalog: c, Currency: "USD", Uses: uses})
			if err != nil {
				t.Fatal(err)
			}
			return r.Subtotal.String()
		}
		if one, many := cost(whole), cost(parts); one != many {
			t.Fatalf("in one piece %s, in %d pieces %s", one, len(parts), many)
		}
	})
}

// Over any history of late usage, corrections and idle months, what was charged and what is still carried add up to what every month would have cost, had all been known.
func TestB5NothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := mon("2024-06") // two months before the minimum
		n := rapid.IntRange(1, 6).Draw(t, "months")
		billed := make([][]Line, n)
		lines := make([][]Line, n)
		charged, carry := decimal.Zero, Carry{}
		for k := range n {
			now := start + events.Month(k)
			if cents := rapid.Int64Range(0, 4000).Draw(t, "usage"); cents > 0 && rapid.Bool().Draw(t, "active") {
				lines[k] = spent(now.String(), fromCents(cents).String())
			}
			usage := slices.Clone(lines[k])
			billed[k] = usage
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				past := rapid.IntRange(0, k).Draw(t, "month")
				change := Correction{
					Month: start + events.Month(past), Amount: fromCents(rapid.Int64Range(-5000, 5000).Draw(t, "change")),
					LicenseType: rapid.SampledFrom([]string{"", "server", "desktop"}).Draw(t, "type"),
				}
				lines[past] = append(slices.Clone(lines[past]), change.Line(standard(change.Month), "USD"))
			}
			var adjustments []Line
			for past := range k + 1 {
				m := start + events.Month(past)
				adjustments = append(adjustments, Adjust(m, standard(m), "USD", billed[past], lines[past])...)
				billed[past] = lines[past]
			}
			s := Assemble(now, standard(now), "USD", usage, adjustments, carry)
			if s.Total.IsNegative() || !Total(s.Lines).Equal(s.Total.Decimal) || !Total(usage).Equal(s.Subtotal.Decimal) {
				t.Fatalf("%+v", s)
			}
			seen := make(map[string]bool)
			for _, l := range s.Lines {
				if seen[l.ID] {
					t.Fatalf("two lines %s", l.ID)
				}
				seen[l.ID] = true
			}
			charged, carry = charged.Add(s.Total.Decimal), s.Carry
		}
		due := decimal.Zero
		for k := range n {
			c := standard(start + events.Month(k))
			sum := Total(lines[k])
			due = due.Add(sum.Decimal).Add(TopUp(c, "USD", sum).Decimal)
		}
		if !charged.Add(carry.Amount.Decimal).Equal(due) {
			t.Fatalf("charged %s, carried %s, due %s", charged, carry.Amount, due)
		}
	})
}
