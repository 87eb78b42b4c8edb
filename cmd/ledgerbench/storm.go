package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

// A storm breaks a cluster of three NATS nodes again and again, while two real ledgerds that share it give the licenses of a small
// pool away and take them back, and count what agents report. Afterwards nothing that was acknowledged may be missing or be
// there twice, and what all callers saw must be what one ledger, that does one thing after the other, could have answered.
type storm struct {
	staying
	stderr io.Writer
	length time.Duration
	least  int // faults, however short it is
	seed   uint64

	cluster *cluster
	daemons [2]*daemon
	clients [2]*api.Client
	begun   time.Time
	done    atomic.Bool
	last    atomic.Int64 // when something was acknowledged last, in nanoseconds since begun
	rand    *rand.Rand

	mu      sync.Mutex
	history []porcupine.Operation
	entries map[string]uint64 // position by the name that a command has in the log
	refused map[string]bool   // commands that changed nothing
	told    uint64            // the last entry that somebody was told of
	asked   int               // calls that were repeated
	unknown int               // answers that said so
}

// stormed is what a storm came to.
type stormed struct {
	Seconds        float64        `json:"seconds"`
	Faults         map[string]int `json:"faults"`
	Commands       int            `json:"commands"` // acknowledged
	Refused        int            `json:"refused"`
	Reports        int            `json:"reports"`
	Repeated       int            `json:"repeated"`
	Unknown        int            `json:"outcomes_unknown"`
	ProgressMedian float64        `json:"progress_s_median"` // from a fault to the next acknowledgement
	ProgressMax    float64        `json:"progress_s_max"`
	Entries        uint64         `json:"entries"`
	Linearizable   bool           `json:"linearizable"`
	Seed           uint64         `json:"seed"`
}

const (
	stormPool      = 3 // licenses
	stormEndpoints = 5
	stormCallers   = 6
	stormAgents    = 4
	// stormPause is what a caller waits between two calls: porcupine's work grows with what happens at the same time.
	stormPause    = 25 * time.Millisecond
	stormPatience = time.Minute // until something is acknowledged after a fault
	stormProvider = "acme"
)

