package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Fixture is an empty stream under test.
type Fixture struct {
	// Open gives a writer its own Log on the stream.
	Open func() ledger.Log
	// Restart stops and starts what keeps the stream. Logs opened before may be dead afterwards. Nil if nothing can be restarted.
	Restart func()
}

// patience bounds every wait of the suite; nothing waits that long unless it is broken.
const patience = 30 * time.Second

// LogSuite is what every [ledger.Log] must pass. fresh makes an empty stream; what it starts it stops with t.Cleanup.
func LogSuite(t *testing.T, fresh func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"empty", testEmpty},
		{"append, get, last", testAppend},
		{"conflict adds nothing", testConflict},
		{"the exact retry is a conflict with one's own record", testRetry},
		{"writers collide", testWriters},
		{"records of the largest size", testLarge},
		{"bodies belong to their owners", testBodies},
		{"ended contexts", testContexts},
		{"read from the start, the middle and the end", testRead},
		{"read waits for more", testReadWaits},
		{"readers beside a writer", testReaders},
		{"read ends without a trace", testReadEnds},
		{"reopen keeps everything", testReopen},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func testEmpty(t *testing.T, f Fixture) {
	ctx := limit(t)
	log := f.Open()
	wantLast(t, log, 0)
	for _, seq := range []uint64{0, 1, 2, 1 << 40} {
		if _, err := log.Get(ctx, seq); !errors.Is(err, ledger.ErrNoRecord) {
			t.Errorf("Get(%d) of an empty log: %v, want ErrNoRecord", seq, err)
		}
	}
	for _, from := range []uint64{2, 3, 1 << 40} {
		if err := firstError(t, log.Read(ctx, from)); !errors.Is(err, ledger.ErrGap) {
			t.Errorf("Read from %d of an empty log: %v, want ErrGap", from, err)
		}
	}
	if err := firstError(t, log.Read(ctx, 0)); err == nil {
		t.Error("Read from 0: no error")
	}
}

func testAppend(t *testing.T, f Fixture) {
	ctx := limit(t)
	log := f.Open()
	want := fill(t, log, events.Record{}, 0, 5)
	wantLast(t, log, 5)
	read := collect(t, log, 1, 5)
	var at time.Time
	for i, r := range want {
		got, err := log.Get(ctx, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, r, uint64(i)+1)
		if got.At.IsZero() || got.At.Location() != time.UTC || got.At.Before(at) {
			t.Errorf("record %d was stored at %v, the one before at %v", i+1, got.At, at)
		}
		if at = got.At; i < len(read) && read[i].At != at {
			t.Errorf("record %d was stored at %v by Get, at %v by Read", i+1, at, read[i].At)
		}
	}
	if want[0].Prev != "" || want[0].First != 0 {
		t.Fatalf("the first record has a record before it: %+v", want[0])
	}
	for _, seq := range []uint64{0, 6, 1 << 40} {
		if _, err := log.Get(ctx, seq); !errors.Is(err, ledger.ErrNoRecord) {
			t.Errorf("Get(%d) of 5 records: %v, want ErrNoRecord", seq, err)
		}
	}
}

func testConflict(t *testing.T, f Fixture) {
	log := f.Open()
	want := fill(t, log, events.Record{}, 0, 3)
	for after := range uint64(3) {
		var prev events.Record
		if after > 0 {
			prev = want[after-1]
		}
		r := RecordAfter(prev, fmt.Sprintf("late-%d", after), 0)
		if err := log.Append(limit(t), r, after); !errors.Is(err, ledger.ErrConflict) {
			t.Errorf("Append after %d of 3: %v, want ErrConflict", after, err)
		}
	}
	wantLast(t, log, 3)
	wantRecords(t, log, want)
	fill(t, log, want[2], 3, 1)
}

func testRetry(t *testing.T, f Fixture) {
	ctx := limit(t)
	log := f.Open()
	want := fill(t, log, events.Record{}, 0, 2)
	for range 3 {
		if err := log.Append(ctx, want[1], 1); !errors.Is(err, ledger.ErrConflict) {
			t.Fatalf("the same record at the same place again: %v, want ErrConflict", err)
		}
	}
	got, err := log.Get(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want[1], 2)
	wantRecords(t, log, want)
}

