package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	crand "crypto/rand"

	"github.com/nats-io/nats.go"

	"licenseledger/cmd/ledgerd/internal/clock"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/usage"
)

// daemon is a running ledger without its doors.
type daemon struct {
	server    *natsd.Server // nil with an external server
	conn      *nats.Conn    // of the stream
	doors     *nats.Conn    // of the intake, so that neither waits behind the other's bytes
	log       *stream.Stream
	licenses  *projections.Store
	usage     *projections.Store
	invoices  *projections.Store
	sequencer *ledger.Sequencer
	time      ledger.Clock
	clock     *clock.Clock

	logger *slog.Logger
	stops  []func(ctx context.Context) error // what stop calls, last first
}

// startDaemon starts everything that stands behind the doors, in the order that architecture says: server, stream, views,
// sequencer. What was started is stopped again when it fails.
func startDaemon(ctx context.Context, c config, agents agentCheck, progress func(projections.Progress), logger *slog.Logger) (d *daemon, err error) {
	d = &daemon{logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := d.openStream(ctx, c, agents); err != nil {
		return nil, err
	}
	if err := d.openViews(ctx, c, progress); err != nil {
		return nil, err
	}
	if err := d.openSequencer(ctx, c); err != nil {
		return nil, err
	}
	return d, nil
}

// agentCheck says whom an agent's user name and token stand for.
type agentCheck func(user, password string) (provider, agent string, ok bool)

func (d *daemon) openStream(ctx context.Context, c config, agents agentCheck) error {
	config := stream.Config{Replicas: 1}
	options := []nats.Option{
		nats.Name("ledgerd"), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { d.logger.Warn("NATS", "err", err) }),
	}
	connect := func() (*nats.Conn, error) {
		return nats.Connect(c.nats, append(options, nats.Timeout(10*time.Second))...)
	}
	if c.creds != "" {
		options = append(options, nats.UserCredentials(c.creds))
	}
	if c.nats == "" {
		var err error
		d.server, err = natsd.Start(ctx, natsd.Config{
			Dir: filepath.Join(c.data, "nats"), Listen: c.natsListen, Authenticate: agents, Logger: d.logger,
		})
		if err != nil {
			return err
		}
		d.stops = append(d.stops, func(context.Context) error { d.server.Shutdown(); return nil })
		if d.server.Unclean() {
			d.logger.Info("the last stop was not clean")
		}
		connect = func() (*nats.Conn, error) { return d.server.Connect(options...) }
	}
	for _, conn := range []**nats.Conn{&d.conn, &d.doors} {
		opened, err := connect()
		if err != nil {
			return fmt.Errorf("connect to NATS: %w", err)
		}
		*conn = opened
		d.stops = append(d.stops, func(context.Context) error { opened.Close(); return nil })
	}
	admin := d.conn
	if d.server != nil {
		var err error
		if admin, err = d.server.ConnectAdmin(options...); err != nil {
			return fmt.Errorf("connect to NATS: %w", err)
		}
		defer admin.Close()
	} else if d.conn.ConnectedClusterName() != "" {
		config.Replicas = 3
	}

	var err error
	d.log, err = stream.Open(ctx, d.conn, config)
	if errors.Is(err, stream.ErrNoStream) {
		// A ledger that has views had a stream: an empty one in its place would hide the loss.
		if views, _ := filepath.Glob(filepath.Join(c.data, "views", "*.db")); len(views) > 0 {
			return fmt.Errorf("%s holds views of a ledger whose stream is gone: restore the stream, or move the views away to begin anew", c.data)
		}
		d.log, err = stream.Create(ctx, admin, d.conn, config)
	}
	return err
}

func (d *daemon) openViews(ctx context.Context, c config, progress func(projections.Progress)) error {
	dir := filepath.Join(c.data, "views")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the views' folder: %w", err)
	}
	for _, v := range []struct {
		store **projections.Store
		view  projections.View
	}{{&d.licenses, licenses.New()}, {&d.usage, usage.View{}}, {&d.invoices, invoices.New()}} {
		store, err := projections.Open(dir, v.view)
		if err != nil {
			return err
		}
		*v.store = store
		d.stops = append(d.stops, func(context.Context) error { return store.Close() })
	}
	followCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		err := projections.Follow(followCtx, d.log, projections.Options{
			Fatal:    func(err error) bool { return errors.Is(err, ledger.ErrGap) || errors.Is(err, events.ErrMalformed) },
			Progress: progress, Log: d.logger,
		}, d.stores()...)
		if err != nil {
			d.logger.Error("no view can go on", "err", err)
		}
	})
	d.stops = append(d.stops, func(context.Context) error { cancel(); done.Wait(); return nil })
	for _, store := range d.stores() {
		if err := store.WaitTail(ctx, d.log); err != nil {
			if store == d.licenses || ctx.Err() != nil {
				return err
			}
			d.logger.Error("the ledger starts without a view", "view", store.Name(), "err", err)
		}
	}
	return nil
}

