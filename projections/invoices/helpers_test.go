package invoices_test

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
	"licenseledger/projections/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is a view's file without the runtime: a test says what a transaction holds.
type file struct {
	t  testing.TB
	db *bbolt.DB
}

func newFile(t testing.TB) *file {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(viewtest.TempDir(t), "invoices.db"), 0o600, &bbolt.Options{
		NoSync: true, InitialMmapSize: 1 << 28, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &file{t, db}
}

// apply applies entries in one transaction.
func (f *file) apply(entries ...events.Entry) {
	f.t.Helper()
	if err := f.try(entries...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *file) try(entries ...events.Entry) error {
	var batch projections.Batch
	err := f.db.Update(func(tx *bbolt.Tx) (err error) {
		if batch, err = invoices.New().Begin(tx); err != nil {
			return err
		}
		for i := range entries {
			if err := batch.Apply(&entries[i]); err != nil {
				return err
			}
		}
		return batch.Flush()
	})
	if batch != nil {
		batch.Done(err == nil)
	}
	return err
}

// read reads what was applied.
func (f *file) read(fn func(tx *bbolt.Tx)) {
	f.t.Helper()
	if err := f.db.View(func(tx *bbolt.Tx) error { fn(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// history is the usage history of a provider's month through its last day.
func (f *file) history(provider string, m events.Month) (r catalog.Rating) {
	f.t.Helper()
	f.read(func(tx *bbolt.Tx) {
		var err error
		if r, err = invoices.History(tx, provider, m, m.Last()); err != nil {
			f.t.Fatal(err)
		}
	})
	return r
}

func (f *file) draft(provider string, through events.Date) (s invoices.Statement) {
	f.t.Helper()
	f.read(func(tx *bbolt.Tx) {
		var err error
		if s, _, err = invoices.Draft(tx, provider, through); err != nil {
			f.t.Fatal(err)
		}
	})
	return s
}

func (f *file) pending(limit int) (list []invoices.Pending) {
	f.t.Helper()
	f.read(func(tx *bbolt.Tx) {
		var err error
		if list, err = invoices.PendingStatements(tx, limit); err != nil {
			f.t.Fatal(err)
		}
	})
	return list
}

func (f *file) issued(provider string) (list []invoices.Statement) {
	f.t.Helper()
	f.read(func(tx *bbolt.Tx) {
		var err error
		if list, err = invoices.Issued(tx, provider, 0, 1000); err != nil {
			f.t.Fatal(err)
		}
	})
	return list
}

// desk is a ledger with a paying provider, acme, its company auto, which allocates automatically, and the view of it.
type desk struct {
	*ledgertest.Ledger
	*file
	applied int
}

func newDesk(t testing.TB, at string) *desk {
	t.Helper()
	d := &desk{Ledger: ledgertest.NewLedger(instant(at)), file: newFile(t)}
	d.must(license.SetProvider{Name: "Acme"})
	d.must(license.SetPaymentMethod{System: "fastspring", Account: "a1"})
	d.must(license.SetCompany{CompanySet: events.CompanySet{Company: "auto", Allocation: events.Automatic}})
	return d
}

// must decides a command for acme and applies its entries; it gives the license that the command left behind, if any.
func (d *desk) must(body license.Body) (id string) {
	d.t.Helper()
	decision, err := d.Do("acme", body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.catchUp()
	for _, ev := range decision.Events {
		if l := events.LicenseAfter(ev.Data); l != nil {
			id = l.ID
		}
	}
	return id
}

func (d *desk) catchUp() {
	d.t.Helper()
	d.apply(d.Entries[d.applied:]...)
	d.applied = len(d.Entries)
}

// at moves the clock.
func (d *desk) at(s string) { d.Now = instant(s) }

// allocate buys a license on the spot.
func (d *desk) allocate(licenseType string, kind events.AssigneeKind, id string) string {
	d.t.Helper()
	return d.must(license.Allocate{Type: licenseType, Company: "auto", Assignee: events.Assignee{Kind: kind, ID: id}})
}

// publish puts a catalog in force from a month on: that of the month with prices and more changed.
func (d *desk) publish(m string, change func(*events.Catalog)) {
	d.t.Helper()
	c, _, _ := d.System.Catalogs.At(month(m))
	c.Effective, c.Types = month(m), slices.Clone(c.Types)
	change(&c)
	if _, err := d.Do("", license.PublishCatalog{Catalog: c}); err != nil {
		d.t.Fatal(err)
	}
	d.catchUp()
}

func price(licenseType, usd string) func(*events.Catalog) {
	return func(c *events.Catalog) {
		i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == licenseType })
		c.Types[i].Prices = map[string]events.Money{"USD": money(usd)}
	}
}

// issue issues all statements that wait.
func (d *desk) issue() {
	d.t.Helper()
	for pending := d.pending(10); len(pending) > 0; pending = d.pending(10) {
		for _, p := range pending {
			if _, err := d.Do(p.Provider, issueOf(&p.Statement)); err != nil {
				d.t.Fatal(err)
			}
		}
		d.catchUp()
	}
}

// issueOf is what the clock submits for a statement that waits.
func issueOf(s *invoices.Statement) license.IssueStatement {
	return license.IssueStatement{StatementIssued: events.StatementIssued{
		Month: s.Month, Cut: s.Cut, Catalog: s.Catalog, Rules: s.Rules,
		Currency: s.Currency, Subtotal: s.Subtotal, Total: s.Total, Digest: s.Digest,
	}}
}

// instant reads "2026-02-01", "2026-02-01T09:00:00Z" and what lies between.
func instant(s string) time.Time {
	t, err := events.ParseTime(s + "1970-01-01T00:00:00Z"[min(len(s), 20):])
	if err != nil {
		panic(err)
	}
	return t
}

func month(s string) events.Month { return events.MonthOf(instant(s + "-01")) }

func date(s string) events.Date { return events.DateOf(instant(s)) }

func money(s string) events.Money {
	m, err := events.ParseMoney(s)
	if err != nil {
		panic(err)
	}
	return m
}

// books are providers' months as simply as can be: every event in a list, and days worked out from the first to the last of them.
type books struct {
	catalogs catalog.Book
	provider map[string]*book
}

type book struct {
	currency string
	created  events.Month
	licenses map[string][]stand
}

// stand is how a license stood from an event on.
type stand struct {
	at      time.Time
	runsOut bool
	events.License
}

func newBooks() *books { return &books{provider: map[string]*book{}} }

func (b *books) add(e *events.Entry) {
	for i, ev := range e.Events {
		switch d := ev.Data.(type) {
		case *events.LedgerOpened:
			b.catalogs = b.catalogs.Publish(d.Catalog, e.Number)
			continue
		case *events.CatalogPublished:
			b.catalogs = b.catalogs.Publish(d.Catalog, e.Number)
			continue
		case *events.ProviderSet:
			if b.provider[e.Provider] == nil {
				b.provider[e.Provider] = &book{currency: d.Currency, created: events.MonthOf(e.Time), licenses: map[string][]stand{}}
			}
		}
		if l := events.LicenseAfter(ev.Data); l != nil {
			_, runsOut := ev.Data.(*events.LicenseExpired)
			p := b.provider[e.Provider]
			p.licenses[l.ID] = append(p.licenses[l.ID], stand{e.EffectiveAt(i), runsOut, *l})
		}
	}
}

// uses are a month's uses through a day (domain D2, D3, L5): runs of events that leave the license billable for the same assignee.
func (p *book) uses(m events.Month, through events.Date) []catalog.Use {
	var list []catalog.Use
	for _, id := range slices.Sorted(maps.Keys(p.licenses)) {
		stands := p.licenses[id]
		for i := 0; i < len(stands); {
			first := &stands[i]
			i++
			if !first.Billable() {
				continue
			}
			for i < len(stands) && stands[i].Billable() && stands[i].Company == first.Company && stands[i].Assignee == first.Assignee {
				i++
			}
			u := catalog.Use{
				License: id, Created: first.Created, Type: first.Type, Company: first.Company, Assignee: first.Assignee,
				From: max(events.DateOf(first.at), first.BilledFrom, m.First()), To: min(m.Last(), through), Activated: first.at,
			}
			if i < len(stands) {
				last := events.DateOf(stands[i].at)
				if stands[i].runsOut {
					last = events.LastDateBefore(stands[i].at)
				}
				u.To = min(u.To, last)
				if events.MonthOf(stands[i].at) == m || last == m.Last() {
					u.Deactivated = stands[i].at
				}
				if last < m.First() {
					continue
				}
			}
			if u.From <= min(m.Last(), through) {
				list = append(list, u)
			}
		}
	}
	return list
}

// rate is the month's usage history.
func (b *books) rate(t testing.TB, provider string, m events.Month, through events.Date) catalog.Rating {
	t.Helper()
	p := b.provider[provider]
	c, _, ok := b.catalogs.At(m)
	if !ok {
		return catalog.Rating{}
	}
	r, err := catalog.Rate(catalog.Input{Month: m, Catalog: c, Currency: p.currency, Uses: p.uses(m, through)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// statement is the month's statement, if it has lines.
func (b *books) statement(t testing.TB, provider string, m events.Month, cut uint64) (license.IssueStatement, bool) {
	t.Helper()
	c, entry, _ := b.catalogs.At(m)
	currency := b.provider[provider].currency
	s := catalog.Assemble(m, c, currency, b.rate(t, provider, m, m.Last()).Lines, nil, catalog.Carry{})
	return license.IssueStatement{StatementIssued: events.StatementIssued{
		Month: m, Cut: cut, Catalog: entry, Rules: catalog.Rules, Currency: currency,
		Subtotal: s.Subtotal, Total: s.Total, Digest: catalog.DigestLines(s.Lines),
	}}, len(s.Lines) > 0
}

// traffic is a busy ledger whose clock issues what the books say.
type traffic struct {
	*ledgertest.Traffic
	*books
	added int
}

func newTraffic(t testing.TB, seed uint64) *traffic {
	tr := &traffic{Traffic: ledgertest.NewTraffic(seed), books: newBooks()}
	tr.Statement = func(closed *events.Entry, m events.Month) (license.IssueStatement, bool) {
		tr.catchUp()
		return tr.statement(t, closed.Provider, m, closed.Number)
	}
	return tr
}

// catchUp adds to the books what is new. That later entries are in them, too, when a statement is made does not matter: nothing changes a month that is closed.
func (tr *traffic) catchUp() {
	for ; tr.added < len(tr.Entries); tr.added++ {
		tr.add(&tr.Entries[tr.added])
	}
}
