package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	crand "crypto/rand"

	"github.com/nats-io/nats.go"

	"licenseledger/cmd/ledgerd/internal/clock"
	"licenseledger/cmd/ledgerd/internal/leasekeys"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/cmd/ledgerd/internal/recover"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/journal"
	"licenseledger/ledger/license"
	"licenseledger/ledger/proof"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

// daemon is a running ledger without its doors.
type daemon struct {
	server    *natsd.Server // nil with an external server
	conn      *nats.Conn    // of the stream
	doors     *nats.Conn    // of the intake, so that neither waits behind the other's bytes
	log       *stream.Stream
	journal   *journal.Journal // nil with an external server
	licenses  *projections.Store
	usage     *projections.Store
	invoices  *projections.Store
	notices   *projections.Store
	audit     *projections.Store
	sequencer *ledger.Sequencer
	time      ledger.Clock
	clock     *clock.Clock
	scrub     *recover.Scrub // nil with an external server

	logger *slog.Logger
	stops  []func(ctx context.Context) error // what stop calls, last first
}

// startDaemon starts everything that stands behind the doors, in the order that architecture says: server, stream, journal,
// views, sequencer. What was started is stopped again when it fails.
func startDaemon(ctx context.Context, c config, agents agentCheck, progress func(projections.Progress), logger *slog.Logger) (*daemon, error) {
	d := &daemon{logger: logger}
	err := d.openStream(ctx, c, agents)
	if err == nil {
		err = d.openJournal(ctx, c)
	}
	if err == nil {
		err = d.openViews(ctx, c, progress)
	}
	if err == nil {
		err = d.openSequencer(ctx, c)
	}
	if err == nil {
		err = d.openScrub(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	return d, nil
}

// agentCheck says whom an agent's user name and token stand for.
type agentCheck func(user, password string) (provider, agent string, ok bool)

func (d *daemon) openStream(ctx context.Context, c config, agents agentCheck) error {
	config := stream.Config{Replicas: 1}
	options := []nats.Option{
		nats.Name("ledgerd"), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		// A node that hangs keeps its connections: one that does not answer pings is left for another.
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
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
			OnUnclean: func(streams string) error { return copyAside(c.data, streams) },
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
		if d.server == nil {
			watching, stop := context.WithCancel(context.WithoutCancel(ctx))
			var watch sync.WaitGroup
			watch.Go(func() { stream.Watch(watching, opened, d.logger) })
			d.stops = append(d.stops, func(context.Context) error { stop(); watch.Wait(); return nil })
		}
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

	for end := time.Now().Add(clusterPatience); ; {
		err := d.openLog(ctx, c, admin, config)
		if !errors.Is(err, stream.ErrNoLeader) || time.Now().After(end) {
			return err
		}
		d.logger.Warn("the stream cannot be opened yet, trying again", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// clusterPatience is how long the nodes of a cluster may take to have a leader again that has everything.
const clusterPatience = 30 * time.Second

// openLog opens the stream, or makes that of a new ledger.
func (d *daemon) openLog(ctx context.Context, c config, admin *nats.Conn, config stream.Config) (err error) {
	d.log, err = stream.Open(ctx, d.conn, config)
	if errors.Is(err, stream.ErrNoStream) {
		// A ledger that has views had a stream: an empty one in its place would hide the loss.
		if seen, verr := viewsHaveSeen(c.data); verr != nil || seen {
			return errors.Join(verr, errStreamGone(c.data))
		}
		if begins, jerr := recover.Begins(journalFolder(c.data)); jerr != nil || !begins {
			return errors.Join(jerr, errStreamGone(c.data))
		}
		d.log, err = stream.Create(ctx, admin, d.conn, config)
	}
	return err
}

// viewsHaveSeen says whether a data folder holds views that have applied something, or audit tiles. (One whose first start was killed has files
// without a row.)
func viewsHaveSeen(data string) (bool, error) {
	dir := filepath.Join(data, "views")
	switch _, err := audit.Folder(dir).Checkpoint(context.Background()); {
	case err == nil:
		return true, nil
	case !errors.Is(err, proof.ErrNoTile):
		return false, err
	}
	for _, v := range []projections.View{licenses.New(), usage.View{}, invoices.New(), notices.View{}, audit.New(signing(data))} {
		if _, err := os.Stat(filepath.Join(dir, v.Name()+".db")); errors.Is(err, os.ErrNotExist) {
			continue
		}
		store, err := projections.Open(dir, v)
		if err != nil {
			return false, err
		}
		seen := store.Next() > 0
		if err := store.Close(); err != nil || seen {
			return seen, err
		}
	}
	return false, nil
}

func errStreamGone(data string) error {
	return fmt.Errorf("%s holds the views of a ledger whose stream is gone. ledgerd restore --data %s makes the stream again; only to begin anew, move everything away", data, data)
}

func (d *daemon) openViews(ctx context.Context, c config, progress func(projections.Progress)) error {
	dir := filepath.Join(c.data, "views")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the views' folder: %w", err)
	}
	if err := checkSigning(ctx, c.data); err != nil {
		return err
	}
	for _, v := range []struct {
		store **projections.Store
		view  projections.View
	}{{&d.licenses, licenses.New()}, {&d.usage, usage.View{}}, {&d.invoices, invoices.New()}, {&d.notices, notices.View{}},
		{&d.audit, audit.New(signing(c.data))}} {
		if c.around != nil {
			v.view = c.around(v.view)
		}
		store, err := projections.Open(dir, v.view)
		if refused := (*projections.RefusedError)(nil); errors.As(err, &refused) && refused.Outdated {
			d.logger.Info("a view has another format now, and is built again from the stream", "view", v.view.Name())
			if err = projections.Remove(dir, v.view); err == nil {
				store, err = projections.Open(dir, v.view)
			}
		}
		if err != nil {
			return err
		}
		*v.store = store
		d.stops = append(d.stops, func(context.Context) error { return store.Close() })
	}
	if err := d.compareViews(ctx, c); err != nil {
		return err
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
			if store == d.licenses || ctx.Err() != nil || errors.Is(err, ledger.ErrGap) {
				return err
			}
			d.logger.Error("the ledger starts without a view", "view", store.Name(), "err", err)
		}
	}
	return nil
}

// compareViews refuses views that have seen more than the stream holds, or something else: then records that were
// acknowledged are gone, and whatever was decided now would rest on what the stream does not say.
func (d *daemon) compareViews(ctx context.Context, c config) error {
	last, err := d.log.Last(ctx)
	if err != nil {
		return err
	}
	for _, store := range d.stores() {
		at := store.Stats()
		if at.Sequence == 0 {
			continue
		}
		if at.Sequence > last {
			return fmt.Errorf("the stream has lost what was acknowledged: it ends at record %d, and view %s has applied record %d (up to entry %d). "+
				"Restore %s, and keep the views until then: they are what shows the loss. Only if it is the view that is of another ledger, remove %s",
				last, at.View, at.Sequence, at.Next-1, d.place(c), viewFile(c, at.View))
		}
		there, err := d.log.Get(ctx, at.Sequence)
		if err != nil {
			return err
		}
		if there.ID != at.Record {
			return fmt.Errorf("view %s is of another stream: as record %d it has applied %s, and there stands %s. "+
				"If the stream is the right one, remove %s, and it is built again; if not, restore %s",
				at.View, at.Sequence, at.Record, there.ID, viewFile(c, at.View), d.place(c))
		}
	}
	// The server notices damage to a file when it reads it, and only then counts what is lost. Where the views stand it has
	// read now; the oldest file, which nobody asks for otherwise, is read as well.
	if last > 0 {
		if _, err := d.log.Get(ctx, 1); err != nil {
			return err
		}
		_, err = d.log.Last(ctx)
	}
	return err
}

func viewFile(c config, view string) string { return filepath.Join(c.data, "views", view+".db") }

// place says where the stream is and what restores it, for people.
func (d *daemon) place(c config) string {
	if d.server == nil {
		return "the stream on " + d.conn.ConnectedUrlRedacted() + " from a copy that has it"
	}
	return filepath.Join(c.data, "nats") + " with: ledgerd restore --data " + c.data
}

func (d *daemon) stores() []*projections.Store {
	return []*projections.Store{d.licenses, d.usage, d.invoices, d.notices, d.audit}
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
		return fmt.Errorf("%s holds a ledger on real time, which takes neither --test-clock nor --demo: leave them out, or choose another --data", c.data)
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
	config := ledger.Config{Log: d.log, States: states, Clock: d.time, Logger: d.logger}
	if d.server == nil {
		config.Doubt = clusterPatience
	}
	if d.journal != nil {
		config.Journal = d.journal
	}
	d.sequencer, err = ledger.Start(ctx, config)
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
	// With its first entry the key is made that callers ask for. A view that has stopped has said so.
	if err := d.audit.Wait(ctx, receipt.Entry); err != nil && d.audit.Err() == nil {
		return err
	}
	d.clock = &clock.Clock{
		Submit: d.sequencer, Licenses: d.licenses, Invoices: d.invoices, Audit: d.audit, Tiles: audit.Folder(filepath.Join(c.data, "views")),
		Log: d.log, Time: d.time, Test: test, Logger: d.logger,
	}
	return nil
}

// openLeaseKeys opens the keys that sign leases, as of the ledger's time.
func (d *daemon) openLeaseKeys(c config) (*leasekeys.Keys, error) {
	now, err := d.time.Now()
	if err != nil {
		return nil, err
	}
	return leasekeys.Open(filepath.Join(c.data, "keys", "leases"), c.offline, now)
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
	if err := d.sequencer.Err(); err != nil {
		errs = append(errs, err)
	}
	if d.scrub != nil && d.scrub.Err() != nil {
		errs = append(errs, d.scrub.Err())
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

// oneLine is the text of an error, those that were joined one after the other.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// hint adds what to do to an error that a person meets at the start.
func hint(err error) string {
	text := oneLine(err)
	switch {
	case errors.Is(err, errLocked), errors.Is(err, natsd.ErrLocked), errors.Is(err, projections.ErrLocked), errors.Is(err, names.ErrLocked):
		return text + ". Is another ledgerd running on this folder? Stop it, or choose another --data"
	case errors.Is(err, natsd.ErrAddressInUse):
		return text + ". Choose another --nats-listen"
	case errors.Is(err, ledger.ErrGap), errors.Is(err, projections.ErrGap), errors.Is(err, recover.ErrTiles):
		return text + ". Keep the folder as it is; ledgerd restore --data DIR makes the stream again from its other copies"
	case errors.Is(err, recover.ErrNeither):
		return text + ". Keep the folder as it is: ledgerd verify says what differs, and ledgerd restore --from FILE makes a ledger from a backup"
	case errors.Is(err, nats.ErrNoServers):
		return text + ". Is the server running, and its URL right?"
	}
	var refused *projections.RefusedError
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return text + ". Choose a folder that you may write to, with --data"
	case errors.As(err, &refused):
		return text + ". Views can be thrown away: remove the file, and it is built again from the stream"
	}
	return text
}
