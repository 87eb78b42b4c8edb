package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Only a leader that has just heard a majority, itself included, is believed to be the only one.
func TestLeads(t *testing.T) {
	peer := func(active time.Duration, offline bool) *jetstream.PeerInfo {
		return &jetstream.PeerInfo{Active: active, Offline: offline, Current: true}
	}
	const never = 0
	for _, row := range []struct {
		name    string
		cluster *jetstream.ClusterInfo
		want    error
	}{
		{"no cluster", nil, ErrNoLeader},
		{"no leader", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{peer(1, false), peer(1, false)}}, ErrNoLeader},
		{"all three", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(time.Second, false), peer(time.Millisecond, false)}}, nil},
		{"one of the others", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(time.Minute, false), peer(leaseTime-1, false)}}, nil},
		{"nobody for long enough", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(leaseTime, false), peer(time.Minute, false)}}, ErrNoLeader},
		{"nobody ever", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(never, false), peer(never, false)}}, ErrNoLeader},
		{"gone", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(1, true), peer(1, true)}}, ErrNoLeader},
		{"two of five", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(1, false), peer(never, false), peer(never, false), peer(never, true)}}, ErrNoLeader},
		{"three of five", &jetstream.ClusterInfo{Leader: "n1", Replicas: []*jetstream.PeerInfo{peer(1, false), peer(2, false), peer(never, false), peer(never, true)}}, nil},
	} {
		if got := leads(row.cluster); !errors.Is(got, row.want) {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// A client leaves a node that answers, but not for the others, and one that does not answer at all; it stays with one whose leader hears a majority.
func TestWatchLeavesAnIsolatedNode(t *testing.T) {
	const (
		leads    = `{"cluster":{"leader":"n1","replicas":[{"name":"n2","current":true,"active":1000000},{"name":"n3","current":false,"active":60000000000}]}}`
		isolated = `{"cluster":{"leader":"n1","replicas":[{"name":"n2","current":true,"active":60000000000},{"name":"n3","current":true,"active":60000000000}]}}`
		nobody   = `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
		silent   = ""
	)
	node := func(t *testing.T, answer string) (url string, asked chan struct{}) {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		conn, err := nats.Connect(s.ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		asked = make(chan struct{}, 1000)
		if _, err = conn.Subscribe("$JS.API.STREAM.INFO."+Name, func(m *nats.Msg) {
			if answer != silent {
				err := m.Respond([]byte(answer))
				if err != nil {
					t.Errorf("answer: %v", err)
				}
			}
			asked <- struct{}{}
		}); err == nil {
			err = conn.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		return s.ClientURL(), asked
	}
	for name, first := range map[string]string{"isolated": isolated, "no leader": nobody, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, _ := node(t, first)
			good, asked := node(t, leads)
			conn, err := nats.Connect(bad+","+good, nats.DontRandomize(), nats.ReconnectWait(time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(t.Context())
			var watching sync.WaitGroup
			watching.Go(func() { watch(ctx, conn, slog.New(slog.DiscardHandler), 20*time.Millisecond, 300*time.Millisecond) })
			defer watching.Wait()
			defer cancel()
			for range 20 { // more than its patience lasts
				select {
				case <-asked:
				case <-time.After(time.Minute):
					t.Fatalf("it is with %s, not with %s", conn.ConnectedUrl(), good)
				}
			}
			if got := conn.ConnectedUrl(); got != good || conn.Stats().Reconnects != 1 {
				t.Errorf("after %d reconnections it is with %s, not with %s", conn.Stats().Reconnects, got, good)
			}
		})
	}
}
