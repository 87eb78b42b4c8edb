package ledgertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Fault is what goes wrong with one append.
type Fault int

// The faults. "Added" means: if the stream ends where the append says; otherwise it is a conflict like any other.
const (
	None          Fault = iota
	AckLost             // added; the answer is [ErrNoAnswer]
	MessageLost         // never added; [ErrNoAnswer]
	MessageLate         // [ErrNoAnswer] at once; added with the next call of this Log (under [Log.Chaos]: one of the next four), if its slot is then still free
	Refused             // never added; [ledger.ErrRefused]
	Overtaken           // a foreign record takes the slot first; [ledger.ErrConflict]
	OvertakenLost       // a foreign record takes the slot first; [ErrNoAnswer]
	Phantom             // never added; [ledger.ErrConflict] with a record that is never committed: nothing stands there
	faults
)

// ErrNoAnswer is the error of a call whose outcome the caller cannot know.
var ErrNoAnswer = errors.New("ledgertest: no answer from the stream")

// Log is one process's way to a [Stream]. It is safe for concurrent use, but two appends at a time fail the test.
type Log struct {
	stream *Stream

	mu        sync.Mutex
	appending bool
	script    []step
	late      []*late
	chaos     *rand.Rand
	share     float64
	noAnswers int // of the coming calls of Get and Last
	behind    int // coming calls of Last that do not see the last record
	missing   int // coming calls of Get that do not see the last record
	reads     int // records until a Read is interrupted, plus 1; 0 for never
}

var _ ledger.Log = (*Log)(nil)

type step struct {
	fault Fault
	ack   *Gate // the answer waits for it
	late  *late // the message waits for it
}

// late is a message on its way.
type late struct {
	record events.Record
	after  uint64
	calls  int // until it arrives, if no gate holds it
	gate   *Gate
}

// Gate holds something back until it is opened.
type Gate struct {
	// Reached is closed when there is something behind the gate.
	Reached <-chan struct{}

	reached, opened chan struct{}
	once            sync.Once
	open            func()
}

func newGate() *Gate {
	g := &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
	g.Reached = g.reached
	return g
}

// Open opens the gate. What is behind it has arrived when Open returns.
func (g *Gate) Open() {
	g.once.Do(func() {
		if g.open != nil {
			g.open()
		}
		close(g.opened)
	})
}

// Next orders faults for the coming appends, one each. They come before those of [Log.Chaos].
func (l *Log) Next(faults ...Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range faults {
		l.script = append(l.script, step{fault: f})
	}
}

// HoldAck makes the next append that has no fault ordered yet add its record and
// then wait: for the gate, and then it answers as usual, or for its context, and then with that one's error.
func (l *Log) HoldAck() *Gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := newGate()
	l.script = append(l.script, step{ack: g})
	return g
}

// HoldMessage makes the next append that has no fault ordered yet answer
// [ErrNoAnswer]. Its record arrives when the gate is opened, and is added if its slot is then still free.
func (l *Log) HoldMessage() *Gate {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := newGate()
	m := &late{gate: g}
	g.open = func() {
		l.stream.mu.Lock()
		defer l.stream.mu.Unlock()
		if m.record.ID != "" {
			l.stream.land(m.record, m.after)
		}
	}
	l.script = append(l.script, step{fault: MessageLate, late: m})
	return g
}

// Chaos makes this share (0 to 1) of the coming calls go wrong, in ways that the
// seed decides: appends with any fault, Get and Last without an answer, reads interrupted. A share of 0 ends it; with
// 1 nothing ever succeeds.
func (l *Log) Chaos(seed uint64, share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chaos, l.share = rand.New(rand.NewPCG(seed, 0)), share
}

// NoAnswers makes the coming n calls of Get and Last answer [ErrNoAnswer].
func (l *Log) NoAnswers(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noAnswers = n
}

// Behind makes the coming n calls of Last answer as a replica that does not have the last record yet.
func (l *Log) Behind(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.behind = n
}

// Missing makes the coming n calls of Get for the last record answer as if it could not be read: Last has one answer, and Get that of a
// replica that still takes itself for the leader.
func (l *Log) Missing(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.missing = n
}

// InterruptRead makes a Read end with [ErrNoAnswer] after n more records, also while it waits for the one after them.
func (l *Log) InterruptRead(n int) {
	l.mu.Lock()
	l.reads = n + 1
	l.mu.Unlock()
	l.stream.mu.Lock()
	defer l.stream.mu.Unlock()
	l.stream.wake()
}

// misfortune says whether chance makes this call go wrong.
func (l *Log) misfortune() bool { return l.chaos != nil && l.chaos.Float64() < l.share }

// arrive brings home what was on its way for long enough. The locks of log and stream are held.
func (l *Log) arrive() {
	var waiting []*late
	for _, m := range l.late {
		if m.calls--; m.calls > 0 {
			waiting = append(waiting, m)
		} else {
			l.stream.land(m.record, m.after)
		}
	}
	l.late = waiting
}

