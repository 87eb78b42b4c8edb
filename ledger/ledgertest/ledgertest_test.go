package ledgertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStreamIsALog(t *testing.T) {
	ledgertest.LogSuite(t, func(t *testing.T) ledgertest.Fixture {
		stream := ledgertest.NewStream(t, nil)
		return ledgertest.Fixture{Open: func() ledger.Log { return stream.Open() }}
	})
}

// complaints takes the place of a test that should fail.
type complaints struct {
	testing.TB
	said []string
}

func (c *complaints) Helper()                      {}
func (c *complaints) Errorf(f string, args ...any) { c.said = append(c.said, fmt.Sprintf(f, args...)) }

// ids lists the ids in the stream.
func ids(s *ledgertest.Stream) string {
	var ids []string
	for _, r := range s.Records() {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func TestFaults(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		fault ledgertest.Fault
		want  error
		then  string // what stands in the stream when the call has returned
		later string // and after the next call
	}{
		{ledgertest.None, nil, "a b", "a b"},
		{ledgertest.AckLost, ledgertest.ErrNoAnswer, "a b", "a b"},
		{ledgertest.MessageLost, ledgertest.ErrNoAnswer, "a", "a"},
		{ledgertest.MessageLate, ledgertest.ErrNoAnswer, "a", "a b"},
		{ledgertest.Refused, ledger.ErrRefused, "a", "a"},
		{ledgertest.Overtaken, ledger.ErrConflict, "a foreign-1", "a foreign-1"},
		{ledgertest.OvertakenLost, ledgertest.ErrNoAnswer, "a foreign-1", "a foreign-1"},
		{ledgertest.Phantom, ledger.ErrConflict, "a", "a"},
	} {
		t.Run(fmt.Sprint(test.fault), func(t *testing.T) {
			stream := ledgertest.NewStream(t, nil)
			log := stream.Open()
			a := ledgertest.RecordAfter(events.Record{}, "a", 0)
			b := ledgertest.RecordAfter(a, "b", 0)
			log.Next(ledgertest.None, test.fault)
			if err := log.Append(ctx, a, 0); err != nil {
				t.Fatal(err)
			}
			if err := log.Append(ctx, b, 1); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			if got := ids(stream); got != test.then {
				t.Errorf("the stream holds %q, want %q", got, test.then)
			}
			if _, err := log.Last(ctx); err != nil {
				t.Error(err)
			}
			if got := ids(stream); got != test.later {
				t.Errorf("then the stream holds %q, want %q", got, test.later)
			}
		})
	}
}

func TestLateMessageFindsItsSlotTaken(t *testing.T) {
	ctx := context.Background()
	stream := ledgertest.NewStream(t, nil)
	log := stream.Open()
	gate := log.HoldMessage()
	if err := log.Append(ctx, ledgertest.RecordAfter(events.Record{}, "a", 0), 0); !errors.Is(err, ledgertest.ErrNoAnswer) {
		t.Fatal(err)
	}
	<-gate.Reached
	if err := log.Append(ctx, ledgertest.RecordAfter(events.Record{}, "b", 0), 0); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	if got := ids(stream); got != "b" {
		t.Errorf("the stream holds %q, want b", got)
	}
}

func TestLateMessageIsFirst(t *testing.T) {
	ctx := context.Background()
	stream := ledgertest.NewStream(t, nil)
	log := stream.Open()
	a := ledgertest.RecordAfter(events.Record{}, "a", 0)
	gate := log.HoldMessage()
	if err := log.Append(ctx, a, 0); !errors.Is(err, ledgertest.ErrNoAnswer) {
		t.Fatal(err)
	}
	if _, err := log.Get(ctx, 1); !errors.Is(err, ledger.ErrNoRecord) {
		t.Fatalf("before the gate opens: %v", err)
	}
	gate.Open()
	if err := log.Append(ctx, a, 0); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("the repeated append: %v, want ErrConflict", err)
	}
	if got := ids(stream); got != "a" {
		t.Errorf("the stream holds %q, want a", got)
	}
}

