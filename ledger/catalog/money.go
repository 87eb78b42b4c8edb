package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// RoundCent rounds to the cent, half up and away from zero: 0.005 to 0.01, -0.005 to -0.01 (domain B1).
func RoundCent(d decimal.Decimal) events.Money { return events.Money{Decimal: d.Round(2)} }

// Prorate is price x units x days / of, rounded once (domain C4, K7). The division is exact up to that rounding. It panics where of is 0.
func Prorate(price events.Money, units, days, of int) events.Money {
	whole := price.Mul(decimal.NewFromInt(int64(units))).Mul(decimal.NewFromInt(int64(days)))
	return quotient(whole, decimal.NewFromInt(int64(of)))
}

// quotient divides and rounds to the cent in one step: no digits are lost before the rounding.
func quotient(num, den decimal.Decimal) events.Money {
	return events.Money{Decimal: num.DivRound(den, 2)}
}

func fromCents(c int64) events.Money { return events.Money{Decimal: decimal.New(c, -2)} }

func add(a, b events.Money) events.Money { return events.Money{Decimal: a.Add(b.Decimal)} }

// Quantity is how much of a unit a line bills: licenses, or what a meter counted,
// printed with at most two digits after the point. On the wire it is a JSON number without exponent.
// Lines of adjustments may count negative quantities.
type Quantity struct{ decimal.Decimal }

// Count makes a Quantity of a whole number.
func Count(n int) Quantity { return Quantity{decimal.NewFromInt(int64(n))} }

// MarshalJSON writes a number without trailing zeros.
func (q Quantity) MarshalJSON() ([]byte, error) { return []byte(q.String()), nil }

var errQuantity = errors.New("a quantity is a number in plain decimal notation")

// UnmarshalJSON reads what MarshalJSON writes.
func (q *Quantity) UnmarshalJSON(b []byte) error {
	if len(b) > events.MaxMoneyLength*2 || strings.Trim(string(b), "-.0123456789") != "" {
		return fmt.Errorf("%.40q: %w", b, errQuantity)
	}
	d, err := decimal.NewFromString(string(b))
	if err != nil {
		return fmt.Errorf("%.40q: %w", b, errQuantity)
	}
	q.Decimal = d
	return nil
}
