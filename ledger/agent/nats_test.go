package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/ledger/stream/natsd"
)

// listener is an intake that answers what answer says, under the name of the request.
func listener(t *testing.T, answer func(r api.Report) string) (url string) {
	t.Helper()
	return intake(t, func(m *nats.Msg) *nats.Msg {
		var r api.Report
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Error(err)
		}
		if text := answer(r); text != "" {
			return &nats.Msg{Header: nats.Header{api.HeaderRequest: m.Header[api.HeaderRequest]}, Data: []byte(text)}
		}
		return nil
	})
}

// intake is a NATS server with the ledger's permissions, whose intake gives these answers; nil: none.
func intake(t *testing.T, answer func(*nats.Msg) *nats.Msg) (url string) {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Config{
		Dir: t.TempDir(), Listen: "127.0.0.1:0",
		// Whoever comes with the token of pc-17 is pc-17, whatever user it says it is.
		Authenticate: func(user, password string) (string, string, bool) { return "acme", "pc-17", password == "right" },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe("intake.*.*", func(m *nats.Msg) {
		if a := answer(m); a != nil {
			if err := m.RespondMsg(a); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return server.ClientURL()
}

// signal is given when something happens, or is written.
type signal chan struct{}

func (s signal) give() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s signal) Write(b []byte) (int, error) {
	s.give()
	return len(b), nil
}

// dialled is a transport that is connected, or has had its first refusal.
func dialled(t *testing.T, url, agentID, token string) agent.Transport {
	t.Helper()
	settled := make(signal, 1)
	tr, err := agent.NATS(agent.NATSConfig{
		URL: url, Provider: "acme", Agent: agentID, Token: token, Logger: slog.New(slog.NewTextHandler(settled, nil)),
		Options: []nats.Option{
			nats.ConnectHandler(func(*nats.Conn) { settled.give() }),
			nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	<-settled
	return tr
}

func TestNATS(t *testing.T) {
	url := listener(t, func(r api.Report) string {
		switch r.Seq {
		case 1:
			return `{"seq":1,"status":"recorded","position":7}`
		case 2:
			return `{"seq":2,"code":"invalid","message":"odd","errors":[{"location":"body.readings[3].value","message":"x"}]}`
		case 3:
			return `{"code":"overloaded","message":"busy","retry_after":2}`
		case 4:
			return `{`
		}
		return ""
	})
	tr := dialled(t, url, "pc-17", "right")
	send := func(seq uint64, patience time.Duration) (api.ReportAnswer, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return tr.Send(ctx, api.Report{Agent: "pc-17", Seq: seq, Void: "x"})
	}
	if a, err := send(1, time.Minute); err != nil || a.Status != api.ReportRecorded || *a.Position != 7 {
		t.Errorf("%+v, %v", a, err)
	}
	var p *api.Problem
	if _, err := send(2, time.Minute); !errors.As(err, &p) || p.Code != api.CodeInvalid || p.Detail != "odd" || p.Errors[0].Location != "body.readings[3].value" {
		t.Errorf("%v", err)
	}
	if _, err := send(3, time.Minute); !errors.As(err, &p) || p.Code != api.CodeOverloaded || p.RetryAfter != 2*time.Second {
		t.Errorf("%v", err)
	}
	if _, err := send(4, time.Minute); err == nil || errors.As(err, &p) && p.Code != api.CodeOverloaded {
		t.Errorf("%v", err)
	}
	if _, err := send(5, 10*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}

// The server may mix answers up. What another request was answered is neither an acknowledgement nor a refusal.
func TestNATSAnswerToAnother(t *testing.T) {
	for name, header := range map[string]nats.Header{"named": {api.HeaderRequest: {"another"}}, "nameless": nil} {
		for _, text := range []string{`{"seq":1,"status":"recorded","position":7}`, `{"seq":1,"code":"invalid","message":"odd"}`} {
			url := intake(t, func(*nats.Msg) *nats.Msg { return &nats.Msg{Header: header, Data: []byte(text)} })
			tr := dialled(t, url, "pc-17", "right")
			_, err := tr.Send(t.Context(), api.Report{Agent: "pc-17", Seq: 1, Void: "x"})
			var p *api.Problem
			if err == nil || errors.As(err, &p) {
				t.Errorf("%s answer %s: %v", name, text, err)
			}
		}
	}
}

// A refused publication is told at once, not after a timeout.
func TestNATSNotPermitted(t *testing.T) {
	url := listener(t, func(api.Report) string { return "" })
	tr := dialled(t, url, "pc-18", "right")
	_, err := tr.Send(t.Context(), api.Report{Agent: "pc-18", Seq: 1, Void: "x"})
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodePermissionDenied || p.Permission != "agent:pc-18" {
		t.Errorf("%v", err)
	}
}

// A token that is refused, or a server that is away, is waited out; the error says which it is.
func TestNATSNotConnected(t *testing.T) {
	url := listener(t, func(api.Report) string { return "" })
	tr := dialled(t, url, "pc-17", "wrong")
	if _, err := tr.Send(t.Context(), api.Report{Agent: "pc-17", Seq: 1, Void: "x"}); !errors.Is(err, nats.ErrDisconnected) || api.CodeOf(err) != api.CodeUnauthenticated {
		t.Errorf("a wrong token: %v", err)
	}
	tr = dialled(t, "nats://127.0.0.1:1", "pc-17", "right")
	if _, err := tr.Send(t.Context(), api.Report{Agent: "pc-17", Seq: 1, Void: "x"}); !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("no server: %v", err)
	}
	for _, c := range []agent.NATSConfig{{Provider: "a.b", Agent: "c"}, {Provider: "a", Agent: "*"}, {URL: "%", Provider: "a", Agent: "b"}} {
		if _, err := agent.NATS(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}
