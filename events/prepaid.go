package events

import "time"

// PrepaidIssued is the invoice of a key's order, of added seats, of a renewal or a conversion (domain B8): a document of its own with one line.
type PrepaidIssued struct {
	Number string     `json:"number"` // P-000001, without gaps per provider
	For    PrepaidFor `json:"for"`
	Key    string     `json:"key"`

	Company     string `json:"company,omitempty"`
	LicenseType string `json:"license_type"`
	Unit        string `json:"unit"`
	UnitPrice   Money  `json:"unit_price"` // per seat and year
	Seats       int    `json:"seats"`
	// Days of TermDays are charged; both are absent where it is the whole term.
	Days     int `json:"days,omitempty"`
	TermDays int `json:"term_days,omitempty"`
	// From and To are what is paid for, the end exclusive; of an order, a year from its day, for the term begins with the first activation.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Catalog  uint64 `json:"catalog"` // the entry that published the catalog in force
	Currency string `json:"currency"`
	Amount   Money  `json:"amount"`
	Digest   Digest `json:"digest"` // SHA-256 of the canonical line
}

// PrepaidFor says what a prepaid invoice is for.
type PrepaidFor string

// What prepaid invoices are for.
const (
	ForOrder      PrepaidFor = "order"
	ForSeats      PrepaidFor = "seats"
	ForRenewal    PrepaidFor = "renewal"
	ForConversion PrepaidFor = "conversion"
)

// Kind is "prepaid.issued.v1".
func (*PrepaidIssued) Kind() string { return "prepaid.issued.v1" }
