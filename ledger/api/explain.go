package api

import (
	"context"
	"time"
)

// Explanation says why an amount is what it is, down to the entries of the log. Of a whole invoice it has lines, each an
// explanation of its own; of a line it has parts, whose amounts add up to the line's.
type Explanation struct {
	Invoice  string            `json:"invoice" example:"S-000001" doc:"its number"`
	Currency string            `json:"currency" example:"USD"`
	Amount   string            `json:"amount" format:"decimal" example:"20.97" doc:"of the line, or the invoice's total"`
	Text     string            `json:"text" doc:"for people"`
	Line     *Line             `json:"line,omitempty" doc:"absent: the whole invoice"`
	Parts    []ExplainedPart   `json:"parts,omitempty" doc:"what the line consists of; the amounts add up to the line's"`
	Lines    []Explanation     `json:"lines,omitempty" doc:"of a whole invoice; the amounts add up to its total"`
	Events   []ExplainedEvent  `json:"events,omitempty" doc:"all events behind the line, in the order of the log"`
	Catalog  *ExplainedCatalog `json:"catalog,omitempty" doc:"where the price comes from"`
}

// ExplainedCatalog is the catalog by which a line was rated.
type ExplainedCatalog struct {
	Effective string `json:"effective" example:"2026-03" doc:"the month from which it is in force"`
	Position  uint64 `json:"position" doc:"number of the entry that published it"`
}

// ExplainedPart is a part of a line: a license serving somebody, a day's meter, a correction, a difference.
type ExplainedPart struct {
	Text        string    `json:"text" doc:"for people"`
	License     string    `json:"license,omitempty" doc:"its id"`
	LicenseType string    `json:"license_type,omitempty" example:"server"`
	Company     string    `json:"company,omitempty" example:"globex"`
	Assignee    *Assignee `json:"assignee,omitempty"`
	From        string    `json:"from,omitempty" format:"date" example:"2026-03-01" doc:"the first day that counts"`
	Through     string    `json:"through,omitempty" format:"date" example:"2026-03-10" doc:"the last one"`
	DaysActive  int       `json:"days_active,omitempty"`
	BilledDays  int       `json:"billed_days,omitempty"`
	Amount      string    `json:"amount" format:"decimal" example:"6.99"`
	Positions   []string  `json:"positions" example:"412.0" doc:"of the events behind it"`
}

// ExplainedEvent is an event of the log in words.
type ExplainedEvent struct {
	Position  string    `json:"position" example:"412.0" doc:"number of the entry, and of the event within it"`
	Kind      string    `json:"kind" example:"license.allocated.v1"`
	At        time.Time `json:"at" doc:"time of the entry"`
	Effective time.Time `json:"effective,omitzero" doc:"when it took effect, where that is another time"`
	Actor     string    `json:"actor" example:"operator"`
	License   string    `json:"license,omitempty" doc:"its id"`
	Text      string    `json:"text" doc:"for people"`
}

// ExplainQuery asks for the explanation of an invoice, or of one of its lines.
type ExplainQuery struct {
	ReadOptions
	Line string `query:"line" maxLength:"64" doc:"id of a line; absent: all lines"`
}

// LicenseLife is all that ever happened to a license.
type LicenseLife struct {
	License License          `json:"license"`
	Text    string           `json:"text" doc:"for people"`
	Events  []ExplainedEvent `json:"events"`
}

// ExplainInvoice says why an invoice is what it is.
func (c *Client) ExplainInvoice(ctx context.Context, provider, number string, q ExplainQuery) (Explanation, error) {
	return get[Explanation](ctx, c, q, "providers", provider, "invoices", number, "explain")
}

// LicenseLife is the whole life of a license.
func (c *Client) LicenseLife(ctx context.Context, provider, id string, o ReadOptions) (LicenseLife, error) {
	return get[LicenseLife](ctx, c, o, "providers", provider, "licenses", id, "explain")
}
