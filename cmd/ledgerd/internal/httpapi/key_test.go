package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

const keysURL = "/v1/providers/acme/keys/"

// ordered orders a key of acme.
func (h *house) ordered(seats int) api.Key {
	h.t.Helper()
	return into[api.KeyAnswer](h.call("POST", "/v1/providers/acme/keys", map[string]any{"license_type": "backup-user", "seats": seats}).is(201)).Key
}

// activated orders a key and activates it on instances.
func (h *house) activated(seats int, instances ...string) api.Key {
	h.t.Helper()
	k := h.ordered(seats)
	for _, i := range instances {
		k = into[api.KeyAnswer](h.call("POST", keysURL+k.ID+"/activate", map[string]any{"instance": i}).is(200)).Key
	}
	return k
}

func mailbox(user string) map[string]any {
	return map[string]any{"id": user, "kind": "user-mailbox", "users": []any{map[string]any{"id": user}}}
}

func job(instance, name string, objects ...any) map[string]any {
	return map[string]any{"instance": instance, "job": name, "kind": "backup", "objects": objects}
}

func (h *house) key(id string) api.Key {
	h.t.Helper()
	return into[api.Key](h.get(keysURL + id).is(200))
}

func (h *house) seatsOf(id, query string, with ...with) []api.Seat {
	h.t.Helper()
	return into[api.SeatPage](h.get(keysURL+id+"/seats"+query, with...).is(200)).Seats
}

// K1, B8: an order costs at once what its invoice says, and a dry run says it before; nothing is left of that.
func TestK1Order(t *testing.T) {
	h := newHouse(t)
	h.acme()
	body := map[string]any{"license_type": "backup-user", "seats": 50, "company": "globex"}
	n := h.entries()
	dry := into[api.KeyAnswer](h.call("POST", "/v1/providers/acme/keys?dry_run=true", body).is(200))
	if dry.Cost != "1080.00" || dry.Currency != "USD" || dry.Amount != "1080.00" || dry.Position != nil || dry.Key.Secret != "" || h.entries() != n {
		t.Errorf("dry run: %+v", dry)
	}
	made := into[api.KeyAnswer](h.call("POST", "/v1/providers/acme/keys", body, key("k")).is(201))
	if made.Amount != "1080.00" || made.Invoice != "P-000001" || made.Cost != "" || made.Key.Status != api.KeyOrdered || made.Key.Seats != 50 || made.Key.Used != 0 ||
		made.Key.Company != "globex" || made.Key.ValidUntil != "" || !strings.HasPrefix(made.Key.Secret, "ledger_ak_") {
		t.Errorf("ordered: %+v", made)
	}
	again := into[api.KeyAnswer](h.call("POST", "/v1/providers/acme/keys", body, key("k")).is(201))
	if again.Key != made.Key || again.Invoice != made.Invoice || *again.Position != *made.Position {
		t.Errorf("again: %+v", again)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-10T09:00:01Z"}).is(200)
	other := h.ordered(1)
	if other.Secret == made.Key.Secret || other.Secret == "" {
		t.Errorf("another key: %+v", other)
	}
	page := into[api.KeyPage](h.get("/v1/providers/acme/keys?limit=1").is(200))
	if len(page.Keys) != 1 || page.Keys[0] != made.Key || page.NextCursor == "" {
		t.Errorf("%+v", page)
	}
	if page = into[api.KeyPage](h.get("/v1/providers/acme/keys?cursor=" + page.NextCursor).is(200)); len(page.Keys) != 1 || page.Keys[0].ID != other.ID {
		t.Errorf("%+v", page)
	}
	if csv := h.get("/v1/providers/acme/keys", header("Accept", api.MediaCSV)).is(200).body; !strings.Contains(csv, made.Key.ID+",backup-user,globex,50,0,ordered,,,0,") || strings.Contains(csv, "ledger_ak_") {
		t.Errorf("CSV:\n%s", csv)
	}
	if then := into[api.Key](h.get(keysURL + made.Key.ID + "?as_of=" + start.Format("2006-01-02T15:04:05Z")).is(200)); then != made.Key {
		t.Errorf("as of the start: %+v", then)
	}
	h.get(keysURL+"01JPB2Z8Q0T3W6X9YAMC5D7E8F").refused(404, api.CodeNotFound)
	h.call("POST", "/v1/providers/acme/keys", map[string]any{"license_type": "server", "seats": 1}).refused(422, api.CodeInvalid)
	h.call("POST", "/v1/providers/acme/keys", map[string]any{"license_type": "backup-user", "seats": 0}).refused(422, api.CodeInvalid)
	for _, r := range h.stream.Records() {
		if strings.Contains(string(r.Body), "ledger_ak_") {
			t.Error("the log knows a secret")
		}
	}
}

// The secret is shown to whoever may activate keys, also later, and to nobody else.
func TestWhoSeesSecrets(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(2, "srv-1")
	for name, row := range map[string]struct {
		who  auth.Principal
		sees bool
	}{
		"provider":  {auth.Principal{Kind: auth.KindProvider, Provider: "acme"}, true},
		"activator": {auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: []string{auth.ActivateKeys}}, true},
		"manager":   {auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: []string{auth.ManageLicenses}}, false},
		"auditor":   {auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}, false},
		"instance":  {auth.Principal{Kind: auth.KindInstance, Provider: "acme", ID: "srv-1"}, true},
	} {
		got := into[api.Key](h.get(keysURL+k.ID, bearer(h.tokenOf(row.who))).is(200))
		if want := map[bool]string{true: k.Secret}[row.sees]; got.Secret != want {
			t.Errorf("%s sees %q", name, got.Secret)
		}
	}
	buyer := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: []string{auth.BuyLicenses}}))
	if bought := into[api.KeyAnswer](h.call("POST", "/v1/providers/acme/keys", map[string]any{"license_type": "backup-user", "seats": 1}, buyer).is(201)); bought.Key.Secret != "" {
		t.Error("who may buy alone sees the secret")
	}
}

