package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
)

// U4: erasing people leaves every figure as it is, in the present and in the past.
func TestErasureU4(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const url = "/v1/providers/acme/erasures"
	h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann Smith"}).is(201)
	h.call("PUT", administratorsURL+"bob", map[string]any{"name": "Bob"}).is(201)
	for kind, id := range map[string]string{"administrator": "ann", "domain-user": "ann@globex.example"} {
		licenseType := map[string]string{"administrator": "connect", "domain-user": "microsoft-365"}[kind]
		h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
			"license_type": licenseType, "company": "globex", "assignee": map[string]any{"kind": kind, "id": id},
		}).is(201)
	}
	then := h.clock
	before, err := then.Now()
	if err != nil {
		t.Fatal(err)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": before.AddDate(0, 1, 0)}).is(200)
	figures := func() string {
		return h.get("/v1/providers/acme/invoices/S-000001").is(200).body + h.get("/v1/providers/acme/licenses/counters").is(200).body
	}
	grid := func() string { return h.get("/v1/providers/acme/licenses").is(200).body }
	asOf := func() string {
		return h.get("/v1/providers/acme/licenses?as_of=" + before.UTC().Format(time.RFC3339Nano)).is(200).body
	}
	was := figures()
	if !strings.Contains(grid(), "ann@globex.example") || !strings.Contains(asOf(), "ann@globex.example") {
		t.Fatal("the grid does not show whom a license serves")
	}

	user := map[string]any{"kind": "domain-user", "id": "ann@globex.example"}
	if dry := into[api.ErasureAnswer](h.call("POST", url+"?dry_run=true", user).is(200)); !dry.Known || dry.Position != nil {
		t.Errorf("dry run: %+v", dry)
	}
	if !strings.Contains(grid(), "ann@globex.example") {
		t.Error("the dry run erases")
	}
	n := h.entries()
	if done := into[api.ErasureAnswer](h.call("POST", url, user).is(200)); !done.Known || done.Position == nil || h.entries() != n {
		t.Errorf("erased: %+v", done)
	}
	if again := into[api.ErasureAnswer](h.call("POST", url, user).is(200)); again.Known {
		t.Errorf("erased again: %+v", again)
	}
	for name, body := range map[string]string{"grid": grid(), "as of": asOf()} {
		if strings.Contains(body, "ann@globex.example") || !strings.Contains(body, `"id":"ann"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
	if figures() != was {
		t.Error("figures have changed")
	}

	// Everybody is for the operator, and leaves pseudonyms of all.
	provider := bearer(h.tokenOf(auth.Principal{Kind: auth.KindProvider, Provider: "acme"}))
	if p := h.call("POST", url, map[string]any{"everyone": true}, provider).refused(403, "permission_denied"); p.Permission != "operator" {
		t.Errorf("%+v", p)
	}
	h.call("POST", url, map[string]any{"everyone": true}).is(200)
	if body := grid() + h.get("/v1/providers/acme/administrators").is(200).body; strings.Contains(body, `"ann"`) || strings.Contains(body, "Bob") {
		t.Errorf("somebody is known: %s", body)
	}
	if figures() != was {
		t.Error("figures have changed")
	}

	for _, wrong := range []map[string]any{
		{}, {"kind": "administrator"}, {"id": "ann"}, {"kind": "endpoint", "id": "pc-1"}, {"everyone": true, "kind": "auditor", "id": "eve"},
	} {
		h.call("POST", url, wrong).refused(422, "invalid")
	}
	h.call("POST", "/v1/providers/nobody/erasures", user).refused(404, "not_found")
	h.call("POST", url, user, bearer(h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "x", Permissions: []string{"licenses.manage"}}))).refused(403, "permission_denied")
}
