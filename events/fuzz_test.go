package events_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// What decodes is written again as it was; whatever comes, nothing panics.
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
		} else if unknown := (*events.UnknownKindError)(nil); !errors.Is(err, events.ErrMalformed) && !errors.As(err, &unknown) {
			t.Fatal(err)
		}
	})
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
