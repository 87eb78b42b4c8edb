package invoices_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

// tell writes a statement in few words.
func tell(s invoices.Statement) string {
	var lines []string
	for _, l := range s.Lines {
		lines = append(lines, strings.Join(strings.Fields(fmt.Sprint(l.Kind, " ", l.LicenseType, " ", l.Amount)), " "))
	}
	return fmt.Sprintf("%s = %s", strings.Join(lines, " + "), s.Total)
}

// rows writes a usage history in few words.
func rows(r catalog.Rating) (list []string) {
	for _, row := range r.Rows {
		if row.Use == nil {
			list = append(list, fmt.Sprintf("%s: %s at most", row.Company, row.Quantity))
			continue
		}
		list = append(list, fmt.Sprintf("%s: %d, %d, %s", row.Use.Assignee.ID, row.DaysActive, row.BilledDays, row.Cost))
	}
	return list
}

func policy(licenseType string, p events.Policy) func(*events.Catalog) {
	return func(c *events.Catalog) {
		c.Types[slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == licenseType })].Policy = p
	}
}

// sockets gives pc-1 so many and a vm-server.
func sockets(n int) func(d *desk) {
	return func(d *desk) {
		d.must(license.Install{Endpoint: "pc-1", Company: "auto", Sockets: n})
		d.allocate("vm-server", events.Endpoint, "pc-1")
	}
}

