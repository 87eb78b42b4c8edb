package httpapi_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
)

// permitted says for every call which permission it needs; "" for any token. Bodies are such that the call is looked at.
var permitted = []struct{ call, body, needs string }{
	{"GET /providers", "", auth.Operate},
	{"PUT /providers/acme", `{"name":"Acme"}`, auth.Operate},
	{"GET /providers/acme", "", auth.Administer + " or " + auth.ManageLicenses},
	{"GET /providers/acme/companies", "", auth.ManageLicenses},
	{"PUT /providers/acme/companies/globex", `{"name":"Globex","allocation":"automatic"}`, auth.Administer},
	{"GET /providers/acme/companies/globex", "", auth.ManageLicenses},
	{"GET /providers/acme/administrators", "", auth.Administer},
	{"PUT /providers/acme/administrators/ann", `{}`, auth.Administer},
	{"GET /providers/acme/administrators/ann", "", auth.Administer},
	{"GET /providers/acme/tokens", "", auth.Administer},
	{"POST /providers/acme/tokens", `{"subject":"provider"}`, auth.Administer},
	{"DELETE /providers/acme/tokens/01KGC6WBM06X3GHZZQE6EXB5WY", "", auth.Administer},
	{"PUT /providers/acme/payment-method", `{"system":"fastspring","account":"fs-1"}`, auth.Administer},
	{"GET /providers/acme/payment-method", "", auth.Administer},
	{"DELETE /providers/acme/payment-method", "", auth.Administer},
	{"POST /providers/acme/payments", `{"invoice":"S-000001","outcome":"collected"}`, auth.Operate},
	{"GET /providers/acme/payments", "", auth.Operate},
	{"POST /providers/acme/adjustments", `{"month":"2026-01","amount":"1.00","reason":"r"}`, auth.Operate},
	{"GET /providers/acme/next-payment", "", auth.ManageLicenses},
	{"POST /providers/acme/endpoints", `{"company":"globex","endpoint":"pc-9","license_type":"server"}`, auth.ManageLicenses},
	{"GET /providers/acme/endpoints", "", auth.ManageLicenses},
	{"GET /providers/acme/endpoints/pc-1", "", auth.ManageLicenses},
	{"DELETE /providers/acme/endpoints/pc-1", "", auth.ManageLicenses},
	{"GET /providers/acme/endpoints/pc-1/lease", "", "agent:pc-1 or " + auth.ManageLicenses},
	{"POST /providers/acme/endpoints/pc-1/move", `{"company":"globex"}`, auth.ManageLicenses},
	{"GET /providers/acme/licenses", "", auth.ManageLicenses},
	{"POST /providers/acme/licenses", `{"license_type":"server","quantity":1}`, auth.BuyLicenses},
	{"GET /providers/acme/licenses/counters", "", auth.ManageLicenses},
	{"GET /providers/acme/licenses/LICENSE", "", auth.ManageLicenses},
	{"POST /providers/acme/licenses/allocate", `{"license_type":"desktop","company":"globex","assignee":{"kind":"endpoint","id":"pc-2"}}`, auth.ManageLicenses},
	{"POST /providers/acme/licenses/group", `{"action":"release","licenses":["LICENSE"]}`, auth.ManageLicenses},
	{"POST /providers/acme/licenses/LICENSE/unassign", "", auth.ManageLicenses},
	{"POST /providers/acme/licenses/LICENSE/release", "", auth.ManageLicenses},
	{"POST /providers/acme/licenses/GONE/renew", "", auth.ManageLicenses + " and " + auth.BuyLicenses},
	{"POST /providers/acme/licenses/LICENSE/change", `{"license_type":"ultimate"}`, auth.ManageLicenses + " and " + auth.BuyLicenses},
	{"POST /providers/acme/licenses/LICENSE/auto-renew", `{"enabled":false}`, auth.ManageLicenses},
	{"POST /providers/acme/usage", `{"agent":"pc-1","seq":1,"readings":[{"meter":"m","value":1,"at":"2026-02-10T08:00:00Z"}]}`, "agent:pc-1"},
	{"GET /providers/acme/usage", "", auth.UsageHistory},
	{"GET /providers/acme/usage/gaps", "", auth.UsageHistory},
	{"GET /providers/acme/usage-history", "", auth.UsageHistory},
	{"GET /providers/acme/invoices", "", auth.ManageLicenses},
	{"GET /providers/acme/invoices/draft", "", auth.ManageLicenses},
	{"GET /providers/acme/invoices/S-000001", "", auth.ManageLicenses},
	{"GET /providers/acme/notices", "", auth.ManageLicenses},
	{"POST /providers/acme/estimate", `{"month":"2026-03","items":[{"license_type":"server","quantity":1}]}`, auth.ManageLicenses},
	{"GET /providers/acme/changes", "", auth.Administer},
	{"GET /audit/entries", "", auth.Administer}, // of their own provider
	{"GET /audit/proof?entry=1", "", auth.Administer},
	{"GET /providers/acme/invoices/S-000001/explain", "", auth.ManageLicenses},
	{"GET /providers/acme/licenses/LICENSE/explain", "", auth.ManageLicenses},
	{"POST /providers/acme/what-if", `{"catalog":{"effective":"2026-02","types":[]},"from":"2026-01","to":"2026-02"}`, auth.ManageLicenses},
	{"POST /providers/acme/erasures", `{"kind":"auditor","id":"eve"}`, auth.Administer},
	{"POST /providers/acme/keys", `{"license_type":"backup-user","seats":1}`, auth.BuyLicenses},
	{"GET /providers/acme/keys", "", auth.ManageLicenses + " or " + auth.ActivateKeys},
	{"GET /providers/acme/keys/KEY", "", auth.ManageLicenses + " or " + auth.ActivateKeys + " or instance:srv-1"},
	{"POST /providers/acme/keys/KEY/activate", `{"instance":"srv-1"}`, auth.ActivateKeys + " or instance:srv-1"},
	{"POST /providers/acme/keys/KEY/activate", `{"instance":"srv-2"}`, auth.ActivateKeys + " or nobody"},   // an instance speaks for itself
	{"POST /providers/acme/keys/OTHER/activate", `{"instance":"srv-1"}`, auth.ActivateKeys + " or nobody"}, // which nobody pasted there
	{"POST /providers/acme/keys/KEY/add-seats", `{"seats":1}`, auth.BuyLicenses},
	{"POST /providers/acme/keys/KEY/renew", `{"seats":1}`, auth.BuyLicenses},
	{"POST /providers/acme/keys/KEY/convert", `{"mailboxes":1}`, auth.BuyLicenses},
	{"POST /providers/acme/keys/KEY/jobs", `{"instance":"srv-1","job":"nightly","kind":"backup"}`, "instance:srv-1 or " + auth.ActivateKeys},
	{"DELETE /providers/acme/keys/KEY/jobs/nightly?instance=srv-1", "", "instance:srv-1 or " + auth.ActivateKeys},
	{"GET /providers/acme/keys/KEY/seats", "", auth.ManageLicenses + " or " + auth.ActivateKeys + " or instance:srv-1"},
	{"GET /providers/acme/keys/OTHER/seats", "", auth.ManageLicenses + " or " + auth.ActivateKeys},
	{"POST /providers/acme/keys/KEY/seats/ann/release", "", auth.ManageLicenses + " or instance:srv-1"},
	{"GET /providers/acme/keys/KEY/lease?instance=srv-1", "", auth.ManageLicenses + " or " + auth.ActivateKeys + " or instance:srv-1"},
	{"GET /providers/acme/instances/srv-1/lease", "", "instance:srv-1 or " + auth.ManageLicenses + " or " + auth.ActivateKeys},
	{"POST /providers/acme/instances", `{"instance":"srv-1"}`, auth.ActivateKeys + " or instance:srv-1"},
	{"GET /catalog", "", ""},
	{"PUT /catalog", `{"effective":"2026-05","types":[{"id":"server","unit":"endpoint","term":"monthly","prices":{"USD":"6.99"}}]}`, auth.Operate},
	{"GET /clock", "", ""},
	{"PUT /clock", `{"now":"2026-02-10T09:00:00Z"}`, auth.Operate},
}

