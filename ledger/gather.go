package ledger

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// decide decides a request if its states are at hand; else it waits for them.
func (q *Sequencer) decide(r *request) {
	if q.broken != nil {
		q.reply(r, answer{err: fmt.Errorf("%w: %w", ErrUnavailable, q.broken)})
		return
	}
	now, err := q.Clock.Now()
	if err != nil {
		q.reply(r, answer{err: fmt.Errorf("%w: %w", ErrUnavailable, err)})
		return
	}
	if now.Before(q.sys.Time) {
		now = q.sys.Time
	}
	f := license.Facts{
		Provider: r.Provider, Now: now, Catalogs: q.sys.Catalogs, IDs: events.NewIDs(r.Seed, now),
		Opened: q.sys.Ledger != "", Checkpoint: q.sys.Checkpoint, NoBuy: r.NoBuy,
	}
	if _, opens := r.Body.(license.Open); !opens && !f.Opened {
		q.reply(r, answer{err: fmt.Errorf("%w: the ledger is not open yet", ErrUnavailable)})
		return
	}
	var state *license.State
	var p *provider
	if r.Provider == "" {
		state = license.NewState()
	} else if p = q.provider(r); p != nil {
		state = p.state
	} else {
		return
	}
	var s *spool
	if r.report {
		if s = q.spool(r); s == nil {
			return
		}
		f.Spool = &s.Spool
	}
	r.receipt, r.refusal, r.before = Receipt{Time: now}, nil, license.Remembered{}
	if before, ok := state.Command(r.ID); ok && !r.DryRun && now.Sub(before.Time) <= license.MemoryOfCommands {
		if before.Digest != r.Request {
			r.refusal = &license.Refusal{Code: license.IdempotencyMismatch, Message: "this idempotency key was used with another request"}
		}
		r.before = before
		q.attach(r)
		return
	}
	d, err := license.Advance(state, r.Body, f)
	if err == nil && !r.DryRun && len(d.Events) > 0 {
		if err = q.write(r, p, s, &d, now); err != nil {
			d.TakeBack()
		}
	} else {
		d.TakeBack()
		if werr := q.writeDue(r.Provider, p, &d, now); werr != nil {
			err = errors.Join(err, werr)
		}
	}
	r.refusal = err
	if err == nil {
		r.receipt.Events, r.receipt.Duplicate, r.receipt.Group, r.receipt.Job = d.Events, d.Duplicate, d.Group, d.Job
		if r.DryRun {
			r.receipt.Entry = 0
		} else if len(d.Events) == 0 && p != nil {
			r.receipt.Entry = p.state.Account().Last
		}
	}
	q.attach(r)
}

// attach lets the request be answered when the record that gathers now is on disk.
func (q *Sequencer) attach(r *request) {
	rec := q.gathering(0)
	rec.requests = append(rec.requests, r)
}

// gathering is the record that takes n more bytes.
func (q *Sequencer) gathering(n int) *record {
	k := len(q.records)
	if k > 1 || k == 1 && !q.flying {
		if last := q.records[k-1]; len(last.Body) == 0 || len(last.Body)+n <= events.MaxRecord && len(last.Body) < events.RecordTarget || n == 0 {
			return last
		}
	}
	rec := &record{}
	if k := len(q.spares); k > 0 {
		rec.Body, q.spares = q.spares[k-1], q.spares[:k-1]
	}
	q.records = append(q.records, rec)
	return rec
}

// errTooLarge refuses a command whose entries do not fit one record.
var errTooLarge = &license.Refusal{Code: license.Invalid, Message: "the command is too large: do it in several smaller ones"}

