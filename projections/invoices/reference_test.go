package invoices_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/ledgertest"
	"licenseledger/projections/invoices"
)

// reference bills a provider's months from the list of its events and nothing else, day by day, as the rules read (domain, sections 2,
// 3 and 5). It knows neither the view nor the way in which package catalog rates. It is slow, and plain on purpose.
type reference struct {
	catalogs []events.Catalog
	log      map[string][]happened
}

// happened is one event of a provider.
type happened struct {
	entry uint64
	at    time.Time // when it took effect
	data  events.Data
}

func (r *reference) add(e *events.Entry) {
	for i, ev := range e.Events {
		switch d := ev.Data.(type) {
		case *events.LedgerOpened:
			r.catalogs = append(r.catalogs, d.Catalog)
		case *events.CatalogPublished:
			r.catalogs = append(r.catalogs, d.Catalog)
		default:
			if r.log == nil {
				r.log = make(map[string][]happened)
			}
			r.log[e.Provider] = append(r.log[e.Provider], happened{e.Number, e.EffectiveAt(i), d})
		}
	}
}

// catalog is the last one published of those that begin latest at or before the month.
func (r *reference) catalog(m events.Month) (c events.Catalog) {
	for _, next := range r.catalogs {
		if next.Effective <= m && next.Effective >= c.Effective {
			c = next
		}
	}
	return c
}

// day is what one license did on one day.
type day struct {
	serves int // which of its assignments had the day, from 1; 0: none
	free   bool
}

// assignment is one license serving one assignee.
type assignment struct {
	license, licenseType, company string
	assignee                      events.Assignee
	created                       time.Time
	cost                          decimal.Decimal
	active, billed                int
}

// bill is a month of a provider: its history, and its lines of usage.
type bill struct {
	rows  []string // assignments and companies' own, without those without days
	lines []refLine
}

type refLine struct {
	kind, company, licenseType, policy, price, month string
	quantity, amount                                 decimal.Decimal
	active, billed                                   int
}

func (l refLine) key() string {
	return strings.Join([]string{l.month, fmt.Sprint(l.policy == "minimum"), l.company, l.licenseType, l.policy, l.price}, "|")
}

func (l refLine) String() string {
	return fmt.Sprintf("%s %s %s %s at %s of %s: %s in %d/%d days = %s", l.kind, l.company, l.licenseType, l.policy, l.price, l.month,
		l.quantity.StringFixed(2), l.active, l.billed, l.amount.StringFixed(2))
}

