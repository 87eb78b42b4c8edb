package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Name and Subject of the stream. One literal subject keeps the server's memory flat.
const (
	Name    = "LEDGER"
	Subject = "ledger.0"
)

// headerRoom is what a message may have in bytes beyond the record's body; the headers need less than 512.
const headerRoom = 4 << 10

// defaultTimeout is how long a call waits for the server's answer, unless its context ends before.
const defaultTimeout = 5 * time.Second

var (
	// ErrNoStream says that the server has no ledger.
	ErrNoStream = errors.New("there is no stream " + Name)
	// ErrNoLeader says that of several replicas none is the leader that a majority follows: for a while, or as far as this server can see.
	ErrNoLeader = errors.New("the stream has no leader that hears a majority of its replicas")
)

// Config says how the stream is kept.
type Config struct {
	// Replicas is 1 (also if it is 0), 3 or 5. None is compressed; that a rotten block is skipped is for the readers to notice, who count.
	Replicas int
	// Timeout is how long a call waits for the server's answer, unless its context ends before; 0 is 5 s. A reader that cannot be resumed gives up after six times that.
	Timeout time.Duration
}

// Stream is the ledger's log in JetStream. It is safe for concurrent use. It does not own its connection.
type Stream struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	replicas int
	timeout  time.Duration
	idle     time.Duration // after which a reader asks whether anything is still coming
	end      atomic.Uint64 // the last record that the server ever told of: a stream does not become shorter
}

var _ ledger.Log = (*Stream)(nil)

// Open opens the stream that is there, after comparing its settings with cfg
// and counting its messages. It changes nothing.
//
// Errors: [ErrNoStream]; [ErrNoLeader]; a [*ConfigError] if the stream is kept in another way
// than cfg says; a [*DamagedError] (which is also [ledger.ErrGap]) if messages
// are missing; descriptions of everything else, such as a server that does not
// take messages as large as a record.
func Open(ctx context.Context, conn *nats.Conn, cfg Config) (*Stream, error) {
	want, err := configuration(cfg.Replicas)
	if err != nil {
		return nil, err
	}
	if most := conn.MaxPayload(); most < events.MaxRecord+headerRoom {
		return nil, fmt.Errorf("open stream %s: the server's max_payload is %d bytes; records need %d", Name, most, events.MaxRecord+headerRoom)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", Name, err)
	}
	s := &Stream{conn: conn, js: js, replicas: want.Replicas, timeout: cfg.Timeout, idle: 2 * time.Second}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	info, err := s.info(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", Name, err)
	}
	if err := compare(info.Config, want); err != nil {
		return nil, err
	}
	return s, nil
}

// Create makes the stream with the connection admin, unless it is there, and
// opens it with conn. It must not be called for a ledger that has views or
// tiles: an empty stream beside them means that the records were lost. Errors are those of [Open].
func Create(ctx context.Context, admin, conn *nats.Conn, cfg Config) (*Stream, error) {
	want, err := configuration(cfg.Replicas)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(admin)
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", Name, err)
	}
	// A stream with other settings is for Open to name.
	if _, err := js.CreateStream(ctx, want); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, fmt.Errorf("create stream %s: %w", Name, err)
	}
	return Open(ctx, conn, cfg)
}

// Last asks the leader for the sequence of the last record, [ErrNoLeader] if none of several replicas surely is. It fails with a [*DamagedError] if messages before it are missing.
func (s *Stream) Last(ctx context.Context) (uint64, error) {
	info, err := s.info(ctx)
	if err != nil {
		return 0, fmt.Errorf("last record of stream %s: %w", Name, err)
	}
	s.reaches(info.State.LastSeq)
	return info.State.LastSeq, nil
}

// reaches notes that the stream has record seq.
func (s *Stream) reaches(seq uint64) {
	for {
		end := s.end.Load()
		if seq <= end || s.end.CompareAndSwap(end, seq) {
			return
		}
	}
}

// info asks the leader about the stream, and counts.
func (s *Stream) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	handle, err := s.js.Stream(ctx, Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoStream
	}
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.Code == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	if err != nil {
		return nil, err
	}
	info := handle.CachedInfo()
	if s.replicas > 1 {
		if err := leads(info.Cluster); err != nil {
			return nil, err
		}
	}
	if err := count(info.State); err != nil {
		return nil, err
	}
	return info, nil
}

// leaseTime is how long a leader surely stays the only one after it has heard a majority: less than the 4 s that the others wait for it at least before
// they elect another.
const leaseTime = 3 * time.Second

// leads says whether a leader that answered was the only one then. One that is cut off goes on answering, from what it has, for
// ten seconds and more, while the others have long had another.
func leads(c *jetstream.ClusterInfo) error {
	if c == nil || c.Leader == "" {
		return ErrNoLeader
	}
	heard, all := 1, 1
	for _, r := range c.Replicas {
		if all++; !r.Offline && r.Active > 0 && r.Active < leaseTime {
			heard++
		}
	}
	if heard <= all/2 {
		return ErrNoLeader
	}
	return nil
}
