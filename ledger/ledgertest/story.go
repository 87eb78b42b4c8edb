package ledgertest

import (
	"errors"
	"fmt"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

// Story decides commands one after the other, as the sequencer does, and keeps the entries: a history that reads like
// one.
//
//	s := ledgertest.NewStory(t, "2026-01-01T00:00:00Z")
//	s.Ready("acme", "globex")                               // a provider that pays, a company that allocates automatically
//	s.At("2026-01-10T10:00:00Z").Do("acme", license.Install{...})
//	s.At("2026-02-01T00:00:00Z").Settle("acme")             // what is due by then
//	s.Entries                                               // all of it
type Story struct {
	t        T
	Now      time.Time
	Entries  []events.Entry
	Catalogs catalog.Book
	states   map[string]*license.State
	spools   map[string]license.Spool
	commands int
	ticks    int // commands of the clock
}

// T is the test that a story belongs to: one of package testing, or one of package rapid, which shrinks what it draws.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// NewStory opens a ledger at a time.
func NewStory(t T, at string) *Story {
	s := &Story{t: t, states: make(map[string]*license.State), spools: make(map[string]license.Spool)}
	s.At(at)
	s.Do("", license.Open{Ledger: "01KGB0000000000000000000AA", TestClock: true})
	return s
}

// At lets the time be t (RFC 3339), which must not be earlier than before.
func (s *Story) At(t string) *Story {
	s.t.Helper()
	at, err := time.Parse(time.RFC3339, t)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.AtTime(at)
}

// AtTime lets the time be t.
func (s *Story) AtTime(t time.Time) *Story {
	s.t.Helper()
	if t = events.Stamp(t); t.Before(s.Now) {
		s.t.Fatalf("%s is before %s", t, s.Now)
	}
	s.Now = t
	return s
}

// State is what decisions of a provider rest on.
func (s *Story) State(provider string) *license.State {
	if st, ok := s.states[provider]; ok {
		return st
	}
	st := license.NewState()
	s.states[provider] = st
	return st
}

// Try decides a command, keeps what comes of it, and gives its events or the refusal.
func (s *Story) Try(provider string, body license.Body) ([]events.Event, error) {
	// The clock's ids are its own, so that those of commands do not depend on how often it looked.
	n, clock := &s.commands, byte(0)
	switch body.(type) {
	case license.Settle, license.IssueStatement:
		n, clock = &s.ticks, 1
	}
	*n++
	f := license.Facts{
		Provider: provider, Now: s.Now, Catalogs: s.Catalogs, Opened: len(s.Entries) > 0,
		IDs: events.NewIDs(events.Seed{byte(*n), byte(*n >> 8), byte(*n >> 16), clock}, s.Now),
	}
	var spoolKey string
	if r, ok := body.(license.Report); ok {
		spoolKey = fmt.Sprintf("%s/%s/%s", provider, r.Agent, r.Spool)
		spool := s.spools[spoolKey]
		f.Spool = &spool
	}
	d, err := license.Decide(s.State(provider), body, f)
	if len(d.Due) > 0 {
		s.keep(provider, events.ClockActor, d.Due)
	}
	if err == nil && len(d.Events) > 0 {
		s.keep(provider, "test", d.Events)
		for _, ev := range d.Events {
			if _, _, seq, digest, ok := license.SpoolOf(ev.Data); ok {
				s.spools[spoolKey] = s.spools[spoolKey].Add(seq, digest)
			}
		}
	}
	return d.Events, err
}

// keep makes an entry of events, in bytes and back, and folds it.
func (s *Story) keep(provider, actor string, evs []events.Event) {
	s.t.Helper()
	e := events.Entry{
		Number: uint64(len(s.Entries)), Time: s.Now, Provider: provider, Actor: actor,
		Command: fmt.Sprintf("test/%d", s.commands), Events: evs,
	}
	line, err := events.AppendEntry(nil, &e)
	if errors.Is(err, events.ErrTooLarge) && len(evs) > 1 {
		s.keep(provider, actor, evs[:len(evs)/2])
		s.keep(provider, actor, evs[len(evs)/2:])
		return
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if e, err = events.DecodeEntry(line); err != nil {
		s.t.Fatal(err)
	}
	s.Entries = append(s.Entries, e)
	if provider != "" {
		s.State(provider).Apply(&e)
	}
	for _, ev := range e.Events {
		switch d := ev.Data.(type) {
		case *events.LedgerOpened:
			s.Catalogs = s.Catalogs.Publish(d.Catalog, e.Number)
		case *events.CatalogPublished:
			s.Catalogs = s.Catalogs.Publish(d.Catalog, e.Number)
		}
	}
}

// Do decides a command that must not be refused.
func (s *Story) Do(provider string, body license.Body) []events.Event {
	s.t.Helper()
	evs, err := s.Try(provider, body)
	if err != nil {
		s.t.Fatalf("%T at %s: %v", body, events.FormatTime(s.Now), err)
	}
	return evs
}

// Refused decides a command that must be refused with a code, and leave nothing behind but what was due.
func (s *Story) Refused(provider string, body license.Body, want license.Code) {
	s.t.Helper()
	evs, err := s.Try(provider, body)
	var refusal *license.Refusal
	if !errors.As(err, &refusal) || refusal.Code != want {
		s.t.Errorf("%T at %s: %v, want %s", body, events.FormatTime(s.Now), err, want)
	}
	if len(evs) > 0 {
		s.t.Errorf("%T was refused and leaves %d events", body, len(evs))
	}
}

// Settle lets everything happen that is due, page by page as the clock does.
func (s *Story) Settle(provider string) {
	s.t.Helper()
	for range 1_000_000 {
		before := len(s.Entries)
		s.Do(provider, license.Settle{Limit: 100})
		if len(s.Entries) == before {
			return
		}
	}
	s.t.Fatal("something stays due for ever")
}

// Ready creates a provider that pays in dollars, with companies that allocate automatically.
func (s *Story) Ready(provider string, companies ...string) *Story {
	s.t.Helper()
	s.Do(provider, license.SetProvider{Name: provider})
	s.Do(provider, license.SetPaymentMethod{System: "fastspring", Account: provider})
	for _, c := range companies {
		s.Do(provider, license.SetCompany{CompanySet: events.CompanySet{Company: c, Allocation: events.Automatic}})
	}
	return s
}

// License is a license as it stands.
func (s *Story) License(provider, id string) events.License {
	s.t.Helper()
	l, ok := s.State(provider).License(id)
	if !ok {
		s.t.Fatalf("no license %s", id)
	}
	return *l
}

// Holds finds the license of a type in force that serves an endpoint; ok is false if there is none.
func (s *Story) Holds(provider, endpoint, licenseType string) (found events.License, ok bool) {
	for l := range s.State(provider).Licenses() {
		if l.Serving() && l.Type == licenseType && l.Assignee == (events.Assignee{Kind: events.Endpoint, ID: endpoint}) {
			return *l, true
		}
	}
	return found, false
}
