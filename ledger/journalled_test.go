package ledger_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// checkJournal compares a journal with the log, once nothing is in flight: of the records that it says are at their place every one is, with the same bytes; of
// the dropped ones none is.
func checkJournal(t *testing.T, h *house) {
	t.Helper()
	stands := make(map[string]uint64)
	log := h.stream.Records()
	for _, r := range log {
		stands[r.ID] = r.Seq
	}
	journalled := make(map[string]ledger.Journalled)
	for _, r := range h.journal.Records() {
		journalled[r.ID] = r // whether it was dropped comes last
	}
	for id, r := range journalled {
		seq, there := stands[id]
		switch {
		case r.Dropped && there:
			t.Errorf("record %s is journalled as dropped, and stands at %d", id, seq)
		case r.Dropped:
		case !there || seq != r.Seq:
			t.Errorf("record %s is journalled for %d, and stands at %d", id, r.Seq, seq)
		default:
			if d := cmp.Diff(log[seq-1].Record, r.Record); d != "" {
				t.Errorf("record %s (- log, + journal):\n%s", id, d)
			}
		}
	}
}

func TestAnswersWaitForTheJournal(t *testing.T) {
	h := newHouse(t)
	gate := h.journal.Hold()
	c := h.command("acme", allocate("pc-1"))
	answer := make(chan error, 1)
	go func() {
		_, err := h.Submit(t.Context(), c)
		answer <- err
	}()
	<-gate.Reached
	await(t, func() bool { return len(byCommand(t, h.stream)[c.ID]) == 1 })
	select {
	case err := <-answer:
		t.Errorf("answered with %v before it was journalled", err)
	default:
	}
	gate.Open()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	checkJournal(t, h)
}

// A journal that fails: nobody is told that anything was recorded, and from then on nothing is.
func TestJournalFails(t *testing.T) {
	for _, fault := range []ledgertest.Fault{ledgertest.None, ledgertest.AckLost, ledgertest.MessageLost, ledgertest.Refused, ledgertest.Overtaken, ledgertest.Phantom} {
		h := newHouse(t)
		h.journal.Fail()
		h.log.Next(fault)
		if _, err := h.Submit(t.Context(), h.command("acme", allocate("pc-1"))); !errors.Is(err, ledger.ErrOutcomeUnknown) || !errors.Is(err, ledgertest.ErrJournal) {
			t.Errorf("fault %d: in flight: %v", fault, err)
		}
		if err := h.Err(); !errors.Is(err, ledgertest.ErrJournal) {
			t.Errorf("fault %d: the sequencer says %v", fault, err)
		}
		before := len(entries(t, h.stream))
		for _, body := range []license.Body{allocate("pc-2"), license.Buy{Type: "server", Quantity: 1}, report("agent", 1, 1)} {
			if _, err := h.Submit(t.Context(), h.command("acme", body)); !errors.Is(err, ledger.ErrUnavailable) {
				t.Errorf("fault %d: afterwards: %v", fault, err)
			}
		}
		if after := len(entries(t, h.stream)); after != before {
			t.Errorf("fault %d: %d entries were recorded afterwards", fault, after-before)
		}
	}
}

// A record that was refused, or overtaken, is journalled as dropped before its callers hear of it.
func TestDroppedBeforeToldSo(t *testing.T) {
	for _, fault := range []ledgertest.Fault{ledgertest.Refused, ledgertest.Overtaken} {
		h := newHouse(t)
		before := len(h.journal.Records())
		h.log.Next(fault)
		_, err := h.Submit(t.Context(), h.command("acme", allocate("pc-1")))
		if (err != nil) != (fault == ledgertest.Refused) {
			t.Error(err)
		}
		now := h.journal.Records()[before:]
		if len(now) < 2 || now[0].Dropped || !now[1].Dropped || now[0].ID != now[1].ID {
			t.Errorf("fault %d: journalled was %+v", fault, now)
		}
	}
}

func TestJournalledForm(t *testing.T) {
	r := events.Record{ID: "01KGB5TQ0JXW7E1R8Z3S5V9M2C", Prev: "01KGB5TPZH4N6Y0K8D2T7F3QXA", First: 1207, Body: []byte("{}\n{}\n")}
	kept, dropped := ledger.Journalled{Record: r, Seq: 42}, ledger.Journalled{Record: r, Seq: 42, Dropped: true}
	if got, want := string(kept.Head()), `{"seq":42,"id":"01KGB5TQ0JXW7E1R8Z3S5V9M2C","prev":"01KGB5TPZH4N6Y0K8D2T7F3QXA","first":1207}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	read, err := ledger.ParseJournalled(slices.Concat(kept.Head(), kept.Body))
	if d := cmp.Diff(kept, read); err != nil || d != "" {
		t.Errorf("%v (- written, + read):\n%s", err, d)
	}
	read, err = ledger.ParseJournalled(dropped.Head())
	if dropped.Body = []byte{}; err != nil || !cmp.Equal(dropped, read) {
		t.Errorf("%v: %s", err, cmp.Diff(dropped, read))
	}
	for _, text := range []string{
		"", "{}", "{}\n", "x\ny\n", `{"seq":1,"id":"a","first":0}` + "\n", `{"seq":1,"id":"a","first":0,"dropped":true}` + "\n{}\n",
		`{"seq":0,"id":"a","first":0}` + "\n{}\n", `{"seq":1,"first":0}` + "\n{}\n", `{"seq":1,"id":"a","first":0,"more":1}` + "\n{}\n",
	} {
		if got, err := ledger.ParseJournalled([]byte(text)); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
}

func FuzzParseJournalled(f *testing.F) {
	f.Add([]byte(`{"seq":42,"id":"a","prev":"b","first":1207}` + "\n{}\n"))
	f.Add([]byte(`{"seq":42,"id":"a","first":0,"dropped":true}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ledger.ParseJournalled(b)
		if err != nil {
			return
		}
		again, err := ledger.ParseJournalled(slices.Concat(r.Head(), r.Body))
		if err != nil || again.ID != r.ID || again.Seq != r.Seq || again.First != r.First || !bytes.Equal(again.Body, r.Body) {
			t.Errorf("%q is read as %+v, then %+v, %v", b, r, again, err)
		}
	})
}
