package events_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/events/eventstest"
)

// asJSON is what a JSON encoder makes of a value.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// licenses are licenses with every field left out, usual and odd, in many combinations.
func licenses(r *rand.Rand, n int) []events.License {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	text := func() string {
		return pick("", "", "globex", "a b", `q"uote\`, "größe", "<&>\u2028", "\x01\t", "null", `\ufffd`, "\ufffd")
	}
	at := func() time.Time {
		return eventstest.Time(pick("2026-02-01T09:00:00Z", "2026-02-01T09:00:00.05Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"))
	}
	list := make([]events.License, n)
	for i := range list {
		list[i] = events.License{
			ID: text(), Type: pick("server", "", "größe"), Status: events.Status(pick("trial", "paid", "expired", "released", "", "lost")),
			Pool: text(), Company: text(), Assigned: r.IntN(2) == 0,
			Assignee:  events.Assignee{Kind: events.AssigneeKind(pick("", "endpoint", "domain-user", "odd")), ID: text()},
			AutoRenew: r.IntN(2) == 0, Created: at(), ExpiresAt: at(),
			BilledFrom: []events.Date{0, 0, 1, -1, 20485, -719528, 2932896}[r.IntN(7)],
			Trialed:    r.IntN(2) == 0, Announced: r.IntN(2) == 0, Lapsed: events.Lapse(pick("", "", "assigned", "free", "odd")),
		}
	}
	return list
}

// The kinds that are written by hand are written as encoding/json would write them.
func TestLicensesAreWrittenAsJSON(t *testing.T) {
	if n := reflect.TypeFor[events.License]().NumField(); n != 14 {
		t.Fatalf("a license has %d fields: teach license_json.go the new one, and the licenses of this test", n)
	}
	for _, l := range licenses(rand.New(rand.NewPCG(1, 1)), 2000) {
		for _, d := range []events.Data{
			&events.LicenseBought{License: l}, &events.LicenseReleased{License: l}, &events.LicenseRenewed{License: l},
			&events.LicenseAllocated{Source: events.ByID, License: l}, &events.LicenseAllocated{Source: "ö", Follows: l.Pool, License: l},
			&events.LicenseExpired{Reason: events.AutoRenewOff, License: l}, &events.LicenseExpired{License: l},
		} {
			got, err := events.AppendEvent(nil, &events.Event{Data: d})
			if err != nil {
				t.Fatalf("%+v: %v", d, err)
			}
			if want := `{"kind":"` + d.Kind() + `","data":` + asJSON(t, d) + `}`; string(got) != want {
				t.Fatalf("got  %s\nwant %s", got, want)
			}
			e := eventstest.Entry(1, eventstest.Time("2026-03-11T04:00:00Z"), "acme", d)
			checkCanonical(t, line(t, &e))
		}
	}
}

// What is read by hand is read exactly if encoding/json reads it and writes the same bytes again.
func TestLicensesAreReadAsJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const front = `{"entry":1,"time":"2026-03-11T04:00:00Z","actor":"a","command":"c","salt":"60303ae22b998861bce3b28f33eec1be","events":[{"kind":"license.allocated.v1","data":`
	edits := []func(string) string{
		func(s string) string { i := r.IntN(len(s)); return s[:i] + s[i+1:] },
		func(s string) string { i := r.IntN(len(s)); return s[:i] + string(s[r.IntN(len(s))]) + s[i+1:] },
		func(s string) string { return strings.Replace(s, `"auto_renew":true`, `"auto_renew":null`, 1) },
		func(s string) string { return strings.Replace(s, `,"auto_renew"`, `,"assigned":false,"auto_renew"`, 1) },
		func(s string) string { return strings.Replace(s, `,"auto_renew"`, `,"assigned":true,"auto_renew"`, 1) },
		func(s string) string {
			return strings.Replace(s, `,"auto_renew"`, `,"assignee":{"kind":"","id":""},"auto_renew"`, 1)
		},
		func(s string) string { return strings.Replace(s, `,"company":`, `,"company":"","was":`, 1) },
		func(s string) string {
			return strings.Replace(s, `"status":"paid"`, `"status":"paid","pool":"","company":"x"`, 1)
		},
		func(s string) string { return strings.Replace(s, `"globex"`, `"glob\u0065x"`, 1) },
		func(s string) string { return strings.Replace(s, `"paid"`, `"p\u0061id"`, 1) },
		func(s string) string { return strings.Replace(s, `Z"}`, `Z","billed_from":"1970-01-01"}`, 1) },
		func(s string) string { return strings.Replace(s, `Z"}`, `Z","billed_from":"2026-02-30"}`, 1) },
		func(s string) string { return strings.Replace(s, `00Z"`, `00+00:00"`, 1) },
		func(s string) string { return s },
	}
	taken, refused := 0, 0
	for _, l := range licenses(r, 5000) {
		text := asJSON(t, events.LicenseAllocated{Source: events.FromGlobalPool, License: l})
		changed := edits[r.IntN(len(edits))](text)
		var d events.LicenseAllocated
		want := json.Unmarshal([]byte(changed), &d) == nil && json.Valid([]byte(changed)) && asJSON(t, d) == changed &&
			events.Stamp(d.License.Created) == d.License.Created && events.Stamp(d.License.ExpiresAt) == d.License.ExpiresAt &&
			d.License.Created.Year() > 0 && d.License.ExpiresAt.Year() > 0 && !strings.Contains(strings.ReplaceAll(changed, `\\`, ""), `\ufffd`)
		e, err := events.DecodeEntry([]byte(front + changed + `}]}`))
		if (err == nil) != want {
			t.Fatalf("encoding/json: %t, by hand: %v\n%s", want, err, changed)
		}
		if err != nil {
			refused++
			continue
		}
		taken++
		if got := e.Events[0].Data.(*events.LicenseAllocated); *got != d {
			t.Fatalf("%s\nread as %+v", changed, got)
		}
	}
	if taken < 1000 || refused < 1000 {
		t.Errorf("%d taken, %d refused: the edits are not what the test wants", taken, refused)
	}
}
