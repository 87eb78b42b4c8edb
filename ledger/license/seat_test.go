package license_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// alias stands for somebody, as the door's pseudonyms do.
func alias(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

func mailbox(user string) entitle.Object {
	return entitle.Object{ID: alias(user), Kind: entitle.UserMailbox, Users: []entitle.User{{ID: alias(user)}}}
}

// mailboxes are those of the users from-th to to-th.
func mailboxes(name string, from, to int) (list []entitle.Object) {
	for i := from; i < to; i++ {
		list = append(list, mailbox(fmt.Sprintf("%s-%d", name, i)))
	}
	return list
}

// group is a group mailbox of members.
func group(id string, members ...string) entitle.Object {
	o := entitle.Object{ID: alias(id), Kind: entitle.GroupMailbox}
	for _, m := range members {
		o.Users = append(o.Users, entitle.User{ID: alias(m)})
	}
	return o
}

func names(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s-%d", prefix, i))
	}
	return list
}

func backup(key, instance, job string, objects ...entitle.Object) license.StartJob {
	return license.StartJob{Key: key, Instance: instance, Job: job, Kind: license.BackupJob, Objects: objects}
}

// result is what becomes of a job's objects, news or not.
func result(t *testing.T, s *ledgertest.Story, c license.StartJob) (objects []events.JobObject) {
	t.Helper()
	f := license.Facts{Provider: "acme", Now: s.Now, Catalogs: s.Catalogs, Opened: true, IDs: events.NewIDs(events.Seed{1}, s.Now)}
	d, err := license.Decide(s.State("acme"), c, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range d.Job {
		for _, o := range part.Objects {
			if !o.Continued {
				objects = append(objects, o)
			}
		}
	}
	s.Do("acme", c)
	return objects
}

func outcomes(t *testing.T, s *ledgertest.Story, c license.StartJob) (done, skipped int) {
	t.Helper()
	for _, o := range result(t, s, c) {
		if o.Skipped == "" {
			done++
		} else {
			skipped++
		}
	}
	return done, skipped
}

func seatOf(s *ledgertest.Story, key, user string) (license.Seat, bool) {
	for seat := range s.State("acme").Seats(key) {
		if seat.User == user {
			return seat, true
		}
	}
	return license.Seat{}, false
}

// K3: the trial of an instance lasts 30 days, and there is one; with a key there is nothing to try.
func TestK3Trial(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	s.Do("acme", license.StartTrial{Instance: "srv-1"})
	i, ok := s.State("acme").Instance("srv-1")
	if !ok || !i.TrialEnds.Equal(clockTime(t, "2026-02-09T10:00:00Z")) {
		t.Errorf("the trial is %+v", i)
	}
	s.At("2026-06-01T00:00:00Z")
	if evs := s.Do("acme", license.StartTrial{Instance: "srv-1"}); len(evs) > 0 {
		t.Errorf("a second trial: %v", evs[0].Data.Kind())
	}
	s.Do("acme", license.ActivateKey{Key: order(s, 1), Instance: "srv-2"})
	if evs := s.Do("acme", license.StartTrial{Instance: "srv-2"}); len(evs) > 0 {
		t.Errorf("a trial beside a key: %v", evs[0].Data.Kind())
	}
	s.Refused("acme", license.StartTrial{Instance: "a b"}, license.Invalid)
	s.Refused("nobody", license.StartTrial{Instance: "srv-1"}, license.NotFound)
	key := order(s, 1)
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-1"})
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
}

// K5: 50 seats, 60 mailboxes: 50 and 10. Once there are seats and the job starts again, the rest is backed up too.
func TestK5FiftySeatsSixtyMailboxes(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 50)
	job := backup(key, "srv-1", "nightly", mailboxes("u", 0, 60)...)
	objects := result(t, s, job)
	for i, o := range objects {
		if want := i < 50; (o.Skipped == "") != want || !want && (o.Skipped != events.SeatsMissing || o.SeatsMissing != 1) {
			t.Fatalf("mailbox %d: %+v", i, o)
		}
	}
	if used := s.State("acme").UsedSeats(key); used != 50 {
		t.Errorf("%d seats are used", used)
	}
	s.Do("acme", license.AddSeats{Key: key, Seats: 10})
	if done, skipped := outcomes(t, s, job); done != 60 || skipped != 0 {
		t.Errorf("with 10 more: %d and %d", done, skipped)
	}
}

