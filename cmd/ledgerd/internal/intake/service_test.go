package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream/natsd"
)

const patience = 10 * time.Second

// fakeLedger answers commands as its function says, and keeps them.
type fakeLedger struct {
	submit func(context.Context, ledger.Command) (ledger.Receipt, error)

	mu       sync.Mutex
	commands []ledger.Command
}

func (f *fakeLedger) Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
	f.mu.Lock()
	f.commands = append(f.commands, c)
	f.mu.Unlock()
	return f.submit(ctx, c)
}

func (f *fakeLedger) all() []ledger.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commands
}

func records(_ context.Context, c ledger.Command) (ledger.Receipt, error) {
	return ledger.Receipt{Entry: 1000 + c.Body.(license.Report).Seq}, nil
}

// house is a server, a service on it and what its ledger got.
type house struct {
	t       testing.TB
	server  *natsd.Server
	service *Service
	ledger  *fakeLedger
	log     *syncBuffer
}

// syncBuffer takes a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newServer(t testing.TB) *natsd.Server {
	t.Helper()
	server, err := natsd.Start(t.Context(), natsd.Config{Dir: filepath.Join(t.TempDir(), "nats")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

func newHouse(t testing.TB, submit func(context.Context, ledger.Command) (ledger.Receipt, error), bounds Config) *house {
	t.Helper()
	h := &house{t: t, server: newServer(t), ledger: &fakeLedger{submit: submit}, log: new(syncBuffer)}
	bounds.Conn, bounds.Ledger, bounds.Logger = h.connect(h.server.Connect()), h.ledger, slog.New(slog.NewTextHandler(h.log, nil))
	service, err := Start(bounds)
	if err != nil {
		t.Fatal(err)
	}
	h.service = service
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := service.Stop(ctx); err != nil && !service.Conn.IsClosed() {
			t.Error(err)
		}
	})
	return h
}

func (h *house) connect(nc *nats.Conn, err error) *nats.Conn {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

// edge is an agent's own connection, with an agent's rights.
func (h *house) edge(provider, agent string) *nats.Conn {
	return h.connect(h.server.ConnectEdge(provider, agent))
}

type reply struct {
	Seq        uint64           `json:"seq"`
	Status     string           `json:"status"`
	Position   *uint64          `json:"position"`
	Code       api.Code         `json:"code"`
	Message    string           `json:"message"`
	Errors     []api.FieldError `json:"errors"`
	RetryAfter int              `json:"retry_after"`
}

func parseReply(t testing.TB, m *nats.Msg) (r reply) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(m.Data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("reply %q: %v", m.Data, err)
	}
	// A refusal is one for micro services' own tools too, and only a refusal is.
	if code := m.Header.Get(micro.ErrorCodeHeader); (code != "") != (r.Code != "") || (m.Header.Get(micro.ErrorHeader) != "") != (r.Code != "") {
		t.Errorf("reply %q has the headers %v", m.Data, m.Header)
	} else if code != "" && code != fmt.Sprint(r.Code.Status()) {
		t.Errorf("reply %q has the status %s", m.Data, code)
	}
	return r
}

func (h *house) ask(nc *nats.Conn, subject, body string) reply {
	h.t.Helper()
	m, err := nc.Request(subject, []byte(body), patience)
	if err != nil {
		h.t.Fatal(err)
	}
	return parseReply(h.t, m)
}

// eventually waits for a condition that others bring about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// send sends reports 1 to n without waiting; the answers come through the channel, which has room for all.
func (h *house) send(agent *nats.Conn, n int) chan *nats.Msg {
	h.t.Helper()
	const inbox = "_INBOX.acme.pc-17.all"
	answers := make(chan *nats.Msg, n)
	if _, err := agent.ChanSubscribe(inbox, answers); err != nil {
		h.t.Fatal(err)
	}
	for i := range n {
		if err := agent.PublishRequest("intake.acme.pc-17", inbox, []byte(void(i+1))); err != nil {
			h.t.Fatal(err)
		}
	}
	// The server has them, and has given them to the service.
	if err := agent.Flush(); err != nil {
		h.t.Fatal(err)
	}
	return answers
}

func void(seq int) string { return fmt.Sprintf(`{"seq":%d,"void":"x"}`, seq) }

