package api

import (
	"context"
	"io"
)

// AuditQuery asks for entries of the log.
type AuditQuery struct {
	ReadOptions
	From     Instant `query:"from" maxLength:"64" example:"2026-03-01" doc:"the first instant: RFC 3339, or a day for its beginning"`
	To       Instant `query:"to" maxLength:"64" example:"2026-04-01" doc:"the instant after the last"`
	Provider string  `query:"provider" example:"acme"`
	Kind     string  `query:"kind" example:"license.allocated.v1" doc:"only entries with such an event"`
}

// AuditEntries are entries of the log as JSON Lines, each line exactly the bytes that were appended; the caller closes
// it. What the lines mean is the events package's to say.
func (c *Client) AuditEntries(ctx context.Context, q AuditQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaJSONLines, q, "audit", "entries")
}
