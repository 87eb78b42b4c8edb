package licenses_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func alias(n int) string { return fmt.Sprintf("%032x", n) }

func mailboxes(users ...int) (objects []entitle.Object) {
	for _, n := range users {
		objects = append(objects, entitle.Object{ID: alias(n), Kind: entitle.UserMailbox})
	}
	return objects
}

// Keys, their seats as they were assigned, what jobs need whom, and the key that a secret belongs to (domain K2, K5, K6).
func TestKeys(t *testing.T) {
	f := newFile(t)
	s := ledgertest.NewStory(t, "2026-01-10T10:00:00Z").Ready("acme", "globex")
	applied := 0
	apply := func() {
		f.apply(s.Entries[applied:]...)
		applied = len(s.Entries)
	}
	order := func(seats int, hash byte) string {
		evs := s.Do("acme", license.OrderKey{Type: "backup-user", Seats: seats, Salt: alias(7), Hash: events.Digest{hash}})
		return evs[0].Data.(*events.KeyOrdered).Key.ID
	}
	key, other := order(3, 1), order(1, 2)
	start := func(instance, job string, users ...int) {
		s.Do("acme", license.StartJob{Key: key, Instance: instance, Job: job, Kind: license.BackupJob, Objects: mailboxes(users...)})
	}
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"})
	s.Do("acme", license.ActivateKey{Key: other, Instance: "srv-1"})
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-2"})
	start("srv-1", "nightly", 2, 1)
	apply()
	s.AtTime(s.Now.Add(time.Hour))
	start("srv-2", "weekly", 1, 3, 4)
	apply()
	check := func(what string, used int, want ...int) {
		t.Helper()
		f.read(func(tx *bbolt.Tx) {
			k, ok, err := licenses.LoadKey(tx, "acme", key)
			if err != nil || !ok || k.ID != key || k.Used != used || k.Salt != alias(7) {
				t.Errorf("%s: the key is %+v, %v, %v", what, k, ok, err)
			}
			seats, err := licenses.Seats(tx, "acme", key, "", 0)
			if err != nil || len(seats) != len(want) {
				t.Fatalf("%s: %d seats, %v", what, len(seats), err)
			}
			users := make(map[string]bool)
			for i, seat := range seats {
				users[seat.User] = true
				if i > 0 && seat.AssignedAt.Before(seats[i-1].AssignedAt) {
					t.Errorf("%s: seat %d was assigned before the one before", what, i)
				}
				if rest, err := licenses.Seats(tx, "acme", key, seat.ID(), 1); err != nil || len(rest) != min(1, len(seats)-i-1) {
					t.Errorf("%s: %d seats behind seat %d, %v", what, len(rest), i, err)
				}
			}
			for _, n := range want {
				if !users[alias(n)] {
					t.Errorf("%s: user %d has no seat", what, n)
				}
			}
		})
	}
	jobs := func(user int) (list []string) {
		f.read(func(tx *bbolt.Tx) {
			found, err := licenses.JobsOf(tx, "acme", key, alias(user))
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range found {
				list = append(list, j.Instance+"/"+j.Job)
			}
		})
		return list
	}
	check("three users", 3, 1, 2, 3)
	for user, want := range map[int]string{1: "[srv-1/nightly srv-2/weekly]", 2: "[srv-1/nightly]", 3: "[srv-2/weekly]", 4: "[]"} {
		if got := fmt.Sprint(jobs(user)); got != want {
			t.Errorf("user %d is in the jobs %s, want %s", user, got, want)
		}
	}
	f.read(func(tx *bbolt.Tx) {
		if keys, err := licenses.Keys(tx, "acme", "", 10); err != nil || len(keys) != 2 || keys[0].ID != key || keys[1].ID != other {
			t.Errorf("keys %+v, %v", keys, err)
		}
		if keys, err := licenses.Keys(tx, "acme", key, 10); err != nil || len(keys) != 1 {
			t.Errorf("keys behind the first: %+v, %v", keys, err)
		}
		if provider, id, ok := licenses.FindKey(tx, events.Digest{2}); !ok || provider != "acme" || id != other {
			t.Errorf("the secret is of %s/%s, %v", provider, id, ok)
		}
		if _, _, ok := licenses.FindKey(tx, events.Digest{3}); ok {
			t.Error("a secret of no key is one")
		}
		if i, ok, err := licenses.LoadInstance(tx, "acme", "srv-1"); err != nil || !ok || !i.Has(key) || !i.Has(other) || i.ID != "srv-1" {
			t.Errorf("the instance is %+v, %v, %v", i, ok, err)
		}
		if at, ok := licenses.NextDue(tx); !ok || at.After(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("next due %s, %v", at, ok)
		}
		if _, ok, err := licenses.LoadKey(tx, "acme", "none"); ok || err != nil {
			t.Errorf("a key that is none: %v, %v", ok, err)
		}
	})

	start("srv-2", "weekly", 3) // replaces what the job had
	s.Do("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "nightly"})
	s.At("2026-03-01T00:00:00Z").Do("acme", license.ReleaseSeat{Key: key, Seat: alias(2)})
	apply()
	check("one was released", 2, 1, 3)
	if got := jobs(1); len(got) > 0 {
		t.Errorf("user 1 is in the jobs %v", got)
	}
	// A renewal for fewer resets all, and what is assigned after it in the same transaction stays (domain K8).
	s.At("2027-02-01T00:00:00Z").Do("acme", license.RenewKey{Key: key, Seats: 2})
	start("srv-2", "weekly", 3, 5)
	apply()
	check("renewed for fewer", 2, 3, 5)
	f.read(func(tx *bbolt.Tx) {
		if seats, err := licenses.Seats(tx, "acme", other, "", 0); err != nil || len(seats) > 0 {
			t.Errorf("the other key has seats %+v, %v", seats, err)
		}
	})
}
