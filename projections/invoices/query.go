package invoices

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// What counts of a closed month's readings: those that came before it was closed, as its statement has them, or the late ones too.
const inTime, late = false, true

// rate rates a month of a provider through a day. More are uses that are only expected.
func rate(tx *bbolt.Tx, c events.Catalog, provider, currency string, month events.Month, through events.Date, late bool, more []catalog.Use) (catalog.Rating, error) {
	in := catalog.Input{Month: month, Catalog: c, Currency: currency}
	take := func(k string, row []byte) (bool, error) {
		if !inMonth(row, month) {
			return true, nil
		}
		u, err := readUse(row)
		if err == nil && u.From <= through {
			license, _, _ := strings.Cut(k, "\x00")
			in.Uses = append(in.Uses, u.rated(license, through))
		}
		return true, err
	}
	if err := each(tx, bucketUses, prefix(provider)+monthKey(month), "", take); err != nil {
		return catalog.Rating{}, err
	}
	if err := each(tx, bucketOpen, prefix(provider), "", take); err != nil {
		return catalog.Rating{}, err
	}
	in.Uses = append(in.Uses, more...)
	// Those of a license stand as the log has them: what is over by the event that ended it, then what goes on, then what is expected.
	for i := range in.Uses {
		in.Uses[i].Turn = i
	}
	var err error
	if in.Readings, err = readings(tx, provider, month, through, late); err != nil {
		return catalog.Rating{}, err
	}
	if err := markTrials(tx, provider, in.Readings, in.Uses); err != nil {
		return catalog.Rating{}, err
	}
	return catalog.Rate(in)
}

// compute makes the statement of a month as it stands through a day, with how closed months have changed and uses that are only expected.
func compute(tx *bbolt.Tx, c publishedCatalog, provider string, a account, month events.Month, through events.Date, adjusted []catalog.Line, more []catalog.Use) (Statement, error) {
	rating, err := rate(tx, c.Catalog, provider, a.Currency, month, through, inTime, more)
	if err != nil {
		return Statement{}, err
	}
	s := catalog.Assemble(month, c.Catalog, a.Currency, rating.Lines, adjusted, a.Carry)
	return Statement{
		Month: month, Currency: a.Currency, Lines: s.Lines, Subtotal: s.Subtotal, Minimum: s.Minimum, Total: s.Total,
		Digest: catalog.DigestLines(s.Lines), Rules: catalog.Rules, Catalog: c.Entry, Carry: s.Carry,
	}, nil
}

// inForce finds the catalog of a month: the last one whose month is not later. Before the first it is empty: nothing was sold then, so nothing is rated.
func inForce(tx *bbolt.Tx, month events.Month) (c publishedCatalog, err error) {
	b := tx.Bucket(bucketCatalogs)
	if b == nil {
		return c, nil
	}
	cursor, step := b.Cursor(), (*bbolt.Cursor).Prev
	if k, _ := cursor.Seek([]byte(monthKey(month + 1))); k == nil {
		step = (*bbolt.Cursor).Last
	}
	k, row := step(cursor)
	if k == nil {
		return c, nil
	}
	if err := json.Unmarshal(row, &c); err != nil {
		return c, fmt.Errorf("read a row of %s: %w", bucketCatalogs, err)
	}
	return c, nil
}

// Draft is the open month's statement as it would be if the month ended with the given day; ok is false if there is no such provider.
func Draft(tx *bbolt.Tx, provider string, through events.Date) (s Statement, ok bool, err error) {
	var a account
	if ok, err = load(tx, bucketAccounts, provider, &a); err != nil || !ok {
		return s, ok, err
	}
	s, err = open(tx, provider, a, min(through, a.Open.Last()), nil)
	return s, true, err
}

// open is the open month's statement through a day.
func open(tx *bbolt.Tx, provider string, a account, through events.Date, more []catalog.Use) (Statement, error) {
	c, err := inForce(tx, a.Open)
	if err != nil {
		return Statement{}, err
	}
	adjusted, err := pendingAdjustments(tx, provider, a.Currency)
	if err != nil {
		return Statement{}, err
	}
	return compute(tx, c, provider, a, a.Open, through, adjusted, more)
}