func stormCommand(b *bench, output *string, started *bool, stdout io.Writer) *cobra.Command {
	s := &storm{staying: staying{name: "cluster"}, stderr: b.stderr, length: 5 * time.Minute, least: 8}
	cmd := &cobra.Command{
		Use:   "cluster [flags]",
		Short: "Let two ledgerds share three NATS nodes, break the nodes, and look for everything that was acknowledged",
		Long: `Let two ledgerds share a cluster of three NATS nodes, each a process. The stream's leader and
other nodes are killed, paused and cut off, all nodes lose power, ledgerds are killed; in the
end everything that was acknowledged must be there once, and what callers saw must be linearizable.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.length <= 0 || s.least < 1 {
				return fmt.Errorf("--for %s, --faults %d: more than nothing", s.length, s.least)
			}
			*started = true
			if s.seed == 0 {
				s.seed = rand.Uint64()
			}
			return s.withFolder(cmd.Context(), b.dir, *output, stdout, func() (outcome, error) {
				r, err := s.run(cmd.Context())
				if err != nil {
					err = fmt.Errorf("--seed %d: %w", s.seed, err)
				}
				return &r, err
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&s.length, "for", s.length, "how long something is broken")
	f.IntVar(&s.least, "faults", s.least, "how often something is broken at least; the first time in turn, then at random")
	f.Uint64Var(&s.seed, "seed", 0, "chooses faults and calls (default: at random)")
	f.StringVar(&s.program, "ledgerd", "", "ledgerd's program (default: built from this source)")
	return cmd
}

func (s *storm) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "  %6.1f s  "+format+"\n", append([]any{time.Since(s.begun).Seconds()}, args...)...)
}

// name is what the log calls a command with this idempotency key.
func (s *storm) name(key string) string { return "http/operator/" + key }

func (s *storm) run(ctx context.Context) (r stormed, err error) {
	s.begun, s.rand = time.Now(), rand.New(rand.NewPCG(s.seed, 0))
	s.entries, s.refused = make(map[string]uint64), make(map[string]bool)
	if s.cluster, err = startCluster(ctx, filepath.Join(s.dir, "cluster"), s.stderr); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.cluster.stop()) }()
	for i := range s.daemons {
		dir := filepath.Join(s.dir, fmt.Sprintf("ledgerd-%d", i+1))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return r, err
		}
		if s.daemons[i], err = newDaemon(s.program, dir, "--nats", s.cluster.urls(i)); err != nil {
			return r, err
		}
		d := s.daemons[i]
		defer func() {
			err = errors.Join(err, d.stop())
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, d.lastWords())
			}
		}()
		if err := s.begin(ctx, i); err != nil {
			return r, err
		}
		if s.clients[i], err = d.client(); err != nil {
			return r, err
		}
	}
	if err := s.settle(ctx); err != nil {
		return r, err
	}
	r.Seed, r.Faults = s.seed, make(map[string]int)
	if err := s.work(ctx, &r); err != nil {
		return r, err
	}
	r.Seconds = time.Since(s.begun).Seconds()
	if err := s.whole(ctx, func(p placement) bool { return p.current }); err != nil {
		return r, err
	}
	return r, s.check(ctx, &r)
}

// begin starts ledgerd i. A cluster whose nodes have not found each other yet has no place for its stream: then it is started again.
func (s *storm) begin(ctx context.Context, i int) error {
	patience, cancel := context.WithTimeout(ctx, stormPatience)
	defer cancel()
	for {
		_, err := s.daemons[i].start(patience)
		if err == nil || patience.Err() != nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-patience.Done():
			return err
		}
	}
}

// settle makes a provider with a pool of licenses.
func (s *storm) settle(ctx context.Context) error {
	c := s.clients[0]
	_, err1 := c.PutProvider(ctx, stormProvider, api.ProviderSettings{Name: "Acme"}, api.ChangeOptions{})
	_, err2 := c.PutPaymentMethod(ctx, stormProvider, api.PaymentMethodSettings{System: "fastspring", Account: "acme"}, api.ChangeOptions{})
	_, err3 := c.PutCompany(ctx, stormProvider, "globex", api.CompanySettings{Name: "Globex", Allocation: "manual"}, api.ChangeOptions{})
	_, err4 := c.BuyLicenses(ctx, stormProvider, api.LicenseBuy{LicenseType: "server", Quantity: stormPool}, api.ChangeOptions{})
	return errors.Join(err1, err2, err3, err4)
}

// work breaks what there is while callers and agents work.
func (s *storm) work(ctx context.Context, r *stormed) error {
	asking, cancel := context.WithCancel(ctx) // faults start nodes, which live on
	defer cancel()
	var workers sync.WaitGroup
	errs := make(chan error, stormCallers+stormAgents)
	counts := make([]int, stormAgents)
	for i := range stormCallers {
		workers.Go(func() { errs <- s.call(asking, i) })
	}
	for i := range stormAgents {
		workers.Go(func() {
			var err error
			counts[i], err = s.report(asking, i)
			errs <- err
		})
	}
	err := s.faults(ctx, r, errs)
	s.done.Store(true)
	if err != nil {
		cancel()
	}
	finished := make(chan struct{})
	go func() { workers.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(2 * stormPatience):
		cancel()
		<-finished
		err = errors.Join(err, errors.New("callers are still without an answer, long after the last fault"))
	}
	for range stormCallers + stormAgents {
		if one := <-errs; err == nil {
			err = one
		}
	}
	for _, n := range counts {
		r.Reports += n
	}
	return err
}

// kinds are what is done, and how it is mended: first to the leader.
func (s *storm) kinds() []fault {
	node := func(name string, leads bool, do func(i int) error, mend func(ctx context.Context, i int) error) fault {
		return fault{name, func(ctx context.Context) (func(context.Context) error, int, error) {
			p, err := s.cluster.placement(ctx, -1)
			if err != nil {
				return nil, -1, err
			}
			i := p.leader
			if !leads {
				i = (i + 1 + s.rand.IntN(2)) % len(s.cluster.nodes)
			}
			return func(ctx context.Context) error { return mend(ctx, i) }, i, do(i)
		}}
	}
	kill := func(i int) error { s.cluster.kill(i); return nil }
	pause := func(i int) error { return s.cluster.signal(i, syscall.SIGSTOP) }
	cut := func(i int) error { s.cluster.cut(i, true); return nil }
	again := func(ctx context.Context, i int) error { return s.cluster.begin(ctx, i) }
	resume := func(_ context.Context, i int) error { return s.cluster.signal(i, syscall.SIGCONT) }
	join := func(_ context.Context, i int) error { s.cluster.cut(i, false); return nil }
	return []fault{
		node("leader killed", true, kill, again), node("leader paused", true, pause, resume), node("leader cut off", true, cut, join),
		{"ledgerd killed", func(context.Context) (func(context.Context) error, int, error) {
			i := s.rand.IntN(len(s.daemons))
			s.daemons[i].kill()
			return func(ctx context.Context) error { return s.begin(ctx, i) }, -1, nil
		}},
		{"power lost", func(ctx context.Context) (func(context.Context) error, int, error) {
			for i := range s.cluster.nodes {
				s.cluster.kill(i)
			}
			var err error
			for i := range s.cluster.nodes {
				err = errors.Join(err, s.cluster.begin(ctx, i))
			}
			return func(context.Context) error { return nil }, -1, err
		}},
		node("follower killed", false, kill, again), node("follower paused", false, pause, resume), node("follower cut off", false, cut, join),
	}
}

// fault does something bad. It gives what mends it, and the node that is not itself meanwhile, or -1.
type fault struct {
	name string
	do   func(ctx context.Context) (mend func(context.Context) error, node int, err error)
}

// faults does one bad thing after the other and waits each time until something is acknowledged again.
func (s *storm) faults(ctx context.Context, r *stormed, errs chan error) error {
	kinds := s.kinds()
	var times []float64
	began := time.Now()
	for n := 0; n < s.least || time.Since(began) < s.length; n++ {
		if err := s.whole(ctx, func(p placement) bool { return p.near }); err != nil {
			return err
		}
		if err := s.pause(ctx, errs, 500*time.Millisecond+time.Duration(s.rand.Int64N(int64(time.Second)))); err != nil {
			return err
		}
		f := kinds[s.rand.IntN(len(kinds))]
		if n < len(kinds) {
			f = kinds[n]
		}
		mend, node, err := f.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		broken := time.Now()
		r.Faults[f.name]++
		err = s.progress(ctx, errs, broken)
		took := time.Since(broken)
		if err == nil && node >= 0 {
			// What is left works on for a while, with another leader.
			err = s.pause(ctx, errs, 500*time.Millisecond+time.Duration(s.rand.Int64N(int64(2*time.Second))))
			if err == nil {
				_, err = s.cluster.placement(ctx, node)
			}
		}
		if merr := mend(ctx); merr != nil && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("mend it: %w", merr))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		times = append(times, took.Seconds())
		s.say("%s; answers after %.1f s", f.name, took.Seconds())
	}
	slices.Sort(times)
	r.ProgressMedian, r.ProgressMax = median(times), times[len(times)-1]
	return nil
}

// pause waits, unless somebody fails meanwhile.
func (s *storm) pause(ctx context.Context, errs chan error, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-errs:
		errs <- nil // it is counted once
		if err == nil {
			err = errors.New("a caller ended by itself")
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// progress waits until something that is acknowledged was begun after a moment.
func (s *storm) progress(ctx context.Context, errs chan error, since time.Time) error {
	for time.Since(since) < stormPatience {
		if err := s.pause(ctx, errs, 5*time.Millisecond); err != nil {
			return err
		}
		if s.last.Load() > since.Sub(s.begun).Nanoseconds() {
			return nil
		}
	}
	return fmt.Errorf("nothing was acknowledged for %s", stormPatience)
}

// whole waits until all nodes follow: no second one may be broken before.
func (s *storm) whole(ctx context.Context, enough func(placement) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*stormPatience)
	defer cancel()
	for {
		p, err := s.cluster.placement(ctx, -1)
		if err != nil || enough(p) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("nodes do not follow: %s", strings.Join(p.far, ", "))
		}
	}
}

// until repeats a call, at one ledgerd and then at the other, until it is answered. err is a refusal.
func (s *storm) until(ctx context.Context, i int, call func(context.Context, *api.Client) error) error {
	began := time.Since(s.begun)
	for n := 0; ; n++ {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := call(attempt, s.clients[(i+n/3)%len(s.clients)])
		cancel()
		code := api.CodeOf(err)
		var failed *api.CallError
		switch {
		case err == nil || code != "" && code != api.CodeUnavailable && code != api.CodeOutcomeUnknown && code != api.CodeOverloaded && code != api.CodeBehind:
			if began.Nanoseconds() > s.last.Load() {
				s.last.Store(began.Nanoseconds())
			}
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case code == "" && !errors.As(err, &failed):
			return fmt.Errorf("%w: %w", errStorm, err)
		}
		s.mu.Lock()
		s.asked++
		if code == api.CodeOutcomeUnknown {
			s.unknown++
		}
		s.mu.Unlock()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

var errStorm = errors.New("what no ledger answers")

// call allocates a license of the pool to one of the endpoints, or puts back what this caller gave away, until the storm is over.
func (s *storm) call(ctx context.Context, caller int) error {
	r := rand.New(rand.NewPCG(s.seed, uint64(1+caller)))
	held := make(map[int]string) // licenses by endpoint
	for n := 0; !s.done.Load(); n++ {
		in := poolCall{endpoint: r.IntN(stormEndpoints)}
		id, puts := held[in.endpoint]
		in.puts = puts
		key := fmt.Sprintf("storm-%d-%d", caller, n)
		var position *uint64
		op := porcupine.Operation{ClientId: caller, Input: in, Call: time.Since(s.begun).Nanoseconds()}
		err := s.until(ctx, caller, func(ctx context.Context, c *api.Client) error {
			o := api.ChangeOptions{IdempotencyKey: key}
			var answer api.LicenseAnswer
			var err error
			if puts {
				answer, err = c.UnassignLicense(ctx, stormProvider, id, o)
			} else {
				answer, err = c.AllocateLicense(ctx, stormProvider, api.LicenseAllocate{
					LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "pc-" + strconv.Itoa(in.endpoint)},
				}, o)
			}
			if err == nil {
				id, position = answer.License.ID, answer.Position
			}
			return err
		})
		op.Return = time.Since(s.begun).Nanoseconds()
		code := api.CodeOf(err)
		if err != nil && code != api.CodePoolEmpty && code != api.CodeLicenseAlreadyHeld {
			return fmt.Errorf("%s: %w", key, err)
		}
		op.Output = code
		s.mu.Lock()
		s.history = append(s.history, op)
		if err == nil {
			s.entries[s.name(key)], s.told = *position, max(s.told, *position)
		} else {
			s.refused[s.name(key)] = true
		}
		s.mu.Unlock()
		if delete(held, in.endpoint); err == nil && !puts {
			held[in.endpoint] = id
		}
		select {
		case <-time.After(stormPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// report reports as one agent until the storm is over, and tells how many reports were acknowledged.
func (s *storm) report(ctx context.Context, agent int) (n int, err error) {
	for !s.done.Load() {
		report := api.Report{Agent: "agent-" + strconv.Itoa(agent), Seq: uint64(n + 1), Company: "globex", Readings: []api.Reading{
			{Meter: "backup_bytes", Value: json.Number(strconv.Itoa(n + 1)), At: time.Now().UTC().Truncate(time.Millisecond)},
		}}
		var position *uint64
		err := s.until(ctx, agent, func(ctx context.Context, c *api.Client) error {
			answer, err := c.ReportUsage(ctx, stormProvider, report, api.ChangeOptions{})
			position = answer.Position
			return err
		})
		if err != nil {
			return n, fmt.Errorf("report %d of %s: %w", report.Seq, report.Agent, err)
		}
		if position != nil {
			s.mu.Lock()
			s.told = max(s.told, *position)
			s.mu.Unlock()
		}
		n++
		select {
		case <-time.After(stormPause):
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
	return n, nil
}

// check reads the log at both ledgerds and compares it with what was answered.
func (s *storm) check(ctx context.Context, r *stormed) error {
	var logs [2][]byte
	for i, c := range s.clients {
		body, err := c.AuditEntries(ctx, api.AuditQuery{ReadOptions: api.ReadOptions{After: s.told}})
		if err != nil {
			return err
		}
		logs[i], err = io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			return err
		}
	}
	var errs []error
	if short := min(len(logs[0]), len(logs[1])); !bytes.Equal(logs[0][:short], logs[1][:short]) {
		errs = append(errs, errors.New("the two ledgerds tell different histories"))
	}
	found, reported := make(map[string][]uint64), make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(logs[0]))
	lines.Buffer(nil, 1<<20)
	for n := uint64(0); lines.Scan(); n++ {
		var e struct {
			Number  uint64 `json:"entry"`
			Command string `json:"command"`
			Events  []struct {
				Kind string `json:"kind"`
				Data struct {
					Agent string `json:"agent"`
				} `json:"data"`
			} `json:"events"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		if e.Number != n {
			errs = append(errs, fmt.Errorf("entry %d stands where %d should", e.Number, n))
		}
		for _, ev := range e.Events {
			if ev.Kind == "usage.recorded.v1" {
				reported[ev.Data.Agent]++
			}
		}
		found[e.Command] = append(found[e.Command], e.Number)
		r.Entries = n + 1
	}
	for id, entry := range s.entries {
		if at := found[id]; len(at) != 1 || at[0] != entry {
			errs = append(errs, fmt.Errorf("%s was acknowledged as entry %d and is recorded as %d", id, entry, at))
		}
	}
	for id := range s.refused {
		if at := found[id]; len(at) > 0 {
			errs = append(errs, fmt.Errorf("%s was refused and is recorded as %d", id, at))
		}
	}
	total := 0
	for _, n := range reported {
		total += n
	}
	if total != r.Reports {
		errs = append(errs, fmt.Errorf("%d reports were acknowledged, %d are recorded", r.Reports, total))
	}
	r.Commands, r.Refused, r.Repeated, r.Unknown = len(s.entries), len(s.refused), s.asked, s.unknown
	if r.Commands == 0 || r.Refused == 0 || r.Reports == 0 {
		errs = append(errs, errors.New("nothing was put to the test"))
	}
	model := porcupine.Model{
		Init: func() any { return poolOf{free: stormPool} },
		Step: func(state, input, output any) (bool, any) {
			return state.(poolOf).step(input.(poolCall), output.(api.Code))
		},
	}
	if res := porcupine.CheckOperationsTimeout(model, s.history, 2*time.Minute); res != porcupine.Ok {
		errs = append(errs, fmt.Errorf("what %d calls saw is not linearizable: %s", len(s.history), res))
	} else {
		r.Linearizable = true
	}
	return errors.Join(errs...)
}

