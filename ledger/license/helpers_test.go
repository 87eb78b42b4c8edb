package license_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// desk is a ledger with one provider, acme, and names for its licenses: L1, L2, ... as they were bought.
type desk struct {
	*ledgertest.Ledger
	t     testing.TB
	ids   map[string]string // name -> id
	names map[string]string // id -> name
}

// newDesk opens a ledger at a time. Acme pays; globex, initech and auto are its companies: all may draw from the global pool
// but initech, and only for auto licenses are bought on the spot. Ann and
// bob are its administrators.
func newDesk(t testing.TB, at string) *desk {
	t.Helper()
	d := emptyDesk(t, at)
	d.must(license.SetProvider{Name: "Acme"})
	d.must(license.SetPaymentMethod{System: "fastspring", Account: "a1"})
	d.company("globex", func(*events.CompanySet) {})
	d.company("initech", func(c *events.CompanySet) { c.Pool = events.CompanyPool })
	d.company("auto", func(c *events.CompanySet) { c.Allocation = events.Automatic })
	for _, who := range []string{"ann", "bob"} {
		d.must(license.SetAdministrator{Administrator: who})
	}
	return d
}

func emptyDesk(t testing.TB, at string) *desk {
	t.Helper()
	return &desk{ledgertest.NewLedger(instant(at)), t, map[string]string{}, map[string]string{}}
}

func (d *desk) company(id string, change func(*events.CompanySet)) {
	d.t.Helper()
	c := events.CompanySet{Company: id, Allocation: events.Manual, Pool: events.GlobalPool}
	change(&c)
	d.must(license.SetCompany{CompanySet: c})
}

// instant reads "2026-02-01", "2026-02-01T09:00:00Z" and what lies between.
func instant(s string) time.Time {
	t, err := events.ParseTime(s + "1970-01-01T00:00:00Z"[min(len(s), 20):])
	if err != nil {
		panic(err)
	}
	return t
}

// at moves the clock.
func (d *desk) at(s string) { d.Now = instant(s) }

// must decides a command for acme that is not refused, and tells what it did.
func (d *desk) must(body license.Body) string {
	d.t.Helper()
	got := d.do(body)
	if strings.Contains(got, "refused") {
		d.t.Fatalf("%+v at %s: %s", body, events.FormatTime(d.Now), got)
	}
	return got
}

// do decides a command for acme and tells what happened: what was due, what the command did, or why it was refused.
func (d *desk) do(body license.Body) string { return d.in("acme", body) }

func (d *desk) in(provider string, body license.Body) string {
	switch c := body.(type) {
	case license.Release:
		c.License = d.id(c.License)
		body = c
	case license.Allocate:
		c.License = d.id(c.License)
		body = c
	}
	decision, err := d.Do(provider, body)
	return d.tell(decision, err)
}

func (d *desk) id(name string) string {
	if id, ok := d.ids[name]; ok {
		return id
	}
	return name
}

func (d *desk) tell(decision license.Decision, err error) string {
	var said []string
	for _, ev := range decision.Due {
		said = append(said, "due "+d.event(ev))
	}
	for _, ev := range decision.Events {
		said = append(said, d.event(ev))
	}
	var refusal *license.Refusal
	switch {
	case errors.As(err, &refusal):
		why := "refused " + string(refusal.Code)
		if refusal.Field != "" {
			why += " " + refusal.Field
		}
		said = append(said, why)
	case err != nil:
		d.t.Fatal(err)
	case decision.Duplicate:
		said = append(said, "duplicate")
	}
	return strings.Join(said, "\n")
}

// event writes an event in few words, with the time at which it took effect if that is not the entry's.
func (d *desk) event(ev events.Event) string {
	var s string
	switch x := ev.Data.(type) {
	case *events.LicenseBought:
		if _, ok := d.names[x.License.ID]; !ok {
			name := fmt.Sprintf("L%d", len(d.names)+1)
			d.names[x.License.ID], d.ids[name] = name, x.License.ID
		}
		s = fmt.Sprintf("bought %s in %q%s until %s", d.license(&x.License), x.License.Pool, map[bool]string{false: ", not renewing"}[x.License.AutoRenew], short(x.License.ExpiresAt))
	case *events.LicenseAllocated:
		s = fmt.Sprintf("allocated %s from %s to %s of %q", d.license(&x.License), x.Source, x.License.Assignee.ID, x.License.Company)
	case *events.LicenseReleased:
		s = "released " + d.license(&x.License)
	case *events.LicenseRenewed:
		s = fmt.Sprintf("renewed %s until %s", d.license(&x.License), short(x.License.ExpiresAt))
	case *events.LicenseExpired:
		s = fmt.Sprintf("expired %s, %s", d.license(&x.License), x.Reason)
	case *events.MonthClosed:
		s = "closed " + x.Month.String()
	case *events.EndpointSet:
		s = fmt.Sprintf("endpoint %s of %q", x.Endpoint, x.Company)
	case *events.UsageRecorded:
		s = fmt.Sprintf("recorded %s/%s %d for %q", x.Agent, x.Spool, x.Seq, x.Company)
	case *events.UsageVoided:
		s = fmt.Sprintf("voided %s/%s %d", x.Agent, x.Spool, x.Seq)
	case *events.StatementIssued:
		s = "issued " + x.Number + " for " + x.Month.String()
	case *events.PaymentMethodSet:
		s = "pays by " + x.Account
	default:
		s = ev.Data.Kind()
	}
	if !ev.Effective.IsZero() {
		s += " at " + short(ev.Effective)
	}
	return s
}

func (d *desk) license(l *events.License) string { return d.names[l.ID] + " " + l.Type }

// short leaves out what is zero in a time.
func short(t time.Time) string {
	return strings.TrimSuffix(strings.TrimSuffix(events.FormatTime(t), "Z"), "T00:00:00")
}

// step is a command at a time and what it does.
type step struct {
	at   string
	do   license.Body
	want string
}

// run decides one step after the other; want is given with lines indented as the table is.
func (d *desk) run(steps ...step) {
	d.t.Helper()
	for i, s := range steps {
		if s.at != "" {
			d.at(s.at)
		}
		want := strings.ReplaceAll(strings.TrimSpace(s.want), "\t", "")
		if got := d.do(s.do); got != want {
			d.t.Fatalf("step %d, %+v at %s:\n%s\nwant:\n%s", i, s.do, events.FormatTime(d.Now), got, want)
		}
	}
}

func buy(licenseType string, n int, company string) license.Buy {
	return license.Buy{Type: licenseType, Quantity: n, Company: company}
}

func endpoint(id string) events.Assignee { return events.Assignee{Kind: events.Endpoint, ID: id} }

// allocate asks for a license of the type for an endpoint of the company.
func allocate(licenseType, company, id string) license.Allocate {
	return license.Allocate{Type: licenseType, Company: company, Assignee: endpoint(id)}
}

func report(agent string, seq uint64, readings ...events.Reading) license.Report {
	return license.Report{Agent: agent, Seq: seq, Readings: readings, Digest: events.DigestReadings(readings)}
}

func reading(value, at string) events.Reading {
	v, err := events.ParseQuantity(value)
	if err != nil {
		panic(err)
	}
	return events.Reading{Meter: "storage_bytes", Value: v, At: instant(at)}
}

func month(s string) events.Month {
	m, err := events.ParseMonth(s)
	if err != nil {
		panic(err)
	}
	return m
}

func money(s string) events.Money {
	m, err := events.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}
