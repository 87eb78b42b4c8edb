package httpapi_test

import (
	"fmt"
	"slices"
	"testing"

	"licenseledger/ledger/api"
)

const licensesURL = "/v1/providers/acme/licenses/"

// A change of a license, dry and then done: what it costs or saves in February, and what is left of it.
func TestLicenseManagement(t *testing.T) {
	for _, row := range []struct {
		name, action string
		body         any
		status       int
		cost, saves  string
		is           string // the license's status then
		assigned     bool
	}{
		{"L5 unassign", "unassign", nil, 200, "", "4.49", "paid", false},                                                   // 18 of 28 days
		{"L6 change", "change", map[string]any{"license_type": "ultimate"}, 201, "1.93", "", "released", false},            // the difference of 18 days
		{"L6 change to less", "change", map[string]any{"license_type": "file-backup"}, 201, "", "2.89", "released", false}, // the same
		{"L7 release", "release", nil, 200, "", "4.49", "released", false},                                                 // the day of release is billed
		{"L8 auto-renew off", "auto-renew", map[string]any{"enabled": false}, 200, "", "0.00", "paid", true},               // to the month's end it costs what it costs
		{"L8 auto-renew as it is", "auto-renew", map[string]any{"enabled": true}, 200, "0.00", "", "paid", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.acme()
			h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 1}).is(201)
			l := h.allocated("server", "pc-1").License
			n := h.entries()
			dry := into[api.LicenseChanged](h.call("POST", licensesURL+l.ID+"/"+row.action+"?dry_run=true", row.body).is(200))
			if dry.Cost != row.cost || dry.Savings != row.saves || dry.Position != nil || dry.Currency != "USD" {
				t.Errorf("dry run: %+v, want cost %q, savings %q", dry.Preview, row.cost, row.saves)
			}
			if h.entries() != n {
				t.Error("the dry run left something behind")
			}
			first := h.call("POST", licensesURL+l.ID+"/"+row.action, row.body, key("k")).is(row.status)
			done := into[api.LicenseChanged](first)
			if done.Cost+done.Savings != "" || done.Position == nil {
				t.Errorf("done: %+v", done)
			}
			now := into[api.License](h.get(licensesURL + l.ID).is(200))
			if now.Status != row.is || now.Assigned != row.assigned {
				t.Errorf("now %+v", now)
			}
			if again := h.call("POST", licensesURL+l.ID+"/"+row.action, row.body, key("k")).is(row.status); again.body != first.body {
				t.Errorf("again %s, first %s", again.body, first.body)
			}
			h.call("POST", "/v1/providers/acme/licenses/01KGC6WBM06X3GHZZQE6EXB5WY/"+row.action, row.body).refused(404, api.CodeNotFound)
			h.call("POST", licensesURL+"nothing/"+row.action, row.body).refused(404, api.CodeNotFound)
		})
	}
}

// L6: the new license serves, the old one is closed; sockets need their vm-server.
func TestChangeL6(t *testing.T) {
	h := newHouse(t)
	h.acme()
	old := h.allocated("server", "pc-1").License
	changed := into[api.LicenseChanged](h.call("POST", licensesURL+old.ID+"/change", map[string]any{"license_type": "ultimate"}).is(201))
	if l := changed.License; l.LicenseType != "ultimate" || l.Status != "paid" || l.Assignee == nil || l.Assignee.ID != "pc-1" || l.ID == old.ID {
		t.Errorf("new: %+v", l)
	}
	if l := changed.Closed; l.ID != old.ID || l.Status != "released" || l.ValidUntil != "2026-02-10" {
		t.Errorf("old: %+v", l)
	}
	h.call("POST", licensesURL+old.ID+"/change", map[string]any{"license_type": "desktop"}).refused(409, api.CodeLicenseClosed)
	id := changed.License.ID
	h.call("POST", licensesURL+id+"/change", map[string]any{"license_type": "ultimate"}).refused(422, api.CodeInvalid)
	h.call("POST", licensesURL+id+"/change", map[string]any{"license_type": "connect"}).refused(422, api.CodeInvalid)
	h.call("POST", licensesURL+id+"/change", map[string]any{"license_type": "server", "day": 3}).refused(422, api.CodeInvalid)
	h.allocated("desktop", "pc-1")
	h.call("POST", licensesURL+id+"/change", map[string]any{"license_type": "desktop"}).refused(409, api.CodeLicenseAlreadyHeld)
	h.call("DELETE", "/v1/providers/acme/payment-method", nil).is(200)
	h.call("POST", licensesURL+id+"/change", map[string]any{"license_type": "server"}).refused(402, api.CodePaymentMethodRequired)
}

