package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// memoryRate is how many readings a second come in: what counts is how many have come, not how fast, and the server
	// keeps what it wrote and what was read of it in memory for about ten seconds.
	memoryRate = 50_000
	// cachesLive is how long after the last reading the server's caches are gone.
	cachesLive = 13 * time.Second
)

// memory: RssAnon while more and more readings come in at a steady rate, and when nothing has come in for a while. One round: what
// grows shows within it.
func memory(ctx context.Context, b *bench) (rows []row, err error) {
	const agents, readings = 64, 100
	stages := []int{b.of(100_000), b.of(1_000_000), b.of(5_000_000)}
	f := fleet{agents: agents, start: startOf(stages[2]/agents + readings)}
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
	rows = []row{{Variant: "coming in"}, {Variant: "settled"}}
	for i := range rows {
		r := &rows[i]
		r.Unit, r.Lower = "MiB after "+number(float64(stages[2])), true
		r.Baselines, r.Ratios, r.Goals = map[string]float64{}, map[string]float64{}, map[string]float64{}
	}
	before, seq, sent := readLoad(), uint64(0), 0
	for _, stage := range stages {
		var samples []float64
		began, first := time.Now(), sent
		for {
			resident, err := c.resident()
			if err != nil {
				return nil, err
			}
			samples = append(samples, float64(resident)/(1<<20))
			if sent >= stage {
				break
			}
			reports := make([][][]byte, agents)
			for i := range reports {
				reports[i] = [][]byte{f.agent(i).appendReport(nil, seq+1, read[i], readings)}
			}
			if err := all.send(ctx, reports, 1); err != nil {
				return nil, err
			}
			seq++
			sent += agents * readings
			if err := until(ctx, began.Add(time.Duration(sent-first)*time.Second/memoryRate)); err != nil {
				return nil, err
			}
		}
		rate := float64(sent-first) / time.Since(began).Seconds()
		coming := median(samples[max(0, len(samples)-5*memoryRate/(agents*readings)):]) // the last five seconds: it moves as the collector runs
		if _, err := c.ask("visible"); err != nil {
			return nil, err
		}
		if err := until(ctx, time.Now().Add(time.Duration(min(1, 100*b.scale)*float64(cachesLive)))); err != nil {
			return nil, err
		}
		if _, err := c.ask("collect"); err != nil {
			return nil, err
		}
		resident, err := c.resident()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(b.stderr, "  %s readings, %s a second: %.0f MiB; settled %.0f MiB\n", number(float64(sent)), number(rate), coming, float64(resident)/(1<<20))
		for i, value := range []float64{coming, float64(resident) / (1 << 20)} {
			if r := &rows[i]; stage == stages[2] {
				r.Ours = value
			} else {
				name := "after " + number(float64(stage))
				r.Baselines[name], r.Goals[name] = value, 1.2
			}
		}
	}
	others := readLoad().others(before)
	for i := range rows {
		r := &rows[i]
		for name, value := range r.Baselines {
			r.Ratios[name] = r.Ours / value
		}
		r.Others = others
	}
	return rows, nil
}

// until waits for a moment, unless it has passed.
func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
