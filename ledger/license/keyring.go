package license

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"licenseledger/events"
)

// keyring is the part of a state that annual keys are about (domain, section 6). What a job protects is no part of it: of each
// job there is a digest, so that large jobs make neither the state nor other commands heavy.
type keyring struct {
	keys      btree.Map[string, *events.Key]
	seats     btree.Map[string, Seat]          // key, user
	jobs      btree.Map[string, events.Digest] // key, instance, job
	instances btree.Map[string, *Instance]
	prepaid   btree.Map[string, *Prepaid] // by the invoice's number

	used btree.Map[string, int] // derived: how many seats of a key have a user
}

// Seat is a seat that a user has.
type Seat struct {
	Key        string    `json:"-"`
	User       string    `json:"-"` // a pseudonym
	Instance   string    `json:"instance"`
	AssignedAt time.Time `json:"assigned_at"`
}

// ID is the seat's id.
func (s *Seat) ID() string { return events.SeatID(s.Key, s.User, s.AssignedAt) }

// Job is a backup job that has started.
type Job struct {
	Key, Instance, Job string
	Digest             events.Digest // of its objects and what became of them
}

// Instance is an installation of the backup program.
type Instance struct {
	ID string `json:"-"`
	// TrialEnds is the exclusive end of its trial without a key; zero: it never had one (domain K3).
	TrialEnds time.Time `json:"trial_ends,omitzero"`
	// Keys are those that it may use, in the order of their ids.
	Keys []string `json:"keys,omitempty"`
	// Token is the one that it got when it was activated last, as it may have been revoked since.
	Token string `json:"token,omitempty"`
}

// Has says whether the instance may use a key.
func (i *Instance) Has(key string) bool { return slices.Contains(i.Keys, key) }

// Prepaid is what is known of a prepaid invoice.
type Prepaid struct {
	Number string `json:"-"`
	Key    string `json:"key"`
	// Outcome is what last became of its charge; FailedAt is when that failed first, while it is not collected.
	Outcome  events.Outcome `json:"outcome,omitempty"`
	FailedAt time.Time      `json:"failed_at,omitzero"`
}

// fork is an independent copy.
func (r *keyring) fork() keyring {
	return keyring{
		keys: *r.keys.Copy(), seats: *r.seats.Copy(), jobs: *r.jobs.Copy(), instances: *r.instances.Copy(), prepaid: *r.prepaid.Copy(),
		used: *r.used.Copy(),
	}
}

func (r *keyring) size() int {
	return r.keys.Len() + r.seats.Len() + r.jobs.Len() + r.instances.Len() + r.prepaid.Len()
}

func ringKey(parts ...string) string { return strings.Join(parts, "\x00") }

// Key finds an annual key, as it was left by what is recorded; [KeyAt] says how it stands at a time.
func (s *State) Key(id string) (*events.Key, bool) { return s.ring.keys.Get(id) }

// Keys yields all keys in the order of their ids.
func (s *State) Keys() iter.Seq[*events.Key] {
	return func(yield func(*events.Key) bool) {
		s.ring.keys.Scan(func(_ string, k *events.Key) bool { return yield(k) })
	}
}

// Seats yields the seats of a key that users have, in the order of their pseudonyms.
func (s *State) Seats(key string) iter.Seq[Seat] {
	return func(yield func(Seat) bool) {
		first := key + "\x00"
		s.ring.seats.Ascend(first, func(k string, seat Seat) bool {
			return strings.HasPrefix(k, first) && yield(seat)
		})
	}
}

// UsedSeats is how many seats of a key users have.
func (s *State) UsedSeats(key string) int {
	n, _ := s.ring.used.Get(key)
	return n
}

// Instance finds an instance.
func (s *State) Instance(id string) (*Instance, bool) { return s.ring.instances.Get(id) }

// Instances yields all instances in the order of their ids.
func (s *State) Instances() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
		s.ring.instances.Scan(func(_ string, i *Instance) bool { return yield(i) })
	}
}

// aboutKeys says whether an event is one that the keyring follows.
func aboutKeys(d events.Data) bool {
	switch d := d.(type) {
	case *events.JobStarted, *events.JobRemoved, *events.SeatReleased, *events.InstanceTrialStarted, *events.PrepaidIssued:
		return true
	case *events.PaymentRecorded:
		return IsPrepaid(d.Invoice)
	}
	k, _ := events.KeyAfter(d)
	return k != nil
}