// The worked examples of the domain, from commands to statements.
func TestWorkedExamples(t *testing.T) {
	branding := func(id string) events.Assignee { return events.Assignee{Kind: events.Branding, ID: id} }
	for _, test := range []struct {
		name    string
		from    string
		do      func(d *desk)
		month   string
		history []string
		want    string
	}{
		{
			name: "D2: server bought and assigned 1 February 2026, released 10 February 00:00:00: 10 days, 2.50", from: "2026-02-01T09:00",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-02-10")
				d.must(license.Release{License: id})
			},
			month: "2026-02", history: []string{"pc-1: 10, 10, 2.50"},
			want: "usage server 2.50 + minimum 17.50 = 20.00",
		},
		{
			name: "D2: an assignment without length counts its date", from: "2026-02-10",
			do:    func(d *desk) { d.must(license.Release{License: d.allocate("server", events.Endpoint, "pc-1")}) },
			month: "2026-02", history: []string{"pc-1: 1, 1, 0.25"},
			want: "usage server 0.25 + minimum 19.75 = 20.00",
		},
		{
			name: "D2: released at 00:00:00 of the next month, one day of it is billed", from: "2026-01-31",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-02-01")
				d.must(license.Release{License: id})
			},
			month: "2026-02", history: []string{"pc-1: 1, 1, 0.25"},
			want: "usage server 0.25 + minimum 19.75 = 20.00",
		},
		{
			name: "D3: what runs out at 00:00:00 of the next month is not billed there", from: "2026-01-31",
			do: func(d *desk) {
				d.must(license.Buy{Type: "server", Quantity: 1, NoRenew: true})
				d.must(license.Allocate{Type: "server", Company: "auto", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}})
				d.at("2026-02-01")
				d.must(license.Settle{})
			},
			month: "2026-02", want: " = 0.00",
		},
		{
			name: "D3: it is billed until the day before", from: "2026-01-31",
			do: func(d *desk) {
				d.must(license.Buy{Type: "server", Quantity: 1, NoRenew: true})
				d.must(license.Allocate{Type: "server", Company: "auto", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}})
			},
			month: "2026-01", history: []string{"pc-1: 1, 1, 0.23"}, want: "usage server 0.23 + minimum 19.77 = 20.00",
		},
		{
			name: "L5: what serves nobody is not billed", from: "2026-02-01",
			do:    func(d *desk) { d.must(license.Buy{Type: "server", Quantity: 10}) },
			month: "2026-02", want: " = 0.00",
		},
		{
			name: "C8: two brandings from 1 April, the first released on the 10th: the second has 30 active and 10 billed days, 16.33", from: "2026-04-01",
			do: func(d *desk) {
				first := d.must(license.Allocate{Type: "advanced-rebranding", Company: "auto", Assignee: branding("first")})
				d.Now = d.Now.Add(events.Precision)
				d.must(license.Allocate{Type: "advanced-rebranding", Company: "auto", Assignee: branding("second")})
				d.at("2026-04-10T12:00")
				d.must(license.Release{License: first})
			},
			month: "2026-04", history: []string{"first: 10, 0, 0.00", "second: 30, 10, 16.33"},
			want: "usage advanced-rebranding 16.33 + minimum 3.67 = 20.00",
		},
		{
			name: "B3: September 2024, 18.00: charged 20.00", from: "2024-06-10",
			do: func(d *desk) {
				d.publish("2024-09", price("server", "18.00"))
				d.at("2024-09-01")
				d.allocate("server", events.Endpoint, "pc-1")
			},
			month: "2024-09", history: []string{"pc-1: 30, 30, 18.00"},
			want: "usage server 18.00 + minimum 2.00 = 20.00",
		},
		{
			name: "B3: with 5.00 more: 23.00", from: "2024-06-10",
			do: func(d *desk) {
				d.publish("2024-09", func(c *events.Catalog) { price("server", "18.00")(c); price("desktop", "5.00")(c) })
				d.at("2024-09-01")
				d.allocate("server", events.Endpoint, "pc-1")
				d.allocate("desktop", events.Endpoint, "pc-1")
			},
			month: "2024-09", history: []string{"pc-1: 30, 30, 5.00", "pc-1: 30, 30, 18.00"},
			want: "usage desktop 5.00 + usage server 18.00 = 23.00",
		},
		{
			name: "B3: July 2024, 18.00: 18.00", from: "2024-06-10",
			do: func(d *desk) {
				d.publish("2024-07", price("server", "18.00"))
				d.at("2024-07-01")
				d.allocate("server", events.Endpoint, "pc-1")
			},
			month: "2024-07", history: []string{"pc-1: 31, 31, 18.00"},
			want: "usage server 18.00 = 18.00",
		},
		{
			name: "C1: a running month keeps its prices", from: "2026-02-01",
			do: func(d *desk) {
				d.allocate("server", events.Endpoint, "pc-1")
				d.publish("2026-03", price("server", "60.00"))
			},
			month: "2026-02", history: []string{"pc-1: 28, 28, 6.99"},
			want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "C1, L9: the next one has the new ones", from: "2026-02-01",
			do: func(d *desk) {
				d.allocate("server", events.Endpoint, "pc-1")
				d.publish("2026-03", price("server", "60.00"))
				d.at("2026-03-10T09:00")
				d.must(license.Settle{})
			},
			month: "2026-03", history: []string{"pc-1: 31, 31, 60.00"},
			want: "usage server 60.00 = 60.00",
		},
		{
			name: "C4: 10 of 28 days", from: "2026-02-01T09:00",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-02-10T18:00")
				d.must(license.Release{License: id})
			},
			month: "2026-02", history: []string{"pc-1: 10, 10, 2.50"}, want: "usage server 2.50 + minimum 17.50 = 20.00",
		},
		{
			name: "C4: all of 28 days", from: "2026-02-01",
			do:    func(d *desk) { d.allocate("server", events.Endpoint, "pc-1") },
			month: "2026-02", history: []string{"pc-1: 28, 28, 6.99"}, want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "C4: 10 of 29 days", from: "2024-02-01T09:00",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2024-02-10T18:00")
				d.must(license.Release{License: id})
			},
			month: "2024-02", history: []string{"pc-1: 10, 10, 2.41"}, want: "usage server 2.41 = 2.41",
		},
		{
			name: "C4: all of 29 days", from: "2024-02-01",
			do:    func(d *desk) { d.allocate("server", events.Endpoint, "pc-1") },
			month: "2024-02", history: []string{"pc-1: 29, 29, 6.99"}, want: "usage server 6.99 = 6.99",
		},
		{
			name: "C4: 10 of 30 days", from: "2026-04-01T09:00",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-04-10T18:00")
				d.must(license.Release{License: id})
			},
			month: "2026-04", history: []string{"pc-1: 10, 10, 2.33"}, want: "usage server 2.33 + minimum 17.67 = 20.00",
		},
		{
			name: "C4: all of 30 days", from: "2026-04-01",
			do:    func(d *desk) { d.allocate("server", events.Endpoint, "pc-1") },
			month: "2026-04", history: []string{"pc-1: 30, 30, 6.99"}, want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "C4: 10 of 31 days", from: "2026-03-01T09:00",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-03-10T18:00")
				d.must(license.Release{License: id})
			},
			month: "2026-03", history: []string{"pc-1: 10, 10, 2.25"}, want: "usage server 2.25 + minimum 17.75 = 20.00",
		},
		{
			name: "C4: all of 31 days", from: "2026-03-01",
			do:    func(d *desk) { d.allocate("server", events.Endpoint, "pc-1") },
			month: "2026-03", history: []string{"pc-1: 31, 31, 6.99"}, want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "C5: any active day bills the whole month", from: "2026-02-20",
			do: func(d *desk) {
				d.publish("2026-03", policy("server", events.FullMonth))
				d.at("2026-03-30")
				d.must(license.Release{License: d.allocate("server", events.Endpoint, "pc-1")})
			},
			month: "2026-03", history: []string{"pc-1: 1, 31, 6.99"}, want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "C6: 5, 7, 7: 7 x price, carried by those of the first such date", from: "2026-02-20",
			do: func(d *desk) {
				d.publish("2026-03", policy("server", events.Peak))
				d.at("2026-03-01")
				var ids []string
				for i := range 5 {
					d.Now = d.Now.Add(events.Precision)
					ids = append(ids, d.allocate("server", events.Endpoint, fmt.Sprint("pc-", i)))
				}
				d.at("2026-03-02")
				d.allocate("server", events.Endpoint, "pc-5")
				d.Now = d.Now.Add(events.Precision)
				d.allocate("server", events.Endpoint, "pc-6")
				d.at("2026-03-03")
				d.must(license.Unassign{License: ids[0]})
				d.at("2026-03-04")
				d.allocate("server", events.Endpoint, "pc-7") // with the one that is free: 7 again
			},
			month: "2026-03", history: []string{
				"pc-0: 3, 31, 6.99", "pc-7: 28, 0, 0.00", "pc-1: 31, 31, 6.99", "pc-2: 31, 31, 6.99", "pc-3: 31, 31, 6.99", "pc-4: 31, 31, 6.99",
				"pc-5: 30, 31, 6.99", "pc-6: 30, 31, 6.99", "auto: 7 at most",
			},
			want: "usage server 48.93 = 48.93",
		},
		{
			name: "L2: installed 10 January 10:00, paid 24 January 10:00: 8 days, 1.80", from: "2026-01-10T10:00",
			do: func(d *desk) {
				d.must(license.Install{Endpoint: "pc-1", Company: "auto", Type: "server"})
				d.at("2026-01-25")
				d.must(license.Settle{})
			},
			month: "2026-01", history: []string{"pc-1: 8, 8, 1.80"}, want: "usage server 1.80 + minimum 18.20 = 20.00",
		},
		{
			name: "L2: released that day at 15:00: 1 day, 0.23", from: "2026-01-10T10:00",
			do: func(d *desk) {
				id := d.must(license.Install{Endpoint: "pc-1", Company: "auto", Type: "server"})
				d.at("2026-01-24T15:00")
				d.must(license.Release{License: id})
			},
			month: "2026-01", history: []string{"pc-1: 1, 1, 0.23"}, want: "usage server 0.23 + minimum 19.77 = 20.00",
		},
		{
			name: "L2: at 09:59:59: nothing", from: "2026-01-10T10:00",
			do: func(d *desk) {
				id := d.must(license.Install{Endpoint: "pc-1", Company: "auto", Type: "server"})
				d.at("2026-01-24T09:59:59Z")
				d.must(license.Release{License: id})
			},
			month: "2026-01", want: " = 0.00",
		},
		{
			name: "L6: server to ultimate on 15 January and back on the 20th: 15, 5, 11 days: 3.38, 1.61, 2.48", from: "2026-01-01",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-01-15T12:00")
				id = d.must(license.Change{License: id, Type: "ultimate"})
				d.at("2026-01-20T12:00")
				d.must(license.Change{License: id, Type: "server"})
			},
			month: "2026-01", history: []string{"pc-1: 15, 15, 3.38", "pc-1: 11, 11, 2.48", "pc-1: 5, 5, 1.61"},
			want: "usage server 5.86 + usage ultimate 1.61 + minimum 12.53 = 20.00",
		},
		{
			name: "L6: changed on 31 January: the old one has 31 days", from: "2026-01-01",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-01-31T12:00")
				d.must(license.Change{License: id, Type: "ultimate"})
			},
			month: "2026-01", history: []string{"pc-1: 31, 31, 6.99"}, want: "usage server 6.99 + minimum 13.01 = 20.00",
		},
		{
			name: "L6: and the new one is billed from 1 February on", from: "2026-01-01",
			do: func(d *desk) {
				id := d.allocate("server", events.Endpoint, "pc-1")
				d.at("2026-01-31T12:00")
				d.must(license.Change{License: id, Type: "ultimate"})
				d.at("2026-02-10")
				d.must(license.Settle{})
			},
			month: "2026-02", history: []string{"pc-1: 28, 28, 9.99"}, want: "usage ultimate 9.99 + minimum 10.01 = 20.00",
		},
		{
			name: "L12: 2 sockets: 12.99", from: "2026-03-01", do: sockets(2),
			month: "2026-03", history: []string{"pc-1: 31, 31, 12.99"}, want: "usage vm-server 12.99 + minimum 7.01 = 20.00",
		},
		{
			name: "L12: 3 sockets: 19.48", from: "2026-03-01", do: sockets(3),
			month: "2026-03", history: []string{"pc-1: 31, 31, 12.99", "pc-1: 31, 31, 6.49"},
			want: "usage vm-server 12.99 + usage vm-server-socket 6.49 + minimum 0.52 = 20.00",
		},
		{
			name: "L12: 5 sockets: 32.46", from: "2026-03-01", do: sockets(5),
			month: "2026-03", history: []string{"pc-1: 31, 31, 12.99", "pc-1: 31, 31, 6.49", "pc-1: 31, 31, 6.49", "pc-1: 31, 31, 6.49"},
			want: "usage vm-server 12.99 + usage vm-server-socket 19.47 = 32.46",
		},
		{
			name: "L10: failed 1 January 09:30, expired the 8th 09:30, paid the 12th: 8 + 20 days, 6.31", from: "2025-12-01",
			do: func(d *desk) {
				d.allocate("server", events.Endpoint, "pc-1")
				d.close()
				d.at("2026-01-01T09:30")
				d.must(license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed, Reason: "card expired"})
				d.at("2026-01-12T15:00")
				d.must(license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
				d.must(license.Settle{})
			},
			month: "2026-01", history: []string{"pc-1: 8, 8, 1.80", "pc-1: 20, 20, 4.51"}, want: "usage server 6.31 + minimum 13.69 = 20.00",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, test.from)
			test.do(d)
			m := month(test.month)
			if a := d.State("acme").Account(); a.Open == m {
				if got := tell(d.draft("acme", m.Last())); got != test.want {
					t.Errorf("the draft: %s, want %s", got, test.want)
				}
			}
			if got := rows(d.history("acme", m)); !slices.Equal(got, test.history) {
				t.Errorf("the history: %q, want %q", got, test.history)
			}
			d.Now = m.End()
			d.must(license.Settle{})
			d.issue()
			list := d.issued("acme")
			i := slices.IndexFunc(list, func(s invoices.Statement) bool { return s.Month == m })
			if test.history == nil {
				if i >= 0 {
					t.Errorf("B2: there are no lines, but a statement: %s", tell(list[i]))
				}
				return
			}
			if i < 0 {
				t.Fatalf("no statement of %s was issued", m)
			}
			if got := tell(list[i]); got != test.want {
				t.Errorf("the statement: %s, want %s", got, test.want)
			}
			if got := rows(d.history("acme", m)); !slices.Equal(got, test.history) {
				t.Errorf("the history of the closed month: %q, want %q", got, test.history)
			}
			checkSums(t, list[i], d.history("acme", m))
		})
	}
}

