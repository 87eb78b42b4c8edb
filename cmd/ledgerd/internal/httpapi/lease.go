package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) leases() {
	register(s, call{
		method: "GET", path: "/providers/{provider}/endpoints/{endpoint}/lease", id: "get-endpoint-lease", summary: "What an endpoint may do offline", tag: "Leases",
		about: "A signed lease (a JWT, verified with /.well-known/jwks.json) and its claims. Leases are made as they are asked for, and recorded nowhere. " +
			"An agent may ask for that of its own endpoint.",
		anyone: true, present: true, codes: []api.Code{api.CodePermissionDenied},
	}, s.endpointLease)
}

// leased is the answer to a lease: it is the caller's alone.
type leased struct {
	Position *uint64 `header:"Ledger-Position" doc:"number of the last entry that the answer has seen"`
	Cache    string  `header:"Cache-Control" doc:"no-store"`
	Body     api.Lease
}

// lease signs what fn finds in the licenses view that a subject of a provider may do. fn gets claims that are issued, and
// completes them.
func (s *server) lease(ctx context.Context, provider string, after uint64, fn func(tx *bbolt.Tx, a license.Account, issued lease.Claims, now time.Time) (lease.Claims, error)) (*leased, error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	now = events.Stamp(now)
	out := &leased{Cache: "no-store"}
	out.Position, err = s.inProvider(ctx, provider, after, func(tx *bbolt.Tx, a license.Account) error {
		system, err := licenses.LoadLedger(tx)
		if err != nil {
			return err
		}
		issued := lease.Claims{Provider: provider}
		issued.Issue(system.Ledger, now, s.Leases.Offline())
		out.Body.Claims, err = fn(tx, a, issued, now)
		return err
	})
	if err == nil {
		out.Body.Text, err = s.Leases.Sign(out.Body.Claims, now)
	}
	return out, err
}

type endpointLeaseIn struct {
	ProviderPath
	Endpoint string `path:"endpoint" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"pc-17"`
	api.ReadOptions
}

func (s *server) endpointLease(ctx context.Context, in *endpointLeaseIn) (*leased, error) {
	if err := auth.AllowRead(requestOf(ctx).who, in.Provider, auth.Agent(in.Endpoint), auth.ManageLicenses); err != nil {
		return nil, err
	}
	return s.lease(ctx, in.Provider, in.After, func(tx *bbolt.Tx, a license.Account, issued lease.Claims, now time.Time) (lease.Claims, error) {
		_, ok, err := licenses.LoadEndpoint(tx, in.Provider, in.Endpoint)
		if err == nil && !ok {
			err = notFound("provider %q has no endpoint %q", in.Provider, in.Endpoint)
		}
		if err != nil {
			return issued, err
		}
		held, err := licenses.ByAssignee(tx, in.Provider, events.Assignee{Kind: events.Endpoint, ID: in.Endpoint})
		return license.LeaseOfEndpoint(issued, &a, in.Endpoint, held, now), err
	})
}

// leaseKeys answers without a token: the keys are public.
func (s *server) leaseKeys(w http.ResponseWriter, r *http.Request) {
	now, err := s.now()
	var set lease.KeySet
	if err == nil {
		set, err = s.Leases.Public(now)
	}
	var body []byte
	if err == nil {
		body, err = json.Marshal(set)
	}
	if err != nil {
		s.write(w, s.problem(r.Context(), err))
		return
	}
	w.Header().Set("Content-Type", lease.MediaKeys)
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(append(body, '\n')) // a caller that is gone needs no answer
}
