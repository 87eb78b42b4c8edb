package license_test

import (
	"errors"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

const salt = "9f86d081884c7d659a2feaa0c55ad015"

// order orders a key of acme and gives its id.
func order(s *ledgertest.Story, seats int) string {
	evs := s.Do("acme", license.OrderKey{Type: "backup-user", Seats: seats, Salt: salt, Hash: events.Digest{1}})
	return evs[0].Data.(*events.KeyOrdered).Key.ID
}

// activated orders a key and activates it on srv-1.
func activated(s *ledgertest.Story, seats int) string {
	key := order(s, seats)
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"})
	return key
}

func keyOf(t *testing.T, s *ledgertest.Story, id string) events.Key {
	t.Helper()
	k, ok := s.State("acme").Key(id)
	if !ok {
		t.Fatalf("no key %s", id)
	}
	return *k
}

// billed is the prepaid invoice among events; its amount is "" without one.
func billed(evs []events.Event) (p events.PrepaidIssued) {
	for _, ev := range evs {
		if d, ok := ev.Data.(*events.PrepaidIssued); ok {
			return *d
		}
	}
	return p
}

// kindsOf lists the kinds of the entries from the nth on, with the time at which they took effect if that is not the entry's.
func kindsOf(s *ledgertest.Story, n int) (list []string) {
	for _, e := range s.Entries[n:] {
		for i, ev := range e.Events {
			kind := ev.Data.Kind()
			if at := e.EffectiveAt(i); !at.Equal(e.Time) {
				kind += " at " + events.FormatTime(at)
			}
			list = append(list, kind)
		}
	}
	return list
}

// K1: an order makes a key that is usable at once, and a prepaid invoice of its own; it needs a payment method.
func TestK1Order(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	evs := s.Do("acme", license.OrderKey{Type: "backup-user", Seats: 50, Company: "globex", Salt: salt, Hash: events.Digest{1}})
	ordered := evs[0].Data.(*events.KeyOrdered)
	want := events.Key{ID: ordered.Key.ID, Type: "backup-user", Company: "globex", Status: events.OrderedKey, Seats: 50, Created: s.Now}
	if ordered.Key != want || ordered.Salt != salt || ordered.Hash != (events.Digest{1}) {
		t.Errorf("ordered %+v", ordered)
	}
	p := billed(evs)
	if p.Number != "P-000001" || p.For != events.ForOrder || p.Key != want.ID || p.Amount.String() != "1080.00" || p.Seats != 50 || p.Days != 0 || p.Currency != "USD" {
		t.Errorf("invoiced %+v", p)
	}
	s.Do("acme", license.ActivateKey{Key: want.ID, Instance: "srv-1"})
	s.Do("acme", backup(want.ID, "srv-1", "nightly", mailbox("ann")))

	// Statements and prepaid invoices are numbered apart.
	if p := billed(s.Do("acme", license.OrderKey{Type: "backup-user", Seats: 1, Salt: salt})); p.Number != "P-000002" {
		t.Errorf("the next one is %s", p.Number)
	}
	s.Do("acme", license.RemovePaymentMethod{})
	s.Refused("acme", license.OrderKey{Type: "backup-user", Seats: 1, Salt: salt}, license.PaymentMethodRequired)
	s.Refused("acme", license.AddSeats{Key: want.ID, Seats: 1}, license.PaymentMethodRequired)
	s.Refused("acme", license.RenewKey{Key: want.ID, Seats: 1}, license.PaymentMethodRequired)
}

// K1: only annual types are sold as keys; a closed one is not (domain C2).
func TestK1WhatIsSold(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	for what, c := range map[string]license.OrderKey{
		"a monthly type": {Type: "server", Seats: 1}, "no such type": {Type: "backup", Seats: 1}, "no seats": {Type: "backup-user"},
		"too many seats": {Type: "backup-user", Seats: license.MaxSeats + 1},
	} {
		if _, err := s.Try("acme", c); codeOf(t, err) != license.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.Refused("acme", license.OrderKey{Type: "backup-user", Seats: 1, Company: "nobody"}, license.NotFound)
	s.Refused("nobody", license.OrderKey{Type: "backup-user", Seats: 1}, license.NotFound)
	s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "strict", AllowedTypes: []string{"server"}}})
	s.Refused("acme", license.OrderKey{Type: "backup-user", Seats: 1, Company: "strict"}, license.TypeNotAllowed)
	s.Refused("acme", license.Buy{Type: "backup-user", Quantity: 1}, license.Invalid)

	key := activated(s, 10)
	now, _, _ := s.Catalogs.At(events.MonthOf(s.Now))
	closed := events.Catalog{Effective: events.MonthOf(s.Now) + 1, Minimum: now.Minimum}
	for _, row := range now.Types {
		row.Closed = row.ID == "backup-user"
		closed.Types = append(closed.Types, row)
	}
	s.Do("", license.PublishCatalog{Catalog: closed})
	s.At("2026-02-01T00:00:00Z")
	s.Refused("acme", license.OrderKey{Type: "backup-user", Seats: 1}, license.TypeClosed)
	s.Refused("acme", license.AddSeats{Key: key, Seats: 1}, license.TypeClosed)
	s.Refused("acme", license.RenewKey{Key: key, Seats: 1}, license.TypeClosed)
	s.Refused("acme", license.StartTrial{Instance: "new"}, license.TypeClosed)
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann"))) // what is running goes on
}

