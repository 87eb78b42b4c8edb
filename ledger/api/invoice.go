package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"slices"
	"time"
)

// Kinds of invoices.
const (
	InvoiceStatement = "statement" // a month's usage, after it
	InvoicePrepaid   = "prepaid"   // a key's year, before it
)

// Statuses of an invoice's charge.
const (
	InvoiceDraft     = "draft" // of the running month, which is not issued yet; also stands for its number
	InvoicePending   = "pending"
	InvoiceCollected = "collected"
	InvoiceFailed    = "failed"
)

// Kinds of lines.
const (
	LineUsage      = "usage"
	LineAdjustment = "adjustment" // what came late for a closed month, or was corrected
	LineMinimum    = "minimum"    // what lifts the usage to the month's minimum
	LineCarried    = "carried"    // what a statement below zero hands on to the next
	LinePrepaid    = "prepaid"
)

// Line is a line of an invoice, of the next payment or of an estimate.
type Line struct {
	ID          string      `json:"id,omitempty" doc:"by which the invoice explains it"`
	Kind        string      `json:"kind" enum:"usage,adjustment,minimum,carried,prepaid"`
	Company     string      `json:"company,omitempty" example:"globex" doc:"absent: of the provider as a whole"`
	LicenseType string      `json:"license_type,omitempty" example:"server"`
	Policy      string      `json:"policy,omitempty" enum:"days-active,full-month,peak,metered,minimum" doc:"how the quantity became an amount; minimum: how the minimum of a closed month changed"`
	Unit        string      `json:"unit,omitempty" example:"endpoint"`
	UnitPrice   string      `json:"unit_price,omitempty" format:"decimal" example:"6.99" doc:"per unit and month, or year where prepaid"`
	Quantity    json.Number `json:"quantity,omitempty" example:"3" doc:"licenses, seats or metered units"`
	DaysActive  int         `json:"days_active,omitempty"`
	BilledDays  int         `json:"billed_days,omitempty"`
	Month       string      `json:"month,omitempty" example:"2026-03" doc:"the month incurred"`
	Amount      string      `json:"amount" format:"decimal" example:"20.97"`
}

// Period is what an invoice covers, the end excluded.
type Period struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Invoice is a statement or a prepaid invoice. Its total is the sum of its lines, its subtotal that of its usage lines.
type Invoice struct {
	Number            string    `json:"number" example:"S-000001"`
	Kind              string    `json:"kind" enum:"statement,prepaid"`
	Month             string    `json:"month,omitempty" example:"2026-03" doc:"of a statement"`
	Key               string    `json:"key,omitempty" doc:"of a prepaid invoice: the key's id"`
	Period            Period    `json:"period" doc:"of a key's order, a year from its day: the term begins with the first activation"`
	IssuedAt          time.Time `json:"issued_at,omitzero" doc:"absent from a draft"`
	Currency          string    `json:"currency" example:"USD"`
	Lines             []Line    `json:"lines"`
	Subtotal          string    `json:"subtotal" format:"decimal" example:"18.00"`
	MinimumAdjustment string    `json:"minimum_adjustment" format:"decimal" example:"2.00" doc:"the minimum line again"`
	Total             string    `json:"total" format:"decimal" example:"20.00"`
	Status            string    `json:"status" enum:"draft,pending,collected,failed" doc:"of the charge"`
	Digest            string    `json:"digest" doc:"SHA-256 of the canonical lines, hexadecimal"`
	Position          uint64    `json:"position,omitempty" doc:"number of the entry that issued it; absent from a draft"`
}

// BillRow is a row of an invoice as a bill: a line, or a sum of lines above it.
type BillRow struct {
	Label  string // how the line came about, such as days-active; of a sum what it is
	Line   *Line  // nil: a sum
	Amount string
}

// Bill is the invoice in the order in which people read it: what was used and what that comes to, what else was added or taken off, the total.
func (i *Invoice) Bill() []BillRow {
	var rows, adjustments, carried, minimum []BillRow
	for n := range i.Lines {
		l := &i.Lines[n]
		switch l.Kind {
		case LineUsage:
			rows = append(rows, BillRow{l.Policy, l, l.Amount})
		case LinePrepaid:
			rows = append(rows, BillRow{"prepaid", l, l.Amount})
		case LineAdjustment:
			label := "adjustment of " + l.Month
			if l.Policy == "minimum" {
				label = "minimum of " + l.Month
			}
			adjustments = append(adjustments, BillRow{label, l, l.Amount})
		case LineCarried:
			carried = append(carried, BillRow{"carried over", l, l.Amount})
		case LineMinimum:
			minimum = append(minimum, BillRow{"Minimum", nil, l.Amount})
		}
	}
	if i.Kind == InvoiceStatement {
		rows = append(rows, BillRow{"Subtotal", nil, i.Subtotal})
	}
	return append(slices.Concat(rows, adjustments, carried, minimum), BillRow{"Total " + i.Currency, nil, i.Total})
}

