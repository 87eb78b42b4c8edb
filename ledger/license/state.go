package license

import (
	"iter"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"licenseledger/events"
)

// State is all that the decisions of one provider rest on. It is not safe for
// concurrent use; forks are independent of each other and of their origin.
type State struct {
	account   Account
	companies btree.Map[string, *events.CompanySet]
	endpoints btree.Map[string, *events.EndpointSet]
	licenses  btree.Map[string, *events.License]
	commands  memory
	admins    btree.Map[string, *events.AdministratorSet]
	tokens    btree.Map[string, *events.TokenIssued]
	ring      keyring

	// What follows is derived from the above.

	held   btree.Map[string, none] // assignee, type, license: what an assignee holds in force
	free   btree.Map[string, none] // pool, type, license: paid and unassigned
	due    btree.Map[string, none] // time, license or key: when something happens to it by itself
	lapsed btree.Map[string, none] // assignee (none if it was free), license: expired because a charge failed
	trials btree.Map[string, none] // assignee, type, license: has had its trial
}

type none = struct{}

// NewState is the state of a provider that does not exist yet.
func NewState() *State { return &State{} }

// Fork is an independent copy. It costs a few hundred bytes, whatever the state's size, and what is remembered of commands.
func (s *State) Fork() *State {
	return &State{
		account:   s.account,
		companies: *s.companies.Copy(),
		endpoints: *s.endpoints.Copy(),
		licenses:  *s.licenses.Copy(),
		commands:  s.commands.fork(),
		held:      *s.held.Copy(),
		free:      *s.free.Copy(),
		due:       *s.due.Copy(),
		lapsed:    *s.lapsed.Copy(),
		trials:    *s.trials.Copy(),
		admins:    *s.admins.Copy(),
		tokens:    *s.tokens.Copy(),
		ring:      s.ring.fork(),
	}
}

// Rows is a state as a view stores it: everything that is not derived.
type Rows struct {
	Account   Account
	Companies []*events.CompanySet
	Endpoints []*events.EndpointSet
	Licenses  []*events.License
	Commands  map[string]Remembered
	// Administrators and Tokens are those that are not gone.
	Administrators []*events.AdministratorSet
	Tokens         []*events.TokenIssued

	Keys      []*events.Key
	Seats     []Seat
	Jobs      []Job
	Instances []*Instance
	Prepaid   []*Prepaid
}

// FromRows builds a state, to which the rows belong from then on.
func FromRows(r Rows) *State {
	s := &State{account: r.Account, commands: memoryOf(r.Commands)}
	for _, c := range r.Companies {
		s.companies.Set(c.Company, c)
	}
	for _, e := range r.Endpoints {
		s.endpoints.Set(e.Endpoint, e)
	}
	for _, l := range r.Licenses {
		s.set(l)
	}
	for _, a := range r.Administrators {
		s.admins.Set(a.Administrator, a)
	}
	for _, t := range r.Tokens {
		s.tokens.Set(t.Token, t)
	}
	for _, k := range r.Keys {
		s.ring.keys.Set(k.ID, k)
		s.keyDue(nil, k)
	}
	for _, seat := range r.Seats {
		s.ring.seat(seat)
	}
	for _, j := range r.Jobs {
		s.ring.jobs.Set(ringKey(j.Key, j.Instance, j.Job), j.Digest)
	}
	for _, i := range r.Instances {
		s.ring.instances.Set(i.ID, i)
	}
	for _, p := range r.Prepaid {
		s.ring.prepaid.Set(p.Number, p)
	}
	return s
}

// Account is the part of the state that there is one of.
func (s *State) Account() Account { return s.account }

// Company finds a company.
func (s *State) Company(id string) (*events.CompanySet, bool) { return s.companies.Get(id) }

// Endpoint finds an endpoint.
func (s *State) Endpoint(id string) (*events.EndpointSet, bool) { return s.endpoints.Get(id) }

// Administrator finds an administrator.
func (s *State) Administrator(id string) (*events.AdministratorSet, bool) { return s.admins.Get(id) }

