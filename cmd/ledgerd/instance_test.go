package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// A backup program with an annual key, from its trial to the renewal, against the real ledger: what it may do it learns from the
// lease of its instance alone (domain K2, K3, K8, K9, K11).
func TestInstanceLeaseK11(t *testing.T) {
	d := within(t, onTestClock(t.TempDir())...)
	c := d.ready()
	setUp(t, c, "acme")
	ctx := t.Context()
	token := must(c.IssueToken(ctx, "acme", api.TokenIssue{Subject: "instance:srv-1"}, api.ChangeOptions{}))(t).Secret

	var clock atomic.Int64 // of the machine and of the ledger, in milliseconds since 1970
	now := func() time.Time { return time.UnixMilli(clock.Load()).UTC() }
	move := func(to time.Time) {
		t.Helper()
		must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
		clock.Store(to.UnixMilli())
	}
	move(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	folder := t.TempDir()
	open := func(token string) (*agent.Agent, *api.Client) {
		own := *c
		own.Token = token
		a := must(agent.Open(folder, agent.Options{Agent: "srv-1", Leases: agent.InstanceLeases(&own, "acme", "srv-1"), Now: now}))(t)
		t.Cleanup(func() { _ = a.Close() }) // again, where the test has closed it
		return a, &own
	}
	refresh := func(a *agent.Agent) lease.State {
		t.Helper()
		if err := a.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		return a.Check()
	}
	is := func(what string, s lease.State, mode lease.Mode, backup, restore bool) {
		t.Helper()
		if s.Mode != mode || s.Backup != backup || s.Restore != restore {
			t.Errorf("%s: %+v", what, s)
		}
	}

	// The trial: 30 days, backups and restores of a few items.
	a, own := open(token)
	must(own.StartTrial(ctx, "acme", api.KeyInstance{Instance: "srv-1"}, api.ChangeOptions{}))(t)
	s := refresh(a)
	is("on trial", s, lease.Allowed, true, true)
	if s.RestoreLimit != lease.TrialRestoreLimit {
		t.Errorf("a restore brings back %d items", s.RestoreLimit)
	}
	ends := now().Add(30 * 24 * time.Hour)
	move(ends.Add(-time.Millisecond))
	is("the trial's last instant", refresh(a), lease.Allowed, true, true)
	move(ends)
	is("the trial is over", a.Check(), lease.Ended, false, false) // nobody needs to be asked
	is("the trial is over, as the ledger says", refresh(a), lease.Ended, false, false)

	// The key is pasted; the instance's new token takes the place of the old one.
	secret := must(c.OrderKey(ctx, "acme", api.KeyOrder{LicenseType: "backup-user", Seats: 2}, api.ChangeOptions{}))(t).Key.Secret
	pasted := must((&api.Client{BaseURL: c.BaseURL, HTTP: c.HTTP}).Activate(ctx, api.Activation{Secret: " " + secret + "\n", Instance: "srv-1"}, api.ChangeOptions{}))(t)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	a, own = open(pasted.Token)
	s = refresh(a)
	is("activated", s, lease.Allowed, true, true)
	if s.RestoreLimit != 0 || !s.OfflineUntil.Equal(now().Add(7*24*time.Hour)) {
		t.Errorf("activated: %+v", s)
	}
	key := pasted.Key.ID
	start := func() string {
		t.Helper()
		answer, err := own.StartJob(ctx, "acme", key, api.JobStart{Instance: "srv-1", Job: "nightly", Kind: api.JobBackup, Objects: []api.JobObject{
			{ID: "ann@globex.example", Kind: "user-mailbox"}, {ID: "bob@globex.example", Kind: "user-mailbox"}, {ID: "cy@globex.example", Kind: "user-mailbox"},
		}}, api.ChangeOptions{})
		if err != nil {
			return string(api.CodeOf(err))
		}
		var outcomes []string
		for _, o := range answer.Objects {
			outcomes = append(outcomes, o.Outcome)
		}
		return strings.Join(outcomes, " ")
	}
	if got := start(); got != "backed_up backed_up skipped" {
		t.Errorf("the job: %s", got)
	}
	refresh(a)
	if !a.Seated("ann@globex.example") || !a.Seated("bob@globex.example") || a.Seated("cy@globex.example") {
		t.Error("offline, others than the two that have seats would be served")
	}

	// Offline for too long: backups wait for the licensing server, restores go on.
	clock.Add((7*24*time.Hour - time.Millisecond).Milliseconds())
	is("the last instant offline", a.Check(), lease.Allowed, true, true)
	clock.Add(1)
	s = a.Check()
	is("offline for too long", s, lease.Suspended, false, true)
	if s.Text() != "suspended (waiting for the licensing server)" {
		t.Errorf("it says %q", s.Text())
	}

	// Its year ends to the instant, and is renewed for fewer: nothing is activated again.
	expires := pasted.Key.ExpiresAt
	move(expires.Add(-time.Millisecond))
	is("the year's last instant", refresh(a), lease.Allowed, true, true)
	move(expires)
	is("expired, as far as the program knows", a.Check(), lease.Suspended, false, true)
	is("expired", refresh(a), lease.RestoreOnly, false, true)
	if got := start(); got != string(api.CodeKeyExpired) {
		t.Errorf("a job of an expired key: %s", got)
	}
	must(c.RenewKey(ctx, "acme", key, api.KeySeats{Seats: 1}, api.ChangeOptions{}))(t)
	is("renewed", refresh(a), lease.Allowed, true, true)
	if a.Seated("ann@globex.example") {
		t.Error("renewed for fewer, seats are still held")
	}
	if got := start(); got != "backed_up skipped skipped" {
		t.Errorf("the job after the renewal: %s", got)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	d.stop()
}
