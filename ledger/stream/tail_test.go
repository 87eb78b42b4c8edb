package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/stream"
)

func TestTail(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		ledgertest.LogSuite(t, func(t *testing.T) ledgertest.Fixture {
			s := ledgertest.NewStream(t, nil)
			return ledgertest.Fixture{Open: func() ledger.Log { return stream.QuickTail(s.Open()) }}
		})
	})
	t.Run("stream", func(t *testing.T) {
		ledgertest.LogSuite(t, func(t *testing.T) ledgertest.Fixture {
			e := startEmbedded(t)
			e.create()
			return ledgertest.Fixture{
				Open:    func() ledger.Log { return stream.QuickTail(e.open()) },
				Restart: func() { e.stop(); e.start() },
			}
		})
	})
}

// counting counts the reads of the log behind a tail, and fails appends on demand.
type counting struct {
	*ledgertest.Log
	reads atomic.Int64
	fail  error // what the next append answers, whatever became of it
}

func (c *counting) Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error] {
	c.reads.Add(1)
	return c.Log.Read(ctx, from)
}

func (c *counting) Append(ctx context.Context, r events.Record, after uint64) error {
	err := c.Log.Append(ctx, r, after)
	if c.fail != nil {
		err, c.fail = c.fail, nil
	}
	return err
}

// tailed is a tail with a writer and a reader.
type tailed struct {
	t      *testing.T
	stream *ledgertest.Stream
	log    *counting
	*stream.Tail
	got  []events.Stored
	last events.Record
	n    uint64
	stop func()
}

// newTailed begins to read from record 1, in a bubble of synctest; gate, if not nil, has to let the reader take each record.
func newTailed(t *testing.T, gate chan struct{}) *tailed {
	h := &tailed{t: t, stream: ledgertest.NewStream(t, nil)}
	h.log = &counting{Log: h.stream.Open()}
	h.Tail = stream.NewTail(h.log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r, err := range h.Read(ctx, 1) {
			if err != nil {
				t.Error(err)
				return
			}
			h.got = append(h.got, r)
			if gate != nil {
				<-gate
			}
		}
	}()
	h.stop = func() { cancel(); <-done }
	return h
}

// append appends a record of about so many bytes.
func (h *tailed) append(size int) error {
	r := ledgertest.RecordAfter(h.last, fmt.Sprintf("record-%d", h.n+1), size)
	err := h.Append(h.t.Context(), r, h.n)
	if err == nil {
		h.last, h.n = r, h.n+1
	}
	return err
}

// want waits until nothing moves and checks that the reader has everything, in order.
func (h *tailed) want() {
	h.t.Helper()
	synctest.Wait()
	all := h.stream.Records()
	if len(h.got) != len(all) {
		h.t.Fatalf("%d of %d records were read", len(h.got), len(all))
	}
	for i, r := range h.got {
		if r.Seq != all[i].Seq || r.ID != all[i].ID || r.Prev != all[i].Prev || r.First != all[i].First || !bytes.Equal(r.Body, all[i].Body) {
			h.t.Fatalf("record %d was read as %s, number %d", i+1, r.ID, r.Seq)
		}
	}
}

func TestTailReadsFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTailed(t, nil)
		defer h.stop()
		for range 100 {
			if err := h.append(300 << 10); err != nil {
				t.Fatal(err)
			}
			h.want()
		}
		// One read waits for the first record; after it everything comes from memory.
		if n := h.log.reads.Load(); n != 1 {
			t.Errorf("the log was read %d times", n)
		}
	})
}

func TestTailBehindAnAppendThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTailed(t, nil)
		defer h.stop()
		for i := range 10 {
			if i%3 == 2 {
				// It was added, and nobody was told: the retry finds it there.
				h.log.fail = errors.New("no acknowledgement")
				r := ledgertest.RecordAfter(h.last, fmt.Sprintf("record-%d", h.n+1), 0)
				if err := h.Append(t.Context(), r, h.n); err == nil {
					t.Fatal("no error")
				}
				if err := h.Append(t.Context(), r, h.n); !errors.Is(err, ledger.ErrConflict) {
					t.Fatal(err)
				}
				h.last, h.n = r, h.n+1
			} else if err := h.append(0); err != nil {
				t.Fatal(err)
			}
			h.want()
		}
	})
}

func TestTailWithAnotherWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTailed(t, nil)
		defer h.stop()
		if err := h.append(0); err != nil {
			t.Fatal(err)
		}
		h.want()
		foreign := h.stream.Foreign()
		time.Sleep(time.Second) // the bubble's clock
		h.want()
		// The writer notices when it is refused, and goes on behind the other.
		if err := h.append(0); !errors.Is(err, ledger.ErrConflict) {
			t.Fatal(err)
		}
		h.last, h.n = foreign.Record, h.n+1
		second := h.stream.Foreign()
		h.want()
		h.last, h.n = second.Record, h.n+1
		if err := h.append(0); err != nil {
			t.Fatal(err)
		}
		h.want()
	})
}

// A reader that is slower than the writer gets from the log what memory has let go.
func TestTailWithASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := newTailed(t, gate)
		for range 3 {
			if err := h.append(0); err != nil {
				t.Fatal(err)
			}
			gate <- struct{}{}
		}
		h.want()
		for range 40 {
			if err := h.append(500 << 10); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		h.want()
		if n := h.log.reads.Load(); n != 2 {
			t.Errorf("the log was read %d times: once from the start, and once when 20 MiB had come", n)
		}
		before := h.log.reads.Load()
		for range 5 {
			if err := h.append(0); err != nil {
				t.Fatal(err)
			}
		}
		h.want()
		if n := h.log.reads.Load(); n != before {
			t.Errorf("the log was read %d times more by a reader that had caught up", n-before)
		}
		h.stop()
	})
}
