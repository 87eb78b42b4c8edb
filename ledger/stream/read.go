package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
)

// At most so much is under way to one reader.
const (
	windowMessages = 256
	windowBytes    = 8 << 20
)

// requestExpiry bounds the life of a request for messages; consumerExpiry that of a consumer whose reader vanished without a word.
const (
	requestExpiry  = 30 * time.Second
	consumerExpiry = time.Minute
)

// Read yields the records from sequence from on; see [ledger.Log]. It survives
// reconnects and restarts of the server without a gap or a repetition, as long as these take less than six times [Config.Timeout].
func (s *Stream) Read(ctx context.Context, from uint64) iter.Seq2[events.Stored, error] {
	return func(yield func(events.Stored, error) bool) {
		r := &reader{
			Stream: s,
			next:   from,
			status: s.conn.StatusChanged(nats.CONNECTED, nats.CLOSED),
			timer:  time.NewTimer(s.idle),
		}
		defer func() {
			s.conn.RemoveStatusListener(r.status)
			r.timer.Stop()
			r.stop()
		}()
		for {
			record, err := r.receive(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(events.Stored{}, fmt.Errorf("read record %d of stream %s: %w", r.next, Name, err))
				return
			}
			if !yield(record, nil) {
				return
			}
			r.next++
		}
	}
}

// A reader follows the stream from next on, through one consumer after the other.
//
// The library's ordered consumer is not used: it says nothing of messages
// that the stream itself skips, it cannot be stopped for many seconds while the
// server is away, and what is lost last, with nothing after it, it does not miss.
type reader struct {
	*Stream
	next     uint64
	status   chan nats.Status
	timer    *time.Timer
	consumer *consumer // nil when it has to be made (again)
	failed   int       // failures since all was well
	since    time.Time // the first of them
}

// A consumer is the server's half of a reader.
type consumer struct {
	jetstream.Consumer
	name     string
	inbox    string
	sub      *nats.Subscription
	messages chan *nats.Msg
	arrived  uint64 // messages, which the consumer numbers from 1
	asked    int    // messages that were asked for and did not arrive yet
}

// receive waits for the next record.
func (r *reader) receive(ctx context.Context) (events.Stored, error) {
	for {
		if err := ctx.Err(); err != nil {
			return events.Stored{}, err
		}
		if r.consumer == nil {
			if err := r.start(ctx); err != nil {
				return events.Stored{}, err
			}
		}
		problem := r.ask()
		if problem == nil {
			r.timer.Reset(r.idle)
			select {
			case <-ctx.Done():
			case status := <-r.status:
				if status == nats.CLOSED {
					return events.Stored{}, nats.ErrConnectionClosed
				}
				// What was under way when the connection broke is lost, and the consumer does not know.
				r.stop()
			case m := <-r.consumer.messages:
				if m.Reply == "" {
					problem = r.told(m)
					break
				}
				at, err := m.Metadata()
				if err != nil || at.Sequence.Consumer != r.consumer.arrived+1 {
					problem = errors.New("messages were lost on the way")
					break
				}
				r.consumer.arrived++
				r.consumer.asked--
				if at.Sequence.Stream != r.next {
					return events.Stored{}, fmt.Errorf("the server goes on with record %d: %w", at.Sequence.Stream, ledger.ErrGap)
				}
				r.failed = 0
				return decode(m.Header, m.Data, r.next, at.Timestamp)
			case <-r.timer.C:
				problem = r.check(ctx)
			}
		}
		if problem != nil {
			r.stop()
			if !r.fail() {
				return events.Stored{}, problem
			}
		}
	}
}

// told takes a message about the requests. An error means that the consumer does not go on.
func (r *reader) told(m *nats.Msg) error {
	// A request ended: it expired, or its bytes are used up.
	if n, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages")); err == nil {
		r.consumer.asked = max(0, r.consumer.asked-n)
		return nil
	}
	return fmt.Errorf("the consumer ended: status %.20q, %.100q", m.Header.Get("Status"), m.Header.Get("Description"))
}

