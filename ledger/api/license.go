package api

import (
	"context"
	"io"
	"iter"
	"time"
)

// Statuses of a license.
const (
	StatusTrial    = "trial"
	StatusPaid     = "paid"
	StatusExpired  = "expired"
	StatusReleased = "released"
	StatusUsed     = "used" // only as a filter: trial or paid, and assigned
)

// Kinds of assignees.
const (
	KindEndpoint      = "endpoint"
	KindAdministrator = "administrator"
	KindDomainUser    = "domain-user"
	KindDomain        = "domain"
	KindBranding      = "branding"
)

// What can be done with a license; the first two and release also with a group of them.
const (
	ActionAutoRenewOn  = "auto-renew-on"
	ActionAutoRenewOff = "auto-renew-off"
	ActionRelease      = "release"
	ActionAllocate     = "allocate"
	ActionUnassign     = "unassign"
	ActionChange       = "change"
	ActionRenew        = "renew"
)

// Assignee is whom a license serves.
type Assignee struct {
	Kind string `json:"kind" enum:"endpoint,administrator,domain-user,domain,branding"`
	ID   string `json:"id" minLength:"1" maxLength:"256" example:"pc-17" doc:"of endpoints and administrators at most 64 letters, digits, _ and -; otherwise free text"`
}

// License is a row of the grid.
type License struct {
	ID          string    `json:"id" example:"01JPB2Z8Q0T3W6X9YAMC5D7E8F" doc:"a ULID"`
	LicenseType string    `json:"license_type" example:"server"`
	Company     string    `json:"company,omitempty" example:"globex" doc:"whose it is; absent: the global pool"`
	Assignee    *Assignee `json:"assignee,omitempty" doc:"whom it serves, or, when it is expired or released, served last; absent: nobody"`
	Status      string    `json:"status" enum:"trial,paid,expired,released"`
	Assigned    bool      `json:"assigned"`
	AutoRenew   bool      `json:"auto_renew"`
	ValidUntil  string    `json:"valid_until,omitempty" format:"date" example:"2026-03-31" doc:"the last valid date"`
	ExpiresAt   time.Time `json:"expires_at,omitzero" doc:"the instant from which it is no longer valid"`
	Price       string    `json:"price" format:"decimal" example:"6.99" doc:"per unit and month"`
	Currency    string    `json:"currency" example:"USD"`
	Actions     []string  `json:"actions" enum:"auto-renew-on,auto-renew-off,release,allocate,unassign,change,renew" doc:"what can be done with it now"`
}

// LicenseFilter selects licenses; what is empty selects all.
type LicenseFilter struct {
	Company     string `query:"company" json:"company,omitempty" example:"globex"`
	LicenseType string `query:"license_type" json:"license_type,omitempty" example:"server"`
	Status      string `query:"status" json:"status,omitempty" enum:"trial,paid,expired,released,used" doc:"used: trial or paid, and assigned"`
	Month       string `query:"month" json:"month,omitempty" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-03" doc:"those in force in it, as at its end"`
	Q           string `query:"q" json:"q,omitempty" maxLength:"256" doc:"words, each the beginning of a word of the row"`
}

// LicenseQuery asks for a page of the grid.
type LicenseQuery struct {
	ReadOptions
	PageOptions
	LicenseFilter
}

