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
// companies, endpoints, administrators and tokens come; licenses are bought, allocated, unassigned, changed, released, renewed and
// expire; agents start trials, which are announced to end and end; endpoints move between companies and go; agents report usage, skip
// numbers, send them late or give them up, and are reinstalled; catalogs are published; closed months are corrected. What falls due happens
// before anything later touches its provider (domain D4). Statements are not issued, for their digests would have to be computed;
// so there are no outcomes of charges either.
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
	{8, (*history).install},
	{4, (*history).unassign},
	{4, (*history).change},
	{3, (*history).autoRenew},
	{1, (*history).group},
	{6, (*history).release},
	{3, (*history).moveEndpoint},
	{1, (*history).removeEndpoint},
	{1, (*history).setAdministrator},
	{1, (*history).issueToken},
	{1, (*history).revokeToken},
	{1, (*history).adjust},
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
	currency  string
	pays      bool
	created   events.Month
	open      events.Month // the first month that is not closed
	companies []*events.CompanySet
	endpoints []*events.EndpointSet
	licenses  []events.License // in the order in which they were created
	agents    []*agent         // of the endpoints, in their order
	tried     map[string]bool  // endpoint and type: has had its trial
	admins    []string
	tokens    []string
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
		p := slices.MinFunc(h.providers, func(a, b *provider) int { return a.nextDue().Compare(b.nextDue()) })
		at := p.nextDue()
		if at.After(until) {
			break
		}
		if h.now.Before(at) {
			h.now = at
			if late := min(until.Sub(at), 5*time.Second); late > 0 && h.chance(50) {
				h.now = events.Stamp(at.Add(time.Duration(h.rand.Int64N(int64(late)))))
			}
		}
		if at.Equal(p.open.End()) {
			h.due(p, at, &events.MonthClosed{Month: p.open})
			p.open++
		}
		h.settle(p, at)
	}
	h.now = until
}

// nextDue is when something happens to the provider by itself.
func (p *provider) nextDue() time.Time {
	at := p.open.End()
	for i := range p.licenses {
		if l := &p.licenses[i]; l.Status.InForce() && l.NextDue().Before(at) {
			at = l.NextDue()
		}
	}
	return at
}

