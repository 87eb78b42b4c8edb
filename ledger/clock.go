package ledger

import (
	"fmt"
	"sync"
	"time"

	"licenseledger/events"
)

// Clock tells the sequencer the time. An error means that the time cannot be trusted now; commands are refused as unavailable.
type Clock interface {
	Now() (time.Time, error)
}

// MaxClockJump is how far clocks may disagree before the sequencer stops working.
const MaxClockJump = 5 * time.Second

// SystemClock is the machine's clock. It refuses while wall time and monotonic time disagree about how much time has
// passed since the last reading that was fine, and while the server's clock disagrees; it recovers when they agree again. Safe for concurrent use.
type SystemClock struct {
	mu     sync.Mutex
	base   time.Time // with its monotonic reading
	server error     // the last comparison with the server's clock
}

// NewSystemClock starts with the time as it is now.
func NewSystemClock() *SystemClock { return &SystemClock{base: time.Now()} }

// Now is the wall time.
func (c *SystemClock) Now() (time.Time, error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := now.Round(0).Sub(c.base.Round(0)), now.Sub(c.base)
	if jump := wall - mono; jump > MaxClockJump || jump < -MaxClockJump {
		return time.Time{}, fmt.Errorf("the wall clock jumped by %s: check the machine's time service", jump.Round(time.Millisecond))
	}
	if c.server != nil {
		return time.Time{}, c.server
	}
	// Slow drift, as of a clock that is being adjusted, is no jump.
	if mono > time.Hour {
		c.base = now
	}
	return events.Stamp(now), nil
}

// Compare is told when the server says that it stored a record, and when, by this clock, the record was sent and acknowledged.
func (c *SystemClock) Compare(stored, sent, acknowledged time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = nil
	if stored.Before(sent.Add(-MaxClockJump)) || stored.After(acknowledged.Add(MaxClockJump)) {
		c.server = fmt.Errorf("the server stored a record at %s, which was sent at %s: the clocks disagree", events.FormatTime(stored), events.FormatTime(sent))
	}
}

// TestClock stands still until it is set. Safe for concurrent use.
type TestClock struct {
	mu  sync.Mutex
	now time.Time
}

// NewTestClock stands at t.
func NewTestClock(t time.Time) *TestClock { return &TestClock{now: events.Stamp(t)} }

// Now is where the clock stands.
func (c *TestClock) Now() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, nil
}

// Set moves the clock forward; it never moves back.
func (c *TestClock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = events.Stamp(t); t.After(c.now) {
		c.now = t
	}
}