// K2: a program activates with the pasted secret alone, and gets a token of its own, once.
func TestActivate(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.ordered(2)
	nobody := header("Authorization", "")
	body := map[string]any{"secret": k.Secret, "instance": "srv-1"}
	dry := into[api.Activated](h.call("POST", "/v1/activate?dry_run=true", body, nobody).is(200))
	if dry.Token != "" || dry.Position != nil || h.key(k.ID).Status != api.KeyOrdered {
		t.Errorf("dry run: %+v", dry)
	}
	a := into[api.Activated](h.call("POST", "/v1/activate", body, nobody, key("k")).is(200))
	if a.Provider != "acme" || a.Key.ID != k.ID || a.Key.Status != api.KeyActive || a.Key.ValidUntil != "2027-02-10" || a.Instance != "srv-1" || a.Token == "" || a.Key.Secret != k.Secret {
		t.Errorf("activated: %+v", a)
	}
	if again := into[api.Activated](h.call("POST", "/v1/activate", body, nobody, key("k")).is(200)); again.Token != "" || *again.Position != *a.Position {
		t.Errorf("again: %+v", again)
	}
	own := bearer(a.Token)
	done := into[api.JobAnswer](h.call("POST", keysURL+k.ID+"/jobs", job("srv-1", "nightly", mailbox("ann@globex.example")), own).is(200))
	if len(done.Objects) != 1 || done.Objects[0] != (api.JobResult{ID: "ann@globex.example", Outcome: "backed_up"}) {
		t.Errorf("%+v", done)
	}
	h.call("POST", keysURL+k.ID+"/jobs", job("srv-2", "nightly"), own).refused(403, api.CodePermissionDenied)
	h.get(keysURL+k.ID, own).is(200)
	h.get("/v1/providers/acme/keys", own).refused(403, api.CodePermissionDenied)
	h.get(keysURL+h.ordered(1).ID, own).refused(403, api.CodePermissionDenied)

	// Activated again by hand: the token before is worth nothing any more. Another instance's is its own.
	b := into[api.Activated](h.call("POST", "/v1/activate", body, nobody).is(200))
	if b.Token == "" || b.Token == a.Token || b.Key.ExpiresAt != a.Key.ExpiresAt {
		t.Errorf("activated again: %+v", b)
	}
	h.get(keysURL+k.ID, own).refused(401, api.CodeUnauthenticated)
	c := into[api.Activated](h.call("POST", "/v1/activate", map[string]any{"secret": " " + k.Secret + "\n", "instance": "srv-2"}, nobody).is(200))
	for _, token := range []string{b.Token, c.Token} {
		h.get(keysURL+k.ID, bearer(token)).is(200)
	}
	for _, wrong := range []string{"", "ledger_ak_", k.Secret[:len(k.Secret)-1], strings.Repeat("a", 300)} {
		if got := h.call("POST", "/v1/activate", map[string]any{"secret": wrong, "instance": "srv-3"}, nobody); got.status != 401 && got.status != 422 {
			t.Errorf("%q: %d", wrong, got.status)
		}
	}
	secrets, err := auth.OpenKeySecrets(t.TempDir() + "/k")
	if err != nil {
		t.Fatal(err)
	}
	unknown, _ := secrets.Of("acme", "salt")
	h.call("POST", "/v1/activate", map[string]any{"secret": unknown, "instance": "srv-3"}, nobody).refused(401, api.CodeUnauthenticated)
}

