package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/bbolt"

	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// gate stands before the batches of a view: while it is shut the view is held up where it begins the next one.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when the gate is opened; nil while it is open
	held chan struct{} // closed when the view has come to the shut gate
}

func (g *gate) close() (held <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.held = make(chan struct{}), make(chan struct{})
	return g.held
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
	}
	g.shut = nil
}

func (g *gate) pass() {
	g.mu.Lock()
	shut, held := g.shut, g.held
	g.mu.Unlock()
	if shut != nil {
		close(held)
		<-shut
	}
}

// gated is a view behind a gate.
type gated struct {
	projections.View
	gate *gate
}

func (v gated) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	v.gate.pass()
	return v.View.Begin(tx)
}

// Format is the view's.
func (v gated) Format() int {
	if f, ok := v.View.(interface{ Format() int }); ok {
		return f.Format()
	}
	return 1
}

// Pace is the view's.
func (v gated) Pace() time.Duration {
	if p, ok := v.View.(projections.Pacer); ok {
		return p.Pace()
	}
	return 50 * time.Millisecond
}

// withinBehind runs ledgerd within this process, one of its views behind a gate.
func withinBehind(t *testing.T, g *gate, view string, args ...string) *ledgerd {
	t.Helper()
	var c config
	flags := pflag.NewFlagSet("ledgerd", pflag.ContinueOnError)
	c.flags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	c.around = func(v projections.View) projections.View {
		if v.Name() == view {
			return gated{v, g}
		}
		return v
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &ledgerd{t: t, out: new(printed), err: new(printed), exited: make(chan struct{})}
	l.end = func(os.Signal) { cancel() }
	go func() {
		defer close(l.exited)
		if err := serve(ctx, c, l.out, slog.New(slog.NewTextHandler(l.err, &slog.HandlerOptions{Level: slog.LevelWarn}))); err != nil {
			fmt.Fprintln(l.err, hint(err))
			l.code = exitFailed
		}
	}()
	t.Cleanup(func() { g.open(); l.kill() })
	return l
}

// metric is the value of a metric of a view, as the ledger shows it.
func metric(t *testing.T, c *api.Client, name, view string) float64 {
	t.Helper()
	a := must(c.HTTP.Get(c.BaseURL + "/metrics"))(t)
	text := string(must(io.ReadAll(a.Body))(t))
	a.Body.Close()
	found := regexp.MustCompile(`(?m)^` + name + `\{view="` + view + `"\} (.*)$`).FindStringSubmatch(text)
	if a.StatusCode != http.StatusOK || found == nil {
		t.Fatalf("no metric %s of view %s: %d\n%s", name, view, a.StatusCode, text)
	}
	return must(strconv.ParseFloat(found[1], 64))(t)
}

// queueBytes bounds what may wait for a view: what projections.Options says where nothing else is set.
const queueBytes = 16 << 20

// A view that is held up slows nobody. While it stands still reports and commands are acknowledged, the other views follow
// to the end and answer for what was just recorded; who asks the slow one is told that it is behind; what waits for it stays
// bounded, however much comes. Once it can go on it catches up, and has become what it becomes when it is built anew.
func TestSlowViewSlowsNobody(t *testing.T) {
	for _, view := range []string{"invoices", "audit"} {
		t.Run(view, func(t *testing.T) {
			t.Parallel()
			slowView(t, view)
		})
	}
}

func slowView(t *testing.T, view string) {
	dir := t.TempDir()
	var g gate
	d := withinBehind(t, &g, view, onTestClock(dir)...)
	c := d.ready()
	ctx := t.Context()
	setUp(t, c, "acme")
	allocate := func(endpoint string) uint64 {
		t.Helper()
		return *must(c.AllocateLicense(ctx, "acme", api.LicenseAllocate{
			LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: endpoint},
		}, api.ChangeOptions{}))(t).Position
	}
	at := allocate("pc-0")
	visible(t, c, at)
	seen := at

	held := g.close()
	at = allocate("pc-held")
	select {
	case <-held:
	case <-time.After(patience):
		t.Fatal("the view does not come to the gate")
	}
	stands := make(chan uint64, 1) // it takes the whole time that a read waits
	go func(after uint64) { stands <- behind(t, c, view, after) }(at)

	// Reports until its queue is full, and as many again. All are acknowledged, and the others show them.
	body := api.Report{Company: "globex"}
	for i := range 400 {
		body.Readings = append(body.Readings, api.Reading{
			Meter: fmt.Sprintf("%060d", i%10), Value: json.Number(strconv.Itoa(i)), At: time.Date(2026, 1, 5, 7, 0, i/10, 0, time.UTC),
		})
	}
	full, n := 0, 0
	for ; full == 0 || n < 2*full; n++ {
		var sending sync.WaitGroup
		for agent := range 8 {
			r := body
			r.Agent, r.Seq = fmt.Sprint("pc-", agent), uint64(n+1)
			sending.Go(func() {
				a, err := c.ReportUsage(ctx, "acme", r, api.ChangeOptions{})
				if err != nil || a.Status != api.ReportRecorded {
					t.Errorf("report %d of %s: %+v, %v", r.Seq, r.Agent, a, err)
				}
			})
		}
		sending.Wait()
		at = allocate(fmt.Sprint("new-", n))
		queued := metric(t, c, "ledger_view_queued_bytes", view)
		if queued > queueBytes {
			t.Fatalf("%g bytes wait for the view", queued)
		}
		if full == 0 && queued > queueBytes-1<<20 {
			full = n + 1
		}
		if t.Failed() || n > 2000 {
			t.Fatalf("after %d rounds %g bytes wait for the view", n, queued)
		}
	}
	visible(t, c, at, view)
	t.Logf("%d reports of 400 readings and %d commands were acknowledged; %g bytes wait", 8*n, n, metric(t, c, "ledger_view_queued_bytes", view))
	if lag := metric(t, c, "ledger_view_lag_entries", view); lag < float64(8*n) {
		t.Errorf("it lags by %g entries", lag)
	}
	if s := <-stands; s < seen {
		t.Errorf("the view says that it stands at entry %d, and it has shown entry %d", s, seen)
	}

	// The end of January waits for the statement, which the invoices view computes; and no move is done before every view shows it.
	moved := make(chan error, 1)
	go func() {
		_, err := c.SetClock(ctx, api.Clock{Now: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}, api.ChangeOptions{})
		moved <- err
	}()
	visible(t, c, at+1, view) // the month's end was recorded
	select {
	case err := <-moved:
		t.Errorf("the clock has moved, and nobody knows the statement: %v", err)
	default:
	}
	at = allocate("pc-last") // commands do not wait for the move
	visible(t, c, at, view)

	g.open()
	select {
	case err := <-moved:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the clock does not move")
	}
	if list := statements(t, c, "acme"); len(list) != 1 || list[0].Month != "2026-01" {
		t.Errorf("statements %+v", list)
	}
	visible(t, c, at)
	if lag := metric(t, c, "ledger_view_lag_entries", view); lag != 0 {
		t.Errorf("it lags by %g entries", lag)
	}
	d.stop()
	if text := strings.TrimSpace(d.err.String()); text != "" {
		t.Errorf("it complains: %s", text)
	}
	_, entries := readLog(t, dir)
	reports := 0
	for i := range entries {
		if reportOf(&entries[i]) != nil {
			reports++
		}
	}
	if reports != 8*n {
		t.Errorf("%d reports in the log, %d were acknowledged", reports, 8*n)
	}
	checkMonths(t, entries, "acme", "2026-01")
	live := dumps(t, dir)
	removeViews(t, dir)
	d = within(t, onTestClock(dir)...)
	c = d.ready()
	visible(t, c, uint64(len(entries)-1))
	d.stop()
	sameDumps(t, "built again", dumps(t, dir), live)
}

// behind asks a view for an entry that it does not show, and gives the one where it stands.
func behind(t *testing.T, c *api.Client, view string, after uint64) (stands uint64) {
	t.Helper()
	err := asks(t, c)[view](api.ReadOptions{After: after})
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodeBehind || p.Position == nil || *p.Position >= after {
		t.Errorf("view %s, asked for entry %d: %v", view, after, err)
		return 0
	}
	return *p.Position
}