func TestHeldAcknowledgement(t *testing.T) {
	stream := ledgertest.NewStream(t, nil)
	log := stream.Open()
	a := ledgertest.RecordAfter(events.Record{}, "a", 0)
	b := ledgertest.RecordAfter(a, "b", 0)
	answer := make(chan error)

	gate := log.HoldAck()
	go func() { answer <- log.Append(context.Background(), a, 0) }()
	<-gate.Reached
	if got := ids(stream); got != "a" {
		t.Errorf("the stream holds %q, want a", got)
	}
	select {
	case err := <-answer:
		t.Fatalf("an answer before the gate was opened: %v", err)
	default:
	}
	gate.Open()
	if err := <-answer; err != nil {
		t.Error(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	gate = log.HoldAck()
	go func() { answer <- log.Append(ctx, b, 1) }()
	<-gate.Reached
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) || errors.Is(err, ledger.ErrRefused) {
		t.Errorf("%v, want the context's error and an unknown outcome", err)
	}
	if got := ids(stream); got != "a b" {
		t.Errorf("the stream holds %q, want a b", got)
	}
}

func TestWritersArePoliced(t *testing.T) {
	ctx := context.Background()
	a := ledgertest.RecordAfter(events.Record{}, "a", 0)
	b := ledgertest.RecordAfter(a, "b", 0)
	with := func(change func(*events.Record)) events.Record {
		r := b
		r.Body = bytes.Clone(b.Body)
		change(&r)
		return r
	}
	for _, test := range []struct {
		name   string
		record events.Record
		after  uint64
		fine   bool
	}{
		{"the next record", b, 1, true},
		{"the same record again", a, 0, true},
		{"a record that comes too late", ledgertest.RecordAfter(events.Record{}, "c", 0), 0, true},
		{"no id", with(func(r *events.Record) { r.ID = "" }), 1, false},
		{"a long id", with(func(r *events.Record) { r.ID = strings.Repeat("a", 65) }), 1, false},
		{"an id used before, elsewhere", with(func(r *events.Record) { r.ID = "a" }), 1, false},
		{"an id used before, for other bytes", ledgertest.RecordAfter(events.Record{}, "a", 400), 0, false},
		{"another record before it", with(func(r *events.Record) { r.Prev = "x" }), 1, false},
		{"no record before it", with(func(r *events.Record) { r.Prev = "" }), 1, false},
		{"a gap in the entries", with(func(r *events.Record) { r.First++ }), 1, false},
		{"an entry twice", with(func(r *events.Record) { r.First, r.Body = 0, bytes.Clone(a.Body) }), 1, false},
		{"an empty body", with(func(r *events.Record) { r.Body = nil }), 1, false},
		{"no newline at the end", with(func(r *events.Record) { r.Body = r.Body[:len(r.Body)-1] }), 1, false},
		{"a byte changed", with(func(r *events.Record) { r.Body[0] = '[' }), 1, false},
		{"too large", ledgertest.RecordAfter(a, "b", events.MaxRecord+1), 1, false},
		{"an expectation of what nobody acknowledged", b, 2, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			said := &complaints{TB: t}
			stream := ledgertest.NewStream(said, nil)
			log := stream.Open()
			if err := log.Append(ctx, a, 0); err != nil {
				t.Fatal(err)
			}
			err := log.Append(ctx, test.record, test.after)
			if test.fine != (len(said.said) == 0) {
				t.Errorf("complaints: %q", said.said)
			}
			if !test.fine && (!errors.Is(err, ledger.ErrRefused) || ids(stream) != "a") {
				t.Errorf("%v, and the stream holds %q", err, ids(stream))
			}
		})
	}
}

func TestTwoAppendsInFlight(t *testing.T) {
	ctx := context.Background()
	said := &complaints{TB: t}
	stream := ledgertest.NewStream(said, nil)
	log := stream.Open()
	a := ledgertest.RecordAfter(events.Record{}, "a", 0)
	gate := log.HoldAck()
	answer := make(chan error)
	go func() { answer <- log.Append(ctx, a, 0) }()
	<-gate.Reached
	if err := stream.Open().Append(ctx, ledgertest.RecordAfter(a, "other", 0), 1); err != nil || len(said.said) != 0 {
		t.Errorf("another writer: %v, complaints %q", err, said.said)
	}
	_ = log.Append(ctx, ledgertest.RecordAfter(a, "b", 0), 1)
	gate.Open()
	<-answer
	if len(said.said) != 1 || !strings.Contains(said.said[0], "has no answer") {
		t.Errorf("complaints: %q", said.said)
	}
}

