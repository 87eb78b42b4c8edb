package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"
)

// What became of a usage report.
const (
	ReportRecorded  = "recorded"
	ReportDuplicate = "duplicate" // it was recorded before, and is not counted again
	ReportRefused   = "refused"   // only in the results of a batch
)

// Report is what an agent measured, under a number of its own; or, with Void, a number that it gives up. Over HTTP it
// names its agent; over NATS the subject does.
//
//	{"agent":"pc-17","spool":"","seq":42,"company":"globex","readings":[{"meter":"backup_bytes","value":1234,"at":"2026-03-11T04:00:00Z"}]}
//	{"agent":"pc-17","spool":"","seq":43,"void":"disk lost"}
type Report struct {
	Agent    string    `json:"agent,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"pc-17" doc:"whose report it is: the endpoint's id"`
	Spool    string    `json:"spool" required:"false" maxLength:"64" doc:"random id of the agent's spool, within which it numbers its reports"`
	Seq      uint64    `json:"seq" minimum:"1" example:"42" doc:"number of the report: 1, 2, 3, ..."`
	Company  string    `json:"company,omitempty" example:"globex" doc:"where the endpoint belongs if it is not yet known"`
	Readings []Reading `json:"readings,omitempty" maxItems:"500"`
	Void     string    `json:"void,omitempty" maxLength:"256" example:"disk lost" doc:"the number is given up, and why; then without readings"`
}

// Reading is one measured value.
type Reading struct {
	Meter string      `json:"meter" minLength:"1" maxLength:"64" example:"backup_bytes"`
	Value json.Number `json:"value" example:"1234" doc:"a decimal number; every digit is kept"`
	At    time.Time   `json:"at" doc:"when it was measured; at most five minutes ahead of the ledger's clock"`
}

// ReportAnswer says what became of a report.
type ReportAnswer struct {
	Seq    uint64 `json:"seq" example:"42"`
	Status string `json:"status" enum:"recorded,duplicate"`
	Receipt
}

// CloudEvent is one reading as a CloudEvent, its own report; attributes that are not named here are not read.
type CloudEvent struct {
	_           struct{}       `additionalProperties:"true"`
	SpecVersion string         `json:"specversion" enum:"1.0"`
	Source      string         `json:"source" minLength:"1" maxLength:"64" example:"pc-17" doc:"the agent"`
	ID          string         `json:"id" minLength:"1" maxLength:"256" doc:"by which the result names it"`
	Type        string         `json:"type" minLength:"1" maxLength:"64" example:"backup_bytes" doc:"the meter"`
	Sequence    string         `json:"sequence" pattern:"^[0-9]{1,20}$" example:"42" doc:"the agent's report number"`
	Subject     string         `json:"subject,omitempty" example:"globex" doc:"the company"`
	Time        time.Time      `json:"time"`
	Data        CloudEventData `json:"data"`
}

// CloudEventData is the value of the reading.
type CloudEventData struct {
	_     struct{}    `additionalProperties:"true"`
	Value json.Number `json:"value" example:"1234" doc:"a decimal number; every digit is kept"`
}

// BatchAnswer says what became of each event of a batch; one bad event does not spoil the others.
type BatchAnswer struct {
	Results []EventResult `json:"results"`
	Receipt
}

// EventResult is what became of one event.
type EventResult struct {
	ID     string `json:"id"`
	Status string `json:"status" enum:"recorded,duplicate,refused"`
	Code   Code   `json:"code,omitempty" doc:"why it was refused"`
}

// UsageQuery asks for readings, aggregated.
type UsageQuery struct {
	ReadOptions
	PageOptions
	Meter     string   `query:"meter" example:"backup_bytes"`
	From      Instant  `query:"from" maxLength:"64" example:"2026-03-01" doc:"the first instant: RFC 3339, or a day for its beginning"`
	To        Instant  `query:"to" maxLength:"64" example:"2026-04-01" doc:"the instant after the last"`
	GroupBy   []string `query:"group_by" enum:"company,endpoint,day,month" doc:"one row for each; several separated by commas"`
	Aggregate string   `query:"aggregate" default:"sum" enum:"sum,max,last,count"`
}

// UsageRow is an aggregated value; what it is not grouped by is absent.
type UsageRow struct {
	Company  string      `json:"company,omitempty" example:"globex"`
	Endpoint string      `json:"endpoint,omitempty" example:"pc-17"`
	Day      string      `json:"day,omitempty" format:"date" example:"2026-03-11"`
	Month    string      `json:"month,omitempty" example:"2026-03"`
	Meter    string      `json:"meter" example:"backup_bytes"`
	Value    json.Number `json:"value" example:"1234"`
}

