package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/projections/viewtest"
)

// later lets time pass, and then waits until everybody waits for something. The time is the bubble's.
func later(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Domain U1, U3: readings gather for a bounded time, and come in reports of at most 500, numbered in order.
func TestReadingsGatherU3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger, Company: "globex", Gather: 10 * time.Second})
		report(t, a, named(0))
		later(6 * time.Second)
		report(t, a, named(1), named(2))
		later(4*time.Second - time.Millisecond)
		if got := ledger.sent(); len(got) != 0 {
			t.Errorf("sent before 10 s: %+v", got)
		}
		later(time.Millisecond)
		if got := ledger.sent(); len(got) != 1 || len(got[0].Readings) != 3 || got[0].Agent != "pc-17" || got[0].Company != "globex" || got[0].Spool == "" || got[0].Seq != 1 {
			t.Errorf("%+v", got)
		}
		report(t, a, namedMany(3, 1203)...)
		synctest.Wait()
		if got := ledger.sent(); len(got) != 3 || len(got[1].Readings) != 500 || len(got[2].Readings) != 500 {
			t.Errorf("%d reports; those that are full need not wait", len(got))
		}
		if s := a.Status(); s.Waiting != 200 || s.Next != 4 || s.Bytes == 0 || s.Err != nil {
			t.Errorf("%+v", s)
		}
		later(10 * time.Second)
		ledger.whole(t, 1203)
		if !slices.IsSorted(ledger.order) {
			t.Error("not in order")
		}
		if s := a.Status(); s.Waiting != 0 || s.Bytes != 0 || s.Next != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// Domain U2: whatever gets lost on the way, and however often the program ends, every reading is in the ledger exactly once
// and no number is missing.
func TestExactlyOnceU2(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 12).Draw(rt, "steps")
		faults := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 30).Draw(rt, "faults")
		synctest.Test(t, func(t *testing.T) {
			ledger, dir, n, i := newFake(), viewtest.TempDir(t), 0, 0
			fault := func(kind int, err error) func(api.Report) error {
				return func(api.Report) error {
					i++
					if faults[i%len(faults)] == kind {
						return err
					}
					return nil
				}
			}
			ledger.fail(fault(1, errCut), fault(2, errCut))
			o := agent.Options{Agent: "pc-17", Transport: ledger, Gather: time.Second, MinBackoff: time.Second, MaxBackoff: 4 * time.Second}
			a := open(t, dir, o)
			for _, step := range steps {
				switch {
				case step < 6:
					report(t, a, namedMany(n, n+1+step*step*step*3)...)
					n += 1 + step*step*step*3
				case step < 8:
					later(time.Duration(step-5) * time.Second)
				default:
					shut(t, a)
					a = open(t, dir, o)
				}
			}
			ledger.fail(nil, nil)
			flush(t, a)
			ledger.whole(t, n)
			shut(t, a)
		})
	})
}

// Domain U2: a folder is one spool for ever; numbers, mark and what was not sent outlive the process.
func TestReopenedU2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, dir := newFake(), viewtest.TempDir(t)
		o := agent.Options{Transport: ledger}
		a := open(t, dir, o)
		if err := a.ReportMarked("job 2", named(0), named(1)); err != nil || a.Mark() != "job 2" {
			t.Fatal(err)
		}
		flush(t, a)
		was := a.Status()
		ledger.fail(always(errCut), nil)
		report(t, a, named(2))
		later(time.Hour)
		shut(t, a)
		if err := a.Report(named(3)); !errors.Is(err, agent.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		<-time.After(60 * 24 * time.Hour) // weeks offline
		a = open(t, dir, o)
		if s := a.Status(); s.Spool != was.Spool || s.Waiting != 1 || a.Mark() != "job 2" {
			t.Errorf("%+v, before it %+v", s, was)
		}
		shut(t, a)
		ledger.fail(nil, nil)
		a = open(t, dir, o)
		synctest.Wait()
		ledger.whole(t, 3) // what waits from before does not gather
		if err := a.ReportMarked("job 3"); err != nil || a.Mark() != "job 3" {
			t.Error(err)
		}
		shut(t, a)
		if other := open(t, viewtest.TempDir(t), o); other.Status().Spool == was.Spool || other.Mark() != "" {
			t.Error("two folders are one spool")
		}
	})
}

