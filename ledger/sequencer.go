package ledger

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// Config bounds a sequencer. The zero value of a bound is its default.
type Config struct {
	Log     Log
	Journal Journal // nil: none, where the log keeps several copies itself
	States  States
	Clock   Clock
	Logger  *slog.Logger

	// Doubt is how long the log may seem to miss records until that counts as loss. Nothing is recorded meanwhile. Of several replicas a new leader may
	// be behind for a moment, and an old one that does not know yet may answer for it; one server never does: 0.
	Doubt time.Duration

	QueueBytes int // commands that wait or are not answered, by estimate; default 64 MiB
	QueueCount int // the same, counted; default 16,384
	CacheSize  int // things (licenses, endpoints, ...) in cached provider states; default 2,000,000
	CacheSpool int // cached spools; default 200,000
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		v   *int
		def int
	}{{&c.QueueBytes, 64 << 20}, {&c.QueueCount, 16384}, {&c.CacheSize, 2_000_000}, {&c.CacheSpool, 200_000}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Sequencer is the only writer of its log (package comment). Its methods are safe for concurrent use.
type Sequencer struct {
	Config
	queue   chan *request
	waiting atomic.Int64 // bytes of requests that are not answered
	count   atomic.Int64 // requests that are not answered
	stats   counters

	mu      sync.RWMutex // held shared while a request is put into the queue
	closed  bool
	stop    chan struct{}
	stopped chan struct{}
	ctx     context.Context // ends the loop's calls when the sequencer must give up
	giveUp  context.CancelFunc

	// What follows belongs to the loop.

	sys       System // with all own entries, acknowledged or not
	acked     uint64 // the first entry that is not acknowledged
	seq       uint64 // the log's last record as far as known
	tail      string // its id
	floor     uint64 // states are loaded at least as new as this
	providers map[string]*provider
	spools    map[SpoolKey]*spool
	cached    int // sum of the sizes of the cached states
	redo      []*request
	records   []*record // records[0] is in flight if flying; the last one gathers
	flying    bool
	published chan outcome
	loaded    chan load
	loads     int    // under way
	epoch     uint64 // counts conflicts: loads of an older epoch are started again
	pause     time.Duration
	salts     []byte
	spares    [][]byte // bodies of records that were acknowledged, for new ones: growing a body copies it several times
	broken    error    // why nothing can be written any more
	unwritten error    // why the journal failed

	failed atomic.Pointer[error] // broken, for others than the loop
}

// request is a command on its way.
type request struct {
	Command
	spool   SpoolKey // of a report
	report  bool
	bytes   int64
	taken   atomic.Int32 // 0: in the queue; 1: the loop has it; 2: its caller gave up
	answer  chan answer  // buffered: the loop never waits
	receipt Receipt
	refusal error
	before  license.Remembered // of a repeated command
}

type answer struct {
	receipt Receipt
	before  license.Remembered
	err     error
}

// record is a record that gathers, waits or is in flight, with the requests that are answered when it is on disk.
type record struct {
	events.Record
	next     uint64 // the entry after its last one
	requests []*request
}

type provider struct {
	state   *license.State // nil while it is loaded
	last    uint64         // its last own entry, plus one
	size    int
	waiting []*request
}

type spool struct {
	license.Spool
	loaded  bool
	last    uint64
	waiting []*request
}

type load struct {
	epoch    uint64
	provider string
	state    *license.State
	key      SpoolKey
	spool    license.Spool
	err      error
}

type outcome int

const (
	acknowledged outcome = iota
	conflicted
	refused
	damaged
	unjournalled
	gaveUp
)

// Start begins with the log as it is; the licenses view must be able to reach its tail. ctx bounds the start alone.
func Start(ctx context.Context, c Config) (*Sequencer, error) {
	c.setDefaults()
	q := &Sequencer{
		Config:    c,
		queue:     make(chan *request, c.QueueCount),
		stop:      make(chan struct{}),
		stopped:   make(chan struct{}),
		providers: make(map[string]*provider),
		spools:    make(map[SpoolKey]*spool),
		published: make(chan outcome, 1),
		loaded:    make(chan load, 64),
	}
	q.ctx, q.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	if err := q.catchUp(ctx); err != nil {
		q.giveUp()
		return nil, fmt.Errorf("start the sequencer: %w", err)
	}
	go q.run()
	return q, nil
}

// Submit hands a command in and waits for its answer. Errors are a [*license.Refusal], [ErrOverloaded],
// [ErrUnavailable] or [ErrOutcomeUnknown]; the last one also when ctx ends too late to take the command back.
func (q *Sequencer) Submit(ctx context.Context, c Command) (Receipt, error) {
	r := &request{Command: c, bytes: 512, answer: make(chan answer, 1)}
	if body, ok := c.Body.(license.Report); ok {
		r.report = true
		r.spool = SpoolKey{c.Provider, body.Agent, body.Spool}
		r.bytes += int64(len(body.Readings))*96 + int64(cap(body.Printed))
	}
	if err := q.enqueue(r); err != nil {
		return Receipt{}, err
	}
	var a answer
	select {
	case a = <-r.answer:
	case <-ctx.Done():
		if r.taken.CompareAndSwap(0, 2) {
			return Receipt{}, fmt.Errorf("%w: %w", ErrOverloaded, context.Cause(ctx))
		}
		select {
		case a = <-r.answer:
		default:
			return Receipt{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
		}
	}
	if a.err == nil && a.before.Entry != 0 {
		return q.firstAnswer(ctx, a.before)
	}
	return a.receipt, a.err
}

func (q *Sequencer) enqueue(r *request) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return fmt.Errorf("%w: it is stopping", ErrUnavailable)
	}
	count, bytes := q.count.Add(1), q.waiting.Add(r.bytes)
	if count > int64(q.QueueCount) || bytes > int64(q.QueueBytes) {
		q.done(r)
		q.stats.overloaded.Add(1)
		return ErrOverloaded
	}
	q.queue <- r // has room: at most QueueCount requests are not answered
	return nil
}

