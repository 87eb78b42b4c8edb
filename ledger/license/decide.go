package license

import (
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// Body is what a command asks for. The bodies are the exported structs of this
// package ([Buy], [Allocate], [Report], ...), one file per family.
type Body interface {
	// decide works out the events, or the refusal.
	decide(d *decider) error
}

// Facts are the arguments of a decision that are neither state nor command.
type Facts struct {
	Provider string // empty for the ledger's own commands
	Now      time.Time
	Catalogs catalog.Book
	IDs      *events.IDs
	// Spool is the spool that a report belongs to; nil for other commands.
	Spool *Spool
	// Opened says that the ledger has its entry 0.
	Opened bool
	// Checkpoint is the last one that was recorded.
	Checkpoint Checkpointed
	// NoBuy says that the caller may not start paid licenses (domain L14).
	NoBuy bool
}

// Decision is what follows from a command.
type Decision struct {
	// Due is what fell due before the command; it happened whatever became of the command.
	Due []events.Event
	// Events is what the command does; empty where it changes nothing.
	Events []events.Event
	// Duplicate says that the report was counted before.
	Duplicate bool
	// Group says what a group action that changed nothing could not do; else that is among the events.
	Group *events.GroupApplied
	// Job says what becomes of a backup job's objects, be it news or not; in parts if it is among the events.
	Job []*events.JobStarted

	state *State
	ahead *decider       // what the state holds of the decision beside what was written; nil for nothing
	wrote []events.Entry // since the state was ahead
}

// Decide works out what a command does to the state, which is the same afterwards as it was before. A refused
// command's error is a [*Refusal], and the decision then holds only what was due.
func Decide(s *State, body Body, f Facts) (Decision, error) {
	d, err := Advance(s, body, f)
	d.TakeBack()
	return d, err
}

// Advance is Decide for a caller that makes entries of the decision: unless the command was refused, the state then holds what was due and the
// command's events, so that they need not be folded again (a fifth of BenchmarkCommand). Before anything else is done with
// the state, the caller tells it of every entry ([Decision.Wrote]) or takes back what it does not write ([Decision.TakeBack]).
func Advance(s *State, body Body, f Facts) (Decision, error) {
	d, err := decide(s, body, f)
	if err == nil && f.NoBuy && buys(d.events) {
		err = &Refusal{Code: PermissionDenied, Permission: buyLicenses, Message: "the permission " + buyLicenses + " is missing"}
	}
	if err != nil {
		d.takeBack()
		return Decision{Due: d.due, state: s}, err
	}
	return Decision{Due: d.due, Events: d.events, Duplicate: d.duplicate, Group: d.group, Job: d.job, state: s, ahead: d}, nil
}

// Wrote tells the state of the next entry that was made of the decision, first of what was due.
func (d *Decision) Wrote(e *events.Entry) {
	if d.ahead == nil {
		d.state.Apply(e)
		return
	}
	d.state.written(e)
	d.wrote = append(d.wrote, *e)
}

// TakeBack leaves the state with what was written of the decision. Further entries are folded into it.
func (d *Decision) TakeBack() {
	if d.ahead == nil {
		return
	}
	d.ahead.takeBack()
	d.ahead = nil
	for i := range d.wrote {
		d.state.Apply(&d.wrote[i])
	}
}

// buys says whether events of a command start a paid license: it is bought, or takes the place of one of another type; or whether
// they order, add to or renew an annual key.
// What falls due was consented to before.
func buys(evs []events.Event) bool {
	for i := range evs {
		switch d := evs[i].Data.(type) {
		case *events.LicenseBought, *events.KeyOrdered, *events.KeySeatsAdded, *events.KeyRenewed, *events.PrepaidIssued:
			return true
		case *events.LicenseChanged:
			if d.License.Status == events.Paid {
				return true
			}
		}
	}
	return false
}

// decide leaves the state with all the decision's events.
func decide(s *State, body Body, f Facts) (*decider, error) {
	d := &decider{state: s, account: s.account, Facts: f}
	// The entry that the events will be part of is not known yet, nor is its number.
	d.entry = events.Entry{Number: s.account.Last, Time: f.Now}
	if f.Provider != "" && s.account.Exists() {
		d.closeMonths()
	}
	return d, body.decide(d)
}

// decider is a decision under way. The state has seen all events so far, and they are taken back in the end: with 100,000
// licenses that costs a tenth of deciding on a fork, whose first changes copy the nodes of seven trees (BenchmarkCommand).
type decider struct {
	Facts
	state       *State
	due, events []events.Event
	duplicate   bool
	settling    int                  // greater than 0 while something that fell due is worked out
	until       time.Time            // while settling: nothing later has happened yet; else zero
	group       *events.GroupApplied // of a group action that changed nothing
	job         []*events.JobStarted

	entry   events.Entry // stands in for the one to come
	account Account      // before the first event
	changes []change     // what the events overwrote, in their order
}

// apply lets the state see an event.
func (d *decider) apply(data events.Data) {
	d.changes = append(d.changes, d.state.before(data))
	d.state.applyEvent(&d.entry, data)
}

func (d *decider) takeBack() {
	for i := len(d.changes) - 1; i >= 0; i-- {
		d.state.takeBack(&d.changes[i])
	}
	d.state.account = d.account
}

// emit adds an event of the command.
func (d *decider) emit(data events.Data) {
	d.events = append(d.events, events.Event{Data: data})
	d.apply(data)
}

// happened adds an event that fell due at t.
func (d *decider) happened(t time.Time, data events.Data) {
	ev := events.Event{Data: data}
	if !t.Equal(d.Now) {
		ev.Effective = t
	}
	d.due = append(d.due, ev)
	d.apply(data)
}

// closeMonths closes every month that is over. Before one is closed, everything that fell due in it has happened (domain D4, B6).
func (d *decider) closeMonths() {
	for {
		month := d.state.account.Open
		if d.Now.Before(month.End()) {
			return
		}
		d.settleUntil(month.End().Add(-events.Precision))
		d.happened(month.End(), &events.MonthClosed{Month: month})
	}
}

// settle lets happen what fell due for a license by now, and gives the license as it stands then. It comes before
// the command's first event about that license.
func (d *decider) settle(id string) (*events.License, bool) {
	if d.settling > 0 {
		return d.settleTo(id, d.until)
	}
	return d.settleTo(id, d.Now)
}

// settleTo lets happen what fell due for a license by a time, which is not later than now.
func (d *decider) settleTo(id string, now time.Time) (*events.License, bool) {
	defer d.asOf(now)()
	d.settleParents(id)
	for {
		l, ok := d.state.License(id)
		if !ok {
			return nil, false
		}
		a := &d.state.account
		switch {
		case a.reinstates(l):
			d.reinstate(*l)
		case !l.Status.InForce():
			return l, true
		case l.Status == events.Paid && a.lapsed(now) && a.GraceEnds.Before(l.ExpiresAt):
			d.lapse(*l)
		case l.NextDue().After(now):
			return l, true
		case l.NextDue().Before(l.ExpiresAt):
			d.announce(*l)
		default:
			d.end(*l)
		}
	}
}

// asOf makes a time the one that something is settled at, until the function that it gives is called.
func (d *decider) asOf(t time.Time) func() {
	before := d.until
	d.settling++
	d.until = t
	return func() {
		d.settling--
		d.until = before
	}
}

// settleParents lets happen what fell due for the licenses that a license cannot be without: with them it ends or comes back (domain L12).
func (d *decider) settleParents(id string) {
	l, ok := d.state.License(id)
	if !ok || l.Assignee.ID == "" {
		return
	}
	t, _ := d.Catalogs.Type(events.MonthOf(d.until), l.Type)
	if t.Requires == "" {
		return
	}
	for parent := range d.state.holds(l.Assignee, t.Requires) {
		d.settle(parent.ID)
	}
	for parent := range d.state.lapsedOf(l.Assignee) {
		if parent.Type == t.Requires {
			d.settle(parent.ID)
		}
	}
}

// settleTrials lets the trials of a type end that were due by the time that things are settled at. What licenses of that type
// need once they are paid, others must not have taken before (domain D4, L12).
func (d *decider) settleTrials(licenseType string) {
	if licenseType == "" {
		return
	}
	t := d.Now
	if d.settling > 0 {
		t = d.until
	}
	for _, id := range d.state.dueBefore(t, d.settling == 0, 0) {
		if l, ok := d.state.License(id); ok && l.Status == events.Trial && l.Type == licenseType {
			d.settle(id)
		}
	}
}

// end lets a license's month or trial run out: it goes on (L2, L9) or expires (L2, L8, L9).
func (d *decider) end(l events.License) {
	at := l.ExpiresAt
	pays := d.state.account.PaymentStatus()
	trial := l.Status == events.Trial
	switch {
	case !l.AutoRenew:
		d.expire(l, events.AutoRenewOff)
	case pays == events.PaymentNone, trial && pays != events.PaymentActive:
		d.expire(l, events.NoPaymentMethod)
	case trial && d.closed(l.Type, at):
		d.expire(l, events.TypeClosed)
	case trial:
		l.Status, l.ExpiresAt = events.Paid, events.MonthOf(at).End()
		d.happened(at, &events.LicenseConverted{License: l})
		d.fitSockets(l.Assignee, at)
	default:
		l.ExpiresAt = events.MonthOf(at).End()
		d.happened(at, &events.LicenseRenewed{License: l})
	}
}

func (d *decider) closed(licenseType string, at time.Time) bool {
	t, ok := d.Catalogs.Type(events.MonthOf(at), licenseType)
	return !ok || t.Closed
}

func (d *decider) expire(l events.License, why events.ExpiryReason) {
	l.Status, l.Assigned = events.Expired, false
	d.happened(l.ExpiresAt, &events.LicenseExpired{Reason: why, License: l})
	d.fitSockets(l.Assignee, l.ExpiresAt)
}

// announce tells of a trial's end before it comes: what will be billable, and what it will cost (domain L2).
func (d *decider) announce(l events.License) {
	at, month := l.NextDue(), events.MonthOf(l.ExpiresAt)
	a := &d.state.account
	l.Announced = true
	notice := &events.LicenseTrialEnding{
		WillConvert: l.AutoRenew && a.PaymentStatus() == events.PaymentActive && !d.closed(l.Type, l.ExpiresAt),
		Currency:    a.Currency, License: l,
	}
	if t, ok := d.Catalogs.Type(month, l.Type); ok {
		notice.Price, _ = catalog.Price(t, a.Currency)
		notice.Charge = catalog.Prorate(notice.Price, 1, int(month.Last()-events.DateOf(l.ExpiresAt))+1, month.Days())
	}
	d.happened(at, notice)
}

// lapse ends a paid license because a charge was not collected in time (domain L10).
func (d *decider) lapse(l events.License) {
	l.Lapsed = events.LapsedFree
	if l.Assigned {
		l.Lapsed = events.LapsedAssigned
	}
	l.Status, l.Assigned, l.ExpiresAt = events.Expired, false, d.state.account.GraceEnds
	d.happened(l.ExpiresAt, &events.LicenseExpired{Reason: events.PaymentFailed, License: l})
}

// reinstates says whether a license that lapsed comes back: the charge was collected within the same month (domain L10).
func (a *Account) reinstates(l *events.License) bool {
	return l.Lapsed != "" && !a.Collected.IsZero() && !l.ExpiresAt.After(a.Collected) &&
		events.MonthOf(l.ExpiresAt) == events.MonthOf(a.Collected)
}

// reinstate brings a lapsed license back, for the same assignee unless that one is served otherwise by now.
func (d *decider) reinstate(l events.License) {
	at := d.state.account.Collected
	defer d.asOf(at)()
	l.Assigned = l.Lapsed == events.LapsedAssigned
	if l.Assigned && !d.freeFor(&l) {
		l.Assigned, l.Company = false, ""
	}
	l.Status, l.Lapsed, l.ExpiresAt = events.Paid, "", events.MonthOf(at).End()
	d.happened(at, &events.LicenseReinstated{License: l})
	if l.Assigned {
		for other := range d.state.lapsedOf(l.Assignee) {
			d.settle(other.ID) // its sockets, which must not be bought anew
		}
		d.fitSockets(l.Assignee, at)
	}
}

// freeFor says whether the license's last assignee may hold it again: nothing else of the type, a trial neither, or one that includes it, serves it.
func (d *decider) freeFor(l *events.License) bool {
	t, ok := d.Catalogs.Type(events.MonthOf(d.Now), l.Type)
	return ok && (t.Unit == catalog.PerSocket || d.held(l.Assignee, l.Type) == nil) && d.canHold(t, l.Assignee) == nil
}

// settleUntil lets everything happen that fell due by t.
func (d *decider) settleUntil(t time.Time) {
	for _, id := range d.state.dueBefore(t, true, 0) {
		if !d.settleKey(id, t) {
			d.settleTo(id, t)
		}
	}
	d.sweep(t)
}

// sweep notes that nothing is left of what a payment's outcome made due.
func (d *decider) sweep(t time.Time) {
	if at := d.state.account.Sweep; !at.IsZero() && !at.After(t) && len(d.state.dueBefore(t, true, 1)) == 0 {
		d.happened(at, &events.GraceSettled{})
	}
}

// settleAll lets everything happen that fell due by now; what changes the provider's payment needs it.
func (d *decider) settleAll() { d.settleUntil(d.Now) }

// Settle records the next page of what fell due for the provider; the clock repeats it until nothing is due.
type Settle struct {
	Limit int // licenses and keys at most
}

func (c Settle) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	for _, id := range d.state.dueBefore(d.Now, true, c.Limit) {
		if !d.settleKey(id, d.Now) {
			d.settle(id)
		}
	}
	d.sweep(d.Now)
	return nil
}

