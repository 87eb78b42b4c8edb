package httpapi_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"licenseledger/ledger/api"
)

// Every list pages through all its rows, in order, each once; and its CSV has the same rows.
func TestLists(t *testing.T) {
	h := newHouse(t)
	h.acme()
	for i := range 7 {
		h.call("PUT", fmt.Sprintf("/v1/providers/p-%d", i), map[string]any{"name": fmt.Sprint("P", i)}).is(201)
		h.call("PUT", fmt.Sprintf("/v1/providers/acme/companies/c-%d", i), map[string]any{"name": fmt.Sprint("C", i)}).is(201)
		h.allocated("server", fmt.Sprintf("pc-%d", i))
		h.call("POST", "/v1/providers/acme/usage", report(fmt.Sprintf("pc-%d", i), 3, i)).is(200) // 1 and 2 are missing
	}
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 5}).is(201)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-08-02T00:00:00Z"}).is(200)

	for _, row := range []struct {
		path, rows string
		count      int
		id         string // of the CSV's columns, the one by which rows are told apart
	}{
		{"/v1/providers", "providers", 8, "id"},
		{"/v1/providers?sort=id", "providers", 8, "id"},
		{"/v1/providers/acme/companies", "companies", 8, "id"},
		{"/v1/providers/acme/endpoints", "endpoints", 7, "id"},
		{"/v1/providers/acme/endpoints?company=globex", "endpoints", 7, "id"},
		{"/v1/providers/acme/endpoints?company=c-1", "endpoints", 0, "id"},
		{"/v1/providers/acme/licenses", "licenses", 12, "id"},
		{"/v1/providers/acme/licenses?status=used", "licenses", 7, "id"},
		{"/v1/providers/acme/licenses?company=globex&license_type=server", "licenses", 7, "id"},
		{"/v1/providers/acme/licenses?status=released", "licenses", 0, "id"},
		{"/v1/providers/acme/usage?group_by=endpoint", "rows", 7, "endpoint"},
		{"/v1/providers/acme/usage/gaps", "gaps", 7, "agent"},
		{"/v1/providers/acme/invoices", "invoices", 6, "number"},
		{"/v1/providers/acme/invoices?month=2026-05", "invoices", 1, "number"},
		{"/v1/providers/acme/notices", "notices", 4, "invoice"}, // of 92 days
		{"/v1/providers/acme/notices?sort=-at&kind=statement-issued&news=good", "notices", 4, "invoice"},
		{"/v1/providers/acme/notices?standing=true", "notices", 0, "kind"},
		{"/v1/providers/acme/usage-history", "rows", 7, "license"},
		{"/v1/providers/acme/usage-history?month=2026-02&company=globex", "rows", 7, "license"},
		{"/v1/providers/acme/usage-history?month=2025-02", "rows", 0, "license"},
		{"/v1/providers/acme/usage-history?month=2030-02", "rows", 0, "license"},
	} {
		t.Run(row.path, func(t *testing.T) {
			here := *h
			here.t = t
			and := "?"
			if strings.Contains(row.path, "?") {
				and = "&"
			}
			all := into[map[string]any](here.get(row.path).is(200))
			whole, _ := all[row.rows].([]any)
			if whole == nil || len(whole) != row.count || all["next_cursor"] != nil {
				t.Fatalf("%d rows, want %d; next_cursor %v", len(whole), row.count, all["next_cursor"])
			}
			var paged []any
			cursor := ""
			for pages := 0; ; pages++ {
				page := into[map[string]any](here.get(row.path + and + "limit=3&cursor=" + url.QueryEscape(cursor)).is(200))
				rows := page[row.rows].([]any)
				paged = append(paged, rows...)
				if cursor, _ = page["next_cursor"].(string); cursor == "" {
					break
				}
				if len(rows) == 0 || pages > 10 {
					t.Fatalf("page %d has %d rows and goes on", pages, len(rows))
				}
				// The cursor goes on in this list only.
				if p := here.get("/v1/providers/p-1/companies?cursor="+url.QueryEscape(cursor)).refused(422, "invalid"); p.Errors[0].Location != "query.cursor" {
					t.Errorf("errors %+v", p.Errors)
				}
			}
			if fmt.Sprint(paged) != fmt.Sprint(whole) {
				t.Errorf("pages %v\nwhole %v", paged, whole)
			}
			checkCSV(t, &here, row.path, row.id, row.count)
		})
	}
}

func checkCSV(t *testing.T, h *house, path, id string, count int) {
	t.Helper()
	a := h.get(path, header("Accept", "text/csv")).is(200)
	if got := a.header.Get("Content-Type"); got != "text/csv; charset=utf-8" || a.header.Get("Ledger-Position") == "" {
		t.Errorf("Content-Type %q, Ledger-Position %q", got, a.header.Get("Ledger-Position"))
	}
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := slices.Index(rows[0], id)
	if column < 0 || len(rows) != count+1 || strings.Count(a.body, "\r\n") != count+1 {
		t.Fatalf("%d rows of CSV, want %d and a header with %s:\n%s", len(rows)-1, count, id, a.body)
	}
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		if row[column] == "" || seen[row[column]] {
			t.Errorf("row %v", row)
		}
		seen[row[column]] = true
	}
}

