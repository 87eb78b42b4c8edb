package api

import (
	"context"
	"iter"
)

// EndpointInstall is the body by which an endpoint says that the agent was installed on it, or that its name or its
// sockets changed.
type EndpointInstall struct {
	Company     string `json:"company,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"globex" doc:"may be absent once the endpoint is known"`
	Endpoint    string `json:"endpoint" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"pc-17" doc:"the machine's id, unique within the provider"`
	Name        string `json:"name,omitempty" maxLength:"256" doc:"for display"`
	LicenseType string `json:"license_type,omitempty" example:"server" doc:"the type that the agent needs; the first time, its trial begins. Absent: only name and sockets are updated"`
	Sockets     int    `json:"sockets,omitempty" minimum:"1" maximum:"1024" doc:"of a virtualization host"`
}

// EndpointInstalled is the answer to it. License is nil where the trial is used up and the company allocates by hand.
type EndpointInstalled struct {
	License *License `json:"license" doc:"the license of the type that serves the endpoint, or null: none was asked for, or none does, and a notice says so"`
	Receipt
	Preview
}

// Endpoint is a machine with the backup agent.
type Endpoint struct {
	ID      string `json:"id" example:"pc-17"`
	Company string `json:"company" example:"globex"`
	Name    string `json:"name,omitempty" doc:"for display"`
	Sockets int    `json:"sockets,omitempty"`
}

// EndpointMove is the body that moves an endpoint to another company.
type EndpointMove struct {
	Company string `json:"company" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"globex"`
}

// EndpointAnswer is the endpoint after a change.
type EndpointAnswer struct {
	Endpoint
	Receipt
	Preview
}

// EndpointReleased is the answer to the release of an endpoint.
type EndpointReleased struct {
	Licenses []License `json:"licenses" doc:"what was released with it"`
	Receipt
	Preview
}

// EndpointQuery asks for endpoints.
type EndpointQuery struct {
	ReadOptions
	PageOptions
	Company string `query:"company" example:"globex"`
}

// EndpointPage is a page of endpoints.
type EndpointPage struct {
	Endpoints  []Endpoint `json:"endpoints"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// InstallEndpoint tells that the agent was installed; again, that name or sockets changed.
func (c *Client) InstallEndpoint(ctx context.Context, provider string, body EndpointInstall, o ChangeOptions) (EndpointInstalled, error) {
	return change[EndpointInstalled](ctx, c, "POST", body, o, "providers", provider, "endpoints")
}

// Endpoint is one endpoint.
func (c *Client) Endpoint(ctx context.Context, provider, endpoint string, o ReadOptions) (Endpoint, error) {
	return get[Endpoint](ctx, c, o, "providers", provider, "endpoints", endpoint)
}

// Endpoints is a page of endpoints.
func (c *Client) Endpoints(ctx context.Context, provider string, q EndpointQuery) (EndpointPage, error) {
	return get[EndpointPage](ctx, c, q, "providers", provider, "endpoints")
}

// AllEndpoints are the endpoints of all pages.
func (c *Client) AllEndpoints(ctx context.Context, provider string, q EndpointQuery) iter.Seq2[Endpoint, error] {
	return all(ctx, c, q, func(p EndpointPage) ([]Endpoint, string) { return p.Endpoints, p.NextCursor }, "providers", provider, "endpoints")
}

// MoveEndpoint moves an endpoint to another company; today is billed to the old one.
func (c *Client) MoveEndpoint(ctx context.Context, provider, endpoint string, body EndpointMove, o ChangeOptions) (EndpointAnswer, error) {
	return change[EndpointAnswer](ctx, c, "POST", body, o, "providers", provider, "endpoints", endpoint, "move")
}

// ReleaseEndpoint releases the endpoint's licenses.
func (c *Client) ReleaseEndpoint(ctx context.Context, provider, endpoint string, o ChangeOptions) (EndpointReleased, error) {
	return change[EndpointReleased](ctx, c, "DELETE", nil, o, "providers", provider, "endpoints", endpoint)
}
