package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/clock"
	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/cmd/ledgerd/internal/leasekeys"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is where the test clock stands: 10 February 2026, a month of 28 days.
var start = time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)

// house is a whole ledger in this process, on a stream in memory, with its HTTP door open.
type house struct {
	t        testing.TB
	server   *httptest.Server
	client   *http.Client
	operator string // the operator's token
	tokens   *tokens
	clock    *ledger.TestClock
	stream   *ledgertest.Stream
	log      *ledgertest.Log
	stores   []*projections.Store
	names    *names.Store
	logged   *lockedBuffer
	submit   *submitter
	stop     func() // ends following
}

// submitter stands before the sequencer; a test may put something else in between.
type submitter struct {
	mu   sync.Mutex
	next httpapi.Submitter
}

func (s *submitter) Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
	s.mu.Lock()
	next := s.next
	s.mu.Unlock()
	return next.Submit(ctx, c)
}

// submitFunc is a Submitter that is a function.
type submitFunc func(ctx context.Context, c ledger.Command) (ledger.Receipt, error)

func (f submitFunc) Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
	return f(ctx, c)
}

// instead lets f answer commands until the test ends.
func (h *house) instead(f submitFunc) {
	h.submit.mu.Lock()
	defer h.submit.mu.Unlock()
	old := h.submit.next
	h.submit.next = f
	h.t.Cleanup(func() {
		h.submit.mu.Lock()
		defer h.submit.mu.Unlock()
		h.submit.next = old
	})
}

// tokens are recorded by hand, or in the ledger.
type tokens struct {
	auth.Recorded
	mu     sync.Mutex
	byHash map[[32]byte]auth.Principal
}

func (k *tokens) Lookup(hash [32]byte) (auth.Principal, bool, error) {
	k.mu.Lock()
	p, ok := k.byHash[hash]
	k.mu.Unlock()
	if ok {
		return p, true, nil
	}
	return k.Recorded.Lookup(hash)
}

// tokenOf makes a token of somebody.
func (h *house) tokenOf(p auth.Principal) string {
	plain, hash := auth.NewToken()
	h.tokens.mu.Lock()
	defer h.tokens.mu.Unlock()
	h.tokens.byHash[hash] = p
	return plain
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const ledgerID = "01KGB000000000000000000000"

// checkpointKey signs the checkpoints of every house.
func checkpointKey(origin string) (proof.Key, error) { return proof.NewKey(origin, [32]byte{1}) }

// newHouse opens a ledger. adjust may change the door's configuration.
func newHouse(t testing.TB, adjust ...func(*httpapi.Config)) *house {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	h := &house{
		t: t, clock: ledger.NewTestClock(start), stream: ledgertest.NewStream(t, nil),
		tokens: &tokens{byHash: make(map[[32]byte]auth.Principal)}, logged: &lockedBuffer{},
	}
	h.log = h.stream.Open()
	logger := slog.New(slog.NewTextHandler(h.logged, nil))

	for _, view := range []projections.View{licenses.New(), usage.View{}, invoices.New(), audit.New(checkpointKey), notices.View{}} {
		store, err := projections.Open(dir, view)
		must(err)
		t.Cleanup(func() { must(store.Close()) })
		h.stores = append(h.stores, store)
	}
	h.tokens.Use(h.stores[0])
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		_ = projections.Follow(ctx, h.stream.Open(), projections.Options{Log: logger}, h.stores...) // a view that stops says so itself
	})
	h.stop = sync.OnceFunc(func() { cancel(); following.Wait() })
	t.Cleanup(h.stop)

	sequencer, err := ledger.Start(t.Context(), ledger.Config{Log: h.log, States: ledgertest.NewStates(t, h.stream.Open()), Clock: h.clock, Logger: logger})
	must(err)
	t.Cleanup(func() { must(sequencer.Close(context.Background())) })
	_, err = sequencer.Submit(t.Context(), ledger.Command{ID: "ledgerd/open", Actor: "ledgerd", Body: license.Open{Ledger: ledgerID, TestClock: true}})
	must(err)
	h.submit = &submitter{next: sequencer}

	h.names, err = names.Open(filepath.Join(dir, "names.db"))
	must(err)
	t.Cleanup(func() { must(h.names.Close()) })
	path := filepath.Join(dir, "operator.token")
	verifier, err := auth.Open(path, h.tokens)
	must(err)
	token, err := os.ReadFile(path)
	must(err)
	h.operator = strings.TrimSpace(string(token))

	leases, err := leasekeys.Open(filepath.Join(dir, "keys"), lease.DefaultOffline, start)
	must(err)
	keySecrets, err := auth.OpenKeySecrets(filepath.Join(dir, "activation.key"))
	must(err)
	c := httpapi.Config{
		KeySecrets: keySecrets,
		Submit:     h.submit, Licenses: h.stores[0], Usage: h.stores[1], Invoices: h.stores[2], Notices: h.stores[4], Clock: h.clock,
		Audit: h.stores[3], AuditReader: audit.NewReader(dir, h.stores[3]), AuditKey: func() (string, error) {
			k, err := checkpointKey(proof.Origin(ledgerID))
			return k.Public(), err
		},
		Mover: &clock.Clock{
			Submit: sequencer, Licenses: h.stores[0], Invoices: h.stores[2], Audit: h.stores[3], Tiles: audit.Folder(dir),
			Log: h.stream.Open(), Time: h.clock, Test: h.clock, Logger: logger,
		},
		Auth: verifier, Names: h.names, Leases: leases, Logger: logger, Registry: prometheus.NewRegistry(), Stats: sequencer.Stats,
		Random: ledgertest.Entropy(1), Fresh: time.Minute, // however slow the machine is
	}
	for _, change := range adjust {
		change(&c)
	}
	handler, err := httpapi.New(c)
	must(err)
	h.serve(httpapi.Server("", handler))
	h.client = &http.Client{Transport: &http.Transport{}}
	t.Cleanup(h.client.CloseIdleConnections)
	return h
}

