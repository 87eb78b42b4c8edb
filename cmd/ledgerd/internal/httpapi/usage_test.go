package httpapi_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

func event(agent, id string, sequence int, value string) map[string]any {
	return map[string]any{
		"specversion": "1.0", "source": agent, "id": id, "type": "backup_bytes", "sequence": fmt.Sprint(sequence), "subject": "globex",
		"time": "2026-02-10T08:00:00Z", "data": map[string]any{"value": value},
	}
}

// One bad event does not spoil the others, and every event goes by its own number (domain U2).
func TestCloudEvents(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const path = "/v1/providers/acme/usage"
	batchType := header("Content-Type", "application/cloudevents-batch+json; charset=utf-8")
	ok := func(agent, id string, sequence int) map[string]any {
		e := event(agent, id, sequence, "")
		e["data"] = map[string]any{"value": 5}
		return e
	}
	later := ok("pc-1", "d", 2)
	delete(later, "subject") // the first one makes the agent known
	batch := []any{ok("pc-1", "a", 1), event("pc-1", "b", 3, "text"), ok("pc 2", "c", 1), later, ok("pc-2", "e", 1), map[string]any{"id": "f"}, 5}
	a := h.call("POST", path, batch, batchType).is(200)
	want := []api.EventResult{
		{ID: "a", Status: "recorded"}, {ID: "b", Status: "refused", Code: "invalid"}, {ID: "c", Status: "refused", Code: "invalid"},
		{ID: "d", Status: "recorded"}, {ID: "e", Status: "recorded"}, {ID: "f", Status: "refused", Code: "invalid"}, {Status: "refused", Code: "invalid"},
	}
	if diff := cmp.Diff(want, into[api.BatchAnswer](a).Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	// Its position is that of the last event.
	rows := into[api.UsagePage](h.get(fmt.Sprintf("%s?after=%d&group_by=endpoint", path, a.position())).is(200)).Rows
	if len(rows) != 2 || rows[0].Value != "10" || rows[1].Value != "5" {
		t.Errorf("rows %+v", rows)
	}
	// Again: duplicates, and one number with other content.
	batch[0].(map[string]any)["data"] = map[string]any{"value": 6}
	got := into[api.BatchAnswer](h.call("POST", path, batch, batchType).is(200)).Results
	want[0] = api.EventResult{ID: "a", Status: "refused", Code: "sequence_reused"}
	want[3].Status, want[4].Status = "duplicate", "duplicate"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for _, body := range []string{`{}`, `5`, `null`} {
		h.call("POST", path, body, batchType).refused(422, "invalid")
	}
	h.call("POST", path, `[`, batchType).refused(400, "invalid")
	h.call("POST", path, `[]`, batchType).is(200)
}

// A batch of many events of few agents has an answer for each, in its order.
func TestLargeBatch(t *testing.T) {
	h := newHouse(t)
	h.acme()
	var batch []any
	for i := range 1000 {
		e := event(fmt.Sprintf("pc-%d", i%3), fmt.Sprint(i), 1+i/3, "")
		e["data"] = map[string]any{"value": 1}
		batch = append(batch, e)
	}
	results := into[api.BatchAnswer](h.call("POST", "/v1/providers/acme/usage", batch, header("Content-Type", api.MediaCloudEvents)).is(200)).Results
	for i, r := range results {
		if r.Status != "recorded" || r.ID != fmt.Sprint(i) {
			t.Fatalf("result %d: %+v", i, r)
		}
	}
	if rows := into[api.UsagePage](h.get("/v1/providers/acme/usage").is(200)).Rows; len(rows) != 1 || rows[0].Value != "1000" {
		t.Errorf("rows %+v", rows)
	}
}

// A report under an idempotency key gets its first answer again; without one its number tells (domain U2).
func TestReportsAgain(t *testing.T) {
	h := newHouse(t)
	h.acme()
	const path = "/v1/providers/acme/usage"
	first := h.call("POST", path, report("pc-1", 1, 5), key("r1")).is(200)
	if again := h.call("POST", path, report("pc-1", 1, 5), key("r1")).is(200); again.body != first.body {
		t.Errorf("first %s then %s", first.body, again.body)
	}
	if a := into[api.ReportAnswer](h.call("POST", path, report("pc-1", 1, 5)).is(200)); a.Status != "duplicate" {
		t.Errorf("status %s", a.Status)
	}
	h.call("POST", path, report("pc-1", 2, 5), key("r1")).refused(422, "idempotency_mismatch")
	one := event("pc-1", "a", 7, "")
	one["data"] = map[string]any{"value": 1}
	batch := header("Content-Type", api.MediaCloudEvents)
	first = h.call("POST", path, []any{one}, batch, key("b1")).is(200)
	if again := h.call("POST", path, []any{one}, batch, key("b1")).is(200); again.body != first.body {
		t.Errorf("first %s then %s", first.body, again.body)
	}
	h.call("POST", path, []any{one, one}, batch, key("b1")).refused(422, "idempotency_mismatch")
	// 500 readings are a report, one more is none (U3).
	many := func(seq, n int) map[string]any {
		r := report("pc-1", seq, 1)
		reading := r["readings"].([]any)[0]
		all := make([]any, n)
		for i := range all {
			all[i] = reading
		}
		r["readings"] = all
		return r
	}
	h.call("POST", path, many(3, events.MaxReadings)).is(200)
	h.call("POST", path, many(4, events.MaxReadings+1)).refused(422, "invalid")
	h.call("POST", path, `{"agent":"pc-1"`).refused(400, "invalid")
	p := h.call("POST", path, `{"seq":9,"void":"x"}`).refused(422, "invalid")
	if len(p.Errors) == 0 || p.Errors[0].Location != "body.agent" {
		t.Errorf("errors %+v", p.Errors)
	}
}
