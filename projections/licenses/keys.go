package licenses

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// Annual keys have a row each, and so have their seats, jobs and instances. A seat stands under its id, so that seats sort as they were
// assigned. Decisions need of a job no more than a digest; whom its objects need stands in a row of its own, for the warning before a release.

// Key is an annual key, and what is known of it beside.
type Key struct {
	events.Key
	Salt string        `json:"salt"` // what its secret is made of, with a secret that is not here
	Hash events.Digest `json:"hash"` // of its secret
	Used int           `json:"used,omitempty"`
}

// Job is a backup job that has started.
type Job struct {
	Key       string        `json:"-"`
	Instance  string        `json:"-"`
	Job       string        `json:"-"`
	Digest    events.Digest `json:"digest"`
	StartedAt time.Time     `json:"started_at"` // when it started last with news
	// Skipped is how many objects lack seats, SeatsMissing how many seats they lack.
	Skipped      int `json:"skipped,omitempty"`
	SeatsMissing int `json:"seats_missing,omitempty"`
}

type (
	seatKey struct{ key, seat string }
	jobKey  struct{ key, instance, job string }
)

// jobRows are the two rows of a job.
type jobRows struct {
	Job
	users map[string]bool
}

// keyring is what the entries of one provider say of annual keys.
type keyring struct {
	keys      map[string]*Key
	seats     map[seatKey]*license.Seat // nil for one that is free again
	reset     map[string]bool           // keys of which the rows of seats count no more
	jobs      map[jobKey]*jobRows       // nil for one that is removed
	instances map[string]*license.Instance
	prepaid   map[string]*license.Prepaid
}

func newKeyring() keyring {
	return keyring{
		keys: make(map[string]*Key), seats: make(map[seatKey]*license.Seat), reset: make(map[string]bool), jobs: make(map[jobKey]*jobRows),
		instances: make(map[string]*license.Instance), prepaid: make(map[string]*license.Prepaid),
	}
}

// applyKeys folds an event if it is about annual keys.
func (b *batch) applyKeys(entry *events.Entry, p *provider, d events.Data) error {
	id, r := entry.Provider, &p.ring
	if k, reset := events.KeyAfter(d); k != nil {
		row, err := b.key(id, r, k.ID)
		if err != nil {
			return err
		}
		row.Key = *k
		if reset {
			row.Used, r.reset[k.ID] = 0, true
			maps.DeleteFunc(r.seats, func(s seatKey, _ *license.Seat) bool { return s.key == k.ID })
		}
	}
	switch d := d.(type) {
	case *events.KeyOrdered:
		row := r.keys[d.Key.ID]
		row.Salt, row.Hash = d.Salt, d.Hash
	case *events.KeyActivated:
		i, err := b.instance(id, r, d.Instance)
		if err != nil {
			return err
		}
		if !i.Has(d.Key.ID) {
			i.Keys = append(i.Keys, d.Key.ID)
			slices.Sort(i.Keys)
		}
		if d.Token != "" {
			i.Token = d.Token
		}
	case *events.InstanceTrialStarted:
		i, err := b.instance(id, r, d.Instance)
		if err != nil {
			return err
		}
		i.TrialEnds = d.EndsAt
	case *events.JobStarted:
		return b.startJob(entry, r, d)
	case *events.JobRemoved:
		r.jobs[jobKey{d.Key, d.Instance, d.Job}] = nil
	case *events.SeatReleased:
		row, err := b.key(id, r, d.Key)
		if err != nil {
			return err
		}
		row.Used--
		r.seats[seatKey{d.Key, d.Seat}] = nil
	case *events.PrepaidIssued:
		r.prepaid[d.Number] = &license.Prepaid{Number: d.Number, Key: d.Key}
	case *events.PaymentRecorded:
		return b.payKey(entry, r, d)
	}
	return nil
}

func (b *batch) startJob(entry *events.Entry, r *keyring, d *events.JobStarted) error {
	k := jobKey{d.Key, d.Instance, d.Job}
	job := r.jobs[k]
	if d.Part <= 1 || job == nil { // the parts of one command come in one transaction
		job = &jobRows{Job{
			Key: d.Key, Instance: d.Instance, Job: d.Job, Digest: d.Digest, StartedAt: entry.Time, Skipped: d.Skipped, SeatsMissing: d.SeatsMissing,
		}, make(map[string]bool)}
		r.jobs[k] = job
	}
	row, err := b.key(entry.Provider, r, d.Key)
	if err != nil {
		return err
	}
	for i := range d.Objects {
		o := &d.Objects[i]
		for _, user := range o.Assigned {
			seat := license.Seat{Key: d.Key, User: user, Instance: d.Instance, AssignedAt: entry.Time}
			r.seats[seatKey{d.Key, seat.ID()}] = &seat
			job.users[user] = true
		}
		row.Used += len(o.Assigned)
		for _, user := range o.Held {
			job.users[user] = true
		}
	}
	return nil
}

