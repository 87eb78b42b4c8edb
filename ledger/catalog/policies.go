package catalog

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// assigned rates the uses.
func (r *rater) assigned() error {
	if err := r.takeUses(); err != nil {
		return err
	}
	for at := 0; at < len(r.spans); {
		id, end := r.spans[at].use.Type, at+1
		for end < len(r.spans) && r.spans[end].use.Type == id {
			end++
		}
		r.licenses(r.types[id], r.spans[at:end])
		at = end
	}
	return nil
}

// licenses rates all uses of one type, ordered by license and time.
func (r *rater) licenses(t *tariff, spans []span) {
	for i := range spans {
		spans[i].billed = spans[i].active
	}
	if t.FreeUnits > 0 {
		freeDays(spans, t.FreeUnits, uint32(1)<<r.days-1)
	}
	byCompany := make(map[string]*share)
	for i := range spans {
		company := spans[i].use.Company
		sh := byCompany[company]
		if sh == nil {
			sh = &share{tariff: t, company: company}
			byCompany[company] = sh
			r.shares = append(r.shares, sh)
		}
		sh.spans = append(sh.spans, &spans[i])
	}
	switch t.Policy {
	case events.FullMonth:
		eachLicense(spans, t.fullMonth)
	case events.Peak:
		for _, sh := range byCompany {
			r.peak(sh)
		}
	default:
		eachLicense(spans, t.daysActive)
	}
	for _, sh := range byCompany {
		sh.add()
	}
}

// eachLicense calls f with the uses of one license after the other.
func eachLicense(spans []span, f func(of []span)) {
	for at := 0; at < len(spans); {
		end := at + 1
		for end < len(spans) && spans[end].use.License == spans[at].use.License {
			end++
		}
		f(spans[at:end])
		at = end
	}
}

// freeDays takes from the billed days those on which a license is among the n oldest active ones (domain C8).
// Licenses of the same age go by id. Open is the set of the month's days.
func freeDays(spans []span, n int, open uint32) {
	var byAge [][]span
	eachLicense(spans, func(of []span) { byAge = append(byAge, of) })
	slices.SortStableFunc(byAge, func(a, b []span) int { return a[0].use.Created.Compare(b[0].use.Created) })

	var taken [32]int // free units per day
	for _, of := range byAge {
		if open == 0 {
			return
		}
		var free uint32
		for i := range of {
			free |= of[i].active & open
			of[i].billed &^= open
		}
		for ; free != 0; free &= free - 1 {
			day := bits.TrailingZeros32(free)
			if taken[day]++; taken[day] == n {
				open &^= 1 << day
			}
		}
	}
}

// daysActive bills each day with its part of the price. What is rounded is the license's month, so
// every use costs what the month costs through it, less what it cost before (domain C4, B1).
func (t *tariff) daysActive(of []span) {
	before := 0
	for i := range of {
		s := &of[i]
		s.billedDays = bits.OnesCount32(s.billed)
		s.cost = t.through[before+s.billedDays] - t.through[before]
		before += s.billedDays
	}
}

// fullMonth bills the whole month to the first use with a day in it, if any day of the license costs (domain C5).
func (t *tariff) fullMonth(of []span) {
	var billed uint32
	for i := range of {
		billed |= of[i].billed
	}
	if billed == 0 {
		return
	}
	i := slices.IndexFunc(of, func(s span) bool { return s.active != 0 })
	of[i].billedDays = len(t.through) - 1
	of[i].cost = t.through[of[i].billedDays]
}

// peak bills the highest number of a company's licenses that cost on one date, to those of the first such date (domain C6).
func (r *rater) peak(sh *share) {
	var count [32]int
	for _, s := range sh.spans {
		for days := s.billed; days != 0; days &= days - 1 {
			count[bits.TrailingZeros32(days)]++
		}
	}
	day, before := 0, int64(0)
	for d, n := range count {
		if n > count[day] {
			day = d
		}
	}
	carriers := 0
	for _, s := range sh.spans {
		if s.billed>>day&1 == 0 {
			continue
		}
		// The line is rounded, not the license: each carries what the peak costs through it, less what it cost before.
		carriers++
		through := Prorate(sh.price, carriers, 1, 1).Shift(2).IntPart()
		s.billedDays, s.cost = r.days, through-before
		before = through
	}
	sh.quantity = Count(carriers)
	if carriers > 0 {
		sh.peakDate = r.first + events.Date(day)
	}
}