// usage bills a month through a day from the events of a log.
func (r *reference) usage(log []happened, m events.Month, through events.Date) (b bill) {
	c := r.catalog(m)
	currency := currencyOf(log)
	first, n := m.First(), m.Days()
	served, order := assignments(log, first, min(through, m.Last()))
	for _, t := range c.Types {
		price := t.Prices[currency].Decimal
		part := func(days int) decimal.Decimal { // what days of the month cost
			return price.Mul(decimal.NewFromInt(int64(days))).Div(decimal.NewFromInt(int64(n))).Round(2)
		}
		var of []string
		for _, id := range slices.Sorted(maps.Keys(served)) {
			if order[id][0].licenseType == t.ID {
				of = append(of, id)
			}
		}
		// C8: on each day the oldest active licenses are free.
		oldest := slices.Clone(of)
		slices.SortStableFunc(oldest, func(a, b string) int { return order[a][0].created.Compare(order[b][0].created) })
		for d := range n {
			free := t.FreeUnits
			for _, id := range oldest {
				if served[id][d].serves > 0 && free > 0 {
					served[id][d].free = true
					free--
				}
			}
		}
		active := make(map[string]map[string]bool) // by company, the licenses with a day
		companies := make(map[string][]*assignment)
		for _, id := range of {
			for i := range order[id] {
				a := &order[id][i]
				companies[a.company] = append(companies[a.company], a)
				costs := 0 // days that cost through this assignment
				mine := 0
				for _, d := range served[id] {
					if d.serves == i+1 {
						a.active++
					}
					if d.serves > 0 && d.serves <= i+1 && !d.free {
						costs++
						if d.serves == i+1 {
							mine++
						}
					}
				}
				if a.active > 0 {
					if active[a.company] == nil {
						active[a.company] = make(map[string]bool)
					}
					active[a.company][id] = true
				}
				if t.Policy == events.DaysActive { // C4, B1
					a.billed = mine
					a.cost = part(costs).Sub(part(costs - mine))
				}
			}
			if t.Policy == events.FullMonth { // C5
				if slices.ContainsFunc(served[id], func(d day) bool { return d.serves > 0 && !d.free }) {
					i := slices.IndexFunc(order[id], func(a assignment) bool { return a.active > 0 })
					order[id][i].billed, order[id][i].cost = n, part(n)
				}
			}
		}
		for _, company := range slices.Sorted(maps.Keys(companies)) {
			quantity := decimal.NewFromInt(int64(len(active[company])))
			if t.Policy == events.Peak { // C6
				highest, on := 0, 0
				count := func(d int) (found []*assignment) {
					for _, id := range of {
						if s := served[id][d]; s.serves > 0 && !s.free && order[id][s.serves-1].company == company {
							found = append(found, &order[id][s.serves-1])
						}
					}
					return found
				}
				for d := range n {
					if k := len(count(d)); k > highest {
						highest, on = k, d
					}
				}
				if highest > 0 {
					for i, a := range count(on) {
						a.billed = n
						a.cost = price.Mul(decimal.NewFromInt(int64(i + 1))).Round(2).Sub(price.Mul(decimal.NewFromInt(int64(i))).Round(2))
					}
					b.rows = append(b.rows, fmt.Sprintf("%s %s peak %d", company, t.ID, highest))
				}
				quantity = decimal.NewFromInt(int64(highest))
			}
			line := refLine{
				kind: "usage", company: company, licenseType: t.ID, policy: string(t.Policy), price: price.String(), month: m.String(), quantity: quantity,
			}
			for _, a := range companies[company] {
				line.amount = line.amount.Add(a.cost)
				line.active += a.active
				line.billed += a.billed
				if a.active > 0 {
					b.rows = append(b.rows, fmt.Sprintf("%s %s %s %s: %d, %d, %s", company, t.ID, a.license, a.assignee.ID, a.active, a.billed, a.cost.StringFixed(2)))
				}
			}
			if !line.amount.IsZero() {
				b.lines = append(b.lines, line)
			}
		}
		if t.Policy == events.Metered {
			r.metered(&b, log, t, price, m, min(through, m.Last()))
		}
	}
	slices.Sort(b.rows)
	slices.SortFunc(b.lines, func(a, b refLine) int {
		return strings.Compare(a.company+"\x00"+a.licenseType, b.company+"\x00"+b.licenseType)
	})
	return b
}

// assignments are the licenses that cost in a month through a day, with what each did on each of its days, and whom it served in order.
func assignments(log []happened, first, through events.Date) (served map[string][]day, order map[string][]assignment) {
	served, order = make(map[string][]day), make(map[string][]assignment)
	for id, stands := range licenses(log) {
		var days [31]day
		var list []assignment
		for i, s := range stands {
			if !s.Billable() {
				continue
			}
			same := i > 0 && stands[i-1].Billable() && stands[i-1].Company == s.Company && stands[i-1].Assignee == s.Assignee
			if !same || len(list) == 0 {
				list = append(list, assignment{
					license: id, licenseType: s.Type, company: s.Company, assignee: s.Assignee, created: s.Created, cost: decimal.Zero,
				})
			}
			for d := max(s.from(), first); d <= min(stands.until(i), through); d++ {
				if days[d-first].serves == 0 {
					days[d-first].serves = len(list)
				}
			}
		}
		if len(list) > 0 {
			served[id], order[id] = days[:], list
		}
	}
	return served, order
}

// stand is how a license stood from an event on.
type stand struct {
	at      time.Time
	runsOut bool // it ran out by itself: the end is exclusive (D3)
	events.License
}

type stands []stand

func (s stand) from() events.Date { return max(events.DateOf(s.at), s.BilledFrom) }

