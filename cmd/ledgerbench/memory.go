package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// memory: RssAnon after more and more readings. One round: what grows shows within it.
func memory(ctx context.Context, b *bench) (rows []row, err error) {
	const readings, chunk = 100, 5 // reports of each agent at a time: they are made while the clock does not matter
	stages := []int{b.of(100_000), b.of(1_000_000), b.of(5_000_000)}
	f := fleet{agents: 64, start: startOf(stages[2]/64 + chunk*readings)}
	c, err := startChild(ctx, job{Kind: "ledger", Dir: b.work, Agents: f.agents, Profiles: b.profiles.of(b.name)}, b.stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	agents, err := connectReporters(f, c.URL, 4)
	if err != nil {
		return nil, err
	}
	defer agents.close()
	all := make([]*series, f.agents)
	for i := range all {
		all[i] = f.series(i)
	}
	r := row{Unit: "MiB after " + number(float64(stages[2])), Lower: true, Baselines: map[string]float64{}, Ratios: map[string]float64{}, Goals: map[string]float64{}}
	before, seq, sent := readLoad(), uint64(0), 0
	for _, stage := range stages {
		for sent < stage {
			reports := make([][][]byte, f.agents)
			for i := range reports {
				for k := range uint64(chunk) {
					reports[i] = append(reports[i], f.agent(i).appendReport(nil, seq+k+1, all[i], readings))
				}
			}
			if err := agents.send(ctx, reports, 8); err != nil {
				return nil, err
			}
			seq += chunk
			sent += f.agents * chunk * readings
		}
		if _, err := c.ask("visible"); err != nil {
			return nil, err
		}
		resident, err := settled(ctx, c)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.stderr, "  %s readings: %.0f MiB\n", number(float64(sent)), resident)
		if stage == stages[2] {
			r.Ours = resident
		} else {
			name := "after " + number(float64(stage))
			r.Baselines[name], r.Goals[name] = resident, 1.2
		}
	}
	for name, value := range r.Baselines {
		r.Ratios[name] = r.Ours / value
	}
	r.Others = readLoad().others(before)
	return []row{r}, nil
}

// settled is a process's anonymous resident memory in MiB, the median over two seconds: it moves as the collector runs.
func settled(ctx context.Context, c *child) (float64, error) {
	var values []float64
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		n, err := c.resident()
		if err != nil {
			return 0, err
		}
		values = append(values, float64(n)/(1<<20))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return median(values), nil
}
