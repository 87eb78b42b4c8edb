// Package licenses is the view of the current state: providers, companies,
// endpoints and licenses as they are now, what agents' spools have sent, and what is due next.
//
// It serves the grid, and it is where the sequencer loads what decisions rest on. The rows are the fold of
// package ledger/license, taken apart: an account per provider, a row per license (the license as its last event left
// it), a row per spool. For the grid every license also stands in an index by scope and cell:
//
//	grid:   acme, *,       server paid+, 01KGB…     all licenses of acme
//	grid:   acme, cglobex, server paid+, 01KGB…     those of company globex
//	counts: acme, cglobex, server paid+  -> 1
//
// so that a page under any filter merges a few runs of ids, each in order, and
// costs the same however many licenses there are; counters only read counts.
package licenses

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/license"
	"licenseledger/projections"
)

// View is the licenses view.
type View struct{}

// New makes the view.
func New() View { return View{} }

// Name is "licenses".
func (View) Name() string { return "licenses" }

// Usage is wanted, for the spools.
func (View) Usage() bool { return true }

// System is the ledger's own state.
type System struct {
	Ledger    string    `json:"ledger"`
	TestClock bool      `json:"test_clock,omitempty"`
	Time      time.Time `json:"time"` // of the last entry
}

// Token is a token that is not revoked.
type Token struct {
	events.TokenIssued
	IssuedAt time.Time `json:"issued_at"`
}

type publishedCatalog struct {
	Entry   uint64         `json:"entry"`
	Catalog events.Catalog `json:"catalog"`
}

// batch holds what a transaction will write. Rows are read once, changed in memory, and written in the order of their keys.
type batch struct {
	tx     *bbolt.Tx
	writes map[string]map[string][]byte // bucket, key -> value; nil deletes
	counts map[string]int64             // changes to counts

	system    System
	accounts  map[string]*license.Account
	licenses  map[string]*events.License
	endpoints map[string]*events.EndpointSet
	spools    map[string]license.Spool
	forgets   map[string]*forgets // per provider
}

// forgets is how far a provider's commands were forgotten in this batch.
type forgets struct {
	from  string   // the stored ones before this key are gone
	added []string // in order, those that came with this batch and are not forgotten yet
}

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	b := &batch{
		tx: tx, writes: make(map[string]map[string][]byte), counts: make(map[string]int64),
		accounts: make(map[string]*license.Account), licenses: make(map[string]*events.License), spools: make(map[string]license.Spool),
		endpoints: make(map[string]*events.EndpointSet), forgets: make(map[string]*forgets),
	}
	for _, name := range buckets {
		b.writes[string(name)] = make(map[string][]byte)
	}
	_, err := load(b.tx, bucketLedger, keySystem, &b.system)
	return b, err
}

// Apply folds an entry.
func (b *batch) Apply(e *events.Entry) error {
	b.system.Time = e.Time
	if e.Provider == "" {
		return b.applySystem(e)
	}
	account, err := b.account(e.Provider)
	if err != nil {
		return err
	}
	open, sweep := account.Open, account.Sweep
	for i := range e.Events {
		d := e.Events[i].Data
		account.Apply(e, d)
		if err := b.applyEvent(e, d); err != nil {
			return err
		}
	}
	if account.Sweep != sweep {
		if !sweep.IsZero() {
			b.delete(bucketSweeps, timeKey(sweep)+e.Provider)
		}
		if !account.Sweep.IsZero() {
			b.put(bucketSweeps, timeKey(account.Sweep)+e.Provider, nil)
		}
	}
	account.Last = e.Number
	if account.Open != open {
		if open != 0 {
			b.delete(bucketMonths, timeKey(open.End())+e.Provider)
		}
		b.put(bucketMonths, timeKey(account.Open.End())+e.Provider, nil)
	}
	return b.remember(e)
}

