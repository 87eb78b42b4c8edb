package natsd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		runChild(dir)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "nats")
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

// open fails the test if the connection was refused and closes it at the end.
func open(t *testing.T, nc *nats.Conn, err error) *nats.Conn {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func service(t *testing.T, s *Server) *nats.Conn {
	t.Helper()
	nc, err := s.Connect()
	return open(t, nc, err)
}

func admin(t *testing.T, s *Server) *nats.Conn {
	t.Helper()
	nc, err := s.ConnectAdmin()
	return open(t, nc, err)
}

func js(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	j, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// makeLedger creates a stream that only the permissions protect.
func makeLedger(ctx context.Context, s *Server) error {
	nc, err := s.ConnectAdmin()
	if err != nil {
		return err
	}
	defer nc.Close()
	j, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = j.CreateStream(ctx, jetstream.StreamConfig{Name: "LEDGER", Subjects: []string{"ledger.0"}, Storage: jetstream.FileStorage})
	return err
}

func appendRecords(ctx context.Context, s *Server, n int) error {
	nc, err := s.Connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	j, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for i := range n {
		if _, err := j.Publish(ctx, "ledger.0", fmt.Appendf(nil, "record %d", i)); err != nil {
			return err
		}
	}
	return nil
}

func ledgerWith(t *testing.T, s *Server, records int) {
	t.Helper()
	if err := errors.Join(makeLedger(t.Context(), s), appendRecords(t.Context(), s, records)); err != nil {
		t.Fatal(err)
	}
}

// messages is the number of messages in the ledger's stream.
func messages(t *testing.T, nc *nats.Conn) uint64 {
	t.Helper()
	st, err := js(t, nc).Stream(t.Context(), "LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

func TestRestartKeepsMessages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "nats")
	s := start(t, Config{Dir: dir})
	if s.Unclean() {
		t.Error("a new folder is unclean")
	}
	if !s.ns.JetStreamConfig().SyncAlways {
		t.Error("acknowledgements do not wait for fsync")
	}
	if _, err := os.Stat(filepath.Join(dir, "unclean")); err != nil {
		t.Errorf("no marker while the server runs: %v", err)
	}
	ledgerWith(t, s, 3)
	s.Shutdown()
	s.Shutdown()
	if _, err := os.Stat(filepath.Join(dir, "unclean")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("marker after a clean stop: %v", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the data folder is %o, want 700", info.Mode().Perm())
	}

	s = start(t, Config{Dir: dir, OnUnclean: func(string) error { return errors.New("called after a clean stop") }})
	if s.Unclean() {
		t.Error("unclean after a clean stop")
	}
	if _, err := os.Stat(filepath.Join(s.StoreDir(), "LEDGER", "msgs")); err != nil {
		t.Errorf("StoreDir does not contain the stream: %v", err)
	}
	st, err := js(t, service(t, s)).Stream(t.Context(), "LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	for seq := range 3 {
		m, err := st.GetMsg(t.Context(), uint64(seq+1))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("record %d", seq); string(m.Data) != want {
			t.Errorf("message %d is %q, want %q", seq+1, m.Data, want)
		}
	}
}

func TestOneServerPerFolder(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	if _, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second server: %v, want ErrLocked", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "unclean")); err != nil {
		t.Errorf("the refused server touched the marker: %v", err)
	}
	s.Shutdown()
	start(t, Config{Dir: dir})
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	s, err := Start(t.Context(), Config{Dir: dir, Listen: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	err = s.Listen()
	if !errors.Is(err, ErrAddressInUse) {
		t.Fatalf("got %v, want ErrAddressInUse", err)
	}
	if !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("the error does not name the address: %v", err)
	}
	if s.ClientURL() != "" {
		t.Errorf("nobody listens at %s", s.ClientURL())
	}
}

// An agent that comes before the ledger knows tokens is not refused: nobody is there yet, and it comes again.
func TestListenLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	known := false
	s, err := Start(t.Context(), Config{
		Dir: t.TempDir(), Listen: address, Authenticate: func(string, string) (string, string, bool) { return "acme", "pc-1", known },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	if nc, err := nats.Connect("nats://"+address, nats.UserInfo("acme/pc-1", "token")); !errors.Is(err, nats.ErrNoServers) {
		if err == nil {
			nc.Close()
		}
		t.Fatalf("before: %v, want %v", err, nats.ErrNoServers)
	}
	known = true
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	if s.ClientURL() != "nats://"+address {
		t.Errorf("agents report to %s", s.ClientURL())
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("acme/pc-1", "token"))
	open(t, nc, err)
}

func TestStartErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	occupied := t.TempDir()
	if err := os.WriteFile(filepath.Join(occupied, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		cfg  Config
		want error  // if not nil
		say  string // part of the message
	}{
		{name: "no folder", say: "no data folder"},
		{name: "folder below a file", cfg: Config{Dir: filepath.Join(file, "nats")}, say: file},
		{name: "folder is a file", cfg: Config{Dir: file}, say: file},
		{name: "fatal error of the server", cfg: Config{Dir: occupied}, say: "JetStream"},
		{name: "no port", cfg: Config{Dir: t.TempDir(), Listen: "localhost"}, say: "host:port"},
		{name: "named port", cfg: Config{Dir: t.TempDir(), Listen: "localhost:nats"}, say: "0 to 65535"},
		{name: "port too large", cfg: Config{Dir: t.TempDir(), Listen: "127.0.0.1:65536"}, say: "0 to 65535"},
		{name: "cancelled", ctx: cancelled, cfg: Config{Dir: t.TempDir()}, want: context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			s, err := Start(ctx, tt.cfg)
			if err == nil {
				s.Shutdown()
				t.Fatal("it started")
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.say) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q should be one line and contain %q", err, tt.say)
			}
			if _, err := os.Stat(filepath.Join(tt.cfg.Dir, "unclean")); err == nil {
				t.Error("a marker is left")
			}
		})
	}

	if err := os.Remove(filepath.Join(occupied, "jetstream")); err != nil {
		t.Fatal(err)
	}
	start(t, Config{Dir: occupied})
}

func TestListen(t *testing.T) {
	if s := start(t, Config{}); s.ClientURL() != "" || s.ns.Addr() != nil {
		t.Errorf("without Listen: URL %q, listening on %v", s.ClientURL(), s.ns.Addr())
	}
	foreign, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "192.0.2.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Shutdown()
	if err := foreign.Listen(); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("on a foreign address: %v", err)
	}
	s := start(t, Config{Listen: ":0"})
	if want := "nats://" + s.ns.Addr().String(); s.ClientURL() != want || !strings.HasPrefix(want, "nats://127.0.0.1:") {
		t.Errorf("without a host: URL %q, listening on %v", s.ClientURL(), s.ns.Addr())
	}
}

func TestMaxPayload(t *testing.T) {
	s := start(t, Config{})
	if err := makeLedger(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	nc := service(t, s)
	m := nats.NewMsg("ledger.0")
	m.Data = make([]byte, 1<<20)
	m.Header.Set("Ledger-Record", strings.Repeat("x", 60<<10))
	if _, err := js(t, nc).PublishMsg(t.Context(), m); err != nil {
		t.Errorf("a record of 1 MiB with headers: %v", err)
	}
	if err := nc.Publish("ledger.0", make([]byte, MaxPayload+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("one byte too many: %v, want %v", err, nats.ErrMaxPayload)
	}
	if n := messages(t, nc); n != 1 {
		t.Errorf("the stream has %d messages, want 1", n)
	}
}

func TestLog(t *testing.T) {
	var log syncBuffer
	s := start(t, Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Listen: ":0"})
	if !strings.Contains(log.String(), "Listening for client connections") {
		t.Errorf("the server's log is missing: %s", log.String())
	}
	service(t, s)
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("acme/pc-1", "some token"))
	if err == nil {
		nc.Close()
		t.Fatal("an agent connected though there is nobody to authenticate it")
	}
	s.Shutdown()
	got := log.String()
	if !strings.Contains(got, "level=WARN") {
		t.Errorf("a refused connection is no warning: %s", got)
	}
	if strings.Contains(got, "level=INFO") || strings.Contains(got, "level=ERROR") {
		t.Errorf("log at other levels than debug and warning: %s", got)
	}
	for _, secret := range []string{"some token", s.auth.service, s.auth.admin, s.auth.agent} {
		if strings.Contains(got, secret) {
			t.Error("a password is in the log")
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
