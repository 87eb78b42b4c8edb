package license

import (
	"maps"
	"slices"
	"strings"
	"time"

	"licenseledger/events"
)

// Account is the part of a provider's state that there is one of.
type Account struct {
	Name     string                  `json:"name"`
	Currency string                  `json:"currency"` // empty: the provider does not exist
	Payment  events.PaymentMethodSet `json:"payment,omitzero"`
	// Open is the first month that is not closed; it starts with the month in which the provider was created.
	Open events.Month `json:"open"`
	// Statements counts the statements issued so far; Issued is the month of the last one.
	Statements int          `json:"statements,omitempty"`
	Issued     events.Month `json:"issued,omitempty"`
	// Prepaid counts the prepaid invoices issued so far (domain B8).
	Prepaid int `json:"prepaid,omitempty"`
	// Failed are the invoices whose charge failed and was not collected since; GraceEnds is when all paid licenses expire for it (domain L10).
	Failed    []string  `json:"failed,omitempty"`
	GraceEnds time.Time `json:"grace_ends,omitzero"`
	// Collected is when the last failed charge was collected after all; licenses that lapsed in that month before it are reinstated from it.
	Collected time.Time `json:"collected,omitzero"`
	// Sweep is when every license has to be looked at because of a payment: grace ends, or lapsed licenses come back.
	Sweep time.Time `json:"sweep,omitzero"`
	// Outcomes are the latest outcomes of statements' charges.
	Outcomes map[string]events.Outcome `json:"outcomes,omitempty"`
	// Last is the provider's last entry.
	Last    uint64    `json:"last"`
	Created time.Time `json:"created"`
}

// Exists says whether the provider has been created.
func (a *Account) Exists() bool { return a.Currency != "" }

// PaymentStatus is the state of the payment method.
func (a *Account) PaymentStatus() events.PaymentStatus {
	if a.Payment.Status == "" {
		return events.PaymentNone
	}
	return a.Payment.Status
}

// Apply folds one event of an entry of the provider into the account.
func (a *Account) Apply(e *events.Entry, d events.Data) {
	a.Last = e.Number
	switch d := d.(type) {
	case *events.ProviderSet:
		if !a.Exists() {
			a.Open, a.Created = events.MonthOf(e.Time), e.Time
		}
		a.Name, a.Currency = d.Name, d.Currency
	case *events.PaymentRecorded:
		if !IsPrepaid(d.Invoice) { // whose outcome is its key's alone (domain K1)
			a.pay(e, d)
		}
	case *events.GraceSettled:
		a.Sweep = time.Time{}
	case *events.PaymentMethodSet:
		a.Payment = *d
	case *events.PaymentMethodRemoved:
		a.Payment = events.PaymentMethodSet{}
	case *events.MonthClosed:
		a.Open = d.Month + 1
	case *events.StatementIssued:
		a.Statements++
		a.Issued = d.Month
	case *events.PrepaidIssued:
		a.Prepaid++
	}
}

// pay folds the outcome of a charge (domain L10).
func (a *Account) pay(e *events.Entry, d *events.PaymentRecorded) {
	a.Outcomes = maps.Clone(a.Outcomes) // other states share it
	if a.Outcomes == nil {
		a.Outcomes = make(map[string]events.Outcome)
	}
	a.Outcomes[d.Invoice] = d.Outcome
	i := slices.Index(a.Failed, d.Invoice)
	switch {
	case d.Outcome == events.Failed && i < 0:
		a.Failed = append(slices.Clip(a.Failed), d.Invoice)
		if !d.GraceEnds.IsZero() {
			a.GraceEnds, a.Sweep = d.GraceEnds, d.GraceEnds
		}
		if a.Payment.Status == events.PaymentActive {
			a.Payment.Status = events.PaymentFailing
		}
	case d.Outcome == events.Collected && i >= 0:
		a.Failed = slices.Delete(slices.Clone(a.Failed), i, i+1)
		if len(a.Failed) > 0 {
			return
		}
		if !a.GraceEnds.After(e.Time) {
			a.Collected, a.Sweep = e.Time, e.Time
		} else {
			a.Sweep = time.Time{}
		}
		a.Failed, a.GraceEnds = nil, time.Time{}
		if a.Payment.Status == events.PaymentFailing {
			a.Payment.Status = events.PaymentActive
		}
	}
}

// lapsed says that grace has ended by t, and every paid license with it.
func (a *Account) lapsed(t time.Time) bool { return !a.GraceEnds.IsZero() && !a.GraceEnds.After(t) }

// Remembered is what the ledger knows of a command that it answered (architecture, "Idempotency").
type Remembered struct {
	Entry  uint64        `json:"entry"`
	Parts  int           `json:"parts,omitempty"` // entries that the command made, if more than one; Entry is the last
	Time   time.Time     `json:"time"`
	Digest events.Digest `json:"digest"`
}

// MemoryOfCommands is how long, in time of entries, a command's id is remembered.
const MemoryOfCommands = 24 * time.Hour

// KeyedDoor begins the ids of commands whose callers chose an idempotency key; other commands are never repeated and need not be remembered.
const KeyedDoor = "http/"

// IsRemembered says whether an entry's command is one that its caller may repeat.
func IsRemembered(e *events.Entry) bool { return strings.HasPrefix(e.Command, KeyedDoor) }
