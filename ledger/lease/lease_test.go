package lease_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licenseledger/ledger/lease"
)

var update = flag.Bool("update", false, "write the golden files anew")

// issued is 5 January 2026, when the leases of these tests are issued.
var issued = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

func key(b byte) lease.SigningKey {
	var seed [ed25519.SeedSize]byte
	for i := range seed {
		seed[i] = b
	}
	return lease.NewSigningKey(seed)
}

// server is the lease of an endpoint whose license renews itself.
func server() lease.Claims {
	c := lease.Claims{Subject: "agent:pc-17", Provider: "acme", Status: lease.StatusActive}
	c.Issue("01KGB000000000000000000000", issued, lease.DefaultOffline)
	c.BackupUntil = c.OfflineUntil
	c.Licenses = []lease.LeasedLicense{{ID: "01KE6DHC000000000000000001", Type: "server", Status: "paid", Until: c.BackupUntil}}
	return c
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

// The text of a lease and of the keys: other programs read them, so they do not change.
func TestGolden(t *testing.T) {
	text := must(lease.Sign(server(), key(1)))(t)
	keys := must(json.Marshal(lease.NewKeySet(key(1).Public(), key(2).Public())))(t)
	for name, got := range map[string]string{"lease.jwt": text + "\n", "jwks.json": string(keys) + "\n"} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(must(os.ReadFile(file))(t)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
	// Read without our code: RFC 7515 and RFC 8037.
	parts := strings.Split(text, ".")
	signature := must(base64.RawURLEncoding.DecodeString(parts[2]))(t)
	if !ed25519.Verify(key(1).Public(), []byte(parts[0]+"."+parts[1]), signature) {
		t.Error("the signature is not Ed25519 over header and claims")
	}
	if header := string(must(base64.RawURLEncoding.DecodeString(parts[0]))(t)); header != `{"alg":"EdDSA","kid":"`+key(1).ID()+`","typ":"JWT"}` {
		t.Errorf("header %s", header)
	}
	back := must(lease.ParseKeys(keys))(t)
	if d := cmp.Diff(lease.NewKeySet(key(2).Public(), key(1).Public()), back); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(server(), must(lease.Verify(text, back))(t)); d != "" {
		t.Error(d)
	}
}

// The thumbprint of RFC 8037, appendix A.3.
func TestKeyIDIsTheThumbprint(t *testing.T) {
	x := must(base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))(t)
	if got := lease.KeyID(x); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Error(got)
	}
	again := lease.NewSigningKey(key(3).Seed())
	if again.ID() != key(3).ID() || again.ID() == key(4).ID() {
		t.Error("a key's seed does not make the same key")
	}
}

// part is a part of a JWT.
func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// signedBy is a JWT of any header and claims with an Ed25519 signature.
func signedBy(k lease.SigningKey, header, claims string) string {
	text := part(header) + "." + part(claims)
	seed := k.Seed()
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), []byte(text)))
}