// L9: a new paid license follows an ended one.
func TestRenewL9(t *testing.T) {
	h := newHouse(t)
	h.acme()
	old := h.allocated("server", "pc-1").License
	h.call("POST", licensesURL+old.ID+"/renew", nil).refused(422, api.CodeInvalid)
	h.call("POST", licensesURL+old.ID+"/release", nil).is(200)
	h.at("2026-02-20T08:00:00Z")
	if dry := into[api.LicenseAnswer](h.call("POST", licensesURL+old.ID+"/renew?dry_run=true", nil).is(200)); dry.Cost != "2.25" { // 9 of 28 days
		t.Errorf("dry run: %+v", dry)
	}
	renewed := into[api.LicenseAnswer](h.call("POST", licensesURL+old.ID+"/renew", nil).is(201))
	if l := renewed.License; l.Status != "paid" || l.Assignee == nil || l.Assignee.ID != "pc-1" || l.ID == old.ID || l.ValidUntil != "2026-02-28" {
		t.Errorf("%+v", l)
	}
	h.call("POST", licensesURL+old.ID+"/renew", nil).refused(409, api.CodeLicenseAlreadyHeld)
	if row := into[api.License](h.get(licensesURL + old.ID).is(200)); row.Status != "released" {
		t.Errorf("the old one: %+v", row)
	}
}

func TestUnassignL5(t *testing.T) {
	h := newHouse(t)
	h.acme()
	l := h.allocated("server", "pc-1").License
	h.call("POST", licensesURL+l.ID+"/unassign", nil).is(200)
	h.call("POST", licensesURL+l.ID+"/unassign", nil).refused(409, api.CodeNotAssigned)
	trial := into[api.EndpointInstalled](h.installed("pc-2", "desktop").is(201)).License
	h.call("POST", licensesURL+trial.ID+"/unassign", nil).refused(422, api.CodeInvalid)
	h.call("POST", licensesURL+l.ID+"/release", nil).is(200)
	h.call("POST", licensesURL+l.ID+"/unassign", nil).refused(409, api.CodeLicenseClosed)
	h.call("POST", licensesURL+l.ID+"/unassign", map[string]any{"enabled": true}).refused(422, api.CodeInvalid)
}

func outcomes(a api.GroupAnswer) []string {
	var list []string
	for _, r := range a.Results {
		list = append(list, fmt.Sprintf("%s %v %s", r.License, r.OK, r.Code))
	}
	return list
}

