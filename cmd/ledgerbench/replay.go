package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
)

// history is what the replayed stream holds.
type history struct {
	readings int
	licenses [][]byte // the license events, one by one
}

func (h *history) events() int { return h.readings + len(h.licenses) }

// kept is how many licenses every agent's company keeps before the oldest is released.
const kept = 20

// live lets a fleet live on a test clock: every agent reports, and licenses come and go, until there are so many readings
// and license events. The month ends on the way, so licenses are renewed as commands touch them.
func live(ctx context.Context, h *house, clock *ledger.TestClock, f fleet, reports, readings, licenseEvents int) (history, error) {
	list, all := callers(h, f), make([]*series, f.agents)
	for i := range all {
		all[i] = f.series(i)
	}
	var written history
	byAgent := make([]struct {
		serving []string
		events  [][]byte
		n       int
	}, f.agents)
	note := func(i int, r ledger.Receipt) error {
		for k := range r.Events {
			if events.LicenseAfter(r.Events[k].Data) == nil {
				continue
			}
			text, err := events.AppendEvent(nil, &r.Events[k])
			if err != nil {
				return err
			}
			byAgent[i].events = append(byAgent[i].events, text)
		}
		return nil
	}
	for k := range reports {
		// The agents report when the last reading of the report has been taken.
		clock.Set(f.start.Add(time.Duration((k+1)*readings/len(meters)+1) * sampling).Add(15 * time.Minute))
		err := together(f.agents, func(i int) error {
			me, a := &byAgent[i], list[i].agent
			report, err := a.report(uint64(k+1), all[i], readings)
			if err != nil {
				return err
			}
			if _, err := h.Submit(ctx, ledger.Command{ID: fmt.Sprintf("intake/%s//%d", a.id, k+1), Provider: a.provider, Actor: "agent:" + a.id, Body: report}); err != nil {
				return err
			}
			for len(me.events)*reports < (k+1)*licenseEvents/f.agents {
				me.n++
				id, receipt, err := list[i].allocate(ctx, fmt.Sprintf("%s-vm-%d", a.id, me.n))
				if err != nil {
					return err
				}
				me.serving = append(me.serving, id)
				if err := note(i, receipt); err != nil {
					return err
				}
				if len(me.serving) > kept {
					receipt, err := list[i].submit(ctx, license.Release{License: me.serving[0]})
					if err != nil {
						return err
					}
					me.serving = me.serving[1:]
					if err := note(i, receipt); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return written, err
		}
	}
	written.readings = f.agents * reports * readings
	for i := range byAgent {
		written.licenses = append(written.licenses, byAgent[i].events...)
	}
	return written, nil
}

// replay: all views rebuilt.
func replay(ctx context.Context, b *bench) ([]row, error) {
	const readings = 100
	reports := b.each(1_000_000, 64*readings)
	f := fleet{agents: 64, start: time.Date(2026, 1, 20, 0, 0, 0, 0, time.UTC)}

	fmt.Fprintln(b.stderr, "  building the streams")
	clock := ledger.NewTestClock(f.start)
	h, err := openHouse(ctx, filepath.Join(b.work, "ledger"), false, clock, b.stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	if err := h.settle(ctx, f); err != nil {
		return nil, err
	}
	written, err := live(ctx, h, clock, f, reports, readings, b.of(100_000))
	if err != nil {
		return nil, err
	}
	h.pause()
	size, err := streamBytes(ctx, h.conn, stream.Name)
	if err != nil {
		return nil, err
	}
	conns, stop, err := openRaw(ctx, filepath.Join(b.work, "raw"), false, 4)
	if err != nil {
		return nil, err
	}
	defer stop()
	if err := publishAsync(ctx, conns, f, f.messages(reports*readings)); err != nil {
		return nil, err
	}
	if err := publishAsync(ctx, conns, fleet{agents: 1}, [][][]byte{written.licenses}); err != nil {
		return nil, err
	}
	rawSize, err := streamBytes(ctx, conns[0], rawStream)
	if err != nil {
		return nil, err
	}
	n := float64(written.events())
	scores, err := b.contest(ctx,
		contestant{ours, func(ctx context.Context, dir string) (s sample, err error) {
			stores, err := openViews(dir, viewsOf()...)
			if err != nil {
				return s, err
			}
			defer func() { err = errors.Join(err, closeViews(stores)) }()
			used, err := meterOf(os.Getpid())
			if err != nil {
				return s, err
			}
			began := time.Now()
			err = b.profiled(func() error {
				defer followed(h.log, h.logger, stores)()
				return visible(ctx, h.log, stores)
			})
			if err != nil {
				return s, err
			}
			took := time.Since(began).Seconds()
			processor, err := used.perEvent(int(n))
			if err != nil {
				return s, err
			}
			s = sample{processor: processor, value: n / took, perEvent: float64(size) / n, extra: map[string]float64{}}
			for _, store := range stores {
				st := store.Stats()
				s.extra["seconds_of_commits_"+st.View] = st.CommitTime.Seconds()
				s.extra["transactions_"+st.View] = float64(st.Transactions)
			}
			return s, nil
		}},
		contestant{"ordered consumer", func(ctx context.Context, _ string) (s sample, err error) {
			js, err := jetstream.New(conns[0])
			if err != nil {
				return s, err
			}
			used, err := meterOf(os.Getpid())
			if err != nil {
				return s, err
			}
			began := time.Now()
			consumer, err := js.OrderedConsumer(ctx, rawStream, jetstream.OrderedConsumerConfig{})
			if err != nil {
				return s, err
			}
			var seen, bytes atomic.Int64
			done := make(chan struct{})
			reading, err := consumer.Consume(func(m jetstream.Msg) {
				bytes.Add(int64(len(m.Data())))
				if seen.Add(1) == int64(written.events()) {
					close(done)
				}
			})
			if err != nil {
				return s, err
			}
			defer reading.Stop()
			select {
			case <-done:
			case <-ctx.Done():
				return s, ctx.Err()
			}
			s.value, s.perEvent = n/time.Since(began).Seconds(), float64(rawSize)/n
			s.processor, err = used.perEvent(int(n))
			return s, err
		}},
	)
	if err != nil {
		return nil, err
	}
	return []row{compare("events/s", ours, scores, map[string]float64{"ordered consumer": 2})}, nil
}