func (r *stormed) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{name}, args...)...)
	}
	var faults []string
	for name, n := range r.Faults {
		faults = append(faults, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(faults)
	line("worked", "%.0f s, --seed %d", r.Seconds, r.Seed)
	line("faults", "%s", strings.Join(faults, ", "))
	line("acknowledged", "%d commands, %d reports; each is there once", r.Commands, r.Reports)
	line("refused", "%d; none of them is recorded", r.Refused)
	line("asked again", "%d times; %d outcomes were unknown for a while", r.Repeated, r.Unknown)
	line("answers again", "after %.1f s, at most %.1f s", r.ProgressMedian, r.ProgressMax)
	line("entries", "%d, the same at both ledgerds", r.Entries)
	line("linearizable", "%v", r.Linearizable)
	return w.Flush()
}

// poolCall takes a license for an endpoint, or puts back what it has.
type poolCall struct {
	endpoint int
	puts     bool
}

// poolOf is what an observer of the pool must see.
type poolOf struct {
	free int
	held [stormEndpoints]bool
}

func (p poolOf) step(in poolCall, out api.Code) (bool, any) {
	switch {
	case in.puts:
		ok := out == "" && p.held[in.endpoint]
		p.held[in.endpoint] = false
		p.free++
		return ok, p
	case p.held[in.endpoint]:
		return out == api.CodeLicenseAlreadyHeld, p
	case p.free == 0:
		return out == api.CodePoolEmpty, p
	default:
		p.free--
		p.held[in.endpoint] = true
		return out == "", p
	}
}
