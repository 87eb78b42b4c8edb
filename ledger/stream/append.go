package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
)

// Codes with which the server answers that the stream does not end where the append says.
const (
	codeWrongLastSequence         = 10071
	codeWrongLastSequenceConstant = 10164
)

// refusals are the codes that the server answers before it has stored or proposed the message. Others may come after that: 10077 ("store
// failed") and 10063 ("sequence does not match") while other replicas have the message.
var refusals = map[jetstream.ErrorCode]bool{
	10002: true, // resource limits of the account exceeded
	10023: true, // insufficient resources
	10047: true, // insufficient storage
	10054: true, // message too large
	10060: true, // another stream than expected
	10097: true, // headers too large
	10109: true, // stream is sealed
	10120: true, // no limits for this account
}

// unsent are errors with which the client gives up before anything leaves it.
var unsent = []error{
	nats.ErrNoResponders, // the server says so of a message that it could give to nobody
	nats.ErrMaxPayload,
	nats.ErrHeadersNotSupported,
	nats.ErrConnectionDraining,
	nats.ErrReconnectBufExceeded,
}

// Append adds the record as sequence after+1, if the stream ends at after. It waits
// for the server's acknowledgement until ctx or the configured timeout ends; then the outcome is unknown. See [ledger.Log] for its errors.
func (s *Stream) Append(ctx context.Context, r events.Record, after uint64) error {
	if err := s.append(ctx, r, after); err != nil {
		return fmt.Errorf("append record %.80q as %d of stream %s: %w", r.ID, after+1, Name, err)
	}
	return nil
}

func (s *Stream) append(ctx context.Context, r events.Record, after uint64) error {
	m, err := encode(r, after)
	if err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrRefused, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrRefused, err)
	}
	if s.conn.IsClosed() {
		return fmt.Errorf("%w: %w", ledger.ErrRefused, nats.ErrConnectionClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	reply, err := s.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		for _, u := range unsent {
			if errors.Is(err, u) {
				return fmt.Errorf("%w: %w", ledger.ErrRefused, err)
			}
		}
		return fmt.Errorf("outcome unknown: %w", err)
	}
	if err := acknowledged(reply.Data, after+1); err != nil {
		return err
	}
	s.reaches(after + 1)
	return nil
}

// acknowledged reads the server's answer to an append that should have become seq.
func acknowledged(answer []byte, seq uint64) error {
	var ack struct {
		Error     *jetstream.APIError `json:"error"`
		Stream    string              `json:"stream"`
		Seq       uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
	}
	if err := json.Unmarshal(answer, &ack); err != nil {
		return fmt.Errorf("outcome unknown: the server's answer %.200q: %w", answer, err)
	}
	switch {
	case ack.Error == nil:
	case ack.Error.ErrorCode == codeWrongLastSequence, ack.Error.ErrorCode == codeWrongLastSequenceConstant:
		return fmt.Errorf("%w: %w", ledger.ErrConflict, ack.Error)
	case refusals[ack.Error.ErrorCode]:
		return fmt.Errorf("%w: %w", ledger.ErrRefused, ack.Error)
	default:
		return fmt.Errorf("outcome unknown: %w", ack.Error)
	}
	if ack.Stream != Name || ack.Seq != seq || ack.Duplicate {
		return fmt.Errorf("outcome unknown: acknowledged as %d of stream %q, duplicate %t", ack.Seq, ack.Stream, ack.Duplicate)
	}
	return nil
}