// A full spool refuses, says so, keeps what it has, and takes readings again once some were sent.
func TestFullSpool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger, dir := newFake(), viewtest.TempDir(t)
		ledger.fail(always(errCut), nil)
		const most = 1 << 20
		a := open(t, dir, agent.Options{Transport: ledger, MaxBytes: most})
		n := 0
		var err error
		for ; err == nil; n += 100 {
			err = a.Report(namedMany(n, n+100)...)
		}
		n -= 100
		var full *agent.FullError
		if !errors.Is(err, agent.ErrFull) || !errors.As(err, &full) || full.Bytes > most || full.MaxBytes != most {
			t.Errorf("%v", err)
		}
		if s := a.Status(); s.Waiting != n || s.Bytes > most {
			t.Errorf("%+v, want %d readings", s, n)
		}
		if info, err := os.Stat(filepath.Join(dir, "agent.db")); err != nil || info.Size() > 2*most {
			t.Errorf("the file has %d bytes, %v", info.Size(), err)
		}
		if err := a.ReportMarked("x", namedMany(n, n+100)...); !errors.Is(err, agent.ErrFull) || a.Mark() != "" {
			t.Errorf("a mark without its readings: %v", err)
		}
		ledger.fail(nil, nil)
		flush(t, a)
		report(t, a, namedMany(n, n+100)...)
		flush(t, a)
		ledger.whole(t, n+100)
	})
}

// What the ledger refuses for good holds up nothing: its number is given up, what was to blame is put aside, the rest is sent.
func TestRefusedReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		ledger.ahead = -time.Hour // so the machine's clock is an hour ahead
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger})
		now := time.Now()
		at := func(i int, d time.Duration) api.Reading { r := named(i); r.At = now.Add(d); return r }
		report(t, a, at(0, -2*time.Hour), at(100, 0), at(1, -time.Hour), at(101, time.Minute), at(102, -time.Minute))
		flush(t, a)
		report(t, a, at(2, -3*time.Hour))
		flush(t, a)
		bad, err := a.Refused()
		if err != nil || len(bad) != 2 {
			t.Fatalf("%+v, %v", bad, err)
		}
		// One number for all that are at least as late as the reading that the ledger named.
		for i, want := range [][]string{{"r00100", "r00101"}, {"r00102"}} {
			r := bad[i]
			var meters []string
			for _, reading := range r.Readings {
				meters = append(meters, reading.Meter)
			}
			if !slices.Equal(meters, want) || r.Number != uint64(i+1) || r.Spool != a.Status().Spool || r.Problem.Code != api.CodeInvalid || len(r.Problem.Errors) != 1 {
				t.Errorf("%+v, want %v", r, want)
			}
		}
		if len(ledger.voids) != 2 || ledger.voids[0] != "refused: invalid: a time that makes no sense (body.readings[1].at: not now)" {
			t.Errorf("%q", ledger.voids)
		}
		ledger.whole(t, 3)
		if s := a.Status(); s.Refused != 3 || s.Waiting != 0 || s.Bytes == 0 || s.Next != 5 {
			t.Errorf("%+v", s)
		}
		if err := a.Forget(bad[0].ID, 1000); err != nil {
			t.Error(err)
		}
		if left, err := a.Refused(); err != nil || len(left) != 1 || left[0].ID != bad[1].ID || a.Status().Refused != 1 {
			t.Errorf("%+v, %v", left, err)
		}
	})
}

// What names no reading is the whole report's fault; what is too old takes all with it that are older.
func TestRefusedReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		ledger.fail(func(r api.Report) error {
			if r.Seq == 1 && r.Void == "" {
				return api.NewProblem(api.CodeTooLarge, strings.Repeat("ä\n", 300))
			}
			return nil
		}, nil)
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger})
		report(t, a, named(100), named(101))
		flush(t, a)
		if bad, err := a.Refused(); err != nil || len(bad) != 1 || len(bad[0].Readings) != 2 || bad[0].Problem.Code != api.CodeTooLarge {
			t.Errorf("%+v, %v", bad, err)
		}
		if len(ledger.voids) != 1 || len(ledger.voids[0]) > 256 || len(ledger.voids[0]) < 250 || strings.ContainsAny(ledger.voids[0], "\n\ufffd") {
			t.Errorf("%q", ledger.voids)
		}
		at := func(i, months int) api.Reading {
			r := named(i)
			r.At = time.Now().AddDate(0, -months, 0)
			return r
		}
		ledger.ahead = 3 * 30 * 24 * time.Hour // the machine's clock is three months behind
		report(t, a, at(0, 5), at(103, 11), at(1, 2), at(102, 12))
		flush(t, a)
		ledger.whole(t, 2)
		if bad, err := a.Refused(); err != nil || len(bad) != 2 || bad[1].Number != 2 || len(bad[1].Readings) != 2 {
			t.Errorf("%+v, %v", bad, err)
		}
	})
}

