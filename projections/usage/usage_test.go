package usage

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestView(t *testing.T) {
	newView := func() projections.View { return View{} }
	t.Run("usage", func(t *testing.T) {
		viewtest.Run(t, newView, func(rt *rapid.T) []events.Record { return viewtest.Pack("h", drawHistory(rt)) })
	})
	t.Run("whole ledger", func(t *testing.T) {
		viewtest.Run(t, newView, viewtest.Fixed(eventstest.Records(eventstest.History(7, 60), 7)))
	})
}

func TestRows(t *testing.T) {
	tb := newTable(t)
	tb.add(report("pc-1", 1, "bytes", "10", "2026-02-28T23:59:59.999Z", "bytes", "5", "2026-03-01T00:00:00Z", "bytes", "0.5", "2026-03-01T12:00:00Z"))
	tb.add(report("pc-2", 1, "bytes", "7", "2026-03-01T12:00:00Z", "hours", "1", "2026-03-02T00:00:00Z"))
	moved := report("pc-2", 2, "bytes", "3", "2026-03-02T08:00:00Z")
	moved.Company = "initech"
	tb.add(moved)
	// Late, in time between the readings that are there (domain U3), and in a month long before.
	tb.add(report("pc-1", 2, "bytes", "2", "2026-03-01T06:00:00Z", "bytes", "1", "2025-11-11T11:11:11Z"))
	other := eventstest.Entry(tb.next, eventstest.Time("2026-03-20T00:00:00Z"), "acme-2", report("pc-1", 1, "bytes", "1000", "2026-03-01T00:00:00Z"))
	tb.batch(other)
	march, april := eventstest.Time("2026-03-01T00:00:00Z"), eventstest.Time("2026-04-01T00:00:00Z")

	for _, c := range []struct {
		name  string
		group string
		q     Query
		want  []string
	}{
		{"everything", "", Query{}, []string{"/bytes//=28.5", "/hours//=1"}},
		{"D1 a month ends exclusively", "", Query{Meter: "bytes", From: march, To: april}, []string{"/bytes//=17.5"}},
		{"the day before", "day", Query{To: march}, []string{"/bytes//2025-11-11=1", "/bytes//2026-02-28=10"}},
		{"one day", "", Query{From: march, To: march.AddDate(0, 0, 1)}, []string{"/bytes//=14.5"}},
		{"nothing", "", Query{From: april}, []string{}},
		{"an empty range", "", Query{From: april, To: march}, []string{}},
		{"U3 late readings count in the month of their own time", "month", Query{Meter: "bytes"},
			[]string{"/bytes//2025-11=1", "/bytes//2026-02=10", "/bytes//2026-03=17.5"}},
		{"U3 the company of the time counts", "company,endpoint", Query{Meter: "bytes", From: march},
			[]string{"globex/bytes/pc-1/=7.5", "globex/bytes/pc-2/=7", "initech/bytes/pc-2/=3"}},
		{"an endpoint in two companies", "endpoint", Query{Meter: "bytes", From: march}, []string{"/bytes/pc-1/=7.5", "/bytes/pc-2/=10"}},
		{"all fields", "company, endpoint, day", Query{From: march},
			[]string{"globex/bytes/pc-1/2026-03-01=7.5", "globex/bytes/pc-2/2026-03-01=7", "globex/hours/pc-2/2026-03-02=1", "initech/bytes/pc-2/2026-03-02=3"}},
		{"max", "company", Query{Aggregate: Max}, []string{"globex/bytes//=10", "globex/hours//=1", "initech/bytes//=3"}},
		{"count", "company", Query{Aggregate: Count}, []string{"globex/bytes//=6", "globex/hours//=1", "initech/bytes//=1"}},
		{"last by the reading's time, then arrival", "company,day", Query{Aggregate: Last, Meter: "bytes", From: march},
			[]string{"globex/bytes//2026-03-01=7", "initech/bytes//2026-03-02=3"}},
		{"last over days", "company", Query{Aggregate: Last, Meter: "bytes"}, []string{"globex/bytes//=7", "initech/bytes//=3"}},
		{"another provider", "company", Query{Provider: "acme-2"}, []string{"globex/bytes//=1000"}},
		{"nobody", "company", Query{Provider: "acm"}, []string{}},
		{"an unknown meter", "", Query{Meter: "byte"}, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if c.q.Group, err = ParseGroup(c.group); err != nil {
				t.Fatal(err)
			}
			if c.q.Provider == "" {
				c.q.Provider = "acme"
			}
			rows, next := tb.rows(c.q)
			if diff := cmp.Diff(c.want, texts(rows)); diff != "" || next != "" {
				t.Errorf("next %q\n%s", next, diff)
			}
			// In pages of any size it is the same.
			for limit := 1; limit <= len(c.want); limit++ {
				q, paged := c.q, []string{}
				for q.Limit = limit; ; {
					rows, next := tb.rows(q)
					if paged = append(paged, texts(rows)...); next == "" {
						break
					}
					if q.Cursor = next; len(rows) != limit {
						t.Fatalf("a page of %d rows, not %d", len(rows), limit)
					}
				}
				if diff := cmp.Diff(c.want, paged); diff != "" {
					t.Errorf("in pages of %d:\n%s", limit, diff)
				}
			}
		})
	}
}

