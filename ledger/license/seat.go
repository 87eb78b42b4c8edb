package license

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/entitle"
)

// ActivateKey lets an instance use a key; the first activation begins the key's year (domain K2).
type ActivateKey struct {
	Key      string
	Instance string
	// Token is the hash of a token that the instance gets in the place of the one that it got before; zero: it gets none.
	Token events.Digest
}

func (c ActivateKey) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	if err := events.CheckName(c.Instance); err != nil {
		return invalid("instance", "%v", err)
	}
	i, known := d.state.Instance(c.Instance)
	if known && i.Has(k.ID) && c.Token == (events.Digest{}) {
		return nil
	}
	if k.Status == events.OrderedKey {
		if err := usable(&k); err != nil {
			return err // its year would begin, and nothing could be backed up in it
		}
		k.Status, k.TermFrom, k.ExpiresAt = events.ActiveKey, d.Now, events.YearAfter(d.Now)
	}
	activated := &events.KeyActivated{Instance: c.Instance, Key: k}
	if c.Token != (events.Digest{}) {
		if d.state.tokens.Len() >= MaxTokens {
			return invalid("", "provider %q has %d tokens: revoke some", d.Provider, MaxTokens)
		}
		if known && i.Token != "" {
			if _, ok := d.state.tokens.Get(i.Token); ok {
				d.emit(&events.TokenRevoked{Token: i.Token})
			}
		}
		activated.Token = d.IDs.Next()
		d.emit(&events.TokenIssued{Token: activated.Token, Holder: events.InstanceSubject, Subject: c.Instance, Hash: c.Token})
	}
	d.emit(activated)
	return nil
}

// StartTrial begins the trial of an instance without a key (domain K3). One that had its trial, or has a key, stays as it is.
type StartTrial struct{ Instance string }

func (c StartTrial) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if err := events.CheckName(c.Instance); err != nil {
		return invalid("instance", "%v", err)
	}
	if _, known := d.state.Instance(c.Instance); known {
		return nil
	}
	days := 0
	now, _, _ := d.Catalogs.At(events.MonthOf(d.Now))
	for _, t := range now.Types {
		if t.Term == events.Annual && !t.Closed {
			days = max(days, t.TrialDays)
		}
	}
	if days == 0 {
		return refuse(TypeClosed, "no annual type that is sold has a trial: order a key")
	}
	d.emit(&events.InstanceTrialStarted{Instance: c.Instance, EndsAt: d.Now.Add(time.Duration(days) * 24 * time.Hour)})
	return nil
}

// JobKind says what a job does.
type JobKind string

// Kinds of jobs. Only backup jobs need seats.
const (
	BackupJob  JobKind = "backup"
	RestoreJob JobKind = "restore"
	ArchiveJob JobKind = "archive"
)

// StartJob says that an instance starts a job with a key, and asks which objects it may back up (domain K5).
type StartJob struct {
	Key, Instance, Job string
	Kind               JobKind
	// Objects are in the order in which they start. Ids of objects and users are pseudonyms.
	Objects []entitle.Object
}

func (c StartJob) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	if err := d.onInstance(&k, c.Instance, c.Job); err != nil {
		return err
	}
	switch c.Kind {
	case BackupJob:
	case RestoreJob, ArchiveJob:
		return nil // they go on whatever becomes of the key (domain K9)
	default:
		return invalid("kind", "backup, restore or archive")
	}
	if err := usable(&k); err != nil {
		return err
	}
	s, err := d.place(&k, c)
	if err != nil {
		return err
	}
	d.job = s.parts(c)
	was, ran := d.state.ring.jobs.Get(ringKey(c.Key, c.Instance, c.Job))
	if ran && was == s.digest && len(s.fresh) == 0 {
		return nil
	}
	for _, part := range d.job {
		d.emit(part)
	}
	return nil
}

// onInstance checks that an instance may use a key, for a job.
func (d *decider) onInstance(k *events.Key, instance, job string) error {
	if err := events.CheckName(instance); err != nil {
		return invalid("instance", "%v", err)
	}
	if err := events.CheckName(job); err != nil {
		return invalid("job", "%v", err)
	}
	if i, ok := d.state.Instance(instance); !ok || !i.Has(k.ID) {
		return refuse(KeyNotActivated, "key %s was not activated on instance %q", k.ID, instance)
	}
	return nil
}

// seating is how the objects of a job come to their seats.
type seating struct {
	objects []events.JobObject
	fresh   map[string]bool // who gets a seat
	skipped int             // objects that lack seats
	missing int             // seats that would let all objects in
	// digest stands for the objects and what became of them. Whether somebody had a seat before, or gets it now, makes no difference.
	digest events.Digest
}

