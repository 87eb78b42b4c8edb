package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/schemas"
)

// B1: money is decimal, with at least two digits after the point.
func TestMoney(t *testing.T) {
	for in, want := range map[string]string{
		"6.99": "6.99", "0.0060": "0.0060", "20": "20.00", "20.5": "20.50", "-0.50": "-0.50", "0": "0.00", "-0": "0.00", "007": "7.00",
		"123456789012345678901.23": "123456789012345678901.23", "0.1234567890123456789012": "0.1234567890123456789012",
	} {
		m, err := events.ParseMoney(in)
		if err != nil || m.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, m, err, want)
		}
	}
	for _, in := range []string{
		"", "-", ".", "1.", ".5", "-.5", "1.2.3", "1e3", "1E3", "+1", " 1", "1 ", "1,5", "0x1", "NaN", "Inf", "--1", "١", strings.Repeat("1", 25),
	} {
		if m, err := events.ParseMoney(in); err == nil {
			t.Errorf("%q is %s", in, m)
		}
	}
	if got := fmt.Sprintf("%s %v", eventstest.Money("20"), eventstest.Money("0.0060")); got != "20.00 0.0060" {
		t.Errorf("printed as %s", got)
	}
	var zero events.Money
	if b, err := json.Marshal(zero); err != nil || string(b) != `"0.00"` {
		t.Errorf("zero: %s, %v", b, err)
	}
	for _, in := range []string{`6.99`, `null`, `"6,99"`, `["6.99"]`, `""`} {
		var m events.Money
		if err := json.Unmarshal([]byte(in), &m); err == nil {
			t.Errorf("%s is %s", in, m)
		}
	}
}

// What is written is read back, and where the text has cents, it is the same text.
func TestMoneyRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := events.Money{Decimal: decimal.New(rapid.Int64().Draw(t, "value"), rapid.Int32Range(-22, 8).Draw(t, "exponent"))}
		b, err := json.Marshal(m)
		if err != nil {
			if len(m.String()) <= events.MaxMoneyLength {
				t.Fatal(err)
			}
			return
		}
		var again events.Money
		if err := json.Unmarshal(b, &again); err != nil || !again.Equal(m.Decimal) || again.String() != m.String() {
			t.Fatalf("%s was read as %s (%v)", b, again, err)
		}
	})
}

func TestQuantity(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "0.0": "0", "0.000000000": "0", "7": "7", "10": "10", "1.50": "1.5", "1.000": "1", "0.000000001": "0.000000001", "0.5": "0.5",
		"999999999999999999": "999999999999999999", "123456789.123456789": "123456789.123456789", "100.0000000000000000000000": "100",
		"123456789012345678.0": "123456789012345678", "0.123456789000": "0.123456789", "12345678901234567.8": "12345678901234567.8",
	} {
		q, err := events.ParseQuantity(in)
		if err != nil || q.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, q, err, want)
		}
		if !q.Decimal().Equal(decimal.RequireFromString(in)) {
			t.Errorf("%s is %s", in, q.Decimal())
		}
		coef, scale := q.Parts()
		if !decimal.New(coef, -int32(scale)).Equal(q.Decimal()) {
			t.Errorf("%s has the parts %d and %d", in, coef, scale)
		}
	}
	for _, in := range []string{
		"", ".", "1.", ".5", "00", "01", "00.5", "-1", "-0", "+1", "1e3", "1E3", "1.2.3", "1..2", " 1", "1 ", "0x1", "NaN", "1_000", "٣",
		"1000000000000000000", "1234567890.123456789", "0.0000000001", "0.1234567891", "null", `"1"`, "1.-", "..", "0.", "1.5e0",
	} {
		if q, err := events.ParseQuantity(in); !errors.Is(err, events.ErrQuantity) {
			t.Errorf("%q: %s, %v", in, q, err)
		}
		if _, err := events.ParseQuantity([]byte(in)); !errors.Is(err, events.ErrQuantity) {
			t.Errorf("%q as bytes: %v", in, err)
		}
	}
	var zero events.Quantity
	if b, err := json.Marshal(zero); err != nil || string(b) != "0" {
		t.Errorf("zero: %s, %v", b, err)
	}
	var q events.Quantity
	if err := json.Unmarshal([]byte("12.5"), &q); err != nil || q != eventstest.Quantity("12.5") {
		t.Errorf("12.5: %s, %v", q, err)
	}
}

func quantityText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,20}`),
		rapid.StringMatching(`(0|[1-9][0-9]{0,17})\.[0-9]{0,11}0{0,3}`),
		rapid.StringMatching(`-?0*[0-9]{0,3}\.?[0-9]{0,3}(e[0-9])?`),
	)
}

// A quantity is the decimal number of its text; the schema of a report and the codec accept the same ones.
func TestQuantityAgainstDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := quantityText().Draw(t, "text")
		q, err := events.ParseQuantity(s)
		if want := isQuantity(s); want != (err == nil) {
			t.Fatalf("%q: %v", s, err)
		}
		report := `{"seq":1,"readings":[{"meter":"m","value":` + s + `,"at":"2026-03-11T04:00:00Z"}]}`
		if schema := schemas.Check(schemas.Report(), []byte(report)); (schema == nil) != (err == nil) {
			t.Fatalf("%q: the schema says %v, the codec %v", s, schema, err)
		}
		if err != nil {
			return
		}
		want := decimal.RequireFromString(s)
		if !q.Decimal().Equal(want) || q.String() != want.String() {
			t.Fatalf("%q is %s (%s), want %s", s, q, q.Decimal(), want)
		}
		again, err := events.ParseQuantity(q.String())
		if err != nil || again != q {
			t.Fatalf("%q was read as %s (%v)", q, again, err)
		}
	})
}

// isQuantity says it with a JSON decoder and decimals.
func isQuantity(s string) bool {
	if !json.Valid([]byte(s)) || strings.Trim(s, "0123456789.") != "" {
		return false
	}
	d := decimal.RequireFromString(s).String() // without trailing zeros
	whole, fraction, _ := strings.Cut(d, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	return len(digits) <= events.MaxQuantityDigits && len(fraction) <= events.MaxQuantityScale
}
