package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

// soakLoad is agents and administrators at work with one ledgerd after the other. They plan when they report and decide, whether what they
// asked before was answered or not, so that time in which nothing is answered counts.
type soakLoad struct {
	agents  []*soakAgent
	callers []*soakCaller
	client  *api.Client
	failed  chan error // the first thing that must not happen
	stop    context.CancelFunc
	workers sync.WaitGroup

	free      atomic.Bool   // everybody works as fast as answers come, to measure what is possible
	rate      atomic.Uint64 // reports a second; bits of a float
	plans     chan time.Time
	done      atomic.Bool  // nothing new is begun
	calmSince atomic.Int64 // in nanoseconds since 1970; math.MaxInt64 while something unusual happens

	acknowledged, commands, repeated, duplicates, overloaded, waiting atomic.Int64
	reports, decisions                                                latencies
}

// soakWindow is how many reports an agent has under way, and soakBurst how many in a burst, of so many that come at once: more in all than an intake
// lets wait. What is due beyond that waits at the agent, as in a spool.
const (
	soakWindow = 8
	soakBurst  = 250
)

// openLoad makes providers, companies and tokens, and connects agents.
func (d *daemon) openLoad(ctx context.Context, listener string, agents, callers int) (l *soakLoad, err error) {
	l = &soakLoad{failed: make(chan error, 1), plans: make(chan time.Time, 1<<16)}
	if l.client, err = d.client(); err != nil {
		return nil, err
	}
	ctx, l.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	f := fleet{agents: agents}
	for _, p := range f.providers() {
		_, err1 := l.client.PutProvider(ctx, p, api.ProviderSettings{Name: p}, api.ChangeOptions{})
		_, err2 := l.client.PutPaymentMethod(ctx, p, api.PaymentMethodSettings{System: "fastspring", Account: p}, api.ChangeOptions{})
		err = errors.Join(err1, err2)
		for _, c := range f.companies() {
			_, err3 := l.client.PutCompany(ctx, p, c, api.CompanySettings{Name: c, Allocation: "automatic"}, api.ChangeOptions{})
			err = errors.Join(err, err3)
		}
		if err != nil {
			return l, err
		}
	}
	for i := range agents {
		a := &soakAgent{load: l, agent: f.agent(i), under: make(map[uint64]*underWay)}
		token, err := l.client.IssueToken(ctx, a.provider, api.TokenIssue{Subject: "agent:" + a.id}, api.ChangeOptions{})
		if err != nil {
			return l, err
		}
		a.conn, err = nats.Connect("nats://"+listener, nats.UserInfo(a.provider+"/"+a.id, token.Secret), nats.MaxReconnects(-1),
			nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 20*time.Millisecond), nats.ReconnectBufSize(-1),
			nats.CustomInboxPrefix("_INBOX."+a.provider+"."+a.id), nats.ReconnectHandler(func(*nats.Conn) { a.again(0) }),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrPermissionViolation) || errors.Is(err, nats.ErrAuthorization) {
					l.fail("agent %s: %w", a.id, err)
				}
			}))
		if err != nil {
			return l, fmt.Errorf("connect agent %s: %w", a.id, err)
		}
		l.agents = append(l.agents, a)
		a.inbox = a.conn.NewInbox() + "."
		if _, err := a.conn.Subscribe(a.inbox+"*", a.answered); err != nil {
			return l, err
		}
		if err := a.conn.Flush(); err != nil {
			return l, err
		}
	}
	for i := range callers {
		c := &soakCaller{load: l, agent: f.agent(i % agents), name: fmt.Sprintf("soak-%d", i+1), ids: make(map[string]bool)}
		l.callers = append(l.callers, c)
	}
	l.calmSince.Store(math.MaxInt64)
	l.workers.Go(func() { l.plan(ctx) })
	l.workers.Go(func() { l.repeat(ctx) })
	for _, c := range l.callers {
		l.workers.Go(func() { c.work(ctx) })
	}
	return l, nil
}

func (l *soakLoad) close() {
	l.done.Store(true)
	l.stop()
	for _, a := range l.agents {
		a.conn.Close()
	}
	l.workers.Wait()
}

func (l *soakLoad) fail(format string, args ...any) {
	select {
	case l.failed <- fmt.Errorf(format, args...):
	default:
	}
}

// capacity measures what is acknowledged in a second while everybody works as fast as answers come.
func (l *soakLoad) capacity(ctx context.Context, length time.Duration) (reports, commands float64, err error) {
	l.free.Store(true)
	for _, a := range l.agents {
		for range soakWindow {
			a.report(time.Now(), soakWindow)
		}
	}
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case err := <-l.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(length / 5); err != nil { // it begins with what was never seen
		return 0, 0, err
	}
	began, r, c := time.Now(), l.acknowledged.Load(), l.commands.Load()
	if err := wait(length); err != nil {
		return 0, 0, err
	}
	seconds := time.Since(began).Seconds()
	reports, commands = float64(l.acknowledged.Load()-r)/seconds, float64(l.commands.Load()-c)/seconds
	if reports < 1 || commands < 1 {
		return 0, 0, fmt.Errorf("it takes %.1f reports and %.1f commands a second", reports, commands)
	}
	return reports, commands, nil
}

