package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
)

// caller is somebody who gives licenses to endpoints and takes them back, with the ids that the HTTP door gives to commands.
type caller struct {
	h     *house
	agent agent
	n     int
}

func (c *caller) submit(ctx context.Context, body license.Body) (ledger.Receipt, error) {
	c.n++
	command := ledger.Command{
		ID: "http/operator/" + c.agent.id + "-" + strconv.Itoa(c.n), Provider: c.agent.provider, Actor: "operator", Body: body,
	}
	for i := range 4 { // the door draws them at random too
		word := rand.Uint64()
		for j := range 8 {
			command.Request[8*i+j] = byte(word >> (8 * j))
			command.Seed[(8*i+j)%len(command.Seed)] = byte(word >> (8 * j))
		}
	}
	return c.h.Submit(ctx, command)
}

// allocate gives an endpoint a license, which is bought on the spot, and tells its id.
func (c *caller) allocate(ctx context.Context, endpoint string) (string, ledger.Receipt, error) {
	r, err := c.submit(ctx, license.Allocate{Type: "server", Company: c.agent.company, Assignee: events.Assignee{Kind: events.Endpoint, ID: endpoint}})
	if err != nil {
		return "", r, err
	}
	for _, e := range r.Events {
		if d, ok := e.Data.(*events.LicenseAllocated); ok {
			return d.License.ID, r, nil
		}
	}
	return "", r, errors.New("an allocation allocated nothing")
}

// cycle allocates and releases.
func (c *caller) cycle(ctx context.Context) error {
	id, _, err := c.allocate(ctx, c.agent.id)
	if err == nil {
		_, err = c.submit(ctx, license.Release{License: id})
	}
	return err
}

func callers(h *house, f fleet) []*caller {
	list := make([]*caller, f.agents)
	for i := range list {
		list[i] = &caller{h: h, agent: f.agent(i)}
	}
	return list
}

// together lets n workers work at the same time.
func together(n int, work func(i int) error) error {
	var workers sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		workers.Go(func() { errs[i] = work(i) })
	}
	workers.Wait()
	return errors.Join(errs...)
}

// laps measures what one caller waits for each answer, in milliseconds: the median.
func laps(n int, one func() error) (float64, error) {
	times := make([]float64, n)
	for i := range times {
		began := time.Now()
		if err := one(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began).Seconds() * 1000
	}
	return median(times), nil
}

// openRaw starts a plain server in this process, with its stream and so many connections.
func openRaw(ctx context.Context, dir string, sync bool, connections int) (conns []*nats.Conn, stop func(), err error) {
	s, err := startRaw(dir, sync, false)
	if err != nil {
		return nil, nil, err
	}
	shutdown := func() { s.Shutdown(); s.WaitForShutdown() }
	conns, closeAll, err := rawConnections(ctx, connections, func() (*nats.Conn, error) { return nats.Connect("", nats.InProcessServer(s)) })
	if err != nil {
		shutdown()
		return nil, nil, err
	}
	return conns, func() { closeAll(); shutdown() }, nil
}

// commandMessage is the event of an allocation as somebody would publish it.
func commandMessage(f fleet) ([]byte, error) {
	a := f.agent(0)
	return events.AppendEvent(nil, &events.Event{Data: &events.LicenseAllocated{Source: events.BoughtOnTheSpot, License: events.License{
		ID: events.ULIDAt(f.start, [10]byte{1}), Type: "server", Status: events.Paid, Pool: a.company, Company: a.company, Assigned: true,
		Assignee: events.Assignee{Kind: events.Endpoint, ID: a.id}, AutoRenew: true,
		Created: events.Stamp(f.start), ExpiresAt: events.MonthOf(f.start).End(),
	}}})
}

