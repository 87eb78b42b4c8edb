package license_test

import (
	"slices"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

func install(endpoint, licenseType string) license.Install {
	return license.Install{Endpoint: endpoint, Company: "globex", Type: licenseType}
}

func give(endpoint, licenseType string) license.Allocate {
	return license.Allocate{Type: licenseType, Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: endpoint}}
}

func story(t *testing.T, at string) *ledgertest.Story {
	return ledgertest.NewStory(t, at).Ready("acme", "globex")
}

func held(t *testing.T, s *ledgertest.Story, endpoint, licenseType string) events.License {
	t.Helper()
	l, ok := s.Holds("acme", endpoint, licenseType)
	if !ok {
		t.Fatalf("%s holds no %s at %s", endpoint, licenseType, s.Now)
	}
	return l
}

func clockTime(t *testing.T, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func manual(s *ledgertest.Story) {
	s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
}

func TestL1AgentInstalled(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.RemovePaymentMethod{}) // a trial needs none
	s.Do("acme", install("pc-1", "server"))
	l := held(t, s, "pc-1", "server")
	if l.Status != events.Trial || !l.ExpiresAt.Equal(clockTime(t, "2026-01-24T10:00:00Z")) {
		t.Errorf("the trial: %+v", l)
	}
	// Installing again changes the socket count and the name, and answers the same license.
	again := install("pc-1", "server")
	again.Name, again.Sockets = "Front desk", 4
	s.Do("acme", again)
	if e, _ := s.State("acme").Endpoint("pc-1"); e.Name != "Front desk" || e.Sockets != 4 || held(t, s, "pc-1", "server").ID != l.ID {
		t.Errorf("installed again: %+v", e)
	}
	if n := len(s.Entries); len(s.Do("acme", again)) > 0 || len(s.Entries) != n {
		t.Error("installing again unchanged is recorded")
	}
	// Another type has a trial of its own, once.
	s.Do("acme", install("pc-1", "ultimate"))
	if held(t, s, "pc-1", "ultimate").Status != events.Trial {
		t.Error("no trial of another type")
	}
}

func TestL1InstalledAfterTheTrial(t *testing.T) {
	for _, tt := range []struct {
		name      string
		automatic bool
		want      events.Status
	}{{"an automatic company gets one allocated", true, events.Paid}, {"a manual one has to decide", false, ""}} {
		t.Run(tt.name, func(t *testing.T) {
			s := story(t, "2026-01-10T10:00:00Z")
			if !tt.automatic {
				manual(s)
			}
			s.Do("acme", install("pc-1", "server"))
			s.Do("acme", license.Release{License: held(t, s, "pc-1", "server").ID})
			s.Do("acme", install("pc-1", "server"))
			l, ok := s.Holds("acme", "pc-1", "server")
			if ok != tt.automatic || l.Status != tt.want {
				t.Errorf("holds %+v", l)
			}
			if e, _ := s.State("acme").Endpoint("pc-1"); (e.Unlicensed == "server") == tt.automatic {
				t.Errorf("the endpoint lacks %q", e.Unlicensed)
			}
		})
	}
}

// L1: whoever gives the endpoint what it asked for, or what includes it, ends the lack of it.
func TestL1ServedAtLast(t *testing.T) {
	for name, licenseType := range map[string]string{"that type": "ms-sql", "one that includes it": "ms-sql-exchange"} {
		t.Run(name, func(t *testing.T) {
			s := story(t, "2026-01-10T10:00:00Z")
			c, _, _ := s.Catalogs.At(eventstest.Month("2026-02"))
			c.Effective, c.Types = eventstest.Month("2026-02"), slices.Clone(c.Types)
			both := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == "ms-sql-exchange" })
			c.Types[both].Includes = []string{"ms-sql"}
			s.Do("", license.PublishCatalog{Catalog: c})
			s.At("2026-02-01T10:00:00Z")
			manual(s)
			s.Do("acme", license.Buy{Type: licenseType, Quantity: 1})
			s.Do("acme", install("pc-1", "ms-sql"))
			s.Do("acme", license.Release{License: held(t, s, "pc-1", "ms-sql").ID})
			s.Do("acme", install("pc-1", "ms-sql"))
			if e, _ := s.State("acme").Endpoint("pc-1"); e.Unlicensed != "ms-sql" {
				t.Fatalf("the endpoint lacks %q", e.Unlicensed)
			}
			s.Do("acme", give("pc-1", licenseType))
			if e, _ := s.State("acme").Endpoint("pc-1"); e.Unlicensed != "" {
				t.Errorf("the endpoint still lacks %q", e.Unlicensed)
			}
		})
	}
}

