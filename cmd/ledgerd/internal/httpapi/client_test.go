package httpapi_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// The contract's own client understands every answer of the door.
func TestClient(t *testing.T) {
	h := newHouse(t)
	c := &api.Client{BaseURL: h.server.URL, Token: h.operator, HTTP: h.client}
	ctx, none := t.Context(), api.ChangeOptions{}
	var seen uint64
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.PutProvider(ctx, "acme", api.ProviderSettings{Name: "Acme", Currency: "USD"}, none)
	must(err)
	_, err = c.PutPaymentMethod(ctx, "acme", api.PaymentMethodSettings{System: api.SystemFastSpring, Account: "fs-1"}, none)
	must(err)
	_, err = c.PutCompany(ctx, "acme", "globex", api.CompanySettings{Name: "Globex", Allocation: api.AllocationAutomatic}, none)
	must(err)
	bought, err := c.BuyLicenses(ctx, "acme", api.LicenseBuy{LicenseType: "server", Quantity: 3}, none)
	must(err)
	allocated, err := c.AllocateLicense(ctx, "acme", api.LicenseAllocate{License: bought.Licenses[1].ID, Company: "globex", Assignee: api.Assignee{Kind: api.KindEndpoint, ID: "pc-1"}}, none)
	must(err)
	preview, err := c.ReleaseLicense(ctx, "acme", allocated.License.ID, api.ChangeOptions{DryRun: true})
	must(err)
	if preview.Position != nil || preview.Savings != "4.49" {
		t.Errorf("preview %+v", preview)
	}
	reported, err := c.ReportUsage(ctx, "acme", api.Report{Agent: "pc-1", Seq: 1, Readings: []api.Reading{{Meter: "m", Value: "0.10", At: start}}}, none)
	must(err)
	batch, err := c.ReportEvents(ctx, "acme", []api.CloudEvent{{
		SpecVersion: "1.0", Source: "pc-1", ID: "e", Type: "m", Sequence: "3", Time: start, Data: api.CloudEventData{Value: "5"},
	}}, none)
	must(err)
	if reported.Status != api.ReportRecorded || len(batch.Results) != 1 || batch.Results[0].Status != api.ReportRecorded {
		t.Errorf("reports %+v %+v", reported, batch)
	}
	n := 0
	for l, err := range c.AllLicenses(ctx, "acme", api.LicenseQuery{ReadOptions: api.ReadOptions{After: *batch.Position, Seen: &seen}, PageOptions: api.PageOptions{Limit: 2}}) {
		must(err)
		if n++; l.Price != "6.99" {
			t.Errorf("license %+v", l)
		}
	}
	if n != 3 || seen < *batch.Position {
		t.Errorf("%d licenses, seen %d", n, seen)
	}
	for row, err := range c.AllUsage(ctx, "acme", api.UsageQuery{Meter: "m", From: api.At(start.Truncate(24 * time.Hour)), GroupBy: []string{"company", "day"}, Aggregate: "sum"}) {
		must(err)
		if row.Value != "5.1" || row.Day != "2026-02-10" {
			t.Errorf("usage %+v", row)
		}
	}
	gaps, err := c.UsageGaps(ctx, "acme", api.ListQuery{})
	must(err)
	if len(gaps.Gaps) != 1 || gaps.Gaps[0].From != 2 || gaps.Gaps[0].To != 3 {
		t.Errorf("gaps %+v", gaps)
	}
	_, err = c.SetClock(ctx, api.Clock{Now: start.AddDate(0, 1, 0)}, none)
	must(err)
	invoice, err := c.Invoice(ctx, "acme", "S-000001", api.ReadOptions{})
	must(err)
	if invoice.Total != "20.00" || len(invoice.Lines) != 2 || invoice.Lines[0].Quantity != "1" {
		t.Errorf("invoice %+v", invoice)
	}
	for name, open := range map[string]func() (io.ReadCloser, error){
		"S-000001,": func() (io.ReadCloser, error) {
			return c.InvoiceDocument(ctx, "acme", "S-000001", api.MediaCSV, api.ReadOptions{})
		},
		"pc-1,paid": func() (io.ReadCloser, error) { return c.LicensesCSV(ctx, "acme", api.LicenseQuery{}) },
		",4.74,USD": func() (io.ReadCloser, error) {
			return c.UsageHistoryCSV(ctx, "acme", api.UsageHistoryQuery{Month: "2026-02"})
		},
	} {
		r, err := open()
		must(err)
		b, err := io.ReadAll(r)
		must(err)
		must(r.Close())
		if !strings.Contains(string(b), name) {
			t.Errorf("CSV without %s:\n%s", name, b)
		}
	}
	catalog, err := c.Catalog(ctx, api.CatalogQuery{})
	must(err)
	catalog.Effective = "2026-05"
	published, err := c.PublishCatalog(ctx, catalog, none)
	must(err)
	if published.Effective != "2026-05" || len(published.Types) != len(catalog.Types) {
		t.Errorf("published %+v", published)
	}
	_, err = c.Company(ctx, "acme", "nobody", api.ReadOptions{})
	if api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("error %v", err)
	}
	_, err = c.InvoiceDocument(ctx, "acme", "S-000099", api.MediaPDF, api.ReadOptions{})
	if api.CodeOf(err) != api.CodeNotFound {
		t.Errorf("error %v", err)
	}
	_, err = c.InvoiceDocument(ctx, "acme", api.InvoiceDraft, "image/png", api.ReadOptions{})
	if api.CodeOf(err) != api.CodeInvalid {
		t.Errorf("error %v", err)
	}
	draft, err := c.InvoiceDocument(ctx, "acme", api.InvoiceDraft, api.MediaPDF, api.ReadOptions{})
	must(err)
	if b, err := io.ReadAll(draft); err != nil || draft.Close() != nil || !bytes.HasPrefix(b, []byte("%PDF-")) {
		t.Errorf("%.20q, %v", b, err)
	}
}
