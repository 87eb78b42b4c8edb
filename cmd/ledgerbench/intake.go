package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// reporters are the fleet's agents, on some connections.
type reporters struct {
	conns  []*nats.Conn
	agents []*reporter
	left   atomic.Int64 // reports without an answer
	done   chan error   // holds the end of what is being sent
}

// reporter sends one agent's reports and keeps some of them under way.
type reporter struct {
	all     *reporters
	conn    *nats.Conn
	subject string
	inbox   string

	mu      sync.Mutex
	reports [][]byte // not sent yet
}

func connectReporters(f fleet, url string, connections int) (*reporters, error) {
	all := &reporters{agents: make([]*reporter, f.agents), done: make(chan error, 1)}
	fail := func(err error) (*reporters, error) {
		all.close()
		return nil, fmt.Errorf("connect the agents: %w", err)
	}
	for n := range connections {
		conn, err := nats.Connect(url, nats.UserInfo(fleetUser, edgePassword),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { all.end(err) }))
		if err != nil {
			return fail(err)
		}
		all.conns = append(all.conns, conn)
		byInbox := make(map[string]*reporter)
		prefix := fmt.Sprintf("_INBOX.%d.", n)
		for i := n; i < f.agents; i += connections {
			a := f.agent(i)
			r := &reporter{all: all, conn: conn, subject: "intake." + a.provider + "." + a.id, inbox: prefix + a.id}
			byInbox[r.inbox] = r
			all.agents[i] = r
		}
		if _, err := conn.Subscribe(prefix+"*", func(m *nats.Msg) { byInbox[m.Subject].answered(m) }); err != nil {
			return fail(err)
		}
		if err := conn.Flush(); err != nil {
			return fail(err)
		}
	}
	return all, nil
}

func (all *reporters) close() {
	for _, c := range all.conns {
		c.Close()
	}
}

// send sends reports, by agent, with so many of each agent under way, and returns when all are acknowledged.
func (all *reporters) send(ctx context.Context, reports [][][]byte, window int) error {
	total := 0
	for _, r := range reports {
		total += len(r)
	}
	if total == 0 {
		return nil
	}
	all.left.Store(int64(total))
	for i, r := range all.agents {
		now := min(window, len(reports[i]))
		r.mu.Lock()
		r.reports = reports[i][now:]
		r.mu.Unlock()
		for _, body := range reports[i][:now] {
			if err := r.conn.PublishRequest(r.subject, r.inbox, body); err != nil {
				return err
			}
		}
	}
	select {
	case err := <-all.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end is told that everything is acknowledged, or why it will not be; the first word counts.
func (all *reporters) end(err error) {
	select {
	case all.done <- err:
	default:
	}
}

var recorded = []byte(`"status":"recorded"`)

// answered takes the answer to a report and sends the next one.
func (r *reporter) answered(m *nats.Msg) {
	if !bytes.Contains(m.Data, recorded) {
		r.all.end(fmt.Errorf("a report was answered with %s", m.Data))
		return
	}
	if next := r.next(); next != nil {
		if err := r.conn.PublishRequest(r.subject, r.inbox, next); err != nil {
			r.all.end(err)
			return
		}
	}
	if r.all.left.Add(-1) == 0 {
		r.all.end(nil)
	}
}

// next takes the next report to send; nil if there is none.
func (r *reporter) next() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.reports) == 0 {
		return nil
	}
	next := r.reports[0]
	r.reports = r.reports[1:]
	return next
}

// split divides every agent's reports after the first n.
func split(reports [][][]byte, n int) (first, rest [][][]byte) {
	for _, r := range reports {
		first, rest = append(first, r[:n]), append(rest, r[n:])
	}
	return first, rest
}

// intakeRun measures reports into a ledger in a process of its own.
type intakeRun struct {
	b           *bench
	profile     string // the name of its profiles
	fleet       fleet
	reports     [][][]byte
	warm        int // reports of each agent before the clock starts: they make endpoints known and load what decisions rest on
	window      int // reports of an agent under way
	readings    int // per report
	connections int
	following   bool
	copies      copies
}

func (r intakeRun) run(ctx context.Context, dir string) (s sample, err error) {
	c, err := startChild(ctx, job{Kind: "ledger", Dir: dir, Agents: r.fleet.agents, Copies: r.copies, Profiles: r.b.profiles.of(r.profile)}, r.b.stderr)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	agents, err := connectReporters(r.fleet, c.URL, r.connections)
	if err != nil {
		return s, err
	}
	defer agents.close()
	warm, rest := split(r.reports, r.warm)
	if err := agents.send(ctx, warm, 1); err != nil {
		return s, err
	}
	if _, err := c.ask("visible"); err != nil {
		return s, err
	}
	if !r.following {
		if _, err := c.ask("pause"); err != nil {
			return s, err
		}
	}
	before, err := c.ask("stats")
	if err != nil {
		return s, err
	}
	used, err := c.meter()
	if err != nil {
		return s, err
	}

	began := time.Now()
	if err := agents.send(ctx, rest, r.window); err != nil {
		return s, err
	}
	acknowledged := time.Since(began)
	if !r.following {
		if _, err := c.ask("follow"); err != nil {
			return s, err
		}
	}
	if _, err := c.ask("visible"); err != nil {
		return s, err
	}
	visible := time.Since(began)
	sent := 0
	for _, reports := range rest {
		sent += len(reports) * r.readings
	}
	if s.processor, err = used.perEvent(sent); err != nil {
		return s, err
	}

	after, err := c.ask("stats")
	if err != nil {
		return s, err
	}
	if n := after.Readings - before.Readings; n != int64(sent) {
		return s, fmt.Errorf("%d of %d readings are recorded", n, sent)
	}
	s.perEvent = float64(after.Bytes-before.Bytes) / float64(sent)
	s.extra = map[string]float64{
		"reports_per_record":          float64(after.Entries-before.Entries) / float64(max(1, after.Records-before.Records)),
		"readings_per_s_acknowledged": float64(sent) / acknowledged.Seconds(),
		"readings_per_s_visible":      float64(sent) / visible.Seconds(),
		"seconds_views_were_behind":   (visible - acknowledged).Seconds(),
		"milliseconds_per_record":     1000 * acknowledged.Seconds() / float64(max(1, after.Records-before.Records)),
	}
	s.value = s.extra["readings_per_s_acknowledged"]
	if r.following {
		// What the views cannot follow does not count: the clock stops when the last reading is visible in all of them.
		s.value = s.extra["readings_per_s_visible"]
	}
	s.resident, err = c.resident()
	return s, err
}

