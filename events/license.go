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
	// Trialed says that it is or began as a trial: each endpoint has one per type (domain L1).
	Trialed bool `json:"trialed,omitempty"`
	// Announced says that the end of the trial has been announced (domain L2).
	Announced bool `json:"announced,omitempty"`
	// Lapsed says that it expired because a charge had failed, and whether it was assigned then (domain L10).
	Lapsed Lapse `json:"lapsed,omitempty"`
}

// Lapse says how a license stood when it expired because a charge had failed.
type Lapse string

// Lapses.
const (
	LapsedAssigned Lapse = "assigned"
	LapsedFree     Lapse = "free"
)

// NoticeOfTrialEnd is how long before its end a trial's end is announced; at once where the trial is shorter (domain L2).
const NoticeOfTrialEnd = 3 * 24 * time.Hour

// NextDue is when something happens to a license in force by itself: its end, or before it the announcement of its trial's end.
func (l *License) NextDue() time.Time {
	if l.Status == Trial && !l.Announced {
		if t := l.ExpiresAt.Add(-NoticeOfTrialEnd); t.After(l.Created) {
			return t
		}
		return l.Created
	}
	return l.ExpiresAt
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
	Renewed         Source = "renewed" // follows an expired or released license of the same assignee (domain L9)
)

// LicenseAllocated gives a free license to an assignee (domain L4).
type LicenseAllocated struct {
	Source Source `json:"source"`
	// Follows is the license that this one follows, where it was renewed by hand.
	Follows string  `json:"follows,omitempty"`
	License License `json:"license"`
}

// LicenseTrialStarted begins a trial for an endpoint (domain L1).
type LicenseTrialStarted struct {
	License License `json:"license"`
}

// LicenseConverted turns a trial into a paid license, at its end (domain L2).
type LicenseConverted struct {
	License License `json:"license"`
}

// LicenseTrialEnding announces the end of a trial: what becomes billable then, and what it will cost (domain L2). Where
// it will not go on, WillConvert is false.
type LicenseTrialEnding struct {
	WillConvert bool    `json:"will_convert"`
	Price       Money   `json:"price"`  // per month
	Charge      Money   `json:"charge"` // for the days from the trial's end to the end of that month
	Currency    string  `json:"currency"`
	License     License `json:"license"`
}

// LicenseUnassigned takes a license back into its pool (domain L5).
type LicenseUnassigned struct {
	License License `json:"license"`
}

// LicenseReplaced ends a license because one of another type serves in its place (domain L6).
type LicenseReplaced struct {
	By      string  `json:"by"` // the license that serves now
	License License `json:"license"`
}

// LicenseChanged begins the license that takes another one's place (domain L6).
type LicenseChanged struct {
	From    string  `json:"from"` // the license that served before
	License License `json:"license"`
}

// LicenseAutoRenewSet switches the renewal of a license (domain L8).
type LicenseAutoRenewSet struct {
	License License `json:"license"`
}

// LicenseMoved lets a license follow its endpoint to another company (domain L13).
type LicenseMoved struct {
	License License `json:"license"`
}

// LicenseReinstated brings a license back that expired because a charge had failed (domain L10).
type LicenseReinstated struct {
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
	PaymentFailed   ExpiryReason = "payment-failed"
	TypeClosed      ExpiryReason = "type-closed"  // a trial of a type that is no longer sold (domain C2)
	ParentEnded     ExpiryReason = "parent-ended" // sockets end with their vm-server
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

// Kind is "license.trial-started.v1".
func (*LicenseTrialStarted) Kind() string { return "license.trial-started.v1" }

// Kind is "license.converted.v1".
func (*LicenseConverted) Kind() string { return "license.converted.v1" }

// Kind is "license.trial-ending.v1".
func (*LicenseTrialEnding) Kind() string { return "license.trial-ending.v1" }

// Kind is "license.unassigned.v1".
func (*LicenseUnassigned) Kind() string { return "license.unassigned.v1" }

// Kind is "license.replaced.v1".
func (*LicenseReplaced) Kind() string { return "license.replaced.v1" }

// Kind is "license.changed.v1".
func (*LicenseChanged) Kind() string { return "license.changed.v1" }

// Kind is "license.auto-renew-set.v1".
func (*LicenseAutoRenewSet) Kind() string { return "license.auto-renew-set.v1" }

// Kind is "license.moved.v1".
func (*LicenseMoved) Kind() string { return "license.moved.v1" }

// Kind is "license.reinstated.v1".
func (*LicenseReinstated) Kind() string { return "license.reinstated.v1" }

// LicenseAfter gives the license as it stands after an event, or nil where the event is not about a license.
func LicenseAfter(d Data) *License {
	switch d := d.(type) {
	case *LicenseBought:
		return &d.License
	case *LicenseAllocated:
		return &d.License
	case *LicenseTrialStarted:
		return &d.License
	case *LicenseConverted:
		return &d.License
	case *LicenseTrialEnding:
		return &d.License
	case *LicenseUnassigned:
		return &d.License
	case *LicenseReplaced:
		return &d.License
	case *LicenseChanged:
		return &d.License
	case *LicenseAutoRenewSet:
		return &d.License
	case *LicenseMoved:
		return &d.License
	case *LicenseReinstated:
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
