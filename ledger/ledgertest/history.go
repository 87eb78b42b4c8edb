package ledgertest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

// Ledger decides commands one after the other, as the sequencer does, and keeps their entries: the write side without
// queue and stream, for tests that ask what commands mean and what views make of them.
//
//	l := ledgertest.NewLedger(at)                              // entry 0 and the catalogs are there
//	d, err := l.Do("acme", license.SetProvider{Name: "Acme"})
//	l.Now = l.Now.Add(time.Hour)
//	d, err = l.Do("acme", license.Buy{Type: "server", Quantity: 2})
//	view.Apply(l.Entries...)
//
// It panics where the write side breaks its own promises: an entry that cannot be written, or a decision that changes
// the state that it was given. It is not safe for concurrent use.
type Ledger struct {
	Now     time.Time // never moves back
	System  ledger.System
	Entries []events.Entry
	// PerEntry bounds the events of an entry; a command with more makes several entries. The sequencer goes by bytes. Default 100.
	PerEntry int
	// Deciding, if not nil, is told of every command before it is decided on a state. It must change neither.
	Deciding func(s *license.State, c ledger.Command)

	states  map[string]*license.State
	spools  map[ledger.SpoolKey]license.Spool
	entropy io.Reader
	line    []byte
}

// NewLedger opens a ledger on a test clock that stands at a time.
func NewLedger(at time.Time) *Ledger {
	l := &Ledger{
		Now: events.Stamp(at), PerEntry: 100, entropy: Entropy(1),
		states: make(map[string]*license.State), spools: make(map[ledger.SpoolKey]license.Spool),
	}
	if _, err := l.Do("", license.Open{Ledger: "01KGB0000000000000000000AA", TestClock: true}); err != nil {
		panic(err)
	}
	return l
}

// State is a copy of a provider's state.
func (l *Ledger) State(provider string) *license.State {
	if s, ok := l.states[provider]; ok {
		return s.Fork()
	}
	return license.NewState()
}

