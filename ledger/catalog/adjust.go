package catalog

import (
	"slices"

	"licenseledger/events"
)

// Correction is a change of a month's amount that somebody ordered, with a reason that the log keeps (domain B5).
type Correction struct {
	Month       events.Month
	Company     string // may be empty
	LicenseType string // may be empty
	Amount      events.Money
}

// Line is the correction among the lines of its month, for [Adjust]. c is the
// catalog in force in that month: the line stands beside those of its type.
func (k Correction) Line(c events.Catalog, currency string) Line {
	l := plainLine(Adjustment, "", k.Month, RoundCent(k.Amount.Decimal))
	l.Company, l.LicenseType = k.Company, k.LicenseType
	i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == k.LicenseType })
	if i >= 0 {
		t := c.Types[i]
		price, _ := Price(t, currency)
		l.Policy, l.Unit, l.UnitPrice = t.Policy, t.Unit, price
	}
	l.ID = l.Key().ID()
	return l
}

// Adjust states how a month's total changed since it was last billed, as lines of the statement that is being made (domain B5).
//
// Before are the month's lines as they were last billed: the usage lines and
// corrections that its statement and the adjustments since then rest on; nothing
// if nothing of it was ever billed. After are the lines as they are now: usage rated anew,
// and all its corrections. c is the catalog in force in that month. For the
// month being billed itself, before are its usage lines and after the same with its corrections.
//
// The result has one line per key whose amount changed, then, if the month's minimum changed with
// it, one of policy [OfMinimum]; their sum is the change of the month's total.
// Nothing about the statement's own month goes into it.
func Adjust(month events.Month, c events.Catalog, currency string, before, after []Line) []Line {
	change := make([]Line, 0, len(before)+len(after)+1)
	for _, l := range before {
		l.Quantity.Decimal = l.Quantity.Neg()
		l.DaysActive, l.BilledDays = -l.DaysActive, -l.BilledDays
		l.Amount.Decimal = l.Amount.Neg()
		change = append(change, l)
	}
	change = append(change, after...)

	was := TopUp(c, currency, Total(before))
	is := TopUp(c, currency, Total(after))
	change = append(change, plainLine(Adjustment, OfMinimum, month, events.Money{Decimal: is.Sub(was.Decimal)}))
	return merge(Adjustment, change)
}
