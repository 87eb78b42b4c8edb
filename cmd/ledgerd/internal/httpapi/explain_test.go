package httpapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

func add(t testing.TB, total decimal.Decimal, amount string) decimal.Decimal {
	t.Helper()
	d, err := decimal.NewFromString(amount)
	if err != nil {
		t.Fatal(err)
	}
	return total.Add(d)
}

// explains checks that an invoice's explanation adds up, at every level, and that every position that it names is an event of the log.
func (h *house) explains(number string) api.Explanation {
	h.t.Helper()
	kinds := h.kinds()
	invoice := into[api.Invoice](h.get("/v1/providers/acme/invoices/" + number).is(200))
	e := into[api.Explanation](h.get("/v1/providers/acme/invoices/" + number + "/explain").is(200))
	if len(e.Lines) != len(invoice.Lines) || e.Amount != invoice.Total {
		h.t.Fatalf("%s: %d of %d lines, %s of %s", number, len(e.Lines), len(invoice.Lines), e.Amount, invoice.Total)
	}
	var total decimal.Decimal
	for i, l := range e.Lines {
		if l.Line.ID != invoice.Lines[i].ID || l.Amount != invoice.Lines[i].Amount || l.Text == "" {
			h.t.Errorf("%s: line %d is %+v", number, i, l)
		}
		var parts decimal.Decimal
		for _, p := range l.Parts {
			parts = add(h.t, parts, p.Amount)
			if p.Text == "" {
				h.t.Errorf("%s: line %d has a part without words", number, i)
			}
			for _, at := range p.Positions {
				if kinds[at] == "" {
					h.t.Errorf("%s: there is no event %s", number, at)
				}
			}
		}
		if !parts.Equal(add(h.t, decimal.Decimal{}, l.Amount)) {
			h.t.Errorf("%s: line %d: parts of %s in all, %s", number, i, parts, l.Amount)
		}
		total = total.Add(parts)
		// Alone it says the same, and its events in words.
		alone := into[api.Explanation](h.get("/v1/providers/acme/invoices/" + number + "/explain?line=" + l.Line.ID).is(200))
		if alone.Text != l.Text || len(alone.Parts) != len(l.Parts) {
			h.t.Errorf("%s: line %d alone is %+v", number, i, alone)
		}
		named := map[string]bool{}
		for _, ev := range alone.Events {
			if kinds[ev.Position] != ev.Kind || ev.Text == "" || ev.Text == ev.Kind {
				h.t.Errorf("%s: %+v is %s", number, ev, kinds[ev.Position])
			}
			named[ev.Position] = true
		}
		for _, p := range alone.Parts {
			for _, at := range p.Positions {
				if !named[at] {
					h.t.Errorf("%s: line %d: event %s is not in words", number, i, at)
				}
			}
		}
	}
	if !total.Equal(add(h.t, decimal.Decimal{}, invoice.Total)) {
		h.t.Errorf("%s: lines of %s in all, total %s", number, total, invoice.Total)
	}
	return e
}

// kinds are the kinds of all events by their positions.
func (h *house) kinds() map[string]string {
	h.t.Helper()
	kinds := map[string]string{}
	for _, r := range h.stream.Records() {
		entries, err := events.DecodeRecord(&r.Record)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range entries {
			for i, ev := range e.Events {
				kinds[decimal.NewFromUint64(e.Number).String()+"."+decimal.NewFromInt(int64(i)).String()] = ev.Data.Kind()
			}
		}
	}
	return kinds
}

func (h *house) moveTo(at time.Time) {
	h.t.Helper()
	h.call("PUT", "/v1/clock", map[string]any{"now": at}).is(200)
}

