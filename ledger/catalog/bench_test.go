package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"licenseledger/events"
)

// manyUses is a large provider: n uses of n/2 licenses of three types in 200 companies, in the order of license ids.
func manyUses(m events.Month, n int) []Use {
	r := rand.New(rand.NewPCG(1, 2))
	ids := events.NewIDs(events.Seed{1}, m.Start())
	uses := make([]Use, 0, n)
	for len(uses) < n {
		license := ids.Next()
		typ := []string{"server", "desktop", "advanced-rebranding"}[r.IntN(3)]
		day := 1 + r.IntN(m.Days()-1)
		end := day + r.IntN(m.Days()-day+1)
		a := used(license+"@"+fmt.Sprint("company-", r.IntN(200)), typ, m, day, end)
		b := used(license+"@"+fmt.Sprint("company-", r.IntN(200)), typ, m, end, m.Days())
		b.Created = a.Created
		uses = append(uses, a, b)
	}
	return uses
}

func BenchmarkRate(b *testing.B) {
	m := mon("2026-03")
	sorted := manyUses(m, 100_000)
	shuffled := slices.Clone(sorted)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, policy := range []events.Policy{events.DaysActive, events.FullMonth, events.Peak} {
		c := standard(m)
		for _, id := range []string{"server", "desktop"} {
			c = with(c, id, func(t *events.Type) { t.Policy = policy })
		}
		for name, uses := range map[string][]Use{"by-license": sorted, "shuffled": shuffled} {
			b.Run(strings.Join([]string{string(policy), name}, "/"), func(b *testing.B) {
				for b.Loop() {
					if r, err := Rate(Input{Month: m, Catalog: c, Currency: "USD", Uses: uses}); err != nil || len(r.Rows) < len(uses) {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(uses)), "ns/use")
			})
		}
	}
}

func BenchmarkRateReadings(b *testing.B) {
	m := mon("2026-03")
	var days []MeterDay
	for i := range 3000 {
		days = append(days, storage(m, fmt.Sprint("company-", i%200), fmt.Sprint("pc-", i), fmt.Sprint(gib+i), m.Days())...)
	}
	for b.Loop() {
		if r, err := Rate(Input{Month: m, Catalog: standard(m), Currency: "USD", Readings: days}); err != nil || len(r.Lines) != 200 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(days)), "ns/day")
}
