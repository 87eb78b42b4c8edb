package httpapi

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
)

func (s *server) nextPayments() {
	register(s, call{
		method: "GET", path: "/providers/{provider}/next-payment", id: "get-next-payment", summary: "What the running month leads to", tag: "Payment",
		about: "`amount` is the total on the 1st if nothing changes: what is paid and assigned serves to the month's end, trials that end before are paid " +
			"where they will be, meters stand as they are, adjustments and a carried credit count. `accrued` is the usage through today. `credit` is what " +
			"more can be used in this month at no extra charge; it ends with the month.",
		allow: []string{auth.ManageLicenses},
	}, s.nextPayment)
}

type nextPaymentIn struct {
	ProviderPath
	api.ReadOptions
}

func (s *server) nextPayment(ctx context.Context, in *nextPaymentIn) (*read[api.NextPayment], error) {
	now, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	var status events.PaymentStatus
	var more []catalog.Use
	known, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, a license.Account) (err error) {
		status = a.PaymentStatus()
		more, err = expected(tx, in.Provider, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	var next invoices.NextPayment
	position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) error {
		var ok bool
		if next, ok, err = invoices.Next(tx, in.Provider, events.DateOf(now), more); err == nil && !ok {
			err = notFound("there is no provider %q", in.Provider)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	statement := &next.Statement
	answer := api.NextPayment{
		Amount: statement.Total.String(), Accrued: next.Accrued.String(), Due: (statement.Month.Last() + 1).String(),
		Credit: statement.Minimum.String(), Currency: statement.Currency, PaymentMethod: string(status), Lines: make([]api.Line, len(statement.Lines)),
	}
	for i := range statement.Lines {
		answer.Lines[i] = lineRow(&statement.Lines[i])
	}
	return &read[api.NextPayment]{lowest(known, position), answer}, nil
}

// expected are the uses that are still to begin in a provider's open month by themselves: of trials that will be paid, and of the
// sockets that they need then. It plays the rest of the month by the rules of decisions, after the events of one more
// entry where there is one. Without a payment method that works nothing begins by itself.
func expected(tx *bbolt.Tx, provider string, e *events.Entry) (uses []catalog.Use, err error) {
	n, err := licenses.Count(tx, licenses.Filter{Provider: provider, Status: string(events.Trial)})
	if err != nil {
		return nil, err
	}
	trials := n.All > 0
	for i := 0; e != nil && i < len(e.Events) && !trials; i++ {
		l := events.LicenseAfter(e.Events[i].Data)
		trials = l != nil && l.Status == events.Trial
	}
	if !trials {
		return nil, nil
	}
	state, err := licenses.LoadState(tx, provider)
	if err != nil {
		return nil, err
	}
	if e != nil {
		state.Apply(e)
	}
	a := state.Account()
	if a.PaymentStatus() != events.PaymentActive {
		return nil, nil
	}
	_, catalogs, err := licenses.LoadSystem(tx)
	if err != nil {
		return nil, err
	}
	end := a.Open.End().Add(-events.Precision)
	decision, err := license.Decide(state, license.Settle{}, license.Facts{
		Provider: provider, Now: end, Catalogs: catalogs, IDs: events.NewIDs(events.Seed{}, end), Opened: true,
	})
	if err != nil {
		return nil, fmt.Errorf("play %s of provider %q to its end: %w", a.Open, provider, err)
	}
	begun := make(map[string]bool)
	for i := range decision.Due {
		l := events.LicenseAfter(decision.Due[i].Data)
		if l == nil || !l.Billable() || begun[l.ID] {
			continue
		}
		if before, ok := state.License(l.ID); ok && before.Billable() {
			continue
		}
		at := decision.Due[i].Effective
		if at.IsZero() {
			at = end
		}
		begun[l.ID] = true
		if u := useFrom(l, at, a.Open); u.From <= u.To {
			uses = append(uses, u)
		}
	}
	return uses, nil
}

// useFrom is a license's use from an instant to the end of a month.
func useFrom(l *events.License, at time.Time, month events.Month) catalog.Use {
	return catalog.Use{
		License: l.ID, Created: l.Created, Type: l.Type, Company: l.Company, Assignee: l.Assignee,
		From: max(events.DateOf(at), l.BilledFrom), To: month.Last(), Activated: at,
	}
}
