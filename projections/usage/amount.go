package usage

import (
	"errors"
	"math/big"
	"math/bits"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Amount is the exact value of a reading or a sum of readings, from 0: a whole number of billionths, the finest that a reading can be.
type Amount struct{ hi, lo uint64 }

// errOverflow would take a hundred billion readings of the largest value.
var errOverflow = errors.New("a sum of readings exceeds 127 bits")

const perUnit = 1_000_000_000 // billionths

var powers = [events.MaxQuantityScale + 1]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// amountOf converts a reading's value.
func amountOf(q events.Quantity) Amount {
	coef, scale := q.Parts()
	hi, lo := bits.Mul64(uint64(coef), powers[events.MaxQuantityScale-scale])
	return Amount{hi, lo}
}

// whole is n units.
func whole(n uint64) Amount {
	hi, lo := bits.Mul64(n, perUnit)
	return Amount{hi, lo}
}

// Add gives the sum. It panics if that exceeds 127 bits, which the sum of all readings that were ever stored does not.
func (a Amount) Add(b Amount) Amount {
	sum, ok := a.add(b)
	if !ok {
		panic(errOverflow)
	}
	return sum
}

func (a Amount) add(b Amount) (sum Amount, ok bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, carry := bits.Add64(a.hi, b.hi, carry)
	return Amount{hi, lo}, carry == 0 && hi>>63 == 0
}

// Cmp is -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// Decimal gives the exact value, without trailing zeros after the point.
func (a Amount) Decimal() decimal.Decimal {
	if units, ok := a.units(); ok && units.hi == 0 && units.lo>>63 == 0 {
		return decimal.New(int64(units.lo), 0)
	}
	n := new(big.Int).SetUint64(a.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(a.lo))
	exp, ten, rest := int32(-events.MaxQuantityScale), big.NewInt(10), new(big.Int)
	for exp < 0 {
		shorter, rest := new(big.Int).QuoRem(n, ten, rest)
		if rest.Sign() != 0 {
			break
		}
		n, exp = shorter, exp+1
	}
	return decimal.NewFromBigInt(n, exp)
}

// String is the plain decimal number.
func (a Amount) String() string { return a.Decimal().String() }

// units divides by perUnit; ok says that nothing is left over.
func (a Amount) units() (units Amount, ok bool) {
	hi, rest := a.hi/perUnit, a.hi%perUnit
	lo, rest := bits.Div64(rest, a.lo, perUnit)
	return Amount{hi, lo}, rest == 0
}
