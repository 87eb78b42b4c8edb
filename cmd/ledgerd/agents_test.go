package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/ledger/api"
)

// fixedPort is an address that stays the same when ledgerd starts again. It is none of those that systems give to
// connections that leave, one of which could take it in between.
func fixedPort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// agent is one that reports over NATS with a token of its own. It has one connection, which outlives every ledgerd.
type agent struct {
	id   string
	conn *nats.Conn

	mu   sync.Mutex
	lost chan struct{} // closed when the connection breaks
}

// connect makes an agent of a provider.
func connect(t *testing.T, c *api.Client, address, provider, id string) *agent {
	t.Helper()
	token := must(c.IssueToken(t.Context(), provider, api.TokenIssue{Subject: "agent:" + id}, api.ChangeOptions{IdempotencyKey: "setup-" + provider + "-" + id}))(t).Secret
	a := &agent{id: id, lost: make(chan struct{})}
	a.conn = must(nats.Connect("nats://"+address, nats.UserInfo(provider+"/"+id, token), nats.CustomInboxPrefix("_INBOX."+provider+"."+id),
		nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // requests fail by themselves
		nats.DisconnectErrHandler(func(*nats.Conn, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			close(a.lost)
			a.lost = make(chan struct{})
		})))(t)
	t.Cleanup(a.conn.Close)
	return a
}

// send sends a report and waits for the answer as long as the connection holds.
func (a *agent) send(ctx context.Context, provider string, report api.Report) (status string, position *uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a.mu.Lock()
	lost := a.lost
	a.mu.Unlock()
	go func() {
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	body, err := json.Marshal(report)
	if err != nil {
		return "", nil, err
	}
	msg, err := a.conn.RequestWithContext(ctx, "intake."+provider+"."+a.id, body)
	if err != nil {
		return "", nil, &api.CallError{Unknown: true, Err: err}
	}
	var answer struct {
		Status   string   `json:"status"`
		Position *uint64  `json:"position"`
		Code     api.Code `json:"code"`
		Message  string   `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return "", nil, err
	}
	if answer.Code != "" {
		return "", nil, &api.CallError{Unknown: answer.Code == api.CodeOutcomeUnknown, Err: api.NewProblem(answer.Code, answer.Message)}
	}
	return answer.Status, answer.Position, nil
}

// report is [worker.report] over NATS.
func (a *agent) report(w *worker, ctx context.Context) {
	body, r := w.next(a.id, "", 1+w.rand.IntN(3))
	body.Agent = ""
	w.try(ctx, []*request{r}, func(*api.Client) error {
		status, position, err := a.send(ctx, w.provider, body)
		if err == nil {
			w.reported(r, status, position)
		}
		return err
	})
}