// Providers lists the providers that have entries, in the order of their ids.
func (l *Ledger) Providers() []string {
	var ids []string
	for id := range l.states {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Spool is what is known of a spool.
func (l *Ledger) Spool(key ledger.SpoolKey) license.Spool { return l.spools[key] }

// Facts are those of a command that is decided now.
func (l *Ledger) Facts(c ledger.Command) license.Facts {
	f := license.Facts{
		Provider: c.Provider, Now: l.Now, Catalogs: l.System.Catalogs, IDs: events.NewIDs(c.Seed, l.Now),
		Opened: l.System.Ledger != "", Checkpoint: l.System.Checkpoint,
	}
	if r, ok := c.Body.(license.Report); ok {
		spool := l.spools[ledger.SpoolKey{Provider: c.Provider, Agent: r.Agent, Spool: r.Spool}]
		f.Spool = &spool
	}
	return f
}

// Do decides a command of a caller without idempotency key.
func (l *Ledger) Do(provider string, body license.Body) (license.Decision, error) {
	return l.Submit(ledger.Command{
		ID: fmt.Sprintf("test/operator/%d", len(l.Entries)), Provider: provider, Actor: "operator", Body: body,
	})
}

// Submit decides a command and appends its entries, after those of what was due. A command whose id is remembered is not
// decided again; its decision is empty. A command without a seed gets one.
func (l *Ledger) Submit(c ledger.Command) (license.Decision, error) {
	if l.Now = events.Stamp(l.Now); l.Now.Before(l.System.Time) {
		panic(fmt.Sprintf("ledgertest: the clock runs backwards, from %s to %s", l.System.Time, l.Now))
	}
	state, ok := l.states[c.Provider]
	if !ok {
		state = license.NewState()
	}
	if before, ok := state.Command(c.ID); ok {
		if before.Digest != c.Request {
			return license.Decision{}, &license.Refusal{Code: license.IdempotencyMismatch, Message: "this idempotency key was used with another request"}
		}
		return license.Decision{Duplicate: true}, nil
	}
	if c.Seed == (events.Seed{}) {
		c.Seed = CommandSeed(l.entropy)
	}
	if l.Deciding != nil {
		l.Deciding(state, c)
	}
	account, size := state.Account(), state.Size()
	d, err := license.Decide(state, c.Body, l.Facts(c))
	if !reflect.DeepEqual(state.Account(), account) || state.Size() != size {
		panic(fmt.Sprintf("ledgertest: deciding %#v changed the state", c.Body))
	}
	var refusal *license.Refusal
	if err != nil && (!errors.As(err, &refusal) || len(d.Events) > 0) {
		panic(fmt.Sprintf("ledgertest: %#v was refused with %v and %d events", c.Body, err, len(d.Events)))
	}
	l.append(events.Entry{Provider: c.Provider, Actor: events.ClockActor, Command: events.ClockActor + "/due"}, d.Due)
	if !c.DryRun {
		l.append(events.Entry{Provider: c.Provider, Actor: c.Actor, Command: c.ID, Request: c.Request}, d.Events)
	}
	return d, err
}

// append makes entries of events and folds them.
func (l *Ledger) append(e events.Entry, list []events.Event) {
	due := e.Actor == events.ClockActor && e.Command == events.ClockActor+"/due"
	parts := (len(list) + l.PerEntry - 1) / l.PerEntry
	for part := range parts {
		e.Number, e.Time = l.System.Next, l.Now
		e.Events = list[part*l.PerEntry : min(len(list), (part+1)*l.PerEntry)]
		if e.Part, e.Parts = 0, 0; parts > 1 && !due {
			e.Part, e.Parts = part+1, parts
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "salt %d", e.Number))
		e.Salt = events.Salt(sum[:16])
		var err error
		if l.line, err = events.AppendEntry(l.line[:0], &e); err != nil {
			panic(fmt.Sprintf("ledgertest: what was decided cannot be written: %v", err))
		}
		l.Entries = append(l.Entries, e)
		l.fold(&l.Entries[len(l.Entries)-1])
	}
}

func (l *Ledger) fold(e *events.Entry) {
	l.System.Apply(e)
	if e.Provider == "" {
		return
	}
	state, ok := l.states[e.Provider]
	if !ok {
		state = license.NewState()
		l.states[e.Provider] = state
	}
	state.Apply(e)
	for i := range e.Events {
		if agent, name, seq, digest, ok := license.SpoolOf(e.Events[i].Data); ok {
			key := ledger.SpoolKey{Provider: e.Provider, Agent: agent, Spool: name}
			l.spools[key] = l.spools[key].Add(seq, digest)
		}
	}
}

// History is the first n entries, or a few more, of a ledger that [Traffic] keeps busy.
func History(seed uint64, n int) []events.Entry {
	t := NewTraffic(seed)
	for len(t.Entries) < n {
		t.Step()
	}
	return t.Entries
}

// Traffic keeps a ledger busy with commands of all kinds, drawn from a seed, as callers, agents and the clock would
// hand them in: many are refused, repeated, or late by days or months. What it leaves behind is what the rules made of them. Months pass quickly.
type Traffic struct {
	*Ledger
	// Statement, if not nil, computes what the clock issues for a month that an entry has closed; ok is false where
	// there is nothing to issue. Without it no statements are issued.
	Statement func(closed *events.Entry, month events.Month) (s license.IssueStatement, ok bool)

	rand    *rand.Rand
	seen    int // entries that were searched for closed months
	pending []pending
	last    ledger.Command // the last one with a key
}

type pending struct {
	entry int
	month events.Month
}

// NewTraffic starts on 20 January 2026, with two providers.
func NewTraffic(seed uint64) *Traffic {
	t := &Traffic{
		Ledger: NewLedger(time.Date(2026, time.January, 20, 8, 0, 0, 0, time.UTC)),
		rand:   rand.New(rand.NewPCG(seed, 7)),
	}
	t.entropy = Entropy(seed)
	t.PerEntry = 1 + t.rand.IntN(6)
	for _, p := range trafficProviders[:2] { // the others come by chance
		t.setProvider(p)
		t.submit(p, license.SetPaymentMethod{System: "fastspring", Account: "a1"})
		t.setCompany(p)
		t.setCompany(p)
	}
	return t
}

// Names that traffic is about. Some begin like others.
var (
	trafficProviders = []string{"acme", "acme-2", "b"}
	trafficCompanies = []string{"globex", "globex-2", "initech"}
	trafficTypes     = []struct {
		id   string
		kind events.AssigneeKind
	}{
		{"server", events.Endpoint}, {"server", events.Endpoint}, {"desktop", events.Endpoint}, {"vm-server", events.Endpoint},
		{"vm-server-socket", events.Endpoint}, {"microsoft-365", events.DomainUser}, {"sharepoint-teams-drives", events.Domain},
		{"rmm-connect", events.Administrator}, {"connect", events.Administrator}, {"advanced-rebranding", events.Branding},
	}
)

// trafficStep is something that can happen, and how often.
type trafficStep struct {
	weight int
	do     func(*Traffic, string)
}

// trafficSteps are what can happen.
var trafficSteps = []trafficStep{
	{2, (*Traffic).setProvider},
	{3, (*Traffic).setPayment},
	{6, (*Traffic).setCompany},
	{1, (*Traffic).publish},
	{10, (*Traffic).buy},
	{24, (*Traffic).allocate},
	{10, (*Traffic).release},
	{14, (*Traffic).report},
	{8, (*Traffic).settle},
	{4, (*Traffic).issue},
	{2, (*Traffic).repeat},
	{1, (*Traffic).moveClock},
	{26, func(t *Traffic, p string) { t.oneOf(keySteps, p) }},
}

// Step lets some time pass and hands in a command, which may change nothing.
func (t *Traffic) Step() {
	t.wait()
	t.oneOf(trafficSteps, pick(t, trafficProviders))
	for ; t.seen < len(t.Entries); t.seen++ {
		for _, ev := range t.Entries[t.seen].Events {
			if closed, ok := ev.Data.(*events.MonthClosed); ok {
				t.pending = append(t.pending, pending{t.seen, closed.Month})
			}
		}
	}
}

// oneOf lets one of some things happen to a provider.
func (t *Traffic) oneOf(steps []trafficStep, provider string) {
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := t.rand.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			s.do(t, provider)
			return
		}
	}
}

