package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Get asks the leader for a record.
func (s *Stream) Get(ctx context.Context, seq uint64) (events.Stored, error) {
	fail := func(err error) (events.Stored, error) {
		return events.Stored{}, fmt.Errorf("get record %d of stream %s: %w", seq, Name, err)
	}
	if seq == 0 {
		return fail(ledger.ErrNoRecord)
	}
	r, found, err := s.get(ctx, seq)
	if err != nil {
		return fail(err)
	}
	if found {
		return r, nil
	}
	// The server answers the same for what was never there and for what it cannot read any more.
	last, err := s.Last(ctx)
	if err != nil {
		return fail(err)
	}
	if seq > last {
		return fail(ledger.ErrNoRecord)
	}
	// It may have been added meanwhile.
	if r, found, err = s.get(ctx, seq); err != nil {
		return fail(err)
	}
	if !found {
		return fail(fmt.Errorf("the stream ends at %d: %w", last, ledger.ErrGap))
	}
	return r, nil
}

// get makes the request itself: the library's would turn into a direct get, which any replica answers, once somebody allowed those.
func (s *Stream) get(ctx context.Context, seq uint64) (r events.Stored, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+Name, fmt.Appendf(nil, `{"seq":%d}`, seq))
	if err != nil {
		return events.Stored{}, false, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq    uint64    `json:"seq"`
			Header []byte    `json:"hdrs"`
			Data   []byte    `json:"data"`
			Time   time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return events.Stored{}, false, fmt.Errorf("the server's answer: %w", err)
	}
	if answer.Error != nil {
		switch answer.Error.ErrorCode {
		case jetstream.JSErrCodeMessageNotFound:
			return events.Stored{}, false, nil
		case jetstream.JSErrCodeStreamNotFound:
			return events.Stored{}, false, ErrNoStream
		}
		return events.Stored{}, false, answer.Error
	}
	m := answer.Message
	if m == nil || m.Seq != seq {
		return events.Stored{}, false, fmt.Errorf("the server answered with another message")
	}
	var header nats.Header
	if len(m.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return events.Stored{}, false, fmt.Errorf("headers: %w: %w", err, events.ErrMalformed)
		}
	}
	r, err = decode(header, m.Data, seq, m.Time)
	return r, err == nil, err
}