func TestL2TrialEnds(t *testing.T) {
	for _, tt := range []struct {
		name      string
		before    license.Body
		want      events.Status
		reason    events.ExpiryReason
		announced bool // that it will be paid
	}{
		{"paid", nil, events.Paid, "", true},
		{"no payment method", license.RemovePaymentMethod{}, events.Expired, events.NoPaymentMethod, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := story(t, "2026-01-10T10:00:00Z")
			if tt.before != nil {
				s.Do("acme", tt.before)
			}
			s.Do("acme", install("pc-1", "server"))
			id := held(t, s, "pc-1", "server").ID
			s.At("2026-01-21T09:59:59.999Z").Settle("acme")
			if s.License("acme", id).Announced {
				t.Error("announced more than 3 days before")
			}
			s.At("2026-01-21T10:00:00Z").Settle("acme")
			var notice *events.LicenseTrialEnding
			for _, ev := range s.Entries[len(s.Entries)-1].Events {
				notice, _ = ev.Data.(*events.LicenseTrialEnding)
			}
			// 8 days of January at 6.99: 1.80.
			if notice == nil || notice.Price.String() != "6.99" || notice.Charge.String() != "1.80" || notice.WillConvert != tt.announced {
				t.Errorf("the notice: %+v", notice)
			}
			s.At("2026-01-24T09:59:59.999Z").Settle("acme")
			if l := s.License("acme", id); l.Status != events.Trial {
				t.Errorf("before its end: %s", l.Status)
			}
			s.At("2026-01-24T10:00:00Z").Settle("acme")
			l := s.License("acme", id)
			if l.Status != tt.want {
				t.Errorf("at its end: %s", l.Status)
			}
			last := s.Entries[len(s.Entries)-1]
			if x, ok := last.Events[0].Data.(*events.LicenseExpired); ok && x.Reason != tt.reason {
				t.Errorf("because of %s", x.Reason)
			}
			if tt.want == events.Paid && !l.ExpiresAt.Equal(clockTime(t, "2026-02-01T00:00:00Z")) {
				t.Errorf("paid until %s", l.ExpiresAt)
			}
		})
	}
}

func TestL2AutoRenewOffEndsTheTrial(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", install("pc-1", "server"))
	id := held(t, s, "pc-1", "server").ID
	s.Do("acme", license.SetAutoRenew{License: id})
	s.At("2026-01-24T10:00:00Z").Settle("acme")
	if l := s.License("acme", id); l.Status != events.Expired || l.Assigned {
		t.Errorf("%+v", l)
	}
}

func TestL2PaidLicenseReplacesTheTrial(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", install("pc-1", "server"))
	trial := held(t, s, "pc-1", "server").ID
	s.Do("acme", give("pc-1", "server"))
	if l := held(t, s, "pc-1", "server"); l.Status != events.Paid || l.ID == trial || s.License("acme", trial).Status != events.Released {
		t.Errorf("holds %+v", l)
	}
	s.Refused("acme", give("pc-1", "server"), license.LicenseAlreadyHeld)
}