func TestReport(t *testing.T) {
	h := newHouse(t, records, Config{})
	agent := h.edge("acme", "pc-17")
	m, err := agent.Request("intake.acme.pc-17", []byte(sample), patience)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Data) != `{"seq":42,"status":"recorded","position":1042}` {
		t.Errorf("reply %s", m.Data)
	}
	parseReply(t, m)
	commands := h.ledger.all()
	if len(commands) != 1 {
		t.Fatalf("%d commands", len(commands))
	}
	report, err := DecodeFrom("pc-17", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Command{
		ID: "intake/pc-17//42", Provider: "acme", Actor: "agent:pc-17", Request: sha256.Sum256([]byte(sample)), Seed: commands[0].Seed, Body: report,
	}
	if diff := cmp.Diff(want, commands[0], exact); diff != "" {
		t.Error(diff)
	}
	if commands[0].Seed == (events.Seed{}) {
		t.Error("the command has no seed")
	}
	if stats := h.service.Stats(); stats.Recorded != 1 || stats.Readings != 1 || stats.Duplicate != 0 || len(stats.Refused) != 0 {
		t.Errorf("%+v", stats)
	}
}

// The ledger must not remember reports as it remembers commands with an idempotency key (domain U2).
func TestCommandIsNotRememberedU2(t *testing.T) {
	c := Command("acme", "agent:pc-17", license.Report{Agent: "pc-17", Spool: "s-1", Seq: 7}, events.Digest{1})
	if c.ID != "intake/pc-17/s-1/7" || strings.HasPrefix(c.ID, license.KeyedDoor) || c.DryRun {
		t.Errorf("%+v", c)
	}
	if other := Command("acme", "agent:pc-17", license.Report{}, events.Digest{}); other.Seed == c.Seed {
		t.Error("two commands have the same seed")
	}
}

