package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

var (
	// ErrLocked says that another server, in this process or in another one,
	// works on the folder.
	ErrLocked = errors.New("folder is in use by another server")
	// ErrAddressInUse says that another program listens on Config.Listen.
	ErrAddressInUse = errors.New("address is in use")
)

// MaxPayload is the largest message in bytes, headers included: a record of
// 1 MiB and 64 KiB for its headers.
const MaxPayload = 1<<20 + 64<<10

// maxSubscriptions bounds the memory that one connection can take; the ledger
// and agents need about a dozen.
const maxSubscriptions = 1024

const (
	accountApp  = "APP"
	accountEdge = "EDGE"
)

// accounts is in the server's own configuration language, the same as in a
// configuration file of an external cluster.
const accounts = `
accounts {
  APP {
    jetstream: enabled
    exports: [ { service: "intake.>", accounts: [ EDGE ] } ]
  }
  EDGE {
    imports: [ { service: { account: APP, subject: "intake.>" } } ]
  }
}
`

// Config says where the server keeps its data and who may connect.
type Config struct {
	// Dir is the server's data folder. It is made, with mode 0700, if it does
	// not exist.
	Dir string

	// Listen is the TCP address for agents, host:port, on which Server.Listen
	// takes them. An empty host is 127.0.0.1 (all interfaces are "0.0.0.0" or
	// "::"); port 0 is any free port. Empty: no listener, only connections made
	// by the Server's methods.
	Listen string

	// Authenticate decides who an agent that connects through the listener is.
	// It is called with what the agent sent, any bytes, concurrently, for every
	// connection; the client waits at most two seconds for it. The agent gets
	// the permissions of the returned names. Nil: nobody can connect.
	Authenticate func(user, password string) (provider, agent string, ok bool)

	// OnUnclean is called by Start if the previous run ended uncleanly, with
	// the folder locked and the store not yet opened. streams is what
	// Server.StoreDir will return; it is missing if the previous run died
	// before it stored anything. If OnUnclean fails, Start fails with its
	// error, and the next Start calls it again. Nil: nothing is called.
	OnUnclean func(streams string) error

	// Logger receives the server's log: warnings and errors as warnings,
	// everything else as debug messages. Nil: no log.
	Logger *slog.Logger
}

// Server is a running NATS server. Its methods may be called concurrently.
type Server struct {
	ns      *server.Server
	auth    *authentication
	folder  *folder
	log     *slog.Logger
	fatal   func() error // what the server called a fatal error since it runs
	listen  string       // host:port for agents; empty: none
	listens atomic.Bool
	stop    sync.Once
}

// Start locks the folder, opens the store and starts the server; when it
// returns, the ledger can connect. ctx bounds only the start: it is looked at
// between the steps, since the opening of a store cannot be interrupted.
// After an error nothing runs and the folder is free.
//
// Errors: ErrLocked, ErrNoChecksum, ctx's error, and descriptions of
// everything else, such as a folder that cannot be written.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	opts, err := options(cfg)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start NATS server: %w", err)
	}

	dir, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{folder: dir, log: log}
	if cfg.Listen != "" {
		s.listen = net.JoinHostPort(opts.Host, strconv.Itoa(max(opts.Port, 0)))
	}
	if dir.unclean {
		log.Warn("the NATS server's previous run ended uncleanly", "folder", dir.path)
		if cfg.OnUnclean != nil {
			if err := cfg.OnUnclean(s.StoreDir()); err != nil {
				dir.unlock()
				return nil, fmt.Errorf("before opening the store of an unclean run: %w", err)
			}
		}
	}
	if err := buryUnborn(s.StoreDir()); err != nil {
		dir.unlock()
		return nil, err
	}
	if err := dir.mark(); err != nil {
		dir.unlock()
		return nil, err
	}

	s.auth = newAuthentication(cfg.Authenticate)
	opts.CustomClientAuthentication = s.auth
	s.ns, s.fatal, err = run(opts, s.auth, log)
	if err == nil && ctx.Err() != nil {
		err = fmt.Errorf("start NATS server: %w", ctx.Err())
	}
	if err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// options translates cfg into the server's options.
func options(cfg Config) (*server.Options, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start NATS server: no data folder given")
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(accounts); err != nil {
		return nil, fmt.Errorf("start NATS server: accounts: %w", err)
	}
	opts.ServerName = "licenseledger"
	opts.NoSigs = true
	opts.JetStream = true
	opts.DisableJetStreamBanner = true
	opts.StoreDir = cfg.Dir
	opts.SyncAlways = true
	opts.MaxPayload = MaxPayload
	opts.MaxSubs = maxSubscriptions
	opts.DontListen = true // until [Server.Listen]
	if cfg.Listen == "" {
		return opts, nil
	}

	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q must be host:port: %w", cfg.Listen, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: the port must be a number from 0 to 65535", cfg.Listen)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	opts.Host, opts.Port = host, int(n)
	if n == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, nil
}