// until is the last day on which it stood so at any moment (D2, D3).
func (s stands) until(i int) events.Date {
	switch {
	case i == len(s)-1:
		return 1<<31 - 1
	case s[i+1].runsOut:
		return events.LastDateBefore(s[i+1].at)
	}
	return events.DateOf(s[i+1].at)
}

func licenses(log []happened) map[string]stands {
	byID := make(map[string]stands)
	for _, h := range log {
		if l := events.LicenseAfter(h.data); l != nil {
			_, runsOut := h.data.(*events.LicenseExpired)
			byID[l.ID] = append(byID[l.ID], stand{h.at, runsOut, *l})
		}
	}
	return byID
}

// metered bills the readings of a type (C7).
func (r *reference) metered(b *bill, log []happened, t events.Type, price decimal.Decimal, m events.Month, through events.Date) {
	type value struct {
		amount decimal.Decimal
		at     time.Time
	}
	days := make(map[string]map[string]map[events.Date][]value) // by company and endpoint
	settings := make(map[string][]happened)                     // by company
	for _, h := range log {
		switch d := h.data.(type) {
		case *events.CompanySet:
			settings[d.Company] = append(settings[d.Company], h)
		case *events.UsageRecorded:
			for _, reading := range d.Readings {
				on := events.DateOf(reading.At)
				if reading.Meter != t.Meter || events.MonthOf(reading.At) != m || on > through || !switchedOn(settings[d.Company], t.ID, on) {
					continue
				}
				if days[d.Company] == nil {
					days[d.Company] = make(map[string]map[events.Date][]value)
				}
				if days[d.Company][d.Agent] == nil {
					days[d.Company][d.Agent] = make(map[events.Date][]value)
				}
				days[d.Company][d.Agent][on] = append(days[d.Company][d.Agent][on], value{reading.Value.Decimal(), reading.At})
			}
		}
	}
	for company, endpoints := range days {
		line := refLine{kind: "usage", company: company, licenseType: t.ID, policy: string(t.Policy), price: price.String(), month: m.String()}
		whole := decimal.Zero
		different := make(map[string]bool)
		for endpoint, byDay := range endpoints {
			var highest decimal.Decimal
			var last value
			for on, values := range byDay {
				line.active++
				if onlyTrial(log, endpoint, on) {
					continue
				}
				line.billed++
				most := decimal.Zero
				for _, v := range values {
					different[v.amount.String()] = true
					most = decimal.Max(most, v.amount)
					if !v.at.Before(last.at) {
						last = v
					}
					if t.Aggregate == events.Sum {
						whole = whole.Add(v.amount)
					}
				}
				if t.Aggregate == events.Average {
					whole = whole.Add(most)
				}
				highest = decimal.Max(highest, most)
			}
			switch t.Aggregate {
			case events.Max:
				whole = whole.Add(highest)
			case events.Last:
				whole = whole.Add(last.amount)
			}
		}
		if t.Aggregate == events.Unique {
			whole = decimal.NewFromInt(int64(len(different)))
		}
		parts := decimal.NewFromInt(1)
		if t.Aggregate == events.Average {
			parts = decimal.NewFromInt(int64(m.Days()))
		}
		if t.Unit == "GiB-month" {
			parts = parts.Mul(decimal.NewFromInt(1 << 30))
		}
		line.quantity = whole.DivRound(parts, 2)
		line.amount = decimal.Min(price.Mul(whole).DivRound(parts, 12).Round(2), decimal.NewFromInt(1_000_000_000_000))
		b.rows = append(b.rows, fmt.Sprintf("%s %s metered %s: %d, %d, %s", company, t.ID, line.quantity.StringFixed(2), line.active, line.billed, line.amount.StringFixed(2)))
		if !line.amount.IsZero() {
			b.lines = append(b.lines, line)
		}
	}
}

// switchedOn says whether a company had a type on at any moment of a day, as far as these settings say.
func switchedOn(settings []happened, licenseType string, on events.Date) bool {
	for i, h := range settings {
		until := events.Date(1<<31 - 1)
		if i < len(settings)-1 {
			until = events.DateOf(settings[i+1].at)
		}
		if slices.Contains(h.data.(*events.CompanySet).Metered, licenseType) && events.DateOf(h.at) <= on && on <= until {
			return true
		}
	}
	return false
}

