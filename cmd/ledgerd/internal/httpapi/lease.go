package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
	register(s, call{
		method: "GET", path: keysPath + "/{key}/lease", id: "get-key-lease", summary: "What a key allows offline", tag: "Leases",
		about:  "A signed lease of one key, for an instance that it was activated on, or, without one, of the key as such.",
		anyone: true, present: true, codes: []api.Code{api.CodePermissionDenied, api.CodeKeyNotActivated},
	}, s.keyLease)
	register(s, call{
		method: "GET", path: "/providers/{provider}/instances/{instance}/lease", id: "get-instance-lease", summary: "What an instance may do offline", tag: "Leases",
		about:  "A signed lease of all its keys, or of its trial. An instance may ask for its own.",
		anyone: true, present: true, codes: []api.Code{api.CodePermissionDenied},
	}, s.instanceLease)
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

type keyLeaseIn struct {
	KeyPath
	api.KeyLeaseQuery
}

func (s *server) keyLease(ctx context.Context, in *keyLeaseIn) (*leased, error) {
	if err := s.allowKey(ctx, in.KeyPath, true, auth.ManageLicenses, auth.ActivateKeys); err != nil {
		return nil, err
	}
	viewer, err := viewerOf(ctx, in.Instance)
	if err != nil {
		return nil, err
	}
	return s.lease(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account, issued lease.Claims, now time.Time) (lease.Claims, error) {
		issued.Subject = "key:" + in.Key
		if _, err := findKey(tx, in.KeyPath); err != nil {
			return issued, err
		}
		if viewer != "" {
			issued.Subject = "instance:" + viewer
			if i, _, err := licenses.LoadInstance(tx, in.Provider, viewer); err != nil {
				return issued, err
			} else if !i.Has(in.Key) {
				return issued, api.NewProblem(api.CodeKeyNotActivated, fmt.Sprintf("key %s was not activated on instance %q", in.Key, viewer))
			}
		}
		keys, err := s.leasedKeys(tx, in.Provider, []string{in.Key}, now)
		return license.LeaseOfKeys(issued, keys, now), err
	})
}

type instanceLeaseIn struct {
	ProviderPath
	Instance string `path:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1"`
	api.ReadOptions
}

func (s *server) instanceLease(ctx context.Context, in *instanceLeaseIn) (*leased, error) {
	if err := auth.AllowRead(requestOf(ctx).who, in.Provider, auth.Instance(in.Instance), auth.ManageLicenses, auth.ActivateKeys); err != nil {
		return nil, err
	}
	return s.lease(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account, issued lease.Claims, now time.Time) (lease.Claims, error) {
		issued.Subject = "instance:" + in.Instance
		i, ok, err := licenses.LoadInstance(tx, in.Provider, in.Instance)
		if err == nil && !ok {
			err = notFound("provider %q has no instance %q: start its trial, or activate a key on it", in.Provider, in.Instance)
		}
		if err != nil {
			return issued, err
		}
		keys, err := s.leasedKeys(tx, in.Provider, i.Keys, now)
		return license.LeaseOfInstance(issued, &i, keys, now), err
	})
}

// leasedKeys are keys as leases have them, with their users in words that only those understand who know the users.
func (s *server) leasedKeys(tx *bbolt.Tx, provider string, ids []string, now time.Time) ([]lease.LeasedKey, error) {
	var keys []lease.LeasedKey
	for _, id := range ids {
		k, _, err := licenses.LoadKey(tx, provider, id)
		if err != nil {
			return nil, err
		}
		seats, err := licenses.Seats(tx, provider, id, "", 0)
		if err != nil {
			return nil, err
		}
		var users []string
		for i := range seats {
			if user, _, ok := s.Names.Reveal(provider, seats[i].User); ok { // who was erased is known to nobody
				users = append(users, lease.UserID(id, user))
			}
		}
		slices.Sort(users)
		keys = append(keys, license.LeasedKey(&k.Key, users, now))
	}
	return keys, nil
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
