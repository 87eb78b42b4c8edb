package projections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"sync"
	"time"

	"licenseledger/events"
)

// Source is the stream of records; the ledger's log is one.
type Source interface {
	// Last is the sequence of the last record, 0 if there is none.
	Last(ctx context.Context) (uint64, error)
	// Read yields the records from sequence from (at least 1) on, in order, and then waits for more until ctx
	// ends, which ends the iteration without an error. After an error, which is yielded once, it ends. What it yields is not changed later.
	Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error]
}

// Options of [Follow]. The zero value works.
type Options struct {
	// QueueBytes bounds the record bodies that wait for one view; decoded they take about three times as much. Default 16 MiB.
	QueueBytes int
	// Fatal says which errors of the source will not pass by trying again, beside [events.ErrMalformed], such as a gap that the
	// source found itself: they stop every view that needs what could not be read. Other errors are logged and
	// tried again, after 50 ms at first and 2 s at most. Default: none.
	Fatal func(error) bool
	// Progress is called about once a second and view, by the views' goroutines, until the view has reached what
	// the stream held when following began; for a view that gets there sooner it is not called.
	Progress func(Progress)
	// Log takes one line for every view that stops and for trouble with the source. Default [slog.Default].
	Log *slog.Logger
}

// Progress tells how far a view has caught up.
type Progress struct {
	View string
	Next uint64 // number of the next entry to become visible
	Tail uint64 // the number that ends catching up
}

const (
	commitEvery   = 50 * time.Millisecond
	progressEvery = time.Second
	retryFirst    = 50 * time.Millisecond
	retryMost     = 2 * time.Second
)

// Follow brings the views of the stores up to date with the stream and keeps
// them there, until ctx ends (nil; what was applied is committed first) or no
// view is left that can go on (their errors, joined). A store is followed once
// at a time ([ErrFollowed]); one that has stopped stays stopped until it is opened again.
func Follow(ctx context.Context, src Source, o Options, stores ...*Store) error {
	if o.QueueBytes <= 0 {
		o.QueueBytes = 16 << 20
	}
	if o.Fatal == nil {
		o.Fatal = func(error) bool { return false }
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	for _, s := range stores {
		if !s.claim() {
			return fmt.Errorf("follow view %s: %w", s.name, ErrFollowed)
		}
		defer s.unclaim()
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{src: src, o: o, room: make(chan struct{}, 1)}
	err := f.run(ctx, stores)
	cancel()
	f.readers.Wait()
	return err
}

func (s *Store) claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := !s.followed
	s.followed = true
	return ok
}

func (s *Store) unclaim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.followed = false
}

// follower is one call of Follow: a shared reader, the views, and a private reader for each view that is behind the others.
type follower struct {
	src     Source
	o       Options
	end     uint64 // entries in the stream when following began
	readers sync.WaitGroup
	room    chan struct{} // something changed that the shared reader may wait for

	mu     sync.Mutex
	views  []*view
	shared uint64 // the last sequence that the shared reader handed out
}

// view is one store being followed.
type view struct {
	s      *Store
	t      *transaction
	ctx    context.Context // ends with Follow, or when the view stops
	cancel context.CancelFunc
	wake   chan struct{} // a record was queued
	room   chan struct{} // a record was taken; for the private reader

	every    time.Duration // between commits, at least, while nobody waits
	reported time.Time     // the last progress
	upTo     uint64        // the last sequence that was queued when the transaction began; for the view's goroutine

	// Guarded by follower.mu.
	queue  []*record
	bytes  int
	pushed uint64             // the last sequence that was queued
	joined bool               // fed by the shared reader; not once it has stopped
	leave  context.CancelFunc // ends the private reader
}

