package intake

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/schemas"
)

const shortest = `{"specversion":"1.0","id":"1","source":"a","type":"m","sequence":"1","time":"2026-03-11T04:00:00Z","data":{"value":1}}`

// cloudEvent is an event with one attribute changed, to raw JSON; without raw it is left out.
func cloudEvent(name, raw string) string {
	attributes := [][2]string{
		{"specversion", `"1.0"`}, {"id", `"e1"`}, {"source", `"pc-17"`}, {"type", `"backup_bytes"`}, {"sequence", `"42"`}, {"subject", `"globex"`},
		{"time", `"2026-03-11T05:00:00+01:00"`}, {"data", `{"value":12.50}`},
	}
	var b strings.Builder
	found := false
	for _, a := range attributes {
		if a[0] == name {
			a[1], found = raw, true
		}
		if a[1] != "" {
			fmt.Fprintf(&b, ",%q:%s", a[0], a[1])
		}
	}
	if !found && name != "" {
		fmt.Fprintf(&b, ",%q:%s", name, raw)
	}
	return "{" + b.String()[1:] + "}"
}

func TestCloudEvents(t *testing.T) {
	reading := []events.Reading{{Meter: "backup_bytes", Value: quantity(t, "12.5"), At: time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC)}}
	report := finished(license.Report{Agent: "pc-17", Seq: 42, Company: "globex", Readings: reading})
	good, other := cloudEvent("", ""), shortest
	batch, err := CloudEvents([]byte(" [ " + good + "\n,\t" + other + " ] "))
	if err != nil {
		t.Fatal(err)
	}
	second := []events.Reading{{Meter: "m", Value: quantity(t, "1"), At: reading[0].At}}
	want := []Event{
		{ID: "e1", Report: report, Request: sha256.Sum256([]byte(good))},
		{ID: "1", Report: finished(license.Report{Agent: "a", Seq: 1, Readings: second}), Request: sha256.Sum256([]byte(other))},
	}
	if diff := cmp.Diff(want, batch, exact); diff != "" {
		t.Error(diff)
	}
	for _, empty := range []string{"[]", " [\n] "} {
		if batch, err := CloudEvents([]byte(empty)); err != nil || len(batch) != 0 {
			t.Errorf("%q: %v, %v", empty, batch, err)
		}
	}
}

// An event that is not as it must be is refused by itself; all but the last column agrees with schemas/cloudevent.json.
func TestCloudEventsOneByOne(t *testing.T) {
	for _, row := range []struct {
		name, event string
		field       string // to blame; empty: accepted
		id          string
		beyond      bool // refused although the schema accepts
	}{
		{"good", cloudEvent("", ""), "", "e1", false},
		{"shortest", shortest, "", "1", false},
		{"other attributes", `{"x":[{"y":"]}"},[]],"datacontenttype":"application/json","n":null,"` + cloudEvent("data", `{"unit":"B","value":1,"deep":{"a":[1,2,{"b":"\"}"}]}}`)[2:], "", "e1", false},
		{"leading zeros", cloudEvent("sequence", `"0000000042"`), "", "e1", false},
		{"no company", cloudEvent("subject", ``), "", "e1", false},
		{"white space", strings.NewReplacer(",", " \n,\t", ":1", " : 1", "{", "{ ", "}", " }").Replace(shortest), "", "1", false},
		{"no id", cloudEvent("id", ``), "id", "", false},
		{"empty id", cloudEvent("id", `""`), "id", "", false},
		{"long id", cloudEvent("id", `"`+strings.Repeat("x", 257)+`"`), "id", "", false},
		{"id in too many bytes", cloudEvent("id", `"`+strings.Repeat("ä", 129)+`"`), "id", "", true},
		{"id a number", cloudEvent("id", `1`), "id", "", false},
		{"specversion", cloudEvent("specversion", `"0.3"`), "specversion", "e1", false},
		{"specversion a number", cloudEvent("specversion", `1.0`), "specversion", "e1", false},
		{"no source", cloudEvent("source", ``), "source", "e1", false},
		{"source no name", cloudEvent("source", `"/agents/pc-17"`), "agent", "e1", false},
		{"no sequence", cloudEvent("sequence", ``), "sequence", "e1", false},
		{"sequence a number", cloudEvent("sequence", `42`), "sequence", "e1", false},
		{"sequence 0", cloudEvent("sequence", `"0"`), "sequence", "e1", false},
		{"sequence negative", cloudEvent("sequence", `"-1"`), "sequence", "e1", false},
		{"sequence with a sign", cloudEvent("sequence", `"+1"`), "sequence", "e1", false},
		{"sequence with a space", cloudEvent("sequence", `" 1"`), "sequence", "e1", false},
		{"sequence with letters", cloudEvent("sequence", `"42x"`), "sequence", "e1", false},
		{"sequence too large", cloudEvent("sequence", `"99999999999999999999"`), "sequence", "e1", false},
		{"sequence too long", cloudEvent("sequence", `"`+strings.Repeat("0", 64)+`1"`), "sequence", "e1", false},
		{"no type", cloudEvent("type", ``), "type", "e1", false},
		{"type too long", cloudEvent("type", `"`+strings.Repeat("m", 65)+`"`), "type", "e1", false},
		{"type not ASCII", cloudEvent("type", `"ä"`), "type", "e1", false},
		{"subject null, which is not set", cloudEvent("subject", `null`), "", "e1", false},
		{"sequence again, and null", cloudEvent("", "")[:len(cloudEvent("", ""))-1] + `,"sequence":null}`, "sequence", "e1", false},
		{"subject empty", cloudEvent("subject", `""`), "subject", "e1", false},
		{"subject no name", cloudEvent("subject", `"a b"`), "company", "e1", false},
		{"no time", cloudEvent("time", ``), "time", "e1", false},
		{"time", cloudEvent("time", `"yesterday"`), "time", "e1", false},
		{"no data", cloudEvent("data", ``), "data", "e1", false},
		{"data null", cloudEvent("data", `null`), "data", "e1", false},
		{"data a number", cloudEvent("data", `1`), "data", "e1", false},
		{"no value", cloudEvent("data", `{"Value":1}`), "data", "e1", false},
		{"value null", cloudEvent("data", `{"value":null}`), "data.value", "e1", false},
		{"value negative", cloudEvent("data", `{"value":-1}`), "data.value", "e1", false},
		{"value with an exponent", cloudEvent("data", `{"value":1e3}`), "data.value", "e1", false},
		{"value a text", cloudEvent("data", `{"value":"1"}`), "data.value", "e1", false},
		{"value twice", cloudEvent("data", `{"value":1,"value":2}`), "value", "e1", true},
		{"source twice", `{"source":"pc-18",` + cloudEvent("", "")[1:], "source", "e1", true},
		{"id twice", cloudEvent("", "")[:len(cloudEvent("", ""))-1] + `,"id":"e2"}`, "id", "e2", true},
		{"half a pair of surrogates", cloudEvent("id", `"\ud800"`), "id", "", true},
		{"a number", `1`, "", "", false},
		{"null", `null`, "", "", false},
		{"an array", `[` + shortest + `]`, "", "", false},
		{"a text", `"]},{"`, "", "", false},
	} {
		batch, err := CloudEvents([]byte("[" + shortest + "," + row.event + "," + shortest + "]"))
		if err != nil || len(batch) != 3 {
			t.Errorf("%s: %d events, %v", row.name, len(batch), err)
			continue
		}
		if batch[0].Err != nil || batch[2].Err != nil || batch[0].ID != "1" || batch[2].Report.Seq != 1 {
			t.Errorf("%s: spoils its neighbours: %v, %v", row.name, batch[0].Err, batch[2].Err)
		}
		e, accepted := batch[1], row.field == "" && row.id != ""
		if (e.Err == nil) != accepted || e.ID != row.id {
			t.Errorf("%s: id %q, %v", row.name, e.ID, e.Err)
		}
		var refusal *license.Refusal
		if e.Err != nil && (!errors.As(e.Err, &refusal) || refusal.Code != license.Invalid || refusal.Field != row.field) {
			t.Errorf("%s: %#v, want the field %q", row.name, e.Err, row.field)
		}
		schemaErr := schemas.Check(schemas.CloudEvent(), []byte(row.event))
		if want := accepted || row.beyond; (schemaErr == nil) != want {
			t.Errorf("%s: the schema says %v", row.name, schemaErr)
		}
	}
}