// onlyTrial says that a trial covered an endpoint on a day, and no paid license.
func onlyTrial(log []happened, endpoint string, on events.Date) (trial bool) {
	for _, list := range licenses(log) {
		for i, s := range list {
			if !s.Assigned || s.Assignee != (events.Assignee{Kind: events.Endpoint, ID: endpoint}) || on > list.until(i) {
				continue
			}
			if s.Status == events.Paid && s.from() <= on {
				return false
			}
			trial = trial || s.Status == events.Trial && events.DateOf(s.at) <= on
		}
	}
	return trial
}

// statement is what a month's statement must be.
type refStatement struct {
	month           events.Month
	cut             uint64
	lines           []refLine
	subtotal, total decimal.Decimal
}

// statements are those of all closed months that have lines, in order (B2, B3, B5).
func (r *reference) statements(provider string) (list []refStatement) {
	log := r.log[provider]
	carried, carriedFrom := decimal.Zero, ""
	var closed []events.Month
	cuts := map[events.Month]int{}
	for i, h := range log {
		d, ok := h.data.(*events.MonthClosed)
		if !ok {
			continue
		}
		m := d.Month
		cut := i + 1
		cuts[m] = cut
		s := refStatement{month: m, cut: h.entry, lines: r.usage(log[:cut], m, m.Last()).lines}
		s.subtotal = total(s.lines)
		var more []refLine
		if top := r.topUp(log, m, s.subtotal); top.IsPositive() {
			more = append(more, refLine{kind: "minimum", month: m.String(), amount: top})
		}
		// B5: how every earlier month has changed since the last month's end.
		for _, k := range closed {
			before := r.now(log[:cuts[m-1]], k)
			more = append(more, r.difference(log, k, before, r.now(log[:cut], k))...)
		}
		closed = append(closed, m)
		if s.lines = append(s.lines, more...); len(s.lines) == 0 {
			continue
		}
		if carried.IsNegative() {
			s.lines = slices.Insert(s.lines, 0, refLine{kind: "carried", month: carriedFrom, amount: carried})
		}
		carried, carriedFrom = decimal.Zero, ""
		if sum := total(s.lines); sum.IsNegative() {
			carried, carriedFrom = sum, m.String()
			s.lines = append(s.lines, refLine{kind: "carried", month: m.String(), amount: sum.Neg()})
		}
		s.total = total(s.lines)
		list = append(list, s)
	}
	return list
}

// now is what a closed month comes to by a log: usage, and its corrections.
func (r *reference) now(log []happened, m events.Month) []refLine {
	lines := r.usage(log, m, m.Last()).lines
	for _, h := range log {
		d, ok := h.data.(*events.AdjustmentRecorded)
		if !ok || d.Month != m {
			continue
		}
		l := refLine{kind: "adjustment", company: d.Company, licenseType: d.LicenseType, month: m.String(), amount: d.Amount.Decimal}
		for _, t := range r.catalog(m).Types {
			if t.ID == d.LicenseType {
				l.policy, l.price = string(t.Policy), t.Prices[currencyOf(log)].Decimal.String()
			}
		}
		lines = append(lines, l)
	}
	return lines
}

func currencyOf(log []happened) string {
	for _, h := range log {
		if set, ok := h.data.(*events.ProviderSet); ok {
			return set.Currency
		}
	}
	return ""
}

// difference states a month's change as lines, its minimum's last.
func (r *reference) difference(log []happened, m events.Month, before, after []refLine) (lines []refLine) {
	sums := make(map[string]refLine)
	count := func(list []refLine, sign int64) {
		for _, l := range list {
			s, ok := sums[l.key()]
			if !ok {
				s = l
				s.kind, s.quantity, s.amount, s.active, s.billed = "adjustment", decimal.Zero, decimal.Zero, 0, 0
			}
			by := decimal.NewFromInt(sign)
			s.quantity = s.quantity.Add(l.quantity.Mul(by))
			s.amount = s.amount.Add(l.amount.Mul(by))
			s.active += int(sign) * l.active
			s.billed += int(sign) * l.billed
			sums[l.key()] = s
		}
	}
	count(after, 1)
	count(before, -1)
	for _, k := range slices.Sorted(maps.Keys(sums)) {
		if !sums[k].amount.IsZero() {
			lines = append(lines, sums[k])
		}
	}
	if top := r.topUp(log, m, total(after)).Sub(r.topUp(log, m, total(before))); !top.IsZero() {
		lines = append(lines, refLine{kind: "adjustment", policy: "minimum", month: m.String(), amount: top})
	}
	return lines
}