// LicensePage is a page of the grid.
type LicensePage struct {
	Licenses   []License `json:"licenses"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// CountersQuery asks for the counters above the grid.
type CountersQuery struct {
	ReadOptions
	LicenseFilter
}

// Counters count the licenses that the filter selects.
type Counters struct {
	All         int `json:"all"`
	ActiveTrial int `json:"active_trial"`
	Paid        int `json:"paid"`
	Released    int `json:"released"`
	Used        int `json:"used" doc:"trial or paid, and assigned"`
}

// LicenseBuy is the body that buys licenses.
type LicenseBuy struct {
	LicenseType string `json:"license_type" example:"server"`
	Quantity    int    `json:"quantity" minimum:"1" example:"5"`
	Company     string `json:"company,omitempty" example:"globex" doc:"into whose pool; absent: the global one"`
	AutoRenew   *bool  `json:"auto_renew,omitempty" default:"true"`
}

// LicensesBought is the answer to it.
type LicensesBought struct {
	Licenses []License `json:"licenses"`
	Receipt
	Preview
}

// LicenseAllocate is the body that gives a license to an assignee: either this license, or a free one of the type.
type LicenseAllocate struct {
	License     string   `json:"license,omitempty" doc:"id of a license; otherwise license_type"`
	LicenseType string   `json:"license_type,omitempty" example:"server" doc:"from the company's pool, then the global one, then, where allocation is automatic, bought"`
	Company     string   `json:"company,omitempty" example:"globex" doc:"optional for administrators and brandings"`
	Assignee    Assignee `json:"assignee"`
}

// LicenseAnswer is the license after a change.
type LicenseAnswer struct {
	License License `json:"license"`
	Receipt
	Preview
}

// LicenseChange is the body that changes a license to another type.
type LicenseChange struct {
	LicenseType string `json:"license_type" example:"ultimate"`
}

// LicenseChanged is the answer to it.
type LicenseChanged struct {
	License License `json:"license" doc:"the new one, which serves at once"`
	Closed  License `json:"closed" doc:"the old one, released"`
	Receipt
	Preview
}

// AutoRenew is the body that switches the renewal of a license.
type AutoRenew struct {
	Enabled bool `json:"enabled"`
}

// LicenseGroup is the body that does the same to many licenses: the named ones, or those that the filter selects.
type LicenseGroup struct {
	Action   string         `json:"action" enum:"auto-renew-on,auto-renew-off,release"`
	Licenses []string       `json:"licenses,omitempty" doc:"ids; otherwise filter"`
	Filter   *LicenseFilter `json:"filter,omitempty" doc:"otherwise licenses"`
}

// GroupAnswer says for each license whether it was done.
type GroupAnswer struct {
	Results []GroupResult `json:"results"`
	Receipt
	Preview
}

// GroupResult is what became of one license of a group.
type GroupResult struct {
	License string `json:"license" doc:"its id"`
	OK      bool   `json:"ok"`
	Code    Code   `json:"code,omitempty" doc:"why not"`
}

// BuyLicenses buys licenses into a pool.
func (c *Client) BuyLicenses(ctx context.Context, provider string, body LicenseBuy, o ChangeOptions) (LicensesBought, error) {
	return change[LicensesBought](ctx, c, "POST", body, o, "providers", provider, "licenses")
}

// Licenses is a page of the grid.
func (c *Client) Licenses(ctx context.Context, provider string, q LicenseQuery) (LicensePage, error) {
	return get[LicensePage](ctx, c, q, "providers", provider, "licenses")
}

// AllLicenses are the licenses of all pages.
func (c *Client) AllLicenses(ctx context.Context, provider string, q LicenseQuery) iter.Seq2[License, error] {
	return all(ctx, c, q, func(p LicensePage) ([]License, string) { return p.Licenses, p.NextCursor }, "providers", provider, "licenses")
}

// LicensesCSV is the grid as CSV; the caller closes it.
func (c *Client) LicensesCSV(ctx context.Context, provider string, q LicenseQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaCSV, q, "providers", provider, "licenses")
}

// License is one license.
func (c *Client) License(ctx context.Context, provider, id string, o ReadOptions) (License, error) {
	return get[License](ctx, c, o, "providers", provider, "licenses", id)
}

// LicenseCounters count the licenses that a filter selects.
func (c *Client) LicenseCounters(ctx context.Context, provider string, q CountersQuery) (Counters, error) {
	return get[Counters](ctx, c, q, "providers", provider, "licenses", "counters")
}

// AllocateLicense gives a license to an assignee.
func (c *Client) AllocateLicense(ctx context.Context, provider string, body LicenseAllocate, o ChangeOptions) (LicenseAnswer, error) {
	return change[LicenseAnswer](ctx, c, "POST", body, o, "providers", provider, "licenses", "allocate")
}

// UnassignLicense puts a license back into its pool.
func (c *Client) UnassignLicense(ctx context.Context, provider, id string, o ChangeOptions) (LicenseAnswer, error) {
	return change[LicenseAnswer](ctx, c, "POST", nil, o, "providers", provider, "licenses", id, "unassign")
}

// ReleaseLicense ends a license; the day of release is billed.
func (c *Client) ReleaseLicense(ctx context.Context, provider, id string, o ChangeOptions) (LicenseAnswer, error) {
	return change[LicenseAnswer](ctx, c, "POST", nil, o, "providers", provider, "licenses", id, "release")
}

// RenewLicense answers the new paid license that follows an expired or released one for the same assignee.
func (c *Client) RenewLicense(ctx context.Context, provider, id string, o ChangeOptions) (LicenseAnswer, error) {
	return change[LicenseAnswer](ctx, c, "POST", nil, o, "providers", provider, "licenses", id, "renew")
}

// ChangeLicense changes a license to another type of the same unit.
func (c *Client) ChangeLicense(ctx context.Context, provider, id string, body LicenseChange, o ChangeOptions) (LicenseChanged, error) {
	return change[LicenseChanged](ctx, c, "POST", body, o, "providers", provider, "licenses", id, "change")
}

// SetAutoRenew switches the renewal of a license.
func (c *Client) SetAutoRenew(ctx context.Context, provider, id string, body AutoRenew, o ChangeOptions) (LicenseAnswer, error) {
	return change[LicenseAnswer](ctx, c, "POST", body, o, "providers", provider, "licenses", id, "auto-renew")
}

// GroupLicenses does the same to many licenses: what is possible is done, each one is answered.
func (c *Client) GroupLicenses(ctx context.Context, provider string, body LicenseGroup, o ChangeOptions) (GroupAnswer, error) {
	return change[GroupAnswer](ctx, c, "POST", body, o, "providers", provider, "licenses", "group")
}
