package license

import (
	"slices"

	"licenseledger/events"
)

// inForce finds a license that a request names and that is in force.
func (d *decider) inForce(id string) (events.License, error) {
	if err := d.needProvider(); err != nil {
		return events.License{}, err
	}
	l, ok := d.settle(id)
	if !ok {
		return events.License{}, refuse(NotFound, "provider %q has no license %.40q", d.Provider, id)
	}
	if !l.Status.InForce() {
		return *l, refuse(LicenseClosed, "license %s is %s", l.ID, l.Status)
	}
	if t, _ := d.Catalogs.Type(events.MonthOf(d.Now), l.Type); t.Requires != "" {
		d.settleTrials(t.Requires)
		l, _ = d.state.License(id)
	}
	return *l, nil
}

// Release ends a license for good; the day of the release is billed (domain L7).
type Release struct {
	License string
}

func (c Release) decide(d *decider) error {
	l, err := d.inForce(c.License)
	if err != nil {
		return err
	}
	d.release(l)
	return nil
}

func (d *decider) release(l events.License) {
	l.Status, l.Assigned, l.ExpiresAt = events.Released, false, d.Now
	d.emit(&events.LicenseReleased{License: l})
	d.fitSockets(l.Assignee, d.Now)
}

// Unassign takes a license back into its pool: still paid, renewed at no cost, not billed (domain L5).
type Unassign struct {
	License string
}

func (c Unassign) decide(d *decider) error {
	l, err := d.inForce(c.License)
	switch {
	case err != nil:
		return err
	case !l.Assigned:
		return refuse(NotAssigned, "license %s serves nobody", l.ID)
	case l.Status == events.Trial:
		return invalid("license", "license %s is a trial, which belongs to its endpoint: release it", l.ID)
	}
	l.Assigned = false
	d.emit(&events.LicenseUnassigned{License: l})
	d.fitSockets(l.Assignee, d.Now)
	return nil
}

// Change lets a license of another type of the same unit serve in the place of one (domain L6).
type Change struct {
	License string
	Type    string
}

func (c Change) decide(d *decider) error {
	old, err := d.inForce(c.License)
	if err != nil {
		return err
	}
	t, err := d.sold(c.Type)
	if err != nil {
		return err
	}
	before, _ := d.Catalogs.Type(events.MonthOf(d.Now), old.Type)
	switch {
	case t.ID == old.Type:
		return invalid("license_type", "license %s is of type %s already", old.ID, t.ID)
	case t.Unit != before.Unit:
		return invalid("license_type", "%s is sold per %s and %s per %s: release the one and allocate the other", t.ID, t.Unit, before.ID, before.Unit)
	case t.Closed:
		return refuse(TypeClosed, "%s is no longer sold", t.ID)
	}
	if company, ok := d.state.Company(old.Company); ok && old.Assigned {
		if err := allowed(company, t.ID); err != nil {
			return err
		}
	} else if company, ok := d.state.Company(old.Pool); ok {
		if err := allowed(company, t.ID); err != nil {
			return err
		}
	}
	if old.Assigned {
		if err := d.canHoldInstead(t, old); err != nil {
			return err
		}
		if l := d.held(old.Assignee, t.ID); l != nil && old.Status == events.Trial {
			return refuse(LicenseAlreadyHeld, "%s %q already holds %s license %s", old.Assignee.Kind, old.Assignee.ID, l.Type, l.ID)
		}
	}
	fresh := old
	fresh.ID, fresh.Type, fresh.Created = d.IDs.Next(), t.ID, d.Now
	fresh.Announced = false // a trial's end leads to another price now
	if old.Status == events.Paid {
		if err := d.needPayment(); err != nil {
			return err
		}
		fresh.BilledFrom = events.DateOf(d.Now) + 1
	}
	old.Status, old.Assigned, old.ExpiresAt = events.Released, false, d.Now
	if fresh.Assigned {
		d.replaceTrial(fresh.Assignee, fresh.Type, fresh.ID)
	}
	d.emit(&events.LicenseReplaced{By: fresh.ID, License: old})
	d.emit(&events.LicenseChanged{From: old.ID, License: fresh})
	d.fitSockets(fresh.Assignee, d.Now)
	return nil
}

