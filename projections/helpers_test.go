package projections_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rows is a view with a row per entry: its number, its command and how many events it saw.
type rows struct {
	name    string
	noUsage bool
	format  int
	pace    time.Duration
	// The hooks may be nil.
	onRecord func(*events.Record) error
	onApply  func(*events.Entry) error
	onBegin  func() error
	onFlush  func() error
	onDone   func(committed bool)
}

func (v *rows) Name() string {
	if v.name == "" {
		return "rows"
	}
	return v.name
}
func (v *rows) Usage() bool { return !v.noUsage }
func (v *rows) Format() int { return max(v.format, 1) }

// Pace is as that of a view that says nothing, unless it is set.
func (v *rows) Pace() time.Duration { return max(v.pace, 50*time.Millisecond) }

func (v *rows) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	if v.onBegin != nil {
		if err := v.onBegin(); err != nil {
			return nil, err
		}
	}
	b, err := tx.CreateBucketIfNotExists([]byte("rows"))
	return &rowsBatch{v: v, b: b}, err
}

type rowsBatch struct {
	v    *rows
	b    *bbolt.Bucket
	held []*events.Entry
}

func (b *rowsBatch) Record(r *events.Record) error {
	if b.v.onRecord != nil {
		return b.v.onRecord(r)
	}
	return nil
}

func (b *rowsBatch) Apply(e *events.Entry) error {
	if b.v.onApply != nil {
		if err := b.v.onApply(e); err != nil {
			return err
		}
	}
	b.held = append(b.held, e)
	return nil
}

func (b *rowsBatch) Flush() error {
	for _, e := range b.held {
		key := binary.BigEndian.AppendUint64(nil, e.Number)
		if b.b.Get(key) != nil {
			return fmt.Errorf("entry %d was applied twice", e.Number)
		}
		if err := b.b.Put(key, fmt.Appendf(nil, "%s %d", e.Command, len(e.Events))); err != nil {
			return err
		}
	}
	if b.v.onFlush != nil {
		return b.v.onFlush()
	}
	return nil
}

func (b *rowsBatch) Done(committed bool) {
	if b.v.onDone != nil {
		b.v.onDone(committed)
	}
}

var errPoison = errors.New("poison")

// failAt is an onApply that fails at an entry.
func failAt(number uint64) func(*events.Entry) error {
	return func(e *events.Entry) error {
		if e.Number == number {
			return errPoison
		}
		return nil
	}
}

// nested is a view with buckets in buckets, written in no order.
type nested struct{}

func (nested) Name() string { return "nested" }
func (nested) Usage() bool  { return false }
func (nested) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	return &nestedBatch{tx: tx}, nil
}

type nestedBatch struct{ tx *bbolt.Tx }

func (b *nestedBatch) Apply(*events.Entry) error { return nil }
func (b *nestedBatch) Done(bool)                 {}
func (b *nestedBatch) Flush() error {
	put := func(key, value string, path ...string) error {
		bucket, err := b.tx.CreateBucketIfNotExists([]byte(path[0]))
		for _, name := range path[1:] {
			if err == nil {
				bucket, err = bucket.CreateBucketIfNotExists([]byte(name))
			}
		}
		if err != nil {
			return err
		}
		return bucket.Put([]byte(key), []byte(value))
	}
	return errors.Join(
		put("\n \"", "x", "b"), put("z", "", "a"), put("\x00\xff", "é", "a", "nest"), put("k", "v", "a"))
}

// history is a ledger of n entries: its opening, then reports of usage and, as every fourth, a company.
func history(ledger string, n int) []events.Entry {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	entries := []events.Entry{{
		Time: at, Actor: "operator", Command: "test/open",
		Events: []events.Event{{Data: &events.LedgerOpened{Ledger: ledger, Catalog: events.Catalog{Effective: events.MonthOf(at), Types: []events.Type{}}}}},
	}}
	for i := 1; i < n; i++ {
		e := events.Entry{
			Number: uint64(i), Time: at.Add(time.Duration(i) * time.Second), Provider: "acme", Actor: "agent:pc-1", Command: fmt.Sprintf("test/%d", i),
			Events: []events.Event{{Data: &events.UsageRecorded{Agent: "pc-1", Seq: uint64(i), Company: "globex", Readings: []events.Reading{{Meter: "bytes", At: at}}}}},
		}
		if i%4 == 0 {
			e.Events = []events.Event{{Data: &events.CompanySet{Company: "globex", Name: "Globex", Allocation: events.Manual, Pool: events.GlobalPool}}}
		}
		entries = append(entries, e)
	}
	return entries
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// lines is a log that a test can read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t testing.TB, dir string, v projections.View) *projections.Store {
	t.Helper()
	s, err := projections.Open(dir, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// follow follows until the function that it returns is called, or the test ends. That function returns Follow's error.
func follow(t testing.TB, src projections.Source, o projections.Options, stores ...*projections.Store) func() error {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = projections.Follow(ctx, src, o, stores...)
	}()
	stop := func() error {
		cancel()
		<-done
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func wait(t testing.TB, s *projections.Store, entry uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Wait(ctx, entry); err != nil {
		t.Fatal(err)
	}
}

func dump(t testing.TB, s *projections.Store) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := projections.Dump(s, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func source(n int, sizes ...int) *viewtest.Source {
	return viewtest.NewSource(viewtest.Pack("r", history("L1", n), sizes...)...)
}
