package eventstest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"licenseledger/events"
)

// Span is about how long a history goes on, from 15 January 2026: six months.
const Span = 180 * 24 * time.Hour

// History makes the first n entries of a ledger, as its rules would allow them, spread over [Span]: it is opened; providers with
// companies and endpoints come; licenses are bought, allocated, released, renewed and expire; agents report usage, skip numbers, send them
// late or give them up, and are reinstalled; catalogs are published; months are closed before anything later touches their provider (domain
// D4). Statements are not issued: their digests would have to be computed.
func History(seed uint64, n int) []events.Entry {
	h := &history{
		rand: rand.New(rand.NewPCG(seed, 0)), now: Time("2026-01-15T08:00:00Z"), n: n, entries: make([]events.Entry, 0, n),
		next: 1,
	}
	h.catalog = Catalog(events.MonthOf(h.now))
	h.command("operator", "", &events.LedgerOpened{Ledger: h.ids().Next(), Catalog: h.catalog})
	for !h.full() {
		h.wait()
		h.step()
	}
	return h.entries
}

// steps are what can happen to a provider, and how often. A step that is impossible in the state that it finds does nothing.
var steps = []struct {
	weight int
	do     func(*history, *provider)
}{
	{4, (*history).setCompany},
	{4, (*history).setEndpoint},
	{2, (*history).setPayment},
	{1, (*history).publishCatalog},
	{8, (*history).buy},
	{1, (*history).buyInParts},
	{20, (*history).allocate},
	{6, (*history).release},
	{50, (*history).report},
	{4, (*history).fillGap},
	{1, (*history).reinstall},
}

// What histories sell, and whom it serves.
var sold = []struct {
	licenseType string
	kind        events.AssigneeKind
}{
	{"server", events.Endpoint},
	{"desktop", events.Endpoint},
	{"microsoft-365", events.DomainUser},
	{"sharepoint-teams-drives", events.Domain},
	{"advanced-rebranding", events.Branding},
}

type history struct {
	rand      *rand.Rand
	now       time.Time
	n         int
	entries   []events.Entry
	next      int // number of the next name
	catalog   events.Catalog
	providers []*provider
}

// provider is the state that the steps go by. What its pointers lead to stands in entries and is replaced, never changed.
type provider struct {
	name      string
	pays      bool
	open      events.Month // the first month that is not closed
	companies []*events.CompanySet
	endpoints []*events.EndpointSet
	licenses  []events.License // in the order in which they were created
	agents    []*agent         // of the endpoints, in their order
}

// agent numbers its reports in its spool.
type agent struct {
	spool string
	next  uint64
	gaps  []uint64
}

func (h *history) full() bool { return len(h.entries) >= h.n }

// chance is true in percent of all cases.
func (h *history) chance(percent int) bool { return h.rand.IntN(100) < percent }

func pick[T any](h *history, list []T) T { return list[h.rand.IntN(len(list))] }

func (h *history) name(prefix string) string {
	h.next++
	return fmt.Sprintf("%s-%d", prefix, h.next)
}

func (h *history) pseudonym() string {
	sum := sha256.Sum256([]byte(h.name("person")))
	return hex.EncodeToString(sum[:16])
}

func (h *history) ids() *events.IDs {
	var seed events.Seed
	for i := range seed {
		seed[i] = byte(h.rand.Uint32())
	}
	return events.NewIDs(seed, h.now)
}

func (h *history) command(actor, provider string, data ...events.Data) {
	if h.full() {
		return
	}
	e := Entry(uint64(len(h.entries)), h.now, provider, data...)
	e.Actor = actor
	h.entries = append(h.entries, e)
}

// due adds an entry of the clock: what took effect at a time that may have passed.
func (h *history) due(p *provider, effective time.Time, data ...events.Data) {
	if h.full() || len(data) == 0 {
		return
	}
	e := Entry(uint64(len(h.entries)), h.now, p.name, data...)
	e.Actor, e.Command, e.Request = events.ClockActor, fmt.Sprintf("clock/clock/%d", e.Number), events.Digest{}
	if !effective.Equal(h.now) {
		for i := range e.Events {
			e.Events[i].Effective = effective
		}
	}
	h.entries = append(h.entries, e)
}

