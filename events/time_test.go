package events_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
)

func TestParseTime(t *testing.T) {
	for _, s := range []string{
		"2026-03-11T04:00:00Z", "2026-03-11T04:00:00.5Z", "2026-03-11T04:00:00.05Z", "2026-03-11T04:00:00.005Z", "2026-03-11T04:00:00.999Z",
		"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2026-01-31T23:59:59Z",
		"1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z",
	} {
		got, err := events.ParseTime(s)
		want, wantErr := time.Parse(time.RFC3339Nano, s)
		if err != nil || wantErr != nil || got != want || events.FormatTime(got) != s {
			t.Errorf("%s: %s, %v", s, got, err)
		}
		if _, err := events.ParseTime([]byte(s)); err != nil {
			t.Errorf("%s as bytes: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "Z", "2026-03-11", "2026-03-11T04:00Z", "2026-03-11T04:00:00", "2026-03-11T04:00:00+00:00", "2026-03-11T04:00:00.Z", "2026-03-11T04:00:00.0Z",
		"2026-03-11T04:00:00.50Z", "2026-03-11T04:00:00.500Z", "2026-03-11T04:00:00.0005Z", "2026-03-11T04:00:00,5Z", "2026-03-11 04:00:00Z",
		"2026-03-11t04:00:00z", "2026-3-11T04:00:00Z", "2026-03-11T4:00:00Z", "0000-01-01T00:00:00Z", "2026-00-11T04:00:00Z", "2026-13-11T04:00:00Z",
		"2026-03-00T04:00:00Z", "2026-03-32T04:00:00Z", "2026-04-31T04:00:00Z", "2026-02-29T04:00:00Z", "1900-02-29T04:00:00Z", "2026-03-11T24:00:00Z",
		"2026-03-11T04:60:00Z", "2016-12-31T23:59:60Z", "-026-03-11T04:00:00Z", "+026-03-11T04:00:00Z", "20:6-03-11T04:00:00Z", "202/-03-11T04:00:00Z",
		"2026-03-11T04:00:00.aZ", "2026-03-11T04:00:00.1aZ", "2026-03-11T04:00:00..5Z", "12026-03-11T04:00:00Z", " 2026-03-11T04:00:00Z", "2026-03-11T04:00:00Z ",
		"2026-03-11T04-00-00Z", "2026-03-11T04:00:001Z", "２026-03-11T04:00:00Z",
	} {
		if got, err := events.ParseTime(s); err == nil {
			t.Errorf("%q is %s", s, got)
		}
		if got, err := events.ParseTime([]byte(s)); err == nil {
			t.Errorf("%q as bytes is %s", s, got)
		}
	}
}

// The canonical text is that of package time, without trailing zeros; what is written is read back.
func TestTimeAgainstPackageTime(t *testing.T) {
	first, last := eventstest.Time("0001-01-01T00:00:00Z").UnixMilli(), eventstest.Time("9999-12-31T23:59:59.999Z").UnixMilli()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(first, last).Draw(t, "milliseconds")).UTC()
		s := events.FormatTime(at)
		if want := at.Format(time.RFC3339Nano); s != want {
			t.Fatalf("got %s, want %s", s, want)
		}
		if again, err := events.ParseTime(s); err != nil || again != at {
			t.Fatalf("%s was read as %s (%v)", s, again, err)
		}
		within := time.Duration(rapid.Int64Range(0, int64(time.Millisecond)-1).Draw(t, "nanoseconds"))
		zone := time.FixedZone("", rapid.IntRange(-43200, 43200).Draw(t, "offset"))
		if got := events.Stamp(at.Add(within).In(zone)); got != at {
			t.Fatalf("%s was stamped as %s", at.Add(within), got)
		}
	})
}

// ParseTime accepts exactly the texts that package time reads and that are canonical.
func TestParseTimeAgainstPackageTime(t *testing.T) {
	text := rapid.StringMatching(`(0000|1900|20[0-9]{2}|9999)-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,4})?(Z|\+00:00)`)
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		got, err := events.ParseTime(s)
		want, wantErr := time.Parse(time.RFC3339Nano, s)
		canonical := wantErr == nil && want.Year() > 0 && want.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano) == s
		if canonical != (err == nil) || canonical && got != want {
			t.Fatalf("%s: %s, %v; package time: %s, %v", s, got, err, want, wantErr)
		}
	})
}