func TestC2ClosedTypeKeepsRunningTrials(t *testing.T) {
	s := story(t, "2026-01-25T10:00:00Z")
	s.Do("acme", install("pc-1", "server"))
	id := held(t, s, "pc-1", "server").ID
	c, _, _ := s.Catalogs.At(events.MonthOf(s.Now))
	c.Effective = events.MonthOf(s.Now) + 1
	types := append([]events.Type(nil), c.Types...)
	for i := range types {
		if types[i].ID == "server" {
			types[i].Closed = true
		}
	}
	c.Types = types
	s.Do("", license.PublishCatalog{Catalog: c})
	s.At("2026-02-08T09:59:59Z").Settle("acme")
	if s.License("acme", id).Status != events.Trial {
		t.Error("the trial lost days")
	}
	s.Refused("acme", license.Buy{Type: "server", Quantity: 1}, license.TypeClosed)
	s.At("2026-02-08T10:00:00Z").Settle("acme")
	if s.License("acme", id).Status != events.Expired {
		t.Error("a type that is closed is sold")
	}
}

func TestL5Unassign(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	l := held(t, s, "pc-1", "server")
	s.Do("acme", license.Unassign{License: l.ID})
	s.Refused("acme", license.Unassign{License: l.ID}, license.NotAssigned)
	s.At("2026-02-01T00:00:00Z").Settle("acme")
	if l := s.License("acme", l.ID); l.Status != events.Paid || l.Assigned {
		t.Errorf("it does not renew: %+v", l)
	}
	s.Do("acme", give("pc-2", "server"))
	if held(t, s, "pc-2", "server").ID != l.ID {
		t.Error("the free license was not taken")
	}
	s.Do("acme", install("pc-3", "server"))
	s.Refused("acme", license.Unassign{License: held(t, s, "pc-3", "server").ID}, license.Invalid)
}

func TestL6Change(t *testing.T) {
	s := story(t, "2026-01-15T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	old := held(t, s, "pc-1", "server")
	s.Refused("acme", license.Change{License: old.ID, Type: "server"}, license.Invalid)
	s.Refused("acme", license.Change{License: old.ID, Type: "connect"}, license.Invalid) // another unit
	s.Do("acme", license.Change{License: old.ID, Type: "ultimate"})
	fresh := held(t, s, "pc-1", "ultimate")
	if fresh.Status != events.Paid || fresh.BilledFrom.String() != "2026-01-16" || s.License("acme", old.ID).Status != events.Released {
		t.Errorf("after the change: %+v", fresh)
	}
	s.Refused("acme", license.Change{License: old.ID, Type: "desktop"}, license.LicenseClosed)
}

func TestL6ChangedTrial(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.RemovePaymentMethod{})
	s.Do("acme", install("pc-1", "server"))
	end := held(t, s, "pc-1", "server").ExpiresAt
	s.At("2026-01-12T10:00:00Z").Do("acme", license.Change{License: held(t, s, "pc-1", "server").ID, Type: "ultimate"})
	l := held(t, s, "pc-1", "ultimate")
	if l.Status != events.Trial || !l.ExpiresAt.Equal(end) {
		t.Errorf("the changed trial: %+v", l)
	}
	// Its end leads to another price than the one that was announced before.
	s.At("2026-01-22T10:00:00Z").Settle("acme")
	s.Do("acme", license.Change{License: l.ID, Type: "desktop"})
	s.Settle("acme")
	again, _ := s.Entries[len(s.Entries)-1].Events[0].Data.(*events.LicenseTrialEnding)
	if again == nil || again.Price.String() != "2.99" || again.License.ID != held(t, s, "pc-1", "desktop").ID {
		t.Errorf("the changed trial's end is announced as %+v", again)
	}
	s.At("2026-01-24T10:00:00Z").Settle("acme")
	manual(s)
	s.Do("acme", install("pc-1", "ultimate"))
	if _, ok := s.Holds("acme", "pc-1", "ultimate"); ok {
		t.Error("the changed trial did not use up the new type's")
	}
}

