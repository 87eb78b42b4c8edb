package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
)

func (s *server) clock() {
	const path, tag = "/clock", "Clock"
	register(s, call{
		method: "GET", path: path, id: "get-clock", summary: "Where the test clock stands", tag: tag, anyone: true,
		about: "Only with a test clock.", codes: []api.Code{api.CodeNotFound},
	}, s.getClock)
	register(s, call{
		method: "PUT", path: path, id: "put-clock", summary: "Move the test clock forward", tag: tag,
		about: "It answers when everything due until then is recorded and visible, which takes as long as there is much of it. " +
			"Moving to where it stands changes nothing, so it can be repeated. A dry run only says whether it could move there.",
		allow: []string{auth.Operate}, codes: []api.Code{api.CodeNotFound},
	}, s.putClock)
}

// noTestClock is the answer of a ledger on real time.
func noTestClock() *api.Problem {
	p := notFound("this ledger is on real time, and nobody moves that")
	p.Hint = "a ledger that is made with --test-clock has a clock to move"
	return p
}

type getClockIn struct{ api.ReadOptions }

func (s *server) getClock(ctx context.Context, in *getClockIn) (*read[api.Clock], error) {
	if s.Mover == nil {
		return nil, noTestClock()
	}
	position, err := s.see(ctx, s.Licenses, in.After, nothing)
	if err != nil {
		return nil, err
	}
	now, err := s.now()
	return &read[api.Clock]{position, api.Clock{Now: now}}, err
}

type putClockIn struct {
	api.ChangeOptions
	Body api.Clock
}

func (s *server) putClock(ctx context.Context, in *putClockIn) (*changed[api.ClockAnswer], error) {
	if s.Mover == nil {
		return nil, noTestClock()
	}
	to := events.Stamp(in.Body.Now)
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	switch {
	case to.Before(now):
		return nil, invalid("body.now", "the clock stands at %s, and never moves back", events.FormatTime(now))
	case to.After(latest):
		return nil, invalid("body.now", "not beyond %s", events.FormatTime(latest))
	}
	answer := api.ClockAnswer{Clock: api.Clock{Now: to}}
	if in.DryRun {
		return &changed[api.ClockAnswer]{200, answer}, nil
	}
	_ = requestOf(ctx).control.SetWriteDeadline(time.Time{}) // a year takes long
	position, err := s.Mover.Move(ctx, to)
	if err == nil {
		s.answer(position)
		for _, view := range s.views() {
			err = errors.Join(err, view.Wait(ctx, position))
		}
	}
	if err != nil { // it got part of the way; moving again goes on
		return nil, fmt.Errorf("%w: move the clock: %v", ledger.ErrOutcomeUnknown, err)
	}
	answer.Position = &position
	return &changed[api.ClockAnswer]{200, answer}, nil
}

// latest is as far as a clock can go: months behind it still have a text.
var latest = time.Date(9990, 1, 1, 0, 0, 0, 0, time.UTC)
