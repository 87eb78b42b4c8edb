package projections_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

func TestSuite(t *testing.T) {
	for _, noUsage := range []bool{false, true} {
		t.Run(fmt.Sprintf("without usage %t", noUsage), func(t *testing.T) {
			viewtest.Run(t, func() projections.View { return &rows{noUsage: noUsage, format: 3} }, func(rt *rapid.T) []events.Record {
				return viewtest.Pack("r", history("L1", rapid.IntRange(1, 30).Draw(rt, "entries")))
			})
		})
	}
}

func TestRecordsAreReadOnceForAllViews(t *testing.T) {
	dir, src := viewtest.TempDir(t), source(100, 7)
	a, b, c := open(t, dir, &rows{name: "a"}), open(t, dir, &rows{name: "b"}), open(t, dir, &rows{name: "c", noUsage: true})
	var seen [2]*events.Entry
	a2, b2 := &rows{name: "x", onApply: func(e *events.Entry) error { seen[0] = e; return nil }}, &rows{name: "y", onApply: func(e *events.Entry) error { seen[1] = e; return nil }}
	x, y := open(t, dir, a2), open(t, dir, b2)
	stop := follow(t, src, projections.Options{}, a, b, c, x, y)
	for _, s := range []*projections.Store{a, b, c, x, y} {
		wait(t, s, 99)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// The first and the last record are looked at beforehand.
	if n := src.Reads(); n != 3 {
		t.Errorf("%d reads for five views", n)
	}
	if seen[0] != seen[1] {
		t.Error("a record was decoded for each view")
	}
	if dump(t, a) != dump(t, b) {
		t.Error("equal views differ")
	}
}

func TestViewsWithoutUsage(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{noUsage: true})
	follow(t, source(6), projections.Options{}, s)
	wait(t, s, 5)
	got := dump(t, s)
	if !strings.Contains(got, `"test/3 0"`) || !strings.Contains(got, `"test/4 1"`) || strings.Count(got, "\n") != 6 {
		t.Errorf("entries of usage come without events, others with them:\n%s", got)
	}
}

// A batch that wants the bytes gets each record before its entries, whatever else it asks for.
func TestBatchesTakeRecords(t *testing.T) {
	src := source(40, 3, 1, 8)
	var seen []string
	v := &rows{
		noUsage: true, // entries come without their events, records as they are
		onRecord: func(r *events.Record) error {
			seen = append(seen, fmt.Sprintf("%d: %s", r.First, r.Body))
			return nil
		},
	}
	next := uint64(0)
	v.onApply = func(e *events.Entry) error {
		if len(seen) == 0 || e.Number != next {
			return fmt.Errorf("entry %d comes where %d belongs, after %d records", e.Number, next, len(seen))
		}
		last := src.Records()[len(seen)-1]
		if e.Number < last.First || e.Number >= last.First+uint64(strings.Count(string(last.Body), "\n")) {
			return fmt.Errorf("entry %d comes with the record of entry %d", e.Number, last.First)
		}
		next++
		return nil
	}
	dir := viewtest.TempDir(t)
	s := open(t, dir, v)
	follow(t, src, projections.Options{}, s)
	wait(t, s, 39)
	var want []string
	for _, r := range src.Records() {
		want = append(want, fmt.Sprintf("%d: %s", r.First, r.Body))
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("records %q, want %q", seen, want)
	}

	failing := open(t, viewtest.TempDir(t), &rows{onRecord: func(r *events.Record) error {
		if r.First >= 20 {
			return errPoison
		}
		return nil
	}})
	follow(t, src, projections.Options{}, failing)
	err := failing.Wait(t.Context(), 39)
	var stopped *projections.StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, errPoison) {
		t.Errorf("a record that is not taken gave %v", err)
	}
}