// C1: annual types use the catalog of the order's day.
func TestC1PriceOfTheDay(t *testing.T) {
	s := story(t, "2026-01-31T10:00:00Z")
	now, _, _ := s.Catalogs.At(events.MonthOf(s.Now))
	dearer := events.Catalog{Effective: events.MonthOf(s.Now) + 1, Minimum: now.Minimum}
	for _, row := range now.Types {
		if row.ID == "backup-user" {
			row.Prices = map[string]events.Money{"USD": money("30.00")}
		}
		dearer.Types = append(dearer.Types, row)
	}
	s.Do("", license.PublishCatalog{Catalog: dearer})
	s.At("2026-01-31T23:59:59.999Z")
	if p := billed(s.Do("acme", license.OrderKey{Type: "backup-user", Seats: 1, Salt: salt})); p.Amount.String() != "21.60" {
		t.Errorf("on 31 January: %s", p.Amount)
	}
	s.At("2026-02-01T00:00:00Z")
	if p := billed(s.Do("acme", license.OrderKey{Type: "backup-user", Seats: 1, Salt: salt})); p.Amount.String() != "30.00" {
		t.Errorf("on 1 February: %s", p.Amount)
	}
}

// K1: unpaid 7 x 24 h after a failure: suspended, restore only; collected: it goes on. Retries do not start the days again.
func TestK1Suspended(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 10)
	s.At("2026-01-12T09:30:00Z")
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed, Reason: "card declined"})
	due := clockTime(t, "2026-01-19T09:30:00Z")
	if k := keyOf(t, s, key); !k.SuspendAt.Equal(due) || k.Suspended {
		t.Errorf("after the failure: %+v", k)
	}
	if a := s.State("acme").Account(); a.PaymentStatus() != events.PaymentActive || !a.GraceEnds.IsZero() {
		t.Errorf("a key's invoice is its key's alone, and the account is %+v", a)
	}
	s.At("2026-01-15T00:00:00Z")
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed})
	s.At("2026-01-19T09:29:59.999Z")
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	s.At("2026-01-19T09:30:00Z")
	n := len(s.Entries)
	s.Refused("acme", backup(key, "srv-1", "nightly", mailbox("ann")), license.KeySuspended)
	if got := kindsOf(s, n); len(got) != 1 || got[0] != "key.suspended.v1" {
		t.Errorf("it happened: %v", got)
	}
	for _, kind := range []license.JobKind{license.RestoreJob, license.ArchiveJob} {
		s.Do("acme", license.StartJob{Key: key, Instance: "srv-1", Job: "back", Kind: kind})
	}
	s.Refused("acme", license.AddSeats{Key: key, Seats: 1}, license.KeySuspended)
	s.Refused("acme", license.RenewKey{Key: key, Seats: 10}, license.KeySuspended)
	s.Refused("acme", license.ConvertKey{Key: key, Mailboxes: 10}, license.KeySuspended)
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-2"}) // restores on a new machine
	s.At("2026-02-02T12:00:00Z")
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Collected})
	if k := keyOf(t, s, key); k.Suspended || !k.SuspendAt.IsZero() {
		t.Errorf("after it was collected: %+v", k)
	}
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("bob")))
	s.Refused("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed}, license.Invalid)
	if evs := s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Collected}); len(evs) > 0 {
		t.Errorf("collected twice: %v", evs[0].Data.Kind())
	}
	s.Refused("acme", license.RecordPayment{Invoice: "P-000002", Outcome: events.Collected}, license.NotFound)
}

