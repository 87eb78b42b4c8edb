package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const (
	administrator = `{"id":"ann","name":"Ann","permissions":["licenses.manage","usage.history"]`
	payment       = `{"invoice":"S-000001","outcome":"failed","reason":"card","at":"2026-04-01T09:30:00Z"`
	forecast      = `"currency":"USD","lines":[` + line + `,{"kind":"minimum","month":"2026-03","amount":"2.00"}]`
)

// moreCommands are those of everyCommand that manage a provider's month.
func moreCommands() []struct{ args, expect string } {
	return []struct{ args, expect string }{
		{"admin set ann --name Ann --permissions licenses.manage,usage.history", `
			> PUT /v1/providers/acme/administrators/ann
			> {"name":"Ann","permissions":["licenses.manage","usage.history"]}
			< 201
			< ` + administrator + `,"position":7}`},
		{"admin set ann --dry-run", `
			> PUT /v1/providers/acme/administrators/ann?dry_run=true
			> {}
			< 200
			< {"id":"ann"}`},
		{"admin show ann", `
			> GET /v1/providers/acme/administrators/ann
			< 200
			< ` + administrator + `}`},
		{"admin list --limit 1", `
			> GET /v1/providers/acme/administrators?limit=1
			< 200
			< {"administrators":[` + administrator + `}],"next_cursor":"c"}`},
		{"token issue --subject agent:pc-17", `
			> POST /v1/providers/acme/tokens
			> {"subject":"agent:pc-17"}
			< 201
			< {"id":"01J","subject":"agent:pc-17","issued_at":"2026-03-11T04:00:00Z","token":"ledger_tk_x","position":7}`},
		{"token issue --subject provider --idempotency-key k-1", `
			> POST /v1/providers/acme/tokens
			> Idempotency-Key: k-1
			> {"subject":"provider"}
			< 201
			< {"id":"01J","subject":"provider","issued_at":"2026-03-11T04:00:00Z","position":7}`},
		{"token list --all", `
			> GET /v1/providers/acme/tokens?limit=1000
			< 200
			< {"tokens":[{"id":"01J","subject":"auditor:eve","issued_at":"2026-03-11T04:00:00Z"}]}`},
		{"token revoke 01J", `
			> DELETE /v1/providers/acme/tokens/01J
			< 200
			< {"id":"01J","position":8}`},
		{"endpoint install --endpoint pc-17 --company globex --license-type server --name Desk --sockets 4", `
			> POST /v1/providers/acme/endpoints
			> {"company":"globex","endpoint":"pc-17","name":"Desk","license_type":"server","sockets":4}
			< 201
			< {"license":` + license + `,"position":7}`},
		{"endpoint move pc-17 --company initech --dry-run", `
			> POST /v1/providers/acme/endpoints/pc-17/move?dry_run=true
			> {"company":"initech"}
			< 200
			< {"id":"pc-17","company":"initech"}`},
		{"endpoint remove pc-17", `
			> DELETE /v1/providers/acme/endpoints/pc-17
			< 200
			< {"licenses":[` + license + `],"position":7}`},
		{"endpoint lease pc-17 --after 7", `
			> GET /v1/providers/acme/endpoints/pc-17/lease?after=7
			< 200
			< {"lease":"x.y.z","iss":"01K","sub":"agent:pc-17","iat":1767600000,"exp":1768204800,"provider":"acme","status":"active",
			< "licenses":[{"id":"01J","license_type":"server","status":"paid","until":"2026-01-12T08:00:00Z"}],
			< "backup_until":"2026-01-12T08:00:00Z","offline_until":"2026-01-12T08:00:00Z","refresh_at":"2026-01-05T09:00:00Z"}`},
		{"license unassign 01J", `
			> POST /v1/providers/acme/licenses/01J/unassign
			< 200
			< {"license":` + license + `,"position":7}`},
		{"license change 01J --license-type ultimate", `
			> POST /v1/providers/acme/licenses/01J/change
			> {"license_type":"ultimate"}
			< 201
			< {"license":` + license + `,"closed":` + license + `,"position":7}`},
		{"license renew 01J", `
			> POST /v1/providers/acme/licenses/01J/renew
			< 201
			< {"license":` + license + `,"position":7}`},
		{"license auto-renew 01J --enabled=false", `
			> POST /v1/providers/acme/licenses/01J/auto-renew
			> {"enabled":false}
			< 200
			< {"license":` + license + `,"position":7}`},
		{"license group --action release --licenses 01J,01K", `
			> POST /v1/providers/acme/licenses/group
			> {"action":"release","licenses":["01J","01K"]}
			< 200
			< {"results":[{"license":"01J","ok":true},{"license":"01K","ok":true}],"position":7}`},
		{"license group --action auto-renew-off --company globex --month 2026-03 --dry-run", `
			> POST /v1/providers/acme/licenses/group?dry_run=true
			> {"action":"auto-renew-off","filter":{"company":"globex","month":"2026-03"}}
			< 200
			< {"results":[{"license":"01J","ok":true}],"savings":"1.25","currency":"USD"}`},
		{"license group --action auto-renew-on --all", `
			> POST /v1/providers/acme/licenses/group
			> {"action":"auto-renew-on","filter":{}}
			< 200
			< {"results":[{"license":"01J","ok":true}],"position":7}`},
		{"payment record --invoice S-000001 --outcome failed --reason card", `
			> POST /v1/providers/acme/payments
			> {"invoice":"S-000001","outcome":"failed","reason":"card"}
			< 201
			< ` + payment + `,"position":7}`},
		{"payment list", `
			> GET /v1/providers/acme/payments
			< 200
			< {"payments":[` + payment + `}]}`},
		{"adjustment --month 2026-02 --company globex --license-type server --license 01J --amount=-10.00 --reason goodwill", `
			> POST /v1/providers/acme/adjustments
			> {"month":"2026-02","company":"globex","license_type":"server","license":"01J","amount":"-10.00","reason":"goodwill"}
			< 201
			< {"lines":[{"kind":"adjustment","company":"globex","month":"2026-02","amount":"-10.00"}],"position":7}`},
		{"next-payment --after 7", `
			> GET /v1/providers/acme/next-payment?after=7
			< 200
			< {"amount":"20.00","accrued":"7.22","due":"2026-04-01","credit":"2.00","payment_method":"active",` + forecast + `}`},
		{"estimate --month 2026-05 --items server:3:10,backup-storage:33.50", `
			> POST /v1/providers/acme/estimate
			> {"month":"2026-05","items":[{"license_type":"server","quantity":3,"days":10},{"license_type":"backup-storage","quantity":33.50}]}
			< 200
			< {"subtotal":"18.00","minimum_adjustment":"2.00","total":"20.00",` + forecast + `}`},
		{"notices --standing --news bad --kind license-missing --company globex --all", `
			> GET /v1/providers/acme/notices?company=globex&kind=license-missing&limit=1000&news=bad&standing=true
			< 200
			< {"notices":[{"kind":"license-missing","news":"bad","standing":true,"at":"2026-03-11T04:00:00Z","text":"there is an agent","company":"globex",` +
			`"endpoint":"pc-17","license_type":"server","assignee":{"kind":"endpoint","id":"pc-17"},"position":5}]}`},
		{"notices", `
			> GET /v1/providers/acme/notices
			< 200
			< {"notices":[{"kind":"trial-ending","news":"bad","at":"2026-03-11T04:00:00Z","text":"ends in 3 days","license":"01J","position":5}]}`},
	}
}