func TestViewsStartWhereTheyStand(t *testing.T) {
	dir, src := viewtest.TempDir(t), source(50, 2)
	v := []*rows{{name: "a"}, {name: "b"}, {name: "c"}}
	var stores []*projections.Store
	for i, view := range v {
		s := open(t, dir, view)
		if i > 0 {
			part := viewtest.NewSource(viewtest.Pack("r", history("L1", 50), 2)[:10*i]...)
			stop := follow(t, part, projections.Options{}, s)
			wait(t, s, uint64(20*i-1))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		}
		stores = append(stores, s)
	}
	follow(t, src, projections.Options{}, stores...)
	for _, s := range stores {
		wait(t, s, 49)
		if got, want := dump(t, s), dump(t, stores[0]); got != want {
			t.Errorf("view %s:\n%s\nwant\n%s", s.Name(), got, want)
		}
	}
}

func TestStops(t *testing.T) {
	packed := viewtest.Pack("r", history("L1", 10))
	unknown := viewtest.Pack("r", history("L1", 10))
	unknown[5].Body = []byte(strings.Replace(string(unknown[5].Body), "usage.recorded.v1", "usage.recorded.v9", 1))
	chain := viewtest.Pack("r", history("L1", 10))
	chain[5].Prev = "somebody else"
	numbers := viewtest.Pack("r", append(history("L1", 10)[:5], history("L1", 10)[6:]...))
	headless := viewtest.Pack("r", history("L1", 10)[1:])
	headless[0].First = 0
	headless[0].Body = []byte(strings.Replace(string(headless[0].Body), `"entry":1`, `"entry":0`, 1))

	for _, c := range []struct {
		name    string
		records []events.Record
		view    rows
		next    uint64 // where it must not go beyond
		is      func(error) bool
	}{
		{"unknown kind", unknown, rows{}, 5, as[*events.UnknownKindError]},
		{"foreign record", chain, rows{}, 5, as[*projections.RefusedError]},
		{"missing entry", numbers, rows{}, 5, func(err error) bool { return errors.Is(err, projections.ErrGap) }},
		{"no ledger", headless, rows{}, 0, as[*projections.RefusedError]},
		{"error of Apply", packed, rows{onApply: failAt(5)}, 5, func(err error) bool { return errors.Is(err, errPoison) }},
		{"error of Begin", packed, rows{onBegin: func() error { return errPoison }}, 0, func(err error) bool { return errors.Is(err, errPoison) }},
		{"error of Flush", packed, rows{onFlush: func() error { return errPoison }}, 0, func(err error) bool { return errors.Is(err, errPoison) }},
		{"panic of Apply", packed, rows{onApply: func(*events.Entry) error { panic("boom") }}, 0, says("boom")},
		{"panic of Begin", packed, rows{onBegin: func() error { panic("boom") }}, 0, says("boom")},
		{"panic of Flush", packed, rows{onFlush: func() error { panic("boom") }}, 0, says("boom")},
		{"panic of Done", packed, rows{onDone: func(bool) { panic("boom") }}, 10, says("boom")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log lines
			s := open(t, viewtest.TempDir(t), &c.view)
			stop := follow(t, viewtest.NewSource(c.records...), projections.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, s)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err := s.Wait(ctx, 1<<40)
			var stopped *projections.StoppedError
			if !errors.As(err, &stopped) || stopped.View != "rows" || !c.is(err) {
				t.Fatalf("stopped with %v", err)
			}
			if s.Next() > c.next || stopped.Next != s.Next() {
				t.Errorf("it stands at %d and says %d; nothing from %d on may be visible", s.Next(), stopped.Next, c.next)
			}
			if s.Err() != err || s.Stats().Err != err {
				t.Errorf("kept: %v", s.Err())
			}
			// The file still answers and can be closed, and Follow ends: no view is left.
			_ = dump(t, s)
			if got := stop(); !errors.Is(got, err) && got != nil {
				t.Errorf("Follow returned %v", got)
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "view=rows") {
				t.Errorf("%d lines in the log:\n%s", n, log.String())
			}
		})
	}
}

func as[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func says(text string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), text) }
}