// firstAnswer rebuilds the answer to a repeated command from its events.
func (q *Sequencer) firstAnswer(ctx context.Context, before license.Remembered) (Receipt, error) {
	stored, err := Find(ctx, q.Log, before.Entry)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: read the first answer: %w", ErrUnavailable, err)
	}
	entries, err := events.DecodeRecord(&stored.Record)
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: read the first answer: %w", ErrUnavailable, err)
	}
	first := before.Entry + 1 - uint64(max(1, before.Parts))
	r := Receipt{Entry: before.Entry, Time: before.Time, Duplicate: true}
	for _, e := range entries {
		if e.Number >= first && e.Number <= before.Entry {
			r.Events = append(r.Events, e.Events...)
		}
	}
	return r, nil
}

// Close takes no more commands, answers those that were accepted, and returns when all is on disk. When ctx ends
// first, what is left is answered with [ErrOutcomeUnknown].
func (q *Sequencer) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.stop)
	}
	q.mu.Unlock()
	select {
	case <-q.stopped:
		q.giveUp()
		return nil
	case <-ctx.Done():
		q.giveUp()
		<-q.stopped
		return fmt.Errorf("close the sequencer: %w", context.Cause(ctx))
	}
}

// run is the loop.
func (q *Sequencer) run() {
	defer close(q.stopped)
	stop := q.stop
	for {
		if err := q.ctx.Err(); err != nil && q.broken == nil {
			q.fail(err)
		}
		q.launch()
		if stop == nil && q.idle() {
			return
		}
		queue := q.queue
		if q.full() {
			queue = nil
		}
		select {
		case r := <-queue:
			q.take(r)
			for n := len(queue); n > 0 && !q.full(); n-- {
				q.take(<-queue)
			}
		case o := <-q.published:
			q.flying = false
			q.settle(o)
		case l := <-q.loaded:
			q.loads--
			q.arrived(l)
		case <-stop:
			stop = nil
		case <-q.ctx.Done():
		}
		for len(q.redo) > 0 && !q.full() {
			r := q.redo[0]
			q.redo = q.redo[1:]
			q.decide(r)
		}
	}
}

