package httpapi_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"licenseledger/ledger/api"
)

const administratorsURL = "/v1/providers/acme/administrators/"

// U4: names and ids of people stand beside the ledger; a change of the name alone makes no entry.
func TestAdministratorsU4(t *testing.T) {
	h := newHouse(t)
	h.acme()
	ann := map[string]any{"name": "Ann Smith", "permissions": []string{"usage.history", "licenses.manage"}}
	n := h.entries()
	dry := into[api.AdministratorAnswer](h.call("PUT", administratorsURL+"ann?dry_run=true", ann).is(200))
	if dry.ID != "ann" || dry.Position != nil || h.entries() != n {
		t.Errorf("dry run: %+v", dry)
	}
	if _, ok := h.names.Alias("acme", "administrator", "ann"); ok {
		t.Error("the dry run keeps somebody")
	}
	made := into[api.AdministratorAnswer](h.call("PUT", administratorsURL+"ann", ann).is(http.StatusCreated))
	want := api.Administrator{ID: "ann", AdministratorSettings: api.AdministratorSettings{Name: "Ann Smith", Permissions: []string{"licenses.manage", "usage.history"}}}
	same := func(a, b api.Administrator) bool {
		return a.ID == b.ID && a.Name == b.Name && slices.Equal(a.Permissions, b.Permissions)
	}
	if !same(made.Administrator, want) || made.Position == nil {
		t.Errorf("made: %+v", made)
	}
	if got := into[api.Administrator](h.get(administratorsURL + "ann").is(200)); !same(got, want) {
		t.Errorf("got %+v", got)
	}
	for _, r := range h.stream.Records() {
		if body := string(r.Body); strings.Contains(body, `"ann"`) || strings.Contains(body, "Ann Smith") {
			t.Errorf("the log knows her: %s", body)
		}
	}

	n = h.entries()
	ann["name"] = "Ann Miller"
	if renamed := h.call("PUT", administratorsURL+"ann", ann).is(200); renamed.position() != *made.Position || h.entries() != n {
		t.Errorf("a new name was recorded at %d", renamed.position())
	}
	if got := into[api.Administrator](h.get(administratorsURL + "ann").is(200)); got.Name != "Ann Miller" {
		t.Errorf("renamed: %+v", got)
	}
	h.call("PUT", administratorsURL+"bob", map[string]any{}).is(201)
	h.call("PUT", administratorsURL+"cid", map[string]any{"permissions": []string{"licenses.buy"}}).is(201)
	page := into[api.AdministratorPage](h.get("/v1/providers/acme/administrators?limit=2").is(200))
	if len(page.Administrators) != 2 || page.Administrators[0].Name != "Ann Miller" || page.Administrators[1].ID != "bob" || page.Administrators[1].Permissions == nil {
		t.Errorf("%+v", page)
	}
	page = into[api.AdministratorPage](h.get("/v1/providers/acme/administrators?limit=2&cursor=" + page.NextCursor).is(200))
	if len(page.Administrators) != 1 || page.Administrators[0].ID != "cid" || page.NextCursor != "" {
		t.Errorf("%+v", page)
	}

	// Erased, the pseudonym is left, and all that she may do; who knows her id still finds her.
	if err := h.names.ErasePerson("acme", "administrator", "ann"); err != nil {
		t.Fatal(err)
	}
	list := into[api.AdministratorPage](h.get("/v1/providers/acme/administrators").is(200)).Administrators
	if i := slices.IndexFunc(list, func(a api.Administrator) bool { return len(a.ID) == 32 && a.Name == "" }); i < 0 {
		t.Errorf("%+v", list)
	}
	if got := into[api.Administrator](h.get(administratorsURL + "ann").is(200)); got.Name != "" || len(got.Permissions) != 2 {
		t.Errorf("erased: %+v", got)
	}

	h.get(administratorsURL+"eve").refused(404, api.CodeNotFound)
	h.call("PUT", administratorsURL+"eve", map[string]any{"permissions": []string{"everything"}}).refused(422, api.CodeInvalid)
	h.call("PUT", administratorsURL+"eve", map[string]any{"name": "a\tb"}).refused(422, api.CodeInvalid)
	h.call("PUT", "/v1/providers/other/administrators/eve", map[string]any{}).refused(404, api.CodeNotFound)
	alias, _ := h.names.Alias("acme", "administrator", "eve")
	if _, _, kept := h.names.Reveal("acme", alias); kept {
		t.Error("somebody is kept whose command was refused")
	}
}

