package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/cmd/ledgerd/internal/demo"
	"licenseledger/events"
	"licenseledger/ledger/api"
)

// bill is March 2026 of the demo: what every run of it must come to, however often it was interrupted.
var bill = []api.Line{
	{Company: "hgst-huh721212aln604", UnitPrice: "6.99", Quantity: "486", BilledDays: 9618, Amount: "2170.83"},
	{Company: "st12000nm0008", UnitPrice: "6.99", Quantity: "702", BilledDays: 14079, Amount: "3177.72"},
	{Company: "toshiba-mg08aca16ta", UnitPrice: "6.99", Quantity: "897", BilledDays: 18562, Amount: "4189.69"},
}

const (
	billTotal    = "9538.24"
	demoReports  = 14021
	demoDevices  = 2085
	demoOnceMore = `2085 devices; 0 reports recorded, 14021 had been recorded before`
)

// checkBill checks the demo's statement and usage over the API, and gives the statement's digest.
func checkBill(t *testing.T, c *api.Client) (digest string) {
	t.Helper()
	ctx := t.Context()
	all := must(c.Invoices(ctx, demo.Provider, api.InvoiceQuery{}))(t).Invoices
	if len(all) != 1 || all[0].Number != "S-000001" {
		t.Fatalf("invoices: %+v", all)
	}
	s := must(c.Invoice(ctx, demo.Provider, "S-000001", api.ReadOptions{}))(t)
	var lines []api.Line
	for _, l := range s.Lines {
		if l.Kind != api.LineUsage || l.LicenseType != "server" || l.Policy != "days-active" || l.Month != "2026-03" {
			t.Errorf("line %+v", l)
		}
		lines = append(lines, api.Line{Company: l.Company, UnitPrice: l.UnitPrice, Quantity: l.Quantity, BilledDays: l.BilledDays, Amount: l.Amount})
	}
	if d := cmp.Diff(bill, lines); d != "" {
		t.Errorf("lines (- want, + got):\n%s", d)
	}
	if s.Month != "2026-03" || s.Currency != "USD" || s.Subtotal != billTotal || s.Total != billTotal || !s.IssuedAt.Equal(demo.End) || s.Digest == "" {
		t.Errorf("statement: %+v", s)
	}

	// Every report is counted once, for the company of its device.
	trace := must(demo.Trace())(t)
	want := make(map[string]int)
	for _, r := range trace {
		want[r.Model]++
	}
	got := make(map[string]int)
	sum := 0
	for row, err := range c.AllUsage(ctx, demo.Provider, api.UsageQuery{Meter: demo.Meter, GroupBy: []string{"company"}, Aggregate: "count"}) {
		if err != nil {
			t.Fatal(err)
		}
		n := int(must(row.Value.Int64())(t))
		got[row.Company] = n
		sum += n
	}
	if d := cmp.Diff(want, got); d != "" || sum != demoReports {
		t.Errorf("%d readings (- want, + got):\n%s", sum, d)
	}
	if gaps := must(c.UsageGaps(ctx, demo.Provider, api.ListQuery{}))(t).Gaps; len(gaps) > 0 {
		t.Errorf("gaps: %+v", gaps)
	}
	if n := must(c.LicenseCounters(ctx, demo.Provider, api.CountersQuery{}))(t).All; n != demoDevices {
		t.Errorf("%d licenses, want %d", n, demoDevices)
	}
	if now := must(c.Clock(ctx, api.ReadOptions{}))(t).Now; !now.Equal(demo.End) {
		t.Errorf("the clock stands at %s", now)
	}
	return s.Digest
}