// K1: the suspension happens by itself, at its time, however late the clock gets to it (domain D4).
func TestK1SuspendedByTheClock(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := order(s, 10)
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed})
	if next := s.State("acme").NextDue(); !next.Equal(clockTime(t, "2026-01-17T10:00:00Z")) {
		t.Errorf("next due %s", next)
	}
	s.At("2026-01-20T00:00:00Z")
	n := len(s.Entries)
	s.Settle("acme")
	if got := kindsOf(s, n); len(got) != 1 || got[0] != "key.suspended.v1 at 2026-01-17T10:00:00Z" {
		t.Errorf("%v", got)
	}
	s.Refused("acme", license.ActivateKey{Key: key, Instance: "srv-1"}, license.KeySuspended) // its year would begin
}

// K1: of several invoices the first that failed counts; when that is collected, the next one.
func TestK1SeveralFailures(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 10)
	s.Do("acme", license.AddSeats{Key: key, Seats: 5})
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Failed})
	s.At("2026-01-15T10:00:00Z")
	s.Do("acme", license.RecordPayment{Invoice: "P-000002", Outcome: events.Failed})
	if k := keyOf(t, s, key); !k.SuspendAt.Equal(clockTime(t, "2026-01-17T10:00:00Z")) {
		t.Errorf("two failed: %+v", k)
	}
	s.At("2026-01-18T10:00:00Z")
	s.Do("acme", license.RecordPayment{Invoice: "P-000001", Outcome: events.Collected})
	if k := keyOf(t, s, key); k.Suspended || !k.SuspendAt.Equal(clockTime(t, "2026-01-22T10:00:00Z")) {
		t.Errorf("one was collected: %+v", k)
	}
	s.At("2026-01-22T10:00:00Z")
	s.Refused("acme", backup(key, "srv-1", "j", mailbox("ann")), license.KeySuspended)
}

// K2: the first activation begins twelve months; others change nothing about them. 29 February: 28 February.
func TestK2Activate(t *testing.T) {
	s := story(t, "2028-02-20T10:00:00Z")
	key := order(s, 10)
	s.At("2028-02-29T10:00:00Z")
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"})
	end := clockTime(t, "2029-02-28T10:00:00Z")
	if k := keyOf(t, s, key); k.Status != events.ActiveKey || !k.TermFrom.Equal(s.Now) || !k.ExpiresAt.Equal(end) {
		t.Errorf("activated on 29 February: %+v", k)
	}
	if evs := s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"}); len(evs) > 0 {
		t.Errorf("activated again: %v", evs[0].Data.Kind())
	}
	s.At("2028-05-01T00:00:00Z")
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-2"})
	if k := keyOf(t, s, key); !k.ExpiresAt.Equal(end) {
		t.Errorf("activated elsewhere: %+v", k)
	}
	s.Refused("acme", license.ActivateKey{Key: key, Instance: "a b"}, license.Invalid)
	s.Refused("acme", license.ActivateKey{Key: "none", Instance: "srv-1"}, license.NotFound)

	// An instance may hold several keys.
	other := order(s, 1)
	s.Do("acme", license.ActivateKey{Key: other, Instance: "srv-1"})
	if i, _ := s.State("acme").Instance("srv-1"); !i.Has(key) || !i.Has(other) || len(i.Keys) != 2 {
		t.Errorf("srv-1 has %+v", i)
	}
}

