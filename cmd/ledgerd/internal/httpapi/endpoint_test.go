package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// installed lets an agent be installed on an endpoint of globex.
func (h *house) installed(endpoint, licenseType string, changes ...with) answer {
	h.t.Helper()
	return h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "globex", "endpoint": endpoint, "license_type": licenseType}, changes...)
}

// manual lets globex allocate by hand.
func (h *house) manual() {
	h.t.Helper()
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Globex"}).is(200)
}

// at moves the clock.
func (h *house) at(now string) {
	h.t.Helper()
	h.call("PUT", "/v1/clock", map[string]any{"now": now}).is(200)
}

// entries is the number of entries of the stream.
func (h *house) entries() (n int) {
	h.t.Helper()
	for _, r := range h.stream.Records() {
		n += strings.Count(string(r.Body), "\n")
	}
	return n
}

// L1: a trial by itself, once; later what is in force, or null where somebody has to decide.
func TestInstallEndpointL1(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.manual()
	trial := into[api.EndpointInstalled](h.installed("pc-1", "server").is(http.StatusCreated)).License
	if trial == nil || trial.Status != "trial" || trial.ValidUntil != "2026-02-24" || trial.ExpiresAt != start.Add(14*24*time.Hour) || trial.Company != "globex" {
		t.Fatalf("%+v", trial)
	}
	body := map[string]any{"company": "globex", "endpoint": "pc-1", "license_type": "server", "name": "Front desk", "sockets": 4}
	again := into[api.EndpointInstalled](h.call("POST", "/v1/providers/acme/endpoints", body).is(200))
	if again.License == nil || again.License.ID != trial.ID {
		t.Errorf("again: %+v", again.License)
	}
	if e := into[api.Endpoint](h.get("/v1/providers/acme/endpoints/pc-1").is(200)); e != (api.Endpoint{ID: "pc-1", Company: "globex", Name: "Front desk", Sockets: 4}) {
		t.Errorf("%+v", e)
	}
	n := h.entries()
	if same := h.call("POST", "/v1/providers/acme/endpoints", body).is(200); same.position() != *again.Position || h.entries() != n {
		t.Errorf("unchanged, and recorded at %d", same.position())
	}

	h.call("POST", "/v1/providers/acme/licenses/"+trial.ID+"/release", nil).is(200)
	gone := h.installed("pc-1", "server").is(200)
	if !strings.Contains(gone.body, `"license":null`) {
		t.Errorf("a manual company: %s", gone.body)
	}
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Globex", "allocation": "automatic"}).is(200)
	dry := into[api.EndpointInstalled](h.call("POST", "/v1/providers/acme/endpoints?dry_run=true", body).is(200))
	if dry.License == nil || dry.License.Status != "paid" || dry.Position != nil || dry.Cost != "4.74" { // 19 of 28 days
		t.Errorf("dry run: %+v", dry)
	}
	bought := into[api.EndpointInstalled](h.installed("pc-1", "server").is(200))
	if bought.License == nil || bought.License.Status != "paid" || bought.License.ID == trial.ID {
		t.Errorf("an automatic company: %+v", bought.License)
	}
	served := into[api.EndpointInstalled](h.installed("pc-1", "server").is(200))
	if served.License == nil || served.License.ID != bought.License.ID {
		t.Errorf("what is in force: %+v", served.License)
	}
	h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "initech", "endpoint": "pc-1", "license_type": "server"}).refused(404, api.CodeNotFound)
	h.installed("pc-2", "connect").refused(422, api.CodeInvalid)
	h.call("POST", "/v1/providers/other/endpoints", body).refused(404, api.CodeNotFound)
}

// The trial that begins in a dry run costs what its conversion within the month would.
func TestInstallDryRun(t *testing.T) {
	h := newHouse(t)
	h.acme()
	n := h.entries()
	dry := into[api.EndpointInstalled](h.call("POST", "/v1/providers/acme/endpoints?dry_run=true", map[string]any{"company": "globex", "endpoint": "pc-1", "license_type": "server"}).is(200))
	if dry.License == nil || dry.License.Status != "trial" || dry.Cost != "1.25" { // 24 to 28 February: 5 of 28 days
		t.Errorf("%+v", dry)
	}
	if h.entries() != n {
		t.Error("it left something behind")
	}
	h.get("/v1/providers/acme/endpoints/pc-1").refused(404, api.CodeNotFound)
}

