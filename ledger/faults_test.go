package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// byCommand lists the entries of each command.
func byCommand(t *testing.T, s *ledgertest.Stream) map[string][]uint64 {
	t.Helper()
	m := make(map[string][]uint64)
	for _, e := range entries(t, s) {
		m[e.Command] = append(m[e.Command], e.Number)
	}
	return m
}

func TestEachFaultOfOneAppend(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  ledgertest.Fault
		refuse error // what the caller sees; nil: it is recorded, once
	}{
		{"acknowledgement lost", ledgertest.AckLost, nil},
		{"message lost", ledgertest.MessageLost, nil},
		{"message late", ledgertest.MessageLate, nil},
		{"refused", ledgertest.Refused, ledger.ErrUnavailable},
		{"overtaken", ledgertest.Overtaken, nil},
		{"overtaken, and no answer", ledgertest.OvertakenLost, nil},
		{"conflict with what never was", ledgertest.Phantom, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			h.log.Next(tt.fault)
			c := h.command("acme", license.Buy{Type: "server", Quantity: 2})
			r, err := h.Submit(t.Context(), c)
			if !errors.Is(err, tt.refuse) {
				t.Fatalf("%v, want %v", err, tt.refuse)
			}
			found := byCommand(t, h.stream)[c.ID]
			checkJournal(t, h)
			switch {
			case tt.refuse != nil && len(found) != 0:
				t.Errorf("refused, and recorded as %d", found)
			case tt.refuse == nil && (len(found) != 1 || found[0] != r.Entry):
				t.Errorf("answered with entry %d, recorded as %d", r.Entry, found)
			}
			// It goes on as if nothing had been.
			next := h.must("acme", license.Buy{Type: "server", Quantity: 1})
			if all := entries(t, h.stream); all[len(all)-1].Number != next.Entry {
				t.Errorf("entry %d is not the last one", next.Entry)
			}
		})
	}
}

// Where a new leader of several replicas may be behind for a moment, a log that seems too short is asked again; where there is one server, it
// has lost what it acknowledged.
func TestShortLogIsDoubted(t *testing.T) {
	for name, fault := range map[string]ledgertest.Fault{"nothing stands in the way": ledgertest.Phantom, "another record does": ledgertest.Overtaken} {
		t.Run(name, func(t *testing.T) {
			clock := ledgertest.NewClock(start)
			h := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{Doubt: time.Hour})
			h.open("acme")
			behind := 1
			if fault == ledgertest.Overtaken {
				behind = 2 // the foreign record as well
			}
			h.log.Next(fault)
			h.log.Behind(behind)
			c := h.command("acme", license.Buy{Type: "server", Quantity: 2})
			r, err := h.Submit(t.Context(), c)
			if found := byCommand(t, h.stream)[c.ID]; err != nil || len(found) != 1 || found[0] != r.Entry {
				t.Errorf("answered with entry %d, %v; recorded as %d", r.Entry, err, found)
			}
			if h.Err() != nil {
				t.Errorf("it stopped: %v", h.Err())
			}
		})
	}
	h := newHouse(t)
	h.log.Next(ledgertest.Phantom)
	h.log.Behind(1)
	if _, err := h.Submit(t.Context(), h.command("acme", license.Buy{Type: "server", Quantity: 2})); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("%v, want %v", err, ledger.ErrGap)
	}
	if !errors.Is(h.Err(), ledger.ErrGap) {
		t.Errorf("it goes on: %v", h.Err())
	}
}

// The same of the last of two records that another writer wrote: the log, for a moment, does not find it.
func TestMissingRecordIsDoubted(t *testing.T) {
	for _, doubt := range []time.Duration{time.Hour, 0} {
		t.Run(doubt.String(), func(t *testing.T) {
			clock := ledgertest.NewClock(start)
			stream := ledgertest.NewStream(t, clock)
			h := another(t, stream, clock, ledger.Config{Doubt: doubt})
			h.open("acme")
			other := another(t, stream, clock, ledger.Config{})
			other.must("initech", license.SetProvider{Name: "Initech"})
			other.must("umbrella", license.SetProvider{Name: "Umbrella"})
			h.log.Missing(2)
			c := h.command("acme", license.Buy{Type: "server", Quantity: 2})
			r, err := h.Submit(t.Context(), c)
			if doubt == 0 {
				if !errors.Is(err, ledger.ErrGap) || !errors.Is(h.Err(), ledger.ErrGap) {
					t.Errorf("%v, stopped by %v, want %v", err, h.Err(), ledger.ErrGap)
				}
				return
			}
			if found := byCommand(t, h.stream)[c.ID]; err != nil || len(found) != 1 || found[0] != r.Entry || h.Err() != nil {
				t.Errorf("answered with entry %d, %v; recorded as %d; stopped by %v", r.Entry, err, found, h.Err())
			}
		})
	}
}

