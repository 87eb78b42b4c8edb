package usage

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/projections/viewtest"
)

// table is a file of the view without a runtime.
type table struct {
	t    tester
	db   *bbolt.DB
	next uint64
}

type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func newTable(t testing.TB) *table {
	t.Helper()
	return openTable(t, filepath.Join(viewtest.TempDir(t), "usage.db"), t.Cleanup)
}

func openTable(t tester, path string, cleanup func(func())) *table {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	cleanup(func() { _ = db.Close() })
	return &table{t: t, db: db}
}

// batch applies entries in one transaction.
func (tb *table) batch(entries ...events.Entry) {
	tb.t.Helper()
	err := tb.db.Update(func(tx *bbolt.Tx) error {
		b, err := View{}.Begin(tx)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := b.Apply(&entries[i]); err != nil {
				return err
			}
		}
		return b.Flush()
	})
	if err != nil {
		tb.t.Fatal(err)
	}
}

// add applies an entry of acme with these events in a transaction of its own.
func (tb *table) add(data ...events.Data) {
	tb.t.Helper()
	tb.batch(eventstest.Entry(tb.next, eventstest.Time("2026-03-20T00:00:00Z"), "acme", data...))
	tb.next++
}

func (tb *table) view(fn func(tx *bbolt.Tx) error) {
	tb.t.Helper()
	if err := tb.db.View(fn); err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *table) rows(q Query) (rows []Row, next string) {
	tb.t.Helper()
	tb.view(func(tx *bbolt.Tx) (err error) {
		rows, next, err = View{}.Rows(tx, q)
		return err
	})
	return rows, next
}

func (tb *table) gaps(provider string, limit int, cursor string) (gaps []Gap, next string) {
	tb.t.Helper()
	tb.view(func(tx *bbolt.Tx) (err error) {
		gaps, next, err = View{}.Gaps(tx, provider, limit, cursor)
		return err
	})
	return gaps, next
}

// report is a report of an endpoint of globex; readings are meter, value, time, over and over.
func report(agent string, seq uint64, readings ...string) *events.UsageRecorded {
	u := &events.UsageRecorded{Agent: agent, Seq: seq, Company: "globex"}
	for i := 0; i < len(readings); i += 3 {
		u.Readings = append(u.Readings, events.Reading{
			Meter: readings[i], Value: eventstest.Quantity(readings[i+1]), At: eventstest.Time(readings[i+2])})
	}
	return u
}

func text(r Row) string {
	day := ""
	if r.Day != 0 {
		day = r.Day.String()
	}
	if r.Month != 0 {
		day = r.Month.String()
	}
	return fmt.Sprintf("%s/%s/%s/%s=%s", r.Company, r.Meter, r.Endpoint, day, r.Value)
}

func texts(rows []Row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, text(r))
	}
	return out
}

// drawHistory is a ledger in which a few agents report a few meters over three months, skip numbers, send late and give up.
func drawHistory(t *rapid.T) []events.Entry {
	start := eventstest.Time("2025-12-30T00:00:00Z")
	entries := []events.Entry{eventstest.Entry(0, start, "", &events.LedgerOpened{Ledger: "L1", Catalog: eventstest.Catalog(events.MonthOf(start))})}
	type spool struct {
		used map[uint64]bool
		high uint64
	}
	spools := map[spoolKey]*spool{}
	for range rapid.IntRange(0, 25).Draw(t, "entries") {
		provider := rapid.SampledFrom([]string{"acme", "acme-2", "a"}).Draw(t, "provider")
		var data []events.Data
		for range rapid.IntRange(1, 3).Draw(t, "events") {
			agent := rapid.SampledFrom([]string{"pc-1", "pc-2", "pc-10"}).Draw(t, "agent")
			name := rapid.SampledFrom([]string{"", "s2"}).Draw(t, "spool")
			key := spoolKey{provider, agent, name}
			s := spools[key]
			if s == nil {
				s = &spool{used: map[uint64]bool{}}
				spools[key] = s
			}
			// Every number once, as the sequencer sees to it.
			seq := rapid.Uint64Range(1, s.high+4).Draw(t, "seq")
			for s.used[seq] {
				seq++
			}
			s.used[seq], s.high = true, max(s.high, seq)
			switch {
			case rapid.IntRange(0, 9).Draw(t, "what") > 1:
				u := &events.UsageRecorded{Agent: agent, Spool: name, Seq: seq, Company: rapid.SampledFrom([]string{"globex", "initech"}).Draw(t, "company")}
				for range rapid.IntRange(1, 6).Draw(t, "readings") {
					u.Readings = append(u.Readings, events.Reading{
						Meter: rapid.SampledFrom([]string{"bytes", "bytes 2", "hours"}).Draw(t, "meter"),
						Value: drawQuantity(t),
						At:    start.Add(time.Duration(rapid.IntRange(0, 70*8).Draw(t, "time")) * 3 * time.Hour),
					})
				}
				data = append(data, u)
			case rapid.Bool().Draw(t, "void"):
				data = append(data, &events.UsageVoided{Agent: agent, Spool: name, Seq: seq, Reason: "disk lost"})
			default:
				s.used[seq] = false
				data = append(data, &events.EndpointSet{Endpoint: agent, Company: "globex"})
			}
		}
		entries = append(entries, eventstest.Entry(uint64(len(entries)), start, provider, data...))
	}
	return entries
}

func drawQuantity(t *rapid.T) events.Quantity {
	coef := rapid.Uint64Range(0, 999_999_999_999_999_999).Draw(t, "coefficient")
	scale := rapid.Int32Range(0, events.MaxQuantityScale).Draw(t, "scale")
	return eventstest.Quantity(decimal.NewFromUint64(coef).Shift(-scale).String())
}
