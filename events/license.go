package events

import "time"

// Status is the state of a license (domain, section 4).
type Status string

// States of a license.
const (
	Trial    Status = "trial"
	Paid     Status = "paid"
	Expired  Status = "expired"
	Released Status = "released"
)

// InForce says whether a license in this state serves its assignee.
func (s Status) InForce() bool { return s == Trial || s == Paid }

// AssigneeKind says what a license serves.
type AssigneeKind string

// Kinds of assignees.
const (
	Endpoint      AssigneeKind = "endpoint"
	Administrator AssigneeKind = "administrator"
	DomainUser    AssigneeKind = "domain-user"
	Domain        AssigneeKind = "domain"
	Branding      AssigneeKind = "branding"
)

// Person says whether ids of this kind are pseudonyms in the log (domain U4).
func (k AssigneeKind) Person() bool { return k == Administrator || k == DomainUser }

// Assignee is whom a license serves.
type Assignee struct {
	Kind AssigneeKind `json:"kind"`
	ID   string       `json:"id"`
}

// License is a license as it stands after an event.
type License struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Status Status `json:"status"`
	// Pool is the company in whose pool the license is when it serves nobody; empty: the provider's global pool.
	Pool string `json:"pool,omitempty"`
	// Company and Assignee name whom it serves; while Assigned is false, whom it served last.
	Company  string   `json:"company,omitempty"`
	Assigned bool     `json:"assigned,omitempty"`
	Assignee Assignee `json:"assignee,omitzero"`
	// AutoRenew says whether it goes on at the end of the month, or of its trial (domain L2, L8).
	AutoRenew bool      `json:"auto_renew"`
	Created   time.Time `json:"created"`
	// ExpiresAt is the exclusive end of the month, trial or grace it runs in; once expired or released, when that happened.
	ExpiresAt time.Time `json:"expires_at"`
	// BilledFrom is the first day billed where an earlier license of the same assignee carries the days before (domain L6).
	BilledFrom Date `json:"billed_from,omitzero"`
}

// Serving says whether the license is in force and assigned: it counts as used.
func (l *License) Serving() bool { return l.Assigned && l.Status.InForce() }

// Billable says whether this state of the license costs: paid and assigned (domain D2, L5).
func (l *License) Billable() bool { return l.Assigned && l.Status == Paid }

// LicenseBought creates a paid license in a pool (domain L3).
type LicenseBought struct {
	License License `json:"license"`
}

// Source says where an allocated license came from (domain L4).
type Source string

// Sources of an allocated license.
const (
	FromCompanyPool Source = "company-pool"
	FromGlobalPool  Source = "global-pool"
	BoughtOnTheSpot Source = "bought"
	ByID            Source = "by-id"
)

// LicenseAllocated gives a free license to an assignee (domain L4).
type LicenseAllocated struct {
	Source  Source  `json:"source"`
	License License `json:"license"`
}

// LicenseReleased ends a license for good (domain L7).
type LicenseReleased struct {
	License License `json:"license"`
}

// LicenseRenewed takes a paid license into the next month (domain L9).
type LicenseRenewed struct {
	License License `json:"license"`
}

// LicenseExpired says that a license ran out (domain L2, L8, L9, L10).
type LicenseExpired struct {
	Reason  ExpiryReason `json:"reason"`
	License License      `json:"license"`
}

// ExpiryReason says why a license ran out.
type ExpiryReason string

// Reasons of an expiry.
const (
	AutoRenewOff    ExpiryReason = "auto-renew-off"
	NoPaymentMethod ExpiryReason = "no-payment-method"
)

// Kind is "license.bought.v1".
func (*LicenseBought) Kind() string { return "license.bought.v1" }

// Kind is "license.allocated.v1".
func (*LicenseAllocated) Kind() string { return "license.allocated.v1" }

// Kind is "license.released.v1".
func (*LicenseReleased) Kind() string { return "license.released.v1" }

// Kind is "license.renewed.v1".
func (*LicenseRenewed) Kind() string { return "license.renewed.v1" }

// Kind is "license.expired.v1".
func (*LicenseExpired) Kind() string { return "license.expired.v1" }

// LicenseAfter gives the license as it stands after an event, or nil where the event is not about a license.
func LicenseAfter(d Data) *License {
	switch d := d.(type) {
	case *LicenseBought:
		return &d.License
	case *LicenseAllocated:
		return &d.License
	case *LicenseReleased:
		return &d.License
	case *LicenseRenewed:
		return &d.License
	case *LicenseExpired:
		return &d.License
	}
	return nil
}
