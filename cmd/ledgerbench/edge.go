package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"licenseledger/ledger/stream/natsd"
)

// The server that the fleet connects to is set up as package natsd does it: the same accounts, the same import, fsync before
// every acknowledgement. It differs in who may connect: natsd gives every agent a connection of its own and permissions for
// its own subject; here one user speaks for any number of agents, as a gateway or a leaf node does, so that the number of
// connections can be chosen. Nothing of it is secret: it lives as long as a measurement, on 127.0.0.1.
const (
	ledgerUser, fleetUser = "ledger", "fleet"
	edgePassword          = "measure"
)

var edgeAccounts = fmt.Sprintf(`
accounts {
  APP {
    jetstream: enabled
    users: [ { user: %[1]s, password: %[3]s } ]
    exports: [ { service: "intake.>", accounts: [ EDGE ] } ]
  }
  EDGE {
    users: [ { user: %[2]s, password: %[3]s, permissions: { publish: "intake.>", subscribe: "_INBOX.>" } } ]
    imports: [ { service: { account: APP, subject: "intake.>" } } ]
  }
}
`, ledgerUser, fleetUser, edgePassword)

func startEdge(dir string) (*server.Server, error) {
	opts := &server.Options{}
	if err := opts.ProcessConfigString(edgeAccounts); err != nil {
		return nil, err
	}
	opts.ServerName, opts.JetStream, opts.StoreDir, opts.SyncAlways = "edge", true, dir, true
	opts.MaxPayload, opts.NoSigs, opts.NoLog, opts.DisableJetStreamBanner = natsd.MaxPayload, true, true, true
	opts.Host, opts.Port = "127.0.0.1", server.RANDOM_PORT
	return startServer(opts)
}

func startServer(opts *server.Options) (*server.Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("the NATS server does not start")
	}
	return s, nil
}

// edgeConnect makes the ledger's connections, in its own process.
func edgeConnect(s *server.Server) func(...nats.Option) (*nats.Conn, error) {
	return func(options ...nats.Option) (*nats.Conn, error) {
		return nats.Connect("", append(options, nats.InProcessServer(s), nats.UserInfo(ledgerUser, edgePassword))...)
	}
}
