package httpapi

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

const (
	licensesPath = "/providers/{provider}/licenses"
	licensesTag  = "Licenses"
)

// grid registers the reads of licenses; licenseChanges the rest.
func (s *server) grid() {
	list(s, listing[licensesIn, api.License, api.LicensePage]{
		call: call{
			method: "GET", path: licensesPath, id: "list-licenses", summary: "The license grid", tag: licensesTag,
			about: "In the order of creation, but for a search (`q`): its rows come in the order of the words by which they are found, unless they are sorted. " +
				"Each part of `q`, at blanks, has to begin words of the row: of whom it serves and that endpoint's name, its type, its company's id or name; ten characters or more also its id. " +
				"With `month` the licenses that were in force in it, as they stood at its end. A page may be shorter than limit and still have a next one.",
			allow: []string{auth.ManageLicenses},
		},
		options: func(in *licensesIn) api.PageOptions { return in.PageOptions },
		orders:  sortsOf(licenses.SortID, licenses.SortType, licenses.SortCompany, licenses.SortAssignee, licenses.SortStatus, licenses.SortExpiry, validUntilSort),
		open:    s.listLicenses,
		page: func(rows []api.License, next string) api.LicensePage {
			return api.LicensePage{Licenses: rows, NextCursor: next}
		},
		columns: []string{
			"id", "license_type", "company", "assignee_kind", "assignee_id", "status", "assigned", "auto_renew",
			"valid_until", "expires_at", "price", "currency", "actions",
		},
		cells: licenseCells,
	})
	register(s, call{
		method: "GET", path: licensesPath + "/counters", id: "count-licenses", summary: "The counters above the grid", tag: licensesTag,
		allow: []string{auth.ManageLicenses},
	}, s.countLicenses)
	register(s, call{
		method: "GET", path: licensesPath + "/{license}", id: "get-license", summary: "A license", tag: licensesTag,
		allow: []string{auth.ManageLicenses},
	}, s.getLicense)
}

type licensesIn struct {
	ProviderPath
	api.LicenseQuery
}

// filterOf is the view's filter for one of the contract, which stands where it says: in the query, or in a body.
func (s *server) filterOf(where, provider string, f api.LicenseFilter) (licenses.Filter, error) {
	filter := licenses.Filter{Provider: provider, Company: f.Company, Type: f.LicenseType, Status: f.Status}
	for field, name := range map[string]string{"company": f.Company, "license_type": f.LicenseType} {
		if name == "" {
			continue
		}
		if err := events.CheckName(name); err != nil {
			return licenses.Filter{}, invalid(where+"."+field, "%v", err)
		}
	}
	if f.Month != "" {
		var err error
		if filter.Month, err = events.ParseMonth(f.Month); err != nil {
			return filter, invalid(where+".month", "%v", err)
		}
	}
	filter.Search = licenses.ParseSearch(f.Q, func(part string) []string { return s.pseudonyms(provider, part) })
	if f.Q != "" && len(filter.Search) == 0 {
		return filter, invalid(where+".q", "it has neither letters nor digits")
	}
	return filter, nil
}

// pseudonyms are those under which the log knows a person with an id, whatever the person is.
func (s *server) pseudonyms(provider, id string) (known []string) {
	for _, kind := range []events.AssigneeKind{events.Administrator, events.DomainUser} {
		if alias, ok := s.Names.Alias(provider, string(kind), id); ok {
			if _, _, kept := s.Names.Reveal(provider, alias); kept {
				known = append(known, alias)
			}
		}
	}
	return known
}

// validUntilSort is sorting by the last valid date, which is by the end.
const validUntilSort licenses.Column = "valid_until"

// sortsOf are what sort may say.
func sortsOf(columns ...licenses.Column) (orders []string) {
	for _, c := range columns {
		orders = append(orders, string(c), "-"+string(c))
	}
	return orders
}

// orderOf is the order that sort asks for.
func orderOf(sort string) (o licenses.Order) {
	by, descending := strings.CutPrefix(sort, "-")
	if o = (licenses.Order{By: licenses.Column(by), Descending: descending}); o.By == validUntilSort {
		o.By = licenses.SortExpiry
	}
	return o
}

func (s *server) listLicenses(_ context.Context, in *licensesIn) (pager[api.License], error) {
	filter, err := s.filterOf("query", in.Provider, in.LicenseFilter)
	if err != nil {
		return nil, err
	}
	order := orderOf(in.Sort)
	return func(ctx context.Context, after string, limit int) (page[api.License], error) {
		now, err := s.at(ctx)
		if err != nil {
			return page[api.License]{}, err
		}
		t := terms{provider: in.Provider}
		var found []events.License
		var next string
		position, err := s.licensesAt(ctx, in.Provider, in.After, len(filter.Search) > 0, func(tx *bbolt.Tx, a license.Account, then *licenses.Then) (err error) {
			if err := t.load(tx, a); err != nil {
				return err
			}
			filter := filter
			filter.Then = then
			if found, next, err = licenses.Page(tx, filter, order, after, limit); errors.Is(err, licenses.ErrPlace) {
				return foreignCursor()
			}
			return err
		})
		if err != nil {
			return page[api.License]{}, err
		}
		return page[api.License]{rows: s.licenseRows(t, found, now), next: next, position: position}, nil
	}, nil
}

