package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// What decodes is written again as it was; whatever else comes is refused as malformed, or as of a kind that is not known. A record of
// such lines is read as they are, where their numbers follow each other.
func FuzzDecodeEntry(f *testing.F) {
	for _, e := range allSampleEntries() {
		f.Add(line(f, &e))
	}
	for _, s := range []string{"", "{", allocatedLine, usageLine, catalogLine, `{"entry":0,"time":"`, usageLine[:len(usageLine)-5]} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := events.DecodeEntry(b); err == nil {
			checkCanonical(t, b)
			checkRecord(t, b)
		} else if unknown := (*events.UnknownKindError)(nil); !errors.Is(err, events.ErrMalformed) && !errors.As(err, &unknown) {
			t.Fatal(err)
		}
	})
}

// checkRecord puts a line into records, once and twice: the second has no number that follows.
func checkRecord(t *testing.T, line []byte) {
	t.Helper()
	e, err := events.DecodeEntry(line)
	if err != nil {
		t.Fatal(err)
	}
	once := append(bytes.Clone(line), '\n')
	r := events.Record{ID: "r", First: e.Number, Body: once}
	if all, err := events.DecodeRecord(&r); err != nil || len(all) != 1 || all[0].Number != e.Number {
		t.Fatalf("a record of one line holds %d entries, %v\n%s", len(all), err, line)
	}
	for _, wrong := range []events.Record{
		{ID: "r", First: e.Number + 1, Body: once}, {ID: "r", First: e.Number, Body: line}, {ID: "r", First: e.Number, Body: append(once, once...)},
	} {
		if all, err := events.DecodeRecord(&wrong); !errors.Is(err, events.ErrMalformed) || all != nil {
			t.Fatalf("a record that is none is read as %d entries, %v\n%s", len(all), err, wrong.Body)
		}
	}
}

func FuzzParseQuantity(f *testing.F) {
	for _, s := range []string{"0", "1234", "0.5", "1.50", "123456789.123456789", "999999999999999999", "1e3", "-1", "00", "1.", ".5", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := events.ParseQuantity(s)
		if (err == nil) != isQuantity(s) {
			t.Fatalf("%q: %s, %v", s, q, err)
		}
		if err != nil {
			return
		}
		if again, err := events.ParseQuantity(q.Append(nil)); err != nil || again != q {
			t.Fatalf("%q: %s was read as %s (%v)", s, q, again, err)
		}
		if !json.Valid([]byte(q.String())) || !q.Decimal().Equal(decimal.RequireFromString(s)) {
			t.Fatalf("%q is %s", s, q)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-03-11T04:00:00Z", "2026-03-11T04:00:00.05Z", "2024-02-29T23:59:59.999Z", "2026-02-29T00:00:00Z", "0001-01-01T00:00:00Z", "2016-12-31T23:59:60Z", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := events.ParseTime(s)
		want, wantErr := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			if wantErr == nil && want.Year() > 0 && want.Location() == time.UTC && events.FormatTime(want) == s {
				t.Fatalf("%q is canonical: %v", s, err)
			}
			return
		}
		if wantErr != nil || got != want || events.FormatTime(got) != s || events.Stamp(got) != got {
			t.Fatalf("%q is %s; package time: %s, %v", s, got, want, wantErr)
		}
	})
}

// An amount that is read is the number that the text says, and is written so that it is read as the same again.
func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"0", "-5.00", "6.99", "0.0060", "007", "1.", ".5", "1e3", "-", "--1", "123456789012345678901234", "-0.00", "+1", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := events.ParseMoney(s)
		if plain := regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`).MatchString(s) && len(s) <= events.MaxMoneyLength; plain != (err == nil) {
			t.Fatalf("%q: %s, %v", s, m, err)
		}
		if err != nil {
			return
		}
		if !m.Equal(decimal.RequireFromString(s)) {
			t.Fatalf("%q is read as %s", s, m)
		}
		text, err := json.Marshal(m)
		if err != nil {
			if len(m.String()) <= events.MaxMoneyLength {
				t.Fatalf("%q cannot be written: %v", s, err)
			}
			return
		}
		var again events.Money
		if err := json.Unmarshal(text, &again); err != nil || !again.Equal(m.Decimal) || again.String() != m.String() {
			t.Fatalf("%q is written as %s and read as %s (%v)", s, text, again, err)
		}
	})
}

// Days and months have one text each, which is the one that is read.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2026-03-11", "2024-02-29", "2026-02-29", "2026-03", "0000-01-01", "0000-12", "9999-12-31", "2026-3-1", "2026-13", "-001-01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := events.ParseDate(s)
		want, wantErr := time.Parse(time.DateOnly, s)
		if (err == nil) != (wantErr == nil) || err == nil && (d.String() != s || !d.Start().Equal(want)) {
			t.Fatalf("day %q is %s, %v; package time: %s, %v", s, d, err, want, wantErr)
		}
		m, err := events.ParseMonth(s)
		want, wantErr = time.Parse("2006-01", s)
		if (err == nil) != (wantErr == nil) || err == nil && (m.String() != s || !m.Start().Equal(want)) {
			t.Fatalf("month %q is %s, %v; package time: %s, %v", s, m, err, want, wantErr)
		}
	})
}
