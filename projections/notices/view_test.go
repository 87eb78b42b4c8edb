package notices_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/notices"
	"licenseledger/projections/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newView() projections.View { return notices.View{} }

func TestView(t *testing.T) {
	t.Run("stories", func(t *testing.T) {
		viewtest.Run(t, newView, func(rt *rapid.T) []events.Record { return viewtest.Pack("story", drawStory(rt).Entries) })
	})
	t.Run("traffic", func(t *testing.T) {
		viewtest.Run(t, newView, func(t *rapid.T) []events.Record {
			return viewtest.Pack("history", ledgertest.History(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 60).Draw(t, "entries")))
		})
	})
	t.Run("whole ledger", func(t *testing.T) {
		viewtest.Run(t, newView, viewtest.Fixed(eventstest.Records(eventstest.History(5, 80), 5)))
	})
}

// drawStory draws what makes notices: agents, settings, charges, and time.
func drawStory(t *rapid.T) *ledgertest.Story {
	s := ledgertest.NewStory(t, "2026-01-10T10:00:00Z").Ready("acme", "globex", "umbrella").Ready("other")
	charged := 0
	t.Repeat(map[string]func(*rapid.T){
		"": func(*rapid.T) {},
		"time passes": func(t *rapid.T) {
			s.AtTime(s.Now.Add(time.Duration(rapid.IntRange(1, 20*24).Draw(t, "hours")) * time.Hour))
			if rapid.Bool().Draw(t, "clock") {
				s.Settle("acme")
			}
			for s.State("acme").Account().Open > events.MonthOf(eventstest.Time("2026-01-10T10:00:00Z"))+events.Month(charged) {
				month := events.MonthOf(eventstest.Time("2026-01-10T10:00:00Z")) + events.Month(charged)
				charged++
				s.Do("acme", license.IssueStatement{StatementIssued: statement(month)})
			}
		},
		"agent": func(t *rapid.T) {
			c := license.Install{
				Endpoint: "pc-" + rapid.StringOfN(rapid.RuneFrom([]rune("1234")), 1, 1, 1).Draw(t, "pc"), Company: company(t),
				Type: rapid.SampledFrom([]string{"", "server", "vm-server"}).Draw(t, "type"), Sockets: rapid.IntRange(0, 4).Draw(t, "sockets"),
			}
			_, _ = s.Try("acme", c)
		},
		"allocate": func(t *rapid.T) {
			_, _ = s.Try("acme", license.Allocate{Type: "server", Company: company(t), Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}})
		},
		"settings": func(t *rapid.T) {
			s.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: company(t), Allocation: rapid.SampledFrom([]events.Allocation{events.Manual, events.Automatic}).Draw(t, "allocation")}})
		},
		"method": func(t *rapid.T) {
			if rapid.Bool().Draw(t, "set") {
				s.Do("acme", license.SetPaymentMethod{System: "fastspring", Account: "fs"})
			} else {
				s.Do("acme", license.RemovePaymentMethod{})
			}
		},
		"license": func(t *rapid.T) {
			for l := range s.State("acme").Licenses() {
				if !l.Status.InForce() || rapid.Bool().Draw(t, "next") {
					continue
				}
				_, _ = s.Try("acme", rapid.SampledFrom([]license.Body{
					license.Release{License: l.ID}, license.SetAutoRenew{License: l.ID, Enabled: !l.AutoRenew}, license.Change{License: l.ID, Type: "ultimate"},
				}).Draw(t, "command"))
				return
			}
		},
		"move": func(t *rapid.T) {
			_, _ = s.Try("acme", license.MoveEndpoint{Endpoint: "pc-1", Company: company(t)})
		},
		"remove": func(*rapid.T) { _, _ = s.Try("acme", license.RemoveEndpoint{Endpoint: "pc-2"}) },
		"payment": func(t *rapid.T) {
			if charged > 0 {
				_, _ = s.Try("acme", license.RecordPayment{
					Invoice: license.StatementNumber(rapid.IntRange(1, charged).Draw(t, "invoice")), Reason: "card",
					Outcome: rapid.SampledFrom([]events.Outcome{events.Failed, events.Collected}).Draw(t, "outcome"),
				})
			}
		},
		"prices": func(t *rapid.T) {
			s.Do("", license.PublishCatalog{Catalog: repriced(s, rapid.IntRange(1, 3).Draw(t, "months"), rapid.SampledFrom([]string{"6.99", "7.49"}).Draw(t, "price"))})
		},
	})
	return s
}