// K5, K6, K10: seats from a job to a release, seen by two instances and by a person.
func TestSeats(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(2, "srv-1", "srv-2")
	one := bearer(h.tokenOf(auth.Principal{Kind: auth.KindInstance, Provider: "acme", ID: "srv-1"}))
	two := bearer(h.tokenOf(auth.Principal{Kind: auth.KindInstance, Provider: "acme", ID: "srv-2"}))
	n := h.entries()
	ann := mailbox("ann@globex.example")
	ann["users"].([]any)[0].(map[string]any)["name"] = "Ann Smith"
	nightly := job("srv-1", "nightly", ann, mailbox("bob@globex.example"), mailbox("cid@globex.example"))
	dry := into[api.JobAnswer](h.call("POST", keysURL+k.ID+"/jobs?dry_run=true", nightly, one).is(200))
	if _, known := h.names.Alias("acme", "user", "ann@globex.example"); known || h.entries() != n || len(dry.Objects) != 3 || dry.Objects[2].Outcome != "skipped" {
		t.Errorf("dry run: %+v, somebody is known: %v", dry, known)
	}
	want := []api.JobResult{
		{ID: "ann@globex.example", Outcome: "backed_up"}, {ID: "bob@globex.example", Outcome: "backed_up"},
		{ID: "cid@globex.example", Outcome: "skipped", Reason: "seats_missing", SeatsMissing: 1},
	}
	first := h.call("POST", keysURL+k.ID+"/jobs", nightly, one, key("j")).is(200)
	if got := into[api.JobAnswer](first).Objects; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, again := range []answer{
		h.call("POST", keysURL+k.ID+"/jobs", nightly, one, key("j")).is(200), // the same change
		h.call("POST", keysURL+k.ID+"/jobs", nightly, one).is(200),           // the next night
	} {
		if got := into[api.JobAnswer](again).Objects; !slices.Equal(got, want) || again.position() != first.position() {
			t.Errorf("again: %+v at %d, first at %d", got, again.position(), first.position())
		}
	}
	if got := h.key(k.ID); got.Used != 2 {
		t.Errorf("%d are used", got.Used)
	}
	for _, r := range h.stream.Records() {
		if body := string(r.Body); strings.Contains(body, "globex.example") || strings.Contains(body, "Ann Smith") {
			t.Errorf("the log knows somebody: %s", body)
		}
	}

	users := func(query string, with ...with) (list []string) {
		for _, seat := range h.seatsOf(k.ID, query, with...) {
			list = append(list, seat.User)
		}
		slices.Sort(list)
		return list
	}
	both, unknown := []string{"ann@globex.example", "bob@globex.example"}, []string{"Unknown", "Unknown"}
	for what, row := range map[string]struct{ got, want []string }{
		"the operator": {users(""), both}, "as srv-1": {users("?instance=srv-1"), both}, "as srv-2": {users("?instance=srv-2"), unknown},
		"srv-1": {users("", one), both}, "srv-2": {users("", two), unknown},
	} {
		if !slices.Equal(row.got, row.want) {
			t.Errorf("%s sees %v", what, row.got)
		}
	}
	h.get(keysURL+k.ID+"/seats?instance=srv-1", two).refused(403, api.CodePermissionDenied)
	seats := h.seatsOf(k.ID, "")
	if i := slices.IndexFunc(seats, func(s api.Seat) bool { return s.Name == "Ann Smith" }); i < 0 || !seats[i].AssignedAt.Equal(start) || !seats[i].ReleasableAt.Equal(start.AddDate(0, 0, 30)) || seats[i].Instance != "srv-1" {
		t.Errorf("%+v", seats)
	}
	if csv := h.get(keysURL+k.ID+"/seats", header("Accept", api.MediaCSV)).is(200).body; strings.Count(csv, "\r\n") != 3 {
		t.Errorf("CSV:\n%s", csv)
	}

	release := func(seat string, with ...with) answer {
		return h.call("POST", keysURL+k.ID+"/seats/"+seat+"/release", nil, with...)
	}
	if p := release("ann@globex.example").refused(409, api.CodeReleaseLocked); !p.Until.Equal(start.AddDate(0, 0, 30)) {
		t.Errorf("until %s", p.Until)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-12T09:00:00Z"}).is(200)
	n = h.entries()
	preview := into[api.SeatAnswer](release("ann@globex.example/release?dry_run=true")) // not a call
	if preview.Seat.ID != "" || h.entries() != n {
		t.Errorf("%+v", preview)
	}
	preview = into[api.SeatAnswer](h.call("POST", keysURL+k.ID+"/seats/ann@globex.example/release?dry_run=true", nil).is(200))
	if preview.Warning == "" || len(preview.Jobs) != 1 || preview.Jobs[0] != (api.ActiveJob{Instance: "srv-1", Job: "nightly"}) || preview.Position != nil || h.entries() != n ||
		preview.Seat.User != "ann@globex.example" {
		t.Errorf("dry run: %+v", preview)
	}
	h.call("DELETE", keysURL+k.ID+"/jobs/nightly?instance=srv-1", nil, one).is(200)
	h.call("DELETE", keysURL+k.ID+"/jobs/nightly?instance=srv-1", nil, one).refused(404, api.CodeNotFound)
	h.call("DELETE", keysURL+k.ID+"/jobs/nightly", nil, one).refused(422, api.CodeInvalid)
	// The other instance does not know who it is, and releases the seat by its id.
	id := seats[0].ID
	released := into[api.SeatAnswer](release(id, two).is(200))
	if released.Seat.ID != id || released.Seat.User != api.UnknownUser || len(released.Jobs) != 0 || released.Warning != "" || released.Position == nil {
		t.Errorf("released: %+v", released)
	}
	if p := release("nobody@globex.example").refused(404, api.CodeNotFound); !strings.Contains(p.Detail, "nobody@globex.example") {
		t.Errorf("%+v", p)
	}
	if got := h.key(k.ID); got.Used != 1 {
		t.Errorf("%d are used", got.Used)
	}
	fits := into[api.JobAnswer](h.call("POST", keysURL+k.ID+"/jobs", job("srv-2", "weekly", mailbox("cid@globex.example")), two).is(200))
	if fits.Objects[0].Outcome != "backed_up" {
		t.Errorf("%+v", fits)
	}
}

// K4: whatever a user of an object is, at the door it means the same as in the rule; wrong objects are refused by their place.
func TestK4AtTheDoor(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(50, "srv-1")
	user := func(id string, more map[string]any) map[string]any {
		u := map[string]any{"id": id}
		for name, v := range more {
			u[name] = v
		}
		return u
	}
	edit, read := map[string]any{"access": []string{"read", "edit"}}, map[string]any{"access": []string{"read"}}
	objects := []any{
		map[string]any{"id": "folder", "kind": "public-folder", "users": []any{user("e", edit), user("r", read), user("x", map[string]any{"access": []string{"edit"}, "external": true})}},
		map[string]any{"id": "team", "kind": "group-mailbox", "users": []any{user("m", nil), user("o", map[string]any{"role": "owner"})}},
		map[string]any{"id": "u", "kind": "user-mailbox", "users": []any{user("u", map[string]any{"licensed": false})}},
		map[string]any{"id": "info", "kind": "shared-mailbox", "exchange_online": true, "users": []any{user("e", nil), user("r", nil), user("m", nil)}},
		map[string]any{"id": "room", "kind": "room-mailbox"},
		map[string]any{"id": "gone", "kind": "disabled-mailbox"},
	}
	got := into[api.JobAnswer](h.call("POST", keysURL+k.ID+"/jobs", job("srv-1", "all", objects...)).is(200)).Objects
	for i, want := range []string{"", "", "unsupported", "", "", "unsupported"} {
		if got[i].Reason != want {
			t.Errorf("object %d: %+v", i, got[i])
		}
	}
	var users []string
	for _, seat := range h.seatsOf(k.ID, "") {
		users = append(users, seat.User)
	}
	if slices.Sort(users); !slices.Equal(users, []string{"e", "info", "m"}) {
		t.Errorf("%v have a seat", users)
	}
	for _, id := range []string{"r", "x", "o"} { // who needs none is kept nowhere
		alias, _ := h.names.Alias("acme", "user", id)
		if _, _, kept := h.names.Reveal("acme", alias); kept {
			t.Errorf("%s is kept", id)
		}
	}
	for place, o := range map[string]map[string]any{
		"body.objects[1].kind":           {"id": "a", "kind": "mailbox"},
		"body.objects[1].users":          {"id": "a", "kind": "user-mailbox", "users": []any{user("a", nil), user("b", nil)}},
		"body.objects[1].users[0].role":  {"id": "a", "kind": "team-site", "users": []any{user("a", map[string]any{"role": "guest"})}},
		"body.objects[1].users[0].id":    {"id": "a", "kind": "site", "users": []any{user("a\tb", nil)}},
		"body.objects[1].id":             {"kind": "site"},
		"body.objects[1].users[0].color": {"id": "a", "kind": "site", "users": []any{user("a", map[string]any{"color": "red"})}},
	} {
		p := h.call("POST", keysURL+k.ID+"/jobs", job("srv-1", "all", mailbox("zoe"), o)).refused(422, api.CodeInvalid)
		if len(p.Errors) == 0 || !strings.HasPrefix(place, p.Errors[0].Location) {
			t.Errorf("%s: %+v", place, p.Errors)
		}
	}
	if alias, _ := h.names.Alias("acme", "user", "zoe"); alias != "" {
		if _, _, kept := h.names.Reveal("acme", alias); kept {
			t.Error("somebody is kept whose job was refused")
		}
	}
}

// K7, K8, K12: what adding, renewing and converting cost, before and after.
func TestKeyMoney(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(60, "srv-1")
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-08-10T08:00:00Z"}).is(200) // 184 days 1 h are left
	check := func(path string, body map[string]any, amount, invoice string) api.Key {
		t.Helper()
		dry := into[api.KeyAnswer](h.call("POST", keysURL+k.ID+path+"?dry_run=true", body).is(200))
		a := into[api.KeyAnswer](h.call("POST", keysURL+k.ID+path, body).is(200))
		cost := amount
		if amount == "" {
			cost = "0.00"
		}
		if dry.Cost != cost || dry.Currency != "USD" || a.Amount != amount || a.Invoice != invoice || a.Cost != "" || dry.Key != a.Key {
			t.Errorf("%s: %+v, dry run %+v", path, a, dry)
		}
		return a.Key
	}
	if got := check("/add-seats", map[string]any{"seats": 10}, "109.48", "P-000002"); got.Seats != 70 || got.ValidUntil != "2027-02-10" {
		t.Errorf("%+v", got)
	}
	if got := check("/convert", map[string]any{"mailboxes": 59, "public_folder_bytes": 512<<20 + 1}, "", ""); got.Seats != 61 || !got.Converted {
		t.Errorf("%+v", got)
	}
	if got := check("/renew", map[string]any{"seats": 20}, "432.00", "P-000003"); got.Seats != 61 || got.RenewedFor != 20 {
		t.Errorf("%+v", got)
	}
	h.call("POST", keysURL+k.ID+"/jobs", job("srv-1", "nightly", mailbox("ann"), mailbox("bob"))).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2027-02-10T08:59:59Z"}).is(200)
	if got := h.key(k.ID); got.Seats != 61 || got.Used != 2 {
		t.Errorf("before the end: %+v", got)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2027-02-10T09:00:00Z"}).is(200)
	if got := h.key(k.ID); got.Seats != 20 || got.Used != 0 || got.RenewedFor != 0 || got.ValidUntil != "2028-02-10" || got.Status != api.KeyActive {
		t.Errorf("from the end on: %+v", got)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2028-02-10T09:00:00Z"}).is(200)
	if got := h.key(k.ID); got.Status != api.KeyExpired {
		t.Errorf("a year later: %+v", got)
	}
	for _, kind := range []string{"restore", "archive"} { // K9
		if a := into[api.JobAnswer](h.call("POST", keysURL+k.ID+"/jobs", map[string]any{"instance": "srv-1", "job": "r", "kind": kind}).is(200)); a.Objects == nil || len(a.Objects) != 0 {
			t.Errorf("%+v", a)
		}
	}
}

// K3, K11: the trial of an instance, and leases of instances and keys.
func TestInstancesAndTheirLeases(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const instances = "/v1/providers/acme/instances"
	made := into[api.InstanceAnswer](h.call("POST", instances, map[string]any{"instance": "srv-1"}).is(201))
	if made.Status != "trial" || !made.TrialEndsAt.Equal(start.AddDate(0, 0, 30)) || made.RestoreLimit != 5 || made.Keys == nil {
		t.Errorf("%+v", made)
	}
	if again := into[api.InstanceAnswer](h.call("POST", instances, map[string]any{"instance": "srv-1"}).is(200)); !again.TrialEndsAt.Equal(made.TrialEndsAt) || *again.Position != *made.Position {
		t.Errorf("again: %+v", again)
	}
	get := func(path string) api.Lease {
		t.Helper()
		a := h.get("/v1/providers/acme" + path).is(200)
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		l := into[api.Lease](a)
		keys, err := lease.ParseKeys([]byte(h.get("/.well-known/jwks.json").is(200).body))
		if err != nil {
			t.Fatal(err)
		}
		claims, err := lease.Verify(l.Text, keys)
		if err != nil || fmt.Sprint(claims) != fmt.Sprint(l.Claims) {
			t.Errorf("%s: %+v, %v", path, claims, err)
		}
		return l
	}
	if l := get("/instances/srv-1/lease"); l.Subject != "instance:srv-1" || l.Status != lease.StatusTrial || l.RestoreLimit != 5 || !l.RestoreUntil.Equal(made.TrialEndsAt) {
		t.Errorf("trial: %+v", l.Claims)
	}
	h.get(instances+"/srv-9/lease").refused(404, api.CodeNotFound)
	k := h.activated(2, "srv-1")
	h.call("POST", keysURL+k.ID+"/jobs", job("srv-1", "nightly", mailbox("ann@globex.example"))).is(200)
	for _, path := range []string{"/instances/srv-1/lease", "/keys/" + k.ID + "/lease?instance=srv-1", "/keys/" + k.ID + "/lease"} {
		l := get(path)
		if len(l.Keys) != 1 || l.Keys[0].Key != k.ID || l.Status != lease.StatusActive || !l.BackupUntil.Equal(k.ExpiresAt) || !l.RestoreUntil.IsZero() ||
			!l.Seated("ann@globex.example", start) || l.Seated("bob@globex.example", start) {
			t.Errorf("%s: %+v", path, l.Claims)
		}
	}
	if l := get("/keys/" + k.ID + "/lease"); l.Subject != "key:"+k.ID {
		t.Errorf("%+v", l.Claims)
	}
	if again := into[api.InstanceAnswer](h.call("POST", instances, map[string]any{"instance": "srv-1"}).is(200)); again.Status != "licensed" || len(again.Keys) != 1 {
		t.Errorf("licensed: %+v", again)
	}
	h.call("POST", instances, map[string]any{"instance": "srv-2"}).is(201)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-12T09:00:00Z"}).is(200)
	if over := into[api.InstanceAnswer](h.call("POST", instances, map[string]any{"instance": "srv-2"}).is(200)); over.Status != "ended" || over.RestoreLimit != 0 {
		t.Errorf("ended: %+v", over)
	}
	if l := get("/instances/srv-2/lease"); l.Status != lease.StatusExpired {
		t.Errorf("ended: %+v", l.Claims)
	}
	h.call("POST", instances, map[string]any{"instance": "a b"}).refused(422, api.CodeInvalid)
}

// A job as large as a body may be goes through: in the log it takes several entries of one command, and its answer is whole.
func TestLargeJob(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(20_000, "srv-1")
	var objects []any
	for i := range 9_000 {
		id := fmt.Sprintf("user-%05d@customer-of-globex.example", i)
		objects = append(objects, map[string]any{"id": id, "kind": "user-mailbox"})
	}
	body := job("srv-1", "all", objects...)
	first := h.call("POST", keysURL+k.ID+"/jobs", body, key("big")).is(http.StatusOK)
	again := h.call("POST", keysURL+k.ID+"/jobs", body, key("big")).is(200)
	night := h.call("POST", keysURL+k.ID+"/jobs", body).is(200)
	for _, a := range []answer{first, again, night} {
		rows := into[api.JobAnswer](a).Objects
		if len(rows) != 9_000 || rows[8_999].ID != "user-08999@customer-of-globex.example" || a.position() != first.position() {
			t.Fatalf("%d objects at %d", len(rows), a.position())
		}
	}
	if got := h.key(k.ID); got.Used != 9_000 {
		t.Errorf("%d are used", got.Used)
	}
	n := 0
	for next := "?limit=1000"; next != ""; {
		page := into[api.SeatPage](h.get(keysURL + k.ID + "/seats" + next).is(200))
		n += len(page.Seats)
		if next = ""; page.NextCursor != "" {
			next = "?limit=1000&cursor=" + page.NextCursor
		}
	}
	if n != 9_000 {
		t.Errorf("%d seats are listed", n)
	}
}

// B8: prepaid invoices beside statements: listed, shown, explained, proved, paid; a failed charge suspends the key, and nothing else (K1).
func TestPrepaidInvoices(t *testing.T) {
	h := newHouse(t)
	h.acme()
	k := h.activated(50, "srv-1")
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-08-10T08:00:00Z"}).is(200)
	h.call("POST", keysURL+k.ID+"/add-seats", map[string]any{"seats": 10}).is(200)
	h.allocated("server", "pc-1")
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-09-01T00:00:00Z"}).is(200)
	const invoices = "/v1/providers/acme/invoices"
	numbers := func(query string) (list []string) {
		for next := query; next != ""; {
			page := into[api.InvoicePage](h.get(invoices + next).is(200))
			for _, v := range page.Invoices {
				list = append(list, v.Number+" "+v.Kind+" "+v.Total)
			}
			if next = ""; page.NextCursor != "" {
				next = query + "&cursor=" + page.NextCursor
			}
		}
		return list
	}
	all := []string{"P-000001 prepaid 1080.00", "P-000002 prepaid 109.48", "S-000001 statement 20.00"}
	for query, want := range map[string][]string{
		"?limit=50": all, "?limit=1": all, "?limit=2": all, "?month=2026-08&limit=1": all[1:], "?month=2026-02&limit=5": all[:1], "?month=2026-09&limit=5": nil,
	} {
		if got := numbers(query); !slices.Equal(got, want) {
			t.Errorf("%s: %v", query, got)
		}
	}
	v := into[api.Invoice](h.get(invoices + "/P-000002").is(200))
	line := v.Lines[0]
	if v.Kind != "prepaid" || v.Key != k.ID || v.Subtotal != "0.00" || v.MinimumAdjustment != "0.00" || v.Total != "109.48" || v.Status != "pending" || v.Month != "" ||
		len(v.Lines) != 1 || line.Kind != "prepaid" || line.UnitPrice != "21.60" || line.Quantity != "10" || line.BilledDays != 185 || line.Amount != "109.48" ||
		!v.Period.To.Equal(k.ExpiresAt) || v.Position == 0 {
		t.Errorf("%+v", v)
	}
	if csv := h.get(invoices+"/P-000002", header("Accept", api.MediaCSV)).is(200).body; !strings.Contains(csv, "P-000002,"+line.ID+",prepaid,") {
		t.Errorf("CSV:\n%s", csv)
	}
	x := into[api.Explanation](h.get(invoices + "/P-000002/explain?line=" + line.ID).is(200))
	if !strings.Contains(x.Text, "10 seats of backup-user at 21.60 USD a year, for 185 of the term's 365 days") || len(x.Parts) != 1 || len(x.Events) != 2 || x.Parts[0].Amount != "109.48" {
		t.Errorf("%+v", x)
	}
	if x := into[api.Explanation](h.get(invoices + "/P-000001/explain").is(200)); len(x.Lines) != 1 || x.Amount != "1080.00" {
		t.Errorf("%+v", x)
	}
	h.get(invoices+"/P-000002/explain?line=none").refused(404, api.CodeNotFound)
	h.get(invoices+"/P-000003").refused(404, api.CodeNotFound)
	h.get(invoices+"/P-000003/explain").refused(404, api.CodeNotFound)

	pay := func(outcome string) {
		t.Helper()
		h.call("POST", "/v1/providers/acme/payments", map[string]any{"invoice": "P-000002", "outcome": outcome}).is(200)
	}
	pay("failed")
	if got := h.key(k.ID); got.Status != api.KeyActive || !got.SuspendAt.Equal(time.Date(2026, 9, 8, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("failed: %+v", got)
	}
	if v := into[api.Invoice](h.get(invoices + "/P-000002")); v.Status != "failed" {
		t.Errorf("%+v", v)
	}
	if m := into[api.PaymentMethod](h.get("/v1/providers/acme/payment-method")); m.Status != "active" {
		t.Errorf("the payment method is %s", m.Status)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-09-08T00:00:00Z"}).is(200)
	if got := h.key(k.ID); got.Status != api.KeySuspended {
		t.Errorf("a week later: %+v", got)
	}
	pay("collected")
	if got := h.key(k.ID); got.Status != api.KeyActive || !got.SuspendAt.IsZero() {
		t.Errorf("collected: %+v", got)
	}
	proved := h.get("/v1/audit/proof?provider=acme&invoice=P-000002").is(200).body
	if !strings.Contains(proved, "prepaid.issued.v1") || !strings.Contains(proved, "catalog.published.v1") {
		t.Errorf("the proof: %s", proved)
	}
}