// A repetition gives the first answer, and no old name back.
func TestAdministratorRepeated(t *testing.T) {
	h := newHouse(t)
	h.acme()
	first := h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann Smith", "permissions": []string{"licenses.buy"}}, key("k")).is(201)
	h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann Miller", "permissions": []string{"licenses.buy"}}).is(200)
	again := h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann Smith", "permissions": []string{"licenses.buy"}}, key("k")).is(200)
	if again.position() != first.position() {
		t.Errorf("again at %d, first at %d", again.position(), first.position())
	}
	h.call("PUT", administratorsURL+"ann", map[string]any{"name": "Ann Else"}, key("k")).refused(422, api.CodeIdempotencyMismatch)
	if got := into[api.Administrator](h.get(administratorsURL + "ann").is(200)); got.Name != "Ann Miller" {
		t.Errorf("%+v", got)
	}
	// Somebody who was erased since: the first answer all the same.
	allocated := map[string]any{"license_type": "microsoft-365", "company": "globex", "assignee": map[string]any{"kind": "domain-user", "id": "dee@globex.example"}}
	was := h.call("POST", licensesURL+"allocate", allocated, key("d")).is(201)
	if err := h.names.ErasePerson("acme", "domain-user", "dee@globex.example"); err != nil {
		t.Fatal(err)
	}
	if now := h.call("POST", licensesURL+"allocate", allocated, key("d")).is(201); now.position() != was.position() {
		t.Errorf("at %d, first at %d", now.position(), was.position())
	}
	h.call("POST", licensesURL+"allocate", allocated).refused(409, api.CodeLicenseAlreadyHeld)
}

// L4: administrators must exist; people that a command is refused for are not kept.
func TestAllocateToPeople(t *testing.T) {
	h := newHouse(t)
	h.acme()
	give := func(kind, id string) map[string]any {
		return map[string]any{"license_type": "connect", "assignee": map[string]any{"kind": kind, "id": id}}
	}
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "connect", "quantity": 2}).is(201)
	h.call("POST", licensesURL+"allocate", give("administrator", "ann")).refused(404, api.CodeNotFound)
	h.call("PUT", administratorsURL+"ann", map[string]any{}).is(201)
	h.call("POST", licensesURL+"allocate", give("administrator", "bob")).refused(404, api.CodeNotFound)
	l := into[api.LicenseAnswer](h.call("POST", licensesURL+"allocate", give("administrator", "ann")).is(200)).License
	if l.Assignee == nil || *l.Assignee != (api.Assignee{Kind: "administrator", ID: "ann"}) {
		t.Errorf("%+v", l.Assignee)
	}
	p := h.call("POST", licensesURL+"allocate", give("administrator", "ann")).refused(409, api.CodeLicenseAlreadyHeld)
	if !strings.Contains(p.Detail, `"ann"`) {
		t.Errorf("in whose words: %s", p.Detail)
	}
	user := map[string]any{"license_type": "microsoft-365", "company": "globex", "assignee": map[string]any{"kind": "domain-user", "id": "dee@globex.example"}}
	dry := into[api.LicenseAnswer](h.call("POST", licensesURL+"allocate?dry_run=true", user).is(200))
	if dry.License.Assignee == nil || dry.License.Assignee.ID != "dee@globex.example" || dry.Cost != "1.08" { // 19 of 28 days
		t.Errorf("dry run: %+v", dry)
	}
	h.manual()
	h.call("POST", licensesURL+"allocate", user).refused(409, api.CodePoolEmpty)
	alias, _ := h.names.Alias("acme", "domain-user", "dee@globex.example")
	if _, _, kept := h.names.Reveal("acme", alias); kept {
		t.Error("somebody is kept for nothing")
	}
}

const tokensURL = "/v1/providers/acme/tokens"

