package license

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// MaxQuantity bounds one purchase: its entries must fit one record.
const MaxQuantity = 2000

// Buy starts paid licenses in a pool (domain L3).
type Buy struct {
	Type     string
	Quantity int
	Company  string // empty: the provider's global pool
	NoRenew  bool   // auto-renew off from the start
}

func (c Buy) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	t, err := d.sold(c.Type)
	if err != nil {
		return err
	}
	if c.Quantity < 1 || c.Quantity > MaxQuantity {
		return invalid("quantity", "from 1 to %d licenses at a time", MaxQuantity)
	}
	if c.Company != "" {
		company, err := d.company(c.Company)
		if err != nil {
			return err
		}
		if err := allowed(company, c.Type); err != nil {
			return err
		}
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	d.settleTrials(t.Requires)
	for range c.Quantity {
		d.buy(t, c.Company, !c.NoRenew, d.Now)
	}
	return nil
}

func (d *decider) canBuy(t events.Type) error {
	if t.Closed {
		return refuse(TypeClosed, "%s is no longer sold", t.ID)
	}
	return d.needPayment()
}

// buy starts a paid license at a time: that of the command, or of what fell due and needs it.
func (d *decider) buy(t events.Type, pool string, autoRenew bool, at time.Time) events.License {
	l := events.License{
		ID: d.IDs.Next(), Type: t.ID, Status: events.Paid, Pool: pool,
		AutoRenew: autoRenew, Created: at, ExpiresAt: events.MonthOf(at).End(),
	}
	d.with(at, &events.LicenseBought{License: l})
	return l
}

func allowed(c *events.CompanySet, licenseType string) error {
	if len(c.AllowedTypes) > 0 && !slices.Contains(c.AllowedTypes, licenseType) {
		return refuse(TypeNotAllowed, "company %q may not use %s", c.Company, licenseType)
	}
	return nil
}

// Allocate gives a license to an assignee: the one named, or one of the type from where domain L4 says.
type Allocate struct {
	License  string
	Type     string
	Company  string // optional for administrators and brandings
	Assignee events.Assignee
}

func (c Allocate) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if (c.License == "") == (c.Type == "") {
		return invalid("license_type", "name either a license or a license type")
	}
	var named *events.License
	if c.License != "" {
		l, err := d.take(c.License)
		if err != nil {
			return err
		}
		named, c.Type = l, l.Type
	}
	t, err := d.sold(c.Type)
	if err != nil {
		return err
	}
	company, err := d.serve(t, &c)
	if err != nil {
		return err
	}
	if t.Requires != "" {
		d.settleTrials(t.Requires)
		if named != nil {
			if named, err = d.take(named.ID); err != nil {
				return err
			}
		}
	}
	if named != nil {
		if named.Pool != "" && named.Pool != c.Company {
			return invalid("license", "license %s belongs to the pool of company %q", named.ID, named.Pool)
		}
		d.assign(*named, events.ByID, c)
		return nil
	}
	l, source, err := d.find(t, company, d.Now)
	if err != nil {
		return err
	}
	d.assign(l, source, c)
	return nil
}

// take finds a free license by its id.
func (d *decider) take(id string) (*events.License, error) {
	l, ok := d.settle(id)
	switch {
	case !ok:
		return nil, refuse(NotFound, "provider %q has no license %.40q", d.Provider, id)
	case !l.Status.InForce():
		return nil, refuse(LicenseClosed, "license %s is %s", id, l.Status)
	case l.Assigned:
		return nil, refuse(AlreadyAssigned, "license %s serves %s %q: unassign it first", id, l.Assignee.Kind, l.Assignee.ID)
	}
	return l, nil
}

// serve checks that the assignee may get a license of the type, and finds its company, which is nil for an assignee without one.
func (d *decider) serve(t events.Type, c *Allocate) (*events.CompanySet, error) {
	a := c.Assignee
	kind, ok := catalog.AssigneeKind(t.Unit)
	if !ok || a.Kind != kind {
		return nil, invalid("assignee.kind", "%s serves an assignee of kind %q", t.ID, kind)
	}
	if a.Kind == events.Endpoint {
		if err := events.CheckName(a.ID); err != nil {
			return nil, invalid("assignee.id", "%v", err)
		}
		if e, ok := d.state.Endpoint(a.ID); ok {
			if c.Company == "" {
				c.Company = e.Company
			}
			if c.Company != e.Company {
				return nil, invalid("company", "endpoint %q belongs to company %q: move it first", a.ID, e.Company)
			}
		}
	} else if a.Kind == events.Administrator {
		if _, ok := d.state.Administrator(a.ID); !ok {
			return nil, refuse(NotFound, "provider %q has no such administrator", d.Provider)
		}
	} else if a.ID == "" || len(a.ID) > events.MaxTextLength || !utf8.ValidString(a.ID) || strings.Contains(a.ID, "\x00") {
		return nil, invalid("assignee.id", "1 to %d bytes of UTF-8, none of them zero", events.MaxTextLength)
	}
	var company *events.CompanySet
	if c.Company != "" {
		var err error
		if company, err = d.company(c.Company); err != nil {
			return nil, err
		}
		if err := allowed(company, t.ID); err != nil {
			return nil, err
		}
	} else if a.Kind != events.Administrator && a.Kind != events.Branding {
		return nil, invalid("company", "an assignee of kind %s belongs to a company", a.Kind)
	}
	d.settleHeld(a)
	return company, d.canHold(t, a)
}