// UsagePage is a page of aggregated values.
type UsagePage struct {
	Rows       []UsageRow `json:"rows"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// Gap is a range of report numbers of a spool that are missing, the end excluded.
type Gap struct {
	Agent string `json:"agent" example:"pc-17"`
	Spool string `json:"spool"`
	From  uint64 `json:"from" example:"43" doc:"the first missing number"`
	To    uint64 `json:"to" example:"45" doc:"the number after the last missing one"`
}

// GapPage is a page of gaps.
type GapPage struct {
	Gaps       []Gap  `json:"gaps"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// UsageHistoryQuery asks for the usage history.
type UsageHistoryQuery struct {
	ReadOptions
	PageOptions
	Month   string `query:"month" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-03"`
	Company string `query:"company" example:"globex"`
	Q       string `query:"q" maxLength:"256" doc:"words, each the beginning of a word of the row"`
}

// UsageHistoryRow is a license with one of its assignees in a month; or, without a license, a metered or peak line.
type UsageHistoryRow struct {
	License     string    `json:"license,omitempty" doc:"its id"`
	LicenseType string    `json:"license_type" example:"server"`
	Company     string    `json:"company,omitempty" example:"globex"`
	Assignee    *Assignee `json:"assignee,omitempty"`
	Status      string    `json:"status,omitempty" enum:"trial,paid,expired,released"`
	Activated   string    `json:"activated,omitempty" format:"date" example:"2026-02-01" doc:"the first day"`
	Deactivated string    `json:"deactivated,omitempty" format:"date" example:"2026-02-10" doc:"the last day; absent while it goes on"`
	DaysActive  int       `json:"days_active"`
	BilledDays  int       `json:"billed_days"`
	Cost        string    `json:"cost" format:"decimal" example:"2.50"`
	Currency    string    `json:"currency" example:"USD"`
}

// UsageHistoryPage is a page of the usage history.
type UsageHistoryPage struct {
	Rows       []UsageHistoryRow `json:"rows"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

// ReportUsage sends one report. It goes by the agent's own number, so it can be repeated as it is at any time.
func (c *Client) ReportUsage(ctx context.Context, provider string, body Report, o ChangeOptions) (ReportAnswer, error) {
	return report[ReportAnswer](ctx, c, MediaJSON, body, o, "providers", provider, "usage")
}

// ReportEvents sends a batch of CloudEvents, each of which goes by its agent's own number.
func (c *Client) ReportEvents(ctx context.Context, provider string, batch []CloudEvent, o ChangeOptions) (BatchAnswer, error) {
	return report[BatchAnswer](ctx, c, MediaCloudEvents, batch, o, "providers", provider, "usage")
}

// Usage is a page of aggregated readings.
func (c *Client) Usage(ctx context.Context, provider string, q UsageQuery) (UsagePage, error) {
	return get[UsagePage](ctx, c, q, "providers", provider, "usage")
}

// AllUsage are the rows of all pages.
func (c *Client) AllUsage(ctx context.Context, provider string, q UsageQuery) iter.Seq2[UsageRow, error] {
	return all(ctx, c, q, func(p UsagePage) ([]UsageRow, string) { return p.Rows, p.NextCursor }, "providers", provider, "usage")
}

// UsageGaps is a page of the report numbers that are missing.
func (c *Client) UsageGaps(ctx context.Context, provider string, q ListQuery) (GapPage, error) {
	return get[GapPage](ctx, c, q, "providers", provider, "usage", "gaps")
}

// AllUsageGaps are the gaps of all pages.
func (c *Client) AllUsageGaps(ctx context.Context, provider string, q ListQuery) iter.Seq2[Gap, error] {
	return all(ctx, c, q, func(p GapPage) ([]Gap, string) { return p.Gaps, p.NextCursor }, "providers", provider, "usage", "gaps")
}

// UsageHistory is a page of the usage history of a month.
func (c *Client) UsageHistory(ctx context.Context, provider string, q UsageHistoryQuery) (UsageHistoryPage, error) {
	return get[UsageHistoryPage](ctx, c, q, "providers", provider, "usage-history")
}

// AllUsageHistory are the rows of all pages.
func (c *Client) AllUsageHistory(ctx context.Context, provider string, q UsageHistoryQuery) iter.Seq2[UsageHistoryRow, error] {
	return all(ctx, c, q, func(p UsageHistoryPage) ([]UsageHistoryRow, string) { return p.Rows, p.NextCursor }, "providers", provider, "usage-history")
}

// UsageHistoryCSV is the usage history as CSV; the caller closes it.
func (c *Client) UsageHistoryCSV(ctx context.Context, provider string, q UsageHistoryQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaCSV, q, "providers", provider, "usage-history")
}
