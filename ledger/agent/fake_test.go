package agent_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/license"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCut = errors.New("the network is cut")

// fake is a ledger as agents see it: it keeps the rules of spools (domain U2) with the ledger's own code, and of times (B5).
type fake struct {
	mu       sync.Mutex
	spools   map[string]license.Spool
	recorded map[string]int // how often a reading was recorded, by its meter
	order    []string       // of meters
	voids    []string
	reports  []api.Report // as they came
	// before may let a report not arrive, or refuse it; after may lose an answer.
	before, after func(r api.Report) error
	ahead         time.Duration // how far the ledger's clock is ahead of the machine's
}

func newFake() *fake {
	return &fake{spools: make(map[string]license.Spool), recorded: make(map[string]int)}
}

func (f *fake) Close() error { return nil }

func (f *fake) Send(ctx context.Context, r api.Report) (api.ReportAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return api.ReportAnswer{}, err
	}
	if f.before != nil {
		if err := f.before(r); err != nil {
			return api.ReportAnswer{}, err
		}
	}
	f.reports = append(f.reports, r)
	answer, err := f.take(r)
	if err == nil && f.after != nil {
		err = f.after(r)
	}
	return answer, err
}

func (f *fake) take(r api.Report) (answer api.ReportAnswer, err error) {
	content, err := json.Marshal([]any{r.Readings, r.Void})
	if err != nil {
		return answer, err
	}
	digest := sha256.Sum256(content)
	spool := f.spools[r.Spool]
	answer = api.ReportAnswer{Seq: r.Seq, Status: api.ReportRecorded}
	duplicate, err := spool.Check(r.Seq, events.ReportDigest(digest[:8]))
	var refusal *license.Refusal
	if errors.As(err, &refusal) {
		p := api.NewProblem(api.Code(refusal.Code), refusal.Message)
		if refusal.Field != "" {
			p.Errors = []api.FieldError{{Location: "body." + refusal.Field, Message: refusal.Message}}
		}
		return answer, fmt.Errorf("send: %w", p)
	}
	if duplicate {
		answer.Status = api.ReportDuplicate
		return answer, nil
	}
	now := time.Now().Add(f.ahead)
	for i, reading := range r.Readings {
		if reading.At.Sub(now) > license.MaxReadingAhead || reading.At.Before(now.AddDate(0, -13, 0)) {
			p := api.NewProblem(api.CodeInvalid, "a time that makes no sense")
			p.Errors = []api.FieldError{{Location: fmt.Sprintf("body.readings[%d].at", i), Message: "not now"}}
			return answer, fmt.Errorf("send: %w", p)
		}
	}
	f.spools[r.Spool] = spool.Add(r.Seq, events.ReportDigest(digest[:8]))
	for _, reading := range r.Readings {
		f.recorded[reading.Meter]++
		f.order = append(f.order, reading.Meter)
	}
	if r.Void != "" {
		f.voids = append(f.voids, r.Void)
	}
	return answer, nil
}

// whole checks that n readings named by [named] are recorded exactly once, and that no number is missing.
func (f *fake) whole(t testing.TB, n int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range n {
		if got := f.recorded[named(i).Meter]; got != 1 {
			t.Errorf("reading %d is recorded %d times", i, got)
		}
	}
	if len(f.recorded) != n {
		t.Errorf("%d readings are recorded, want %d", len(f.recorded), n)
	}
	for id, s := range f.spools {
		if len(s.Gaps) > 0 {
			t.Errorf("spool %s has gaps %v", id, s.Gaps)
		}
	}
}

// fail lets reports fail from now on; nil ends it.
func (f *fake) fail(before, after func(r api.Report) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *fake) sent() []api.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]api.Report(nil), f.reports...)
}

func always(err error) func(api.Report) error { return func(api.Report) error { return err } }

// named is a reading that is told apart by its meter.
func named(i int) api.Reading {
	return api.Reading{Meter: fmt.Sprintf("r%05d", i), Value: "1.50"}
}

func namedMany(from, to int) (all []api.Reading) {
	for i := from; i < to; i++ {
		all = append(all, named(i))
	}
	return all
}

// open opens an agent, which is closed when the test ends.
func open(t testing.TB, dir string, o agent.Options) *agent.Agent {
	t.Helper()
	if o.Agent == "" {
		o.Agent = "pc-17"
	}
	a, err := agent.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, a) })
	return a
}

func shut(t testing.TB, a *agent.Agent) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func report(t testing.TB, a *agent.Agent, readings ...api.Reading) {
	t.Helper()
	if err := a.Report(readings...); err != nil {
		t.Fatal(err)
	}
}

// flush waits until everything is in the ledger.
func flush(t testing.TB, a *agent.Agent) {
	t.Helper()
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// office issues leases.
type office struct {
	mu      sync.Mutex
	key     byte // which signs
	publish []byte
	asked   int
	looked  int // for keys
	claims  func(c *lease.Claims)
	err     error
	ahead   time.Duration // how far its clock is ahead of the machine's
}

func signingKey(b byte) lease.SigningKey { return lease.NewSigningKey([ed25519.SeedSize]byte{b}) }

func (o *office) leases() *agent.Leases {
	return &agent.Leases{Provider: "acme", Subject: "agent:pc-17", Fetch: o.fetch, Keys: o.keys}
}

func (o *office) fetch(context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked++
	if o.err != nil {
		return "", o.err
	}
	c := lease.Claims{Subject: "agent:pc-17", Provider: "acme", Status: lease.StatusActive}
	c.Issue("01KGB000000000000000000000", time.Now().Add(o.ahead), lease.DefaultOffline)
	c.BackupUntil = c.OfflineUntil
	if o.claims != nil {
		o.claims(&c)
	}
	return lease.Sign(c, signingKey(o.key))
}

func (o *office) keys(context.Context) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looked++
	var set []ed25519.PublicKey
	for _, b := range o.publish {
		set = append(set, signingKey(b).Public())
	}
	return json.Marshal(lease.NewKeySet(set...))
}

// set changes how the office works.
func (o *office) set(change func(o *office)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(o)
}

func (o *office) times() (asked, looked int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked, o.looked
}