// Outside the years that entries can hold, a time still has a text (for messages).
func TestFormatTimeOutsideBounds(t *testing.T) {
	for want, at := range map[string]time.Time{
		"10000-01-01T00:00:00Z": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-11T04:00:00Z":  time.Date(2026, 3, 11, 5, 0, 0, 999_999, time.FixedZone("CET", 3600)),
	} {
		if got := events.FormatTime(at); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// D1, D3: days and months are of UTC; what ends exclusively at 00:00:00 does not touch that day.
func TestDate(t *testing.T) {
	for _, c := range []struct{ at, date, lastBefore, month string }{
		{"2026-02-10T00:00:00Z", "2026-02-10", "2026-02-09", "2026-02"},
		{"2026-02-10T00:00:00.001Z", "2026-02-10", "2026-02-10", "2026-02"},
		{"2026-02-09T23:59:59.999Z", "2026-02-09", "2026-02-09", "2026-02"},
		{"2026-03-01T00:00:00Z", "2026-03-01", "2026-02-28", "2026-03"},
		{"2024-03-01T00:00:00Z", "2024-03-01", "2024-02-29", "2024-03"},
		{"2026-01-01T00:00:00Z", "2026-01-01", "2025-12-31", "2026-01"},
		{"1970-01-01T00:00:00Z", "1970-01-01", "1969-12-31", "1970-01"},
		{"1969-12-31T23:59:59.999Z", "1969-12-31", "1969-12-31", "1969-12"},
		{"0001-01-01T12:00:00Z", "0001-01-01", "0001-01-01", "0001-01"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31", "9999-12-31", "9999-12"},
	} {
		at := eventstest.Time(c.at)
		d := events.DateOf(at)
		if d.String() != c.date || events.LastDateBefore(at).String() != c.lastBefore || d.Month().String() != c.month || events.MonthOf(at) != d.Month() {
			t.Errorf("%s: date %s, last before %s, month %s", c.at, d, events.LastDateBefore(at), d.Month())
		}
		if d.Start().After(at) || !(d + 1).Start().After(at) || d.Start().Location() != time.UTC {
			t.Errorf("%s does not lie in its day, which starts %s", c.at, d.Start())
		}
	}
	// The day is that of UTC, wherever the time was taken (D1).
	if d := events.DateOf(time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600))); d.String() != "2026-02-28" {
		t.Errorf("00:30 in a zone one hour ahead is %s", d)
	}
	for _, s := range []string{"", "2026-02-29", "2026-04-31", "2026-13-01", "2026-00-01", "2026-1-01", "2026-01-1", "2026-01-01T00:00:00Z", " 2026-01-01", "26-01-01", "10000-01-01", "-001-01-01"} {
		if d, err := events.ParseDate(s); err == nil {
			t.Errorf("%q is %s", s, d)
		}
	}
}

func TestMonth(t *testing.T) {
	for _, c := range []struct {
		month, first, last, end string
		days                    int
	}{
		{"2026-01", "2026-01-01", "2026-01-31", "2026-02-01T00:00:00Z", 31},
		{"2026-02", "2026-02-01", "2026-02-28", "2026-03-01T00:00:00Z", 28},
		{"2024-02", "2024-02-01", "2024-02-29", "2024-03-01T00:00:00Z", 29},
		{"2000-02", "2000-02-01", "2000-02-29", "2000-03-01T00:00:00Z", 29},
		{"2100-02", "2100-02-01", "2100-02-28", "2100-03-01T00:00:00Z", 28},
		{"2026-04", "2026-04-01", "2026-04-30", "2026-05-01T00:00:00Z", 30},
		{"2025-12", "2025-12-01", "2025-12-31", "2026-01-01T00:00:00Z", 31},
	} {
		m := eventstest.Month(c.month)
		if m.First().String() != c.first || m.Last().String() != c.last || events.FormatTime(m.End()) != c.end || m.Days() != c.days || m.String() != c.month {
			t.Errorf("%s: %s to %s, %d days, ends %s", m, m.First(), m.Last(), m.Days(), m.End())
		}
		// D1: a month is [1st 00:00, next 1st 00:00).
		if events.MonthOf(m.Start()) != m || events.MonthOf(m.End()) != m+1 || events.MonthOf(m.End().Add(-1)) != m {
			t.Errorf("%s does not end where the next one starts", m)
		}
	}
	if m := events.MonthOf(time.Date(2026, 3, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600))); m.String() != "2026-02" {
		t.Errorf("1 March 00:30 in a zone one hour ahead is in %s", m)
	}
	for _, s := range []string{"", "2026", "2026-13", "2026-00", "2026-1", "2026-01-01", " 2026-01", "10000-01"} {
		if m, err := events.ParseMonth(s); err == nil {
			t.Errorf("%q is %s", s, m)
		}
	}
}

// Every day and month that has a text is read back from it; others have none.
func TestDateAndMonthRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-62167219200-10*86400, 253402300800+10*86400).Draw(t, "seconds"), 0).UTC()
		d, m := events.DateOf(at), events.MonthOf(at)
		if got := d.String(); at.Format(time.DateOnly) != got {
			t.Fatalf("%s is on %s", at, got)
		}
		type both struct {
			D events.Date
			M events.Month
		}
		b, err := json.Marshal(both{d, m})
		if inside := at.Year() >= 0 && at.Year() <= 9999; inside != (err == nil) {
			t.Fatalf("%s is written as %s, %v", at, b, err)
		}
		if err != nil {
			return
		}
		var again both
		if err := json.Unmarshal(b, &again); err != nil || again != (both{d, m}) {
			t.Fatalf("%s was read as %v (%v)", b, again, err)
		}
	})
	byMonth := map[events.Month]int{eventstest.Month("2026-03"): 1}
	if b, err := json.Marshal(byMonth); err != nil || string(b) != `{"2026-03":1}` {
		t.Errorf("a map by month: %s, %v", b, err)
	}
}
