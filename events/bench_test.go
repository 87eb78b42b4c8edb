package events_test

import (
	"fmt"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/events/eventstest"
)

// usageEntry is a report of n readings: four meters, once a minute.
func usageEntry(n int) events.Entry {
	at := eventstest.Time("2026-03-11T04:00:00Z")
	u := &events.UsageRecorded{Agent: "pc-17", Spool: "b3c1", Seq: 42, Company: "globex", Readings: make([]events.Reading, n)}
	for i := range u.Readings {
		u.Readings[i] = events.Reading{
			Meter: []string{"backup_bytes", "storage_bytes", "files_changed", "cpu_seconds"}[i%4],
			Value: eventstest.Quantity(fmt.Sprint(123456 + i*7919)),
			At:    at.Add(time.Duration(i) * time.Minute),
		}
	}
	u.Digest = events.DigestReadings(u.Readings)
	return eventstest.Entry(12, at, "acme", u)
}

func licenseEntry() events.Entry {
	at := eventstest.Time("2026-03-11T04:00:00Z")
	return eventstest.Entry(12, at, "acme", &events.LicenseAllocated{Source: events.FromGlobalPool, License: events.License{
		ID: eventstest.ULID(at, 1), Type: "server", Status: events.Paid, Company: "globex", Assigned: true,
		Assignee:  events.Assignee{Kind: events.Endpoint, ID: "pc-17"},
		AutoRenew: true, Created: at, ExpiresAt: eventstest.Time("2026-04-01T00:00:00Z"),
	}})
}

func BenchmarkEntry(b *testing.B) {
	for _, c := range []struct {
		name string
		e    events.Entry
	}{{"usage of 100", usageEntry(100)}, {"usage of 500", usageEntry(500)}, {"license", licenseEntry()}} {
		text := line(b, &c.e)
		b.Run("encode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			buf := make([]byte, 0, events.MaxEntry)
			for b.Loop() {
				if _, err := events.AppendEntry(buf, &c.e); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, err := events.DecodeEntry(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A report's readings cost no allocation each, neither written nor read: their meters repeat.
func TestReadingsDoNotAllocate(t *testing.T) {
	few, many := usageEntry(20), usageEntry(500)
	decode := func(e *events.Entry) float64 {
		text := line(t, e)
		return testing.AllocsPerRun(100, func() {
			if _, err := events.DecodeEntry(text); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := decode(&few), decode(&many); a != b || b > 20 {
		t.Errorf("decoding 20 readings takes %v allocations, 500 take %v", a, b)
	}
	buf := make([]byte, 0, events.MaxEntry)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := events.AppendEntry(buf, &many); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("encoding takes %v allocations", n)
	}
}
