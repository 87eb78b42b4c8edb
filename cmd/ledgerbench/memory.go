package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// memory: RssAnon after more and more readings. One round: what grows shows within it.
func memory(ctx context.Context, b *bench) (rows []row, err error) {
	const agents, readings = 64, 100
	chunk := min(5, b.each(100_000, agents*readings)) // reports of each agent at a time
	stages := []int{b.of(100_000), b.of(1_000_000), b.of(5_000_000)}
	f := fleet{agents: agents, start: startOf(stages[2]/agents + chunk*readings)}
	c, err := startChild(ctx, job{Kind: "ledger", Dir: b.work, Agents: f.agents, Profiles: b.profiles.of(b.name)}, b.stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	all, err := connectReporters(f, c.URL, 4)
	if err != nil {
		return nil, err
	}
	defer all.close()
	read := make([]*series, agents)
	for i := range read {
		read[i] = f.series(i)
	}
	r := row{Unit: "MiB after " + number(float64(stages[2])), Lower: true, Baselines: map[string]float64{}, Ratios: map[string]float64{}, Goals: map[string]float64{}}
	before, seq, sent := readLoad(), uint64(0), 0
	for _, stage := range stages {
		for sent < stage {
			reports := make([][][]byte, agents)
			for i := range reports {
				for k := range uint64(chunk) {
					reports[i] = append(reports[i], f.agent(i).appendReport(nil, seq+k+1, read[i], readings))
				}
			}
			if err := all.send(ctx, reports, 8); err != nil {
				return nil, err
			}
			seq += uint64(chunk)
			sent += agents * chunk * readings
		}
		if _, err := c.ask("visible"); err != nil {
			return nil, err
		}
		resident, err := settled(ctx, c, b.of(20))
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

// settled is a process's anonymous resident memory in MiB: the median of samples 100 ms apart, for it moves as the collector runs.
func settled(ctx context.Context, c *child, samples int) (float64, error) {
	var values []float64
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range samples {
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
