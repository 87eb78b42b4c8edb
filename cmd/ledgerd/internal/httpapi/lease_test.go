package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// leased asks for an endpoint's lease, and checks what is true of every lease: the text verifies with the published keys
// and says what the answer shows.
func (h *house) leased(path string, changes ...with) api.Lease {
	h.t.Helper()
	a := h.get(path, changes...).is(200)
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		h.t.Errorf("%s: Cache-Control %q", path, got)
	}
	shown := into[map[string]any](a)
	text, _ := shown["lease"].(string)
	delete(shown, "lease")
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		h.t.Fatal(err)
	}
	if d := cmp.Diff(into[map[string]any](answer{t: h.t, body: string(payload)}), shown); d != "" {
		h.t.Errorf("the text (-) does not say what the answer shows (+):\n%s", d)
	}
	l := into[api.Lease](a)
	claims, err := lease.Verify(text, h.leaseKeys())
	if err != nil {
		h.t.Fatal(err)
	}
	if d := cmp.Diff(claims, l.Claims); d != "" {
		h.t.Error(d)
	}
	return l
}

func (h *house) leaseKeys() lease.KeySet {
	h.t.Helper()
	keys, err := lease.ParseKeys([]byte(h.get("/.well-known/jwks.json", header("Authorization", "")).is(200).body))
	if err != nil {
		h.t.Fatal(err)
	}
	return keys
}

// K11: monthly endpoints have leases.
func TestEndpointLeaseK11(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const path = "/v1/providers/acme/endpoints/pc-1/lease"
	h.get(path).refused(404, api.CodeNotFound)
	l := h.allocated("server", "pc-1").License
	n := h.entries()
	agent := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAgent, Provider: "acme", ID: "pc-1"}))
	got := h.leased(path, agent)
	want := lease.Claims{
		Issuer: "01KGB000000000000000000000", Subject: "agent:pc-1", IssuedAt: start.Unix(), Expires: start.Add(7 * 24 * time.Hour).Unix(),
		Provider: "acme", Status: "active", Licenses: []lease.LeasedLicense{{ID: l.ID, Type: "server", Status: "paid", Until: start.Add(7 * 24 * time.Hour)}},
		BackupUntil: start.Add(7 * 24 * time.Hour), OfflineUntil: start.Add(7 * 24 * time.Hour), RefreshAt: start.Add(time.Hour),
	}
	if d := cmp.Diff(want, got.Claims); d != "" {
		t.Error(d)
	}
	if h.entries() != n {
		t.Error("a lease was recorded")
	}

	off := h.call("POST", licensesURL+l.ID+"/auto-renew", map[string]any{"enabled": false}).is(200).position()
	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	if got := h.leased(path+"?after="+string(must(json.Marshal(off))(t)), agent); !got.BackupUntil.Equal(march) {
		t.Errorf("auto-renew off: %+v", got)
	}
	h.at("2026-03-01T00:00:00Z")
	expired := h.leased(path)
	if expired.Status != lease.StatusExpired || !expired.BackupUntil.Equal(march) {
		t.Errorf("expired: %+v", expired)
	}
	if s := lease.Judge(&expired.Claims, march, march); s.Mode != lease.RestoreOnly || !s.Restore {
		t.Errorf("expired: %+v", s)
	}
	h.get(path+"?as_of=2026-02-10T10:00:00Z").refused(422, api.CodeInvalid)
	h.get("/v1/providers/acme/endpoints/a.b/lease").refused(422, api.CodeInvalid)
}

// The published keys are public and may be kept for a while; they verify what was signed before they changed.
func TestLeaseKeysK11(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.allocated("server", "pc-1")
	a := h.get("/.well-known/jwks.json", header("Authorization", "")).is(200)
	if a.header.Get("Content-Type") != "application/jwk-set+json" || a.header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%v", a.header)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s, %v", a.body, err)
	}
	if k := set.Keys[0]; k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["alg"] != "EdDSA" || k["use"] != "sig" || k["kid"] == "" || k["d"] != "" {
		t.Errorf("%v", k)
	}
	h.call("POST", "/.well-known/jwks.json", nil).is(http.StatusMethodNotAllowed)
	const path = "/v1/providers/acme/endpoints/pc-1/lease"
	before := h.leaseKeys()
	h.at("2026-05-20T00:00:00Z") // 90 days and more
	old := h.leased(path)
	both := h.leaseKeys()
	h.at("2026-05-21T00:00:00Z")
	if _, err := lease.Verify(h.leased(path).Text, before); err == nil {
		t.Error("the old key goes on")
	}
	if _, err := lease.Verify(old.Text, h.leaseKeys()); err != nil || len(both) != 2 {
		t.Errorf("the key was not rotated: %d keys, %v", len(both), err)
	}
	h.at("2026-06-01T00:00:00Z")
	if now := h.leaseKeys(); len(now) != 1 || maps.Equal(keyIDs(now), keyIDs(before)) {
		t.Errorf("%v", keyIDs(now))
	}
}

func keyIDs(set lease.KeySet) map[string]bool {
	ids := make(map[string]bool)
	for id := range set {
		ids[id] = true
	}
	return ids
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
