package license_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// told writes a decision in the bytes of the log.
func told(t *testing.T, d license.Decision, err error) string {
	t.Helper()
	var b []byte
	for _, ev := range slices.Concat(d.Due, d.Events) {
		var encodeErr error
		if b, encodeErr = events.AppendEvent(append(b, '\n'), &ev); encodeErr != nil {
			t.Fatal(encodeErr)
		}
	}
	return fmt.Sprintf("%d due, duplicate %v, error %v%s", len(d.Due), d.Duplicate, err, b)
}

// Decisions of random traffic, each looked at from all sides:
// the same inputs give the same outputs; the state that was decided on stays as it was; a state loaded from rows decides
// alike; what the decision saw is what its events make of the state.
func TestDecisionsArePure(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			traffic := ledgertest.NewTraffic(seed)
			decisions, refusals := 0, 0
			traffic.Deciding = func(s *license.State, c ledger.Command) {
				before := s.Dump()
				d, err := license.Decide(s, c.Body, traffic.Facts(c))
				first := told(t, d, err)
				if after := s.Dump(); after != before {
					t.Fatalf("deciding %+v changed the state:\n%s", c.Body, cmp.Diff(before, after))
				}
				if again, err := license.Decide(s, c.Body, traffic.Facts(c)); told(t, again, err) != first {
					t.Fatalf("%+v was decided in two ways:\n%s\n%s", c.Body, first, told(t, again, err))
				}
				loaded := license.FromRows(s.Rows())
				if got := loaded.Dump(); got != before {
					t.Fatalf("a state is another one when it is loaded:\n%s", cmp.Diff(before, got))
				}
				if fromRows, err := license.Decide(loaded, c.Body, traffic.Facts(c)); told(t, fromRows, err) != first {
					t.Fatalf("%+v is decided in another way on a state that was loaded:\n%s\n%s", c.Body, first, told(t, fromRows, err))
				}
				var refusal *license.Refusal
				if err != nil && (!errors.As(err, &refusal) || refusal.Code == "" || refusal.Message == "") {
					t.Fatalf("%+v: %#v", c.Body, err)
				}
				decisions++
				if err != nil {
					refusals++
				}

				// Entries, as many as may be, fold into what the decision saw.
				last := s.Account().Last
				next := s.Fork()
				for _, ev := range slices.Concat(d.Due, d.Events) {
					next.Apply(&events.Entry{Number: last, Time: traffic.Now, Provider: c.Provider, Command: "test/x", Events: []events.Event{ev}})
				}
				seen := license.Decided(s, c.Body, traffic.Facts(c))
				// Time alone forgets commands; a decision makes no entry and does not know of it.
				seen.Apply(&events.Entry{Number: last, Time: traffic.Now, Provider: c.Provider, Command: "test/x"})
				next.Apply(&events.Entry{Number: last, Time: traffic.Now, Provider: c.Provider, Command: "test/x"})
				if got, want := next.Dump(), seen.Dump(); got != want {
					t.Fatalf("%+v decided on one state and left another:\n%s", c.Body, cmp.Diff(want, got))
				}
				advanced(t, s.Fork(), c, traffic.Facts(c), first)
				if s.Dump() != before {
					t.Fatalf("changing a fork after %+v changed its origin", c.Body)
				}
			}
			for len(traffic.Entries) < 250 {
				traffic.Step()
			}
			if decisions < 200 || refusals < 20 || refusals > decisions*3/4 {
				t.Errorf("%d decisions, %d of them refusals: the traffic is not what the test wants", decisions, refusals)
			}
		})
	}
}