// pace lets so much be begun in a second from now on.
func (l *soakLoad) pace(reports, commands float64) {
	l.rate.Store(math.Float64bits(reports))
	l.free.Store(false)
	l.workers.Go(func() {
		l.every(func(due int) {
			for range due {
				select {
				case l.plans <- time.Now():
				default: // the callers are far behind; more plans tell nothing new
				}
			}
		}, commands/2) // an allocation and a release
	})
	l.calmSince.Store(time.Now().UnixNano())
}

// every calls back some 200 times a second with how much is due since the last time, until nothing new is begun.
func (l *soakLoad) every(begin func(due int), rate float64) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began, begun := time.Now(), 0
	for !l.done.Load() {
		<-tick.C
		due := int(rate*time.Since(began).Seconds()) - begun
		begun += due
		begin(due)
	}
}

// plan lets agents report, in turn.
func (l *soakLoad) plan(ctx context.Context) {
	for l.rate.Load() == 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Millisecond):
		}
	}
	turn := 0
	l.every(func(due int) {
		now := time.Now()
		for range due {
			l.agents[turn%len(l.agents)].report(now, soakWindow)
			turn++
		}
	}, math.Float64frombits(l.rate.Load()))
}

// burst reports at once more than the intake lets wait.
func (l *soakLoad) burst() {
	l.disturbed()
	for range soakBurst {
		for _, a := range l.agents {
			a.report(time.Now(), soakBurst)
		}
	}
}

// disturbed says that something unusual happens: until there is no backlog any more, times do not count.
func (l *soakLoad) disturbed() { l.calmSince.Store(math.MaxInt64) }

func (l *soakLoad) calm() bool { return l.calmSince.Load() <= time.Now().UnixNano() }

// repeat sends again what has no answer, or one that asks for it; and notices when all is as usual again.
func (l *soakLoad) repeat(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, a := range l.agents {
			a.again(soakPatience)
		}
		usual := int64(math.Float64frombits(l.rate.Load()) / 10) // what is due in a tenth of a second
		if !l.free.Load() && l.calmSince.Load() == math.MaxInt64 && l.waiting.Load() <= usual+int64(len(l.agents)) {
			l.calmSince.Store(time.Now().UnixNano())
		}
	}
}