// add sums what the company's uses of a type count and cost.
func (sh *share) add() {
	licenses, cents := 0, int64(0)
	counted := ""
	for _, s := range sh.spans {
		sh.active += bits.OnesCount32(s.active)
		sh.billed += s.billedDays
		cents += s.cost
		if s.active != 0 && (licenses == 0 || s.use.License != counted) {
			licenses++
			counted = s.use.License
		}
	}
	sh.amount = fromCents(cents)
	if sh.Policy != events.Peak {
		sh.quantity = Count(licenses)
	}
}

// meter is what a company's readings for one type come to.
type meter struct {
	*share
	sum       decimal.Decimal
	endpoints map[string]*MeterDay // the day that counts for max and last
	values    map[events.Quantity]struct{}
}

// meters rates the readings (domain C7). A reading speaks of its own endpoint, so highest and last readings are taken per endpoint
// and added up over the company's; sums and different values are those of all its readings.
func (r *rater) meters() error {
	type key struct{ typ, company string }
	meters := make(map[key]*meter)
	for i := range r.Readings {
		day := &r.Readings[i]
		m := meters[key{day.Type, day.Company}]
		if m == nil {
			t, err := r.tariff(day.Type)
			if err != nil {
				return fmt.Errorf("readings of company %s: %w", day.Company, err)
			}
			if t.Policy != events.Metered {
				return fmt.Errorf("readings of company %s for type %s, which is not metered: %w", day.Company, day.Type, ErrPolicy)
			}
			m = &meter{share: &share{tariff: t, company: day.Company}, endpoints: make(map[string]*MeterDay), values: make(map[events.Quantity]struct{})}
			meters[key{day.Type, day.Company}] = m
			r.shares = append(r.shares, m.share)
		}
		if day.Date < r.first || day.Date >= r.first+events.Date(r.days) {
			return fmt.Errorf("readings of endpoint %s for type %s on %s in %s: %w", day.Endpoint, day.Type, day.Date, r.Month, ErrDay)
		}
		m.active++
		if !day.Trial {
			m.billed++
			m.take(day)
		}
	}
	for _, m := range meters {
		whole, parts := m.total(), decimal.NewFromInt(1)
		if m.Aggregate == events.Average {
			parts = decimal.NewFromInt(int64(r.days))
		}
		m.bill(whole, parts.Mul(perUnit(m.Unit)))
	}
	return nil
}

func (m *meter) take(day *MeterDay) {
	switch m.Aggregate {
	case events.Sum:
		m.sum = m.sum.Add(day.Sum)
	case events.Average:
		m.sum = m.sum.Add(day.Highest.Decimal())
	case events.Max:
		if best := m.endpoints[day.Endpoint]; best == nil || day.Highest.Decimal().GreaterThan(best.Highest.Decimal()) {
			m.endpoints[day.Endpoint] = day
		}
	case events.Last:
		if latest := m.endpoints[day.Endpoint]; latest == nil || day.Date > latest.Date {
			m.endpoints[day.Endpoint] = day
		}
	case events.Unique:
		for _, v := range day.Values {
			m.values[v] = struct{}{}
		}
	}
}

// total is the aggregate, for an average still to be divided by the days of the month.
func (m *meter) total() decimal.Decimal {
	for _, day := range m.endpoints {
		if m.Aggregate == events.Max {
			m.sum = m.sum.Add(day.Highest.Decimal())
		} else {
			m.sum = m.sum.Add(day.Last.Decimal())
		}
	}
	return m.sum.Add(decimal.NewFromInt(int64(len(m.values))))
}

// MaxMetered is the most that a metered line comes to: whatever is reported, its amount and the sums that it goes into can be written.
const MaxMetered = 1_000_000_000_000

// bill charges whole / parts units. The amount is rounded once, from the exact quantity.
func (sh *share) bill(whole, parts decimal.Decimal) {
	sh.quantity = Quantity{whole.DivRound(parts, 2)}
	sh.amount = quotient(sh.price.Mul(whole), parts)
	if most := fromCents(MaxMetered * 100); sh.amount.GreaterThan(most.Decimal) {
		sh.amount = most
	}
}

// perUnit is how much of a meter makes one unit.
func perUnit(unit string) decimal.Decimal {
	if unit == PerGiBMonth {
		return decimal.NewFromInt(1 << 30)
	}
	return decimal.NewFromInt(1)
}
