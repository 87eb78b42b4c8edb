package httpapi

import (
	"cmp"
	"context"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) companies() {
	const path, tag = "/providers/{provider}/companies", "Companies"
	register(s, call{
		method: "PUT", path: path + "/{company}", id: "put-company", summary: "Create a company or replace its settings", tag: tag,
		about: "What is absent from the body gets its default.",
		allow: []string{auth.Administer}, creates: true,
	}, s.putCompany)
	register(s, call{
		method: "GET", path: path + "/{company}", id: "get-company", summary: "A company", tag: tag,
		allow: []string{auth.ManageLicenses},
	}, s.getCompany)
	list(s, listing[companiesIn, api.Company, api.CompanyPage]{
		call: call{
			method: "GET", path: path, id: "list-companies", summary: "The companies of a provider", tag: tag,
			allow: []string{auth.ManageLicenses},
		},
		options: func(in *companiesIn) api.PageOptions { return in.PageOptions },
		order:   "id",
		open:    s.listCompanies,
		page: func(rows []api.Company, next string) api.CompanyPage {
			return api.CompanyPage{Companies: rows, NextCursor: next}
		},
		columns: []string{"id", "name", "allocation", "pool", "allowed_types", "metered", "external_id"},
		cells: func(c api.Company) []string {
			return []string{
				text(c.ID), text(c.Name), c.Allocation, c.Pool, text(strings.Join(c.AllowedTypes, " ")), text(strings.Join(c.Metered, " ")), text(c.ExternalID),
			}
		},
	})
}

type putCompanyIn struct {
	CompanyPath
	api.ChangeOptions
	Body api.CompanySettings
}

func (s *server) putCompany(ctx context.Context, in *putCompanyIn) (*changed[api.CompanyAnswer], error) {
	known, err := s.known(ctx, in.Provider, func(tx *bbolt.Tx) (bool, error) {
		_, ok, err := licenses.LoadCompany(tx, in.Provider, in.Company)
		return ok, err
	})
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.SetCompany{CompanySet: events.CompanySet{
		Company: in.Company, Name: cmp.Or(in.Body.Name, in.Company),
		Allocation: events.Allocation(in.Body.Allocation), Pool: events.PoolRule(in.Body.Pool),
		AllowedTypes: in.Body.AllowedTypes, Metered: in.Body.Metered, ExternalID: in.Body.ExternalID,
	}})
	if err != nil {
		return nil, err
	}
	answer := api.CompanyAnswer{Receipt: receiptOf(receipt, in.ChangeOptions)}
	if set := first[*events.CompanySet](receipt); set != nil {
		answer.Company = companyRow(set)
	} else { // it was so before
		if answer.Company, _, err = s.loadCompany(ctx, in.Provider, in.Company, 0); err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	return &changed[api.CompanyAnswer]{status(!known && !receipt.Duplicate, in.ChangeOptions), answer}, nil
}

// companyRow leaves out an empty list of allowed types, which stands for all of them.
func companyRow(c *events.CompanySet) api.Company {
	allowed := c.AllowedTypes
	if len(allowed) == 0 {
		allowed = nil
	}
	return api.Company{ID: c.Company, CompanySettings: api.CompanySettings{
		Name: c.Name, Allocation: string(c.Allocation), Pool: string(c.Pool),
		AllowedTypes: allowed, Metered: c.Metered, ExternalID: c.ExternalID,
	}}
}

func (s *server) loadCompany(ctx context.Context, provider, company string, after uint64) (row api.Company, position *uint64, err error) {
	position, err = s.inProvider(ctx, provider, after, func(tx *bbolt.Tx, _ license.Account) error {
		c, ok, err := licenses.LoadCompany(tx, provider, company)
		if err == nil && !ok {
			err = notFound("provider %q has no company %q", provider, company)
		}
		row = companyRow(&c)
		return err
	})
	return row, position, err
}

type getCompanyIn struct {
	CompanyPath
	api.ReadOptions
}

func (s *server) getCompany(ctx context.Context, in *getCompanyIn) (*read[api.Company], error) {
	row, position, err := s.loadCompany(ctx, in.Provider, in.Company, in.After)
	return &read[api.Company]{position, row}, err
}

type companiesIn struct {
	ProviderPath
	api.ListQuery
}

func (s *server) listCompanies(_ context.Context, in *companiesIn) (pager[api.Company], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Company], error) {
		var rows []api.Company
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
			found, err := licenses.Companies(tx, in.Provider, after, limit+1)
			for i := range found {
				rows = append(rows, companyRow(&found[i]))
			}
			return err
		})
		return cut(rows, limit, func(c api.Company) string { return c.ID }, position), err
	}, nil
}
