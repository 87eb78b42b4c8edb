package agent

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// Leases are where an agent's leases come from.
type Leases struct {
	// Provider and Subject are whose leases they must be: another's are refused.
	Provider, Subject string
	// Fetch asks for a lease, and Keys for the JWK Set that verifies it.
	Fetch func(ctx context.Context) (text string, err error)
	Keys  func(ctx context.Context) ([]byte, error)
}

// EndpointLeases are the leases of an endpoint, over HTTP; the client's token is the agent's.
func EndpointLeases(client *api.Client, provider, endpoint string) *Leases {
	return &Leases{
		Provider: provider, Subject: "agent:" + endpoint, Keys: client.LeaseKeys,
		Fetch: func(ctx context.Context) (string, error) {
			l, err := client.EndpointLease(ctx, provider, endpoint, api.ReadOptions{})
			return l.Text, err
		},
	}
}

// InstanceLeases are the leases of an instance: of all its keys, or of its trial. The client's token is the instance's.
func InstanceLeases(client *api.Client, provider, instance string) *Leases {
	return &Leases{
		Provider: provider, Subject: "instance:" + instance, Keys: client.LeaseKeys,
		Fetch: func(ctx context.Context) (string, error) {
			l, err := client.InstanceLease(ctx, provider, instance, api.ReadOptions{})
			return l.Text, err
		},
	}
}

var (
	leaseBucket = []byte("lease") // what there is one of; keys below

	textKey = []byte("text") // the signed text
	keysKey = []byte("keys") // the JWK Set that verified it
	seenKey = []byte("seen") // the latest time seen, in milliseconds since 1970, 8 bytes
)

const (
	// keepSeen is how far the latest time seen may be ahead of what is on disk: well within the clock's tolerance.
	keepSeen = lease.ClockTolerance / 5
	// look is how often the refresher looks at the clock: timers stand still while a machine sleeps.
	look = time.Minute
)

// holder holds the lease and the latest time seen.
type holder struct {
	db     *bbolt.DB
	source *Leases
	pinned lease.KeySet // nil: the published ones are believed
	now    func() time.Time

	fetching sync.Mutex // held over a refresh

	mu     sync.Mutex
	claims *lease.Claims
	text   string
	keys   lease.KeySet
	seen   time.Time
	stored time.Time // what of seen is on disk
	next   time.Time // when the next lease is to be fetched, if nothing is in the way
	failed error
}

// openHolder reads the lease that is on disk. One that does not verify is none.
func openHolder(db *bbolt.DB, source *Leases, pinned lease.KeySet, now func() time.Time) (*holder, error) {
	h := &holder{db: db, source: source, pinned: pinned, now: now, keys: pinned}
	var text, keys string
	err := db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(leaseBucket)
		text, keys = string(b.Get(textKey)), string(b.Get(keysKey))
		if v := b.Get(seenKey); len(v) == 8 {
			h.seen = time.UnixMilli(int64(binary.BigEndian.Uint64(v)))
			h.stored = h.seen
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if h.keys == nil && keys != "" {
		if h.keys, err = lease.ParseKeys([]byte(keys)); err != nil {
			h.failed = err
		}
	}
	if text == "" {
		return h, nil
	}
	claims, err := h.verify(text, h.keys)
	if err != nil {
		h.failed = fmt.Errorf("the lease that was held: %w", err)
		return h, nil
	}
	h.hold(&claims, text)
	return h, nil
}

// hold holds a lease. The next one is fetched at some moment of the last tenth of the time to refresh_at, so that a fleet does
// not ask all at once.
func (h *holder) hold(claims *lease.Claims, text string) {
	h.claims, h.text, h.next = claims, text, claims.RefreshAt
	if early := claims.RefreshAt.Sub(claims.Issued()) / 10; early > 0 {
		h.next = h.next.Add(-rand.N(early))
	}
}

// verify is lease.Verify for leases that are ours.
func (h *holder) verify(text string, keys lease.KeySet) (lease.Claims, error) {
	claims, err := lease.Verify(text, keys)
	if err == nil && h.source != nil && (claims.Provider != h.source.Provider || claims.Subject != h.source.Subject) {
		err = fmt.Errorf("it is the lease of %s of provider %s, not of %s of %s", claims.Subject, claims.Provider, h.source.Subject, h.source.Provider)
	}
	return claims, err
}

// observe takes note of a moment on the machine's clock. That it cannot be written is no reason to stop: what is held in
// memory counts as well.
func (h *holder) observe(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !now.After(h.seen) {
		return
	}
	if h.seen = now; h.seen.Sub(h.stored) >= keepSeen {
		h.keep()
	}
}

// keep puts the latest time seen on disk.
func (h *holder) keep() {
	if err := h.db.Update(func(tx *bbolt.Tx) error { return putSeen(tx, h.seen) }); err == nil {
		h.stored = h.seen
	}
}

// close puts the latest time seen on disk to the millisecond.
func (h *holder) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen.Sub(h.stored) >= time.Millisecond {
		h.keep()
	}
}

