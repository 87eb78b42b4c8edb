package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"licenseledger/cmd/ledgerd/doors"
	"licenseledger/events"
	"licenseledger/ledger"
)

// monthEnd: every round renews and bills the same licenses for one more month. A second run must append nothing.
func monthEnd(ctx context.Context, b *bench) (rows []row, err error) {
	total := max(1000, b.of(1_000_000))
	providers := max(2, total/1000)
	each := total / providers
	start := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	clock := ledger.NewTestClock(start)
	dir := filepath.Join(b.work, "ledger")
	h, err := openLog(ctx, dir, false, b.stderr, viewsOf()...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	fmt.Fprintln(b.stderr, "  building the licenses")
	if err := serve(ctx, h, start, providers, each); err != nil {
		return nil, err
	}
	if err := errors.Join(h.begin(ctx, dir, clock), h.visible(ctx)); err != nil {
		return nil, err
	}
	due := &doors.Clock{Submit: h.Sequencer, Licenses: h.stores[0], Invoices: h.stores[2], Log: h.log, Time: clock, Test: clock, Logger: h.logger}
	month, happened := events.MonthOf(start), [][]byte(nil)
	scores, err := b.contest(ctx,
		contestant{ours, func(ctx context.Context, _ string) (s sample, err error) {
			before, err := h.log.Last(ctx)
			if err != nil {
				return s, err
			}
			size, err := h.streamBytes(ctx)
			if err != nil {
				return s, err
			}
			used, err := meterOf(os.Getpid())
			if err != nil {
				return s, err
			}
			began := time.Now()
			err = b.profiled(func() error {
				_, err := due.Move(ctx, month.End())
				return err
			})
			took := time.Since(began).Seconds()
			if err != nil {
				return s, err
			}
			month = events.MonthOf(month.End())
			after, err := h.log.Last(ctx)
			if err != nil {
				return s, err
			}
			if err := due.Drain(ctx); err != nil {
				return s, err
			}
			if again, err := h.log.Last(ctx); err != nil || again != after {
				return s, errors.Join(err, fmt.Errorf("a second run appended %d records", again-after))
			}
			if happened, err = eventsBetween(ctx, h, before, after); err != nil {
				return s, err
			}
			// A renewal of every license; of every provider its month's end and its statement; and the move.
			if want := providers*each + 2*providers + 1; len(happened) != want {
				return s, fmt.Errorf("%d events happened, want %d", len(happened), want)
			}
			n := len(happened)
			grown, err := h.streamBytes(ctx)
			if err != nil {
				return s, err
			}
			s.value, s.perEvent = float64(n)/took, float64(grown-size)/float64(n)
			s.extra = map[string]float64{"seconds": took, "records": float64(after - before)}
			s.processor, err = used.perEvent(n)
			return s, err
		}},
		contestant{"fsync", func(ctx context.Context, dir string) (s sample, err error) {
			conns, stop, err := openRaw(ctx, filepath.Join(dir, "raw"), true, 4)
			if err != nil {
				return s, err
			}
			defer stop()
			// What the ledger did last; it goes first in the first round.
			messages := happened[:min(len(happened), b.of(20_000))]
			began := time.Now()
			if err := publishAsync(ctx, conns, fleet{agents: 1}, [][][]byte{messages}); err != nil {
				return s, err
			}
			s.value = float64(len(messages)) / time.Since(began).Seconds()
			size, err := streamBytes(ctx, conns[0], rawStream)
			s.perEvent = float64(size) / float64(len(messages))
			return s, err
		}},
	)
	if err != nil {
		return nil, err
	}
	return []row{compare("events/s", ours, scores, map[string]float64{"fsync": 20})}, nil
}

// serve writes providers that pay, with so many licenses each that serve endpoints.
func serve(ctx context.Context, h *house, start time.Time, providers, each int) error {
	a, err := openAnnals(ctx, h.log, start, true)
	if err != nil {
		return err
	}
	for i := range providers {
		p := annalsProvider(i)
		if err := a.provider(ctx, p, []string{"company-1"}); err != nil {
			return err
		}
		var data []events.Data
		for n := range each {
			_, got := a.bought("server", "company-1", fmt.Sprintf("pc-%d", n))
			data = append(data, got...)
			if (n+1)%licensesPerEntry == 0 || n+1 == each {
				if err := a.add(ctx, p, data...); err != nil {
					return err
				}
				data = data[:0]
			}
		}
	}
	return a.flush(ctx)
}

// eventsBetween are the events of the records after one and up to another, as they would be written one by one.
func eventsBetween(ctx context.Context, h *house, after, last uint64) (list [][]byte, err error) {
	for r, err := range h.log.Read(ctx, after+1) {
		if err != nil {
			return nil, err
		}
		entries, err := events.DecodeRecord(&r.Record)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			for k := range entries[i].Events {
				text, err := events.AppendEvent(nil, &entries[i].Events[k])
				if err != nil {
					return nil, err
				}
				list = append(list, text)
			}
		}
		if r.Seq == last {
			break
		}
	}
	return list, ctx.Err()
}
