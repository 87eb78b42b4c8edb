package main

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

const (
	explainedLine = `{"invoice":"S-000001","currency":"USD","amount":"2.25","text":"server for globex in 2026-03: 2.25","line":{"id":"1","kind":"usage","company":"globex","license_type":"server","amount":"2.25"},` +
		`"parts":[{"text":"endpoint pc-17 from 2026-03-01 to 2026-03-10","license":"01J","license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"},` +
		`"from":"2026-03-01","through":"2026-03-10","days_active":10,"billed_days":10,"amount":"2.25","positions":["7.0","9.0"]}]`
	explainedEvents = `"events":[{"position":"7.0","kind":"license.allocated.v1","at":"2026-03-01T08:00:00Z","actor":"operator","license":"01J","text":"it began"},` +
		`{"position":"9.0","kind":"license.expired.v1","at":"2026-03-11T00:00:01Z","effective":"2026-03-11T00:00:00Z","actor":"clock","license":"01J","text":"it ended"}]`
)

// explainCommands are rows of everyCommand for what explains, supposes and forgets.
func explainCommands() []struct{ args, expect string } {
	return []struct{ args, expect string }{
		{"invoice explain S-000001", `
			> GET /v1/providers/acme/invoices/S-000001/explain
			< 200
			< {"invoice":"S-000001","currency":"USD","amount":"2.25","text":"statement S-000001","lines":[` + explainedLine + `}]}`},
		{"invoice explain S-000001 --line 1", `
			> GET /v1/providers/acme/invoices/S-000001/explain?line=1
			< 200
			< ` + explainedLine + `,` + explainedEvents + `}`},
		{"license explain 01J", `
			> GET /v1/providers/acme/licenses/01J/explain
			< 200
			< {"license":` + license + `,"text":"a server license",` + explainedEvents + `}`},
		{"what-if --file - --from 2026-01 --to 2026-03", `
			> POST /v1/providers/acme/what-if
			> {"catalog":` + catalog + `},"from":"2026-01","to":"2026-03"}
			< 200
			< {"currency":"USD","was":"40.97","would_be":"41.00","difference":"0.03","months":[{"month":"2026-01","difference":"0.03",` +
			`"was":` + invoice + `"lines":[],` + totals + `,"would_be":` + invoice + `"lines":[],` + totals + `,` +
			`"lines":[{"kind":"usage","company":"globex","license_type":"server","month":"2026-01","was":"6.97","would_be":"7.00","difference":"0.03"}]}]}`},
		{"erase --kind administrator --id ann --dry-run", `
			> POST /v1/providers/acme/erasures?dry_run=true
			> {"kind":"administrator","id":"ann"}
			< 200
			< {"kind":"administrator","id":"ann","known":true}`},
		{"erase --everyone", `
			> POST /v1/providers/acme/erasures
			> {"everyone":true}
			< 200
			< {"everyone":true,"known":false,"position":7}`},
	}
}

// How everything stood at a time, from four answers.
func TestAuditAsOf(t *testing.T) {
	exchanges, err := parseTranscript(`
			> GET /v1/providers/acme?as_of=2026-03-11T00:00:00Z
			< 200
			< {"id":"acme","name":"Acme","currency":"USD"}

			> GET /v1/providers/acme/licenses/counters?as_of=2026-03-11T00:00:00Z&status=used
			< 200
			< {"all":1,"active_trial":0,"paid":1,"released":0,"used":1}

			> GET /v1/providers/acme/next-payment?as_of=2026-03-11T00:00:00Z
			< 200
			< {"amount":"20.00","accrued":"2.50","due":"2026-04-01","credit":"13.01","currency":"USD","payment_method":"active","lines":[]}

			> GET /v1/providers/acme/licenses?as_of=2026-03-11T00:00:00Z&status=used&limit=1000
			< 200
			< {"licenses":[` + license + `]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"json", "csv", "table"} {
		ledger := newFakeLedger(exchanges)
		got := runWith(ledger.URL, "", "audit", "as-of", "2026-03-11", "--status", "used", "-o", output)
		if err := ledger.finish(); err != nil || got.code != 0 {
			t.Fatalf("-o %s ended with %d: %s, %v", output, got.code, got.stderr, err)
		}
		switch output {
		case "json":
			var answer then
			if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
				t.Fatal(err)
			}
			if answer.Position != 412 || answer.Counters.Used != 1 || answer.NextPayment.Accrued != "2.50" || len(answer.Licenses) != 1 || answer.Provider.Name != "Acme" {
				t.Errorf("%+v", answer)
			}
		case "csv":
			if rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll(); err != nil || len(rows) != 2 {
				t.Errorf("%v, %v", rows, err)
			}
		default:
			for _, says := range []string{"at              2026-03-11T00:00:00Z", "position        412", "used            1", "next payment    20.00", "endpoint:pc-17"} {
				if !strings.Contains(got.stdout, says) {
					t.Errorf("it does not say %q:\n%s", says, got.stdout)
				}
			}
		}
	}
	if got := runWith("http://127.0.0.1:1", "", "audit", "as-of", "yesterday"); got.code != exitUsage || !strings.Contains(got.stderr, "is not a time like") {
		t.Errorf("%+v", got)
	}
}
