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
// costs the same however many licenses there are; counters only read counts. Those of the provider itself stand under the
// company "". The same runs, one group of cells or companies after the other, and the index of assignees give every other order but that by the
// end, in both directions (sort.go): an index of ends would be written anew with every renewal. What is not in force any more is also
// counted by its last month, for the counters of the running one.
//
//	counts: acme, m2026-03cglobex, server released-  -> 1
//
// What is typed into the grid's search box finds licenses by the beginnings of words (search.go): every license stands under the words of
// whom it serves, with enough of it to judge it there, and types and companies lead to runs of the grid. A search starts with the word
// that has the fewest candidates.
//
//	words: acme, 17, 01KGB…  -> server paid+, globex, "17" "pc"
//
// Licenses are kept monthly too (month.go), as the last event of each month in which something happened to them left them:
//
//	versions: acme, 01KGB…, 2026-03 -> the license at the end of March, and of every later month without a version of its own
//
// A batch folds entries in memory and knows of a license only what its last event said. When it is flushed, each license is
// compared with its row once, however many events it had, and the indexes are moved by the difference.
package licenses

import (
	"bytes"
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

// Format is 5: since 2 the ledger's own state knows the last checkpoint, since 3 there are words and versions, since 4 what belongs to no
// company or nobody can be listed apart, and what ended is counted by month, since 5 there are annual keys.
func (View) Format() int { return 5 }

// System is the ledger's own state.
type System struct {
	Ledger    string    `json:"ledger"`
	TestClock bool      `json:"test_clock,omitempty"`
	Time      time.Time `json:"time"` // of the last entry
	// Checkpoint is the last one that was recorded.
	Checkpoint license.Checkpointed `json:"checkpoint"`
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

// batch is what the entries of a transaction say, until it is flushed.
type batch struct {
	tx        *bbolt.Tx
	system    System
	catalogs  map[events.Month]publishedCatalog
	providers map[string]*provider
}

// provider is what the entries of one provider say. Events stay as they are, so pointers into them may be kept.
type provider struct {
	account   license.Account
	open      events.Month // the open month as the rows have it; 0 for none
	sweep     time.Time    // the sweep as the rows have it
	time      time.Time    // of the last entry
	companies map[string]*events.CompanySet
	endpoints map[string]*events.EndpointSet // nil for one that is gone
	admins    map[string]*events.AdministratorSet
	tokens    map[string]*Token // nil for one that is revoked
	licenses  map[string]*events.License
	versions  map[versionKey]*events.License
	spools    map[spoolKey]*license.Spool
	commands  []command // in the order of time
	ring      keyring
}

type spoolKey struct{ agent, spool string }

// command is one that its caller may repeat.
type command struct {
	id string
	license.Remembered
}

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	b := &batch{tx: tx, catalogs: make(map[events.Month]publishedCatalog), providers: make(map[string]*provider)}
	var err error
	b.system, err = LoadLedger(tx)
	return b, err
}

// Apply folds an entry.
func (b *batch) Apply(e *events.Entry) error {
	b.system.Time = e.Time
	if e.Provider == "" {
		b.applySystem(e)
		return nil
	}
	p, err := b.provider(e.Provider)
	if err != nil {
		return err
	}
	for i := range e.Events {
		d := e.Events[i].Data
		p.account.Apply(e, d)
		if err := b.applyEvent(e, p, d); err != nil {
			return err
		}
	}
	p.account.Last, p.time = e.Number, e.Time
	if license.IsRemembered(e) {
		p.remember(e)
	}
	return nil
}

func (b *batch) applySystem(e *events.Entry) {
	for i := range e.Events {
		switch d := e.Events[i].Data.(type) {
		case *events.LedgerOpened:
			b.system.Ledger, b.system.TestClock = d.Ledger, d.TestClock
			b.system.Checkpoint = license.Checkpointed{Day: events.DateOf(e.Time), Entry: e.Number}
			b.catalogs[d.Catalog.Effective] = publishedCatalog{e.Number, d.Catalog}
		case *events.CatalogPublished:
			b.catalogs[d.Catalog.Effective] = publishedCatalog{e.Number, d.Catalog}
		case *events.CheckpointSigned:
			b.system.Checkpoint = license.Checkpointed{Day: events.DateOf(e.Time), Entry: e.Number}
		}
	}
}

func (b *batch) provider(id string) (*provider, error) {
	if p, ok := b.providers[id]; ok {
		return p, nil
	}
	p := &provider{
		companies: make(map[string]*events.CompanySet), endpoints: make(map[string]*events.EndpointSet),
		licenses: make(map[string]*events.License), versions: make(map[versionKey]*events.License), spools: make(map[spoolKey]*license.Spool),
		admins: make(map[string]*events.AdministratorSet), tokens: make(map[string]*Token), ring: newKeyring(),
	}
	_, err := load(b.tx, bucketProviders, []byte(id), &p.account)
	p.open, p.sweep = p.account.Open, p.account.Sweep
	b.providers[id] = p
	return p, err
}

func (b *batch) applyEvent(entry *events.Entry, p *provider, d events.Data) error {
	id := entry.Provider
	switch d := d.(type) {
	case *events.CompanySet:
		p.companies[d.Company] = d
		return nil
	case *events.EndpointSet:
		p.endpoints[d.Endpoint] = d
		return nil
	case *events.EndpointMoved:
		e := p.endpoints[d.Endpoint]
		if e == nil {
			row, ok, err := LoadEndpoint(b.tx, id, d.Endpoint)
			if err != nil || !ok {
				return err
			}
			e = &row
		}
		moved := *e
		moved.Company = d.Company
		p.endpoints[d.Endpoint] = &moved
		return nil
	case *events.EndpointRemoved:
		p.endpoints[d.Endpoint] = nil
		return nil
	case *events.AdministratorSet:
		p.admins[d.Administrator] = d
		return nil
	case *events.TokenIssued:
		p.tokens[d.Token] = &Token{*d, entry.Time}
		return nil
	case *events.TokenRevoked:
		p.tokens[d.Token] = nil
		return nil
	}
	if l := events.LicenseAfter(d); l != nil {
		p.licenses[l.ID] = l
		if _, renewed := d.(*events.LicenseRenewed); !renewed {
			p.versions[versionKey{l.ID, p.account.Open}] = l
		}
		return nil
	}
	agent, name, seq, digest, ok := license.SpoolOf(d)
	if !ok {
		return b.applyKeys(entry, p, d)
	}
	s, ok := p.spools[spoolKey{agent, name}]
	if !ok {
		stored, err := LoadSpool(b.tx, id, agent, name)
		if err != nil {
			return err
		}
		s = &stored
		p.spools[spoolKey{agent, name}] = s
	}
	*s = s.Add(seq, digest)
	return nil
}

// remember keeps the entry's command for repetitions. The parts of one command are one.
func (p *provider) remember(e *events.Entry) {
	c := command{e.Command, license.Remembered{Entry: e.Number, Parts: e.Parts, Time: e.Time, Digest: e.Request}}
	if n := len(p.commands); n > 0 && p.commands[n-1].id == c.id && p.commands[n-1].Time.Equal(c.Time) {
		p.commands[n-1] = c
		return
	}
	p.commands = append(p.commands, c)
}

// Flush writes everything, bucket by bucket, in the order of the keys.
func (b *batch) Flush() error {
	w := newWriter(b.tx)
	w.putJSON(bucketLedger, keySystem, b.system)
	for month, c := range b.catalogs {
		w.putJSON(bucketCatalogs, monthKey(month), c)
	}
	for _, id := range slices.Sorted(maps.Keys(b.providers)) {
		if err := b.providers[id].write(w, id); err != nil {
			return err
		}
	}
	return w.flush()
}

func (p *provider) write(w *writer, id string) error {
	w.putJSON(bucketProviders, []byte(id), p.account)
	if is := p.account.Open; is != p.open {
		if p.open != 0 {
			w.delete(bucketMonths, append(appendTimeKey(nil, p.open.End()), id...))
		}
		w.mark(bucketMonths, append(appendTimeKey(nil, is.End()), id...))
	}
	if is := p.account.Sweep; !is.Equal(p.sweep) {
		if !p.sweep.IsZero() {
			w.delete(bucketSweeps, append(appendTimeKey(nil, p.sweep), id...))
		}
		if !is.IsZero() {
			w.mark(bucketSweeps, append(appendTimeKey(nil, is), id...))
		}
	}
	for company, c := range p.companies {
		w.putJSON(bucketCompanies, w.key(id, company), c)
	}
	for endpoint, e := range p.endpoints {
		if e == nil {
			w.delete(bucketEndpoints, w.key(id, endpoint))
			continue
		}
		w.putJSON(bucketEndpoints, w.key(id, endpoint), e)
	}
	for admin, a := range p.admins {
		w.putJSON(bucketAdmins, w.key(id, admin), a)
	}
	for token, t := range p.tokens {
		if err := writeToken(w, w.key(id, token), t); err != nil {
			return err
		}
	}
	for s, spool := range p.spools {
		w.put(bucketSpools, w.key(id, s.agent, s.spool), w.cut(func(b []byte) []byte { return appendSpool(b, spool) }))
	}
	p.writeCommands(w, id)
	t := &tally{make(map[gridCell]int64), make(map[int64]int64)}
	if err := p.writeLicenses(w, id, t); err != nil {
		return err
	}
	if err := p.ring.write(w, id, t); err != nil {
		return err
	}
	w.addUp(id, t)
	return nil
}

// writeToken keeps a token, or takes away one that is revoked.
func writeToken(w *writer, k []byte, t *Token) error {
	if t != nil {
		w.put(bucketHashes, t.Hash[:], k)
		w.putJSON(bucketTokens, k, t)
		return nil
	}
	var was Token
	if ok, err := load(w.tx, bucketTokens, k, &was); err != nil || !ok {
		return err
	}
	w.delete(bucketHashes, was.Hash[:])
	w.delete(bucketTokens, k)
	return nil
}

// writeCommands keeps what was remembered in the 24 hours before the provider's last entry.
func (p *provider) writeCommands(w *writer, id string) {
	first := []byte(prefix(id))
	limit := appendTimeKey(bytes.Clone(first), p.time.Add(-license.MemoryOfCommands))
	c := w.tx.Bucket(bucketCommands).Cursor()
	for k, _ := c.Seek(first); k != nil && bytes.Compare(k, limit) < 0; k, _ = c.Next() {
		w.delete(bucketCommands, bytes.Clone(k))
	}
	for i := range p.commands {
		c := &p.commands[i]
		k := w.cut(func(b []byte) []byte { return append(appendTimeKey(append(b, first...), c.Time), c.id...) })
		if bytes.Compare(k, limit) >= 0 {
			w.put(bucketCommands, k, w.cut(func(b []byte) []byte { return appendCommand(b, &c.Remembered) }))
		}
	}
}

// writeLicenses puts licenses in their new state, and moves them in the indexes.
func (p *provider) writeLicenses(w *writer, id string, t *tally) error {
	rows := w.tx.Bucket(bucketLicenses)
	ix := &indexer{w: w, provider: id, endpoints: p.endpoints}
	for _, license := range slices.Sorted(maps.Keys(p.licenses)) {
		is, k := p.licenses[license], w.key(id, license)
		var was *events.License
		if row := rows.Get(k); row != nil {
			var err error
			if was, err = readLicense(license, row); err != nil {
				return err
			}
		}
		w.put(bucketLicenses, k, w.cut(func(b []byte) []byte { return appendLicense(b, is) }))
		w.move(id, was, is, t)
		if err := ix.move(was, is); err != nil {
			return err
		}
	}
	for v, l := range p.versions {
		k := w.cut(func(b []byte) []byte { return append(append(appendKey(b, id, v.license), 0), monthKey(v.month)...) })
		w.put(bucketVersions, k, w.cut(func(b []byte) []byte { return appendLicense(b, l) }))
	}
	return ix.rename(p.licenses)
}

// Done has nothing to do: the view keeps nothing between batches.
func (b *batch) Done(bool) {}
