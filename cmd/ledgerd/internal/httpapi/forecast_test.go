package httpapi_test

import (
	"testing"

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