// L11: each license is answered, in the order in which it was named; what is possible is done.
func TestGroupL11(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const url = licensesURL + "group"
	var ids []string
	for _, e := range []string{"pc-1", "pc-2", "pc-3"} {
		ids = append(ids, h.allocated("server", e).License.ID)
	}
	h.call("POST", licensesURL+ids[1]+"/release", nil).is(200)
	h.call("POST", licensesURL+ids[0]+"/auto-renew", map[string]any{"enabled": false}).is(200)
	body := map[string]any{"action": "auto-renew-off", "licenses": []string{"nothing", ids[2], ids[1], ids[0]}}
	want := []string{"nothing false not_found", ids[2] + " true ", ids[1] + " false license_closed", ids[0] + " true "}

	n := h.entries()
	if dry := into[api.GroupAnswer](h.call("POST", url+"?dry_run=true", body).is(200)); !slices.Equal(outcomes(dry), want) || dry.Position != nil || h.entries() != n {
		t.Errorf("dry run: %v", outcomes(dry))
	}
	first := h.call("POST", url, body, key("k")).is(200)
	if done := into[api.GroupAnswer](first); !slices.Equal(outcomes(done), want) || done.Position == nil {
		t.Errorf("done: %v, want %v", outcomes(done), want)
	}
	h.call("POST", licensesURL+ids[2]+"/release", nil).is(200)
	if again := h.call("POST", url, body, key("k")).is(200); again.body != first.body {
		t.Errorf("again %s, first %s", again.body, first.body)
	}
	h.call("POST", url, map[string]any{"action": "release", "licenses": ids}, key("k")).refused(422, api.CodeIdempotencyMismatch)

	// What changes nothing is answered and not recorded.
	n = h.entries()
	nothing := into[api.GroupAnswer](h.call("POST", url, map[string]any{"action": "auto-renew-off", "licenses": []string{ids[0], ids[1]}}).is(200))
	if !slices.Equal(outcomes(nothing), []string{ids[0] + " true ", ids[1] + " false license_closed"}) || h.entries() != n || nothing.Position == nil {
		t.Errorf("nothing: %+v", nothing)
	}
	saves := into[api.GroupAnswer](h.call("POST", url+"?dry_run=true", map[string]any{"action": "release", "filter": map[string]any{"status": "paid"}}).is(200))
	if saves.Savings != "4.49" || len(saves.Results) != 1 {
		t.Errorf("release all: %+v", saves)
	}
	for name, body := range map[string]any{
		"neither":      map[string]any{"action": "release"},
		"both":         map[string]any{"action": "release", "licenses": ids, "filter": map[string]any{}},
		"no action":    map[string]any{"licenses": ids},
		"other action": map[string]any{"action": "explode", "licenses": ids},
		"named twice":  map[string]any{"action": "release", "licenses": []string{ids[0], ids[0]}},
		"bad filter":   map[string]any{"action": "release", "filter": map[string]any{"status": "nice"}},
		"bad company":  map[string]any{"action": "release", "filter": map[string]any{"company": "a b"}},
	} {
		if p := h.call("POST", url, body).refused(422, api.CodeInvalid); len(p.Errors) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	h.call("POST", "/v1/providers/other/licenses/group", map[string]any{"action": "release", "filter": map[string]any{}}).refused(404, api.CodeNotFound)
}

// Many licenses are done in several commands, and a repetition finds all of them: those and no others.
func TestGroupOfManyL11(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const url, many = licensesURL + "group", 600 // three commands
	buy := func(n int) (ids []string) {
		for _, l := range into[api.LicensesBought](h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": n}).is(201)).Licenses {
			ids = append(ids, l.ID)
		}
		slices.Sort(ids)
		return ids
	}
	ids := buy(many)
	off := map[string]any{"action": "auto-renew-off", "filter": map[string]any{"license_type": "server"}}
	first := h.call("POST", url, off, key("k")).is(200)
	done := into[api.GroupAnswer](first)
	if len(done.Results) != many || !slices.EqualFunc(done.Results, ids, func(r api.GroupResult, id string) bool { return r.OK && r.License == id }) {
		t.Fatalf("%d results, first %+v", len(done.Results), done.Results[0])
	}
	later := buy(5)
	n := h.entries()
	if again := h.call("POST", url, off, key("k")).is(200); again.body != first.body || h.entries() != n {
		t.Errorf("again: %d entries more; %.300s", h.entries()-n, again.body)
	}
	if l := into[api.License](h.get(licensesURL + later[0]).is(200)); !l.AutoRenew {
		t.Error("a repetition did what the first one did not")
	}

	// Cut off between its commands, it goes on under the same key.
	fail := false
	seen := 0
	h.instead(h.after(func() error {
		if seen++; fail && seen == 2 {
			return errCut
		}
		return nil
	}))
	fail = true
	release := map[string]any{"action": "release", "filter": map[string]any{"license_type": "server"}}
	h.call("POST", url, release, key("r")).refused(503, api.CodeOutcomeUnknown)
	fail = false
	whole := into[api.GroupAnswer](h.call("POST", url, release, key("r")).is(200))
	if len(whole.Results) != many+5 {
		t.Errorf("%d results", len(whole.Results))
	}
	if c := into[api.Counters](h.get("/v1/providers/acme/licenses/counters").is(200)); c.Released != many+5 || c.Paid != 0 {
		t.Errorf("%+v", c)
	}
}
