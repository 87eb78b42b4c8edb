package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// Defaults of Options.
const (
	DefaultMaxBytes   = 64 << 20
	DefaultGather     = 10 * time.Second
	DefaultPatience   = time.Minute
	DefaultMinBackoff = time.Second
	DefaultMaxBackoff = time.Minute
)

// Errors of an agent.
var (
	// ErrFull says that the spool takes no more readings until some were sent. A *FullError says how full it is.
	ErrFull = errors.New("the spool is full")
	// ErrLocked says that another process has the folder open.
	ErrLocked = errors.New("another process has the agent's folder open")
	// ErrClosed says that the agent was closed.
	ErrClosed = errors.New("the agent is closed")
)

// FullError is the error of a spool that is full; it is [ErrFull].
type FullError struct{ Bytes, MaxBytes int64 }

func (e *FullError) Error() string {
	return fmt.Sprintf("the spool is full: %d of %d bytes wait to be sent or were refused; the readings were not taken", e.Bytes, e.MaxBytes)
}

// Is makes it ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Options say who the agent is and how it reaches the ledger. The zero value of what is optional is its default.
type Options struct {
	Agent   string // its endpoint's id
	Company string // optional: where the endpoint belongs if the ledger does not know it yet

	// Transport sends reports; the agent closes it. Without one, readings wait in the spool.
	Transport Transport
	// Leases says where leases come from; without it the agent holds the one that it has. Keys, if given, are the only ones that
	// verify leases; otherwise the ledger's published keys do.
	Leases *Leases
	Keys   lease.KeySet

	MaxBytes int64         // of readings in the spool; the file may take twice as much
	Gather   time.Duration // how long a reading waits for others to share its report; below 0: not at all
	Patience time.Duration // how long one attempt to reach the ledger may take

	// A failed attempt is repeated after a random time between half of a backoff and all of it, which doubles from MinBackoff to
	// MaxBackoff; and not before the ledger's Retry-After.
	MinBackoff, MaxBackoff time.Duration

	Now    func() time.Time // time.Now
	Logger *slog.Logger     // none
}

