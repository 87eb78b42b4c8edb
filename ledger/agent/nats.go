package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/ledger/api"
)

// NATSConfig says how an agent reaches the ledger's NATS listener.
type NATSConfig struct {
	URL             string // "nats://ledger.example:4222", or several, separated by commas
	Provider, Agent string // the user is "<provider>/<agent>"
	Token           string // of the agent, the password
	// Options are more of the connection, such as TLS. The handlers of errors and of reconnections that fail are the transport's.
	Options []nats.Option
	Logger  *slog.Logger // none
}

// NATS sends reports over NATS, each as a request on the agent's own subject. It connects in the background and for
// ever: that nothing can be reached at first is no error.
func NATS(c NATSConfig) (Transport, error) {
	for name, value := range map[string]string{"provider": c.Provider, "agent": c.Agent} {
		if err := checkName(value); err != nil {
			return nil, fmt.Errorf("connect to NATS: %s: %w", name, err)
		}
	}
	t := &natsTransport{subject: "intake." + c.Provider + "." + c.Agent, logger: c.Logger}
	if t.logger == nil {
		t.logger = slog.New(slog.DiscardHandler)
	}
	options := append([]nats.Option{
		nats.Name("agent " + c.Provider + "/" + c.Agent),
		nats.UserInfo(c.Provider+"/"+c.Agent, c.Token),
		nats.CustomInboxPrefix("_INBOX." + c.Provider + "." + c.Agent),
		// A report waits in the spool, not in a connection that is broken; and a token that is refused today may be good tomorrow.
		nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(time.Second), nats.ReconnectJitter(500*time.Millisecond, time.Second),
	}, c.Options...)
	conn, err := nats.Connect(c.URL, append(options,
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { t.failed(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { t.failed(err) }),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	t.conn = conn
	return t, nil
}

type natsTransport struct {
	conn    *nats.Conn
	subject string
	logger  *slog.Logger

	mu      sync.Mutex
	refused context.CancelCauseFunc // of the request under way
	token   error                   // why the server does not let the agent in
}

// failed gets the errors that no call returns. A publication that is not permitted is among them: to the request it looks
// as if the answer took long.
func (t *natsTransport) failed(err error) {
	t.mu.Lock()
	defer func() {
		t.mu.Unlock()
		t.logger.Warn("NATS", "err", err)
	}()
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		t.token = api.NewProblem(api.CodeUnauthenticated, err.Error())
	case errors.Is(err, nats.ErrPermissionViolation) && t.refused != nil:
		p := api.NewProblem(api.CodePermissionDenied, err.Error())
		p.Permission = "agent:" + t.subject[strings.LastIndexByte(t.subject, '.')+1:]
		t.refused(p)
	}
}

// reply is either answer that the intake gives.
type reply struct {
	api.ReportAnswer
	Code       api.Code         `json:"code"`
	Message    string           `json:"message"`
	Errors     []api.FieldError `json:"errors"`
	RetryAfter int              `json:"retry_after"` // seconds
}

func (t *natsTransport) Send(ctx context.Context, report api.Report) (answer api.ReportAnswer, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("send report %d on %s: %w", report.Seq, t.subject, err)
		}
	}()
	body, err := json.Marshal(report)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected := t.conn.IsConnected()
	t.mu.Lock()
	if connected {
		t.token, t.refused = nil, cancel
	}
	token := t.token
	t.mu.Unlock()
	switch {
	case token != nil:
		return answer, fmt.Errorf("%w: %w", nats.ErrDisconnected, token)
	case !connected:
		return answer, nats.ErrDisconnected
	}
	request := &nats.Msg{Subject: t.subject, Header: nats.Header{api.HeaderRequest: {rand.Text()}}, Data: body}
	msg, err := t.conn.RequestMsgWithContext(ctx, request)
	t.mu.Lock()
	t.refused = nil
	t.mu.Unlock()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
			err = cause
		}
		return answer, err
	}
	// The server may confuse two requests that are under way (package intake): of another's answer nothing may follow.
	if msg.Header.Get(api.HeaderRequest) != request.Header.Get(api.HeaderRequest) {
		return answer, errors.New("the answer is to another request")
	}
	var r reply
	if err := json.Unmarshal(msg.Data, &r); err != nil {
		return answer, fmt.Errorf("the answer is none of a ledger: %w", err)
	}
	if r.Code != "" {
		p := api.NewProblem(r.Code, r.Message)
		p.Errors, p.RetryAfter = r.Errors, time.Duration(r.RetryAfter)*time.Second
		return answer, p
	}
	return r.ReportAnswer, nil
}

func (t *natsTransport) Close() error {
	t.conn.Close()
	return nil
}
