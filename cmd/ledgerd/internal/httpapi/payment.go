package httpapi

import (
	"context"
	"errors"
	"strconv"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

func (s *server) payments() {
	const path, tag = "/providers/{provider}/payment-method", "Payment"
	register(s, call{
		method: "PUT", path: path, id: "put-payment-method", summary: "Set how the provider pays", tag: tag, allow: []string{auth.Administer},
	}, s.putPaymentMethod)
	register(s, call{
		method: "GET", path: path, id: "get-payment-method", summary: "How the provider pays", tag: tag, allow: []string{auth.Administer},
	}, s.getPaymentMethod)
	register(s, call{
		method: "DELETE", path: path, id: "delete-payment-method", summary: "Leave the provider without a payment method", tag: tag,
		allow: []string{auth.Administer},
	}, s.deletePaymentMethod)
	const outcomes = "/providers/{provider}/payments"
	register(s, call{
		method: "POST", path: outcomes, id: "record-payment", summary: "Record what became of the charge of an invoice", tag: tag,
		about: "With the first failure grace begins, after which all paid licenses of the provider expire; collected after all within the same month, they " +
			"come back. What was recorded before changes nothing.",
		allow: []string{auth.Operate},
	}, s.recordPayment)
	list(s, listing[paymentsIn, api.Payment, api.PaymentPage]{
		call: call{
			method: "GET", path: outcomes, id: "list-payments", summary: "The recorded outcomes of charges", tag: tag,
			about: "In the order in which they were recorded.",
			allow: []string{auth.Operate},
		},
		options: func(in *paymentsIn) api.PageOptions { return in.PageOptions },
		order:   "at",
		open:    s.listPayments,
		page: func(rows []api.Payment, next string) api.PaymentPage {
			return api.PaymentPage{Payments: rows, NextCursor: next}
		},
		columns: []string{"invoice", "outcome", "at", "reason"},
		cells:   func(p api.Payment) []string { return []string{p.Invoice, p.Outcome, instant(p.At), text(p.Reason)} },
	})
}

type recordPaymentIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.PaymentRecord
}

func (s *server) recordPayment(ctx context.Context, in *recordPaymentIn) (*changed[api.PaymentAnswer], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.RecordPayment{
		Invoice: in.Body.Invoice, Outcome: events.Outcome(in.Body.Outcome), Reason: in.Body.Reason,
	})
	if err != nil {
		return nil, err
	}
	answer := api.PaymentAnswer{Payment: api.Payment{PaymentRecord: in.Body, At: receipt.Time}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	if first[*events.PaymentRecorded](receipt) == nil { // it was recorded before
		_, err := s.see(ctx, s.Invoices, receipt.Entry, func(tx *bbolt.Tx) error {
			last, ok, err := invoices.LastPayment(tx, in.Provider, in.Body.Invoice, receipt.Entry)
			if err == nil && !ok {
				err = errors.New("a payment that was recorded before is not there")
			}
			answer.Payment = paymentRow(&last)
			return err
		})
		if err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	return &changed[api.PaymentAnswer]{200, answer}, nil
}

func paymentRow(p *invoices.Payment) api.Payment {
	return api.Payment{PaymentRecord: api.PaymentRecord{Invoice: p.Invoice, Outcome: string(p.Outcome), Reason: p.Reason}, At: p.At}
}

type paymentsIn struct {
	ProviderPath
	api.ListQuery
}

func (s *server) listPayments(_ context.Context, in *paymentsIn) (pager[api.Payment], error) {
	return func(ctx context.Context, after string, limit int) (p page[api.Payment], err error) {
		var from uint64
		if after != "" {
			if from, err = strconv.ParseUint(after, 10, 64); err != nil {
				return p, invalid("query.cursor", "this is no cursor of this list")
			}
		}
		exists, err := s.exists(ctx, in.Provider, in.After)
		if err != nil {
			return p, err
		}
		var found []invoices.Payment
		position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) (err error) {
			found, err = invoices.Payments(tx, in.Provider, from, limit+1)
			return err
		})
		if err != nil {
			return p, err
		}
		if len(found) > limit {
			found = found[:limit]
			p.next = strconv.FormatUint(found[limit-1].Entry, 10)
		}
		for i := range found {
			p.rows = append(p.rows, paymentRow(&found[i]))
		}
		p.position = lowest(exists, position)
		return p, nil
	}, nil
}

type putPaymentMethodIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.PaymentMethodSettings
}

func (s *server) putPaymentMethod(ctx context.Context, in *putPaymentMethodIn) (*changed[api.PaymentMethodAnswer], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.SetPaymentMethod{System: in.Body.System, Account: in.Body.Account})
	if err != nil {
		return nil, err
	}
	// A method that is set is active, whether it was before or not.
	return &changed[api.PaymentMethodAnswer]{200, api.PaymentMethodAnswer{
		PaymentMethod: api.PaymentMethod{System: in.Body.System, Account: in.Body.Account, Status: api.PaymentMethodActive},
		Receipt:       receiptOf(receipt, in.ChangeOptions),
	}}, nil
}

type getPaymentMethodIn struct {
	ProviderPath
	api.ReadOptions
}

func (s *server) getPaymentMethod(ctx context.Context, in *getPaymentMethodIn) (*read[api.PaymentMethod], error) {
	out := &read[api.PaymentMethod]{}
	var err error
	out.Position, err = s.inProvider(ctx, in.Provider, in.After, func(_ *bbolt.Tx, a license.Account) error {
		out.Body = api.PaymentMethod{System: a.Payment.System, Account: a.Payment.Account, Status: string(a.PaymentStatus())}
		return nil
	})
	return out, err
}

type deletePaymentMethodIn struct {
	ProviderPath
	api.ChangeOptions
}

func (s *server) deletePaymentMethod(ctx context.Context, in *deletePaymentMethodIn) (*changed[api.PaymentMethodAnswer], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.RemovePaymentMethod{})
	if err != nil {
		return nil, err
	}
	return &changed[api.PaymentMethodAnswer]{200, api.PaymentMethodAnswer{
		PaymentMethod: api.PaymentMethod{Status: api.PaymentMethodNone},
		Receipt:       receiptOf(receipt, in.ChangeOptions),
	}}, nil
}
