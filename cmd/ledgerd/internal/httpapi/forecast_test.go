package httpapi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// B3, C7, C8: an estimate is the statement of a month with nothing else in it.
func TestEstimate(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const url = "/v1/providers/acme/estimate"
	n := h.entries()
	items := []map[string]any{{"license_type": "server", "quantity": 1, "days": 10}, {"license_type": "backup-storage", "quantity": 100.5, "days": 10}}
	a := into[api.EstimateAnswer](h.call("POST", url, map[string]any{"month": "2026-04", "items": items}).is(200))
	if a.Currency != "USD" || a.Subtotal != "2.53" || a.MinimumAdjustment != "17.47" || a.Total != "20.00" || len(a.Lines) != 3 || h.entries() != n {
		t.Errorf("%+v", a)
	}
	if l := a.Lines[1]; l.LicenseType != "server" || l.BilledDays != 10 || l.Amount != "2.33" {
		t.Errorf("%+v", l)
	}
	for name, body := range map[string]any{
		"no items":         map[string]any{"month": "2026-04", "items": []any{}},
		"a part":           map[string]any{"month": "2026-04", "items": []any{map[string]any{"license_type": "server", "quantity": 1.5}}},
		"none":             map[string]any{"month": "2026-04", "items": []any{map[string]any{"license_type": "server", "quantity": 0}}},
		"unknown":          map[string]any{"month": "2026-04", "items": []any{map[string]any{"license_type": "mainframe", "quantity": 1}}},
		"annual":           map[string]any{"month": "2026-04", "items": []any{map[string]any{"license_type": "backup-user", "quantity": 1}}},
		"too many days":    map[string]any{"month": "2026-04", "items": []any{map[string]any{"license_type": "server", "quantity": 1, "days": 31}}},
		"before a catalog": map[string]any{"month": "2020-01", "items": []any{map[string]any{"license_type": "server", "quantity": 1}}},
		"a huge number":    `{"month":"2026-04","items":[{"license_type":"backup-storage","quantity":1e300}]}`,
	} {
		if p := h.call("POST", url, body).refused(422, api.CodeInvalid); len(p.Errors) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	h.call("POST", "/v1/providers/other/estimate", map[string]any{"month": "2026-04", "items": items}).refused(404, api.CodeNotFound)
}

// B5, with its figures: what comes late for a closed month, or corrects it, in the next payment and on the next statement.
func TestAdjustmentsB5(t *testing.T) {
	h := newHouse(t)
	c := into[api.Catalog](h.get("/v1/catalog").is(200))
	c.Effective = "2026-03"
	c.Types = append(c.Types, api.LicenseType{
		ID: "upload", Family: "transfer", Unit: "GB", Term: "monthly", Prices: map[string]string{"USD": "1.00"}, Policy: "metered", Meter: "gb", Aggregate: "sum",
	})
	h.call("PUT", "/v1/catalog", c).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-10T00:00:00Z"}).is(200)

	reports := 0
	report := func(gb int) func(url string) {
		return func(url string) {
			reports++
			h.call("POST", url+"/usage", map[string]any{
				"agent": "pc-1", "company": "globex", "seq": reports, "readings": []any{map[string]any{"meter": "gb", "value": gb, "at": "2026-03-10T00:00:00Z"}},
			}).is(200)
		}
	}
	correct := func(url string) {
		body := map[string]any{"month": "2026-03", "company": "globex", "license_type": "upload", "amount": "-10.00", "reason": "a test run"}
		n := h.entries()
		if a := into[api.AdjustmentAnswer](h.call("POST", url+"/adjustments?dry_run=true", body).is(200)); a.Savings != "5.00" || h.entries() != n {
			t.Errorf("the dry run: %+v", a)
		}
		if a := into[api.AdjustmentAnswer](h.call("POST", url+"/adjustments", body).is(200)); amounts(a.Lines) != "-10.00 5.00" || a.Savings != "" {
			t.Errorf("the correction: %+v", a)
		}
	}
	tests := []struct {
		name    string
		before  int
		charged string
		then    func(url string)
		lines   string
		total   string
	}{
		{"late-3", 12, "20.00", report(3), "3.00 -3.00", "0.00"},
		{"late-10", 12, "20.00", report(10), "10.00 -8.00", "2.00"},
		{"corrected", 25, "25.00", correct, "-10.00 5.00 5.00", "0.00"}, // the last is carried on
	}
	for _, test := range tests {
		url := "/v1/providers/" + test.name
		h.call("PUT", url, map[string]any{}).is(201)
		h.call("PUT", url+"/companies/globex", map[string]any{"metered": []string{"upload"}}).is(201)
		report(test.before)(url)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-04-02T00:00:00Z"}).is(200)
	var march []api.Invoice
	for _, test := range tests {
		url := "/v1/providers/" + test.name
		march = append(march, into[api.Invoice](h.get(url+"/invoices/S-000001").is(200)))
		test.then(url)
		if next := into[api.NextPayment](h.get(url + "/next-payment").is(200)); next.Amount != test.total || amounts(next.Lines) != test.lines {
			t.Errorf("%s: the next payment is %+v", test.name, next)
		}
		if draft := into[api.Invoice](h.get(url + "/invoices/draft").is(200)); draft.Total != test.total || amounts(draft.Lines) != test.lines {
			t.Errorf("%s: the draft is %+v", test.name, draft)
		}
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-05-01T00:00:00Z"}).is(200)
	for i, test := range tests {
		url := "/v1/providers/" + test.name
		if march[i].Total != test.charged {
			t.Errorf("%s: March was charged %s, want %s", test.name, march[i].Total, test.charged)
		}
		if now := into[api.Invoice](h.get(url + "/invoices/S-000001").is(200)); !cmp.Equal(now, march[i]) {
			t.Errorf("%s: March's statement became %+v", test.name, now)
		}
		april := into[api.Invoice](h.get(url + "/invoices/S-000002").is(200))
		if april.Total != test.total || amounts(april.Lines) != test.lines || april.Subtotal != "0.00" || april.Lines[0].Month != "2026-03" {
			t.Errorf("%s: April: %+v", test.name, april)
		}
		if rows := into[api.UsageHistoryPage](h.get(url + "/usage-history?month=2026-03").is(200)); len(rows.Rows) != 1 || rows.Rows[0].Cost != march[i].Subtotal {
			t.Errorf("%s: March's usage history: %+v", test.name, rows)
		}
	}
}

// amounts are those of lines, in their order.
func amounts(lines []api.Line) string {
	var list []string
	for _, l := range lines {
		list = append(list, l.Amount)
	}
	return strings.Join(list, " ")
}