// Tokens are shown once, work at once, and not at all once they are revoked.
func TestTokens(t *testing.T) {
	var disconnected []string
	h := newHouse(t, disconnects(&disconnected))
	h.acme()
	h.call("PUT", administratorsURL+"ann", map[string]any{"permissions": []string{"licenses.manage"}}).is(201)
	for _, row := range []struct {
		subject, path string
		status        int
	}{
		{"provider", "/v1/providers/acme/tokens", 200},
		{"administrator:ann", "/v1/providers/acme/licenses", 200},
		{"auditor:eve", "/v1/providers/acme/tokens", 200},
		{"agent:pc-17", "/v1/catalog", 200},
		{"instance:srv-1", "/v1/catalog", 200},
	} {
		n := h.entries()
		dry := into[api.TokenAnswer](h.call("POST", tokensURL+"?dry_run=true", map[string]any{"subject": row.subject}).is(200))
		if dry.Secret != "" || dry.Position != nil || h.entries() != n {
			t.Errorf("%s, dry run: %+v", row.subject, dry)
		}
		issued := into[api.TokenAnswer](h.call("POST", tokensURL, map[string]any{"subject": row.subject}, key(row.subject)).is(201))
		if issued.Secret == "" || issued.Subject != row.subject || issued.ID == "" || issued.IssuedAt != start || issued.Position == nil {
			t.Fatalf("%+v", issued)
		}
		again := into[api.TokenAnswer](h.call("POST", tokensURL, map[string]any{"subject": row.subject}, key(row.subject)).is(201))
		if again.Secret != "" || again.ID != issued.ID || *again.Position != *issued.Position {
			t.Errorf("%s, again: %+v", row.subject, again)
		}
		h.get(row.path, bearer(issued.Secret)).is(row.status)
		h.call("DELETE", tokensURL+"/"+issued.ID+"?dry_run=true", nil).is(200)
		h.get(row.path, bearer(issued.Secret)).is(row.status)
		revoked := into[api.TokenRevoked](h.call("DELETE", tokensURL+"/"+issued.ID, nil, key("revoke-"+row.subject)).is(200))
		if revoked.ID != issued.ID || revoked.Position == nil {
			t.Errorf("%+v", revoked)
		}
		h.get(row.path, bearer(issued.Secret)).refused(401, api.CodeUnauthenticated)
		h.call("DELETE", tokensURL+"/"+issued.ID, nil, key("revoke-"+row.subject)).is(200)
		h.call("DELETE", tokensURL+"/"+issued.ID, nil).refused(404, api.CodeNotFound)
		for _, r := range h.stream.Records() {
			if body := string(r.Body); strings.Contains(body, issued.Secret) || strings.Contains(body, `"eve"`) {
				t.Fatalf("the log knows too much: %.2000s", body)
			}
		}
	}
	if !slices.Equal(disconnected, []string{"acme/pc-17"}) {
		t.Errorf("disconnected: %v", disconnected)
	}
	h.call("POST", tokensURL, map[string]any{"subject": "auditor:eve"}).is(201)
	h.call("POST", tokensURL, map[string]any{"subject": "administrator:ann"}).is(201)
	list := into[api.TokenPage](h.get(tokensURL).is(200)).Tokens
	for _, subject := range []string{"auditor:eve", "administrator:ann"} {
		if !slices.ContainsFunc(list, func(k api.Token) bool { return k.Subject == subject && k.IssuedAt == start && k.ID != "" }) || len(list) != 2 {
			t.Errorf("%s is not in %+v", subject, list)
		}
	}
	if csv := h.get(tokensURL, header("Accept", "text/csv")).is(200); !strings.HasPrefix(csv.body, "id,subject,issued_at\r\n") || strings.Contains(csv.body, "ledger_tk_") {
		t.Errorf("%s", csv.body)
	}
	h.call("POST", tokensURL, map[string]any{"subject": "administrator:bob"}).refused(404, api.CodeNotFound)
	for _, subject := range []string{"operator", "agent", "agent:", "agent:a b", "provider:acme", "king:pc-17", ""} {
		h.call("POST", tokensURL, map[string]any{"subject": subject}).refused(422, api.CodeInvalid)
	}
}

// Permissions that are taken away are missing from the answer on.
func TestPermissionsTakenAway(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", administratorsURL+"ann", map[string]any{"permissions": []string{"licenses.manage"}}).is(201)
	token := into[api.TokenAnswer](h.call("POST", tokensURL, map[string]any{"subject": "administrator:ann"}).is(201)).Secret
	h.get("/v1/providers/acme/licenses", bearer(token)).is(200)
	h.call("PUT", administratorsURL+"ann", map[string]any{"permissions": []string{"usage.history"}}).is(200)
	if p := h.get("/v1/providers/acme/licenses", bearer(token)).refused(403, api.CodePermissionDenied); p.Permission != "licenses.manage" {
		t.Errorf("%+v", p)
	}
	h.get("/v1/providers/acme/usage-history", bearer(token)).is(200)
}