// License finds a license.
func (s *State) License(id string) (*events.License, bool) { return s.licenses.Get(id) }

// Licenses yields all licenses in the order of their ids.
func (s *State) Licenses() iter.Seq[*events.License] {
	return func(yield func(*events.License) bool) {
		s.licenses.Scan(func(_ string, l *events.License) bool { return yield(l) })
	}
}

// Size is roughly the number of things the state holds, for bounding a cache.
func (s *State) Size() int {
	return 1 + s.companies.Len() + s.endpoints.Len() + s.licenses.Len() + len(s.commands.known) + s.ring.size()
}

// Command finds what is remembered of a command.
func (s *State) Command(id string) (Remembered, bool) {
	r, ok := s.commands.known[id]
	return r, ok
}

// NextDue is the earliest instant at which something of this provider falls due by itself.
func (s *State) NextDue() time.Time {
	t := s.account.Open.End()
	if key, _, ok := s.due.Min(); ok {
		if d := dueTime(key); d.Before(t) {
			t = d
		}
	}
	if sweep := s.account.Sweep; !sweep.IsZero() && sweep.Before(t) {
		t = sweep
	}
	return t
}

// Apply folds an entry of the provider into the state.
func (s *State) Apply(e *events.Entry) {
	for i := range e.Events {
		s.applyEvent(e, e.Events[i].Data)
	}
	s.written(e)
}

// written is what an entry changes beside its events.
func (s *State) written(e *events.Entry) {
	s.account.Last = e.Number
	if IsRemembered(e) {
		s.commands.remember(e.Command, Remembered{Entry: e.Number, Parts: e.Parts, Time: e.Time, Digest: e.Request})
	}
	s.commands.forget(e.Time)
}

func (s *State) applyEvent(e *events.Entry, d events.Data) {
	s.account.Apply(e, d)
	switch d := d.(type) {
	case *events.CompanySet:
		s.companies.Set(d.Company, d)
	case *events.EndpointSet:
		s.endpoints.Set(d.Endpoint, d)
	case *events.EndpointMoved:
		if e, ok := s.endpoints.Get(d.Endpoint); ok {
			moved := *e
			moved.Company = d.Company
			s.endpoints.Set(d.Endpoint, &moved)
		}
	case *events.EndpointRemoved:
		s.endpoints.Delete(d.Endpoint)
	case *events.AdministratorSet:
		s.admins.Set(d.Administrator, d)
	case *events.TokenIssued:
		s.tokens.Set(d.Token, d)
	case *events.TokenRevoked:
		s.tokens.Delete(d.Token)
	default:
		if l := events.LicenseAfter(d); l != nil {
			s.set(l)
		} else if aboutKeys(d) {
			s.applyKeys(e, d)
		}
	}
}

// change is what stood where a decision has put something else, nil where there was nothing; the id of what changed is in
// one field, the others are empty.
type change struct {
	company, endpoint, license, admin, token string

	wasCompany  *events.CompanySet
	wasEndpoint *events.EndpointSet
	wasLicense  *events.License
	wasAdmin    *events.AdministratorSet
	wasToken    *events.TokenIssued

	// Of an event about annual keys: the whole keyring before it, of which a copy costs next to nothing, and the key that it changes.
	wasRing *keyring
	key     string
}

// before notes what an event will overwrite, beside the account.
func (s *State) before(d events.Data) (c change) {
	switch d := d.(type) {
	case *events.CompanySet:
		c.company = d.Company
		c.wasCompany, _ = s.companies.Get(d.Company)
	case *events.EndpointSet:
		c.endpoint = d.Endpoint
	case *events.EndpointMoved:
		c.endpoint = d.Endpoint
	case *events.EndpointRemoved:
		c.endpoint = d.Endpoint
	case *events.AdministratorSet:
		c.admin = d.Administrator
		c.wasAdmin, _ = s.admins.Get(d.Administrator)
	case *events.TokenIssued:
		c.token = d.Token
	case *events.TokenRevoked:
		c.token = d.Token
		c.wasToken, _ = s.tokens.Get(d.Token)
	default:
		if l := events.LicenseAfter(d); l != nil {
			c.license = l.ID
			c.wasLicense, _ = s.licenses.Get(l.ID)
		} else if aboutKeys(d) {
			ring := s.ring.fork()
			c.wasRing = &ring
			if k, _ := events.KeyAfter(d); k != nil {
				c.key = k.ID
			}
		}
	}
	if c.endpoint != "" {
		c.wasEndpoint, _ = s.endpoints.Get(c.endpoint)
	}
	return c
}

