package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/shopspring/decimal"
)

// Money is an amount or a price in the currency that stands beside it. On the
// wire it is a decimal string with at least two digits after the point; more
// are kept as they were given ("0.0060").
type Money struct{ decimal.Decimal }

// MaxMoneyLength bounds the text of an amount.
const MaxMoneyLength = 24

// ParseMoney reads an amount in plain decimal notation, without an exponent.
func ParseMoney(s string) (Money, error) {
	if len(s) > MaxMoneyLength || !plainDecimal(s) {
		return Money{}, fmt.Errorf("%q is not an amount of money in plain decimal notation", s)
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return Money{}, fmt.Errorf("%q is not an amount of money: %w", s, err)
	}
	return Money{d}, nil
}

// String has at least two digits after the point.
func (m Money) String() string { return m.StringFixed(max(2, -m.Exponent())) }

// Format prints the amount as String does, whatever the verb.
func (m Money) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// MarshalJSON writes the amount as a string of at most [MaxMoneyLength] characters; a longer one has to be rounded first.
func (m Money) MarshalJSON() ([]byte, error) {
	if m.Exponent() < -MaxMoneyLength || m.Exponent() > MaxMoneyLength {
		return nil, fmt.Errorf("an amount of money with an exponent of %d", m.Exponent())
	}
	s := m.String()
	if len(s) > MaxMoneyLength {
		return nil, fmt.Errorf("%.80q is too long for an amount of money", s)
	}
	return strconv.AppendQuote(nil, s), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Money) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("money is a string: %w", err)
	}
	v, err := ParseMoney(s)
	if err != nil {
		return err
	}
	*m = v
	return nil
}

func plainDecimal(s string) bool {
	if s != "" && s[0] == '-' {
		s = s[1:]
	}
	digits, points := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && i > 0 && i < len(s)-1:
			points++
		default:
			return false
		}
	}
	return digits > 0 && points <= 1
}

// Quantity is the value of a reading: a decimal number that is not negative, with at most 18
// significant digits of which at most 9 stand after the point. It has one
// canonical text: no exponent, no leading or trailing zeros.
type Quantity struct {
	coef  int64
	scale uint8
}

// Bounds of a [Quantity].
const (
	MaxQuantityDigits = 18
	MaxQuantityScale  = 9
)

// ErrQuantity is wrapped by every error of [ParseQuantity].
var ErrQuantity = errors.New("not a reading's value: a decimal number from 0, at most 18 digits, at most 9 of them after the point, no exponent")

// ParseQuantity reads a JSON number in plain decimal notation. Trailing zeros
// after the point are dropped.
func ParseQuantity[T string | []byte](s T) (Quantity, error) {
	q, _, err := parseQuantity(s)
	return q, err
}

// parseQuantity also says whether the text is the canonical one.
func parseQuantity[T string | []byte](s T) (q Quantity, canonical bool, err error) {
	fail := func() (Quantity, bool, error) {
		return Quantity{}, false, fmt.Errorf("%.40q: %w", string(s), ErrQuantity)
	}
	point := len(s) // where the point stands
	for i := range len(s) {
		if s[i] == '.' {
			point = i
			break
		}
	}
	end := len(s) // of the digits that count
	if point < len(s) {
		for end > point+1 && s[end-1] == '0' {
			end--
		}
		if end == point+1 {
			end = point
		}
	}
	if point == 0 || point == len(s)-1 || point > 1 && s[0] == '0' || end-point-1 > MaxQuantityScale {
		return fail()
	}
	digits := 0
	for i := range end {
		c := s[i] - '0'
		if i == point {
			continue
		}
		if digits > 0 || c != 0 {
			digits++
		}
		if c > 9 || digits > MaxQuantityDigits {
			return fail()
		}
		q.coef = q.coef*10 + int64(c)
	}
	if end > point {
		q.scale = uint8(end - point - 1)
	}
	return q, end == len(s), nil
}

// Decimal gives the exact value.
func (q Quantity) Decimal() decimal.Decimal { return decimal.New(q.coef, -int32(q.scale)) }

// Parts gives the value as coef x 10^-scale, for sums that must be fast.
func (q Quantity) Parts() (coef int64, scale uint8) { return q.coef, q.scale }

// Append writes the canonical text.
func (q Quantity) Append(b []byte) []byte {
	if q.scale == 0 {
		return strconv.AppendInt(b, q.coef, 10)
	}
	var text [24]byte
	i, coef := len(text), q.coef
	for n := uint8(0); n <= q.scale || coef > 0; n++ {
		if n == q.scale {
			i--
			text[i] = '.'
		}
		i--
		text[i] = byte('0' + coef%10)
		coef /= 10
	}
	return append(b, text[i:]...)
}

// String is the canonical text.
func (q Quantity) String() string { return string(q.Append(nil)) }

// MarshalJSON writes the value as a JSON number.
func (q Quantity) MarshalJSON() ([]byte, error) { return q.Append(nil), nil }

// UnmarshalJSON reads a JSON number in plain decimal notation.
func (q *Quantity) UnmarshalJSON(b []byte) error {
	v, err := ParseQuantity(b)
	if err != nil {
		return err
	}
	*q = v
	return nil
}