// public are the calls that take no token: what they tell says nothing of the entries, or they have a credential of their own.
var public = []string{"POST /activate", "GET /audit/checkpoint", "GET /audit/key", "GET /audit/tile/{tile}"}

// L14: every call against everybody. A refusal names what is missing, another provider's things are not found, and nothing is left behind.
func TestPermissionsL14(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/other", map[string]any{"name": "Other"}).is(201)
	h.call("PUT", administratorsURL+"ann", map[string]any{}).is(201)
	held, gone := h.allocated("server", "pc-1").License.ID, h.allocated("server", "pc-3").License.ID
	h.allocated("server", "pc-2")
	h.call("POST", licensesURL+gone+"/release", nil).is(200)
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 1}).is(201)
	mine, other := h.activated(2, "srv-1").ID, h.ordered(1).ID
	fill := strings.NewReplacer("LICENSE", held, "GONE", gone, "KEY", mine, "OTHER", other)

	administrator := func(permissions ...string) auth.Principal {
		return auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: permissions}
	}
	people := map[string]auth.Principal{
		"provider":         {Kind: auth.KindProvider, Provider: "acme"},
		"nobody special":   administrator(),
		"manager":          administrator(auth.ManageLicenses),
		"buyer":            administrator(auth.BuyLicenses),
		"manager, buyer":   administrator(auth.ManageLicenses, auth.BuyLicenses),
		"activator":        administrator(auth.ActivateKeys),
		"historian":        administrator(auth.UsageHistory),
		"auditor":          {Kind: auth.KindAuditor, Provider: "acme", ID: "eve"},
		"agent":            {Kind: auth.KindAgent, Provider: "acme", ID: "pc-1"},
		"another agent":    {Kind: auth.KindAgent, Provider: "acme", ID: "pc-2"},
		"instance":         {Kind: auth.KindInstance, Provider: "acme", ID: "srv-1"},
		"another provider": {Kind: auth.KindProvider, Provider: "other"},
		"their agent":      {Kind: auth.KindAgent, Provider: "other", ID: "pc-1"},
		"their auditor":    {Kind: auth.KindAuditor, Provider: "other", ID: "eve"},
	}
	n := h.entries()
	for _, row := range permitted {
		method, path, _ := strings.Cut(fill.Replace(row.call), " ")
		url := "/v1" + path
		reads := method == "GET" || strings.HasSuffix(path, "/estimate") || strings.HasSuffix(path, "/what-if")
		if !reads {
			url += map[bool]string{false: "?", true: "&"}[strings.Contains(url, "?")] + "dry_run=true"
		}
		var body any
		if row.body != "" {
			body = fill.Replace(row.body)
		}
		if a := h.call(method, url, body); a.status == 401 || a.status == 403 {
			t.Errorf("%s, operator: %d %s", row.call, a.status, a.body)
		}
		for _, name := range slices.Sorted(maps.Keys(people)) {
			who := people[name]
			a := h.call(method, url, body, bearer(h.tokenOf(who)))
			if want := refusal(row.needs, strings.Contains(path, "/acme"), who, reads); refusalOf(a) != want {
				t.Errorf("%s, %s: %q, want %q: %s", row.call, name, refusalOf(a), want, a.body)
			}
		}
		h.call(method, url, body, bearer("ledger_tk_nonsense")).refused(401, api.CodeUnauthenticated)
	}
	if h.entries() != n {
		t.Errorf("%d entries were left behind", h.entries()-n)
	}

	// No call is missing from the table.
	doc := into[struct {
		Paths map[string]map[string]any `json:"paths"`
	}](h.get("/openapi.json").is(200))
	listed := make(map[string]bool)
	for _, row := range permitted {
		listed[shape(row.call)] = true
	}
	for _, call := range public {
		listed[shape(call)] = true
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			if call := strings.ToUpper(method) + " " + strings.TrimPrefix(path, "/v1"); strings.HasPrefix(path, "/v1/") && !listed[shape(call)] {
				t.Errorf("no row says who may %s", call)
			}
		}
	}
}

