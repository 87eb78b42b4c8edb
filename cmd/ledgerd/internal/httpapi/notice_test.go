package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// hears lists acme's notices, newest first.
func (h *house) hears(query string) (list []string) {
	h.t.Helper()
	for _, n := range into[api.NoticePage](h.get("/v1/providers/acme/notices" + query).is(200)).Notices {
		about := strings.Join([]string{n.Company, n.Endpoint, n.LicenseType, n.Invoice, n.Amount}, " ")
		list = append(list, fmt.Sprintf("%s %s %s [%s]", n.At.Format("01-02"), n.News, n.Kind, strings.Join(strings.Fields(about), " ")))
	}
	return list
}

// L1, L2: a trial begins, its end is announced with price and charge, and it becomes paid; an endpoint of a manual company lacks
// a license until it gets one.
func TestNotices(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/initech", map[string]any{"name": "Initech"}).is(201)
	for i, company := range []string{"globex", "initech"} {
		h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": company, "endpoint": fmt.Sprint("pc-", i+1), "license_type": "server"}).is(201)
		h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-10T10:00:00Z"}).is(200)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-22T09:00:00Z"}).is(200)
	all := into[api.NoticePage](h.get("/v1/providers/acme/notices?company=globex&kind=trial-ending").is(200)).Notices
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	n := all[0]
	if n.Text != "The trial of server for endpoint pc-1 of company globex ends on 24 February 2026, 09:00 UTC. From then on the license costs 6.99 USD a month; that makes 1.25 USD for the rest of February 2026." ||
		!n.Standing || n.News != api.NewsGood || n.Until.Format("01-02") != "02-24" || n.Currency != "USD" || n.Position == 0 || n.License == "" {
		t.Errorf("%+v", n)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-25T09:00:00Z"}).is(200)
	h.call("DELETE", "/v1/providers/acme/endpoints/pc-2", nil).is(200)
	h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "initech", "endpoint": "pc-2", "license_type": "server"}).is(201)
	if diff := cmp.Diff([]string{
		"02-25 bad license-missing [initech pc-2 server]",
		"02-24 good trial-converted [initech pc-2 server]",
		"02-24 good trial-converted [globex pc-1 server]",
		"02-10 good trial-started [initech pc-2 server]",
		"02-10 good trial-started [globex pc-1 server]",
	}, h.hears("")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"02-25 bad license-missing [initech pc-2 server]"}, h.hears("?news=bad")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}).is(201)
	h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
		"license_type": "server", "company": "initech", "assignee": map[string]any{"kind": "endpoint", "id": "pc-2"},
	}).is(200)
	if left := h.hears("?standing=true"); len(left) > 0 {
		t.Errorf("it still asks for %v", left)
	}
	// What it said while the trials ran.
	if diff := cmp.Diff([]string{
		"02-21 good trial-ending [initech pc-2 server 1.25]",
		"02-21 good trial-ending [globex pc-1 server 1.25]",
	}, h.hears("?standing=true&as_of=2026-02-23T00:00:00Z")); diff != "" {
		t.Errorf("as it was (-want +got):\n%s", diff)
	}
	h.get("/v1/providers/acme/notices?kind=trial").refused(422, api.CodeInvalid)
	h.get("/v1/providers/acme/notices?company=a%20b").refused(422, api.CodeInvalid)
	h.get("/v1/providers/acme/notices?news=ugly").refused(422, api.CodeInvalid)
	h.get("/v1/providers/other/notices").refused(404, api.CodeNotFound)
}

// U4: a notice names people as the caller knows them, and nobody who was erased.
func TestNoticesOfPeople(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
		"license_type": "microsoft-365", "company": "globex", "assignee": map[string]any{"kind": "domain-user", "id": "ann@globex.example"},
	}).is(201)
	h.call("DELETE", "/v1/providers/acme/payment-method", nil).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-01T00:00:00Z"}).is(200)
	n := into[api.NoticePage](h.get("/v1/providers/acme/notices?kind=licenses-expired").is(200)).Notices[0]
	if n.Assignee == nil || n.Assignee.ID != "ann@globex.example" || !strings.Contains(n.Text, "domain-user ann@globex.example") {
		t.Errorf("%+v", n)
	}
	csv := h.get("/v1/providers/acme/notices?kind=licenses-expired", header("Accept", "text/csv")).is(200).body
	if !strings.Contains(csv, "domain-user,ann@globex.example") {
		t.Errorf("%s", csv)
	}
}
