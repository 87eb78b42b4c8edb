package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
)

// Every code of the contract is caused by some request, but for those of calls that are not there yet.
func TestEveryCode(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.ReadWait = 20 * time.Millisecond })
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/initech", map[string]any{"name": "Initech", "pool": "company", "allowed_types": []string{"desktop"}}).is(201)
	h.call("PUT", "/v1/providers/poor", map[string]any{"name": "Poor"}).is(201)
	free := into[api.LicensesBought](h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 2}).is(201))
	held := h.allocated("server", "pc-1").License
	gone := h.allocated("desktop", "pc-2").License
	h.call("POST", "/v1/providers/acme/licenses/"+gone.ID+"/release", nil).is(200)
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}, key("used")).is(201)
	h.call("POST", "/v1/providers/acme/usage", report("pc-1", 1, 5)).is(200)

	// A catalog in which a type is closed, in force from March.
	c := into[map[string]any](h.get("/v1/catalog"))
	c["effective"] = "2026-03"
	for _, typ := range c["types"].([]any) {
		if typ := typ.(map[string]any); typ["id"] == "onboarding" {
			typ["closed"] = true
		}
	}
	h.call("PUT", "/v1/catalog", c).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-02T00:00:00Z"}).is(200)

	server := func(kind, id string) map[string]any {
		return map[string]any{"license_type": "server", "company": "globex", "assignee": map[string]any{"kind": kind, "id": id}}
	}
	answering := func(err error) func() {
		return func() {
			h.instead(func(context.Context, ledger.Command) (ledger.Receipt, error) { return ledger.Receipt{}, err })
		}
	}
	buy := map[string]any{"license_type": "server", "quantity": 1}
	const licenses = "/v1/providers/acme/licenses"
	backup := map[string]any{"instance": "srv-1", "job": "nightly", "kind": "backup", "objects": []any{mailbox("ann"), mailbox("bob")}}
	seated, unpaid := h.activated(2, "srv-1").ID, h.activated(2, "srv-1")
	h.call("POST", keysURL+seated+"/jobs", backup).is(200)
	h.call("POST", "/v1/providers/acme/payments", map[string]any{"invoice": "P-000002", "outcome": "failed"}).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-09T00:00:00Z"}).is(200)
	rows := []struct {
		code   api.Code
		status int
		before func()
		method string
		path   string
		body   any
		with   []with
		check  func(t *testing.T, a answer, p api.Problem)
	}{
		{code: "invalid", status: 400, method: "POST", path: licenses, body: `{"license_type":`},
		{code: "invalid", status: 422, method: "POST", path: licenses, body: map[string]any{"license_type": "server", "quantity": 0}, check: func(t *testing.T, _ answer, p api.Problem) {
			if len(p.Errors) != 1 || p.Errors[0].Location != "body.quantity" {
				t.Errorf("errors %+v", p.Errors)
			}
		}},
		{code: "invalid", status: 422, method: "POST", path: licenses, body: map[string]any{"license_type": "mainframe", "quantity": 1}, check: func(t *testing.T, _ answer, p api.Problem) {
			if len(p.Errors) != 1 || p.Errors[0].Location != "body.license_type" {
				t.Errorf("errors %+v", p.Errors)
			}
		}},
		{code: "too_large", status: 413, method: "POST", path: licenses, body: strings.Repeat(" ", api.MaxBody+1)},
		{code: "unauthenticated", status: 401, method: "GET", path: licenses, with: []with{header("Authorization", "")}, check: wantsToken},
		{code: "unauthenticated", status: 401, method: "GET", path: licenses, with: []with{bearer("ledger_op_nonsense")}, check: wantsToken},
		{code: "permission_denied", status: 403, method: "POST", path: licenses, body: buy,
			with: []with{bearer(h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}))},
			check: func(t *testing.T, _ answer, p api.Problem) {
				if p.Permission != "licenses.buy" {
					t.Errorf("permission %q", p.Permission)
				}
			}},
		{code: "not_found", status: 404, method: "GET", path: "/v1/providers/nobody"},
		{code: "not_found", status: 404, method: "GET", path: licenses + "/nope"},
		{code: "not_found", status: 404, method: "GET", path: licenses + "/01JPB2Z8Q0T3W6X9YAMC5D7E8F"},
		{code: "not_found", status: 404, method: "POST", path: licenses + "/01JPB2Z8Q0T3W6X9YAMC5D7E8F/release"},
		{code: "not_found", status: 404, method: "POST", path: licenses, body: map[string]any{"license_type": "server", "quantity": 1, "company": "umbrella"}},
		{code: "not_found", status: 404, method: "GET", path: licenses, with: []with{bearer(h.tokenOf(auth.Principal{Kind: auth.KindProvider, Provider: "poor"}))}},
		{code: "payment_method_required", status: 402, method: "POST", path: "/v1/providers/poor/licenses", body: buy},
		{code: "license_already_held", status: 409, method: "POST", path: licenses + "/allocate", body: server("endpoint", "pc-1")},
		{code: "type_not_allowed", status: 409, method: "POST", path: licenses, body: map[string]any{"license_type": "server", "quantity": 1, "company": "initech"}},
		{code: "requires_vm_server", status: 409, method: "POST", path: licenses + "/allocate", body: map[string]any{
			"license_type": "vm-server-socket", "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": "pc-1"}}},
		{code: "already_assigned", status: 409, method: "POST", path: licenses + "/allocate", body: map[string]any{
			"license": held.ID, "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": "pc-3"}}},
		{code: "license_closed", status: 409, method: "POST", path: licenses + "/" + gone.ID + "/release"},
		{code: "pool_empty", status: 409, method: "POST", path: licenses + "/allocate", body: map[string]any{
			"license_type": "desktop", "company": "initech", "assignee": map[string]any{"kind": "endpoint", "id": "pc-4"}}},
		{code: "type_closed", status: 409, method: "POST", path: licenses, body: map[string]any{"license_type": "onboarding", "quantity": 1}},
		{code: "release_locked", status: 409, method: "POST", path: keysURL + seated + "/seats/ann/release", check: func(t *testing.T, _ answer, p api.Problem) {
			if !p.Until.Equal(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)) {
				t.Errorf("until %s", p.Until)
			}
		}},
		{code: "seats_short", status: 409, method: "POST", path: keysURL + seated + "/convert", body: map[string]any{"mailboxes": 2, "seats": 1}},
		{code: "key_suspended", status: 409, method: "POST", path: keysURL + unpaid.ID + "/jobs", body: backup},
		{code: "key_not_activated", status: 409, method: "POST", path: keysURL + seated + "/jobs", body: map[string]any{"instance": "srv-2", "job": "j", "kind": "restore"}},
		{code: "key_not_activated", status: 409, method: "GET", path: keysURL + seated + "/lease?instance=srv-2"},
		{code: "idempotency_mismatch", status: 422, before: func() {
			h.call("POST", licenses, buy, key("again")).is(201)
		}, method: "POST", path: licenses, body: map[string]any{"license_type": "server", "quantity": 2}, with: []with{key("again")}},
		{code: "sequence_reused", status: 409, method: "POST", path: "/v1/providers/acme/usage", body: report("pc-1", 1, 6)},
		{code: "behind", status: 503, method: "GET", path: licenses + "?after=1000000", check: func(t *testing.T, _ answer, p api.Problem) {
			if p.Position == nil || *p.Position == 0 || *p.Position > 1000 {
				t.Errorf("position %v", p.Position)
			}
		}},
		{code: "key_expired", status: 409, before: func() {
			h.call("PUT", "/v1/clock", map[string]any{"now": "2027-03-02T00:00:00Z"}).is(200)
		}, method: "POST", path: keysURL + seated + "/jobs", body: backup},
		{code: "overloaded", status: 503, before: answering(ledger.ErrOverloaded), method: "POST", path: licenses, body: buy, check: saysWhen},
		{code: "unavailable", status: 503, before: answering(fmt.Errorf("%w: disk /dev/sda1", ledger.ErrUnavailable)), method: "POST", path: licenses, body: buy, check: saysWhen},
		{code: "outcome_unknown", status: 503, before: answering(fmt.Errorf("%w: %w", ledger.ErrOutcomeUnknown, context.DeadlineExceeded)), method: "POST", path: licenses, body: buy, check: saysWhen},
		{code: "internal", status: 500, before: answering(errors.New("the password is swordfish")), method: "POST", path: licenses, body: buy, check: func(t *testing.T, a answer, p api.Problem) {
			if strings.Contains(a.body, "swordfish") || p.Detail != "" {
				t.Errorf("tells more than it should: %s", a.body)
			}
			if log := h.logged.String(); !strings.Contains(log, "swordfish") || !strings.Contains(log, a.header.Get("X-Request-Id")) {
				t.Errorf("the log does not say why:\n%s", log)
			}
		}},
	}
	seen := map[api.Code]bool{}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s %s %s", row.code, row.method, row.path), func(t *testing.T) {
			here := *h
			here.t = t
			if row.before != nil {
				h := h
				old := h.t
				h.t = t
				row.before()
				h.t = old
			}
			a := here.call(row.method, row.path, row.body, row.with...)
			p := a.refused(row.status, row.code)
			if row.check != nil {
				row.check(t, a, p)
			}
		})
		seen[row.code] = true
	}
	for _, code := range api.Codes() {
		later := map[api.Code]bool{
			api.CodeNotAssigned: true, // unassign
		}
		if !seen[code] && !later[code] {
			t.Errorf("nothing here causes %s", code)
		}
	}
	if free.Licenses[0].Assigned {
		t.Error("a bought license serves somebody")
	}
}