// ask keeps messages coming: it asks for more when half of what was asked for has arrived.
func (r *reader) ask() error {
	c := r.consumer
	if c.asked > windowMessages/2 {
		return nil
	}
	n := windowMessages - c.asked
	c.asked = windowMessages
	request := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d}`, n, windowBytes, requestExpiry.Nanoseconds())
	return r.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+Name+"."+c.name, c.inbox, request)
}

// check finds out, when nothing came for a while, whether there was nothing to come. An error is a reason to begin with another consumer.
func (r *reader) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	last, err := r.tail(ctx)
	if err != nil {
		return err
	}
	info, err := r.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("the consumer does not answer: %w", err)
	}
	switch delivered := info.Delivered.Stream; {
	case len(r.consumer.messages) > 0:
	case delivered != r.next-1:
		return fmt.Errorf("the server says that it delivered record %d", delivered)
	case last >= r.next:
		// The server stops a consumer without a word at a message that it cannot read.
		return fmt.Errorf("the server does not deliver record %d of %d", r.next, last)
	}
	r.failed = 0
	return nil
}

// tail is Last, for a reader that never sees the stream become shorter: of a block that it cannot read the server forgets what was in it, without a word.
func (r *reader) tail(ctx context.Context) (uint64, error) {
	end := max(r.end.Load(), r.next-1)
	last, err := r.Last(ctx)
	if err == nil && last < end {
		err = fmt.Errorf("the stream ends at %d, and had record %d: %w", last, end, ledger.ErrGap)
	}
	return last, err
}

// start makes a consumer from the next record on. While the server cannot be reached it tries again, up to six timeouts after the first failure.
func (r *reader) start(ctx context.Context) error {
	for {
		if err := pause(ctx, r.failed); err != nil {
			return err
		}
		if r.next == 0 {
			return errors.New("records count from 1")
		}
		// The server would wait for a record behind the end, however long, without a word.
		_, err := r.tail(ctx)
		if err == nil {
			r.consumer, err = r.consume(ctx)
		}
		if err == nil {
			return nil
		}
		// A new leader of several replicas may, for a moment, be behind what the old one had delivered.
		final := errors.Is(err, ErrNoStream) || errors.Is(err, ledger.ErrGap) && r.replicas == 1
		if final || ctx.Err() != nil || r.conn.IsClosed() || !r.fail() {
			return err
		}
	}
}

// fail notes that something went wrong, and says whether to go on trying.
func (r *reader) fail() bool {
	if r.failed == 0 {
		r.since = time.Now()
	}
	r.failed++
	return time.Since(r.since) < 6*r.timeout
}

// pause waits 0, 0, 50, 100, 200, ... ms, at most 1 s, after so many failures.
func pause(ctx context.Context, failures int) error {
	if failures < 2 {
		return nil
	}
	t := time.NewTimer(min(50*time.Millisecond<<min(failures-2, 10), time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// consume makes a consumer.
func (r *reader) consume(ctx context.Context) (*consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	made, err := r.js.CreateConsumer(ctx, Name, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerExpiry,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, fmt.Errorf("make a consumer: %w", err)
	}
	c := &consumer{
		Consumer: made,
		name:     made.CachedInfo().Name,
		inbox:    r.conn.NewInbox(),
		messages: make(chan *nats.Msg, 2*windowMessages), // with room for messages about requests: it never fills up
	}
	if c.sub, err = r.conn.ChanSubscribe(c.inbox, c.messages); err != nil {
		r.remove(c.name)
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return c, nil
}

// stop gives the consumer up. It does not wait.
func (r *reader) stop() {
	if r.consumer == nil {
		return
	}
	// If one of these fails, the connection is gone and the consumer expires.
	_ = r.consumer.sub.Unsubscribe()
	r.remove(r.consumer.name)
	r.consumer = nil
}

// remove asks the server to forget a consumer, without waiting for the answer.
func (r *reader) remove(name string) {
	_ = r.conn.Publish("$JS.API.CONSUMER.DELETE."+Name+"."+name, nil)
}
