package intake

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"licenseledger/cmd/ledgerd/internal/refusals"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

// Submitter is the ledger's front door, a [ledger.Sequencer]: an answer is true for good, and on disk.
type Submitter interface {
	Submit(context.Context, ledger.Command) (ledger.Receipt, error)
}

// Config says where reports come from and where they go. The zero value of a bound is its default.
type Config struct {
	// Conn is a connection of the account that agents' requests are exported from, best one of its own: Stop waits for
	// callbacks of all its subscriptions. The service does not close it. Its error handler must be set before.
	Conn   *nats.Conn
	Ledger Submitter
	Logger *slog.Logger

	// Bounds of the reports that wait for the ledger's answer; more are refused as overloaded.
	MaxReports int // default 8,192
	MaxBytes   int // of their bodies; default 64 MiB
	// Patience bounds how long a report waits for the ledger; its answer is "outcome_unknown" then, or "overloaded" if
	// the ledger had not begun with it. Default 30 s; the server forgets whom to answer after two minutes.
	Patience time.Duration
}

// Service is the NATS service. It is safe for concurrent use.
type Service struct {
	Config
	micro  micro.Service
	ctx    context.Context // of calls to the ledger; ends when Stop must not wait any more
	giveUp context.CancelFunc

	mu      sync.RWMutex // held shared while a report is admitted
	stopped bool
	reports sync.WaitGroup // admitted and not answered

	// take refuses what is too much, so it must get its turn and not wait for others. Of the admitted reports only as many are read at the same
	// time as there are processors; each holds a token meanwhile. And all answers are sent by one goroutine: where thousands, answered by
	// the same record, send for themselves, they queue up at the connection's lock, which is held while the server is slow to read.
	decoding chan struct{}
	answers  chan *nats.Msg
	sent     chan struct{} // closed after the last one

	waiting, waitingBytes         atomic.Int64
	recorded, duplicate, readings atomic.Int64
	refused                       map[api.Code]*atomic.Int64
}

// Start begins to take reports.
func Start(c Config) (*Service, error) {
	if c.MaxReports == 0 {
		c.MaxReports = 8192
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		Config: c, refused: make(map[api.Code]*atomic.Int64),
		decoding: make(chan struct{}, runtime.GOMAXPROCS(0)), answers: make(chan *nats.Msg, maxAnswers), sent: make(chan struct{}),
	}
	for _, code := range api.Codes() {
		s.refused[code] = new(atomic.Int64)
	}
	s.ctx, s.giveUp = context.WithCancel(context.Background())
	var err error
	s.micro, err = micro.AddService(c.Conn, micro.Config{
		Name:         "intake",
		Version:      "1.0.0",
		Description:  "takes reports of usage and answers when they are on disk",
		QueueGroup:   "intake",
		StatsHandler: func(*micro.Endpoint) any { return s.Stats() },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) { s.Logger.Warn("intake", "err", err) },
	})
	if err == nil {
		err = s.micro.AddEndpoint("report", micro.HandlerFunc(s.take), micro.WithEndpointSubject("intake.*.*"),
			micro.WithEndpointPendingLimits(nats.DefaultSubPendingMsgsLimit, maxUnread))
		if err == nil {
			err = c.Conn.FlushTimeout(flushPatience) // the server knows about it now
		}
		if err != nil {
			err = errors.Join(err, s.micro.Stop())
		}
	}
	if err != nil {
		s.giveUp()
		return nil, fmt.Errorf("start the intake: %w", err)
	}
	go s.send()
	return s, nil
}

// maxUnread bounds the bytes of reports that came and were not looked at, not even to be refused. What comes beyond is dropped without an answer, and
// its agent repeats it when its patience ends. Storms of 288,000 reports of 100 readings, sent as fast as two processors could: with the client's
// 64 MiB up to 110,000 were dropped in some, with these at most one answer was missing, in two of fourteen (the server confuses some: package comment).
const maxUnread = 256 << 20

// maxAnswers bounds the answers that wait to be sent; take waits beyond it.
const maxAnswers = 1 << 16

const flushPatience = 5 * time.Second