// topUp is what lifts a month's usage to its minimum (B3).
func (r *reference) topUp(log []happened, m events.Month, subtotal decimal.Decimal) decimal.Decimal {
	if minimum := r.catalog(m).Minimum[currencyOf(log)].Decimal; subtotal.IsPositive() && subtotal.LessThan(minimum) {
		return minimum.Sub(subtotal)
	}
	return decimal.Zero
}

func total(lines []refLine) decimal.Decimal {
	sum := decimal.Zero
	for _, l := range lines {
		sum = sum.Add(l.amount)
	}
	return sum
}

// history is a month's usage history through a day: of a closed month as it was when it was closed.
func (r *reference) history(provider string, m events.Month, through events.Date) bill {
	log := r.log[provider]
	for i, h := range log {
		if d, ok := h.data.(*events.MonthClosed); ok && d.Month == m {
			log = log[:i+1]
			break
		}
	}
	return r.usage(log, m, through)
}

// What follows writes what the view says in the words of the reference.

func toldLines(lines []catalog.Line) (list []string) {
	for _, l := range lines {
		price := ""
		if l.LicenseType != "" {
			price = l.UnitPrice.Decimal.String()
		}
		list = append(list, refLine{
			string(l.Kind), l.Company, l.LicenseType, string(l.Policy), price, l.Month.String(), l.Quantity.Decimal, l.Amount.Decimal, l.DaysActive, l.BilledDays,
		}.String())
	}
	return list
}

func toldReference(lines []refLine) (list []string) {
	for _, l := range lines {
		list = append(list, l.String())
	}
	return list
}

func toldRows(rating catalog.Rating) (list []string) {
	for _, row := range rating.Rows {
		switch u := row.Use; {
		case u != nil && row.DaysActive > 0:
			list = append(list, fmt.Sprintf("%s %s %s %s: %d, %d, %s", row.Company, row.Type, u.License, u.Assignee.ID, row.DaysActive, row.BilledDays, row.Cost))
		case u == nil && row.PeakDate != 0:
			list = append(list, fmt.Sprintf("%s %s peak %s", row.Company, row.Type, row.Quantity))
		case u == nil && row.DaysActive > 0:
			list = append(list, fmt.Sprintf("%s %s metered %s: %d, %d, %s", row.Company, row.Type, row.Quantity.StringFixed(2), row.DaysActive, row.BilledDays, row.Cost))
		}
	}
	slices.Sort(list)
	return list
}

// checkReference holds a provider's statements, in order, against the reference, and what they say of themselves against each other.
func checkReference(t ledgertest.T, r *reference, provider string, list []invoices.Statement) {
	t.Helper()
	want := r.statements(provider)
	for i, s := range list {
		if i >= len(want) || want[i].month != s.Month {
			t.Fatalf("%s has a statement of %s, the reference has not", provider, s.Month)
		}
		expected, got := toldReference(want[i].lines), toldLines(s.Lines)
		slices.Sort(expected)
		slices.Sort(got)
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Fatalf("%s's statement of %s (-reference +view):\n%s", provider, s.Month, diff)
		}
		if !s.Total.Equal(want[i].total) || !s.Subtotal.Equal(want[i].subtotal) || s.Cut != want[i].cut {
			t.Fatalf("%s's statement of %s: %s of %s, cut by %d; the reference says %s of %s, cut by %d",
				provider, s.Month, s.Total, s.Subtotal, s.Cut, want[i].total, want[i].subtotal, want[i].cut)
		}
	}
}
