package catalog

import (
	"slices"

	"licenseledger/events"
)

// Statement is what a provider owes for a month. Without lines there is none to issue (domain B2).
type Statement struct {
	Month    events.Month
	Currency string
	// Lines in order: what was carried in, usage, the minimum, adjustments, what is carried on.
	Lines []Line
	// Subtotal is the sum of the usage lines, Minimum the amount of the minimum line (zero if there is none), Total the sum of all lines.
	Subtotal, Minimum, Total events.Money
	// Carry is for the next statement: of this one where it has lines, else what came in.
	Carry Carry
}

// Carry is a credit that awaits the next statement (domain B5). Amount is negative, or zero where there is none.
type Carry struct {
	Amount events.Money
	Month  events.Month // the month of the statement that carried it on
}

// TopUp is what lifts a month's usage to the minimum in force: zero where nothing
// was spent or enough was (domain B3). For a projected subtotal it is also the credit of domain B4.
func TopUp(c events.Catalog, currency string, subtotal events.Money) events.Money {
	minimum, ok := c.Minimum[currency]
	if !ok || !subtotal.IsPositive() || subtotal.GreaterThanOrEqual(minimum.Decimal) {
		return fromCents(0)
	}
	return RoundCent(minimum.Sub(subtotal.Decimal))
}

// Assemble makes the statement of a month from its usage lines (as [Rate] gives
// them), the adjustments due in it (as [Adjust] gives them) and the credit that
// the statement before left. c is the catalog in force in the month; the minimum regards the month's usage
// alone (domain B5). A credit without anything to set it against stays as it is. The arguments are not changed.
func Assemble(month events.Month, c events.Catalog, currency string, usage, adjustments []Line, carried Carry) Statement {
	s := Statement{Month: month, Currency: currency, Subtotal: Total(usage), Carry: carried}
	s.Minimum = TopUp(c, currency, s.Subtotal)
	s.Total = fromCents(0)

	lines := slices.Clone(usage)
	if s.Minimum.IsPositive() {
		lines = append(lines, plainLine(Minimum, "", month, s.Minimum))
	}
	lines = append(lines, merge(Adjustment, adjustments)...)
	if len(lines) == 0 {
		return s
	}
	s.Carry = Carry{}
	if carried.Amount.IsNegative() {
		lines = slices.Insert(lines, 0, plainLine(Carried, "", carried.Month, carried.Amount))
	}
	if owed := Total(lines); owed.IsNegative() {
		lines = append(lines, plainLine(Carried, "", month, events.Money{Decimal: owed.Neg()}))
		s.Carry = Carry{Amount: owed, Month: month}
	}
	s.Lines, s.Total = lines, Total(lines)
	return s
}

// plainLine is a line that no type stands behind.
func plainLine(kind LineKind, policy events.Policy, month events.Month, amount events.Money) Line {
	l := Line{Kind: kind, Policy: policy, Month: month, Amount: amount}
	l.ID = l.Key().ID()
	return l
}