func TestFollowEndsWhenNoViewIsLeft(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{onApply: failAt(2)})
	err := projections.Follow(t.Context(), source(5), projections.Options{Log: quiet()}, s)
	if !errors.Is(err, errPoison) {
		t.Errorf("Follow returned %v", err)
	}
	if err := projections.Follow(t.Context(), source(5), projections.Options{Log: quiet()}, s); !errors.Is(err, errPoison) {
		t.Errorf("a stopped view was followed again: %v", err)
	}
}

func TestOneStoppedViewLeavesTheOthersAlone(t *testing.T) {
	dir := viewtest.TempDir(t)
	bad := open(t, dir, &rows{name: "bad", onApply: failAt(10)})
	good := open(t, dir, &rows{name: "good"})
	src := source(20)
	stop := follow(t, src, projections.Options{}, bad, good)
	wait(t, good, 19)
	if err := bad.Wait(t.Context(), 19); !errors.Is(err, errPoison) {
		t.Errorf("waiting for the bad one: %v", err)
	}
	src.Append(viewtest.Pack("r", history("L1", 30))[20:]...)
	wait(t, good, 29)
	if !errors.Is(bad.Err(), errPoison) || good.Err() != nil {
		t.Errorf("bad: %v, good: %v", bad.Err(), good.Err())
	}
	stop() // whoever gave up is done by now
	if q := bad.Stats().Queued; q != 0 {
		t.Errorf("%d bytes are queued for a view that will not take them", q)
	}
}

func TestFollowedOnce(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{})
	stop := follow(t, source(5), projections.Options{}, s)
	wait(t, s, 4)
	if err := projections.Follow(t.Context(), source(5), projections.Options{}, s); !errors.Is(err, projections.ErrFollowed) {
		t.Errorf("a second Follow: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	follow(t, source(6), projections.Options{}, s)
	wait(t, s, 5)
}

// A slow view is left behind when its queue is full and another view has nothing to do, and joins again when it can.
func TestSlowViewSlowsNobody(t *testing.T) {
	dir := viewtest.TempDir(t)
	gate := make(chan struct{})
	openGate := sync.OnceFunc(func() { close(gate) })
	slow := open(t, dir, &rows{name: "slow", onApply: func(e *events.Entry) error {
		if e.Number >= 10 {
			<-gate
		}
		return nil
	}})
	fast := open(t, dir, &rows{name: "fast"})
	src := source(400, 2)
	const limit = 4 << 10
	follow(t, src, projections.Options{QueueBytes: limit}, slow, fast)
	t.Cleanup(openGate) // before Follow is stopped
	wait(t, fast, 399)
	if s := slow.Stats(); s.Next > 10 || s.Queued > limit || !s.CatchingUp || s.Lag < 390 {
		t.Errorf("the slow view while others are done: %+v", s)
	}
	openGate()
	wait(t, slow, 399)
	if dump(t, slow) != dump(t, fast) {
		t.Error("the views differ")
	}
	// At the tail it has joined again: new records are read once. It may take one to get there.
	more := viewtest.Pack("r", history("L1", 402), 2)[200:]
	src.Append(more...)
	wait(t, slow, 401)
	wait(t, fast, 401)
	if slow.Stats().CatchingUp {
		t.Error("the slow view has caught up but still reads by itself")
	}
	reads := src.Reads()
	src.Append(viewtest.Pack("r", history("L1", 406), 2)[201:]...)
	wait(t, slow, 405)
	wait(t, fast, 405)
	if src.Reads() != reads {
		t.Error("somebody began to read again")
	}
}

// A view that was left behind may come back with records that the shared reader still holds because of another slow view.
func TestViewThatJoinsAheadIsNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := viewtest.TempDir(t)
		gateA, gateB := make(chan struct{}), make(chan struct{})
		a := open(t, dir, &rows{name: "a", onApply: func(e *events.Entry) error { <-gateA; return nil }})
		b := open(t, dir, &rows{name: "b", onApply: func(e *events.Entry) error {
			if e.Number >= 20 {
				<-gateB
			}
			return nil
		}})
		records := viewtest.Pack("r", history("L1", 50))
		src := viewtest.NewSource(records[:40]...)
		// Three records fill a queue, so it is never half empty while there is more to read.
		follow(t, src, projections.Options{QueueBytes: 3 * len(records[39].Body)}, a, b)
		synctest.Wait()
		if !a.Stats().CatchingUp || b.Stats().CatchingUp || b.Stats().Queued == 0 {
			t.Fatalf("a should be left behind, b be stuck: %+v, %+v", a.Stats(), b.Stats())
		}
		close(gateA)
		wait(t, a, 39)
		src.Append(records[40:]...)
		wait(t, a, 49)
		if b.Next() > 20 {
			t.Errorf("b is at %d", b.Next())
		}
		close(gateB)
		wait(t, b, 49)
	})
}