// An instance that is activated with a token gets it in the place of the one before.
func TestK2Token(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := order(s, 10)
	activate := func(hash byte) (revoked, issued string) {
		for _, ev := range s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1", Token: events.Digest{hash}}) {
			switch d := ev.Data.(type) {
			case *events.TokenRevoked:
				revoked = d.Token
			case *events.TokenIssued:
				if issued = d.Token; d.Holder != events.InstanceSubject || d.Subject != "srv-1" || d.Hash != (events.Digest{hash}) {
					t.Errorf("issued %+v", d)
				}
			}
		}
		return revoked, issued
	}
	if revoked, issued := activate(1); revoked != "" || issued == "" {
		t.Errorf("first: %q instead of %q", issued, revoked)
	}
	i, _ := s.State("acme").Instance("srv-1")
	before := i.Token
	revoked, issued := activate(2)
	if revoked != before || issued == before {
		t.Errorf("again: %q instead of %q, it had %q", issued, revoked, before)
	}
	s.Do("acme", license.RevokeToken{Token: issued})
	if revoked, _ := activate(3); revoked != "" {
		t.Errorf("one that was revoked is revoked again: %q", revoked)
	}
}

// K7: same end; price x seats x ceil(remaining / 24 h) / days of the term, rounded once. 10 seats, 184 days 1 h of 365 left: 109.48.
func TestK7AddSeats(t *testing.T) {
	for _, tt := range []struct {
		name, activate, add string
		seats               int
		want                string
		days, of            int
	}{
		{"184 days 1 h of 365 left", "2026-01-10T10:00:00Z", "2026-07-10T09:00:00Z", 10, "109.48", 185, 365},
		{"184 days of 365 left", "2026-01-10T10:00:00Z", "2026-07-10T10:00:00Z", 10, "108.89", 184, 365},
		{"at once", "2026-01-10T10:00:00Z", "2026-01-10T10:00:00Z", 10, "216.00", 0, 0},
		{"within the first day", "2026-01-10T10:00:00Z", "2026-01-11T09:59:59Z", 10, "216.00", 0, 0},
		{"after the first day", "2026-01-10T10:00:00Z", "2026-01-11T10:00:00Z", 10, "215.41", 364, 365},
		{"the last millisecond", "2026-01-10T10:00:00Z", "2027-01-10T09:59:59.999Z", 10, "0.59", 1, 365},
		{"a term with 29 February", "2027-03-01T00:00:00Z", "2027-08-31T00:00:00Z", 10, "108.00", 183, 366},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := story(t, "2026-01-10T10:00:00Z")
			s.At(tt.activate)
			key := activated(s, 50)
			end := keyOf(t, s, key).ExpiresAt
			s.At(tt.add)
			evs := s.Do("acme", license.AddSeats{Key: key, Seats: tt.seats})
			p := billed(evs)
			if p.Amount.String() != tt.want || p.Days != tt.days || p.TermDays != tt.of || p.For != events.ForSeats || !p.From.Equal(s.Now) || !p.To.Equal(end) {
				t.Errorf("%+v, want %s for %d of %d days", p, tt.want, tt.days, tt.of)
			}
			if k := keyOf(t, s, key); k.Seats != 50+tt.seats || !k.ExpiresAt.Equal(end) {
				t.Errorf("the key is %+v", k)
			}
		})
	}
	t.Run("full price where not yet activated", func(t *testing.T) {
		s := story(t, "2026-01-10T10:00:00Z")
		key := order(s, 50)
		s.At("2026-09-10T10:00:00Z")
		if p := billed(s.Do("acme", license.AddSeats{Key: key, Seats: 10})); p.Amount.String() != "216.00" || p.Days != 0 {
			t.Errorf("%+v", p)
		}
		s.Refused("acme", license.AddSeats{Key: key}, license.Invalid)
		s.Refused("acme", license.AddSeats{Key: key, Seats: license.MaxSeats}, license.Invalid)
		s.Refused("acme", license.AddSeats{Key: "none", Seats: 1}, license.NotFound)
	})
}

