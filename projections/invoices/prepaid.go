package invoices

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

// Prepaid is a prepaid invoice (domain B8). It is a document of its own: no statement knows of it.
type Prepaid struct {
	events.PrepaidIssued
	IssuedAt time.Time `json:"issued_at"`
	Entry    uint64    `json:"entry"`
	Event    int       `json:"event,omitempty"`
	// Outcome is what last became of its charge; empty while that is pending. It is no part of the document.
	Outcome events.Outcome `json:"-"`
}

// issuePrepaid keeps a prepaid invoice whose line is what the digest says.
func (b *batch) issuePrepaid(p *provider, e *events.Entry, i int, d *events.PrepaidIssued) error {
	mismatch := func(format string, args ...any) error {
		return &MismatchError{p.id, d.Number, e.Number, fmt.Sprintf(format, args...)}
	}
	if number := license.PrepaidNumber(p.account.Prepaid + 1); d.Number != number {
		return mismatch("the next number is %s", number)
	}
	if catalog.DigestLines([]catalog.Line{catalog.PrepaidLine(d)}) != d.Digest {
		return mismatch("its line of %s %s has another digest", d.Amount, d.Currency)
	}
	p.account.Prepaid++
	row := Prepaid{PrepaidIssued: *d, IssuedAt: e.EffectiveAt(i), Entry: e.Number, Event: i}
	place := placeOf(row.IssuedAt, d.Number)
	if err := b.tx.Bucket(bucketPrepaidNumbers).Put([]byte(key(p.id, d.Number)), []byte(place)); err != nil {
		return fmt.Errorf("write %s: %w", bucketPrepaidNumbers, err)
	}
	return putJSON(b.tx, bucketPrepaid, prefix(p.id)+place, row)
}

// PrepaidByNumber reads a prepaid invoice.
func PrepaidByNumber(tx *bbolt.Tx, provider, number string) (v Prepaid, ok bool, err error) {
	b := tx.Bucket(bucketPrepaidNumbers)
	if b == nil {
		return v, false, nil
	}
	place := b.Get([]byte(key(provider, number)))
	if place == nil {
		return v, false, nil
	}
	ok, err = load(tx, bucketPrepaid, prefix(provider)+string(place), &v)
	v.Outcome = outcome(tx, provider, number)
	return v, ok, err
}

// Invoice is an invoice of either kind; one of the two is nil.
type Invoice struct {
	Statement *Statement
	Prepaid   *Prepaid
	// Place is where it stands among the provider's invoices.
	Place string
}

// placeOf sorts as invoices were issued; of those of one instant, by their numbers.
func placeOf(issued time.Time, number string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(issued.UnixMilli())^1<<63)) + number
}

// PlaceBefore is a place before all invoices that were issued at t or later.
func PlaceBefore(t time.Time) string { return placeOf(t, "") }

// Invoices lists a provider's issued invoices behind a place ("": all), as they were issued, at most limit.
func Invoices(tx *bbolt.Tx, provider, after string, limit int) (rows []Invoice, err error) {
	var month events.Month // the first whose statement may be behind the place
	if len(after) >= 8 {
		issued := instant(int64(binary.BigEndian.Uint64([]byte(after)) ^ 1<<63))
		month = events.MonthOf(issued) - 1
	}
	for len(rows) < limit {
		from, enough := month, limit-len(rows)
		statements, err := Issued(tx, provider, from-1, enough)
		if err != nil {
			return nil, err
		}
		for i := range statements {
			s := &statements[i]
			if place := placeOf(s.IssuedAt, s.Number); place > after {
				rows = append(rows, Invoice{Statement: s, Place: place})
			}
			month = s.Month + 1
		}
		if len(statements) < enough {
			break
		}
	}
	n := 0
	err = eachFrom(tx, bucketPrepaid, prefix(provider), after, func(place string, row []byte) (bool, error) {
		if place == after {
			return true, nil
		}
		v := new(Prepaid)
		if err := json.Unmarshal(row, v); err != nil {
			return false, err
		}
		v.Outcome = outcome(tx, provider, v.Number)
		rows = append(rows, Invoice{Prepaid: v, Place: place})
		n++
		return n < limit, nil
	})
	slices.SortFunc(rows, func(a, b Invoice) int { return cmp.Compare(a.Place, b.Place) })
	return rows[:min(limit, len(rows))], err
}