func wantsToken(t *testing.T, a answer, _ api.Problem) {
	if got := a.header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("WWW-Authenticate: %q", got)
	}
}

func saysWhen(t *testing.T, a answer, _ api.Problem) {
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(a.body, "/dev") {
		t.Errorf("tells the cause: %s", a.body)
	}
}

func report(agent string, seq, value int) map[string]any {
	return map[string]any{"agent": agent, "company": "globex", "seq": seq, "readings": []any{
		map[string]any{"meter": "backup_bytes", "value": value, "at": "2026-02-10T08:00:00Z"},
	}}
}

// What no route answers is a problem as well.
func TestUnknownPathsAndMethods(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/providers", "/v1/providers/acme/nothing", "/v1//providers", "/v1/../healthz", "/v1/providers/"} {
		h.get(path).refused(404, "not_found")
	}
	a := h.call("DELETE", "/v1/providers/acme", nil)
	a.refused(405, "invalid")
	if got := a.header.Get("Allow"); got != "GET, PUT" {
		t.Errorf("Allow: %q", got)
	}
	h.call("BREW", "/v1/providers", nil).refused(405, "invalid")
	if m := h.get("/metrics").body; !strings.Contains(m, `method="other"`) || strings.Contains(m, "BREW") || !strings.Contains(m, `route="unknown"`) {
		t.Errorf("callers make labels of metrics:\n%s", m)
	}
}