// applyKeys folds an event of an entry into the keyring.
func (s *State) applyKeys(e *events.Entry, d events.Data) {
	r := &s.ring
	switch d := d.(type) {
	case *events.JobStarted:
		if d.Part <= 1 {
			r.jobs.Set(ringKey(d.Key, d.Instance, d.Job), d.Digest)
		}
		for i := range d.Objects {
			for _, user := range d.Objects[i].Assigned {
				r.seat(Seat{Key: d.Key, User: user, Instance: d.Instance, AssignedAt: e.Time})
			}
		}
	case *events.JobRemoved:
		r.jobs.Delete(ringKey(d.Key, d.Instance, d.Job))
	case *events.SeatReleased:
		r.unseat(d.Key, d.User)
	case *events.InstanceTrialStarted:
		i := r.instance(d.Instance)
		i.TrialEnds = d.EndsAt
		r.instances.Set(i.ID, i)
	case *events.PrepaidIssued:
		r.prepaid.Set(d.Number, &Prepaid{Number: d.Number, Key: d.Key})
	case *events.PaymentRecorded:
		if p, ok := r.prepaid.Get(d.Invoice); ok {
			r.prepaid.Set(d.Invoice, p.After(d, e.Time))
		}
	case *events.KeyActivated:
		i := r.instance(d.Instance)
		if !i.Has(d.Key.ID) {
			i.Keys = append(slices.Clone(i.Keys), d.Key.ID)
			slices.Sort(i.Keys)
		}
		if d.Token != "" {
			i.Token = d.Token
		}
		r.instances.Set(i.ID, i)
	}
	if k, reset := events.KeyAfter(d); k != nil {
		if reset {
			for _, seat := range slices.Collect(s.Seats(k.ID)) {
				r.seats.Delete(ringKey(seat.Key, seat.User))
			}
			r.used.Delete(k.ID)
		}
		was, _ := r.keys.Set(k.ID, k)
		s.keyDue(was, k)
	}
}

// After is the invoice with an outcome of its charge.
func (p *Prepaid) After(d *events.PaymentRecorded, at time.Time) *Prepaid {
	after := *p
	after.Outcome = d.Outcome
	switch {
	case d.Outcome == events.Collected:
		after.FailedAt = time.Time{}
	case after.FailedAt.IsZero():
		after.FailedAt = at
	}
	return &after
}

// instance is a copy of an instance, or a new one.
func (r *keyring) instance(id string) *Instance {
	if i, ok := r.instances.Get(id); ok {
		found := *i
		return &found
	}
	return &Instance{ID: id}
}

func (r *keyring) seat(s Seat) {
	if _, had := r.seats.Set(ringKey(s.Key, s.User), s); !had {
		n, _ := r.used.Get(s.Key)
		r.used.Set(s.Key, n+1)
	}
}

func (r *keyring) unseat(key, user string) {
	if _, had := r.seats.Delete(ringKey(key, user)); had {
		if n, _ := r.used.Get(key); n > 1 {
			r.used.Set(key, n-1)
		} else {
			r.used.Delete(key)
		}
	}
}

// keyDue moves a key that was in one state and is in another within what is due; nil stands for no key.
func (s *State) keyDue(was, is *events.Key) {
	from, to := keyDueKey(was), keyDueKey(is)
	if from == to {
		return
	}
	if from != "" {
		s.due.Delete(from)
	}
	if to != "" {
		s.due.Set(to, none{})
	}
}

func keyDueKey(k *events.Key) string {
	if k == nil {
		return ""
	}
	if t := k.NextDue(); !t.IsZero() {
		return timeKeyOf(t, k.ID)
	}
	return ""
}

// seatOf finds a seat of a key by its id or its user.
func (s *State) seatOf(key, name string) (Seat, bool) {
	if seat, ok := s.ring.seats.Get(ringKey(key, name)); ok {
		return seat, true
	}
	if events.CheckULID(name) != nil {
		return Seat{}, false
	}
	for seat := range s.Seats(key) {
		// The time is the id's first part, and cheaper to look at.
		if strings.HasPrefix(name, events.ULIDAt(seat.AssignedAt, [10]byte{})[:10]) && seat.ID() == name {
			return seat, true
		}
	}
	return Seat{}, false
}