// Every amount explains itself down to entries (domain, section 8): a month with a change (L6), a trial that ended (L2),
// two assignees of one license (B1), a free unit (C8) and the minimum (B3).
func TestExplain(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.moveTo(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	server := h.allocated("server", "pc-1").License.ID
	shared := h.allocated("desktop", "pc-2").License.ID
	h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "globex", "endpoint": "pc-3", "license_type": "file-backup"}).is(201)
	for _, id := range []string{"first", "second"} {
		h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
			"license_type": "advanced-rebranding", "company": "globex", "assignee": map[string]any{"kind": "branding", "id": id},
		}).is(201)
	}
	h.explains("draft")
	h.moveTo(time.Date(2026, 4, 10, 9, 0, 0, 0, time.UTC))
	ultimate := into[api.LicenseChanged](h.call("POST", licensesURL+server+"/change", map[string]any{"license_type": "ultimate"}).is(201)).License.ID
	h.call("POST", licensesURL+shared+"/unassign", nil).is(200)
	h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
		"license": shared, "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": "pc-4"},
	}).is(200)
	h.moveTo(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	h.call("POST", licensesURL+ultimate+"/release", nil).is(200)
	e := h.explains("S-000001")
	parts := 0
	for _, l := range e.Lines {
		parts += len(l.Parts)
		for _, p := range l.Parts {
			if l.Line.Kind == api.LineUsage && len(p.Positions) == 0 {
				t.Errorf("nothing is behind %+v", p)
			}
		}
	}
	// server 1, ultimate 1, desktop 2, file-backup 1, brandings 2, and no minimum.
	if parts != 7 {
		t.Errorf("%d parts: %+v", parts, e)
	}
	h.moveTo(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	h.explains("S-000002")

	life := into[api.LicenseLife](h.get(licensesURL + ultimate + "/explain").is(200))
	var told []string
	for _, ev := range life.Events {
		told = append(told, ev.Kind)
	}
	if got, want := strings.Join(told, " "), "license.changed.v1 license.renewed.v1 license.released.v1"; got != want || life.License.ID != ultimate || !strings.Contains(life.Text, "2026-05-01") {
		t.Errorf("its life is %s, not %s: %s", got, want, life.Text)
	}

	for path, status := range map[string]int{
		"invoices/S-000009/explain": 404, "invoices/S-000001/explain?line=nothing": 404, "licenses/01JPB2Z8Q0T3W6X9YAMC5D7E8F/explain": 404,
	} {
		h.get("/v1/providers/acme/"+path).refused(status, "not_found")
	}
	h.get("/v1/providers/acme/invoices/S-000001/explain?as_of=2026-05-01T00:00:00Z").refused(422, "invalid")
}

// What-if: the same history under another catalog, and nothing is recorded.
func TestWhatIf(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.moveTo(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	for _, endpoint := range []string{"pc-1", "pc-2", "pc-3", "pc-4"} {
		h.allocated("server", endpoint)
	}
	h.allocated("desktop", "pc-5")
	h.moveTo(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	was := into[api.Catalog](h.get("/v1/catalog?month=2026-04").is(200))
	ask := func(body map[string]any) api.WhatIfAnswer {
		t.Helper()
		n := h.entries()
		a := into[api.WhatIfAnswer](h.call("POST", "/v1/providers/acme/what-if", body).is(200))
		if h.entries() != n {
			t.Error("something was recorded")
		}
		return a
	}
	was.Effective = "2026-03"
	same := ask(map[string]any{"catalog": was, "from": "2026-03", "to": "2026-05"})
	if len(same.Months) != 2 || same.Difference != "0.00" || same.Was != same.WouldBe {
		t.Errorf("under the same catalog: %+v", same)
	}
	for _, m := range same.Months {
		issued := into[api.InvoicePage](h.get("/v1/providers/acme/invoices?month=" + m.Month).is(200)).Invoices[0]
		if m.Was.Total != issued.Total || m.WouldBe.Total != issued.Total || m.WouldBe.Digest != issued.Digest || m.WouldBe.Number != "" {
			t.Errorf("%s: %+v, issued %+v", m.Month, m, issued)
		}
	}

	// Servers at 5.00 from April on, whole months, without a minimum. March stays; types that are left out stay.
	other := map[string]any{"effective": "2026-04", "types": []any{map[string]any{
		"id": "server", "family": "backup", "unit": "endpoint", "term": "monthly", "prices": map[string]any{"USD": "5.00"}, "policy": "full-month",
	}}}
	a := ask(map[string]any{"catalog": other, "from": "2026-03", "to": "2026-05"})
	if a.Months[0].Difference != "0.00" || a.Months[1].Difference != "-7.96" || a.Difference != "-7.96" || a.Currency != "USD" {
		t.Errorf("%+v", a)
	}
	var server api.WhatIfLine
	for _, l := range a.Months[1].Lines {
		if l.LicenseType == "server" {
			server = l
		}
	}
	if server.Was != "27.96" || server.WouldBe != "20.00" || server.Difference != "-7.96" {
		t.Errorf("servers: %+v", server)
	}

	for location, body := range map[string]map[string]any{
		"body.to":                    {"catalog": other, "from": "2026-03", "to": "2026-06"},
		"body.catalog.effective":     {"catalog": map[string]any{"effective": "soon", "types": []any{}}, "from": "2026-03", "to": "2026-05"},
		"body.catalog.types[0].unit": {"catalog": map[string]any{"effective": "2026-04", "types": []any{map[string]any{"id": "server", "family": "backup", "unit": "domain", "term": "monthly", "prices": map[string]any{"USD": "5.00"}}}}, "from": "2026-03", "to": "2026-05"},
	} {
		p := h.call("POST", "/v1/providers/acme/what-if", body).refused(422, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Location != location {
			t.Errorf("%s: %+v", location, p)
		}
	}
	h.call("POST", "/v1/providers/nobody/what-if", map[string]any{"catalog": other, "from": "2026-03", "to": "2026-05"}).refused(404, "not_found")
}

// What came late (B5), what a meter counted (C7), a peak (C6), whole months (C5), what was carried on: all of it adds up and names its entries.
func TestExplainAdjustments(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/companies/globex", map[string]any{"name": "Globex", "allocation": "automatic", "metered": []string{"backup-storage"}}).is(200)
	catalog := into[api.Catalog](h.get("/v1/catalog").is(200))
	catalog.Effective = "2026-04"
	for i := range catalog.Types {
		switch catalog.Types[i].ID {
		case "desktop":
			catalog.Types[i].Policy = "peak"
		case "file-backup":
			catalog.Types[i].Policy = "full-month"
		}
	}
	h.call("PUT", "/v1/catalog", catalog).is(200)
	seq := 0
	report := func(day int, gib int64) {
		t.Helper()
		seq++
		h.call("POST", "/v1/providers/acme/usage", map[string]any{"agent": "pc-1", "seq": seq, "company": "globex", "readings": []any{
			map[string]any{"meter": "storage_bytes", "value": gib << 30, "at": time.Date(2026, 4, day, 8, 0, 0, 0, time.UTC)},
		}}).is(200)
	}
	h.moveTo(time.Date(2026, 4, 3, 9, 0, 0, 0, time.UTC))
	for _, endpoint := range []string{"pc-1", "pc-2", "pc-3"} {
		h.allocated("desktop", endpoint)
	}
	first := h.allocated("file-backup", "pc-1").License.ID
	h.moveTo(time.Date(2026, 4, 12, 9, 0, 0, 0, time.UTC))
	for day := 1; day <= 10; day++ {
		report(day, 1000)
	}
	h.call("POST", licensesURL+first+"/release", nil).is(200)
	h.moveTo(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))
	h.explains("S-000001")

	// April again: late readings, and a correction that is more than all of May.
	report(11, 5000)
	h.call("POST", "/v1/providers/acme/adjustments", map[string]any{"month": "2026-04", "company": "globex", "license_type": "desktop", "amount": "-8.00", "reason": "never used"}).is(200)
	h.explains("draft")
	h.moveTo(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC))
	second := h.explains("S-000002")
	h.call("POST", "/v1/providers/acme/adjustments", map[string]any{"month": "2026-04", "company": "globex", "amount": "-50.00", "reason": "goodwill"}).is(200)
	h.moveTo(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	third := h.explains("S-000003")
	h.moveTo(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC))
	fourth := h.explains("S-000004")

	find := func(e api.Explanation, kind, licenseType string) *api.Explanation {
		for i := range e.Lines {
			if l := &e.Lines[i]; l.Line.Kind == kind && l.Line.LicenseType == licenseType {
				return l
			}
		}
		t.Fatalf("%s has no line %s %s", e.Invoice, kind, licenseType)
		return nil
	}
	if l := find(second, "adjustment", "backup-storage"); len(l.Parts) != 1 || len(l.Parts[0].Positions) != 1 {
		t.Errorf("late readings: %+v", l)
	}
	if l := find(second, "adjustment", "desktop"); len(l.Parts) != 1 || l.Parts[0].Text != "corrected: never used" || len(l.Parts[0].Positions) != 1 {
		t.Errorf("a correction: %+v", l)
	}
	if l := find(third, "adjustment", ""); len(l.Parts) != 1 || l.Parts[0].Text != "corrected: goodwill" {
		t.Errorf("what was corrected before is not explained again: %+v", l)
	}
	find(third, "carried", "")
	if l := find(fourth, "carried", ""); l.Amount[0] != '-' || len(l.Parts[0].Positions) != 1 {
		t.Errorf("carried: %+v", l)
	}
}
