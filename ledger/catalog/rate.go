package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Input is what a provider used in a month.
type Input struct {
	Month    events.Month
	Catalog  events.Catalog // the one in force in the month
	Currency string
	Uses     []Use      // in any order
	Readings []MeterDay // in any order
}

// Use is one license serving one assignee over a run of days, as far as it was
// paid and assigned (domain D2, L5). A license may have several uses in a
// month: served another, or after a gap. A date that two of them share belongs to the earlier (domain B1).
type Use struct {
	License  string
	Created  time.Time // the license's age, for free units (domain C8)
	Type     string
	Company  string // of the assignment; empty for types that serve the whole provider
	Assignee events.Assignee
	// From and To are the first and the last day that count, within the month. To before From: no day counts.
	From, To events.Date
	// Activated and Deactivated are the instants of the assignment, also outside the month; Deactivated is zero while it lasts.
	Activated, Deactivated time.Time
	// Turn puts uses of a license in order that were activated at the same instant: the lower one is earlier.
	Turn int
}

// MeterDay is what one endpoint of a company read on one day for one metered type
// that the company has switched on (domain C7). There is one per company, endpoint, type and day.
type MeterDay struct {
	Type              string
	Company, Endpoint string
	Date              events.Date
	// The day's readings: their sum, the highest, the last by time, and the different
	// values. Only the one that the type's aggregate asks for is needed (Highest for max and average).
	Sum           decimal.Decimal
	Highest, Last events.Quantity
	Values        []events.Quantity
	// Trial says that only a trial covered the endpoint that day: it is not billed.
	Trial bool
}

// Row is one row of the usage history: a use, or what a company owes as a whole for a peak or metered type (domain L15).
type Row struct {
	Company, Type string
	Use           *Use // points into the input; nil in a company's row
	// DaysActive counts days that no earlier use of the license has; BilledDays those that cost, for full-month and
	// carriers of a peak all days of the month. In a metered type's row they count days of endpoints.
	DaysActive, BilledDays int
	// Quantity and PeakDate stand in a company's row: what was counted, and the first day of a peak above zero.
	Quantity Quantity
	PeakDate events.Date
	// Cost of all rows adds up to the subtotal. A peak is carried by the rows of its licenses; the company's row beside them costs nothing.
	Cost events.Money
}

// Rating is a month of a provider, rated.
type Rating struct {
	// Rows are ordered by company, type, license and time, a company's own row after those of its licenses.
	Rows []Row
	// Lines has one usage line per company and type that costs something, in that order.
	Lines    []Line
	Subtotal events.Money // the sum of the rows' costs, and of the lines' amounts
}

// Errors of [Rate]. What the ledger has accepted never causes them under the
// catalog it was accepted under; another catalog may (what-if).
var (
	ErrNoType  = errors.New("not a type of the catalog")
	ErrNoPrice = errors.New("no usable price in the provider's currency")
	ErrPolicy  = errors.New("not a type that is rated so")
	ErrDay     = errors.New("a day outside the month")
)

// Rate applies the policies of the month's catalog (domain C4 to C8, B1). The
// order of uses and readings does not matter. The result points into in.Uses, which must not be changed while it is used.
// Errors name the license or company and wrap one of those above.
func Rate(in Input) (Rating, error) {
	r := newRater(in)
	if err := r.assigned(); err != nil {
		return Rating{}, err
	}
	if err := r.meters(); err != nil {
		return Rating{}, err
	}
	return r.result(), nil
}

// rater is a month being rated.
type rater struct {
	Input
	first  events.Date
	days   int
	types  map[string]*tariff
	spans  []span
	shares []*share
}

func newRater(in Input) *rater {
	return &rater{Input: in, first: in.Month.First(), days: in.Month.Days(), types: make(map[string]*tariff)}
}

// tariff is a type with its price in the month.
type tariff struct {
	*events.Type
	price   events.Money
	through []int64 // what 0, 1, ... billed days of the month cost, in cents
}

// span is a use with its days as a set: bit 0 is the first of the month.
type span struct {
	use            *Use
	active, billed uint32
	billedDays     int
	cost           int64 // cents
}

// share is what a company has of a type: one line, and the rows behind it.
type share struct {
	*tariff
	company  string
	spans    []*span
	quantity Quantity
	peakDate events.Date
	amount   events.Money
	active   int
	billed   int
}