func TestLastOfTheSameTime(t *testing.T) {
	const noon = "2026-03-01T12:00:00Z"
	for _, c := range []struct {
		name string
		add  func(tb *table)
		want string
	}{
		{"within a report", func(tb *table) { tb.add(report("pc-1", 1, "m", "9", noon, "m", "1", noon)) }, "1"},
		{"in two transactions", func(tb *table) {
			tb.add(report("pc-1", 1, "m", "9", noon))
			tb.add(report("pc-1", 2, "m", "1", noon))
		}, "1"},
		{"of two endpoints of one entry, against the order of their keys", func(tb *table) {
			tb.add(report("pc-2", 1, "m", "9", noon), report("pc-1", 1, "m", "1", noon))
		}, "1"},
		{"of two endpoints of one entry, in the order of their keys", func(tb *table) {
			tb.add(report("pc-1", 1, "m", "9", noon), report("pc-2", 1, "m", "1", noon))
		}, "1"},
		{"of two endpoints of two entries, against the order of their keys", func(tb *table) {
			tb.add(report("pc-2", 1, "m", "9", noon))
			tb.add(report("pc-1", 1, "m", "1", noon))
		}, "1"},
		{"an earlier time that arrives later", func(tb *table) {
			tb.add(report("pc-1", 1, "m", "9", noon))
			tb.add(report("pc-1", 2, "m", "1", "2026-03-01T11:59:59.999Z"))
		}, "9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tb := newTable(t)
			c.add(tb)
			rows, _ := tb.rows(Query{Provider: "acme", Aggregate: Last})
			if len(rows) != 1 || rows[0].Value.String() != c.want {
				t.Errorf("got %v, want %s", texts(rows), c.want)
			}
		})
	}
}

func TestCursorSurvivesNewUsage(t *testing.T) {
	tb := newTable(t)
	for _, agent := range []string{"b", "d", "f"} {
		tb.add(report(agent, 1, "m", "1", "2026-03-01T12:00:00Z"))
	}
	q := Query{Provider: "acme", Group: Group{Company: true, Endpoint: true}, Limit: 2}
	rows, next := tb.rows(q)
	tb.add(report("a", 1, "m", "1", "2026-03-01T12:00:00Z"))
	tb.add(report("e", 1, "m", "1", "2026-03-01T12:00:00Z"))
	q.Cursor = next
	more, end := tb.rows(q)
	got := append(texts(rows), texts(more)...)
	if want := []string{"globex/m/b/=1", "globex/m/d/=1", "globex/m/e/=1", "globex/m/f/=1"}; !slices.Equal(got, want) || end != "" {
		t.Errorf("got %v, next %q", got, end)
	}
}