// write appends n records as a correct writer does, whatever goes wrong, and lists the ids that it was sure of.
func write(t *testing.T, log *ledgertest.Log, name string, n int) (sure []string) {
	t.Helper()
	ctx := context.Background()
	end := func() (prev events.Record, last uint64) {
		for {
			last, err := log.Last(ctx)
			if err == nil && last == 0 {
				return prev, 0
			}
			if stored, err := log.Get(ctx, last); err == nil {
				return stored.Record, last
			}
		}
	}
	prev, after := end()
	for try := 0; len(sure) < n; try++ {
		r := ledgertest.RecordAfter(prev, fmt.Sprintf("%s-%d", name, try), 0)
		mine := false
		for asked := false; !asked; {
			err := log.Append(ctx, r, after)
			switch {
			case err == nil:
				mine, asked = true, true
			case errors.Is(err, ledger.ErrConflict):
				// Phantoms leave nothing behind: append again.
				for {
					stored, err := log.Get(ctx, after+1)
					if err == nil {
						mine, asked = stored.ID == r.ID, true
					} else if !errors.Is(err, ledger.ErrNoRecord) {
						continue
					}
					break
				}
			}
		}
		if mine {
			sure = append(sure, r.ID)
			prev, after = r, after+1
		} else {
			prev, after = end()
		}
	}
	return sure
}

// TestChaos lets a correct writer through whatever the seeds bring: what it was sure of stands once, in its order, in a chain without gaps.
func TestChaos(t *testing.T) {
	for seed := range uint64(100) {
		var runs [2]string
		for i := range runs {
			stream := ledgertest.NewStream(t, nil)
			log := stream.Open()
			log.Chaos(seed, 0.4)
			sure := write(t, log, "r", 20)
			var stand []string
			var prev events.Record
			for _, r := range stream.Records() {
				if r.Prev != prev.ID || r.First != ledgertest.NextEntry(prev) {
					t.Errorf("seed %d: record %d does not continue the one before", seed, r.Seq)
				}
				prev = r.Record
				if strings.HasPrefix(r.ID, "r-") {
					stand = append(stand, r.ID)
				}
			}
			if !slices.Equal(sure, stand) {
				t.Errorf("seed %d: the writer is sure of %v; in the stream are %v", seed, sure, stand)
			}
			runs[i] = ids(stream)
		}
		if runs[0] != runs[1] {
			t.Errorf("seed %d: %s, and then %s", seed, runs[0], runs[1])
		}
	}
}

