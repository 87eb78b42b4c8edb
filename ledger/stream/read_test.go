package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/stream"
)

// TestReaderTakesNoMoreThanItCanHold has a reader that stops after its first record: the server stops too, long before the end of the stream.
func TestReaderTakesNoMoreThanItCanHold(t *testing.T) {
	const n, most = 40, 16
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e := startEmbedded(t)
	s := e.create()
	var prev events.Record
	for after := range uint64(n) {
		prev = ledgertest.RecordAfter(prev, fmt.Sprintf("record-%d", after+1), events.MaxRecord)
		if err := s.Append(ctx, prev, after); err != nil {
			t.Fatal(err)
		}
	}
	js, err := jetstream.New(e.conn(e.Connect))
	if err != nil {
		t.Fatal(err)
	}
	seq := uint64(0)
	for r, err := range s.Read(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if seq++; r.Seq != seq || len(r.Body) != events.MaxRecord {
			t.Fatalf("record %d with %d bytes came after %d", r.Seq, len(r.Body), seq-1)
		}
		if seq == n {
			break
		}
		for seq == 1 {
			c, err := js.Consumer(ctx, stream.Name, consumers(t, e.conns[0])[0])
			if err != nil {
				t.Fatal(err)
			}
			info := c.CachedInfo()
			if info.Delivered.Stream > most {
				t.Fatalf("the server sent %d MiB to a reader that took one", info.Delivered.Stream)
			}
			if info.NumWaiting == 0 { // everything that was asked for was sent
				break
			}
		}
	}
	if seq != n {
		t.Errorf("the read ended at %d: %v", seq, ctx.Err())
	}
}

// TestGapUnderAReader removes a message that a reader has yet to come to.
func TestGapUnderAReader(t *testing.T) {
	const n, gone = 700, 600
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e := startEmbedded(t)
	s, handle := e.createWithDeletes()
	var prev events.Record
	for after := range uint64(n) {
		prev = append1(t, s, prev, after)
	}
	seq := uint64(0)
	for r, err := range s.Read(ctx, 1) {
		if err != nil {
			if !errors.Is(err, ledger.ErrGap) || seq != gone-1 {
				t.Errorf("after record %d: %v; want ErrGap after %d", seq, err, gone-1)
			}
			return
		}
		if seq++; r.Seq != seq {
			t.Fatalf("record %d came after %d", r.Seq, seq-1)
		}
		if seq == 1 {
			if err := handle.DeleteMsg(ctx, gone); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Errorf("the read ended without an error (%v)", ctx.Err())
}

// TestRottenMessage flips a bit on the disk under a running server, which goes on counting the message.
func TestRottenMessage(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e := startEmbedded(t)
	s := e.create()
	var prev events.Record
	for after := range uint64(5) {
		prev = append1(t, s, prev, after)
	}
	e.stop()
	e.start() // nothing is cached
	s = e.open()
	block := filepath.Join(e.StoreDir(), stream.Name, "msgs", "1.blk")
	content, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte("ledgertest/record-3/"))
	if at < 0 {
		t.Fatal("record 3 is not in its block")
	}
	content[at] ^= 1
	if err := os.WriteFile(block, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Last(ctx); err != nil || last != 5 {
		t.Fatalf("Last: %d, %v; want 5: this server notices by itself, and the test needs another way", last, err)
	}
	if r, err := s.Get(ctx, 3); !errors.Is(err, ledger.ErrGap) {
		t.Errorf("Get: %+v, %v; want ErrGap", r, err)
	}
	// The server sends record 4 after record 2, as if nothing were between them.
	seq := uint64(0)
	for _, err = range s.Read(ctx, 1) {
		if err != nil {
			break
		}
		seq++
	}
	if !errors.Is(err, ledger.ErrGap) || seq != 2 {
		t.Errorf("Read after record %d: %v; want ErrGap after 2", seq, err)
	}
}

// TestReaderLeavesNoConsumer counts what the server keeps for readers that ended.
func TestReaderLeavesNoConsumer(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	e := startEmbedded(t)
	s := e.create()
	append1(t, s, events.Record{}, 0)
	nc := e.conn(e.Connect)
	for range 5 {
		for _, err := range s.Read(ctx, 1) {
			if err != nil {
				t.Fatal(err)
			}
			if n := len(consumers(t, nc)); n == 0 {
				t.Fatal("a reader without a consumer")
			}
			break
		}
	}
	// The server is not waited for.
	for tick := time.Tick(time.Millisecond); len(consumers(t, nc)) > 0; <-tick {
		if ctx.Err() != nil {
			t.Fatalf("consumers that nobody reads from: %v", consumers(t, nc))
		}
	}
}
