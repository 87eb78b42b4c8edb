package httpapi

import (
	"context"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
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