// testWriters lets writers with nothing in common race for every slot: what was acknowledged stands, once, where it was acknowledged.
func testWriters(t *testing.T, f Fixture) {
	const writers, each = 4, 20
	ctx := limit(t)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		acked = map[uint64]string{}
	)
	for w := range writers {
		log := f.Open()
		wg.Go(func() {
			var prev events.Record
			var after uint64
			for n := 0; n < each; {
				id := fmt.Sprintf("writer-%d-record-%d-after-%d", w, n, after)
				r := RecordAfter(prev, id, 0)
				switch err := log.Append(ctx, r, after); {
				case err == nil:
					mu.Lock()
					if other, taken := acked[after+1]; taken {
						t.Errorf("record %d was acknowledged to %s and to %s", after+1, other, id)
					}
					acked[after+1] = id
					mu.Unlock()
					prev, after = r, after+1
					n++
				case errors.Is(err, ledger.ErrConflict):
					last, err := log.Last(ctx)
					if err != nil || last < after {
						t.Errorf("a conflict after %d, but the log ends at %d (%v)", after, last, err)
						return
					}
					if last == after {
						continue // what is in the way is not committed yet: the same again
					}
					stored, err := log.Get(ctx, last)
					if err != nil {
						t.Error(err)
						return
					}
					prev, after = stored.Record, last
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	log := f.Open()
	wantLast(t, log, writers*each)
	var prev events.Record
	for i, r := range collect(t, log, 1, writers*each) {
		seq := uint64(i) + 1
		if acked[seq] != r.ID {
			t.Errorf("record %d is %s; acknowledged was %s", seq, r.ID, acked[seq])
		}
		if r.Prev != prev.ID || r.First != NextEntry(prev) {
			t.Errorf("record %d does not continue record %d", seq, seq-1)
		}
		prev = r.Record
	}
}

func testLarge(t *testing.T, f Fixture) {
	ctx := limit(t)
	log := f.Open()
	var want []events.Record
	var prev events.Record
	for i, size := range []int{events.MaxRecord, 0, events.MaxRecord, events.MaxRecord - 1, events.RecordTarget} {
		r := RecordAfter(prev, fmt.Sprintf("%064d", i), size)
		if err := log.Append(ctx, r, uint64(i)); err != nil {
			t.Fatalf("a record of %d bytes: %v", len(r.Body), err)
		}
		want = append(want, r)
		prev = r
	}
	for i, r := range want {
		got, err := log.Get(ctx, uint64(i)+1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, r, uint64(i)+1)
	}
	wantRecords(t, log, want)
}

func testBodies(t *testing.T, f Fixture) {
	ctx := limit(t)
	log := f.Open()
	want := RecordAfter(events.Record{}, "record-1", 0)
	mine := want
	mine.Body = bytes.Clone(want.Body)
	if err := log.Append(ctx, mine, 0); err != nil {
		t.Fatal(err)
	}
	clear(mine.Body)
	for range 2 {
		got, err := log.Get(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want, 1)
		clear(got.Body)
		for got, err := range log.Read(ctx, 1) {
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want, 1)
			clear(got.Body)
			break
		}
	}
}

func testContexts(t *testing.T, f Fixture) {
	log := f.Open()
	want := fill(t, log, events.Record{}, 0, 1)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := log.Append(ended, RecordAfter(want[0], "never", 0), 1); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("Append with an ended context: %v, want ErrRefused: it must not leave the caller in doubt", err)
	}
	if _, err := log.Get(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Get with an ended context: %v", err)
	}
	if _, err := log.Last(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Last with an ended context: %v", err)
	}
	for r, err := range log.Read(ended, 1) {
		t.Errorf("Read with an ended context yields record %d, %v", r.Seq, err)
	}
	wantRecords(t, log, want)
}

func testRead(t *testing.T, f Fixture) {
	const n = 600 // more than a reader may have under way
	log := f.Open()
	want := fill(t, log, events.Record{}, 0, n)
	for _, from := range []uint64{1, 2, 255, 256, 257, n - 1, n} {
		for i, got := range collect(t, log, from, n-from+1) {
			seq := from + uint64(i)
			same(t, got, want[seq-1], seq)
		}
	}
	if err := firstError(t, log.Read(limit(t), n+2)); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("Read from %d of %d records: %v, want ErrGap", n+2, n, err)
	}
}

func testReadWaits(t *testing.T, f Fixture) {
	log, other := f.Open(), f.Open()
	ctx, cancel := context.WithCancel(limit(t))
	records := make(chan events.Stored)
	ended := make(chan error, 1)
	go func() {
		defer close(records)
		for r, err := range log.Read(ctx, 1) {
			if err != nil {
				ended <- err
				return
			}
			records <- r
		}
		ended <- nil
	}()
	var prev events.Record
	for seq := range uint64(5) {
		select {
		case r := <-records:
			t.Fatalf("record %d came before it was appended", r.Seq)
		default:
		}
		r := fill(t, other, prev, seq, 1)[0]
		same(t, <-records, r, seq+1)
		prev = r
	}
	cancel()
	if r, more := <-records; more {
		t.Errorf("record %d after the context ended", r.Seq)
	}
	if err := <-ended; err != nil {
		t.Errorf("the end of the context is no error: %v", err)
	}
}

func testReaders(t *testing.T, f Fixture) {
	const n = 200
	var wg sync.WaitGroup
	reads := make([][]events.Stored, 3)
	for i := range reads {
		log := f.Open()
		wg.Go(func() { reads[i] = collect(t, log, 1, n) })
	}
	want := fill(t, f.Open(), events.Record{}, 0, n)
	wg.Wait()
	for _, got := range reads {
		if len(got) != n {
			t.Fatalf("a reader got %d of %d records", len(got), n)
		}
		for i := range got {
			same(t, got[i], want[i], uint64(i)+1)
		}
	}
}

func testReadEnds(t *testing.T, f Fixture) {
	log := f.Open()
	fill(t, log, events.Record{}, 0, 50)
	if got := collect(t, log, 1, 1); len(got) != 1 { // whatever starts with the first read and stays is not a leak
		t.Fatal("no record")
	}
	before := goleak.IgnoreCurrent()
	for range 3 {
		collect(t, log, 1, 50)
		for range log.Read(limit(t), 7) {
			break
		}
		ctx, cancel := context.WithCancel(limit(t))
		for r := range log.Read(ctx, 1) {
			if r.Seq == 50 {
				cancel()
			}
		}
		cancel()
		if err := firstError(t, log.Read(limit(t), 99)); err == nil {
			t.Fatal("a read behind the end")
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

func testReopen(t *testing.T, f Fixture) {
	want := fill(t, f.Open(), events.Record{}, 0, 20)
	before := collect(t, f.Open(), 1, 20)
	for round := range 2 {
		if f.Restart != nil {
			f.Restart()
		}
		log := f.Open()
		n := uint64(len(want))
		wantLast(t, log, n)
		after := collect(t, log, 1, n)
		for i := range before {
			same(t, after[i], before[i].Record, before[i].Seq)
			if !after[i].At.Equal(before[i].At) {
				t.Errorf("record %d was stored at %v, later at %v", i+1, before[i].At, after[i].At)
			}
		}
		if err := log.Append(limit(t), want[n-1], n-1); !errors.Is(err, ledger.ErrConflict) {
			t.Errorf("round %d: the last record again: %v, want ErrConflict", round, err)
		}
		want = append(want, fill(t, log, want[n-1], n, 3)...)
		wantRecords(t, log, want)
	}
}

// limit is a context that outlives every test that is not stuck.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fill appends n small records after prev, which stands at after.
func fill(t *testing.T, log ledger.Log, prev events.Record, after uint64, n int) []events.Record {
	t.Helper()
	var added []events.Record
	for range n {
		r := RecordAfter(prev, fmt.Sprintf("record-%d", after+1), 0)
		if err := log.Append(limit(t), r, after); err != nil {
			t.Fatalf("append: %v", err)
		}
		added = append(added, r)
		prev, after = r, after+1
	}
	return added
}

// collect reads n records.
func collect(t *testing.T, log ledger.Log, from, n uint64) []events.Stored {
	t.Helper()
	var got []events.Stored
	ctx := limit(t)
	for r, err := range log.Read(ctx, from) {
		if err != nil {
			t.Errorf("read: %v", err)
			break
		}
		if got = append(got, r); uint64(len(got)) == n {
			break
		}
	}
	if uint64(len(got)) != n {
		t.Errorf("read %d records from %d on, want %d (%v)", len(got), from, n, ctx.Err())
	}
	return got
}

// firstError is the error of a read that should yield nothing but an error, and that once.
func firstError(t *testing.T, read func(func(events.Stored, error) bool)) error {
	t.Helper()
	var first error
	for r, err := range read {
		if err == nil || first != nil {
			t.Errorf("read yields record %d, %v after error %v", r.Seq, err, first)
			break
		}
		first = err
	}
	return first
}

func wantLast(t *testing.T, log ledger.Log, want uint64) {
	t.Helper()
	if last, err := log.Last(limit(t)); err != nil || last != want {
		t.Errorf("Last: %d, %v; want %d", last, err, want)
	}
}

// wantRecords checks that the log holds exactly these records.
func wantRecords(t *testing.T, log ledger.Log, want []events.Record) {
	t.Helper()
	wantLast(t, log, uint64(len(want)))
	got := collect(t, log, 1, uint64(len(want)))
	for i := range got {
		same(t, got[i], want[i], uint64(i)+1)
	}
}

func same(t *testing.T, got events.Stored, want events.Record, seq uint64) {
	t.Helper()
	if got.Seq != seq || got.ID != want.ID || got.Prev != want.Prev || got.First != want.First {
		t.Errorf("record %d: id %q, after %q, from entry %d; want record %d: id %q, after %q, from entry %d",
			got.Seq, got.ID, got.Prev, got.First, seq, want.ID, want.Prev, want.First)
	}
	if !bytes.Equal(got.Body, want.Body) {
		t.Errorf("record %d: %d bytes that differ from the %d expected", seq, len(got.Body), len(want.Body))
	}
}
