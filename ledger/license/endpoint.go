package license

import (
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// Bounds of what an agent says of its endpoint.
const MaxSockets = 1024

// Install says that a backup agent was installed on an endpoint (domain L1).
type Install struct {
	Endpoint string
	Company  string
	Name     string
	Type     string // empty: the endpoint becomes known, no more
	Sockets  int
}

func (c Install) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if err := events.CheckName(c.Endpoint); err != nil {
		return invalid("endpoint", "%v", err)
	}
	if err := text("name", c.Name); err != nil {
		return err
	}
	if c.Sockets < 0 || c.Sockets > MaxSockets {
		return invalid("sockets", "from 0 to %d", MaxSockets)
	}
	e, known := d.state.Endpoint(c.Endpoint)
	if known && c.Company == "" {
		c.Company = e.Company
	}
	if c.Company == "" {
		return invalid("company", "endpoint %q is new: name the company that it belongs to", c.Endpoint)
	}
	company, err := d.company(c.Company)
	if err != nil {
		return err
	}
	if known && e.Company != c.Company {
		return invalid("company", "endpoint %q belongs to company %q: move it", c.Endpoint, e.Company)
	}
	var t events.Type
	if c.Type != "" {
		if t, err = d.sold(c.Type); err != nil {
			return err
		}
		if t.Unit != catalog.PerEndpoint {
			return invalid("license_type", "%s is sold per %s, not per endpoint", t.ID, t.Unit)
		}
		if err := allowed(company, t.ID); err != nil {
			return err
		}
	}
	set := events.EndpointSet{Endpoint: c.Endpoint, Company: c.Company, Name: c.Name, Sockets: c.Sockets}
	if known {
		set.Unlicensed = e.Unlicensed
		if set.Name == "" {
			set.Name = e.Name
		}
		if set.Sockets == 0 {
			set.Sockets = e.Sockets
		}
	} else if set.Name == "" {
		set.Name = c.Endpoint
	}
	a := events.Assignee{Kind: events.Endpoint, ID: c.Endpoint}
	d.settleHeld(a)
	if !known || set != *e {
		d.emit(&set)
	}
	if c.Type != "" {
		if err := d.licenseInstalled(t, company, a); err != nil {
			return err
		}
	}
	d.fitSockets(a, d.Now)
	return nil
}

// licenseInstalled sees to it that an endpoint with an agent has a license: the one it holds, its trial, or where the company has
// consented once and for all, one that is allocated. Else somebody has to decide.
func (d *decider) licenseInstalled(t events.Type, company *events.CompanySet, a events.Assignee) error {
	if d.held(a, t.ID) != nil || d.canHold(t, a) != nil {
		return nil // it is served already, by its trial too
	}
	e, _ := d.state.Endpoint(a.ID)
	if t.TrialDays > 0 && !t.Closed && !d.state.hadTrial(a, t.ID) {
		d.emit(&events.LicenseTrialStarted{License: events.License{
			ID: d.IDs.Next(), Type: t.ID, Status: events.Trial, Pool: company.Company, Company: company.Company,
			Assigned: true, Assignee: a, AutoRenew: true, Trialed: true, Created: d.Now,
			ExpiresAt: d.Now.Add(time.Duration(t.TrialDays) * 24 * time.Hour),
		}})
		d.unlicensed(e, t.ID, false, d.Now)
		return nil
	}
	lacks := true
	if company.Allocation == events.Automatic {
		if l, source, err := d.find(t, company, d.Now); err == nil {
			d.assign(l, source, Allocate{Company: company.Company, Assignee: a})
			lacks = false
		}
	}
	d.unlicensed(e, t.ID, lacks, d.Now)
	return nil
}

// settleHeld settles everything that an assignee holds, and what comes back to it.
func (d *decider) settleHeld(a events.Assignee) {
	for l := range d.state.lapsedOf(a) {
		d.settle(l.ID)
	}
	for l := range d.state.holdings(a) {
		d.settle(l.ID)
	}
}

// MoveEndpoint lets an endpoint belong to another company; today is billed to the old one (domain L13).
type MoveEndpoint struct {
	Endpoint string
	Company  string
}

func (c MoveEndpoint) decide(d *decider) error {
	e, err := d.endpoint(c.Endpoint)
	if err != nil {
		return err
	}
	company, err := d.company(c.Company)
	if err != nil || e.Company == c.Company {
		return err
	}
	a := events.Assignee{Kind: events.Endpoint, ID: c.Endpoint}
	d.settleHeld(a)
	for l := range d.state.holdings(a) {
		if err := allowed(company, l.Type); err != nil {
			return err
		}
	}
	from := e.Company
	d.emit(&events.EndpointMoved{Endpoint: c.Endpoint, From: from, Company: c.Company})
	for l := range d.state.holdings(a) {
		moved := *l
		moved.Company = c.Company
		if moved.Pool == from {
			moved.Pool = c.Company
		}
		if moved.Status == events.Paid {
			moved.BilledFrom = events.DateOf(d.Now) + 1
		}
		d.emit(&events.LicenseMoved{License: moved})
	}
	return nil
}

// RemoveEndpoint releases everything that an endpoint holds and forgets it.
type RemoveEndpoint struct {
	Endpoint string
}

func (c RemoveEndpoint) decide(d *decider) error {
	e, err := d.endpoint(c.Endpoint)
	if err != nil {
		return err
	}
	a := events.Assignee{Kind: events.Endpoint, ID: c.Endpoint}
	d.settleHeld(a)
	for l := range d.state.holdings(a) {
		if l.Serving() { // sockets end with their vm-server
			d.release(*l)
		}
	}
	d.emit(&events.EndpointRemoved{Endpoint: c.Endpoint, Company: e.Company})
	return nil
}

func (d *decider) endpoint(id string) (*events.EndpointSet, error) {
	if err := d.needProvider(); err != nil {
		return nil, err
	}
	e, ok := d.state.Endpoint(id)
	if !ok {
		return nil, refuse(NotFound, "provider %q has no endpoint %.80q", d.Provider, id)
	}
	return e, nil
}