// write puts a command's entries into the record that gathers, after what was due.
func (q *Sequencer) write(r *request, p *provider, s *spool, d *license.Decision, now time.Time) error {
	groups, err := split(d.Events)
	if err != nil {
		return errTooLarge
	}
	size := 0
	for _, g := range groups {
		size += g.bytes + maxEnvelope
	}
	if size > events.MaxRecord {
		d.TakeBack()
		return errors.Join(errTooLarge, q.writeDue(r.Provider, p, d, now))
	}
	if err := q.writeDue(r.Provider, p, d, now); err != nil {
		return err
	}
	rec := q.gathering(size)
	for i, g := range groups {
		e := events.Entry{
			Number: q.sys.Next, Time: now, Provider: r.Provider, Actor: r.Actor, Command: r.ID,
			Request: r.Request, Salt: q.salt(), Events: g.events,
		}
		if len(groups) > 1 {
			e.Part, e.Parts = i+1, len(groups)
		}
		if err := q.append(rec, &e, p, d); err != nil {
			return err
		}
		if s != nil {
			for _, ev := range g.events {
				if _, _, seq, digest, ok := license.SpoolOf(ev.Data); ok {
					s.Spool, s.last = s.Add(seq, digest), q.sys.Next
				}
			}
		}
		r.receipt.Entry = e.Number
	}
	return nil
}

// writeDue records what fell due for a provider, with the clock as actor.
func (q *Sequencer) writeDue(id string, p *provider, d *license.Decision, now time.Time) error {
	if len(d.Due) == 0 {
		return nil
	}
	groups, err := split(d.Due)
	if err != nil {
		return fmt.Errorf("%w: what is due cannot be written: %w", ErrUnavailable, err)
	}
	for _, g := range groups {
		e := events.Entry{
			Number: q.sys.Next, Time: now, Provider: id, Actor: events.ClockActor, Command: events.ClockActor + "/due",
			Salt: q.salt(), Events: g.events,
		}
		if err := q.append(q.gathering(g.bytes+maxEnvelope), &e, p, d); err != nil {
			return err
		}
	}
	return nil
}