// takeBack undoes the last change that was not undone yet.
func (s *State) takeBack(c *change) {
	switch {
	case c.wasRing != nil:
		if c.key != "" {
			was, _ := c.wasRing.keys.Get(c.key)
			is, _ := s.ring.keys.Get(c.key)
			s.keyDue(is, was)
		}
		s.ring = *c.wasRing
	case c.company != "":
		restore(&s.companies, c.company, c.wasCompany)
	case c.endpoint != "":
		restore(&s.endpoints, c.endpoint, c.wasEndpoint)
	case c.admin != "":
		restore(&s.admins, c.admin, c.wasAdmin)
	case c.token != "":
		restore(&s.tokens, c.token, c.wasToken)
	case c.wasLicense != nil:
		s.set(c.wasLicense)
	case c.license != "":
		gone, _ := s.licenses.Delete(c.license)
		s.reindex(gone, nil)
	}
}

func restore[V any](m *btree.Map[string, *V], id string, was *V) {
	if was != nil {
		m.Set(id, was)
	} else {
		m.Delete(id)
	}
}

// set puts a license in its new state and keeps what is derived from it.
func (s *State) set(l *events.License) {
	was, _ := s.licenses.Set(l.ID, l)
	s.reindex(was, l)
}

// reindex keeps what is derived from a license that was in one state and is in another; nil stands for no license.
func (s *State) reindex(was, is *events.License) {
	// A renewal changes nothing that most keys are made of: not making them is a sixth of applying one (BenchmarkApply).
	sameHolder := was != nil && is != nil && was.Assignee == is.Assignee && was.Type == is.Type && was.ID == is.ID
	for _, i := range [...]struct {
		index    *btree.Map[string, none]
		in       func(*events.License) bool
		key      func(*events.License) string
		ofHolder bool // the key is made of assignee, type and license alone
	}{
		{&s.held, (*events.License).Serving, heldKey, true},
		{&s.free, isFree, freeKey, false},
		{&s.due, isInForce, dueKey, false},
		{&s.lapsed, hasLapsed, lapsedKey, false},
		{&s.trials, hadTrial, heldKey, true},
	} {
		if sameHolder && i.ofHolder && i.in(was) == i.in(is) {
			continue
		}
		// Most events change few of them, and an index costs more than its keys.
		from, to := "", ""
		if was != nil && i.in(was) {
			from = i.key(was)
		}
		if is != nil && i.in(is) {
			to = i.key(is)
		}
		if from == to {
			continue
		}
		if from != "" {
			i.index.Delete(from)
		}
		if to != "" {
			i.index.Set(to, none{})
		}
	}
}

func isFree(l *events.License) bool    { return l.Status == events.Paid && !l.Serving() }
func isInForce(l *events.License) bool { return l.Status.InForce() }
func hasLapsed(l *events.License) bool { return l.Lapsed != "" }
func hadTrial(l *events.License) bool  { return l.Trialed }

// hadTrial says whether an assignee has had its trial of a type (domain L1).
func (s *State) hadTrial(a events.Assignee, licenseType string) bool {
	for range s.byIndex(&s.trials, heldPrefix(a)+licenseType+"\x00") {
		return true
	}
	return false
}

// holds yields the licenses in force of a type that an assignee holds.
func (s *State) holds(a events.Assignee, licenseType string) iter.Seq[*events.License] {
	return s.byIndex(&s.held, heldPrefix(a)+licenseType+"\x00")
}

