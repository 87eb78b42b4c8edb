package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// A group action that changes nothing makes no entry, and its receipt says what could not be done; one that does
// something gives its first answer again.
func TestGroupReceipt(t *testing.T) {
	h := newHouse(t)
	id := events.LicenseAfter(h.must("acme", allocate("pc-1")).Events[0].Data).ID
	n := len(entries(t, h.stream))
	r := h.must("acme", license.Group{Action: events.GroupAutoRenewOn, Licenses: []string{id, "nothing"}})
	want := &events.GroupApplied{
		Action: events.GroupAutoRenewOn, Unchanged: []string{id}, Refused: []events.GroupRefusal{{License: "nothing", Code: "not_found"}},
	}
	if diff := cmp.Diff(want, r.Group); diff != "" || len(r.Events) > 0 || len(entries(t, h.stream)) != n {
		t.Errorf("%d events, %s", len(r.Events), diff)
	}
	c := h.command("acme", license.Group{Action: events.GroupAutoRenewOff, Licenses: []string{id, "nothing"}})
	c.ID = "http/test/k"
	first, err := h.Submit(t.Context(), c)
	if err != nil || first.Group != nil || len(first.Events) != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	h.must("acme", license.Release{License: id})
	again, err := h.Submit(t.Context(), c)
	if err != nil || !again.Duplicate {
		t.Fatalf("%+v, %v", again, err)
	}
	if diff := cmp.Diff(first.Events, again.Events); diff != "" {
		t.Error(diff)
	}
}

// L14: the sequencer asks on behalf of whoever may not buy.
func TestNoBuy(t *testing.T) {
	h := newHouse(t)
	c := h.command("acme", allocate("pc-1"))
	c.NoBuy = true
	n := len(entries(t, h.stream))
	if _, err := h.Submit(t.Context(), c); code(err) != license.PermissionDenied || len(entries(t, h.stream)) != n {
		t.Errorf("%v, %d entries", err, len(entries(t, h.stream))-n)
	}
	h.must("acme", license.Buy{Type: "server", Quantity: 1})
	if _, err := h.Submit(t.Context(), c); err != nil {
		t.Error(err)
	}
}
