package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

// request is a command or a report that a client has sent, with what the client knows of it.
type request struct {
	wants    string // what its events say, as [gist] tells it
	answered bool   // the ledger said that it is recorded
	maybe    bool   // some answer is missing
	position uint64 // of the answer; 0 if the answer is about several
	licenses []string
}

// load is clients at work, through one ledgerd after the other.
type load struct {
	t     *testing.T
	seed  uint64
	left  atomic.Int64  // requests until enough is closed
	known atomic.Uint64 // the highest position that anybody was told

	mu     sync.Mutex
	client *api.Client
	run    int           // counts ledgerds
	opened chan struct{} // closed when the next ledgerd is open
	enough chan struct{}
	ending bool // clients finish what they are at
	sent   map[string]*request
	unsure int // requests whose answer was missing at least once
}

func newLoad(t *testing.T, seed uint64) *load {
	return &load{t: t, seed: seed, opened: make(chan struct{}), sent: make(map[string]*request)}
}

// begin lets clients of every kind work for two providers until ctx ends, or the load. The function that it gives waits for them.
func (l *load) begin(ctx context.Context) (wait func()) {
	var clients sync.WaitGroup
	for _, provider := range []string{"acme", "umbrella"} {
		for kind, step := range map[string]func(*worker, context.Context){
			"buyer": (*worker).buy, "allocator": (*worker).allocate, "orderer": (*worker).order, "pc-1": (*worker).report, "pc-2": (*worker).report, "pcs": (*worker).batch,
		} {
			clients.Go(func() { l.work(ctx, provider+"-"+kind, provider, step) })
		}
	}
	return clients.Wait
}

// open lets clients use a ledgerd. The channel is closed when they have sent so many requests.
func (l *load) open(c *api.Client, requests int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = c
	l.run++
	l.left.Store(requests)
	l.enough = make(chan struct{})
	close(l.opened)
	l.opened = make(chan struct{})
	return l.enough
}

// end lets clients finish what they are at and begin nothing new.
func (l *load) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
}

// await is the ledgerd after run number run; false if there will be none.
func (l *load) await(ctx context.Context, run int) (*api.Client, int, bool) {
	for {
		l.mu.Lock()
		client, now, opened := l.client, l.run, l.opened
		l.mu.Unlock()
		if now > run {
			return client, now, true
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, 0, false
		}
	}
}

func (l *load) name(name, wants string) *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.sent[name]
	if r == nil {
		r = &request{wants: wants}
		l.sent[name] = r
	}
	return r
}

// worker is a client, which does one thing after the other.
type worker struct {
	*load
	rand     *rand.Rand
	id       string
	provider string
	run      int // of the ledgerd that it uses
	n        int // names what it does
	seq      map[string]uint64
}

// work does things until the load ends.
func (l *load) work(ctx context.Context, id, provider string, step func(w *worker, ctx context.Context)) {
	h := uint64(0)
	for _, c := range id {
		h = h*31 + uint64(c)
	}
	w := &worker{load: l, rand: rand.New(rand.NewPCG(l.seed, h)), id: id, provider: provider, run: 1, seq: make(map[string]uint64)}
	for ctx.Err() == nil {
		l.mu.Lock()
		ending := l.ending
		l.mu.Unlock()
		if ending {
			return
		}
		w.n++
		step(w, ctx)
	}
}