func TestQueryErrors(t *testing.T) {
	tb := newTable(t)
	tb.add(report("pc-1", 1, "m", "1", "2026-03-01T12:00:00Z"), report("pc-2", 1, "m", "1", "2026-03-01T12:00:00Z"))
	_, cursor := tb.rows(Query{Provider: "acme", Group: Group{Endpoint: true}, Limit: 1})
	for _, c := range []struct {
		field string
		q     Query
	}{
		{"provider", Query{}},
		{"aggregate", Query{Provider: "acme", Aggregate: "median"}},
		{"group_by", Query{Provider: "acme", Group: Group{Day: true, Month: true}}},
		{"from", Query{Provider: "acme", From: eventstest.Time("2026-03-01T00:00:01Z")}},
		{"to", Query{Provider: "acme", To: eventstest.Time("2026-03-01T12:00:00Z")}},
		{"cursor", Query{Provider: "acme", Cursor: "%"}},
		{"cursor", Query{Provider: "acme", Cursor: cursor}},
		{"cursor", Query{Provider: "acme", Cursor: cursor, Group: Group{Company: true, Endpoint: true}}},
	} {
		tb.view(func(tx *bbolt.Tx) error {
			_, _, err := View{}.Rows(tx, c.q)
			if e, ok := errors.AsType[*QueryError](err); !ok || e.Field != c.field {
				t.Errorf("%+v: %v, want an error about %s", c.q, err, c.field)
			}
			return nil
		})
	}
	for _, list := range []string{"day,month", "company,company", "week", ",", "company,"} {
		if _, err := ParseGroup(list); err == nil {
			t.Errorf("group_by %q was read", list)
		}
	}
	tb.view(func(tx *bbolt.Tx) error {
		if _, _, err := (View{}).Gaps(tx, "acme", 1, "%"); err == nil {
			t.Error("a bad cursor of gaps was read")
		}
		return nil
	})
}

func TestEmptyFile(t *testing.T) {
	tb := newTable(t)
	if rows, next := tb.rows(Query{Provider: "acme"}); len(rows) != 0 || next != "" {
		t.Errorf("rows %v, %q", rows, next)
	}
	if gaps, next := tb.gaps("acme", 0, ""); len(gaps) != 0 || next != "" {
		t.Errorf("gaps %v, %q", gaps, next)
	}
	tb.view(func(tx *bbolt.Tx) error {
		return View{}.MonthDays(tx, "acme", 0, func(Day) error { return errors.New("a day") })
	})
}

func TestGaps(t *testing.T) {
	void := func(agent string, seq uint64) events.Data {
		return &events.UsageVoided{Agent: agent, Seq: seq, Reason: "disk lost"}
	}
	for _, c := range []struct {
		name  string
		steps []events.Data
		want  string
	}{
		{"U2 none", []events.Data{report("a", 1), report("a", 2), report("a", 3)}, ""},
		{"U2 skipped numbers are a gap", []events.Data{report("a", 1), report("a", 5)}, "a[2,5)"},
		{"U2 also before the first report", []events.Data{report("a", 3)}, "a[1,3)"},
		{"U2 a late report closes it", []events.Data{report("a", 1), report("a", 3), report("a", 2)}, ""},
		{"U2 a void closes it", []events.Data{report("a", 1), report("a", 3), void("a", 2)}, ""},
		{"U2 a void is a number like others", []events.Data{void("a", 1), report("a", 2), void("a", 4)}, "a[3,4)"},
		{"a gap's first number", []events.Data{report("a", 6), report("a", 1)}, "a[2,6)"},
		{"a gap's last number", []events.Data{report("a", 6), report("a", 5)}, "a[1,5)"},
		{"a gap's middle", []events.Data{report("a", 6), report("a", 3)}, "a[1,3) a[4,6)"},
		{"several gaps", []events.Data{report("a", 3), report("a", 5), report("a", 8), report("a", 4), report("a", 7)}, "a[1,3) a[6,7)"},
		{"several agents", []events.Data{report("b", 2), report("a", 2)}, "a[1,2) b[1,2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, each := newTable(t), newTable(t)
			var entries []events.Entry
			for i, d := range c.steps {
				each.add(d)
				entries = append(entries, eventstest.Entry(uint64(i), eventstest.Time("2026-03-20T00:00:00Z"), "acme", d))
			}
			one.batch(entries...)
			for _, tb := range []*table{one, each} {
				gaps, _ := tb.gaps("acme", 0, "")
				var got []string
				for _, g := range gaps {
					got = append(got, fmt.Sprintf("%s%s[%d,%d)", g.Agent, g.Spool, g.From, g.To))
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("got %v, want %s", got, c.want)
				}
			}
		})
	}
}

