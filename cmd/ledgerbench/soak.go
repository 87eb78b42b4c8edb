package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// A soak lets agents and administrators work with a real ledgerd, in a process of its own, at a share of what it can do. Every
// minute ledgerd is killed (kill -9) and started again; between two kills more comes for a moment than it takes. Agents and administrators repeat
// what was not answered, under its number or key, until it is. In the end everything that was acknowledged must be in the ledger exactly
// once, and the ledger must not have grown but by what it stores.
type soak struct {
	staying
	stderr    io.Writer
	length    time.Duration
	killEvery time.Duration
	share     float64 // of what it can do
	agents    int
	callers   int

	daemon *daemon
	load   *soakLoad
	lives  []life
}

// life is a ledgerd from its start to its end.
type life struct {
	ready   time.Duration // from its start until it was ready
	samples []vitals      // while nothing unusual happened
}

// soaked is what a soak came to. Rates are per second; times in milliseconds; sizes in bytes.
type soaked struct {
	Seconds           float64 `json:"seconds"`
	Kills             int     `json:"kills"`
	Bursts            int     `json:"bursts"`
	CapacityReports   float64 `json:"capacity_reports_per_s"`
	CapacityCommands  float64 `json:"capacity_commands_per_s"`
	Share             float64 `json:"share"`
	Reports           int64   `json:"reports"` // acknowledged
	Commands          int64   `json:"commands"`
	Repeated          int64   `json:"repeated"`   // sent again
	Duplicates        int64   `json:"duplicates"` // reports whose first answer was lost
	Overloaded        int64   `json:"overloaded"`
	ReadyMedian       float64 `json:"ready_ms_median"`
	ReadyMax          float64 `json:"ready_ms_max"`
	ReportP50         float64 `json:"report_ms_p50"` // from when a report was due, outside starts and bursts
	ReportP99         float64 `json:"report_ms_p99"`
	CommandP50        float64 `json:"command_ms_p50"`
	CommandP99        float64 `json:"command_ms_p99"`
	HeapFirst         float64 `json:"heap_bytes_first"` // in the first third of the lives, and in the last
	HeapLast          float64 `json:"heap_bytes_last"`
	HeapFresh         float64 `json:"heap_bytes_fresh"` // of a ledgerd that has just loaded what the last had
	GoroutinesFirst   float64 `json:"goroutines_first"`
	GoroutinesLast    float64 `json:"goroutines_last"`
	FilesFirst        float64 `json:"open_files_first"`
	FilesLast         float64 `json:"open_files_last"`
	ResidentAnonymous float64 `json:"resident_anonymous_bytes_last"`
	DiskBytes         int64   `json:"disk_bytes"`
	LogBytes          int64   `json:"log_bytes"` // of the disk's
	Verified          bool    `json:"verified"`
}

