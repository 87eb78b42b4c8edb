package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/stream"
)

func TestAnswersToAppend(t *testing.T) {
	refusal := func(code int) string {
		return fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":"wrong last sequence: message too large"},"stream":"LEDGER","seq":0}`, code)
	}
	unknown := errors.New("unknown outcome")
	for _, test := range []struct {
		answer string
		want   error
	}{
		{`{"stream":"LEDGER","seq":7}`, nil},
		{`{"stream":"LEDGER","domain":"hub","seq":7}`, nil},
		{refusal(10071), ledger.ErrConflict},
		{refusal(10164), ledger.ErrConflict},
		{refusal(10002), ledger.ErrRefused},
		{refusal(10023), ledger.ErrRefused},
		{refusal(10047), ledger.ErrRefused},
		{refusal(10054), ledger.ErrRefused},
		{refusal(10060), ledger.ErrRefused},
		{refusal(10097), ledger.ErrRefused},
		{refusal(10109), ledger.ErrRefused},
		{refusal(10120), ledger.ErrRefused},
		{refusal(10008), unknown}, // temporarily unavailable
		{refusal(10009), unknown}, // not leader
		{refusal(10063), unknown}, // sequence does not match: said when a replica applies what was proposed
		{refusal(10070), unknown}, // wrong last message id
		{refusal(10077), unknown}, // store failed, here
		{refusal(0), unknown},
		{`{"stream":"LEDGER","seq":8}`, unknown},
		{`{"stream":"LEDGER","seq":6}`, unknown},
		{`{"stream":"OTHER","seq":7}`, unknown},
		{`{"stream":"LEDGER","seq":7,"duplicate":true}`, unknown},
		{`{}`, unknown},
		{``, unknown},
		{`+OK`, unknown},
	} {
		err := stream.Acknowledged([]byte(test.answer), 7)
		switch {
		case test.want == nil && err != nil,
			test.want == unknown && (err == nil || errors.Is(err, ledger.ErrConflict) || errors.Is(err, ledger.ErrRefused)),
			test.want != nil && test.want != unknown && !errors.Is(err, test.want):
			t.Errorf("%s: %v, want %v", test.answer, err, test.want)
		}
	}
}

func TestRefusedRecords(t *testing.T) {
	ctx := context.Background()
	s := startEmbedded(t).create()
	good := ledgertest.RecordAfter(events.Record{}, "record-1", 0)
	for name, change := range map[string]func(*events.Record){
		"no id":               func(r *events.Record) { r.ID = "" },
		"an id of two lines":  func(r *events.Record) { r.ID = "a\r\nNats-Rollup: all" },
		"an id with a blank":  func(r *events.Record) { r.ID = " a" },
		"a long id":           func(r *events.Record) { r.ID = strings.Repeat("a", 65) },
		"not ASCII":           func(r *events.Record) { r.ID = "ä" },
		"a previous with tab": func(r *events.Record) { r.Prev = "a\t" },
		"empty":               func(r *events.Record) { r.Body = nil },
		"too large":           func(r *events.Record) { r.Body = make([]byte, events.MaxRecord+1) },
	} {
		r := good
		change(&r)
		if err := s.Append(ctx, r, 0); !errors.Is(err, ledger.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
	for _, after := range []uint64{1, 2, 1 << 40} {
		if err := s.Append(ctx, good, after); !errors.Is(err, ledger.ErrConflict) {
			t.Errorf("Append after %d of 0: %v, want ErrConflict", after, err)
		}
	}
	if last, err := s.Last(ctx); last != 0 || err != nil {
		t.Errorf("the stream ends at %d, %v; want 0", last, err)
	}
}

func TestNobodyTakesIt(t *testing.T) {
	ctx := context.Background()
	e := startEmbedded(t)
	s := e.create()
	r := ledgertest.RecordAfter(events.Record{}, "record-1", 0)
	js, err := jetstream.New(e.conn(e.ConnectAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(ctx, stream.Name); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(ctx, r, 0); !errors.Is(err, ledger.ErrRefused) || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("Append without a stream: %v, want ErrRefused", err)
	}
	if _, err := s.Get(ctx, 1); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("Get without a stream: %v, want ErrNoStream", err)
	}
	if _, err := s.Last(ctx); !errors.Is(err, stream.ErrNoStream) {
		t.Errorf("Last without a stream: %v, want ErrNoStream", err)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var failure error
	for _, err := range s.Read(short, 1) {
		failure = err
	}
	if !errors.Is(failure, stream.ErrNoStream) {
		t.Errorf("Read without a stream: %v, want ErrNoStream at once", failure)
	}
	for _, nc := range e.conns {
		nc.Close()
	}
	if err := s.Append(ctx, r, 0); !errors.Is(err, ledger.ErrRefused) {
		t.Errorf("Append over a closed connection: %v, want ErrRefused", err)
	}
}

// TestForeignMessages puts into the stream what no ledger wrote.
func TestForeignMessages(t *testing.T) {
	ctx := context.Background()
	whole := nats.Header{"Ledger-Record": {"a"}, "Ledger-Prev": {"b"}, "Ledger-First": {"7"}}
	with := func(header string, values ...string) nats.Header {
		h := nats.Header{}
		for k, v := range whole {
			h[k] = v
		}
		if h[header] = values; values == nil {
			delete(h, header)
		}
		return h
	}
	e := startEmbedded(t)
	s := e.create()
	nc := e.conn(e.Connect)
	messages := []nats.Header{
		nil,
		{"Nats-Msg-Id": {"x"}},
		with("Ledger-Record"), with("Ledger-Record", ""), with("Ledger-Record", "a", "a"), with("Ledger-Record", strings.Repeat("a", 65)),
		with("Ledger-Prev"), with("Ledger-Prev", "b", "c"),
		with("Ledger-First"), with("Ledger-First", ""), with("Ledger-First", "-1"), with("Ledger-First", "18446744073709551616"), with("Ledger-First", "1", "1"),
	}
	for i, h := range messages {
		if _, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: stream.Subject, Header: h, Data: []byte(`{"stream":"LEDGER","seq":7}`)}); err != nil {
			t.Fatal(err)
		}
		seq := uint64(i) + 1
		if r, err := s.Get(ctx, seq); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%v: Get yields %+v, %v; want ErrMalformed", h, r, err)
		}
		for r, err := range s.Read(ctx, seq) {
			if !errors.Is(err, events.ErrMalformed) {
				t.Errorf("%v: Read yields %+v, %v; want ErrMalformed", h, r, err)
				break
			}
		}
	}
	if _, err := nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: stream.Subject, Header: whole, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Get(ctx, uint64(len(messages))+1); err != nil || r.ID != "a" || r.Prev != "b" || r.First != 7 {
		t.Errorf("Get yields %+v, %v", r, err)
	}
}

func TestSmallMaxPayload(t *testing.T) {
	r := startRemote(t)
	_, _, _ = r.connect(0)
	r.stop()
	r.options.MaxPayload = 1 << 20
	r.start()
	nc, err := nats.Connect(r.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := stream.Open(context.Background(), nc, stream.Config{}); err == nil {
		t.Error("a server that does not take the largest records with their headers was accepted")
	}
}