// K5: 100 users, 40 editors, 35 seated: 5 more. 10 members of whom 2 own: 10.
func TestK5SeatsOfFoldersAndGroups(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 100)
	s.Do("acme", backup(key, "srv-1", "mail", mailboxes("u", 0, 35)...))
	folder := entitle.Object{ID: alias("folder"), Kind: entitle.PublicFolder}
	for i := range 100 {
		access := []entitle.Access{entitle.Read}
		if i < 40 {
			access = append(access, entitle.Edit)
		}
		folder.Users = append(folder.Users, entitle.User{ID: alias(fmt.Sprintf("u-%d", i)), Access: access})
	}
	o := result(t, s, backup(key, "srv-1", "folders", folder))[0]
	if len(o.Assigned) != 5 || len(o.Held) != 35 || s.State("acme").UsedSeats(key) != 40 {
		t.Errorf("the folder took %d and found %d, %d are used", len(o.Assigned), len(o.Held), s.State("acme").UsedSeats(key))
	}
	owned := group("team", names("m", 10)...)
	owned.Users = append(owned.Users, entitle.User{ID: alias("m-0"), Role: entitle.Owner}, entitle.User{ID: alias("m-1"), Role: entitle.Owner})
	if o := result(t, s, backup(key, "srv-1", "groups", owned))[0]; len(o.Assigned) != 10 {
		t.Errorf("10 members of whom 2 own took %d", len(o.Assigned))
	}
	// Once the members have seats, the team's site needs none, nor do their drives (K4).
	site := owned
	site.Kind = entitle.TeamSite
	drive := mailbox("m-0")
	drive.Kind = entitle.OneDrive
	for _, o := range result(t, s, backup(key, "srv-1", "sites", site, drive)) {
		if len(o.Assigned) > 0 || o.Skipped != "" {
			t.Errorf("%s took %d", o.Kind, len(o.Assigned))
		}
	}
}

// K5: all or nothing per object, in the given order; later objects still try; what cannot be backed up is told apart.
func TestK5ObjectByObject(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 3)
	external := mailbox("x")
	external.Users[0].External = true
	objects := result(t, s, backup(key, "srv-1", "nightly",
		mailbox("ann"), group("big", "ann", "b", "c", "d"), external, entitle.Object{ID: alias("room"), Kind: entitle.RoomMailbox}, group("small", "b", "ann"), mailbox("e"), mailbox("f")))
	want := []events.JobObject{
		{Assigned: []string{alias("ann")}},
		{Skipped: events.SeatsMissing, SeatsMissing: 1, Held: []string{alias("ann")}}, // needs 3, 2 are free
		{Skipped: events.Unsupported},
		{},
		{Assigned: []string{alias("b")}, Held: []string{alias("ann")}},
		{Assigned: []string{alias("e")}},
		{Skipped: events.SeatsMissing, SeatsMissing: 1},
	}
	for i, o := range objects {
		w := want[i]
		if o.Skipped != w.Skipped || o.SeatsMissing != w.SeatsMissing || !slices.Equal(o.Assigned, w.Assigned) || !slices.Equal(o.Held, w.Held) {
			t.Errorf("object %d: %+v, want %+v", i, o, w)
		}
	}
	last := s.Entries[len(s.Entries)-1].Events[0].Data.(*events.JobStarted)
	if last.Skipped != 2 || last.SeatsMissing != 3 { // c, d and f
		t.Errorf("the job as a whole lacks %d seats for %d objects", last.SeatsMissing, last.Skipped)
	}
}

// K5: repeating consumes nothing new, and is no news; a job start replaces that job's objects on that instance.
func TestK5Repeating(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 3)
	job := backup(key, "srv-1", "nightly", mailbox("ann"), group("g", "ann", "bob"))
	s.Do("acme", job)
	if evs := s.Do("acme", job); len(evs) > 0 {
		t.Errorf("the same again: %v", evs[0].Data.Kind())
	}
	if done, _ := outcomes(t, s, job); done != 2 {
		t.Errorf("the same again is answered with %d objects", done)
	}
	if evs := s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann"))); len(evs) != 1 {
		t.Errorf("fewer objects: %d events", len(evs))
	}
	if used := s.State("acme").UsedSeats(key); used != 2 {
		t.Errorf("%d seats are used", used)
	}
	if evs := s.Do("acme", backup(key, "srv-1", "weekly", mailbox("ann"))); len(evs) != 1 || s.State("acme").UsedSeats(key) != 2 {
		t.Errorf("another job: %d events", len(evs))
	}
}