// canHoldInstead checks that the assignee of a license may hold one of another type in its place.
func (d *decider) canHoldInstead(t events.Type, old events.License) error {
	d.settleHeld(old.Assignee)
	without := old
	without.Assigned = false
	was, _ := d.state.License(old.ID) // it is in force; settling the others may have changed it since
	d.state.set(&without)
	defer d.state.set(was)
	return d.canHold(t, old.Assignee)
}

// Renew lets a new paid license follow one that expired or was released, for its assignee if that one is still free (domain L9).
type Renew struct {
	License string
}

func (c Renew) decide(d *decider) error {
	old, err := d.inForce(c.License)
	if err == nil {
		return invalid("license", "license %s is in force and goes on by itself; auto-renew switches that", old.ID)
	}
	if old.ID == "" {
		return err
	}
	t, err := d.sold(old.Type)
	if err != nil {
		return err
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	if old.Assignee.ID == "" {
		d.buy(t, old.Pool, true, d.Now)
		return nil
	}
	assignment := Allocate{Company: old.Company, Assignee: old.Assignee}
	if _, err := d.serve(t, &assignment); err != nil {
		return err
	}
	l := d.buy(t, old.Pool, true, d.Now)
	if events.DateOf(old.ExpiresAt) == events.DateOf(d.Now) && old.Status == events.Released {
		l.BilledFrom = events.DateOf(d.Now) + 1 // today is billed with the old one
	}
	d.replaceTrial(old.Assignee, l.Type, l.ID)
	l.Company, l.Assigned, l.Assignee = assignment.Company, true, old.Assignee
	d.emit(&events.LicenseAllocated{Source: events.Renewed, Follows: old.ID, License: l})
	d.fitSockets(l.Assignee, d.Now)
	return nil
}

// SetAutoRenew says whether a license goes on at its end (domain L8).
type SetAutoRenew struct {
	License string
	Enabled bool
}

func (c SetAutoRenew) decide(d *decider) error {
	l, err := d.inForce(c.License)
	if err != nil || l.AutoRenew == c.Enabled {
		return err
	}
	l.AutoRenew = c.Enabled
	d.emit(&events.LicenseAutoRenewSet{License: l})
	return nil
}

// MaxGroup bounds the licenses of one group action; a door makes several of a longer list.
const MaxGroup = 1000

// Group does the same to many licenses; what is possible is done (domain L11).
type Group struct {
	Action   events.GroupAction
	Licenses []string
	// Pages is how many commands the whole action takes, of which this is one; 0 or 1 where it is the only one. Each of
	// several is recorded even if it changes nothing, so that a repetition finds all of them.
	Pages int
}

func (c Group) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if len(c.Licenses) > MaxGroup {
		return invalid("licenses", "at most %d licenses at a time", MaxGroup)
	}
	var one func(id string) Body
	switch c.Action {
	case events.GroupAutoRenewOn, events.GroupAutoRenewOff:
		one = func(id string) Body { return SetAutoRenew{License: id, Enabled: c.Action == events.GroupAutoRenewOn} }
	case events.GroupRelease:
		one = func(id string) Body { return Release{License: id} }
	default:
		return invalid("action", "auto-renew-on, auto-renew-off or release")
	}
	ids := slices.Clone(c.Licenses)
	slices.Sort(ids)
	if len(slices.Compact(ids)) < len(c.Licenses) {
		return invalid("licenses", "a license is named twice")
	}
	for _, id := range c.Licenses {
		d.settle(id)
	}
	applied := &events.GroupApplied{Action: c.Action}
	if c.Pages > 1 {
		applied.Pages = c.Pages
	}
	for _, id := range c.Licenses {
		n := len(d.events)
		err := one(id).decide(d)
		switch {
		case err != nil:
			applied.Refused = append(applied.Refused, events.GroupRefusal{License: id, Code: string(codeOf(err))})
		case len(d.events) == n:
			applied.Unchanged = append(applied.Unchanged, id)
		}
	}
	if len(d.events) > 0 || applied.Pages > 0 {
		d.emit(applied)
	} else {
		d.group = applied // nothing is recorded; the answer still says why
	}
	return nil
}