func TestL8AutoRenew(t *testing.T) {
	for _, tt := range []struct {
		at   string
		want events.Status
	}{
		{"2026-02-28T23:59:59Z", events.Expired}, // counts
		{"2026-03-01T00:00:00Z", events.Paid},    // the renewal has happened (D4)
	} {
		s := story(t, "2026-02-10T00:00:00Z")
		s.Do("acme", give("pc-1", "server"))
		id := held(t, s, "pc-1", "server").ID
		s.At(tt.at).Do("acme", license.SetAutoRenew{License: id})
		s.At("2026-03-01T00:00:00Z").Settle("acme")
		if l := s.License("acme", id); l.Status != tt.want {
			t.Errorf("off at %s: %s", tt.at, l.Status)
		}
		s.At("2026-04-01T00:00:00Z").Settle("acme")
		if l := s.License("acme", id); l.Status != events.Expired {
			t.Errorf("off at %s, a month later: %s", tt.at, l.Status)
		}
	}
}

func TestL9Renew(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	old := held(t, s, "pc-1", "server")
	s.Refused("acme", license.Renew{License: old.ID}, license.Invalid) // in force
	s.Do("acme", license.Release{License: old.ID})
	s.At("2026-01-12T10:00:00Z").Do("acme", license.Renew{License: old.ID})
	fresh := held(t, s, "pc-1", "server")
	if fresh.ID == old.ID || fresh.Status != events.Paid {
		t.Errorf("followed by %+v", fresh)
	}
	s.Refused("acme", license.Renew{License: old.ID}, license.LicenseAlreadyHeld)
	s.Refused("acme", license.Renew{License: "01KGB0000000000000000000ZZ"}, license.NotFound)
}

func TestL9NoPaymentMethodAtTheMonthsEnd(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	id := held(t, s, "pc-1", "server").ID
	s.At("2026-01-31T23:59:59Z").Do("acme", license.RemovePaymentMethod{})
	s.At("2026-02-01T00:00:05Z").Do("acme", license.SetPaymentMethod{System: "fastspring", Account: "late"})
	if l := s.License("acme", id); l.Status != events.Expired {
		t.Errorf("a payment method that came 5 s late renewed it: %s", l.Status)
	}
}

func closedMonth(t *testing.T, s *ledgertest.Story, month string) {
	t.Helper()
	m, err := events.ParseMonth(month)
	if err != nil {
		t.Fatal(err)
	}
	s.Settle("acme")
	s.Do("acme", license.IssueStatement{StatementIssued: events.StatementIssued{Month: m, Currency: "USD"}})
}

func TestL10Payment(t *testing.T) {
	s := story(t, "2025-12-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	s.Do("acme", give("pc-2", "server"))
	one, two := held(t, s, "pc-1", "server").ID, held(t, s, "pc-2", "server").ID
	s.At("2026-01-01T00:00:00Z")
	closedMonth(t, s, "2025-12")
	s.Refused("acme", license.RecordPayment{Invoice: "S-000002", Outcome: events.Failed}, license.NotFound)
	failed := license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed, Reason: "card declined"}
	s.At("2026-01-01T09:30:00Z").Do("acme", failed)
	s.Refused("acme", license.Buy{Type: "server", Quantity: 1}, license.PaymentMethodRequired) // failing
	s.At("2026-01-05T00:00:00Z").Do("acme", failed)                                            // a retry does not start grace again
	s.At("2026-01-08T09:29:59.999Z").Settle("acme")
	if s.License("acme", one).Status != events.Paid {
		t.Error("expired within grace")
	}
	s.At("2026-01-08T09:30:00Z").Settle("acme")
	for _, id := range []string{one, two} {
		if l := s.License("acme", id); l.Status != events.Expired || l.Lapsed != events.LapsedAssigned || !l.ExpiresAt.Equal(s.Now) {
			t.Errorf("after grace: %+v", l)
		}
	}
	// pc-2 is served otherwise by the time the charge is collected: with a trial of another ledger's doing this cannot be, so by a license of an including type.
	s.At("2026-01-12T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	s.Settle("acme")
	for _, id := range []string{one, two} {
		l := s.License("acme", id)
		if l.Status != events.Paid || !l.Assigned || l.Lapsed != "" || !l.ExpiresAt.Equal(clockTime(t, "2026-02-01T00:00:00Z")) {
			t.Errorf("reinstated: %+v", l)
		}
	}
	account := s.State("acme").Account()
	if got := account.PaymentStatus(); got != events.PaymentActive {
		t.Errorf("the method is %s", got)
	}
	s.Do("acme", license.Buy{Type: "server", Quantity: 1})
	if n := len(s.Entries); len(s.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})) > 0 || len(s.Entries) != n {
		t.Error("collected twice is recorded twice")
	}
	s.Refused("acme", failed, license.Invalid)
}