// InvoiceQuery asks for invoices.
type InvoiceQuery struct {
	ReadOptions
	PageOptions
	Month string `query:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-03"`
}

// InvoicePage is a page of invoices.
type InvoicePage struct {
	Invoices   []Invoice `json:"invoices"`
	NextCursor string    `json:"next_cursor,omitempty"`
}

// NextPayment is what the running month leads to.
type NextPayment struct {
	Amount        string `json:"amount" format:"decimal" example:"20.00" doc:"the total on the 1st if nothing changes"`
	Accrued       string `json:"accrued" format:"decimal" example:"7.22" doc:"usage through today"`
	Due           string `json:"due" format:"date" example:"2026-04-01" doc:"when it will be charged"`
	Credit        string `json:"credit" format:"decimal" example:"2.00" doc:"what more can be used this month at no extra charge"`
	Currency      string `json:"currency" example:"USD"`
	PaymentMethod string `json:"payment_method" enum:"none,active,failing" doc:"its status"`
	Lines         []Line `json:"lines"`
}

// Estimate is the body that asks what something would cost in a month.
type Estimate struct {
	Month string         `json:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-03"`
	Items []EstimateItem `json:"items" minItems:"1" maxItems:"500"`
}

// EstimateItem is a number of units for a number of days.
type EstimateItem struct {
	LicenseType string      `json:"license_type" example:"server"`
	Quantity    json.Number `json:"quantity" exclusiveMinimum:"0" example:"3" doc:"licenses, or metered units on each of the days"`
	Days        int         `json:"days,omitempty" minimum:"1" maximum:"31" doc:"absent: the whole month"`
}

// EstimateAnswer is what it would cost.
type EstimateAnswer struct {
	Currency          string `json:"currency" example:"USD"`
	Lines             []Line `json:"lines"`
	Subtotal          string `json:"subtotal" format:"decimal" example:"18.00"`
	MinimumAdjustment string `json:"minimum_adjustment" format:"decimal" example:"2.00"`
	Total             string `json:"total" format:"decimal" example:"20.00"`
}

// Adjustment is the body that corrects a closed month.
type Adjustment struct {
	Month       string `json:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-02" doc:"the closed month"`
	Company     string `json:"company,omitempty" example:"globex"`
	LicenseType string `json:"license_type,omitempty" example:"server"`
	License     string `json:"license,omitempty" doc:"id of a license"`
	Amount      string `json:"amount" format:"decimal" pattern:"^-?[0-9]{1,12}([.][0-9]{1,2})?$" example:"-10.00" doc:"the change of the month's usage"`
	Reason      string `json:"reason" minLength:"1" maxLength:"256"`
}

// AdjustmentAnswer has the lines that it puts on the open month's statement: the usage's, and where the closed month's
// minimum changes with it, that difference's.
type AdjustmentAnswer struct {
	Lines []Line `json:"lines"`
	Receipt
	Preview
}

// NextPayment is what the running month leads to.
func (c *Client) NextPayment(ctx context.Context, provider string, o ReadOptions) (NextPayment, error) {
	return get[NextPayment](ctx, c, o, "providers", provider, "next-payment")
}

// Estimate is what something would cost in a month; it changes nothing.
func (c *Client) Estimate(ctx context.Context, provider string, body Estimate, o ReadOptions) (EstimateAnswer, error) {
	return do[EstimateAnswer](ctx, c, call{method: "POST", path: []string{"providers", provider, "estimate"}, query: o, seen: o.Seen, body: body})
}

// Invoices is a page of invoices.
func (c *Client) Invoices(ctx context.Context, provider string, q InvoiceQuery) (InvoicePage, error) {
	return get[InvoicePage](ctx, c, q, "providers", provider, "invoices")
}

// AllInvoices are the invoices of all pages.
func (c *Client) AllInvoices(ctx context.Context, provider string, q InvoiceQuery) iter.Seq2[Invoice, error] {
	return all(ctx, c, q, func(p InvoicePage) ([]Invoice, string) { return p.Invoices, p.NextCursor }, "providers", provider, "invoices")
}

// Invoice is one invoice with its lines.
func (c *Client) Invoice(ctx context.Context, provider, number string, o ReadOptions) (Invoice, error) {
	return get[Invoice](ctx, c, o, "providers", provider, "invoices", number)
}

// InvoiceDocument is an invoice as MediaHTML, MediaPDF or MediaCSV; the caller closes it.
func (c *Client) InvoiceDocument(ctx context.Context, provider, number, media string, o ReadOptions) (io.ReadCloser, error) {
	return c.Open(ctx, media, o, "providers", provider, "invoices", number)
}

// Adjust corrects a closed month on the statement of the open one.
func (c *Client) Adjust(ctx context.Context, provider string, body Adjustment, o ChangeOptions) (AdjustmentAnswer, error) {
	return change[AdjustmentAnswer](ctx, c, "POST", body, o, "providers", provider, "adjustments")
}