// A start does not take it for a loss either.
func TestStartDoubtsThatTheLastRecordIsMissing(t *testing.T) {
	clock := ledgertest.NewClock(start)
	h := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{})
	h.open("acme")
	for doubt, want := range map[time.Duration]error{time.Hour: nil, 0: ledger.ErrGap} {
		h.log.Missing(2)
		q, err := ledger.Start(t.Context(), ledger.Config{Log: h.log, States: h.States, Clock: clock, Doubt: doubt})
		if !errors.Is(err, want) {
			t.Errorf("doubt %s: %v, want %v", doubt, err, want)
		}
		if q != nil {
			if err := q.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// malformed is a log in which something that is no record stands from a sequence on.
type malformed struct {
	ledger.Log
	from atomic.Uint64
}

func (l *malformed) Get(ctx context.Context, seq uint64) (events.Stored, error) {
	if seq >= l.from.Load() {
		return events.Stored{}, fmt.Errorf("get record %d: %w", seq, events.ErrMalformed)
	}
	return l.Log.Get(ctx, seq)
}

// What is no record does not become one by being asked for again: neither a start nor a running sequencer waits for that, whatever is doubted.
func TestMalformedRecordStops(t *testing.T) {
	clock := ledgertest.NewClock(start)
	stream := ledgertest.NewStream(t, clock)
	h := another(t, stream, clock, ledger.Config{})
	h.open("acme")
	log := &malformed{Log: stream.Open()}
	log.from.Store(math.MaxUint64)
	config := ledger.Config{Log: log, States: h.states, Clock: clock, Doubt: time.Hour}
	q, err := ledger.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	log.from.Store(uint64(len(stream.Records())) + 2) // the second of those that it does not know yet: its append meets the first
	h.must("initech", license.SetProvider{Name: "Initech"})
	h.must("umbrella", license.SetProvider{Name: "Umbrella"})
	if _, err := q.Submit(t.Context(), h.command("acme", license.Buy{Type: "server", Quantity: 2})); !errors.Is(err, events.ErrMalformed) || !errors.Is(q.Err(), events.ErrMalformed) {
		t.Errorf("%v, stopped by %v, want %v", err, q.Err(), events.ErrMalformed)
	}
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if q, err := ledger.Start(t.Context(), config); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("a start: %v, %v", q, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	clock := ledgertest.NewClock(start)
	h := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{QueueCount: 10})
	h.open("acme")
	gate := h.log.HoldAck()
	var wg sync.WaitGroup
	for i := range 10 {
		c := h.command("acme", allocate(fmt.Sprintf("pc-%d", i)))
		wg.Go(func() {
			if _, err := h.Submit(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, func() bool { return h.Stats().Waiting == 10 })
	full := h.command("acme", allocate("one-too-many"))
	if _, err := h.Submit(t.Context(), full); !errors.Is(err, ledger.ErrOverloaded) {
		t.Errorf("the eleventh: %v", err)
	}
	gate.Open()
	wg.Wait()
	if found := byCommand(t, h.stream)[full.ID]; len(found) != 0 {
		t.Errorf("overloaded, and recorded as %d", found)
	}
	h.must("acme", allocate("one-too-many"))
}

func TestCallerThatGivesUp(t *testing.T) {
	h := newHouse(t)
	gate := h.log.HoldAck()
	first := h.command("acme", allocate("pc-1"))
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error)
	go func() {
		_, err := h.Submit(ctx, first)
		answer <- err
	}()
	<-gate.Reached
	cancel()
	if err := <-answer; !errors.Is(err, ledger.ErrOutcomeUnknown) {
		t.Errorf("a record is in flight: %v", err)
	}
	gate.Open()
	if _, err := h.Submit(t.Context(), h.command("acme", allocate("pc-1"))); code(err) != license.LicenseAlreadyHeld {
		t.Errorf("what became of it: %v", err)
	}
}

func TestCloseAnswersWhatWasAccepted(t *testing.T) {
	h := newHouse(t)
	gate := h.log.HoldAck()
	var wg sync.WaitGroup
	for i := range 20 {
		c := h.command("acme", allocate(fmt.Sprintf("pc-%d", i)))
		wg.Go(func() {
			if _, err := h.Submit(t.Context(), c); err != nil {
				t.Errorf("accepted before the stop: %v", err)
			}
		})
	}
	await(t, func() bool { return h.Stats().Waiting == 20 })
	closed := make(chan error)
	go func() { closed <- h.Close(t.Context()) }()
	gone, cancel := context.WithCancel(t.Context())
	cancel() // whoever is still taken in does not wait for the answer
	await(t, func() bool {
		_, err := h.Submit(gone, h.command("acme", license.Release{License: "late"}))
		return errors.Is(err, ledger.ErrUnavailable)
	})
	gate.Open()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestCloseThatIsNotWaitedFor(t *testing.T) {
	h := newHouse(t)
	h.log.Chaos(1, 1) // nothing ever succeeds
	answer := make(chan error)
	go func() {
		_, err := h.Submit(t.Context(), h.command("acme", allocate("pc-1")))
		answer <- err
	}()
	await(t, func() bool { return h.Stats().Retries > 0 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); err == nil {
		t.Error("closed cleanly, with a command in the air")
	}
	if err := <-answer; !errors.Is(err, ledger.ErrOutcomeUnknown) {
		t.Errorf("answered with %v", err)
	}
}

func TestAStateMayGoOnlyWhenTheViewHasIt(t *testing.T) {
	clock := ledgertest.NewClock(start)
	h := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{CacheSpool: 4, CacheSize: 8})
	h.open("acme", "umbrella", "initech")
	await(t, func() bool { return h.states.Next() == uint64(len(entries(t, h.stream))) })
	release := h.states.Hold()
	defer release()
	var refused int
	for i := range 10 {
		switch _, err := h.Submit(t.Context(), h.command("acme", report(fmt.Sprintf("pc-%d", i), 1, i))); {
		case errors.Is(err, ledger.ErrOverloaded):
			refused++
		case err != nil:
			t.Fatal(err)
		}
	}
	if refused == 0 {
		t.Error("the cache of spools is full of what the view has not seen, and still takes more")
	}
	release()
	for i := range 10 {
		agent := fmt.Sprintf("pc-%d", i)
		await(t, func() bool { return h.states.Next() == uint64(len(entries(t, h.stream))) })
		first := h.must("acme", report(agent, 1, i))
		if again := h.must("acme", report(agent, 1, i)); !again.Duplicate || again.Entry < first.Entry {
			t.Errorf("%s was counted twice", agent)
		}
	}
}

func TestClockThatCannotBeTrusted(t *testing.T) {
	h := newHouse(t)
	h.clock.Fail(errors.New("it jumped"))
	if _, err := h.Submit(t.Context(), h.command("acme", allocate("pc-1"))); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	h.clock.Fail(nil)
	h.must("acme", allocate("pc-1"))
}

func TestTimeNeverRunsBackwards(t *testing.T) {
	h := newHouse(t)
	second := another(t, h.stream, ledgertest.NewClock(start.Add(-time.Hour)), ledger.Config{})
	r := second.must("acme", allocate("pc-1"))
	if r.Time.Before(start) {
		t.Errorf("an entry of %s follows one of %s", r.Time, start)
	}
}

// shrinkingLog answers, once it is cut, as a server does that has lost an acknowledged record.
type shrinkingLog struct {
	*ledgertest.Log
	cut bool
}

func (l *shrinkingLog) Last(ctx context.Context) (uint64, error) {
	last, err := l.Log.Last(ctx)
	if l.cut {
		last--
	}
	return last, err
}

func (l *shrinkingLog) Get(ctx context.Context, seq uint64) (events.Stored, error) {
	if l.cut {
		return events.Stored{}, ledger.ErrNoRecord
	}
	return l.Log.Get(ctx, seq)
}

func (l *shrinkingLog) Append(ctx context.Context, r events.Record, after uint64) error {
	if l.cut {
		return ledger.ErrConflict
	}
	return l.Log.Append(ctx, r, after)
}

func TestLogThatLostItsTail(t *testing.T) {
	clock := ledgertest.NewClock(start)
	stream := ledgertest.NewStream(t, clock)
	log := &shrinkingLog{Log: stream.Open()}
	s, err := ledger.Start(t.Context(), ledger.Config{Log: log, States: ledgertest.NewStates(t, stream.Open()), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Sequencer: s, t: t, stream: stream, clock: clock}
	h.open("acme")
	log.cut = true // while nothing is in flight
	before := len(entries(t, stream))
	if _, err := h.Submit(t.Context(), h.command("acme", allocate("pc-2"))); err == nil {
		t.Error("it goes on although acknowledged records are gone")
	}
	if _, err := h.Submit(t.Context(), h.command("acme", allocate("pc-3"))); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("afterwards: %v", err)
	}
	if after := len(entries(t, stream)); after != before {
		t.Errorf("%d entries were recorded", after-before)
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Two sequencers on one stream, with every fault: what was acknowledged is there exactly once, nothing else is,
// and the log, decided again from the start, is what was decided (no lost update, no stale decision).
func TestTwoSequencersUnderFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	clock := ledgertest.NewClock(start)
	one := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{})
	one.open("acme", "umbrella")
	two := another(t, one.stream, clock, ledger.Config{})
	houses := []*house{one, two}
	for i, h := range houses {
		h.log.Chaos(seed+uint64(i), 0.15)
	}
	type result struct {
		id    string
		entry uint64
		err   error
	}
	const callers, each = 16, 25
	results := make(chan result, callers*each)
	var wg sync.WaitGroup
	for caller := range callers {
		rng := rand.New(rand.NewPCG(seed, uint64(caller)))
		h := houses[caller%2]
		wg.Go(func() {
			seqs := map[string]uint64{}
			for i := range each {
				provider := []string{"acme", "umbrella"}[rng.IntN(2)]
				c := ledger.Command{ID: fmt.Sprintf("once/%d/%d", caller, i), Provider: provider, Actor: "test"}
				c.Seed[0], c.Seed[1] = byte(caller), byte(i)
				switch rng.IntN(3) {
				case 0:
					c.Body = allocate(fmt.Sprintf("pc-%d", rng.IntN(40)))
				case 1:
					agent := fmt.Sprintf("agent-%d", caller)
					seqs[provider]++
					c.Body = report(agent, seqs[provider], rng.IntN(1000))
				default:
					c.Body = license.Buy{Type: "desktop", Quantity: 1 + rng.IntN(3)}
				}
				r, err := h.Submit(t.Context(), c)
				if err == nil && r.Duplicate {
					err = errors.New("a report that was never sent is a duplicate")
				}
				results <- result{c.ID, r.Entry, err}
			}
		})
	}
	wg.Wait()
	close(results)
	for _, h := range houses {
		h.log.Chaos(0, 0)
	}
	found := byCommand(t, one.stream)
	acknowledged := 0
	for r := range results {
		got := found[r.id]
		switch {
		case r.err == nil:
			acknowledged++
			if len(got) != 1 || got[0] != r.entry {
				t.Errorf("%s was acknowledged as entry %d and recorded as %d", r.id, r.entry, got)
			}
		case code(r.err) != "" || errors.Is(r.err, ledger.ErrOverloaded) || errors.Is(r.err, ledger.ErrUnavailable):
			if len(got) != 0 {
				t.Errorf("%s was refused (%v) and recorded as %d", r.id, r.err, got)
			}
		default:
			t.Errorf("%s: %v", r.id, r.err)
		}
	}
	if acknowledged < callers*each/4 {
		t.Errorf("only %d of %d commands were acknowledged", acknowledged, callers*each)
	}
	replay(t, one.stream)
	for _, h := range houses {
		h.must("acme", license.Buy{Type: "server", Quantity: 1})
		checkJournal(t, h)
	}
	t.Logf("%d conflicts, %d retries", one.Stats().Conflicts+two.Stats().Conflicts, one.Stats().Retries+two.Stats().Retries)
}

// replay checks the laws of the log: no endpoint holds two servers, no report counts twice, time does not run backwards.
func replay(t *testing.T, s *ledgertest.Stream) {
	t.Helper()
	type sent struct {
		provider, agent, spool string
		seq                    uint64
	}
	holds, seen := map[string]string{}, map[sent]bool{}
	var last time.Time
	for _, e := range entries(t, s) {
		if e.Actor == "ledgertest" {
			continue // a made-up foreign record, of a made-up time
		}
		if e.Time.Before(last) {
			t.Errorf("entry %d: time runs backwards", e.Number)
		}
		last = e.Time
		for _, ev := range e.Events {
			switch d := ev.Data.(type) {
			case *events.LicenseAllocated:
				key := e.Provider + "/" + d.License.Assignee.ID
				if other, ok := holds[key]; ok {
					t.Errorf("entry %d: %s holds %s and gets %s", e.Number, key, other, d.License.ID)
				}
				holds[key] = d.License.ID
			case *events.LicenseReleased:
				delete(holds, e.Provider+"/"+d.License.Assignee.ID)
			case *events.UsageRecorded:
				key := sent{e.Provider, d.Agent, d.Spool, d.Seq} // a text would take agent-1's 11th for agent-11's 1st
				if seen[key] {
					t.Errorf("entry %d: report %v counts twice", e.Number, key)
				}
				seen[key] = true
			}
		}
	}
}

// A pool of a few licenses, allocated and released through two sequencers with faults, is linearizable, refusals included.
func TestPoolIsLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	clock := ledgertest.NewClock(start)
	one := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{})
	one.open("acme")
	one.must("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "manual"}})
	const pool, endpoints = 3, 5
	one.must("acme", license.Buy{Type: "server", Quantity: pool})
	two := another(t, one.stream, clock, ledger.Config{})
	houses := []*house{one, two}
	for i, h := range houses {
		h.log.Chaos(seed+uint64(i), 0.1)
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	begun := time.Now()
	var wg sync.WaitGroup
	for client := range 8 {
		rng := rand.New(rand.NewPCG(seed, uint64(client)))
		h := houses[client%2]
		wg.Go(func() {
			held := map[int]string{} // what this client allocated
			for i := range 12 {
				e := rng.IntN(endpoints)
				in := poolInput{endpoint: e}
				c := ledger.Command{ID: fmt.Sprintf("once/%d/%d", client, i), Provider: "acme", Actor: "test"}
				c.Seed[0], c.Seed[1] = byte(client), byte(i)
				if id, ok := held[e]; ok {
					in.release = true
					c.Body = license.Release{License: id}
				} else {
					c.Body = license.Allocate{Type: "server", Company: "manual", Assignee: events.Assignee{Kind: events.Endpoint, ID: fmt.Sprintf("pc-%d", e)}}
				}
				call := time.Since(begun).Nanoseconds()
				r, err := h.Submit(t.Context(), c)
				done := time.Since(begun).Nanoseconds()
				if err != nil && code(err) == "" {
					if errors.Is(err, ledger.ErrUnavailable) {
						continue // nothing was recorded
					}
					t.Error(err)
				}
				if err == nil && !in.release {
					held[e] = events.LicenseAfter(r.Events[len(r.Events)-1].Data).ID
				} else if in.release {
					delete(held, e)
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Input: in, Call: call, Output: code(err), Return: done})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	model := porcupine.Model{
		Init: func() any { return poolState{free: pool} },
		Step: func(state, input, output any) (bool, any) {
			return state.(poolState).step(input.(poolInput), output.(license.Code))
		},
	}
	if res := porcupine.CheckOperationsTimeout(model, history, time.Minute); res != porcupine.Ok {
		t.Errorf("%d operations: %s", len(history), res)
	}
}

type poolInput struct {
	endpoint int
	release  bool
}

// poolState is what an observer of the pool must see: a released license is gone for good.
type poolState struct {
	free int
	held [5]bool
}

func (s poolState) step(in poolInput, out license.Code) (bool, any) {
	switch {
	case in.release:
		ok := out == "" && s.held[in.endpoint]
		s.held[in.endpoint] = false
		return ok, s
	case s.held[in.endpoint]:
		return out == license.LicenseAlreadyHeld, s
	case s.free == 0:
		return out == license.PoolEmpty, s
	default:
		s.free--
		s.held[in.endpoint] = true
		return out == "", s
	}
}