// K8: 60 seats renewed early for 20: 432.00, 60 seats until the end; then all are reset, whatever the lock, and consumed again in
// the order in which objects start.
func TestK8RenewEarlyForFewer(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 60)
	end := clockTime(t, "2027-01-10T10:00:00Z")
	s.At("2027-01-01T00:00:00Z")
	s.Do("acme", backup(key, "srv-1", "nightly", mailboxes("u", 0, 60)...))
	p := billed(s.Do("acme", license.RenewKey{Key: key, Seats: 20}))
	if p.Amount.String() != "432.00" || p.For != events.ForRenewal || !p.From.Equal(end) || !p.To.Equal(clockTime(t, "2028-01-10T10:00:00Z")) {
		t.Errorf("invoiced %+v", p)
	}
	s.At("2027-01-10T09:59:59.999Z")
	if k := keyOf(t, s, key); k.Seats != 60 || k.RenewedFor != 20 || s.State("acme").UsedSeats(key) != 60 {
		t.Errorf("until the end: %+v", k)
	}
	s.Refused("acme", license.RenewKey{Key: key, Seats: 30}, license.Invalid) // renewed already
	s.At("2027-01-12T00:00:00Z")
	n := len(s.Entries)
	s.Settle("acme")
	if got := kindsOf(s, n); len(got) != 1 || got[0] != "key.term-began.v1 at 2027-01-10T10:00:00Z" {
		t.Errorf("it took effect: %v", got)
	}
	k := keyOf(t, s, key)
	if k.Seats != 20 || k.RenewedFor != 0 || k.Status != events.ActiveKey || !k.TermFrom.Equal(end) || !k.ExpiresAt.Equal(p.To) || s.State("acme").UsedSeats(key) != 0 {
		t.Errorf("from the end on: %+v, %d used", k, s.State("acme").UsedSeats(key))
	}
	done, skipped := outcomes(t, s, backup(key, "srv-1", "nightly", mailboxes("u", 0, 60)...))
	if done != 20 || skipped != 40 {
		t.Errorf("the next start: %d and %d", done, skipped)
	}
	if _, seated := seatOf(s, key, alias("u-19")); !seated {
		t.Error("the twentieth object did not get its seat")
	}
	if _, seated := seatOf(s, key, alias("u-20")); seated {
		t.Error("the twenty-first object got a seat")
	}
}

// K8: at least as many seats: assignments stay, in advance or of an expired key.
func TestK8RenewForAsManyOrMore(t *testing.T) {
	for _, seats := range []int{3, 5} {
		for _, at := range []string{"2027-01-09T00:00:00Z", "2027-01-10T10:00:00Z"} {
			s := story(t, "2026-01-10T10:00:00Z")
			key := activated(s, 3)
			s.Do("acme", backup(key, "srv-1", "nightly", mailboxes("u", 0, 3)...))
			before, _ := seatOf(s, key, alias("u-0"))
			s.At(at)
			s.Do("acme", license.RenewKey{Key: key, Seats: seats})
			s.At("2027-02-01T00:00:00Z").Settle("acme")
			if k := keyOf(t, s, key); k.Seats != seats || k.Status != events.ActiveKey || k.RenewedFor != 0 {
				t.Errorf("renewed at %s for %d: %+v", at, seats, k)
			}
			if after, ok := seatOf(s, key, alias("u-0")); !ok || after != before || s.State("acme").UsedSeats(key) != 3 {
				t.Errorf("renewed at %s for %d: the seat is %+v, it was %+v", at, seats, after, before)
			}
		}
	}
}

// K8: an expired key's year begins with the renewal; fewer seats than before are reset at once. One that was never activated has no end.
func TestK8RenewExpired(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Refused("acme", license.RenewKey{Key: order(s, 5), Seats: 5}, license.KeyNotActivated)
	key := activated(s, 5)
	s.Do("acme", backup(key, "srv-1", "nightly", mailboxes("u", 0, 5)...))
	s.At("2027-03-01T12:00:00Z")
	n := len(s.Entries)
	p := billed(s.Do("acme", license.RenewKey{Key: key, Seats: 4}))
	if p.Amount.String() != "86.40" || !p.From.Equal(s.Now) || !p.To.Equal(clockTime(t, "2028-03-01T12:00:00Z")) {
		t.Errorf("invoiced %+v", p)
	}
	var expired bool
	for _, kind := range kindsOf(s, n) {
		expired = expired || kind == "key.expired.v1 at 2027-01-10T10:00:00Z"
	}
	if k := keyOf(t, s, key); !expired || k.Seats != 4 || k.Status != events.ActiveKey || !k.TermFrom.Equal(s.Now) || !k.ExpiresAt.Equal(p.To) {
		t.Errorf("expired first: %v; %+v", expired, k)
	}
	if used := s.State("acme").UsedSeats(key); used != 0 {
		t.Errorf("%d seats are used after a renewal for fewer", used)
	}
}