func (f *follower) run(ctx context.Context, stores []*Store) error {
	start, err := f.survey(ctx)
	if ctx.Err() != nil {
		return nil
	}
	var running sync.WaitGroup
	from := uint64(0)
	for _, s := range stores {
		if s.Err() != nil {
			continue
		}
		reason := err
		if reason == nil {
			reason = start.check(s)
		}
		if reason != nil {
			f.stopped(s, reason)
			continue
		}
		v := &view{s: s, t: newTransaction(s), wake: make(chan struct{}, 1), room: make(chan struct{}, 1), every: commitEvery, reported: time.Now()}
		if p, ok := s.view.(Pacer); ok {
			v.every = p.Pace()
		}
		v.ctx, v.cancel = context.WithCancel(ctx)
		defer v.cancel()
		s.tail.Store(start.tail)
		f.views = append(f.views, v)
		from = max(from, v.t.pos.Seq)
	}
	f.end = start.tail

	// The shared reader starts where the foremost view stands, so that one that is
	// rebuilt does not hold up the others. Every view sees the record that it stands on again, to compare it.
	for _, v := range f.views {
		v.pushed = max(v.t.pos.Seq, 1) - 1
		v.joined = v.t.pos.Seq == from
	}
	f.shared = max(from, 1) - 1
	f.mu.Lock()
	for _, v := range f.views {
		if !v.joined {
			f.readAlone(v)
		}
	}
	f.mu.Unlock()
	for _, v := range f.views {
		running.Go(func() { f.follow(v) })
	}
	if len(f.views) > 0 {
		f.readers.Go(func() { f.read(ctx, f.shared+1, func(r *record) bool { return f.handOut(ctx, r) }) })
	}
	running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	var errs []error
	for _, s := range stores {
		errs = append(errs, s.Err())
	}
	return errors.Join(errs...)
}

// survey is what the stream looks like when following begins.
type survey struct {
	last   uint64 // sequence of the last record
	tail   uint64 // number of the entry after the last
	ledger string // the ledger's id
	err    error  // why the ledger's id is unknown, though there is a record
}

func (f *follower) survey(ctx context.Context) (survey, error) {
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		s, err := look(ctx, f.src)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		if f.fatal(err) {
			return s, fmt.Errorf("look at the stream: %w", err)
		}
		f.retry(ctx, pause, err)
	}
}

func look(ctx context.Context, src Source) (survey, error) {
	var s survey
	var err error
	if s.last, err = src.Last(ctx); err != nil || s.last == 0 {
		return s, err
	}
	if s.tail, err = entriesThrough(ctx, src, s.last); err != nil {
		return s, err
	}
	first, err := recordAt(ctx, src, 1)
	if err != nil {
		return s, err
	}
	s.ledger, s.err = ledgerOf(&first.Record)
	return s, nil
}

// check compares a view's position with the stream, as far as that takes no reading of its record.
func (s *survey) check(store *Store) error {
	store.mu.Lock()
	p := store.pos
	store.mu.Unlock()
	reason := ""
	switch {
	case p.Seq == 0:
	case p.Seq > s.last:
		reason = fmt.Sprintf("it has applied sequence %d, but the stream ends at %d", p.Seq, s.last)
	case s.err != nil:
		reason = fmt.Sprintf("the stream does not begin with a ledger: %v", s.err)
	case s.ledger != p.Ledger:
		reason = fmt.Sprintf("it is of ledger %q, the stream of ledger %q", p.Ledger, s.ledger)
	}
	if reason == "" {
		return nil
	}
	return &RefusedError{View: store.name, Reason: reason}
}

func ledgerOf(first *events.Record) (string, error) {
	for line, err := range events.Lines(first.Body) {
		if err != nil {
			return "", err
		}
		e, err := events.DecodeEntry(line)
		if err != nil {
			return "", err
		}
		opened, ok := e.Events[0].Data.(*events.LedgerOpened)
		if !ok {
			return "", fmt.Errorf("entry %d holds %s", e.Number, e.Events[0].Data.Kind())
		}
		return opened.Ledger, nil
	}
	return "", errors.New("its first record is empty")
}

// tailOf is the number of entries in the stream.
func tailOf(ctx context.Context, src Source) (uint64, error) {
	last, err := src.Last(ctx)
	if err != nil || last == 0 {
		return 0, err
	}
	return entriesThrough(ctx, src, last)
}

