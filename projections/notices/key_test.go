package notices_test

import (
	"fmt"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/license"
	"licenseledger/projections/notices"
)

func keyOf(evs []events.Event) string { return evs[0].Data.(*events.KeyOrdered).Key.ID }

func job(key string, users ...int) license.StartJob {
	c := license.StartJob{Key: key, Instance: "srv-1", Job: "nightly", Kind: license.BackupJob}
	for _, n := range users {
		c.Objects = append(c.Objects, entitle.Object{ID: fmt.Sprintf("%032x", n), Kind: entitle.UserMailbox})
	}
	return c
}

func (d *desk) activated(seats int) string {
	key := keyOf(d.Do("acme", license.OrderKey{Type: "backup-user", Seats: seats, Company: "globex", Salt: fmt.Sprintf("%032x", 1)}))
	d.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"})
	return key
}

// K5: a notice stands until everything fits, whatever made that happen.
func TestK5SeatsMissing(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	key := d.activated(2)
	ordered := "01-10 10:00 good prepaid-issued: Invoice P-000001 for the order of 2 seats of key " + key + " (backup-user of company globex) was issued: 43.20 USD."
	d.hears(ordered)
	d.at("2026-01-11T00:00:00Z").Do("acme", job(key, 1, 2, 3, 4, 5))
	const again = " Add seats, or release some, and start the job again."
	d.hears("! 01-11 00:00 bad seats-missing: 3 objects were not backed up by job nightly on srv-1: the key "+key+" lacks 3 seats."+again, ordered)
	if list := d.page(notices.Query{Provider: "acme", Kind: "seats-missing", Limit: 10}); len(list) != 1 || len(list[0].Objects) != 3 || list[0].Objects[0] != fmt.Sprintf("%032x", 3) ||
		list[0].Key != key || list[0].Instance != "srv-1" || list[0].Job != "nightly" {
		t.Errorf("%+v", list)
	}
	d.at("2026-01-12T00:00:00Z").Do("acme", job(key, 1, 2, 3))
	d.hears("! 01-11 00:00 bad seats-missing: 1 object was not backed up by job nightly on srv-1: the key "+key+" lacks 1 seat."+again, ordered)
	d.at("2026-02-10T00:00:00Z").Do("acme", license.ReleaseSeat{Key: key, Seat: fmt.Sprintf("%032x", 1)})
	d.Do("acme", job(key, 2, 3))
	d.hears(ordered)
	d.Do("acme", job(key, 2, 3, 4))
	d.Do("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "nightly"})
	d.hears(ordered)

	// Many objects are counted, and the first of them named.
	many := make([]int, 3000)
	for i := range many {
		many[i] = 100 + i
	}
	d.Do("acme", job(key, many...))
	list := d.page(notices.Query{Provider: "acme", Kind: "seats-missing", Limit: 10})
	if len(list) != 1 || list[0].Count != 3000 || list[0].Seats != 3000 || len(list[0].Objects) != 10 || list[0].Objects[9] != fmt.Sprintf("%032x", 109) {
		t.Errorf("%+v", list)
	}
}

// K1, K9: what becomes of a key that is not paid, and of one that runs out.
func TestK1AndK9Notices(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	key := d.activated(2)
	named := key + " (backup-user of company globex)"
	ordered := "01-10 10:00 good prepaid-issued: Invoice P-000001 for the order of 2 seats of key " + named + " was issued: 43.20 USD."
	d.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed, Reason: "card"})
	d.hears("! 01-10 10:00 bad key-unpaid: The charge of invoice P-000001, 43.20 USD, failed. Unless it is collected by 17 January 2026, 10:00 UTC, the key "+named+
		" is suspended: restore and archive jobs alone go on then.", ordered)
	d.settled("2026-01-17T10:00:00Z")
	d.hears("! 01-10 10:00 bad key-unpaid: The charge of invoice P-000001, 43.20 USD, was not collected by 17 January 2026, 10:00 UTC: the key "+named+
		" is suspended, restore and archive jobs alone go on.", ordered)
	d.at("2026-01-20T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Collected})
	d.hears("01-20 00:00 good payment-collected: The charge of invoice P-000001, 43.20 USD, was collected.", ordered)

	d.settled("2027-01-10T10:00:00Z")
	list := d.page(notices.Query{Provider: "acme", Kind: "key-expired", Limit: 10})
	if len(list) != 1 || !list[0].Standing || list[0].Text("") != "The key "+named+" expired on 10 January 2027, 10:00 UTC: no backup job runs or is created until it is renewed; restore and archive jobs go on." {
		t.Errorf("%+v", list)
	}
	d.Do("acme", license.RenewKey{Key: key, Seats: 2})
	if list := d.page(notices.Query{Provider: "acme", Kind: "key-expired", Limit: 10}); len(list) > 0 {
		t.Errorf("renewed: %+v", list)
	}
}