// Stop takes no more reports, answers those that came, and returns when the answers are sent. When ctx ends first, the
// ledger's answers are waited for no longer: what is left is answered with "outcome_unknown".
func (s *Service) Stop(ctx context.Context) error {
	err := s.micro.Stop()
	if err == nil {
		err = s.drain(ctx)
	}
	s.mu.Lock()
	again := s.stopped
	s.stopped = true
	s.mu.Unlock()

	answered := make(chan struct{})
	go func() {
		s.reports.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
		s.giveUp()
		<-answered
	}
	if !again {
		close(s.answers)
	}
	<-s.sent
	s.giveUp()
	if ferr := s.Conn.FlushTimeout(flushPatience); ferr != nil && !errors.Is(ferr, nats.ErrConnectionClosed) {
		err = errors.Join(err, ferr)
	}
	if err != nil {
		return fmt.Errorf("stop the intake: %w", err)
	}
	return nil
}

// drain returns when every message that the server had sent has been handed over.
func (s *Service) drain(ctx context.Context) error {
	flush, cancel := context.WithTimeout(ctx, flushPatience)
	defer cancel()
	err := s.Conn.FlushWithContext(flush)
	handed := make(chan struct{})
	if err == nil {
		err = s.Conn.Barrier(func() { close(handed) })
	}
	if errors.Is(err, nats.ErrConnectionClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-handed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// asker is who wants to know what became of a report, if anybody does.
type asker struct{ reply, request string }

// take is called for one message after the other, so it only admits and goes on.
func (s *Service) take(r micro.Request) {
	subject, body := r.Subject(), r.Data()
	to := asker{r.Reply(), r.Headers().Get(api.HeaderRequest)}
	if err := s.check(&to, body); err != nil {
		s.turnAway(s.refuse(to, 0, err))
		return
	}
	go func() {
		defer s.release(len(body))
		s.answers <- s.handle(subject, to, body)
	}()
}

// check admits a report, or says why not. A name that is too long is not repeated.
func (s *Service) check(to *asker, body []byte) error {
	if n := len(to.request); n > api.MaxRequest {
		to.request = ""
		return &license.Refusal{Code: license.Invalid, Message: fmt.Sprintf("the header %s has %d bytes, at most %d are taken", api.HeaderRequest, n, api.MaxRequest)}
	}
	if len(body) > api.MaxBody {
		return api.NewProblem(api.CodeTooLarge, fmt.Sprintf("the report has %d bytes, at most %d are taken", len(body), api.MaxBody))
	}
	return s.admit(len(body))
}

// turnAway sends the answer to a report that was not admitted.
func (s *Service) turnAway(m *nats.Msg) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.stopped {
		s.publish(m)
		return
	}
	s.answers <- m
}

func (s *Service) admit(bytes int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.stopped {
		return ledger.ErrUnavailable
	}
	s.reports.Add(1)
	count, all := s.waiting.Add(1), s.waitingBytes.Add(int64(bytes))
	if count > int64(s.MaxReports) || all > int64(s.MaxBytes) {
		s.release(bytes)
		return ledger.ErrOverloaded
	}
	return nil
}

func (s *Service) release(bytes int) {
	s.waitingBytes.Add(-int64(bytes))
	s.waiting.Add(-1)
	s.reports.Done()
}

// handle takes a report from its bytes to its answer.
func (s *Service) handle(subject string, to asker, body []byte) *nats.Msg {
	provider, agent := parseSubject(subject)
	if err := events.CheckName(provider); err != nil {
		return s.refuse(to, 0, &license.Refusal{Code: license.Invalid, Message: err.Error()})
	}
	s.decoding <- struct{}{}
	report, err := DecodeFrom(agent, body)
	digest := sha256.Sum256(body)
	<-s.decoding
	if err != nil {
		return s.refuse(to, report.Seq, err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.Patience)
	defer cancel()
	receipt, err := s.Ledger.Submit(ctx, Command(provider, "agent:"+agent, report, digest))
	if err != nil {
		return s.refuse(to, report.Seq, err)
	}
	answer := api.ReportAnswer{Seq: report.Seq, Status: api.ReportRecorded, Receipt: api.Receipt{Position: &receipt.Entry}}
	if receipt.Duplicate {
		answer.Status = api.ReportDuplicate
		s.duplicate.Add(1)
	} else {
		s.recorded.Add(1)
		s.readings.Add(int64(len(report.Readings)))
	}
	return s.answer(to, nil, answer)
}

// parseSubject takes intake.<provider>.<agent> apart, which the subscription has made sure it is.
func parseSubject(subject string) (provider, agent string) {
	_, names, _ := strings.Cut(subject, ".")
	provider, agent, _ = strings.Cut(names, ".")
	return provider, agent
}

// Command is what becomes of a report, whatever door it came through: reports go by their numbers alone (domain U2), so
// its id is not remembered. actor is who sent it; request is the SHA-256 of the report as it came.
func Command(provider, actor string, r license.Report, request events.Digest) ledger.Command {
	c := ledger.Command{
		ID:       "intake/" + r.Agent + "/" + r.Spool + "/" + strconv.FormatUint(r.Seq, 10),
		Provider: provider,
		Actor:    actor,
		Request:  request,
		Body:     r,
	}
	_, _ = crand.Read(c.Seed[:]) // never fails: it ends the process instead
	return c
}

// refusal is the answer to a report that was not taken.
type refusal struct {
	Seq        uint64           `json:"seq,omitempty"`
	Code       api.Code         `json:"code"`
	Message    string           `json:"message"`
	Errors     []api.FieldError `json:"errors,omitempty"`
	RetryAfter int              `json:"retry_after,omitempty"` // seconds
}

func (s *Service) refuse(to asker, seq uint64, err error) *nats.Msg {
	p := refusals.Problem(err)
	if n, ok := s.refused[p.Code]; ok {
		n.Add(1)
	}
	if p.Code == api.CodeInternal {
		s.Logger.Error("a report failed", "err", err)
	}
	header := nats.Header{micro.ErrorHeader: {p.Title}, micro.ErrorCodeHeader: {strconv.Itoa(p.Status)}}
	r := refusal{Seq: seq, Code: p.Code, Message: p.Detail, Errors: p.Errors, RetryAfter: int(p.RetryAfter / time.Second)}
	if r.Message == "" {
		r.Message = p.Title
	}
	return s.answer(to, header, r)
}

// answer is the message that holds v; nil if nobody is to be told.
func (s *Service) answer(to asker, header nats.Header, v any) *nats.Msg {
	if to.reply == "" {
		return nil
	}
	if to.request != "" {
		if header == nil {
			header = make(nats.Header, 1)
		}
		header.Set(api.HeaderRequest, to.request)
	}
	data, err := json.Marshal(v)
	if err != nil {
		s.Logger.Error("an answer could not be written", "err", err)
		return nil
	}
	return &nats.Msg{Subject: to.reply, Header: header, Data: data}
}

// send sends answers until there are no more.
func (s *Service) send() {
	defer close(s.sent)
	for m := range s.answers {
		s.publish(m)
	}
}

// publish sends an answer; what micro.Request offers for answers may be used by its own callback only.
func (s *Service) publish(m *nats.Msg) {
	if m == nil {
		return
	}
	if err := s.Conn.PublishMsg(m); err != nil {
		s.Logger.Warn("an answer could not be sent; the agent will repeat its report", "err", err)
	}
}

// Stats is what a service has done since its start, and what waits. Every report that came is counted once.
type Stats struct {
	Recorded     int64              `json:"recorded"`
	Duplicate    int64              `json:"duplicate"`
	Refused      map[api.Code]int64 `json:"refused"` // by code; codes of which there were none are missing
	Readings     int64              `json:"readings"`
	Waiting      int64              `json:"waiting"`
	WaitingBytes int64              `json:"waiting_bytes"`
}

// Stats reads the counters; each by itself is exact.
func (s *Service) Stats() Stats {
	stats := Stats{
		Recorded: s.recorded.Load(), Duplicate: s.duplicate.Load(), Readings: s.readings.Load(), Refused: make(map[api.Code]int64),
		Waiting: s.waiting.Load(), WaitingBytes: s.waitingBytes.Load(),
	}
	for code, n := range s.refused {
		if n := n.Load(); n > 0 {
			stats.Refused[code] = n
		}
	}
	return stats
}
