package api

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"
)

// What a notice brings.
const (
	NewsGood = "good"
	NewsBad  = "bad"
)

// Notice is good or bad news of a provider, or asks for something. What it is not about is absent.
type Notice struct {
	Kind        string    `json:"kind" example:"trial-ending"`
	News        string    `json:"news,omitempty" enum:"good,bad"`
	Standing    bool      `json:"standing,omitempty" doc:"it asks for something, and goes when that is done; news make room for newer ones"`
	At          time.Time `json:"at" doc:"when it took effect"`
	Text        string    `json:"text" doc:"for people"`
	Company     string    `json:"company,omitempty" example:"globex"`
	Endpoint    string    `json:"endpoint,omitempty" example:"pc-17"`
	License     string    `json:"license,omitempty" doc:"its id"`
	LicenseType string    `json:"license_type,omitempty" example:"server"`
	Assignee    *Assignee `json:"assignee,omitempty" doc:"whom the license serves, or served"`
	Count       int       `json:"count,omitempty" doc:"of how many licenses, seats or objects it tells, where it is more than one" example:"12"`
	Invoice     string    `json:"invoice,omitempty" example:"S-000001"`
	Month       string    `json:"month,omitempty" doc:"the month that it is about, or from which on it holds" example:"2026-03"`
	Amount      string    `json:"amount,omitempty" format:"decimal" example:"6.99"`
	Currency    string    `json:"currency,omitempty" example:"USD"`
	Until       time.Time `json:"until,omitzero" doc:"when it happens, unless something is done before"`
	Key         string    `json:"key,omitempty" doc:"id of an annual key"`
	Instance    string    `json:"instance,omitempty" example:"srv-1" doc:"of a job"`
	Job         string    `json:"job,omitempty" example:"nightly" doc:"whose objects lack seats"`
	Seats       int       `json:"seats,omitempty" doc:"how many they lack"`
	Objects     []string  `json:"objects,omitempty" doc:"the first of them"`
	Position    uint64    `json:"position" doc:"number of the entry that it comes from"`
}

// NoticeQuery asks for notices.
type NoticeQuery struct {
	ReadOptions
	PageOptions
	News     string `query:"news" enum:"good,bad" doc:"only news of this sort"`
	Kind     string `query:"kind" doc:"only notices of this kind" example:"payment-failed"`
	Company  string `query:"company" doc:"only those about this company" example:"globex"`
	Standing bool   `query:"standing" doc:"only what asks for something"`
}

// NoticePage is a page of notices.
type NoticePage struct {
	Notices    []Notice `json:"notices"`
	NextCursor string   `json:"next_cursor,omitempty"`
}

// ChangesQuery asks what changed after a position.
type ChangesQuery struct {
	ReadOptions
	Since uint64 `query:"since" doc:"the last entry that the caller has seen; absent: from the beginning"`
}

// Changed is a line of what changed: one event of the provider.
type Changed struct {
	Position  string          `json:"position" example:"412.0" doc:"number of the entry, and of the event within it"`
	Kind      string          `json:"kind" example:"license.allocated.v1"`
	At        time.Time       `json:"at" doc:"time of the entry"`
	Effective time.Time       `json:"effective,omitzero" doc:"when it takes effect, where that is another time"`
	Data      json.RawMessage `json:"data" doc:"as the schema of its kind describes it"`
}

// Notices is a page of good and bad news.
func (c *Client) Notices(ctx context.Context, provider string, q NoticeQuery) (NoticePage, error) {
	return get[NoticePage](ctx, c, q, "providers", provider, "notices")
}

// AllNotices are the notices of all pages.
func (c *Client) AllNotices(ctx context.Context, provider string, q NoticeQuery) iter.Seq2[Notice, error] {
	return all(ctx, c, q, func(p NoticePage) ([]Notice, string) { return p.Notices, p.NextCursor }, "providers", provider, "notices")
}

// Changes is what changed after a position, as JSON Lines of Changed; the caller closes it. Lines reads it.
func (c *Client) Changes(ctx context.Context, provider string, q ChangesQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaJSONLines, q, "providers", provider, "changes")
}
