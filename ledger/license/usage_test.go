package license_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

func TestReport(t *testing.T) {
	const noon = "2026-02-10T12:00"
	one := reading("1", noon)
	named := func(r license.Report, company string) license.Report { r.Company = company; return r }
	in := func(r license.Report, spool string) license.Report { r.Spool = spool; return r }
	void := func(seq uint64, reason string) license.Report {
		return license.Report{Agent: "pc-1", Seq: seq, Void: reason, Digest: events.DigestVoid(reason)}
	}
	known := step{noon, allocate("server", "auto", "pc-1"), `
		bought L1 server in "auto" until 2026-03-01
		endpoint pc-1 of "auto"
		allocated L1 server from bought to pc-1 of "auto"`}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"U3: the endpoint's company counts, whatever the report names", []step{
			known,
			{noon, named(report("pc-1", 1, one), "globex"), `recorded pc-1/ 1 for "auto"`},
			{noon, named(report("pc-1", 2, one), "umbrella"), `recorded pc-1/ 2 for "auto"`},
			{noon, report("pc-1", 3, one), `recorded pc-1/ 3 for "auto"`},
		}},
		{"U3: an unknown endpoint that names a company becomes known, without a license", []step{
			{noon, report("pc-1", 1, one), `refused not_found`},
			{noon, named(report("pc-1", 1, one), "umbrella"), `refused not_found`},
			{noon, named(report("pc-1", 1, one), "globex"), "endpoint pc-1 of \"globex\"\nrecorded pc-1/ 1 for \"globex\""},
			{noon, report("pc-1", 2, one), `recorded pc-1/ 2 for "globex"`},
			{noon, allocate("server", "globex", "pc-1"), `refused pool_empty`},
		}},
		{"U2: so it does by giving a number up", []step{
			{noon, named(void(1, "disk lost"), "globex"), "endpoint pc-1 of \"globex\"\nvoided pc-1/ 1"},
		}},
		{"U2: a repeated report is acknowledged and not counted, however late", []step{
			known,
			{noon, report("pc-1", 1, one), `recorded pc-1/ 1 for "auto"`},
			{noon, report("pc-1", 1, one), `duplicate`},
			{"2028-05-06", report("pc-1", 1, one), duesUntil("2028-04") + `duplicate`},
		}},
		{"U2: a gap closes when the report arrives, or is given up", []step{
			known,
			{noon, report("pc-1", 4, one), `recorded pc-1/ 4 for "auto"`},
			{noon, report("pc-1", 2, one), `recorded pc-1/ 2 for "auto"`},
			{noon, void(1, "disk lost"), `voided pc-1/ 1`},
			{noon, void(1, "disk lost"), `duplicate`},
			{noon, report("pc-1", 3, one), `recorded pc-1/ 3 for "auto"`},
			{noon, report("pc-1", 3, one), `duplicate`},
		}},
		{"U2: the same number with other content", []step{
			known,
			{noon, report("pc-1", 1, one), `recorded pc-1/ 1 for "auto"`},
			{noon, report("pc-1", 1, reading("2", noon)), `refused sequence_reused`},
			{noon, void(1, "disk lost"), `refused sequence_reused`},
			{noon, void(2, "disk lost"), `voided pc-1/ 2`},
			{noon, void(2, "fire"), `refused sequence_reused`},
			{noon, report("pc-1", 2, one), `refused sequence_reused`},
		}},
		{"U2: a reinstalled agent's new spool is apart from the old one", []step{
			known,
			{noon, report("pc-1", 1, one), `recorded pc-1/ 1 for "auto"`},
			{noon, in(report("pc-1", 1, reading("2", noon)), "b2"), `recorded pc-1/b2 1 for "auto"`},
			{noon, in(report("pc-1", 1, reading("2", noon)), "b2"), `duplicate`},
			{noon, report("pc-1", 1, one), `duplicate`},
		}},
		{"U2: bounds", []step{
			known,
			{noon, report("pc-1", license.MaxAhead+1, one), `refused invalid seq`},
			{noon, report("pc-1", license.MaxAhead, one), `recorded pc-1/ 100000 for "auto"`},
			{noon, report("pc-1", 2*license.MaxAhead+1, one), `refused invalid seq`},
			{noon, report("pc-1", 2*license.MaxAhead, one), `recorded pc-1/ 200000 for "auto"`},
			{noon, report("pc-1", 0, one), `refused invalid seq`},
		}},
		{"future readings", []step{
			known,
			{noon, report("pc-1", 1, one, reading("1", "2026-02-10T12:05:00.001Z")), `refused invalid readings[1].at`},
			{noon, report("pc-1", 1, one, reading("1", "2026-02-10T12:05")), `recorded pc-1/ 1 for "auto"`},
		}},
		{"B5: readings older than 12 months", []step{
			known,
			{noon, report("pc-1", 1, reading("1", "2025-01-31T23:59:59.999Z"), one), `refused invalid readings[0].at`},
			{noon, report("pc-1", 1, reading("1", "2025-02-01"), one), `recorded pc-1/ 1 for "auto"`},
		}},
		{"U3: a report is refused whole, and its number stays free", []step{
			known,
			{noon, report("pc-1", 1, one, reading("1", "2020-01-01")), `refused invalid readings[1].at`},
			{noon, report("pc-1", 1, one), `recorded pc-1/ 1 for "auto"`},
		}},
		{"D4: a report finds its provider past the month's end", []step{
			known,
			{"2026-03-01", report("pc-1", 1, one), "due closed 2026-02\nrecorded pc-1/ 1 for \"auto\""},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { newDesk(t, "2026-02-01").run(test.steps...) })
	}
	t.Run("no such provider", func(t *testing.T) {
		emptyDesk(t, "2026-02-01").run(step{"", report("pc-1", 1, reading("1", "2026-02-01")), `refused not_found`})
	})
}

