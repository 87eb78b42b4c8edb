package api

import (
	"context"
	"encoding/json"

	"licenseledger/ledger/lease"
)

// Lease is a signed lease, and what it says: the claims are those of the text, to look at.
type Lease struct {
	Text string `json:"lease" doc:"the signed text, a JWT; the keys are at /.well-known/jwks.json"`
	lease.Claims
}

// EndpointLease is what an endpoint may do while it cannot reach the ledger.
func (c *Client) EndpointLease(ctx context.Context, provider, endpoint string, o ReadOptions) (Lease, error) {
	return get[Lease](ctx, c, o, "providers", provider, "endpoints", endpoint, "lease")
}

// KeyLeaseQuery asks for the lease of a key.
type KeyLeaseQuery struct {
	ReadOptions
	Instance string `query:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1" doc:"whose lease it is"`
}

// KeyLease is what an instance may do by one of its keys while it cannot reach the ledger.
func (c *Client) KeyLease(ctx context.Context, provider, key string, q KeyLeaseQuery) (Lease, error) {
	return get[Lease](ctx, c, q, "providers", provider, "keys", key, "lease")
}

// InstanceLease is what an instance may do by all of its keys, or by its trial, while it cannot reach the ledger.
func (c *Client) InstanceLease(ctx context.Context, provider, instance string, o ReadOptions) (Lease, error) {
	return get[Lease](ctx, c, o, "providers", provider, "instances", instance, "lease")
}

// LeaseKeys is the JWK Set with which leases are verified, as it was sent; see [lease.ParseKeys].
func (c *Client) LeaseKeys(ctx context.Context) ([]byte, error) {
	set, err := do[json.RawMessage](ctx, c, call{method: "GET", outside: true, path: []string{".well-known", "jwks.json"}, accept: lease.MediaKeys})
	return set, err
}