// TestModel compares every answer with what a few lines over plain maps make of the same entries.
func TestModel(t *testing.T) {
	dir := viewtest.TempDir(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		defer func() { _ = os.Remove(path) }()
		var cleanup func()
		tb := openTable(t, path, func(f func()) { cleanup = f })
		defer func() { cleanup() }()

		entries := drawHistory(t)
		for rest := entries; len(rest) > 0; {
			k := rapid.IntRange(1, len(rest)).Draw(t, "transaction")
			tb.batch(rest[:k]...)
			rest = rest[k:]
		}

		start := eventstest.Date("2025-12-28")
		q := Query{
			Provider:  rapid.SampledFrom([]string{"acme", "acme-2", "a"}).Draw(t, "queried provider"),
			Meter:     rapid.SampledFrom([]string{"", "bytes", "bytes 2", "hours"}).Draw(t, "queried meter"),
			Aggregate: rapid.SampledFrom([]Aggregate{Sum, Max, Last, Count}).Draw(t, "aggregate"),
			Group: Group{
				Company: rapid.Bool().Draw(t, "by company"), Endpoint: rapid.Bool().Draw(t, "by endpoint"),
				Day: rapid.Bool().Draw(t, "by day"),
			},
			Limit: rapid.IntRange(0, 5).Draw(t, "limit"),
		}
		q.Group.Month = !q.Group.Day && rapid.Bool().Draw(t, "by month")
		if rapid.Bool().Draw(t, "from") {
			q.From = (start + events.Date(rapid.IntRange(0, 80).Draw(t, "from day"))).Start()
		}
		if rapid.Bool().Draw(t, "to") {
			q.To = (start + events.Date(rapid.IntRange(0, 80).Draw(t, "to day"))).Start()
		}
		want := modelRows(entries, q)
		got := []string{}
		for page := q; ; {
			rows, next := tb.rows(page)
			if got = append(got, texts(rows)...); next == "" {
				break
			}
			page.Cursor = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v (-model +view):\n%s", q, diff)
		}

		if diff := cmp.Diff(modelGaps(entries, q.Provider), pagedGaps(tb, q.Provider, q.Limit)); diff != "" {
			t.Fatalf("gaps (-model +view):\n%s", diff)
		}

		q = Query{Provider: q.Provider, Group: Group{Company: true, Endpoint: true, Day: true}, From: eventstest.Month("2026-01").Start(), To: eventstest.Month("2026-02").Start()}
		for _, q.Aggregate = range []Aggregate{Sum, Max, Last, Count} {
			days := []string{}
			tb.view(func(tx *bbolt.Tx) error {
				return View{}.MonthDays(tx, q.Provider, eventstest.Month("2026-01"), func(d Day) error {
					value := map[Aggregate]decimal.Decimal{
						Sum: d.Sum.Decimal(), Max: d.Max.Decimal(), Last: d.Last.Decimal(), Count: decimal.NewFromUint64(d.Count)}[q.Aggregate]
					if events.DateOf(d.LastAt) != d.Day || d.LastEntry >= uint64(len(entries)) {
						t.Fatalf("day %s: last reading at %s, entry %d", d.Day, d.LastAt, d.LastEntry)
					}
					days = append(days, text(Row{Company: d.Company, Endpoint: d.Endpoint, Meter: d.Meter, Day: d.Day, Value: value}))
					return nil
				})
			})
			if diff := cmp.Diff(modelRows(entries, q), days); diff != "" {
				t.Fatalf("days of January, %s (-model +view):\n%s", q.Aggregate, diff)
			}
		}
	})
}

