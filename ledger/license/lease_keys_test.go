package license_test

import (
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// leasedInstance is the lease that an instance of acme gets now.
func leasedInstance(s *ledgertest.Story, instance string) lease.Claims {
	c := lease.Claims{Provider: "acme", Subject: "instance:" + instance}
	c.Issue("01KGB000000000000000000000", s.Now, lease.DefaultOffline)
	i, _ := s.State("acme").Instance(instance)
	var keys []lease.LeasedKey
	for _, id := range i.Keys {
		k, _ := s.State("acme").Key(id)
		var users []string
		for seat := range s.State("acme").Seats(id) {
			users = append(users, lease.UserID(id, seat.User))
		}
		keys = append(keys, license.LeasedKey(k, users, s.Now))
	}
	return license.LeaseOfInstance(c, i, keys, s.Now)
}

// K3, K11: the trial of an instance without key: 30 days, all backups, restores limited to 5 items; afterwards neither until activation.
func TestK3LeaseOfTrial(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.StartTrial{Instance: "srv-1"})
	ends := clockTime(t, "2026-02-09T10:00:00Z")
	for _, at := range []string{"2026-01-10T10:00:00Z", "2026-02-09T09:59:59.999Z"} {
		s.At(at)
		c := leasedInstance(s, "srv-1")
		if got := lease.Judge(&c, s.Now, s.Now); c.Status != lease.StatusTrial || !got.Backup || !got.Restore || got.RestoreLimit != 5 || !c.BackupUntil.Equal(ends) {
			t.Errorf("at %s: %+v, %+v", at, c, got)
		}
	}
	s.At("2026-02-09T10:00:00Z")
	c := leasedInstance(s, "srv-1")
	if got := lease.Judge(&c, s.Now, s.Now); got.Backup || got.Restore || got.Mode != lease.Ended {
		t.Errorf("after it: %+v", got)
	}
	s.Do("acme", license.ActivateKey{Key: order(s, 1), Instance: "srv-1"})
	c = leasedInstance(s, "srv-1")
	if got := lease.Judge(&c, s.Now, s.Now); !got.Backup || !got.Restore || got.RestoreLimit != 0 || c.Status != lease.StatusActive {
		t.Errorf("activated: %+v", got)
	}
}

// K1, K8, K9, K11: what a key's lease allows, and until when, while the key runs out, is renewed, is not paid.
func TestK11LeaseOfKey(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 3)
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	end, year := clockTime(t, "2027-01-10T10:00:00Z"), clockTime(t, "2028-01-10T10:00:00Z")
	check := func(what, status string, until time.Time, backups bool) {
		t.Helper()
		c := leasedInstance(s, "srv-1")
		got := lease.Judge(&c, s.Now, s.Now)
		if c.Status != status || !c.BackupUntil.Equal(until) || got.Backup != backups || !got.Restore {
			t.Errorf("%s: %s until %s, backup %v, restore %v; want %s until %s, %v", what, c.Status, c.BackupUntil, got.Backup, got.Restore, status, until, backups)
		}
	}
	check("active", lease.StatusActive, end, true)
	c := leasedInstance(s, "srv-1")
	if !c.Seated(alias("ann"), s.Now) || c.Seated(alias("bob"), s.Now) { // offline, only seated users
		t.Errorf("seated: %+v", c.Keys)
	}

	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed})
	suspend := s.Now.Add(license.Grace)
	check("a charge failed", lease.StatusActive, suspend, true)
	s.AtTime(suspend)
	check("it was not collected, which nobody recorded yet", lease.StatusSuspended, suspend, false)
	s.Settle("acme")
	check("it was not collected", lease.StatusSuspended, suspend, false)
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Collected})
	check("it was collected", lease.StatusActive, end, true)

	s.AtTime(end.Add(-time.Millisecond))
	check("the last instant", lease.StatusActive, end, true)
	s.AtTime(end)
	check("expired, which nobody recorded yet", lease.StatusExpired, end, false)
	s.Settle("acme")
	check("expired", lease.StatusExpired, end, false)
	s.Do("acme", license.RenewKey{Key: key, Seats: 3})
	check("renewed", lease.StatusActive, year, true)
	s.Do("acme", license.RenewKey{Key: key, Seats: 3})
	check("renewed in advance for as many", lease.StatusActive, clockTime(t, "2029-01-10T10:00:00Z"), true)

	fewer := activated(s, 3)
	s.Do("acme", license.RenewKey{Key: fewer, Seats: 2})
	k := keyOf(t, s, fewer)
	if until := license.BackupsUntil(&k, s.Now); !until.Equal(k.ExpiresAt) {
		t.Errorf("renewed in advance for fewer, when seats are assigned anew: until %s", until)
	}
}

// An instance with several keys may do what one of them allows; a key that nobody activated allows nothing.
func TestK11LeaseOfSeveralKeys(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	old := activated(s, 1)
	s.At("2026-12-01T00:00:00Z")
	young := activated(s, 1)
	s.At("2027-02-01T00:00:00Z")
	c := leasedInstance(s, "srv-1")
	if k := keyOf(t, s, young); len(c.Keys) != 2 || c.Status != lease.StatusActive || !c.BackupUntil.Equal(k.ExpiresAt) {
		t.Errorf("one of two has expired: %+v", c)
	}
	for _, k := range c.Keys {
		if want := map[string]string{old: "expired", young: "active"}[k.Key]; k.Status != want {
			t.Errorf("key %s is %s, want %s", k.Key, k.Status, want)
		}
	}
	k := keyOf(t, s, order(s, 1))
	if got := license.LeasedKey(&k, nil, s.Now); got.Status != "ordered" || got.Until.After(s.Now) {
		t.Errorf("ordered: %+v", got)
	}
	c = license.LeaseOfKeys(lease.Claims{}, []lease.LeasedKey{license.LeasedKey(&k, nil, s.Now)}, s.Now)
	if c.Status != lease.StatusUnlicensed || c.BackupUntil.After(s.Now) {
		t.Errorf("ordered: %+v", c)
	}
}
