// Package eventstest holds events for tests: a sample of every kind, and histories that could have happened. Only tests import it.
//
//	for _, ev := range eventstest.Samples() { ... }                 // every kind, with and without its optional fields
//	e := eventstest.Entry(7, at, "acme", &events.MonthClosed{...})  // an entry around events
//	entries := eventstest.History(seed, 1000)                       // a ledger's first thousand entries
//	records := eventstest.Records(entries, seed)                    // the same entries as some stream might hold them
//
// The same arguments give the same result, so a failing test needs to print only its seed. Functions panic where they are called wrongly.
package eventstest

import (
	"crypto/sha256"
	"fmt"
	"time"

	"licenseledger/events"
)

// Time reads "2026-03-11T04:00:00Z".
func Time(s string) time.Time { return must(events.ParseTime(s)) }

// Date reads "2026-03-11".
func Date(s string) events.Date { return must(events.ParseDate(s)) }

// Month reads "2026-03".
func Month(s string) events.Month { return must(events.ParseMonth(s)) }

// Money reads "6.99".
func Money(s string) events.Money { return must(events.ParseMoney(s)) }

// Quantity reads "1234.5".
func Quantity(s string) events.Quantity { return must(events.ParseQuantity(s)) }

// ULID is the nth id, from 1, of a command decided at t.
func ULID(t time.Time, n int) string {
	ids := events.NewIDs(events.Seed{}, t)
	for range n - 1 {
		ids.Next()
	}
	return ids.Next()
}

// Entry is a command of the operator with events that took effect when it was made. Its command id, request and salt follow from the number.
func Entry(number uint64, at time.Time, provider string, data ...events.Data) events.Entry {
	key := fmt.Sprintf("k%d", number)
	e := events.Entry{
		Number: number, Time: at, Provider: provider, Actor: "operator", Command: "http/operator/" + key,
		Request: sha256.Sum256([]byte(key)), Salt: salt(number), Events: make([]events.Event, len(data)),
	}
	for i, d := range data {
		e.Events[i].Data = d
	}
	return e
}

func salt(number uint64) events.Salt {
	sum := sha256.Sum256(fmt.Appendf(nil, "salt %d", number))
	return events.Salt(sum[:16])
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