// A report that was refused and arrives late all the same, when the ledger's clock has caught up, is not sent again.
func TestRefusedAndRecordedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		ledger.ahead = -time.Hour
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger})
		ledger.fail(func(r api.Report) error {
			if r.Void != "" {
				// The first attempt, which the network had kept: now it comes.
				first := ledger.reports[0]
				ledger.ahead = 0
				if _, err := ledger.take(first); err != nil {
					t.Error(err)
				}
			}
			return nil
		}, nil)
		report(t, a, named(0), named(1))
		flush(t, a)
		ledger.whole(t, 2)
		if s := a.Status(); s.Refused != 0 || len(ledger.voids) != 0 {
			t.Errorf("%+v, %q", s, ledger.voids)
		}
	})
}

// Domain U2: two agents with copies of one folder. Neither loses a reading, whether the ledger still knows the content of the
// numbers that both use, or has seen too many since.
func TestCopiedSpoolU2(t *testing.T) {
	for _, since := range []int{1, 16, 17, 40} {
		t.Run(fmt.Sprint(since), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger, first, second := newFake(), viewtest.TempDir(t), filepath.Join(viewtest.TempDir(t), "copy")
				o := agent.Options{Transport: ledger}
				a := open(t, first, o)
				report(t, a, named(0))
				flush(t, a)
				shut(t, a)
				if err := os.CopyFS(second, os.DirFS(first)); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(filepath.Join(second, "agent.db"), 0o600); err != nil {
					t.Fatal(err)
				}
				a = open(t, first, o)
				for i := range since {
					report(t, a, named(1+i))
					flush(t, a)
				}
				b := open(t, second, o)
				report(t, b, namedMany(1+since, 601+since)...)
				flush(t, b)
				report(t, a, named(601+since))
				flush(t, a)
				ledger.whole(t, 602+since)
				if a.Status().Spool == b.Status().Spool {
					t.Error("both go on in one spool")
				}
				if len(ledger.voids) > 0 {
					t.Errorf("%q", ledger.voids)
				}
			})
		})
	}
}

// A number that the ledger takes in no form, as of a spool that is far ahead of what it knows: a new spool.
func TestNumberThatCannotBeUsed(t *testing.T) {
	for name, refuse := range map[string]func(r api.Report) bool{
		"it says so":           func(api.Report) bool { return true },
		"it blames a reading":  func(r api.Report) bool { return r.Void == "" },
		"it says nothing more": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger := newFake()
				a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger})
				old := a.Status().Spool
				ledger.fail(func(r api.Report) error {
					if r.Spool != old {
						return nil
					}
					p := api.NewProblem(api.CodeInvalid, "no")
					switch {
					case refuse == nil:
					case !refuse(r):
						p.Errors = []api.FieldError{{Location: "body.void"}}
					case r.Void == "" && name == "it blames a reading":
						p.Errors = []api.FieldError{{Location: "body.readings[1].meter"}}
					default:
						p.Errors = []api.FieldError{{Location: "body.seq"}}
					}
					return p
				}, nil)
				report(t, a, named(0), named(1))
				flush(t, a)
				taken := map[string]int{"it says so": 2, "it blames a reading": 1}[name]
				ledger.whole(t, taken)
				if s := a.Status(); s.Spool == old || s.Refused != 2-taken {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// What is not the report's fault is waited out, for ever if need be; the program sees it, and nothing is given up.
func TestWaitedOut(t *testing.T) {
	overloaded := api.NewProblem(api.CodeOverloaded, "")
	overloaded.RetryAfter = 90 * time.Second
	for name, err := range map[string]error{
		"network": errCut, "token": api.NewProblem(api.CodeUnauthenticated, ""), "permission": api.NewProblem(api.CodePermissionDenied, ""),
		"company": api.NewProblem(api.CodeNotFound, ""), "ledger": api.NewProblem(api.CodeInternal, ""), "overloaded": overloaded,
		"another server": &api.Problem{Status: 422, Title: "Unprocessable"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ledger := newFake()
				ledger.fail(always(err), nil)
				a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger, Gather: -1})
				report(t, a, named(0))
				later(2 * 24 * time.Hour)
				s := a.Status()
				if !errors.Is(s.Err, err) || !s.Retry.After(time.Now()) || s.Retry.After(time.Now().Add(90*time.Second)) || s.Waiting != 1 {
					t.Errorf("%+v", s)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if got := a.Flush(ctx); !errors.Is(got, context.DeadlineExceeded) || !errors.Is(got, err) {
					t.Errorf("flush: %v", got)
				}
				ledger.fail(nil, nil)
				later(90 * time.Second)
				ledger.whole(t, 1)
				if s := a.Status(); s.Err != nil || !s.Retry.IsZero() || s.Refused != 0 || len(ledger.voids) != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// Pauses double, are random within half of themselves, and never shorter than the ledger asks for.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		var at []time.Time
		busy := api.NewProblem(api.CodeUnavailable, "")
		ledger.fail(func(api.Report) error {
			if at = append(at, time.Now()); len(at) == 8 {
				busy.RetryAfter = 20 * time.Second
			}
			return busy
		}, nil)
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger, Gather: -1, MinBackoff: time.Second, MaxBackoff: 8 * time.Second})
		report(t, a, named(0))
		later(time.Minute)
		ledger.fail(nil, nil)
		if len(at) < 9 {
			t.Fatalf("%d attempts", len(at))
		}
		for i, longest := range []time.Duration{1, 2, 4, 8, 8, 8, 8} {
			if got := at[i+1].Sub(at[i]); got < longest*time.Second/2 || got > longest*time.Second {
				t.Errorf("pause %d: %s", i, got)
			}
		}
		if got := at[8].Sub(at[7]); got != 20*time.Second {
			t.Errorf("Retry-After 20 s: %s", got)
		}
	})
}

func TestReadingsAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := newFake()
		a := open(t, viewtest.TempDir(t), agent.Options{Transport: ledger, Gather: -1})
		now := time.Now()
		good := api.Reading{Meter: "m", Value: "1", At: now}
		for name, r := range map[string]api.Reading{
			"no meter": {Value: "1"}, "long meter": {Meter: strings.Repeat("m", 65), Value: "1"}, "meter": {Meter: "ä", Value: "1"},
			"quoted meter": {Meter: `"`, Value: "1"}, "no value": {Meter: "m"}, "text": {Meter: "m", Value: "x"}, "negative": {Meter: "m", Value: "-1"},
			"exponent": {Meter: "m", Value: "1e3"}, "leading zero": {Meter: "m", Value: "01"}, "point": {Meter: "m", Value: "1."},
			"no digit": {Meter: "m", Value: ".5"}, "19 digits": {Meter: "m", Value: "1000000000000000000"}, "10 places": {Meter: "m", Value: "0.0000000001"},
			"10 and 9 digits": {Meter: "m", Value: "1234567890.123456789"},
			"future":          {Meter: "m", Value: "1", At: now.Add(5*time.Minute + time.Millisecond)},
			"long ago":        {Meter: "m", Value: "1", At: now.AddDate(0, -13, -3)},
		} {
			if err := a.Report(good, r); err == nil || !strings.Contains(err.Error(), "reading 1: ") {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, value := range []string{"0", "0.0", "0.000000001", "999999999999999999", "123456789.123456789", "1.5000000000000000000", "10"} {
			if err := a.Report(api.Reading{Meter: "m", Value: "1"}, api.Reading{Meter: strings.Repeat("m", 64), Value: json.Number(value), At: now.Add(5 * time.Minute)}); err != nil {
				t.Errorf("%s: %v", value, err)
			}
		}
		flush(t, a)
		for _, r := range ledger.sent() {
			if at := r.Readings[0].At; !at.Equal(now.Truncate(time.Millisecond)) || at.Location() != time.UTC {
				t.Errorf("a reading without time is of %s", at)
			}
		}
		if err := a.Report(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := viewtest.TempDir(t)
	a := open(t, dir, agent.Options{})
	if _, err := agent.Open(dir, agent.Options{Agent: "pc-17"}); !errors.Is(err, agent.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	report(t, a, named(0)) // without a transport it waits
	if err := a.Flush(t.Context()); err == nil || a.Status().Waiting != 1 {
		t.Errorf("flushed: %v", err)
	}
	shut(t, a)
	if _, err := agent.Open(dir, agent.Options{Agent: "pc-18"}); err == nil || !strings.Contains(err.Error(), "pc-17") {
		t.Errorf("another agent's: %v", err)
	}
	for name, o := range map[string]agent.Options{
		"no agent": {}, "agent": {Agent: "a b"}, "company": {Agent: "a", Company: "b.c"}, "bytes": {Agent: "a", MaxBytes: -1},
		"backoff": {Agent: "a", MinBackoff: time.Hour, MaxBackoff: time.Minute},
	} {
		if _, err := agent.Open(viewtest.TempDir(t), o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	file := filepath.Join(viewtest.TempDir(t), "agent.db")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a spool\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Open(filepath.Dir(file), agent.Options{Agent: "a"}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("damaged: %v", err)
	}
}