func pick[T any](t *Traffic, list []T) T { return list[t.rand.IntN(len(list))] }

// chance is true in percent of all cases.
func (t *Traffic) chance(percent int) bool { return t.rand.IntN(100) < percent }

func (t *Traffic) wait() {
	switch n := t.rand.IntN(200); {
	case n < 40: // another command of the same instant
	case n < 150:
		t.Now = t.Now.Add(time.Duration(t.rand.Int64N(int64(3 * time.Hour))))
	case n < 190:
		t.Now = t.Now.Add(time.Duration(t.rand.Int64N(int64(36 * time.Hour))))
	case n < 196:
		t.Now = events.MonthOf(t.Now).End()
	case n < 199:
		t.Now = events.MonthOf(t.Now).End().Add(-events.Precision)
	default:
		t.Now = t.Now.Add(time.Duration(t.rand.Int64N(int64(80 * 24 * time.Hour))))
	}
	t.Now = events.Stamp(t.Now)
}

// submit hands a command in, with a key or without.
func (t *Traffic) submit(provider string, body license.Body) {
	door := "test/operator/"
	if t.chance(60) {
		door = license.KeyedDoor + "operator/"
	}
	c := ledger.Command{
		ID: fmt.Sprintf("%sk%d", door, t.rand.IntN(100_000)), Provider: provider, Actor: "operator", Body: body, DryRun: t.chance(3),
		Request: sha256.Sum256(fmt.Appendf(nil, "%#v", body)),
	}
	if strings.HasPrefix(c.ID, license.KeyedDoor) {
		t.last = c
	}
	_, _ = t.Submit(c) // refusals are part of it
}

// repeat hands the last command with a key in again.
func (t *Traffic) repeat(string) {
	if t.last.Body != nil {
		_, _ = t.Submit(t.last)
	}
}

func (t *Traffic) setProvider(p string) {
	t.submit(p, license.SetProvider{Name: pick(t, []string{"", "Acme", "Acme “Süd”"})})
}

func (t *Traffic) setPayment(p string) {
	if t.chance(35) {
		t.submit(p, license.RemovePaymentMethod{})
		return
	}
	t.submit(p, license.SetPaymentMethod{System: "fastspring", Account: pick(t, []string{"a1", "a2"})})
}

