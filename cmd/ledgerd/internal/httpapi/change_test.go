package httpapi_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
)

// A repeated command gets the first answer, byte for byte, whatever happened since; another body is refused.
func TestIdempotency(t *testing.T) {
	h := newHouse(t)
	h.acme()
	bought := into[api.LicensesBought](h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 3}).is(201))
	doomed := bought.Licenses[2].ID
	changes := []struct{ method, path, body string }{
		{"PUT", "/v1/providers/acme", `{"name":"Acme Backup","currency":"USD"}`},
		{"PUT", "/v1/providers/acme/companies/globex", `{"name":"Globex Inc","allocation":"automatic","allowed_types":["server","desktop"]}`},
		{"PUT", "/v1/providers/acme/payment-method", `{"system":"fastspring","account":"fs-2"}`},
		{"POST", "/v1/providers/acme/licenses", `{"license_type":"server","quantity":2,"company":"globex","auto_renew":false}`},
		{"POST", "/v1/providers/acme/licenses/allocate", `{"license_type":"desktop","company":"globex","assignee":{"kind":"endpoint","id":"pc-1"}}`},
		{"POST", "/v1/providers/acme/licenses/" + doomed + "/release", ``},
		{"POST", "/v1/providers/acme/usage", `{"agent":"pc-1","seq":1,"readings":[{"meter":"m","value":1,"at":"2026-02-10T08:00:00Z"}]}`},
		{"DELETE", "/v1/providers/acme/payment-method", ``},
	}
	var first []answer
	for i, c := range changes {
		a := h.call(c.method, c.path, c.body, key(fmt.Sprint("change-", i)))
		if a.status != 200 && a.status != 201 {
			t.Fatalf("%s: %d %s", a.what, a.status, a.body)
		}
		first = append(first, a)
	}
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "Other"}).is(200)
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Other"}).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-10T20:00:00Z"}).is(200)
	for i, c := range changes {
		a := h.call(c.method, c.path, c.body, key(fmt.Sprint("change-", i)))
		if a.body != first[i].body || a.status != first[i].status {
			t.Errorf("%s: first %d %s\nthen %d %s", a.what, first[i].status, first[i].body, a.status, a.body)
		}
		spaced := strings.NewReplacer(":", " : ", ",", "\n, ").Replace(c.body)
		if c.path != "/v1/providers/acme/usage" && !strings.Contains(c.body, "T08") { // times would break
			if a := h.call(c.method, c.path, spaced, key(fmt.Sprint("change-", i))); a.body != first[i].body {
				t.Errorf("%s: white space makes another request: %s", a.what, a.body)
			}
		}
	}
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}, key("change-3")).refused(422, "idempotency_mismatch")
	// Another path or method is another request as well.
	h.call("PUT", "/v1/providers/acme/companies/initech", map[string]any{"name": "Initech"}, key("change-1")).refused(422, "idempotency_mismatch")

	// Without a key every request is one of its own; after 24 hours a key is free again.
	one := map[string]any{"license_type": "server", "quantity": 1}
	h.call("PUT", "/v1/providers/acme/payment-method", map[string]any{"system": "fastspring", "account": "fs-2"}).is(200)
	a, b := h.call("POST", "/v1/providers/acme/licenses", one).is(201), h.call("POST", "/v1/providers/acme/licenses", one).is(201)
	if a.body == b.body {
		t.Errorf("two requests without keys got one answer: %s", a.body)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-12T00:00:00Z"}).is(200)
	h.call("POST", "/v1/providers/acme/licenses", one).is(201)
	if a := h.call(changes[3].method, changes[3].path, `{"license_type":"server","quantity":1}`, key("change-3")).is(201); a.body == first[3].body {
		t.Error("a key is remembered for longer than a day")
	}
}

