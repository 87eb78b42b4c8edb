package license_test

import (
	"errors"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// While the trial runs, the endpoint is served: nothing is bought and nobody has to decide.
func TestL1InstalledAgainDuringTheTrial(t *testing.T) {
	for name, prepare := range map[string]func(){"automatic": nil, "manual": func() {}} {
		t.Run(name, func(t *testing.T) {
			s := story(t, "2026-01-10T10:00:00Z")
			if prepare != nil {
				manual(s)
			}
			s.Do("acme", install("pc-1", "server"))
			trial := held(t, s, "pc-1", "server")
			if evs := s.At("2026-01-12T10:00:00Z").Do("acme", install("pc-1", "server")); len(evs) > 0 {
				t.Errorf("installed again: %v", evs[0].Data.Kind())
			}
			if l := held(t, s, "pc-1", "server"); l != trial {
				t.Errorf("the trial is now %+v", l)
			}
			if e, _ := s.State("acme").Endpoint("pc-1"); e.Unlicensed != "" {
				t.Errorf("it lacks %q", e.Unlicensed)
			}
		})
	}
}

// L14: whoever may not buy starts no paid license, whatever the command is.
func TestL14NoBuy(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.Buy{Type: "server", Quantity: 1})
	s.Do("acme", give("pc-1", "desktop"))
	s.Do("acme", give("pc-2", "desktop"))
	paid, gone := held(t, s, "pc-1", "desktop").ID, held(t, s, "pc-2", "desktop").ID
	s.Do("acme", license.Release{License: gone})
	s.Do("acme", install("pc-3", "server"))
	trial := held(t, s, "pc-3", "server").ID
	s.Do("acme", give("vm-1", "vm-server"))
	for name, row := range map[string]struct {
		body    license.Body
		refused bool
	}{
		"buy":                            {license.Buy{Type: "server", Quantity: 1}, true},
		"allocate from the pool":         {give("pc-9", "server"), false},
		"allocate where it is bought":    {give("pc-9", "ultimate"), true},
		"renew":                          {license.Renew{License: gone}, true},
		"change a paid license":          {license.Change{License: paid, Type: "server"}, true},
		"change a trial":                 {license.Change{License: trial, Type: "ultimate"}, false},
		"unassign":                       {license.Unassign{License: paid}, false},
		"release":                        {license.Release{License: paid}, false},
		"auto-renew":                     {license.SetAutoRenew{License: paid}, false},
		"installed, with its trial":      {install("pc-8", "server"), false},
		"installed with sockets to buy":  {license.Install{Endpoint: "vm-1", Company: "globex", Type: "vm-server", Sockets: 3}, true},
		"installed where a paid one was": {install("pc-2", "desktop"), false},
	} {
		f := license.Facts{Provider: "acme", Now: s.Now, Catalogs: s.Catalogs, Opened: true, IDs: events.NewIDs(events.Seed{1}, s.Now), NoBuy: true}
		d, err := license.Decide(s.State("acme"), row.body, f)
		var refusal *license.Refusal
		if errors.As(err, &refusal) != row.refused || !row.refused && err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if row.refused && (refusal.Code != license.PermissionDenied || refusal.Permission != "licenses.buy" || len(d.Events) > 0) {
			t.Errorf("%s: %+v leaves %d events", name, refusal, len(d.Events))
		}
	}
}

// L11: of several pages each is recorded, changed or not, with their number; a single one that changes nothing only says so.
func TestL11GroupPages(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	same := license.Group{Action: events.GroupAutoRenewOn, Licenses: []string{held(t, s, "pc-1", "server").ID}}
	f := license.Facts{Provider: "acme", Now: s.Now, Catalogs: s.Catalogs, Opened: true, IDs: events.NewIDs(events.Seed{1}, s.Now)}
	d, err := license.Decide(s.State("acme"), same, f)
	if err != nil || len(d.Events) > 0 || d.Group == nil || len(d.Group.Unchanged) != 1 || d.Group.Pages != 0 {
		t.Errorf("one page: %+v, %v", d, err)
	}
	same.Pages = 2
	evs := s.Do("acme", same)
	if applied, ok := evs[0].Data.(*events.GroupApplied); len(evs) != 1 || !ok || applied.Pages != 2 || len(applied.Unchanged) != 1 {
		t.Errorf("one of two pages: %+v", evs)
	}
}

// What ends with something else is not ended again.
func TestRemoveEndpointReleasesOnce(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("vm-1", "vm-server"))
	s.Do("acme", license.Install{Endpoint: "vm-1", Company: "globex", Type: "vm-server", Sockets: 4})
	count := make(map[string]int)
	for _, ev := range s.Do("acme", license.RemoveEndpoint{Endpoint: "vm-1"}) {
		if d, ok := ev.Data.(*events.LicenseReleased); ok {
			count[d.License.ID]++
		}
	}
	if len(count) != 3 {
		t.Errorf("%d licenses were released", len(count))
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("%s was released %d times", id, n)
		}
	}
}
