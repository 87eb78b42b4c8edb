package httpapi

import (
	"cmp"
	"context"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) providers() {
	const path, tag = "/providers/{provider}", "Providers"
	register(s, call{
		method: "PUT", path: path, id: "put-provider", summary: "Create or update a provider", tag: tag,
		allow: []string{auth.Operate}, creates: true,
	}, s.putProvider)
	register(s, call{
		method: "GET", path: path, id: "get-provider", summary: "A provider", tag: tag,
		allow: []string{auth.Administer, auth.ManageLicenses},
	}, s.getProvider)
	list(s, listing[providersIn, api.Provider, api.ProviderPage]{
		call: call{
			method: "GET", path: "/providers", id: "list-providers", summary: "The providers", tag: tag,
			allow: []string{auth.Operate},
		},
		options: func(in *providersIn) api.PageOptions { return in.PageOptions },
		order:   "id",
		open:    s.listProviders,
		page: func(rows []api.Provider, next string) api.ProviderPage {
			return api.ProviderPage{Providers: rows, NextCursor: next}
		},
		columns: []string{"id", "name", "currency"},
		cells:   func(p api.Provider) []string { return []string{text(p.ID), text(p.Name), p.Currency} },
	})
}

type putProviderIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.ProviderSettings
}

func (s *server) putProvider(ctx context.Context, in *putProviderIn) (*changed[api.ProviderAnswer], error) {
	known, err := s.known(ctx, in.Provider, nil)
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.SetProvider{Name: cmp.Or(in.Body.Name, in.Provider), Currency: in.Body.Currency})
	if err != nil {
		return nil, err
	}
	answer := api.ProviderAnswer{Receipt: receiptOf(receipt, in.ChangeOptions)}
	if set := first[*events.ProviderSet](receipt); set != nil {
		answer.Provider = providerRow(in.Provider, set.Name, set.Currency)
	} else { // it was so before
		_, err := s.inProvider(ctx, in.Provider, 0, func(_ *bbolt.Tx, a license.Account) error {
			answer.Provider = providerRow(in.Provider, a.Name, a.Currency)
			return nil
		})
		if err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	return &changed[api.ProviderAnswer]{status(!known && !receipt.Duplicate, in.ChangeOptions), answer}, nil
}

// known says whether a provider, and what found looks for within it, is there before a change: whether the change makes it.
func (s *server) known(ctx context.Context, provider string, found func(tx *bbolt.Tx) (bool, error)) (known bool, err error) {
	_, err = s.inProvider(ctx, provider, 0, func(tx *bbolt.Tx, _ license.Account) (err error) {
		known = true
		if found != nil {
			known, err = found(tx)
		}
		return err
	})
	if api.CodeOf(err) == api.CodeNotFound {
		return false, nil
	}
	return known, err
}

func providerRow(id, name, currency string) api.Provider {
	return api.Provider{ID: id, ProviderSettings: api.ProviderSettings{Name: name, Currency: currency}}
}

type getProviderIn struct {
	ProviderPath
	api.ReadOptions
}

func (s *server) getProvider(ctx context.Context, in *getProviderIn) (*read[api.Provider], error) {
	out := &read[api.Provider]{}
	var err error
	out.Position, err = s.inProvider(ctx, in.Provider, in.After, func(_ *bbolt.Tx, a license.Account) error {
		out.Body = providerRow(in.Provider, a.Name, a.Currency)
		return nil
	})
	return out, err
}

type providersIn struct{ api.ListQuery }

func (s *server) listProviders(_ context.Context, in *providersIn) (pager[api.Provider], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Provider], error) {
		var rows []api.Provider
		position, err := s.see(ctx, s.Licenses, in.After, func(tx *bbolt.Tx) error {
			ids, accounts, err := licenses.Providers(tx, after, limit+1)
			for i, id := range ids {
				rows = append(rows, providerRow(id, accounts[i].Name, accounts[i].Currency))
			}
			return err
		})
		return cut(rows, limit, func(p api.Provider) string { return p.ID }, position), err
	}, nil
}
