package agent

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"licenseledger/ledger/api"
)

// Buckets of the file. Values are JSON, but where something else is said; numbers in keys are 8 bytes, big-endian.
var (
	metaBucket     = []byte("meta")     // what there is one of; keys below
	readingsBucket = []byte("readings") // n -> api.Reading, in the order in which they were reported
	refusedBucket  = []byte("refused")  // n -> RefusedReport

	agentKey   = []byte("agent")   // text: whose folder it is
	spoolKey   = []byte("spool")   // text: the spool's id
	numberKey  = []byte("number")  // the number of the last report that was sealed, 8 bytes
	sendingKey = []byte("sending") // the report that is being sent
	markKey    = []byte("mark")    // text: the program's mark
)

// patience is how long opening waits for another process to let go of the file.
const patience = 200 * time.Millisecond

// sealed is a report whose content no longer changes, or a number that is being given up. There is at most one.
type sealed struct {
	Number   uint64        `json:"number"`
	Readings []api.Reading `json:"readings"`
	// Void is why the number is given up, and Refused the refusal of its readings.
	Void    string       `json:"void,omitempty"`
	Refused *api.Problem `json:"refused,omitempty"`

	spool string // it is of
	fresh bool   // this process has sealed it, and knows every attempt to send it
}

// RefusedReport are the readings of a report that the ledger refused for good.
type RefusedReport struct {
	ID       uint64        `json:"-"` // by which Forget drops it
	Readings []api.Reading `json:"readings"`
	// Spool and Number are of the report, which was given up.
	Spool  string `json:"spool"`
	Number uint64 `json:"number"`
	// Problem is what the ledger said.
	Problem *api.Problem `json:"problem"`
}

// spool is the file. What is counted in memory is what the file holds after the last transaction.
type spool struct {
	db       *bbolt.DB
	agent    string
	maxBytes int64

	mu      sync.Mutex // held over every transaction that writes
	id      string
	number  uint64
	mark    string
	waiting int // readings in the readings bucket
	refused int // readings in the refused bucket
	bytes   int64
	since   time.Time // when the first of the waiting readings came; zero: before this process
	hurried bool      // whoever waits does not want readings to gather
	sending *sealed
	empty   chan struct{} // closed when nothing waits any more; nil while nobody waits for it
}

func openSpool(path, agent string, maxBytes int64) (*spool, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: patience, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &spool{db: db, agent: agent, maxBytes: maxBytes}
	if err := db.Update(s.load); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return s, nil
}