func entriesThrough(ctx context.Context, src Source, seq uint64) (uint64, error) {
	r, err := recordAt(ctx, src, seq)
	return r.First + uint64(bytes.Count(r.Body, []byte("\n"))), err
}

func recordAt(ctx context.Context, src Source, seq uint64) (events.Stored, error) {
	for r, err := range src.Read(ctx, seq) {
		if err == nil && r.Seq != seq {
			err = fmt.Errorf("sequence %d was asked for, %d came: %w", seq, r.Seq, ErrGap)
		}
		return r, err
	}
	if err := ctx.Err(); err != nil {
		return events.Stored{}, err
	}
	return events.Stored{}, fmt.Errorf("sequence %d was not delivered", seq)
}

func (f *follower) fatal(err error) bool {
	return errors.Is(err, events.ErrMalformed) || f.o.Fatal(err)
}

// retry waits before the source is asked again.
func (f *follower) retry(ctx context.Context, pause time.Duration, err error) {
	if pause == retryFirst {
		f.o.Log.Warn("the stream cannot be read, trying again", "err", err)
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// read hands records to take until that says no, ctx ends or the source fails for good.
func (f *follower) read(ctx context.Context, from uint64, take func(*record) bool) {
	pause := retryFirst
	for ctx.Err() == nil {
		var failed error
		for stored, err := range f.src.Read(ctx, from) {
			if err != nil {
				failed = err
				break
			}
			r := decode(stored)
			if r.err == nil {
				f.known(r.First + uint64(len(r.entries)))
			}
			if !take(r) {
				return
			}
			from, pause = max(from, stored.Seq+1), retryFirst
		}
		if ctx.Err() != nil {
			return
		}
		if failed == nil {
			failed = errors.New("it ended")
		}
		if f.fatal(failed) {
			// Whoever comes to this sequence stops. Views that are further on do not care.
			take(&record{Stored: events.Stored{Seq: from}, missing: true, err: fmt.Errorf("read sequence %d: %w", from, failed)})
			return
		}
		f.retry(ctx, pause, failed)
		pause = min(2*pause, retryMost)
	}
}

// known makes it known how many entries the stream holds.
func (f *follower) known(tail uint64) {
	for _, v := range f.views {
		for old := v.s.tail.Load(); old < tail && !v.s.tail.CompareAndSwap(old, tail); old = v.s.tail.Load() {
		}
	}
}

// handOut queues a record of the shared reader for all views that have joined it. It
// waits for the slow ones as long as that keeps nobody else from working.
func (f *follower) handOut(ctx context.Context, r *record) bool {
	for {
		if f.tryHandOut(r) {
			return true
		}
		select {
		case <-f.room:
		case <-ctx.Done():
			return false
		}
	}
}

func (f *follower) tryHandOut(r *record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var full []*view
	joined, dry := false, false
	for _, v := range f.views {
		if !v.joined {
			continue
		}
		joined = true
		switch {
		case v.pushed < r.Seq && !v.fits(r, f.o.QueueBytes):
			full = append(full, v)
		case len(v.queue) == 0:
			dry = true // also when it has this record already: it waits for a later one
		}
	}
	if !joined || len(full) > 0 && !dry {
		return false
	}
	for _, v := range full {
		v.joined = false
		f.readAlone(v)
	}
	for _, v := range f.views {
		if v.joined && v.pushed < r.Seq {
			v.push(r)
		}
	}
	f.shared = max(f.shared, r.Seq)
	if r.missing {
		f.shared = math.MaxUint64 // nobody can join a reader that has ended
	}
	return true
}

// readAlone gives a view that has not joined the shared reader a reader of its own, until it joins. It needs f.mu.
func (f *follower) readAlone(v *view) {
	var ctx context.Context
	ctx, v.leave = context.WithCancel(v.ctx)
	v.s.catching.Store(true)
	from := v.pushed + 1
	f.readers.Go(func() {
		f.read(ctx, from, func(r *record) bool {
			for !f.tryPush(ctx, v, r) {
				select {
				case <-v.room:
				case <-ctx.Done():
				}
			}
			return ctx.Err() == nil
		})
	})
}

// tryPush queues a record of a private reader; false if there is no room. A reader that its view has left pushes nothing.
func (f *follower) tryPush(ctx context.Context, v *view, r *record) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ctx.Err() != nil {
		return true
	}
	if !v.fits(r, f.o.QueueBytes) {
		return false
	}
	v.push(r)
	return true
}

// tryJoin lets a view that reads by itself join the others, if it has seen what they have and has room to stay with them. It needs f.mu.
func (f *follower) tryJoin(v *view) {
	if !v.joined && v.pushed >= f.shared && v.bytes <= f.o.QueueBytes/2 {
		v.joined = true
		v.leave()
		v.s.catching.Store(false)
		signal(f.room)
	}
}

func (v *view) fits(r *record, limit int) bool {
	return len(v.queue) == 0 || v.bytes+len(r.Body) <= limit
}

func (v *view) push(r *record) {
	v.queue = append(v.queue, r)
	v.bytes += len(r.Body)
	v.pushed = max(v.pushed, r.Seq)
	v.s.queued.Store(int64(v.bytes))
	signal(v.wake)
}

// take removes the next record from a view's queue; nil if it is empty. upTo is the last sequence in the queue.
func (f *follower) take(v *view) (r *record, upTo uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(v.queue) == 0 {
		return nil, v.pushed
	}
	r = v.queue[0]
	v.queue[0] = nil
	v.queue = v.queue[1:]
	v.bytes -= len(r.Body)
	v.s.queued.Store(int64(v.bytes))
	f.tryJoin(v)
	signal(f.room)
	signal(v.room)
	return r, v.pushed
}

// follow applies what is queued for a view until Follow ends or the view stops.
func (f *follower) follow(v *view) {
	err := f.apply(v)
	if err != nil {
		err = errors.Join(err, v.t.abandon())
		f.stopped(v.s, err)
	}
	v.cancel()
	f.mu.Lock()
	v.joined, v.queue, v.bytes = false, nil, 0
	f.mu.Unlock()
	v.s.queued.Store(0)
	v.s.catching.Store(false)
	signal(f.room)
}

func (f *follower) apply(v *view) error {
	t := v.t
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for v.ctx.Err() == nil {
		r, upTo := f.take(v)
		if r != nil {
			if !t.open() {
				v.upTo = upTo
			}
			if err := t.apply(r); err != nil {
				return err
			}
			// Those who wait have to wait for what was queued before the transaction
			// began, so that many of them do not make it small.
			if t.full(f.end) || t.open() && t.pos.Seq >= v.upTo && v.s.wanted(t.pos.Next) {
				if err := f.commit(v); err != nil {
					return err
				}
			}
			continue
		}
		var due <-chan time.Time
		if t.open() {
			left := pace(v.every, t.took) - time.Since(t.committed)
			if left <= 0 || v.s.wanted(t.pos.Next) {
				if err := f.commit(v); err != nil {
					return err
				}
				continue
			}
			timer.Reset(left)
			due = timer.C
		}
		select {
		case <-v.wake:
		case <-v.s.poke:
		case <-due:
		case <-v.ctx.Done():
		}
	}
	return f.commit(v)
}

// pace is how long records gather, since the last commit, when nobody waits for them: at least every, and so long that commits, of
// which the last one took so long, are a tenth of a view's work and of the disk's.
func pace(every, took time.Duration) time.Duration {
	return min(max(every, 9*took), maxTxAge)
}

func (f *follower) commit(v *view) error {
	if err := v.t.commit(); err != nil {
		return err
	}
	next := v.t.pos.Next
	if now := time.Now(); next < f.end && now.Sub(v.reported) >= progressEvery {
		v.reported = now
		f.o.Progress(Progress{View: v.s.name, Next: next, Tail: f.end})
	}
	return nil
}

// stopped keeps and logs why a view does not go on.
func (f *follower) stopped(s *Store, err error) {
	stopped := s.stop(err)
	attrs := []any{"view", s.name, "next", stopped.Next, "err", err}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.stack))
	}
	f.o.Log.Error("a view stopped", attrs...)
}