func TestL10CollectedInALaterMonth(t *testing.T) {
	s := story(t, "2025-12-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	id := held(t, s, "pc-1", "server").ID
	s.At("2026-01-01T00:00:00Z")
	closedMonth(t, s, "2025-12")
	s.At("2026-01-01T09:30:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed})
	s.At("2026-02-02T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	s.Settle("acme")
	if l := s.License("acme", id); l.Status != events.Expired {
		t.Errorf("reinstated in another month: %+v", l)
	}
	s.Do("acme", license.Renew{License: id})
	held(t, s, "pc-1", "server")
}

func TestL10CollectedWithinGrace(t *testing.T) {
	s := story(t, "2025-12-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	s.At("2026-01-01T00:00:00Z")
	closedMonth(t, s, "2025-12")
	s.At("2026-01-01T09:30:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed})
	s.At("2026-01-03T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	s.At("2026-01-20T00:00:00Z").Settle("acme")
	held(t, s, "pc-1", "server")
}

func TestL11Group(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	var ids []string
	for _, e := range []string{"pc-1", "pc-2", "pc-3"} {
		s.Do("acme", give(e, "server"))
		ids = append(ids, held(t, s, e, "server").ID)
	}
	s.Do("acme", license.Release{License: ids[1]})
	s.Do("acme", license.SetAutoRenew{License: ids[2]})
	evs := s.Do("acme", license.Group{Action: events.GroupAutoRenewOff, Licenses: append(ids, "nothing")})
	applied := evs[len(evs)-1].Data.(*events.GroupApplied)
	if len(evs) != 2 || len(applied.Refused) != 2 || len(applied.Unchanged) != 1 {
		t.Errorf("%d events, %+v", len(evs), applied)
	}
	if applied.Refused[0] != (events.GroupRefusal{License: ids[1], Code: "license_closed"}) || applied.Refused[1].Code != "not_found" {
		t.Errorf("refused: %+v", applied.Refused)
	}
	if s.License("acme", ids[0]).AutoRenew {
		t.Error("what was possible was not done")
	}
	s.Refused("acme", license.Group{Action: "explode", Licenses: ids}, license.Invalid)
	s.Refused("acme", license.Group{Action: events.GroupRelease, Licenses: []string{ids[0], ids[0]}}, license.Invalid)
}

func TestL12Sockets(t *testing.T) {
	s := story(t, "2026-01-01T00:00:00Z")
	sockets := func() (n int) {
		for l := range s.State("acme").Licenses() {
			if l.Type == "vm-server-socket" && l.Serving() {
				n++
			}
		}
		return n
	}
	count := func(n int) {
		t.Helper()
		c := install("host", "")
		c.Sockets = n
		s.Do("acme", c)
	}
	count(5)
	s.Refused("acme", give("host", "vm-server-socket"), license.RequiresVMServer)
	s.Do("acme", give("host", "vm-server"))
	if sockets() != 3 {
		t.Errorf("5 sockets: %d licenses beside the vm-server", sockets())
	}
	count(3)
	if sockets() != 1 {
		t.Errorf("3 sockets: %d", sockets())
	}
	count(4)
	if sockets() != 2 {
		t.Errorf("4 sockets: %d", sockets())
	}
	s.Do("acme", license.Release{License: held(t, s, "host", "vm-server").ID})
	if sockets() != 0 {
		t.Errorf("they outlive their vm-server: %d", sockets())
	}
}

func TestL12SocketsOfAManualCompany(t *testing.T) {
	s := story(t, "2026-01-01T00:00:00Z")
	manual(s)
	s.Do("acme", license.Buy{Type: "vm-server", Quantity: 1})
	c := install("host", "")
	c.Sockets = 4
	s.Do("acme", c)
	s.Do("acme", give("host", "vm-server"))
	if e, _ := s.State("acme").Endpoint("host"); e.Unlicensed != "vm-server-socket" {
		t.Errorf("nobody is told: %+v", e)
	}
}

func TestL12SocketsCountWhenTheTrialIsPaid(t *testing.T) {
	s := story(t, "2026-01-01T00:00:00Z")
	c := install("host", "vm-server")
	c.Sockets = 3
	s.Do("acme", c)
	if _, ok := s.Holds("acme", "host", "vm-server-socket"); ok {
		t.Error("a trial needs no sockets")
	}
	s.At("2026-01-15T00:00:00Z").Settle("acme")
	held(t, s, "host", "vm-server")
	held(t, s, "host", "vm-server-socket")
}

func TestL13Move(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "umbrella"}})
	s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "picky", AllowedTypes: []string{"desktop"}}})
	s.Do("acme", give("pc-1", "server"))
	s.Refused("acme", license.MoveEndpoint{Endpoint: "pc-1", Company: "picky"}, license.TypeNotAllowed)
	s.Refused("acme", license.MoveEndpoint{Endpoint: "pc-1", Company: "nowhere"}, license.NotFound)
	s.Do("acme", license.MoveEndpoint{Endpoint: "pc-1", Company: "umbrella"})
	l := held(t, s, "pc-1", "server")
	if l.Company != "umbrella" || l.BilledFrom.String() != "2026-01-11" {
		t.Errorf("moved: %+v", l)
	}
	if len(s.Do("acme", license.MoveEndpoint{Endpoint: "pc-1", Company: "umbrella"})) != 0 {
		t.Error("moving nowhere is recorded")
	}
	s.Do("acme", license.RemoveEndpoint{Endpoint: "pc-1"})
	if s.License("acme", l.ID).Status != events.Released {
		t.Error("the endpoint is gone and its license is not")
	}
	s.Refused("acme", license.RemoveEndpoint{Endpoint: "pc-1"}, license.NotFound)
}

