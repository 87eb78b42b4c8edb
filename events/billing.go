package events

// MonthClosed cuts a month of a provider (domain B6): what the entries up to and including this one say is the month's statement; what comes later for the month is late.
type MonthClosed struct {
	Month Month `json:"month"`
}

// StatementIssued makes the statement of a month final (domain B2, B6).
type StatementIssued struct {
	Number  string `json:"number"` // S-000001, without gaps per provider
	Month   Month  `json:"month"`
	Cut     uint64 `json:"cut"`     // the entry of the month's MonthClosed
	Catalog uint64 `json:"catalog"` // the entry that published the catalog in force
	Rules   int    `json:"rules"`   // version of the rating rules

	Currency string `json:"currency"`
	Subtotal Money  `json:"subtotal"`
	Total    Money  `json:"total"`
	Digest   Digest `json:"digest"` // SHA-256 of the canonical lines
}

// Kind is "month.closed.v1".
func (*MonthClosed) Kind() string { return "month.closed.v1" }

// Kind is "statement.issued.v1".
func (*StatementIssued) Kind() string { return "statement.issued.v1" }
