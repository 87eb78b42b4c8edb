// Package viewtest is what every view must survive: any batching, restarts,
// interrupted transactions and repeated records leave the same bytes as a rebuild in one go;
// gaps and foreign ledgers are refused.
//
// A view's test hands over a way to make the view and a way to draw a history:
//
//	func TestView(t *testing.T) {
//		viewtest.Run(t, func() projections.View { return usage.View{} }, drawHistory)
//	}
//
// Histories are drawn with rapid, which prints the seed of a failure and how to run
// it again, and shrinks it. A fixed or seeded history fits too ([Fixed]).
package viewtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/projections"
)

// Fixed is the history that is always the same.
func Fixed(records []events.Record) func(*rapid.T) []events.Record {
	return func(*rapid.T) []events.Record { return records }
}

// Run runs the suite as subtests. Histories begin with entry 0, which opens a
// ledger; how they are cut into records does not matter. Histories of a few dozen entries keep the suite below a few seconds.
func Run(t *testing.T, newView func() projections.View, history func(*rapid.T) []events.Record) {
	t.Run("any batching, restarts, interruptions and repeats equal a rebuild", func(t *testing.T) {
		top := TempDir(t)
		rapid.Check(t, func(rt *rapid.T) { liveIsRebuilt(rt, top, newView, drawEntries(rt, history)) })
	})
	example := rapid.Custom(func(rt *rapid.T) []events.Entry {
		rapid.Bool().Draw(rt, "nothing") // a fixed history draws nothing, which Custom does not allow
		return drawEntries(rt, history)
	}).Example(1)
	// The view is stopped in the middle, so there must be a middle.
	for len(Pack("example", example)) < 6 {
		example = append(example, filler(example[len(example)-1]))
	}
	t.Run("a gap is refused", func(t *testing.T) { gapRefused(t, newView, example) })
	t.Run("a foreign ledger is refused", func(t *testing.T) { foreignRefused(t, newView, example) })
	t.Run("another history of the same ledger is refused", func(t *testing.T) { otherHistoryRefused(t, newView, example) })
}

func drawEntries(rt *rapid.T, history func(*rapid.T) []events.Record) []events.Entry {
	entries, err := Entries(history(rt))
	if err != nil || len(entries) == 0 {
		rt.Fatalf("the history has no entries: %v", err)
	}
	return entries
}

// filler is an entry that changes nothing but the name of a provider that nobody knows.
func filler(last events.Entry) events.Entry {
	return events.Entry{
		Number: last.Number + 1, Time: last.Time, Provider: "filler", Actor: "operator", Command: fmt.Sprintf("test/filler/%d", last.Number+1),
		Events: []events.Event{{Data: &events.ProviderSet{Name: "Filler", Currency: "USD"}}},
	}
}

// liveIsRebuilt plays the entries in records, transactions and sessions of random size and compares the rows with
// those of one transaction.
func liveIsRebuilt(rt *rapid.T, top string, newView func() projections.View, entries []events.Entry) {
	dir, err := os.MkdirTemp(top, "")
	if err != nil {
		rt.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	sizes := rapid.SliceOfN(rapid.IntRange(1, 7), 1, 6).Draw(rt, "entries per record")
	records := Pack("live", entries, sizes...)
	src := NewSource()
	// A view value is used again only where its batch was interrupted: its caches must have been dropped.
	inner := newView()
	l := start(rt, dir, src, inner)
	defer func() { l.stop(rt) }()
	var armed atomic.Bool
	// Few steps: each opens files and starts goroutines.
	ends := append(rapid.SliceOfN(rapid.IntRange(1, len(records)), 0, 3).Draw(rt, "ends of steps"), len(records))
	slices.Sort(ends)
	seq := 0
	for _, end := range slices.Compact(ends) {
		for ; seq < end; seq++ {
			if src.Append(records[seq]); rapid.Bool().Draw(rt, "repeat") {
				src.Repeat(uint64(seq + 1))
			}
		}
		want := last(records[end-1])
		switch rapid.SampledFrom([]string{"go on", "reopen", "interrupt"}).Draw(rt, "then") {
		case "go on":
			l.wait(rt, want)
		case "reopen":
			l.wait(rt, want)
			l.stop(rt)
			inner = newView()
			l = start(rt, dir, src, inner)
		case "interrupt":
			// What was just appended may be committed by the stop or not.
			l.stop(rt)
			before := l.store.Next()
			armed.Store(true)
			l = start(rt, dir, src, &interrupted{View: inner, armed: &armed})
			if before <= want {
				if err := l.store.Wait(rt.Context(), want); !errors.Is(err, errInterrupted) {
					rt.Fatalf("an error of Flush did not stop the view: %v", err)
				}
				if l.store.Next() != before {
					rt.Fatalf("the view stands at %d after an interrupted batch, at %d before", l.store.Next(), before)
				}
			}
			armed.Store(false)
			l.stop(rt)
			if rapid.Bool().Draw(rt, "new view") {
				inner = newView()
			}
			l = start(rt, dir, src, inner)
			l.wait(rt, want)
		}
	}
	l.wait(rt, entries[len(entries)-1].Number)
	live := l.dump(rt)
	l.stop(rt)

	if err := projections.Remove(dir, inner); err != nil {
		rt.Fatal(err)
	}
	l = start(rt, dir, NewSource(Pack("rebuilt", entries, len(entries))...), newView())
	l.wait(rt, entries[len(entries)-1].Number)
	if rebuilt := l.dump(rt); live != rebuilt {
		rt.Fatalf("the live view differs from the rebuilt one:\n%s", difference(live, rebuilt))
	}
}

func gapRefused(t *testing.T, newView func() projections.View, entries []events.Entry) {
	records := Pack("gap", entries)
	src := NewSource(records...)
	src.Drop(4)
	l := start(t, TempDir(t), src, newView())
	defer l.stop(t)
	err := l.store.Wait(t.Context(), entries[len(entries)-1].Number)
	var stopped *projections.StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, projections.ErrGap) || stopped.View != newView().Name() {
		t.Fatalf("a missing record gave %v", err)
	}
	if next := l.store.Next(); next > records[3].First {
		t.Fatalf("the view stands at entry %d, behind the gap at %d", next, records[3].First)
	}
}

