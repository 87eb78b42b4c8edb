package stream_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// embedded is a server in this process, as ledgerd runs it.
type embedded struct {
	t   testing.TB
	dir string
	*natsd.Server
	conns []*nats.Conn
}

func startEmbedded(t testing.TB) *embedded {
	t.Helper()
	e := &embedded{t: t, dir: t.TempDir()}
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *embedded) start() {
	e.t.Helper()
	srv, err := natsd.Start(context.Background(), natsd.Config{Dir: e.dir})
	if err != nil {
		e.t.Fatal(err)
	}
	e.Server = srv
}

func (e *embedded) stop() {
	for _, nc := range e.conns {
		nc.Close()
	}
	e.conns = nil
	e.Shutdown()
}

func (e *embedded) conn(connect func(...nats.Option) (*nats.Conn, error), options ...nats.Option) *nats.Conn {
	e.t.Helper()
	nc, err := connect(options...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.conns = append(e.conns, nc)
	return nc
}

func (e *embedded) create() *stream.Stream {
	e.t.Helper()
	s, err := stream.Create(context.Background(), e.conn(e.ConnectAdmin), e.conn(e.Connect), stream.Config{})
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

func (e *embedded) open() *stream.Stream {
	e.t.Helper()
	s, err := stream.Open(context.Background(), e.conn(e.Connect), stream.Config{Replicas: 1})
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// createWithDeletes makes the stream, opens it, and puts one in its place that
// allows deletes: they cannot be allowed to a stream that once denied them.
func (e *embedded) createWithDeletes() (*stream.Stream, jetstream.Stream) {
	e.t.Helper()
	ctx := context.Background()
	s := e.create()
	js, err := jetstream.New(e.conn(e.ConnectAdmin))
	if err != nil {
		e.t.Fatal(err)
	}
	handle, err := js.Stream(ctx, stream.Name)
	if err != nil {
		e.t.Fatal(err)
	}
	config := handle.CachedInfo().Config
	config.DenyDelete, config.DenyPurge, config.Metadata = false, false, nil
	handle = replace(e.t, js, config)
	return s, handle
}

// replace deletes the stream and makes another one.
func replace(t testing.TB, js jetstream.JetStream, config jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := js.DeleteStream(ctx, stream.Name); err != nil {
		t.Fatal(err)
	}
	for {
		handle, err := js.CreateStream(ctx, config)
		if err == nil {
			return handle
		}
		// The server answers before it has removed the old stream's files.
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestStreamIsALog(t *testing.T) {
	ledgertest.LogSuite(t, func(t *testing.T) ledgertest.Fixture {
		e := startEmbedded(t)
		e.create()
		return ledgertest.Fixture{
			Open:    func() ledger.Log { return e.open() },
			Restart: func() { e.stop(); e.start() },
		}
	})
}

func TestOpenNeverCreates(t *testing.T) {
	e := startEmbedded(t)
	ctx := context.Background()
	if _, err := stream.Open(ctx, e.conn(e.Connect), stream.Config{}); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("Open without a stream: %v, want ErrNoStream", err)
	}
	if _, err := stream.Open(ctx, e.conn(e.ConnectAdmin), stream.Config{}); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("Open without a stream, as admin: %v, want ErrNoStream", err)
	}
	// The connection for daily work cannot create it.
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	refused := make(chan error, 1)
	nc := e.conn(e.Connect, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if _, err := stream.Create(short, nc, nc, stream.Config{}); err == nil {
		t.Error("the service connection created the stream")
	}
	if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("the service connection's request: %v, want ErrPermissionViolation", err)
	}
	s := e.create()
	append1(t, s, events.Record{}, 0)
	// Creating again only opens.
	s = e.create()
	if last, err := s.Last(ctx); last != 1 || err != nil {
		t.Errorf("after a second Create the stream ends at %d, %v; want 1", last, err)
	}
}

func TestOtherSettingsAreRefused(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		field  string
		change func(*jetstream.StreamConfig)
	}{
		{"", func(c *jetstream.StreamConfig) { c.Description = "the operator's note" }},
		{"", func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"a": "b"} }},
		{"allow_direct", func(c *jetstream.StreamConfig) { c.AllowDirect = true }},
		{"allow_rollup_hdrs", func(c *jetstream.StreamConfig) { c.AllowRollup, c.DenyPurge = true, false }},
		{"allow_msg_schedules", func(c *jetstream.StreamConfig) { c.AllowMsgSchedules, c.Discard = true, jetstream.DiscardOld }},
		{"allow_atomic", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true }},
		{"allow_msg_ttl", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }},
		{"compression", func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }},
		{"deny_delete", func(c *jetstream.StreamConfig) { c.DenyDelete = false }},
		{"deny_purge", func(c *jetstream.StreamConfig) { c.DenyPurge = false }},
		{"discard", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
		{"duplicate_window", func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Minute }},
		{"max_age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
		{"max_bytes", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 30 }},
		{"max_consumers", func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 }},
		{"max_msg_size", func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }},
		{"max_msgs", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }},
		{"max_msgs_per_subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
		{"no_ack", func(c *jetstream.StreamConfig) { c.NoAck = true }},
		{"persist_mode", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }},
		{"republish", func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: stream.Subject, Destination: "elsewhere"}
		}},
		{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }},
		{"storage", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }},
		{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"ledger.*"} }},
	} {
		name := test.field
		if name == "" {
			name = "operator's notes"
		}
		t.Run(name, func(t *testing.T) {
			e := startEmbedded(t)
			admin := e.conn(e.ConnectAdmin)
			js, err := jetstream.New(admin)
			if err != nil {
				t.Fatal(err)
			}
			config, err := stream.Configuration(1)
			if err != nil {
				t.Fatal(err)
			}
			test.change(&config)
			handle, err := js.CreateStream(ctx, config)
			if err != nil {
				t.Fatal(err)
			}
			for _, open := range []func() (*stream.Stream, error){
				func() (*stream.Stream, error) { return stream.Open(ctx, e.conn(e.Connect), stream.Config{}) },
				func() (*stream.Stream, error) { return stream.Create(ctx, admin, e.conn(e.Connect), stream.Config{}) },
			} {
				_, err := open()
				var refused *stream.ConfigError
				if test.field == "" && err == nil {
					continue
				}
				if !errors.As(err, &refused) || refused.Field != test.field {
					t.Errorf("%v; want a ConfigError about %q", err, test.field)
				}
			}
			// Nobody may "repair" it.
			before := handle.CachedInfo().Config
			after, err := handle.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(before, after.Config) {
				t.Errorf("the settings were changed from %+v to %+v", before, after.Config)
			}
		})
	}
}

