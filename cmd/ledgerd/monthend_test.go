package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

// A month's end of one provider with 100,000 licenses is killed in the middle (kill -9), twice, and goes on where it stopped: each
// license is renewed exactly once, the month is closed once, and there is one statement. No entry or record exceeds its bound, and
// memory does not grow with what is due (domain D4, L9, B6; architecture, "Words of the log").
func TestLargeMonthsEndKilled(t *testing.T) {
	const (
		licenses, page = 100_000, 2000
		mostMemory     = 1 << 10 // MiB
	)
	choose := rand.New(rand.NewPCG(seedOf(t), 4))
	dir := t.TempDir()
	ctx := t.Context()
	d := start(t, onTestClock(dir)...)
	c := d.ready()
	setUp(t, c, "acme")
	for range licenses / page {
		must(c.BuyLicenses(ctx, "acme", api.LicenseBuy{LicenseType: "server", Quantity: page}, api.ChangeOptions{}))(t)
	}
	// The statement is of one that serves somebody, with the minimum.
	begun := *must(c.AllocateLicense(ctx, "acme", api.LicenseAllocate{
		LicenseType: "server", Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "pc-1"},
	}, api.ChangeOptions{}))(t).Position
	// Events of a license take about 300 bytes: a month's end is some 500 entries.
	const entriesAtLeast = 300
	to := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	interrupted := 0
	for range 2 {
		moving := make(chan error, 1)
		go func() {
			_, err := c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{})
			moving <- err
		}()
		begun += 1 + choose.Uint64N(entriesAtLeast/2)
		for {
			_, err := c.Provider(ctx, "acme", api.ReadOptions{After: begun})
			if err == nil {
				break
			}
			if api.CodeOf(err) != api.CodeBehind {
				t.Fatal(err)
			}
		}
		took := d.memory()
		d.kill()
		if <-moving != nil {
			interrupted++
		}
		t.Logf("killed behind entry %d; it took %d MiB", begun, took)
		if took > mostMemory {
			t.Errorf("ledgerd took %d MiB", took)
		}
		d = start(t, onTestClock(dir)...)
		c = d.ready()
	}
	if interrupted == 0 {
		t.Error("no move was interrupted")
	}
	must(c.SetClock(ctx, api.Clock{Now: to}, api.ChangeOptions{}))(t)
	issued := statements(t, c, "acme")
	if len(issued) != 1 || issued[0].Number != "S-000001" || issued[0].Subtotal != "6.09" || issued[0].Total != "20.00" {
		t.Errorf("statements %+v", issued)
	}
	if n := must(c.LicenseCounters(ctx, "acme", api.CountersQuery{}))(t); n.All != licenses || n.Paid != licenses || n.Used != 1 {
		t.Errorf("licenses: %+v", n)
	}
	took := d.memory()
	d.stop()
	t.Logf("the last one took %d MiB", took)
	if took > mostMemory {
		t.Errorf("ledgerd took %d MiB", took)
	}

	records, entries := readLog(t, dir)
	largest := 0
	for _, r := range records {
		largest = max(largest, len(r.Body))
	}
	if largest > events.MaxRecord {
		t.Errorf("a record has %d bytes", largest)
	}
	checkMonths(t, entries, "acme", "2026-01")
	renewed := make(map[string]bool)
	longest, made := 0, 0
	for i := range entries {
		line, err := events.AppendEntry(nil, &entries[i])
		if err != nil {
			t.Fatal(err) // more than 65,535 bytes are one
		}
		longest = max(longest, len(line))
		for _, ev := range entries[i].Events {
			if l, ok := ev.Data.(*events.LicenseRenewed); ok {
				made++
				renewed[l.License.ID] = true
			}
		}
	}
	if made != licenses || len(renewed) != licenses {
		t.Errorf("%d renewals of %d licenses, want one of each of %d", made, len(renewed), licenses)
	}
	t.Logf("the longest entry has %d bytes, the largest record %d", longest, largest)
}