// append adds an entry that was made of a decision to a record.
func (q *Sequencer) append(rec *record, e *events.Entry, p *provider, d *license.Decision) error {
	body, err := events.AppendEntry(rec.Body, e)
	if errors.Is(err, events.ErrTooLarge) {
		return errTooLarge // only a report's size is not known before; it is the first of its entries
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if len(rec.Body) == 0 {
		var entropy [10]byte
		_, _ = crand.Read(entropy[:]) // never fails
		rec.ID, rec.First, rec.Prev = events.ULIDAt(e.Time, entropy), e.Number, q.lastID(rec)
	}
	rec.Body = append(body, '\n')
	q.sys.Apply(e)
	rec.next = q.sys.Next
	if p != nil {
		d.Wrote(e)
		p.last = q.sys.Next
		size := p.state.Size()
		q.cached += size - p.size
		p.size = size
	}
	return nil
}

// lastID is the id of the record before rec, which is the newest.
func (q *Sequencer) lastID(rec *record) string {
	for i := len(q.records) - 1; i >= 0; i-- {
		if before := q.records[i]; before != rec && len(before.Body) > 0 {
			return before.ID
		}
	}
	return q.tail
}

// maxEnvelope bounds what an entry's line holds beside its events: names, ids, digests, salt.
const maxEnvelope = 2048

type group struct {
	events []events.Event
	bytes  int
}

// A small event has at most maxSmall bytes, however its texts are escaped, and so few of them always fit an entry.
const maxSmall, fewEvents = 4096, 8

func small(d events.Data) bool {
	if _, ok := d.(*events.EndpointSet); ok {
		return true
	}
	return events.LicenseAfter(d) != nil
}

// split divides events over entries so that each fits its bound.
func split(evs []events.Event) ([]group, error) {
	// The usual cases, and the hot ones, are not written to be measured: the entry's encoder checks the size.
	if len(evs) == 1 {
		if u, ok := evs[0].Data.(*events.UsageRecorded); ok {
			return []group{{evs, 512 + 128*len(u.Readings)}}, nil
		}
	}
	if len(evs) <= fewEvents && !slices.ContainsFunc(evs, func(ev events.Event) bool { return !small(ev.Data) }) {
		return []group{{evs, len(evs) * maxSmall}}, nil
	}
	var groups []group
	var b []byte
	start, size := 0, 0
	for i := range evs {
		var err error
		if b, err = events.AppendEvent(b[:0], &evs[i]); err != nil {
			return nil, err
		}
		if size+len(b)+1 > events.MaxEntry-maxEnvelope && i > start {
			groups = append(groups, group{evs[start:i], size})
			start, size = i, 0
		}
		size += len(b) + 1
	}
	return append(groups, group{evs[start:], size}), nil
}

// provider is the cached state of the request's provider, or nil: then the request waits for it, or was answered.
func (q *Sequencer) provider(r *request) *provider {
	p, ok := q.providers[r.Provider]
	if ok && p.state != nil {
		return p
	}
	if !ok {
		if q.cached > q.CacheSize && !q.evictProviders() {
			q.stats.overloaded.Add(1)
			q.reply(r, answer{err: ErrOverloaded})
			return nil
		}
		p = &provider{}
		q.providers[r.Provider] = p
		q.startLoad(load{provider: r.Provider})
	}
	p.waiting = append(p.waiting, r)
	return nil
}

func (q *Sequencer) spool(r *request) *spool {
	s, ok := q.spools[r.spool]
	if ok && s.loaded {
		return s
	}
	if !ok {
		if len(q.spools) >= q.CacheSpool && !q.evictSpools() {
			q.stats.overloaded.Add(1)
			q.reply(r, answer{err: ErrOverloaded})
			return nil
		}
		s = &spool{}
		q.spools[r.spool] = s
		q.startLoad(load{key: r.spool})
	}
	s.waiting = append(s.waiting, r)
	return nil
}

// startLoad loads a state off the loop.
func (q *Sequencer) startLoad(l load) {
	l.epoch = q.epoch
	floor := q.floor
	q.loads++
	go func() {
		if l.provider != "" {
			l.state, l.err = q.States.Provider(q.ctx, l.provider, floor)
		} else {
			l.spool, l.err = q.States.Spool(q.ctx, l.key, floor)
		}
		q.loaded <- l
	}()
}

// arrived takes a state that was loaded and decides what waited for it.
func (q *Sequencer) arrived(l load) {
	if l.err == nil && l.epoch != q.epoch {
		// Another writer wrote while it was loaded: it may miss that.
		q.startLoad(load{provider: l.provider, key: l.key})
		return
	}
	var waiting []*request
	if l.provider != "" {
		p := q.providers[l.provider]
		waiting, p.waiting = p.waiting, nil
		if p.state = l.state; l.err != nil {
			delete(q.providers, l.provider)
		} else {
			p.size = p.state.Size()
			q.cached += p.size
		}
	} else {
		s := q.spools[l.key]
		waiting, s.waiting = s.waiting, nil
		if s.Spool, s.loaded = l.spool, l.err == nil; l.err != nil {
			delete(q.spools, l.key)
		}
	}
	if l.err != nil {
		for _, r := range waiting {
			q.reply(r, answer{err: fmt.Errorf("%w: load what the decision rests on: %w", ErrUnavailable, l.err)})
		}
		return
	}
	q.redo = append(waiting, q.redo...)
}

// evictProviders makes room for a quarter of the cache. Only a state whose last entry the view has applied may go: the view alone
// knows it then. It reports whether there is room now.
func (q *Sequencer) evictProviders() bool {
	passed := q.States.Next()
	for id, p := range q.providers {
		if q.cached <= q.CacheSize*3/4 {
			break
		}
		if p.state != nil && p.last <= passed && p.last <= q.acked {
			q.cached -= p.size
			delete(q.providers, id)
		}
	}
	return q.cached <= q.CacheSize
}

func (q *Sequencer) evictSpools() bool {
	passed := q.States.Next()
	for key, s := range q.spools {
		if len(q.spools) <= q.CacheSpool*3/4 {
			break
		}
		if s.loaded && s.last <= passed && s.last <= q.acked {
			delete(q.spools, key)
		}
	}
	return len(q.spools) < q.CacheSpool
}
