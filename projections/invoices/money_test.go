package invoices_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

// report is a company's endpoint reporting readings, each "meter value time".
func (d *desk) report(endpoint string, readings ...string) {
	d.t.Helper()
	r := license.Report{Agent: endpoint, Company: "auto", Spool: fmt.Sprint("s", len(d.Entries)), Seq: 1}
	for _, text := range readings {
		parts := strings.Fields(text)
		v, err := events.ParseQuantity(parts[1])
		if err != nil {
			d.t.Fatal(err)
		}
		r.Readings = append(r.Readings, events.Reading{Meter: parts[0], Value: v, At: instant(parts[2])})
	}
	r.Digest = events.DigestReadings(r.Readings)
	d.must(r)
}

// meter switches metered types on for company auto, and all others off.
func (d *desk) meter(types ...string) {
	d.t.Helper()
	d.must(license.SetCompany{CompanySet: events.CompanySet{Company: "auto", Allocation: events.Automatic, Metered: types}})
}

// close closes the month, as the clock does, and issues what waits.
func (d *desk) close() {
	d.t.Helper()
	d.Now = events.MonthOf(d.Now).End()
	d.must(license.Settle{})
	d.issue()
}

func (d *desk) statement(m string) (s invoices.Statement) {
	d.t.Helper()
	for _, s := range d.issued("acme") {
		if s.Month == month(m) {
			return s
		}
	}
	d.t.Fatalf("there is no statement of %s", m)
	return s
}

// tellAll is tell with the months incurred, and what kind of adjustment it is.
func tellAll(s invoices.Statement) string {
	var lines []string
	for _, l := range s.Lines {
		what := l.LicenseType
		if l.Policy == catalog.OfMinimum {
			what = "of the minimum"
		}
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprint(l.Kind, " ", what, " of ", l.Month, " ", l.Amount)), " "))
	}
	return fmt.Sprintf("%s = %s", strings.Join(lines, " + "), s.Total)
}

// upload is a metered type that costs one dollar per unit of a meter.
func upload(aggregate events.Aggregate) func(*events.Catalog) {
	return func(c *events.Catalog) {
		c.Types = append(c.Types, events.Type{
			ID: "upload", Family: "transfer", Unit: "GB", Term: events.Monthly, Prices: map[string]events.Money{"USD": money("1.00")},
			Policy: events.Metered, Meter: "upload_gb", Aggregate: aggregate,
		})
	}
}

