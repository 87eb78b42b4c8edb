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
	commands  btree.Map[string, Remembered]

	// What follows is derived from the above.

	held    btree.Map[string, none] // assignee, type, license: what an assignee holds in force
	free    btree.Map[string, none] // pool, type, license: paid and unassigned
	due     btree.Map[string, none] // end, license: in force
	forgets btree.Map[string, none] // time, command: in the order in which commands are forgotten
}

type none = struct{}

// NewState is the state of a provider that does not exist yet.
func NewState() *State { return &State{} }

// Fork is an independent copy. It costs a few hundred bytes, whatever the state's size.
func (s *State) Fork() *State {
	return &State{
		account:   s.account,
		companies: *s.companies.Copy(),
		endpoints: *s.endpoints.Copy(),
		licenses:  *s.licenses.Copy(),
		commands:  *s.commands.Copy(),
		held:      *s.held.Copy(),
		free:      *s.free.Copy(),
		due:       *s.due.Copy(),
		forgets:   *s.forgets.Copy(),
	}
}

// Rows is a state as a view stores it: everything that is not derived.
type Rows struct {
	Account   Account
	Companies []*events.CompanySet
	Endpoints []*events.EndpointSet
	Licenses  []*events.License
	Commands  map[string]Remembered
}

// FromRows builds a state.
func FromRows(r Rows) *State {
	s := &State{account: r.Account}
	for _, c := range r.Companies {
		s.companies.Set(c.Company, c)
	}
	for _, e := range r.Endpoints {
		s.endpoints.Set(e.Endpoint, e)
	}
	for _, l := range r.Licenses {
		s.set(l)
	}
	for id, c := range r.Commands {
		s.remember(id, c)
	}
	return s
}

// Account is the part of the state that there is one of.
func (s *State) Account() Account { return s.account }

// Company finds a company.
func (s *State) Company(id string) (*events.CompanySet, bool) { return s.companies.Get(id) }

// Endpoint finds an endpoint.
func (s *State) Endpoint(id string) (*events.EndpointSet, bool) { return s.endpoints.Get(id) }

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
	return 1 + s.companies.Len() + s.endpoints.Len() + s.licenses.Len() + s.commands.Len()
}

// Command finds what is remembered of a command.
func (s *State) Command(id string) (Remembered, bool) { return s.commands.Get(id) }

// NextDue is the earliest instant at which something of this provider falls due by itself.
func (s *State) NextDue() time.Time {
	t := s.account.Open.End()
	if key, _, ok := s.due.Min(); ok {
		if d := dueTime(key); d.Before(t) {
			t = d
		}
	}
	return t
}

// Apply folds an entry of the provider into the state.
func (s *State) Apply(e *events.Entry) {
	for i := range e.Events {
		s.applyEvent(e, e.Events[i].Data)
	}
	s.account.Last = e.Number
	if IsRemembered(e) {
		s.remember(e.Command, Remembered{Entry: e.Number, Parts: e.Parts, Time: e.Time, Digest: e.Request})
	}
	s.forget(e.Time)
}

func (s *State) applyEvent(e *events.Entry, d events.Data) {
	s.account.Apply(e, d)
	switch d := d.(type) {
	case *events.CompanySet:
		s.companies.Set(d.Company, d)
	case *events.EndpointSet:
		s.endpoints.Set(d.Endpoint, d)
	default:
		if l := events.LicenseAfter(d); l != nil {
			s.set(l)
		}
	}
}

func (s *State) remember(id string, r Remembered) {
	if old, ok := s.commands.Get(id); ok {
		s.forgets.Delete(forgetKey(id, old))
	}
	s.commands.Set(id, r)
	s.forgets.Set(forgetKey(id, r), none{})
}

// forget drops commands that were decided more than [MemoryOfCommands] before now.
func (s *State) forget(now time.Time) {
	limit := timeKey(now.Add(-MemoryOfCommands))
	for {
		key, _, ok := s.forgets.Min()
		if !ok || key >= limit {
			return
		}
		s.forgets.Delete(key)
		s.commands.Delete(key[len(limit):])
	}
}

func forgetKey(id string, r Remembered) string { return timeKey(r.Time) + id }

// change is what stood where a decision has put something else: one of three things, nil where there was nothing.
type change struct {
	company, endpoint, license string // the id of what changed; the others are empty
	wasCompany                 *events.CompanySet
	wasEndpoint                *events.EndpointSet
	wasLicense                 *events.License
}

