package explain

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
)

// Supposed is a month as it was billed and as it would have been. A statement without lines was not, or would not have been, issued.
type Supposed struct {
	Month        events.Month
	Was, WouldBe invoices.Statement
	Lines        []Difference
}

// Difference is how the amount of a line differs; a line that is missing amounts to nothing.
type Difference struct {
	Kind                 catalog.LineKind
	Company, LicenseType string
	Month                events.Month // incurred
	Was, WouldBe         events.Money
}

// WhatIf computes the statements of the closed months from one on and before another, as they were and as they would have been had the
// catalog been in force from its month on. Days and readings are what they were; what was corrected by hand stays so. The
// catalog has to have all types that were used, in the provider's currency.
func WhatIf(ctx context.Context, h *past.Past, provider string, c events.Catalog, from, to events.Month) ([]Supposed, error) {
	read := func(entries iter.Seq2[*events.Entry, error]) (list []invoices.Statement, err error) {
		view, err := projections.NewAside(h.Dir, invoices.New(), entries)
		if err != nil {
			return nil, err
		}
		defer func() { _ = view.Close() }()
		err = view.Read(func(tx *bbolt.Tx) error {
			list, err = invoices.Closed(tx, provider, from, to)
			return err
		})
		return list, err
	}
	was, err := read(h.Entries(ctx, provider, past.Moment{}))
	if err != nil {
		return nil, err
	}
	would, err := read(under(h.Entries(ctx, provider, past.Moment{}), c))
	if err != nil {
		return nil, err
	}
	list := make([]Supposed, 0, to-from)
	for m := from; m < to; m++ {
		s := Supposed{Month: m, Was: of(was, m), WouldBe: of(would, m)}
		s.Lines = differences(s.Was.Lines, s.WouldBe.Lines)
		list = append(list, s)
	}
	return list, nil
}

// of is the statement of a month; an empty one if there is none.
func of(list []invoices.Statement, m events.Month) invoices.Statement {
	i := slices.IndexFunc(list, func(s invoices.Statement) bool { return s.Month == m })
	if i < 0 {
		return invoices.Statement{Month: m}
	}
	return list[i]
}

// under is a history in which a catalog was in force from its month on, and no statement was issued.
func under(entries iter.Seq2[*events.Entry, error], c events.Catalog) iter.Seq2[*events.Entry, error] {
	return func(yield func(*events.Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				supposed := *e
				supposed.Events = make([]events.Event, 0, len(e.Events))
				for _, ev := range e.Events {
					switch d := ev.Data.(type) {
					case *events.LedgerOpened:
						if d.Catalog.Effective < c.Effective {
							supposed.Events = append(supposed.Events, ev)
						}
						ev = events.Event{Data: &events.CatalogPublished{Catalog: c}}
					case *events.CatalogPublished:
						if d.Catalog.Effective >= c.Effective {
							continue
						}
					case *events.StatementIssued:
						continue
					}
					supposed.Events = append(supposed.Events, ev)
				}
				e = &supposed
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// differences pairs lines whatever their prices and policies: those are what differs.
func differences(was, would []catalog.Line) []Difference {
	byKey := make(map[Difference]*Difference)
	add := func(lines []catalog.Line, amount func(*Difference) *events.Money) {
		for i := range lines {
			l := &lines[i]
			key := Difference{Kind: l.Kind, Company: l.Company, LicenseType: l.LicenseType, Month: l.Month}
			d := byKey[key]
			if d == nil {
				d = new(key)
				byKey[key] = d
			}
			*amount(d) = sum(*amount(d), l.Amount)
		}
	}
	add(was, func(d *Difference) *events.Money { return &d.Was })
	add(would, func(d *Difference) *events.Money { return &d.WouldBe })
	list := make([]Difference, 0, len(byKey))
	for _, d := range byKey {
		list = append(list, *d)
	}
	order := []catalog.LineKind{catalog.Usage, catalog.Minimum, catalog.Adjustment, catalog.Carried}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(
			cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			cmp.Compare(a.Company, b.Company), cmp.Compare(a.LicenseType, b.LicenseType), cmp.Compare(a.Month, b.Month))
	})
	return list
}