// Views of any speed, in turns slow and fast, with queues of a few records: all get to the end, none is kept waiting for ever,
// queues stay bounded. The bubble's clock makes delays free and finds deadlocks.
func TestViewsOfAnySpeed(t *testing.T) {
	const entries, limit = 300, 2 << 10
	records := viewtest.Pack("r", history("L1", entries), 1, 3, 2)
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, random := viewtest.TempDir(t), rand.New(rand.NewPCG(seed, 0))
				src := viewtest.NewSource(records[:random.IntN(len(records))]...)
				var stores []*projections.Store
				for _, name := range []string{"a", "b", "c"} {
					delays := rand.New(rand.NewPCG(seed, uint64(name[0])))
					delay := 0
					var s *projections.Store
					v := &rows{name: name, onApply: func(*events.Entry) error {
						if delays.IntN(30) == 0 {
							delay = delays.IntN(3) * delays.IntN(20)
						}
						time.Sleep(time.Duration(delay) * time.Millisecond)
						if queued := s.Stats().Queued; queued > limit {
							t.Errorf("%d bytes are queued", queued)
						}
						return nil
					}}
					s = open(t, dir, v)
					stores = append(stores, s)
				}
				follow(t, src, projections.Options{QueueBytes: limit}, stores...)
				for n := len(src.Records()); n < len(records); {
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
					m := min(n+random.IntN(20), len(records))
					src.Append(records[n:m]...)
					n = m
				}
				for _, s := range stores {
					wait(t, s, entries-1)
					if dump(t, s) != dump(t, stores[0]) {
						t.Errorf("view %s differs", s.Name())
					}
				}
				synctest.Wait()
				for _, s := range stores {
					if st := s.Stats(); st.CatchingUp || st.Queued != 0 || st.Lag != 0 || st.Err != nil {
						t.Errorf("at the end: %+v", st)
					}
				}
			})
		})
	}
}

// While nobody else is kept from working the reader waits for the slow view rather than reading twice.
func TestReaderWaitsForTheOnlyView(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{})
	src := source(2000, 3)
	follow(t, src, projections.Options{QueueBytes: 2 << 10}, s)
	wait(t, s, 1999)
	if n := src.Reads(); n != 3 {
		t.Errorf("%d reads for one view", n)
	}
}

