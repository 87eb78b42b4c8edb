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
}

// Decision is what follows from a command.
type Decision struct {
	// Due is what fell due before the command; it happened whatever became of the command.
	Due []events.Event
	// Events is what the command does; empty where it changes nothing.
	Events []events.Event
	// Duplicate says that the report was counted before.
	Duplicate bool
}

// Decide works out what a command does to the state, which is the same afterwards as it was before. A refused
// command's error is a [*Refusal], and the decision then holds only what was due.
func Decide(s *State, body Body, f Facts) (Decision, error) {
	d, err := decide(s, body, f)
	d.takeBack()
	if err != nil {
		return Decision{Due: d.due}, err
	}
	return Decision{Due: d.due, Events: d.events, Duplicate: d.duplicate}, nil
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
		for _, id := range d.state.dueBefore(month.End(), false, 0) {
			d.settleThrough(id, month.End().Add(-events.Precision))
		}
		d.happened(month.End(), &events.MonthClosed{Month: month})
	}
}

// settle lets happen what fell due for a license by now, and gives the license as it stands then. It comes before
// the command's first event about that license.
func (d *decider) settle(id string) (*events.License, bool) { return d.settleThrough(id, d.Now) }

// settleThrough stops at t: what fell due later has to wait for its turn.
func (d *decider) settleThrough(id string, t time.Time) (*events.License, bool) {
	for {
		l, ok := d.state.License(id)
		if !ok || !l.Status.InForce() || l.ExpiresAt.After(t) {
			return l, ok
		}
		d.end(*l)
	}
}

// end lets a license's month or trial run out: it goes on (L2, L9) or expires (L2, L8, L9).
func (d *decider) end(l events.License) {
	at := l.ExpiresAt
	pays := d.state.account.PaymentStatus()
	switch {
	case !l.AutoRenew:
		d.expire(l, events.AutoRenewOff)
	case pays == events.PaymentNone:
		d.expire(l, events.NoPaymentMethod)
	default:
		l.ExpiresAt = events.MonthOf(at).End()
		d.happened(at, &events.LicenseRenewed{License: l})
	}
}

func (d *decider) expire(l events.License, why events.ExpiryReason) {
	l.Status, l.Assigned = events.Expired, false
	d.happened(l.ExpiresAt, &events.LicenseExpired{Reason: why, License: l})
}

// settleAll lets everything happen that fell due by now; what changes the provider's payment needs it.
func (d *decider) settleAll() {
	for _, id := range d.state.dueBefore(d.Now, true, 0) {
		d.settle(id)
	}
}

// Settle records the next page of what fell due for the provider; the clock repeats it until nothing is due.
type Settle struct {
	Limit int // licenses at most
}

func (c Settle) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	for _, id := range d.state.dueBefore(d.Now, true, c.Limit) {
		d.settle(id)
	}
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