// K2, K5: a second instance with the same key consumes nothing for the same users; of another key it does.
func TestK5SecondInstance(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 2)
	s.Do("acme", license.ActivateKey{Key: key, Instance: "srv-2"})
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann"), mailbox("bob")))
	if done, skipped := outcomes(t, s, backup(key, "srv-2", "nightly", mailbox("bob"), mailbox("ann"))); done != 2 || skipped != 0 {
		t.Errorf("the same users elsewhere: %d and %d", done, skipped)
	}
	if seat, _ := seatOf(s, key, alias("ann")); seat.Instance != "srv-1" {
		t.Errorf("it is now a seat of %s", seat.Instance)
	}
	if _, skipped := outcomes(t, s, backup(key, "srv-2", "more", mailbox("eve"))); skipped != 1 {
		t.Error("a third user fits two seats")
	}
	other := activated(s, 1)
	if done, _ := outcomes(t, s, backup(other, "srv-1", "nightly", mailbox("ann"))); done != 1 || s.State("acme").UsedSeats(other) != 1 {
		t.Error("a key counts its own users")
	}
}

// K5: shrunk groups keep their seats; a grown one that no longer fits is skipped whole.
func TestK5ShrunkAndGrown(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 4)
	s.Do("acme", backup(key, "srv-1", "nightly", group("g", "a", "b", "c")))
	s.Do("acme", backup(key, "srv-1", "nightly", group("g", "a")))
	if used := s.State("acme").UsedSeats(key); used != 3 {
		t.Errorf("shrunk: %d seats are used", used)
	}
	o := result(t, s, backup(key, "srv-1", "nightly", group("g", "a", "b", "c", "d", "e")))[0]
	if o.Skipped != events.SeatsMissing || o.SeatsMissing != 1 || s.State("acme").UsedSeats(key) != 3 {
		t.Errorf("grown: %+v, %d used", o, s.State("acme").UsedSeats(key))
	}
}

func TestK5Refusals(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 4)
	other := order(s, 1)
	for _, tt := range []struct {
		c    license.StartJob
		want license.Code
	}{
		{backup("none", "srv-1", "j"), license.NotFound},
		{backup(key, "srv-2", "j"), license.KeyNotActivated},
		{backup(other, "srv-1", "j"), license.KeyNotActivated},
		{backup(key, "srv 1", "j"), license.Invalid},
		{backup(key, "srv-1", ""), license.Invalid},
		{license.StartJob{Key: key, Instance: "srv-1", Job: "j", Kind: "copy"}, license.Invalid},
		{license.StartJob{Key: key, Instance: "srv-2", Job: "j", Kind: license.RestoreJob}, license.KeyNotActivated},
		{backup(key, "srv-1", "j", mailbox("ann"), entitle.Object{ID: alias("x"), Kind: "mailbox"}), license.Invalid},
	} {
		s.Refused("acme", tt.c, tt.want)
	}
	_, err := s.Try("acme", backup(key, "srv-1", "j", mailbox("ann"), entitle.Object{ID: alias("x"), Kind: "mailbox"}))
	var refusal *license.Refusal
	if !errors.As(err, &refusal) || refusal.Field != "objects[1].kind" {
		t.Errorf("%+v", refusal)
	}
	s.Refused("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "j"}, license.NotFound)
	s.Do("acme", backup(key, "srv-1", "j"))
	s.Do("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "j"})
	s.Refused("acme", license.RemoveJob{Key: key, Instance: "srv-1", Job: "j"}, license.NotFound)
}

// A job too large for one event takes several, each within its bound; together they say the same, and a repetition is no news.
func TestK5LargeJob(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 20_000)
	job := backup(key, "srv-1", "all", append(mailboxes("u", 0, 2500), group("everybody", append(names("u", 2500), names("v", 4000)...)...), group("g", "u-0"))...)
	n := len(s.Entries)
	objects := result(t, s, job)
	if len(objects) != 2502 {
		t.Fatalf("%d objects", len(objects))
	}
	parts, assigned, everybody := 0, 0, 0
	for _, e := range s.Entries[n:] {
		for _, ev := range e.Events {
			d := ev.Data.(*events.JobStarted)
			if parts++; d.Part != parts || d.Parts < 5 {
				t.Errorf("part %d of %d comes as the %dth", d.Part, d.Parts, parts)
			}
			for _, o := range d.Objects {
				assigned += len(o.Assigned)
				if o.Continued || o.ID == alias("everybody") {
					everybody += len(o.Assigned) + len(o.Held)
				}
			}
			if b, err := events.AppendEvent(nil, &ev); err != nil || len(b) > 57_000 {
				t.Errorf("part %d has %d bytes, %v", d.Part, len(b), err)
			}
		}
	}
	if assigned != 6500 || everybody != 6500 || s.State("acme").UsedSeats(key) != 6500 {
		t.Errorf("%d assigned, %d of the group, %d used", assigned, everybody, s.State("acme").UsedSeats(key))
	}
	if evs := s.Do("acme", job); len(evs) > 0 {
		t.Errorf("the same again makes %d events", len(evs))
	}
}

