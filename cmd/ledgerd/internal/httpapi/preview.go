package httpapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
// becomes the free one costs nothing. Trials that will be paid within the month are part of both. Payment between now and then
// (an expiry) is not foreseen.
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
	in := catalog.Input{Month: month, Catalog: c, Currency: t.currency}
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
	goesOn, err := costOf(in)
	if err != nil {
		return api.Preview{}, err
	}
	for _, e := range receipt.Events {
		if l := events.LicenseAfter(e.Data); l != nil {
			in.Uses = follow(in.Uses, l, now, t)
		}
	}
	would, err := costOf(in)
	if err != nil {
		return api.Preview{}, err
	}
	p := api.Preview{Currency: t.currency}
	switch more := would.Sub(goesOn.Decimal); {
	case more.IsPositive() || more.IsZero() && way == costs:
		p.Cost = events.Money{Decimal: more}.String()
	case more.IsNegative() || way == saves:
		p.Savings = events.Money{Decimal: more.Neg()}.String()
	default:
		return api.Preview{}, nil
	}
	return p, nil
}

// follow is a month's uses as they would be after an event now that leaves a license so.
func follow(uses []catalog.Use, l *events.License, now time.Time, t terms) []catalog.Use {
	month, today := events.MonthOf(now), events.DateOf(now)
	// What its trial would lead to is seen anew.
	uses = slices.DeleteFunc(slices.Clone(uses), func(u catalog.Use) bool {
		return u.Activated.After(now) && (u.License == l.ID || strings.HasPrefix(u.License, l.ID+"/"))
	})
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
	u := catalog.Use{License: l.ID, Created: l.Created, Type: l.Type, Company: l.Company, Assignee: l.Assignee, To: month.Last()}
	switch {
	case l.Billable() && !serves:
		u.From, u.Activated = max(today, l.BilledFrom), now
	case l.Status == events.Trial && l.Assigned && l.AutoRenew && t.pays && l.ExpiresAt.Before(month.End()):
		u.From, u.Activated = events.DateOf(l.ExpiresAt), l.ExpiresAt
	default:
		return uses
	}
	if u.From > u.To {
		return uses
	}
	return append(uses, u)
}

// costOf is what a month's uses cost together.
func costOf(in catalog.Input) (events.Money, error) {
	rating, err := catalog.Rate(in)
	if err != nil {
		return events.Money{}, fmt.Errorf("rate %s for a dry run: %w", in.Month, err)
	}
	return rating.Subtotal, nil
}
