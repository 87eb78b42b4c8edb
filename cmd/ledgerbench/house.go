package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/journal"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

// house is a ledger put together as ledgerd does it: embedded server, stream, views, sequencer. What it can do beside is to
// let the views stand still.
type house struct {
	*ledger.Sequencer
	url             string // of the listener
	dial, dialAdmin func(...nats.Option) (*nats.Conn, error)

	conn   *nats.Conn
	log    *stream.Stream
	stores []*projections.Store // the licenses view is the first
	logger *slog.Logger

	unfollow func() // nil while views stand still
	stops    []func(context.Context) error
}

// openServer starts the server alone: ledgerd's own, or, to be reached from other processes, one for many agents.
func (h *house) openServer(ctx context.Context, dir string, listen bool, stderr io.Writer) (err error) {
	h.logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	dir = filepath.Join(dir, "nats")
	if listen {
		server, err := startEdge(dir)
		if err != nil {
			return err
		}
		h.stops = append(h.stops, func(context.Context) error { server.Shutdown(); server.WaitForShutdown(); return nil })
		h.url, h.dial, h.dialAdmin = server.ClientURL(), edgeConnect(server), edgeConnect(server)
	} else {
		server, err := natsd.Start(ctx, natsd.Config{Dir: dir, Logger: h.logger})
		if err != nil {
			return err
		}
		h.stops = append(h.stops, func(context.Context) error { server.Shutdown(); return nil })
		h.dial, h.dialAdmin = server.Connect, server.ConnectAdmin
	}
	if h.conn, err = h.connect(); err != nil {
		return errors.Join(err, h.close(ctx))
	}
	return nil
}

// openHouse starts a new ledger in a folder, with its views following; more are views beside those that answer questions.
func openHouse(ctx context.Context, dir string, listen bool, clock ledger.Clock, stderr io.Writer, more ...projections.View) (h *house, err error) {
	if h, err = openLog(ctx, dir, listen, stderr, append(viewsOf(), more...)...); err != nil {
		return nil, err
	}
	if err := h.begin(ctx, dir, clock); err != nil {
		return nil, errors.Join(err, h.close(context.WithoutCancel(ctx)))
	}
	return h, nil
}

// begin lets the views follow and the sequencer work, with its journal beside the log.
func (h *house) begin(ctx context.Context, dir string, clock ledger.Clock) (err error) {
	h.follow()
	tail, _, err := journal.Open(journal.Config{Dir: filepath.Join(dir, "journal"), Covered: h.stores[0].Next})
	if err != nil {
		return err
	}
	h.stops = append(h.stops, func(context.Context) error { return tail.Close() })
	if h.Sequencer, err = ledger.Start(ctx, ledger.Config{Log: h.log, Journal: tail, States: states{h.stores[0]}, Clock: clock, Logger: h.logger}); err == nil {
		h.stops = append(h.stops, h.Sequencer.Close)
	}
	return err
}

// openLog starts a new ledger without a sequencer, whose views do not follow yet.
func openLog(ctx context.Context, dir string, listen bool, stderr io.Writer, views ...projections.View) (h *house, err error) {
	h = &house{}
	if err := h.openServer(ctx, dir, listen, stderr); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close(context.WithoutCancel(ctx)))
		}
	}()
	admin, err := h.dialAdmin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if h.log, err = stream.Create(ctx, admin, h.conn, stream.Config{}); err != nil {
		return nil, err
	}
	if h.stores, err = openViews(viewsFolder(dir), views...); err != nil {
		return nil, err
	}
	h.stops = append(h.stops, func(context.Context) error { return closeViews(h.stores) })
	h.stops = append(h.stops, func(context.Context) error { h.pause(); return nil })
	return h, nil
}

func viewsFolder(dir string) string { return filepath.Join(dir, "views") }

// viewsOf are the views that answer questions about licenses, usage and money, made anew.
func viewsOf() []projections.View {
	return []projections.View{licenses.New(), usage.View{}, invoices.New(), notices.View{}}
}

// tiles is the view that keeps the Merkle log and signs its checkpoints.
func tiles() projections.View {
	return audit.New(checkpointKey)
}