// settle lets happen to the licenses what is due at a time, in pages, as the clock does.
func (h *history) settle(p *provider, at time.Time) {
	const page = 25
	var happened []events.Data
	for i := range p.licenses {
		l := &p.licenses[i]
		if !l.Status.InForce() || l.NextDue().After(at) {
			continue
		}
		switch {
		case l.NextDue().Before(l.ExpiresAt):
			l.Announced = true
			happened = append(happened, &events.LicenseTrialEnding{
				WillConvert: l.AutoRenew && p.pays, Price: Money("6.99"), Charge: Money("1.80"), Currency: p.currency, License: *l,
			})
		case l.AutoRenew && p.pays && l.Status == events.Trial:
			l.Status, l.ExpiresAt = events.Paid, events.MonthOf(at).End()
			happened = append(happened, &events.LicenseConverted{License: *l})
		case l.AutoRenew && p.pays:
			l.ExpiresAt = events.MonthOf(at).End()
			happened = append(happened, &events.LicenseRenewed{License: *l})
		default:
			reason := events.NoPaymentMethod
			if !l.AutoRenew {
				reason = events.AutoRenewOff
			}
			l.Status, l.Assigned = events.Expired, false
			happened = append(happened, &events.LicenseExpired{Reason: reason, License: *l})
		}
		if len(happened) == page {
			h.due(p, at, happened...)
			happened = nil
		}
	}
	h.due(p, at, happened...)
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
	p := &provider{
		name: h.name("provider"), currency: pick(h, []string{"USD", "USD", "EUR"}), open: events.MonthOf(h.now), created: events.MonthOf(h.now),
		pays: true, tried: map[string]bool{},
	}
	h.providers = append(h.providers, p)
	h.command("operator", p.name, &events.ProviderSet{Name: "The " + p.name, Currency: p.currency})
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
			c = p.company(e.Company)
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
	trial := -1
	for i, l := range p.licenses {
		if l.Serving() && l.Type == what.licenseType && l.Assignee == to {
			if l.Status == events.Paid {
				return // it holds one
			}
			trial = i
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
	if trial >= 0 { // a paid license may take its place (domain L2)
		t := &p.licenses[trial]
		t.Status, t.Assigned, t.ExpiresAt = events.Released, false, h.now
		data = append(data, &events.LicenseReplaced{By: l.ID, License: *t})
	}
	l.Company, l.Assigned, l.Assignee = c.Company, true, to
	h.command("operator", p.name, append(data, &events.LicenseAllocated{Source: source, License: *l})...)
}

// company finds a company of the provider.
func (p *provider) company(id string) *events.CompanySet {
	return p.companies[slices.IndexFunc(p.companies, func(c *events.CompanySet) bool { return c.Company == id })]
}

// holds says whether an assignee holds a license of the type.
func (p *provider) holds(a events.Assignee, licenseType string) bool {
	return slices.ContainsFunc(p.licenses, func(l events.License) bool { return l.Serving() && l.Type == licenseType && l.Assignee == a })
}

// install says that an agent was installed: a trial starts, once per endpoint and type (domain L1); after it, somebody has to decide.
func (h *history) install(p *provider) {
	var data []events.Data
	at := len(p.endpoints)
	if at == 0 || h.chance(60) {
		data = append(data, h.newEndpoint(p, pick(h, p.companies).Company))
	} else {
		at = h.rand.IntN(at)
	}
	e, licenseType := p.endpoints[at], pick(h, []string{"server", "desktop"})
	to, tried := events.Assignee{Kind: events.Endpoint, ID: e.Endpoint}, e.Endpoint+"/"+licenseType
	switch {
	case !mayUse(p.company(e.Company), licenseType) || p.holds(to, licenseType):
	case p.tried[tried] && e.Unlicensed == licenseType: // it is known already
	case p.tried[tried]:
		lacks := *e
		lacks.Unlicensed = licenseType
		p.endpoints[at] = &lacks
		data = append(data, &lacks)
	default:
		p.tried[tried] = true
		l := events.License{
			ID: h.ids().Next(), Type: licenseType, Status: events.Trial, Pool: e.Company, Company: e.Company, Assigned: true, Assignee: to,
			AutoRenew: true, Trialed: true, Created: h.now, ExpiresAt: h.now.Add(14 * 24 * time.Hour),
		}
		p.licenses = append(p.licenses, l)
		data = append(data, &events.LicenseTrialStarted{License: l})
	}
	if len(data) > 0 {
		h.command("operator", p.name, data...)
	}
}

// some picks a license in force, or nil.
func (h *history) some(p *provider) *events.License {
	if len(p.licenses) == 0 {
		return nil
	}
	if l := &p.licenses[h.rand.IntN(len(p.licenses))]; l.Status.InForce() {
		return l
	}
	return nil
}

func (h *history) unassign(p *provider) {
	if l := h.some(p); l != nil && l.Billable() {
		l.Assigned = false
		h.command("operator", p.name, &events.LicenseUnassigned{License: *l})
	}
}

// change lets a license of the other endpoint type serve in a license's place (domain L6).
func (h *history) change(p *provider) {
	old := h.some(p)
	if old == nil || old.Assignee.Kind != events.Endpoint || !old.Assigned || !p.pays {
		return
	}
	licenseType := "server"
	if old.Type == licenseType {
		licenseType = "desktop"
	}
	if p.holds(old.Assignee, licenseType) || !mayUse(p.company(old.Company), licenseType) {
		return
	}
	fresh := *old
	fresh.ID, fresh.Type, fresh.Created = h.ids().Next(), licenseType, h.now
	if fresh.Status == events.Paid {
		fresh.BilledFrom = events.DateOf(h.now) + 1
	}
	p.tried[fresh.Assignee.ID+"/"+licenseType] = p.tried[fresh.Assignee.ID+"/"+licenseType] || fresh.Trialed
	old.Status, old.Assigned, old.ExpiresAt = events.Released, false, h.now
	changed := []events.Data{&events.LicenseReplaced{By: fresh.ID, License: *old}, &events.LicenseChanged{From: old.ID, License: fresh}}
	p.licenses = append(p.licenses, fresh)
	h.command("operator", p.name, changed...)
}

func (h *history) autoRenew(p *provider) {
	if l := h.some(p); l != nil {
		l.AutoRenew = !l.AutoRenew
		h.command("operator", p.name, &events.LicenseAutoRenewSet{License: *l})
	}
}

// group switches the renewal of a few licenses off; what is not in force is refused (domain L11).
func (h *history) group(p *provider) {
	applied := &events.GroupApplied{Action: events.GroupAutoRenewOff}
	var data []events.Data
	for i := range p.licenses {
		l := &p.licenses[i]
		switch {
		case !h.chance(10):
		case !l.Status.InForce():
			applied.Refused = append(applied.Refused, events.GroupRefusal{License: l.ID, Code: "license_closed"})
		case !l.AutoRenew:
			applied.Unchanged = append(applied.Unchanged, l.ID)
		case len(data) < 20:
			l.AutoRenew = false
			data = append(data, &events.LicenseAutoRenewSet{License: *l})
		}
	}
	if len(data) > 0 {
		h.command("operator", p.name, append(data, applied)...)
	}
}

// moveEndpoint lets an endpoint with its licenses belong to another company (domain L13).
func (h *history) moveEndpoint(p *provider) {
	if len(p.endpoints) == 0 {
		return
	}
	at, to := h.rand.IntN(len(p.endpoints)), pick(h, p.companies)
	e := *p.endpoints[at]
	if e.Company == to.Company {
		return
	}
	data := []events.Data{&events.EndpointMoved{Endpoint: e.Endpoint, From: e.Company, Company: to.Company}}
	for _, i := range p.held(e.Endpoint) {
		if !mayUse(to, p.licenses[i].Type) {
			return
		}
	}
	for _, i := range p.held(e.Endpoint) {
		l := &p.licenses[i]
		l.Company = to.Company
		if l.Pool == e.Company {
			l.Pool = to.Company
		}
		if l.Status == events.Paid {
			l.BilledFrom = events.DateOf(h.now) + 1
		}
		data = append(data, &events.LicenseMoved{License: *l})
	}
	e.Company = to.Company
	p.endpoints[at] = &e
	h.command("operator", p.name, data...)
}

// held lists what serves an endpoint, by its place among the licenses.
func (p *provider) held(endpoint string) (at []int) {
	for i, l := range p.licenses {
		if l.Serving() && l.Assignee == (events.Assignee{Kind: events.Endpoint, ID: endpoint}) {
			at = append(at, i)
		}
	}
	return at
}

func (h *history) removeEndpoint(p *provider) {
	if len(p.endpoints) < 2 {
		return
	}
	at := h.rand.IntN(len(p.endpoints))
	e := p.endpoints[at]
	var data []events.Data
	for _, i := range p.held(e.Endpoint) {
		l := &p.licenses[i]
		l.Status, l.Assigned, l.ExpiresAt = events.Released, false, h.now
		data = append(data, &events.LicenseReleased{License: *l})
	}
	p.endpoints, p.agents = slices.Delete(p.endpoints, at, at+1), slices.Delete(p.agents, at, at+1)
	h.command("operator", p.name, append(data, &events.EndpointRemoved{Endpoint: e.Endpoint, Company: e.Company})...)
}

func (h *history) setAdministrator(p *provider) {
	id := h.pseudonym()
	if len(p.admins) > 0 && h.chance(50) {
		id = pick(h, p.admins)
	} else {
		p.admins = append(p.admins, id)
	}
	h.command("operator", p.name, &events.AdministratorSet{
		Administrator: id, Permissions: pick(h, [][]string{{}, {"licenses.manage"}, {"licenses.buy", "licenses.manage"}}),
	})
}

func (h *history) issueToken(p *provider) {
	t := &events.TokenIssued{Token: h.ids().Next(), Holder: events.ProviderSubject}
	t.Hash = sha256.Sum256([]byte(t.Token))
	if len(p.admins) > 0 && h.chance(60) {
		t.Holder, t.Subject = events.AdministratorSubject, pick(h, p.admins)
	}
	p.tokens = append(p.tokens, t.Token)
	h.command("operator", p.name, t)
}

func (h *history) revokeToken(p *provider) {
	if len(p.tokens) > 0 {
		at := h.rand.IntN(len(p.tokens))
		id := p.tokens[at]
		p.tokens = slices.Delete(p.tokens, at, at+1)
		h.command("operator", p.name, &events.TokenRevoked{Token: id})
	}
}

// adjust corrects what a closed month came to (domain B5).
func (h *history) adjust(p *provider) {
	if p.open == p.created {
		return
	}
	h.command("operator", p.name, &events.AdjustmentRecorded{
		Month: p.open - 1, Company: pick(h, p.companies).Company, LicenseType: "server", Reason: "agreed",
		Amount: Money(fmt.Sprintf("%d.%02d", h.rand.IntN(30)-15, 1+h.rand.IntN(99))),
	})
}

func (h *history) release(p *provider) {
	l := h.some(p)
	if l == nil {
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