// wait lets time pass, and what falls due meanwhile happen.
func (h *history) wait() {
	until := h.now
	if !h.chance(10) { // else another command of the same instant
		until = events.Stamp(h.now.Add(time.Duration(h.rand.Int64N(2 * int64(Span) / int64(h.n)))))
	}
	for len(h.providers) > 0 {
		p := slices.MinFunc(h.providers, func(a, b *provider) int { return int(a.open - b.open) })
		if p.open.End().After(until) {
			break
		}
		h.closeMonth(p, until)
	}
	h.now = until
}

// closeMonth closes a month that is over, then renews or ends the licenses in pages, as the clock does.
func (h *history) closeMonth(p *provider, until time.Time) {
	end := p.open.End()
	if h.now.Before(end) {
		h.now = end
		if late := min(until.Sub(end), 5*time.Second); late > 0 && h.chance(50) {
			h.now = events.Stamp(end.Add(time.Duration(h.rand.Int64N(int64(late)))))
		}
	}
	h.due(p, end, &events.MonthClosed{Month: p.open})
	p.open++
	const page = 25
	var ends []events.Data
	for i := range p.licenses {
		l := &p.licenses[i]
		if !l.Status.InForce() || l.ExpiresAt.After(end) {
			continue
		}
		switch {
		case l.AutoRenew && p.pays:
			l.ExpiresAt = p.open.End()
			ends = append(ends, &events.LicenseRenewed{License: *l})
		default:
			reason := events.NoPaymentMethod
			if !l.AutoRenew {
				reason = events.AutoRenewOff
			}
			l.Status, l.Assigned = events.Expired, false
			ends = append(ends, &events.LicenseExpired{Reason: reason, License: *l})
		}
		if len(ends) == page {
			h.due(p, end, ends...)
			ends = nil
		}
	}
	h.due(p, end, ends...)
}

