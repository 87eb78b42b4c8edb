package events_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
)

// Ids of one command rise, are valid and carry its time; the same seed gives the same ids, another one others.
func TestIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seed, other events.Seed
		copy(seed[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "seed"))
		copy(other[:], seed[:])
		other[rapid.IntRange(0, 15).Draw(t, "place")]++
		at := time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "time")).UTC()
		n := rapid.IntRange(1, 600).Draw(t, "ids") // beyond one carry

		ids, again, others := events.NewIDs(seed, at), events.NewIDs(seed, at), events.NewIDs(other, at)
		list := make([]string, n)
		for i := range list {
			list[i] = ids.Next()
			if err := events.CheckULID(list[i]); err != nil {
				t.Fatal(err)
			}
			if i > 0 && list[i] <= list[i-1] {
				t.Fatalf("id %d: %s after %s", i, list[i], list[i-1])
			}
			if same := again.Next(); same != list[i] {
				t.Fatalf("id %d: %s, then %s", i, list[i], same)
			}
		}
		if o := others.Next(); slices.Contains(list, o) {
			t.Fatalf("another seed gives %s too", o)
		}
		if at10 := events.ULIDAt(at, [10]byte{})[:10]; list[0][:10] != at10 || list[n-1][:10] != at10 {
			t.Fatalf("%s to %s are not of %s", list[0], list[n-1], at)
		}
		if later := events.NewIDs(seed, at.Add(time.Millisecond)).Next(); later <= list[n-1] {
			t.Fatalf("%s a millisecond after %s", later, list[n-1])
		}
	})
}

// Counting up carries as far as it must.
func TestIDsCarry(t *testing.T) {
	ids, last := events.NewIDs(events.Seed{}, eventstest.Time("2026-03-11T04:00:00Z")), ""
	for i := range 1<<16 + 2 {
		id := ids.Next()
		if id <= last {
			t.Fatalf("id %d: %s after %s", i, id, last)
		}
		last = id
	}
}

func TestULIDAt(t *testing.T) {
	// The time of the example in the ULID specification, 1469918176385.
	at := time.UnixMilli(1469918176385)
	if got := events.ULIDAt(at, [10]byte{}); got != "01ARYZ6S410000000000000000" {
		t.Error(got)
	}
	if got := events.ULIDAt(at, [10]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255}); got != "01ARYZ6S41ZZZZZZZZZZZZZZZZ" {
		t.Error(got)
	}
}

func TestCheckULID(t *testing.T) {
	for _, s := range []string{"01ARYZ6S410000000000000000", "00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"} {
		if err := events.CheckULID(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{
		"", "01ARYZ6S41000000000000000", "01ARYZ6S4100000000000000000", "01aryz6s410000000000000000", "80000000000000000000000000",
		"01ARYZ6S41000000000000000I", "01ARYZ6S41000000000000000L", "01ARYZ6S41000000000000000O", "01ARYZ6S41000000000000000U", "01ARYZ6S41000000000000000 ",
		"01ARYZ6S4100000000000000-0", "01ARYZ6S410000000000000\x00\xff0",
	} {
		if err := events.CheckULID(s); err == nil {
			t.Errorf("%q is valid", s)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, s := range []string{"acme", "pc-17", "A_b-9", "-", "0", strings.Repeat("n", events.MaxNameLength)} {
		if err := events.CheckName(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "a b", "a.b", "a/b", "größe", "a\n", "a\x00", "😀", strings.Repeat("n", events.MaxNameLength+1), strings.Repeat("n", 1<<20)} {
		err := events.CheckName(s)
		if err == nil {
			t.Errorf("%.80q is valid", s)
		} else if len(err.Error()) > 500 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
	}
}

func TestCheckMeter(t *testing.T) {
	for _, s := range []string{"m", "backup_bytes", "a b", "com.example/x:y~[0]<>&", strings.Repeat("m", events.MaxMeterLength)} {
		if err := events.CheckMeter(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", `a"b`, `a\b`, "größe", "a\tb", "a\x7f", strings.Repeat("m", events.MaxMeterLength+1)} {
		if err := events.CheckMeter(s); err == nil {
			t.Errorf("%q is valid", s)
		}
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		status            events.Status
		assigned          bool
		serving, billable bool
	}{
		{events.Trial, true, true, false},
		{events.Paid, true, true, true},
		{events.Paid, false, false, false}, // L5: by use
		{events.Expired, true, false, false},
		{events.Released, true, false, false},
	} {
		l := events.License{Status: c.status, Assigned: c.assigned}
		if l.Serving() != c.serving || l.Billable() != c.billable {
			t.Errorf("%s, assigned %v: serving %v, billable %v", c.status, c.assigned, l.Serving(), l.Billable())
		}
	}
	// U4: ids of people are pseudonyms.
	for kind, person := range map[events.AssigneeKind]bool{
		events.Endpoint: false, events.Administrator: true, events.DomainUser: true, events.Domain: false, events.Branding: false,
	} {
		if kind.Person() != person {
			t.Errorf("%s: %v", kind, kind.Person())
		}
	}
	if at := eventstest.Time("2026-03-11T04:00:00Z"); eventstest.ULID(at, 2) <= eventstest.ULID(at, 1) {
		t.Error("the second id does not follow the first")
	}
}