// The demo as a person meets it: it is played, played again, and built again from the log alone.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")

	first := within(t, "--demo", "--data", dir, anyPort)
	digest := checkBill(t, first.ready())
	text := first.out.String()
	for _, want := range []string{
		`2085 devices; 14021 reports recorded, 0 had been recorded before`,
		`Statement S-000001 of provider demo for 2026-03 \(USD\)`,
		`hgst-huh721212aln604 +server +6\.99 +486 +9618 +2170\.83`,
		`st12000nm0008 +server +6\.99 +702 +14079 +3177\.72`,
		`toshiba-mg08aca16ta +server +6\.99 +897 +18562 +4189\.69`,
		`total +9538\.24`,
		`digest ` + digest,
		`2026-03-17 reports +2007 of 2007`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("it does not print %q:\n%s", want, text)
		}
	}
	first.stop()
	if complaints := first.err.String(); complaints != "" {
		t.Errorf("it complains: %s", complaints)
	}
	records, entries := readLog(t, dir)
	live := dumps(t, dir)
	checkReports(t, entries)

	// Once more on the same folder: nothing is new.
	again := within(t, "--demo", "--data", dir, anyPort)
	if d := checkBill(t, again.ready()); d != digest {
		t.Errorf("played again, the digest is %s, was %s", d, digest)
	}
	if text := again.out.String(); !strings.Contains(text, demoOnceMore) || !strings.Contains(text, "digest "+digest) {
		t.Errorf("played again, it prints:\n%s", text)
	}
	again.stop()
	if now, _ := readLog(t, dir); !sameRecords(now, records) {
		t.Errorf("playing again changed the log: %d records became %d", len(records), len(now))
	}
	sameDumps(t, "played again", dumps(t, dir), live)

	// From the log alone.
	removeViews(t, dir)
	rebuilt := within(t, onTestClock(dir)...)
	if d := checkBill(t, rebuilt.ready()); d != digest {
		t.Errorf("built again, the digest is %s, was %s", d, digest)
	}
	rebuilt.stop()
	sameDumps(t, "built again", dumps(t, dir), live)
	if now, _ := readLog(t, dir); !sameRecords(now, records) {
		t.Errorf("building views again changed the log: %d records became %d", len(records), len(now))
	}

	// The oldest of its files loses its end: nothing that is needed at the moment is in it, and yet the ledger does not start.
	files := blocks(t, dir)
	if len(files) < 2 {
		t.Fatalf("the stream has only %v", files)
	}
	cut(t, files[0], 100)
	for range 2 {
		refuses(t, 1, []string{"records are missing from the stream", "ledgerd restore"}, onTestClock(dir)...)
	}
}

func sameRecords(a, b []events.Stored) bool {
	return slices.EqualFunc(a, b, func(a, b events.Stored) bool { return a.ID == b.ID && bytes.Equal(a.Body, b.Body) })
}

// checkReports checks that the log has every report of the trace exactly once, as it was sent.
func checkReports(t *testing.T, entries []events.Entry) {
	t.Helper()
	name := func(device string, seq uint64) string { return fmt.Sprintf("%s/%d", device, seq) }
	want := make(map[string]demo.Report, demoReports)
	for _, r := range must(demo.Trace())(t) {
		want[name(r.Device, r.Seq)] = r
	}
	if len(want) != demoReports {
		t.Fatalf("the trace has %d reports", len(want))
	}
	for i := range entries {
		for _, ev := range entries[i].Events {
			u, ok := ev.Data.(*events.UsageRecorded)
			if !ok {
				continue
			}
			r, ok := want[name(u.Agent, u.Seq)]
			if !ok {
				t.Fatalf("entry %d: report %d of %s is there twice, or nobody sent it", i, u.Seq, u.Agent)
			}
			delete(want, name(u.Agent, u.Seq))
			if len(u.Readings) != 1 || u.Company != r.Model || u.Readings[0].Meter != demo.Meter || !u.Readings[0].At.Equal(r.Date) || string(u.Readings[0].Value.Append(nil)) != fmt.Sprint(r.Hours) {
				t.Fatalf("entry %d: %+v, sent was %+v", i, u, r)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d reports are not in the log", len(want))
	}
}

// Without --data the demo lives in a temporary folder, which goes with it: also when it is stopped in the middle.
func TestDemoLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	d := startIn(t, temp, "--demo", anyPort)
	d.await(`03-11 reports`)
	if made := must(os.ReadDir(temp))(t); len(made) != 1 || !strings.HasPrefix(made[0].Name(), "licenseledger-demo-") {
		t.Errorf("temporary files: %v", made)
	}
	d.end(os.Interrupt)
	d.exits(0)
	if left := must(os.ReadDir(temp))(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
