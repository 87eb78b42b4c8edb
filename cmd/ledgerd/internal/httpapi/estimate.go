package httpapi

import (
	"context"
	"errors"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

func (s *server) estimates() {
	register(s, call{
		method: "POST", path: "/providers/{provider}/estimate", id: "estimate", summary: "What something would cost in a month", tag: "Payment",
		about: "The statement of a month in which nothing but the items is used, by the catalog that is in force in it as far as is known now. " +
			"Items without days are used all month; of those with free units the ones listed first are the older.",
		allow: []string{auth.ManageLicenses}, reads: true,
	}, s.estimate)
}

type estimateIn struct {
	ProviderPath
	api.ReadOptions
	Body api.Estimate
}

func (s *server) estimate(ctx context.Context, in *estimateIn) (*read[api.EstimateAnswer], error) {
	month, err := events.ParseMonth(in.Body.Month)
	if err != nil {
		return nil, invalid("body.month", "%v", err)
	}
	t := terms{provider: in.Provider}
	position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, a license.Account) error { return t.load(tx, a) })
	if err != nil {
		return nil, err
	}
	c, _, ok := t.catalogs.At(month)
	if !ok {
		return nil, invalid("body.month", "no catalog is in force in %s", month)
	}
	items := make([]catalog.Item, len(in.Body.Items))
	for i, item := range in.Body.Items {
		q, err := decimal.NewFromString(item.Quantity.String())
		if err != nil || len(item.Quantity) > longestQuantity {
			return nil, invalid("body.items", "%.40q is no quantity", item.Quantity)
		}
		items[i] = catalog.Item{LicenseType: item.LicenseType, Quantity: q, Days: item.Days}
	}
	statement, err := catalog.Estimate(month, c, t.currency, items)
	var problems catalog.Problems
	if errors.As(err, &problems) {
		p := api.NewProblem(api.CodeInvalid, "this cannot be estimated: "+problems.Error())
		for _, wrong := range problems {
			p.Errors = append(p.Errors, api.FieldError{Location: "body." + wrong.Field, Message: wrong.Message})
		}
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	answer := api.EstimateAnswer{
		Currency: t.currency, Lines: make([]api.Line, len(statement.Lines)),
		Subtotal: statement.Subtotal.String(), MinimumAdjustment: statement.Minimum.String(), Total: statement.Total.String(),
	}
	for i := range statement.Lines {
		answer.Lines[i] = lineRow(&statement.Lines[i])
	}
	return &read[api.EstimateAnswer]{position, answer}, nil
}

// longestQuantity bounds the digits of a quantity.
const longestQuantity = 32
