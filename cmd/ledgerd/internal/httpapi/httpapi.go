package httpapi

import (
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/cmd/ledgerd/internal/leasekeys"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/projections"
	"licenseledger/projections/audit"
)

// Submitter takes commands; the sequencer does.
type Submitter interface {
	Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error)
}

// Mover moves a test clock. It returns the position of the last entry once everything due until t is recorded.
type Mover interface {
	Move(ctx context.Context, t time.Time) (position uint64, err error)
}

// Config is what the API stands on. What is not said to be optional must be there.
type Config struct {
	Submit   Submitter
	Licenses *projections.Store
	Usage    *projections.Store
	Invoices *projections.Store
	Notices  *projections.Store
	Audit    *projections.Store
	Clock    ledger.Clock
	Mover    Mover // optional: only with a test clock
	Auth     *auth.Verifier
	Names    *names.Store
	Leases   *leasekeys.Keys

	KeySecrets *auth.KeySecrets // of annual keys

	AuditReader *audit.Reader          // of the store Audit
	AuditKey    func() (string, error) // the public key of checkpoints

	Logger   *slog.Logger         // optional
	Registry *prometheus.Registry // optional; others may have registered metrics of their own
	Stats    func() ledger.Stats  // optional: the sequencer's, for metrics
	Intake   func() intake.Stats  // optional: the NATS intake's, for metrics
	Ready    func() error         // optional: what else stands in the way of serving
	Random   io.Reader            // optional: crypto/rand

	Timeout  time.Duration // optional: how long a change waits for its outcome; 30 s
	ReadWait time.Duration // optional: how long a read waits for the entry that it must have seen; 10 s
	Fresh    time.Duration // optional: how long a read that names none waits for what was answered before; 250 ms

	// Disconnect, which is optional, ends the NATS connections of an agent whose token was revoked.
	Disconnect func(provider, agent string) error
}

func (c *Config) check() error {
	for _, needed := range []struct {
		name    string
		missing bool
	}{
		{"Submit", c.Submit == nil}, {"Licenses", c.Licenses == nil}, {"Usage", c.Usage == nil}, {"Invoices", c.Invoices == nil},
		{"Notices", c.Notices == nil}, {"Audit", c.Audit == nil}, {"AuditReader", c.AuditReader == nil}, {"AuditKey", c.AuditKey == nil}, {"Clock", c.Clock == nil}, {"Auth", c.Auth == nil}, {"Names", c.Names == nil},
		{"Leases", c.Leases == nil}, {"KeySecrets", c.KeySecrets == nil},
	} {
		if needed.missing {
			return errors.New("httpapi: the configuration has no " + needed.name)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Stats == nil {
		c.Stats = func() ledger.Stats { return ledger.Stats{} }
	}
	if c.Intake == nil {
		c.Intake = func() intake.Stats { return intake.Stats{} }
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	if c.Random == nil {
		c.Random = crand.Reader
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.ReadWait == 0 {
		c.ReadWait = 10 * time.Second
	}
	if c.Fresh == 0 {
		c.Fresh = 250 * time.Millisecond
	}
	return nil
}

// server is the API.
type server struct {
	Config
	mux *http.ServeMux
	api huma.API

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec

	answered atomic.Uint64 // the highest position that a caller was told
	drawing  sync.Mutex    // held while Random is read
}

// New makes the API's handler, which is safe for concurrent use.
func New(c Config) (http.Handler, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &server{Config: c, mux: http.NewServeMux()}
	if err := s.countRequests(); err != nil {
		return nil, fmt.Errorf("httpapi: register metrics: %w", err)
	}
	s.api = humago.New(s.mux, s.document())
	for _, family := range []func(){
		s.providers, s.companies, s.administrators, s.erasures, s.tokens, s.payments, s.endpoints, s.endpointChanges, s.leases,
		s.grid, s.licenseChanges, s.licenseManagement, s.licenseGroups, s.keys, s.jobs, s.seats, s.instances,
		s.usage, s.history, s.invoices, s.adjustments, s.nextPayments, s.explanations, s.estimates, s.catalog, s.clock, s.notices, s.changes, s.audit, s.outside,
	} {
		family()
	}
	schemas := s.api.OpenAPI().Components.Schemas.Map()
	// huma describes its own errors beside ours, which nobody is sent.
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for _, schema := range schemas {
		for _, property := range schema.Properties {
			neverNull(property)
		}
	}
	doc, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("httpapi: write the OpenAPI document: %w", err)
	}
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.MediaJSON)
		_, _ = w.Write(doc) // a caller that is gone needs no answer
	})
	s.mux.HandleFunc("/", s.unknownPath)
	return s.observe(s.mux), nil
}

// neverNull corrects huma's description of a list, which it says may be null.
func neverNull(s *huma.Schema) *huma.Schema {
	s.Nullable = s.Nullable && s.Type != huma.TypeArray
	return s
}

// document is the OpenAPI document before the calls are in it, and how huma works.
func (s *server) document() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[json.Number](), reflect.TypeFor[float64]())
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "License ledger",
				Version: "1",
				Description: "Licenses, usage and invoices of backup providers. Times are RFC 3339 in UTC, amounts decimal strings beside their currency, " +
					"ranges exclude their end. Every refusal is a problem (RFC 9457) with a stable `code`.",
			},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "Authorization: Bearer TOKEN"},
				},
			},
		},
		Formats:                      map[string]huma.Format{api.MediaJSON: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                api.MediaJSON,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{s.ownProblems, func(ctx huma.Context, _ string, v any) (any, error) { return s.covered(ctx.Context(), v), nil }},
	}
}

// nothing is a read for the sake of the position.
func nothing(*bbolt.Tx) error { return nil }

// Server serves a handler on an address. A request's header must be there within 10 s and its body within a minute, and its
// answer taken within two; what rightly takes longer (a clock that moves far, much CSV) gives itself more time.
func Server(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
	}
}