func TestDuplicate(t *testing.T) {
	h := newHouse(t, func(context.Context, ledger.Command) (ledger.Receipt, error) {
		return ledger.Receipt{Entry: 7, Duplicate: true}, nil
	}, Config{})
	r := h.ask(h.edge("acme", "pc-17"), "intake.acme.pc-17", sample)
	if r.Seq != 42 || r.Status != "duplicate" || r.Position == nil || *r.Position != 7 {
		t.Errorf("%+v", r)
	}
	if stats := h.service.Stats(); stats.Duplicate != 1 || stats.Recorded != 0 || stats.Readings != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestRefusals(t *testing.T) {
	answers := map[uint64]error{
		1: &license.Refusal{Code: license.SequenceReused, Message: "other content"},
		2: &license.Refusal{Code: license.NotFound, Message: "no such endpoint"},
		3: fmt.Errorf("%w: stopping", ledger.ErrUnavailable),
		4: ledger.ErrOverloaded,
		5: fmt.Errorf("%w: lost", ledger.ErrOutcomeUnknown),
		6: errors.New("disk on fire at /srv"),
	}
	h := newHouse(t, func(_ context.Context, c ledger.Command) (ledger.Receipt, error) {
		return ledger.Receipt{}, answers[c.Body.(license.Report).Seq]
	}, Config{})
	agent := h.edge("acme", "pc-17")
	for _, row := range []struct {
		name, body string
		code       api.Code
		seq        uint64
		field      string
		retry      int
	}{
		{"not JSON", `hello`, "invalid", 0, "", 0},
		{"nothing", ``, "invalid", 0, "", 0},
		{"no number", `{"void":"x"}`, "invalid", 0, "body.seq", 0},
		{"a wrong reading", `{"seq":9,"readings":[{"meter":"m","value":-1,"at":"` + at + `"}]}`, "invalid", 9, "body.readings[0].value", 0},
		{"another agent", `{"seq":9,"agent":"pc-18","void":"x"}`, "invalid", 9, "body.agent", 0},
		{"too large", strings.Repeat(" ", api.MaxBody) + "x", "too_large", 0, "", 0},
		{"other content", void(1), "sequence_reused", 1, "", 0},
		{"unknown endpoint", void(2), "not_found", 2, "", 0},
		{"unavailable", void(3), "unavailable", 3, "", 5},
		{"overloaded", void(4), "overloaded", 4, "", 1},
		{"outcome unknown", void(5), "outcome_unknown", 5, "", 1},
		{"unforeseen", void(6), "internal", 6, "", 0},
	} {
		r := h.ask(agent, "intake.acme.pc-17", row.body)
		if r.Code != row.code || r.Seq != row.seq || r.RetryAfter != row.retry || r.Message == "" || r.Status != "" || r.Position != nil || strings.Contains(r.Message, "/srv") {
			t.Errorf("%s: %+v", row.name, r)
		}
		if row.field == "" && len(r.Errors) > 0 || row.field != "" && (len(r.Errors) != 1 || r.Errors[0].Location != row.field) {
			t.Errorf("%s: blames %+v", row.name, r.Errors)
		}
	}
	want := map[api.Code]int64{"invalid": 5, "too_large": 1, "sequence_reused": 1, "not_found": 1, "unavailable": 1, "overloaded": 1, "outcome_unknown": 1, "internal": 1}
	if diff := cmp.Diff(want, h.service.Stats().Refused); diff != "" {
		t.Error(diff)
	}
	if n := len(h.ledger.all()); n != 6 {
		t.Errorf("%d commands reached the ledger", n)
	}
	if !strings.Contains(h.log.String(), "disk on fire") {
		t.Error("the log does not say what was unforeseen")
	}
	// The largest body is taken.
	if r := h.ask(agent, "intake.acme.pc-17", void(7)+strings.Repeat(" ", api.MaxBody-len(void(7)))); r.Status != "recorded" {
		t.Errorf("1 MiB: %+v", r)
	}
}

// An answer names the request that it is to, whatever it says, if the request has a name.
func TestAnswerNamesItsRequest(t *testing.T) {
	for name, bounds := range map[string]Config{"taken": {}, "overloaded": {MaxBytes: 1}} {
		h := newHouse(t, records, bounds)
		agent := h.edge("acme", "pc-17")
		for _, request := range []string{"", "a", strings.Repeat("x", api.MaxRequest), strings.Repeat("x", api.MaxRequest+1)} {
			for _, body := range []string{sample, "{", strings.Repeat(" ", api.MaxBody+1)} {
				m := &nats.Msg{Subject: "intake.acme.pc-17", Data: []byte(body)}
				if request != "" {
					m.Header = nats.Header{api.HeaderRequest: {request}}
				}
				answer, err := agent.RequestMsg(m, patience)
				if err != nil {
					t.Fatal(err)
				}
				want := request
				if len(request) > api.MaxRequest {
					want = ""
					if r := parseReply(t, answer); r.Code != api.CodeInvalid || !strings.Contains(r.Message, api.HeaderRequest) {
						t.Errorf("%s, %d bytes: %+v", name, len(body), r)
					}
				}
				if got := answer.Header.Get(api.HeaderRequest); got != want {
					t.Errorf("%s, %d bytes: the answer to %q names %q", name, len(body), request, got)
				}
			}
		}
	}
}

// The ledger's own account may publish what an agent may not; even there a name is a name.
func TestSubjectNames(t *testing.T) {
	h := newHouse(t, records, Config{})
	inside := h.connect(h.server.Connect())
	for _, subject := range []string{"intake.ac$me.pc-17", "intake.acme.pc$17", "intake." + strings.Repeat("x", 65) + ".pc-17"} {
		if r := h.ask(inside, subject, void(1)); r.Code != api.CodeInvalid {
			t.Errorf("%s: %+v", subject, r)
		}
	}
	if n := len(h.ledger.all()); n != 0 {
		t.Errorf("%d commands reached the ledger", n)
	}
}

// Provider and agent are those of the subject, which the server guards: agents with the same id stay apart.
func TestWhoIsWhoU1(t *testing.T) {
	h := newHouse(t, records, Config{})
	for _, provider := range []string{"acme", "globex"} {
		if r := h.ask(h.edge(provider, "pc-17"), "intake."+provider+".pc-17", sample); r.Status != "recorded" {
			t.Errorf("%+v", r)
		}
	}
	seen := make(map[string]string)
	for _, c := range h.ledger.all() {
		seen[c.Provider] = c.Actor + " " + c.Body.(license.Report).Agent
	}
	if diff := cmp.Diff(map[string]string{"acme": "agent:pc-17 pc-17", "globex": "agent:pc-17 pc-17"}, seen); diff != "" {
		t.Error(diff)
	}
	// Another's subject is refused by the server; the service does not see it.
	refused := make(chan error, 1)
	agent := h.connect(h.server.ConnectEdge("acme", "pc-17", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })))
	if err := agent.PublishRequest("intake.globex.pc-17", "_INBOX.acme.pc-17.x", []byte(void(1))); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Error(err)
	}
	if n := len(h.ledger.all()); n != 2 {
		t.Errorf("%d commands reached the ledger", n)
	}
}

