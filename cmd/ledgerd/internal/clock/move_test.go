package clock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
)

// entries is the whole log.
func (h *house) entries() (list []events.Entry) {
	h.t.Helper()
	log := h.stream.Open()
	last, err := log.Last(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	for r, err := range log.Read(h.t.Context(), 1) {
		if err != nil {
			h.t.Fatal(err)
		}
		inside, err := events.DecodeRecord(&r.Record)
		if err != nil {
			h.t.Fatal(err)
		}
		if list = append(list, inside...); r.Seq == last {
			break
		}
	}
	return list
}

// happened is what the clock recorded: the time of each entry, and its events with what took effect at another time marked.
func (h *house) happened() (list []string) {
	h.t.Helper()
	for _, e := range h.entries() {
		if e.Actor != events.ClockActor {
			continue
		}
		line := e.Time.Format("01-02T15:04")
		for i, ev := range e.Events {
			line += " " + strings.TrimSuffix(ev.Data.Kind(), ".v1")
			if !e.EffectiveAt(i).Equal(e.Time) {
				line += " of " + e.EffectiveAt(i).Format("01-02T15:04")
			}
		}
		list = append(list, line)
	}
	return list
}

// D4, L2, L9, B6: a move stops at every instant at which something is due, in order, so that each thing happens at its own time.
func TestMoveStepsThroughWhatIsDue(t *testing.T) {
	h := newHouse(t)
	h.follow()
	h.do("acme", license.Install{Endpoint: "pc-17", Company: "globex", Type: "server"})
	to := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	position, err := h.Move(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"04-21T10:00 license.trial-ending",
		"04-24T10:00 license.converted",
		"05-01T00:00 month.closed",
		"05-01T00:00 license.renewed",
		"05-01T00:00 statement.issued",
		"06-01T00:00 month.closed",
		"06-01T00:00 license.renewed",
		"06-01T00:00 statement.issued",
		"06-15T12:00 clock.moved",
	}, joined(h.happened())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Once more to where it stands: nothing, the same position. Back: refused, and nothing either.
	n := len(h.entries())
	if again, err := h.Move(t.Context(), to); err != nil || again != position {
		t.Errorf("moved again: entry %d, %v; the first time %d", again, err, position)
	}
	if _, err := h.Move(t.Context(), to.Add(-time.Millisecond)); !errors.Is(err, ErrBackwards) {
		t.Errorf("moved back: %v", err)
	}
	if err := h.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if now, _ := h.test.Now(); !now.Equal(to) || len(h.entries()) != n {
		t.Errorf("the clock stands at %s, and %d entries came", now, len(h.entries())-n)
	}
}

// joined puts a month's end that came as one entry, or as two, into the same lines.
func joined(lines []string) (list []string) {
	for _, line := range lines {
		at, what, _ := strings.Cut(line, " ")
		for kind := range strings.FieldsSeq(what) {
			list = append(list, at+" "+kind)
		}
	}
	return list
}

// failing is a submitter that fails from some command on, until it is mended.
type failing struct {
	Submitter
	mu   sync.Mutex
	left int
}

var errBroken = errors.New("the log is away")

func (f *failing) Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
	f.mu.Lock()
	f.left--
	broken := f.left < 0
	f.mu.Unlock()
	if broken {
		return ledger.Receipt{}, errBroken
	}
	return f.Submitter.Submit(ctx, c)
}

// A move that fails stands where it got to, whatever command was the first that failed; moving again goes on, and in the end all is as if
// nothing had failed.
func TestMoveGoesOn(t *testing.T) {
	to := time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)
	play := func(t *testing.T, fails []int) (interrupted int, happened []string) {
		h := newHouse(t)
		h.follow()
		h.do("acme", license.Install{Endpoint: "pc-17", Company: "globex", Type: "server"})
		f := &failing{Submitter: h.sequencer}
		h.Submit = f
		for _, f.left = range fails {
			before, _ := h.test.Now()
			_, err := h.Move(t.Context(), to)
			if now, _ := h.test.Now(); now.Before(before) || now.After(to) {
				t.Errorf("from %s it moved to %s", before, now)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			interrupted++
		}
		f.left = 1000
		if _, err := h.Move(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		return interrupted, joined(h.happened())
	}
	_, want := play(t, nil)
	for n := range 9 {
		t.Run(fmt.Sprint("after ", n), func(t *testing.T) {
			interrupted, got := play(t, []int{n, 0, n})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d moves were interrupted (-want +got):\n%s", interrupted, diff)
			}
			if interrupted == 0 && n < 5 {
				t.Error("no move was interrupted")
			}
		})
	}
}

// Two clocks at once, each with a sequencer and views of its own on one stream, or both with the same sequencer, repeat nothing.
func TestTwoClocks(t *testing.T) {
	for name, own := range map[string]bool{"one sequencer": false, "two sequencers": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.follow()
			const n = 3 * pageSize
			for range n / license.MaxQuantity {
				h.do("acme", license.Buy{Type: "server", Quantity: license.MaxQuantity})
			}
			h.do("acme", license.Buy{Type: "server", Quantity: n % license.MaxQuantity})
			h.do("acme", license.Install{Endpoint: "pc-17", Company: "globex", Type: "desktop"})
			second := h.clone()
			if own {
				other := openHouse(t, h.test, h.stream)
				other.follow()
				second = other.Clock
			}
			h.test.Set(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
			var both errgroup.Group
			for _, c := range []*Clock{h.Clock, second} {
				if err := c.catchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
				both.Go(func() error { return c.Drain(t.Context()) })
			}
			if err := both.Wait(); err != nil {
				t.Fatal(err)
			}
			seen := make(map[string]int)
			for _, e := range h.entries() {
				for i, ev := range e.Events {
					what := ev.Data.Kind()
					if l := events.LicenseAfter(ev.Data); l != nil {
						what += " " + l.ID
					}
					if issued, ok := ev.Data.(*events.StatementIssued); ok {
						what += " " + issued.Number
					}
					if e.Actor == events.ClockActor {
						seen[what+" "+e.EffectiveAt(i).Format("01-02")]++
					}
				}
			}
			for what, times := range seen {
				if times != 1 {
					t.Errorf("%d times: %s", times, what)
				}
			}
			// Each license for two months, the trial's announcement and end, and its renewals; two closed months and their statements.
			if want := 2*n + 2 + 2 + 2*2; len(seen) != want {
				t.Errorf("%d things happened, want %d", len(seen), want)
			}
		})
	}
}

// clone is another clock that stands on the same things.
func (c *Clock) clone() *Clock {
	return &Clock{
		Submit: c.Submit, Licenses: c.Licenses, Invoices: c.Invoices, Audit: c.Audit, Tiles: c.Tiles, Log: c.Log,
		Time: c.Time, Test: c.Test, Logger: c.Logger,
	}
}