// A cursor of one filter is foreign to another one, and so are forged ones.
func TestCursors(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 5}).is(201)
	const path = "/v1/providers/acme/licenses"
	cursor := into[api.LicensePage](h.get(path + "?limit=2&license_type=desktop").is(200)).NextCursor
	if cursor == "" {
		t.Fatal("no cursor")
	}
	rest := into[api.LicensePage](h.get(path + "?limit=1000&license_type=desktop&after=1&cursor=" + cursor).is(200))
	if len(rest.Licenses) != 3 {
		t.Errorf("%d rows behind the cursor", len(rest.Licenses))
	}
	for _, query := range []string{
		"cursor=" + cursor, "license_type=server&cursor=" + cursor, "license_type=desktop&cursor=" + cursor + "A", "license_type=desktop&cursor=" + cursor[:4],
		"license_type=desktop&cursor=%20", "license_type=desktop&sort=id&cursor=" + cursor,
	} {
		if a := h.get(path + "?" + query); a.status != 422 && !strings.HasSuffix(query, cursor+"A") {
			t.Errorf("%s: %d", query, a.status)
		}
	}
	for _, p := range []string{"/v1/providers/acme/invoices", "/v1/providers/acme/usage/gaps", "/v1/providers/acme/usage", "/v1/providers/acme/usage-history"} {
		h.get(p+"?cursor="+cursor).refused(422, "invalid")
	}
}

// CSV goes on over as many pages as there are, and no cell of text is a formula.
func TestCSV(t *testing.T) {
	h := newHouse(t)
	h.acme()
	for _, n := range []int{2000, 400} {
		h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": n}).is(201)
	}
	checkCSV(t, h, "/v1/providers/acme/licenses", "id", 2400)
	checkCSV(t, h, "/v1/providers/acme/licenses?limit=7", "id", 7)
	checkCSV(t, h, "/v1/providers/acme/licenses?limit=1000", "id", 1000)

	h.call("PUT", "/v1/providers/acme/companies/-evil", map[string]any{"name": `=HYPERLINK("http://x","y")`, "external_id": "+1"}).is(201)
	h.call("PUT", "/v1/providers/acme/companies/plain", map[string]any{"name": "a, \"b\"\nc", "external_id": "1-2"}).is(201)
	rows, err := csv.NewReader(strings.NewReader(h.get("/v1/providers/acme/companies", header("Accept", "text/csv")).is(200).body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"id", "name", "allocation", "pool", "allowed_types", "metered", "external_id"},
		{"'-evil", `'=HYPERLINK("http://x","y")`, "manual", "global", "", "", "'+1"},
		{"globex", "Globex", "automatic", "global", "", "", ""},
		{"plain", "a, \"b\"\nc", "manual", "global", "", "", "1-2"},
	}
	if !slices.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("rows %q", rows)
	}
}

// What an answer is, is the caller's to say; what nobody offers is refused.
func TestAccept(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const path = "/v1/providers/acme/companies"
	for accept, want := range map[string]string{
		"": "application/json", "*/*": "application/json", "text/*": "text/csv; charset=utf-8", "application/json;q=0.5, text/csv": "text/csv; charset=utf-8",
		"text/html, application/xhtml+xml, */*;q=0.8": "application/json", "text/csv;q=0.1, application/*": "application/json",
	} {
		if got := h.get(path, header("Accept", accept)).is(200).header.Get("Content-Type"); got != want {
			t.Errorf("Accept %q: %q, want %q", accept, got, want)
		}
	}
	if p := h.get(path, header("Accept", "application/pdf")).refused(422, "invalid"); p.Errors[0].Location != "header.Accept" {
		t.Errorf("errors %+v", p.Errors)
	}
}

// A list that breaks off in the middle does not look complete.
func TestBrokenCSV(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "desktop", "quantity": 2000}).is(201)
	r, err := http.NewRequestWithContext(t.Context(), "GET", h.server.URL+"/v1/providers/acme/licenses", nil)
	if err != nil {
		t.Fatal(err)
	}
	bearer(h.operator)(r)
	header("Accept", "text/csv")(r)
	resp, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != 200 {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s", resp.StatusCode, b)
	}
	// The view goes away behind the first page, which the caller has not taken yet.
	h.stop()
	for _, store := range h.stores {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(resp.Body)
	if err == nil && strings.Count(string(b), "\n") != 2001 {
		t.Errorf("%d lines look complete", strings.Count(string(b), "\n"))
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}
