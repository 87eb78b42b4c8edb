package ledgertest

import (
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Clock stands still until it is moved. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
	err error
}

var _ ledger.Clock = (*Clock)(nil)

// NewClock stands at t, to the millisecond.
func NewClock(t time.Time) *Clock { return &Clock{now: events.Stamp(t)} }

// Now is where the clock stands, or the error that it was told to fail with.
func (c *Clock) Now() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return time.Time{}, c.err
	}
	return c.now, nil
}

// Set moves the clock to t, forward or back.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = events.Stamp(t)
}

// Advance moves the clock by d and returns where it then stands.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = events.Stamp(c.now.Add(d))
	return c.now
}

// Fail makes Now fail with err until it is told Fail(nil).
func (c *Clock) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

// stands is the time even while the clock fails: a server's clock is another one.
func (c *Clock) stands() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Entropy is an endless source of bytes that are the same for the same seed. It is not safe for concurrent use.
func Entropy(seed uint64) io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

// CommandSeed draws the seed of a command's ids.
func CommandSeed(entropy io.Reader) events.Seed {
	var s events.Seed
	if _, err := io.ReadFull(entropy, s[:]); err != nil {
		panic(err) // Entropy does not end
	}
	return s
}
