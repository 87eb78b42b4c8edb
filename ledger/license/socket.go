package license

import (
	"slices"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// fitSockets makes an endpoint's socket licenses as many as its sockets need while its vm-server is paid (domain L12). What is missing is
// allocated where the company allocates automatically; what is too much goes back to its pool, and with the end of the vm-server it ends.
// It happens at a time: with something that fell due, or with the command.
func (d *decider) fitSockets(a events.Assignee, at time.Time) {
	if a.Kind != events.Endpoint {
		return
	}
	e, ok := d.state.Endpoint(a.ID)
	if !ok {
		return
	}
	if d.settling > 0 {
		defer d.asOf(at)()
	}
	e = d.served(e, a, at)
	c, _, _ := d.Catalogs.At(events.MonthOf(at))
	for i := range c.Types {
		if socket := &c.Types[i]; socket.Unit == catalog.PerSocket {
			d.fit(*socket, e, a, at)
		}
	}
}

func (d *decider) fit(socket events.Type, e *events.EndpointSet, a events.Assignee, at time.Time) {
	var parent *events.License
	for l := range d.state.holds(a, socket.Requires) {
		if l, _ = d.settleTo(l.ID, at); l.Billable() {
			parent = l
		}
	}
	needed := 0
	if parent != nil {
		if e.Sockets == 0 {
			return // nobody has counted them
		}
		t, _ := d.Catalogs.Type(events.MonthOf(at), socket.Requires)
		needed = catalog.Sockets(t, e.Sockets)
	}
	before := at
	if d.settling > 0 {
		before = at.Add(-events.Precision) // what runs out at the same time as its vm-server is not renewed first
	}
	var held []*events.License
	for l := range d.state.holds(a, socket.ID) {
		if l, _ = d.settleTo(l.ID, before); l.Serving() {
			held = append(held, l)
		}
	}
	if len(held) != needed {
		d.settleTrials(socket.Requires) // those of other endpoints, which come to the pools first
	}
	for len(held) > needed {
		last := *held[len(held)-1]
		held = held[:len(held)-1]
		last.Assigned = false
		switch {
		case parent == nil && d.settling > 0: // its vm-server ran out
			last.Status, last.ExpiresAt = events.Expired, at
			d.with(at, &events.LicenseExpired{Reason: events.ParentEnded, License: last})
		case parent == nil:
			last.Status, last.ExpiresAt = events.Released, at
			d.with(at, &events.LicenseReleased{License: last})
		default:
			d.with(at, &events.LicenseUnassigned{License: last})
		}
	}
	short := false
	for n := len(held); n < needed; n++ {
		company, ok := d.state.Company(e.Company)
		if !ok || company.Allocation != events.Automatic || allowed(company, socket.ID) != nil {
			short = true
			break
		}
		l, source, err := d.find(socket, company, at)
		if err != nil {
			short = true
			break
		}
		l.Company, l.Assigned, l.Assignee = e.Company, true, a
		d.with(at, &events.LicenseAllocated{Source: source, License: l})
	}
	d.unlicensed(e, socket.ID, short, at)
}

// served notes that an endpoint which asked for a license of a type is served by one by now, and gives the endpoint as it stands then. Of
// sockets it needs several: fit counts them.
func (d *decider) served(e *events.EndpointSet, a events.Assignee, at time.Time) *events.EndpointSet {
	t, ok := d.Catalogs.Type(events.MonthOf(at), e.Unlicensed)
	if !ok || t.Unit == catalog.PerSocket {
		return e
	}
	for l := range d.state.holdings(a) {
		held, _ := d.Catalogs.Type(events.MonthOf(at), l.Type)
		if l.Type == t.ID || slices.Contains(held.Includes, t.ID) {
			d.unlicensed(e, t.ID, false, at)
			e, _ = d.state.Endpoint(a.ID)
			return e
		}
	}
	return e
}

// unlicensed notes that an endpoint lacks a license of a type, or that it lacks it no more.
func (d *decider) unlicensed(e *events.EndpointSet, licenseType string, lacks bool, at time.Time) {
	now := *e
	switch {
	case lacks:
		now.Unlicensed = licenseType
	case e.Unlicensed == licenseType:
		now.Unlicensed = ""
	}
	if now != *e {
		d.with(at, &now)
	}
}

// with adds an event that goes with something: with what fell due while that is settled, else with the command.
func (d *decider) with(at time.Time, data events.Data) {
	if d.settling > 0 {
		d.happened(at, data)
	} else {
		d.emit(data)
	}
}