// A panic becomes "internal", and the next request is answered.
func TestPanic(t *testing.T) {
	h := newHouse(t)
	h.instead(func(context.Context, ledger.Command) (ledger.Receipt, error) { panic("swordfish") })
	a := h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Acme"})
	a.refused(500, "internal")
	if strings.Contains(a.body, "swordfish") || !strings.Contains(h.logged.String(), "swordfish") {
		t.Errorf("answer %s, log %s", a.body, h.logged)
	}
	h.get("/v1/providers").is(200)
}

// What a body must not be.
func TestBodies(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const path = "/v1/providers/acme/licenses"
	for _, row := range []struct {
		name, body string
		status     int
		location   string
	}{
		{"nothing", "", 400, ""},
		{"cut off", `{"license_type":"server","quantity":1`, 400, "body"},
		{"not JSON", `quantity=1`, 400, "body"},
		{"two values", `{"license_type":"server","quantity":1}{}`, 400, "body"},
		{"a name twice", `{"license_type":"server","quantity":1,"quantity":2}`, 400, "body"},
		{"not UTF-8", "{\"license_type\":\"server\xff\",\"quantity\":1}", 400, "body"},
		{"too deep", strings.Repeat("[", 100) + strings.Repeat("]", 100), 400, "body"},
		{"no object", `[]`, 422, "body"},
		{"null", `null`, 422, "body"},
		{"an unknown name", `{"license_type":"server","quantity":1,"color":"red"}`, 422, "body.color"},
		{"another case", `{"license_type":"server","Quantity":1}`, 422, "body.Quantity"},
		{"another type", `{"license_type":"server","quantity":"1"}`, 422, "body.quantity"},
		{"a fraction", `{"license_type":"server","quantity":1.5}`, 422, "body.quantity"},
		{"too much", `{"license_type":"server","quantity":2001}`, 422, "body.quantity"},
		{"missing", `{"license_type":"server"}`, 422, "body"},
	} {
		t.Run(row.name, func(t *testing.T) {
			here := *h
			here.t = t
			p := here.call("POST", path, row.body).refused(row.status, "invalid")
			if row.location != "" && (len(p.Errors) == 0 || p.Errors[0].Location != row.location) {
				t.Errorf("errors %+v, want at %s", p.Errors, row.location)
			}
		})
	}
	// Whatever the media type says, JSON is JSON.
	h.call("POST", path, `{"license_type":"server","quantity":1}`, header("Content-Type", "application/x-www-form-urlencoded")).is(201)
	// A call without a body takes none, or an empty one.
	l := h.allocated("server", "pc-1").License
	h.call("POST", path+"/"+l.ID+"/release", `{"force":true}`).refused(422, "invalid")
	h.call("POST", path+"/"+l.ID+"/release?dry_run=1", `{}`).is(200)
	// A body of just the size is read.
	body := `{"license_type":"server","quantity":1}`
	h.call("POST", path, body+strings.Repeat(" ", api.MaxBody-len(body))).is(201)
}

