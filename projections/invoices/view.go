// Package invoices is the billing projector: it turns the stream into what each
// provider owes, and explains it row by row.
//
// A license costs on the days on which it is paid and assigned. The view looks
// at what each license event leaves behind: when a license becomes billable, a use begins;
// when it ceases to be, or serves another, the use ends; when it is renewed, its part in the month that is over is kept:
//
//	open: acme, 01KGB…           -> server for endpoint pc-17 of globex, from 2026-03-01 on
//	uses: acme, 2026-02, 01KGB…  -> server for endpoint pc-17 of globex, from 2026-02-10 to 2026-02-28
//
// Rating a month's uses (package ledger/catalog) gives the usage history and the
// statement's lines. The open month can be rated at any time: that is the draft.
// The entry month.closed cuts the month: the view rates it once more and keeps the statement as
// pending; the clock has it recorded as statement.issued, which names the digest of its lines. When
// that entry comes by, live or in a rebuild, the view compares: another digest is a [*MismatchError], and the view stops.
//
// Readings are kept, a row per endpoint and day, only of the meters that companies have switched on (readings.go). What comes for a
// closed month, late readings and corrections, stands apart from what its statement rests on: it never changes that month's statement or
// usage history, but becomes adjustment lines of the next statement (adjust.go, domain B5).
package invoices

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections"
)

// View is the invoices view.
type View struct{}

// New makes the view.
func New() View { return View{} }

// Name is "invoices".
func (View) Name() string { return "invoices" }

// Usage is true.
func (View) Usage() bool { return true }

// Format is 3: since 2 there are readings, adjustments and payments, since 3 prepaid invoices.
func (View) Format() int { return 3 }

// account is what the view knows of a provider.
type account struct {
	Currency string       `json:"currency"`
	Open     events.Month `json:"open"`
	// Issued counts the statements issued; their numbers follow from it.
	Issued int `json:"issued,omitempty"`
	// Prepaid counts the prepaid invoices issued.
	Prepaid int `json:"prepaid,omitempty"`
	// Metered says that a company has switched a metered type on, now or before.
	Metered bool `json:"metered,omitempty"`
	// Carry is the credit that the last statement left for the next one.
	Carry catalog.Carry `json:"carry,omitzero"`
}

type publishedCatalog struct {
	Entry   uint64         `json:"entry"`
	Catalog events.Catalog `json:"catalog"`
}

// Statement is a month's invoice, as computed at its cut and, once issued, for good.
type Statement struct {
	Number   string         `json:"number,omitempty"` // empty while it is a draft or pending
	Month    events.Month   `json:"month"`
	Currency string         `json:"currency"`
	Lines    []catalog.Line `json:"lines"`
	Subtotal events.Money   `json:"subtotal"`
	Minimum  events.Money   `json:"minimum"`
	Total    events.Money   `json:"total"`
	Digest   events.Digest  `json:"digest"`
	Rules    int            `json:"rules"`
	Cut      uint64         `json:"cut"`     // the entry of month.closed; 0 for a draft
	Catalog  uint64         `json:"catalog"` // the entry of the catalog in force
	Carry    catalog.Carry  `json:"carry,omitzero"`
	IssuedAt time.Time      `json:"issued_at,omitzero"`
	Entry    uint64         `json:"entry,omitempty"` // of statement.issued
	// Outcome is what last became of its charge; empty while that is pending (domain L10). It is no part of the document.
	Outcome events.Outcome `json:"-"`
}

// MismatchError says that a statement, computed again from the stream, is not what was issued.
type MismatchError struct {
	Provider, Number string
	Entry            uint64
	What             string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("statement %s of provider %q (entry %d) cannot be reproduced from the stream: %s", e.Number, e.Provider, e.Entry, e.What)
}

// batch is what the entries of a transaction say, until it is flushed.
type batch struct {
	tx        *bbolt.Tx
	published []publishedCatalog // not written yet
	inForce   map[events.Month]publishedCatalog
	providers map[string]*provider
}

