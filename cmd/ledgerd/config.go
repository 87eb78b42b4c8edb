package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"licenseledger/cmd/ledgerd/internal/demo"
	"licenseledger/events"
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
	verbose    bool

	startAt time.Time // where a new test clock stands; zero on real time
}

func (c *config) flags(f *pflag.FlagSet) {
	f.BoolVar(&c.demo, "demo", false, "load the demo: a real fleet in March 2026, on a test clock; without --data in a temporary folder")
	f.StringVar(&c.data, "data", "", "folder that holds stream, views and keys")
	f.StringVar(&c.nats, "nats", "", "URL of an external NATS server or cluster, instead of the embedded one")
	f.StringVar(&c.creds, "creds", "", "credentials file for --nats")
	f.StringVar(&c.http, "http", "127.0.0.1:8080", "address of the HTTP API")
	f.StringVar(&c.natsListen, "nats-listen", "", "address on which the embedded NATS server takes agents (default: none)")
	f.StringVar(&c.testClock, "test-clock", "", "the ledger's clock stands at this time (RFC 3339) until PUT /v1/clock moves it")
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
		c.startAt = events.Stamp(t)
	} else if c.demo {
		c.startAt = demo.Start
	}
	for flag, addr := range map[string]string{"--http": c.http, "--nats-listen": c.natsListen} {
		if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
			return fmt.Errorf("%s: %q is not an address like 127.0.0.1:8080", flag, addr)
		}
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			return fmt.Errorf("--creds: %w", err)
		}
	}
	return nil
}