// canHold checks that the assignee holds no such license yet, alone or with another type, and what the type requires (domain L4, L12).
func (d *decider) canHold(t events.Type, a events.Assignee) error {
	if t.Unit != catalog.PerSocket {
		if l := d.held(a, t.ID); l != nil && l.Status == events.Paid {
			return refuse(LicenseAlreadyHeld, "%s %q already holds %s license %s", a.Kind, a.ID, l.Type, l.ID)
		}
		now, _, _ := d.Catalogs.At(events.MonthOf(d.Now))
		for _, other := range now.Types {
			if !slices.Contains(other.Includes, t.ID) {
				continue
			}
			if l := d.held(a, other.ID); l != nil {
				return refuse(LicenseAlreadyHeld, "%s %q holds %s license %s, which includes %s", a.Kind, a.ID, l.Type, l.ID, t.ID)
			}
		}
	}
	if t.Requires != "" {
		if l := d.held(a, t.Requires); l == nil || l.Status != events.Paid {
			return refuse(RequiresVMServer, "%s needs a paid %s license of %s %q", t.ID, t.Requires, a.Kind, a.ID)
		}
	}
	return nil
}

// held is a license of the type that is in force for the assignee now, or nil.
func (d *decider) held(a events.Assignee, licenseType string) *events.License {
	for l := range d.state.holds(a, licenseType) {
		if l, _ = d.settle(l.ID); l.Serving() {
			return l
		}
	}
	return nil
}

// find takes a free license from the company's pool, else from the global pool, else buys one, as the company's settings say (domain L4).
func (d *decider) find(t events.Type, company *events.CompanySet, at time.Time) (events.License, events.Source, error) {
	pools := []string{""}
	if company != nil {
		pools = []string{company.Company}
		if company.Pool == events.GlobalPool {
			pools = append(pools, "")
		}
	}
	d.settleLapsed(t.ID)
	for _, pool := range pools {
		for l := range d.state.freeIn(pool, t.ID) {
			if l, _ = d.settle(l.ID); !l.Status.InForce() {
				continue
			}
			if pool == "" {
				return *l, events.FromGlobalPool, nil
			}
			return *l, events.FromCompanyPool, nil
		}
	}
	if company == nil || company.Allocation != events.Automatic {
		return events.License{}, "", refuse(PoolEmpty, "no free %s license: buy one, release one, or let the company allocate automatically", t.ID)
	}
	if err := d.canBuy(t); err != nil {
		return events.License{}, "", err
	}
	return d.buy(t, company.Company, true, at), events.BoughtOnTheSpot, nil
}

// settleLapsed lets licenses of a type come back that do, so that a pool holds them.
func (d *decider) settleLapsed(licenseType string) {
	if d.state.account.Sweep.IsZero() {
		return
	}
	for l := range d.state.lapsedOf(events.Assignee{}) {
		if l.Type == licenseType {
			d.settle(l.ID)
		}
	}
}

// assign gives a free license to the assignee, whose endpoint becomes known if it was not.
func (d *decider) assign(l events.License, source events.Source, c Allocate) {
	if c.Assignee.Kind == events.Endpoint {
		if _, ok := d.state.Endpoint(c.Assignee.ID); !ok {
			d.emit(&events.EndpointSet{Endpoint: c.Assignee.ID, Company: c.Company, Name: c.Assignee.ID})
		}
	}
	d.replaceTrial(c.Assignee, l.Type, l.ID)
	l.Company, l.Assigned, l.Assignee = c.Company, true, c.Assignee
	d.emit(&events.LicenseAllocated{Source: source, License: l})
	d.fitSockets(l.Assignee, d.Now)
}

// replaceTrial ends a running trial of the type, because a paid license takes its place (domain L2).
func (d *decider) replaceTrial(a events.Assignee, licenseType, by string) {
	for l := range d.state.holds(a, licenseType) {
		if l.Status == events.Trial {
			trial := *l
			trial.Status, trial.Assigned, trial.ExpiresAt = events.Released, false, d.Now
			d.emit(&events.LicenseReplaced{By: by, License: trial})
		}
	}
}
