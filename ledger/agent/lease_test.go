package agent_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/lease"
	"licenseledger/projections/viewtest"
)

const day = 24 * time.Hour

func newOffice() *office { return &office{key: 1, publish: []byte{1}} }

// is checks what the agent may do.
func is(t testing.TB, what string, a *agent.Agent, mode lease.Mode, reason lease.Reason) {
	t.Helper()
	if s := a.Check(); s.Mode != mode || s.Reason != reason {
		t.Errorf("%s: %s %s, want %s %s", what, s.Mode, s.Reason, mode, reason)
	}
}

// Domain K11: a lease is fetched at the start and refreshed within the hour, over and over.
func TestRefreshedWithinTheHourK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		a := open(t, viewtest.TempDir(t), agent.Options{Leases: o.leases()})
		synctest.Wait()
		is(t, "fetched", a, lease.Allowed, "")
		for range 40 {
			later(15 * time.Minute)
			claims, text := a.Lease()
			if age := time.Since(claims.Issued()); age > time.Hour || text == "" {
				t.Fatalf("the lease is %s old", age)
			}
		}
		if asked, looked := o.times(); asked < 10 || asked > 12 || looked != 1 {
			t.Errorf("asked %d times in 10 hours, %d times for keys", asked, looked)
		}
	})
}

// Domain K11: offline, backups go on for exactly 7 x 24 h; then they are suspended until the ledger is reached. Restores go on.
func TestOfflineK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, dir := newOffice(), viewtest.TempDir(t)
		options := agent.Options{Leases: o.leases()}
		a := open(t, dir, options)
		synctest.Wait()
		issued := time.Now()
		o.set(func(o *office) { o.err = errCut })
		later(2 * time.Hour)
		shut(t, a)
		<-time.After(6 * day)
		a = open(t, dir, options)
		is(t, "six days offline", a, lease.Allowed, "")
		shut(t, a)
		<-time.After(time.Until(issued.Add(7*day - time.Minute)))
		a = open(t, dir, options)
		later(time.Until(issued.Add(7*day - time.Millisecond)))
		is(t, "the last instant", a, lease.Allowed, "")
		if s := a.Check(); !s.OfflineUntil.Equal(issued.Add(7*day)) || !s.BackupUntil.Equal(issued.Add(7*day)) {
			t.Errorf("%+v", s)
		}
		later(time.Millisecond)
		is(t, "after 7 days", a, lease.Suspended, lease.Offline)
		if s := a.Check(); !s.Restore || !errors.Is(a.Status().LeaseErr, errCut) {
			t.Errorf("%+v, %v", s, a.Status().LeaseErr)
		}
		if err := a.Refresh(t.Context()); !errors.Is(err, errCut) {
			t.Errorf("refresh: %v", err)
		}
		o.set(func(o *office) { o.err = nil })
		later(time.Minute)
		is(t, "connected again", a, lease.Allowed, "")
		if a.Status().LeaseErr != nil {
			t.Error(a.Status().LeaseErr)
		}
	})
}

// Domain K11: what was renewed is known within the hour, at once by refresh, and also when backups end before that.
func TestRenewedK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		expired := func(c *lease.Claims) { c.Status, c.BackupUntil = lease.StatusExpired, c.Issued() }
		o.claims = expired
		a := open(t, viewtest.TempDir(t), agent.Options{Leases: o.leases()})
		synctest.Wait()
		is(t, "expired", a, lease.RestoreOnly, lease.NotLicensed)
		o.set(func(o *office) { o.claims = nil })
		is(t, "renewed, and not yet known", a, lease.RestoreOnly, lease.NotLicensed)
		later(time.Hour)
		is(t, "within the hour", a, lease.Allowed, "")

		o.set(func(o *office) { o.claims = expired })
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(t, "at once", a, lease.RestoreOnly, lease.NotLicensed)

		soon := time.Now().Add(20 * time.Minute)
		o.set(func(o *office) { o.claims = func(c *lease.Claims) { c.BackupUntil = soon } })
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		o.set(func(o *office) { o.claims = nil })
		later(20*time.Minute - time.Millisecond)
		is(t, "before its end", a, lease.Allowed, "")
		later(time.Millisecond)
		is(t, "renewed when it ended", a, lease.Allowed, "")
		if claims, _ := a.Lease(); time.Since(claims.Issued()) > time.Second {
			t.Errorf("the lease is of %s", claims.Issued())
		}
	})
}