// serve lets a server answer from now on.
func (h *house) serve(s *http.Server) {
	h.server = httptest.NewUnstartedServer(nil)
	h.server.Config = s
	s.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(h.logged, nil), slog.LevelInfo)
	h.server.Start()
	h.t.Cleanup(h.server.Close)
}

// answer is what came back.
type answer struct {
	t      testing.TB
	what   string
	status int
	header http.Header
	body   string
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with { return func(r *http.Request) { r.Header.Set(name, value) } }

func key(k string) with { return header("Idempotency-Key", k) }

func bearer(token string) with { return header("Authorization", "Bearer "+token) }

// call sends a request as the operator. The body is text, or is written as JSON; nil is none.
func (h *house) call(method, path string, body any, changes ...with) answer {
	h.t.Helper()
	var text io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		text = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		text = bytes.NewReader(j)
	}
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, text)
	if err != nil {
		h.t.Fatal(err)
	}
	bearer(h.operator)(r)
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, change := range changes {
		change(r)
	}
	resp, err := h.client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{h.t, method + " " + path, resp.StatusCode, resp.Header, string(b)}
}

func (h *house) get(path string, changes ...with) answer {
	h.t.Helper()
	return h.call("GET", path, nil, changes...)
}

// is checks the status.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d: %s", a.what, a.status, status, a.body)
	}
	return a
}

// refused checks a refusal.
func (a answer) refused(status int, code api.Code) api.Problem {
	a.t.Helper()
	a.is(status)
	p := into[api.Problem](a)
	if p.Code != code || p.Status != status || p.Title == "" || a.header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("%s: want a problem %s: %s %s", a.what, code, a.header.Get("Content-Type"), a.body)
	}
	return p
}

func into[T any](a answer) (v T) {
	a.t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, a.body)
	}
	return v
}

// position is where a change stands.
func (a answer) position() uint64 {
	a.t.Helper()
	p := into[api.Receipt](a).Position
	if p == nil {
		a.t.Fatalf("%s: no position: %s", a.what, a.body)
	}
	return *p
}

// acme is provider acme with company globex, which pays.
func (h *house) acme() {
	h.t.Helper()
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Acme"}).is(201)
	h.call("PUT", "/v1/providers/acme/payment-method", map[string]any{"system": "fastspring", "account": "fs-1"}).is(200)
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Globex", "allocation": "automatic"}).is(201)
}

// endpointLicense allocates a license to an endpoint of globex and gives its row.
func (h *house) allocated(licenseType, endpoint string) api.LicenseAnswer {
	h.t.Helper()
	a := h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
		"license_type": licenseType, "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": endpoint},
	})
	if a.status != 200 && a.status != 201 {
		h.t.Fatalf("%s: %d %s", a.what, a.status, a.body)
	}
	return into[api.LicenseAnswer](a)
}