func TestCloudEventsThatAreNoBatch(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": ``, "an event": shortest, "cut off": `[` + shortest, "two batches": `[][]`, "null": `null`, "text": `"[]"`,
		"not JSON within": `[{"x":tru}]`, "not UTF-8": "[{\"x\":\"\xff\"}]", "too many": `[` + strings.Repeat("1,", maxBatch) + `1]`,
	} {
		batch, err := CloudEvents([]byte(body))
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.Invalid || batch != nil {
			t.Errorf("%s: %d events, %v", name, len(batch), err)
		}
	}
	if batch, err := CloudEvents([]byte(`[` + strings.Repeat("1,", maxBatch-1) + `1]`)); err != nil || len(batch) != maxBatch {
		t.Errorf("the longest batch: %d events, %v", len(batch), err)
	}
	// The bound never refuses a batch of valid events that fits a body.
	if most := api.MaxBody / len(shortest+","); most > maxBatch {
		t.Errorf("a body holds %d events, a batch %d", most, maxBatch)
	}
}

// What is not refused as a whole has as many events as encoding/json finds, each with the bytes that it finds.
func FuzzCloudEvents(f *testing.F) {
	for _, body := range []string{
		"[]", "[" + shortest + "]", "[" + cloudEvent("", "") + "," + shortest + "]", `[1,"]",{"a":"\\\"]"},[[],{}],null]`, `[{"id":"\ud800"}]`, "[ 1 , 2 ]",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		batch, err := CloudEvents(body)
		if err != nil {
			// It refuses what is no batch, and nothing else: whatever is wrong with one event is that event's alone.
			var all []json.RawMessage
			if batch != nil || utf8.Valid(body) && json.Unmarshal(body, &all) == nil && all != nil && len(all) <= maxBatch {
				t.Fatalf("%q is refused: %v", body, err)
			}
			return
		}
		var raw []json.RawMessage
		if err := json.Unmarshal(body, &raw); err != nil || len(raw) != len(batch) {
			t.Fatalf("%q: %d events, encoding/json finds %d, %v", body, len(batch), len(raw), err)
		}
		for i := range raw {
			if events.Digest(sha256.Sum256(raw[i])) != batch[i].Request {
				t.Errorf("%q: event %d is not %q", body, i, raw[i])
			}
			if batch[i].Err == nil && !hugeExponent.Match(raw[i]) {
				if err := schemas.Check(schemas.CloudEvent(), raw[i]); err != nil {
					t.Errorf("accepted against the schema: %q: %v", raw[i], err)
				}
			}
		}
	})
}