// try sends requests until their outcome is known, or gives up in the middle. named are those that the call sends at once.
func (w *worker) try(ctx context.Context, named []*request, call func(c *api.Client) error) (answered bool) {
	c, run, ok := w.await(ctx, w.run-1)
	for ok {
		w.run = run
		err := call(c)
		if w.left.Add(-1) == 0 {
			w.mu.Lock()
			close(w.enough)
			w.mu.Unlock()
		}
		if err == nil {
			return true
		}
		var failed *api.CallError
		if ctx.Err() != nil || !errors.As(err, &failed) {
			return false
		}
		if code := api.CodeOf(err); code != "" && code != api.CodeUnavailable && code != api.CodeOutcomeUnknown {
			w.t.Errorf("%s: %v", w.id, err)
			return false
		}
		if failed.Unknown {
			w.mu.Lock()
			for _, r := range named {
				if !r.maybe && !r.answered {
					w.unsure++
				}
				r.maybe = true
			}
			w.mu.Unlock()
		}
		// Some never ask again: then it was recorded or not.
		if w.rand.IntN(4) == 0 {
			return false
		}
		c, run, ok = w.await(ctx, run)
	}
	return false
}

// change sends a command under a key, and sometimes once more.
func (w *worker) change(ctx context.Context, key, wants string, call func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error)) ([]string, bool) {
	r := w.name(license.KeyedDoor+"operator/"+key, wants)
	var ids []string
	send := func(c *api.Client) error {
		receipt, rows, err := call(c, api.ChangeOptions{IdempotencyKey: key})
		if err != nil {
			return err
		}
		ids = nil
		for _, row := range rows {
			ids = append(ids, row.ID)
		}
		w.answer(r, receipt.Position, ids)
		return nil
	}
	ok := w.try(ctx, []*request{r}, send)
	if ok && w.rand.IntN(8) == 0 {
		w.try(ctx, []*request{r}, send)
	}
	return ids, ok
}

// answer notes an answer; a second one must say the same.
func (w *worker) answer(r *request, position *uint64, licenses []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if position == nil {
		w.t.Errorf("%s: an answer without position", w.id)
		return
	}
	if r.answered && (r.position != *position || !slices.Equal(r.licenses, licenses)) {
		w.t.Errorf("%s: the answer is %d %v, and was %d %v", w.id, *position, licenses, r.position, r.licenses)
	}
	r.answered, r.position, r.licenses = true, *position, licenses
	w.known.Store(max(w.known.Load(), *position))
}

// buy buys licenses into a pool and may release one.
func (w *worker) buy(ctx context.Context) {
	key, n := fmt.Sprintf("%s-%d", w.id, w.n), 1+w.rand.IntN(3)
	ids, ok := w.change(ctx, key, strings.TrimSpace(strings.Repeat("license.bought.v1 ", n)), func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.BuyLicenses(ctx, w.provider, api.LicenseBuy{LicenseType: "server", Quantity: n, Company: "initech"}, o)
		return a.Receipt, a.Licenses, err
	})
	if ok && w.rand.IntN(2) == 0 {
		w.release(ctx, ids[w.rand.IntN(n)])
	}
}

// allocate gives a license to a new endpoint and may release it.
func (w *worker) allocate(ctx context.Context) {
	key := fmt.Sprintf("%s-%d", w.id, w.n)
	ids, ok := w.change(ctx, key, "license.bought.v1 license.allocated.v1", func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.AllocateLicense(ctx, w.provider, api.LicenseAllocate{LicenseType: "ultimate", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: key}}, o)
		return a.Receipt, []api.License{a.License}, err
	})
	if ok && w.rand.IntN(2) == 0 {
		w.release(ctx, ids[0])
	}
}

func (w *worker) release(ctx context.Context, id string) {
	w.change(ctx, fmt.Sprintf("%s-%d-release", w.id, w.n), "license.released.v1", func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.ReleaseLicense(ctx, w.provider, id, o)
		return a.Receipt, []api.License{a.License}, err
	})
}

