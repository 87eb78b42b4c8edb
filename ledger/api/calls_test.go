package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// Every call goes where the contract says, with the body and the parameters that it says.
func TestCalls(t *testing.T) {
	at := time.Date(2026, 3, 11, 4, 0, 0, 0, time.FixedZone("", 3600))
	read := api.ReadOptions{After: 7, AsOf: at}
	list := api.ListQuery{ReadOptions: read, PageOptions: api.PageOptions{Limit: 10, Cursor: "c", Sort: "-name"}}
	const listed = "after=7&as_of=2026-03-11T03:00:00Z&cursor=c&limit=10&sort=-name"
	key := api.ChangeOptions{IdempotencyKey: "k1"}
	off := false
	filter := api.LicenseFilter{Company: "globex", LicenseType: "server", Status: "used", Month: "2026-03", Q: "pc 17"}

	type clientCall = func(context.Context, *api.Client) (any, error)
	for _, row := range []struct {
		request string // method and path
		query   string
		body    string // JSON, or nothing
		keyed   bool
		call    clientCall
	}{
		{"PUT /v1/providers/acme", "dry_run=true", `{"name":"Acme","currency":"EUR"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PutProvider(ctx, "acme", api.ProviderSettings{Name: "Acme", Currency: "EUR"}, api.ChangeOptions{IdempotencyKey: "k1", DryRun: true})
		}},
		{"GET /v1/providers/acme", "after=7&as_of=2026-03-11T03:00:00Z", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Provider(ctx, "acme", read)
		}},
		{"GET /v1/providers", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) { return c.Providers(ctx, list) }},
		{"PUT /v1/providers/acme/companies/globex", "", `{"name":"Globex"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PutCompany(ctx, "acme", "globex", api.CompanySettings{Name: "Globex"}, key)
		}},
		{"GET /v1/providers/acme/companies/globex", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Company(ctx, "acme", "globex", api.ReadOptions{})
		}},
		{"GET /v1/providers/acme/companies", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Companies(ctx, "acme", list)
		}},
		{"PUT /v1/providers/acme/administrators/ann", "", `{"name":"Ann","permissions":["licenses.buy"]}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PutAdministrator(ctx, "acme", "ann", api.AdministratorSettings{Name: "Ann", Permissions: []string{api.PermissionBuyLicenses}}, key)
		}},
		{"GET /v1/providers/acme/administrators/ann", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Administrator(ctx, "acme", "ann", api.ReadOptions{})
		}},
		{"GET /v1/providers/acme/administrators", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Administrators(ctx, "acme", list)
		}},
		{"POST /v1/providers/acme/tokens", "", `{"subject":"agent:pc-17"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.IssueToken(ctx, "acme", api.TokenIssue{Subject: "agent:pc-17"}, key)
		}},
		{"GET /v1/providers/acme/tokens", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Tokens(ctx, "acme", list)
		}},
		{"DELETE /v1/providers/acme/tokens/01J", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.RevokeToken(ctx, "acme", "01J", key)
		}},
		{"PUT /v1/providers/acme/payment-method", "", `{"system":"fastspring","account":"a"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PutPaymentMethod(ctx, "acme", api.PaymentMethodSettings{System: api.SystemFastSpring, Account: "a"}, key)
		}},
		{"GET /v1/providers/acme/payment-method", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PaymentMethod(ctx, "acme", api.ReadOptions{})
		}},
		{"DELETE /v1/providers/acme/payment-method", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.DeletePaymentMethod(ctx, "acme", key)
		}},
		{"POST /v1/providers/acme/payments", "", `{"invoice":"S-000001","outcome":"failed","reason":"card"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.RecordPayment(ctx, "acme", api.PaymentRecord{Invoice: "S-000001", Outcome: api.OutcomeFailed, Reason: "card"}, key)
		}},
		{"GET /v1/providers/acme/payments", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Payments(ctx, "acme", list)
		}},
		{"POST /v1/providers/acme/endpoints", "", `{"company":"globex","endpoint":"pc-17","name":"PC","license_type":"vm-server","sockets":4}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.InstallEndpoint(ctx, "acme", api.EndpointInstall{Company: "globex", Endpoint: "pc-17", Name: "PC", LicenseType: "vm-server", Sockets: 4}, key)
		}},
		{"GET /v1/providers/acme/endpoints/pc-17", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Endpoint(ctx, "acme", "pc-17", api.ReadOptions{})
		}},
		{"GET /v1/providers/acme/endpoints", "company=globex", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Endpoints(ctx, "acme", api.EndpointQuery{Company: "globex"})
		}},
		{"POST /v1/providers/acme/endpoints/pc-17/move", "", `{"company":"initech"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.MoveEndpoint(ctx, "acme", "pc-17", api.EndpointMove{Company: "initech"}, key)
		}},
		{"DELETE /v1/providers/acme/endpoints/pc-17", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.ReleaseEndpoint(ctx, "acme", "pc-17", key)
		}},
		{"POST /v1/providers/acme/licenses", "", `{"license_type":"server","quantity":5,"auto_renew":false}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.BuyLicenses(ctx, "acme", api.LicenseBuy{LicenseType: "server", Quantity: 5, AutoRenew: &off}, key)
		}},
		{"GET /v1/providers/acme/licenses", "company=globex&license_type=server&month=2026-03&q=pc 17&sort=license_type&status=used", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Licenses(ctx, "acme", api.LicenseQuery{PageOptions: api.PageOptions{Sort: "license_type"}, LicenseFilter: filter})
		}},
		{"GET /v1/providers/acme/licenses/01J", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.License(ctx, "acme", "01J", api.ReadOptions{})
		}},
		{"GET /v1/providers/acme/licenses/counters", "company=globex&license_type=server&month=2026-03&q=pc 17&status=used", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.LicenseCounters(ctx, "acme", api.CountersQuery{LicenseFilter: filter})
		}},
		{"POST /v1/providers/acme/licenses/allocate", "", `{"license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"}}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.AllocateLicense(ctx, "acme", api.LicenseAllocate{LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "pc-17"}}, key)
		}},
		{"POST /v1/providers/acme/licenses/01J/unassign", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.UnassignLicense(ctx, "acme", "01J", key)
		}},
		{"POST /v1/providers/acme/licenses/01J/release", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.ReleaseLicense(ctx, "acme", "01J", key)
		}},
		{"POST /v1/providers/acme/licenses/01J/renew", "", "", true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.RenewLicense(ctx, "acme", "01J", key)
		}},
		{"POST /v1/providers/acme/licenses/01J/change", "", `{"license_type":"ultimate"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.ChangeLicense(ctx, "acme", "01J", api.LicenseChange{LicenseType: "ultimate"}, key)
		}},
		{"POST /v1/providers/acme/licenses/01J/auto-renew", "", `{"enabled":false}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.SetAutoRenew(ctx, "acme", "01J", api.AutoRenew{}, key)
		}},
		{"POST /v1/providers/acme/licenses/group", "", `{"action":"release","filter":{"company":"globex","license_type":"server","status":"used","month":"2026-03","q":"pc 17"}}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.GroupLicenses(ctx, "acme", api.LicenseGroup{Action: api.ActionRelease, Filter: &filter}, key)
		}},
		{"GET /v1/providers/acme/usage-history", "company=globex&month=2026-03&q=pc", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.UsageHistory(ctx, "acme", api.UsageHistoryQuery{Month: "2026-03", Company: "globex", Q: "pc"})
		}},
		{"POST /v1/providers/acme/usage", "", `{"agent":"pc-17","spool":"","seq":43,"void":"disk lost"}`, false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.ReportUsage(ctx, "acme", api.Report{Agent: "pc-17", Seq: 43, Void: "disk lost"}, api.ChangeOptions{})
		}},
		{"POST /v1/providers/acme/usage", "", `[{"specversion":"1.0","source":"pc-17","id":"e","type":"m","sequence":"1","time":"2026-03-11T03:00:00Z","data":{"value":1.50}}]`, false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.ReportEvents(ctx, "acme", []api.CloudEvent{{SpecVersion: "1.0", Source: "pc-17", ID: "e", Type: "m", Sequence: "1", Time: at.UTC(), Data: api.CloudEventData{Value: "1.50"}}}, api.ChangeOptions{})
		}},
		{"GET /v1/providers/acme/usage", "aggregate=max&from=2026-03-11&group_by=company,day&meter=m&to=2026-03-11T04:00:00.5Z", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Usage(ctx, "acme", api.UsageQuery{Meter: "m", From: "2026-03-11", To: api.At(at.Add(time.Hour + time.Second/2)), GroupBy: []string{"company", "day"}, Aggregate: "max"})
		}},
		{"GET /v1/providers/acme/usage/gaps", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.UsageGaps(ctx, "acme", list)
		}},
		{"GET /v1/providers/acme/next-payment", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.NextPayment(ctx, "acme", api.ReadOptions{})
		}},
		{"POST /v1/providers/acme/estimate", "after=7&as_of=2026-03-11T03:00:00Z", `{"month":"2026-03","items":[{"license_type":"server","quantity":3,"days":10}]}`, false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Estimate(ctx, "acme", api.Estimate{Month: "2026-03", Items: []api.EstimateItem{{LicenseType: "server", Quantity: "3", Days: 10}}}, read)
		}},
		{"GET /v1/providers/acme/invoices", "month=2026-03", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Invoices(ctx, "acme", api.InvoiceQuery{Month: "2026-03"})
		}},
		{"GET /v1/providers/acme/invoices/S-000001", "", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Invoice(ctx, "acme", "S-000001", api.ReadOptions{})
		}},
		{"POST /v1/providers/acme/adjustments", "", `{"month":"2026-02","company":"globex","amount":"-10.00","reason":"goodwill"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Adjust(ctx, "acme", api.Adjustment{Month: "2026-02", Company: "globex", Amount: "-10.00", Reason: "goodwill"}, key)
		}},
		{"GET /v1/providers/acme/notices", listed, "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Notices(ctx, "acme", api.NoticeQuery{ReadOptions: list.ReadOptions, PageOptions: list.PageOptions})
		}},
		{"GET /v1/providers/acme/notices", "company=globex&kind=payment-failed&news=bad&standing=true", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Notices(ctx, "acme", api.NoticeQuery{News: api.NewsBad, Kind: "payment-failed", Company: "globex", Standing: true})
		}},
		{"GET /v1/catalog", "month=2026-05", "", false, func(ctx context.Context, c *api.Client) (any, error) {
			return c.Catalog(ctx, api.CatalogQuery{Month: "2026-05"})
		}},
		{"PUT /v1/catalog", "", `{"effective":"2026-05","minimum":{"USD":"20.00"},"types":[]}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.PublishCatalog(ctx, api.Catalog{Effective: "2026-05", Minimum: map[string]string{"USD": "20.00"}, Types: []api.LicenseType{}}, key)
		}},
		{"GET /v1/clock", "", "", false, func(ctx context.Context, c *api.Client) (any, error) { return c.Clock(ctx, api.ReadOptions{}) }},
		{"PUT /v1/clock", "", `{"now":"2026-04-01T00:00:00Z"}`, true, func(ctx context.Context, c *api.Client) (any, error) {
			return c.SetClock(ctx, api.Clock{Now: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}, key)
		}},
	} {
		t.Run(row.request, func(t *testing.T) {
			asked := 0
			c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				body, _ := io.ReadAll(r.Body)
				if got := r.Method + " " + r.URL.Path; got != row.request {
					t.Errorf("asked for %s, want %s", got, row.request)
				}
				if query, err := url.QueryUnescape(r.URL.RawQuery); err != nil || query != row.query {
					t.Errorf("query %s, want %s", query, row.query)
				}
				if row.body == "" {
					if len(body) > 0 || r.Header.Get("Content-Type") != "" {
						t.Errorf("sent %s body %s, want none", r.Header.Get("Content-Type"), body)
					}
				} else if diff := cmp.Diff(literal(t, []byte(row.body)), literal(t, body)); diff != "" {
					t.Errorf("body (-want +got):\n%s", diff)
				}
				if media := map[byte]string{'{': "application/json", '[': "application/cloudevents-batch+json"}; row.body != "" && r.Header.Get("Content-Type") != media[row.body[0]] {
					t.Errorf("content type %s", r.Header.Get("Content-Type"))
				}
				if got, want := r.Header.Get("Idempotency-Key"), map[bool]string{true: "k1"}[row.keyed]; got != want {
					t.Errorf("idempotency key %q, want %q", got, want)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer "+secret {
					t.Errorf("authorization %q", got)
				}
				answer(w, 200, `{}`)
			})
			if _, err := row.call(t.Context(), c); err != nil {
				t.Error(err)
			}
			if asked != 1 {
				t.Errorf("%d requests, want 1", asked)
			}
		})
	}
}

func TestStreams(t *testing.T) {
	for _, row := range []struct {
		request, accept string
		call            func(context.Context, *api.Client) (io.ReadCloser, error)
	}{
		{"/v1/providers/acme/licenses?company=globex", "text/csv", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.LicensesCSV(ctx, "acme", api.LicenseQuery{LicenseFilter: api.LicenseFilter{Company: "globex"}})
		}},
		{"/v1/providers/acme/usage-history?month=2026-03", "text/csv", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.UsageHistoryCSV(ctx, "acme", api.UsageHistoryQuery{Month: "2026-03"})
		}},
		{"/v1/providers/acme/invoices/S-000001", "application/pdf", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.InvoiceDocument(ctx, "acme", "S-000001", api.MediaPDF, api.ReadOptions{})
		}},
		{"/v1/providers/acme/changes?since=411", "application/jsonl", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.Changes(ctx, "acme", api.ChangesQuery{Since: 411})
		}},
		{"/v1/audit/entries?from=2026-03-11T04%3A00%3A00Z&kind=k&provider=acme", "application/jsonl", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.AuditEntries(ctx, api.AuditQuery{From: api.At(time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC)), Provider: "acme", Kind: "k"})
		}},
		{"/v1/providers/acme/companies", "text/csv", func(ctx context.Context, c *api.Client) (io.ReadCloser, error) {
			return c.Open(ctx, api.MediaCSV, api.ListQuery{}, "providers", "acme", "companies")
		}},
	} {
		t.Run(row.request, func(t *testing.T) {
			c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != "GET" || r.RequestURI != row.request || r.Header.Get("Accept") != row.accept {
					t.Errorf("asked %s %s for %s", r.Method, r.RequestURI, r.Header.Get("Accept"))
				}
				w.Header().Set("Content-Type", row.accept+"; charset=utf-8")
				io.WriteString(w, "one\ntwo\n")
			})
			body, err := row.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if text, err := io.ReadAll(body); err != nil || string(text) != "one\ntwo\n" {
				t.Errorf("read %q, %v", text, err)
			}
		})
	}
}

const secret = "tok-5ecret"

// ledger is a client of a server that answers with the handler. The body of every answer must be closed in the end.
func ledger(t *testing.T, handler http.HandlerFunc) *api.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	bodies := &openBodies{transport: server.Client().Transport}
	t.Cleanup(func() {
		server.Close()
		if n := bodies.open.Load(); n != 0 {
			t.Errorf("%d answers were not closed", n)
		}
	})
	return &api.Client{BaseURL: server.URL, Token: secret, HTTP: &http.Client{Transport: bodies}}
}

// openBodies counts the answers that are not closed.
type openBodies struct {
	transport http.RoundTripper
	open      atomic.Int64
}

func (o *openBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := o.transport.RoundTrip(r)
	if err == nil {
		o.open.Add(1)
		resp.Body = &openBody{resp.Body, sync.OnceFunc(func() { o.open.Add(-1) })}
	}
	return resp, err
}

type openBody struct {
	io.ReadCloser
	closed func()
}

func (b *openBody) Close() error {
	b.closed()
	return b.ReadCloser.Close()
}

func answer(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// refuse answers as the ledger refuses.
func refuse(w http.ResponseWriter, p *api.Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}