func soakCommand(b *bench, output *string, started *bool, stdout io.Writer) *cobra.Command {
	s := &soak{staying: staying{name: "soak"}, stderr: b.stderr, length: 20 * time.Minute, killEvery: time.Minute, share: 0.7, agents: 64, callers: 16}
	cmd := &cobra.Command{
		Use:   "soak [flags]",
		Short: "Let a real ledgerd work for long, kill it every minute, and look for everything that it acknowledged",
		Long: `Let agents and administrators work with a real ledgerd at a share of what it can do, kill
it every minute, send it more than it takes in between, and look in the end for everything
that it acknowledged. It takes about a kilobyte of disk for each report.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case s.length < s.killEvery:
				return fmt.Errorf("--for %s: at least --kill-every %s", s.length, s.killEvery)
			case s.killEvery <= 0:
				return fmt.Errorf("--kill-every %s: more than nothing", s.killEvery)
			case s.share <= 0 || s.share > 1:
				return fmt.Errorf("--load %g: above 0, at most 1", s.share)
			}
			*started = true
			return s.withFolder(cmd.Context(), b.dir, *output, stdout, func() (outcome, error) {
				r, err := s.run(cmd.Context())
				return &r, err
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&s.length, "for", s.length, "how long it works")
	f.DurationVar(&s.killEvery, "kill-every", s.killEvery, "how long a ledgerd lives")
	f.Float64Var(&s.share, "load", s.share, "share of what it can do")
	f.StringVar(&s.program, "ledgerd", "", "ledgerd's program (default: built from this source)")
	return cmd
}

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "  "+format+"\n", args...)
}

func (s *soak) run(ctx context.Context) (r soaked, err error) {
	listener, err := freeAddress()
	if err != nil {
		return r, err
	}
	if s.daemon, err = newDaemon(s.program, s.dir, "--nats-listen", listener); err != nil {
		return r, err
	}
	defer func() {
		if s.daemon.stop() != nil && err == nil {
			err = errors.New("ledgerd did not end well")
		}
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.daemon.lastWords())
		}
	}()
	if err := s.begin(ctx); err != nil {
		return r, err
	}
	if s.load, err = s.daemon.openLoad(ctx, listener, s.agents, s.callers); err != nil {
		return r, err
	}
	defer s.load.close()

	r.Share = s.share
	measured := min(5*time.Second, s.killEvery)
	if r.CapacityReports, r.CapacityCommands, err = s.load.capacity(ctx, measured); err != nil {
		return r, err
	}
	s.say("it takes %.0f reports and %.0f commands a second; %.0f %% of that from now on", r.CapacityReports, r.CapacityCommands, 100*s.share)
	s.load.pace(s.share*r.CapacityReports, s.share*r.CapacityCommands)
	began := time.Now()
	for time.Since(began) < s.length {
		if err := s.live(ctx, &r); err != nil {
			return r, err
		}
		s.daemon.kill()
		r.Kills++
		s.load.disturbed()
		if err := s.begin(ctx); err != nil {
			return r, err
		}
		if r.Kills%10 == 0 {
			s.say("%d kills, %d reports and %d commands acknowledged", r.Kills, s.load.reported(), s.load.commanded())
		}
	}
	r.Seconds = time.Since(began).Seconds()
	if err := s.load.finish(ctx); err != nil {
		return r, err
	}
	s.load.tell(&r)
	s.vital(&r)
	// What is asked now is what a fresh ledger says.
	if err := s.daemon.stop(); err != nil {
		return r, fmt.Errorf("stop ledgerd: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		return r, err
	}
	if err := s.load.wake(ctx); err != nil {
		return r, err
	}
	fresh, err := s.daemon.vitals(ctx)
	if err != nil {
		return r, err
	}
	r.HeapFresh = fresh.heap
	if err := s.load.check(ctx); err != nil {
		return r, err
	}
	if err := s.daemon.stop(); err != nil {
		return r, fmt.Errorf("stop ledgerd: %w", err)
	}
	s.say("everything that was acknowledged is there once; ledgerd verify hashes everything and builds the views again")
	if err := s.daemon.verify(ctx); err != nil {
		return r, err
	}
	r.Verified = true
	if r.DiskBytes, err = folderBytes(filepath.Join(s.dir, "data")); err != nil {
		return r, err
	}
	if r.LogBytes, err = folderBytes(filepath.Join(s.dir, "data", "nats")); err != nil {
		return r, err
	}
	return r, s.grown(&r)
}

// begin starts a ledgerd and waits until it is ready.
func (s *soak) begin(ctx context.Context) error {
	ready, err := s.daemon.start(ctx)
	s.lives = append(s.lives, life{ready: ready})
	return err
}

// live lets a ledgerd work until it is to be killed, with a burst in the middle.
func (s *soak) live(ctx context.Context, r *soaked) error {
	now := &s.lives[len(s.lives)-1]
	began := time.Now()
	ends := began.Add(s.killEvery/2 + rand.N(s.killEvery)) // killEvery on the average
	burst := began.Add(s.killEvery / 4)
	tick := time.NewTicker(min(time.Second, s.killEvery/20))
	defer tick.Stop()
	for time.Now().Before(ends) {
		select {
		case <-tick.C:
		case err := <-s.load.failed:
			return err
		case <-s.daemon.ended:
			return errors.New("ledgerd ended by itself")
		case <-ctx.Done():
			return ctx.Err()
		}
		if !burst.IsZero() && time.Now().After(burst) {
			burst = time.Time{}
			r.Bursts++
			s.load.burst()
		}
		if s.load.calm() && time.Since(began) > s.killEvery/10 {
			v, err := s.daemon.vitals(ctx)
			if err != nil {
				return err
			}
			now.samples = append(now.samples, v)
		}
	}
	return nil
}

// vital compares the first third of the lives with the last.
func (s *soak) vital(r *soaked) {
	var ready []float64
	for _, l := range s.lives[1:] { // the first has nothing to read
		ready = append(ready, float64(l.ready.Microseconds())/1000)
	}
	r.ReadyMedian = median(ready)
	for _, ms := range ready {
		r.ReadyMax = max(r.ReadyMax, ms)
	}
	var lives []life // that were looked at
	for _, l := range s.lives {
		if len(l.samples) > 0 {
			lives = append(lives, l)
		}
	}
	third := (len(lives) + 2) / 3
	of := func(lives []life, what func(vitals) float64) float64 {
		var values []float64
		for _, l := range lives {
			for _, v := range l.samples {
				values = append(values, what(v))
			}
		}
		return median(values)
	}
	first, last := lives[:third], lives[len(lives)-third:]
	heap := func(v vitals) float64 { return v.heap }
	goroutines := func(v vitals) float64 { return v.goroutines }
	files := func(v vitals) float64 { return v.files }
	r.HeapFirst, r.HeapLast = of(first, heap), of(last, heap)
	r.GoroutinesFirst, r.GoroutinesLast = of(first, goroutines), of(last, goroutines)
	r.FilesFirst, r.FilesLast = of(first, files), of(last, files)
	r.ResidentAnonymous = of(last, func(v vitals) float64 { return v.resident })
}

// grown says whether the process grew over the lives by more than noise explains. The heap holds what decisions rest on: all licenses, and the
// commands of a day. So it is held against that of a ledgerd that has just loaded the same; beside it, while reports come in, there is what the NATS
// server keeps of the last ten seconds' log, as written and as read (README, Memory).
func (s *soak) grown(r *soaked) error {
	recent := 2 * 10 * float64(r.LogBytes) / r.Seconds
	for _, what := range []struct {
		name        string
		first, last float64
		slack       float64 // beside a quarter more
	}{
		{"the heap (bytes), beside a fresh ledgerd's,", r.HeapFresh, r.HeapLast, recent + 64<<20},
		{"goroutines", r.GoroutinesFirst, r.GoroutinesLast, 100},
		{"open files", r.FilesFirst, r.FilesLast, 50},
	} {
		if what.last > 1.25*what.first+what.slack {
			return fmt.Errorf("%s grew from %.0f to %.0f", what.name, what.first, what.last)
		}
	}
	return nil
}

func (r *soaked) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	line("worked", "%.0f s, %d kills, %d bursts", r.Seconds, r.Kills, r.Bursts)
	line("it can", "%.0f reports/s and %.0f commands/s; it was given %.0f %%", r.CapacityReports, r.CapacityCommands, 100*r.Share)
	line("acknowledged", "%d reports, %d commands; each is in the ledger once", r.Reports, r.Commands)
	line("sent again", "%d; %d reports were duplicates", r.Repeated, r.Duplicates)
	line("overloaded", "%d answers", r.Overloaded)
	line("ready after a kill", "%.0f ms, at most %.0f ms", r.ReadyMedian, r.ReadyMax)
	line("report answered", "%.1f ms, 99 %% within %.1f ms", r.ReportP50, r.ReportP99)
	line("command answered", "%.1f ms, 99 %% within %.1f ms", r.CommandP50, r.CommandP99)
	const mib = 1 << 20
	line("heap", "%.0f MiB at first, %.0f MiB at last, %.0f MiB of a fresh ledgerd; %.0f MiB resident", r.HeapFirst/mib, r.HeapLast/mib, r.HeapFresh/mib, r.ResidentAnonymous/mib)
	line("goroutines", "%.0f, %.0f", r.GoroutinesFirst, r.GoroutinesLast)
	line("open files", "%.0f, %.0f", r.FilesFirst, r.FilesLast)
	line("on disk", "%d MiB, %d MiB of them the log", r.DiskBytes/mib, r.LogBytes/mib)
	line("ledgerd verify", "all agrees") // or there would be an error in this place
	return w.Flush()
}

// folderBytes is what the files in a folder hold.
func folderBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
