package invoices

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// correct keeps a correction of a closed month.
func (b *batch) correct(p *provider, e *events.Entry, i int, d *events.AdjustmentRecorded) error {
	if err := putJSON(b.tx, bucketCorrections, prefix(p.id)+monthKey(d.Month)+eventKey(e.Number, i), d); err != nil {
		return err
	}
	return b.hasChanged(p, d.Month)
}

// hasChanged notes that a closed month may not be what it was last billed with.
func (b *batch) hasChanged(p *provider, month events.Month) error {
	if err := b.tx.Bucket(bucketChanged).Put([]byte(prefix(p.id)+monthKey(month)), []byte{}); err != nil {
		return fmt.Errorf("write %s: %w", bucketChanged, err)
	}
	return nil
}

// adjust is how the closed months have changed since they were last billed, and notes that they are billed now.
func (b *batch) adjust(p *provider) (lines []catalog.Line, err error) {
	changed, err := changes(b.tx, p.id, p.account.Currency, b.catalog)
	for _, m := range changed {
		k := prefix(p.id) + monthKey(m.month)
		if err := putJSON(b.tx, bucketBilled, k, m.after); err != nil {
			return nil, err
		}
		if err := b.tx.Bucket(bucketChanged).Delete([]byte(k)); err != nil {
			return nil, fmt.Errorf("write %s: %w", bucketChanged, err)
		}
		lines = append(lines, m.lines...)
	}
	return lines, err
}

// change is how a closed month has changed since it was last billed (domain B5).
type change struct {
	month events.Month
	after []catalog.Line // what it is now: usage rated anew, and corrections
	lines []catalog.Line // adjustments
}

// changes works out the closed months that may have changed, in order, at the prices of the catalogs that were in force in them.
func changes(tx *bbolt.Tx, provider, currency string, catalogs func(events.Month) (publishedCatalog, error)) (list []change, err error) {
	var months []events.Month
	err = each(tx, bucketChanged, prefix(provider), "", func(k string, _ []byte) (bool, error) {
		m, err := parseMonthKey(k)
		months = append(months, m)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range months {
		c, err := catalogs(m)
		if err != nil {
			return nil, err
		}
		before, err := billed(tx, provider, m)
		if err != nil {
			return nil, err
		}
		after, err := anew(tx, c.Catalog, provider, currency, m, nil)
		if err != nil {
			return nil, fmt.Errorf("rate %s anew: %w", m, err)
		}
		list = append(list, change{m, after, catalog.Adjust(m, c.Catalog, currency, before, after)})
	}
	return list, nil
}

// pendingAdjustments are the adjustment lines that the open month's statement will have, as far as is known now.
func pendingAdjustments(tx *bbolt.Tx, provider, currency string) (lines []catalog.Line, err error) {
	list, err := changes(tx, provider, currency, func(m events.Month) (publishedCatalog, error) { return inForce(tx, m) })
	for _, m := range list {
		lines = append(lines, m.lines...)
	}
	return lines, err
}

// billed is what a closed month was last billed with.
func billed(tx *bbolt.Tx, provider string, month events.Month) (lines []catalog.Line, err error) {
	k := prefix(provider) + monthKey(month)
	if ok, err := load(tx, bucketBilled, k, &lines); ok || err != nil {
		return lines, err
	}
	var s Statement
	_, err = load(tx, bucketStatements, k, &s)
	for _, l := range s.Lines {
		if l.Kind == catalog.Usage {
			lines = append(lines, l)
		}
	}
	return lines, err
}

// anew is what a closed month comes to with all that came late: its usage lines, and its corrections for which only (if not nil) says yes.
func anew(tx *bbolt.Tx, c events.Catalog, provider, currency string, month events.Month, only func(entry uint64) bool) ([]catalog.Line, error) {
	rating, err := rate(tx, c, provider, currency, month, month.Last(), late, nil)
	if err != nil {
		return nil, err
	}
	lines := rating.Lines
	err = each(tx, bucketCorrections, prefix(provider)+monthKey(month), "", func(k string, row []byte) (bool, error) {
		entry, err := entryOf(k)
		if err != nil || only != nil && !only(entry) {
			return true, err
		}
		var d events.AdjustmentRecorded
		if err := json.Unmarshal(row, &d); err != nil {
			return false, err
		}
		lines = append(lines, correctionLine(&d, c, currency))
		return true, nil
	})
	return lines, err
}

func correctionLine(d *events.AdjustmentRecorded, c events.Catalog, currency string) catalog.Line {
	return catalog.Correction{Month: d.Month, Company: d.Company, LicenseType: d.LicenseType, Amount: d.Amount}.Line(c, currency)
}

// Corrected is what a correction adds to the statement of the open month: its line, and one for the closed month's minimum where that
// changes with it (domain B5). Entry is the one that recorded it, whose predecessors alone count; 0 is for one that is not recorded yet.
func Corrected(tx *bbolt.Tx, provider string, d *events.AdjustmentRecorded, entry uint64) ([]catalog.Line, error) {
	var a account
	if _, err := load(tx, bucketAccounts, provider, &a); err != nil {
		return nil, err
	}
	c, err := inForce(tx, d.Month)
	if err != nil {
		return nil, err
	}
	before, err := anew(tx, c.Catalog, provider, a.Currency, d.Month, func(other uint64) bool { return entry == 0 || other < entry })
	if err != nil {
		return nil, err
	}
	after := append(before[:len(before):len(before)], correctionLine(d, c.Catalog, a.Currency))
	return catalog.Adjust(d.Month, c.Catalog, a.Currency, before, after), nil
}
