package api

import "context"

// Catalog is what is sold from a month on, at which prices and under which rules.
type Catalog struct {
	Effective string            `json:"effective" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-05" doc:"the first month; when published, one that has not begun"`
	Minimum   map[string]string `json:"minimum,omitzero" doc:"least charge of a month with any usage, by currency: decimal strings"`
	Types     []LicenseType     `json:"types" minItems:"1" maxItems:"500"`
}

// LicenseType is an entry of the catalog.
type LicenseType struct {
	ID              string            `json:"id" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"server"`
	Family          string            `json:"family" required:"false" maxLength:"64" example:"backup"`
	Unit            string            `json:"unit" minLength:"1" maxLength:"64" example:"endpoint" doc:"per what it is sold"`
	Term            string            `json:"term" enum:"monthly,annual"`
	Prices          map[string]string `json:"prices" doc:"per unit and term, by currency: decimal strings"`
	TrialDays       int               `json:"trial_days" required:"false" minimum:"0" maximum:"366"`
	FreeUnits       int               `json:"free_units" required:"false" minimum:"0" doc:"per provider and day"`
	Policy          string            `json:"policy,omitempty" default:"days-active" enum:"days-active,full-month,peak,metered"`
	Meter           string            `json:"meter" required:"false" maxLength:"64" example:"storage_bytes" doc:"metered: whose readings are billed"`
	Aggregate       string            `json:"aggregate" required:"false" maxLength:"64" doc:"metered: how its readings become a quantity"`
	Includes        []string          `json:"includes,omitzero" doc:"types that whoever holds this one needs no license for"`
	Requires        string            `json:"requires" required:"false" doc:"type that the assignee must hold first, paid"`
	IncludedUnits   int               `json:"included_units" required:"false" minimum:"0" doc:"units of the dependent type, as sockets, that come with it"`
	ReleaseLockDays int               `json:"release_lock_days" required:"false" minimum:"0" doc:"days for which a seat cannot be released"`
	Closed          bool              `json:"closed" required:"false" doc:"no longer sold"`
}

// CatalogQuery asks for a catalog.
type CatalogQuery struct {
	ReadOptions
	Month string `query:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-05" doc:"the one in force in that month; absent: in the running one"`
}

// CatalogAnswer is the catalog that was published.
type CatalogAnswer struct {
	Catalog
	Receipt
}

// Catalog is the catalog in force in a month.
func (c *Client) Catalog(ctx context.Context, q CatalogQuery) (Catalog, error) {
	return get[Catalog](ctx, c, q, "catalog")
}

// PublishCatalog publishes a catalog from a month that has not begun; for the same month again, it replaces the first.
func (c *Client) PublishCatalog(ctx context.Context, body Catalog, o ChangeOptions) (CatalogAnswer, error) {
	return change[CatalogAnswer](ctx, c, "PUT", body, o, "catalog")
}