// answering is a server that always answers so.
func answering(status int, body string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
}

// What changed comes as JSON Lines, and goes on so.
func TestChanges(t *testing.T) {
	const lines = `{"position":"412.0","kind":"license.allocated.v1","at":"2026-03-11T04:00:00Z","data":{"license":"01J"}}` + "\n" +
		`{"position":"413.1","kind":"license.renewed.v1","at":"2026-04-01T00:00:05Z","effective":"2026-04-01T00:00:00Z","data":{}}` + "\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v1/providers/acme/changes?since=411" || r.Header.Get("Accept") != "application/jsonl" {
			t.Errorf("%s, %s", r.URL, r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", "application/jsonl")
		_, _ = io.WriteString(w, lines)
	}))
	defer server.Close()
	for output, want := range map[string]string{
		"json": lines,
		"csv": "position,at,kind,effective,data\n412.0,2026-03-11T04:00:00Z,license.allocated.v1,,\"{\"\"license\"\":\"\"01J\"\"}\"\n" +
			"413.1,2026-04-01T00:00:05Z,license.renewed.v1,2026-04-01T00:00:00Z,{}\n",
		"table": "POSITION  AT                    KIND                  DATA\n" +
			"412.0     2026-03-11T04:00:00Z  license.allocated.v1  {\"license\":\"01J\"}\n" +
			"413.1     2026-04-01T00:00:05Z  license.renewed.v1    {}\n",
	} {
		if got := runWith(server.URL, "", "changes", "--since", "411", "-o", output); got.code != 0 || got.stdout != want {
			t.Errorf("-o %s ended with %d: %s\nstdout:\n%s", output, got.code, got.stderr, got.stdout)
		}
	}
}