// L13: today is billed to the old company.
func TestMoveEndpointL13(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/initech", map[string]any{"name": "Initech", "allowed_types": []string{"server"}}).is(201)
	l := h.allocated("server", "pc-1").License
	const move = "/v1/providers/acme/endpoints/pc-1/move"
	to := map[string]any{"company": "initech"}
	if dry := into[api.EndpointAnswer](h.call("POST", move+"?dry_run=true", to).is(200)); dry.Company != "initech" || dry.Position != nil || dry.Cost+dry.Savings != "" {
		t.Errorf("dry run: %+v", dry)
	}
	if e := into[api.EndpointAnswer](h.call("POST", move, to).is(200)); e.ID != "pc-1" || e.Company != "initech" || e.Name != "pc-1" || e.Position == nil {
		t.Errorf("%+v", e)
	}
	if row := into[api.License](h.get("/v1/providers/acme/licenses/" + l.ID).is(200)); row.Company != "initech" || row.Status != "paid" {
		t.Errorf("%+v", row)
	}
	history := into[api.UsageHistoryPage](h.get("/v1/providers/acme/usage-history").is(200))
	if len(history.Rows) != 1 || history.Rows[0].Company != "globex" || history.Rows[0].Deactivated != "2026-02-10" {
		t.Errorf("%+v", history.Rows)
	}
	n := h.entries()
	h.call("POST", move, to).is(200)
	if h.entries() != n {
		t.Error("a move to where it is was recorded")
	}
	h.call("POST", "/v1/providers/acme/endpoints/pc-9/move", to).refused(404, api.CodeNotFound)
	h.call("POST", move, map[string]any{"company": "umbrella"}).refused(404, api.CodeNotFound)
	h.call("PUT", "/v1/providers/acme/companies/umbrella", map[string]any{"name": "Umbrella", "allowed_types": []string{"desktop"}}).is(201)
	h.call("POST", move, map[string]any{"company": "umbrella"}).refused(409, api.CodeTypeNotAllowed)
}

// Everything that the endpoint holds is released, sockets with their vm-server, each once.
func TestDeleteEndpoint(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.allocated("vm-server", "vm-1")
	h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "globex", "endpoint": "vm-1", "license_type": "vm-server", "sockets": 4}).is(200)
	h.allocated("ms-sql", "vm-1")
	gone := into[api.EndpointReleased](h.call("DELETE", "/v1/providers/acme/endpoints/vm-1", nil, key("k")).is(200))
	count := make(map[string]int)
	for _, l := range gone.Licenses {
		if count[l.LicenseType]++; l.Status != "released" {
			t.Errorf("%+v", l)
		}
	}
	if len(gone.Licenses) != 4 || count["vm-server-socket"] != 2 {
		t.Errorf("%v", count)
	}
	h.get("/v1/providers/acme/endpoints/vm-1").refused(404, api.CodeNotFound)
	h.call("DELETE", "/v1/providers/acme/endpoints/vm-1", nil).refused(404, api.CodeNotFound)
	if again := into[api.EndpointReleased](h.call("DELETE", "/v1/providers/acme/endpoints/vm-1", nil, key("k")).is(200)); len(again.Licenses) != 4 || *again.Position != *gone.Position {
		t.Errorf("again: %+v", again)
	}
}

// L1, L12: installing again updates sockets and name; what is not said stays as it is.
func TestInstalledAgainL12(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.allocated("vm-server", "vm-1")
	const url = "/v1/providers/acme/endpoints"
	again := into[api.EndpointInstalled](h.call("POST", url, map[string]any{"endpoint": "vm-1", "sockets": 5}).is(200))
	if again.License != nil || again.Position == nil {
		t.Errorf("%+v", again)
	}
	if e := into[api.Endpoint](h.get(url + "/vm-1").is(200)); e.Sockets != 5 || e.Company != "globex" {
		t.Errorf("%+v", e)
	}
	if n := into[api.Counters](h.get("/v1/providers/acme/licenses/counters?license_type=vm-server-socket").is(200)); n.Used != 3 {
		t.Errorf("%d sockets are licensed", n.Used)
	}
	named := into[api.EndpointInstalled](h.call("POST", url, map[string]any{"endpoint": "vm-1", "name": "Host 1", "license_type": "vm-server"}).is(200))
	if named.License == nil || named.License.LicenseType != "vm-server" {
		t.Errorf("%+v", named)
	}
	if e := into[api.Endpoint](h.get(url + "/vm-1").is(200)); e.Sockets != 5 || e.Name != "Host 1" {
		t.Errorf("%+v", e)
	}
	h.call("POST", url, map[string]any{"endpoint": "vm-2", "sockets": 5}).refused(422, "invalid")
}
