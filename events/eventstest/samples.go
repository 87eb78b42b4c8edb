package eventstest

import (
	"time"

	"licenseledger/events"
)

// Samples gives every kind of event at least once, its optional fields present and absent. The order is stable: golden
// entries go by it. A new kind gets its sample here.
func Samples() []events.Event {
	var (
		at    = Time("2026-02-01T09:00:00Z")
		late  = Time("2026-02-10T23:59:59.25Z")
		month = Time("2026-03-01T00:00:00Z")

		bought = events.License{
			ID: ULID(at, 1), Type: "server", Status: events.Paid, AutoRenew: true, Created: at, ExpiresAt: month,
		}
		pooled    = with(bought, func(l *events.License) { l.Pool, l.AutoRenew = "globex", false })
		allocated = with(bought, func(l *events.License) {
			l.Company, l.Assigned, l.Assignee = "globex", true, events.Assignee{Kind: events.Endpoint, ID: "pc-17"}
		})
		trial = with(bought, func(l *events.License) {
			l.Type, l.Status, l.ExpiresAt = "connect", events.Trial, at.Add(14*24*time.Hour)
			l.Assigned, l.Assignee = true, events.Assignee{Kind: events.Administrator, ID: "5f2b8a90c4de11aa"}
		})
		domain = with(pooled, func(l *events.License) {
			l.Type, l.BilledFrom = "sharepoint-teams-drives", Date("2026-02-02")
			l.Company, l.Assigned, l.Assignee = "globex", true, events.Assignee{Kind: events.Domain, ID: `größe.example <"a\b"> & co`}
		})
		released = with(allocated, func(l *events.License) { l.Status, l.Assigned, l.ExpiresAt = events.Released, false, late })
		renewed  = with(allocated, func(l *events.License) { l.ExpiresAt = Time("2026-04-01T00:00:00Z") })
		expired  = with(allocated, func(l *events.License) { l.Status, l.Assigned, l.AutoRenew = events.Expired, false, false })
		lapsed   = with(allocated, func(l *events.License) {
			l.Status, l.Assigned, l.ExpiresAt, l.Lapsed = events.Expired, false, Time("2026-02-08T09:30:00Z"), events.LapsedAssigned
		})
		free = with(pooled, func(l *events.License) { l.AutoRenew = true })

		installed = with(allocated, func(l *events.License) {
			l.Pool, l.Status, l.Trialed, l.ExpiresAt = "globex", events.Trial, true, at.Add(14*24*time.Hour)
		})
		announced = with(installed, func(l *events.License) { l.Announced = true })
		converted = with(announced, func(l *events.License) { l.Status, l.ExpiresAt = events.Paid, month })
		another   = with(allocated, func(l *events.License) {
			l.ID, l.Type, l.Created, l.BilledFrom = ULID(late, 1), "desktop", late, Date("2026-02-11")
		})
		moved = with(converted, func(l *events.License) { l.Pool, l.Company, l.BilledFrom = "initech", "initech", Date("2026-02-11") })

		ann = "9f86d081884c7d659a2feaa0c55ad015"

		readings = []events.Reading{
			{Meter: "backup_bytes", Value: Quantity("1234"), At: Time("2026-03-11T04:00:00Z")},
			{Meter: "backup_bytes", Value: Quantity("0"), At: Time("2026-03-11T04:00:00.001Z")},
			{Meter: "restore time [s] <max>", Value: Quantity("0.000000001"), At: Time("2026-03-11T04:00:00.12Z")},
			{Meter: "storage_bytes", Value: Quantity("999999999999999999"), At: Time("2024-02-29T23:59:59.999Z")},
			{Meter: "storage_bytes", Value: Quantity("123456789.123456789"), At: Time("2026-12-31T00:00:00.5Z")},
		}
	)
	return append(keySamples(), []events.Event{
		{Data: &events.LedgerOpened{Ledger: ULID(at, 7), Catalog: Catalog(Month("2024-01"))}},
		{Data: &events.LedgerOpened{Ledger: ULID(at, 8), TestClock: true, Catalog: Catalog(Month("2024-08"))}},
		{Data: &events.CatalogPublished{Catalog: Catalog(Month("2026-05"))}},
		{Data: &events.CatalogPublished{Catalog: events.Catalog{Effective: Month("2026-06"), Types: Catalog(0).Types[:1]}}},
		{Data: &events.ClockMoved{To: late}},
		{Data: &events.CheckpointSigned{Size: 263, Note: "licenseledger/" + ULID(at, 7) + "\n263\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— licenseledger/" + ULID(at, 7) +
			" Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"}},

		{Data: &events.ProviderSet{Name: "Acme “Süd” \u2028 <GmbH> & Co. \\ \"null\"", Currency: "USD"}},
		{Data: &events.ProviderSet{Currency: "EUR"}},
		{Data: &events.PaymentMethodSet{System: "fastspring", Account: "acc-1", Status: events.PaymentActive}},
		{Data: &events.PaymentMethodSet{System: "fastspring", Account: "acc-1", Status: events.PaymentFailing}},
		{Data: &events.PaymentMethodRemoved{}},
		{Data: &events.CompanySet{Company: "globex", Name: "Globex", Allocation: events.Manual, Pool: events.GlobalPool}},
		{Data: &events.CompanySet{
			Company: "initech", Allocation: events.Automatic, Pool: events.CompanyPool,
			AllowedTypes: []string{"server", "desktop"}, Metered: []string{"backup-storage"}, ExternalID: "crm/4711",
		}},
		{Data: &events.EndpointSet{Endpoint: "pc-17", Company: "globex"}},
		{Data: &events.EndpointSet{Endpoint: "vm_1", Company: "initech", Name: "host 1", Sockets: 4}},
		{Data: &events.EndpointSet{Endpoint: "vm_1", Company: "initech", Name: "host 1", Sockets: 4, Unlicensed: "vm-server-socket"}},
		{Data: &events.EndpointMoved{Endpoint: "pc-17", From: "globex", Company: "initech"}},
		{Data: &events.EndpointRemoved{Endpoint: "pc-17", Company: "initech"}},
		{Data: &events.AdministratorSet{Administrator: ann, Permissions: []string{}}},
		{Data: &events.AdministratorSet{
			Administrator: ann, Permissions: []string{"keys.activate", "licenses.buy", "licenses.manage", "usage.history"},
		}},
		{Data: &events.TokenIssued{Token: ULID(at, 3), Holder: events.ProviderSubject, Hash: events.Digest{0x12, 31: 0x34}}},
		{Data: &events.TokenIssued{Token: ULID(at, 4), Holder: events.AdministratorSubject, Subject: ann, Hash: events.Digest{0x56}}},
		{Data: &events.TokenIssued{Token: ULID(at, 5), Holder: events.AuditorSubject, Subject: ann, Hash: events.Digest{0x78}}},
		{Data: &events.TokenIssued{Token: ULID(at, 6), Holder: events.AgentSubject, Subject: "pc-17", Hash: events.Digest{0x9a}}},
		{Data: &events.TokenIssued{Token: ULID(at, 7), Holder: events.InstanceSubject, Subject: "srv-1", Hash: events.Digest{0xbc}}},
		{Data: &events.TokenRevoked{Token: ULID(at, 4)}},

		{Data: &events.LicenseBought{License: bought}},
		{Data: &events.LicenseBought{License: pooled}},
		{Data: &events.LicenseAllocated{Source: events.FromGlobalPool, License: allocated}},
		{Data: &events.LicenseAllocated{Source: events.BoughtOnTheSpot, License: trial}},
		{Data: &events.LicenseAllocated{Source: events.FromCompanyPool, License: domain}},
		{Data: &events.LicenseAllocated{Source: events.ByID, License: allocated}},
		{Data: &events.LicenseReleased{License: released}},
		{Effective: month, Data: &events.LicenseRenewed{License: renewed}},
		{Effective: month, Data: &events.LicenseExpired{Reason: events.AutoRenewOff, License: expired}},
		{Data: &events.LicenseExpired{Reason: events.NoPaymentMethod, License: expired}},
		{Data: &events.LicenseAllocated{Source: events.Renewed, Follows: bought.ID, License: another}},
		{Effective: lapsed.ExpiresAt, Data: &events.LicenseExpired{Reason: events.PaymentFailed, License: lapsed}},
		{Effective: lapsed.ExpiresAt, Data: &events.LicenseExpired{
			Reason: events.PaymentFailed, License: with(free, func(l *events.License) { l.Status, l.Lapsed = events.Expired, events.LapsedFree }),
		}},
		{Effective: month, Data: &events.LicenseExpired{Reason: events.TypeClosed, License: with(announced, func(l *events.License) { l.Status, l.Assigned = events.Expired, false })}},
		{Data: &events.LicenseExpired{Reason: events.ParentEnded, License: expired}},
		{Data: &events.LicenseTrialStarted{License: installed}},
		{Effective: Time("2026-02-12T09:00:00Z"), Data: &events.LicenseTrialEnding{
			WillConvert: true, Price: Money("6.99"), Charge: Money("3.50"), Currency: "USD", License: announced,
		}},
		{Data: &events.LicenseTrialEnding{Currency: "EUR", License: with(announced, func(l *events.License) { l.AutoRenew = false })}},
		{Effective: announced.ExpiresAt, Data: &events.LicenseConverted{License: converted}},
		{Data: &events.LicenseUnassigned{License: with(allocated, func(l *events.License) { l.Assigned = false })}},
		{Data: &events.LicenseReplaced{By: another.ID, License: released}},
		{Data: &events.LicenseReplaced{By: another.ID, License: with(announced, func(l *events.License) { l.Status, l.Assigned, l.ExpiresAt = events.Released, false, late })}},
		{Data: &events.LicenseChanged{From: bought.ID, License: another}},
		{Data: &events.LicenseChanged{From: bought.ID, License: with(installed, func(l *events.License) { l.ID, l.Type, l.Created = another.ID, another.Type, late })}},
		{Data: &events.LicenseAutoRenewSet{License: with(allocated, func(l *events.License) { l.AutoRenew = false })}},
		{Data: &events.LicenseAutoRenewSet{License: free}},
		{Data: &events.LicenseMoved{License: moved}},
		{Data: &events.LicenseMoved{License: with(installed, func(l *events.License) { l.Pool, l.Company = "initech", "initech" })}},
		{Effective: late, Data: &events.LicenseReinstated{License: allocated}},
		{Data: &events.LicenseReinstated{License: free}},
		{Data: &events.GroupApplied{Action: events.GroupRelease}},
		{Data: &events.GroupApplied{
			Action:    events.GroupAutoRenewOn,
			Refused:   []events.GroupRefusal{{License: bought.ID, Code: "license_closed"}, {License: "nothing", Code: "not_found"}},
			Unchanged: []string{another.ID},
		}},
		{Data: &events.GroupApplied{Action: events.GroupAutoRenewOff, Unchanged: []string{bought.ID, another.ID}}},
		{Data: &events.GroupApplied{Action: events.GroupRelease, Pages: 3}},

		{Data: &events.UsageRecorded{
			Agent: "pc-17", Seq: 42, Company: "globex", Digest: events.DigestReadings(readings), Readings: readings,
		}},
		{Data: &events.UsageRecorded{
			Agent: "pc-17", Spool: "b3c1", Seq: 1, Company: "globex", Digest: events.DigestReadings(readings[:1]), Readings: readings[:1],
		}},
		{Data: &events.UsageVoided{Agent: "pc-17", Seq: 43, Reason: "disk lost", Digest: events.DigestVoid("disk lost")}},
		{Data: &events.UsageVoided{Agent: "pc-17", Spool: "b3c1", Seq: 18446744073709551615, Reason: "disk lost", Digest: events.DigestVoid("disk lost")}},

		{Effective: month, Data: &events.MonthClosed{Month: Month("2026-02")}},
		{Data: &events.StatementIssued{
			Number: "S-000001", Month: Month("2026-02"), Cut: 17, Rules: 1, Currency: "USD",
			Subtotal: Money("18.00"), Total: Money("20.00"), Digest: events.Digest{0xab, 31: 0xcd},
		}},
		{Data: &events.StatementIssued{
			Number: "S-1000000", Month: Month("2026-02"), Cut: 1 << 53, Catalog: 12, Rules: 2, Currency: "EUR",
			Subtotal: Money("-0.50"), Total: Money("0.00"),
		}},

		{Data: &events.PaymentRecorded{Invoice: "S-000001", Outcome: events.Failed, Reason: "card declined", GraceEnds: Time("2026-03-08T09:30:00Z")}},
		{Data: &events.PaymentRecorded{Invoice: "S-000001", Outcome: events.Failed}},
		{Data: &events.PaymentRecorded{Invoice: "S-1000000", Outcome: events.Collected}},
		{Effective: lapsed.ExpiresAt, Data: &events.GraceSettled{}},
		{Data: &events.AdjustmentRecorded{Month: Month("2026-02"), Amount: Money("-10.00"), Reason: "double count"}},
		{Data: &events.AdjustmentRecorded{
			Month: Month("2026-01"), Company: "globex", LicenseType: "server", License: bought.ID, Amount: Money("0.01"), Reason: "agreed “by phone”",
		}},
	}...)
}

