package license_test

import (
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// kinds lists what happened to licenses of a type, with the time it took effect.
func kinds(s *ledgertest.Story, licenseType string) (list []string) {
	for i := range s.Entries {
		for k, ev := range s.Entries[i].Events {
			if l := events.LicenseAfter(ev.Data); l != nil && l.Type == licenseType {
				list = append(list, events.FormatTime(s.Entries[i].EffectiveAt(k))+" "+ev.Data.Kind())
			}
		}
	}
	return list
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%q, want %q", got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

func host(sockets int, licenseType string) license.Install {
	c := install("host", licenseType)
	c.Sockets = sockets
	return c
}

// D4, L12: the sockets of a trial that was paid in February are renewed before they end in March, however late the ledger gets to it.
func TestD4SocketsOverTheMonthsEnd(t *testing.T) {
	s := story(t, "2026-01-25T10:00:00Z")
	s.Do("acme", host(3, "vm-server"))
	s.At("2026-03-15T00:00:00Z").Do("acme", license.Unassign{License: held(t, s, "host", "vm-server").ID})
	same(t, kinds(s, "vm-server-socket"),
		"2026-02-08T10:00:00Z license.bought.v1", "2026-02-08T10:00:00Z license.allocated.v1",
		"2026-03-01T00:00:00Z license.renewed.v1", "2026-03-15T00:00:00Z license.released.v1")
}

// D4, L12: a license that is free only now does not serve what was due before; and what the company allowed then counts.
func TestD4SocketsAreThoseOfTheirTime(t *testing.T) {
	for name, later := range map[string]license.Body{
		"bought":         license.Buy{Type: "vm-server-socket", Quantity: 1},
		"manual by then": license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}},
	} {
		s := story(t, "2026-01-01T10:00:00Z")
		s.Do("acme", host(3, "vm-server"))
		s.At("2026-01-20T10:00:00Z").Do("acme", later)
		s.Settle("acme")
		if l := held(t, s, "host", "vm-server-socket"); l.Created != clockTime(t, "2026-01-15T10:00:00Z") {
			t.Errorf("%s: it holds a license that was bought at %s", name, l.Created)
		}
	}
}

// D3, L12: sockets run out as their vm-server does, and are not renewed first.
func TestD3SocketsRunOut(t *testing.T) {
	s := story(t, "2026-01-01T00:00:00Z")
	s.Do("acme", license.Buy{Type: "vm-server-socket", Quantity: 1}) // older than the vm-server: its end is looked at first
	s.Do("acme", host(3, ""))
	s.At("2026-01-02T00:00:00Z").Do("acme", give("host", "vm-server"))
	s.Do("acme", license.SetAutoRenew{License: held(t, s, "host", "vm-server").ID})
	s.At("2026-02-03T00:00:00Z").Settle("acme")
	same(t, kinds(s, "vm-server-socket"),
		"2026-01-01T00:00:00Z license.bought.v1", "2026-01-02T00:00:00Z license.allocated.v1", "2026-02-01T00:00:00Z license.expired.v1")
	for l := range s.State("acme").Licenses() {
		if l.Type == "vm-server-socket" && (l.Status != events.Expired || l.Assigned) {
			t.Errorf("%+v", l)
		}
	}
}

// L10, L12: a host comes back with its sockets, and as many as it has by then.
func TestL10HostComesBack(t *testing.T) {
	for _, sockets := range []int{3, 4, 6} {
		s := story(t, "2025-12-10T10:00:00Z")
		s.Do("acme", license.Buy{Type: "vm-server-socket", Quantity: 1})
		s.Do("acme", host(4, ""))
		s.Do("acme", give("host", "vm-server"))
		s.At("2026-01-01T00:00:00Z")
		closedMonth(t, s, "2025-12")
		s.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed})
		s.At("2026-01-09T00:00:00Z").Do("acme", host(sockets, ""))
		s.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
		s.Settle("acme")
		n, all := 0, 0
		for l := range s.State("acme").Licenses() {
			if l.Type == "vm-server-socket" {
				all++
				if l.Serving() {
					n++
				}
			}
		}
		if n != sockets-2 || all != max(2, sockets-2) {
			t.Errorf("%d sockets: %d of %d licenses serve", sockets, n, all)
		}
	}
}

// D4, L10: what comes back does so before anything later touches its assignee or its pool.
func TestD4ComesBackFirst(t *testing.T) {
	s := story(t, "2025-12-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	s.Do("acme", license.Buy{Type: "server", Quantity: 1})
	s.Do("acme", give("pc-0", "server"))
	s.Do("acme", license.Unassign{License: held(t, s, "pc-0", "server").ID}) // so that it is free, and served somebody
	s.At("2026-01-01T00:00:00Z")
	closedMonth(t, s, "2025-12")
	s.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed})
	s.At("2026-01-09T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	s.At("2026-01-10T00:00:00Z").Refused("acme", give("pc-1", "server"), license.LicenseAlreadyHeld)
	s.Do("acme", give("pc-2", "server"))
	n := 0
	for range s.State("acme").Licenses() {
		n++
	}
	if n != 2 {
		t.Errorf("%d licenses: one was bought though one came back", n)
	}
}

// L4: an assignee holds at most one license of a type, a trial too.
func TestL4OneOfAType(t *testing.T) {
	one := func(s *ledgertest.Story, licenseType string, want events.Status) {
		t.Helper()
		n := 0
		for l := range s.State("acme").Licenses() {
			if l.Serving() && l.Type == licenseType && l.Assignee.ID == "pc-1" {
				if n++; l.Status != want {
					t.Errorf("it holds a license that is %s", l.Status)
				}
			}
		}
		if n != 1 {
			t.Errorf("it holds %d", n)
		}
	}
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", install("pc-1", "server"))
	s.Do("acme", install("pc-1", "ultimate"))
	s.Refused("acme", license.Change{License: held(t, s, "pc-1", "server").ID, Type: "ultimate"}, license.LicenseAlreadyHeld)

	s.Do("acme", give("pc-1", "desktop"))
	s.Do("acme", license.Change{License: held(t, s, "pc-1", "desktop").ID, Type: "ultimate"})
	one(s, "ultimate", events.Paid)

	s.Do("acme", give("pc-1", "file-backup"))
	id := held(t, s, "pc-1", "file-backup").ID
	s.Do("acme", license.Release{License: id})
	s.Do("acme", install("pc-1", "file-backup"))
	s.Do("acme", license.Renew{License: id})
	one(s, "file-backup", events.Paid)
}

// C3, C7: a metered type without a price in the provider's currency cannot be switched on.
func TestC7NeedsAPrice(t *testing.T) {
	s := ledgertest.NewStory(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.SetProvider{Name: "Acme", Currency: "EUR"})
	s.Refused("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex", Metered: []string{"backup-storage"}}}, license.Invalid)
	s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
}
