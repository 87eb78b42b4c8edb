package stream

import (
	"errors"
	"testing"
	"time"

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
