package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/demo"
	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/projections"
	"licenseledger/projections/audit"
)

// stopPatience is how long a stop waits for what was accepted to be answered.
const stopPatience = 30 * time.Second

// serve runs a ledger until ctx ends.
func serve(ctx context.Context, c config, stdout io.Writer, logger *slog.Logger) (err error) {
	out := newProgress(stdout)
	// Whatever is certain to fail fails before anything is written.
	listener, err := listen("--http", c.http)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.natsListen != "" {
		probe, err := listen("--nats-listen", c.natsListen)
		if err != nil {
			return err
		}
		probe.Close()
	}
	if c.data == "" {
		if c.data, err = os.MkdirTemp("", "licenseledger-demo-"); err != nil {
			return fmt.Errorf("make a temporary folder: %w", err)
		}
		defer os.RemoveAll(c.data)
	}
	if _, err := os.Stat(filepath.Join(c.data, "nats")); c.nats == "" && errors.Is(err, fs.ErrNotExist) {
		if seen, err := viewsHaveSeen(c.data); err != nil || seen {
			return errors.Join(err, errStreamGone(c.data))
		}
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	unlock, err := lockData(c.data) // a second ledgerd ends here
	if err != nil {
		return err
	}
	defer unlock()
	people, err := names.Open(filepath.Join(c.data, "names.db"))
	if err != nil {
		return err
	}
	defer people.Close()
	recorded := &auth.Recorded{}
	doors, err := auth.Open(filepath.Join(c.data, "operator.token"), recorded)
	if err != nil {
		return err
	}

	d, err := startDaemon(ctx, c, doors.Agent, func(p projections.Progress) {
		out.show("catching up: "+p.View, int(p.Next), int(p.Tail))
	}, logger)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil // stopped while it started
		}
		return err
	}
	recorded.Use(d.licenses)
	leases, err := d.openLeaseKeys(c)
	if err != nil {
		return errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	keySecrets, err := auth.OpenKeySecrets(filepath.Join(keysFolder(c.data), activationKey))
	if err != nil {
		return errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	reports, err := intake.Start(intake.Config{Conn: d.doors, Ledger: d.sequencer, Logger: logger})
	if err != nil {
		return errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	clockCtx, stopClock := context.WithCancel(context.WithoutCancel(ctx))
	defer stopClock()
	config := httpapi.Config{
		Submit: d.sequencer, Licenses: d.licenses, Usage: d.usage, Invoices: d.invoices, Notices: d.notices, Clock: d.time, Auth: doors, Names: people, Leases: leases, KeySecrets: keySecrets,
		Audit: d.audit, AuditReader: audit.NewReader(filepath.Join(c.data, "views"), d.audit), AuditKey: func() (string, error) { return publicKey(c.data) },
		Logger: logger, Registry: prometheus.NewRegistry(), Ready: d.ready, Stats: d.sequencer.Stats, Intake: reports.Stats,
	}
	config.Registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")})),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if d.server != nil {
		config.Disconnect = d.server.Disconnect
		if err := config.Registry.Register(copiesMetrics{d.journal, d.scrub}); err != nil {
			return errors.Join(err, reports.Stop(ctx), d.stop(context.WithoutCancel(ctx)))
		}
	}
	if d.clock.Test != nil {
		config.Mover = mover(func(ctx context.Context, t time.Time) (uint64, error) { return d.move(ctx, clockCtx, t) })
	}
	handler, err := httpapi.New(config)
	if err != nil {
		return errors.Join(err, reports.Stop(ctx), d.stop(context.WithoutCancel(ctx)))
	}
	if d.server != nil {
		if err := d.server.Listen(); err != nil {
			return errors.Join(err, reports.Stop(ctx), d.stop(context.WithoutCancel(ctx)))
		}
	}
	var stopping atomic.Bool
	server := httpapi.Server(c.http, unless(&stopping, handler))
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	var background sync.WaitGroup
	background.Go(func() { d.clock.Run(clockCtx) })

	url := "http://" + listener.Addr().String()
	if c.demo {
		err = playDemo(ctx, c, d, url, out)
	}
	if err == nil {
		out.line("The ledger is open at %s/v1 (described by %s/openapi.json).", url, url)
		out.line("The operator's token is in %s.", filepath.Join(c.data, "operator.token"))
		if key, err := publicKey(c.data); err == nil {
			out.line("Checkpoints verify with %s", key)
		}
		if d.server != nil && c.natsListen != "" {
			out.line("Agents report to %s.", d.server.ClientURL())
		}
		select {
		case <-ctx.Done():
			out.line("Stopping: what was accepted is answered first.")
		case err = <-failed:
			err = fmt.Errorf("the HTTP door: %w", err)
		}
	} else if ctx.Err() != nil {
		err = nil // stopped while the demo was loading
	}

	// Stop in the opposite order: clock, doors, then what stands behind them.
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	stopClock()
	background.Wait()
	stopping.Store(true)
	if serr := server.Shutdown(patience); serr != nil && !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("close the HTTP door: %w", serr), server.Close())
	}
	return errors.Join(err, reports.Stop(patience), d.stop(patience))
}

