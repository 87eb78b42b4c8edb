package main

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