func (t *Traffic) setCompany(p string) {
	t.submit(p, license.SetCompany{CompanySet: events.CompanySet{
		Company: pick(t, trafficCompanies), Name: pick(t, []string{"One", "Two"}),
		Allocation:   pick(t, []events.Allocation{events.Automatic, events.Automatic, events.Manual}),
		Pool:         pick(t, []events.PoolRule{events.GlobalPool, events.CompanyPool}),
		AllowedTypes: pick(t, [][]string{nil, nil, {"server", "vm-server", "vm-server-socket"}}),
		Metered:      pick(t, [][]string{nil, {"backup-storage"}}),
	}})
}

// publish changes a price and a policy from a month on that has not begun, or closes a type (domain C1, C2).
func (t *Traffic) publish(string) {
	month := events.MonthOf(t.Now) + 1 + events.Month(t.rand.IntN(2))
	c, _, ok := t.System.Catalogs.At(month)
	if !ok {
		return
	}
	c.Effective = month
	c.Types = slices.Clone(c.Types)
	changed := &c.Types[t.rand.IntN(len(c.Types))]
	if price, ok := changed.Prices["USD"]; ok {
		price.Decimal = price.Shift(1).Add(price.Decimal).Shift(-1).Round(4)
		changed.Prices = map[string]events.Money{"USD": price}
	}
	if changed.Policy != events.Metered && changed.Term == events.Monthly {
		changed.Policy = pick(t, []events.Policy{events.DaysActive, events.FullMonth, events.Peak})
		changed.Closed = t.chance(20)
	}
	t.submit("", license.PublishCatalog{Catalog: c})
}

func (t *Traffic) buy(p string) {
	b := license.Buy{Type: pick(t, trafficTypes).id, Quantity: 1 + t.rand.IntN(4), NoRenew: t.chance(25)}
	if t.chance(10) {
		b.Quantity = 9
	}
	if t.chance(50) {
		b.Company = pick(t, trafficCompanies)
	}
	t.submit(p, b)
}

func (t *Traffic) allocate(p string) {
	what := pick(t, trafficTypes)
	a := license.Allocate{Type: what.id, Assignee: events.Assignee{Kind: what.kind}}
	switch what.kind {
	case events.Endpoint:
		a.Assignee.ID = fmt.Sprintf("pc-%d", t.rand.IntN(14))
	case events.Administrator, events.DomainUser:
		a.Assignee.ID = fmt.Sprintf("%032x", t.rand.IntN(6))
	case events.Domain:
		a.Assignee.ID = pick(t, []string{"größe.example", "a.example", "a"})
	case events.Branding:
		a.Assignee.ID = pick(t, []string{"brand \"1\"", "brand"})
	}
	if t.chance(80) {
		a.Company = pick(t, trafficCompanies)
	}
	if id, ok := t.license(p); ok && t.chance(30) {
		a.Type, a.License = "", id
	}
	t.submit(p, a)
}

func (t *Traffic) release(p string) {
	if id, ok := t.license(p); ok {
		t.submit(p, license.Release{License: id})
	}
}

// license is one of the provider's licenses, rather a younger one.
func (t *Traffic) license(p string) (string, bool) {
	var ids []string
	for l := range t.State(p).Licenses() {
		ids = append(ids, l.ID)
	}
	if len(ids) == 0 {
		return "", false
	}
	return ids[max(t.rand.IntN(len(ids)), t.rand.IntN(len(ids)))], true
}

// report is an agent's next report, a repeated one, one after a gap, one that was missing, or a number that is given up (domain U2).
func (t *Traffic) report(p string) {
	r := license.Report{Agent: fmt.Sprintf("pc-%d", t.rand.IntN(14)), Spool: pick(t, []string{"", "", "s2"})}
	if t.chance(60) {
		r.Company = pick(t, trafficCompanies)
	}
	spool := t.Spool(ledger.SpoolKey{Provider: p, Agent: r.Agent, Spool: r.Spool})
	r.Seq = spool.High + 1
	switch n := t.rand.IntN(10); {
	case n == 0 && spool.High > 0:
		r.Seq = 1 + t.rand.Uint64N(spool.High)
	case n <= 2:
		r.Seq += t.rand.Uint64N(5)
	case n <= 4 && len(spool.Gaps) > 0:
		gap := pick(t, spool.Gaps)
		r.Seq = gap.From + t.rand.Uint64N(gap.To-gap.From+1)
	}
	if t.chance(15) {
		r.Void = "disk lost"
		r.Digest = events.DigestVoid(r.Void)
	} else {
		for range 1 + t.rand.IntN(3) {
			value, _ := events.ParseQuantity(fmt.Sprint(t.rand.IntN(1000))) // always a value
			at := t.Now.Add(-time.Duration(t.rand.Int64N(int64(40 * 24 * time.Hour))))
			r.Readings = append(r.Readings, events.Reading{Meter: "storage_bytes", Value: value, At: events.Stamp(at)})
		}
		r.Digest = events.DigestReadings(r.Readings)
	}
	t.submit(p, r)
}