// connect makes one more connection to the house's own server.
func (h *house) connect() (*nats.Conn, error) {
	conn, err := h.dial(nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { h.logger.Warn("NATS", "err", err) }))
	if err == nil {
		h.stops = append(h.stops, func(context.Context) error { conn.Close(); return nil })
	}
	return conn, err
}

func openViews(dir string, views ...projections.View) (stores []*projections.Store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, v := range views {
		store, err := projections.Open(dir, v)
		if err != nil {
			return nil, errors.Join(err, closeViews(stores))
		}
		stores = append(stores, store)
	}
	return stores, nil
}

func closeViews(stores []*projections.Store) error {
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// follow lets the views follow the stream.
func (h *house) follow() {
	if h.unfollow == nil {
		h.unfollow = followed(h.log, h.logger, h.stores)
	}
}

// followed lets views follow a stream until stop is called.
func followed(log *stream.Stream, logger *slog.Logger, stores []*projections.Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := projections.Follow(ctx, log, projections.Options{Log: logger}, stores...); err != nil {
			logger.Error("no view can go on", "err", err)
		}
	})
	return func() { cancel(); done.Wait() }
}

// pause lets them stand still.
func (h *house) pause() {
	if h.unfollow != nil {
		h.unfollow()
		h.unfollow = nil
	}
}

// visible returns when every view shows what the stream holds.
func (h *house) visible(ctx context.Context) error { return visible(ctx, h.log, h.stores) }

func visible(ctx context.Context, log *stream.Stream, stores []*projections.Store) error {
	for _, s := range stores {
		if err := s.WaitTail(ctx, log); err != nil {
			return err
		}
	}
	return nil
}

// settle opens the ledger and creates the fleet's providers and companies.
func (h *house) settle(ctx context.Context, f fleet) error {
	n := 0
	do := func(provider string, body license.Body) error {
		n++
		_, err := h.Submit(ctx, ledger.Command{ID: fmt.Sprintf("once/bench/%d", n), Provider: provider, Actor: "bench", Body: body})
		return err
	}
	err := do("", license.Open{Ledger: events.ULIDAt(f.start, [10]byte{1})})
	for _, p := range f.providers() {
		err = errors.Join(err,
			do(p, license.SetProvider{Name: "Provider " + p}),
			do(p, license.SetPaymentMethod{System: "fastspring", Account: "account-" + p}))
		for _, c := range f.companies() {
			err = errors.Join(err, do(p, license.SetCompany{CompanySet: events.CompanySet{Company: c, Name: "Company " + c, Allocation: events.Automatic}}))
		}
	}
	return errors.Join(err, h.visible(ctx))
}

func (h *house) close(ctx context.Context) error {
	var errs []error
	for len(h.stops) > 0 {
		last := len(h.stops) - 1
		errs = append(errs, h.stops[last](ctx))
		h.stops = h.stops[:last]
	}
	return errors.Join(errs...)
}

// states lets the sequencer load what decisions rest on from the licenses view.
type states struct{ store *projections.Store }

func (s states) read(ctx context.Context, next uint64, fn func(tx *bbolt.Tx, next uint64) error) error {
	if next > 0 {
		if err := s.store.Wait(ctx, next-1); err != nil {
			return err
		}
	}
	return s.store.Read(ctx, fn)
}

// System implements [ledger.States].
func (s states) System(ctx context.Context, next uint64) (sys ledger.System, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, next uint64) error {
		stored, book, err := licenses.LoadSystem(tx)
		sys = ledger.System{Ledger: stored.Ledger, TestClock: stored.TestClock, Time: stored.Time, Catalogs: book, Next: next}
		return err
	})
	return sys, err
}

// Provider implements [ledger.States].
func (s states) Provider(ctx context.Context, id string, next uint64) (state *license.State, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, _ uint64) error {
		state, err = licenses.LoadState(tx, id)
		return err
	})
	return state, err
}

// Spool implements [ledger.States].
func (s states) Spool(ctx context.Context, k ledger.SpoolKey, next uint64) (spool license.Spool, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, _ uint64) error {
		spool, err = licenses.LoadSpool(tx, k.Provider, k.Agent, k.Spool)
		return err
	})
	return spool, err
}

// Next implements [ledger.States].
func (s states) Next() uint64 { return s.store.Next() }
