package httpapi

import (
	"context"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/projections/invoices"
)

// preview says how the usage lines of the running month would change by its last day, if one license stood from now on as
// after has it: what a dry run calls cost where the license begins to be billed, and savings where it ceases to be.
//
// It rates the month's uses twice, as they go on and as they would, so it obeys every rule of the statement: the day of a
// release is billed, days that an assignee before it had on the same license are not billed again, a license that
// becomes the free one costs nothing. Payment between now and then (an expiry) is not foreseen.
func (s *server) preview(ctx context.Context, t terms, now time.Time, after *events.License) (api.Preview, error) {
	month, today := events.MonthOf(now), events.DateOf(now)
	c, _, ok := t.catalogs.At(month)
	if !ok {
		return api.Preview{}, fmt.Errorf("no catalog is in force in %s", month)
	}
	if err := s.wait(ctx, s.Invoices, s.answered.Load()); err != nil {
		return api.Preview{}, err
	}
	in := catalog.Input{Month: month, Catalog: c, Currency: t.currency}
	var goesOn events.Money
	err := s.Invoices.Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
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
	if goesOn, err = costOf(in); err != nil {
		return api.Preview{}, err
	}
	if after.Billable() {
		in.Uses = append(in.Uses, catalog.Use{
			License: after.ID, Created: after.Created, Type: after.Type, Company: after.Company, Assignee: after.Assignee,
			From: max(today, after.BilledFrom), To: month.Last(), Activated: now,
		})
	} else {
		for i := range in.Uses {
			if u := &in.Uses[i]; u.License == after.ID && u.Deactivated.IsZero() {
				u.To, u.Deactivated = min(u.To, today), now
			}
		}
	}
	would, err := costOf(in)
	if err != nil {
		return api.Preview{}, err
	}
	change := events.Money{Decimal: would.Sub(goesOn.Decimal)}
	if after.Billable() {
		return api.Preview{Cost: change.String(), Currency: t.currency}, nil
	}
	return api.Preview{Savings: events.Money{Decimal: decimal.Zero.Sub(change.Decimal)}.String(), Currency: t.currency}, nil
}

// costOf is what a month's uses cost together.
func costOf(in catalog.Input) (events.Money, error) {
	rating, err := catalog.Rate(in)
	if err != nil {
		return events.Money{}, fmt.Errorf("rate %s for a dry run: %w", in.Month, err)
	}
	return rating.Subtotal, nil
}