// K6: a seat can be released from 30 x 24 h after it was assigned, to the second; before, the refusal says when.
func TestK6Lock(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 1)
	s.At("2026-02-11T12:00:00Z")
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	until := clockTime(t, "2026-03-13T12:00:00Z")
	for _, at := range []string{"2026-02-11T12:00:00Z", "2026-03-13T11:59:59Z", "2026-03-13T11:59:59.999Z"} {
		_, err := s.At(at).Try("acme", license.ReleaseSeat{Key: key, Seat: alias("ann")})
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.ReleaseLocked || !refusal.Until.Equal(until) {
			t.Errorf("at %s: %v", at, err)
		}
	}
	s.At("2026-03-13T12:00:00Z")
	seat, _ := seatOf(s, key, alias("ann"))
	d := s.Do("acme", license.ReleaseSeat{Key: key, Seat: alias("ann")})[0].Data.(*events.SeatReleased)
	if d.Seat != seat.ID() || d.User != alias("ann") || d.Instance != "srv-1" || s.State("acme").UsedSeats(key) != 0 {
		t.Errorf("released %+v", d)
	}
	s.Refused("acme", license.ReleaseSeat{Key: key, Seat: alias("ann")}, license.NotFound)

	// The job still has the mailbox: its next run assigns anew, and the lock starts again.
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann")))
	s.Refused("acme", license.ReleaseSeat{Key: key, Seat: alias("ann")}, license.ReleaseLocked)
	s.Refused("acme", license.ReleaseSeat{Key: "none", Seat: alias("ann")}, license.NotFound)
}

// K6, K10: a seat can be released by its id, which tells nothing of its user; a reassigned seat has another one.
func TestK10ReleaseByID(t *testing.T) {
	s := story(t, "2026-01-10T10:00:00Z")
	key := activated(s, 3)
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("ann"), mailbox("bob"), mailbox("eve")))
	bob, _ := seatOf(s, key, alias("bob"))
	if err := events.CheckULID(bob.ID()); err != nil || strings.Contains(bob.ID(), "bob") {
		t.Errorf("the seat is %s, %v", bob.ID(), err)
	}
	s.At("2026-02-09T10:00:00Z")
	s.Do("acme", license.ReleaseSeat{Key: key, Seat: bob.ID()})
	if _, ok := seatOf(s, key, alias("bob")); ok || s.State("acme").UsedSeats(key) != 2 {
		t.Error("another seat was released")
	}
	s.Refused("acme", license.ReleaseSeat{Key: key, Seat: bob.ID()}, license.NotFound)
	s.Do("acme", backup(key, "srv-1", "nightly", mailbox("bob")))
	if again, _ := seatOf(s, key, alias("bob")); again.ID() == bob.ID() {
		t.Error("a seat that was released is there again")
	}
	other := activated(s, 1)
	ann, _ := seatOf(s, key, alias("ann"))
	s.Refused("acme", license.ReleaseSeat{Key: other, Seat: ann.ID()}, license.NotFound)
}

// Whatever instances do, no key ever has more users than seats, and what a state says of seats is what its events say (K2, K5, K6, K8).
func TestSeatsNeverOverAllocated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := ledgertest.NewStory(t, "2026-01-10T10:00:00Z").Ready("acme")
		key := order(s, rapid.IntRange(1, 6).Draw(t, "seats"))
		for _, instance := range []string{"srv-1", "srv-2"} {
			s.Do("acme", license.ActivateKey{Key: key, Instance: instance})
		}
		users := rapid.SliceOfN(rapid.SampledFrom(names("u", 9)), 1, 5)
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			s.AtTime(s.Now.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "wait"))))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1, 2:
				var objects []entitle.Object
				for range rapid.IntRange(0, 4).Draw(t, "objects") {
					objects = append(objects, group("g", users.Draw(t, "members")...))
				}
				_, _ = s.Try("acme", backup(key, rapid.SampledFrom([]string{"srv-1", "srv-2"}).Draw(t, "instance"), "nightly", objects...))
			case 3:
				_, _ = s.Try("acme", license.ReleaseSeat{Key: key, Seat: alias(rapid.SampledFrom(names("u", 9)).Draw(t, "user"))})
			case 4:
				_, _ = s.Try("acme", license.AddSeats{Key: key, Seats: 1})
			default:
				_, _ = s.Try("acme", license.RenewKey{Key: key, Seats: rapid.IntRange(1, 6).Draw(t, "renewed")})
			}
			k, _ := s.State("acme").Key(key)
			n := 0
			for range s.State("acme").Seats(key) {
				n++
			}
			if used := s.State("acme").UsedSeats(key); used != n || n > k.Seats {
				t.Fatalf("%d seats of %d are used, %d users have one", used, k.Seats, n)
			}
		}
	})
}
