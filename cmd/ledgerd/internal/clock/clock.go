// Package clock makes due what nobody asks for: ends of months, renewals, trial
// ends, and the statements that follow a month's end (domain D4, L9, B6). And
// once a day it has a signed checkpoint recorded.
//
// It looks at what the views say is due, hands in commands that settle it, page
// by page, and looks again, until nothing is due. What is due is state, not a
// list of things to do: a page that was recorded before is simply not due any
// more, so a crash in the middle, or a second clock, repeats nothing.
//
// On real time [Clock.Run] does this as time passes. On a test clock
// [Clock.Move] steps from one due instant to the next, so that each thing
// happens at its own time:
//
//	PUT /v1/clock {"now":"2026-04-01T00:00:00Z"}  ->  month.closed, renewals, statement.issued, clock.moved
package clock

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
)

// Submitter takes commands; the sequencer does.
type Submitter interface {
	Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error)
}

// Clock makes due what is due. Its methods are safe for concurrent use.
type Clock struct {
	Submit   Submitter
	Licenses *projections.Store // the licenses view
	Invoices *projections.Store // the invoices view
	Audit    *projections.Store // the audit view; without it no checkpoints are recorded
	Tiles    proof.Source       // its tiles
	Log      projections.Source // what the views follow
	Time     ledger.Clock
	// Test is the clock that Move moves; nil on real time. It is the same as Time then.
	Test   *ledger.TestClock
	Logger *slog.Logger

	mu   sync.Mutex // one at a time makes due
	owes bool       // the test clock was moved, and that is not recorded yet
}

// Sizes of what is done at once: licenses in a page, providers and statements in a round, commands under way.
const (
	pageSize  = 1000
	roundSize = 256
	underWay  = 64
)

// lookEvery bounds how long something may be due before Run looks: what a command made due sooner is seen then.
const lookEvery = time.Second

// ErrBackwards says that a test clock cannot move back.
var ErrBackwards = errors.New("the clock stands later than that, and never moves back")

// Run makes due what is due, as time passes, until ctx ends. Errors are logged and what failed is tried again.
func (c *Clock) Run(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := c.Drain(ctx); err != nil && ctx.Err() == nil {
			c.Logger.Warn("what is due could not be recorded; trying again", "err", err)
		}
		t.Reset(lookEvery)
	}
}

// Drain records everything that is due by now.
func (c *Clock) Drain(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.drain(ctx); err != nil {
		return err
	}
	// A slow audit view holds up nothing else that is due: the next look tries again.
	limited, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	err := c.checkpoint(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// Move moves a test clock to t, stopping at every instant at which something is due, and records where it stands. It
// returns the position of the last entry when all of it is recorded. Where it fails the clock stands where it got to; moving again goes on.
func (c *Clock) Move(ctx context.Context, t time.Time) (position uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t = events.Stamp(t)
	now, err := c.Time.Now()
	if err != nil {
		return 0, err
	}
	if t.Before(now) {
		return 0, fmt.Errorf("%s: %w", events.FormatTime(now), ErrBackwards)
	}
	// What an earlier move did not come to is made up for at the time where it stands.
	if err := c.catchUp(ctx); err != nil {
		return 0, err
	}
	if _, err := c.drain(ctx); err != nil {
		return 0, err
	}
	for {
		due, ok, err := c.nextDue(ctx)
		if err != nil {
			return 0, err
		}
		if !ok || due.After(t) {
			break
		}
		c.set(due)
		if _, err := c.drain(ctx); err != nil {
			return 0, err
		}
	}
	if t.Equal(now) && !c.owes {
		return c.Licenses.Next() - 1, nil // it stands there already, and the ledger knows
	}
	c.set(t)
	// A command that came in while the clock moved may have made something due on the way.
	if err := c.catchUp(ctx); err != nil {
		return 0, err
	}
	if _, err := c.drain(ctx); err != nil {
		return 0, err
	}
	if err := c.checkpoint(ctx); err != nil {
		return 0, err
	}
	r, err := c.submit(ctx, "", "move", license.MoveClock{To: t})
	if err != nil {
		return 0, err
	}
	c.owes = false
	return r.Entry, c.Licenses.Wait(ctx, r.Entry)
}

// set lets the test clock stand at t, which is recorded when the move is done.
func (c *Clock) set(t time.Time) {
	c.owes = true
	c.Test.Set(t)
}

// catchUp waits until the view that says what is due has seen all that the ledger acknowledged before.
func (c *Clock) catchUp(ctx context.Context) error { return c.Licenses.WaitTail(ctx, c.Log) }

func (c *Clock) nextDue(ctx context.Context) (t time.Time, ok bool, err error) {
	if err := c.catchUp(ctx); err != nil {
		return t, false, err
	}
	err = c.Licenses.Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
		t, ok = licenses.NextDue(tx)
		return nil
	})
	return t, ok, err
}

