package main

// keyCommandRows are rows of everyCommand for annual keys and the instances that use them.
func keyCommandRows() []struct{ args, expect string } {
	const (
		key      = `{"key":"01K","secret":"ledger_ak_x","license_type":"backup-user","company":"globex","seats":50,"used":35,"status":"active","valid_until":"2027-03-10","expires_at":"2027-03-11T04:00:00Z","renewed_for":20,"created_at":"2026-03-01T00:00:00Z"}`
		ordered  = `{"key":{"key":"01K","license_type":"backup-user","seats":50,"used":0,"status":"ordered","created_at":"2026-03-01T00:00:00Z"}`
		seat     = `{"seat":"01S","user":"ann@globex.example","name":"Ann","instance":"srv-1","assigned_at":"2026-03-11T04:00:00Z","releasable_at":"2026-04-10T04:00:00Z"}`
		unknown  = `{"seat":"01T","user":"Unknown","instance":"srv-2","assigned_at":"2026-03-11T04:00:00Z","releasable_at":"2026-04-10T04:00:00Z"}`
		keyLease = `{"lease":"x.y.z","iss":"01L","sub":"instance:srv-1","iat":1767600000,"exp":1768204800,"provider":"acme","status":"active",` +
			`"keys":[{"key":"01K","status":"active","until":"2027-03-11T04:00:00Z"}],` +
			`"backup_until":"2027-03-11T04:00:00Z","offline_until":"2026-01-12T08:00:00Z","refresh_at":"2026-01-05T09:00:00Z"}`
	)
	return []struct{ args, expect string }{
		{"key order --license-type backup-user --seats 50 --company globex --dry-run", `
			> POST /v1/providers/acme/keys?dry_run=true
			> {"license_type":"backup-user","seats":50,"company":"globex"}
			< 200
			< ` + ordered + `,"amount":"1080.00","invoice":"P-000001","cost":"1080.00","currency":"USD"}`},
		{"key list --limit 1", `
			> GET /v1/providers/acme/keys?limit=1
			< 200
			< {"keys":[` + key + `],"next_cursor":"c"}`},
		{"key show 01K --as-of 2026-03-11", `
			> GET /v1/providers/acme/keys/01K?as_of=2026-03-11T00:00:00Z
			< 200
			< ` + key},
		{"key activate 01K --instance srv-1", `
			> POST /v1/providers/acme/keys/01K/activate
			> {"instance":"srv-1"}
			< 200
			< {"key":` + key + `,"position":7}`},
		{"key add 01K --seats 10", `
			> POST /v1/providers/acme/keys/01K/add-seats
			> {"seats":10}
			< 200
			< {"key":` + key + `,"amount":"109.48","invoice":"P-000002","position":7}`},
		{"key renew 01K --seats 20 --idempotency-key k-1", `
			> POST /v1/providers/acme/keys/01K/renew
			> Idempotency-Key: k-1
			> {"seats":20}
			< 200
			< {"key":` + key + `,"amount":"432.00","invoice":"P-000003","position":7}`},
		{"key convert 01K --mailboxes 40 --public-folder-bytes 1073741825 --seats 43", `
			> POST /v1/providers/acme/keys/01K/convert
			> {"seats":43,"mailboxes":40,"public_folder_bytes":1073741825}
			< 200
			< {"key":` + key + `,"position":7}`},
		{"key job 01K --instance srv-1 --job cold --kind archive", `
			> POST /v1/providers/acme/keys/01K/jobs
			> {"instance":"srv-1","job":"cold","kind":"archive"}
			< 200
			< {"objects":[{"id":"ann","outcome":"backed_up"},{"id":"team","outcome":"skipped","reason":"seats_missing","seats_missing":2}],"position":7}`},
		{"key remove-job 01K nightly --instance srv-1", `
			> DELETE /v1/providers/acme/keys/01K/jobs/nightly?instance=srv-1
			< 200
			< {"instance":"srv-1","job":"nightly","position":7}`},
		{"key seats 01K --instance srv-1 --limit 2", `
			> GET /v1/providers/acme/keys/01K/seats?instance=srv-1&limit=2
			< 200
			< {"seats":[` + seat + `,` + unknown + `],"next_cursor":"c"}`},
		{"key release 01K ann@globex.example", `
			> POST /v1/providers/acme/keys/01K/seats/ann@globex.example/release
			< 200
			< {"seat":` + seat + `,"jobs":[{"instance":"srv-1","job":"nightly"}],"warning":"its next run","position":7}`},
		{"key lease 01K --instance srv-1", `
			> GET /v1/providers/acme/keys/01K/lease?instance=srv-1
			< 200
			< ` + keyLease},
		{"instance trial srv-1", `
			> POST /v1/providers/acme/instances
			> {"instance":"srv-1"}
			< 201
			< {"instance":"srv-1","status":"trial","trial_ends_at":"2026-03-31T00:00:00Z","restore_limit":5,"keys":[],"position":7}`},
		{"instance lease srv-1 --after 7", `
			> GET /v1/providers/acme/instances/srv-1/lease?after=7
			< 200
			< ` + keyLease},
	}
}