func (d *decider) needProvider() error {
	if !d.state.account.Exists() {
		return refuse(NotFound, "there is no provider %q", d.Provider)
	}
	return nil
}

func (d *decider) needPayment() error {
	switch d.state.account.PaymentStatus() {
	case events.PaymentActive:
		return nil
	case events.PaymentFailing:
		return refuse(PaymentMethodRequired, "the payment method of provider %q is failing: new paid licenses need one that works", d.Provider)
	}
	return refuse(PaymentMethodRequired, "provider %q has no active payment method: set one before starting a paid license", d.Provider)
}

// company finds a company that a request names.
func (d *decider) company(id string) (*events.CompanySet, error) {
	c, ok := d.state.Company(id)
	if !ok {
		return nil, refuse(NotFound, "provider %q has no company %q", d.Provider, id)
	}
	return c, nil
}

// sold finds a monthly type that a request names, with a price in the provider's currency.
func (d *decider) sold(id string) (events.Type, error) {
	t, ok := d.Catalogs.Type(events.MonthOf(d.Now), id)
	switch {
	case !ok:
		return t, invalid("license_type", "the catalog has no license type %q", id)
	case t.Term != events.Monthly:
		return t, invalid("license_type", "%s is sold by the year, as a key", id)
	case t.Policy == events.Metered:
		return t, invalid("license_type", "%s is metered: it is switched on per company, not bought", id)
	}
	if _, ok := t.Prices[d.state.account.Currency]; !ok {
		return t, invalid("license_type", "%s has no price in %s", id, d.state.account.Currency)
	}
	return t, nil
}