// before notes what an event will overwrite, beside the account.
func (s *State) before(d events.Data) (c change) {
	switch d := d.(type) {
	case *events.CompanySet:
		c.company = d.Company
		c.wasCompany, _ = s.companies.Get(d.Company)
	case *events.EndpointSet:
		c.endpoint = d.Endpoint
		c.wasEndpoint, _ = s.endpoints.Get(d.Endpoint)
	default:
		if l := events.LicenseAfter(d); l != nil {
			c.license = l.ID
			c.wasLicense, _ = s.licenses.Get(l.ID)
		}
	}
	return c
}

// takeBack undoes the last change that was not undone yet.
func (s *State) takeBack(c *change) {
	switch {
	case c.wasCompany != nil:
		s.companies.Set(c.company, c.wasCompany)
	case c.company != "":
		s.companies.Delete(c.company)
	case c.wasEndpoint != nil:
		s.endpoints.Set(c.endpoint, c.wasEndpoint)
	case c.endpoint != "":
		s.endpoints.Delete(c.endpoint)
	case c.wasLicense != nil:
		s.set(c.wasLicense)
	case c.license != "":
		s.unindex(c.license)
		s.licenses.Delete(c.license)
	}
}

// set puts a license in its new state and keeps what is derived from it.
func (s *State) set(l *events.License) {
	s.unindex(l.ID)
	s.licenses.Set(l.ID, l)
	if l.Serving() {
		s.held.Set(heldKey(l), none{})
	} else if l.Status == events.Paid {
		s.free.Set(freeKey(l), none{})
	}
	if l.Status.InForce() {
		s.due.Set(dueKey(l), none{})
	}
}

// unindex takes away what is derived from a license.
func (s *State) unindex(id string) {
	old, ok := s.licenses.Get(id)
	if !ok {
		return
	}
	if old.Serving() {
		s.held.Delete(heldKey(old))
	} else if old.Status == events.Paid {
		s.free.Delete(freeKey(old))
	}
	if old.Status.InForce() {
		s.due.Delete(dueKey(old))
	}
}

// holds yields the licenses in force of a type that an assignee holds.
func (s *State) holds(a events.Assignee, licenseType string) iter.Seq[*events.License] {
	return s.byIndex(&s.held, heldPrefix(a)+licenseType+"\x00")
}

// freeIn yields the free licenses of a type in a pool, oldest first.
func (s *State) freeIn(pool, licenseType string) iter.Seq[*events.License] {
	return s.byIndex(&s.free, pool+"\x00"+licenseType+"\x00")
}

// byIndex yields the licenses whose index keys begin with prefix; the license's id is the rest. What is applied meanwhile may
// take licenses out of the index; what it puts in shows if it comes later in the order.
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
			if l, ok := s.licenses.Get(key[len(prefix):]); ok && !yield(l) {
				return
			}
			from = key + "\x00"
		}
	}
}

// dueBefore lists licenses whose end is before t, or at t too if inclusive, in order of end and id; at most limit of them (0: all).
func (s *State) dueBefore(t time.Time, inclusive bool, limit int) []string {
	if inclusive {
		t = t.Add(events.Precision)
	}
	end := timeKey(t)
	var ids []string
	s.due.Scan(func(key string, _ none) bool {
		if key >= end || limit > 0 && len(ids) == limit {
			return false
		}
		ids = append(ids, key[len(end):])
		return true
	})
	return ids
}

func heldPrefix(a events.Assignee) string { return string(a.Kind) + "\x00" + a.ID + "\x00" }

func heldKey(l *events.License) string { return heldPrefix(l.Assignee) + l.Type + "\x00" + l.ID }

func freeKey(l *events.License) string { return l.Pool + "\x00" + l.Type + "\x00" + l.ID }

func dueKey(l *events.License) string { return timeKey(l.ExpiresAt) + l.ID }

// timeKey sorts as the times do; all keys have the same length.
func timeKey(t time.Time) string {
	const digits = "0123456789abcdef"
	v := uint64(t.UnixMilli()) ^ 1<<63
	var b [16]byte
	for i := range b {
		b[i] = digits[v>>(60-4*i)&15]
	}
	return string(b[:])
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
