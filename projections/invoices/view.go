// Package invoices is the billing projector: it turns the stream into what each
// provider owes, and explains it row by row.
//
// A license costs on the days on which it is paid and assigned. The view looks
// at what each license event leaves behind: when a license becomes billable, a use begins;
// when it ceases to be, or serves another, the use ends; when it is renewed, the next month gets a use of its own:
//
//	uses: acme, 2026-02, 01KGB…, 0 -> server for endpoint pc-17 of globex, from 2026-02-01 to 2026-02-10
//
// Rating a month's uses (package ledger/catalog) gives the usage history and the
// statement's lines. The open month can be rated at any time: that is the draft.
// The entry month.closed cuts the month: the view rates it once more and keeps the statement as
// pending; the clock has it recorded as statement.issued, which names the digest of its lines. When
// that entry comes by, live or in a rebuild, the view compares: another digest is a [*MismatchError], and the view stops.
package invoices

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/projections"
)

// View is the invoices view.
type View struct{}

// New makes the view.
func New() View { return View{} }

// Name is "invoices".
func (View) Name() string { return "invoices" }

// Usage is not wanted.
func (View) Usage() bool { return false }

// account is what the view knows of a provider.
type account struct {
	Currency string       `json:"currency"`
	Open     events.Month `json:"open"`
	// Carry is the credit that the last statement left for the next one.
	Carry catalog.Carry `json:"carry,omitzero"`
}

// use is one license serving one assignee in a month, as far as it was billable.
type use struct {
	Type        string          `json:"type"`
	Company     string          `json:"company,omitempty"`
	Assignee    events.Assignee `json:"assignee"`
	Created     time.Time       `json:"created"`
	From        events.Date     `json:"from"`
	To          events.Date     `json:"to,omitzero"` // zero while it goes on
	Activated   time.Time       `json:"activated"`
	Deactivated time.Time       `json:"deactivated,omitzero"`
}

// openUse is where the use stands that goes on for a license.
type openUse struct {
	Month events.Month `json:"month"`
	Index int          `json:"index"`
	Next  int          `json:"next"` // the index of the month's next use of the license
	Open  bool         `json:"open"`
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

type batch struct {
	tx       *bbolt.Tx
	writes   map[string]map[string][]byte // bucket, key -> value; nil deletes
	catalogs catalog.Book
	accounts map[string]*account
	open     map[string]*openUse
	uses     map[string]*use
}

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	b := &batch{tx: tx}
	b.forget()
	var err error
	b.catalogs, err = loadCatalogs(tx)
	return b, err
}

func (b *batch) forget() {
	b.writes = make(map[string]map[string][]byte)
	for _, name := range buckets {
		b.writes[string(name)] = make(map[string][]byte)
	}
	b.accounts, b.open, b.uses = make(map[string]*account), make(map[string]*openUse), make(map[string]*use)
}