// measureCallers lets callers allocate and release, so often each.
func (b *bench) measureCallers(ctx context.Context, list []*caller, cycles int) (s sample, err error) {
	h := list[0].h
	before, err := streamState(ctx, h.conn, stream.Name)
	if err != nil {
		return s, err
	}
	used, err := meterOf(os.Getpid())
	if err != nil {
		return s, err
	}
	began, stats := time.Now(), h.Stats()
	err = b.profiled(func() error {
		return together(len(list), func(i int) error {
			for range cycles {
				if err := list[i].cycle(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	})
	took := time.Since(began).Seconds()
	if err != nil {
		return s, err
	}
	if err := h.visible(ctx); err != nil {
		return s, err
	}
	n := float64(2 * cycles * len(list))
	if s.processor, err = used.perEvent(int(n)); err != nil {
		return s, err
	}
	after, err := streamState(ctx, h.conn, stream.Name)
	s.value, s.perEvent = n/took, float64(after.Bytes-before.Bytes)/(1.5*n) // an allocation is two events
	s.extra = map[string]float64{
		"commands_per_record":       n / float64(max(1, h.Stats().Records-stats.Records)),
		"seconds_views_were_behind": time.Since(began).Seconds() - took,
		"milliseconds_per_record":   1000 * took / float64(max(1, h.Stats().Records-stats.Records)),
	}
	return s, err
}

// withHouse measures callers of a fresh house that have all allocated and released once.
func (b *bench) withHouse(ctx context.Context, dir string, f fleet, measure func(list []*caller) (sample, error)) (s sample, err error) {
	h, err := openHouse(ctx, dir, false, ledger.NewSystemClock(), b.stderr, tiles())
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	if err := h.settle(ctx, f); err != nil {
		return s, err
	}
	list := callers(h, f)
	if err := together(len(list), func(i int) error { return list[i].cycle(ctx) }); err != nil {
		return s, err
	}
	return measure(list)
}

// commands: 64 callers allocate and release; and one alone.
func commands(ctx context.Context, b *bench) ([]row, error) {
	const workers = 64
	f := fleet{agents: workers, start: time.Now().UTC()}
	cycles, published, single := b.each(50_000, workers), b.each(20_000, workers), b.of(1000)
	message, err := commandMessage(f)
	if err != nil {
		return nil, err
	}
	withRaw := func(ctx context.Context, dir string, measure func(js []jetstream.JetStream) (sample, error)) (s sample, err error) {
		conns, stop, err := openRaw(ctx, filepath.Join(dir, "raw"), true, 4)
		if err != nil {
			return s, err
		}
		defer stop()
		var js []jetstream.JetStream
		for _, conn := range conns {
			context, err := jetstream.New(conn)
			if err != nil {
				return s, err
			}
			js = append(js, context)
		}
		return measure(js)
	}
	scores, err := b.contest(ctx,
		contestant{"64 callers", func(ctx context.Context, dir string) (sample, error) {
			return b.withHouse(ctx, dir, f, func(list []*caller) (sample, error) { return b.measureCallers(ctx, list, cycles) })
		}},
		contestant{"fsync", func(ctx context.Context, dir string) (sample, error) {
			return withRaw(ctx, dir, func(js []jetstream.JetStream) (s sample, err error) {
				used, err := meterOf(os.Getpid())
				if err != nil {
					return s, err
				}
				began := time.Now()
				err = together(workers, func(i int) error {
					subject := "usage.commands." + strconv.Itoa(i)
					for range published {
						if _, err := js[i%len(js)].Publish(ctx, subject, message); err != nil {
							return err
						}
					}
					return nil
				})
				s.value = float64(workers*published) / time.Since(began).Seconds()
				if err == nil {
					s.processor, err = used.perEvent(workers * published)
				}
				if err == nil {
					var state jetstream.StreamState
					state, err = streamState(ctx, js[0].Conn(), rawStream)
					s.perEvent = float64(state.Bytes) / float64(max(1, state.Msgs))
				}
				return s, err
			})
		}},
		contestant{"one caller", func(ctx context.Context, dir string) (sample, error) {
			return b.withHouse(ctx, dir, f, func(list []*caller) (s sample, err error) {
				id := ""
				s.value, err = laps(single, func() (err error) {
					if id == "" {
						id, _, err = list[0].allocate(ctx, list[0].agent.id)
						return err
					}
					_, err = list[0].submit(ctx, license.Release{License: id})
					id = ""
					return err
				})
				return s, err
			})
		}},
		contestant{"fsync alone", func(ctx context.Context, dir string) (sample, error) {
			return withRaw(ctx, dir, func(js []jetstream.JetStream) (s sample, err error) {
				s.value, err = laps(single, func() error {
					_, err := js[0].Publish(ctx, "usage.commands.0", message)
					return err
				})
				return s, err
			})
		}},
	)
	if err != nil {
		return nil, err
	}
	many := compare("commands/s", "64 callers", scores, map[string]float64{"fsync": 10})
	many.Variant = "64 callers"
	one := compare("ms, median", "one caller", scores, map[string]float64{"fsync alone": 1.5})
	one.Variant, one.Lower = "one caller", true
	return []row{many, one}, nil
}
