// Ledgerbench measures the ledger beside what people would use instead, in the same run on the same machine:
//
//	go run ./cmd/ledgerbench all                        a few minutes on two cores
//	go run ./cmd/ledgerbench intake-batched replay      some workloads
//	go run ./cmd/ledgerbench all -o json                one JSON object per line, for programs
//
// Every workload has several contestants: the ledger, and its baselines. They run in turn, one at a time, for several
// rounds; of each the median counts. What is printed are the medians, the ratio to each baseline with the goal for it,
// and how noisy the run was: rates depend on the machine, ratios much less.
//
// Whatever says that something is recorded has it on disk (fsync) before it says so, unless the contestant's name is
// "async". Data are built before the clock starts.
//
// README.md tells what each workload does, what was measured, and where the time goes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	if job := os.Getenv(childVariable); job != "" {
		os.Exit(runChild(job, os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	b := &bench{stderr: stderr, scale: 1}
	output, quick := "table", false
	started := false
	root := &cobra.Command{
		Use:           "ledgerbench all|WORKLOAD...",
		Short:         "Measure the ledger beside what people would use instead",
		Long:          "Measure the ledger beside what people would use instead.\n\nWorkloads:\n" + describe(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.MinimumNArgs(1),
		ValidArgs:     append(names(), "all"),
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("-o %s: table or json", output)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			chosen, err := choose(args, b.postgres)
			if err != nil {
				return err
			}
			if b.rounds < 1 {
				return fmt.Errorf("--rounds %d: at least 1", b.rounds)
			}
			if quick {
				b.scale /= 10
			}
			started = true
			var rows []row
			for _, w := range chosen {
				fmt.Fprintf(stderr, "%s: %s\n", w.name, w.about)
				measured, err := b.measure(cmd.Context(), w)
				if err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
				if output == "json" {
					if err := writeJSON(stdout, measured); err != nil {
						return err
					}
				}
				rows = append(rows, measured...)
			}
			if output == "table" {
				return writeTable(stdout, rows)
			}
			return nil
		},
	}
	f := root.Flags()
	root.PersistentFlags().StringVarP(&output, "output", "o", output, "table, or json: one object per line")
	f.IntVar(&b.rounds, "rounds", 3, "how often every contestant runs; the median counts")
	f.BoolVar(&quick, "quick", false, "a tenth of the data: a look, not a measurement")
	root.PersistentFlags().StringVar(&b.dir, "dir", "", "folder for the contestants' data, on the disk to be measured (default: the system's temporary folder)")
	f.StringVar(&b.profiles.CPU, "cpuprofile", "", "write CPU profiles of the ledger at work, without the baselines, to FILE.WORKLOAD; the last round's stays")
	f.StringVar(&b.profiles.Memory, "memprofile", "", "the same for allocations")
	f.StringVar(&b.profiles.Trace, "trace", "", "the same for execution traces")
	f.StringVar(&b.postgres, "postgres", "", "URL of a PostgreSQL database in which schema ledgerbench may be made and dropped")
	f.Float64Var(&b.scale, "scale", 1, "multiplies the amounts of data")
	_ = f.MarkHidden("scale") // cannot fail: it is there
	root.AddCommand(soakCommand(b, &output, &started, stdout), stormCommand(b, &output, &started, stdout))
	root.SetArgs(asFlags(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "ledgerbench: %v\n", err)
		if !started {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}

// asFlags lets the profiles' flags be written with one dash, as go test has them.
func asFlags(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"-cpuprofile", "-memprofile", "-trace"}, name) {
			args[i] = "-" + arg
		}
	}
	return args
}

func names() []string {
	var list []string
	for _, w := range workloads {
		list = append(list, w.name)
	}
	return list
}

func describe() string {
	var s strings.Builder
	for _, w := range workloads {
		fmt.Fprintf(&s, "  %-16s%s\n", w.name, w.about)
	}
	return strings.TrimSuffix(s.String(), "\n")
}

// choose gives the workloads of these names; all are those that need nothing, and postgres where there is a database.
func choose(args []string, database string) ([]workload, error) {
	all := slices.Contains(args, "all")
	var chosen []workload
	for _, w := range workloads {
		if all && (w.name != "postgres" || database != "") || slices.Contains(args, w.name) {
			chosen = append(chosen, w)
		}
	}
	for _, name := range args {
		switch {
		case name != "all" && !slices.Contains(names(), name):
			return nil, fmt.Errorf("there is no workload %q: all, %s", name, strings.Join(names(), ", "))
		case name == "postgres" && database == "":
			return nil, errors.New("postgres needs --postgres URL")
		}
	}
	return chosen, nil
}
