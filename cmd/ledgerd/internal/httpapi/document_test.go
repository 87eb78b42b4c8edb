package httpapi_test

import (
	"strings"
	"testing"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
)

// An invoice is also a document for people, drawn from the same figures and under the same rules.
func TestInvoiceDocuments(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
		"license_type": "server", "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": "pc-1"},
	}).is(201)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-05T12:00:00Z"}).is(200)
	const invoices = "/v1/providers/acme/invoices/"
	issued := into[api.Invoice](h.get(invoices + "S-000001").is(200))
	browser := header("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")

	page := h.get(invoices+"S-000001", browser).is(200)
	if page.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(page.header.Get("Content-Security-Policy"), "default-src 'none'; ") ||
		page.header.Get("Ledger-Position") == "" {
		t.Errorf("headers %v", page.header)
	}
	for _, text := range []string{"<h1>Statement S-000001</h1>", "<td>globex</td><td>server</td><td>days-active</td>", ">" + issued.Total + "</td>", issued.Digest} {
		if !strings.Contains(page.body, text) {
			t.Errorf("the page lacks %q:\n%s", text, page.body)
		}
	}
	pdf := h.get(invoices+"S-000001", header("Accept", api.MediaPDF)).is(200)
	if pdf.header.Get("Content-Type") != "application/pdf" || pdf.header.Get("Content-Disposition") != `inline; filename="S-000001.pdf"` || !strings.HasPrefix(pdf.body, "%PDF-") {
		t.Errorf("headers %v, %.20q", pdf.header, pdf.body)
	}
	if again := h.get(invoices+"S-000001", header("Accept", api.MediaPDF)).is(200); again.body != pdf.body {
		t.Error("the same invoice makes another PDF")
	}
	if draft := h.get(invoices+"draft", browser).is(200).body; !strings.Contains(draft, "<h1>Draft of 2026-03</h1>") || !strings.Contains(draft, "not due") {
		t.Errorf("draft:\n%s", draft)
	}

	// How the provider was called goes by the time that is asked about.
	h.call("PUT", "/v1/providers/acme", map[string]any{"name": "<Acme & Sons>"}).is(200)
	if now := h.get(invoices+"S-000001", browser).is(200).body; !strings.Contains(now, "&lt;Acme &amp; Sons&gt; (acme)") {
		t.Errorf("renamed:\n%s", now)
	}
	if then := h.get(invoices+"S-000001?as_of=2026-03-02T00:00:00Z", browser).is(200).body; then != page.body {
		t.Errorf("as it was:\n%s", then)
	}

	stranger := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a"}))
	for _, accept := range []string{api.MediaHTML, api.MediaPDF} {
		h.get(invoices+"S-000001", stranger, header("Accept", accept)).refused(403, api.CodePermissionDenied)
		h.get(invoices+"S-000002", header("Accept", accept)).refused(404, api.CodeNotFound)
	}
	if p := h.get(invoices+"S-000001", header("Accept", "image/png")).refused(422, "invalid"); !strings.Contains(p.Hint, api.MediaPDF) {
		t.Errorf("%+v", p)
	}
}