// NextPayment is what the open month leads to (domain B4).
type NextPayment struct {
	// Statement is what will be issued on the 1st if nothing changes: paid and assigned licenses serve to the month's end, what is
	// expected begins, meters stand as they are.
	Statement Statement
	Accrued   events.Money // usage through today
}

// Next is the next payment of a provider as it stands on a day; ok is false if there is no such provider. Expected are the uses that
// are still to begin within the month by themselves, where trials end.
func Next(tx *bbolt.Tx, provider string, today events.Date, expected []catalog.Use) (n NextPayment, ok bool, err error) {
	var a account
	if ok, err = load(tx, bucketAccounts, provider, &a); err != nil || !ok {
		return n, ok, err
	}
	if n.Statement, err = open(tx, provider, a, a.Open.Last(), expected); err != nil {
		return n, true, err
	}
	so, err := History(tx, provider, a.Open, today)
	n.Accrued = so.Subtotal
	return n, true, err
}

// History is the usage history of a month through a day (domain L15), with the sum of its costs. Of a closed month it is what
// its statement rests on, whatever came later (domain B2).
func History(tx *bbolt.Tx, provider string, month events.Month, through events.Date) (catalog.Rating, error) {
	var a account
	if ok, err := load(tx, bucketAccounts, provider, &a); err != nil || !ok {
		return catalog.Rating{}, err
	}
	c, err := inForce(tx, month)
	if err != nil {
		return catalog.Rating{}, err
	}
	return rate(tx, c.Catalog, provider, a.Currency, month, min(through, month.Last()), inTime, nil)
}

// Issued lists a provider's issued statements of months after the given one, in order, at most limit. Month 0 is before all.
func Issued(tx *bbolt.Tx, provider string, after events.Month, limit int) (rows []Statement, err error) {
	from := ""
	if after > 0 {
		from = monthKey(after)
	}
	err = each(tx, bucketStatements, prefix(provider), from, func(_ string, row []byte) (bool, error) {
		var s Statement
		if err := json.Unmarshal(row, &s); err != nil {
			return false, err
		}
		if s.Number != "" {
			s.Outcome = outcome(tx, provider, s.Number)
			rows = append(rows, s)
		}
		return len(rows) < limit, nil
	})
	return rows, err
}

// ByNumber reads an issued statement.
func ByNumber(tx *bbolt.Tx, provider, number string) (s Statement, ok bool, err error) {
	b := tx.Bucket(bucketNumbers)
	if b == nil {
		return s, false, nil
	}
	month := b.Get([]byte(key(provider, number)))
	if month == nil {
		return s, false, nil
	}
	ok, err = load(tx, bucketStatements, prefix(provider)+string(month), &s)
	s.Outcome = outcome(tx, provider, number)
	return s, ok, err
}

// Pending is a statement that waits to be issued.
type Pending struct {
	Provider  string
	Statement Statement
}

// PendingStatements lists statements that wait to be issued, by month, at most limit. Of a provider it is the oldest
// alone: the next one's turn, and number, come when that is issued.
func PendingStatements(tx *bbolt.Tx, limit int) (rows []Pending, err error) {
	b := tx.Bucket(bucketPending)
	if b == nil {
		return nil, nil
	}
	seen := make(map[string]bool)
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(rows) < limit; k, _ = c.Next() {
		p := Pending{Provider: string(k[8:])}
		if seen[p.Provider] {
			continue
		}
		seen[p.Provider] = true
		if _, err := load(tx, bucketStatements, prefix(p.Provider)+string(k[:8]), &p.Statement); err != nil {
			return nil, err
		}
		rows = append(rows, p)
	}
	return rows, nil
}

// Closed lists the statements of a provider's closed months from one on and before another, in order, issued or not: months without lines
// have none.
func Closed(tx *bbolt.Tx, provider string, from, to events.Month) (rows []Statement, err error) {
	err = each(tx, bucketStatements, prefix(provider), "", func(k string, row []byte) (bool, error) {
		if k < monthKey(from) || k >= monthKey(to) {
			return k < monthKey(to), nil
		}
		var s Statement
		if err := json.Unmarshal(row, &s); err != nil {
			return false, err
		}
		rows = append(rows, s)
		return true, nil
	})
	return rows, err
}