// load makes what is missing and counts what is there.
func (s *spool) load(tx *bbolt.Tx) error {
	for _, name := range [][]byte{metaBucket, readingsBucket, refusedBucket, leaseBucket} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(metaBucket)
	if owner := meta.Get(agentKey); owner == nil {
		if err := errors.Join(meta.Put(agentKey, []byte(s.agent)), meta.Put(spoolKey, []byte(rand.Text()))); err != nil {
			return err
		}
	} else if string(owner) != s.agent {
		return fmt.Errorf("it is the folder of agent %.80q, not of %q", owner, s.agent)
	}
	s.id, s.mark = string(meta.Get(spoolKey)), string(meta.Get(markKey))
	if b := meta.Get(numberKey); len(b) == 8 {
		s.number = binary.BigEndian.Uint64(b)
	}
	if b := meta.Get(sendingKey); b != nil {
		s.sending = &sealed{spool: s.id}
		if err := json.Unmarshal(b, s.sending); err != nil {
			return fmt.Errorf("read the report that is being sent: %w", err)
		}
		s.bytes += int64(len(b))
	}
	err := tx.Bucket(readingsBucket).ForEach(func(k, v []byte) error {
		s.waiting++
		s.bytes += size(k, v)
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(refusedBucket).ForEach(func(k, v []byte) error {
		r, err := readRefused(k, v)
		s.refused += len(r.Readings)
		s.bytes += size(k, v)
		return err
	})
}

func readRefused(k, v []byte) (RefusedReport, error) {
	r := RefusedReport{ID: binary.BigEndian.Uint64(k)}
	if err := json.Unmarshal(v, &r); err != nil {
		return r, fmt.Errorf("read a report that was refused: %w", err)
	}
	return r, nil
}

func size(k, v []byte) int64 { return int64(len(k) + len(v)) }

func (s *spool) close() error { return s.db.Close() }

// update runs a transaction on a copy of what is counted in memory, and takes the copy over when it is on disk.
func (s *spool) update(fn func(tx *bbolt.Tx, after *spool) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := &spool{
		id: s.id, number: s.number, mark: s.mark, waiting: s.waiting, refused: s.refused, bytes: s.bytes, since: s.since, sending: s.sending,
	}
	if err := s.db.Update(func(tx *bbolt.Tx) error { return fn(tx, after) }); err != nil {
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			return ErrClosed
		}
		return err
	}
	s.id, s.number, s.mark, s.waiting, s.refused, s.bytes, s.since, s.sending =
		after.id, after.number, after.mark, after.waiting, after.refused, after.bytes, after.since, after.sending
	if s.waiting == 0 && s.sending == nil {
		s.hurried = false
		if s.empty != nil {
			close(s.empty)
			s.empty = nil
		}
	}
	return nil
}

// add puts readings, and a mark where there is one, on disk.
func (s *spool) add(mark string, readings []api.Reading, now time.Time) error {
	if mark == "" && len(readings) == 0 {
		return nil
	}
	return s.update(func(tx *bbolt.Tx, after *spool) error {
		if err := after.append(tx, readings); err != nil {
			return err
		}
		if after.bytes > s.maxBytes {
			return &FullError{Bytes: s.bytes, MaxBytes: s.maxBytes}
		}
		if s.waiting == 0 {
			after.since = now
		}
		if mark == "" {
			return nil
		}
		after.mark = mark
		return tx.Bucket(metaBucket).Put(markKey, []byte(mark))
	})
}

// append puts readings behind those that wait.
func (s *spool) append(tx *bbolt.Tx, readings []api.Reading) error {
	b := tx.Bucket(readingsBucket)
	b.FillPercent = 1 // keys only grow
	for i := range readings {
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		value, err := json.Marshal(readings[i])
		if err != nil {
			return err
		}
		k := key(n)
		if err := b.Put(k, value); err != nil {
			return err
		}
		s.waiting++
		s.bytes += size(k, value)
	}
	return nil
}

// next is what is to be sent now: the report that is sealed, or one that is sealed for it when its readings have gathered. If
// there is none, pause is when to look again; 0 where nothing waits.
func (s *spool) next(gather time.Duration, now time.Time) (next *sealed, pause time.Duration, err error) {
	s.mu.Lock()
	next, pause = s.sending, s.gathering(gather, now)
	s.mu.Unlock()
	if next != nil || pause != 0 {
		return next, max(pause, 0), nil
	}
	err = s.update(func(tx *bbolt.Tx, after *spool) error { return after.seal(tx) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sending, 0, err
}

// gathering is how long readings still wait for others: 0 if they have gathered, below 0 if there are none.
func (s *spool) gathering(gather time.Duration, now time.Time) time.Duration {
	switch {
	case s.waiting == 0:
		return -1
	case s.waiting >= api.MaxReadings || s.hurried || gather <= 0 || s.since.IsZero():
		return 0
	}
	// A clock that was turned back makes nothing wait longer.
	return max(0, min(gather, s.since.Add(gather).Sub(now)))
}

// seal makes a report of the readings that wait, under the next number.
func (s *spool) seal(tx *bbolt.Tx) error {
	if s.sending != nil || s.waiting == 0 {
		return nil
	}
	made := &sealed{spool: s.id, fresh: true}
	c := tx.Bucket(readingsBucket).Cursor()
	for k, v := c.First(); k != nil && len(made.Readings) < api.MaxReadings; k, v = c.First() {
		var r api.Reading
		if err := json.Unmarshal(v, &r); err != nil {
			return fmt.Errorf("read a reading of the spool: %w", err)
		}
		made.Readings = append(made.Readings, r)
		s.waiting--
		s.bytes -= size(k, v)
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return s.send(tx, made)
}

// send gives a report the next number and puts it where the one that is being sent stands.
func (s *spool) send(tx *bbolt.Tx, made *sealed) error {
	s.number++
	made.Number = s.number
	if err := tx.Bucket(metaBucket).Put(numberKey, key(s.number)); err != nil {
		return err
	}
	return s.put(tx, made)
}

// put writes the report that is being sent.
func (s *spool) put(tx *bbolt.Tx, report *sealed) error {
	meta := tx.Bucket(metaBucket)
	s.bytes -= int64(len(meta.Get(sendingKey)))
	s.sending = report
	if report == nil {
		return meta.Delete(sendingKey)
	}
	value, err := json.Marshal(report)
	if err != nil {
		return err
	}
	s.bytes += int64(len(value))
	return meta.Put(sendingKey, value)
}

// settle is for the report that is being sent when the ledger has it.
func (s *spool) settle() error {
	return s.update(func(tx *bbolt.Tx, after *spool) error { return after.put(tx, nil) })
}

// giveUp turns the report that is being sent into one that declares its number void.
func (s *spool) giveUp(p *api.Problem) error {
	return s.update(func(tx *bbolt.Tx, after *spool) error {
		void := *after.sending
		void.Void, void.Refused = reasonOf(p), p
		return after.put(tx, &void)
	})
}

// setAside is for the report that is being sent when the ledger knows that its number is void: the readings that were to
// blame are put aside, and the others wait again.
func (s *spool) setAside(now time.Time) error {
	return s.update(func(tx *bbolt.Tx, after *spool) error {
		given := after.sending
		if err := after.put(tx, nil); err != nil {
			return err
		}
		return after.divide(tx, given, now)
	})
}

// divide puts the readings of a report that were to blame for its refusal aside, and lets the others wait again.
func (s *spool) divide(tx *bbolt.Tx, given *sealed, now time.Time) error {
	good, bad := blame(given.Readings, given.Refused, now)
	b := tx.Bucket(refusedBucket)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	value, err := json.Marshal(RefusedReport{Readings: bad, Spool: given.spool, Number: given.Number, Problem: given.Refused})
	if err != nil {
		return err
	}
	k := key(n)
	if err := b.Put(k, value); err != nil {
		return err
	}
	s.refused += len(bad)
	s.bytes += size(k, value)
	return s.append(tx, good)
}

// renew begins a new spool, in which numbers start again: those of the old one are used by somebody else, so that what is
// being sent is in the ledger under none of them.
func (s *spool) renew(now time.Time) error {
	return s.update(func(tx *bbolt.Tx, after *spool) error {
		was := after.sending
		after.id, after.number = rand.Text(), 0
		meta := tx.Bucket(metaBucket)
		if err := errors.Join(meta.Put(spoolKey, []byte(after.id)), meta.Delete(numberKey)); err != nil {
			return err
		}
		if was.Void == "" {
			return after.send(tx, &sealed{spool: after.id, Readings: was.Readings, fresh: true})
		}
		if err := after.put(tx, nil); err != nil {
			return err
		}
		return after.divide(tx, was, now)
	})
}

// hurry lets nothing gather any longer, and gives what is closed when nothing waits any more; nil if nothing does.
func (s *spool) hurry() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == 0 && s.sending == nil {
		return nil
	}
	s.hurried = true
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	return s.empty
}

func (s *spool) marked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

func (s *spool) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Spool: s.id, Next: s.number + 1, Waiting: s.waiting, Refused: s.refused, Bytes: s.bytes, MaxBytes: s.maxBytes}
	if s.sending != nil {
		st.Waiting += len(s.sending.Readings)
	}
	return st
}

func (s *spool) refusedReports() (all []RefusedReport, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(refusedBucket).ForEach(func(k, v []byte) error {
			r, err := readRefused(k, v)
			all = append(all, r)
			return err
		})
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (s *spool) forget(ids ...uint64) error {
	err := s.update(func(tx *bbolt.Tx, after *spool) error {
		b := tx.Bucket(refusedBucket)
		for _, id := range ids {
			k := key(id)
			v := b.Get(k)
			if v == nil {
				continue
			}
			r, err := readRefused(k, v)
			if err != nil {
				return err
			}
			after.refused -= len(r.Readings)
			after.bytes -= size(k, v)
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget what was refused: %w", err)
	}
	return nil
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// blame divides the readings of a refused report into those that the refusal does not touch and those that it does. The ledger
// names the first reading that it does not like. If that is for its time, all that are as late, or as old, are to blame
// with it: otherwise a clock that is wrong would cost one number for every reading. If it names none, all are.
func blame(readings []api.Reading, p *api.Problem, now time.Time) (good, bad []api.Reading) {
	i, field := named(p)
	if i < 0 || i >= len(readings) {
		return nil, readings
	}
	at := readings[i].At
	late := at.After(now.AddDate(0, -maxMonths/2, 0)) // rather than a year old
	for j, r := range readings {
		if j == i || field == "at" && (late && !r.At.Before(at) || !late && !r.At.After(at)) {
			bad = append(bad, r)
		} else {
			good = append(good, r)
		}
	}
	return good, bad
}

// blamesNumber says whether a refusal is about the report's number: too far ahead of what the ledger has seen of the spool.
func blamesNumber(p *api.Problem) bool {
	return slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return strings.TrimPrefix(e.Location, "body.") == "seq" })
}

// named is the reading that a refusal names, and the field of it; below 0 where it names none.
func named(p *api.Problem) (i int, field string) {
	for _, e := range p.Errors {
		_, place, ok := strings.Cut(e.Location, "readings[")
		if !ok {
			continue
		}
		index, rest, _ := strings.Cut(place, "]")
		if i, err := strconv.Atoi(index); err == nil {
			return i, strings.TrimPrefix(rest, ".")
		}
	}
	return -1, ""
}