func pagedGaps(tb *table, provider string, limit int) []Gap {
	all, cursor := []Gap{}, ""
	for {
		gaps, next := tb.gaps(provider, limit, cursor)
		if all = append(all, gaps...); next == "" {
			return all
		}
		cursor = next
	}
}

func modelRows(entries []events.Entry, q Query) []string {
	type group struct {
		row    Row
		values []decimal.Decimal
		lastAt time.Time
		last   decimal.Decimal
	}
	groups := map[string]*group{}
	for _, e := range entries {
		for _, ev := range e.Events {
			u, ok := ev.Data.(*events.UsageRecorded)
			if !ok || e.Provider != q.Provider {
				continue
			}
			for _, r := range u.Readings {
				if q.Meter != "" && r.Meter != q.Meter || !q.From.IsZero() && r.At.Before(q.From) || !q.To.IsZero() && !r.At.Before(q.To) {
					continue
				}
				row := Row{Meter: r.Meter}
				if q.Group.Company {
					row.Company = u.Company
				}
				if q.Group.Endpoint {
					row.Endpoint = u.Agent
				}
				if q.Group.Day {
					row.Day = events.DateOf(r.At)
				}
				if q.Group.Month {
					row.Month = events.MonthOf(r.At)
				}
				key := strings.Join([]string{row.Company, row.Meter, row.Endpoint, row.Day.String(), row.Month.String()}, "\x00")
				g := groups[key]
				if g == nil {
					g = &group{row: row}
					groups[key] = g
				}
				g.values = append(g.values, r.Value.Decimal())
				if !r.At.Before(g.lastAt) {
					g.lastAt, g.last = r.At, r.Value.Decimal()
				}
			}
		}
	}
	rows := []string{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		g := groups[key]
		switch q.Aggregate {
		case Sum:
			g.row.Value = decimal.Sum(g.values[0], g.values[1:]...)
		case Max:
			g.row.Value = decimal.Max(g.values[0], g.values[1:]...)
		case Last:
			g.row.Value = g.last
		case Count:
			g.row.Value = decimal.NewFromInt(int64(len(g.values)))
		}
		rows = append(rows, text(g.row))
	}
	return rows
}

func modelGaps(entries []events.Entry, provider string) []Gap {
	seen := map[[2]string]map[uint64]bool{}
	for _, e := range entries {
		for _, ev := range e.Events {
			var key [2]string
			var seq uint64
			switch d := ev.Data.(type) {
			case *events.UsageRecorded:
				key, seq = [2]string{d.Agent, d.Spool}, d.Seq
			case *events.UsageVoided:
				key, seq = [2]string{d.Agent, d.Spool}, d.Seq
			}
			if seq == 0 || e.Provider != provider {
				continue
			}
			if seen[key] == nil {
				seen[key] = map[uint64]bool{}
			}
			seen[key][seq] = true
		}
	}
	gaps := []Gap{}
	for _, key := range slices.SortedFunc(maps.Keys(seen), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		numbers := slices.Sorted(maps.Keys(seen[key]))
		next := uint64(1)
		for _, n := range numbers {
			if n > next {
				gaps = append(gaps, Gap{Agent: key[0], Spool: key[1], From: next, To: n})
			}
			next = n + 1
		}
	}
	return gaps
}

// Pages are cut from far more groups than they hold.
func TestManyGroups(t *testing.T) {
	tb := newTable(t)
	var entries []events.Entry
	for i := range 1000 {
		u := report(fmt.Sprintf("pc-%04d", (i*377)%1000), 1, "m", "1", "2026-03-01T12:00:00Z", "m", "2", "2026-02-01T12:00:00Z", "n", "1", "2026-03-02T12:00:00Z")
		u.Company = fmt.Sprintf("c%d", i%7)
		entries = append(entries, eventstest.Entry(uint64(i), eventstest.Time("2026-03-20T00:00:00Z"), "acme", u))
	}
	tb.batch(entries...)
	for _, group := range []string{"company,endpoint", "endpoint", "company,endpoint,day", "endpoint,month"} {
		g, err := ParseGroup(group)
		if err != nil {
			t.Fatal(err)
		}
		q := Query{Provider: "acme", Group: g}
		want := modelRows(entries, Query{Provider: "acme", Group: g, Aggregate: Sum})
		got := []string{}
		for q.Limit = 10; ; {
			rows, next := tb.rows(q)
			if got = append(got, texts(rows)...); next == "" {
				break
			}
			q.Cursor = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s:\n%s", group, diff)
		}
	}
}

func TestAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum Amount
		want := decimal.Zero
		for range rapid.IntRange(1, 20).Draw(t, "readings") {
			q := drawQuantity(t)
			sum, want = sum.Add(amountOf(q)), want.Add(q.Decimal())
			if c := amountOf(q).Cmp(sum); c > 0 || (c == 0) != q.Decimal().Equal(want) {
				t.Fatalf("%s compared with %s is %d", q, want, c)
			}
		}
		if !sum.Decimal().Equal(want) || sum.String() != want.String() {
			t.Fatalf("sum %s, want %s", sum, want)
		}
		checkEncoding(t, sum)
		checkEncoding(t, Amount{rapid.Uint64Range(0, 1<<63-1).Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")})
		checkEncoding(t, whole(rapid.Uint64().Draw(t, "units")))
	})
	for _, a := range []Amount{{}, {0, 1}, {0, perUnit}, {0, perUnit - 1}, {1<<63 - 1, 1<<64 - 1}, whole(1<<64 - 1)} {
		checkEncoding(t, a)
	}
	if sum, ok := (Amount{1<<63 - 1, 1<<64 - 1}).add(Amount{0, 1}); ok {
		t.Errorf("an overflow gave %v", sum)
	}
}

func checkEncoding(t interface{ Fatalf(string, ...any) }, a Amount) {
	b := appendAmount([]byte("x"), a)
	r := reader{b: append(b[1:], 'y')}
	if got := r.amount(); got != a || r.bad || string(r.b) != "y" {
		t.Fatalf("%v is written as %x and read as %v, rest %q", a, b[1:], got, r.b)
	}
	n := new(big.Int).SetUint64(a.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(a.lo))
	if !a.Decimal().Equal(decimal.NewFromBigInt(n, -events.MaxQuantityScale)) {
		t.Fatalf("%v is %s, want %s billionths", a, a, n)
	}
}

// Texts of any bytes sort in keys as they do by themselves, and do not run into the next field.
func TestTextInKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.StringOf(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 'é', 0x10ffff}))
		a, b := [2]string{gen.Draw(t, "a0"), gen.Draw(t, "a1")}, [2]string{gen.Draw(t, "b0"), gen.Draw(t, "b1")}
		ka, kb := appendText(appendText(nil, a[0]), a[1]), appendText(appendText(nil, b[0]), b[1])
		if got, want := strings.Compare(string(ka), string(kb)), slices.Compare(a[:], b[:]); got != want {
			t.Fatalf("%q and %q compare as %d, their keys as %d", a, b, want, got)
		}
		first, rest, err := takeText(ka)
		if err != nil || first != a[0] {
			t.Fatalf("read %q, %v", first, err)
		}
		if second, rest, err := takeText(rest); err != nil || second != a[1] || len(rest) > 0 {
			t.Fatalf("read %q, %v", second, err)
		}
	})
}

func TestDamagedRowsAreErrors(t *testing.T) {
	row := appendCell(nil, eventstest.Date("2026-03-01"), &cell{day: eventstest.Date("2026-03-02"), count: 2, sum: whole(3), max: whole(2), last: whole(1), at: 5, entry: 7})
	for n := range len(row) {
		day, text, _, err := cutCell(row[:n])
		if err == nil {
			_, err = readCell(0, day, text)
		}
		if !errors.Is(err, errDamaged) {
			t.Errorf("the first %d bytes of %x gave %v", n, row, err)
		}
	}
}