// K8, K7: seats added after a renewal in advance are none of that: the year has what was bought, and if that is fewer, they are reset.
func TestK8AddedAfterRenewal(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 2)
	s.Do("acme", license.RenewKey{Key: key, Seats: 2})
	s.Do("acme", license.AddSeats{Key: key, Seats: 1})
	s.Do("acme", backup(key, "srv-1", "nightly", mailboxes("u", 0, 3)...))
	s.At("2027-01-10T10:00:00Z").Settle("acme")
	if k := keyOf(t, s, key); k.Seats != 2 || s.State("acme").UsedSeats(key) != 0 {
		t.Errorf("%+v, %d used", k, s.State("acme").UsedSeats(key))
	}
}

// K9: an expired key runs and creates no backup job; restore and archive jobs go on. The end is exclusive.
func TestK9Expired(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 5)
	s.At("2027-01-10T09:59:59.999Z")
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	s.At("2027-01-10T10:00:00Z")
	s.Refused("acme", backup(key, "srv-1", "nightly", mailbox("ann")), license.KeyExpired)
	s.Refused("acme", backup(key, "srv-1", "another", mailbox("bob")), license.KeyExpired)
	s.Refused("acme", license.AddSeats{Key: key, Seats: 1}, license.KeyExpired)
	s.Refused("acme", license.ConvertKey{Key: key, Mailboxes: 1}, license.KeyExpired)
	for _, kind := range []license.JobKind{license.RestoreJob, license.ArchiveJob} {
		if evs := s.Do("acme", license.StartJob{Key: key, Instance: "srv-1", Job: "back", Kind: kind}); len(evs) > 0 {
			t.Errorf("a %s job: %v", kind, evs[0].Data.Kind())
		}
	}
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-2"}) // to restore on a new machine
	s.Do("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "nightly"})
	if k := keyOf(t, s, key); k.Status != events.ExpiredKey {
		t.Errorf("it is %+v", k)
	}
}

// K12: a key per mailbox and per started 512 MB of public folders becomes a per-user key; the event keeps both figures.
func TestK12Convert(t *testing.T) {
	const unit = license.FolderUnit
	for _, tt := range []struct {
		mailboxes int
		bytes     int64
		want      int
	}{{40, 0, 40}, {40, 1, 41}, {40, unit, 41}, {40, unit + 1, 42}, {0, 3 * unit, 3}} {
		s := story(t, "2026-01-10T10:00:00Z")
		key := order(s, 100)
		evs := s.Do("acme", license.ConvertKey{Key: key, Mailboxes: tt.mailboxes, PublicFolderBytes: tt.bytes})
		d := evs[0].Data.(*events.KeyConverted)
		if d.Mailboxes != tt.mailboxes || d.PublicFolderBytes != tt.bytes || d.Key.Seats != tt.want || !d.Key.Converted || len(evs) != 1 {
			t.Errorf("%d mailboxes and %d bytes: %+v, %d events", tt.mailboxes, tt.bytes, d, len(evs))
		}
		s.Refused("acme", license.ConvertKey{Key: key, Mailboxes: 1}, license.Invalid)
	}
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 10)
	s.Do("acme", backup(key, "srv-1", "nightly", mailboxes("u", 0, 6)...))
	s.Refused("acme", license.ConvertKey{Key: key, Mailboxes: 10, Seats: 5}, license.SeatsShort)
	for _, c := range []license.ConvertKey{{}, {Mailboxes: -1}, {Mailboxes: 1, PublicFolderBytes: -1}, {Mailboxes: 1, Seats: -1}, {Mailboxes: license.MaxSeats, PublicFolderBytes: 1}} {
		c.Key = key
		s.Refused("acme", c, license.Invalid)
	}
	// Beyond what the older key covered, seats are added.
	s.At("2026-07-10T09:00:00Z")
	evs := s.Do("acme", license.ConvertKey{Key: key, Mailboxes: 6, PublicFolderBytes: 2 * unit, Seats: 18})
	if p := billed(evs); p.Amount.String() != "109.48" || p.Seats != 10 || p.For != events.ForConversion {
		t.Errorf("8 licenses became 18 seats: %+v", p)
	}
}

