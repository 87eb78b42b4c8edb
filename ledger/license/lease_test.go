package license_test

import (
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// leased is the lease that an endpoint of acme gets now.
func leased(s *ledgertest.Story, endpoint string) lease.Claims {
	account := s.State("acme").Account()
	var held []events.License
	for l := range s.State("acme").Licenses() {
		if l.Assignee == (events.Assignee{Kind: events.Endpoint, ID: endpoint}) {
			held = append(held, *l)
		}
	}
	c := lease.Claims{Provider: "acme"}
	c.Issue("01KGB000000000000000000000", s.Now, lease.DefaultOffline)
	return license.LeaseOfEndpoint(c, &account, endpoint, held, s.Now)
}

// K11: auto-renew on: backup_until is offline_until; off: the month's end; expired: restore only.
func TestK11LeaseOfEndpoint(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	week := func() time.Time { return s.Now.Add(7 * 24 * time.Hour) }
	check := func(what, endpoint, status string, until time.Time, licenses int) {
		t.Helper()
		c := leased(s, endpoint)
		if c.Status != status || !c.BackupUntil.Equal(until) || len(c.Licenses) != licenses || c.Subject != "agent:"+endpoint {
			t.Errorf("%s: %s until %s, %d licenses; want %s until %s, %d", what, c.Status, c.BackupUntil, len(c.Licenses), status, until, licenses)
		}
		if !c.RestoreUntil.IsZero() || c.RestoreLimit != 0 || c.OfflineUntil != week() || c.RefreshAt != s.Now.Add(time.Hour) {
			t.Errorf("%s: %+v", what, c)
		}
		allowed := s.Now.Before(until)
		if got := lease.Judge(&c, s.Now, s.Now); got.Backup != allowed || !got.Restore {
			t.Errorf("%s: %+v", what, got)
		}
	}
	february := clockTime(t, "2026-02-01T00:00:00Z")
	check("no license", "pc-1", lease.StatusUnlicensed, s.Now, 0)
	s.Do("acme", install("pc-1", "server"))
	trialEnds := clockTime(t, "2026-01-24T10:00:00Z")
	check("trial that becomes a paid license", "pc-1", lease.StatusTrial, week(), 1)
	s.Do("acme", license.SetAutoRenew{License: held(t, s, "pc-1", "server").ID})
	check("trial, auto-renew off", "pc-1", lease.StatusTrial, trialEnds, 1)
	s.Do("acme", license.SetAutoRenew{License: held(t, s, "pc-1", "server").ID, Enabled: true})
	s.Do("acme", license.RemovePaymentMethod{})
	check("trial, nobody pays, its end is far", "pc-1", lease.StatusTrial, week(), 1)
	s.At("2026-01-20T10:00:00Z")
	check("trial, nobody pays, its end is near", "pc-1", lease.StatusTrial, trialEnds, 1)
	s.At("2026-01-24T10:00:00Z")
	check("trial that has ended, which nobody recorded yet", "pc-1", lease.StatusExpired, trialEnds, 0)
	s.Settle("acme")
	check("trial that has ended", "pc-1", lease.StatusExpired, trialEnds, 0)

	s.Do("acme", license.SetPaymentMethod{System: "fastspring", Account: "a"})
	s.Do("acme", give("pc-1", "server"))
	check("paid", "pc-1", lease.StatusActive, week(), 1)
	s.Do("acme", install("pc-1", "ms-sql"))
	check("paid, and another type on trial", "pc-1", lease.StatusActive, week(), 2)
	s.Do("acme", license.Release{License: held(t, s, "pc-1", "ms-sql").ID})
	s.Do("acme", license.SetAutoRenew{License: held(t, s, "pc-1", "server").ID})
	s.At("2026-01-31T23:59:59.999Z")
	check("auto-renew off, the last instant of the month", "pc-1", lease.StatusActive, february, 1)
	s.At("2026-02-01T00:00:00Z")
	check("auto-renew off, the month has ended, which nobody recorded yet", "pc-1", lease.StatusExpired, february, 0)
	s.Settle("acme")
	check("auto-renew off, the month has ended", "pc-1", lease.StatusExpired, february, 0)

	s.Do("acme", give("pc-2", "server"))
	s.At("2026-02-28T23:00:00Z")
	check("auto-renew on, an hour before the month's end", "pc-2", lease.StatusActive, week(), 1)
	s.At("2026-03-01T00:00:00Z")
	check("auto-renew on, the month has ended, which nobody recorded yet", "pc-2", lease.StatusActive, week(), 1)
	s.Settle("acme")
	s.At("2026-03-05T12:00:00Z")
	s.Do("acme", license.Unassign{License: held(t, s, "pc-2", "server").ID})
	check("back in the pool", "pc-2", lease.StatusExpired, s.Now, 0)
}

// L10, K11: with the grace end all paid licenses, at once, however late the ledger gets to it.
func TestK11LeaseAfterGrace(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", give("pc-1", "server"))
	s.At("2026-02-01T00:00:00Z").Settle("acme")
	s.Do("acme", license.IssueStatement{StatementIssued: events.StatementIssued{Month: month("2026-01"), Currency: "USD"}})
	s.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed, Reason: "card"})
	ends := s.Now.Add(7 * 24 * time.Hour)
	s.AtTime(ends.Add(-time.Millisecond))
	if c := leased(s, "pc-1"); c.Status != lease.StatusActive || c.BackupUntil != c.OfflineUntil {
		t.Errorf("in grace: %+v", c)
	}
	s.AtTime(ends)
	if c := leased(s, "pc-1"); c.Status != lease.StatusExpired || c.BackupUntil.After(s.Now) {
		t.Errorf("after it: %+v", c)
	}
}