func putSeen(tx *bbolt.Tx, seen time.Time) error {
	return tx.Bucket(leaseBucket).Put(seenKey, key(uint64(seen.UnixMilli())))
}

func (h *holder) judge(now time.Time) lease.State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return lease.Judge(h.claims, now, h.seen)
}

func (h *holder) held() (*lease.Claims, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.claims, h.text
}

func (h *holder) failure() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// refresh fetches a lease and holds it.
func (h *holder) refresh(ctx context.Context) error {
	h.fetching.Lock()
	defer h.fetching.Unlock()
	err := h.fetch(ctx)
	if err != nil {
		err = fmt.Errorf("refresh the lease: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = err
	return err
}

func (h *holder) fetch(ctx context.Context) error {
	text, err := h.source.Fetch(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	keys := h.keys
	h.mu.Unlock()
	claims, err := h.verify(text, keys)
	if errors.Is(err, lease.ErrUnknownKey) && h.pinned == nil {
		// There are new keys.
		var set []byte
		if set, err = h.source.Keys(ctx); err != nil {
			return err
		}
		if keys, err = lease.ParseKeys(set); err == nil {
			claims, err = h.verify(text, keys)
		}
	}
	if err != nil {
		return err
	}
	set, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	// The ledger's word on the time is the last one: a clock that was ahead by mistake does not suspend anything for ever.
	h.mu.Lock()
	defer h.mu.Unlock()
	err = h.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(leaseBucket)
		return errors.Join(b.Put(textKey, []byte(text)), b.Put(keysKey, set), putSeen(tx, claims.Issued()))
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	if err != nil {
		return fmt.Errorf("store it: %w", err)
	}
	h.hold(&claims, text)
	h.keys, h.seen, h.stored = keys, claims.Issued(), claims.Issued()
	return nil
}

// due is when the next lease is to be fetched: also when backups end, for whoever renewed what ends wants to go on. A clock that
// was turned back puts nothing off, for a fresh lease may settle it.
func (h *holder) due(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claims == nil {
		return now
	}
	due, latest := h.next, lease.RefreshEvery
	s := lease.Judge(h.claims, now, h.seen)
	if s.BackupUntil.After(now) && s.BackupUntil.Before(due) {
		due = s.BackupUntil
	}
	if s.Reason == lease.ClockBehind {
		latest = lease.ClockTolerance
	}
	if due.Sub(now) > latest {
		due = now.Add(latest)
	}
	return due
}

// refresh fetches leases until the agent is closed.
func (a *Agent) refresh() {
	failures := 0
	for next := a.lease.due(a.Now()); ; {
		// Timers stand still while a machine sleeps, and a lease that was fetched in between changes what is due.
		pause := min(look, max(0, next.Sub(a.Now())))
		select {
		case <-a.ctx.Done():
			return
		case <-a.fetched:
			failures, next = 0, a.lease.due(a.Now())
			continue
		case <-time.After(pause):
		}
		now := a.Now()
		a.lease.observe(now)
		if now.Before(next) {
			continue
		}
		if err := a.Refresh(a.ctx); err != nil {
			wait := a.backoff(failures, err)
			failures, next = failures+1, now.Add(wait)
			a.Logger.Warn("no new lease", "agent", a.Agent, "err", err, "retry_in", wait)
		} else {
			failures, next = 0, a.lease.due(now)
		}
	}
}
