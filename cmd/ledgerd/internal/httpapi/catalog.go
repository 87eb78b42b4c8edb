package httpapi

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) catalog() {
	const path, tag = "/catalog", "Catalog"
	register(s, call{
		method: "GET", path: path, id: "get-catalog", summary: "The catalog in force in a month", tag: tag, anyone: true,
		codes: []api.Code{api.CodeNotFound},
	}, s.getCatalog)
	register(s, call{
		method: "PUT", path: path, id: "put-catalog", summary: "Publish a catalog", tag: tag,
		about: "From a month that has not begun. For the same month again it replaces the one before; the same catalog again changes nothing.",
		allow: []string{auth.Operate},
	}, s.putCatalog)
}

type getCatalogIn struct{ api.CatalogQuery }

func (s *server) getCatalog(ctx context.Context, in *getCatalogIn) (*read[api.Catalog], error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	month := events.MonthOf(now)
	if in.Month != "" {
		if month, err = events.ParseMonth(in.Month); err != nil {
			return nil, invalid("query.month", "%v", err)
		}
	}
	out := &read[api.Catalog]{}
	out.Position, err = s.see(ctx, s.Licenses, in.After, func(tx *bbolt.Tx) error {
		_, book, err := licenses.LoadSystem(tx)
		if err != nil {
			return err
		}
		c, _, ok := book.At(month)
		if !ok {
			return notFound("no catalog is in force in %s", month)
		}
		out.Body = catalogRow(c)
		return nil
	})
	return out, err
}

type putCatalogIn struct {
	api.ChangeOptions
	Body api.Catalog
}

func (s *server) putCatalog(ctx context.Context, in *putCatalogIn) (*changed[api.CatalogAnswer], error) {
	c, wrong := catalogOf(in.Body)
	if len(wrong) > 0 {
		p := api.NewProblem(api.CodeInvalid, "the catalog cannot be read")
		p.Errors = wrong
		return nil, p
	}
	// What has no provider has no memory of idempotency keys, so a repetition is told by the catalog itself.
	published, entry, err := s.published(ctx, c.Effective)
	if err != nil {
		return nil, err
	}
	if c = catalog.Fill(c); published != nil && reflect.DeepEqual(catalogRow(*published), catalogRow(c)) {
		answer := api.CatalogAnswer{Catalog: catalogRow(c)}
		if !in.DryRun {
			answer.Position = &entry
		}
		return &changed[api.CatalogAnswer]{200, answer}, nil
	}
	receipt, err := s.submit(ctx, "", in.ChangeOptions, license.PublishCatalog{Catalog: c})
	if err != nil {
		return nil, err
	}
	if event := first[*events.CatalogPublished](receipt); event != nil {
		c = event.Catalog
	}
	return &changed[api.CatalogAnswer]{200, api.CatalogAnswer{Catalog: catalogRow(c), Receipt: receiptOf(receipt, in.ChangeOptions)}}, nil
}

// published is the catalog that was published for just this month, nil if none was.
func (s *server) published(ctx context.Context, month events.Month) (found *events.Catalog, entry uint64, err error) {
	_, err = s.see(ctx, s.Licenses, 0, func(tx *bbolt.Tx) error {
		_, book, err := licenses.LoadSystem(tx)
		if c, e, ok := book.At(month); ok && c.Effective == month {
			found, entry = &c, e
		}
		return err
	})
	return found, entry, err
}

// catalogOf reads a catalog of the contract, and says all that stands in the way.
func catalogOf(in api.Catalog) (c events.Catalog, wrong []api.FieldError) {
	money := func(location string, texts map[string]string) map[string]events.Money {
		amounts := make(map[string]events.Money, len(texts))
		for _, currency := range slices.Sorted(maps.Keys(texts)) {
			m, err := events.ParseMoney(texts[currency])
			if err != nil {
				wrong = append(wrong, api.FieldError{Location: location + "." + currency, Message: err.Error()})
			}
			amounts[currency] = m
		}
		return amounts
	}
	var err error
	if c.Effective, err = events.ParseMonth(in.Effective); err != nil {
		wrong = append(wrong, api.FieldError{Location: "body.effective", Message: err.Error()})
	}
	c.Minimum = money("body.minimum", in.Minimum)
	c.Types = make([]events.Type, len(in.Types))
	for i, t := range in.Types {
		c.Types[i] = events.Type{
			ID: t.ID, Family: t.Family, Unit: t.Unit, Term: events.Term(t.Term),
			Prices:    money(fmt.Sprintf("body.types[%d].prices", i), t.Prices),
			TrialDays: t.TrialDays, FreeUnits: t.FreeUnits, Policy: events.Policy(t.Policy),
			Meter: t.Meter, Aggregate: events.Aggregate(t.Aggregate), Includes: t.Includes, Requires: t.Requires,
			IncludedUnits: t.IncludedUnits, ReleaseLockDays: t.ReleaseLockDays, Closed: t.Closed,
		}
	}
	return c, wrong
}

func catalogRow(c events.Catalog) api.Catalog {
	texts := func(amounts map[string]events.Money) map[string]string {
		row := make(map[string]string, len(amounts))
		for currency, m := range amounts {
			row[currency] = m.String()
		}
		return row
	}
	row := api.Catalog{Effective: c.Effective.String(), Minimum: texts(c.Minimum), Types: make([]api.LicenseType, len(c.Types))}
	for i, t := range c.Types {
		row.Types[i] = api.LicenseType{
			ID: t.ID, Family: t.Family, Unit: t.Unit, Term: string(t.Term), Prices: texts(t.Prices),
			TrialDays: t.TrialDays, FreeUnits: t.FreeUnits, Policy: string(t.Policy), Meter: t.Meter, Aggregate: string(t.Aggregate),
			Includes: append([]string{}, t.Includes...), Requires: t.Requires,
			IncludedUnits: t.IncludedUnits, ReleaseLockDays: t.ReleaseLockDays, Closed: t.Closed,
		}
	}
	return row
}
