package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"licenseledger/cmd/ledgerd/internal/demo"
	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/lease"
	"licenseledger/projections"
)

// config is what the flags say.
type config struct {
	demo       bool
	data       string
	nats       string // external servers; empty: embedded
	creds      string
	http       string
	natsListen string
	testClock  string
	offline    time.Duration // for how long a lease may be used without asking again
	verbose    bool

	startAt time.Time // where a new test clock stands; zero on real time

	// around is what stands around each view; nil for nothing. No flag sets it: tests hold views up.
	around func(projections.View) projections.View
}

func (c *config) flags(f *pflag.FlagSet) {
	f.BoolVar(&c.demo, "demo", false, "load the demo: a real fleet in March 2026, on a test clock; without --data in a temporary folder")
	f.StringVar(&c.data, "data", "", "folder that holds stream, views and keys")
	f.StringVar(&c.nats, "nats", "", "URL of an external NATS server or cluster, instead of the embedded one")
	f.StringVar(&c.creds, "creds", "", "credentials file for --nats")
	f.StringVar(&c.http, "http", "127.0.0.1:8080", "address of the HTTP API")
	f.StringVar(&c.natsListen, "nats-listen", "", "address on which the embedded NATS server takes agents (default: none)")
	f.StringVar(&c.testClock, "test-clock", "", "the ledger's clock stands at this time (RFC 3339) until PUT /v1/clock moves it")
	f.DurationVar(&c.offline, "lease-offline", lease.DefaultOffline, "how long backup programs run backups without reaching the ledger")
	f.BoolVar(&c.verbose, "verbose", false, "log more")
}

// environment gives flags that were not set on the command line their value from LEDGER_... variables.
func environment(f *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	f.VisitAll(func(flag *pflag.Flag) {
		name := "LEDGER_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if v, ok := lookup(name); ok && !flag.Changed {
			if err := flag.Value.Set(v); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q: %w", name, v, err))
			}
		}
	})
	return errors.Join(errs...)
}

// check says what is wrong with the configuration, and completes it.
func (c *config) check() error {
	switch {
	case c.data == "" && !c.demo:
		return errors.New("where shall the ledger live? Give --data DIR, or --demo to look at it first")
	case c.demo && c.testClock != "":
		return errors.New("--demo has a clock of its own: leave --test-clock out")
	case c.nats != "" && c.natsListen != "":
		return errors.New("--nats-listen is for the embedded server; with --nats agents connect to that server")
	case c.nats == "" && c.creds != "":
		return errors.New("--creds goes with --nats")
	case c.nats != "" && c.data == "":
		return errors.New("--nats needs --data DIR for views and keys")
	}
	if c.testClock != "" {
		t, err := time.Parse(time.RFC3339, c.testClock)
		if err != nil {
			return fmt.Errorf("--test-clock: %q is not a time like 2026-03-01T00:00:00Z", c.testClock)
		}
		if first := catalog.Default()[0].Effective.Start(); t.Before(first) || t.Year() > lastYear {
			return fmt.Errorf("--test-clock: %q is not between %s, when the first catalog begins, and the year %d", c.testClock, events.FormatTime(first), lastYear)
		}
		c.startAt = events.Stamp(t)
	} else if c.demo {
		c.startAt = demo.Start
	}
	if !address(c.http) {
		return fmt.Errorf("--http: %q is not an address like 127.0.0.1:8080", c.http)
	}
	if c.natsListen != "" && !address(c.natsListen) {
		return fmt.Errorf("--nats-listen: %q is not an address like 127.0.0.1:4222", c.natsListen)
	}
	if c.offline < lease.RefreshEvery || c.offline > maxOffline {
		return fmt.Errorf("--lease-offline: %s is not between %s, in which programs ask again, and %s", c.offline, lease.RefreshEvery, maxOffline)
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			return fmt.Errorf("--creds: %w", err)
		}
	}
	return nil
}

// lastYear is as far as a test clock can start: the months behind it still have a text.
const lastYear = 9989

// maxOffline bounds how long a lease that cannot be taken back goes on.
const maxOffline = 366 * 24 * time.Hour

// address says whether text is host:port with a port that is a number.
func address(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