func (h *history) step() {
	if len(h.providers) == 0 || len(h.providers) < 4 && h.chance(1) {
		h.newProvider()
		return
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	at := h.rand.IntN(total)
	for _, s := range steps {
		if at -= s.weight; at < 0 {
			s.do(h, pick(h, h.providers))
			return
		}
	}
}

func (h *history) newProvider() {
	p := &provider{name: h.name("provider"), open: events.MonthOf(h.now), pays: true}
	h.providers = append(h.providers, p)
	h.command("operator", p.name, &events.ProviderSet{Name: "The " + p.name, Currency: pick(h, []string{"USD", "USD", "EUR"})})
	h.command("operator", p.name, &events.PaymentMethodSet{System: "fastspring", Account: h.name("account"), Status: events.PaymentActive})
	h.setCompany(p)
}

func (h *history) setCompany(p *provider) {
	at := len(p.companies)
	if at == 6 || at > 0 && h.chance(60) {
		at = h.rand.IntN(at)
	} else {
		p.companies = append(p.companies, &events.CompanySet{Company: h.name("company")})
	}
	c := *p.companies[at]
	c.Name = h.name("Company")
	c.Allocation = pick(h, []events.Allocation{events.Automatic, events.Manual})
	c.Pool = pick(h, []events.PoolRule{events.GlobalPool, events.CompanyPool})
	c.AllowedTypes = pick(h, [][]string{nil, nil, {"server", "desktop"}})
	c.Metered = pick(h, [][]string{nil, {"backup-storage"}})
	p.companies[at] = &c
	h.command("operator", p.name, &c)
}

// newEndpoint makes an endpoint known; the caller puts the event into an entry.
func (h *history) newEndpoint(p *provider, company string) *events.EndpointSet {
	id := h.name("pc")
	e := &events.EndpointSet{Endpoint: id, Company: company, Name: id}
	p.endpoints = append(p.endpoints, e)
	p.agents = append(p.agents, &agent{next: 1})
	return e
}

func (h *history) setEndpoint(p *provider) {
	if len(p.endpoints) == 0 || h.chance(50) {
		h.command("operator", p.name, h.newEndpoint(p, pick(h, p.companies).Company))
		return
	}
	at := h.rand.IntN(len(p.endpoints))
	e := *p.endpoints[at]
	e.Name, e.Sockets = h.name("host"), h.rand.IntN(5)
	p.endpoints[at] = &e
	h.command("operator", p.name, &e)
}

func (h *history) setPayment(p *provider) {
	if p.pays && h.chance(60) {
		p.pays = false
		h.command("operator", p.name, &events.PaymentMethodRemoved{})
		return
	}
	p.pays = true
	h.command("operator", p.name, &events.PaymentMethodSet{System: "fastspring", Account: h.name("account"), Status: events.PaymentActive})
}

// publishCatalog changes prices from a month on that has not begun (domain C1).
func (h *history) publishCatalog(*provider) {
	h.catalog.Effective = events.MonthOf(h.now) + 1 + events.Month(h.rand.IntN(2))
	h.catalog.Types = slices.Clone(h.catalog.Types)
	t := &h.catalog.Types[h.rand.IntN(len(h.catalog.Types))]
	price := Money(fmt.Sprintf("%d.%02d", h.rand.IntN(50), h.rand.IntN(100)))
	t.Prices = map[string]events.Money{"EUR": price, "USD": price}
	h.command("operator", "", &events.CatalogPublished{Catalog: h.catalog})
}

// newLicenses buys licenses into a pool; the caller puts the events into entries (domain L3).
func (h *history) newLicenses(p *provider, n int, licenseType, pool string, autoRenew bool) []events.Data {
	ids := h.ids()
	bought := make([]events.Data, n)
	for i := range bought {
		l := events.License{
			ID: ids.Next(), Type: licenseType, Status: events.Paid, Pool: pool, AutoRenew: autoRenew,
			Created: h.now, ExpiresAt: events.MonthOf(h.now).End(),
		}
		p.licenses = append(p.licenses, l)
		bought[i] = &events.LicenseBought{License: l}
	}
	return bought
}

func mayUse(c *events.CompanySet, licenseType string) bool {
	return len(c.AllowedTypes) == 0 || slices.Contains(c.AllowedTypes, licenseType)
}

func (h *history) purchase(p *provider, n int) []events.Data {
	if !p.pays {
		return nil
	}
	licenseType, pool := pick(h, sold).licenseType, ""
	if c := pick(h, p.companies); h.chance(50) && mayUse(c, licenseType) {
		pool = c.Company
	}
	return h.newLicenses(p, n, licenseType, pool, h.chance(80))
}

func (h *history) buy(p *provider) {
	if bought := h.purchase(p, 1+h.rand.IntN(4)); bought != nil {
		h.command("operator", p.name, bought...)
	}
}

// buyInParts makes one command that takes several entries.
func (h *history) buyInParts(p *provider) {
	parts := 2 + h.rand.IntN(2)
	if h.n-len(h.entries) < parts {
		return
	}
	bought := h.purchase(p, parts*2)
	if bought == nil {
		return
	}
	first := len(h.entries)
	for i := range parts {
		h.command("operator", p.name, bought[2*i:2*i+2]...)
		e := &h.entries[first+i]
		e.Part, e.Parts, e.Command, e.Request = i+1, parts, h.entries[first].Command, h.entries[first].Request
	}
}

// allocate gives a license to an assignee, from where domain L4 says.
func (h *history) allocate(p *provider) {
	c, what := pick(h, p.companies), pick(h, sold)
	if !mayUse(c, what.licenseType) {
		return
	}
	var data []events.Data
	to := events.Assignee{Kind: what.kind}
	switch what.kind {
	case events.Endpoint:
		if len(p.endpoints) > 0 && h.chance(70) {
			e := pick(h, p.endpoints)
			to.ID = e.Endpoint
			c = p.companies[slices.IndexFunc(p.companies, func(c *events.CompanySet) bool { return c.Company == e.Company })]
			if !mayUse(c, what.licenseType) {
				return
			}
		}
	case events.DomainUser:
		to.ID = h.pseudonym()
	case events.Domain:
		to.ID = h.name("d") + ".example"
	case events.Branding:
		to.ID = h.name("brand")
	}
	for _, l := range p.licenses {
		if l.Serving() && l.Type == what.licenseType && l.Assignee == to {
			return // it holds one
		}
	}
	free := func(pool string) int {
		return slices.IndexFunc(p.licenses, func(l events.License) bool {
			return l.Status.InForce() && !l.Assigned && l.Type == what.licenseType && l.Pool == pool
		})
	}
	source, at := events.FromCompanyPool, free(c.Company)
	if at < 0 && c.Pool == events.GlobalPool {
		source, at = events.FromGlobalPool, free("")
	}
	if at < 0 && c.Allocation == events.Automatic && p.pays {
		source, at = events.BoughtOnTheSpot, len(p.licenses)
		data = h.newLicenses(p, 1, what.licenseType, c.Company, true)
	}
	if at < 0 {
		return
	}
	if source != events.BoughtOnTheSpot && h.chance(20) {
		source = events.ByID
	}
	if to.ID == "" {
		e := h.newEndpoint(p, c.Company)
		to.ID, data = e.Endpoint, append(data, e)
	}
	l := &p.licenses[at]
	l.Company, l.Assigned, l.Assignee = c.Company, true, to
	h.command("operator", p.name, append(data, &events.LicenseAllocated{Source: source, License: *l})...)
}

func (h *history) release(p *provider) {
	if len(p.licenses) == 0 {
		return
	}
	l := &p.licenses[h.rand.IntN(len(p.licenses))]
	if !l.Status.InForce() {
		return
	}
	l.Status, l.Assigned, l.ExpiresAt = events.Released, false, h.now
	h.command("operator", p.name, &events.LicenseReleased{License: *l})
}

// report takes an agent's next report, or one after a gap (domain U2). An unknown agent's company makes its endpoint known (U3).
func (h *history) report(p *provider) {
	var data []events.Data
	at := len(p.endpoints)
	if at == 0 || h.chance(3) {
		data = append(data, h.newEndpoint(p, pick(h, p.companies).Company))
	} else {
		at = h.rand.IntN(at)
	}
	a := p.agents[at]
	for h.chance(6) {
		a.gaps = append(a.gaps, a.next)
		a.next++
	}
	a.next++
	h.usage(p, at, append(data, h.recorded(p, at, a.next-1))...)
}

// fillGap sends a report that was missing, or gives its number up (domain U2).
func (h *history) fillGap(p *provider) {
	for at, a := range p.agents {
		if len(a.gaps) == 0 {
			continue
		}
		i := h.rand.IntN(len(a.gaps))
		seq := a.gaps[i]
		a.gaps = slices.Delete(a.gaps, i, i+1)
		if h.chance(50) {
			h.usage(p, at, h.recorded(p, at, seq))
			return
		}
		reason := pick(h, []string{"disk lost", "spool corrupt"})
		h.usage(p, at, &events.UsageVoided{
			Agent: p.endpoints[at].Endpoint, Spool: a.spool, Seq: seq, Reason: reason, Digest: events.DigestVoid(reason),
		})
		return
	}
}

// reinstall gives an agent a new spool; numbers that were missing from the old one stay so.
func (h *history) reinstall(p *provider) {
	if len(p.agents) > 0 {
		p.agents[h.rand.IntN(len(p.agents))] = &agent{spool: h.name("spool"), next: 1}
	}
}

func (h *history) usage(p *provider, at int, data ...events.Data) {
	h.command("agent:"+p.endpoints[at].Endpoint, p.name, data...)
}

func (h *history) recorded(p *provider, at int, seq uint64) *events.UsageRecorded {
	n := 1 + h.rand.IntN(6)
	if h.chance(3) {
		n = 1 + h.rand.IntN(60)
	}
	ago := time.Hour
	if h.chance(10) {
		ago = 40 * 24 * time.Hour // late: perhaps of a closed month (domain B5)
	}
	readings := make([]events.Reading, n)
	for i := range readings {
		value := fmt.Sprint(h.rand.Int64N(1_000_000_000_000))
		if h.chance(30) {
			value = fmt.Sprintf("%d.%d", h.rand.IntN(10_000), h.rand.IntN(1_000_000))
		}
		readings[i] = events.Reading{
			Meter: pick(h, []string{"storage_bytes", "storage_bytes", "backup_bytes", "power_on_hours"}),
			Value: Quantity(value),
			At:    events.Stamp(h.now.Add(time.Minute - time.Duration(h.rand.Int64N(int64(ago))))),
		}
	}
	e, a := p.endpoints[at], p.agents[at]
	return &events.UsageRecorded{
		Agent: e.Endpoint, Spool: a.spool, Seq: seq, Company: e.Company, Digest: events.DigestReadings(readings), Readings: readings,
	}
}