func TestReadsGoWrong(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream := ledgertest.NewStream(t, nil)
	log := stream.Open()
	write(t, log, "r", 5)

	log.NoAnswers(2)
	if _, err := log.Get(ctx, 1); !errors.Is(err, ledgertest.ErrNoAnswer) {
		t.Errorf("Get: %v", err)
	}
	if _, err := log.Last(ctx); !errors.Is(err, ledgertest.ErrNoAnswer) {
		t.Errorf("Last: %v", err)
	}
	if last, err := log.Last(ctx); last != 5 || err != nil {
		t.Errorf("Last: %d, %v", last, err)
	}

	read := func(from uint64, each func(seq uint64)) (n int, err error) {
		for r, err := range log.Read(ctx, from) {
			if err != nil {
				return n, err
			}
			n++
			each(r.Seq)
		}
		return n, nil
	}
	nothing := func(uint64) {}
	for want := range 6 { // 5: while it waits
		log.InterruptRead(want)
		if n, err := read(1, nothing); n != want || !errors.Is(err, ledgertest.ErrNoAnswer) {
			t.Errorf("interrupted after %d: %v, want after %d", n, err, want)
		}
	}
	// Once it waits already.
	n, err := read(1, func(seq uint64) {
		if seq == 5 {
			go log.InterruptRead(0)
		}
	})
	if n != 5 || !errors.Is(err, ledgertest.ErrNoAnswer) {
		t.Errorf("interrupted after %d: %v, want after 5", n, err)
	}

	stream.Lose(4)
	if n, err := read(1, nothing); n != 3 || !errors.Is(err, ledger.ErrGap) {
		t.Errorf("a lost record: %d read, %v", n, err)
	}
	if _, err := log.Get(ctx, 4); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("a lost record: %v", err)
	}
	if _, err := log.Last(ctx); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("Last of a damaged stream: %v", err)
	}
	stream.Truncate(2)
	if last, err := log.Last(ctx); last != 2 || err != nil {
		t.Errorf("after Truncate: %d, %v", last, err)
	}
	if n, err := read(4, nothing); n != 0 || !errors.Is(err, ledger.ErrGap) {
		t.Errorf("behind the end: %d read, %v", n, err)
	}
	stream.Foreign()
	again := ledgertest.RecordAfter(stream.Records()[2].Record, "r-4", 0) // an id that was lost may be used again
	if err := log.Append(ctx, again, 3); err != nil {
		t.Error(err)
	}
	if got := ids(stream); got != "r-0 r-1 foreign-1 r-4" {
		t.Errorf("the stream holds %q", got)
	}
}

func TestClock(t *testing.T) {
	start := time.Date(2026, 3, 1, 9, 0, 0, 123456789, time.FixedZone("", 3600))
	clock := ledgertest.NewClock(start)
	stream := ledgertest.NewStream(t, clock)
	stamped := time.Date(2026, 3, 1, 8, 0, 0, 123000000, time.UTC)
	if now, err := clock.Now(); err != nil || now != stamped {
		t.Errorf("%v, %v; want %v", now, err, stamped)
	}
	if at := stream.Foreign().At; at != stamped {
		t.Errorf("stored at %v, want %v", at, stamped)
	}
	if now := clock.Advance(time.Hour); now != stamped.Add(time.Hour) {
		t.Errorf("advanced to %v", now)
	}
	clock.Set(stamped.Add(-time.Minute))
	broken := errors.New("broken")
	clock.Fail(broken)
	if _, err := clock.Now(); err != broken {
		t.Errorf("%v, want %v", err, broken)
	}
	if at := stream.Foreign().At; at != stamped.Add(-time.Minute) {
		t.Errorf("stored at %v", at)
	}
	clock.Fail(nil)
	if now, err := clock.Now(); err != nil || now != stamped.Add(-time.Minute) {
		t.Errorf("%v, %v", now, err)
	}
}

func TestEntropyRepeats(t *testing.T) {
	draw := func(seed uint64) []byte {
		b := make([]byte, 100)
		if _, err := io.ReadFull(ledgertest.Entropy(seed), b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(draw(1), draw(1)) || bytes.Equal(draw(1), draw(2)) || bytes.Equal(draw(1), draw(1<<40)) {
		t.Error("entropy must be the same for the same seed, and for no other")
	}
	e := ledgertest.Entropy(1)
	if one, other := ledgertest.CommandSeed(e), ledgertest.CommandSeed(e); one == other {
		t.Error("two commands have one seed")
	}
}

func TestRecordAfter(t *testing.T) {
	var prev events.Record
	for i, size := range []int{0, 1000, 30000, 60000, 60001, 90000, events.RecordTarget, events.MaxRecord - 1, events.MaxRecord} {
		r := ledgertest.RecordAfter(prev, fmt.Sprint(i), size)
		if size != 0 && len(r.Body) != size {
			t.Errorf("%d bytes, want %d", len(r.Body), size)
		}
		if r.Prev != prev.ID || r.First != ledgertest.NextEntry(prev) {
			t.Errorf("record %d does not continue the one before", i)
		}
		entries, err := events.DecodeRecord(&r)
		if err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if ledgertest.NextEntry(r) != r.First+uint64(len(entries)) {
			t.Errorf("%d entries from %d on, but the next is %d", len(entries), r.First, ledgertest.NextEntry(r))
		}
		prev = r
	}
}