// Append is [ledger.Log]'s.
func (l *Log) Append(ctx context.Context, r events.Record, after uint64) error {
	ack, err := l.append(ctx, r, after)
	if ack != nil {
		close(ack.reached)
		select {
		case <-ack.opened:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	l.mu.Lock()
	l.appending = false
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("append record %s as %d: %w", r.ID, after+1, err)
	}
	return nil
}

func (l *Log) append(ctx context.Context, r events.Record, after uint64) (hold *Gate, err error) {
	s := l.stream
	s.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.appending {
		s.t.Errorf("ledgertest: record %s is appended while this writer's append before has no answer", r.ID)
	}
	l.appending = true
	if err := s.police(r, after); err != nil {
		s.t.Errorf("ledgertest: %v", err)
		return nil, fmt.Errorf("%w: %w", ledger.ErrRefused, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrRefused, err)
	}
	l.arrive()

	var now step
	if len(l.script) > 0 {
		now, l.script = l.script[0], l.script[1:]
	} else if l.misfortune() {
		now.fault = 1 + Fault(l.chaos.IntN(int(faults-1)))
	}
	switch now.fault {
	case MessageLost:
		return nil, ErrNoAnswer
	case Refused:
		return nil, ledger.ErrRefused
	case Phantom:
		return nil, ledger.ErrConflict
	case Overtaken, OvertakenLost:
		if after == uint64(len(s.records)) {
			s.addForeign()
		}
		if now.fault == Overtaken {
			return nil, ledger.ErrConflict
		}
		return nil, ErrNoAnswer
	case MessageLate:
		m := now.late
		if m == nil {
			m = &late{calls: 1}
			if l.chaos != nil {
				m.calls += l.chaos.IntN(4)
			}
			l.late = append(l.late, m)
		}
		m.record, m.after = r, after
		m.record.Body = bytes.Clone(r.Body)
		if m.gate != nil {
			close(m.gate.reached)
		}
		return nil, ErrNoAnswer
	}
	added := s.land(r, after)
	switch {
	case now.fault == AckLost:
		return now.ack, ErrNoAnswer
	case !added:
		return now.ack, ledger.ErrConflict
	}
	return now.ack, nil
}

// ask is the part that Get and Last share. It returns with the stream locked, unless there is an error.
func (l *Log) ask(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream.mu.Lock()
	l.arrive()
	if l.noAnswers > 0 {
		l.noAnswers--
	} else if !l.misfortune() {
		return nil
	}
	l.stream.mu.Unlock()
	return ErrNoAnswer
}

// Get is [ledger.Log]'s.
func (l *Log) Get(ctx context.Context, seq uint64) (events.Stored, error) {
	if err := l.ask(ctx); err != nil {
		return events.Stored{}, fmt.Errorf("get record %d: %w", seq, err)
	}
	defer l.stream.mu.Unlock()
	if seq == 0 || seq > uint64(len(l.stream.records)) {
		return events.Stored{}, fmt.Errorf("get record %d: %w", seq, ledger.ErrNoRecord)
	}
	if l.stream.lost[seq] || l.unseen(seq) {
		return events.Stored{}, fmt.Errorf("get record %d: %w", seq, ledger.ErrGap)
	}
	r := l.stream.records[seq-1]
	r.Body = bytes.Clone(r.Body)
	return r, nil
}

// unseen counts the calls of Missing down.
func (l *Log) unseen(seq uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missing == 0 || seq < uint64(len(l.stream.records)) {
		return false
	}
	l.missing--
	return true
}

// Last is [ledger.Log]'s.
func (l *Log) Last(ctx context.Context) (uint64, error) {
	if err := l.ask(ctx); err != nil {
		return 0, fmt.Errorf("last record: %w", err)
	}
	defer l.stream.mu.Unlock()
	if len(l.stream.lost) > 0 {
		return 0, fmt.Errorf("last record: %d are lost: %w", len(l.stream.lost), ledger.ErrGap)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	last := uint64(len(l.stream.records))
	if l.behind > 0 && last > 0 {
		l.behind--
		last--
	}
	return last, nil
}

// Read is [ledger.Log]'s.
func (l *Log) Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error] {
	return func(yield func(events.Stored, error) bool) {
		for next := from; ; next++ {
			r, err := l.await(ctx, next, next == from)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(events.Stored{}, fmt.Errorf("read record %d: %w", next, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// await waits for a record.
func (l *Log) await(ctx context.Context, seq uint64, first bool) (events.Stored, error) {
	s := l.stream
	if seq == 0 {
		return events.Stored{}, errors.New("records count from 1")
	}
	for {
		s.mu.Lock()
		changed, last, lost := s.changed, uint64(len(s.records)), s.lost[seq]
		var r events.Stored
		if seq <= last {
			r = s.records[seq-1]
			r.Body = bytes.Clone(r.Body)
		}
		s.mu.Unlock()
		if seq > last+1 || lost {
			return events.Stored{}, fmt.Errorf("the stream ends at %d: %w", last, ledger.ErrGap)
		}
		if l.interrupted(seq <= last, first) {
			return events.Stored{}, ErrNoAnswer
		}
		if seq <= last {
			return r, nil
		}
		select {
		case <-ctx.Done():
			return events.Stored{}, ctx.Err()
		case <-changed:
		}
	}
}

// interrupted counts a record that a Read is about to yield, or a look that found none. Chance spares a Read's first record, so that who reads again gets on.
func (l *Log) interrupted(record, first bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.reads == 1:
		l.reads = 0
		return true
	case l.reads > 1 && record:
		l.reads--
	case record && !first:
		return l.misfortune()
	}
	return false
}