// order orders an annual key, activates it, and starts a job that takes a seat.
func (w *worker) order(ctx context.Context) {
	name, key, secret := fmt.Sprintf("%s-%d", w.id, w.n), "", ""
	_, ok := w.change(ctx, name, "key.ordered.v1 prepaid.issued.v1", func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.OrderKey(ctx, w.provider, api.KeyOrder{LicenseType: "backup-user", Seats: 1}, o)
		if err == nil && key != "" && (a.Key.ID != key || a.Key.Secret != secret) {
			w.t.Errorf("%s: the key is %s, and was %s", name, a.Key.ID, key)
		}
		if err == nil {
			key, secret = a.Key.ID, a.Key.Secret
		}
		return a.Receipt, nil, err
	})
	if !ok {
		return
	}
	_, ok = w.change(ctx, name+"-activate", "key.activated.v1", func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.ActivateKey(ctx, w.provider, key, api.KeyInstance{Instance: "srv-1"}, o)
		return a.Receipt, nil, err
	})
	if !ok {
		return
	}
	w.change(ctx, name+"-job", "job.started.v1", func(c *api.Client, o api.ChangeOptions) (api.Receipt, []api.License, error) {
		a, err := c.StartJob(ctx, w.provider, key, api.JobStart{
			Instance: "srv-1", Job: "nightly", Kind: api.JobBackup, Objects: []api.JobObject{{ID: name, Kind: "user-mailbox"}, {ID: name + "-other", Kind: "user-mailbox"}},
		}, o)
		if err == nil && (a.Objects[0].Outcome != api.ObjectBackedUp || a.Objects[1].Outcome != api.ObjectSkipped) {
			w.t.Errorf("%s: of two objects and one seat came %+v", name, a.Objects)
		}
		return a.Receipt, nil, err
	})
}

// next makes a report of an agent with new readings.
func (w *worker) next(agent, spool string, readings int) (api.Report, *request) {
	w.seq[agent+"/"+spool]++
	r := api.Report{Agent: agent, Spool: spool, Seq: w.seq[agent+"/"+spool], Company: "globex"}
	now := events.Stamp(time.Now())
	wants := ""
	for range readings {
		value := strconv.FormatInt(w.rand.Int64N(1e12), 10)
		r.Readings = append(r.Readings, api.Reading{Meter: "backup_bytes", Value: json.Number(value), At: now})
		wants += value + "@" + events.FormatTime(now) + " "
	}
	return r, w.name(reportName(w.provider, agent, spool, r.Seq), strings.TrimSpace(wants))
}

func reportName(provider, agent, spool string, seq uint64) string {
	return fmt.Sprintf("report %s/%s/%s/%d", provider, agent, spool, seq)
}

// report reports as one agent, and sometimes the same again.
func (w *worker) report(ctx context.Context) {
	body, r := w.next(w.id, "", 1+w.rand.IntN(3))
	send := func(c *api.Client) error {
		a, err := c.ReportUsage(ctx, w.provider, body, api.ChangeOptions{})
		if err == nil {
			// A duplicate says where the provider stands, not where the first was recorded.
			w.reported(r, a.Status, a.Position)
		}
		return err
	}
	if w.try(ctx, []*request{r}, send) && w.rand.IntN(8) == 0 {
		w.try(ctx, []*request{r}, send)
	}
}

func (w *worker) reported(r *request, status string, position *uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case status == api.ReportRecorded && r.answered:
		w.t.Errorf("%s: a report is recorded twice", w.id)
	case status == api.ReportDuplicate && !r.answered && !r.maybe:
		w.t.Errorf("%s: a report that was sent once is a duplicate", w.id)
	case status == api.ReportRecorded && position != nil:
		r.position = *position
	}
	r.answered = true
	if position != nil {
		w.known.Store(max(w.known.Load(), *position))
	}
}