// run starts a server. What the server itself calls a fatal error, for which it
// would end the process, is returned. It returns the server also beside an
// error if that server must be shut down.
func run(opts *server.Options, auth *authentication, log *slog.Logger) (ns *server.Server, fatal func() error, err error) {
	ns, err = server.NewServer(opts)
	if err != nil {
		return nil, nil, fmt.Errorf("start NATS server: %w", err)
	}
	if auth.app, err = ns.LookupAccount(accountApp); err != nil {
		return ns, nil, fmt.Errorf("start NATS server: account %s: %w", accountApp, err)
	}
	if auth.edge, err = ns.LookupAccount(accountEdge); err != nil {
		return ns, nil, fmt.Errorf("start NATS server: account %s: %w", accountEdge, err)
	}
	slogger := &serverLog{log: log}
	ns.SetLoggerV2(slogger, log.Enabled(context.Background(), slog.LevelDebug), false, false)
	ns.Start()
	if err := slogger.fatalError(); err != nil {
		return ns, nil, fmt.Errorf("start NATS server in %s: %w", opts.StoreDir, err)
	}
	return ns, slogger.fatalError, nil
}

// Listen begins to take agents on Config.Listen; without that it does nothing.
// It is called once, when Config.Authenticate knows its agents: until then the
// system refuses their connections, which clients take for a server that is not
// there yet. One that listened and knew nobody would refuse them for good:
// clients end after a second refusal of their token.
//
// Errors: ErrAddressInUse, and the system's.
func (s *Server) Listen() error {
	if s.listen == "" {
		return nil
	}
	s.ns.AcceptLoop(make(chan struct{}))
	if err := s.fatal(); errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("NATS server: %s: %w: stop the program that listens there or choose another port", s.listen, ErrAddressInUse)
	} else if err != nil {
		return fmt.Errorf("NATS server: listen on %s: %w", s.listen, err)
	}
	s.listens.Store(true)
	return nil
}

// abandon ends a start that failed. A run that never served leaves the marker
// as it found it.
func (s *Server) abandon() {
	if s.ns != nil {
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
	}
	if !s.folder.unclean {
		s.unmark()
	}
	s.folder.unlock()
}

// Shutdown disconnects everybody, closes the store, marks the folder as clean
// and frees it. It returns when all of this is done, also when called more than
// once. Connections of this process should be closed before; those that are not
// try to reconnect until their owners close them.
func (s *Server) Shutdown() {
	s.stop.Do(func() {
		s.ns.Shutdown()
		s.ns.WaitForShutdown()
		s.unmark()
		s.folder.unlock()
	})
}

func (s *Server) unmark() {
	if err := s.folder.unmark(); err != nil {
		s.log.Warn("the next start will take this run for an unclean one", "error", err)
	}
}

// Unclean tells whether the previous run on this folder ended without Shutdown:
// then the store must be compared with other copies before it is trusted. The
// answer stays the same for the life of the server, and is false after the next
// clean stop, whether or not somebody compared.
func (s *Server) Unclean() bool { return s.folder.unclean }

// ClientURL is the address that agents connect to, nats://host:port, and empty
// while there is no listener.
func (s *Server) ClientURL() string {
	if !s.listens.Load() {
		return ""
	}
	return s.ns.ClientURL()
}

// StoreDir is the folder with the ledger's streams: a folder for each, by name.
// The files belong to the server; others may only copy them, and only while it
// does not run.
func (s *Server) StoreDir() string {
	return filepath.Join(s.folder.path, server.JetStreamStoreDir, accountApp, "streams")
}

// Connect makes the connection that the ledger works with: account APP, without
// the right to create, restore, change, purge or delete streams or to delete
// messages. A refused request gets no answer; the refusal comes as
// nats.ErrPermissionViolation to the connection's error handler. The caller
// closes the connection.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return s.connect(serviceUser, s.auth.service, opts)
}

// ConnectAdmin makes a connection to the account APP that may do everything. It
// is meant for creating the stream when the ledger starts, and for nothing
// else. The caller closes the connection.
func (s *Server) ConnectAdmin(opts ...nats.Option) (*nats.Conn, error) {
	return s.connect(adminUser, s.auth.admin, opts)
}

// ConnectEdge makes a connection with exactly the rights that this agent has
// through the listener, its inbox prefix set; Config.Authenticate is not asked.
// The caller closes the connection.
func (s *Server) ConnectEdge(provider, agent string, opts ...nats.Option) (*nats.Conn, error) {
	if !validName(provider) || !validName(agent) {
		return nil, fmt.Errorf("connect agent %q of provider %q: names are 1 to 64 of A-Z a-z 0-9 _ -", agent, provider)
	}
	opts = append(opts[:len(opts):len(opts)], nats.CustomInboxPrefix(inboxPrefix(provider, agent)))
	return s.connect(agentUser(provider, agent), s.auth.agent, opts)
}

// connect puts its own options last: a caller must not change who it is.
func (s *Server) connect(user, password string, opts []nats.Option) (*nats.Conn, error) {
	opts = append(opts[:len(opts):len(opts)], nats.InProcessServer(s.ns), nats.UserInfo(user, password))
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS server of this process as %s: %w", user, err)
	}
	return nc, nil
}
