package api

import (
	"context"
	"iter"
	"time"
)

// Permissions of an administrator.
const (
	PermissionManageLicenses = "licenses.manage"
	PermissionBuyLicenses    = "licenses.buy"
	PermissionActivateKeys   = "keys.activate"
	PermissionUsageHistory   = "usage.history"
)

// How a company gets licenses, and from which pool.
const (
	AllocationAutomatic = "automatic" // bought on the spot where none is free
	AllocationManual    = "manual"

	PoolGlobal  = "global" // the company's own pool first, then the provider's
	PoolCompany = "company"
)

// ProviderSettings is the body that creates or updates a provider. The currency is fixed at creation.
type ProviderSettings struct {
	Name     string `json:"name,omitempty" maxLength:"256" doc:"for display; absent: the id"`
	Currency string `json:"currency,omitempty" pattern:"^[A-Z]{3}$" example:"USD" doc:"ISO 4217; cannot be changed later. Absent: USD for a new provider"`
}

// Provider is an organization that buys licenses and pays.
type Provider struct {
	ID string `json:"id" example:"acme"`
	ProviderSettings
}

// ProviderAnswer is the provider after a change.
type ProviderAnswer struct {
	Provider
	Receipt
}

// ProviderPage is a page of providers.
type ProviderPage struct {
	Providers  []Provider `json:"providers"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// CompanySettings is the body that creates or updates a company. What is absent gets its default.
type CompanySettings struct {
	Name         string   `json:"name,omitempty" maxLength:"256" doc:"for display; absent: the id"`
	Allocation   string   `json:"allocation,omitempty" default:"manual" enum:"automatic,manual" doc:"automatic: a license is bought on the spot where none is free"`
	Pool         string   `json:"pool,omitempty" default:"global" enum:"global,company" doc:"global: the provider's pool too, after the company's own"`
	AllowedTypes []string `json:"allowed_types,omitzero" example:"server,desktop" doc:"license types that the company may use; absent or empty: all"`
	Metered      []string `json:"metered,omitempty" example:"backup-storage" doc:"metered license types that the company switched on"`
	ExternalID   string   `json:"external_id,omitempty" maxLength:"256" doc:"the company's id in another system"`
}

// Company is a customer of a provider.
type Company struct {
	ID string `json:"id" example:"globex"`
	CompanySettings
}

// CompanyAnswer is the company after a change.
type CompanyAnswer struct {
	Company
	Receipt
	Preview
}

// CompanyPage is a page of companies.
type CompanyPage struct {
	Companies  []Company `json:"companies"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// AdministratorSettings is the body that creates or updates an administrator.
type AdministratorSettings struct {
	Name        string   `json:"name,omitempty" maxLength:"256" doc:"for display; absent: none. It stands beside the ledger and can be erased, the administrator stays"`
	Permissions []string `json:"permissions,omitzero" enum:"licenses.manage,licenses.buy,keys.activate,usage.history"`
}

// Administrator is a person of a provider.
type Administrator struct {
	ID string `json:"id" example:"ann"`
	AdministratorSettings
}

// AdministratorAnswer is the administrator after a change.
type AdministratorAnswer struct {
	Administrator
	Receipt
}

// AdministratorPage is a page of administrators.
type AdministratorPage struct {
	Administrators []Administrator `json:"administrators"`
	NextCursor     string          `json:"next_cursor,omitempty"`
}

// TokenIssue is the body that asks for a token.
type TokenIssue struct {
	Subject string `json:"subject" pattern:"^(provider|(administrator|auditor|agent|instance):[A-Za-z0-9_-]{1,64})$" example:"agent:pc-17" doc:"who will show it: provider, administrator:ann, auditor:eve, agent:pc-17 or instance:srv-1"`
}

// Token is what the ledger remembers of a token: not the token.
type Token struct {
	ID       string    `json:"id" doc:"by which it is revoked"`
	Subject  string    `json:"subject" example:"agent:pc-17"`
	IssuedAt time.Time `json:"issued_at,omitzero"`
}

// TokenAnswer has the token itself, which is shown once: when the same change is answered again, Secret is empty, and
// the token has to be revoked and issued anew.
type TokenAnswer struct {
	Token
	Secret string `json:"token,omitempty" doc:"what is sent as Authorization: Bearer; shown once"`
	Receipt
}

// TokenRevoked is the answer to the end of a token, which from then on is not known.
type TokenRevoked struct {
	ID string `json:"id"`
	Receipt
}

// TokenPage is a page of tokens.
type TokenPage struct {
	Tokens     []Token `json:"tokens"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// PutProvider creates or updates a provider.
func (c *Client) PutProvider(ctx context.Context, provider string, body ProviderSettings, o ChangeOptions) (ProviderAnswer, error) {
	return change[ProviderAnswer](ctx, c, "PUT", body, o, "providers", provider)
}

// Provider is one provider.
func (c *Client) Provider(ctx context.Context, provider string, o ReadOptions) (Provider, error) {
	return get[Provider](ctx, c, o, "providers", provider)
}

// Providers is a page of providers.
func (c *Client) Providers(ctx context.Context, q ListQuery) (ProviderPage, error) {
	return get[ProviderPage](ctx, c, q, "providers")
}

// AllProviders are the providers of all pages.
func (c *Client) AllProviders(ctx context.Context, q ListQuery) iter.Seq2[Provider, error] {
	return all(ctx, c, q, func(p ProviderPage) ([]Provider, string) { return p.Providers, p.NextCursor }, "providers")
}

// PutCompany creates or updates a company.
func (c *Client) PutCompany(ctx context.Context, provider, company string, body CompanySettings, o ChangeOptions) (CompanyAnswer, error) {
	return change[CompanyAnswer](ctx, c, "PUT", body, o, "providers", provider, "companies", company)
}

// Company is one company.
func (c *Client) Company(ctx context.Context, provider, company string, o ReadOptions) (Company, error) {
	return get[Company](ctx, c, o, "providers", provider, "companies", company)
}

// Companies is a page of companies.
func (c *Client) Companies(ctx context.Context, provider string, q ListQuery) (CompanyPage, error) {
	return get[CompanyPage](ctx, c, q, "providers", provider, "companies")
}

// AllCompanies are the companies of all pages.
func (c *Client) AllCompanies(ctx context.Context, provider string, q ListQuery) iter.Seq2[Company, error] {
	return all(ctx, c, q, func(p CompanyPage) ([]Company, string) { return p.Companies, p.NextCursor }, "providers", provider, "companies")
}

// PutAdministrator creates or updates an administrator.
func (c *Client) PutAdministrator(ctx context.Context, provider, administrator string, body AdministratorSettings, o ChangeOptions) (AdministratorAnswer, error) {
	return change[AdministratorAnswer](ctx, c, "PUT", body, o, "providers", provider, "administrators", administrator)
}

// Administrator is one administrator.
func (c *Client) Administrator(ctx context.Context, provider, administrator string, o ReadOptions) (Administrator, error) {
	return get[Administrator](ctx, c, o, "providers", provider, "administrators", administrator)
}

// Administrators is a page of administrators.
func (c *Client) Administrators(ctx context.Context, provider string, q ListQuery) (AdministratorPage, error) {
	return get[AdministratorPage](ctx, c, q, "providers", provider, "administrators")
}

// AllAdministrators are the administrators of all pages.
func (c *Client) AllAdministrators(ctx context.Context, provider string, q ListQuery) iter.Seq2[Administrator, error] {
	return all(ctx, c, q, func(p AdministratorPage) ([]Administrator, string) { return p.Administrators, p.NextCursor }, "providers", provider, "administrators")
}

// IssueToken makes a token. Its answer is the only one that shows it.
func (c *Client) IssueToken(ctx context.Context, provider string, body TokenIssue, o ChangeOptions) (TokenAnswer, error) {
	return change[TokenAnswer](ctx, c, "POST", body, o, "providers", provider, "tokens")
}

// Tokens is a page of what is known of the provider's tokens.
func (c *Client) Tokens(ctx context.Context, provider string, q ListQuery) (TokenPage, error) {
	return get[TokenPage](ctx, c, q, "providers", provider, "tokens")
}

// AllTokens are the tokens of all pages.
func (c *Client) AllTokens(ctx context.Context, provider string, q ListQuery) iter.Seq2[Token, error] {
	return all(ctx, c, q, func(p TokenPage) ([]Token, string) { return p.Tokens, p.NextCursor }, "providers", provider, "tokens")
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, provider, id string, o ChangeOptions) (TokenRevoked, error) {
	return change[TokenRevoked](ctx, c, "DELETE", nil, o, "providers", provider, "tokens", id)
}
