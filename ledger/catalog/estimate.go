package catalog

import (
	"fmt"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Bounds of an estimate.
const (
	MaxEstimateLicenses = 100_000       // over all items
	MaxEstimateMetered  = 1_000_000_000 // units of one item
)

// Item asks what a quantity of a type used on a number of days would cost.
type Item struct {
	LicenseType string
	// Quantity counts licenses; for metered types it is the units on each of the days, which may have a fraction: 100 GiB on
	// 10 days is a quantity of 100.
	Quantity decimal.Decimal
	// Days are from the month's first day on; 0 stands for the whole month.
	Days int
}

// Estimate is the statement of a month in which nothing but the items is used,
// by the rules of [Rate]. All licenses begin on the first of the month; of
// those with free units the ones listed first are the older. What makes no sense is answered as [Problems].
func Estimate(month events.Month, c events.Catalog, currency string, items []Item) (Statement, error) {
	r := newRater(Input{Month: month, Catalog: c, Currency: currency})
	if p := r.checkItems(items); len(p) > 0 {
		return Statement{}, p
	}
	metered := make(map[string]decimal.Decimal)
	for _, it := range items {
		t := r.types[it.LicenseType]
		days := it.Days
		if days == 0 {
			days = r.days
		}
		if t.Policy == events.Metered {
			units := it.Quantity
			if t.Aggregate == events.Average {
				units = units.Mul(decimal.NewFromInt(int64(days)))
			}
			metered[t.ID] = metered[t.ID].Add(units)
			continue
		}
		for range it.Quantity.IntPart() {
			r.Uses = append(r.Uses, Use{
				License: fmt.Sprintf("%06d", len(r.Uses)), Type: t.ID,
				From: r.first, To: r.first + events.Date(days) - 1,
			})
		}
	}
	if err := r.assigned(); err != nil {
		return Statement{}, fmt.Errorf("estimate %s: %w", month, err)
	}
	for id, units := range metered {
		sh := &share{tariff: r.types[id]}
		parts := 1
		if sh.Aggregate == events.Average {
			parts = r.days
		}
		sh.bill(units, decimal.NewFromInt(int64(parts)))
		r.shares = append(r.shares, sh)
	}
	return Assemble(month, c, currency, r.result().Lines, nil, Carry{}), nil
}

func (r *rater) checkItems(items []Item) Problems {
	var p Problems
	licenses := 0
	for i, it := range items {
		field := fmt.Sprintf("items[%d]", i)
		if it.Days < 0 || it.Days > r.days {
			p.add(field+".days", "must be 1 to %d", r.days)
		}
		t, err := r.tariff(it.LicenseType)
		if err != nil {
			p.add(field+".license_type", "%s", err)
			continue
		}
		if t.Term != events.Monthly {
			p.add(field+".license_type", "%s is sold as a prepaid key, not by the month", t.ID)
			continue
		}
		limit := int64(MaxEstimateLicenses)
		if t.Policy == events.Metered {
			limit = MaxEstimateMetered
		}
		switch {
		case !it.Quantity.IsPositive() || it.Quantity.GreaterThan(decimal.NewFromInt(limit)):
			p.add(field+".quantity", "must be more than 0, and at most %d", limit)
		case t.Policy != events.Metered && !it.Quantity.IsInteger():
			p.add(field+".quantity", "must be a whole number of licenses")
		case t.Policy != events.Metered:
			licenses += int(it.Quantity.IntPart())
		}
	}
	if licenses > MaxEstimateLicenses {
		p.add("items", "must not count more than %d licenses together", MaxEstimateLicenses)
	}
	return p
}