func TestVerifyIsStrict(t *testing.T) {
	keys := lease.NewKeySet(key(1).Public(), key(2).Public())
	claims := string(must(json.Marshal(server()))(t))
	header := `{"alg":"EdDSA","typ":"JWT","kid":"` + key(1).ID() + `"}`
	good := signedBy(key(1), header, claims)
	if _, err := lease.Verify(good, keys); err != nil {
		t.Fatal(err)
	}
	changed := func(f func(map[string]any)) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(claims), &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		return signedBy(key(1), header, string(must(json.Marshal(m))(t)))
	}
	without := func(name string) string { return changed(func(m map[string]any) { delete(m, name) }) }
	hs := part(`{"alg":"HS256","kid":"`+key(1).ID()+`"}`) + "." + part(claims)
	mac := hmac.New(sha256.New, key(1).Public())
	mac.Write([]byte(hs))
	parts := strings.Split(good, ".")
	for name, text := range map[string]string{
		"nothing":                    "",
		"no JWT":                     "a.b",
		"no signature":               parts[0] + "." + parts[1] + ".",
		"cut off":                    good[:len(good)-4],
		"padded":                     good + "=",
		"white space":                good + "\n",
		"four parts":                 good + ".x",
		"other claims":               parts[0] + "." + part(strings.Replace(claims, "pc-17", "pc-18", 1)) + "." + parts[2],
		"signed by another key":      signedBy(key(2), header, claims),
		"alg none":                   part(`{"alg":"none","kid":"`+key(1).ID()+`"}`) + "." + part(claims) + ".",
		"the public key as a secret": hs + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)),
		"no alg":                     signedBy(key(1), `{"kid":"`+key(1).ID()+`"}`, claims),
		"alg of another name":        signedBy(key(1), `{"alg":"eddsa","kid":"`+key(1).ID()+`"}`, claims),
		"no kid":                     signedBy(key(1), `{"alg":"EdDSA"}`, claims),
		"kid is no text":             signedBy(key(1), `{"alg":"EdDSA","kid":1}`, claims),
		"extensions":                 signedBy(key(1), `{"alg":"EdDSA","crit":["x"],"x":1,"kid":"`+key(1).ID()+`"}`, claims),
		"header is no JSON":          signedBy(key(1), `{`, claims),
		"claims are no JSON":         signedBy(key(1), header, `{`),
		"claims are null":            signedBy(key(1), header, `null`),
		"no iss":                     without("iss"),
		"no sub":                     without("sub"),
		"no provider":                without("provider"),
		"no status":                  without("status"),
		"no iat":                     without("iat"),
		"no exp":                     without("exp"),
		"no backup_until":            without("backup_until"),
		"no offline_until":           without("offline_until"),
		"no refresh_at":              without("refresh_at"),
		"exp beside offline_until":   changed(func(m map[string]any) { m["exp"] = 1768204801 }),
		"a limit below 0":            changed(func(m map[string]any) { m["restore_limit"] = -1 }),
		"ended before it was issued": changed(func(m map[string]any) { m["iat"] = 1768204800 }),
		"a time without zone":        changed(func(m map[string]any) { m["backup_until"] = "2026-01-12T08:00:00" }),
		"longer than any lease":      strings.Repeat("x", lease.MaxText+1),
	} {
		c, err := lease.Verify(text, keys)
		if !errors.Is(err, lease.ErrUnverified) || c.Subject != "" {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		if errors.Is(err, lease.ErrUnknownKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := lease.Verify(good, lease.NewKeySet(key(2).Public())); !errors.Is(err, lease.ErrUnknownKey) || !errors.Is(err, lease.ErrUnverified) {
		t.Errorf("a key that is not in the set: %v", err)
	}
	// What a later ledger adds does not shut out programs of today.
	if _, err := lease.Verify(changed(func(m map[string]any) { m["more"] = true }), keys); err != nil {
		t.Error(err)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	c := server()
	c.Provider = ""
	if text, err := lease.Sign(c, key(1)); err == nil || text != "" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestParseKeys(t *testing.T) {
	good := `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}`
	for text, n := range map[string]int{
		`{"keys":[]}`:             0,
		`{"keys":[` + good + `]}`: 1,
		`{"x":1,"keys":[{"kty":"RSA","kid":"r","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","x":"AA","kid":"x"},{"kty":"OKP","crv":"Ed25519","use":"enc"},` + good + `]}`: 1,
	} {
		if keys, err := lease.ParseKeys([]byte(text)); err != nil || len(keys) != n {
			t.Errorf("%s: %v, %v", text, keys, err)
		}
	}
	for _, text := range []string{
		``, `[]`, `{}`, `{"keys":null}`, `{"keys":[` + good + `,` + good + `]}`, `{"keys":[` + strings.Replace(good, `"a"`, `""`, 1) + `]}`,
		`{"keys":[` + strings.Replace(good, `HURo`, `HUR`, 1) + `]}`, `{"keys":[` + strings.Replace(good, `HURo`, `HURp`, 1) + `]}`,
	} {
		if keys, err := lease.ParseKeys([]byte(text)); err == nil {
			t.Errorf("%s: %v", text, keys)
		}
	}
}

// after is a moment of the tests: so long after the lease was issued.
func after(d time.Duration) time.Time { return issued.Add(d) }

const (
	day  = 24 * time.Hour
	tick = time.Millisecond
)

// Domain K11, K9, K3: what a lease allows, on both sides of each boundary.
func TestJudgeK11(t *testing.T) {
	monthEnd := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	endsIn := func(d time.Duration) lease.Claims { // auto-renew off
		c := server()
		c.BackupUntil = after(d)
		c.Licenses[0].Until = c.BackupUntil
		return c
	}
	status := func(status string) lease.Claims {
		c := server()
		c.Status, c.BackupUntil, c.Licenses = status, issued, nil
		return c
	}
	trial := func(left time.Duration) lease.Claims { // of an instance without key
		c := server()
		c.Subject, c.Status, c.Licenses = "instance:srv-1", lease.StatusTrial, nil
		c.BackupUntil, c.RestoreUntil, c.RestoreLimit = after(left), after(left), lease.TrialRestoreLimit
		if left <= 0 {
			c.Status = lease.StatusExpired
		}
		return c
	}
	toMonthEnd := endsIn(monthEnd.Sub(issued))
	for _, row := range []struct {
		name      string
		claims    lease.Claims
		now, seen time.Time
		mode      lease.Mode
		reason    lease.Reason
	}{
		{"K11 fresh", server(), issued, issued, lease.Allowed, ""},
		{"K11 offline, the last instant of 7 x 24 h", server(), after(7*day - tick), after(7*day - tick), lease.Allowed, ""},
		{"K11 offline for 7 x 24 h", server(), after(7 * day), after(7 * day), lease.Suspended, lease.Offline},
		{"K11 offline for months", server(), after(200 * day), after(200 * day), lease.Suspended, lease.Offline},
		{"K11 auto-renew off, the month's end is later than offline_until", toMonthEnd, after(7 * day), issued, lease.Suspended, lease.Offline},
		{"K11 auto-renew off, before the end", endsIn(2 * day), after(2*day - tick), issued, lease.Allowed, ""},
		{"K11 auto-renew off, at the end", endsIn(2 * day), after(2 * day), issued, lease.Suspended, lease.Due},
		{"K11 auto-renew off, and offline", endsIn(2 * day), after(8 * day), issued, lease.Suspended, lease.Offline},
		{"K9 expired", status(lease.StatusExpired), issued, issued, lease.RestoreOnly, lease.NotLicensed},
		{"K9 expired, and offline for months", status(lease.StatusExpired), after(200 * day), issued, lease.RestoreOnly, lease.NotLicensed},
		{"K1 suspended key", status(lease.StatusSuspended), issued, issued, lease.RestoreOnly, lease.NotLicensed},
		{"no license", status(lease.StatusUnlicensed), issued, issued, lease.RestoreOnly, lease.NotLicensed},
		{"a status of a later ledger", status("paused"), issued, issued, lease.RestoreOnly, lease.NotLicensed},
		{"K11 the clock is 5 minutes behind", server(), after(day), after(day + 5*time.Minute), lease.Allowed, ""},
		{"K11 the clock is more than 5 minutes behind", server(), after(day), after(day + 5*time.Minute + tick), lease.Suspended, lease.ClockBehind},
		{"K11 the clock is behind the lease", server(), after(-5*time.Minute - tick), time.Time{}, lease.Suspended, lease.ClockBehind},
		{"K11 the clock is a little behind the lease", server(), after(-5 * time.Minute), time.Time{}, lease.Allowed, ""},
		{"K11 what has ended does not begin again", server(), after(7*day - tick), after(7 * day), lease.Suspended, lease.Offline},
		{"K3 trial, the last instant", trial(30 * day), after(6 * day), issued, lease.Allowed, ""},
		{"K3 trial, offline for too long", trial(30 * day), after(7 * day), issued, lease.Suspended, lease.Offline},
		{"K3 trial, its last instant offline", trial(30 * day), after(30*day - tick), issued, lease.Suspended, lease.Offline},
		{"K3 trial is over", trial(30 * day), after(30 * day), issued, lease.Ended, lease.TrialEnded},
		{"K3 trial is over, and the clock turned back", trial(30 * day), after(day), after(30 * day), lease.Ended, lease.TrialEnded},
		{"K3 trial was over", trial(-day), issued, issued, lease.Ended, lease.TrialEnded},
	} {
		s := lease.Judge(&row.claims, row.now, row.seen)
		if s.Mode != row.mode || s.Reason != row.reason {
			t.Errorf("%s: %s %s, want %s %s", row.name, s.Mode, s.Reason, row.mode, row.reason)
		}
		if s.Backup != (row.mode == lease.Allowed) || s.Restore != (row.mode != lease.Ended) || s.RestoreLimit != row.claims.RestoreLimit {
			t.Errorf("%s: %+v", row.name, s)
		}
		if row.mode == lease.Allowed && len(row.claims.Licenses) > 0 && !cmp.Equal(s.Types, []string{"server"}) {
			t.Errorf("%s: types %v", row.name, s.Types)
		}
	}
	if s := lease.Judge(nil, issued, issued); s.Mode != lease.Suspended || s.Reason != lease.NoLease || s.Backup || !s.Restore {
		t.Errorf("no lease: %+v", s)
	}
	c := toMonthEnd
	if s := lease.Judge(&c, issued, issued); s.BackupUntil != c.OfflineUntil || s.OfflineUntil != after(7*day) || s.RefreshAt != after(time.Hour) {
		t.Errorf("%+v", s)
	}
	if got := lease.Judge(nil, issued, issued).Text(); got != "suspended (waiting for the licensing server)" {
		t.Error(got)
	}
}

// An endpoint's types end one by one.
func TestJudgeTypes(t *testing.T) {
	c := server()
	c.Licenses = append(c.Licenses, lease.LeasedLicense{ID: "2", Type: "ms-sql", Status: "trial", Until: after(day)}, lease.LeasedLicense{ID: "3", Type: "server", Status: "paid", Until: after(2 * day)})
	for d, want := range map[time.Duration][]string{day - tick: {"ms-sql", "server"}, day: {"server"}} {
		if got := lease.Judge(&c, after(d), issued).Types; !cmp.Equal(got, want) {
			t.Errorf("after %s: %v", d, got)
		}
	}
}

// Whatever clock and lease say: backups need everything at once, restores hardly anything, and turning the clock back
// never gives back what has ended.
func TestJudgeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := server()
		at := rapid.Map(rapid.Int64Range(-40*int64(day/tick), 40*int64(day/tick)), func(n int64) time.Time { return after(time.Duration(n) * tick) })
		c.BackupUntil = at.Draw(t, "backup_until")
		if rapid.Bool().Draw(t, "limited") {
			c.RestoreUntil = at.Draw(t, "restore_until")
		}
		c.Status = rapid.SampledFrom([]string{lease.StatusActive, lease.StatusTrial, lease.StatusExpired, lease.StatusSuspended}).Draw(t, "status")
		now, seen := at.Draw(t, "now"), at.Draw(t, "seen")
		s := lease.Judge(&c, now, seen)
		licensed := c.Status == lease.StatusActive || c.Status == lease.StatusTrial
		if s.Backup && (!licensed || !now.Before(c.BackupUntil) || !now.Before(c.OfflineUntil) || !seen.Before(s.BackupUntil) || seen.Sub(now) > lease.ClockTolerance) {
			t.Fatalf("backups run: %+v", s)
		}
		if !s.Restore && c.RestoreUntil.IsZero() {
			t.Fatalf("no restore: %+v", s)
		}
		if s.Backup != (s.Reason == "") || s.Backup != (s.Mode == lease.Allowed) || s.Restore == (s.Mode == lease.Ended) {
			t.Fatalf("%+v", s)
		}
		later := lease.Judge(&c, now.Add(-time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "back"))), maxTime(now, seen))
		if later.Backup && !s.Backup && seen.Sub(now) <= lease.ClockTolerance || later.Restore && !s.Restore {
			t.Fatalf("turned back: %+v, before it %+v", later, s)
		}
	})
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Domain K11: offline, only seated users, of keys that allow backups; ids are exact.
func TestSeatedK11(t *testing.T) {
	c := server()
	c.Keys = []lease.LeasedKey{
		{Key: "01K", Status: "active", Until: after(day), Users: []string{lease.UserID("01K", "ann@example.com"), lease.UserID("01L", "bob@example.com")}},
		{Key: "01M", Status: "expired", Until: after(-day), Users: []string{lease.UserID("01M", "eve@example.com")}},
	}
	for user, want := range map[string]bool{"ann@example.com": true, "Ann@example.com": false, "bob@example.com": false, "eve@example.com": false, "": false} {
		if c.Seated(user, after(day-tick)) != want {
			t.Errorf("%q: %v", user, !want)
		}
	}
	if c.Seated("ann@example.com", after(day)) {
		t.Error("the key has ended")
	}
	if text := must(json.Marshal(c))(t); strings.Contains(string(text), "ann") || strings.Contains(string(text), "example") {
		t.Error("the lease tells who has a seat")
	}
}