func (b *batch) payKey(entry *events.Entry, r *keyring, d *events.PaymentRecorded) error {
	if !license.IsPrepaid(d.Invoice) {
		return nil
	}
	p := r.prepaid[d.Invoice]
	if p == nil {
		p = &license.Prepaid{}
		if ok, err := load(b.tx, bucketPrepaid, []byte(key(entry.Provider, d.Invoice)), p); err != nil || !ok {
			return err
		}
		p.Number = d.Invoice
	}
	r.prepaid[d.Invoice] = p.After(d, entry.Time)
	return nil
}

// key is a key's row as it stands in the batch, which may be changed.
func (b *batch) key(provider string, r *keyring, id string) (*Key, error) {
	if k := r.keys[id]; k != nil {
		return k, nil
	}
	k := new(Key)
	_, err := load(b.tx, bucketKeys, []byte(key(provider, id)), k)
	r.keys[id] = k
	return k, err
}

// instance is the same of an instance.
func (b *batch) instance(provider string, r *keyring, id string) (*license.Instance, error) {
	if i := r.instances[id]; i != nil {
		return i, nil
	}
	i := new(license.Instance)
	_, err := load(b.tx, bucketInstances, []byte(key(provider, id)), i)
	r.instances[id] = i
	return i, err
}

// write writes the rows of keys.
func (r *keyring) write(w *writer, provider string, t *tally) error {
	for id, is := range r.keys {
		k := w.key(provider, id)
		var was Key
		known, err := load(w.tx, bucketKeys, k, &was)
		if err != nil {
			return err
		}
		if !known {
			w.put(bucketSecrets, is.Hash[:], k)
		} else if at := was.NextDue(); !at.IsZero() {
			t.due[at.UnixMilli()]--
		}
		if at := is.NextDue(); !at.IsZero() {
			t.due[at.UnixMilli()]++
		}
		w.putJSON(bucketKeys, k, is)
	}
	for id := range r.reset {
		first := []byte(prefix(provider, id))
		c := w.tx.Bucket(bucketSeats).Cursor()
		for k, _ := c.Seek(first); k != nil && bytes.HasPrefix(k, first); k, _ = c.Next() {
			if seat := string(k[len(first):]); r.seats[seatKey{id, seat}] == nil {
				w.delete(bucketSeats, w.key(provider, id, seat))
				delete(r.seats, seatKey{id, seat})
			}
		}
	}
	for s, seat := range r.seats {
		k := w.key(provider, s.key, s.seat)
		if seat == nil {
			w.delete(bucketSeats, k)
		} else {
			w.put(bucketSeats, k, w.cut(func(b []byte) []byte { return appendSeat(b, seat) }))
		}
	}
	for j, job := range r.jobs {
		k := w.key(provider, j.key, j.instance, j.job)
		if job == nil {
			w.delete(bucketJobs, k)
			w.delete(bucketJobUsers, k)
			continue
		}
		w.putJSON(bucketJobs, k, job.Job)
		users := []byte{}
		for _, user := range slices.Sorted(maps.Keys(job.users)) {
			users = appendText(users, user)
		}
		w.put(bucketJobUsers, k, users)
	}
	for id, i := range r.instances {
		w.putJSON(bucketInstances, w.key(provider, id), i)
	}
	for number, p := range r.prepaid {
		w.putJSON(bucketPrepaid, w.key(provider, number), p)
	}
	return nil
}

// appendSeat writes all of a seat but its key and id, which stand in the row's key.
func appendSeat(b []byte, s *license.Seat) []byte {
	return appendTime(appendText(appendText(b, s.User), s.Instance), s.AssignedAt)
}

func readSeat(id string, row []byte) (license.Seat, error) {
	r := reader{b: row}
	s := license.Seat{Key: id, User: r.text(), Instance: r.text(), AssignedAt: r.time()}
	return s, r.end(bucketSeats)
}

