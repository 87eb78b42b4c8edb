// Ledgerd is the license ledger's server: an embedded NATS server with
// JetStream (or a connection to an external one), the sequencer, the views, the
// clock, and the doors: HTTP and NATS.
//
//	ledgerd --demo                       a look at it, in a temporary folder
//	ledgerd --data /var/lib/ledger       the real thing; everything is in that folder
//	ledgerd verify, restore, backup      look after such a folder
//
// A data folder holds:
//
//	nats/            the stream: everything that is true
//	journal/         its newest records once more
//	views/*.db       what was computed from it; can be thrown away
//	views/audit/     the second copy of the stream, as tiles with signed checkpoints; cannot
//	keys/            what checkpoints are signed with, and its public half; cannot
//	keys/leases/     what leases are signed with; cannot, and rotates by itself (see internal/leasekeys)
//	keys/activation.key  what the secrets of annual keys are made with; without it they cannot be shown again
//	names.db         names of people and the secrets behind their pseudonyms; cannot
//	operator.token   the operator's token
//	lock             so that nobody else works on the folder
//
// It starts in this order: server, stream, journal, views, sequencer, doors, clock; and stops in the
// opposite one, so that everything that was accepted is answered. kill -9 at any moment loses nothing
// that was acknowledged; the next start recovers by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments. It serves until ctx ends.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if code, known := (surroundings{env, stdout, stderr}).maintain(ctx, args[0], args[1:]); known {
			return code
		}
	}
	var c config
	flags := pflag.NewFlagSet("ledgerd", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	c.flags(flags)
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(stdout, "ledgerd runs a license ledger.\n\n  ledgerd --demo        look at it: a real fleet, in a temporary folder\n  ledgerd --data DIR    run it\n\n  ledgerd backup --data DIR --to FILE     copy everything into one file, also while it runs\n  ledgerd restore --data DIR              make a damaged stream again from its other copies\n  ledgerd restore --data DIR --from FILE  make a ledger from a backup\n  ledgerd verify --data DIR               compare all copies and views, without running it\n\nFlags (each also as an environment variable, such as LEDGER_DATA):\n%s", flags.FlagUsages())
		return 0
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if err == nil {
		err = environment(flags, env)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		fmt.Fprintf(stderr, "ledgerd: %s (ledgerd --help lists the flags)\n", oneLine(err))
		return exitUsage
	}
	level := slog.LevelWarn
	if c.verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	if err := serve(ctx, c, stdout, logger); err != nil {
		fmt.Fprintf(stderr, "ledgerd: %s\n", hint(err))
		return exitFailed
	}
	return 0
}