func TestCommits(t *testing.T) {
	type step struct {
		after  time.Duration // since the step before
		append int           // entries, one record each
	}
	for _, c := range []struct {
		name    string
		waiting string        // in Wait, once the entries are appended or only once they are applied
		takes   time.Duration // each commit
		pace    time.Duration
		steps   []step
		want    []time.Duration // when commits happen
	}{
		{"at once when nothing was committed lately", "", 0, 0, []step{{0, 1}, {time.Second, 1}}, []time.Duration{0, time.Second}},
		{"at most every 50 ms", "", 0, 0, []step{{0, 1}, {10 * time.Millisecond, 1}, {10 * time.Millisecond, 1}, {10 * time.Millisecond, 1}, {100 * time.Millisecond, 1}},
			[]time.Duration{0, 50 * time.Millisecond, 130 * time.Millisecond}},
		{"a tenth of the time when they take long", "", 20 * time.Millisecond, 0, []step{{0, 1}, {30 * time.Millisecond, 1}, {30 * time.Millisecond, 1}, {300 * time.Millisecond, 1}},
			[]time.Duration{20 * time.Millisecond, 220 * time.Millisecond, 420 * time.Millisecond}},
		{"every half second at least", "", 200 * time.Millisecond, 0, []step{{0, 1}, {210 * time.Millisecond, 1}},
			[]time.Duration{200 * time.Millisecond, 900 * time.Millisecond}},
		{"at once when somebody begins to wait", "applied", 0, 0, []step{{0, 1}, {10 * time.Millisecond, 1}, {10 * time.Millisecond, 1}},
			[]time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond}},
		{"at once when somebody waits", "appended", 0, 0, []step{{0, 1}, {10 * time.Millisecond, 1}, {10 * time.Millisecond, 1}},
			[]time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond}},
		{"at the view's own pace", "", 0, 300 * time.Millisecond, []step{{0, 1}, {60 * time.Millisecond, 1}, {60 * time.Millisecond, 1}, {400 * time.Millisecond, 1}},
			[]time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond}},
		{"every half second at least, whatever the view's pace", "", 0, time.Hour, []step{{0, 1}, {60 * time.Millisecond, 1}}, []time.Duration{0, 500 * time.Millisecond}},
		{"not while idle", "", 0, 0, []step{{0, 1}, {time.Hour, 0}}, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var got []time.Duration
				v := &rows{
					pace:    c.pace,
					onFlush: func() error { time.Sleep(c.takes); return nil }, // the bubble's clock
					onDone: func(committed bool) {
						if committed {
							got = append(got, time.Since(start))
						}
					},
				}
				s := open(t, viewtest.TempDir(t), v)
				src := viewtest.NewSource()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- projections.Follow(ctx, src, projections.Options{}, s) }()
				records := viewtest.Pack("r", history("L1", 100))
				n := 0
				for _, step := range c.steps {
					time.Sleep(step.after) // the bubble's clock
					src.Append(records[n : n+step.append]...)
					n += step.append
					if c.waiting == "applied" {
						synctest.Wait()
					}
					if c.waiting != "" {
						wait(t, s, uint64(n-1))
					}
				}
				time.Sleep(time.Second) // the bubble's clock: a commit too many would happen by then
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if s.Next() != uint64(n) || fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("commits at %v, want %v; next %d of %d", got, c.want, s.Next(), n)
				}
			})
		})
	}
}

func TestWhatWasAppliedIsCommittedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, viewtest.TempDir(t), &rows{})
		src := source(3)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- projections.Follow(ctx, src, projections.Options{}, s) }()
		wait(t, s, 2)
		src.Append(viewtest.Pack("r", history("L1", 4))[3:]...)
		synctest.Wait()
		if s.Next() != 3 {
			t.Errorf("committed too early: %d", s.Next())
		}
		cancel()
		if err := <-done; err != nil || s.Next() != 4 {
			t.Errorf("after the end: %d, %v", s.Next(), err)
		}
	})
}

// faulty is a source that fails now and then.
type faulty struct {
	*viewtest.Source
	failures atomic.Int32 // that are still to come
	at       uint64       // a sequence at which reading fails
	err      error
}