// Many requests at once under one key are one command.
func TestIdempotencyAtOnce(t *testing.T) {
	h := newHouse(t)
	h.acme()
	answers := make([]answer, 20)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}, key("k"))
		})
	}
	all.Wait()
	for _, a := range answers {
		if a.status != 201 || a.body != answers[0].body {
			t.Fatalf("%d %s, and %d %s", answers[0].status, answers[0].body, a.status, a.body)
		}
	}
	if n := into[api.Counters](h.get("/v1/providers/acme/licenses/counters").is(200)); n.All != 1 {
		t.Errorf("%d licenses", n.All)
	}
}

// The same catalog again changes nothing, though commands of the ledger itself have no memory.
func TestCatalogAgain(t *testing.T) {
	h := newHouse(t)
	c := into[map[string]any](h.get("/v1/catalog?month=2026-03").is(200))
	c["effective"] = "2026-04"
	first := h.call("PUT", "/v1/catalog", c, key("c1")).is(200)
	if again := h.call("PUT", "/v1/catalog", c, key("c1")).is(200); again.body != first.body {
		t.Errorf("first %s\nthen %s", first.body, again.body)
	}
	c["minimum"] = map[string]any{"USD": "25.00"}
	if a := h.call("PUT", "/v1/catalog", c).is(200); a.position() <= first.position() {
		t.Errorf("another catalog changed nothing: %s", a.body)
	}
	for _, row := range []struct {
		change   func()
		location string
	}{
		{func() { c["minimum"] = map[string]any{"USD": "a lot"} }, "body.minimum.USD"},
		{func() { c["minimum"] = map[string]any{"USD": "1e2"} }, "body.minimum.USD"},
		{func() { delete(c, "minimum"); c["effective"] = "2026-02" }, "body.effective"}, // C1
		{func() { c["effective"] = "2026-04"; c["types"] = c["types"].([]any)[1:] }, "body.types"},
	} {
		row.change()
		p := h.call("PUT", "/v1/catalog", c).refused(422, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Location != row.location {
			t.Errorf("errors %+v, want at %s", p.Errors, row.location)
		}
	}
}

// A dry run records nothing, and says what it would cost or save.
func TestDryRuns(t *testing.T) {
	h := newHouse(t) // 10 February, 19 of 28 days are left, today included
	h.acme()
	held := h.allocated("server", "pc-1").License
	earlier := h.allocated("ultimate", "pc-2").License
	branding := func(id string) map[string]any {
		return map[string]any{"license_type": "advanced-rebranding", "company": "globex", "assignee": map[string]any{"kind": "branding", "id": id}}
	}
	freeBranding := into[api.LicenseAnswer](h.call("POST", "/v1/providers/acme/licenses/allocate", branding("blue")).is(201)).License
	into[api.LicenseAnswer](h.call("POST", "/v1/providers/acme/licenses/allocate", branding("red")).is(201))
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-12T10:00:00Z"}).is(200)
	pool := into[api.LicensesBought](h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "file-backup", "quantity": 1}).is(201)).Licenses[0]

	before := h.get("/v1/providers/acme/licenses").is(200)
	const licenses = "/v1/providers/acme/licenses"
	allocate := func(licenseType, id string) map[string]any {
		return map[string]any{"license_type": licenseType, "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": id}}
	}
	for _, row := range []struct {
		rule          string
		method, path  string
		body          any
		cost, savings string
	}{
		{"L5: a license in a pool costs nothing", "POST", licenses, map[string]any{"license_type": "server", "quantity": 3}, "0.00", ""},
		{"L4: bought on the spot, 17 of 28 days of 9.99", "POST", licenses + "/allocate", allocate("ultimate", "pc-9"), "6.07", ""},
		{"L4: from the pool, 17 of 28 days of 2.49", "POST", licenses + "/allocate", allocate("file-backup", "pc-9"), "1.51", ""},
		{"C8: two are there, the third costs", "POST", licenses + "/allocate", branding("green"), "29.75", ""},
		{"L7: from tomorrow on, 16 of 28 days of 6.99", "POST", licenses + "/" + held.ID + "/release", nil, "", "3.99"},
		{"L7: 9.99 through the 28th less what it cost through the 12th", "POST", licenses + "/" + earlier.ID + "/release", nil, "", "5.71"},
		{"C8: without the free one the other is free from tomorrow on", "POST", licenses + "/" + freeBranding.ID + "/release", nil, "", "28.00"},
		{"L5: releasing what nobody holds saves nothing", "POST", licenses + "/" + pool.ID + "/release", nil, "", "0.00"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			here := *h
			here.t = t
			a := here.call(row.method, row.path+"?dry_run=true", row.body, key("dry")).is(200)
			p := into[struct {
				api.Preview
				api.Receipt
			}](a)
			if p.Position != nil || p.Cost != row.cost || p.Savings != row.savings || p.Currency != "USD" {
				t.Errorf("cost %q, savings %q, want %q, %q: %s", p.Cost, p.Savings, row.cost, row.savings, a.body)
			}
		})
	}
	h.call("PUT", "/v1/providers/acme?dry_run", map[string]any{"name": "Changed"}).is(200)
	h.call("PUT", "/v1/providers/other?dry_run=", map[string]any{"name": "Other"}).is(200)
	h.call("PUT", "/v1/providers/acme/companies/other?dry_run&x=1", map[string]any{"name": "Other"}).refused(422, "invalid")
	h.call("PUT", "/v1/providers/acme/companies/globex?dry_run=1", map[string]any{"name": "Changed"}).is(200)
	h.call("DELETE", "/v1/providers/acme/payment-method?dry_run=true", nil).is(200)
	h.call("PUT", "/v1/clock?dry_run=true", map[string]any{"now": "2027-01-01T00:00:00Z"}).is(200)
	h.call("POST", "/v1/providers/acme/usage?dry_run=true", report("pc-1", 1, 5)).is(200)

	after := h.get("/v1/providers/acme/licenses").is(200)
	if after.body != before.body || after.header.Get("Ledger-Position") != before.header.Get("Ledger-Position") {
		t.Errorf("a dry run left something behind: %s %s\n%s %s", before.header.Get("Ledger-Position"), before.body, after.header.Get("Ledger-Position"), after.body)
	}
	// What was previewed is what happens: the statement is lower by just that.
	draft := func() string {
		h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-01T00:00:00Z"}).is(200)
		return into[api.Invoice](h.get("/v1/providers/acme/invoices/S-000001").is(200)).Subtotal
	}
	h.call("POST", licenses+"/"+held.ID+"/release", nil).is(200)
	h.call("POST", licenses+"/allocate", allocate("file-backup", "pc-9")).is(200)
	// server 0.75, ultimate 6.78, branding: one free, one 33.25, file-backup 1.51
	if got := draft(); got != "42.29" {
		t.Errorf("subtotal %s", got)
	}
}