// D4: what fell due for keys comes before the end of the month in which it did, and only that touches them late.
func TestD4KeysAndMonths(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 5)
	s.At("2027-03-05T00:00:00Z")
	n := len(s.Entries)
	s.Settle("acme")
	got := kindsOf(s, n)
	closed, expired := -1, -1
	for i, kind := range got {
		switch kind {
		case "month.closed.v1 at 2027-02-01T00:00:00Z":
			closed = i
		case "key.expired.v1 at 2027-01-10T10:00:00Z":
			expired = i
		}
	}
	if expired < 0 || closed < expired {
		t.Errorf("%v", got)
	}
	if k := keyOf(t, s, key); k.Status != events.ExpiredKey {
		t.Errorf("%+v", k)
	}
}

// What a key is at a time is the same whether what was due is recorded or not.
func TestKeyAt(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	renewed, failed, plain := activated(s, 5), activated(s, 5), activated(s, 5)
	s.Do("acme", license.RenewKey{Key: renewed, Seats: 3})
	s.Do("acme", license.RecordPayment{Invoice: "P-000002", Outcome: events.Failed})
	before := map[string]events.Key{}
	for _, id := range []string{renewed, failed, plain} {
		before[id] = keyOf(t, s, id)
	}
	for _, at := range []string{"2026-01-17T09:59:59Z", "2026-01-17T10:00:00Z", "2027-01-10T09:59:59Z", "2027-01-10T10:00:00Z", "2028-01-10T10:00:00Z", "2031-01-01T00:00:00Z"} {
		s.At(at).Settle("acme")
		for id, k := range before {
			if got, want := license.KeyAt(k, s.Now), keyOf(t, s, id); got != want {
				t.Errorf("at %s the key is %+v, recorded as %+v", at, got, want)
			}
		}
	}
}

// L14: whoever may not buy orders, adds and renews nothing; activation and seats are no purchase.
func TestL14KeysNoBuy(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 5)
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	s.At("2026-02-20T10:00:00Z").Settle("acme")
	for name, row := range map[string]struct {
		body    license.Body
		refused bool
	}{
		"order":               {license.OrderKey{Type: "backup-user", Seats: 1, Salt: salt}, true},
		"add seats":           {license.AddSeats{Key: key, Seats: 1}, true},
		"renew":               {license.RenewKey{Key: key, Seats: 5}, true},
		"convert for more":    {license.ConvertKey{Key: key, Mailboxes: 1, Seats: 2}, true},
		"convert for as many": {license.ConvertKey{Key: key, Mailboxes: 2}, false},
		"activate":            {license.ActivateKey{Key: key, Instance: "srv-2"}, false},
		"trial":               {license.StartTrial{Instance: "srv-3"}, false},
		"a job":               {backup(key, "srv-1", "nightly", mailbox("bob")), false},
		"remove a job":        {license.RemoveJob{Key: key, Instance: "srv-1", Job: "nightly"}, false},
		"release a seat":      {license.ReleaseSeat{Key: key, Seat: alias("ann")}, false},
	} {
		f := license.Facts{Provider: "acme", Now: s.Now, Catalogs: s.Catalogs, Opened: true, IDs: events.NewIDs(events.Seed{1}, s.Now), NoBuy: true}
		d, err := license.Decide(s.State("acme"), row.body, f)
		var refusal *license.Refusal
		if errors.As(err, &refusal) != row.refused || !row.refused && err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if row.refused && (refusal.Code != license.PermissionDenied || refusal.Permission != "licenses.buy" || len(d.Events) > 0) {
			t.Errorf("%s: %+v leaves %d events", name, refusal, len(d.Events))
		}
	}
}
