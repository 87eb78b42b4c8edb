package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/clock"
	"licenseledger/cmd/ledgerd/internal/demo"
	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// stopPatience is how long a stop waits for what was accepted to be answered.
const stopPatience = 30 * time.Second

// serve runs a ledger until ctx ends.
func serve(ctx context.Context, c config, stdout io.Writer, logger *slog.Logger) (err error) {
	out := newProgress(stdout)
	if c.data == "" {
		if c.data, err = os.MkdirTemp("", "licenseledger-demo-"); err != nil {
			return fmt.Errorf("make a temporary folder: %w", err)
		}
		defer os.RemoveAll(c.data)
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	// A taken port is found before anything is written.
	listener, err := net.Listen("tcp", c.http)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%w. Another program has the port: stop it, or choose another --http", err)
		}
		return fmt.Errorf("open the HTTP door: %w", err)
	}
	defer listener.Close()
	recorded := &auth.Recorded{}
	doors, err := auth.Open(filepath.Join(c.data, "operator.token"), recorded)
	if err != nil {
		return err
	}
	people, err := names.Open(filepath.Join(c.data, "names.db"))
	if err != nil {
		return err
	}
	defer people.Close()

	d, err := startDaemon(ctx, c, doors.Agent, func(p projections.Progress) {
		out.show("catching up: "+p.View, int(p.Next), int(p.Tail))
	}, logger)
	if err != nil {
		return err
	}
	recorded.Use(d.licenses)
	registry := prometheus.NewRegistry()
	reports, err := intake.Start(intake.Config{Conn: d.doors, Ledger: d.sequencer, Logger: logger})
	if err != nil {
		return errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	countReports(registry, reports)
	handler, err := httpapi.New(d.httpConfig(doors, people, registry))
	if err != nil {
		return errors.Join(err, d.stop(context.WithoutCancel(ctx)))
	}
	server := httpapi.Server(c.http, handler)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	clockCtx, stopClock := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { d.clock.Run(clockCtx) })

	url := "http://" + listener.Addr().String()
	if c.demo {
		err = playDemo(ctx, c, d, url, out)
	}
	if err == nil {
		out.line("The ledger is open at %s/v1 (described by %s/openapi.json).", url, url)
		out.line("The operator's token is in %s.", filepath.Join(c.data, "operator.token"))
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
	if serr := server.Shutdown(patience); serr != nil && !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("close the HTTP door: %w", serr), server.Close())
	}
	return errors.Join(err, reports.Stop(patience), d.stop(patience))
}

// httpConfig is what the HTTP door needs of the daemon.
func (d *daemon) httpConfig(doors *auth.Verifier, people *names.Store, registry *prometheus.Registry) httpapi.Config {
	config := httpapi.Config{
		Submit: d.sequencer, Licenses: d.licenses, Usage: d.usage, Invoices: d.invoices,
		Clock: d.time, Auth: doors, Names: people, Logger: d.logger, Registry: registry, Ready: d.ready, Stats: d.sequencer.Stats,
	}
	if d.server != nil {
		config.Disconnect = d.server.Disconnect
	}
	if d.clock.Test != nil {
		config.Mover = mover{d.clock, d.stores()}
	}
	return config
}

// mover moves the test clock and waits until every view shows what happened.
type mover struct {
	*clock.Clock
	stores []*projections.Store
}

// Move implements [httpapi.Mover].
func (m mover) Move(ctx context.Context, t time.Time) (uint64, error) {
	position, err := m.Clock.Move(ctx, t)
	if err != nil {
		return 0, err
	}
	for _, s := range m.stores {
		if err := s.Wait(ctx, position); err != nil {
			return 0, err
		}
	}
	return position, nil
}

// playDemo loads the demo and prints the statement of March 2026.
func playDemo(ctx context.Context, c config, d *daemon, url string, out *progress) error {
	token, err := os.ReadFile(filepath.Join(c.data, "operator.token"))
	if err != nil {
		return err
	}
	out.line("Playing 14,021 daily reports of 2,085 storage devices, 11 to 17 March 2026 (source: Backblaze drive statistics).")
	begun := time.Now()
	r, err := demo.Player{
		HTTP: &api.Client{BaseURL: url, Token: strings.TrimSpace(string(token))}, NATS: d.doors, Progress: out.show,
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