func FuzzVerify(f *testing.F) {
	keys := lease.NewKeySet(key(1).Public())
	claims, err := json.Marshal(server())
	if err != nil {
		f.Fatal(err)
	}
	text, err := lease.Sign(server(), key(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add(signedBy(key(1), `{"alg":"EdDSA","kid":"`+key(1).ID()+`"}`, string(claims)))
	f.Add(signedBy(key(2), `{"alg":"EdDSA","kid":"`+key(1).ID()+`"}`, `{}`))
	f.Add(part(`{"alg":"none"}`) + "." + part(`{}`) + ".")
	f.Add("..")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := lease.Verify(text, keys)
		if err != nil {
			if !errors.Is(err, lease.ErrUnverified) {
				t.Fatal(err)
			}
			return
		}
		parts := strings.Split(text, ".")
		signature, _ := base64.RawURLEncoding.DecodeString(parts[len(parts)-1])
		if len(parts) != 3 || !ed25519.Verify(key(1).Public(), []byte(parts[0]+"."+parts[1]), signature) {
			t.Fatalf("it verifies: %q", text)
		}
		if again, err := lease.Sign(c, key(1)); err != nil {
			t.Fatalf("%v: %q", err, again)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	set, err := json.Marshal(lease.NewKeySet(key(1).Public()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(set)
	f.Add([]byte(`{"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := lease.ParseKeys(text)
		if err != nil {
			return
		}
		for id, k := range keys {
			if id == "" || len(k) != ed25519.PublicKeySize {
				t.Fatalf("%q is read as key %q: %x", text, id, k)
			}
		}
		back, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := lease.ParseKeys(back); err != nil || !cmp.Equal(again, keys) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}
