package events

import "time"

// Outcome is what became of a statement's charge.
type Outcome string

// Outcomes.
const (
	Collected Outcome = "collected"
	Failed    Outcome = "failed"
)

// PaymentRecorded says what became of a charge (domain L10).
type PaymentRecorded struct {
	Invoice string  `json:"invoice"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	// GraceEnds is when all paid licenses expire unless the charge is collected; set by the first failure alone.
	GraceEnds time.Time `json:"grace_ends,omitzero"`
}

// GraceSettled says that every license stands as the payment demands: expired because grace has ended, or reinstated
// because the charge was collected after all.
type GraceSettled struct{}

// AdjustmentRecorded corrects what a closed month came to, or states a difference that is not the ledger's to compute (domain B5).
type AdjustmentRecorded struct {
	Month       Month  `json:"month"`
	Company     string `json:"company,omitempty"`
	LicenseType string `json:"license_type,omitempty"`
	License     string `json:"license,omitempty"`
	Amount      Money  `json:"amount"`
	Reason      string `json:"reason"`
}

// Kind is "payment.recorded.v1".
func (*PaymentRecorded) Kind() string { return "payment.recorded.v1" }

// Kind is "grace.settled.v1".
func (*GraceSettled) Kind() string { return "grace.settled.v1" }

// Kind is "adjustment.recorded.v1".
func (*AdjustmentRecorded) Kind() string { return "adjustment.recorded.v1" }
