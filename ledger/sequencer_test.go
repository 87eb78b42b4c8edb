package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)

// house is a sequencer with all it needs, on a memory stream.
type house struct {
	*ledger.Sequencer
	t       *testing.T
	stream  *ledgertest.Stream
	log     *ledgertest.Log
	journal *ledgertest.Journal
	states  *ledgertest.States
	clock   *ledgertest.Clock
	n       int
}

// another starts a sequencer on a stream, beside those that are there.
func another(t *testing.T, stream *ledgertest.Stream, clock *ledgertest.Clock, bounds ledger.Config) *house {
	t.Helper()
	h := &house{t: t, stream: stream, clock: clock, log: stream.Open(), journal: ledgertest.NewJournal(t)}
	h.states = ledgertest.NewStates(t, stream.Open())
	bounds.Log, bounds.Journal, bounds.States, bounds.Clock = h.log, h.journal, h.states, clock
	s, err := ledger.Start(t.Context(), bounds)
	if err != nil {
		t.Fatal(err)
	}
	h.Sequencer = s
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

func newHouse(t *testing.T) *house {
	t.Helper()
	clock := ledgertest.NewClock(start)
	h := another(t, ledgertest.NewStream(t, clock), clock, ledger.Config{})
	h.open("acme")
	return h
}

func (h *house) open(providers ...string) {
	h.t.Helper()
	h.must("", license.Open{Ledger: "01KGB0000000000000000000AA"})
	for _, p := range providers {
		h.must(p, license.SetProvider{Name: p})
		h.must(p, license.SetPaymentMethod{System: "fastspring", Account: "a"})
		h.must(p, license.SetCompany{CompanySet: events.CompanySet{Company: "globex", Allocation: events.Automatic}})
	}
}

func (h *house) command(provider string, body license.Body) ledger.Command {
	h.n++
	c := ledger.Command{ID: fmt.Sprintf("once/test/%d", h.n), Provider: provider, Actor: "test", Body: body}
	c.Seed[0], c.Seed[1], c.Seed[2] = byte(h.n), byte(h.n>>8), byte(h.n>>16)
	return c
}

func (h *house) must(provider string, body license.Body) ledger.Receipt {
	h.t.Helper()
	r, err := h.Submit(h.t.Context(), h.command(provider, body))
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// entries reads the whole stream.
func entries(t *testing.T, s *ledgertest.Stream) []events.Entry {
	t.Helper()
	var all []events.Entry
	for _, stored := range s.Records() {
		es, err := events.DecodeRecord(&stored.Record)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, es...)
	}
	return all
}

func code(err error) license.Code {
	var r *license.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func allocate(endpoint string) license.Allocate {
	return license.Allocate{Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: endpoint}}
}

func report(agent string, seq uint64, values ...int) license.Report {
	var readings []events.Reading
	for i, v := range values {
		q, err := events.ParseQuantity(fmt.Sprint(v))
		if err != nil {
			panic(err)
		}
		readings = append(readings, events.Reading{Meter: "m", Value: q, At: start.Add(time.Duration(i) * time.Second)})
	}
	return license.Report{Agent: agent, Seq: seq, Company: "globex", Readings: readings, Digest: events.DigestReadings(readings)}
}

func TestReceiptNamesTheEntry(t *testing.T) {
	h := newHouse(t)
	r := h.must("acme", license.Buy{Type: "server", Quantity: 3})
	all := entries(t, h.stream)
	last := all[len(all)-1]
	if r.Entry != last.Number || len(r.Events) != 3 || len(last.Events) != 3 || last.Provider != "acme" {
		t.Errorf("receipt %+v for entry %+v", r, last)
	}
	if diff := cmp.Diff(r.Events, last.Events); diff != "" {
		t.Errorf("the receipt's events are not those of the log (-receipt +log):\n%s", diff)
	}
	for i, e := range all {
		if e.Number != uint64(i) {
			t.Fatalf("entry %d has number %d", i, e.Number)
		}
	}
}

func TestRefusalLeavesNothingBehind(t *testing.T) {
	h := newHouse(t)
	before := len(entries(t, h.stream))
	for _, tt := range []struct {
		name     string
		provider string
		body     license.Body
		want     license.Code
	}{
		{"unknown provider", "nobody", license.Buy{Type: "server", Quantity: 1}, license.NotFound},
		{"unknown type", "acme", license.Buy{Type: "sever", Quantity: 1}, license.Invalid},
		{"no quantity", "acme", license.Buy{Type: "server"}, license.Invalid},
		{"absurd quantity", "acme", license.Buy{Type: "server", Quantity: 1 << 40}, license.Invalid},
		{"unknown license", "acme", license.Release{License: "x"}, license.NotFound},
		{"report of an unknown endpoint", "acme", license.Report{Agent: "pc", Seq: 1, Readings: report("pc", 1, 1).Readings}, license.NotFound},
		{"report number 0", "acme", report("pc", 0, 1), license.Invalid},
	} {
		if _, err := h.Submit(t.Context(), h.command(tt.provider, tt.body)); code(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if after := len(entries(t, h.stream)); after != before {
		t.Errorf("%d entries were recorded", after-before)
	}
}

func TestDryRunRecordsNothing(t *testing.T) {
	h := newHouse(t)
	before := len(entries(t, h.stream))
	c := h.command("acme", allocate("pc-1"))
	c.DryRun = true
	r, err := h.Submit(t.Context(), c)
	if err != nil || r.Entry != 0 || len(r.Events) != 3 {
		t.Fatalf("dry run: %+v, %v", r, err)
	}
	if after := len(entries(t, h.stream)); after != before {
		t.Errorf("%d entries were recorded", after-before)
	}
	h.must("acme", allocate("pc-1")) // as if the dry run had not been
}

func TestRepeatedCommandGetsTheFirstAnswer(t *testing.T) {
	h := newHouse(t)
	c := h.command("acme", license.Buy{Type: "server", Quantity: 700}) // several entries
	c.ID, c.Request = license.KeyedDoor+"test/k1", events.Digest{1}
	first, err := h.Submit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	n := len(entries(t, h.stream))
	again, err := h.Submit(t.Context(), c)
	if err != nil || !again.Duplicate {
		t.Fatalf("again: %+v, %v", again.Duplicate, err)
	}
	again.Duplicate = false
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("another answer (-first +again):\n%s", diff)
	}
	other := c
	other.Request = events.Digest{2}
	if _, err := h.Submit(t.Context(), other); code(err) != license.IdempotencyMismatch {
		t.Errorf("same key, other request: %v", err)
	}
	if len(entries(t, h.stream)) != n {
		t.Error("a repetition was recorded")
	}
	// After 24 hours of the ledger's time the key is free.
	h.clock.Advance(license.MemoryOfCommands)
	if r, err := h.Submit(t.Context(), c); err != nil || !r.Duplicate {
		t.Errorf("at 24 h: %v", err)
	}
	h.clock.Advance(time.Millisecond)
	if r, err := h.Submit(t.Context(), c); err != nil || r.Duplicate {
		t.Errorf("after 24 h: duplicate %v, %v", r.Duplicate, err)
	}
}

func TestReportsCountOnce(t *testing.T) { // domain U2
	h := newHouse(t)
	h.must("acme", report("pc-1", 1, 10))
	h.must("acme", report("pc-1", 3, 30)) // 2 is a gap
	n := len(entries(t, h.stream))
	if r := h.must("acme", report("pc-1", 1, 10)); !r.Duplicate {
		t.Error("a repeated report counts")
	}
	if _, err := h.Submit(t.Context(), h.command("acme", report("pc-1", 3, 31))); code(err) != license.SequenceReused {
		t.Errorf("other content under a recorded number: %v", err)
	}
	if len(entries(t, h.stream)) != n {
		t.Error("a duplicate was recorded")
	}
	if r := h.must("acme", report("pc-1", 2, 20)); r.Duplicate {
		t.Error("the missing report does not count")
	}
}

func TestManyCallersShareRecords(t *testing.T) {
	h := newHouse(t)
	before, _ := h.log.Last(t.Context())
	gate := h.log.HoldAck()
	const callers = 200
	var wg sync.WaitGroup
	for i := range callers {
		c := h.command("acme", allocate(fmt.Sprintf("pc-%d", i)))
		wg.Go(func() {
			if _, err := h.Submit(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	await(t, func() bool { return h.Stats().Waiting == callers })
	gate.Open()
	wg.Wait()
	after, _ := h.log.Last(t.Context())
	if records := after - before; records > callers/4 {
		t.Errorf("%d callers made %d records", callers, records)
	}
	held := map[string]int{}
	for _, e := range entries(t, h.stream) {
		for _, ev := range e.Events {
			if a, ok := ev.Data.(*events.LicenseAllocated); ok {
				held[a.License.Assignee.ID]++
			}
		}
	}
	if len(held) != callers {
		t.Errorf("%d endpoints got a license", len(held))
	}
}

// await waits for a condition that another goroutine brings about.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never happens")
		}
	}
}

func TestNoAnswerBeforeItIsDurable(t *testing.T) {
	h := newHouse(t)
	bought := h.must("acme", license.Buy{Type: "server", Quantity: 1})
	id := events.LicenseAfter(bought.Events[0].Data).ID
	gate := h.log.HoldAck()
	answers := make(chan string, 3)
	submit := func(name string, c ledger.Command) {
		go func() {
			_, err := h.Submit(t.Context(), c)
			answers <- fmt.Sprint(name, " ", code(err))
		}()
	}
	submit("release", h.command("acme", license.Release{License: id}))
	await(t, func() bool { return h.Stats().Waiting == 1 })
	// A refusal that rests on the release, and a dry run: neither may be told before the release is on disk.
	submit("again", h.command("acme", license.Release{License: id}))
	dry := h.command("acme", license.Buy{Type: "server", Quantity: 1})
	dry.DryRun = true
	submit("dry", dry)
	await(t, func() bool { return h.Stats().Waiting == 3 })
	select {
	case a := <-answers:
		t.Fatalf("%q was answered before the record was acknowledged", a)
	default:
	}
	gate.Open()
	got := map[string]bool{<-answers: true, <-answers: true, <-answers: true}
	for _, want := range []string{"release ", "again license_closed", "dry "} {
		if !got[want] {
			t.Errorf("%q is missing from %v", want, got)
		}
	}
}