// B5, with its figures: what comes late for a closed month, or is corrected, is the change of that month's total.
func TestAdjustmentsB5(t *testing.T) {
	late := func(value string) func(d *desk) {
		return func(d *desk) { d.report("pc-1", "upload_gb "+value+" 2024-08-20T09:00") }
	}
	corrected := func(amount string) func(d *desk) {
		return func(d *desk) {
			d.must(license.Adjust{Month: month("2024-08"), Company: "auto", Type: "upload", Amount: money(amount), Reason: "a test run"})
		}
	}
	for _, test := range []struct {
		name  string
		used  string
		do    func(d *desk)
		old   string
		month string // the next statement
	}{
		{
			"August 2024, 12.00, charged 20.00: late 3.00: +3.00 -3.00", "12", late("3"),
			"usage upload of 2024-08 12.00 + minimum of 2024-08 8.00 = 20.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 + adjustment upload of 2024-08 3.00 + adjustment of the minimum of 2024-08 -3.00 = 20.00",
		},
		{
			"August 2024, 12.00, charged 20.00: late 10.00: +10.00 -8.00", "12", late("10"),
			"usage upload of 2024-08 12.00 + minimum of 2024-08 8.00 = 20.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 + adjustment upload of 2024-08 10.00 + adjustment of the minimum of 2024-08 -8.00 = 22.00",
		},
		{
			"25.00 corrected by -10.00: -10.00 +5.00", "25", corrected("-10.00"),
			"usage upload of 2024-08 25.00 = 25.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 + adjustment upload of 2024-08 -10.00 + adjustment of the minimum of 2024-08 5.00 = 15.00",
		},
		{
			"both at once: 12.00 late 3.00 and corrected by 10.00", "12", func(d *desk) { late("3")(d); corrected("10.00")(d) },
			"usage upload of 2024-08 12.00 + minimum of 2024-08 8.00 = 20.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 + adjustment upload of 2024-08 13.00 + adjustment of the minimum of 2024-08 -8.00 = 25.00",
		},
		{
			"what changes nothing has no line", "12", func(d *desk) { corrected("10.00")(d); corrected("-10.00")(d) },
			"usage upload of 2024-08 12.00 + minimum of 2024-08 8.00 = 20.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 = 20.00",
		},
		{
			"below zero: it is carried", "60", corrected("-55.00"),
			"usage upload of 2024-08 60.00 = 60.00",
			"usage server of 2024-09 6.99 + minimum of 2024-09 13.01 + adjustment upload of 2024-08 -55.00 + adjustment of the minimum of 2024-08 15.00 " +
				"+ carried of 2024-09 20.00 = 0.00",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, "2024-07-10")
			d.publish("2024-08", upload(events.Sum))
			d.at("2024-08-01")
			d.meter("upload")
			d.report("pc-1", "upload_gb "+test.used+" 2024-08-01")
			d.close()
			old, history := d.statement("2024-08"), toldRows(d.history("acme", month("2024-08")))
			if got := tellAll(old); got != test.old {
				t.Errorf("August: %s, want %s", got, test.old)
			}
			d.meter() // what comes for August is late, whatever is on now
			d.at("2024-09-01T09:00")
			d.allocate("server", events.Endpoint, "pc-1")
			d.at("2024-09-10")
			test.do(d)
			if got := tellAll(d.draft("acme", date("2024-09-30"))); got != test.month {
				t.Errorf("the draft: %s, want %s", got, test.month)
			}
			d.close()
			now := d.statement("2024-09")
			if got := tellAll(now); got != test.month {
				t.Errorf("September: %s, want %s", got, test.month)
			}
			checkSums(t, now, d.history("acme", month("2024-09")))
			// B2: the closed month is as it was, its sums too.
			if got := d.statement("2024-08"); tellAll(got) != test.old || got.Digest != old.Digest {
				t.Errorf("August became %s", tellAll(got))
			}
			if got := toldRows(d.history("acme", month("2024-08"))); !slices.Equal(got, history) {
				t.Errorf("August's usage history became %q, was %q", got, history)
			}
			checkSums(t, old, d.history("acme", month("2024-08")))
		})
	}
}

// B5: a month that was adjusted is adjusted again from there, and a credit that is left opens the next statement that there is; it never lapses.
func TestAdjustmentsGoOn(t *testing.T) {
	d := newDesk(t, "2024-07-10")
	d.publish("2024-08", upload(events.Sum))
	d.at("2024-08-01")
	d.meter("upload")
	d.report("pc-1", "upload_gb 12 2024-08-01")
	d.close()
	d.report("pc-1", "upload_gb 3 2024-08-02")
	d.close() // September has nothing but the adjustments
	d.report("pc-1", "upload_gb 10 2024-08-03")
	d.close()
	d.must(license.Adjust{Month: month("2024-08"), Company: "auto", Type: "upload", Amount: money("-20.00"), Reason: "a test run"})
	d.close()
	d.close() // December has no lines: the credit waits
	d.at("2025-01-20")
	d.report("pc-1", "upload_gb 21.5 2025-01-10")
	d.close()
	for m, want := range map[string]string{
		"2024-08": "usage upload of 2024-08 12.00 + minimum of 2024-08 8.00 = 20.00",
		"2024-09": "adjustment upload of 2024-08 3.00 + adjustment of the minimum of 2024-08 -3.00 = 0.00",
		"2024-10": "adjustment upload of 2024-08 10.00 + adjustment of the minimum of 2024-08 -5.00 = 5.00",
		"2024-11": "adjustment upload of 2024-08 -20.00 + adjustment of the minimum of 2024-08 15.00 + carried of 2024-11 5.00 = 0.00",
		"2025-01": "carried of 2024-11 -5.00 + usage upload of 2025-01 21.50 = 16.50",
	} {
		if got := tellAll(d.statement(m)); got != want {
			t.Errorf("%s: %s, want %s", m, got, want)
		}
	}
	if n := len(d.issued("acme")); n != 5 {
		t.Errorf("%d statements", n)
	}
}