// Group commit needs many reports in the ledger at the same time: none waits for another's answer.
func TestThousandsWaitTogether(t *testing.T) {
	const n = 3000
	together := make(chan struct{})
	var arrived sync.WaitGroup
	arrived.Add(n)
	h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		arrived.Done()
		<-together
		return records(ctx, c)
	}, Config{})
	answers := h.send(h.edge("acme", "pc-17"), n)
	arrived.Wait()
	if stats := h.service.Stats(); stats.Waiting != n || stats.WaitingBytes < n*20 {
		t.Errorf("%+v", stats)
	}
	if len(answers) > 0 {
		t.Error("an answer came before the ledger's")
	}
	close(together)
	seen := make(map[uint64]bool)
	for range n {
		r := parseReply(t, <-answers)
		if r.Status != "recorded" || *r.Position != 1000+r.Seq || seen[r.Seq] {
			t.Fatalf("%+v", r)
		}
		seen[r.Seq] = true
	}
	eventually(t, "nothing waits", func() bool { s := h.service.Stats(); return s.Waiting == 0 && s.WaitingBytes == 0 })
}

func TestBounds(t *testing.T) {
	for name, bounds := range map[string]Config{"reports": {MaxReports: 3}, "bytes": {MaxBytes: 3 * len(void(1))}} {
		t.Run(name, func(t *testing.T) {
			goOn, arrived := make(chan struct{}), make(chan struct{}, 3)
			h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
				arrived <- struct{}{}
				<-goOn
				return records(ctx, c)
			}, bounds)
			agent := h.edge("acme", "pc-17")
			answers := h.send(agent, 3)
			for range 3 {
				<-arrived
			}
			for range 2 {
				if r := h.ask(agent, "intake.acme.pc-17", void(4)); r.Code != api.CodeOverloaded || r.RetryAfter != 1 {
					t.Errorf("%+v", r)
				}
			}
			close(goOn)
			for range 3 {
				if r := parseReply(t, <-answers); r.Status != "recorded" {
					t.Errorf("%+v", r)
				}
			}
			eventually(t, "nothing waits", func() bool { s := h.service.Stats(); return s.Waiting == 0 && s.WaitingBytes == 0 })
			if r := h.ask(agent, "intake.acme.pc-17", void(4)); r.Status != "recorded" {
				t.Errorf("afterwards: %+v", r)
			}
		})
	}
}

// What is far too much is answered too, and all of it before Stop returns.
func TestFlood(t *testing.T) {
	const most, flood = 10, 20_000
	goOn := make(chan struct{})
	h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		<-goOn
		return records(ctx, c)
	}, Config{MaxReports: most})
	agent := h.edge("acme", "pc-17")
	answers := h.send(agent, flood)
	eventually(t, "nothing is refused", func() bool { return h.service.Stats().Refused[api.CodeOverloaded] > 0 })
	close(goOn)
	if err := errors.Join(h.service.Stop(t.Context()), agent.Flush()); err != nil {
		t.Fatal(err)
	}
	if len(answers) != flood {
		t.Fatalf("%d of %d answers", len(answers), flood)
	}
	said := make(map[string]int64)
	for range flood {
		r := parseReply(t, <-answers)
		said[r.Status+string(r.Code)]++
	}
	want := map[string]int64{"recorded": h.service.Stats().Recorded, "overloaded": h.service.Stats().Refused[api.CodeOverloaded]}
	if !cmp.Equal(said, want) || said["recorded"] < most {
		t.Errorf("answered %v, counted %v", said, want)
	}
}

// A ledger that does not answer does not leave the agent without an answer.
func TestPatience(t *testing.T) {
	h := newHouse(t, func(ctx context.Context, _ ledger.Command) (ledger.Receipt, error) {
		<-ctx.Done()
		return ledger.Receipt{}, fmt.Errorf("%w: %w", ledger.ErrOutcomeUnknown, context.Cause(ctx))
	}, Config{Patience: 20 * time.Millisecond})
	if r := h.ask(h.edge("acme", "pc-17"), "intake.acme.pc-17", sample); r.Code != api.CodeOutcomeUnknown || r.Seq != 42 {
		t.Errorf("%+v", r)
	}
}