func TestL14AdministratorsAndTokens(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	ann := events.Assignee{Kind: events.Administrator, ID: "9f86d081884c7d659a2feaa0c55ad015"}
	s.Do("acme", license.Buy{Type: "connect", Quantity: 1})
	s.Refused("acme", license.Allocate{Type: "connect", Assignee: ann}, license.NotFound) // administrators must exist
	s.Refused("acme", license.SetAdministrator{Administrator: ann.ID, Permissions: []string{"everything"}}, license.Invalid)
	s.Do("acme", license.SetAdministrator{Administrator: ann.ID, Permissions: []string{"licenses.manage"}})
	s.Do("acme", license.Allocate{Type: "connect", Assignee: ann})
	evs := s.Do("acme", license.IssueToken{Holder: events.AdministratorSubject, Subject: ann.ID, Hash: events.Digest{1}})
	id := evs[0].Data.(*events.TokenIssued).Token
	s.Do("acme", license.RevokeToken{Token: id})
	s.Refused("acme", license.RevokeToken{Token: id}, license.NotFound)
	s.Refused("acme", license.IssueToken{Holder: "king"}, license.Invalid)
}

func TestB5CorrectionsNeedAReason(t *testing.T) {
	s := story(t, "2025-12-10T10:00:00Z")
	amount, _ := events.ParseMoney("-10.00")
	december, _ := events.ParseMonth("2025-12")
	c := license.Adjust{Month: december, Company: "globex", Type: "server", Amount: amount, Reason: "double count"}
	s.Refused("acme", c, license.Invalid) // not closed
	s.At("2026-01-01T00:00:00Z").Settle("acme")
	s.Do("acme", c)
	c.Reason = " "
	s.Refused("acme", c, license.Invalid)
}
