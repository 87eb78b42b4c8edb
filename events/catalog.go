package events

import "bytes"

// Catalog says what is sold, per what, at which price and under which policy, from a month on (domain C1 to C3).
// Package ledger/catalog gives it meaning.
type Catalog struct {
	Effective Month            `json:"effective"`
	Minimum   map[string]Money `json:"minimum,omitempty"` // per currency, per statement (domain B3)
	Types     []Type           `json:"types"`
}

// Term says how a type is sold.
type Term string

// Terms.
const (
	Monthly Term = "monthly"
	Annual  Term = "annual"
)

// Policy says how a month's use of a type becomes an amount (domain C4 to C7).
type Policy string

// Policies.
const (
	DaysActive Policy = "days-active"
	FullMonth  Policy = "full-month"
	Peak       Policy = "peak"
	Metered    Policy = "metered"
)

// Aggregate says how the readings of a metered type become a quantity (domain C7).
type Aggregate string

// Aggregates.
const (
	Sum     Aggregate = "sum"
	Max     Aggregate = "max"
	Last    Aggregate = "last"
	Unique  Aggregate = "unique"
	Average Aggregate = "average"
)

// Type is one license type of a catalog.
type Type struct {
	ID     string           `json:"id"`
	Family string           `json:"family"`
	Unit   string           `json:"unit"`
	Term   Term             `json:"term"`
	Prices map[string]Money `json:"prices"` // per currency and unit; per month or per year as the term says

	TrialDays int    `json:"trial_days"`
	FreeUnits int    `json:"free_units"` // domain C8
	Policy    Policy `json:"policy"`

	Meter     string    `json:"meter"`     // the readings that a metered type bills
	Aggregate Aggregate `json:"aggregate"` // how

	Includes        []string `json:"includes"`          // types whose use comes with this one
	Requires        string   `json:"requires"`          // a type whose paid license the assignee must hold
	IncludedUnits   int      `json:"included_units"`    // sockets that come with it
	ReleaseLockDays int      `json:"release_lock_days"` // seats of annual types (domain K6)
	Closed          bool     `json:"closed"`            // no new sales (domain C2)
}

// MarshalJSON writes no null: a type without prices or inclusions has empty ones.
func (t Type) MarshalJSON() ([]byte, error) {
	type fields Type // without this method
	if t.Prices == nil {
		t.Prices = map[string]Money{}
	}
	if t.Includes == nil {
		t.Includes = []string{}
	}
	w, err := encodeJSON(fields(t))
	if err != nil {
		return nil, err
	}
	defer w.release()
	return bytes.Clone(w.text()), nil
}