// loadKeys reads what decisions need of a provider's keys.
func loadKeys(tx *bbolt.Tx, provider string, rows *license.Rows) error {
	first := prefix(provider)
	err := each(tx, bucketKeys, first, "", func(_ string, row []byte) (bool, error) {
		k, err := readJSON[Key](bucketKeys, row)
		if err == nil {
			rows.Keys = append(rows.Keys, &k.Key)
		}
		return true, err
	})
	if err != nil {
		return err
	}
	err = each(tx, bucketSeats, first, "", func(k string, row []byte) (bool, error) {
		id, _, _ := strings.Cut(k, "\x00")
		seat, err := readSeat(id, row)
		rows.Seats = append(rows.Seats, seat)
		return true, err
	})
	if err != nil {
		return err
	}
	err = each(tx, bucketJobs, first, "", func(k string, row []byte) (bool, error) {
		j, err := readJSON[Job](bucketJobs, row)
		parts := strings.Split(k, "\x00")
		if err == nil && len(parts) != 3 {
			err = fmt.Errorf("read a row of %s: %w", bucketJobs, errDamaged)
		}
		if err == nil {
			rows.Jobs = append(rows.Jobs, license.Job{Key: parts[0], Instance: parts[1], Job: parts[2], Digest: j.Digest})
		}
		return true, err
	})
	if err != nil {
		return err
	}
	err = each(tx, bucketInstances, first, "", func(id string, row []byte) (bool, error) {
		i, err := readJSON[license.Instance](bucketInstances, row)
		if err == nil {
			i.ID = id
			rows.Instances = append(rows.Instances, i)
		}
		return true, err
	})
	if err != nil {
		return err
	}
	return each(tx, bucketPrepaid, first, "", func(number string, row []byte) (bool, error) {
		p, err := readJSON[license.Prepaid](bucketPrepaid, row)
		if err == nil {
			p.Number = number
			rows.Prepaid = append(rows.Prepaid, p)
		}
		return true, err
	})
}

// LoadKey reads a key.
func LoadKey(tx *bbolt.Tx, provider, id string) (k Key, ok bool, err error) {
	ok, err = load(tx, bucketKeys, []byte(key(provider, id)), &k)
	return k, ok, err
}

// Keys lists a provider's keys whose id is greater than after, in order, at most limit.
func Keys(tx *bbolt.Tx, provider, after string, limit int) (rows []Key, err error) {
	err = each(tx, bucketKeys, prefix(provider), after, func(_ string, row []byte) (bool, error) {
		k, err := readJSON[Key](bucketKeys, row)
		if err == nil {
			rows = append(rows, *k)
		}
		return len(rows) < limit, err
	})
	return rows, err
}

// FindKey finds the key whose secret has a hash, and whose it is.
func FindKey(tx *bbolt.Tx, hash events.Digest) (provider, id string, ok bool) {
	k := get(tx, bucketSecrets, hash[:])
	if k == nil {
		return "", "", false
	}
	provider, id, _ = strings.Cut(string(k), "\x00")
	return provider, id, true
}

// Seats lists the seats of a key whose id is greater than after, as they were assigned, at most limit (0: all).
func Seats(tx *bbolt.Tx, provider, id, after string, limit int) (rows []license.Seat, err error) {
	err = each(tx, bucketSeats, prefix(provider, id), after, func(_ string, row []byte) (bool, error) {
		s, err := readSeat(id, row)
		rows = append(rows, s)
		return limit == 0 || len(rows) < limit, err
	})
	return rows, err
}

// LoadSeat reads a seat of a key by its id.
func LoadSeat(tx *bbolt.Tx, provider, id, seat string) (s license.Seat, ok bool, err error) {
	row := get(tx, bucketSeats, []byte(key(provider, id, seat)))
	if row == nil {
		return s, false, nil
	}
	s, err = readSeat(id, row)
	return s, err == nil, err
}

// LoadInstance reads an instance.
func LoadInstance(tx *bbolt.Tx, provider, id string) (i license.Instance, ok bool, err error) {
	ok, err = load(tx, bucketInstances, []byte(key(provider, id)), &i)
	i.ID = id
	return i, ok, err
}

// JobsOf lists the jobs of a key that need a seat for a user, in the order of their instances and names.
func JobsOf(tx *bbolt.Tx, provider, id, user string) (jobs []Job, err error) {
	first := prefix(provider, id)
	wanted := appendText(nil, user)
	err = each(tx, bucketJobUsers, first, "", func(k string, row []byte) (bool, error) {
		if !holds(row, wanted) {
			return true, nil
		}
		var j Job
		if _, err := load(tx, bucketJobs, []byte(first+k), &j); err != nil {
			return false, err
		}
		instance, name, _ := strings.Cut(k, "\x00")
		j.Key, j.Instance, j.Job = id, instance, name
		jobs = append(jobs, j)
		return true, nil
	})
	return jobs, err
}

// holds says whether a text, written with its length before it, is one of a row's.
func holds(row, wanted []byte) bool {
	for len(row) > 0 {
		n, size := binary.Uvarint(row)
		end := size + int(n)
		if size <= 0 || end > len(row) {
			return false
		}
		if bytes.Equal(row[:end], wanted) {
			return true
		}
		row = row[end:]
	}
	return false
}