// What a group leaves as it is, is named, and the command has not done all.
func TestGroupRefusals(t *testing.T) {
	server := answering(200, `{"results":[{"license":"01J","ok":true},{"license":"01K","ok":false,"code":"license_closed"}],"position":7}`)
	defer server.Close()
	got := runWith(server.URL, "", "license", "group", "--action", "release", "--licenses", "01J,01K")
	want := "LICENSE  OK   CODE\n01J      yes  -\n01K      no   license_closed\nrecorded, position 7\n"
	if got.code != exitFailed || got.stdout != want || got.stderr != "ledgerctl: refused: 1 of 2 licenses were left as they are\n" {
		t.Errorf("ended with %d: %s\n%s", got.code, got.stdout, got.stderr)
	}
}

func TestTokenShownOnce(t *testing.T) {
	for answer, want := range map[string]string{
		`{"id":"01J","subject":"provider","token":"ledger_tk_x","position":7}`: "recorded, position 7; it is shown only now\n",
		`{"id":"01J","subject":"provider","position":7}`:                       "recorded, position 7; it was shown before, and cannot be shown again: token revoke ends it\n",
	} {
		server := answering(201, answer)
		got := runWith(server.URL, "", "token", "issue", "--subject", "provider")
		server.Close()
		if got.code != 0 || !strings.HasSuffix(got.stdout, want) {
			t.Errorf("%s", got.stdout)
		}
	}
}

// Wrong command lines are seen before anything is sent.
func TestWrongManagement(t *testing.T) {
	for args, want := range map[string]string{
		"license group --action release":                                 "which licenses? Name them with --licenses, or give filters, or --all: one of these",
		"license group --action release --licenses 01J --company globex": "which licenses? Name them with --licenses, or give filters, or --all: one of these",
		"estimate --month 2026-05 --items server":                        `--items "server": TYPE:QUANTITY or TYPE:QUANTITY:DAYS is needed, as server:3`,
		"estimate --month 2026-05 --items server:0":                      `--items "server:0": the quantity is no number above 0`,
		"estimate --month 2026-05 --items server:1e3":                    `--items "server:1e3": the quantity is no number above 0`,
		"estimate --month 2026-05 --items server:1:x":                    `--items "server:1:x": the days are no whole number above 0`,
		"license auto-renew 01J":                                         "--enabled is missing",
		"token issue":                                                    "--subject is missing",
	} {
		got := runWith("http://127.0.0.1:1", "", strings.Fields(args)...)
		if got.code != exitUsage || !strings.HasPrefix(got.stderr, "ledgerctl: usage: "+want+"\n") {
			t.Errorf("%s ended with %d: %s", args, got.code, got.stderr)
		}
	}
}
