package httpapi_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// edition is the catalog of a month, for another one, with types changed.
func (h *house) edition(month, of string, change func(*api.LicenseType)) api.Catalog {
	h.t.Helper()
	c := into[api.Catalog](h.get("/v1/catalog?month=" + of).is(200))
	c.Effective = month
	for i := range c.Types {
		change(&c.Types[i])
	}
	return c
}

func dearer(licenseType, usd string) func(*api.LicenseType) {
	return func(t *api.LicenseType) {
		if t.ID == licenseType {
			t.Prices["USD"] = usd
		}
	}
}

// price is what a type costs in a month.
func (h *house) price(licenseType, month string) string {
	h.t.Helper()
	c := into[api.Catalog](h.get("/v1/catalog?month=" + month).is(200))
	i := slices.IndexFunc(c.Types, func(t api.LicenseType) bool { return t.ID == licenseType })
	return c.Types[i].Prices["USD"]
}

// usageLines are the usage lines of a month's statement, or of the draft.
func (h *house) usageLines(path string) (list []string) {
	h.t.Helper()
	for _, l := range into[api.Invoice](h.get("/v1/providers/acme/invoices/" + path).is(200)).Lines {
		if l.Kind == api.LineUsage {
			list = append(list, fmt.Sprintf("%s %s %s x %s: %s", l.LicenseType, l.Policy, l.Quantity, l.UnitPrice, l.Amount))
		}
	}
	return list
}

// C1: a catalog is in force from a month that has not begun; publishing the month again replaces it; a running month, and one that is over, keep
// their prices.
func TestCatalogC1(t *testing.T) {
	h := newHouse(t) // 10 February 2026
	h.acme()
	h.allocated("server", "pc-1")
	for _, begun := range []string{"2025-12", "2026-01", "2026-02"} {
		p := h.call("PUT", "/v1/catalog", h.edition(begun, "2026-02", dearer("server", "60.00"))).refused(422, api.CodeInvalid)
		if len(p.Errors) == 0 || p.Errors[0].Location != "body.effective" {
			t.Errorf("%s: %+v", begun, p)
		}
	}
	h.call("PUT", "/v1/catalog", h.edition("2026-03", "2026-02", dearer("server", "60.00"))).is(200)
	h.call("PUT", "/v1/catalog", h.edition("2026-03", "2026-02", dearer("server", "28.00"))).is(200)
	for month, want := range map[string]string{"2026-02": "6.99", "2026-03": "28.00", "2026-12": "28.00"} {
		if got := h.price("server", month); got != want {
			t.Errorf("a server costs %s in %s, want %s", got, month, want)
		}
	}
	february := []string{"server days-active 1 x 6.99: 4.74"} // 19 days of 28
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-02-28T23:59:59Z"}).is(200)
	if diff := cmp.Diff(february, h.usageLines("draft")); diff != "" {
		t.Errorf("the draft of February (-want +got):\n%s", diff)
	}
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-01T00:00:00Z"}).is(200)
	h.call("PUT", "/v1/catalog", h.edition("2026-03", "2026-03", dearer("server", "1.00"))).refused(422, api.CodeInvalid)
	h.call("PUT", "/v1/catalog", h.edition("2026-04", "2026-03", dearer("server", "1.00"))).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-05-01T00:00:00Z"}).is(200)
	for number, want := range map[string][]string{
		"S-000001": february, "S-000002": {"server days-active 1 x 28.00: 28.00"}, "S-000003": {"server days-active 1 x 1.00: 1.00"},
	} {
		if diff := cmp.Diff(want, h.usageLines(number)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", number, diff)
		}
	}
}

// C4 to C8: a month of each policy, and of free units, from commands to the statement.
func TestPolicies(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Globex", "allocation": "automatic", "metered": []string{"backup-storage"}}).is(200)
	h.call("PUT", "/v1/catalog", h.edition("2026-04", "2026-02", func(t *api.LicenseType) {
		switch t.ID {
		case "ultimate":
			t.Policy = "full-month"
		case "desktop":
			t.Policy = "peak"
		}
	})).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-04-01T00:00:00Z"}).is(200)
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "advanced-rebranding", "quantity": 2}).is(201)
	branding := func(id string) string {
		return into[api.LicenseAnswer](h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
			"license_type": "advanced-rebranding", "assignee": map[string]any{"kind": "branding", "id": id},
		}).is(200)).License.ID
	}
	release := func(id string) { h.call("POST", "/v1/providers/acme/licenses/"+id+"/release", nil).is(200) }
	at := func(now string) { h.call("PUT", "/v1/clock", map[string]any{"now": now}).is(200) }

	first := branding("first.example")
	branding("second.example")
	server, whole := h.allocated("server", "pc-1").License.ID, h.allocated("ultimate", "pc-2").License.ID
	var desktops []string
	for n := range 5 {
		desktops = append(desktops, h.allocated("desktop", fmt.Sprint("desk-", n)).License.ID)
	}
	at("2026-04-01T12:00:00Z")
	release(whole)
	readings := []map[string]any{}
	for day := 1; day <= 10; day++ {
		readings = append(readings, map[string]any{"meter": "storage_bytes", "value": 100 << 30, "at": fmt.Sprintf("2026-04-%02dT09:00:00Z", day)})
	}
	at("2026-04-10T12:00:00Z")
	release(first)
	release(server)
	desktops = append(desktops, h.allocated("desktop", "desk-5").License.ID, h.allocated("desktop", "desk-6").License.ID)
	h.call("POST", "/v1/providers/acme/usage", map[string]any{"agent": "desk-0", "seq": 1, "readings": readings}).is(200)
	at("2026-04-12T12:00:00Z")
	for _, id := range desktops[3:] {
		release(id)
	}
	at("2026-05-01T00:00:00Z")
	statement := "S-000001"
	if diff := cmp.Diff([]string{
		"advanced-rebranding days-active 2 x 49.00: 16.33", // C8: the second has 10 billed days
		"backup-storage metered 33.33 x 0.0060: 0.20",      // C7: 100 GiB on 10 of 30 days
		"desktop peak 7 x 2.99: 20.93",                     // C6: 5, 7, 7
		"server days-active 1 x 6.99: 2.33",                // C4: 10 days of 30
		"ultimate full-month 1 x 9.99: 9.99",               // C5: half a day
	}, h.usageLines(statement)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	sum := into[api.Invoice](h.get("/v1/providers/acme/invoices/" + statement).is(200))
	if sum.Month != "2026-04" || sum.Subtotal != "49.78" || sum.Total != "49.78" {
		t.Errorf("%s: subtotal %s, total %s", sum.Month, sum.Subtotal, sum.Total)
	}
}
