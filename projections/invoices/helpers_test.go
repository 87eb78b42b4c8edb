package invoices_test

import (
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
	f := &file{t, db}
	t.Cleanup(f.close)
	return f
}

// close ends the use of the file; again is no error.
func (f *file) close() {
	if err := f.db.Close(); err != nil {
		f.t.Error(err)
	}
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

// traffic is a busy ledger whose clock issues what a view of it computes.
type traffic struct {
	*ledgertest.Traffic
	*file
	reference
	applied int
}

func newTraffic(t testing.TB, seed uint64) *traffic {
	tr := &traffic{Traffic: ledgertest.NewTraffic(seed), file: newFile(t)}
	tr.Statement = func(closed *events.Entry, m events.Month) (issue license.IssueStatement, ok bool) {
		tr.catchUp()
		for _, p := range tr.pending(100) {
			if p.Provider == closed.Provider && p.Statement.Month == m {
				return issueOf(&p.Statement), true
			}
		}
		return issue, false
	}
	return tr
}

// catchUp applies what is new.
func (tr *traffic) catchUp() {
	fresh := tr.Entries[tr.applied:]
	tr.applied = len(tr.Entries)
	tr.apply(fresh...)
	for i := range fresh {
		tr.add(&fresh[i])
	}
}