// B5, B6: the month's own prices count, and readings are late from the entry on that closes their month.
func TestLateAtItsOwnPrices(t *testing.T) {
	d := newDesk(t, "2024-07-10")
	d.publish("2024-08", upload(events.Sum))
	d.publish("2024-09", price("upload", "7.00"))
	d.at("2024-08-01")
	d.meter("upload")
	d.report("pc-1", "upload_gb 30 2024-08-01")
	d.at("2024-08-31T23:59")
	d.report("pc-1", "upload_gb 1 2024-08-31T23:58", "upload_gb 4 2024-09-01T00:01") // a clock that is ahead
	d.at("2024-09-01T00:05")
	d.report("pc-1", "upload_gb 2 2024-08-31T23:59", "upload_gb 1 2024-09-01T00:04")
	d.issue()
	d.at("2024-09-02")
	d.close()
	for m, want := range map[string]string{
		"2024-08": "usage upload of 2024-08 31.00 = 31.00",
		"2024-09": "usage upload of 2024-09 35.00 + adjustment upload of 2024-08 2.00 = 37.00",
	} {
		if got := tellAll(d.statement(m)); got != want {
			t.Errorf("%s: %s, want %s", m, got, want)
		}
	}
}

// C7: readings become a quantity as the type says.
func TestMeteredC7(t *testing.T) {
	readings := []string{
		"upload_gb 5 2026-02-03T09:00", "upload_gb 3 2026-02-03T12:00", "upload_gb 5 2026-02-03T11:00",
		"upload_gb 7 2026-02-05", "upload_gb 0.5 2026-02-06", "downloads 1000 2026-02-06",
	}
	for aggregate, want := range map[events.Aggregate]string{
		events.Sum:     "auto upload metered 21.50: 4, 4, 21.50", // 20.50 of pc-1, 1 of pc-2
		events.Max:     "auto upload metered 8.00: 4, 4, 8.00",   // 7 and 1
		events.Last:    "auto upload metered 1.50: 4, 4, 1.50",   // 0.5 and 1
		events.Unique:  "auto upload metered 5.00: 4, 4, 5.00",   // 5, 3, 7, 0.5 and 1
		events.Average: "auto upload metered 0.48: 4, 4, 0.48",   // 5, 7, 0.5 and 1 over 28 days
	} {
		t.Run(string(aggregate), func(t *testing.T) {
			d := newDesk(t, "2026-01-10")
			d.publish("2026-02", upload(aggregate))
			d.at("2026-02-02")
			d.meter("upload")
			d.at("2026-02-10")
			d.report("pc-1", readings...)
			d.report("pc-2", "upload_gb 1 2026-02-07")
			if got := toldRows(d.history("acme", month("2026-02"))); !slices.Equal(got, []string{want}) {
				t.Errorf("%q, want %s", got, want)
			}
			// In two parts, the second late: the same in the end.
			d.close()
			before := d.statement("2026-02").Subtotal
			d.report("pc-2", "upload_gb 9 2026-02-07T01:00")
			d.close()
			after := events.Money{}
			for _, l := range d.statement("2026-03").Lines {
				if l.Kind == catalog.Adjustment && l.LicenseType == "upload" {
					after.Decimal = before.Add(l.Amount.Decimal)
				}
			}
			wants := map[events.Aggregate]string{events.Sum: "30.50", events.Max: "16.00", events.Last: "9.50", events.Unique: "6.00", events.Average: "0.77"}
			if after.String() != wants[aggregate] {
				t.Errorf("with what came late it is %s, want %s", after, wants[aggregate])
			}
		})
	}
}

// C7: 100 GiB on 10 of 30 days: 33.33 GiB-months, 0.20.
func TestStorageC7(t *testing.T) {
	d := newDesk(t, "2026-04-01")
	d.meter("backup-storage")
	d.at("2026-04-15")
	var list []string
	for day := 1; day <= 10; day++ {
		list = append(list, fmt.Sprintf("storage_bytes 107374182400 2026-04-%02dT04:00", day))
	}
	d.report("pc-1", list...)
	if got := toldRows(d.history("acme", month("2026-04"))); !slices.Equal(got, []string{"auto backup-storage metered 33.33: 10, 10, 0.20"}) {
		t.Errorf("%q", got)
	}
}