type countersIn struct {
	ProviderPath
	api.CountersQuery
}

func (s *server) countLicenses(ctx context.Context, in *countersIn) (*read[api.Counters], error) {
	filter, err := s.filterOf("query", in.Provider, in.LicenseFilter)
	if err != nil {
		return nil, err
	}
	out := &read[api.Counters]{}
	out.Position, err = s.licensesAt(ctx, in.Provider, in.After, len(filter.Search) > 0, func(tx *bbolt.Tx, _ license.Account, then *licenses.Then) error {
		filter.Then = then
		n, err := licenses.Count(tx, filter)
		out.Body = api.Counters{All: int(n.All), ActiveTrial: int(n.ActiveTrial), Paid: int(n.Paid), Released: int(n.Released), Used: int(n.Used)}
		return err
	})
	return out, err
}

type LicensePath struct {
	ProviderPath
	License string `path:"license" example:"01JPB2Z8Q0T3W6X9YAMC5D7E8F"`
}

// check refuses an id that no license has.
func (p LicensePath) check() error {
	if events.CheckULID(p.License) != nil {
		return notFound("provider %q has no license %.40q", p.Provider, p.License)
	}
	return nil
}

type getLicenseIn struct {
	LicensePath
	api.ReadOptions
}

func (s *server) getLicense(ctx context.Context, in *getLicenseIn) (*read[api.License], error) {
	now, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	t := terms{provider: in.Provider}
	var l events.License
	position, err := s.licensesAt(ctx, in.Provider, in.After, false, func(tx *bbolt.Tx, a license.Account, then *licenses.Then) (err error) {
		if err := t.load(tx, a); err != nil {
			return err
		}
		if err := in.check(); err != nil {
			return err
		}
		var ok bool
		if then != nil {
			l, ok, err = licenses.LoadLicenseThen(tx, in.Provider, in.License, then)
		} else {
			l, ok, err = licenses.LoadLicense(tx, in.Provider, in.License)
		}
		if err == nil && !ok {
			err = notFound("provider %q has no license %q", in.Provider, in.License)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &read[api.License]{position, s.licenseRow(t, &l, now)}, nil
}

func (s *server) licenseRows(t terms, found []events.License, at time.Time) []api.License {
	rows := make([]api.License, len(found))
	for i := range found {
		rows[i] = s.licenseRow(t, &found[i], at)
	}
	return rows
}

// licenseRow is a license as the grid shows it at a time.
func (s *server) licenseRow(t terms, l *events.License, at time.Time) api.License {
	row := api.License{
		ID: l.ID, LicenseType: l.Type, Company: licenses.CompanyOf(l),
		Status: string(l.Status), Assigned: l.Assigned, AutoRenew: l.AutoRenew,
		ValidUntil: validUntil(l).String(), ExpiresAt: l.ExpiresAt, Currency: t.currency, Actions: actions(l),
	}
	typ, _ := t.catalogs.Type(events.MonthOf(at), l.Type)
	price, _ := catalog.Price(typ, t.currency)
	row.Price = price.String()
	if l.Assigned || !l.Status.InForce() && l.Assignee.ID != "" {
		row.Assignee = s.assignee(t.provider, l.Assignee)
	}
	return row
}

// validUntil is the last date on which a license is, or was, valid: a release ends it within its day, what runs out by
// itself ends at its instant (domain D2, D3).
func validUntil(l *events.License) events.Date {
	if l.Status == events.Released {
		return events.DateOf(l.ExpiresAt)
	}
	return events.LastDateBefore(l.ExpiresAt)
}

// actions are what the state of a license allows.
func actions(l *events.License) []string {
	toggle := api.ActionAutoRenewOn
	if l.AutoRenew {
		toggle = api.ActionAutoRenewOff
	}
	switch {
	case l.Status == events.Trial:
		return []string{api.ActionChange, api.ActionRelease, toggle}
	case l.Status == events.Paid && l.Assigned:
		return []string{api.ActionUnassign, api.ActionChange, api.ActionRelease, toggle}
	case l.Status == events.Paid:
		return []string{api.ActionAllocate, api.ActionRelease, toggle}
	case l.Assignee.ID != "": // a new one can follow it for whom it served (domain L9)
		return []string{api.ActionRenew}
	}
	return []string{}
}

// assignee is whom a license serves, with the id that the caller knows; of somebody who was erased the pseudonym is left.
func (s *server) assignee(provider string, a events.Assignee) *api.Assignee {
	row := &api.Assignee{Kind: string(a.Kind), ID: a.ID}
	if a.Kind.Person() {
		if id, _, ok := s.Names.Reveal(provider, a.ID); ok {
			row.ID = id
		}
	}
	return row
}

func licenseCells(l api.License) []string {
	var a api.Assignee
	if l.Assignee != nil {
		a = *l.Assignee
	}
	return []string{
		l.ID, text(l.LicenseType), text(l.Company), a.Kind, text(a.ID), l.Status, strconv.FormatBool(l.Assigned), strconv.FormatBool(l.AutoRenew),
		l.ValidUntil, instant(l.ExpiresAt), l.Price, l.Currency, strings.Join(l.Actions, " "),
	}
}
