package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"licenseledger/events"
)

// Rules is the version of the rating rules that this package applies. A statement
// names it: where the rules change, those of the older version stay beside the new ones (domain B6).
const Rules = 1

// LineKind says what a line of an invoice is.
type LineKind string

// Kinds of lines (domain B2); Prepaid stands on invoices of keys only.
const (
	Usage      LineKind = "usage"
	Minimum    LineKind = "minimum"
	Adjustment LineKind = "adjustment"
	Carried    LineKind = "carried"
	Prepaid    LineKind = "prepaid"
)

// OfMinimum is the policy of an adjustment line that states how a closed month's minimum changed (domain B5).
const OfMinimum events.Policy = "minimum"

// Line is one line of an invoice. Its JSON form is what interfaces show and what digests cover.
type Line struct {
	ID          string        `json:"id"` // made from the key: the same line has the same id in every computation
	Kind        LineKind      `json:"kind"`
	Company     string        `json:"company"` // of the assignment; empty where there is none
	LicenseType string        `json:"license_type"`
	Policy      events.Policy `json:"policy"`
	Unit        string        `json:"unit"`
	UnitPrice   events.Money  `json:"unit_price"`
	// Quantity is the number of licenses, for peak types the peak, for metered types what the meter counted.
	Quantity Quantity `json:"quantity"`
	// DaysActive and BilledDays are summed over the licenses, for metered types over the endpoints with readings. Of an
	// adjustment these and Quantity are the change.
	DaysActive int          `json:"days_active"`
	BilledDays int          `json:"billed_days"`
	Month      events.Month `json:"month"` // the month incurred
	Amount     events.Money `json:"amount"`
}

// Key tells lines of one invoice apart (domain B2).
type Key struct {
	Kind        LineKind
	Company     string
	LicenseType string
	Policy      events.Policy
	UnitPrice   string // without trailing zeros
	Month       events.Month
}

// Key gives the line's key.
func (l *Line) Key() Key {
	return Key{l.Kind, l.Company, l.LicenseType, l.Policy, l.UnitPrice.Decimal.String(), l.Month}
}

// ID is the first 12 hexadecimal digits of the key's SHA-256.
func (k Key) ID() string {
	// No part can hold the separator.
	sum := sha256.Sum256([]byte(strings.Join([]string{
		string(k.Kind), k.Company, k.LicenseType, string(k.Policy), k.UnitPrice, k.Month.String(),
	}, "|")))
	return hex.EncodeToString(sum[:6])
}

// Total is the sum of the lines' amounts.
func Total(lines []Line) events.Money {
	sum := fromCents(0)
	for i := range lines {
		sum = add(sum, lines[i].Amount)
	}
	return sum
}

// AppendLine appends the canonical form of a line: its JSON, fields in the order
// of [Line], without spaces, and a newline.
func AppendLine(b []byte, l *Line) ([]byte, error) {
	w := bytes.NewBuffer(b)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return b, fmt.Errorf("encode line %s: %w", l.ID, err)
	}
	return w.Bytes(), nil
}

// DigestLines is the SHA-256 of the canonical lines one after the other (domain
// B6). The order counts. It is the digest that a statement's event carries.
func DigestLines(lines []Line) events.Digest {
	h := sha256.New()
	var b []byte
	for i := range lines {
		b, _ = AppendLine(b[:0], &lines[i]) // text and decimals always encode
		h.Write(b)
	}
	return events.Digest(h.Sum(nil))
}

// merge makes one line of each kind of every key, without those that come to nothing, in the order of lines.
func merge(kind LineKind, lines []Line) []Line {
	at := make(map[Key]int, len(lines))
	var out []Line
	for _, l := range lines {
		l.Kind = kind
		key := l.Key()
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			l.ID = key.ID()
			out = append(out, l)
			continue
		}
		sum := &out[i]
		sum.Quantity.Decimal = sum.Quantity.Add(l.Quantity.Decimal)
		sum.DaysActive += l.DaysActive
		sum.BilledDays += l.BilledDays
		sum.Amount = add(sum.Amount, l.Amount)
	}
	out = slices.DeleteFunc(out, func(l Line) bool { return l.Amount.IsZero() })
	slices.SortFunc(out, compareLines)
	return out
}

// compareLines orders lines of one kind: by month, company and type, a month's minimum after what changed it.
func compareLines(a, b Line) int {
	return cmp.Or(
		cmp.Compare(a.Month, b.Month),
		compareBool(a.Policy == OfMinimum, b.Policy == OfMinimum),
		strings.Compare(a.Company, b.Company),
		strings.Compare(a.LicenseType, b.LicenseType),
		strings.Compare(string(a.Policy), string(b.Policy)),
		a.UnitPrice.Cmp(b.UnitPrice.Decimal),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