func (q *Sequencer) idle() bool {
	return q.count.Load() == 0 && !q.flying && q.loads == 0
}

// full says that enough is gathered for the next record; the rest waits in the queue.
func (q *Sequencer) full() bool {
	waiting := q.records
	if q.flying && len(waiting) > 0 { // none are left when the sequencer failed in flight
		waiting = waiting[1:]
	}
	return len(waiting) > 1 || len(waiting) == 1 && len(waiting[0].Body) >= events.RecordTarget
}

func (q *Sequencer) take(r *request) {
	if !r.taken.CompareAndSwap(0, 1) {
		q.done(r)
		return
	}
	q.decide(r)
}

func (q *Sequencer) done(r *request) {
	q.waiting.Add(-r.bytes)
	q.count.Add(-1)
}

func (q *Sequencer) reply(r *request, a answer) {
	r.answer <- a
	q.done(r)
}

// launch publishes the oldest record, unless one is in flight.
func (q *Sequencer) launch() {
	if q.flying || len(q.records) == 0 || q.broken != nil {
		return
	}
	q.flying = true
	rec, after := q.records[0], q.seq
	go func() { q.published <- q.publish(rec, after) }()
}

// publish makes a record durable, in the log and in the journal at the same time, and says how it ended.
func (q *Sequencer) publish(rec *record, after uint64) outcome {
	if q.Journal == nil || len(rec.Body) == 0 {
		return q.insert(rec, after)
	}
	j := Journalled{Record: rec.Record, Seq: after + 1}
	written := make(chan error, 1)
	go func() { written <- q.Journal.Append(rec.next, j.Head(), j.Body) }()
	o := q.insert(rec, after)
	var err error
	select {
	case err = <-written:
	case <-q.ctx.Done():
		return gaveUp
	}
	if err == nil && (o == conflicted || o == refused) {
		// Whoever is told that nothing was recorded must not find it recorded after a crash, from the journal.
		j.Dropped = true
		err = q.Journal.Append(rec.next, j.Head())
	}
	if err != nil {
		q.unwritten = err
		return unjournalled
	}
	return o
}

// insert makes a record durable in the log, whatever it takes, and says how it ended. A record without entries asks instead whether the log still ends where it did.
func (q *Sequencer) insert(rec *record, after uint64) outcome {
	certain := true // nothing of this record is under way
	var doubted time.Time
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		var err error
		if len(rec.Body) == 0 {
			var last uint64
			if last, err = q.Log.Last(q.ctx); err == nil {
				if last != after {
					return conflicted
				}
				return acknowledged
			}
		} else {
			sent := time.Now()
			err = q.Log.Append(q.ctx, rec.Record, after)
			switch {
			case err == nil:
				q.compareClocks(after+1, sent)
				return acknowledged
			case errors.Is(err, ErrRefused) && certain:
				q.Logger.Error("the stream refused a record", "err", err)
				return refused
			case errors.Is(err, ErrConflict):
				var there events.Stored
				there, err = q.Log.Get(q.ctx, after+1)
				if err == nil {
					if there.ID == rec.ID {
						return acknowledged
					}
					return conflicted
				}
				if last, lerr := q.Log.Last(q.ctx); errors.Is(err, ErrNoRecord) && lerr == nil && last < after && q.lost(&doubted) {
					return damaged
				}
			default:
				certain = false
			}
		}
		if q.ctx.Err() != nil {
			return gaveUp
		}
		q.stats.retries.Add(1)
		q.Logger.Warn("a record is not acknowledged yet; trying again", "after", after, "err", err)
		sleep(q.ctx, wait)
	}
}

// lost says whether the log has seemed to miss records for so long that they are lost; since is when that was noticed.
func (q *Sequencer) lost(since *time.Time) bool {
	if since.IsZero() {
		*since = time.Now()
	}
	return time.Since(*since) >= q.Doubt
}