func foreignRefused(t *testing.T, newView func() projections.View, entries []events.Entry) {
	foreign := slices.Clone(entries)
	opened := *entries[0].Events[0].Data.(*events.LedgerOpened)
	opened.Ledger += "-other"
	foreign[0].Events = []events.Event{{Data: &opened}}
	refused(t, newView, Pack("own", entries)[:4], Pack("own", foreign), opened.Ledger)
}

func otherHistoryRefused(t *testing.T, newView func() projections.View, entries []events.Entry) {
	own := Pack("own", entries)
	refused(t, newView, own[:4], Pack("other", entries), "other-000004")
	refused(t, newView, own[:4], own[:3], "ends at 3")

	// The same ids over other bytes.
	changed := slices.Clone(entries)
	for i := range changed {
		if changed[i].Number >= own[3].First {
			changed[i].Salt[0]++
		}
	}
	refused(t, newView, own[:4], Pack("own", changed), "other bytes")
}

// refused lets a view follow one stream and then another.
func refused(t *testing.T, newView func() projections.View, own, other []events.Record, reason string) {
	t.Helper()
	dir := TempDir(t)
	l := start(t, dir, NewSource(own...), newView())
	l.wait(t, last(own[len(own)-1]))
	before := l.dump(t)
	l.stop(t)

	l = start(t, dir, NewSource(other...), newView())
	defer l.stop(t)
	err := l.store.Wait(t.Context(), 1<<62)
	var r *projections.RefusedError
	if !errors.As(err, &r) || r.View != newView().Name() || !strings.Contains(r.Reason, reason) {
		t.Fatalf("a view that belongs elsewhere gave %v, which should name the view and %q", err, reason)
	}
	if l.dump(t) != before {
		t.Fatal("a refused view has changed")
	}
}

// last is the number of a record's last entry.
func last(r events.Record) uint64 {
	return r.First + uint64(bytes.Count(r.Body, []byte("\n"))) - 1
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Context() context.Context
}

// live is a store that is being followed.
type live struct {
	store  *projections.Store
	cancel context.CancelFunc
	done   chan error
}

func start(t tester, dir string, src *Source, v projections.View) *live {
	t.Helper()
	store, err := projections.Open(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &live{store: store, cancel: cancel, done: make(chan error, 1)}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	go func() { l.done <- projections.Follow(ctx, src, projections.Options{Log: quiet}, store) }()
	return l
}

// stop ends following and closes the file; a second call does nothing.
func (l *live) stop(t tester) {
	t.Helper()
	if l.cancel == nil {
		return
	}
	l.cancel()
	l.cancel = nil
	<-l.done
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func (l *live) wait(t tester, entry uint64) {
	t.Helper()
	if err := l.store.Wait(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
}

func (l *live) dump(t tester) string {
	t.Helper()
	var b strings.Builder
	if _, err := projections.Dump(l.store, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var errInterrupted = errors.New("interrupted")

// interrupted is a view whose batches fail at the last moment while armed, when everything is written.
type interrupted struct {
	projections.View
	armed *atomic.Bool
}

// Format hands on the view's own, which embedding hides.
func (v *interrupted) Format() int {
	if f, ok := v.View.(interface{ Format() int }); ok {
		return f.Format()
	}
	return 1
}

func (v *interrupted) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	b, err := v.View.Begin(tx)
	return &interruptedBatch{Batch: b, armed: v.armed}, err
}

// Record hands on to a batch that wants records, which embedding hides.
func (b *interruptedBatch) Record(r *events.Record) error {
	if inner, ok := b.Batch.(projections.Recorder); ok {
		return inner.Record(r)
	}
	return nil
}

type interruptedBatch struct {
	projections.Batch
	armed *atomic.Bool
}

func (b *interruptedBatch) Flush() error {
	if err := b.Batch.Flush(); err != nil {
		return err
	}
	if b.armed.Load() {
		return errInterrupted
	}
	return nil
}

// difference shows the first lines in which two dumps differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		line := func(lines []string) string {
			if i < len(lines) {
				return lines[i]
			}
			return "(end)"
		}
		if line(x) != line(y) {
			return fmt.Sprintf("row %d\n  live:    %s\n  rebuilt: %s", i, line(x), line(y))
		}
	}
	return "none"
}
