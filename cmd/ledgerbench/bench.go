package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// workload is one thing to measure. A workload is one file and one line of this table.
type workload struct {
	name  string
	about string
	run   func(ctx context.Context, b *bench) ([]row, error)
}

var workloads = []workload{
	{"intake-batched", "64 agents send reports of 100 readings over NATS", intakeBatched},
	{"checkpoints", "the Merkle log and its checkpoints, out of batched intake", checkpoints},
	{"intake-single", "1,024 agents send one reading per report over NATS", intakeSingle},
	{"commands", "64 callers allocate and release licenses; and one caller alone", commands},
	{"replay", "all views rebuilt from 1,000,000 readings and 100,000 license events", replay},
	{"grid", "pages and indexed filters over 1,000,000 licenses and over 10,000", grid},
	{"as-of", "a provider's licenses a year ago, 1,000,000 entries in the log", asOf},
	{"month-end", "1,000,000 licenses of 1,000 providers renewed and billed", monthEnd},
	{"verify", "1,000,000 entries hashed again; all views rebuilt aside", verify},
	{"memory", "anonymous resident memory after 100,000, 1,000,000 and 5,000,000 readings", memory},
	{"postgres", "intake and commands beside PostgreSQL; only with --postgres URL", postgres},
}

// bench is one run of the program.
type bench struct {
	stderr   io.Writer
	dir      string // the user's choice; empty: the system's
	work     string // of the running workload
	name     string // of the running workload
	rounds   int
	postgres string  // URL of a database; empty: there is none
	scale    float64 // of the amounts of data
	profiles profiles
}

// of scales an amount of data; each is what every one of some workers does of it, at least 1.
func (b *bench) of(n int) int            { return max(1, int(float64(n)*b.scale)) }
func (b *bench) each(n, workers int) int { return max(1, b.of(n)/workers) }

// measure runs a workload in a folder of its own.
func (b *bench) measure(ctx context.Context, w workload) (rows []row, err error) {
	if b.work, err = os.MkdirTemp(b.dir, "ledgerbench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if ram, _ := inMemory(b.work); ram {
		fmt.Fprintf(b.stderr, "%s lies in memory, where fsync costs nothing: choose a disk with --dir\n", b.work)
	}
	b.name = w.name
	rows, err = w.run(ctx, b)
	for i := range rows {
		rows[i].Workload = w.name
	}
	return rows, err
}

// profiled profiles the ledger at work in this process. Another round overwrites what one has written.
func (b *bench) profiled(work func() error) error {
	stop, err := b.profiles.of(b.name).start()
	if err != nil {
		return err
	}
	return errors.Join(work(), stop())
}

// contestant is one side of a comparison: a run in an empty folder measures it once.
type contestant struct {
	name string
	run  func(ctx context.Context, dir string) (sample, error)
}

// sample is one measurement.
type sample struct {
	value     float64
	resident  int64   // anonymous resident bytes of the process that was measured, at the end; 0: not measured
	perEvent  float64 // bytes of the stream per event; 0: not measured
	processor float64 // microseconds of the measured process per event, which noise disturbs least; 0: not measured
	extra     map[string]float64
}

// meter measures what a process uses for n events.
type meter struct {
	pid    int
	before time.Duration
}

func meterOf(pid int) (meter, error) {
	before, err := processorTime(pid)
	return meter{pid, before}, err
}

func (m meter) perEvent(n int) (float64, error) {
	after, err := processorTime(m.pid)
	return float64((after - m.before).Microseconds()) / float64(n), err
}

// score is what a contestant did in all rounds.
type score struct {
	samples []sample
	others  []float64 // share of the processors' time that other programs took, by round
}

// contest lets the contestants run in turn, round after round. Every other round goes backwards, so that nobody is always the first.
func (b *bench) contest(ctx context.Context, list ...contestant) (map[string]*score, error) {
	scores := make(map[string]*score)
	for round := range b.rounds {
		order := slices.Clone(list)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			dir, err := os.MkdirTemp(b.work, "run-")
			if err != nil {
				return nil, err
			}
			before := readLoad()
			began := time.Now()
			s, err := c.run(ctx, dir)
			others := readLoad().others(before)
			if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
			}
			if scores[c.name] == nil {
				scores[c.name] = &score{}
			}
			scores[c.name].samples = append(scores[c.name].samples, s)
			scores[c.name].others = append(scores[c.name].others, others)
			fmt.Fprintf(b.stderr, "  round %d  %-22s %14.4g   %5.1f s, other programs %2.0f %% of the processors\n", round+1, c.name, s.value, time.Since(began).Seconds(), 100*others)
		}
	}
	return scores, nil
}

func (s *score) median(of func(sample) float64) float64 {
	values := make([]float64, len(s.samples))
	for i := range s.samples {
		values[i] = of(s.samples[i])
	}
	return median(values)
}

func (s *score) value() float64 { return s.median(func(s sample) float64 { return s.value }) }

// spread is how far the rounds lie apart: (highest - lowest) / median.
func (s *score) spread() float64 {
	low, high := s.samples[0].value, s.samples[0].value
	for _, x := range s.samples {
		low, high = min(low, x.value), max(high, x.value)
	}
	return (high - low) / s.value()
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	values = slices.Clone(values)
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