// settle is a page of the clock.
func (t *Traffic) settle(p string) {
	_, _ = t.Submit(ledger.Command{ // refused where there is no such provider
		ID: events.ClockActor + "/settle", Provider: p, Actor: events.ClockActor, Body: license.Settle{Limit: 1 + t.rand.IntN(4)},
	})
}

// issue issues the statement of the month that was closed first.
func (t *Traffic) issue(string) {
	if t.Statement == nil || len(t.pending) == 0 {
		return
	}
	next := t.pending[0]
	t.pending = t.pending[1:]
	closed := &t.Entries[next.entry]
	s, ok := t.Statement(closed, next.month)
	if !ok {
		return
	}
	if _, err := t.Submit(ledger.Command{
		ID: events.ClockActor + "/issue", Provider: closed.Provider, Actor: events.ClockActor, Body: s,
	}); err != nil {
		panic(fmt.Sprintf("ledgertest: a statement was refused: %v", err))
	}
}

func (t *Traffic) moveClock(string) { t.submit("", license.MoveClock{To: t.Now}) }

// Fleet is a large ledger for benchmarks, made of events alone: 20 providers, provider-00 to provider-19, buy and allocate licenses
// on 10 February 2026, two events in an entry; then, for as many months as asked for, the month is closed and all
// licenses are renewed, in pages of 100.
func Fleet(perProvider, months int) []events.Entry {
	at := time.Date(2026, time.February, 10, 9, 0, 0, 0, time.UTC)
	var entries []events.Entry
	entry := func(provider string, data ...events.Data) {
		e := events.Entry{Number: uint64(len(entries)), Time: at, Provider: provider, Actor: events.ClockActor, Command: events.ClockActor + "/settle"}
		for _, d := range data {
			e.Events = append(e.Events, events.Event{Data: d})
		}
		entries = append(entries, e)
	}
	catalogs := catalog.Default()
	entry("", &events.LedgerOpened{Ledger: "01KGB0000000000000000000AA", Catalog: catalogs[0]}, &events.CatalogPublished{Catalog: catalogs[1]})
	var fleet [20][]events.License
	name := func(provider int) string { return fmt.Sprintf("provider-%02d", provider) }
	for p := range fleet {
		entry(name(p), &events.ProviderSet{Currency: "USD"}, &events.PaymentMethodSet{System: "fastspring", Account: "a", Status: events.PaymentActive})
		ids := events.NewIDs(events.Seed{byte(p)}, at)
		for i := range perProvider {
			l := events.License{
				ID: ids.Next(), Type: "server", Status: events.Paid, Pool: "globex", AutoRenew: true, Created: at, ExpiresAt: events.MonthOf(at).End(),
			}
			bought := &events.LicenseBought{License: l}
			l.Company, l.Assigned, l.Assignee = fmt.Sprintf("company-%d", i%10), true, events.Assignee{Kind: events.Endpoint, ID: fmt.Sprintf("pc-%06d", i)}
			entry(name(p), bought, &events.LicenseAllocated{Source: events.BoughtOnTheSpot, License: l})
			fleet[p] = append(fleet[p], l)
		}
	}
	for range months {
		month := events.MonthOf(at)
		at = month.End()
		for p, licenses := range fleet {
			entry(name(p), &events.MonthClosed{Month: month})
			var page []events.Data
			for i := range licenses {
				licenses[i].ExpiresAt = (month + 1).End()
				if page = append(page, &events.LicenseRenewed{License: licenses[i]}); len(page) == 100 || i == len(licenses)-1 {
					entry(name(p), page...)
					page = nil
				}
			}
		}
	}
	return entries
}
