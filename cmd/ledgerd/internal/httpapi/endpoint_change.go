package httpapi

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// EndpointPath is exported because huma looks into exported fields only.
type EndpointPath struct {
	ProviderPath
	Endpoint string `path:"endpoint" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"pc-17"`
}

func (s *server) endpointChanges() {
	const path, tag = "/providers/{provider}/endpoints", "Endpoints"
	register(s, call{
		method: "POST", path: path, id: "install-endpoint", summary: "The agent was installed", tag: tag,
		about: "The first time its trial of the type begins. After it, the license in force is answered; where there is none, a company that " +
			"allocates automatically gets one allocated, for which the caller needs the permission to buy if it has to be bought, and in a manual " +
			"company `license` is null and a notice says so. Installing again updates name and sockets.",
		allow: []string{auth.ManageLicenses}, creates: true,
		codes: []api.Code{api.CodeTypeNotAllowed},
	}, s.installEndpoint)
	register(s, call{
		method: "POST", path: path + "/{endpoint}/move", id: "move-endpoint", summary: "Move an endpoint to another company", tag: tag,
		about: "Its licenses go with it. Today is billed to the old company.",
		allow: []string{auth.ManageLicenses},
		codes: []api.Code{api.CodeTypeNotAllowed},
	}, s.moveEndpoint)
	register(s, call{
		method: "DELETE", path: path + "/{endpoint}", id: "delete-endpoint", summary: "Release all that an endpoint holds, and forget it", tag: tag,
		about: "The day of the release is billed.",
		allow: []string{auth.ManageLicenses},
	}, s.deleteEndpoint)
}

type installEndpointIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.EndpointInstall
}

func (s *server) installEndpoint(ctx context.Context, in *installEndpointIn) (*changed[api.EndpointInstalled], error) {
	if err := checkText("body.name", in.Body.Name); err != nil {
		return nil, err
	}
	known, err := s.known(ctx, in.Provider, func(tx *bbolt.Tx) (bool, error) {
		_, ok, err := licenses.LoadEndpoint(tx, in.Provider, in.Body.Endpoint)
		return ok, err
	})
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Install{
		Endpoint: in.Body.Endpoint, Company: in.Body.Company, Name: in.Body.Name, Type: in.Body.LicenseType, Sockets: in.Body.Sockets,
	})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer := api.EndpointInstalled{Receipt: receiptOf(receipt, in.ChangeOptions)}
	serves := events.Assignee{Kind: events.Endpoint, ID: in.Body.Endpoint}
	l := lastOf(receipt, func(l *events.License) bool {
		return l.Serving() && l.Type == in.Body.LicenseType && l.Assignee == serves
	})
	if l == nil { // what serves it did so before
		if l, err = s.serving(ctx, in.Provider, receipt, t, serves, in.Body.LicenseType); err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	if l != nil {
		answer.License = new(s.licenseRow(t, l, receipt.Time))
	}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, costs); err != nil {
			return nil, err
		}
	}
	return &changed[api.EndpointInstalled]{status(!known && !receipt.Duplicate, in.ChangeOptions), answer}, nil
}

// lastOf is the last state in which a command's events leave a license that fits, nil if none does.
func lastOf(r ledger.Receipt, fits func(*events.License) bool) *events.License {
	for _, e := range slices.Backward(r.Events) {
		if l := events.LicenseAfter(e.Data); l != nil && fits(l) {
			return l
		}
	}
	return nil
}

// serving is the license in force by which an assignee is served with a type: one of it, or one that includes it; nil if there is none.
func (s *server) serving(ctx context.Context, provider string, receipt ledger.Receipt, t terms, a events.Assignee, licenseType string) (found *events.License, err error) {
	c, _, _ := t.catalogs.At(events.MonthOf(receipt.Time))
	_, err = s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) error {
		held, err := licenses.ByAssignee(tx, provider, a)
		for i := range held {
			l := &held[i]
			if !l.Serving() {
				continue
			}
			if l.Type == licenseType {
				found = l
				return err
			}
			if slices.ContainsFunc(c.Types, func(t events.Type) bool { return t.ID == l.Type && slices.Contains(t.Includes, licenseType) }) {
				found = l
			}
		}
		return err
	})
	return found, err
}

type moveEndpointIn struct {
	EndpointPath
	api.ChangeOptions
	Body api.EndpointMove
}

func (s *server) moveEndpoint(ctx context.Context, in *moveEndpointIn) (*changed[api.EndpointAnswer], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.MoveEndpoint{Endpoint: in.Endpoint, Company: in.Body.Company})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer := api.EndpointAnswer{Receipt: receiptOf(receipt, in.ChangeOptions)}
	_, err = s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) error {
		e, _, err := licenses.LoadEndpoint(tx, in.Provider, in.Endpoint)
		answer.Endpoint = endpointRow(&e)
		return err
	})
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer.ID, answer.Company = in.Endpoint, in.Body.Company // of this change, whatever came after it
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, either); err != nil {
			return nil, err
		}
	}
	return &changed[api.EndpointAnswer]{200, answer}, nil
}

type deleteEndpointIn struct {
	EndpointPath
	api.ChangeOptions
}

func (s *server) deleteEndpoint(ctx context.Context, in *deleteEndpointIn) (*changed[api.EndpointReleased], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.RemoveEndpoint{Endpoint: in.Endpoint})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	if first[*events.EndpointRemoved](receipt) == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a removal without its event"))
	}
	answer := api.EndpointReleased{Licenses: []api.License{}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	for _, e := range receipt.Events {
		if released, ok := e.Data.(*events.LicenseReleased); ok {
			answer.Licenses = append(answer.Licenses, s.licenseRow(t, &released.License, receipt.Time))
		}
	}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, saves); err != nil {
			return nil, err
		}
	}
	return &changed[api.EndpointReleased]{200, answer}, nil
}