// duesUntil is what is due for one license of February 2026 that nobody touches, when the month after the given one is open.
func duesUntil(last string) string {
	s := ""
	for m := month("2026-02"); m <= month(last); m++ {
		if m > month("2026-02") {
			s += fmt.Sprintf("due renewed L1 server until %s at %s\n", short(m.End()), short(m.Start()))
		}
		s += fmt.Sprintf("due closed %s at %s\n", m, short(m.End()))
	}
	return s
}

// What no state could make valid is refused before a command is made of it (domain U3).
func TestReportCheck(t *testing.T) {
	long := strings.Repeat("x", 65)
	many := func(n int) []events.Reading {
		list := make([]events.Reading, n)
		for i := range list {
			list[i] = reading("1", "2026-02-10")
		}
		return list
	}
	for _, test := range []struct {
		name   string
		change func(*license.Report)
		field  string // empty: it is fine
	}{
		{"as it should be", func(*license.Report) {}, ""},
		{"500 readings", func(r *license.Report) { r.Readings = many(500) }, ""},
		{"501", func(r *license.Report) { r.Readings = many(501) }, "readings"},
		{"none", func(r *license.Report) { r.Readings = nil }, "readings"},
		{"a number given up", func(r *license.Report) { r.Readings, r.Void = nil, "disk lost" }, ""},
		{"and readings", func(r *license.Report) { r.Void = "disk lost" }, "void"},
		{"for a long reason", func(r *license.Report) { r.Readings, r.Void = nil, strings.Repeat("x", 257) }, "void"},
		{"for no readable reason", func(r *license.Report) { r.Readings, r.Void = nil, "\xff" }, "void"},
		{"no agent", func(r *license.Report) { r.Agent = "" }, "agent"},
		{"a bad agent", func(r *license.Report) { r.Agent = "a/b" }, "agent"},
		{"a spool", func(r *license.Report) { r.Spool = "b3-c1_2" }, ""},
		{"a bad spool", func(r *license.Report) { r.Spool = "a b" }, "spool"},
		{"a long spool", func(r *license.Report) { r.Spool = long }, "spool"},
		{"number 0", func(r *license.Report) { r.Seq = 0 }, "seq"},
		{"a company", func(r *license.Report) { r.Company = "globex" }, ""},
		{"a bad company", func(r *license.Report) { r.Company = "a b" }, "company"},
		{"a meter of 64 characters", func(r *license.Report) { r.Readings[0].Meter = long[1:] }, ""},
		{"of 65", func(r *license.Report) { r.Readings[0].Meter = long }, "readings[0].meter"},
		{"of none", func(r *license.Report) { r.Readings[0].Meter = "" }, "readings[0].meter"},
		{"that takes more room in the log than it has", func(r *license.Report) { r.Readings[0].Meter = "\x00" }, "readings[0].meter"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := report("pc-1", 1, many(1)...)
			test.change(&r)
			err := r.Check()
			var refusal *license.Refusal
			switch {
			case test.field == "" && err != nil:
				t.Error(err)
			case test.field != "" && (!errors.As(err, &refusal) || refusal.Code != license.Invalid || refusal.Field != test.field):
				t.Errorf("%v, want a refusal of %s", err, test.field)
			}
		})
	}
}

// A report that is as large as it may be fits an entry.
func TestLargestReportFitsAnEntry(t *testing.T) {
	d := newDesk(t, "2026-02-10T12:00:00.123Z")
	r := report(strings.Repeat("a", events.MaxNameLength), license.MaxAhead)
	r.Spool, r.Company = strings.Repeat("s", events.MaxNameLength), "globex"
	value, err := events.ParseQuantity("123456789.123456789")
	if err != nil {
		t.Fatal(err)
	}
	for range events.MaxReadings {
		r.Readings = append(r.Readings, events.Reading{Meter: strings.Repeat("m", events.MaxMeterLength), Value: value, At: d.Now.Add(-time.Millisecond)})
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	d.must(r) // which panics where the entry cannot be written
}