// holdings yields all licenses in force that an assignee holds.
func (s *State) holdings(a events.Assignee) iter.Seq[*events.License] {
	return s.byIndex(&s.held, heldPrefix(a))
}

// lapsedOf yields the licenses that served an assignee when they expired because a charge had failed; those that were free, of the zero assignee.
func (s *State) lapsedOf(a events.Assignee) iter.Seq[*events.License] {
	return s.byIndex(&s.lapsed, heldPrefix(a))
}

// freeIn yields the free licenses of a type in a pool, oldest first.
func (s *State) freeIn(pool, licenseType string) iter.Seq[*events.License] {
	return s.byIndex(&s.free, pool+"\x00"+licenseType+"\x00")
}

// byIndex yields the licenses whose index keys begin with prefix; the license's id is their last part. What is applied
// meanwhile may take licenses out of the index; what it puts in shows if it comes later in the order.
func (s *State) byIndex(index *btree.Map[string, none], prefix string) iter.Seq[*events.License] {
	return func(yield func(*events.License) bool) {
		for from := prefix; ; {
			key := ""
			index.Ascend(from, func(k string, _ none) bool {
				key = k
				return false
			})
			if key == "" || !strings.HasPrefix(key, prefix) {
				return
			}
			if l, ok := s.licenses.Get(key[strings.LastIndexByte(key, 0)+1:]); ok && !yield(l) {
				return
			}
			from = key + "\x00"
		}
	}
}

// dueBefore lists licenses to which something happens before t, or at t too if inclusive, in the order of time and id; at
// most limit of them (0: all). While a payment sweeps, those are all that it touches.
func (s *State) dueBefore(t time.Time, inclusive bool, limit int) []string {
	if inclusive {
		t = t.Add(events.Precision)
	}
	end := timeKey(t)
	var ids []string
	full := func() bool { return limit > 0 && len(ids) == limit }
	if sweep := s.account.Sweep; !sweep.IsZero() && sweep.Before(t) {
		for l := range s.byIndex(&s.lapsed, "") {
			if s.account.reinstates(l) {
				ids = append(ids, l.ID)
			}
			if full() {
				break
			}
		}
		if s.account.lapsed(sweep) {
			end = timeKey(maxTime)
		}
	}
	s.due.Scan(func(key string, _ none) bool {
		if key >= end || full() {
			return false
		}
		if id := key[len(end):]; key < timeKey(t) || s.isPaid(id) {
			ids = append(ids, id)
		}
		return true
	})
	return ids
}

// maxTime is later than any license's end.
var maxTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

func (s *State) isPaid(id string) bool {
	l, ok := s.licenses.Get(id)
	return ok && l.Status == events.Paid
}

func heldPrefix(a events.Assignee) string { return string(a.Kind) + "\x00" + a.ID + "\x00" }

func heldKey(l *events.License) string { return heldPrefix(l.Assignee) + l.Type + "\x00" + l.ID }

func lapsedKey(l *events.License) string {
	if l.Lapsed == events.LapsedFree {
		return heldPrefix(events.Assignee{}) + l.ID
	}
	return heldPrefix(l.Assignee) + l.ID
}

func freeKey(l *events.License) string { return l.Pool + "\x00" + l.Type + "\x00" + l.ID }

func dueKey(l *events.License) string { return timeKeyOf(l.NextDue(), l.ID) }

// timeKey sorts as the times do; all keys have the same length.
func timeKey(t time.Time) string { return timeKeyOf(t, "") }

// timeKeyOf is the key of something at a time.
func timeKeyOf(t time.Time, id string) string {
	const digits = "0123456789abcdef"
	v := uint64(t.UnixMilli()) ^ 1<<63
	var room [96]byte // on the stack
	b := room[:0]
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[v>>shift&15])
	}
	return string(append(b, id...))
}

func dueTime(key string) time.Time {
	var v uint64
	for _, c := range key[:16] {
		d := uint64(c - '0')
		if c >= 'a' {
			d = uint64(c-'a') + 10
		}
		v = v<<4 | d
	}
	return time.UnixMilli(int64(v ^ 1<<63)).UTC()
}