// batch reports as several agents at once.
func (w *worker) batch(ctx context.Context) {
	var list []api.CloudEvent
	var named []*request
	for i := range 1 + w.rand.IntN(6) {
		body, r := w.next(fmt.Sprintf("%s-%d", w.id, i), "", 1)
		named = append(named, r)
		list = append(list, api.CloudEvent{
			SpecVersion: "1.0", Source: body.Agent, ID: strconv.Itoa(i), Type: body.Readings[0].Meter, Sequence: strconv.FormatUint(body.Seq, 10),
			Subject: body.Company, Time: body.Readings[0].At, Data: api.CloudEventData{Value: body.Readings[0].Value},
		})
	}
	w.try(ctx, named, func(c *api.Client) error {
		a, err := c.ReportEvents(ctx, w.provider, list, api.ChangeOptions{})
		if err != nil {
			return err
		}
		for i, result := range a.Results {
			switch {
			case result.Status != api.ReportRefused:
				w.reported(named[i], result.Status, nil)
			case result.Code == api.CodeOutcomeUnknown:
				w.mu.Lock()
				named[i].maybe = true
				w.mu.Unlock()
			case result.Code != api.CodeUnavailable:
				w.t.Errorf("%s: event refused: %s", w.id, result.Code)
			}
		}
		return nil
	})
}

// reportOf is the report that an entry holds, or nil.
func reportOf(e *events.Entry) *events.UsageRecorded {
	for _, ev := range e.Events {
		if u, ok := ev.Data.(*events.UsageRecorded); ok {
			return u
		}
	}
	return nil
}

// gist is what the events of an entry say, as far as clients know it.
func gist(e *events.Entry) string {
	var words []string
	for _, ev := range e.Events {
		switch d := ev.Data.(type) {
		case *events.EndpointSet: // only the first time
		case *events.UsageRecorded:
			for _, r := range d.Readings {
				words = append(words, string(r.Value.Append(nil))+"@"+events.FormatTime(r.At))
			}
		default:
			words = append(words, d.Kind())
		}
	}
	return strings.Join(words, " ")
}

// check compares the log with what was sent. There may be nothing else in it but what made the providers and what the clock did.
// strict says that whatever was recorded must have been answered.
func (l *load) check(entries []events.Entry, strict bool) {
	l.t.Helper()
	seen := make(map[string]bool)
	for i := range entries {
		e := &entries[i]
		name := e.Command
		if u := reportOf(e); u != nil {
			name = reportName(e.Provider, u.Agent, u.Spool, u.Seq)
		} else if e.Actor == events.ClockActor || e.Actor == "ledgerd" || strings.HasPrefix(name, license.KeyedDoor+"operator/setup-") {
			continue
		}
		r := l.sent[name]
		if r == nil || seen[name] {
			l.t.Errorf("entry %d: %s: nobody sent it, or it is there twice", i, name)
			continue
		}
		seen[name] = true
		if got := gist(e); got != r.wants {
			l.t.Errorf("entry %d: %s: says %s, sent was %s", i, name, got, r.wants)
		}
		if strict && !r.answered {
			l.t.Errorf("entry %d: %s: it was recorded, and its sender has no answer", i, name)
		}
		if !r.answered && !r.maybe {
			l.t.Errorf("entry %d: %s: it is there, and its sender knows that it was never recorded", i, name)
		}
		if r.answered && r.position != 0 && r.position != e.Number {
			l.t.Errorf("entry %d: %s: answered as %d", i, name, r.position)
		}
		var ids []string
		for _, ev := range e.Events {
			if after := events.LicenseAfter(ev.Data); after != nil && !slices.Contains(ids, after.ID) {
				ids = append(ids, after.ID)
			}
		}
		if r.answered && !slices.Equal(ids, r.licenses) {
			l.t.Errorf("entry %d: %s: licenses %v, answered were %v", i, name, ids, r.licenses)
		}
	}
	answered := 0
	for name, r := range l.sent {
		if r.answered {
			answered++
			if !seen[name] {
				l.t.Errorf("%s: acknowledged, and not in the log", name)
			}
		}
	}
	l.t.Logf("%d requests sent, %d acknowledged, %d of them or others with an answer missing; %d entries", len(l.sent), answered, l.unsure, len(entries))
	if answered == 0 || l.unsure == 0 && !strict {
		l.t.Error("nothing was put to the test")
	}
}