// endless is a body that counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A body that is too large is not read to its end: not at all where it says so, and no further than it may be where it does not.
func TestLargeBodies(t *testing.T) {
	h := newHouse(t)
	for _, row := range []struct {
		name         string
		length, most int64
	}{
		{"announced", 10 << 20, 0},
		{"chunked", -1, 2 << 20},
	} {
		for _, path := range []string{"/v1/providers/acme/licenses", "/v1/providers/acme/usage", "/v1/providers/acme/licenses/x/release"} {
			t.Run(row.name+path, func(t *testing.T) {
				body := &endless{}
				r := httptest.NewRequestWithContext(t.Context(), "POST", path, body)
				r.ContentLength = row.length
				bearer(h.operator)(r)
				w := httptest.NewRecorder()
				h.server.Config.Handler.ServeHTTP(w, r)
				answer{t, row.name, w.Code, w.Header(), w.Body.String()}.refused(413, "too_large")
				if body.read > row.most {
					t.Errorf("%d bytes were read", body.read)
				}
			})
		}
	}
	// And over a connection, with more than any buffer between takes.
	h.call("POST", "/v1/providers/acme/usage", strings.Repeat(" ", 10<<20)).refused(413, "too_large")
}

// Query parameters are as strict as bodies.
func TestQueries(t *testing.T) {
	h := newHouse(t)
	h.acme()
	for _, row := range []struct{ path, location string }{
		{"/v1/providers/acme/licenses?colour=red", "query.colour"},
		{"/v1/providers/acme/licenses?limit=0", "query.limit"},
		{"/v1/providers/acme/licenses?limit=1001", "query.limit"},
		{"/v1/providers/acme/licenses?limit=many", "query.limit"},
		{"/v1/providers/acme/licenses?limit=1&limit=2", "query.limit"},
		{"/v1/providers/acme/licenses?status=lost", "query.status"},
		{"/v1/providers/acme/licenses?company=a%00b", "query.company"},
		{"/v1/providers/acme/licenses?license_type=a%00b", "query.license_type"},
		{"/v1/providers/acme/licenses?sort=-price", "query.sort"},
		{"/v1/providers/acme/licenses?cursor=AAAA", "query.cursor"},
		{"/v1/providers/acme/licenses?q=--", "query.q"},
		{"/v1/providers/acme/licenses?month=2026-13", "query.month"},
		{"/v1/providers/acme/licenses/counters?q=-", "query.q"},
		{"/v1/providers/acme/licenses?as_of=2096-01-01T00:00:00Z", "query.as_of"},
		{"/v1/providers/acme/invoices?month=2026-13", "query.month"},
		{"/v1/providers/acme/payments?cursor=AAAA", "query.cursor"},
		{"/v1/providers/acme/usage?from=2026-02-01T00:30:00Z", "query.from"},
		{"/v1/providers/acme/usage?group_by=colour", "query.group_by[0]"},
		{"/v1/providers/acme/usage?group_by=day,month", "query.group_by"},
		{"/v1/providers/acme/usage?aggregate=median", "query.aggregate"},
		{"/v1/providers/acme/usage?after=-1", "query.after"},
		{"/v1/providers/a%20b", "path.provider"},
		{"/v1/providers/acme/licenses?a;b", "query"},
	} {
		t.Run(row.path, func(t *testing.T) {
			here := *h
			here.t = t
			p := here.get(row.path).refused(422, "invalid")
			if len(p.Errors) == 0 || p.Errors[0].Location != row.location {
				t.Errorf("errors %+v, want at %s", p.Errors, row.location)
			}
		})
	}
	h.call("POST", "/v1/providers/acme/licenses?dryrun=true", map[string]any{"license_type": "server", "quantity": 1}).refused(422, "invalid")
}

