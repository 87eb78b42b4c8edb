package license

import (
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
	case *events.PaymentMethodSet:
		a.Payment = *d
	case *events.PaymentMethodRemoved:
		a.Payment = events.PaymentMethodSet{}
	case *events.MonthClosed:
		a.Open = d.Month + 1
	case *events.StatementIssued:
		a.Statements++
		a.Issued = d.Month
	}
}

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
