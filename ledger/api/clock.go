package api

import (
	"context"
	"time"
)

// Clock is the ledger's clock: the body that moves a test clock, and what a read answers.
type Clock struct {
	Now time.Time `json:"now"`
}

// ClockAnswer is the clock after it was moved: everything due until then is recorded and visible.
type ClockAnswer struct {
	Clock
	Receipt
}

// Clock is the ledger's time.
func (c *Client) Clock(ctx context.Context, o ReadOptions) (Clock, error) {
	return get[Clock](ctx, c, o, "clock")
}

// SetClock moves a test clock forward. It answers when everything that was due until then is recorded and visible, which
// takes as long as there is much of it.
func (c *Client) SetClock(ctx context.Context, body Clock, o ChangeOptions) (ClockAnswer, error) {
	return change[ClockAnswer](ctx, c, "PUT", body, o, "clock")
}