func (r *rater) tariff(id string) (*tariff, error) {
	if t, ok := r.types[id]; ok {
		return t, nil
	}
	i := slices.IndexFunc(r.Catalog.Types, func(t events.Type) bool { return t.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%q in the catalog of %s: %w", id, r.Catalog.Effective, ErrNoType)
	}
	t := &tariff{Type: &r.Catalog.Types[i]}
	var ok bool
	if t.price, ok = Price(*t.Type, r.Currency); !ok || !sane(t.price) {
		return nil, fmt.Errorf("%s in %s: %w", id, r.Currency, ErrNoPrice)
	}
	t.through = make([]int64, r.days+1)
	for d := range t.through {
		t.through[d] = Prorate(t.price, 1, d, r.days).Shift(2).IntPart()
	}
	r.types[id] = t
	return t, nil
}

// takeUses orders the uses by type, license and time and makes their days sets of the days that each counts alone.
func (r *rater) takeUses() error {
	r.spans = make([]span, len(r.Uses))
	last := r.first + events.Date(r.days) - 1
	for i := range r.Uses {
		u := &r.Uses[i]
		t, err := r.tariff(u.Type)
		switch {
		case err != nil:
			return fmt.Errorf("license %s: %w", u.License, err)
		case t.Policy == events.Metered || t.Term != events.Monthly:
			return fmt.Errorf("license %s of type %s, which is not assigned by the month: %w", u.License, u.Type, ErrPolicy)
		case u.From <= u.To && (u.From < r.first || u.To > last):
			return fmt.Errorf("license %s from %s to %s in %s: %w", u.License, u.From, u.To, r.Month, ErrDay)
		}
		r.spans[i].use = u
	}
	slices.SortFunc(r.spans, func(a, b span) int { return compareUses(a.use, b.use) })

	next := r.first // the first day that the license has not counted yet
	for i := range r.spans {
		s := &r.spans[i]
		if i == 0 || !sameLicense(s.use, r.spans[i-1].use) {
			next = r.first
		}
		if from := max(s.use.From, next); from <= s.use.To {
			next = s.use.To + 1
			s.active = 1<<(next-r.first) - 1<<(from-r.first)
		}
	}
	return nil
}

func sameLicense(a, b *Use) bool { return a.License == b.License && a.Type == b.Type }

// compareUses is a total order, so that the order of the input never shows.
func compareUses(a, b *Use) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	if c := strings.Compare(a.License, b.License); c != 0 {
		return c
	}
	return cmp.Or(
		cmp.Compare(a.From, b.From),
		a.Activated.Compare(b.Activated),
		cmp.Compare(a.Turn, b.Turn),
		compareBool(a.Deactivated.IsZero(), b.Deactivated.IsZero()), // what lasts comes last
		a.Deactivated.Compare(b.Deactivated),
		cmp.Compare(a.To, b.To),
		strings.Compare(a.Company, b.Company),
		strings.Compare(string(a.Assignee.Kind), string(b.Assignee.Kind)),
		strings.Compare(a.Assignee.ID, b.Assignee.ID),
		a.Created.Compare(b.Created),
	)
}

// result puts rows and lines in order.
func (r *rater) result() Rating {
	slices.SortFunc(r.shares, func(a, b *share) int {
		return cmp.Or(strings.Compare(a.company, b.company), strings.Compare(a.ID, b.ID))
	})
	out := Rating{Rows: make([]Row, 0, len(r.spans)+len(r.shares)), Subtotal: fromCents(0)}
	for _, sh := range r.shares {
		for _, s := range sh.spans {
			out.Rows = append(out.Rows, Row{
				Company: sh.company, Type: sh.ID, Use: s.use,
				DaysActive: bits.OnesCount32(s.active), BilledDays: s.billedDays, Cost: fromCents(s.cost),
			})
		}
		switch sh.Policy {
		case events.Peak:
			out.Rows = append(out.Rows, Row{
				Company: sh.company, Type: sh.ID, Quantity: sh.quantity, PeakDate: sh.peakDate, Cost: fromCents(0),
			})
		case events.Metered:
			out.Rows = append(out.Rows, Row{
				Company: sh.company, Type: sh.ID, Quantity: sh.quantity,
				DaysActive: sh.active, BilledDays: sh.billed, Cost: sh.amount,
			})
		}
		if sh.amount.IsZero() {
			continue
		}
		l := sh.line(r.Month)
		out.Lines = append(out.Lines, l)
		out.Subtotal = add(out.Subtotal, l.Amount)
	}
	return out
}

// line is the usage line of the share.
func (sh *share) line(month events.Month) Line {
	l := Line{
		Kind: Usage, Company: sh.company, LicenseType: sh.ID, Policy: sh.Policy, Unit: sh.Unit, UnitPrice: sh.price,
		Quantity: sh.quantity, DaysActive: sh.active, BilledDays: sh.billed, Month: month, Amount: sh.amount,
	}
	l.ID = l.Key().ID()
	return l
}
