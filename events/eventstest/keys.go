package eventstest

import "licenseledger/events"

// keySamples are those of annual keys (domain, section 6).
func keySamples() []events.Event {
	const ann, bob, sales = "9f86d081884c7d659a2feaa0c55ad015", "60303ae22b998861bce3b28f33eec1be", "fd61a03af4f77d870fc21e05e7e80678"
	var (
		at     = Time("2026-02-01T09:00:00Z")
		late   = Time("2026-02-10T23:59:59.25Z")
		end    = Time("2027-02-10T23:59:59.25Z")
		edit   = func(k events.Key, change func(*events.Key)) events.Key { change(&k); return k }
		bare   = events.Key{ID: ULID(at, 1), Type: "backup-user", Status: events.OrderedKey, Seats: 50, Created: at}
		named  = edit(bare, func(k *events.Key) { k.ID, k.Company = ULID(at, 2), "globex" })
		active = edit(named, func(k *events.Key) { k.Status, k.TermFrom, k.ExpiresAt = events.ActiveKey, late, end })
		early  = edit(active, func(k *events.Key) { k.RenewedFor = 20 })
		fresh  = edit(active, func(k *events.Key) { k.Seats, k.TermFrom, k.ExpiresAt = 20, end, Time("2028-02-10T23:59:59.25Z") })
		over   = edit(active, func(k *events.Key) { k.Status = events.ExpiredKey })
		owing  = edit(active, func(k *events.Key) { k.SuspendAt = Time("2026-02-18T09:30:00Z") })
		unpaid = edit(owing, func(k *events.Key) { k.Suspended = true })
		paid   = events.PrepaidIssued{
			Number: "P-000001", For: events.ForOrder, Key: named.ID, Company: "globex", LicenseType: "backup-user", Unit: "user-seat", UnitPrice: Money("21.60"),
			Seats: 50, From: at, To: Time("2027-02-01T09:00:00Z"), Catalog: 3, Currency: "USD", Amount: Money("1080.00"), Digest: events.Digest{0xab, 31: 0xcd},
		}
		added = paid
	)
	added.Number, added.For, added.Company, added.Seats, added.Days, added.TermDays, added.Amount = "P-1000000", events.ForSeats, "", 10, 185, 365, Money("109.48")
	added.From, added.To = late, end
	prepaid := func(p events.PrepaidIssued, why events.PrepaidFor) events.Event {
		p.For = why
		return events.Event{Data: &p}
	}
	return []events.Event{
		{Data: &events.KeyOrdered{Salt: sales, Hash: events.Digest{0x12, 31: 0x34}, Key: bare}},
		{Data: &events.KeyOrdered{Salt: bob, Hash: events.Digest{0x56}, Key: named}},
		{Data: &events.KeyActivated{Instance: "srv-1", Key: active}},
		{Data: &events.KeyActivated{Instance: "srv-2", Token: ULID(late, 3), Key: over}},
		{Data: &events.KeySeatsAdded{Added: 10, Key: edit(bare, func(k *events.Key) { k.Seats = 60 })}},
		{Data: &events.KeySeatsAdded{Added: 10, Key: edit(early, func(k *events.Key) { k.Seats = 60 })}},
		{Data: &events.KeyRenewed{Key: early}},
		{Data: &events.KeyRenewed{Reset: true, Key: fresh}},
		{Effective: end, Data: &events.KeyTermBegan{Key: edit(fresh, func(k *events.Key) { k.Seats = 50 })}},
		{Effective: end, Data: &events.KeyTermBegan{Reset: true, Key: fresh}},
		{Effective: end, Data: &events.KeyExpired{Key: over}},
		{Data: &events.KeyChargeFailed{Invoice: "P-000001", Key: owing}},
		{Data: &events.KeyChargeFailed{Invoice: "P-000001", Key: edit(named, func(k *events.Key) { k.SuspendAt = owing.SuspendAt })}},
		{Data: &events.KeyChargeCollected{Invoice: "P-000001", Key: active}},
		{Effective: owing.SuspendAt, Data: &events.KeySuspended{Key: unpaid}},
		{Data: &events.KeyConverted{Mailboxes: 40, PublicFolderBytes: 536870913, Key: edit(bare, func(k *events.Key) { k.Seats, k.Converted = 42, true })}},
		{Data: &events.KeyConverted{Key: edit(active, func(k *events.Key) { k.Converted = true })}},
		{Data: &events.SeatReleased{Key: named.ID, Seat: events.SeatID(named.ID, ann, late), User: ann, Instance: "srv-1", AssignedAt: late}},
		{Data: &events.JobStarted{Key: named.ID, Instance: "srv-1", Job: "nightly", Digest: events.Digest{0x9a}}},
		{Data: &events.JobStarted{
			Key: named.ID, Instance: "srv-1", Job: "nightly", Digest: events.Digest{0xbc}, Skipped: 1, SeatsMissing: 3,
			Objects: []events.JobObject{
				{Kind: "user-mailbox", Assigned: []string{ann}},
				{Kind: "onedrive", Held: []string{ann}},
				{ID: sales, Kind: "group-mailbox", Assigned: []string{bob}, Held: []string{ann}},
				{ID: bob, Kind: "site", Skipped: events.SeatsMissing, SeatsMissing: 3, Held: []string{ann}},
				{ID: bob, Kind: "disabled-mailbox", Skipped: events.Unsupported},
				{ID: bob, Kind: "shared-mailbox"},
			},
		}},
		{Data: &events.JobStarted{
			Key: named.ID, Instance: "srv-2", Job: "all", Part: 2, Parts: 3, Digest: events.Digest{0xde},
			Objects: []events.JobObject{{ID: sales, Kind: "team-site", Continued: true, Assigned: []string{ann, bob}}},
		}},
		{Data: &events.JobRemoved{Key: named.ID, Instance: "srv-1", Job: "nightly"}},
		{Data: &events.InstanceTrialStarted{Instance: "srv-1", EndsAt: Time("2026-03-03T09:00:00Z")}},
		prepaid(paid, events.ForOrder),
		prepaid(added, events.ForSeats),
		prepaid(paid, events.ForRenewal),
		prepaid(added, events.ForConversion),
	}
}