// A report without a reply subject is taken like any other.
func TestNobodyToTell(t *testing.T) {
	done := make(chan struct{})
	h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		defer close(done)
		return records(ctx, c)
	}, Config{})
	agent := h.edge("acme", "pc-17")
	for _, body := range []string{"not JSON", sample} {
		if err := agent.Publish("intake.acme.pc-17", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	eventually(t, "both are counted", func() bool { s := h.service.Stats(); return s.Recorded == 1 && s.Refused[api.CodeInvalid] == 1 })
	if log := h.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

// The confused deputy: an agent asks for the answer to go where it must not write.
func TestConfusedDeputy(t *testing.T) {
	h := newHouse(t, records, Config{})
	inside := h.connect(h.server.Connect())
	sent := 0
	// attack sends a report whose answer shall go to a subject, and says how many answers then arrive in the ledger's account.
	attack := func(from *nats.Conn, subject string) int {
		t.Helper()
		watch, err := inside.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		sent++
		if err := errors.Join(inside.Flush(), from.PublishRequest("intake.acme.pc-17", subject, []byte(void(sent)))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the report is answered", func() bool {
			s := h.service.Stats()
			return s.Recorded == int64(sent) && s.Waiting == 0
		})
		if err := errors.Join(h.service.Conn.Flush(), inside.Flush()); err != nil {
			t.Fatal(err)
		}
		n, _, err := watch.Pending()
		if err := errors.Join(err, watch.Unsubscribe()); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := attack(inside, "ledger.0"); n != 1 {
		t.Fatalf("%d answers within the ledger's account: this test can no longer fail", n)
	}
	agent := h.edge("acme", "pc-17")
	for _, subject := range []string{"ledger.0", "$JS.API.STREAM.DELETE.LEDGER", "intake.globex.pc-17", "_INBOX.x"} {
		if n := attack(agent, subject); n != 0 {
			t.Errorf("%d answers arrived on %s", n, subject)
		}
	}
	if n := len(h.ledger.all()); n != sent {
		t.Errorf("%d reports were sent, %d came: an answer became a report", sent, n)
	}
}

// An agent that leaves before the answer has its report recorded; when it comes back and repeats, it is told.
func TestAgentDisconnects(t *testing.T) {
	arrived, goOn := make(chan struct{}, 2), make(chan struct{})
	seen := make(map[string]bool)
	var mu sync.Mutex
	h := newHouse(t, func(_ context.Context, c ledger.Command) (ledger.Receipt, error) {
		arrived <- struct{}{}
		<-goOn
		mu.Lock()
		defer mu.Unlock()
		duplicate := seen[c.ID]
		seen[c.ID] = true
		return ledger.Receipt{Entry: 9, Duplicate: duplicate}, nil
	}, Config{})
	agent := h.edge("acme", "pc-17")
	if err := errors.Join(agent.PublishRequest("intake.acme.pc-17", "_INBOX.acme.pc-17.x", []byte(sample)), agent.Flush()); err != nil {
		t.Fatal(err)
	}
	<-arrived
	agent.Close()
	close(goOn)
	eventually(t, "it is recorded", func() bool { return h.service.Stats().Recorded == 1 })
	if r := h.ask(h.edge("acme", "pc-17"), "intake.acme.pc-17", sample); r.Status != "duplicate" || *r.Position != 9 {
		t.Errorf("%+v", r)
	}
}

// Stop answers what came, and takes no more.
func TestStop(t *testing.T) {
	const n = 500
	goOn := make(chan struct{})
	var arrived sync.WaitGroup
	arrived.Add(n)
	h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		arrived.Done()
		<-goOn
		return records(ctx, c)
	}, Config{})
	agent := h.edge("acme", "pc-17")
	answers := h.send(agent, n)
	stopped := make(chan error, 1)
	go func() { stopped <- h.service.Stop(t.Context()) }()
	arrived.Wait()
	// The service stops listening for reports before it stops answering pings.
	inside := h.connect(h.server.Connect())
	eventually(t, "nobody answers a ping", func() bool {
		_, err := inside.Request("$SRV.PING.intake", nil, patience)
		return errors.Is(err, nats.ErrNoResponders)
	})
	if _, err := agent.Request("intake.acme.pc-17", []byte(void(n+1)), patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a report after the end: %v", err)
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped with reports unanswered: %v", err)
	default:
	}
	close(goOn)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	// The answers are with the server, which has given them to the agent when it answers a ping.
	if err := agent.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(answers) != n {
		t.Errorf("%d of %d answers", len(answers), n)
	}
	if stats := h.service.Stats(); stats.Recorded != n || stats.Waiting != 0 {
		t.Errorf("%+v", stats)
	}
	if err := h.service.Stop(t.Context()); err != nil {
		t.Errorf("stopped again: %v", err)
	}
}

