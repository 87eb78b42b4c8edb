package httpapi

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

func (s *server) adjustments() {
	register(s, call{
		method: "POST", path: "/providers/{provider}/adjustments", id: "record-adjustment", summary: "Correct what a closed month came to", tag: "Invoices",
		about: "The month's statement stays as it is. The running month's gets lines that name the month: the correction, and, where the closed month's " +
			"minimum changes with it, that difference. They are answered, and the dry run says what they come to together.",
		allow: []string{auth.Operate},
	}, s.recordAdjustment)
}

type recordAdjustmentIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.Adjustment
}

func (s *server) recordAdjustment(ctx context.Context, in *recordAdjustmentIn) (*changed[api.AdjustmentAnswer], error) {
	month, err := events.ParseMonth(in.Body.Month)
	if err != nil {
		return nil, invalid("body.month", "%v", err)
	}
	amount, err := events.ParseMoney(in.Body.Amount)
	if err != nil {
		return nil, invalid("body.amount", "%v", err)
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Adjust{
		Month: month, Company: in.Body.Company, Type: in.Body.LicenseType, License: in.Body.License, Amount: amount, Reason: in.Body.Reason,
	})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	made := first[*events.AdjustmentRecorded](receipt)
	if made == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a correction without its event"))
	}
	seen, entry := receipt.Entry, receipt.Entry
	if in.DryRun {
		seen, entry = s.answered.Load(), 0
	}
	var lines []catalog.Line
	_, err = s.see(ctx, s.Invoices, seen, func(tx *bbolt.Tx) (err error) {
		lines, err = invoices.Corrected(tx, in.Provider, made, entry)
		return err
	})
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer := api.AdjustmentAnswer{Lines: make([]api.Line, len(lines)), Receipt: receiptOf(receipt, in.ChangeOptions)}
	for i := range lines {
		answer.Lines[i] = lineRow(&lines[i])
	}
	if in.DryRun {
		way := costs
		if made.Amount.IsNegative() {
			way = saves
		}
		answer.Preview = previewOf(catalog.Total(lines), t.currency, way)
	}
	return &changed[api.AdjustmentAnswer]{200, answer}, nil
}
