package invoices

import (
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// rate rates a month of a provider through a day.
func rate(tx *bbolt.Tx, c events.Catalog, provider, currency string, month events.Month, through events.Date) (catalog.Rating, error) {
	in := catalog.Input{Month: month, Catalog: c, Currency: currency}
	err := each(tx, bucketUses, prefix(provider)+monthKey(month), "", func(k string, u *use) bool {
		to := u.To
		if to == 0 || to > through {
			to = through
		}
		if u.From > through {
			return true
		}
		in.Uses = append(in.Uses, catalog.Use{
			License: strings.SplitN(k, "\x00", 2)[0], Created: u.Created, Type: u.Type, Company: u.Company, Assignee: u.Assignee,
			From: u.From, To: min(to, month.Last()), Activated: u.Activated, Deactivated: u.Deactivated,
		})
		return true
	})
	if err != nil {
		return catalog.Rating{}, err
	}
	return catalog.Rate(in)
}

// compute makes the statement of a month as it stands through a day.
func compute(tx *bbolt.Tx, book catalog.Book, provider string, a account, month events.Month, through events.Date) (Statement, error) {
	c, entry, ok := book.At(month)
	if !ok {
		return Statement{}, fmt.Errorf("no catalog is in force in %s", month)
	}
	rating, err := rate(tx, c, provider, a.Currency, month, through)
	if err != nil {
		return Statement{}, err
	}
	s := catalog.Assemble(month, c, a.Currency, rating.Lines, nil, a.Carry)
	return Statement{
		Month: month, Currency: a.Currency, Lines: s.Lines, Subtotal: s.Subtotal, Minimum: s.Minimum, Total: s.Total,
		Digest: catalog.DigestLines(s.Lines), Rules: catalog.Rules, Catalog: entry, Carry: s.Carry,
	}, nil
}

// Draft is the open month's statement as it would be if the month ended with the given day; ok is false if there is no such provider.
func Draft(tx *bbolt.Tx, provider string, through events.Date) (s Statement, ok bool, err error) {
	var a account
	if ok, err = load(tx, bucketAccounts, provider, &a); err != nil || !ok {
		return s, ok, err
	}
	book, err := loadCatalogs(tx)
	if err != nil {
		return s, true, err
	}
	s, err = compute(tx, book, provider, a, a.Open, min(through, a.Open.Last()))
	return s, true, err
}

// History is the usage history of a month through a day (domain L15), with the sum of its costs.
func History(tx *bbolt.Tx, provider string, month events.Month, through events.Date) (catalog.Rating, error) {
	var a account
	if ok, err := load(tx, bucketAccounts, provider, &a); err != nil || !ok {
		return catalog.Rating{}, err
	}
	book, err := loadCatalogs(tx)
	if err != nil {
		return catalog.Rating{}, err
	}
	c, _, ok := book.At(month)
	if !ok {
		return catalog.Rating{}, nil
	}
	return rate(tx, c, provider, a.Currency, month, min(through, month.Last()))
}

// Issued lists a provider's issued statements of months after the given one, in order, at most limit. Month 0 is before all.
func Issued(tx *bbolt.Tx, provider string, after events.Month, limit int) (rows []Statement, err error) {
	from := ""
	if after > 0 {
		from = monthKey(after)
	}
	err = each(tx, bucketStatements, prefix(provider), from, func(_ string, s *Statement) bool {
		if s.Number != "" {
			rows = append(rows, *s)
		}
		return len(rows) < limit
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
	return s, ok, err
}

// Pending is a statement that waits to be issued.
type Pending struct {
	Provider  string
	Statement Statement
}

// PendingStatements lists statements that wait to be issued, by month, at most limit.
func PendingStatements(tx *bbolt.Tx, limit int) (rows []Pending, err error) {
	b := tx.Bucket(bucketPending)
	if b == nil {
		return nil, nil
	}
	c := b.Cursor()
	for k, _ := c.First(); k != nil && len(rows) < limit; k, _ = c.Next() {
		p := Pending{Provider: string(k[8:])}
		if _, err := load(tx, bucketStatements, prefix(p.Provider)+string(k[:8]), &p.Statement); err != nil {
			return nil, err
		}
		rows = append(rows, p)
	}
	return rows, nil
}
