package httpapi

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) administrators() {
	const path, tag = "/providers/{provider}/administrators", "Administrators"
	register(s, call{
		method: "PUT", path: path + "/{administrator}", id: "put-administrator", summary: "Create an administrator or replace name and permissions", tag: tag,
		about: "What is absent from the body is none. The name stands beside the ledger: a change of the name alone makes no entry, and the answer names the provider's last one.",
		allow: []string{auth.Administer}, creates: true,
	}, s.putAdministrator)
	register(s, call{
		method: "GET", path: path + "/{administrator}", id: "get-administrator", summary: "An administrator", tag: tag,
		allow: []string{auth.Administer},
	}, s.getAdministrator)
	list(s, listing[administratorsIn, api.Administrator, api.AdministratorPage]{
		call: call{
			method: "GET", path: path, id: "list-administrators", summary: "The administrators of a provider", tag: tag,
			about: "Of somebody who was erased the pseudonym is left.",
			allow: []string{auth.Administer},
		},
		options: func(in *administratorsIn) api.PageOptions { return in.PageOptions },
		order:   "id",
		open:    s.listAdministrators,
		page: func(rows []api.Administrator, next string) api.AdministratorPage {
			return api.AdministratorPage{Administrators: rows, NextCursor: next}
		},
		columns: []string{"id", "name", "permissions"},
		cells: func(a api.Administrator) []string {
			return []string{text(a.ID), text(a.Name), strings.Join(a.Permissions, " ")}
		},
	})
}

// AdministratorPath is exported because huma looks into exported fields only.
type AdministratorPath struct {
	ProviderPath
	Administrator string `path:"administrator" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"ann"`
}

// administratorAlias is the pseudonym of somebody who must be an administrator, or was once.
func (s *server) administratorAlias(provider, id string) (string, error) {
	alias, ok := s.Names.Alias(provider, string(events.Administrator), id)
	if !ok {
		return "", noAdministrator(provider, id)
	}
	return alias, nil
}

func noAdministrator(provider, id string) error {
	return notFound("provider %q has no administrator %.80q", provider, id)
}

// loadAdministrator finds an administrator by the id that callers know.
func (s *server) loadAdministrator(ctx context.Context, provider, id string, after uint64) (a events.AdministratorSet, position *uint64, err error) {
	alias, known := s.Names.Alias(provider, string(events.Administrator), id)
	position, err = s.inProvider(ctx, provider, after, func(tx *bbolt.Tx, _ license.Account) (err error) {
		ok := false
		if known {
			a, ok, err = licenses.LoadAdministrator(tx, provider, alias)
		}
		if err == nil && !ok {
			err = noAdministrator(provider, id)
		}
		return err
	})
	return a, position, err
}

// administratorRow is an administrator as callers know them; of somebody who was erased the pseudonym is left.
func (s *server) administratorRow(provider string, a *events.AdministratorSet) api.Administrator {
	row := api.Administrator{ID: a.Administrator, AdministratorSettings: api.AdministratorSettings{Permissions: a.Permissions}}
	if id, name, ok := s.Names.Reveal(provider, a.Administrator); ok {
		row.ID, row.Name = id, name
	}
	return row
}

type putAdministratorIn struct {
	AdministratorPath
	api.ChangeOptions
	Body api.AdministratorSettings
}

func (s *server) putAdministrator(ctx context.Context, in *putAdministratorIn) (*changed[api.AdministratorAnswer], error) {
	if err := checkText("body.name", in.Body.Name); err != nil {
		return nil, err
	}
	_, _, err := s.loadAdministrator(ctx, in.Provider, in.Administrator, 0)
	known := err == nil
	if err != nil && api.CodeOf(err) != api.CodeNotFound {
		return nil, err
	}
	kind := string(events.Administrator)
	receipt, err := s.withPerson(ctx, in.Provider, in.ChangeOptions, kind, in.Administrator, func(alias string) license.Body {
		return license.SetAdministrator{Administrator: alias, Permissions: in.Body.Permissions}
	})
	if err != nil {
		return nil, err
	}
	// The name follows the entry: a command that is refused changes none. A repetition gives a name only to who has none: it may
	// have been cut off before, or be older than the name that stands there now.
	answer := api.AdministratorAnswer{Administrator: api.Administrator{ID: in.Administrator, AdministratorSettings: in.Body}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	if !in.DryRun {
		alias, _ := s.Names.Alias(in.Provider, kind, in.Administrator)
		if _, name, _ := s.Names.Reveal(in.Provider, alias); !receipt.Duplicate && name != in.Body.Name || receipt.Duplicate && name == "" {
			if err := s.Names.SetName(in.Provider, kind, in.Administrator, in.Body.Name); err != nil {
				return nil, recorded(receipt, in.ChangeOptions, err)
			}
		}
		// Whoever was denied something is denied it from now on.
		if err := s.wait(ctx, s.Licenses, receipt.Entry); err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	answer.Permissions = slices.Compact(slices.Sorted(slices.Values(in.Body.Permissions)))
	return &changed[api.AdministratorAnswer]{status(!known && !receipt.Duplicate, in.ChangeOptions), answer}, nil
}

type getAdministratorIn struct {
	AdministratorPath
	api.ReadOptions
}

func (s *server) getAdministrator(ctx context.Context, in *getAdministratorIn) (*read[api.Administrator], error) {
	a, position, err := s.loadAdministrator(ctx, in.Provider, in.Administrator, in.After)
	if err != nil {
		return nil, err
	}
	row := s.administratorRow(in.Provider, &a)
	row.ID = in.Administrator
	return &read[api.Administrator]{position, row}, nil
}

type administratorsIn struct {
	ProviderPath
	api.ListQuery
}

// listAdministrators reads all of them for a page: there are not many, and the view has them in the order of their pseudonyms.
func (s *server) listAdministrators(_ context.Context, in *administratorsIn) (pager[api.Administrator], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Administrator], error) {
		var found []events.AdministratorSet
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
			for last := ""; ; {
				some, err := licenses.Administrators(tx, in.Provider, last, api.MaxLimit)
				if found = append(found, some...); err != nil || len(some) < api.MaxLimit {
					return err
				}
				last = some[len(some)-1].Administrator
			}
		})
		var rows []api.Administrator
		for i := range found {
			if row := s.administratorRow(in.Provider, &found[i]); row.ID > after {
				rows = append(rows, row)
			}
		}
		slices.SortFunc(rows, func(a, b api.Administrator) int { return cmp.Compare(a.ID, b.ID) })
		return cut(rows, limit, func(a api.Administrator) string { return a.ID }, position), err
	}, nil
}