// Domain K11: a clock more than five minutes behind the latest time seen suspends, also after a restart, until the ledger has
// said what time it is.
func TestClockTurnedBackK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, dir := newOffice(), viewtest.TempDir(t)
		var turned time.Duration
		options := agent.Options{Leases: o.leases(), Now: func() time.Time { return time.Now().Add(-turned) }}
		a := open(t, dir, options)
		synctest.Wait()
		o.set(func(o *office) { o.err = errCut })
		shut(t, a)
		<-time.After(2 * day)
		a = open(t, dir, options)
		is(t, "two days offline", a, lease.Allowed, "")
		shut(t, a)

		turned = 5 * time.Minute
		a = open(t, dir, options)
		is(t, "5 minutes", a, lease.Allowed, "")
		shut(t, a)
		turned = 5*time.Minute + time.Millisecond
		a = open(t, dir, options)
		is(t, "more than 5 minutes", a, lease.Suspended, lease.ClockBehind)
		if !a.Check().Restore {
			t.Error("no restore")
		}
		shut(t, a)
		turned = 0
		a = open(t, dir, options)
		is(t, "put right", a, lease.Allowed, "")
		shut(t, a)

		turned = -30 * day // ahead by mistake
		a = open(t, dir, options)
		is(t, "a month ahead", a, lease.Suspended, lease.Offline)
		shut(t, a)
		turned = 0
		a = open(t, dir, options)
		is(t, "put right after that", a, lease.Suspended, lease.ClockBehind)
		o.set(func(o *office) { o.err = nil })
		later(lease.ClockTolerance)
		is(t, "connected", a, lease.Allowed, "")

		o.set(func(o *office) { o.ahead = time.Hour }) // the ledger's clock says that ours is an hour behind
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		is(t, "behind the ledger", a, lease.Suspended, lease.ClockBehind)
	})
}

// Keys rotate; a lease that no published key verifies, or that is another's, is not held.
func TestLeaseKeysK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, dir := newOffice(), viewtest.TempDir(t)
		a := open(t, dir, agent.Options{Leases: o.leases()})
		synctest.Wait()
		first, firstText := a.Lease()
		refused := func(what, text string) {
			t.Helper()
			if err := a.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v", what, err)
			}
			if held, _ := a.Lease(); held != first || a.Status().LeaseErr == nil {
				t.Errorf("%s: it is held", what)
			}
			is(t, what, a, lease.Allowed, "")
		}
		o.set(func(o *office) { o.key = 2 })
		refused("unpublished key", "not known")
		o.set(func(o *office) {
			o.publish = []byte{1, 2}
			o.claims = func(c *lease.Claims) { c.Subject = "agent:pc-18" }
		})
		refused("another agent's", "agent:pc-18")
		o.set(func(o *office) { o.claims = func(c *lease.Claims) { c.Provider = "umbrella" } })
		refused("another provider's", "umbrella")
		o.set(func(o *office) { o.claims = nil })
		if err := a.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		if held, text := a.Lease(); held == first || text == firstText {
			t.Error("the new lease is not held")
		}
		shut(t, a)

		// The keys that verified the lease are kept with it: offline they are all there is.
		o.set(func(o *office) { o.err = errCut })
		a = open(t, dir, agent.Options{Leases: o.leases()})
		is(t, "opened again, offline", a, lease.Allowed, "")
		shut(t, a)
		pinned := agent.Options{Keys: lease.NewKeySet(signingKey(3).Public())}
		a = open(t, dir, pinned)
		is(t, "keys that others may not replace", a, lease.Suspended, lease.NoLease)
		if !errors.Is(a.Status().LeaseErr, lease.ErrUnverified) {
			t.Error(a.Status().LeaseErr)
		}
		shut(t, a)
		pinned.Leases = o.leases()
		a = open(t, dir, pinned)
		synctest.Wait() // its own attempt fails
		o.set(func(o *office) { o.err, o.publish, o.key = nil, []byte{1, 2, 3, 4}, 4 })
		if err := a.Refresh(t.Context()); !errors.Is(err, lease.ErrUnknownKey) {
			t.Errorf("published and not pinned: %v", err)
		}
		o.set(func(o *office) { o.key = 3 })
		if err := a.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
		is(t, "pinned", a, lease.Allowed, "")
		shut(t, a)
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	})
}

// Domain K3: what the lease of a trial without a key says of restores reaches the product.
func TestTrialK3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		ends := time.Now().Add(2 * time.Hour)
		o.claims = func(c *lease.Claims) {
			c.Status, c.BackupUntil, c.RestoreUntil, c.RestoreLimit = lease.StatusTrial, ends, ends, lease.TrialRestoreLimit
		}
		a := open(t, viewtest.TempDir(t), agent.Options{Leases: o.leases()})
		synctest.Wait()
		if s := a.Check(); !s.Backup || !s.Restore || s.RestoreLimit != 5 {
			t.Errorf("%+v", s)
		}
		later(2 * time.Hour)
		is(t, "when it has ended", a, lease.Ended, lease.TrialEnded)
	})
}

// Domain K11: offline, only seated users.
func TestSeatedK11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		o.claims = func(c *lease.Claims) {
			c.Keys = []lease.LeasedKey{{Key: "01K", Status: "active", Until: c.OfflineUntil, Users: []string{lease.UserID("01K", "ann")}}}
		}
		a := open(t, viewtest.TempDir(t), agent.Options{Leases: o.leases()})
		if err := a.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !a.Seated("ann") || a.Seated("bob") {
			t.Errorf("ann %v, bob %v", a.Seated("ann"), a.Seated("bob"))
		}
	})
}

// Without a source the agent holds what it has, and says so when it is asked for more.
func TestNoLeases(t *testing.T) {
	a := open(t, viewtest.TempDir(t), agent.Options{Keys: lease.NewKeySet(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))})
	is(t, "none", a, lease.Suspended, lease.NoLease)
	if err := a.Refresh(context.Background()); err == nil {
		t.Error("refreshed")
	}
	if claims, text := a.Lease(); claims != nil || text != "" || a.Seated("ann") {
		t.Error("it holds one")
	}
}
