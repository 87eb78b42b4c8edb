package ledgertest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
)

// States folds a log in memory and serves the sequencer from it, as the licenses view does from its file.
type States struct {
	mu        sync.Mutex
	changed   chan struct{} // closed and replaced with every record
	sys       ledger.System
	providers map[string]*license.State
	spools    map[ledger.SpoolKey]license.Spool
	err       error
	held      chan struct{} // not nil: records wait until it is closed
	loads     int
}

var _ ledger.States = (*States)(nil)

// NewStates follows the log until the test ends.
func NewStates(t testing.TB, log ledger.Log) *States {
	s := &States{changed: make(chan struct{}), providers: make(map[string]*license.State), spools: make(map[ledger.SpoolKey]license.Spool)}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { s.follow(ctx, log) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return s
}

// Hold keeps what comes from now on from being folded until release is called: a view that lags.
func (s *States) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held = nil
		close(held)
	})
}

// Loads counts the states that were loaded.
func (s *States) Loads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

func (s *States) follow(ctx context.Context, log ledger.Log) {
	next := uint64(1)
	for ctx.Err() == nil {
		// A read that breaks off is begun again, as the views' runtime does.
		for stored, err := range log.Read(ctx, next) {
			if err != nil {
				break
			}
			s.mu.Lock()
			held := s.held
			s.mu.Unlock()
			if held != nil {
				select {
				case <-held:
				case <-ctx.Done():
					return
				}
			}
			entries, err := events.DecodeRecord(&stored.Record)
			s.fold(entries, err)
			next = stored.Seq + 1
		}
	}
}

func (s *States) fold(entries []events.Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	for i := range entries {
		e := &entries[i]
		s.sys.Apply(e)
		if e.Provider == "" {
			continue
		}
		state, ok := s.providers[e.Provider]
		if !ok {
			state = license.NewState()
			s.providers[e.Provider] = state
		}
		state.Apply(e)
		for _, ev := range e.Events {
			if agent, name, seq, digest, ok := license.SpoolOf(ev.Data); ok {
				key := ledger.SpoolKey{Provider: e.Provider, Agent: agent, Spool: name}
				s.spools[key] = s.spools[key].Add(seq, digest)
			}
		}
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns with the lock held when everything below next is folded.
func (s *States) wait(ctx context.Context, next uint64) error {
	s.mu.Lock()
	for s.sys.Next < next && s.err == nil {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			return context.Cause(ctx)
		}
		s.mu.Lock()
	}
	s.loads++
	return s.err
}

// System is the ledger's own state.
func (s *States) System(ctx context.Context, next uint64) (ledger.System, error) {
	err := s.wait(ctx, next)
	defer s.mu.Unlock()
	return s.sys, err
}

// Provider is a copy of a provider's state.
func (s *States) Provider(ctx context.Context, id string, next uint64) (*license.State, error) {
	err := s.wait(ctx, next)
	defer s.mu.Unlock()
	state, ok := s.providers[id]
	if !ok {
		return license.NewState(), err
	}
	return state.Fork(), err
}

// Spool is what is known of a spool.
func (s *States) Spool(ctx context.Context, key ledger.SpoolKey, next uint64) (license.Spool, error) {
	err := s.wait(ctx, next)
	defer s.mu.Unlock()
	return s.spools[key], err
}

// Next is the first entry that is not folded.
func (s *States) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sys.Next
}
