package natsd

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestDisconnect(t *testing.T) {
	var revoked atomic.Bool
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: func(user, password string) (provider, agent string, ok bool) {
		provider, agent, ok = strings.Cut(user, "/")
		return provider, agent, ok && !(revoked.Load() && agent == "pc-1")
	}})
	closed := make(chan string, 4)
	connect := func(provider, agent string) *nats.Conn {
		return dial(t, s, provider, agent, quiet, nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { closed <- provider + "/" + agent }))
	}
	connect("acme", "pc-1")
	connect("acme", "pc-1")
	others := []*nats.Conn{connect("acme", "pc-11"), connect("acme-2", "pc-1")}
	revoked.Store(true)
	if err := s.Disconnect("acme", "pc-1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case who := <-closed:
			if who != "acme/pc-1" {
				t.Errorf("%s was disconnected", who)
			}
		case <-time.After(patience):
			t.Fatal("the agent is still connected")
		}
	}
	for _, nc := range others {
		if err := nc.Flush(); err != nil {
			t.Errorf("another agent: %v", err)
		}
	}
	if nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("acme/pc-1", "token")); err == nil {
		nc.Close()
		t.Error("it connects again")
	}
}
