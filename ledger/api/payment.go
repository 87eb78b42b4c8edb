package api

import (
	"context"
	"iter"
	"time"
)

// SystemFastSpring is the only payment system.
const SystemFastSpring = "fastspring"

// Statuses of a payment method.
const (
	PaymentMethodNone    = "none"
	PaymentMethodActive  = "active"
	PaymentMethodFailing = "failing" // a charge failed and is not yet collected: no new paid licenses
)

// Outcomes of a charge.
const (
	OutcomeCollected = "collected"
	OutcomeFailed    = "failed"
)

// PaymentMethodSettings is the body that sets a provider's payment method.
type PaymentMethodSettings struct {
	System  string `json:"system" enum:"fastspring" doc:"the payment system"`
	Account string `json:"account" minLength:"1" maxLength:"256" doc:"the provider's account there"`
}

// PaymentMethod is how a provider pays.
type PaymentMethod struct {
	System  string `json:"system,omitempty" enum:"fastspring"`
	Account string `json:"account,omitempty" doc:"the provider's account at the payment system"`
	Status  string `json:"status" enum:"none,active,failing"`
}

// PaymentMethodAnswer is the payment method after a change.
type PaymentMethodAnswer struct {
	PaymentMethod
	Receipt
}

// PaymentRecord is the body that records how the charge of an invoice ended.
type PaymentRecord struct {
	Invoice string `json:"invoice" example:"S-000001" doc:"number of the invoice"`
	Outcome string `json:"outcome" enum:"collected,failed"`
	Reason  string `json:"reason,omitempty" maxLength:"256" doc:"why it failed"`
}

// Payment is a recorded outcome.
type Payment struct {
	PaymentRecord
	At time.Time `json:"at"`
}

// PaymentAnswer is the payment just recorded.
type PaymentAnswer struct {
	Payment
	Receipt
}

// PaymentPage is a page of payments.
type PaymentPage struct {
	Payments   []Payment `json:"payments"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// PutPaymentMethod sets the provider's payment method, which is active from then on.
func (c *Client) PutPaymentMethod(ctx context.Context, provider string, body PaymentMethodSettings, o ChangeOptions) (PaymentMethodAnswer, error) {
	return change[PaymentMethodAnswer](ctx, c, "PUT", body, o, "providers", provider, "payment-method")
}

// PaymentMethod is the provider's payment method; without one, its status is none.
func (c *Client) PaymentMethod(ctx context.Context, provider string, o ReadOptions) (PaymentMethod, error) {
	return get[PaymentMethod](ctx, c, o, "providers", provider, "payment-method")
}

// DeletePaymentMethod leaves the provider without a payment method.
func (c *Client) DeletePaymentMethod(ctx context.Context, provider string, o ChangeOptions) (PaymentMethodAnswer, error) {
	return change[PaymentMethodAnswer](ctx, c, "DELETE", nil, o, "providers", provider, "payment-method")
}

// RecordPayment records how the charge of an invoice ended.
func (c *Client) RecordPayment(ctx context.Context, provider string, body PaymentRecord, o ChangeOptions) (PaymentAnswer, error) {
	return change[PaymentAnswer](ctx, c, "POST", body, o, "providers", provider, "payments")
}

// Payments is a page of recorded outcomes.
func (c *Client) Payments(ctx context.Context, provider string, q ListQuery) (PaymentPage, error) {
	return get[PaymentPage](ctx, c, q, "providers", provider, "payments")
}

// AllPayments are the payments of all pages.
func (c *Client) AllPayments(ctx context.Context, provider string, q ListQuery) iter.Seq2[Payment, error] {
	return all(ctx, c, q, func(p PaymentPage) ([]Payment, string) { return p.Payments, p.NextCursor }, "providers", provider, "payments")
}