func (f *faulty) Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error] {
	return func(yield func(events.Stored, error) bool) {
		for r, err := range f.Source.Read(ctx, from) {
			if r.Seq == f.at && f.failures.Add(-1) >= 0 {
				yield(events.Stored{}, f.err)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

var errNetwork, errLost = errors.New("network"), errors.New("lost for good")

func TestTroubleWithTheSourcePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		src := &faulty{Source: source(10), at: 4, err: errNetwork}
		src.failures.Store(5)
		s := open(t, viewtest.TempDir(t), &rows{})
		stop := follow(t, src, projections.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, s)
		wait(t, s, 9)
		if err := stop(); err != nil || s.Err() != nil {
			t.Errorf("%v, %v", err, s.Err())
		}
		if strings.Count(log.String(), "network") != 1 {
			t.Errorf("the log should name it once:\n%s", log.String())
		}
	})
}

func TestTroubleThatStaysStopsWhoNeedsTheRecord(t *testing.T) {
	dir := viewtest.TempDir(t)
	src := &faulty{Source: source(10), at: 4, err: errLost}
	ahead, behind := open(t, dir, &rows{name: "ahead"}), open(t, dir, &rows{name: "behind"})
	stop := follow(t, src, projections.Options{}, ahead)
	wait(t, ahead, 9)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	src.failures.Store(1 << 30)
	fatal := func(err error) bool { return errors.Is(err, errLost) }
	follow(t, src, projections.Options{Fatal: fatal}, ahead, behind)
	if err := behind.Wait(t.Context(), 9); !errors.Is(err, errLost) {
		t.Errorf("the view that needs the record: %v", err)
	}
	src.Append(viewtest.Pack("r", history("L1", 12))[10:]...)
	wait(t, ahead, 11)
	if behind.Next() > 3 {
		t.Errorf("it went on to %d", behind.Next())
	}
}

// The shared reader has ended with the views that it fed; the one that still reads by itself must not wait for it.
func TestViewGoesOnAloneAfterTheSharedReaderFailed(t *testing.T) {
	dir := viewtest.TempDir(t)
	gate := make(chan struct{})
	openGate := sync.OnceFunc(func() { close(gate) })
	src := &faulty{Source: source(6), at: 8, err: errLost}
	ahead := open(t, dir, &rows{name: "ahead"})
	behind := open(t, dir, &rows{name: "behind", onApply: func(*events.Entry) error { <-gate; return nil }})
	stop := follow(t, src, projections.Options{}, ahead)
	wait(t, ahead, 5)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	src.Append(viewtest.Pack("r", history("L1", 10))[6:]...)
	src.failures.Store(1)
	fatal := func(err error) bool { return errors.Is(err, errLost) }
	follow(t, src, projections.Options{QueueBytes: 1, Fatal: fatal}, ahead, behind)
	t.Cleanup(openGate)
	if err := ahead.Wait(t.Context(), 9); !errors.Is(err, errLost) {
		t.Fatalf("the shared reader's view: %v", err)
	}
	openGate()
	wait(t, behind, 9)
	src.Append(viewtest.Pack("r", history("L1", 12))[10:]...)
	wait(t, behind, 11)
}

func TestRepeatsForAViewThatIsBehind(t *testing.T) {
	dir, src := viewtest.TempDir(t), source(30)
	ahead, behind := open(t, dir, &rows{name: "ahead"}), open(t, dir, &rows{name: "behind"})
	stop := follow(t, src, projections.Options{}, ahead)
	wait(t, ahead, 29)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(30) {
		src.Repeat(seq + 1)
	}
	follow(t, src, projections.Options{}, ahead, behind)
	wait(t, behind, 29)
	if dump(t, ahead) != dump(t, behind) {
		t.Error("the views differ")
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []projections.Progress
		s := open(t, viewtest.TempDir(t), &rows{onApply: func(e *events.Entry) error {
			time.Sleep(100 * time.Millisecond) // the bubble's clock
			return nil
		}})
		stop := follow(t, source(40), projections.Options{Progress: func(p projections.Progress) { got = append(got, p) }}, s)
		wait(t, s, 39)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(got) < 3 || len(got) > 4 {
			t.Fatalf("4 seconds of work, told %d times: %v", len(got), got)
		}
		for i, p := range got {
			if p.View != "rows" || p.Tail != 40 || p.Next == 0 || i > 0 && p.Next <= got[i-1].Next {
				t.Errorf("progress %d: %+v", i, p)
			}
		}
	})
}

// Records that are queued are committed together.
func TestTransactionsHoldManyRecords(t *testing.T) {
	s := open(t, viewtest.TempDir(t), &rows{})
	follow(t, source(3000), projections.Options{}, s)
	wait(t, s, 2999)
	if st := s.Stats(); st.Transactions > 300 || st.Transactions == 0 || st.Sequence != 3000 || st.Next != 3000 || st.FileSize == 0 || st.CommitTime == 0 {
		t.Errorf("3000 records: %+v", st)
	}
}