// When nobody waits any longer, what is left is answered with what is known.
func TestStopGivesUp(t *testing.T) {
	arrived := make(chan struct{}, 1)
	h := newHouse(t, func(ctx context.Context, _ ledger.Command) (ledger.Receipt, error) {
		arrived <- struct{}{}
		<-ctx.Done()
		return ledger.Receipt{}, fmt.Errorf("%w: %w", ledger.ErrOutcomeUnknown, context.Cause(ctx))
	}, Config{})
	agent := h.edge("acme", "pc-17")
	answer, err := agent.SubscribeSync("_INBOX.acme.pc-17.x")
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.PublishRequest("intake.acme.pc-17", "_INBOX.acme.pc-17.x", []byte(sample)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := h.service.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped with %v", err)
	}
	m, err := answer.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if r := parseReply(t, m); r.Code != api.CodeOutcomeUnknown {
		t.Errorf("%+v", r)
	}
}

// A connection that is gone does not keep Stop from returning, and what waited goes to the ledger's end.
func TestConnectionLost(t *testing.T) {
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	h := newHouse(t, func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		arrived <- struct{}{}
		<-goOn
		return records(ctx, c)
	}, Config{})
	agent := h.edge("acme", "pc-17")
	if err := agent.PublishRequest("intake.acme.pc-17", "_INBOX.acme.pc-17.x", []byte(sample)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	h.service.Conn.Close()
	close(goOn)
	eventually(t, "it is recorded", func() bool { return h.service.Stats().Recorded == 1 })
	if err := h.service.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if log := h.log.String(); !strings.Contains(log, "could not be sent") {
		t.Errorf("the log says %s", log)
	}
	if _, err := Start(Config{Conn: h.service.Conn, Ledger: h.ledger}); err == nil {
		t.Error("started on a closed connection")
	}
}

func TestMicroService(t *testing.T) {
	h := newHouse(t, records, Config{})
	agent := h.edge("acme", "pc-17")
	h.ask(agent, "intake.acme.pc-17", sample)
	h.ask(agent, "intake.acme.pc-17", "not JSON")
	inside := h.connect(h.server.Connect())
	get := func(verb string, into any) {
		t.Helper()
		m, err := inside.Request("$SRV."+verb+".intake", nil, patience)
		if err == nil {
			err = json.Unmarshal(m.Data, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
	}
	var ping micro.Ping
	get("PING", &ping)
	var info micro.Info
	get("INFO", &info)
	var stats micro.Stats
	get("STATS", &stats)
	if ping.Name != "intake" || info.ID != ping.ID || len(info.Endpoints) != 1 || info.Endpoints[0].Subject != "intake.*.*" || info.Endpoints[0].QueueGroup != "intake" {
		t.Errorf("%+v, %+v", ping, info)
	}
	var ours Stats
	if len(stats.Endpoints) != 1 || stats.Endpoints[0].NumRequests != 2 {
		t.Fatalf("%+v", stats)
	}
	if err := json.Unmarshal(stats.Endpoints[0].Data, &ours); err != nil || ours.Recorded != 1 || ours.Refused[api.CodeInvalid] != 1 {
		t.Errorf("%s, %v", stats.Endpoints[0].Data, err)
	}
}

// Two ledgers on one cluster share the work: each report is taken by one of them.
func TestTwoServices(t *testing.T) {
	h := newHouse(t, records, Config{})
	other, err := Start(Config{Conn: h.connect(h.server.Connect()), Ledger: h.ledger})
	if err != nil {
		t.Fatal(err)
	}
	agent := h.edge("acme", "pc-17")
	for i := range 50 {
		h.ask(agent, "intake.acme.pc-17", void(i+1))
	}
	if a, b := h.service.Stats().Recorded, other.Stats().Recorded; a+b != 50 || a == 0 || b == 0 {
		t.Errorf("%d and %d reports", a, b)
	}
	if err := other.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if r := h.ask(agent, "intake.acme.pc-17", void(i+51)); r.Status != "recorded" {
			t.Fatalf("%+v", r)
		}
	}
}