// What a call may take is not cut short by the server's limit for sending a body.
func TestSlowCallsOutliveTheReadDeadline(t *testing.T) {
	h := newHouse(t)
	s := httpapi.Server("", h.server.Config.Handler)
	s.ReadTimeout = 50 * time.Millisecond
	h.serve(s)
	h.instead(func(ctx context.Context, _ ledger.Command) (ledger.Receipt, error) {
		select {
		case <-ctx.Done():
			return ledger.Receipt{}, ctx.Err()
		case <-time.After(200 * time.Millisecond):
			return ledger.Receipt{}, ledger.ErrOverloaded
		}
	})
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Acme"}).refused(503, "overloaded")
}

// A change that was recorded, and whose answer then cannot be made, is not refused.
func TestAnswerCannotBeMade(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.Fresh = time.Millisecond })
	h.instead(func(context.Context, ledger.Command) (ledger.Receipt, error) { return ledger.Receipt{Entry: 99}, nil })
	h.call("POST", "/v1/providers/nobody/licenses", map[string]any{"license_type": "server", "quantity": 1}).refused(503, "outcome_unknown")
}

// A clock that stops on its way may have moved.
func TestClockStopsOnItsWay(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.Mover = moverFunc(func() error { return ledger.ErrUnavailable }) })
	h.call("PUT", "/v1/clock", map[string]any{"now": "2027-01-01T00:00:00Z"}).refused(503, "outcome_unknown")
}

type moverFunc func() error

func (f moverFunc) Move(context.Context, time.Time) (uint64, error) { return 0, f() }

// A change whose outcome does not come in time may have been recorded, and says so.
func TestTimeout(t *testing.T) {
	h := newHouse(t, func(c *httpapi.Config) { c.Timeout = 50 * time.Millisecond })
	gate := h.log.HoldAck()
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Acme"}, key("k1")).refused(503, "outcome_unknown")
	gate.Open()
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Acme"}, key("k1")).is(200)
}