// advanced checks that a state that is ahead of its entries is, however many of them are written before the rest is taken back, what they
// make of it; and that what is written later is folded as usual.
func advanced(t *testing.T, s *license.State, c ledger.Command, f license.Facts, want string) {
	t.Helper()
	entry := func(n int, evs []events.Event) *events.Entry {
		return &events.Entry{Number: 9000 + uint64(n), Time: f.Now, Provider: c.Provider, Command: "http/x", Events: evs}
	}
	for written := 0; ; written++ {
		f.IDs = events.NewIDs(c.Seed, f.Now)
		ahead, folded := s.Fork(), s.Fork()
		d, err := license.Advance(ahead, c.Body, f)
		if got := told(t, d, err); got != want {
			t.Fatalf("%+v: Advance decides %s\nDecide %s", c.Body, got, want)
		}
		all := append(slices.Clip(d.Due), d.Events...)
		for i := range all[:min(written, len(all))] {
			d.Wrote(entry(i, all[i:i+1]))
			folded.Apply(entry(i, all[i:i+1]))
		}
		if written <= len(all) {
			d.TakeBack()
		}
		if got, want := ahead.Dump(), folded.Dump(); got != want {
			t.Fatalf("%+v with %d of %d events written:\n%s", c.Body, written, len(all), cmp.Diff(want, got))
		}
		if written > len(all) {
			return
		}
		for i := written; i < len(all); i++ {
			d.Wrote(entry(i, all[i:i+1]))
			folded.Apply(entry(i, all[i:i+1]))
		}
		if got, want := ahead.Dump(), folded.Dump(); got != want {
			t.Fatalf("%+v taken back after %d of %d events and written:\n%s", c.Body, written, len(all), cmp.Diff(want, got))
		}
	}
}

// The log's entries, decoded from their bytes, fold into the states that were decided on: how a command was divided
// over entries does not matter.
func TestStateIsTheFold(t *testing.T) {
	for seed := range uint64(6) {
		traffic := ledgertest.NewTraffic(seed)
		for len(traffic.Entries) < 300 {
			traffic.Step()
		}
		states := map[string]*license.State{}
		parts := 0
		for i := range traffic.Entries {
			line, err := events.AppendEntry(nil, &traffic.Entries[i])
			if err != nil {
				t.Fatal(err)
			}
			e, err := events.DecodeEntry(line)
			if err != nil {
				t.Fatal(err)
			}
			if states[e.Provider] == nil {
				states[e.Provider] = license.NewState()
			}
			states[e.Provider].Apply(&e)
			if e.Parts > 0 {
				parts++
			}
		}
		if parts == 0 {
			t.Errorf("seed %d: no command made several entries", seed)
		}
		for _, p := range traffic.Providers() {
			if got, want := states[p].Dump(), traffic.State(p).Dump(); got != want {
				t.Errorf("seed %d, %s:\n%s", seed, p, cmp.Diff(want, got))
			}
		}
	}
}

// Forks are independent, whichever of them is changed.
func TestForks(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.must(buy("server", 50, ""))
	origin := d.State("acme")
	before := origin.Dump()
	entry := func(s *license.State, name string) *events.Entry {
		l, _ := s.License(d.ids[name])
		released := *l
		released.Status, released.ExpiresAt = events.Released, d.Now
		return &events.Entry{Number: 99, Time: d.Now, Provider: "acme", Events: []events.Event{{Data: &events.LicenseReleased{License: released}}}}
	}
	a, b := origin.Fork(), origin.Fork()
	a.Apply(entry(a, "L1"))
	if origin.Dump() != before || b.Dump() != before {
		t.Error("a fork's change shows elsewhere")
	}
	changed := a.Dump()
	origin.Apply(entry(origin, "L2"))
	if a.Dump() != changed || b.Dump() != before {
		t.Error("the origin's change shows in a fork")
	}
	c := a.Fork()
	c.Apply(entry(c, "L3"))
	if a.Dump() != changed {
		t.Error("the change of a fork's fork shows in the fork")
	}
}