// finish lets everybody finish what is begun.
func (l *soakLoad) finish(ctx context.Context) error {
	l.done.Store(true)
	for end := time.Now().Add(2 * time.Minute); ; {
		busy := l.waiting.Load()
		for _, c := range l.callers {
			if c.busy.Load() {
				busy++
			}
		}
		if busy == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d reports and commands are still without an answer after two minutes without a kill", busy)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case err := <-l.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}

func (l *soakLoad) reported() int64  { return l.acknowledged.Load() }
func (l *soakLoad) commanded() int64 { return l.commands.Load() }

func (l *soakLoad) tell(r *soaked) {
	r.Reports, r.Commands, r.Repeated, r.Duplicates, r.Overloaded = l.reported(), l.commanded(), l.repeated.Load(), l.duplicates.Load(), l.overloaded.Load()
	r.ReportP50, r.ReportP99 = l.reports.quantile(0.5), l.reports.quantile(0.99)
	r.CommandP50, r.CommandP99 = l.decisions.quantile(0.5), l.decisions.quantile(0.99)
}

// wake lets a ledger load what its decisions rest on, and record nothing.
func (l *soakLoad) wake(ctx context.Context) error {
	for _, a := range l.agents[:fleetProviders] {
		_, err := l.client.AllocateLicense(ctx, a.provider, api.LicenseAllocate{
			LicenseType: "server", Company: a.company, Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "nobody"},
		}, api.ChangeOptions{DryRun: true})
		if err != nil {
			return err
		}
	}
	return nil
}

// check asks a ledger for everything that was acknowledged: every report and every command counted once, and nothing else.
func (l *soakLoad) check(ctx context.Context) error {
	type usage struct{ count, sum int64 }
	var wrong []error
	for _, p := range (fleet{}).providers() {
		found := make(map[string]usage)
		for _, aggregate := range []string{"count", "sum"} {
			q := api.UsageQuery{Meter: "backup_bytes", GroupBy: []string{"endpoint"}, Aggregate: aggregate}
			for row, err := range l.client.AllUsage(ctx, p, q) {
				if err != nil {
					return err
				}
				n, err := row.Value.Int64()
				if err != nil {
					return err
				}
				u := found[row.Endpoint]
				if aggregate == "count" {
					u.count = n
				} else {
					u.sum = n
				}
				found[row.Endpoint] = u
			}
		}
		for _, a := range l.agents {
			if want := (usage{int64(a.last), a.sum}); a.provider == p && found[a.id] != want {
				wrong = append(wrong, fmt.Errorf("%s/%s: %d reports with a sum of %d were acknowledged; the ledger has %d with %d", p, a.id, want.count, want.sum, found[a.id].count, found[a.id].sum))
			}
		}
		for gap, err := range l.client.AllUsageGaps(ctx, p, api.ListQuery{}) {
			if err != nil {
				return err
			}
			wrong = append(wrong, fmt.Errorf("%s/%s: reports %d to %d are missing", p, gap.Agent, gap.From, gap.To))
		}
		var want api.Counters
		for _, c := range l.callers {
			if c.provider == p {
				want.All += len(c.ids)
				want.Released += c.released
			}
		}
		got, err := l.client.LicenseCounters(ctx, p, api.CountersQuery{})
		if err != nil {
			return err
		}
		if want.Paid = want.All - want.Released; got.All != want.All || got.Released != want.Released || got.Paid != want.Paid {
			wrong = append(wrong, fmt.Errorf("%s: of acknowledged commands come %d licenses, %d of them released; the ledger has %d and %d", p, want.All, want.Released, got.All, got.Released))
		}
	}
	return errors.Join(wrong...)
}

// soakAgent reports one reading at a time.
type soakAgent struct {
	load *soakLoad
	agent
	conn  *nats.Conn
	inbox string

	mu    sync.Mutex
	due   []time.Time // of reports that are not made yet
	last  uint64      // number of the last report
	sum   int64       // of all values
	under map[uint64]*underWay
}

// underWay is a report without a final answer.
type underWay struct {
	body      []byte
	due, sent time.Time
	again     time.Time // when it is sent again; zero: when nobody answers
}

// soakPatience is how long an agent waits for an answer.
const soakPatience = 5 * time.Second

// report has one more report to make.
func (a *soakAgent) report(due time.Time, window int) {
	a.load.waiting.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due = append(a.due, due)
	a.pump(window)
}

// pump makes reports that are due, in order, while there is room under way for them. The lock is held.
func (a *soakAgent) pump(window int) {
	for len(a.due) > 0 && len(a.under) < window {
		due := a.due[0]
		a.due = a.due[1:]
		a.last++
		seq, value := a.last, rand.Int64N(1_000_000)
		a.sum += value
		body := appendReading([]byte(`{"spool":"","seq":`+strconv.FormatUint(seq, 10)+`,"company":"`+a.company+`","readings":[`), "backup_bytes",
			strconv.AppendInt(nil, value, 10), events.Stamp(due))
		u := &underWay{body: append(body, "]}"...), due: due}
		a.under[seq] = u
		a.send(seq, u)
	}
}

// send sends a report; where there is no connection, it is sent when there is one.
func (a *soakAgent) send(seq uint64, u *underWay) {
	u.sent, u.again = time.Now(), time.Time{}
	if a.conn.PublishMsg(&nats.Msg{
		Subject: "intake." + a.provider + "." + a.id, Reply: a.inbox + strconv.FormatUint(seq, 10),
		Header: nats.Header{api.HeaderRequest: {a.request(seq)}}, Data: u.body,
	}) != nil {
		u.again = u.sent.Add(50 * time.Millisecond)
	}
}

// request names a report, for the server may confuse two that are under way (package intake).
func (a *soakAgent) request(seq uint64) string {
	return a.provider + "/" + a.id + "/" + strconv.FormatUint(seq, 10)
}

// again sends what waits for it, and what has waited for an answer for too long.
func (a *soakAgent) again(patience time.Duration) {
	if !a.conn.IsConnected() {
		return
	}
	now, n := time.Now(), int64(0)
	a.mu.Lock()
	for seq, u := range a.under {
		if !u.again.IsZero() && now.After(u.again) || u.again.IsZero() && now.Sub(u.sent) > patience {
			a.send(seq, u)
			n++
		}
	}
	a.mu.Unlock()
	a.load.repeated.Add(n)
}

func (a *soakAgent) answered(m *nats.Msg) {
	seq, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 10, 64)
	if err != nil {
		a.load.fail("an answer to %s", m.Subject)
		return
	}
	var answer struct {
		Status string `json:"status"`
		Code   string `json:"code"`
	}
	if len(m.Data) > 0 { // else nobody listens yet
		if m.Header.Get(api.HeaderRequest) != a.request(seq) {
			return // it is to another's report; this one is repeated
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			a.load.fail("report %d of %s is answered with %q", seq, a.id, m.Data)
			return
		}
	}
	final := answer.Status == api.ReportRecorded || answer.Status == api.ReportDuplicate
	a.mu.Lock()
	u := a.under[seq]
	if u != nil && final {
		delete(a.under, seq)
		a.pump(soakWindow)
	} else if u != nil {
		u.again = time.Now().Add(100*time.Millisecond + rand.N(400*time.Millisecond))
	}
	a.mu.Unlock()
	switch {
	case u == nil: // it was sent twice, and answered before
	case final:
		a.load.waiting.Add(-1)
		a.load.acknowledged.Add(1)
		if answer.Status == api.ReportDuplicate {
			a.load.duplicates.Add(1)
		}
		a.load.reports.add(a.load, u.due)
		if a.load.free.Load() {
			a.report(time.Now(), soakWindow)
		}
	case answer.Code == string(api.CodeOverloaded):
		a.load.overloaded.Add(1)
	case answer.Code != "" && answer.Code != string(api.CodeUnavailable) && answer.Code != string(api.CodeOutcomeUnknown):
		a.load.fail("report %d of %s is refused: %s", seq, a.id, m.Data)
	}
}