func company(t *rapid.T) string {
	return rapid.SampledFrom([]string{"globex", "umbrella"}).Draw(t, "company")
}

// repriced is the catalog of some months ahead with another price for servers.
func repriced(s *ledgertest.Story, ahead int, price string) events.Catalog {
	m := events.MonthOf(s.Now) + events.Month(ahead)
	c, _, _ := s.Catalogs.At(m)
	c.Effective, c.Types = m, slices.Clone(c.Types)
	i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == "server" })
	c.Types[i].Prices = map[string]events.Money{"USD": eventstest.Money(price)}
	return c
}

func statement(m events.Month) events.StatementIssued {
	return events.StatementIssued{Month: m, Rules: 1, Currency: "USD", Subtotal: eventstest.Money("18.00"), Total: eventstest.Money("20.00"), Cut: 1}
}

// desk is a story and the view of it.
type desk struct {
	*ledgertest.Story
	t       *testing.T
	db      *bbolt.DB
	applied int
}

func newDesk(t *testing.T, at string) *desk {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(viewtest.TempDir(t), "notices.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &desk{Story: ledgertest.NewStory(t, at).Ready("acme", "globex"), t: t, db: db}
}

// page reads the view, which has seen the whole story.
func (d *desk) page(q notices.Query) (list []notices.Notice) {
	d.t.Helper()
	err := d.db.Update(func(tx *bbolt.Tx) error {
		b, err := notices.View{}.Begin(tx)
		if err != nil {
			return err
		}
		for ; d.applied < len(d.Entries); d.applied++ {
			if err := b.Apply(&d.Entries[d.applied]); err != nil {
				return err
			}
		}
		return b.Flush()
	})
	if err == nil {
		err = d.db.View(func(tx *bbolt.Tx) (err error) {
			list, err = notices.Page(tx, q)
			return err
		})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// hears checks what acme hears, newest first. A standing notice begins with !.
func (d *desk) hears(want ...string) {
	d.t.Helper()
	var got []string
	for _, n := range d.page(notices.Query{Provider: "acme", Limit: 1000}) {
		mark := map[bool]string{true: "! ", false: ""}[n.Standing]
		got = append(got, fmt.Sprintf("%s%s %s %s: %s", mark, n.At.Format("01-02 15:04"), n.News(), n.Kind, n.Text(n.Assignee.ID)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Errorf("at %s (-want +got):\n%s", events.FormatTime(d.Now), diff)
	}
}

func (d *desk) at(t string) *desk {
	d.t.Helper()
	d.At(t)
	return d
}

func (d *desk) settled(t string) *desk {
	d.t.Helper()
	d.At(t).Settle("acme")
	return d
}

func install(endpoint, licenseType string) license.Install {
	return license.Install{Endpoint: endpoint, Company: "globex", Type: licenseType}
}

func (d *desk) holds(endpoint, licenseType string) string {
	d.t.Helper()
	l, ok := d.Holds("acme", endpoint, licenseType)
	if !ok {
		d.t.Fatalf("%s holds no %s", endpoint, licenseType)
	}
	return l.ID
}

// L2: the notice before a trial's end names what becomes billable, its price and the charge that it leads to.
func TestL2TrialEnding(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	d.Do("acme", install("pc-1", "server"))
	began := "01-10 10:00 good trial-started: The trial of server for endpoint pc-1 of company globex began; it ends on 24 January 2026, 10:00 UTC."
	d.hears(began)
	d.settled("2026-01-21T10:00:00Z")
	const ends = "The trial of server for endpoint pc-1 of company globex ends on 24 January 2026, 10:00 UTC"
	goesOn := "! 01-21 10:00 good trial-ending: " + ends + ". From then on the license costs 6.99 USD a month; that makes 1.80 USD for the rest of January 2026."
	d.hears(goesOn, began)

	// What it says is what holds now.
	id := d.holds("pc-1", "server")
	d.at("2026-01-22T10:00:00Z").Do("acme", license.SetAutoRenew{License: id})
	d.hears("! 01-21 10:00 bad trial-ending: "+ends+", and the license with it: auto-renew is off.", began)
	d.Do("acme", license.SetAutoRenew{License: id, Enabled: true})
	d.Do("acme", license.RemovePaymentMethod{})
	d.hears(
		"! 01-22 10:00 bad payment-method-missing: There is no payment method. Trials that end become paid licenses only if there is one. Without one all paid licenses expire on 1 February 2026, 00:00 UTC.",
		"! 01-21 10:00 bad trial-ending: "+ends+", and the license with it, unless there is a payment method by then; it would cost 6.99 USD a month.", began)
	d.Do("acme", license.SetPaymentMethod{System: "fastspring", Account: "fs"})
	d.hears(goesOn, began)
	d.settled("2026-01-24T10:00:00Z")
	d.hears("01-24 10:00 good trial-converted: The trial of server for endpoint pc-1 of company globex became a paid license.", began)
}

// L2, L6: other ways in which a trial ends take its notice away; a changed one leads to another price.
func TestL2TrialsThatEndOtherwise(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	for _, pc := range []string{"pc-1", "pc-2", "pc-3", "pc-4"} {
		d.Do("acme", install(pc, "server"))
	}
	d.settled("2026-01-22T00:00:00Z")
	if n := len(d.page(notices.Query{Provider: "acme", Kind: "trial-ending", Limit: 10})); n != 4 {
		t.Fatalf("%d announcements", n)
	}
	d.Do("acme", license.Release{License: d.holds("pc-1", "server")})
	d.Do("acme", license.Allocate{Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-2"}})
	d.Do("acme", license.Change{License: d.holds("pc-3", "server"), Type: "ultimate"})
	d.Do("acme", license.RemoveEndpoint{Endpoint: "pc-4"})
	d.Settle("acme")
	began := "01-10 10:00 good trial-started: 4 server trials of company globex began."
	d.hears("! 01-22 00:00 good trial-ending: The trial of ultimate for endpoint pc-3 of company globex ends on 24 January 2026, 10:00 UTC. "+
		"From then on the license costs 9.99 USD a month; that makes 2.58 USD for the rest of January 2026.", began)
	d.Do("acme", license.RemovePaymentMethod{})
	d.settled("2026-01-25T00:00:00Z")
	d.hears(
		"01-24 10:00 bad trial-expired: The trial of ultimate for endpoint pc-3 of company globex ended without becoming paid: there was no payment method to charge.",
		"! 01-22 00:00 bad payment-method-missing: There is no payment method. Without one all paid licenses expire on 1 February 2026, 00:00 UTC.",
		began)
	d.settled("2026-02-01T00:00:00Z")
	d.hears(
		"02-01 00:00 bad licenses-expired: The license server for endpoint pc-2 of company globex expired: there was no payment method to charge.",
		"01-24 10:00 bad trial-expired: The trial of ultimate for endpoint pc-3 of company globex ended without becoming paid: there was no payment method to charge.",
		began)
}

// L1: an endpoint of a manual company has no license after its trial, until somebody gives it one.
func TestL1LicenseMissing(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	d.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
	d.Do("acme", license.Buy{Type: "server", Quantity: 1})
	d.Do("acme", install("pc-1", "server"))
	d.Do("acme", license.Release{License: d.holds("pc-1", "server")})
	d.at("2026-01-11T10:00:00Z").Do("acme", install("pc-1", "server"))
	began := "01-10 10:00 good trial-started: The trial of server for endpoint pc-1 of company globex began; it ends on 24 January 2026, 10:00 UTC."
	d.hears("! 01-11 10:00 bad license-missing: There is an agent on endpoint pc-1 of company globex, but no server license for it: allocate one, or let the company allocate automatically.", began)
	d.Do("acme", license.Allocate{Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}})
	d.hears(began)
	d.Do("acme", license.Install{Endpoint: "pc-1", Company: "globex", Name: "Desk"})
	d.hears(began)
}

// L12, L13: sockets of a manual company; the notice moves with its endpoint and goes with it.
func TestL12SocketsMissing(t *testing.T) {
	d := newDesk(t, "2026-01-01T00:00:00Z")
	d.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
	d.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "umbrella"}})
	d.Do("acme", license.Buy{Type: "vm-server", Quantity: 1})
	d.Do("acme", license.Install{Endpoint: "host", Company: "globex", Sockets: 4})
	d.hears()
	d.Do("acme", license.Allocate{Type: "vm-server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: "host"}})
	const more = " has more sockets than licenses for them: allocate vm-server-socket, or let the company allocate automatically."
	d.hears("! 01-01 00:00 bad sockets-missing: Endpoint host of company globex" + more)
	d.at("2026-01-02T00:00:00Z").Do("acme", license.MoveEndpoint{Endpoint: "host", Company: "umbrella"})
	d.hears("! 01-01 00:00 bad sockets-missing: Endpoint host of company umbrella" + more)
	if list := d.page(notices.Query{Provider: "acme", Company: "globex", Limit: 10}); len(list) != 0 {
		t.Errorf("globex still hears %+v", list)
	}
	d.Do("acme", license.RemoveEndpoint{Endpoint: "host"})
	d.hears()
}

// L10: a charge fails on 1 February 09:30, all expires on the 8th, and comes back on the 12th.
func TestL10Payment(t *testing.T) {
	d := newDesk(t, "2026-01-01T00:00:00Z")
	for i := range 3 {
		d.Do("acme", license.Allocate{Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: fmt.Sprint("pc-", i)}})
	}
	d.settled("2026-02-01T00:00:00Z").Do("acme", license.IssueStatement{StatementIssued: statement(eventstest.Month("2026-01"))})
	issued := "02-01 00:00 good statement-issued: Statement S-000001 for January 2026 was issued: 20.00 USD."
	d.hears(issued)
	d.at("2026-02-01T09:30:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed, Reason: "card expired"})
	d.at("2026-02-03T09:30:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed, Reason: "no funds"})
	d.hears("! 02-01 09:30 bad payment-failed: The charge of invoice S-000001, 20.00 USD, failed (no funds). "+
		"Unless it is collected by 8 February 2026, 09:30 UTC, all paid licenses expire; until then no new ones can be bought.", issued)
	d.settled("2026-02-08T09:30:00Z")
	expired := "02-08 09:30 bad licenses-expired: 3 server licenses of company globex expired: a charge failed and was not collected in time."
	d.hears(expired, "! 02-01 09:30 bad payment-failed: The charge of invoice S-000001, 20.00 USD, failed (no funds) "+
		"and was not collected by 8 February 2026, 09:30 UTC: all paid licenses expired. They come back if it is collected in the month in which they did.", issued)
	d.at("2026-02-12T00:00:00Z").Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Collected})
	d.Settle("acme")
	d.hears("02-12 00:00 good licenses-reinstated: 3 server licenses of company globex came back: the charge was collected.",
		"02-12 00:00 good payment-collected: The charge of invoice S-000001, 20.00 USD, was collected.", expired, issued)
}

// L10: where nothing is paid that could expire, the notice still says that grace is over.
func TestL10GraceOfNothing(t *testing.T) {
	d := newDesk(t, "2026-01-01T00:00:00Z")
	d.Do("acme", license.Allocate{Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Endpoint, ID: "pc-1"}})
	d.settled("2026-02-01T00:00:00Z").Do("acme", license.IssueStatement{StatementIssued: statement(eventstest.Month("2026-01"))})
	d.Do("acme", license.Release{License: d.holds("pc-1", "server")})
	d.Do("acme", license.RecordPayment{Invoice: "S-000001", Outcome: events.Failed})
	d.settled("2026-02-09T00:00:00Z")
	list := d.page(notices.Query{Provider: "acme", Kind: "payment-failed", Limit: 10})
	if len(list) != 1 || !strings.Contains(list[0].Text(""), "was not collected by 8 February 2026, 00:00 UTC") {
		t.Errorf("%+v", list)
	}
}

// B5: a corrected month is news, with its reason.
func TestB5Correction(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	d.settled("2026-02-03T00:00:00Z")
	d.Do("acme", license.Adjust{Month: eventstest.Month("2026-01"), Company: "globex", Amount: eventstest.Money("-10.00"), Reason: "goodwill"})
	d.Do("acme", license.Adjust{Month: eventstest.Month("2026-01"), Amount: eventstest.Money("2.50"), Reason: "forgotten"})
	d.hears("02-03 00:00 bad correction: January 2026 was corrected by 2.50 USD: forgotten. The next statement says what becomes of it.",
		"02-03 00:00 good correction: January 2026 of company globex was corrected by -10.00 USD: goodwill. The next statement says what becomes of it.")
}

// C1, C2: everybody hears what a catalog changes in their currency, also when it is published anew.
func TestC1PricesChange(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	publish := func(ahead int, price string) {
		d.Do("", license.PublishCatalog{Catalog: repriced(d.Story, ahead, price)})
	}
	publish(3, "7.49")
	d.hears("01-10 10:00 bad prices-change: From April 2026 on: server 7.49 USD a month instead of 6.99.")
	d.at("2026-01-11T10:00:00Z")
	publish(2, "7.00")
	d.hears("01-11 10:00 bad prices-change: From March 2026 on: server 7.00 USD a month instead of 6.99.",
		"01-10 10:00 bad prices-change: From April 2026 on: server 7.49 USD a month instead of 7.00.")
	publish(3, "6.49")
	publish(2, "6.99")
	d.hears("01-10 10:00 good prices-change: From April 2026 on: server 6.49 USD a month instead of 6.99.")
	closed := repriced(d.Story, 1, "6.99")
	closed.Types[0].Closed = true
	d.Do("", license.PublishCatalog{Catalog: closed})
	d.hears("01-11 10:00 bad prices-change: From February 2026 on: "+closed.Types[0].ID+" no longer sold.",
		"01-10 10:00 good prices-change: From April 2026 on: server 6.49 USD a month instead of 6.99.")
	d.at("2026-05-01T00:00:00Z").Ready("late")
	if list := d.page(notices.Query{Provider: "late", Limit: 10}); len(list) > 0 {
		t.Errorf("a provider of May hears of %s", list[0].Text(""))
	}
}

// News are bounded: by their number, and by their age when another comes. Standing notices are not.
func TestBounds(t *testing.T) {
	d := newDesk(t, "2026-01-01T00:00:00Z")
	d.Do("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}})
	n := 0
	entry := func(at time.Time, data events.Data) {
		d.AtTime(at)
		d.Entries = append(d.Entries, eventstest.Entry(uint64(len(d.Entries)), at, "acme", data))
	}
	issue := func(at time.Time) {
		n++
		s := statement(events.MonthOf(at))
		s.Number = license.StatementNumber(n)
		entry(at, &s)
	}
	entry(d.Now, &events.EndpointSet{Endpoint: "pc-1", Company: "globex", Unlicensed: "server"})
	begin := d.Now
	for i := range notices.MaxNews + 10 {
		issue(begin.Add(time.Duration(i) * time.Minute))
	}
	list := d.page(notices.Query{Provider: "acme", Limit: 2000})
	if len(list) != notices.MaxNews+1 || !list[len(list)-1].Standing || list[len(list)-2].Invoice != "S-000011" {
		t.Errorf("%d notices", len(list))
	}
	issue(begin.Add(notices.MaxAge + notices.MaxNews*time.Minute))
	list = d.page(notices.Query{Provider: "acme", Limit: 2000})
	if len(list) != 12 || list[10].Invoice != "S-001001" {
		t.Errorf("%d notices are left, the oldest %s", len(list), list[len(list)-2].Invoice)
	}
}

// Pages go on where the last one ended, whatever has come or gone.
func TestPages(t *testing.T) {
	d := newDesk(t, "2026-01-10T10:00:00Z")
	for i := range 5 {
		d.at(fmt.Sprintf("2026-01-10T10:0%d:00Z", i)).Do("acme", install(fmt.Sprint("pc-", i), "server"))
	}
	d.settled("2026-01-23T00:00:00Z")
	all := d.page(notices.Query{Provider: "acme", Limit: 100})
	if len(all) != 6 {
		t.Fatalf("%d notices", len(all))
	}
	first := d.page(notices.Query{Provider: "acme", Limit: 2})
	d.Do("acme", license.Release{License: first[1].License})
	d.Do("acme", install("pc-9", "server"))
	rest := d.page(notices.Query{Provider: "acme", Limit: 100, After: first[1].Place()})
	var got, want []string
	for _, n := range append(first, rest...) {
		got = append(got, n.Place())
	}
	for _, n := range all {
		want = append(want, n.Place())
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages: %q, all: %q", got, want)
	}
	for _, q := range []notices.Query{{Kind: "trial-started"}, {News: notices.Bad}, {Standing: true}, {Company: "umbrella"}, {Provider: "nobody"}} {
		if q.Limit = 100; q.Provider == "" {
			q.Provider = "acme"
		}
		for _, n := range d.page(q) {
			if q.Kind != "" && n.Kind != q.Kind || q.News != "" && n.News() != q.News || q.Standing && !n.Standing || q.Company != "" || q.Provider != "acme" {
				t.Errorf("%+v gives %+v", q, n)
			}
		}
	}
}

// Every kind of notice has a text, and a file that nothing was applied to has none.
func TestKinds(t *testing.T) {
	for _, kind := range notices.Kinds() {
		if n := (notices.Notice{Kind: kind, Type: "server"}); strings.TrimSpace(n.Text("pc-1")) == kind {
			t.Errorf("%s says nothing", kind)
		}
	}
	db, err := bbolt.Open(filepath.Join(viewtest.TempDir(t), "empty.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		list, err := notices.Page(tx, notices.Query{Provider: "acme", Limit: 1})
		if len(list) > 0 {
			t.Error("there are notices")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