func (b *batch) applySystem(e *events.Entry) error {
	for i := range e.Events {
		var c publishedCatalog
		switch d := e.Events[i].Data.(type) {
		case *events.LedgerOpened:
			b.system.Ledger, b.system.TestClock = d.Ledger, d.TestClock
			c = publishedCatalog{e.Number, d.Catalog}
		case *events.CatalogPublished:
			c = publishedCatalog{e.Number, d.Catalog}
		default:
			continue
		}
		if err := b.putJSON(bucketCatalogs, string(monthKey(c.Catalog.Effective)), c); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) applyEvent(e *events.Entry, d events.Data) error {
	provider := e.Provider
	switch d := d.(type) {
	case *events.AdministratorSet:
		return b.putJSON(bucketAdmins, key(provider, d.Administrator), d)
	case *events.TokenIssued:
		b.put(bucketHashes, string(d.Hash[:]), []byte(key(provider, d.Token)))
		return b.putJSON(bucketTokens, key(provider, d.Token), Token{TokenIssued: *d, IssuedAt: e.Time})
	case *events.TokenRevoked:
		var t Token
		if ok, err := b.getJSON(bucketTokens, key(provider, d.Token), &t); err != nil || !ok {
			return err
		}
		b.delete(bucketHashes, string(t.Hash[:]))
		b.delete(bucketTokens, key(provider, d.Token))
		return nil
	case *events.EndpointMoved:
		var row events.EndpointSet
		if ok, err := b.getJSON(bucketEndpoints, key(provider, d.Endpoint), &row); err != nil || !ok {
			return err
		}
		row.Company = d.Company
		return b.putJSON(bucketEndpoints, key(provider, d.Endpoint), row)
	case *events.EndpointRemoved:
		b.delete(bucketEndpoints, key(provider, d.Endpoint))
		return nil
	case *events.CompanySet:
		return b.putJSON(bucketCompanies, key(provider, d.Company), d)
	case *events.EndpointSet:
		return b.putJSON(bucketEndpoints, key(provider, d.Endpoint), d)
	}
	if agent, name, seq, digest, ok := license.SpoolOf(d); ok {
		k := key(provider, agent, name)
		spool, ok := b.spools[k]
		if !ok {
			if _, err := load(b.tx, bucketSpools, []byte(k), &spool); err != nil {
				return err
			}
		}
		b.spools[k] = spool.Add(seq, digest)
		return nil
	}
	if l := events.LicenseAfter(d); l != nil {
		return b.set(provider, l)
	}
	return nil
}

// set puts a license in its new state, and moves it in the indexes.
func (b *batch) set(provider string, l *events.License) error {
	k := key(provider, l.ID)
	old, ok := b.licenses[k]
	if !ok {
		var row events.License
		found, err := load(b.tx, bucketLicenses, []byte(k), &row)
		if err != nil {
			return err
		}
		if found {
			old = &row
		}
	}
	b.licenses[k] = l
	if old == nil || cellOf(old) != cellOf(l) || CompanyOf(old) != CompanyOf(l) {
		if old != nil {
			b.index(provider, old, -1)
		}
		b.index(provider, l, +1)
	}
	if old == nil || old.Assignee != l.Assignee {
		if old != nil && old.Assignee.ID != "" {
			b.delete(bucketAssignees, key(provider, string(old.Assignee.Kind), old.Assignee.ID, l.ID))
		}
		if l.Assignee.ID != "" {
			b.put(bucketAssignees, key(provider, string(l.Assignee.Kind), l.Assignee.ID, l.ID), nil)
		}
	}
	if old != nil && old.Status.InForce() {
		b.delete(bucketDue, timeKey(old.NextDue())+key(provider, l.ID))
	}
	if l.Status.InForce() {
		b.put(bucketDue, timeKey(l.NextDue())+key(provider, l.ID), nil)
	}
	return nil
}

func (b *batch) index(provider string, l *events.License, change int64) {
	cell := cellOf(l).key()
	scopes := []string{scopeAll}
	if c := CompanyOf(l); c != "" {
		scopes = append(scopes, scopeCompany(c))
	}
	for _, scope := range scopes {
		b.counts[key(provider, scope, cell)] += change
		if change < 0 {
			b.delete(bucketGrid, key(provider, scope, cell, l.ID))
		} else {
			b.put(bucketGrid, key(provider, scope, cell, l.ID), nil)
		}
	}
}

// remember keeps the entry's command for repetitions, and forgets those that are too old by this entry's time.
func (b *batch) remember(e *events.Entry) error {
	first := prefix(e.Provider)
	f, ok := b.forgets[e.Provider]
	if !ok {
		f = &forgets{from: first}
		b.forgets[e.Provider] = f
	}
	limit := first + timeKey(e.Time.Add(-license.MemoryOfCommands))
	forget := func(k string) {
		// A command that was repeated by another sequencer in between stands under its later time too.
		if _, gone := b.writes[string(bucketForgets)][k]; !gone || slices.Contains(f.added, k) {
			b.delete(bucketForgets, k)
			b.delete(bucketCommands, first+k[len(limit):])
		}
	}
	if f.from < limit {
		c := b.tx.Bucket(bucketForgets).Cursor()
		for k, _ := c.Seek([]byte(f.from)); k != nil && string(k) < limit; k, _ = c.Next() {
			forget(string(k))
		}
		f.from = limit
	}
	for len(f.added) > 0 && f.added[0] < limit {
		forget(f.added[0])
		f.added = f.added[1:]
	}
	if !license.IsRemembered(e) {
		return nil
	}
	k := key(e.Provider, e.Command)
	forgetKey := first + timeKey(e.Time) + e.Command
	r := license.Remembered{Entry: e.Number, Parts: e.Parts, Time: e.Time, Digest: e.Request}
	if err := b.putJSON(bucketCommands, k, r); err != nil {
		return err
	}
	b.put(bucketForgets, forgetKey, nil)
	if n := len(f.added); n == 0 || f.added[n-1] != forgetKey {
		f.added = append(f.added, forgetKey) // the parts of one command share a time
	}
	return nil
}

func (b *batch) account(provider string) (*license.Account, error) {
	if a, ok := b.accounts[provider]; ok {
		return a, nil
	}
	a := new(license.Account)
	_, err := load(b.tx, bucketProviders, []byte(provider), a)
	b.accounts[provider] = a
	return a, err
}

// Flush writes everything, bucket by bucket, in the order of the keys.
func (b *batch) Flush() error {
	if err := b.putJSON(bucketLedger, string(keySystem), b.system); err != nil {
		return err
	}
	for id, a := range b.accounts {
		if err := b.putJSON(bucketProviders, id, a); err != nil {
			return err
		}
	}
	for k, l := range b.licenses {
		if err := b.putJSON(bucketLicenses, k, l); err != nil {
			return err
		}
	}
	for k, s := range b.spools {
		if err := b.putJSON(bucketSpools, k, s); err != nil {
			return err
		}
	}
	counts := b.tx.Bucket(bucketCounts)
	for k, change := range b.counts {
		n := change
		if old := counts.Get([]byte(k)); old != nil {
			n += int64(binary.BigEndian.Uint64(old))
		}
		if n == 0 {
			b.delete(bucketCounts, k)
		} else {
			b.put(bucketCounts, k, binary.BigEndian.AppendUint64(nil, uint64(n)))
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

// getJSON reads a row as this batch has left it.
func (b *batch) getJSON(bucket []byte, k string, v any) (bool, error) {
	if text, ok := b.writes[string(bucket)][k]; ok {
		if text == nil {
			return false, nil
		}
		return true, json.Unmarshal(text, v)
	}
	return load(b.tx, bucket, []byte(k), v)
}

// load reads a row into v; ok is false if there is none.
func load(tx *bbolt.Tx, bucket, k []byte, v any) (ok bool, err error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return false, nil
	}
	text := b.Get(k)
	if text == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return true, nil
}