// soakCaller gives licenses to its own endpoint and takes them back.
type soakCaller struct {
	load *soakLoad
	agent
	name string
	busy atomic.Bool

	n        int
	ids      map[string]bool // of all licenses that it was told
	released int
}

func (c *soakCaller) work(ctx context.Context) {
	for ctx.Err() == nil {
		due := time.Now()
		if !c.load.free.Load() {
			select {
			case due = <-c.load.plans:
			case <-time.After(time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		if c.load.done.Load() {
			return
		}
		c.busy.Store(true)
		c.cycle(ctx, due)
		c.busy.Store(false)
	}
}

// cycle allocates a license, which is bought on the spot, and releases it.
func (c *soakCaller) cycle(ctx context.Context, due time.Time) {
	c.n++
	key, id := c.name+"-"+strconv.Itoa(c.n), ""
	if !c.until(ctx, due, func() error {
		answer, err := c.load.client.AllocateLicense(ctx, c.provider, api.LicenseAllocate{
			LicenseType: "server", Company: c.company, Assignee: api.Assignee{Kind: api.KindEndpoint, ID: c.name},
		}, api.ChangeOptions{IdempotencyKey: key})
		id = answer.License.ID
		return err
	}) {
		return
	}
	if c.ids[id] {
		c.load.fail("license %s was allocated twice", id)
	}
	c.ids[id] = true
	if c.until(ctx, time.Now(), func() error {
		_, err := c.load.client.ReleaseLicense(ctx, c.provider, id, api.ChangeOptions{IdempotencyKey: key + "-release"})
		return err
	}) {
		c.released++
	}
}

// until repeats a command until it is answered.
func (c *soakCaller) until(ctx context.Context, due time.Time, call func() error) bool {
	for {
		err := call()
		if err == nil {
			c.load.commands.Add(1)
			c.load.decisions.add(c.load, due)
			return true
		}
		var failed *api.CallError
		switch code := api.CodeOf(err); {
		case ctx.Err() != nil:
			return false
		case code == api.CodeOverloaded:
			c.load.overloaded.Add(1)
		case code == api.CodeUnavailable || code == api.CodeOutcomeUnknown || code == api.CodeBehind:
		case code == "" && errors.As(err, &failed): // no ledger, or one that was killed
		default:
			c.load.fail("a command: %w", err)
			return false
		}
		c.load.repeated.Add(1)
		select {
		case <-time.After(20*time.Millisecond + rand.N(50*time.Millisecond)):
		case <-ctx.Done():
			return false
		}
	}
}

// latencies counts times, each in a class that is 2 % wide.
type latencies struct {
	mu      sync.Mutex
	classes [1200]int64
	n       int64
}

const latencyStep, latencyFirst = 1.02, 0.01 // ms

// add counts the time since something was due, if everything was as usual all the while.
func (l *latencies) add(load *soakLoad, due time.Time) {
	if load.calmSince.Load() > due.UnixNano() {
		return
	}
	ms := float64(time.Since(due).Microseconds()) / 1000
	class := int(math.Log(max(ms, latencyFirst)/latencyFirst) / math.Log(latencyStep))
	l.mu.Lock()
	l.classes[min(class, len(l.classes)-1)]++
	l.n++
	l.mu.Unlock()
}

// quantile is the time, in milliseconds, within which so large a part was answered.
func (l *latencies) quantile(part float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := int64(part * float64(l.n))
	for class, n := range l.classes {
		if left -= n; left < 0 {
			return latencyFirst * math.Pow(latencyStep, float64(class+1))
		}
	}
	return 0
}