func (o *Options) complete() error {
	if err := checkName(o.Agent); err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	if o.Company != "" {
		if err := checkName(o.Company); err != nil {
			return fmt.Errorf("company: %w", err)
		}
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.Gather == 0 {
		o.Gather = DefaultGather
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.MinBackoff == 0 {
		o.MinBackoff = DefaultMinBackoff
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = max(DefaultMaxBackoff, o.MinBackoff)
	}
	if o.MaxBytes < 0 || o.Patience < 0 || o.MinBackoff < 0 || o.MaxBackoff < o.MinBackoff {
		return errors.New("a bound is below 0, or MaxBackoff below MinBackoff")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Agent is an open agent. It is safe for concurrent use.
type Agent struct {
	Options
	spool *spool
	lease *holder
	found int // readings that waited when it was opened

	ctx    context.Context // of everything that runs; ends with Close
	cancel context.CancelFunc
	done   sync.WaitGroup
	closed func() error

	wake    chan struct{} // there are new readings
	urge    chan struct{} // somebody waits for what is there
	fetched chan struct{} // there is a new lease

	mu     sync.Mutex
	failed error     // why the last report did not get through
	retry  time.Time // when it is tried again
}

// Open opens the agent of a folder, and makes the folder if there is none. From then on reports are sent and leases fetched,
// until Close. Nothing has to be reachable for that.
func Open(dir string, o Options) (*Agent, error) {
	a := &Agent{Options: o, wake: make(chan struct{}, 1), urge: make(chan struct{}, 1), fetched: make(chan struct{}, 1)}
	err := a.complete()
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		a.spool, err = openSpool(filepath.Join(dir, "agent.db"), a.Agent, a.MaxBytes)
	}
	if err == nil {
		// The file is there after a loss of power, too.
		if err = errors.Join(syncFolder(dir), syncFolder(filepath.Dir(dir))); err != nil {
			err = errors.Join(err, a.spool.close())
		}
	}
	if err == nil {
		if a.lease, err = openHolder(a.spool.db, a.Options.Leases, a.Options.Keys, a.Now); err != nil {
			err = errors.Join(err, a.spool.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the agent in %s: %w", dir, err)
	}
	a.found = a.spool.status().Waiting
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.closed = sync.OnceValue(a.close)
	if a.Transport != nil {
		a.done.Go(a.deliver)
	}
	if a.Options.Leases != nil {
		a.done.Go(a.refresh)
	}
	return a, nil
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close ends the agent: an attempt that is under way is given up. What was not sent is sent after the next Open.
func (a *Agent) Close() error { return a.closed() }

func (a *Agent) close() error {
	a.cancel()
	a.done.Wait()
	var err error
	if a.Transport != nil {
		err = a.Transport.Close()
	}
	a.lease.close()
	if err := errors.Join(err, a.spool.close()); err != nil {
		return fmt.Errorf("close the agent: %w", err)
	}
	return nil
}

// Report takes readings, all of them or none: when it returns nil they are on disk and will be in the ledger exactly once.
// A reading without a time is of now. Values are decimals from 0 with at most 18 digits, 9 of them after the point. What the
// ledger would refuse for certain is refused here, and a full spool is [ErrFull].
func (a *Agent) Report(readings ...api.Reading) error { return a.ReportMarked("", readings...) }

// ReportMarked is Report with a mark that is stored together with the readings, or not at all; an empty one leaves the mark as
// it was. A program that counts what it reports (jobs, log lines, offsets) marks how far it has come, and after a crash goes on
// behind [Agent.Mark]: so nothing is missing and nothing is there twice, even if it was killed in the middle of this call.
func (a *Agent) ReportMarked(mark string, readings ...api.Reading) error {
	now := a.Now()
	taken, err := check(readings, now)
	if err == nil {
		err = a.spool.add(mark, taken, now)
	}
	if err != nil {
		return fmt.Errorf("report usage: %w", err)
	}
	a.lease.observe(now)
	poke(a.wake)
	return nil
}

// Mark is the last mark that was stored with readings.
func (a *Agent) Mark() string { return a.spool.marked() }

// Flush returns nil when everything that was reported is in the ledger, or put aside as refused. It does not wait for
// readings to gather, and cuts one pause short; then it waits until ctx ends.
func (a *Agent) Flush(ctx context.Context) error {
	if a.Transport == nil {
		return errors.New("send what was reported: the agent's options have no Transport")
	}
	for {
		empty := a.spool.hurry()
		if empty == nil {
			return nil
		}
		poke(a.urge)
		select {
		case <-empty:
		case <-a.ctx.Done():
			return fmt.Errorf("send what was reported: %w", ErrClosed)
		case <-ctx.Done():
			a.mu.Lock()
			failed := a.failed
			a.mu.Unlock()
			if failed != nil {
				return fmt.Errorf("send what was reported: %w; the last attempt: %w", ctx.Err(), failed)
			}
			return fmt.Errorf("send what was reported: %w", ctx.Err())
		}
	}
}

// Check says what the product may do now, from the lease that is held; it does not ask the network.
func (a *Agent) Check() lease.State {
	now := a.Now()
	a.lease.observe(now)
	return a.lease.judge(now)
}

// Seated says whether a user has a seat of a key that allows backups, as far as the lease that is held knows: without the ledger, a
// backup job serves nobody else (domain K11).
func (a *Agent) Seated(user string) bool {
	claims, _ := a.lease.held()
	return claims != nil && claims.Seated(user, a.Now())
}

// Lease is the lease that is held, or nil, and its signed text. A lease is not changed: it can be looked at without a copy.
func (a *Agent) Lease() (claims *lease.Claims, text string) { return a.lease.held() }

// Refresh fetches a lease now: what was bought or renewed a moment ago is known at once.
func (a *Agent) Refresh(ctx context.Context) error {
	if a.Options.Leases == nil {
		return errors.New("refresh the lease: the agent's options have no Leases")
	}
	ctx, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	err := a.lease.refresh(ctx)
	if err == nil {
		poke(a.fetched)
	}
	return err
}

// Status is how an agent stands.
type Status struct {
	Spool   string // the id of its spool
	Next    uint64 // the number of its next report
	Waiting int    // readings that are not yet in the ledger
	Found   int    // readings that waited when the agent was opened; they may have been sent since
	Refused int    // readings that were put aside; see Agent.Refused
	// Bytes of readings that wait or were refused, of MaxBytes that may.
	Bytes, MaxBytes int64
	// Err is why the last attempt to send did not get through, nil if it did; a *api.Problem in its chain is the ledger's
	// own word. Retry is when it is tried again.
	Err   error
	Retry time.Time
	// LeaseErr is why the last attempt to fetch a lease failed, nil if it did not.
	LeaseErr error
}

// Status tells how the agent stands.
func (a *Agent) Status() Status {
	s := a.spool.status()
	s.Found, s.LeaseErr = a.found, a.lease.failure()
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Err, s.Retry = a.failed, a.retry
	return s
}

// Refused are readings that the ledger refused for good, by the report in which they were, oldest first. They stay until they
// are forgotten: report them again when what was wrong has been put right, then forget them.
func (a *Agent) Refused() ([]RefusedReport, error) { return a.spool.refusedReports() }

// Forget drops refused readings, by the ids of their reports.
func (a *Agent) Forget(ids ...uint64) error { return a.spool.forget(ids...) }

// poke says something to whoever waits for it, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