// intakeBatched: 64 agents on 4 connections, reports of 100 readings.
func intakeBatched(ctx context.Context, b *bench) ([]row, error) {
	const agents, readings, warm = 64, 100, 4
	each := b.each(3_000_000, agents*readings)
	f := fleet{agents: agents, start: startOf((each + warm) * readings)}
	run := intakeRun{b: b, profile: b.name, fleet: f, reports: f.reports(each+warm, readings), warm: warm, window: 8, readings: readings, connections: 4}
	following, later := run, run
	following.following, later.profile = true, b.name+".later"
	scores, err := b.contest(ctx,
		contestant{"following", following.run},
		contestant{"catching up", later.run},
		contestant{"async", rawIntake(b, f, false, b.each(600_000, agents))},
		contestant{"fsync", rawIntake(b, f, true, b.each(20_000, agents))},
	)
	if err != nil {
		return nil, err
	}
	first := compare("readings/s", "following", scores, map[string]float64{"async": 3})
	first.Variant = "views following"
	second := compare("readings/s", "catching up", scores, map[string]float64{"async": 4, "fsync": 100})
	second.Variant = "views catching up afterwards"
	return []row{first, second}, nil
}

// checkpoints: what the Merkle tree and its checkpoints take of batched intake: the ledger as it is, against one whose second copy of the log
// is bytes alone, and against one without a second copy.
func checkpoints(ctx context.Context, b *bench) ([]row, error) {
	const agents, readings, warm = 64, 100, 4
	each := b.each(3_000_000, agents*readings)
	f := fleet{agents: agents, start: startOf((each + warm) * readings)}
	with := intakeRun{
		b: b, profile: b.name, fleet: f, reports: f.reports(each+warm, readings), warm: warm, window: 8, readings: readings, connections: 4, following: true,
	}
	plain, none := with, with
	plain.copies, plain.profile = plainCopy, b.name+".plain"
	none.copies, none.profile = noCopy, b.name+".none"
	scores, err := b.contest(ctx, contestant{"checkpoints", with.run}, contestant{"plain copy", plain.run}, contestant{"no copy", none.run})
	if err != nil {
		return nil, err
	}
	tree := compare("readings/s", "checkpoints", scores, map[string]float64{"plain copy": 0.95})
	tree.Variant = "the tree"
	all := compare("readings/s", "checkpoints", scores, map[string]float64{"no copy": 0.8})
	all.Variant = "with the copy itself"
	return []row{tree, all}, nil
}

// intakeSingle: 1,024 agents, one reading per report, one report of each under way; all on 4 connections, and each on its own.
func intakeSingle(ctx context.Context, b *bench) ([]row, error) {
	const warm = 2
	agents, each := max(16, b.of(1024)), b.of(100)
	f := fleet{agents: agents, start: startOf(each + warm)}
	shared := intakeRun{b: b, profile: b.name, fleet: f, reports: f.reports(each+warm, 1), warm: warm, window: 1, readings: 1, connections: 4, following: true}
	single := shared
	single.connections, single.profile = agents, b.name+".each"
	scores, err := b.contest(ctx,
		contestant{"shared", shared.run},
		contestant{"echo", shared.echo},
		contestant{"single", single.run},
		contestant{"echo, a connection each", single.echo},
		contestant{"fsync", rawIntake(b, f, true, b.each(20_000, agents))},
	)
	if err != nil {
		return nil, err
	}
	first := compare("reports/s", "shared", scores, map[string]float64{"echo": 0.4, "fsync": 10})
	first.Variant = "4 connections"
	second := compare("reports/s", "single", scores, map[string]float64{"echo, a connection each": 0.4})
	second.Variant = "a connection each"
	return []row{first, second}, nil
}

// echo measures the same reports into a micro service that stores nothing.
func (r intakeRun) echo(ctx context.Context, dir string) (s sample, err error) {
	c, err := startChild(ctx, job{Kind: "echo", Dir: dir}, r.b.stderr)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	all, err := connectReporters(r.fleet, c.URL, r.connections)
	if err != nil {
		return s, err
	}
	defer all.close()
	warm, rest := split(r.reports, r.warm)
	if err := all.send(ctx, warm, r.window); err != nil {
		return s, err
	}
	used, err := c.meter()
	if err != nil {
		return s, err
	}
	began := time.Now()
	if err := all.send(ctx, rest, r.window); err != nil {
		return s, err
	}
	n := 0
	for _, reports := range rest {
		n += len(reports)
	}
	s.value = float64(n) / time.Since(began).Seconds()
	if s.processor, err = used.perEvent(n); err != nil {
		return s, err
	}
	s.resident, err = c.resident()
	return s, err
}

// startOf is when a series of so many readings begins that ends an hour ago.
func startOf(readings int) time.Time {
	steps := readings/len(meters) + 1
	return time.Now().UTC().Truncate(time.Minute).Add(-time.Hour - time.Duration(steps)*sampling)
}
