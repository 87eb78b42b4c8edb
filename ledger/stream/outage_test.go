package stream_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/stream"
)

// remote is a server behind TCP, whose clients reconnect when it comes back on the same port. (Connections of package natsd end with their server.)
type remote struct {
	t       testing.TB
	options server.Options
	*server.Server
}

func startRemote(t testing.TB) *remote {
	t.Helper()
	r := &remote{t: t, options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxPayload: 2 << 20,
	}}
	r.start()
	r.options.Port = r.Addr().(*net.TCPAddr).Port
	t.Cleanup(r.stop)
	return r
}

func (r *remote) start() {
	r.t.Helper()
	options := r.options
	srv, err := server.NewServer(&options)
	if err != nil {
		r.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		r.t.Fatal("the server does not start")
	}
	r.Server = srv
}

func (r *remote) stop() {
	r.Shutdown()
	r.WaitForShutdown()
}

const patience = 30 * time.Second

// wire is a client's way to the server; a test cuts it or makes it deaf.
type wire struct {
	mu   sync.Mutex
	conn *deafConn
}

type deafConn struct {
	net.Conn
	deaf   chan struct{} // closed: nothing more is heard from the server
	closed chan struct{}
	once   sync.Once
}

// Dial implements nats.CustomDialer.
func (w *wire) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conn = &deafConn{Conn: c, deaf: make(chan struct{}), closed: make(chan struct{})}
	return w.conn, nil
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.deaf:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (w *wire) current() *deafConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn
}

// cut breaks the connection.
func (w *wire) cut() { w.current().Close() }

// deafen lets everything through to the server and nothing back, until the connection is cut.
func (w *wire) deafen() { close(w.current().deaf) }

// connect makes a connection that reconnects as fast as it can, and with it the stream.
func (r *remote) connect(timeout time.Duration, options ...nats.Option) (*stream.Stream, *nats.Conn, *wire) {
	r.t.Helper()
	w := &wire{}
	options = append(options, nats.SetCustomDialer(w), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})) // cut connections are what these tests are about
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", r.options.Port), options...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	s, err := stream.Create(context.Background(), nc, nc, stream.Config{Timeout: timeout})
	if err != nil {
		r.t.Fatal(err)
	}
	return s, nc, w
}

// insist appends a record as a sequencer does: the same bytes until the slot is taken, and by itself.
func insist(ctx context.Context, log ledger.Log, r events.Record, after uint64) error {
	for ctx.Err() == nil {
		switch err := log.Append(ctx, r, after); {
		case err == nil:
			return nil
		case errors.Is(err, ledger.ErrConflict):
			stored, err := log.Get(ctx, after+1)
			if err == nil && stored.ID != r.ID {
				return fmt.Errorf("%s stands at %d", stored.ID, after+1)
			}
			if err == nil {
				return nil
			}
		}
	}
	return ctx.Err()
}