// provider is what the entries of one provider say. Statements are rare, and written at once.
type provider struct {
	id      string
	account account
	written account         // as its row has it
	open    map[string]*use // by license; nil where none goes on; To is 0
	changed map[string]bool // licenses whose row of open is another one
	over    []ended

	switches map[string]switches // by company; nil where it never switched anything on
	readings map[readingKey]*reading
}

// ended is a use, or its part in a month, that is over.
type ended struct {
	license string
	entry   uint64
	event   int
	use     *use
}

func (o *ended) key(provider string) []byte {
	return []byte(prefix(provider) + monthKey(o.use.Month) + prefix(o.license) + eventKey(o.entry, o.event))
}

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return &batch{tx: tx, inForce: make(map[events.Month]publishedCatalog), providers: make(map[string]*provider)}, nil
}

// Apply folds an entry.
func (b *batch) Apply(e *events.Entry) error {
	if e.Provider == "" {
		b.applySystem(e)
		return nil
	}
	p, err := b.provider(e.Provider)
	if err != nil {
		return err
	}
	for i := range e.Events {
		switch d := e.Events[i].Data.(type) {
		case *events.ProviderSet:
			if p.account.Currency == "" {
				p.account.Currency, p.account.Open = d.Currency, events.MonthOf(e.Time)
			}
		case *events.UsageRecorded:
			if p.account.Metered {
				err = b.read(p, e, i, d)
			}
		case *events.CompanySet:
			err = b.setSwitches(p, events.DateOf(e.EffectiveAt(i)), d)
		case *events.MonthClosed:
			err = b.closeMonth(p, e, d)
		case *events.StatementIssued:
			err = b.issue(p, e, d)
		case *events.AdjustmentRecorded:
			err = b.correct(p, e, i, d)
		case *events.PaymentRecorded:
			err = b.pay(p, e, i, d)
		case *events.PrepaidIssued:
			err = b.issuePrepaid(p, e, i, d)
		default:
			if l := events.LicenseAfter(d); l != nil {
				if err = b.follow(p, e, i, l); err == nil && l.Trialed {
					err = b.followTrial(p, e, i, l)
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) applySystem(e *events.Entry) {
	for i := range e.Events {
		switch d := e.Events[i].Data.(type) {
		case *events.LedgerOpened:
			b.published = append(b.published, publishedCatalog{e.Number, d.Catalog})
		case *events.CatalogPublished:
			b.published = append(b.published, publishedCatalog{e.Number, d.Catalog})
		}
	}
}

// writeCatalogs writes the catalogs that came since they were written last.
func (b *batch) writeCatalogs() error {
	for _, c := range b.published {
		if err := putJSON(b.tx, bucketCatalogs, monthKey(c.Catalog.Effective), c); err != nil {
			return err
		}
		clear(b.inForce)
	}
	b.published = nil
	return nil
}

// catalog is the one in force in a month; months end for all providers together, so it is read once.
func (b *batch) catalog(month events.Month) (publishedCatalog, error) {
	if err := b.writeCatalogs(); err != nil {
		return publishedCatalog{}, err
	}
	c, ok := b.inForce[month]
	if ok {
		return c, nil
	}
	c, err := inForce(b.tx, month)
	b.inForce[month] = c
	return c, err
}

func (b *batch) provider(id string) (*provider, error) {
	if p, ok := b.providers[id]; ok {
		return p, nil
	}
	p := &provider{
		id: id, open: make(map[string]*use), changed: make(map[string]bool),
		switches: make(map[string]switches), readings: make(map[readingKey]*reading),
	}
	_, err := load(b.tx, bucketAccounts, id, &p.account)
	p.written = p.account
	b.providers[id] = p
	return p, err
}

// follow begins, ends and renews the use of a license that stands as l has it after event i of an entry.
func (b *batch) follow(p *provider, e *events.Entry, i int, l *events.License) error {
	u, err := b.openUse(p, l.ID)
	if err != nil {
		return err
	}
	at := e.EffectiveAt(i)
	month := events.MonthOf(at)
	if u != nil {
		goesOn := l.Billable() && u.Company == l.Company && u.Assignee == l.Assignee
		if goesOn && month == u.Month {
			return nil
		}
		part := *u
		switch _, runsOut := e.Events[i].Data.(*events.LicenseExpired); {
		case goesOn:
			part.To = u.Month.Last()
		case runsOut: // by itself: an end at 00:00 does not touch that day (domain D3)
			part.To, part.Deactivated = events.LastDateBefore(at), at
		default: // by a command: its date counts, even at 00:00 (domain D2)
			part.To, part.Deactivated = events.DateOf(at), at
		}
		p.over = append(p.over, ended{l.ID, e.Number, i, &part})
		if goesOn {
			next := *u
			next.Month, next.From = month, month.First()
			p.set(l.ID, &next)
			return nil
		}
		p.set(l.ID, nil)
	}
	if l.Billable() {
		p.set(l.ID, &use{
			Month: month, Type: l.Type, Company: l.Company, Assignee: l.Assignee, Created: l.Created,
			From: max(events.DateOf(at), l.BilledFrom), Activated: at,
		})
	}
	return nil
}

func (b *batch) openUse(p *provider, license string) (*use, error) {
	if u, ok := p.open[license]; ok {
		return u, nil
	}
	var u *use
	if row := b.tx.Bucket(bucketOpen).Get([]byte(key(p.id, license))); row != nil {
		var err error
		if u, err = readUse(row); err != nil {
			return nil, fmt.Errorf("license %s of provider %q: %w", license, p.id, err)
		}
	}
	p.open[license] = u
	return u, nil
}

func (p *provider) set(license string, u *use) {
	p.open[license] = u
	p.changed[license] = true
}

// closeMonth computes the month's statement from everything up to this entry (domain B6).
func (b *batch) closeMonth(p *provider, e *events.Entry, d *events.MonthClosed) error {
	if err := p.write(b.tx); err != nil {
		return err
	}
	c, err := b.catalog(d.Month)
	if err != nil {
		return err
	}
	adjusted, err := b.adjust(p)
	if err != nil {
		return fmt.Errorf("close %s of provider %q: %w", d.Month, p.id, err)
	}
	s, err := compute(b.tx, c, p.id, p.account, d.Month, d.Month.Last(), adjusted, nil)
	if err != nil {
		return fmt.Errorf("close %s of provider %q: %w", d.Month, p.id, err)
	}
	p.account.Open = d.Month + 1
	if err := b.readEarly(p); err != nil {
		return fmt.Errorf("open %s of provider %q: %w", p.account.Open, p.id, err)
	}
	if len(s.Lines) == 0 {
		return nil
	}
	s.Cut, p.account.Carry = e.Number, s.Carry
	if err := b.tx.Bucket(bucketPending).Put([]byte(monthKey(d.Month)+p.id), []byte{}); err != nil {
		return fmt.Errorf("write %s: %w", bucketPending, err)
	}
	return putJSON(b.tx, bucketStatements, prefix(p.id)+monthKey(d.Month), s)
}

// issue compares what was issued with what was computed, and makes it final.
func (b *batch) issue(p *provider, e *events.Entry, d *events.StatementIssued) error {
	k := prefix(p.id) + monthKey(d.Month)
	var s Statement
	ok, err := load(b.tx, bucketStatements, k, &s)
	if err != nil {
		return err
	}
	mismatch := func(format string, args ...any) error {
		return &MismatchError{p.id, d.Number, e.Number, fmt.Sprintf(format, args...)}
	}
	switch number := license.StatementNumber(p.account.Issued + 1); {
	case !ok:
		return mismatch("%s has no lines", d.Month)
	case s.Number != "":
		return mismatch("%s was issued before, as %s", d.Month, s.Number)
	case d.Number != number:
		return mismatch("the next number is %s", number)
	case s.Cut != d.Cut:
		return mismatch("%s was cut by entry %d, not %d", d.Month, s.Cut, d.Cut)
	case s.Rules != d.Rules:
		return mismatch("it was rated by rules %d, which this program does not know", d.Rules)
	case s.Catalog != d.Catalog:
		return mismatch("the catalog in force was published by entry %d, not %d", s.Catalog, d.Catalog)
	case s.Digest != d.Digest:
		return mismatch("its lines add up to %s %s and have another digest; %s was issued", s.Total, s.Currency, d.Total)
	case !s.Total.Equal(d.Total.Decimal) || !s.Subtotal.Equal(d.Subtotal.Decimal) || s.Currency != d.Currency:
		return mismatch("its subtotal and total are %s and %s %s; %s and %s %s were issued", s.Subtotal, s.Total, s.Currency, d.Subtotal, d.Total, d.Currency)
	}
	p.account.Issued++
	s.Number, s.IssuedAt, s.Entry = d.Number, d.Month.End(), e.Number
	if err := b.tx.Bucket(bucketPending).Delete([]byte(monthKey(d.Month) + p.id)); err != nil {
		return fmt.Errorf("write %s: %w", bucketPending, err)
	}
	if err := b.tx.Bucket(bucketNumbers).Put([]byte(key(p.id, d.Number)), []byte(monthKey(d.Month))); err != nil {
		return fmt.Errorf("write %s: %w", bucketNumbers, err)
	}
	return putJSON(b.tx, bucketStatements, k, s)
}

// Flush writes what is not written yet, in the order of the keys: bbolt is several times faster then.
func (b *batch) Flush() error {
	if err := b.writeCatalogs(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(b.providers)) {
		p := b.providers[id]
		if p.account != p.written {
			if err := putJSON(b.tx, bucketAccounts, id, p.account); err != nil {
				return err
			}
		}
		if err := p.write(b.tx); err != nil {
			return err
		}
	}
	return nil
}

// write writes the uses and readings that have changed since they were written last.
func (p *provider) write(tx *bbolt.Tx) error {
	open, uses := tx.Bucket(bucketOpen), tx.Bucket(bucketUses)
	for _, license := range slices.Sorted(maps.Keys(p.changed)) {
		var err error
		if u := p.open[license]; u != nil {
			err = open.Put([]byte(key(p.id, license)), u.row())
		} else {
			err = open.Delete([]byte(key(p.id, license)))
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", bucketOpen, err)
		}
	}
	slices.SortFunc(p.over, func(a, b ended) int {
		return cmp.Or(cmp.Compare(a.use.Month, b.use.Month), strings.Compare(a.license, b.license), cmp.Compare(a.entry, b.entry), cmp.Compare(a.event, b.event))
	})
	for i := range p.over {
		if err := uses.Put(p.over[i].key(p.id), p.over[i].use.row()); err != nil {
			return fmt.Errorf("write %s: %w", bucketUses, err)
		}
	}
	clear(p.changed)
	p.over = p.over[:0]
	return p.writeReadings(tx)
}

// Done has nothing to do: the view keeps nothing between batches.
func (b *batch) Done(bool) {}

func putJSON(tx *bbolt.Tx, bucket []byte, k string, v any) error {
	row, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", bucket, err)
	}
	if err := tx.Bucket(bucket).Put([]byte(k), row); err != nil {
		return fmt.Errorf("write %s: %w", bucket, err)
	}
	return nil
}

// load reads a row of JSON into v; ok is false if there is none.
func load(tx *bbolt.Tx, bucket []byte, k string, v any) (ok bool, err error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return false, nil
	}
	row := b.Get([]byte(k))
	if row == nil {
		return false, nil
	}
	if err := json.Unmarshal(row, v); err != nil {
		return false, fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return true, nil
}

// each yields the rows whose keys begin with first, and come behind first+after if after is not empty, until fn says no. fn
// gets what follows first in the key.
func each(tx *bbolt.Tx, bucket []byte, first, after string, fn func(k string, row []byte) (bool, error)) error {
	if after != "" {
		after += "\x00"
	}
	return eachFrom(tx, bucket, first, after, fn)
}

// eachFrom is each from the key first+from on.
func eachFrom(tx *bbolt.Tx, bucket []byte, first, from string, fn func(k string, row []byte) (bool, error)) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	c := b.Cursor()
	for k, row := c.Seek([]byte(first + from)); k != nil && bytes.HasPrefix(k, []byte(first)); k, row = c.Next() {
		more, err := fn(string(k[len(first):]), row)
		if err != nil {
			return fmt.Errorf("read a row of %s: %w", bucket, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}
