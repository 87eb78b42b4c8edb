package httpapi_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// pastPaths are reads of a provider, all of which answer for past moments.
var pastPaths = []string{
	"", "/companies", "/companies/globex", "/administrators", "/tokens", "/payment-method", "/endpoints",
	"/licenses", "/licenses?status=used&limit=2", "/licenses/counters", "/licenses/counters?company=globex",
	"/usage-history", "/usage?meter=backup_bytes&group_by=company,day", "/usage/gaps", "/next-payment", "/payments", "/usage-history?q=pc", "/invoices", "/invoices/draft", "/invoices/S-000001",
}

// What was answered once is the answer for that moment for ever (domain, section 8): whatever happens later, and however much.
func TestAsOf(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/acme/administrators/ann", map[string]any{"name": "Ann", "permissions": []string{"licenses.manage"}}).is(201)
	const seed = 4
	random := rand.New(rand.NewPCG(seed, seed))
	type remembered struct {
		at      time.Time
		answers map[string]answer
	}
	var moments []remembered
	now, seq := start, 0
	for step := range 40 {
		now = now.Add(time.Duration(1+random.IntN(60*60*60)) * time.Second)
		h.call("PUT", "/v1/clock", map[string]any{"now": now}).is(200)
		endpoint := fmt.Sprintf("pc-%d", random.IntN(6))
		switch random.IntN(6) {
		case 0:
			h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 2})
		case 1, 2:
			h.call("POST", "/v1/providers/acme/licenses/allocate", map[string]any{
				"license_type": "server", "company": "globex", "assignee": map[string]any{"kind": "endpoint", "id": endpoint},
			})
		case 3:
			h.call("POST", "/v1/providers/acme/endpoints", map[string]any{"company": "globex", "endpoint": endpoint, "license_type": "desktop"})
		case 4:
			rows := into[api.LicensePage](h.get("/v1/providers/acme/licenses?status=used").is(200)).Licenses
			if len(rows) > 0 {
				h.call("POST", "/v1/providers/acme/licenses/"+rows[random.IntN(len(rows))].ID+"/release", nil).is(200)
			}
		case 5:
			seq += 1 + random.IntN(2)
			h.call("POST", "/v1/providers/acme/usage", map[string]any{
				"agent": "pc-0", "seq": seq, "company": "globex",
				"readings": []any{map[string]any{"meter": "backup_bytes", "value": step, "at": now}},
			}).is(200)
		}
		// Another provider's doings are nobody's past but its own.
		h.call("PUT", "/v1/providers/other", map[string]any{"name": fmt.Sprint("Other ", step)})
		then := remembered{now, map[string]answer{}}
		for _, path := range pastPaths {
			then.answers[path] = h.get("/v1/providers/acme" + path)
		}
		moments = append(moments, then)
	}
	if h.get("/v1/providers/acme/invoices/S-000001").status != 200 {
		t.Fatal("no month has ended")
	}
	compared := 0
	for _, then := range moments {
		for path, was := range then.answers {
			separator := "?"
			if strings.Contains(path, "?") {
				separator = "&"
			}
			is := h.get("/v1/providers/acme" + path + separator + "as_of=" + then.at.UTC().Format(time.RFC3339Nano))
			if is.status != was.status || uncursored(is.body) != uncursored(was.body) {
				t.Errorf("seed %d, as of %s, %s: was %d %s\nis %d %s", seed, then.at, path, was.status, was.body, is.status, is.body)
			}
			compared++
		}
	}
	t.Logf("%d answers", compared)

	// Before a provider there is none, and what is to come is not known.
	h.get("/v1/providers/acme/licenses?as_of=2020-01-01T00:00:00Z").refused(404, "not_found")
	h.get("/v1/providers/acme/licenses?as_of="+now.Add(time.Second).UTC().Format(time.RFC3339Nano)).refused(422, "invalid")
	h.get("/v1/providers/acme/licenses?as_of=yesterday").refused(422, "invalid")
	h.get("/v1/providers?as_of=2026-03-01T00:00:00Z").refused(422, "invalid")
}

// uncursored is a list without its cursor, which belongs to the request.
func uncursored(body string) string {
	before, _, _ := strings.Cut(body, `,"next_cursor"`)
	return strings.TrimSuffix(strings.TrimSpace(before), "}")
}

// A list of the past goes on from page to page, in JSON and CSV, as that of the present does.
func TestAsOfPages(t *testing.T) {
	h := newHouse(t)
	h.acme()
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 5}).is(201)
	then := start.Add(time.Hour)
	h.call("PUT", "/v1/clock", map[string]any{"now": then.Add(time.Hour)}).is(200)
	h.call("POST", "/v1/providers/acme/licenses", map[string]any{"license_type": "server", "quantity": 3}).is(201)
	at := "as_of=" + then.UTC().Format(time.RFC3339)
	seen := 0
	for cursor := ""; ; {
		p := into[api.LicensePage](h.get("/v1/providers/acme/licenses?limit=2&" + at + "&cursor=" + cursor).is(200))
		seen += len(p.Licenses)
		if cursor = p.NextCursor; cursor == "" {
			break
		}
	}
	if seen != 5 {
		t.Errorf("%d licenses on all pages", seen)
	}
	csv := h.get("/v1/providers/acme/licenses?"+at, header("Accept", "text/csv")).is(200)
	if rows := strings.Count(csv.body, "\r\n") - 1; rows != 5 {
		t.Errorf("%d licenses in CSV", rows)
	}
	if p := csv.header.Get("Ledger-Position"); p != "4" {
		t.Errorf("it stands at entry %s", p)
	}
}
