package httpapi_test

import "testing"

func TestSmoke(t *testing.T) {
	h := newHouse(t)
	h.acme()
	l := h.allocated("server", "pc-17")
	t.Logf("%+v", l)
	for _, p := range []string{"/v1/providers", "/v1/providers/acme", "/v1/providers/acme/companies", "/v1/providers/acme/licenses?limit=5&status=used", "/v1/providers/acme/licenses/counters", "/v1/providers/acme/endpoints", "/v1/providers/acme/invoices/draft", "/v1/providers/acme/usage-history", "/v1/catalog", "/v1/clock", "/readyz", "/metrics", "/healthz", "/v1/nope", "/v1/providers/acme/payment-method"} {
		a := h.get(p)
		t.Log(p, a.status, a.header, a.body[:min(len(a.body), 900)])
	}
	a := h.call("POST", "/v1/providers/acme/licenses/"+l.License.ID+"/release?dry_run=true", nil)
	t.Log(a.status, a.body)
	a = h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 2, "Company": "x"})
	t.Log(a.status, a.body)
	a = h.call("POST", "/v1/providers/acme/licenses", `{"license_type":5,"quantity":0}`)
	t.Log(a.status, a.body)
	a = h.call("POST", "/v1/providers/acme/usage", `{"agent":"pc-17","seq":1,"readings":[{"meter":"m","value":5,"at":"2026-02-10T08:00:00Z"}]}`)
	t.Log(a.status, a.body)
	t.Log(h.get("/openapi.json").body[:300])
}
