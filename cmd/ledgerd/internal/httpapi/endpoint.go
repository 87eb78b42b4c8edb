package httpapi

import (
	"context"
	"strconv"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) endpoints() {
	const path, tag = "/providers/{provider}/endpoints", "Endpoints"
	register(s, call{
		method: "GET", path: path + "/{endpoint}", id: "get-endpoint", summary: "An endpoint", tag: tag, allow: []string{auth.ManageLicenses},
	}, s.getEndpoint)
	list(s, listing[endpointsIn, api.Endpoint, api.EndpointPage]{
		call: call{
			method: "GET", path: path, id: "list-endpoints", summary: "The endpoints of a provider", tag: tag,
			about: "With a company, a page may be shorter than limit, even empty, and still have a next one.",
			allow: []string{auth.ManageLicenses},
		},
		options: func(in *endpointsIn) api.PageOptions { return in.PageOptions },
		order:   "id",
		open:    s.listEndpoints,
		page: func(rows []api.Endpoint, next string) api.EndpointPage {
			return api.EndpointPage{Endpoints: rows, NextCursor: next}
		},
		columns: []string{"id", "company", "name", "sockets"},
		cells: func(e api.Endpoint) []string {
			return []string{text(e.ID), text(e.Company), text(e.Name), strconv.Itoa(e.Sockets)}
		},
	})
}

func endpointRow(e *events.EndpointSet) api.Endpoint {
	return api.Endpoint{ID: e.Endpoint, Company: e.Company, Name: e.Name, Sockets: e.Sockets}
}

type getEndpointIn struct {
	ProviderPath
	Endpoint string `path:"endpoint" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"pc-17"`
	api.ReadOptions
}

func (s *server) getEndpoint(ctx context.Context, in *getEndpointIn) (*read[api.Endpoint], error) {
	out := &read[api.Endpoint]{}
	var err error
	out.Position, err = s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
		e, ok, err := licenses.LoadEndpoint(tx, in.Provider, in.Endpoint)
		if err == nil && !ok {
			err = notFound("provider %q has no endpoint %q", in.Provider, in.Endpoint)
		}
		out.Body = endpointRow(&e)
		return err
	})
	return out, err
}

type endpointsIn struct {
	ProviderPath
	api.EndpointQuery
}

// endpointsLooked bounds how many endpoints one page looks at in search of a company's.
const endpointsLooked = 10_000

func (s *server) listEndpoints(_ context.Context, in *endpointsIn) (pager[api.Endpoint], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Endpoint], error) {
		var p page[api.Endpoint]
		chunk := limit + 1
		if in.Company != "" {
			chunk = api.MaxLimit
		}
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
			for looked := 0; ; {
				found, err := licenses.Endpoints(tx, in.Provider, after, chunk)
				if err != nil {
					return err
				}
				for i := range found {
					after = found[i].Endpoint
					if in.Company != "" && found[i].Company != in.Company {
						continue
					}
					p.rows = append(p.rows, endpointRow(&found[i]))
					if len(p.rows) > limit {
						p = cut(p.rows, limit, func(e api.Endpoint) string { return e.ID }, nil)
						return nil
					}
				}
				if len(found) < chunk {
					return nil
				}
				if looked += len(found); looked >= endpointsLooked {
					p.next = after
					return nil
				}
			}
		})
		p.position = position
		return p, err
	}, nil
}