// Apply folds an entry.
func (b *batch) Apply(e *events.Entry) error {
	for i := range e.Events {
		var err error
		switch d := e.Events[i].Data.(type) {
		case *events.LedgerOpened:
			err = b.publish(e.Number, d.Catalog)
		case *events.CatalogPublished:
			err = b.publish(e.Number, d.Catalog)
		case *events.ProviderSet:
			err = b.setProvider(e, d)
		case *events.MonthClosed:
			err = b.closeMonth(e, d)
		case *events.StatementIssued:
			err = b.issue(e, d)
		default:
			if l := events.LicenseAfter(d); l != nil {
				_, runsOut := d.(*events.LicenseExpired)
				err = b.follow(e.Provider, l, e.EffectiveAt(i), runsOut)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) publish(entry uint64, c events.Catalog) error {
	b.catalogs = b.catalogs.Publish(c, entry)
	return b.putJSON(bucketCatalogs, monthKey(c.Effective), publishedCatalog{entry, c})
}

func (b *batch) setProvider(e *events.Entry, d *events.ProviderSet) error {
	a, err := b.account(e.Provider)
	if err == nil && a.Currency == "" {
		a.Currency, a.Open = d.Currency, events.MonthOf(e.Time)
	}
	return err
}

// follow begins, ends and renews uses. runsOut says that the license ended by itself, so that an end at 00:00 does not touch that day (domain D3).
func (b *batch) follow(provider string, l *events.License, at time.Time, runsOut bool) error {
	k := key(provider, l.ID)
	o, err := b.openUse(k)
	if err != nil {
		return err
	}
	goesOn := false
	if o.Open {
		u, err := b.use(useKey(provider, l.ID, o))
		if err != nil {
			return err
		}
		same := l.Billable() && u.Type == l.Type && u.Company == l.Company && u.Assignee == l.Assignee
		month := events.MonthOf(at)
		if same && month == o.Month {
			return nil
		}
		switch goesOn = same; {
		case same:
			u.To = o.Month.Last()
		case runsOut:
			u.To, u.Deactivated = events.LastDateBefore(at), at
		default:
			u.To, u.Deactivated = events.DateOf(at), at
		}
		if !l.Billable() {
			o.Open = false
			return nil
		}
		if goesOn {
			next := *u
			next.From, next.To = month.First(), 0
			b.begin(provider, l.ID, o, month, &next)
			return nil
		}
	}
	if l.Billable() {
		u := &use{
			Type: l.Type, Company: l.Company, Assignee: l.Assignee, Created: l.Created,
			From: max(events.DateOf(at), l.BilledFrom), Activated: at,
		}
		b.begin(provider, l.ID, o, events.MonthOf(at), u)
	}
	return nil
}

// begin makes u the license's use that goes on.
func (b *batch) begin(provider, id string, o *openUse, month events.Month, u *use) {
	if o.Month != month {
		o.Month, o.Next = month, 0
	}
	o.Index, o.Open = o.Next, true
	o.Next++
	b.uses[useKey(provider, id, o)] = u
}

func useKey(provider, id string, o *openUse) string {
	return prefix(provider) + monthKey(o.Month) + key(id, indexKey(o.Index))
}

// closeMonth computes the month's statement from everything up to this entry (domain B6).
func (b *batch) closeMonth(e *events.Entry, d *events.MonthClosed) error {
	if err := b.Flush(); err != nil {
		return err
	}
	b.forget()
	a, err := b.account(e.Provider)
	if err != nil {
		return err
	}
	s, err := compute(b.tx, b.catalogs, e.Provider, *a, d.Month, d.Month.Last())
	if err != nil {
		return fmt.Errorf("close %s of provider %q: %w", d.Month, e.Provider, err)
	}
	a.Open = d.Month + 1
	if len(s.Lines) == 0 {
		return nil
	}
	s.Cut, a.Carry = e.Number, s.Carry
	b.put(bucketPending, monthKey(d.Month)+e.Provider, nil)
	return b.putJSON(bucketStatements, prefix(e.Provider)+monthKey(d.Month), s)
}

// issue compares what was issued with what was computed, and makes it final.
func (b *batch) issue(e *events.Entry, d *events.StatementIssued) error {
	k := prefix(e.Provider) + monthKey(d.Month)
	var s Statement
	ok, err := b.getJSON(bucketStatements, k, &s)
	if err != nil {
		return err
	}
	mismatch := func(format string, args ...any) error {
		return &MismatchError{e.Provider, d.Number, e.Number, fmt.Sprintf(format, args...)}
	}
	switch {
	case !ok:
		return mismatch("%s has no lines", d.Month)
	case s.Number != "":
		return mismatch("%s was issued before, as %s", d.Month, s.Number)
	case s.Cut != d.Cut:
		return mismatch("%s was cut by entry %d, not %d", d.Month, s.Cut, d.Cut)
	case s.Rules != d.Rules:
		return mismatch("it was rated by rules %d, which this program does not know", d.Rules)
	case s.Digest != d.Digest:
		return mismatch("its lines add up to %s %s and have another digest; %s was issued", s.Total, s.Currency, d.Total)
	case !s.Total.Equal(d.Total.Decimal) || !s.Subtotal.Equal(d.Subtotal.Decimal) || s.Currency != d.Currency:
		return mismatch("its total is %s %s; %s %s was issued", s.Total, s.Currency, d.Total, d.Currency)
	}
	s.Number, s.IssuedAt, s.Entry = d.Number, d.Month.End(), e.Number
	b.delete(bucketPending, monthKey(d.Month)+e.Provider)
	b.put(bucketNumbers, key(e.Provider, d.Number), []byte(monthKey(d.Month)))
	return b.putJSON(bucketStatements, k, s)
}

func (b *batch) account(provider string) (*account, error) {
	if a, ok := b.accounts[provider]; ok {
		return a, nil
	}
	a := new(account)
	_, err := load(b.tx, bucketAccounts, provider, a)
	b.accounts[provider] = a
	return a, err
}

func (b *batch) openUse(k string) (*openUse, error) {
	if o, ok := b.open[k]; ok {
		return o, nil
	}
	o := new(openUse)
	_, err := load(b.tx, bucketOpen, k, o)
	b.open[k] = o
	return o, err
}

func (b *batch) use(k string) (*use, error) {
	if u, ok := b.uses[k]; ok {
		return u, nil
	}
	u := new(use)
	ok, err := load(b.tx, bucketUses, k, u)
	if err == nil && !ok {
		err = fmt.Errorf("a license's use is missing: %q", k)
	}
	b.uses[k] = u
	return u, err
}

// Flush writes everything, bucket by bucket, in the order of the keys.
func (b *batch) Flush() error {
	for k, a := range b.accounts {
		if err := b.putJSON(bucketAccounts, k, a); err != nil {
			return err
		}
	}
	for k, o := range b.open {
		if *o == (openUse{}) {
			continue // of a license that was never billable
		}
		if err := b.putJSON(bucketOpen, k, o); err != nil {
			return err
		}
	}
	for k, u := range b.uses {
		if err := b.putJSON(bucketUses, k, u); err != nil {
			return err
		}
	}
	for _, name := range buckets {
		bucket, writes := b.tx.Bucket(name), b.writes[string(name)]
		for _, k := range slices.Sorted(maps.Keys(writes)) {
			var err error
			if v := writes[k]; v == nil {
				err = bucket.Delete([]byte(k))
			} else {
				err = bucket.Put([]byte(k), v)
			}
			if err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
	}
	return nil
}

// Done has nothing to do: the view keeps nothing between batches.
func (b *batch) Done(bool) {}

func (b *batch) put(bucket []byte, k string, v []byte) {
	if v == nil {
		v = []byte{}
	}
	b.writes[string(bucket)][k] = v
}

func (b *batch) delete(bucket []byte, k string) { b.writes[string(bucket)][k] = nil }

func (b *batch) putJSON(bucket []byte, k string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", bucket, err)
	}
	b.put(bucket, k, text)
	return nil
}

func (b *batch) getJSON(bucket []byte, k string, v any) (bool, error) {
	if text, ok := b.writes[string(bucket)][k]; ok {
		if text == nil {
			return false, nil
		}
		return true, json.Unmarshal(text, v)
	}
	return load(b.tx, bucket, k, v)
}

func load(tx *bbolt.Tx, bucket []byte, k string, v any) (ok bool, err error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return false, nil
	}
	text := b.Get([]byte(k))
	if text == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return true, nil
}

// each decodes the rows whose keys begin with first and come after the key first+after, until fn returns false.
func each[T any](tx *bbolt.Tx, bucket []byte, first, after string, fn func(k string, v *T) bool) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	start := first + after
	if after != "" {
		start += "\x00"
	}
	c := b.Cursor()
	for k, text := c.Seek([]byte(start)); k != nil && strings.HasPrefix(string(k), first); k, text = c.Next() {
		v := new(T)
		if err := json.Unmarshal(text, v); err != nil {
			return fmt.Errorf("read a row of %s: %w", bucket, err)
		}
		if !fn(string(k[len(first):]), v) {
			return nil
		}
	}
	return nil
}

func loadCatalogs(tx *bbolt.Tx) (catalog.Book, error) {
	var book catalog.Book
	err := each(tx, bucketCatalogs, "", "", func(_ string, c *publishedCatalog) bool {
		book = book.Publish(c.Catalog, c.Entry)
		return true
	})
	return book, err
}