// compareClocks holds the server's clock against this one, now and then.
func (q *Sequencer) compareClocks(seq uint64, sent time.Time) {
	c, ok := q.Clock.(*SystemClock)
	if !ok {
		return
	}
	now := time.Now()
	if last := q.stats.compared.Load(); now.UnixNano()-last < int64(10*time.Second) || !q.stats.compared.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	go func() {
		if stored, err := q.Log.Get(q.ctx, seq); err == nil {
			c.Compare(stored.At, sent, now)
		}
	}()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// settle takes the outcome of the record in flight.
func (q *Sequencer) settle(o outcome) {
	if len(q.records) == 0 {
		return // answered when the sequencer failed
	}
	rec := q.records[0]
	switch o {
	case acknowledged:
		q.pause = 0
		q.records = q.records[1:]
		if len(rec.Body) > 0 {
			q.seq, q.tail, q.acked = q.seq+1, rec.ID, rec.next
			q.stats.records.Add(1)
			q.stats.bytes.Add(int64(len(rec.Body)))
			q.stats.entries.Add(int64(rec.next - rec.First))
		}
		if len(rec.Body) > 0 && len(q.spares) < 2 {
			q.spares = append(q.spares, rec.Body[:0])
		}
		for _, r := range rec.requests {
			q.reply(r, answer{r.receipt, r.before, r.refusal})
		}
	case conflicted, refused:
		var again []*request
		for _, rec := range q.records {
			again = append(again, rec.requests...)
		}
		q.records = nil
		if o == refused {
			q.forget(q.acked, nil)
			if err := q.reset(); err != nil {
				q.fail(err)
			}
			for _, r := range again {
				q.reply(r, answer{err: fmt.Errorf("%w: the stream takes no records", ErrUnavailable)})
			}
			return
		}
		q.stats.conflicts.Add(1)
		q.redo = append(again, q.redo...)
		if err := q.conflict(); err != nil {
			q.fail(err)
		}
	case damaged:
		q.fail(fmt.Errorf("the log ends before record %d, which was acknowledged: %w", q.seq, ErrGap))
	case unjournalled:
		q.fail(q.unwritten)
	case gaveUp:
		q.fail(q.ctx.Err())
	}
}

// Err says why nothing can be recorded any more, or nil while it can. A stop is not an error.
func (q *Sequencer) Err() error {
	if err := q.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail answers everything that is left: nothing can be promised any more.
func (q *Sequencer) fail(err error) {
	if q.broken == nil {
		q.broken = err
		if q.ctx.Err() == nil {
			q.failed.Store(&err)
		}
		q.Logger.Error("the sequencer stops working: nothing can be recorded until a restart", "err", err)
	}
	unknown := answer{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)}
	nothing := answer{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
	for i, rec := range q.records {
		for _, r := range rec.requests {
			if i == 0 && len(rec.Body) > 0 {
				q.reply(r, unknown)
			} else {
				q.reply(r, nothing)
			}
		}
	}
	q.records = nil
	for _, r := range q.redo {
		q.reply(r, nothing)
	}
	q.redo = nil
	for _, p := range q.providers {
		for _, r := range p.waiting {
			q.reply(r, nothing)
		}
		p.waiting = nil
	}
	for _, s := range q.spools {
		for _, r := range s.waiting {
			q.reply(r, nothing)
		}
		s.waiting = nil
	}
}

// catchUp learns the log's tail and the ledger's own state.
func (q *Sequencer) catchUp(ctx context.Context) error {
	last, err := q.Log.Last(ctx)
	if err != nil {
		return fmt.Errorf("find the end of the log: %w", err)
	}
	next := uint64(0)
	if q.seq = last; last > 0 {
		var stored events.Stored
		if err := q.insist(ctx, "read the last record", func() (err error) {
			stored, err = q.Log.Get(ctx, last)
			return err
		}); err != nil {
			return err
		}
		entries, err := events.DecodeRecord(&stored.Record)
		if err != nil {
			return fmt.Errorf("read the last record: %w", err)
		}
		q.tail, next = stored.ID, entries[len(entries)-1].Number+1
	}
	q.floor, q.acked = next, next
	if q.sys, err = q.States.System(ctx, next); err != nil {
		return fmt.Errorf("load the ledger's own state: %w", err)
	}
	return nil
}

// conflict finds out what another writer wrote, drops everything that rests on less, and pauses.
func (q *Sequencer) conflict() error {
	var last uint64
	for doubted := (time.Time{}); ; sleep(q.ctx, 100*time.Millisecond) {
		if err := q.insist(q.ctx, "find the end of the log", func() (err error) {
			last, err = q.Log.Last(q.ctx)
			return err
		}); err != nil {
			return err
		}
		if last >= q.seq {
			break
		}
		if q.lost(&doubted) || q.ctx.Err() != nil {
			return fmt.Errorf("the log ends at record %d, and record %d was acknowledged: %w", last, q.seq, ErrGap)
		}
	}
	foreign := make(map[string]bool)
	next, tail := q.acked, q.tail
	for seq := q.seq + 1; seq <= last; seq++ {
		var there events.Stored
		if err := q.insist(q.ctx, "read another writer's record", func() (err error) {
			there, err = q.Log.Get(q.ctx, seq)
			return err
		}); err != nil {
			return err
		}
		if there.Prev != tail || there.First != next {
			return fmt.Errorf("record %d of another writer does not continue the log: %w", seq, ErrGap)
		}
		entries, err := events.DecodeRecord(&there.Record)
		if err != nil {
			return fmt.Errorf("read record %d of another writer: %w", seq, err)
		}
		for _, e := range entries {
			foreign[e.Provider] = true
		}
		next, tail = entries[len(entries)-1].Number+1, there.ID
	}
	q.forget(q.acked, foreign)
	q.seq, q.tail, q.acked, q.floor = last, tail, next, next
	q.epoch++
	if err := q.reset(); err != nil {
		return err
	}
	// Writers that collide again pause longer, each at random, until one has the log to itself.
	q.pause = min(max(2*q.pause, 2*time.Millisecond), 250*time.Millisecond)
	sleep(q.ctx, rand.N(q.pause))
	return q.ctx.Err()
}

// insist repeats a read of what the log must have until it succeeds, ctx ends, the log has surely lost it or holds something else in its place: a
// writer that lost its way has nothing better to do.
func (q *Sequencer) insist(ctx context.Context, what string, read func() error) error {
	var doubted time.Time
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := read()
		missing := errors.Is(err, ErrNoRecord) || errors.Is(err, ErrGap)
		if err == nil || missing && q.lost(&doubted) || errors.Is(err, events.ErrMalformed) || ctx.Err() != nil {
			return wrap(what, err)
		}
		if !missing {
			doubted = time.Time{} // nobody says so any more
		}
		q.Logger.Warn("trying again to "+what, "err", err)
		sleep(ctx, wait)
	}
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// reset takes the ledger's own state back to the acknowledged tail.
func (q *Sequencer) reset() error {
	sys, err := q.States.System(q.ctx, q.acked)
	if err != nil {
		return fmt.Errorf("load the ledger's own state: %w", err)
	}
	q.sys = sys
	q.sys.Next = q.acked
	return nil
}

// forget drops the states that hold own entries from first on, or belong to one of the providers.
func (q *Sequencer) forget(first uint64, providers map[string]bool) {
	for id, p := range q.providers {
		if p.state != nil && (p.last > first || providers[id]) {
			q.cached -= p.size
			delete(q.providers, id)
		}
	}
	for key, s := range q.spools {
		if s.loaded && (s.last > first || providers[key.Provider]) {
			delete(q.spools, key)
		}
	}
}

func (q *Sequencer) salt() (s events.Salt) {
	if len(q.salts) == 0 {
		q.salts = make([]byte, 4096)
		_, _ = crand.Read(q.salts) // never fails
	}
	copy(s[:], q.salts)
	q.salts = q.salts[len(s):]
	return s
}