// Commands whose callers chose the id are remembered for 24 hours of the provider's entries (architecture, "Life of a command").
func TestMemoryOfCommands(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	submit := func(id string, body license.Body) {
		t.Helper()
		if _, err := d.Submit(ledger.Command{ID: id, Provider: "acme", Actor: "operator", Request: events.Digest{1}, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	remembered := func(id string) bool {
		_, ok := d.State("acme").Command(id)
		return ok
	}
	d.PerEntry = 2
	submit("http/operator/k1", buy("server", 5, ""))
	submit("nats/operator/k2", buy("server", 1, ""))
	submit("http/operator/nothing", license.SetPaymentMethod{System: "fastspring", Account: "a1"})
	last := d.State("acme").Account().Last
	if r, ok := d.State("acme").Command("http/operator/k1"); !ok || r.Parts != 3 || r.Entry != last-1 || !r.Time.Equal(d.Now) || r.Digest != (events.Digest{1}) {
		t.Errorf("the command is remembered as %+v; the last entry is %d", r, last)
	}
	if remembered("nats/operator/k2") || remembered("http/operator/nothing") {
		t.Error("more is remembered than can be repeated")
	}
	if got, err := d.Submit(ledger.Command{ID: "http/operator/k1", Provider: "acme", Body: buy("server", 5, ""), Request: events.Digest{1}}); err != nil || !got.Duplicate {
		t.Errorf("repeated: %+v, %v", got, err)
	}
	d.Now = d.Now.Add(license.MemoryOfCommands)
	submit("http/operator/k3", license.SetProvider{Name: "other"})
	if !remembered("http/operator/k1") {
		t.Error("after exactly 24 hours it is forgotten")
	}
	d.Now = d.Now.Add(events.Precision)
	if !remembered("http/operator/k1") {
		t.Error("it is forgotten before the provider has a later entry")
	}
	submit("clock/x", license.SetProvider{Name: "another"})
	if remembered("http/operator/k1") || !remembered("http/operator/k3") {
		t.Error("a millisecond later the wrong commands are remembered")
	}
	submit("http/operator/k1", license.SetProvider{Name: "a third"}) // the id is free again
	if r, _ := d.State("acme").Command("http/operator/k1"); r.Parts != 0 || !r.Time.Equal(d.Now) {
		t.Errorf("%+v", r)
	}
}

// An id that comes twice within 24 hours, as two writers might leave it, counts from the later time on.
func TestCommandRecordedTwice(t *testing.T) {
	at := instant("2026-02-10")
	s := license.NewState()
	entry := func(number uint64, at time.Time, command string) {
		s.Apply(&events.Entry{Number: number, Time: at, Provider: "acme", Command: command, Events: []events.Event{{Data: &events.ProviderSet{Currency: "USD"}}}})
	}
	entry(1, at, "http/operator/k1")
	entry(2, at.Add(20*time.Hour), "http/operator/k1")
	entry(3, at.Add(30*time.Hour), "clock/x")
	if r, ok := s.Command("http/operator/k1"); !ok || r.Entry != 2 {
		t.Errorf("%+v, %v", r, ok)
	}
	entry(4, at.Add(45*time.Hour), "clock/x")
	if _, ok := s.Command("http/operator/k1"); ok || s.Size() != 1 {
		t.Errorf("it is still there, and the size is %d", s.Size())
	}
}

// A dry run decides and leaves nothing but what was due.
func TestDryRun(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.at("2026-03-01")
	before := len(d.Entries)
	decision, err := d.Submit(ledger.Command{ID: "http/operator/k1", Provider: "acme", Actor: "operator", Body: buy("server", 1, ""), DryRun: true})
	if err != nil || len(decision.Events) != 1 || len(decision.Due) != 1 {
		t.Fatalf("%+v, %v", decision, err)
	}
	if n := len(d.Entries) - before; n != 1 || d.Entries[before].Actor != events.ClockActor {
		t.Errorf("%d entries", n)
	}
}

// Size bounds a cache: it grows with everything that a state holds.
func TestSize(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	sizes := []int{d.State("acme").Size()}
	for _, c := range []ledger.Command{
		{ID: "x/1", Body: license.SetCompany{CompanySet: events.CompanySet{Company: "more"}}},
		{ID: "x/2", Body: license.Report{Agent: "pc-1", Company: "globex", Seq: 1, Void: "x"}},
		{ID: "x/3", Body: buy("server", 1, "")},
		{ID: "http/4", Body: license.SetProvider{Name: "x"}},
	} {
		c.Provider = "acme"
		if _, err := d.Submit(c); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, d.State("acme").Size())
	}
	for i := range sizes[1:] {
		if sizes[i+1] != sizes[i]+1 {
			t.Errorf("sizes are %v", sizes)
			break
		}
	}
}

// Ids of licenses come from the command's seed: deciding again, elsewhere, gives the same ones (events.Seed).
func TestIDsComeFromTheSeed(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	buyWith := func(seed byte) []byte {
		decision, err := license.Decide(d.State("acme"), buy("server", 3, ""), d.Facts(ledger.Command{Provider: "acme", Seed: events.Seed{seed}}))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(told(t, decision, nil))
	}
	if !bytes.Equal(buyWith(1), buyWith(1)) || bytes.Equal(buyWith(1), buyWith(2)) {
		t.Error("ids do not go by the seed")
	}
}