// shape is a call without the ids in its path.
func shape(call string) string {
	call, _, _ = strings.Cut(call, "?")
	parts := strings.Split(call, "/")
	for i, part := range parts {
		switch {
		case i == 0:
		case slices.Contains([]string{
			"acme", "globex", "ann", "pc-1", "LICENSE", "GONE", "S-000001", "01KGC6WBM06X3GHZZQE6EXB5WY", "KEY", "OTHER", "nightly", "srv-1",
		}, part), strings.HasPrefix(part, "{"):
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// refusal is what somebody meets who makes a call: "" nothing, "not found", or the permission that is missing.
func refusal(needs string, provider bool, who auth.Principal, reads bool) string {
	has := func(permission string) bool {
		switch who.Kind {
		case auth.KindProvider:
			return permission != auth.Operate
		case auth.KindAuditor:
			return permission != auth.Operate && reads
		case auth.KindAdministrator:
			return slices.Contains(who.Permissions, permission)
		}
		return permission == fmt.Sprint(who)
	}
	if needs == "" {
		return ""
	}
	if provider && who.Provider != "acme" {
		return "not found"
	}
	if choice := strings.Split(needs, " or "); len(choice) > 1 {
		if slices.ContainsFunc(choice, has) {
			return ""
		}
		return choice[0]
	}
	for permission := range strings.SplitSeq(needs, " and ") {
		if !has(permission) {
			return permission
		}
	}
	return ""
}

// refusalOf is the same of an answer.
func refusalOf(a answer) string {
	switch a.status {
	case 401:
		return "unauthenticated"
	case 403:
		return into[api.Problem](a).Permission
	case 404:
		if p := into[api.Problem](a); strings.Contains(p.Detail, "the caller's provider") {
			return "not found"
		}
	}
	return ""
}

// L14: what would buy needs the permission to buy, whatever the call is; without it nothing is left behind.
func TestBuyingL14(t *testing.T) {
	h := newHouse(t)
	h.acme()
	manager := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: []string{auth.ManageLicenses}}))
	trial := into[api.EndpointInstalled](h.installed("pc-1", "server", manager).is(201)).License
	h.call("POST", licensesURL+trial.ID+"/release", nil, manager).is(200)
	h.allocated("vm-server", "vm-1")
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 1}).is(201)
	give := func(licenseType, endpoint string) map[string]any {
		return map[string]any{"license_type": licenseType, "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": endpoint}}
	}
	n := h.entries()
	for _, row := range []struct {
		path string
		body any
	}{
		{"licenses", map[string]any{"license_type": "server", "quantity": 1}},
		{"licenses/allocate", give("server", "pc-2")},
		{"licenses/" + trial.ID + "/renew", nil},
		{"endpoints", map[string]any{"company": "globex", "endpoint": "pc-1", "license_type": "server"}},
		{"endpoints", map[string]any{"company": "globex", "endpoint": "vm-1", "license_type": "vm-server", "sockets": 3}},
	} {
		for _, dry := range []string{"", "?dry_run=true"} {
			if p := h.call("POST", "/v1/providers/acme/"+row.path+dry, row.body, manager).refused(403, api.CodePermissionDenied); p.Permission != auth.BuyLicenses {
				t.Errorf("%s: %+v", row.path, p)
			}
		}
	}
	if h.entries() != n {
		t.Errorf("%d entries were left behind", h.entries()-n)
	}
	h.call("POST", licensesURL+"allocate", give("desktop", "pc-2"), manager).is(200) // from the pool
}
