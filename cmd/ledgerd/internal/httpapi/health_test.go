package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// Health, readiness, metrics, the document, checkpoints and tiles of hashes need no token; nothing else goes without.
func TestWithoutToken(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) {
		c.Intake = func() intake.Stats {
			return intake.Stats{Recorded: 7, Refused: map[api.Code]int64{api.CodeNotFound: 2}}
		}
	})
	h.acme()
	nobody := header("Authorization", "")
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"} {
		h.get(path, nobody).is(200)
	}
	doc := into[map[string]any](h.get("/openapi.json"))
	for path, item := range doc["paths"].(map[string]any) {
		if !strings.HasPrefix(path, "/v1/") {
			continue
		}
		at := strings.NewReplacer("{provider}", "acme", "{", "", "}", "").Replace(path)
		for method := range item.(map[string]any) {
			if slices.Contains(public, strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/v1")) {
				continue
			}
			h.call(strings.ToUpper(method), at, nil, nobody).refused(401, "unauthenticated")
		}
	}
	ready := h.get("/readyz").is(200)
	for _, view := range []string{"licenses", "usage", "invoices", "audit"} {
		if !strings.Contains(ready.body, `"view":"`+view+`"`) {
			t.Errorf("%s is missing: %s", view, ready.body)
		}
	}
	h.get("/v1/providers/acme").is(200)
	metrics := h.get("/metrics").body
	for _, line := range []string{
		"ledger_entries_total 4", "ledger_records_total", "ledger_record_bytes_total", "ledger_conflicts_total 0", "ledger_queue_commands 0",
		`ledger_intake_reports_total{code="",status="recorded"} 7`, `ledger_intake_reports_total{code="not_found",status="refused"} 2`,
		`ledger_view_next_entry{view="licenses"}`, `ledger_view_lag_entries{view="usage"}`, `ledger_view_up{view="invoices"} 1`,
		`ledger_http_requests_total{method="GET",route="/v1/providers/{provider}",status="200"} 1`,
		`ledger_http_requests_total{method="PUT",route="/v1/providers/{provider}",status="201"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}
}

// stubborn is a view that stops at the first company.
type stubborn struct{ name string }

func (v stubborn) Name() string                             { return v.name }
func (stubborn) Usage() bool                                { return false }
func (stubborn) Begin(*bbolt.Tx) (projections.Batch, error) { return stubborn{}, nil }
func (stubborn) Flush() error                               { return nil }
func (stubborn) Done(bool)                                  {}
func (stubborn) Apply(e *events.Entry) error {
	if _, ok := e.Events[0].Data.(*events.CompanySet); ok {
		return errors.New("swordfish")
	}
	return nil
}

// A view that has stopped is named, with where it stands; what it knew can still be read, what it will never see is refused.
func TestStoppedView(t *testing.T) {
	dir := t.TempDir()
	store, err := projections.Open(dir, stubborn{"invoices"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	h := newHouse(t, func(c *httpapi.Config) { c.Invoices = store })
	ctx := t.Context()
	stopped := make(chan error, 1)
	go func() { stopped <- projections.Follow(ctx, h.stream.Open(), projections.Options{}, store) }()
	h.acme()
	if err := <-stopped; err == nil {
		t.Fatal("the view goes on")
	}
	a := h.get("/readyz")
	p := a.refused(503, "unavailable")
	if len(p.Errors) != 1 || p.Errors[0].Location != "invoices" || strings.Contains(a.body, "swordfish") || !strings.Contains(a.body, `"lag":1`) {
		t.Errorf("answer %s", a.body)
	}
	if m := h.get("/metrics").body; !strings.Contains(m, `ledger_view_up{view="invoices"} 0`) {
		t.Errorf("metrics do not show the view:\n%s", m)
	}
	h.get("/v1/providers/acme/invoices").is(200)
	h.get("/v1/providers/acme/invoices?after=3").refused(503, "unavailable")
	h.get("/v1/providers/acme/licenses?after=3").is(200)
}

func TestNotReady(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.Ready = func() error { return errors.New("no connection to 10.0.0.7") } })
	if a := h.get("/readyz"); strings.Contains(a.body, "10.0.0.7") {
		t.Errorf("tells the cause: %s", a.body)
	} else {
		a.refused(503, "unavailable")
	}
	if !strings.Contains(h.logged.String(), "10.0.0.7") {
		t.Error("the log does not tell the cause")
	}
}

// A read sees what was answered before, and says what it has seen; one that names a position waits for it.
func TestPositions(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.ReadWait = time.Minute })
	h.acme()
	for i := range 20 {
		company := fmt.Sprintf("/v1/providers/acme/companies/c-%d", i)
		position := h.call("PUT", company, map[string]any{"name": "C"}).is(201).position()
		var seen uint64
		if _, err := fmt.Sscan(h.get(company).is(200).header.Get("Ledger-Position"), &seen); err != nil || seen < position {
			t.Fatalf("a read saw %d, the change stands at %d: %v", seen, position, err)
		}
	}
	// The next entry comes while the read waits for it.
	next := h.call("PUT", "/v1/providers/acme/companies/last", map[string]any{"name": "C"}).is(201).position() + 1
	waiting := make(chan answer)
	go func() { waiting <- h.get(fmt.Sprintf("/v1/providers/acme/licenses/counters?after=%d", next)) }()
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}).is(201)
	if n := into[api.Counters]((<-waiting).is(200)); n.All != 1 {
		t.Errorf("counters %+v", n)
	}
}

// On real time nobody moves the clock.
func TestNoTestClock(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.Mover = nil })
	h.get("/v1/clock").refused(404, "not_found")
	if p := h.call("PUT", "/v1/clock", map[string]any{"now": "2027-01-01T00:00:00Z"}).refused(404, "not_found"); p.Hint == "" {
		t.Error("no hint")
	}
}

// The served document is OpenAPI 3.1 and describes every call with its refusals.
func TestOpenAPI(t *testing.T) {
	h := newHouse(t)
	a := h.get("/openapi.json", header("Authorization", "")).is(200)
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                    `json:"operationId"`
			Summary     string                    `json:"summary"`
			Security    []any                     `json:"security"`
			RequestBody map[string]any            `json:"requestBody"`
			Parameters  []map[string]any          `json:"parameters"`
			Responses   map[string]map[string]any `json:"responses"`
		} `json:"paths"`
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	want := []string{
		"delete /v1/providers/{provider}/endpoints/{endpoint}",
		"delete /v1/providers/{provider}/tokens/{token}",
		"get /v1/providers/{provider}/administrators",
		"get /v1/providers/{provider}/administrators/{administrator}",
		"get /v1/providers/{provider}/tokens",
		"post /v1/providers/{provider}/endpoints",
		"post /v1/providers/{provider}/endpoints/{endpoint}/move",
		"post /v1/providers/{provider}/erasures", "post /v1/providers/{provider}/what-if",
		"get /v1/providers/{provider}/invoices/{number}/explain", "get /v1/providers/{provider}/licenses/{license}/explain",
		"post /v1/providers/{provider}/estimate",
		"post /v1/providers/{provider}/licenses/group",
		"post /v1/providers/{provider}/licenses/{license}/auto-renew",
		"post /v1/providers/{provider}/licenses/{license}/change",
		"post /v1/providers/{provider}/licenses/{license}/renew",
		"post /v1/providers/{provider}/licenses/{license}/unassign",
		"post /v1/providers/{provider}/tokens",
		"get /v1/providers/{provider}/next-payment",
		"get /v1/providers/{provider}/payments",
		"post /v1/providers/{provider}/adjustments",
		"post /v1/providers/{provider}/payments",
		"put /v1/providers/{provider}/administrators/{administrator}",
		"delete /v1/providers/{provider}/payment-method", "get /healthz", "get /metrics", "get /openapi.json", "get /readyz",
		"get /v1/audit/checkpoint", "get /v1/audit/entries", "get /v1/audit/key", "get /v1/audit/proof", "get /v1/audit/tile/{tile}",
		"get /v1/providers/{provider}/changes",
		"get /v1/catalog", "get /v1/clock", "get /v1/providers", "get /v1/providers/{provider}",
		"get /v1/providers/{provider}/companies", "get /v1/providers/{provider}/companies/{company}",
		"get /v1/providers/{provider}/endpoints", "get /v1/providers/{provider}/endpoints/{endpoint}",
		"get /v1/providers/{provider}/invoices", "get /v1/providers/{provider}/invoices/draft", "get /v1/providers/{provider}/invoices/{number}",
		"get /v1/providers/{provider}/licenses", "get /v1/providers/{provider}/licenses/counters", "get /v1/providers/{provider}/licenses/{license}",
		"get /v1/providers/{provider}/notices", "get /v1/providers/{provider}/payment-method",
		"get /v1/providers/{provider}/endpoints/{endpoint}/lease", "get /.well-known/jwks.json",
		"get /v1/providers/{provider}/keys", "get /v1/providers/{provider}/keys/{key}", "get /v1/providers/{provider}/keys/{key}/seats",
		"get /v1/providers/{provider}/keys/{key}/lease", "get /v1/providers/{provider}/instances/{instance}/lease",
		"post /v1/activate", "post /v1/providers/{provider}/instances", "post /v1/providers/{provider}/keys",
		"post /v1/providers/{provider}/keys/{key}/activate", "post /v1/providers/{provider}/keys/{key}/add-seats", "post /v1/providers/{provider}/keys/{key}/convert",
		"post /v1/providers/{provider}/keys/{key}/renew", "post /v1/providers/{provider}/keys/{key}/jobs", "delete /v1/providers/{provider}/keys/{key}/jobs/{job}",
		"post /v1/providers/{provider}/keys/{key}/seats/{seat}/release",
		"get /v1/providers/{provider}/usage", "get /v1/providers/{provider}/usage-history", "get /v1/providers/{provider}/usage/gaps",
		"post /v1/providers/{provider}/licenses", "post /v1/providers/{provider}/licenses/allocate", "post /v1/providers/{provider}/licenses/{license}/release",
		"post /v1/providers/{provider}/usage",
		"put /v1/catalog", "put /v1/clock", "put /v1/providers/{provider}", "put /v1/providers/{provider}/companies/{company}",
		"put /v1/providers/{provider}/payment-method",
	}
	var got []string
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			name := method + " " + path
			got = append(got, name)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s: id %q, summary %q", name, op.OperationID, op.Summary)
			}
			ids[op.OperationID] = true
			if !strings.HasPrefix(path, "/v1/") || slices.Contains(public, strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/v1")) {
				continue
			}
			if len(op.Security) == 0 {
				t.Errorf("%s needs no token", name)
			}
			for _, status := range []string{"200", "401", "422", "500", "503"} {
				if op.Responses[status] == nil {
					t.Errorf("%s does not say %s", name, status)
				}
			}
			for status, response := range op.Responses {
				content, _ := response["content"].(map[string]any)
				if problem := content["application/problem+json"] != nil; problem != (status >= "400") {
					t.Errorf("%s: %s is a problem: %t", name, status, problem)
				}
				if content == nil {
					t.Errorf("%s: %s has no content", name, status)
				}
			}
			for _, p := range op.Parameters {
				if p["name"] == "after" && method != "get" && !strings.HasSuffix(path, "/estimate") && !strings.HasSuffix(path, "/what-if") || p["name"] == "dry_run" && method == "get" {
					t.Errorf("%s has a parameter %v", name, p["name"])
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// All references lead somewhere, and huma's own errors are not described.
	for rest := a.body; ; {
		_, after, ok := strings.Cut(rest, `"#/components/schemas/`)
		if !ok {
			break
		}
		name, after, _ := strings.Cut(after, `"`)
		if rest = after; doc.Components.Schemas[name] == nil {
			t.Errorf("the schema %s is missing", name)
		}
	}
	for _, word := range []string{`"null"`} {
		if strings.Contains(a.body, word) {
			t.Errorf("the document promises %s", word)
		}
	}
	if doc.Components.Schemas["ErrorModel"] != nil || doc.Components.Schemas["Problem"] == nil {
		t.Error("refusals are described wrongly")
	}
}