// listen opens a TCP door.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w. Another program has the port: stop it, or choose another %s", err, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("%w. Choose another %s", err, flag)
	}
	return l, nil
}

// unless refuses what comes while the ledger stops. Shutdown may close a connection on which a request has just come and is
// not yet known to it: nothing may be recorded for such a request, as it would not be answered.
func unless(stopping *atomic.Bool, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !stopping.Load() {
			handler.ServeHTTP(w, r)
			return
		}
		p := api.NewProblem(api.CodeUnavailable, "the ledger is stopping")
		w.Header().Set("Content-Type", api.MediaProblem)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p) // a caller that is gone needs no answer
	})
}

// mover is a function that is an [httpapi.Mover].
type mover func(ctx context.Context, t time.Time) (uint64, error)

// Move implements [httpapi.Mover].
func (m mover) Move(ctx context.Context, t time.Time) (uint64, error) { return m(ctx, t) }

// move moves the test clock and waits until every view shows what happened. A move may take minutes, so it ends when
// running does, where it stands: a stop does not wait for it.
func (d *daemon) move(ctx, running context.Context, t time.Time) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(running, cancel)()
	position, err := d.clock.Move(ctx, t)
	for _, s := range d.stores() {
		if err == nil {
			err = s.Wait(ctx, position)
		}
	}
	if err != nil && running.Err() != nil {
		return 0, fmt.Errorf("%w: the ledger is stopping; moving the clock again goes on", ledger.ErrOutcomeUnknown)
	}
	return position, err
}

// playDemo loads the demo and prints the statement of March 2026.
func playDemo(ctx context.Context, c config, d *daemon, url string, out *progress) error {
	token, err := os.ReadFile(filepath.Join(c.data, "operator.token"))
	if err != nil {
		return err
	}
	out.line("Playing 14,021 daily reports of 2,085 storage devices, 11 to 17 March 2026 (source: Backblaze drive statistics).")
	begun := time.Now()
	// Connections that are open without having been used would hold up a stop.
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	defer transport.CloseIdleConnections()
	r, err := demo.Player{
		HTTP: &api.Client{BaseURL: url, Token: strings.TrimSpace(string(token)), HTTP: &http.Client{Transport: transport}}, NATS: d.doors, Progress: out.show,
	}.Play(ctx)
	if err != nil {
		return fmt.Errorf("play the demo: %w", err)
	}
	out.line("%d devices; %d reports recorded, %d had been recorded before; %.1f s.\n", r.Devices, r.Recorded, r.Duplicates, time.Since(begun).Seconds())
	printStatement(out, r.Statement)
	return nil
}

// printStatement prints a statement as a bill.
func printStatement(out *progress, s api.Invoice) {
	out.line("Statement %s of provider %s for %s (%s)", s.Number, demo.Provider, s.Month, s.Currency)
	w := tabwriter.NewWriter(out.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "company\ttype\tunit price\tlicenses\tbilled days\tamount\t")
	for _, l := range s.Lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t\n", l.Company, l.LicenseType, l.UnitPrice, l.Quantity, l.BilledDays, l.Amount)
	}
	fmt.Fprintf(w, "total\t\t\t\t\t%s\t\n", s.Total)
	w.Flush()
	out.line("recorded as entry %d, digest %s\n", s.Position, s.Digest)
}
