package httpapi_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// whom lists whom the licenses of a page serve, in order.
func whom(rows []api.License) string {
	var ids []string
	for _, l := range rows {
		if l.Assignee == nil {
			ids = append(ids, "-")
		} else {
			ids = append(ids, l.Assignee.ID)
		}
	}
	return strings.Join(ids, " ")
}

// L15: the grid is searched by what people see in it, by month, and sorted.
func TestGridSearchL15(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/initech", map[string]any{"name": "Initech Süd GmbH", "allocation": "automatic"}).is(201)
	h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann"}).is(201)
	h.moveTo(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC))
	h.allocated("server", "pc-17")
	h.allocated("desktop", "pc-18")
	h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "initech", "endpoint": "srv-1", "name": "Exchange Host", "license_type": "ms-exchange"}).is(201)
	for kind, id := range map[string]string{"administrator": "ann", "domain-user": "bob@globex.example"} {
		licenseType := map[string]string{"administrator": "connect", "domain-user": "microsoft-365"}[kind]
		h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{"license_type": licenseType, "company": "globex", "assignee": map[string]any{"kind": kind, "id": id}}).is(201)
	}
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}).is(201)

	get := func(query string) []api.License {
		t.Helper()
		return into[api.LicensePage](h.get("/v1/providers/acme/licenses?" + query).is(200)).Licenses
	}
	for q, want := range map[string]string{
		"pc": "pc-17 pc-18", "PC-17": "pc-17", "17": "pc-17", "c-17": "", "pc des": "pc-18", "exch": "srv-1", "exchange ho": "srv-1", "süd": "srv-1", "initech": "srv-1",
		"ann": "ann", "bob@globex.example": "bob@globex.example", "microsoft": "bob@globex.example", "globex server": "pc-17", "server": "- pc-17", "nobody": "",
	} {
		rows := get("q=" + url.QueryEscape(q))
		got := strings.Fields(whom(rows))
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q finds %v, want %s", q, got, want)
		}
		if n := into[api.Counters](h.get("/v1/providers/acme/licenses/counters?q=" + url.QueryEscape(q)).is(200)); n.All != len(rows) {
			t.Errorf("%q counts %d", q, n.All)
		}
	}
	id := get("q=pc-17")[0].ID
	if rows := get("q=" + strings.ToLower(id)); len(rows) != 1 || rows[0].ID != id {
		t.Errorf("its id finds %+v", rows)
	}

	if got := whom(get("sort=assignee")); got != "- ann bob@globex.example pc-17 pc-18 srv-1" && !strings.HasSuffix(got, "pc-17 pc-18 srv-1") {
		t.Errorf("by assignee: %s", got)
	}
	if up, down := get("sort=license_type"), get("sort=-license_type"); up[0].LicenseType != "connect" || down[0].LicenseType != "server" || len(up) != 6 || len(down) != 6 {
		t.Errorf("by type: %+v, %+v", up, down)
	}
	if rows := get("sort=valid_until"); rows[0].LicenseType != "ms-exchange" {
		t.Errorf("the trial does not end first: %+v", rows)
	}
	h.get("/v1/providers/acme/licenses?sort=price").refused(422, "invalid")

	// A search goes on where it was, until its month is over: what it shows then is another list.
	first := into[api.LicensePage](h.get("/v1/providers/acme/licenses?month=2026-03&q=pc&limit=1").is(200))
	onward := "/v1/providers/acme/licenses?month=2026-03&q=pc&limit=1&cursor=" + first.NextCursor
	if rows := into[api.LicensePage](h.get(onward).is(200)).Licenses; whom(first.Licenses)+" "+whom(rows) != "pc-17 pc-18" {
		t.Errorf("pages of a search: %s, %s", whom(first.Licenses), whom(rows))
	}

	// March, after April: what was released then is gone, what was released in March shows so.
	h.call("POST", licensesURL+id+"/release", nil).is(200)
	h.moveTo(time.Date(2026, 4, 10, 0, 0, 0, 0, time.UTC))
	h.allocated("server", "pc-20")
	h.call("POST", "/v1/providers/acme/licenses/group", map[string]any{"action": "release", "filter": map[string]any{"q": "pc-18"}}).is(200)
	h.get(onward).refused(422, "invalid")
	status := func(query string) (list []string) {
		for _, l := range get(query) {
			list = append(list, l.Status)
		}
		return list
	}
	if got := status("month=2026-03&q=pc"); !slices.Equal(got, []string{"released", "paid"}) {
		t.Errorf("March: %v", got)
	}
	if got := whom(get("month=2026-04&q=pc&sort=assignee")); got != "pc-18 pc-20" {
		t.Errorf("April: %s", got)
	}
	if n := into[api.Counters](h.get("/v1/providers/acme/licenses/counters?month=2026-03").is(200)); n.All != 6 || n.Released != 1 {
		t.Errorf("March counts %+v", n)
	}
	if rows := get("month=2026-02"); len(rows) != 0 {
		t.Errorf("February: %+v", rows)
	}
	h.call("POST", "/v1/providers/acme/licenses/group", map[string]any{"action": "release", "filter": map[string]any{"month": "2026-03"}}).refused(422, "invalid")
	csv := h.get("/v1/providers/acme/licenses?month=2026-03&sort=-expires_at", header("Accept", "text/csv")).is(200)
	if strings.Count(csv.body, "\r\n") != 7 {
		t.Errorf("CSV of March:\n%s", csv.body)
	}
}