// C7: whatever is reported can be billed; the line ends where amounts do.
func TestHugeReadings(t *testing.T) {
	d := newDesk(t, "2026-01-10")
	d.publish("2026-02", func(c *events.Catalog) { upload(events.Sum)(c); price("upload", "1000000")(c) })
	d.at("2026-02-02")
	d.meter("upload")
	for range 3 {
		d.report("pc-1", "upload_gb 999999999999999999 2026-02-02")
	}
	d.close()
	d.report("pc-1", "upload_gb 999999999999999999 2026-02-02")
	d.report("pc-1", "upload_gb 999999999999999999 2026-03-01")
	d.close()
	for m, want := range map[string]string{
		"2026-02": "usage upload of 2026-02 1000000000000.00 = 1000000000000.00",
		"2026-03": "usage upload of 2026-03 1000000000000.00 = 1000000000000.00",
	} {
		if got := tellAll(d.statement(m)); got != want {
			t.Errorf("%s: %s, want %s", m, got, want)
		}
	}
}

// C7: a day counts where the type was on at any moment of it; what is reported before anything is on is not kept.
func TestSwitches(t *testing.T) {
	d := newDesk(t, "2026-01-10")
	d.publish("2026-02", upload(events.Sum))
	d.at("2026-02-03T09:00")
	d.report("pc-1", "upload_gb 1000 2026-02-03T08:00") // nobody asked for it
	d.at("2026-02-03T12:00")
	d.meter("upload")
	d.at("2026-02-05T12:00")
	d.meter()
	d.at("2026-02-10T23:59:59.999Z")
	d.meter("upload")
	d.at("2026-02-11")
	d.meter()
	d.at("2026-02-20")
	for day := 1; day <= 20; day++ {
		d.report("pc-1", fmt.Sprintf("upload_gb 1 2026-02-%02d", day))
	}
	// The 3rd to the 5th, the 10th and the 11th.
	if got := toldRows(d.history("acme", month("2026-02"))); !slices.Equal(got, []string{"auto upload metered 5.00: 5, 5, 5.00"}) {
		t.Errorf("%q", got)
	}
	if got := toldRows(d.historyThrough("acme", month("2026-02"), date("2026-02-04"))); !slices.Equal(got, []string{"auto upload metered 2.00: 2, 2, 2.00"}) {
		t.Errorf("through the 4th: %q", got)
	}
}

func (f *file) historyThrough(provider string, m events.Month, through events.Date) (r catalog.Rating) {
	f.t.Helper()
	f.read(func(tx *bbolt.Tx) {
		var err error
		if r, err = invoices.History(tx, provider, m, through); err != nil {
			f.t.Fatal(err)
		}
	})
	return r
}

// C7: days of an endpoint that only a trial covered do not bill; those of one without any license do.
func TestTrialDaysDoNotBill(t *testing.T) {
	d := newDesk(t, "2026-01-10")
	d.publish("2026-02", upload(events.Sum))
	d.at("2026-02-01")
	d.meter("upload")
	d.at("2026-02-03T10:00")
	d.must(license.Install{Endpoint: "pc-1", Company: "auto", Type: "server"}) // paid from the 17th on
	d.must(license.Install{Endpoint: "pc-2", Company: "auto", Type: "server"}) // released on the 8th
	d.must(license.Install{Endpoint: "pc-3", Company: "auto", Type: "server"}) // and paid with another
	d.allocate("desktop", events.Endpoint, "pc-3")
	d.at("2026-02-08T10:00")
	for l := range d.State("acme").Licenses() {
		if l.Assignee.ID == "pc-2" {
			d.must(license.Release{License: l.ID})
		}
	}
	d.at("2026-02-25")
	d.must(license.Settle{})
	for day := 1; day <= 20; day++ {
		for _, pc := range []string{"pc-1", "pc-2", "pc-3", "pc-4"} {
			d.report(pc, fmt.Sprintf("upload_gb 1 2026-02-%02d", day))
		}
	}
	want := "auto upload metered 60.00: 80, 60, 60.00" // without 3 to 16 of pc-1, 3 to 8 of pc-2
	if got := toldRows(d.history("acme", month("2026-02"))); !slices.Contains(got, want) {
		t.Errorf("%q, want %s", got, want)
	}
}