// B1, C6: a dry run knows who came first of those whom a license serves within one instant: what zeta had of the day stays zeta's.
func TestDryRunOfOneInstant(t *testing.T) {
	h := newHouse(t)
	h.acme()
	for _, id := range []string{"alpha", "zeta"} {
		h.call("PUT", "/v1/providers/acme/companies/"+id, map[string]any{"name": id}).is(201)
	}
	h.call("PUT", "/v1/catalog", h.edition("2026-03", "2026-02", func(t *api.LicenseType) {
		if t.ID == "desktop" {
			t.Policy = "peak"
		}
	})).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-09T10:00:00Z"}).is(200)
	h.call("POST", licensesURL+h.allocated("desktop", "pc-1").License.ID+"/release", nil).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-10T10:00:00Z"}).is(200)
	id := into[api.LicensesBought](h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 1}).is(201)).Licenses[0].ID
	allocate := func(company, endpoint, query string) answer {
		return h.call("POST", "/v1/providers/acme/licenses/allocate"+query, map[string]any{
			"license": id, "company": company, "assignee": map[string]any{"kind": "endpoint", "id": endpoint},
		}).is(200)
	}
	allocate("zeta", "pc-2", "")
	h.call("POST", licensesURL+id+"/unassign", nil).is(200)
	if dry := into[api.LicenseAnswer](allocate("alpha", "pc-3", "?dry_run=true")); dry.Cost != "2.99" {
		t.Errorf("%+v", dry.Preview)
	}
	allocate("alpha", "pc-3", "")
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-04-01T00:00:00Z"}).is(200)
	lines := []string{"desktop peak 1 x 2.99: 2.99", "desktop peak 1 x 2.99: 2.99", "desktop peak 1 x 2.99: 2.99"} // alpha, globex, zeta
	if diff := cmp.Diff(lines, h.usageLines("S-000001")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// People reach the log as pseudonyms, and come back with the names that callers know (domain U4).
func TestPeople(t *testing.T) {
	h := newHouse(t)
	h.acme()
	ann := map[string]any{"license_type": "microsoft-365", "company": "globex", "assignee": map[string]any{"kind": "domain-user", "id": "ann@globex.example"}}
	row := into[api.LicenseAnswer](h.call("POST", "/v1/providers/acme/licenses/allocate", ann).is(201)).License
	if row.Assignee == nil || row.Assignee.ID != "ann@globex.example" {
		t.Errorf("assignee %+v", row.Assignee)
	}
	p := h.call("POST", "/v1/providers/acme/licenses/allocate", ann).refused(409, "license_already_held")
	if !strings.Contains(p.Detail, "ann@globex.example") {
		t.Errorf("the refusal does not name the person: %s", p.Detail)
	}
	for _, r := range h.stream.Records() {
		if strings.Contains(string(r.Body), "ann@") {
			t.Errorf("a person stands in the log: %s", r.Body)
		}
	}
	path := "/v1/providers/acme/licenses/" + row.ID
	if got := into[api.License](h.get(path).is(200)).Assignee.ID; got != "ann@globex.example" {
		t.Errorf("assignee %q", got)
	}
	if err := h.names.ErasePerson("acme", "domain-user", "ann@globex.example"); err != nil {
		t.Fatal(err)
	}
	if got := into[api.License](h.get(path).is(200)).Assignee.ID; len(got) != 32 {
		t.Errorf("assignee %q, want a pseudonym", got)
	}
	// Of a provider that does not exist nobody becomes known.
	h.call("POST", "/v1/providers/nobody/licenses/allocate", ann).refused(404, "not_found")
	for _, id := range []string{"a\x00b", "a\nb", strings.Repeat("x", 257), strings.Repeat("ä", 200), ""} {
		bad := map[string]any{"license_type": "sharepoint-teams-drives", "company": "globex", "assignee": map[string]any{"kind": "domain", "id": id}}
		h.call("POST", "/v1/providers/acme/licenses/allocate", bad).refused(422, "invalid")
	}
}

// Who may do what (domain L14).
func TestPermissions(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/poor", map[string]any{"name": "Poor"}).is(201)
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}).is(201)
	tokens := map[string]string{
		"provider":  h.tokenOf(auth.Principal{Kind: auth.KindProvider, Provider: "acme"}),
		"foreigner": h.tokenOf(auth.Principal{Kind: auth.KindProvider, Provider: "poor"}),
		"manager":   h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "5f", Permissions: []string{auth.ManageLicenses}}),
		"buyer":     h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "6f", Permissions: []string{auth.ManageLicenses, auth.BuyLicenses}}),
		"auditor":   h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "7f"}),
		"agent":     h.tokenOf(auth.Principal{Kind: auth.KindAgent, Provider: "acme", ID: "pc-1"}),
	}
	allocate := func(id string) map[string]any {
		return map[string]any{"license_type": "server", "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": id}}
	}
	for _, row := range []struct {
		who, method, path string
		body              any
		status            int
		permission        string
	}{
		{"provider", "GET", "/v1/providers", nil, 403, "operator"},
		{"provider", "PUT", "/v1/providers/acme", map[string]any{"name": "X"}, 403, "operator"},
		{"provider", "PUT", "/v1/catalog", map[string]any{}, 403, "operator"},
		{"provider", "PUT", "/v1/clock", map[string]any{}, 403, "operator"},
		{"provider", "GET", "/v1/catalog", nil, 200, ""},
		{"provider", "GET", "/v1/providers/acme", nil, 200, ""},
		{"provider", "PUT", "/v1/providers/acme/companies/c1", map[string]any{"name": "C1"}, 201, ""},
		{"foreigner", "PUT", "/v1/providers/acme/companies/c2", map[string]any{"name": "C2"}, 404, ""},
		{"foreigner", "GET", "/v1/providers/acme/licenses", nil, 404, ""},
		{"foreigner", "POST", "/v1/providers/acme/usage", report("pc-1", 1, 1), 404, ""},
		{"manager", "PUT", "/v1/providers/acme/companies/c2", map[string]any{"name": "C2"}, 403, "provider"},
		{"manager", "GET", "/v1/providers/acme/licenses", nil, 200, ""},
		{"manager", "GET", "/v1/providers/acme/invoices", nil, 200, ""},
		{"manager", "GET", "/v1/providers/acme/usage-history", nil, 403, "usage.history"},
		{"manager", "POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}, 403, "licenses.buy"},
		{"manager", "POST", "/v1/providers/acme/licenses/allocate", allocate("pc-1"), 200, ""},
		{"manager", "POST", "/v1/providers/acme/licenses/allocate", allocate("pc-2"), 403, "licenses.buy"}, // it would buy
		{"buyer", "POST", "/v1/providers/acme/licenses/allocate", allocate("pc-2"), 201, ""},
		{"auditor", "GET", "/v1/providers/acme/usage", nil, 200, ""},
		{"auditor", "POST", "/v1/providers/acme/usage", report("pc-1", 1, 1), 403, "agent:pc-1"},
		{"agent", "POST", "/v1/providers/acme/usage", report("pc-1", 1, 1), 200, ""},
		{"agent", "POST", "/v1/providers/acme/usage", report("pc-2", 1, 1), 403, "agent:pc-2"},
		{"agent", "GET", "/v1/providers/acme/licenses", nil, 403, "licenses.manage"},
	} {
		t.Run(row.who+" "+row.method+" "+row.path, func(t *testing.T) {
			here := *h
			here.t = t
			a := here.call(row.method, row.path, row.body, bearer(tokens[row.who])).is(row.status)
			if row.status == 403 {
				if p := a.refused(403, "permission_denied"); p.Permission != row.permission {
					t.Errorf("missing %q, want %q", p.Permission, row.permission)
				}
			}
		})
	}
	// The log says who did it.
	var actors []string
	for _, r := range h.stream.Records() {
		entries, err := events.DecodeRecord(&r.Record)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			actors = append(actors, e.Actor)
		}
	}
	if all := strings.Join(actors, " "); !strings.Contains(all, "administrator:5f") || !strings.Contains(all, "agent:pc-1") || !strings.Contains(all, "operator") {
		t.Errorf("actors %s", all)
	}
}

// Who names nothing is shown by the id.
func TestNameIsTheIDWhereAbsent(t *testing.T) {
	h := newHouse(t)
	provider := h.call("PUT", "/v1/providers/acme", map[string]any{"currency": "EUR"}).is(201)
	company := h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{}).is(201)
	if !strings.Contains(provider.body, `"name":"acme"`) || !strings.Contains(company.body, `"name":"globex"`) {
		t.Errorf("named otherwise: %s %s", provider.body, company.body)
	}
}
