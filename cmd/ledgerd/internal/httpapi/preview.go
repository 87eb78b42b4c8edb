package httpapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/projections/invoices"
)

// leaning is the word for a preview that comes to nothing.
type leaning int

const (
	either leaning = iota // none
	costs                 // cost 0.00
	saves                 // savings 0.00
)

// preview says how the usage lines of the running month would change by its last day, if what a command would do were done: what
// a dry run calls cost where they grow, and savings where they shrink.
//
// It rates the month's uses twice, as they go on and as they would, so it obeys every rule of the statement: the day of a
// release is billed, days that an assignee before it had on the same license are not billed again, a license that
// becomes the free one costs nothing. Trials that will be paid within the month are part of both (see expected). Payment between
// now and then (an expiry) is not foreseen.
func (s *server) preview(ctx context.Context, t terms, receipt ledger.Receipt, way leaning) (api.Preview, error) {
	now := receipt.Time
	month := events.MonthOf(now)
	c, _, ok := t.catalogs.At(month)
	if !ok {
		return api.Preview{}, fmt.Errorf("no catalog is in force in %s", month)
	}
	if err := s.wait(ctx, s.Invoices, s.answered.Load()); err != nil {
		return api.Preview{}, err
	}
	var before, after []catalog.Use
	err := s.Licenses.Read(ctx, func(tx *bbolt.Tx, _ uint64) (err error) {
		if before, err = expected(tx, t.provider, nil); err == nil {
			after, err = expected(tx, t.provider, &events.Entry{Time: now, Events: receipt.Events})
		}
		return err
	})
	if err != nil {
		return api.Preview{}, err
	}
	in := catalog.Input{Month: month, Catalog: c, Currency: t.currency}
	err = s.Invoices.Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
		rating, err := invoices.History(tx, t.provider, month, month.Last())
		for i := range rating.Rows {
			if use := rating.Rows[i].Use; use != nil {
				in.Uses = append(in.Uses, *use)
			}
		}
		return err
	})
	if err != nil {
		return api.Preview{}, err
	}
	goesOn, err := costOf(in, before)
	if err != nil {
		return api.Preview{}, err
	}
	for _, e := range receipt.Events {
		if l := events.LicenseAfter(e.Data); l != nil {
			in.Uses = follow(in.Uses, l, now)
		}
	}
	would, err := costOf(in, after)
	if err != nil {
		return api.Preview{}, err
	}
	return previewOf(events.Money{Decimal: would.Sub(goesOn.Decimal)}, t.currency, way), nil
}

// previewOf is the preview of a change that leads to so much more.
func previewOf(more events.Money, currency string, way leaning) api.Preview {
	switch {
	case more.IsPositive() || more.IsZero() && way == costs:
		return api.Preview{Currency: currency, Cost: more.String()}
	case more.IsNegative() || way == saves:
		return api.Preview{Currency: currency, Savings: events.Money{Decimal: more.Neg()}.String()}
	}
	return api.Preview{}
}

// follow is a month's uses as they would be after an event now that leaves a license so.
func follow(uses []catalog.Use, l *events.License, now time.Time) []catalog.Use {
	month, today := events.MonthOf(now), events.DateOf(now)
	uses = slices.Clone(uses)
	serves := false
	for i := range uses {
		u := &uses[i]
		if u.License != l.ID || !u.Deactivated.IsZero() {
			continue
		}
		if serves = l.Billable() && u.Company == l.Company && u.Assignee == l.Assignee; !serves {
			u.To, u.Deactivated = min(u.To, today), now
		}
	}
	if u := useFrom(l, now, month); l.Billable() && !serves && u.From <= u.To {
		u.Turn = len(uses) // after all that the month has
		uses = append(uses, u)
	}
	return uses
}

// costOf is what a month's uses cost together with further ones.
func costOf(in catalog.Input, more []catalog.Use) (events.Money, error) {
	in.Uses = slices.Concat(in.Uses, more)
	rating, err := catalog.Rate(in)
	if err != nil {
		return events.Money{}, fmt.Errorf("rate %s for a dry run: %w", in.Month, err)
	}
	return rating.Subtotal, nil
}