func with(l events.License, change func(*events.License)) events.License {
	change(&l)
	return l
}

// Catalog is a small catalog that holds every unit, term and policy.
func Catalog(effective events.Month) events.Catalog {
	price := func(s string) map[string]events.Money {
		return map[string]events.Money{"EUR": Money(s), "USD": Money(s)}
	}
	monthly := func(id, family, unit, usd string) events.Type {
		return events.Type{
			ID: id, Family: family, Unit: unit, Term: events.Monthly, Prices: price(usd), Policy: events.DaysActive, Includes: []string{},
		}
	}
	edit := func(t events.Type, change func(*events.Type)) events.Type {
		change(&t)
		return t
	}
	return events.Catalog{
		Effective: effective,
		Minimum:   price("20.00"),
		Types: []events.Type{
			edit(monthly("server", "backup", "endpoint", "6.99"), func(t *events.Type) { t.TrialDays = 14 }),
			edit(monthly("desktop", "backup", "endpoint", "2.99"), func(t *events.Type) { t.TrialDays, t.Policy = 14, events.Peak }),
			edit(monthly("vm-server", "backup", "endpoint", "12.99"), func(t *events.Type) { t.TrialDays, t.IncludedUnits = 14, 2 }),
			edit(monthly("vm-server-socket", "backup", "socket", "6.49"), func(t *events.Type) { t.Requires = "vm-server" }),
			edit(monthly("rmm-connect", "rmm", "administrator", "49.00"), func(t *events.Type) { t.Includes = []string{"connect"} }),
			monthly("connect", "rmm", "administrator", "19.00"),
			monthly("microsoft-365", "domain", "domain-user", "1.59"),
			edit(monthly("sharepoint-teams-drives", "domain", "domain", "12.00"), func(t *events.Type) { t.Policy = events.FullMonth }),
			edit(monthly("advanced-rebranding", "branding", "branding", "49.00"), func(t *events.Type) { t.FreeUnits = 1 }),
			edit(monthly("old-backup", "backup", "endpoint", "3.50"), func(t *events.Type) { t.Closed = true }),
			edit(monthly("backup-storage", "storage", "GiB-month", "0.0060"), func(t *events.Type) {
				t.Policy, t.Meter, t.Aggregate = events.Metered, "storage_bytes", events.Average
			}),
			edit(monthly("backup-user", "keys", "user-seat", "21.60"), func(t *events.Type) {
				t.Term, t.TrialDays, t.ReleaseLockDays = events.Annual, 30, 30
			}),
		},
	}
}