// drain records pages until nothing is due, and returns the last position.
func (c *Clock) drain(ctx context.Context) (last uint64, err error) {
	idle := 0
	for {
		now, err := c.Time.Now()
		if err != nil {
			return last, err
		}
		work, err := c.due(ctx, now)
		if err != nil || len(work) == 0 {
			return last, err
		}
		var mu sync.Mutex
		before, happened := last, 0
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(underWay)
		for _, w := range work {
			g.Go(func() error {
				r, err := c.submit(gctx, w.provider, w.name, w.body)
				mu.Lock()
				defer mu.Unlock()
				last = max(last, r.Entry)
				happened += len(r.Events)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return last, err
		}
		// What fell due is recorded before the command that settles it, which itself does nothing: it shows in the position. Another
		// clock may have been faster, but then the next look sees less.
		if idle++; happened > 0 || last > before {
			idle = 0
		}
		if idle > 2 {
			return last, fmt.Errorf("%s of provider %q is due and nothing happens", work[0].name, work[0].provider)
		}
		// What comes next is decided by what these did.
		if err := c.Licenses.Wait(ctx, last); err != nil {
			return last, err
		}
		if err := c.Invoices.Wait(ctx, last); err != nil {
			return last, err
		}
	}
}

type work struct {
	provider, name string
	body           license.Body
}

// due lists what can be done now: pages of what fell due, and statements to issue.
func (c *Clock) due(ctx context.Context, now time.Time) (list []work, err error) {
	err = c.Licenses.Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
		for _, id := range licenses.DueProviders(tx, now, roundSize) {
			list = append(list, work{id, "settle", license.Settle{Limit: pageSize}})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.Invoices.Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
		pending, err := invoices.PendingStatements(tx, roundSize)
		for _, p := range pending {
			s := p.Statement
			list = append(list, work{p.Provider, "issue", license.IssueStatement{StatementIssued: events.StatementIssued{
				Month: s.Month, Cut: s.Cut, Catalog: s.Catalog, Rules: s.Rules,
				Currency: s.Currency, Subtotal: s.Subtotal, Total: s.Total, Digest: s.Digest,
			}}})
		}
		return err
	})
	return list, err
}

// checkpoint has a signed checkpoint of everything so far recorded, where the day has none yet. While the audit view cannot go on there is none.
func (c *Clock) checkpoint(ctx context.Context) error {
	if c.Audit == nil {
		return nil
	}
	now, err := c.Time.Now()
	if err != nil {
		return err
	}
	var system licenses.System
	var next uint64
	err = c.Licenses.Read(ctx, func(tx *bbolt.Tx, n uint64) (err error) {
		next = n
		system, _, err = licenses.LoadSystem(tx)
		return err
	})
	// The decision looks again; this only saves it the work.
	if err != nil || events.DateOf(now) <= system.Checkpoint.Day || next <= system.Checkpoint.Entry+1 || c.Audit.Err() != nil {
		return err
	}
	if err := c.Audit.Wait(ctx, next-1); err != nil {
		return err
	}
	signed, err := c.Tiles.Checkpoint(ctx)
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	covers, err := proof.ReadCheckpoint(signed)
	if err != nil {
		return err
	}
	r, err := c.submit(ctx, "", "checkpoint", license.RecordCheckpoint{CheckpointSigned: events.CheckpointSigned{Size: covers.Size, Note: string(signed)}})
	if err != nil {
		return err
	}
	return c.Licenses.Wait(ctx, r.Entry)
}

func (c *Clock) submit(ctx context.Context, provider, name string, body license.Body) (ledger.Receipt, error) {
	cmd := ledger.Command{ID: events.ClockActor + "/" + name, Provider: provider, Actor: events.ClockActor, Body: body}
	_, _ = crand.Read(cmd.Seed[:]) // never fails
	r, err := c.Submit.Submit(ctx, cmd)
	if err != nil {
		return r, fmt.Errorf("%s of provider %q: %w", name, provider, err)
	}
	return r, nil
}
