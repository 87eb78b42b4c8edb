package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/license"
)

// Door takes commands, as a sequencer does.
type Door interface {
	Submit(ctx context.Context, c ledger.Command) (ledger.Receipt, error)
}

// raceKeys keys have raceSeats seats each, for which raceUsers users compete.
const raceKeys, raceSeats, raceUsers = 3, 4, 7

// RaceForSeats lets instances of the backup program start jobs, release seats, add and renew, all at once and through all doors of a ledger that is
// open and empty, and checks that it is linearizable, refusals included: every answer is one that some order of the commands, one after the other, would
// give (domain K5, K6, K8). The clock is that of all doors. A door may refuse with [ledger.ErrUnavailable], whereupon nothing was recorded.
func RaceForSeats(t testing.TB, seed uint64, clock *Clock, instances, each int, doors ...Door) {
	t.Helper()
	n := 0
	must := func(provider string, body license.Body) ledger.Receipt {
		t.Helper()
		n++
		c := ledger.Command{ID: fmt.Sprintf("once/race/%d", n), Provider: provider, Actor: "test", Body: body}
		c.Seed[0], c.Seed[1], c.Seed[2] = byte(n), byte(n>>8), 0xff
		for {
			r, err := doors[0].Submit(t.Context(), c)
			if err == nil || !errors.Is(err, ledger.ErrUnavailable) {
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
		}
	}
	must("acme", license.SetProvider{})
	must("acme", license.SetPaymentMethod{System: "fastspring", Account: "a"})
	must("", license.PublishCatalog{Catalog: withoutLock(t, clock)})
	now, _ := clock.Now() // it does not fail
	clock.Set(events.MonthOf(now).End())
	var keys [raceKeys]string
	for k := range keys {
		keys[k] = must("acme", license.OrderKey{Type: "backup-user", Seats: raceSeats, Salt: alias(k), Hash: events.Digest{byte(k)}}).Events[0].Data.(*events.KeyOrdered).Key.ID
		for i := range instances {
			must("acme", license.ActivateKey{Key: keys[k], Instance: fmt.Sprintf("srv-%d", i)})
		}
		must("acme", start(keys[k], 0, []uint8{1<<raceSeats - 1}))
	}
	now, _ = clock.Now()
	clock.Set(events.YearAfter(now)) // the keys have expired

	var mu sync.Mutex
	var history []porcupine.Operation
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range instances {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		door := doors[i%len(doors)]
		wg.Go(func() {
			for n := range each {
				in := drawRace(rng)
				c := ledger.Command{ID: fmt.Sprintf("once/%d/%d", i, n), Provider: "acme", Actor: "test", Body: in.body(keys[in.key], i)}
				c.Seed[0], c.Seed[1] = byte(i), byte(n)
				call := time.Since(begun).Nanoseconds()
				r, err := door.Submit(t.Context(), c)
				done := time.Since(begun).Nanoseconds()
				var refusal *license.Refusal
				switch {
				case errors.Is(err, ledger.ErrUnavailable):
					continue
				case err != nil && !errors.As(err, &refusal):
					t.Error(err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: i, Input: in, Call: call, Output: told(r, refusal), Return: done})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	model := porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, raceKeys)
			for _, op := range history {
				key := op.Input.(raceInput).key
				parts[key] = append(parts[key], op)
			}
			return parts
		},
		Init: func() any { return raceState{seats: raceSeats, users: 1<<raceSeats - 1, expired: true} },
		Step: func(state, input, output any) (bool, any) {
			s := state.(raceState)
			want := s.step(input.(raceInput))
			return want == output.(string), s
		},
	}
	if res := porcupine.CheckOperationsTimeout(model, history, time.Minute); res != porcupine.Ok {
		t.Errorf("%d operations of seed %d: %s", len(history), seed, res)
	}
	if len(history) < instances*each/2 {
		t.Errorf("only %d of %d commands were answered", len(history), instances*each)
	}
}

// withoutLock is the catalog of the next month, in which seats can be released at once.
func withoutLock(t testing.TB, clock *Clock) events.Catalog {
	t.Helper()
	now, err := clock.Now()
	if err != nil {
		t.Fatal(err)
	}
	c, _, _ := NewLedger(now).System.Catalogs.At(events.MonthOf(now))
	c.Effective, c.Types = events.MonthOf(now)+1, slices.Clone(c.Types)
	for i := range c.Types {
		c.Types[i].ReleaseLockDays = 0
	}
	return c
}

type raceOp int

const (
	raceStart raceOp = iota
	raceRelease
	raceRenew
	raceAdd
)

type raceInput struct {
	key   int
	op    raceOp
	needs []uint8 // of a job's objects: the users, a bit each
	user  int
	seats int
}

func drawRace(rng *rand.Rand) raceInput {
	in := raceInput{key: rng.IntN(raceKeys)}
	switch n := rng.IntN(10); {
	case n < 5:
		for range 1 + rng.IntN(3) {
			in.needs = append(in.needs, uint8(1+rng.IntN(1<<raceUsers-1)&rng.IntN(1<<raceUsers)))
		}
	case n < 8:
		in.op, in.user = raceRelease, rng.IntN(raceUsers)
	case n < 9:
		in.op, in.seats = raceRenew, 2+rng.IntN(4)
	default:
		in.op, in.seats = raceAdd, 1
	}
	return in
}

func (in *raceInput) body(key string, instance int) license.Body {
	switch in.op {
	case raceRelease:
		return license.ReleaseSeat{Key: key, Seat: alias(in.user)}
	case raceRenew:
		return license.RenewKey{Key: key, Seats: in.seats}
	case raceAdd:
		return license.AddSeats{Key: key, Seats: in.seats}
	}
	return start(key, instance, in.needs)
}

func alias(n int) string { return fmt.Sprintf("%032x", n) }

// start is the start of a job with groups of users.
func start(key string, instance int, needs []uint8) license.StartJob {
	c := license.StartJob{Key: key, Instance: fmt.Sprintf("srv-%d", instance), Job: "nightly", Kind: license.BackupJob}
	for i, users := range needs {
		o := entitle.Object{ID: alias(1000 + i), Kind: entitle.GroupMailbox}
		for user := range raceUsers {
			if users&(1<<user) != 0 {
				o.Users = append(o.Users, entitle.User{ID: alias(user)})
			}
		}
		c.Objects = append(c.Objects, o)
	}
	return c
}

// told is an answer as an observer sees it: the refusal, or what becomes of a job's objects.
func told(r ledger.Receipt, refusal *license.Refusal) string {
	if refusal != nil {
		return string(refusal.Code)
	}
	var b strings.Builder
	for _, part := range r.Job {
		for i := range part.Objects {
			fmt.Fprintf(&b, " %d", part.Objects[i].SeatsMissing)
		}
	}
	return b.String()
}

// raceState is a key as an observer must find it.
type raceState struct {
	seats   int
	users   uint8
	expired bool
	renewed bool // in advance
}

// step is what a command does to a key, and what it is answered.
func (s *raceState) step(in raceInput) string {
	switch in.op {
	case raceRelease:
		if s.users&(1<<in.user) == 0 {
			return string(license.NotFound)
		}
		s.users &^= 1 << in.user
		return ""
	case raceRenew:
		switch {
		case s.expired && in.seats < s.seats:
			*s = raceState{seats: in.seats}
		case s.expired:
			s.seats, s.expired = in.seats, false
		case s.renewed:
			return string(license.Invalid)
		default:
			s.renewed = true
		}
		return ""
	}
	if s.expired {
		return string(license.KeyExpired)
	}
	if in.op == raceAdd {
		s.seats += in.seats
		return ""
	}
	var b strings.Builder
	for _, needs := range in.needs {
		more := bits.OnesCount8(needs &^ s.users)
		missing := max(0, more-(s.seats-bits.OnesCount8(s.users)))
		if missing == 0 {
			s.users |= needs
		}
		fmt.Fprintf(&b, " %d", missing)
	}
	return b.String()
}

// CheckSeats checks entries of a log from its start: no key ever has more users than seats, no seat is given to somebody who has one, or taken
// from somebody who has none.
func CheckSeats(t testing.TB, entries []events.Entry) {
	t.Helper()
	seats, users := make(map[string]int), make(map[string]map[string]bool)
	for _, e := range entries {
		for _, ev := range e.Events {
			switch d := ev.Data.(type) {
			case *events.JobStarted:
				for _, o := range d.Objects {
					for _, user := range o.Assigned {
						if users[d.Key][user] {
							t.Errorf("entry %d: %s has a seat of %s and gets one", e.Number, user, d.Key)
						}
						users[d.Key][user] = true
					}
				}
				if n := len(users[d.Key]); n > seats[d.Key] {
					t.Errorf("entry %d: %d users have the %d seats of %s", e.Number, n, seats[d.Key], d.Key)
				}
			case *events.SeatReleased:
				if !users[d.Key][d.User] {
					t.Errorf("entry %d: %s has no seat of %s and loses it", e.Number, d.User, d.Key)
				}
				delete(users[d.Key], d.User)
			}
			if k, reset := events.KeyAfter(ev.Data); k != nil {
				if seats[k.ID] = k.Seats; reset || users[k.ID] == nil {
					users[k.ID] = make(map[string]bool)
				}
			}
		}
	}
}