// place finds seats for a job's objects, one after the other, for each all or nothing (domain K5).
func (d *decider) place(k *events.Key, c StartJob) (*seating, error) {
	s := &seating{objects: make([]events.JobObject, len(c.Objects)), fresh: make(map[string]bool)}
	lacking := make(map[string]bool) // who would need a seat, of the objects that were skipped
	free := k.Seats - d.state.UsedSeats(k.ID)
	h := sha256.New()
	for n := range c.Objects {
		o := &s.objects[n]
		o.ID, o.Kind = c.Objects[n].ID, string(c.Objects[n].Kind)
		needs, err := entitle.Of(&c.Objects[n])
		if wrong := (*entitle.Error)(nil); errors.As(err, &wrong) {
			return nil, invalid(fmt.Sprintf("objects[%d].%s", n, wrong.Field), "%s", wrong.Message)
		}
		for _, user := range needs.Users {
			if _, seated := d.state.ring.seats.Get(ringKey(k.ID, user)); seated || s.fresh[user] {
				o.Held = append(o.Held, user)
			} else {
				o.Assigned = append(o.Assigned, user)
			}
		}
		more := len(o.Assigned) - free
		switch {
		case needs.Unsupported:
			o.Skipped = events.Unsupported
		case more > 0:
			mark(lacking, o.Assigned)
			o.Skipped, o.SeatsMissing, o.Assigned = events.SeatsMissing, more, nil
			s.skipped++
		default:
			mark(s.fresh, o.Assigned)
			free -= len(o.Assigned)
		}
		fmt.Fprintf(h, "%s %s %s %d %q\n", o.ID, o.Kind, o.Skipped, o.SeatsMissing, needs.Users)
	}
	for user := range lacking {
		if !s.fresh[user] {
			s.missing++
		}
	}
	s.missing -= min(s.missing, free)
	s.digest = events.Digest(h.Sum(nil))
	return s, nil
}

func mark(set map[string]bool, users []string) {
	for _, user := range users {
		set[user] = true
	}
}

// An event of a job has at most partSize bytes, well below [events.MaxEvent]; one without objects has less than partEmpty.
const partSize, partEmpty = 56_000, 512

// parts are the events of the job.
func (s *seating) parts(c StartJob) []*events.JobStarted {
	var list []*events.JobStarted
	var last *events.JobStarted
	room := 0
	next := func() {
		last = &events.JobStarted{Key: c.Key, Instance: c.Instance, Job: c.Job, Digest: s.digest, Skipped: s.skipped, SeatsMissing: s.missing}
		list, room = append(list, last), partSize-partEmpty
	}
	next()
	for n := range s.objects {
		rest := s.objects[n]
		if len(rest.Assigned)+len(rest.Held) == 1 && slices.Concat(rest.Assigned, rest.Held)[0] == rest.ID {
			rest.ID = "" // its user's
		}
		for more := true; more; rest.Continued = true {
			users := len(rest.Assigned) + len(rest.Held)
			fit := (room - objectSize) / userSize
			if fit <= 0 || fit < users && users*userSize < partSize/2 {
				next() // rather than to cut it in two
				fit = (room - objectSize) / userSize
			}
			o := rest
			o.Assigned, rest.Assigned = cutUsers(rest.Assigned, fit)
			o.Held, rest.Held = cutUsers(rest.Held, fit-len(o.Assigned))
			more = len(rest.Assigned)+len(rest.Held) > 0
			last.Objects = append(last.Objects, o)
			room -= sizeOf(&o)
		}
	}
	if len(list) > 1 {
		for i, part := range list {
			part.Part, part.Parts = i+1, len(list)
		}
	}
	return list
}

// objectSize is more than an object takes in an event beside its users, userSize what each of those takes.
const objectSize, userSize = 256, 35

// sizeOf is how much room an object takes in an event, or a little more.
func sizeOf(o *events.JobObject) int {
	n := len(`{"kind":"","assigned":[],"held":[]},`) + len(o.Kind) + userSize*(len(o.Assigned)+len(o.Held))
	if o.ID != "" {
		n += len(`"id":"",`) + len(o.ID)
	}
	if o.Skipped != "" || o.Continued {
		n += objectSize / 2
	}
	return n
}

// cutUsers divides users after the first n.
func cutUsers(users []string, n int) (first, rest []string) {
	if n >= len(users) {
		return users, nil
	}
	if n == 0 {
		return nil, users
	}
	return users[:n:n], users[n:]
}

// RemoveJob says that an instance has a job no more.
type RemoveJob struct{ Key, Instance, Job string }

func (c RemoveJob) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	if err := d.onInstance(&k, c.Instance, c.Job); err != nil {
		return err
	}
	if _, ok := d.state.ring.jobs.Get(ringKey(c.Key, c.Instance, c.Job)); !ok {
		return refuse(NotFound, "instance %q has no job %q with key %s", c.Instance, c.Job, k.ID)
	}
	d.emit(&events.JobRemoved{Key: c.Key, Instance: c.Instance, Job: c.Job})
	return nil
}

// ReleaseSeat takes a seat from its user, some time after it was assigned (domain K6).
type ReleaseSeat struct {
	Key  string
	Seat string // its id, or its user's pseudonym
}

func (c ReleaseSeat) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	seat, ok := d.state.seatOf(k.ID, c.Seat)
	if !ok {
		return refuse(NotFound, "key %s has no seat %.80q, and no user of that id has one", k.ID, c.Seat)
	}
	t, _ := d.Catalogs.Type(events.MonthOf(d.Now), k.Type)
	if until := Releasable(t, seat.AssignedAt); d.Now.Before(until) {
		return &Refusal{Code: ReleaseLocked, Until: until, Message: fmt.Sprintf(
			"the seat was assigned at %s and can be released from %s on", events.FormatTime(seat.AssignedAt), events.FormatTime(until))}
	}
	d.emit(&events.SeatReleased{Key: k.ID, Seat: seat.ID(), User: seat.User, Instance: seat.Instance, AssignedAt: seat.AssignedAt})
	return nil
}

// Releasable is when a seat of a type that was assigned at a time can be released (domain K6).
func Releasable(t events.Type, assigned time.Time) time.Time {
	return assigned.Add(time.Duration(t.ReleaseLockDays) * 24 * time.Hour)
}