// B4, with what is known on the 10th of what leads to the 1st.
func TestNextPaymentB4(t *testing.T) {
	d := newDesk(t, "2026-03-10T09:00")
	id := d.allocate("server", events.Endpoint, "pc-1")
	expected := []catalog.Use{{
		License: "01KGB", Created: d.Now, Type: "desktop", Company: "auto", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-2"},
		From: date("2026-03-24"), To: date("2026-03-31"), Activated: instant("2026-03-24T09:00"),
	}}
	next := func(today string, more []catalog.Use) string {
		t.Helper()
		var n invoices.NextPayment
		d.read(func(tx *bbolt.Tx) {
			var err error
			if n, _, err = invoices.Next(tx, "acme", date(today), more); err != nil {
				t.Fatal(err)
			}
		})
		return fmt.Sprintf("%s, accrued %s, credit %s", tell(n.Statement), n.Accrued, n.Statement.Minimum)
	}
	for _, test := range []struct {
		name, got, want string
	}{
		{"a server from the 10th on: 22 of 31 days", next("2026-03-10", nil), "usage server 4.96 + minimum 15.04 = 20.00, accrued 0.23, credit 15.04"},
		{"five days later", next("2026-03-15", nil), "usage server 4.96 + minimum 15.04 = 20.00, accrued 1.35, credit 15.04"},
		{
			"a trial that will be paid", next("2026-03-15", expected),
			"usage desktop 0.77 + usage server 4.96 + minimum 14.27 = 20.00, accrued 1.35, credit 14.27",
		},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
		}
	}
	d.must(license.SetAutoRenew{License: id}) // no influence within the month
	if got, want := next("2026-03-15", nil), "usage server 4.96 + minimum 15.04 = 20.00, accrued 1.35, credit 15.04"; got != want {
		t.Errorf("without renewal: %s, want %s", got, want)
	}
	d.at("2026-04-01")
	d.must(license.Settle{})
	if got, want := next("2026-04-01", nil), " = 0.00, accrued 0.00, credit 0.00"; got != want {
		t.Errorf("B4: nothing is spent: %s, want %s", got, want)
	}
}

// L10: outcomes of charges are kept in order, and the last one is the statement's.
func TestPayments(t *testing.T) {
	d := newDesk(t, "2026-01-01")
	d.allocate("server", events.Endpoint, "pc-1")
	d.close()
	d.close()
	outcomes := func() (list []string) {
		for _, s := range d.issued("acme") {
			list = append(list, strings.TrimSpace(s.Number+" "+string(s.Outcome)))
		}
		return list
	}
	if got := outcomes(); !slices.Equal(got, []string{"S-000001", "S-000002"}) {
		t.Errorf("%q", got)
	}
	at := d.Now
	for i, p := range []license.RecordPayment{
		{Invoice: "S-000002", Outcome: events.Failed, Reason: "card expired"},
		{Invoice: "S-000001", Outcome: events.Collected},
		{Invoice: "S-000002", Outcome: events.Failed, Reason: "again"},
		{Invoice: "S-000002", Outcome: events.Collected},
	} {
		d.Now = at.Add(time.Duration(i) * time.Hour)
		d.must(p)
	}
	if got := outcomes(); !slices.Equal(got, []string{"S-000001 collected", "S-000002 collected"}) {
		t.Errorf("%q", got)
	}
	d.read(func(tx *bbolt.Tx) {
		var got []string
		after := uint64(0)
		for {
			page, err := invoices.Payments(tx, "acme", after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range page {
				got = append(got, fmt.Sprint(p.Invoice, " ", p.Outcome, " ", p.Reason, " ", p.At.Sub(at)))
				after = p.Entry
			}
			if len(page) < 3 {
				break
			}
		}
		if want := []string{"S-000002 failed card expired 0s", "S-000001 collected  1h0m0s", "S-000002 failed again 2h0m0s", "S-000002 collected  3h0m0s"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		last, ok, err := invoices.LastPayment(tx, "acme", "S-000002", d.issued("acme")[1].Entry)
		if ok || err != nil {
			t.Errorf("before it was issued: %+v, %v", last, err)
		}
	})
}
