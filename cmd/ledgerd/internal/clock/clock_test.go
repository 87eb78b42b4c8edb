package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
)

var start = time.Date(2026, 4, 10, 10, 0, 0, 0, time.UTC)

// house is a ledger with a test clock, whose views do not follow the log before follow is called.
type house struct {
	*Clock
	t         testing.TB
	test      *ledger.TestClock
	stream    *ledgertest.Stream
	sequencer *ledger.Sequencer
	stores    []*projections.Store
	follow    func()
	commands  int
}

func newHouse(t testing.TB) *house {
	h := openHouse(t, ledger.NewTestClock(start), ledgertest.NewStream(t, nil))
	h.do("", license.Open{Ledger: "01KGB000000000000000000000", TestClock: true})
	h.do("acme", license.SetProvider{Name: "Acme"})
	h.do("acme", license.SetPaymentMethod{System: "fastspring", Account: "acme"})
	h.do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
	return h
}

// openHouse is a ledger on a stream that may have others.
func openHouse(t testing.TB, test *ledger.TestClock, stream *ledgertest.Stream) *house {
	h := &house{t: t, test: test, stream: stream}
	dir := t.TempDir()
	for _, v := range []projections.View{licenses.New(), invoices.New()} {
		s, err := projections.Open(dir, v)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		h.stores = append(h.stores, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	t.Cleanup(func() { cancel(); following.Wait() })
	h.follow = func() {
		following.Go(func() { _ = projections.Follow(ctx, stream.Open(), projections.Options{}, h.stores...) })
	}
	var err error
	h.sequencer, err = ledger.Start(t.Context(), ledger.Config{Log: stream.Open(), States: ledgertest.NewStates(t, stream.Open()), Clock: h.test})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.sequencer.Close(context.Background()) })
	h.Clock = &Clock{
		Submit: h.sequencer, Licenses: h.stores[0], Invoices: h.stores[1], Log: stream.Open(), Time: h.test, Test: h.test,
		Logger: slog.New(slog.DiscardHandler),
	}
	return h
}

func (h *house) do(provider string, body license.Body) {
	h.t.Helper()
	h.commands++
	c := ledger.Command{ID: fmt.Sprint("test/", h.commands), Provider: provider, Actor: "operator", Body: body}
	c.Seed[0], c.Seed[1] = byte(h.commands), byte(h.commands>>8)
	if _, err := h.sequencer.Submit(h.t.Context(), c); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) counters() (n licenses.Counters) {
	h.t.Helper()
	err := h.stores[0].Read(h.t.Context(), func(tx *bbolt.Tx, _ uint64) (err error) {
		n, err = licenses.Count(tx, licenses.Filter{Provider: "acme"})
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// asked is a clock that tells when it was asked for the first time.
type asked struct {
	ledger.Clock
	once sync.Once
	c    chan struct{}
}

func (a *asked) Now() (time.Time, error) {
	a.once.Do(func() { close(a.c) })
	return a.Clock.Now()
}

// What a command made due shortly before is due on the way, however far behind the view is that says so.
func TestMoveWaitsForTheView(t *testing.T) {
	h := newHouse(t)
	h.do("acme", license.Install{Endpoint: "pc-17", Company: "globex", Type: "server"})
	begun := &asked{Clock: h.test, c: make(chan struct{})}
	h.Time = begun
	moved := make(chan error)
	go func() {
		_, err := h.Move(t.Context(), start.AddDate(0, 0, 15))
		moved <- err
	}()
	<-begun.c
	h.follow()
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	if n := h.counters(); n.Paid != 1 || n.ActiveTrial != 0 {
		t.Errorf("a day after the end of its trial the license is not paid: %+v", n)
	}
}

// A month's end of many pages: each page is progress, though the command that asks for it does nothing itself.
func TestMonthsEndInPages(t *testing.T) {
	h := newHouse(t)
	h.follow()
	const pages = 5
	for n := 0; n < pages*pageSize; n += license.MaxQuantity {
		h.do("acme", license.Buy{Type: "server", Quantity: min(license.MaxQuantity, pages*pageSize-n)})
	}
	if _, err := h.Move(t.Context(), time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	renewed := 0
	err := h.stores[0].Read(t.Context(), func(tx *bbolt.Tx, _ uint64) error {
		state, err := licenses.LoadState(tx, "acme")
		for l := range state.Licenses() {
			if l.ExpiresAt.Equal(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
				renewed++
			}
		}
		return err
	})
	if err != nil || renewed != pages*pageSize {
		t.Errorf("%d of %d licenses were renewed, %v", renewed, pages*pageSize, err)
	}
}

// A view of tiles that does not get on keeps the clock from recording a checkpoint, and from nothing else.
func TestSlowAuditViewHoldsUpNothingElse(t *testing.T) {
	h := newHouse(t)
	h.follow()
	slow, err := projections.Open(t.TempDir(), audit.New(nil)) // nobody follows it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slow.Close() })
	h.Audit = slow
	h.do("acme", license.Install{Endpoint: "pc-17", Company: "globex", Type: "server"})
	h.test.Set(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	if err := errors.Join(h.catchUp(t.Context()), h.Drain(t.Context())); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range h.entries() {
		for _, ev := range e.Events {
			if e.Actor == events.ClockActor {
				got = append(got, strings.TrimSuffix(ev.Data.Kind(), ".v1"))
			}
		}
	}
	if want := []string{"license.trial-ending", "license.converted", "month.closed", "license.renewed", "statement.issued"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}