func TestReplicas(t *testing.T) {
	e := startEmbedded(t)
	e.create()
	for _, replicas := range []int{-1, 2, 4, 7} {
		if _, err := stream.Open(context.Background(), e.conn(e.Connect), stream.Config{Replicas: replicas}); err == nil {
			t.Errorf("%d replicas were accepted", replicas)
		}
	}
	var refused *stream.ConfigError
	if _, err := stream.Open(context.Background(), e.conn(e.Connect), stream.Config{Replicas: 3}); !errors.As(err, &refused) || refused.Field != "num_replicas" {
		t.Errorf("a stream of one replica opened as one of three: %v", err)
	}
}

// TestMissingMessages removes messages behind the ledger's back.
func TestMissingMessages(t *testing.T) {
	for _, test := range []struct {
		name   string
		remove func(ctx context.Context, s jetstream.Stream) error
		want   stream.DamagedError
	}{
		{"the first", func(ctx context.Context, s jetstream.Stream) error { return s.DeleteMsg(ctx, 1) },
			stream.DamagedError{First: 2, Last: 5, Messages: 4}},
		{"one between", func(ctx context.Context, s jetstream.Stream) error { return s.DeleteMsg(ctx, 3) },
			stream.DamagedError{First: 1, Last: 5, Messages: 4, Deleted: 1}},
		{"the last", func(ctx context.Context, s jetstream.Stream) error { return s.DeleteMsg(ctx, 5) },
			stream.DamagedError{First: 1, Last: 5, Messages: 4, Deleted: 1}},
		{"all", func(ctx context.Context, s jetstream.Stream) error { return s.Purge(ctx) },
			stream.DamagedError{First: 6, Last: 5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			e := startEmbedded(t)
			s, handle := e.createWithDeletes()
			var prev events.Record
			for after := range uint64(5) {
				prev = append1(t, s, prev, after)
			}
			if err := test.remove(ctx, handle); err != nil {
				t.Fatal(err)
			}
			_, err := stream.Open(ctx, e.conn(e.Connect), stream.Config{})
			var damaged *stream.DamagedError
			if !errors.As(err, &damaged) || *damaged != test.want || !errors.Is(err, ledger.ErrGap) {
				t.Errorf("Open: %v; want %v", err, &test.want)
			}
			if _, err := s.Last(ctx); !errors.Is(err, ledger.ErrGap) {
				t.Errorf("Last: %v, want ErrGap", err)
			}
			for seq := range uint64(5) {
				if _, err := s.Get(ctx, seq+1); err != nil && !errors.Is(err, ledger.ErrGap) {
					t.Errorf("Get(%d): %v, want ErrGap", seq+1, err)
				}
			}
			for r, err := range s.Read(ctx, 1) {
				if err == nil {
					t.Errorf("a new reader of a damaged stream gets record %d", r.Seq)
				} else if !errors.Is(err, ledger.ErrGap) {
					t.Errorf("Read: %v, want ErrGap", err)
				}
				break
			}
		})
	}
}

// append1 appends a small record after prev, which stands at after.
func append1(t testing.TB, log ledger.Log, prev events.Record, after uint64) events.Record {
	t.Helper()
	r := ledgertest.RecordAfter(prev, fmt.Sprintf("record-%d", after+1), 0)
	if err := log.Append(context.Background(), r, after); err != nil {
		t.Fatal(err)
	}
	return r
}