// B2: a month without lines has no statement, and leaves no gap in the numbers.
func TestNoLinesNoStatement(t *testing.T) {
	d := newDesk(t, "2026-01-20")
	id := d.allocate("server", events.Endpoint, "pc-1")
	d.must(license.Release{License: id})
	d.at("2026-03-10")
	d.allocate("server", events.Endpoint, "pc-1")
	d.at("2026-04-01")
	d.must(license.Settle{})
	d.issue()
	var got []string
	for _, s := range d.issued("acme") {
		got = append(got, s.Number+" "+s.Month.String())
	}
	if want := []string{"S-000001 2026-01", "S-000002 2026-03"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Before the first catalog nothing is sold: months close, and there is nothing to pay.
func TestBeforeTheFirstCatalog(t *testing.T) {
	d := newDesk(t, "2023-10-20")
	d.at("2024-02-10")
	d.must(license.Settle{})
	if got := d.history("acme", month("2023-11")); len(got.Rows) != 0 {
		t.Errorf("%+v", got)
	}
	d.allocate("server", events.Endpoint, "pc-1")
	d.at("2024-03-01")
	d.must(license.Settle{})
	d.issue()
	if list := d.issued("acme"); len(list) != 1 || tell(list[0]) != "usage server 4.82 = 4.82" || list[0].Month != month("2024-02") {
		t.Errorf("%+v", list)
	}
}

// In the middle of a month the draft grows day by day.
func TestDraftThroughADay(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.allocate("server", events.Endpoint, "pc-1")
	for day, want := range map[string]string{
		"2026-02-09": " = 0.00",
		"2026-02-10": "usage server 0.25 + minimum 19.75 = 20.00",
		"2026-02-23": "usage server 3.50 + minimum 16.50 = 20.00",
		"2026-02-28": "usage server 4.74 + minimum 15.26 = 20.00",
		"2026-03-10": "usage server 4.74 + minimum 15.26 = 20.00",
	} {
		if got := tell(d.draft("acme", date(day))); got != want {
			t.Errorf("through %s: %s, want %s", day, got, want)
		}
	}
}

// script gives one license's states to the view, as commands would leave them that the tests have no other way to give.
type script struct {
	*desk
	l      events.License
	number uint64
}

func newScript(t *testing.T, at string) *script {
	d := newDesk(t, at)
	return &script{desk: d, number: d.System.Next, l: events.License{
		ID: "01KGB000000000000000000000", Type: "server", Status: events.Paid, AutoRenew: true, Created: d.Now, ExpiresAt: events.MonthOf(d.Now).End(),
	}}
}

func (s *script) event(at string, data func(l events.License) events.Data) {
	s.at(at)
	s.number++
	s.apply(events.Entry{
		Number: s.number, Time: s.Now, Provider: "acme", Actor: "operator", Command: "test/x", Events: []events.Event{{Data: data(s.l)}},
	})
}

// serve gives the license to an endpoint, or takes it away.
func (s *script) serve(at, company, endpoint string) {
	s.l.Company, s.l.Assigned, s.l.Assignee = company, endpoint != "", events.Assignee{Kind: events.Endpoint, ID: endpoint}
	s.event(at, func(l events.License) events.Data { return &events.LicenseAllocated{Source: events.ByID, License: l} })
}

func (s *script) wantRows(m string, want ...string) {
	s.t.Helper()
	if got := rows(s.history("acme", month(m))); !slices.Equal(got, want) {
		s.t.Errorf("the history of %s: %q, want %q", m, got, want)
	}
}

// B1, L5: with several assignees in turn each row costs what the license costs through it, less what it cost before; a date that
// two share belongs to the first.
func TestAssigneesInTurn(t *testing.T) {
	s := newScript(t, "2026-01-01")
	s.serve("2026-01-01T09:00", "auto", "pc-1")
	s.serve("2026-01-10T09:00", "auto", "")
	s.serve("2026-01-10T12:00", "auto", "pc-2")         // shares the 10th
	s.serve("2026-01-20T23:59:59.999Z", "auto", "pc-3") // shares the 20th
	s.wantRows("2026-01", "pc-1: 10, 10, 2.25", "pc-2: 10, 10, 2.26", "pc-3: 11, 11, 2.48")
	draft := s.draft("acme", date("2026-01-31"))
	if got := tell(draft); got != "usage server 6.99 + minimum 13.01 = 20.00" {
		t.Error(got)
	}
	checkSums(t, draft, s.history("acme", month("2026-01")))
	s.serve("2026-01-25T09:00", "auto", "")
	s.serve("2026-01-28T09:00", "auto", "pc-1") // again, after serving nobody
	s.wantRows("2026-01", "pc-1: 10, 10, 2.25", "pc-2: 10, 10, 2.26", "pc-3: 5, 5, 1.13", "pc-1: 4, 4, 0.90")
}

// B1: a date that several share belongs to the first of them also where all of them came and went at one instant, whatever their names,
// and to its company.
func TestAssigneesOfOneInstant(t *testing.T) {
	const at = "2026-01-05T09:00"
	s := newScript(t, "2026-01-01")
	s.serve(at, "zeta", "pc-9")
	s.serve(at, "zeta", "")
	s.serve(at, "beta", "pc-5")
	s.serve(at, "auto", "pc-1")
	s.serve(at, "auto", "")
	s.wantRows("2026-01", "pc-1: 0, 0, 0.00", "pc-5: 0, 0, 0.00", "pc-9: 1, 1, 0.23") // by company
	s.serve(at, "auto", "pc-2")
	draft := s.draft("acme", date("2026-01-31"))
	if got := tell(draft); got != "usage server 5.86 + usage server 0.23 + minimum 13.91 = 20.00" || draft.Lines[0].Company != "auto" || draft.Lines[1].Company != "zeta" {
		t.Errorf("%s: %+v", got, draft.Lines)
	}
	checkSums(t, draft, s.history("acme", month("2026-01")))
}

// L8: what changes nothing about who is served leaves the use as it is.
func TestOtherChanges(t *testing.T) {
	s := newScript(t, "2026-01-01")
	s.serve("2026-01-05T09:00", "auto", "pc-1")
	s.l.AutoRenew = false
	s.serve("2026-01-10T09:00", "auto", "pc-1")
	s.wantRows("2026-01", "pc-1: 27, 27, 6.09")
	if u := s.history("acme", month("2026-01")).Rows[0].Use; !u.Activated.Equal(instant("2026-01-05T09:00")) || !u.Deactivated.IsZero() {
		t.Errorf("it was activated %s and deactivated %s", u.Activated, u.Deactivated)
	}
}

// L13: an endpoint that moves is billed to its old company today, to the new one from tomorrow on.
func TestEndpointMoves(t *testing.T) {
	s := newScript(t, "2026-01-01")
	s.serve("2026-01-01T09:00", "auto", "pc-1")
	s.serve("2026-01-10T09:00", "other", "pc-1")
	s.wantRows("2026-01", "pc-1: 10, 10, 2.25", "pc-1: 21, 21, 4.74")
	draft := s.draft("acme", date("2026-01-31"))
	if got := tell(draft); got != "usage server 2.25 + usage server 4.74 + minimum 13.01 = 20.00" || draft.Lines[0].Company != "auto" || draft.Lines[1].Company != "other" {
		t.Error(got)
	}
}

// L10, D3: what runs out within a month ends exclusively, and may come back.
func TestGraceEnds(t *testing.T) {
	for _, test := range []struct {
		ends string
		want string
	}{
		{"2026-01-08T09:30", "pc-1: 8, 8, 1.80"},
		{"2026-01-08", "pc-1: 7, 7, 1.58"},
	} {
		s := newScript(t, "2026-01-01")
		s.serve("2026-01-01", "auto", "pc-1")
		s.l.Status, s.l.Assigned = events.Expired, false
		s.event(test.ends, func(l events.License) events.Data {
			return &events.LicenseExpired{Reason: events.NoPaymentMethod, License: l}
		})
		s.wantRows("2026-01", test.want)
		s.l.Status, s.l.Assigned = events.Paid, true
		s.event("2026-01-12T15:00", func(l events.License) events.Data { return &events.LicenseRenewed{License: l} })
		if got := s.history("acme", month("2026-01")); len(got.Rows) != 2 || got.Rows[1].BilledDays != 20 {
			t.Errorf("paid on the 12th: %q", rows(got))
		} else if got.Rows[0].BilledDays == 8 && got.Subtotal.String() != "6.31" {
			t.Errorf("8 and 20 days come to %s", got.Subtotal)
		}
	}
}

// L6: days that an earlier license of the assignee carries are billed there (events.License.BilledFrom).
func TestBilledFrom(t *testing.T) {
	for _, test := range []struct {
		from, to string // begins, ends; both at noon
		month    string
		want     []string
	}{
		{"2026-01-15", "2026-01-20", "2026-01", []string{"pc-1: 5, 5, 1.13"}},
		{"2026-01-15", "2026-01-15", "2026-01", []string{"pc-1: 0, 0, 0.00"}}, // it costs nothing
		{"2026-01-31", "2026-02-03", "2026-01", nil},
		{"2026-01-31", "2026-02-03", "2026-02", []string{"pc-1: 3, 3, 0.75"}},
	} {
		t.Run(test.from+" to "+test.to+" in "+test.month, func(t *testing.T) {
			s := newScript(t, test.from+"T12:00")
			s.l.BilledFrom = date(test.from) + 1
			s.serve(test.from+"T12:00", "auto", "pc-1")
			if m := events.MonthOf(instant(test.to)); m != events.MonthOf(s.Now) {
				s.event(m.First().String(), func(l events.License) events.Data { return &events.LicenseRenewed{License: l} })
			}
			s.l.Status, s.l.Assigned = events.Released, false
			s.event(test.to+"T12:00", func(l events.License) events.Data { return &events.LicenseReleased{License: l} })
			s.wantRows(test.month, test.want...)
		})
	}
}
