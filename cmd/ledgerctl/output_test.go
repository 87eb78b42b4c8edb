package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

func TestTable(t *testing.T) {
	g := grid{columns: slices.Concat(left("id"), right("price"), extra("secret"), left("auto_renew at"))}
	g.add("a", "6.99", "s", true, time.Date(2026, 3, 11, 5, 0, 0, 0, time.FixedZone("", 3600)))
	g.add("größer", "1234.50", nil, false, time.Time{})
	g.add("x\x1b[31m\ny", json.Number("-1.0"), "s", nil, []string{"b", "c"})
	g.footer = []any{"3 in all", "9", blank{}, blank{}, blank{}}
	var b strings.Builder
	writeTable(&b, g)
	want := strings.Join([]string{
		"ID          PRICE  AUTO RENEW  AT",
		"a            6.99  yes         2026-03-11T04:00:00Z",
		"größer    1234.50  no          -",
		"x\uFFFD[31m y     -1.0  -           b, c",
		"3 in all        9",
		"",
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}

	b.Reset()
	if err := writeCSV(&b, g); err != nil {
		t.Fatal(err)
	}
	want = "id,price,secret,auto_renew,at\na,6.99,s,true,2026-03-11T04:00:00Z\ngrößer,1234.50,,false,\n\"x\x1b[31m\ny\",-1.0,s,,b c\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}

	b.Reset()
	g.rows = g.rows[:1]
	writeFields(&b, g)
	want = "id          a\nprice       6.99\nsecret      s\nauto renew  yes\nat          2026-03-11T04:00:00Z\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// Bills with every kind of line, as people see them.
func TestBill(t *testing.T) {
	statement := api.Invoice{
		Number: "S-000002", Kind: api.InvoiceStatement, Month: "2026-04", Currency: "USD", Status: api.InvoicePending,
		Period:   api.Period{From: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
		IssuedAt: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		Lines: []api.Line{
			{Kind: api.LineMinimum, Amount: "3.92"},
			{Kind: api.LineCarried, Amount: "-2.00"},
			{Kind: api.LineUsage, Company: "globex", LicenseType: "server", Policy: "days-active", Unit: "endpoint", UnitPrice: "6.99", Quantity: "2", DaysActive: 60, BilledDays: 60, Amount: "13.98"},
			{Kind: api.LineUsage, Company: "initech", LicenseType: "backup-storage", Policy: "metered", Unit: "GiB-month", UnitPrice: "0.0060", Quantity: "33.33", Amount: "0.20"},
			{Kind: api.LineUsage, LicenseType: "connect", Policy: "days-active", Unit: "administrator", UnitPrice: "19.00", Quantity: "1", DaysActive: 3, BilledDays: 3, Amount: "1.90"},
			{Kind: api.LineAdjustment, Company: "globex", LicenseType: "server", Month: "2026-02", Amount: "-10.00"},
			{Kind: api.LineAdjustment, Policy: "minimum", Month: "2026-02", Amount: "5.00"},
		},
		Subtotal: "16.08", MinimumAdjustment: "3.92", Total: "13.00", Digest: "ab", Position: 412,
	}
	prepaid := api.Invoice{
		Number: "P-000001", Kind: api.InvoicePrepaid, Currency: "EUR", Status: api.InvoiceCollected,
		Period:   api.Period{From: time.Date(2026, 4, 1, 9, 30, 0, 0, time.UTC), To: time.Date(2027, 4, 1, 9, 30, 0, 0, time.UTC)},
		IssuedAt: time.Date(2026, 4, 1, 9, 30, 0, 0, time.UTC),
		Lines:    []api.Line{{Kind: api.LinePrepaid, LicenseType: "backup-user", Unit: "user-seat", UnitPrice: "21.60", Quantity: "10", Amount: "216.00"}},
		Subtotal: "0.00", MinimumAdjustment: "0.00", Total: "216.00", Digest: "cd", Position: 7,
	}
	for _, row := range []struct {
		file    string
		invoice api.Invoice
	}{{"statement.golden", statement}, {"prepaid.golden", prepaid}} {
		want, err := os.ReadFile(filepath.Join("testdata", row.file))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		writeBill(&b, "acme", row.invoice)
		if diff := cmp.Diff(string(want), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.file, diff)
		}
	}
}

func TestInvoiceTotals(t *testing.T) {
	one := api.Invoice{Number: "S-000001", Currency: "USD", Total: "0.10"}
	for _, row := range []struct {
		name     string
		invoices []api.Invoice
		want     any // nil: no totals
	}{
		{"one needs no sum", []api.Invoice{one}, nil},
		{"exactly", []api.Invoice{one, one, {Currency: "USD", Total: "20.00"}}, "20.20"},
		{"two currencies", []api.Invoice{one, {Currency: "EUR", Total: "1.00"}}, nil},
		{"not money", []api.Invoice{one, {Currency: "USD", Total: "x"}}, nil},
	} {
		var got any
		footer := invoiceTotals(row.invoices)
		if footer != nil {
			got = footer[9]
			g := invoiceGrid(row.invoices)
			if len(footer) != len(g.columns) || g.columns[9].name != "total" {
				t.Errorf("%s: the footer does not fit the columns", row.name)
			}
		}
		if got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// Every currency has a column of its own.
func TestCatalog(t *testing.T) {
	catalog := api.Catalog{Effective: "2026-05", Minimum: map[string]string{"USD": "20.00", "EUR": "19.00"}, Types: []api.LicenseType{
		{ID: "server", Family: "backup", Unit: "endpoint", Term: "monthly", Prices: map[string]string{"USD": "6.99", "EUR": "6.49"}, TrialDays: 14, Policy: "days-active"},
		{ID: "rmm-connect", Unit: "administrator", Term: "monthly", Prices: map[string]string{"EUR": "45.00"}, Policy: "peak", Includes: []string{"connect", "chat"}, Closed: true},
		{ID: "storage", Unit: "GiB-month", Term: "monthly", Prices: map[string]string{"USD": "0.0060"}, Policy: "metered", Meter: "storage_bytes", Aggregate: "average"},
	}}
	var b strings.Builder
	writeCatalog(&b, catalog)
	want := strings.Join([]string{
		"from     2026-05",
		"minimum  19.00 EUR, 20.00 USD",
		"",
		"ID           FAMILY  UNIT           TERM     PRICE EUR  PRICE USD  TRIAL DAYS  FREE UNITS  POLICY       CLOSED",
		"server       backup  endpoint       monthly       6.49       6.99          14           0  days-active  no",
		"rmm-connect  -       administrator  monthly      45.00          -           0           0  peak         yes",
		"storage      -       GiB-month      monthly          -     0.0060           0           0  metered      no",
		"",
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := writeCSV(&b, catalogGrid(catalog)); err != nil {
		t.Fatal(err)
	}
	want = strings.Join([]string{
		"effective,id,family,unit,term,price_EUR,price_USD,trial_days,free_units,policy,meter,aggregate,includes,requires,included_units,release_lock_days,closed",
		"2026-05,server,backup,endpoint,monthly,6.49,6.99,14,0,days-active,,,,,0,0,false",
		"2026-05,rmm-connect,,administrator,monthly,45.00,,0,0,peak,,,connect chat,,0,0,true",
		"2026-05,storage,,GiB-month,monthly,,0.0060,0,0,metered,storage_bytes,average,,,0,0,false",
		"",
	}, "\n")
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
