package main

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// Domain K11: a backup program with the lease of its endpoint, against the real ledger: what is renewed or ends is known by
// refresh; offline it goes on for as long as --lease-offline says; a restarted ledger signs with the same keys.
func TestEndpointLeaseK11(t *testing.T) {
	dir := t.TempDir()
	args := append(onTestClock(dir), "--lease-offline=48h")
	d := within(t, args...)
	c := d.ready()
	setUp(t, c, "acme")
	ctx := t.Context()
	must(c.InstallEndpoint(ctx, "acme", api.EndpointInstall{Company: "globex", Endpoint: "pc-17", LicenseType: "server"}, api.ChangeOptions{}))(t)
	token := must(c.IssueToken(ctx, "acme", api.TokenIssue{Subject: "agent:pc-17"}, api.ChangeOptions{}))(t).Secret

	var clock atomic.Int64 // the machine's, in milliseconds since 1970
	now := func() time.Time { return time.UnixMilli(clock.Load()).UTC() }
	clock.Store(time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC).UnixMilli())
	folder := t.TempDir()
	open := func() *agent.Agent {
		own := *c
		own.Token = token
		a := must(agent.Open(folder, agent.Options{
			Agent: "pc-17", Transport: agent.HTTP(&own, "acme"), Leases: agent.EndpointLeases(&own, "acme", "pc-17"), Now: now,
		}))(t)
		t.Cleanup(func() { _ = a.Close() }) // again, where the test has closed it
		return a
	}
	shut := func(a *agent.Agent) {
		t.Helper()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	is := func(what string, a *agent.Agent, mode lease.Mode, reason lease.Reason) {
		t.Helper()
		if s := a.Check(); s.Mode != mode || s.Reason != reason || !s.Restore {
			t.Errorf("%s: %+v", what, s)
		}
	}
	a := open()
	if err := a.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	is("on trial", a, lease.Allowed, "")
	if s := a.Check(); !s.OfflineUntil.Equal(now().Add(48*time.Hour)) || strings.Join(s.Types, " ") != "server" {
		t.Errorf("%+v", s)
	}
	_, first := a.Lease()
	shut(a)

	// The ledger is away, and comes back.
	d.stop()
	clock.Add((48 * time.Hour).Milliseconds() - 1)
	a = open()
	is("the last instant offline", a, lease.Allowed, "")
	shut(a)
	clock.Add(1)
	a = open()
	is("offline for too long", a, lease.Suspended, lease.Offline)
	shut(a)
	d = within(t, args...)
	c = d.ready()
	if _, err := lease.Verify(first, must(lease.ParseKeys(must(c.LeaseKeys(ctx))(t)))(t)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	move := func(to time.Time) {
		t.Helper()
		must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
		clock.Store(to.UnixMilli())
	}
	move(now())
	a = open()
	if err := a.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	is("connected again", a, lease.Allowed, "")

	// Its trial ends, and nobody pays; then somebody does.
	must(c.DeletePaymentMethod(ctx, "acme", api.ChangeOptions{}))(t)
	move(time.Date(2026, 1, 19, 8, 0, 0, 0, time.UTC))
	if err := a.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	is("the trial has ended", a, lease.RestoreOnly, lease.NotLicensed)
	must(c.PutPaymentMethod(ctx, "acme", api.PaymentMethodSettings{System: "fastspring", Account: "acme"}, api.ChangeOptions{}))(t)
	must(c.AllocateLicense(ctx, "acme", api.LicenseAllocate{LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: "endpoint", ID: "pc-17"}}, api.ChangeOptions{}))(t)
	if err := a.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	is("bought", a, lease.Allowed, "")
	shut(a)
	d.stop()

	keys := 0
	err := filepath.WalkDir(filepath.Join(dir, "keys", "leases"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		keys++
		info, err := e.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil || keys != 1 {
		t.Errorf("%d keys, %v", keys, err)
	}
}