// consumers lists the names of the stream's consumers.
func consumers(t testing.TB, nc *nats.Conn) []string {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := js.Stream(context.Background(), stream.Name)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	list := handle.ConsumerNames(context.Background())
	for name := range list.Name() {
		names = append(names, name)
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// TestReaderSurvives breaks what lies between reader and stream again and again while records are appended: the reader gets each once, in order.
func TestReaderSurvives(t *testing.T) {
	for _, test := range []struct {
		name    string
		rounds  int
		idle    time.Duration // after which the reader asks by itself whether it missed something
		disrupt func(t *testing.T, r *remote, reader *wire, nc *nats.Conn)
	}{
		{"cut connections", 15, patience, func(_ *testing.T, _ *remote, reader *wire, _ *nats.Conn) {
			reader.cut()
		}},
		{"messages lost before the connection breaks", 15, patience, func(_ *testing.T, _ *remote, reader *wire, _ *nats.Conn) {
			broken := reader.current()
			reader.deafen()
			time.AfterFunc(20*time.Millisecond, func() { broken.Close() })
		}},
		{"restarts of the server", 4, patience, func(_ *testing.T, r *remote, _ *wire, _ *nats.Conn) {
			r.stop()
			r.start()
		}},
		{"consumers that vanish", 15, patience, func(t *testing.T, _ *remote, _ *wire, nc *nats.Conn) {
			for _, name := range consumers(t, nc) {
				if _, err := nc.Request("$JS.API.CONSUMER.DELETE."+stream.Name+"."+name, nil, patience); err != nil {
					t.Error(err)
				}
			}
		}},
		{"stolen messages", 15, 20 * time.Millisecond, func(t *testing.T, _ *remote, _ *wire, nc *nats.Conn) {
			steal(t, nc, 3)
		}},
		// As the server stops one at a message that it cannot read, but for the reason.
		{"consumers that stand still", 15, 20 * time.Millisecond, func(t *testing.T, _ *remote, _ *wire, nc *nats.Conn) {
			for _, name := range consumers(t, nc) {
				pause := fmt.Appendf(nil, `{"pause_until":%q}`, time.Now().Add(time.Hour).Format(time.RFC3339))
				if _, err := nc.Request("$JS.API.CONSUMER.PAUSE."+stream.Name+"."+name, pause, patience); err != nil {
					t.Error(err)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const perRound = 40
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			r := startRemote(t)
			writer, nc, _ := r.connect(200 * time.Millisecond)
			reader, _, w := r.connect(2 * time.Second)
			reader.SetIdle(test.idle)

			got := make(chan events.Stored)
			done := make(chan error, 1)
			go func() {
				defer close(got)
				for record, err := range reader.Read(ctx, 1) {
					if err != nil {
						done <- err
						return
					}
					got <- record
				}
				done <- nil
			}()
			written := make(chan events.Record, perRound)
			rounds := make(chan struct{})
			go func() {
				defer close(written)
				var prev events.Record
				var after uint64
				for range rounds {
					for range perRound {
						next := ledgertest.RecordAfter(prev, fmt.Sprintf("record-%d", after+1), 0)
						if err := insist(ctx, writer, next, after); err != nil {
							t.Error(err)
							cancel()
							return
						}
						written <- next
						prev, after = next, after+1
					}
				}
			}()
			seq := uint64(0)
			for range test.rounds {
				select {
				case rounds <- struct{}{}:
				case <-ctx.Done():
				}
				for n := range perRound {
					record, more := <-got
					if !more {
						t.Fatalf("the read ended at %d: %v", seq, <-done)
					}
					if seq++; record.Seq != seq {
						t.Fatalf("record %d came after %d", record.Seq, seq-1)
					}
					if want := <-written; record.ID != want.ID {
						t.Fatalf("%s stands at %d; written was %s", record.ID, seq, want.ID)
					}
					if n == perRound/2 {
						test.disrupt(t, r, w, nc)
					}
				}
			}
			close(rounds)
			cancel()
			for record := range got {
				t.Errorf("record %d was not appended", record.Seq)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// steal takes part in the reading of every consumer, for n messages, in turn with its reader.
func steal(t *testing.T, nc *nats.Conn, n int) {
	t.Helper()
	for _, name := range consumers(t, nc) {
		thief, err := nc.SubscribeSync(nc.NewInbox())
		if err != nil {
			t.Fatal(err)
		}
		request := fmt.Appendf(nil, `{"batch":%d}`, n)
		if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+stream.Name+"."+name, thief.Subject, request); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLastMessageStolen loses the last message that there is, so that nothing after it shows the loss.
func TestLastMessageStolen(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := startRemote(t)
	s, nc, _ := r.connect(patience)
	s.SetIdle(20 * time.Millisecond)
	prev := append1(t, s, events.Record{}, 0)
	for record, err := range s.Read(ctx, 1) {
		if err != nil {
			t.Fatal(err)
		}
		if record.Seq == 3 {
			return
		}
		if record.Seq == 1 {
			steal(t, nc, 1)
			prev = append1(t, s, prev, 1)
			append1(t, s, prev, 2)
		}
	}
	t.Errorf("the read ended: %v", ctx.Err())
}

func TestReaderGivesUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := startRemote(t)
	s, nc, _ := r.connect(50 * time.Millisecond)
	append1(t, s, events.Record{}, 0)
	stopped := false
	var failure error
	for _, err := range s.Read(ctx, 1) {
		if err != nil {
			failure = err
			continue
		}
		s.SetIdle(time.Millisecond)
		r.stop()
		stopped = true
	}
	if !stopped || failure == nil || ctx.Err() != nil {
		t.Errorf("the server is gone, and the read ends with %v (%v)", failure, ctx.Err())
	}
	if errors.Is(failure, ledger.ErrGap) {
		t.Errorf("an outage is no gap: %v", failure)
	}
	nc.Close()
	for range 2 {
		failure = nil
		for _, err := range s.Read(ctx, 1) {
			failure = err
		}
		if failure == nil {
			t.Error("a read over a closed connection ends without an error")
		}
	}
}

// TestConnectionClosedWhileReading waits in vain.
func TestConnectionClosedWhileReading(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := startRemote(t)
	s, nc, _ := r.connect(0)
	append1(t, s, events.Record{}, 0)
	var failure error
	for _, err := range s.Read(ctx, 1) {
		if failure = err; err == nil {
			go nc.Close()
		}
	}
	if !errors.Is(failure, nats.ErrConnectionClosed) {
		t.Errorf("the read ends with %v, want ErrConnectionClosed", failure)
	}
}

// TestStreamShrinks restores an older stream under a reader.
func TestStreamShrinks(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := startRemote(t)
	s, nc, w := r.connect(0)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	prev := append1(t, s, events.Record{}, 0)
	append1(t, s, prev, 1)
	var failure error
	for record, err := range s.Read(ctx, 1) {
		if failure = err; err != nil || record.Seq != 2 {
			continue
		}
		config, err := stream.Configuration(1)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, js, config)
		append1(t, s, events.Record{}, 0)
		w.cut()
	}
	if !errors.Is(failure, ledger.ErrGap) {
		t.Errorf("the read ends with %v, want ErrGap", failure)
	}
}

// TestStreamForgets damages the stream's only block: the server finds nothing in it, forgets all records without a word, and would have a reader wait for the first.
func TestStreamForgets(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := startRemote(t)
	s, _, _ := r.connect(0)
	prev := events.Record{}
	for i := range uint64(9) {
		prev = append1(t, s, prev, i)
	}
	r.stop()
	blocks, err := filepath.Glob(filepath.Join(r.options.StoreDir, "jetstream", "*", "streams", stream.Name, "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("blocks: %q, %v", blocks, err)
	}
	b, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:300])
	if err := os.WriteFile(blocks[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	for record, err := range s.Read(ctx, 1) {
		if !errors.Is(err, ledger.ErrGap) {
			t.Errorf("record %d, %v, want ErrGap", record.Seq, err)
		}
		return
	}
	t.Errorf("the read waits: %v", ctx.Err())
}

// TestStreamForgetsLater: a reader that waits at the end learns that it is not the end, too.
func TestStreamForgetsLater(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, _, _ := startRemote(t).connect(0)
	s.SetIdle(5 * time.Millisecond)
	append1(t, s, events.Record{}, 0)
	for record, err := range s.Read(ctx, 1) {
		if err == nil && record.Seq == 1 {
			s.Reaches(2)
			continue
		}
		if !errors.Is(err, ledger.ErrGap) {
			t.Errorf("record %d, %v, want ErrGap", record.Seq, err)
		}
		return
	}
	t.Errorf("the read waits: %v", ctx.Err())
}

// TestAcknowledgementLost has a row of its own in every table of faults: it failed, and yet it is there.
func TestAcknowledgementLost(t *testing.T) {
	ctx := context.Background()
	r := startRemote(t)
	s, _, w := r.connect(100 * time.Millisecond)
	watch, _, _ := r.connect(0)
	record := ledgertest.RecordAfter(events.Record{}, "record-1", 0)
	deaf := w.current()
	w.deafen()
	err := s.Append(ctx, record, 0)
	if err == nil || errors.Is(err, ledger.ErrConflict) || errors.Is(err, ledger.ErrRefused) {
		t.Fatalf("an append without an answer: %v; want an unknown outcome", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the timeout as its cause", err)
	}
	for got, err := range watch.Read(ctx, 1) {
		if err != nil || got.ID != record.ID {
			t.Fatalf("%+v, %v stands at 1", got, err)
		}
		break
	}
	deaf.Close()
	if err := insist(ctx, s, record, 0); err != nil {
		t.Error(err)
	}
	if last, err := watch.Last(ctx); last != 1 || err != nil {
		t.Errorf("after repeating it the stream ends at %d, %v; want 1", last, err)
	}
}

// TestMessageArrivesLater appends while the server is away: the call ends with an unknown outcome, and the message arrives after that.
func TestMessageArrivesLater(t *testing.T) {
	for _, test := range []struct {
		name    string
		options []nats.Option
		refused bool
	}{
		{"the connection keeps it", nil, false},
		{"the connection keeps nothing", []nats.Option{nats.ReconnectBufSize(-1)}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			r := startRemote(t)
			s, nc, _ := r.connect(50*time.Millisecond, test.options...)
			first := append1(t, s, events.Record{}, 0)
			gone, back := nc.StatusChanged(nats.RECONNECTING), nc.StatusChanged(nats.CONNECTED)
			r.stop()
			<-gone
			record := ledgertest.RecordAfter(first, "record-2", 0)
			err := s.Append(ctx, record, 1)
			if err == nil || errors.Is(err, ledger.ErrConflict) || errors.Is(err, ledger.ErrRefused) != test.refused {
				t.Fatalf("%v; refused should be %t", err, test.refused)
			}
			r.start()
			<-back
			if test.refused {
				last, err := s.Last(ctx)
				for ; err != nil && ctx.Err() == nil; last, err = s.Last(ctx) {
				}
				if last != 1 {
					t.Errorf("the stream ends at %d, %v; a refused record must not arrive", last, err)
				}
				return
			}
			for got, err := range s.Read(ctx, 2) {
				if err != nil || got.ID != record.ID {
					t.Errorf("%+v, %v stands at 2", got, err)
				}
				break
			}
		})
	}
}
