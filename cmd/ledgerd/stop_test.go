package main

import (
	"bytes"
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// SIGTERM and SIGINT end ledgerd with code 0 while clients are at work: whatever it recorded, it has answered.
func TestStopAnswers(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			d := start(t, "--data", dir, anyPort)
			c := d.ready()
			setUp(t, c, "acme")
			setUp(t, c, "umbrella")
			l := newLoad(t, seedOf(t))
			ctx, cancel := context.WithCancel(t.Context())
			wait := l.begin(ctx)
			defer wait()
			defer cancel()
			select {
			case <-l.open(c, 200):
			case <-d.exited:
				t.Fatalf("it ended with code %d by itself:\n%s", d.code, d.err)
			case <-time.After(patience):
				t.Fatalf("clients wait:\n%s", d.err)
			}
			d.end(sig)
			d.exits(0)
			cancel()
			wait()
			if text := d.err.String(); text != "" {
				t.Errorf("it complains: %s", text)
			}
			_, entries := readLog(t, dir)
			l.check(entries, true)
		})
	}
}

// A signal ends ledgerd with code 0 wherever it is in its start, and the next start finds nothing to complain about.
func TestStopWhileStarting(t *testing.T) {
	dir := t.TempDir()
	ended, end := context.WithCancel(t.Context())
	end()
	var out, complaint bytes.Buffer
	if code := run(ended, onTestClock(dir), noEnvironment, &out, &complaint); code != 0 || complaint.Len() > 0 {
		t.Errorf("stopped before it started: code %d, %q", code, complaint.String())
	}
	for _, line := range []string{"Starting nats-server", "Server is ready", "Client connection created", "Client connection closed"} {
		d := start(t, append(onTestClock(dir), "--verbose")...)
		d.awaitIn(d.err, line)
		d.stop()
	}
	d := start(t, onTestClock(dir)...)
	setUp(t, d.ready(), "acme")
	d.stop()
	if text := d.err.String(); text != "" {
		t.Errorf("it complains: %s", text)
	}
}

// A stop does not wait for a move of the clock that takes long; the caller is told that moving again goes on.
func TestStopWhileClockMoves(t *testing.T) {
	dir := t.TempDir()
	d := start(t, onTestClock(dir)...)
	c := d.ready()
	setUp(t, c, "acme")
	bought := must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 2000}, api.ChangeOptions{}))(t)
	far := api.Clock{Now: time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)}
	moved := make(chan error, 1)
	go func() {
		_, err := c.SetClock(t.Context(), far, api.ChangeOptions{})
		moved <- err
	}()
	visible(t, c, *bought.Position+20)
	begun := time.Now()
	d.stop()
	if took := time.Since(begun); took > stopPatience {
		t.Errorf("it took %s to stop", took)
	}
	if err := <-moved; api.CodeOf(err) != api.CodeOutcomeUnknown {
		t.Errorf("the move: %v", err)
	}
	_, entries := readLog(t, dir)
	stood := entries[len(entries)-1].Time
	if !stood.After(entries[0].Time) || !stood.Before(far.Now) {
		t.Errorf("the clock was stopped at %s", stood)
	}
	d = start(t, onTestClock(dir)...)
	if now := must(d.ready().Clock(t.Context(), api.ReadOptions{}))(t).Now; now.Before(stood) {
		t.Errorf("the clock stands at %s, and it was %s", now, stood)
	}
	d.stop()
}