func (d *daemon) stores() []*projections.Store {
	return []*projections.Store{d.licenses, d.usage, d.invoices}
}

func (d *daemon) openSequencer(ctx context.Context, c config) error {
	states := states{d.licenses}
	sys, err := states.System(ctx, 0)
	if err != nil {
		return err
	}
	isTest := !c.startAt.IsZero()
	switch {
	case sys.Ledger != "" && sys.TestClock && !isTest:
		return fmt.Errorf("%s holds a ledger with a test clock, which stands at %s: give --test-clock as well", c.data, events.FormatTime(sys.Time))
	case sys.Ledger != "" && !sys.TestClock && isTest:
		return fmt.Errorf("%s holds a ledger on real time, which takes no --test-clock", c.data)
	}
	var test *ledger.TestClock
	if isTest {
		at := c.startAt
		if sys.Ledger != "" {
			at = sys.Time // a restart goes on from the last entry
		}
		test = ledger.NewTestClock(at)
		d.time = test
	} else {
		if ahead := time.Until(sys.Time); ahead > ledger.MaxClockJump {
			return fmt.Errorf("the ledger's last entry is of %s, which is %s in the future: check the machine's clock", events.FormatTime(sys.Time), ahead.Round(time.Second))
		}
		d.time = ledger.NewSystemClock()
	}
	d.sequencer, err = ledger.Start(ctx, ledger.Config{Log: d.log, States: states, Clock: d.time, Logger: d.logger})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, d.sequencer.Close)
	var id [10]byte
	_, _ = crand.Read(id[:]) // never fails
	receipt, err := d.sequencer.Submit(ctx, ledger.Command{
		ID: "ledgerd/open", Actor: "ledgerd", Body: license.Open{Ledger: events.ULIDAt(time.Now(), id), TestClock: isTest},
	})
	if err != nil {
		return fmt.Errorf("open the ledger: %w", err)
	}
	if err := d.licenses.Wait(ctx, receipt.Entry); err != nil {
		return err
	}
	d.clock = &clock.Clock{Submit: d.sequencer, Licenses: d.licenses, Invoices: d.invoices, Time: d.time, Test: test, Logger: d.logger}
	return nil
}

// ready says why the ledger cannot serve, or nil.
func (d *daemon) ready() error {
	var errs []error
	for _, s := range d.stores() {
		if err := s.Err(); err != nil {
			errs = append(errs, err)
		}
	}
	if !d.conn.IsConnected() {
		errs = append(errs, errors.New("no connection to NATS"))
	}
	if _, err := d.time.Now(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stop stops what was started, last first: the sequencer answers what it accepted, views commit, the server closes its files.
func (d *daemon) stop(ctx context.Context) error {
	var errs []error
	for len(d.stops) > 0 {
		last := len(d.stops) - 1
		errs = append(errs, d.stops[last](ctx))
		d.stops = d.stops[:last]
	}
	return errors.Join(errs...)
}

// hint adds what to do to an error that a person meets at the start.
func hint(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	switch {
	case errors.Is(err, natsd.ErrLocked), errors.Is(err, projections.ErrLocked):
		return text + ". Is another ledgerd running on this folder? Stop it, or choose another --data"
	case errors.Is(err, natsd.ErrAddressInUse):
		return text + ". Choose another --nats-listen"
	case errors.Is(err, os.ErrPermission):
		return text + ". Choose a folder that you may write to, with --data"
	case errors.Is(err, nats.ErrNoServers):
		return text + ". Is the server running, and its URL right?"
	}
	var refused *projections.RefusedError
	if errors.As(err, &refused) {
		return text + ". Views can be thrown away: remove the file, and it is built again from the stream"
	}
	return text
}
