package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
)

const (
	allocatedLine = `{"entry":12,"time":"2026-02-01T09:00:00Z","provider":"acme","actor":"operator","command":"http/operator/k1","part":1,"parts":2,` +
		`"request":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","salt":"60303ae22b998861bce3b28f33eec1be","events":[` +
		`{"kind":"license.allocated.v1","effective":"2026-02-01T08:00:00.5Z","data":{"source":"global-pool","license":{"id":"01KGC6WBM06X3GHZZQE6EXB5WY",` +
		`"type":"server","status":"paid","company":"globex","assigned":true,"assignee":{"kind":"endpoint","id":"pc-17"},"auto_renew":true,` +
		`"created":"2026-02-01T09:00:00Z","expires_at":"2026-03-01T00:00:00Z","billed_from":"2026-02-02"}}}]}`
	usageLine = `{"entry":13,"time":"2026-03-11T04:00:00Z","provider":"acme","actor":"agent:pc-17","command":"nats/pc-17/42",` +
		`"salt":"60303ae22b998861bce3b28f33eec1be","events":[{"kind":"usage.recorded.v1","data":{"agent":"pc-17","spool":"b3c1","seq":42,"company":"globex",` +
		`"digest":"0123456789abcdef","readings":[["backup_bytes",1234,"2026-03-11T04:00:00Z"],["backup_bytes",0.5,"2026-03-11T04:00:00.25Z"]]}}]}`
	catalogLine = `{"entry":0,"time":"2026-03-11T04:00:00Z","actor":"operator","command":"http/operator/k0","salt":"60303ae22b998861bce3b28f33eec1be","events":[` +
		`{"kind":"catalog.published.v1","data":{"catalog":{"effective":"2026-05","minimum":{"EUR":"18.00","USD":"20.00"},"types":[` +
		`{"id":"server","family":"backup","unit":"endpoint","term":"monthly","prices":{"USD":"0.0060"},"trial_days":14,"free_units":0,"policy":"days-active",` +
		`"meter":"","aggregate":"","includes":[],"requires":"","included_units":0,"release_lock_days":0,"closed":false}]}}}]}`
)

// What decodes is what the codec writes, byte by byte: everything else is refused.
func TestDecodeIsStrict(t *testing.T) {
	for _, c := range []struct{ name, line, old, new string }{
		{"a space after a colon", allocatedLine, `"actor":"`, `"actor": "`},
		{"a space within data", allocatedLine, `"auto_renew":true`, `"auto_renew": true`},
		{"a space at the front", allocatedLine, `{"entry"`, ` {"entry"`},
		{"a space at the end", allocatedLine, `}}}]}`, `}}}]} `},
		{"a newline at the end", allocatedLine, `}}}]}`, "}}}]}\n"},
		{"a byte order mark", allocatedLine, `{"entry"`, "\ufeff" + `{"entry"`},
		{"another order of keys", allocatedLine, `"actor":"operator","command":"http/operator/k1"`, `"command":"http/operator/k1","actor":"operator"`},
		{"another order of keys in data", allocatedLine, `"type":"server","status":"paid"`, `"status":"paid","type":"server"`},
		{"another order of a map", catalogLine, `"EUR":"18.00","USD":"20.00"`, `"USD":"20.00","EUR":"18.00"`},
		{"an escaped letter", allocatedLine, `"operator"`, `"oper\u0061tor"`},
		{"an escaped letter in data", allocatedLine, `"globex"`, `"glob\u0065x"`},
		{"an escaped letter of a meter", usageLine, `"backup_bytes",1`, `"b\u0061ckup_bytes",1`},
		{"an escaped letter of a kind", allocatedLine, `license.allocated.v1`, `license\u002eallocated.v1`},
		{"an escaped slash", allocatedLine, `http/operator`, `http\/operator`},
		{"an escaped letter beyond ASCII", allocatedLine, `"pc-17"`, `"gr\u00f6\u00dfe"`},
		{"upper case in an escape", allocatedLine, `"pc-17"`, `"\u001F"`},
		{"escaped HTML", allocatedLine, `"pc-17"`, `"\u003cb\u003e"`},
		{"an unescaped line separator", allocatedLine, `"pc-17"`, "\"\u2028\""},
		{"an unescaped tab", allocatedLine, `"pc-17"`, "\"\t\""},
		{"bytes that are not UTF-8", allocatedLine, `"pc-17"`, "\"\xff\""},
		{"bytes that are not UTF-8 in a header", allocatedLine, `"operator"`, "\"\xff\""},
		{"an escaped replacement of such bytes", allocatedLine, `"pc-17"`, `"\ufffd"`},
		{"half a surrogate pair", allocatedLine, `"pc-17"`, `"\ud800"`},
		{"a time with +00:00", allocatedLine, `"time":"2026-02-01T09:00:00Z"`, `"time":"2026-02-01T09:00:00+00:00"`},
		{"a time with +00:00 in data", allocatedLine, `"created":"2026-02-01T09:00:00Z"`, `"created":"2026-02-01T09:00:00+00:00"`},
		{"a time with another offset", allocatedLine, `"time":"2026-02-01T09:00:00Z"`, `"time":"2026-02-01T11:00:00+02:00"`},
		{"a time with another offset in data", allocatedLine, `"created":"2026-02-01T09:00:00Z"`, `"created":"2026-02-01T11:00:00+02:00"`},
		{"a time with trailing zeros", allocatedLine, `08:00:00.5Z`, `08:00:00.500Z`},
		{"a time with trailing zeros in data", allocatedLine, `"created":"2026-02-01T09:00:00Z"`, `"created":"2026-02-01T09:00:00.0Z"`},
		{"a time with microseconds", allocatedLine, `08:00:00.5Z`, `08:00:00.0005Z`},
		{"a time with microseconds in data", allocatedLine, `"created":"2026-02-01T09:00:00Z"`, `"created":"2026-02-01T09:00:00.0005Z"`},
		{"a time in lower case", allocatedLine, `"time":"2026-02-01T09:00:00Z"`, `"time":"2026-02-01t09:00:00z"`},
		{"29 February 2026", usageLine, `,1234,"2026-03-11`, `,1234,"2026-02-29`},
		{"an empty effective time", allocatedLine, `"2026-02-01T08:00:00.5Z"`, `""`},
		{"a date that does not exist", allocatedLine, `"2026-02-02"`, `"2026-02-30"`},
		{"a date that is zero", allocatedLine, `"2026-02-02"`, `"1970-01-01"`},
		{"month 13", catalogLine, `"2026-05"`, `"2026-13"`},
		{"a month with one digit", catalogLine, `"2026-05"`, `"2026-5"`},
		{"trailing zeros of a value", usageLine, `,0.5,`, `,0.50,`},
		{"a value that is whole, with a point", usageLine, `,1234,`, `,1234.0,`},
		{"leading zeros of a value", usageLine, `,1234,`, `,01234,`},
		{"a value with an exponent", usageLine, `,1234,`, `,1234e0,`},
		{"a value with a big exponent", usageLine, `,1234,`, `,1E400,`},
		{"a value with a sign", usageLine, `,1234,`, `,+1234,`},
		{"a negative value", usageLine, `,1234,`, `,-1234,`},
		{"a value in quotes", usageLine, `,1234,`, `,"1234",`},
		{"19 digits of a value", usageLine, `,1234,`, `,1234567890123456789,`},
		{"money without cents", catalogLine, `"20.00"`, `"20"`},
		{"money with one digit", catalogLine, `"20.00"`, `"20.0"`},
		{"money with leading zeros", catalogLine, `"20.00"`, `"020.00"`},
		{"money with a sign", catalogLine, `"20.00"`, `"+20.00"`},
		{"money that is minus zero", catalogLine, `"20.00"`, `"-0.00"`},
		{"money with an exponent", catalogLine, `"20.00"`, `"2.00e1"`},
		{"money as a number", catalogLine, `"20.00"`, `20.00`},
		{"an entry number with an exponent", allocatedLine, `"entry":12`, `"entry":12e0`},
		{"an entry number with a leading zero", allocatedLine, `"entry":12`, `"entry":012`},
		{"an entry number out of range", allocatedLine, `"entry":12`, `"entry":18446744073709551616`},
		{"a negative entry number", allocatedLine, `"entry":12`, `"entry":-12`},
		{"a count with an exponent in data", catalogLine, `"trial_days":14`, `"trial_days":1.4e1`},
		{"a count with a point in data", catalogLine, `"trial_days":14`, `"trial_days":14.0`},
		{"a key twice", allocatedLine, `"actor":"operator"`, `"actor":"operator","actor":"operator"`},
		{"a key twice in data", allocatedLine, `"type":"server"`, `"type":"server","type":"server"`},
		{"a key twice in a map", catalogLine, `"USD":"20.00"`, `"USD":"20.00","USD":"20.00"`},
		{"a key in upper case", allocatedLine, `"actor"`, `"Actor"`},
		{"a key in upper case in data", allocatedLine, `"auto_renew"`, `"Auto_Renew"`},
		{"upper-case hexadecimal", allocatedLine, `"9f86d0`, `"9F86D0`},
		{"upper-case hexadecimal of a salt", allocatedLine, `c1be"`, `C1BE"`},
		{"upper-case hexadecimal of a report", usageLine, `abcdef"`, `ABCDEF"`},
		{"a short salt", allocatedLine, `"6030`, `"`},
		{"a long salt", allocatedLine, `"6030`, `"606030`},
		{"an empty digest of the request", allocatedLine, `9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`, strings.Repeat("0", 64)},
		{"another field", allocatedLine, `"salt"`, `"x":1,"salt"`},
		{"another field in data", allocatedLine, `"source"`, `"x":1,"source"`},
		{"another field at the end", allocatedLine, `}}}]}`, `}}}],"x":1}`},
		{"another field of an event", allocatedLine, `}}}]}`, `}},"x":1}]}`},
		{"another field of a report", usageLine, `"seq":42`, `"seq":42,"x":1`},
		{"a fourth part of a reading", usageLine, `04:00:00Z"]`, `04:00:00Z",1]`},
		{"a false that is left out", allocatedLine, `"assigned":true`, `"assigned":false`},
		{"an empty provider", allocatedLine, `"acme"`, `""`},
		{"an empty spool", usageLine, `"b3c1"`, `""`},
		{"an empty map that is left out", catalogLine, `{"EUR":"18.00","USD":"20.00"}`, `{}`},
		{"null", allocatedLine, `"auto_renew":true`, `"auto_renew":null`},
		{"null for a list", catalogLine, `"includes":[]`, `"includes":null`},
		{"null for a map", catalogLine, `{"USD":"0.0060"}`, `null`},
		{"null for data", allocatedLine, `"data":{"source"`, `"data":null,"was":{"source"`},
		{"part 0", allocatedLine, `"part":1`, `"part":0`},
		{"a part beyond the parts", allocatedLine, `"part":1`, `"part":3`},
		{"one part", allocatedLine, `"part":1,"parts":2`, `"part":1,"parts":1`},
		{"too many parts", allocatedLine, `"parts":2`, `"parts":1048577`},
		{"a part without parts", allocatedLine, `,"parts":2`, ``},
		{"no events", `{"entry":1,"time":"2026-03-11T04:00:00Z","actor":"a","command":"c","salt":"60303ae22b998861bce3b28f33eec1be","events":[]}`, ``, ``},
		{"a comma at the end", allocatedLine, `}}}]}`, `}}},]}`},
		{"an array", allocatedLine, allocatedLine, `[]`},
		{"nothing", allocatedLine, allocatedLine, ``},
		{"two entries", allocatedLine, allocatedLine, allocatedLine + allocatedLine},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(c.line, c.old) < 1 {
				t.Fatalf("%s does not stand in the line", c.old)
			}
			changed := strings.Replace(c.line, c.old, c.new, 1)
			if e, err := events.DecodeEntry([]byte(changed)); !errors.Is(err, events.ErrMalformed) {
				t.Errorf("error %v, entry %+v", err, e)
			}
		})
	}
	for _, line := range []string{allocatedLine, usageLine, catalogLine} {
		checkCanonical(t, []byte(line))
		for i := range len(line) {
			if _, err := events.DecodeEntry([]byte(line[:i])); !errors.Is(err, events.ErrMalformed) {
				t.Fatalf("the first %d bytes: %v", i, err)
			}
		}
	}
}

// checkCanonical fails unless the line decodes and is written again as it was.
func checkCanonical(t *testing.T, line []byte) {
	t.Helper()
	e, err := events.DecodeEntry(line)
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
	again, err := events.AppendEntry(nil, &e)
	if err != nil || !bytes.Equal(again, line) {
		t.Fatalf("written again otherwise (%v)\n%s\n%s", err, line, again)
	}
}

// Changing one byte of a line gives another line, an error, or the same line: never one that decodes and is not canonical.
func TestEveryByteCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, e := range allSampleEntries() {
		original := line(t, &e)
		for range 200 {
			changed := bytes.Clone(original)
			i := r.IntN(len(changed))
			switch r.IntN(3) {
			case 0:
				changed[i] = byte(r.Uint32())
			case 1:
				changed = append(changed[:i], changed[i+1:]...)
			case 2:
				changed[i] = changed[r.IntN(len(changed))]
			}
			if _, err := events.DecodeEntry(changed); err == nil {
				checkCanonical(t, changed)
			} else if unknown := (*events.UnknownKindError)(nil); !errors.Is(err, events.ErrMalformed) && !errors.As(err, &unknown) {
				t.Fatalf("%v\n%s", err, changed)
			}
		}
	}
}

func TestDecodeUnknownKind(t *testing.T) {
	for _, kind := range []string{"license.allocated.v2", "license.allocated", "", "x"} {
		_, err := events.DecodeEntry([]byte(strings.Replace(allocatedLine, "license.allocated.v1", kind, 1)))
		var unknown *events.UnknownKindError
		if !errors.As(err, &unknown) || unknown.Entry != 12 || unknown.Kind != kind {
			t.Errorf("kind %q: %v", kind, err)
		}
		if errors.Is(err, events.ErrMalformed) {
			t.Errorf("kind %q: an unknown kind is not a malformed line: %v", kind, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "entry 12") || !strings.Contains(err.Error(), fmt.Sprintf("%q", kind))) {
			t.Errorf("the message names entry and kind: %v", err)
		}
	}
	// It stops a record as well.
	body := strings.Replace(allocatedLine, "license.allocated.v1", "license.allocated.v2", 1) + "\n"
	_, err := events.DecodeRecord(&events.Record{ID: "r", First: 12, Body: []byte(body)})
	if unknown := (*events.UnknownKindError)(nil); !errors.As(err, &unknown) {
		t.Errorf("record: %v", err)
	}
}

// unknownData is data of a kind that is not in the table.
type unknownData struct{}

func (unknownData) Kind() string { return "test.happened.v1" }

// What would not be read back as it is, is not written, and the buffer is left as it was.
func TestAppendEntryRefuses(t *testing.T) {
	at := eventstest.Time("2026-03-11T04:00:00Z")
	berlin := time.FixedZone("CET", 3600)
	license := func(change func(*events.License)) *events.LicenseBought {
		l := events.License{ID: eventstest.ULID(at, 1), Type: "server", Status: events.Paid, Created: at, ExpiresAt: at}
		change(&l)
		return &events.LicenseBought{License: l}
	}
	entry := func(d events.Data, change func(*events.Entry)) events.Entry {
		e := eventstest.Entry(1, at, "acme", d)
		change(&e)
		return e
	}
	ok := &events.ClockMoved{To: at}
	as := func(*events.Entry) {} // as it is
	for _, c := range []struct {
		name string
		e    events.Entry
	}{
		{"no events", entry(ok, func(e *events.Entry) { e.Events = nil })},
		{"no data", entry(nil, as)},
		{"nil data", entry((*events.PaymentMethodRemoved)(nil), as)},
		{"nil data with times", entry((*events.ClockMoved)(nil), as)},
		{"a nil report", entry((*events.UsageRecorded)(nil), as)},
		{"a kind that is not in the table", entry(unknownData{}, as)},
		{"a time in another zone", entry(ok, func(e *events.Entry) { e.Time = at.In(berlin) })},
		{"a time in the local zone", entry(ok, func(e *events.Entry) { e.Time = at.In(time.Local) })},
		{"microseconds", entry(ok, func(e *events.Entry) { e.Time = at.Add(time.Microsecond) })},
		{"year 0", entry(ok, func(e *events.Entry) { e.Time = time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC) })},
		{"year 10000", entry(ok, func(e *events.Entry) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) })},
		{"an effective time with microseconds", entry(ok, func(e *events.Entry) { e.Events[0].Effective = at.Add(time.Microsecond) })},
		{"data with a time in another zone", entry(license(func(l *events.License) { l.Created = at.In(berlin) }), as)},
		{"data with microseconds", entry(license(func(l *events.License) { l.ExpiresAt = at.Add(time.Microsecond) }), as)},
		{"data with a year 10000", entry(license(func(l *events.License) { l.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), as)},
		{"a day of the year 10000", entry(license(func(l *events.License) { l.BilledFrom = 1 << 30 }), as)},
		{"a month of the year 10000", entry(&events.MonthClosed{Month: 120000}, as)},
		{"a month before the year 0", entry(&events.MonthClosed{Month: -1}, as)},
		{"a reading with microseconds", entry(&events.UsageRecorded{Readings: []events.Reading{{Meter: "m", At: at.Add(1)}}}, as)},
		{"a provider that is not UTF-8", entry(ok, func(e *events.Entry) { e.Provider = "a\xff" })},
		{"an actor that is not UTF-8", entry(ok, func(e *events.Entry) { e.Actor = "a\xff" })},
		{"a command that is not UTF-8", entry(ok, func(e *events.Entry) { e.Command = "a\xc3" })},
		{"a meter that is not UTF-8", entry(&events.UsageRecorded{Readings: []events.Reading{{Meter: "\xff", At: at}}}, as)},
		{"data that is not UTF-8", entry(&events.ProviderSet{Name: "a\xffb"}, as)},
		{"a catalog without types", entry(&events.CatalogPublished{}, as)},
		{"money with too many digits", entry(&events.StatementIssued{Total: events.Money{Decimal: decimal.New(1, -30)}}, as)},
		{"money that is too much", entry(&events.StatementIssued{Total: events.Money{Decimal: decimal.New(1, 1<<30)}}, as)},
		{"a part without parts", entry(ok, func(e *events.Entry) { e.Part = 1 })},
		{"parts without a part", entry(ok, func(e *events.Entry) { e.Parts = 2 })},
		{"a part beyond the parts", entry(ok, func(e *events.Entry) { e.Part, e.Parts = 3, 2 })},
		{"a negative part", entry(ok, func(e *events.Entry) { e.Part, e.Parts = -1, 2 })},
		{"one part of one", entry(ok, func(e *events.Entry) { e.Part, e.Parts = 1, 1 })},
		{"too many parts", entry(ok, func(e *events.Entry) { e.Part, e.Parts = 1, 1<<20+1 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := events.AppendEntry([]byte("before"), &c.e)
			if err == nil {
				_, err := events.DecodeEntry(b[len("before"):])
				t.Fatalf("written: %s\nread again: %v", b, err)
			}
			if string(b) != "before" {
				t.Errorf("the buffer is left with %q", b)
			}
			if errors.Is(err, events.ErrTooLarge) {
				t.Error(err)
			}
		})
	}
}

// Words that only look like what is refused are kept.
func TestAppendEntryKeepsText(t *testing.T) {
	for _, s := range []string{
		"null", `"null"`, `:null,`, `\ufffd`, `\\ufffd`, "\ufffd", "n", `\`, `"`, "\x00\x1f\x7f", "\u2028\u2029", "<>&", "größe", "😀", `{"a":null}`,
	} {
		e := eventstest.Entry(1, eventstest.Time("2026-03-11T04:00:00Z"), s, &events.ProviderSet{Name: s}, &events.UsageRecorded{
			Agent: s, Spool: s, Company: s, Readings: []events.Reading{{Meter: s, At: eventstest.Time("2026-03-11T04:00:00Z")}},
		})
		e.Actor, e.Command = s, s
		got, err := events.DecodeEntry(line(t, &e))
		if diff := cmp.Diff(e, got, compareEvents); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", s, err, diff)
		}
	}
}

func TestBounds(t *testing.T) {
	at := eventstest.Time("2026-03-11T04:00:00Z")
	void := func(n int) *events.UsageVoided { return &events.UsageVoided{Seq: 1, Reason: strings.Repeat("r", n)} }
	size := func(d events.Data) int {
		b, err := events.AppendEvent(nil, &events.Event{Data: d})
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	empty := size(void(0))

	t.Run("event", func(t *testing.T) {
		most := void(events.MaxEvent - empty)
		if n := size(most); n != events.MaxEvent {
			t.Fatalf("%d bytes", n)
		}
		e := eventstest.Entry(1, at, "acme", most)
		checkCanonical(t, line(t, &e))
		if b, err := events.AppendEvent([]byte("before"), &events.Event{Data: void(events.MaxEvent - empty + 1)}); !errors.Is(err, events.ErrTooLarge) || string(b) != "before" {
			t.Errorf("one byte more: %v", err)
		}
		larger := bytes.Replace(line(t, &e), []byte("rrr"), []byte("rrrr"), 1)
		if _, err := events.DecodeEntry(larger); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("one byte more, read: %v", err)
		}
	})
	t.Run("entry", func(t *testing.T) {
		one := eventstest.Entry(1, at, "acme", void(0), void(0))
		room := events.MaxEntry - len(line(t, &one))
		most := eventstest.Entry(1, at, "acme", void(room/2), void(room-room/2))
		b := line(t, &most)
		if len(b) != events.MaxEntry {
			t.Fatalf("%d bytes", len(b))
		}
		checkCanonical(t, b)
		more := eventstest.Entry(1, at, "acme", void(room/2), void(room-room/2+1))
		if b, err := events.AppendEntry([]byte("before"), &more); !errors.Is(err, events.ErrTooLarge) || string(b) != "before" {
			t.Errorf("one byte more: %v", err)
		}
		if _, err := events.DecodeEntry(bytes.Replace(b, []byte("rrr"), []byte("rrrr"), 1)); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("one byte more, read: %v", err)
		}
	})
}

// U3: the largest report that an agent may send fits one event, and its entry one line.
func TestLargestReportFits(t *testing.T) {
	name, meter := strings.Repeat("n", events.MaxNameLength), strings.Repeat("~", events.MaxMeterLength)
	if err := events.CheckMeter(meter); err != nil {
		t.Fatal(err)
	}
	u := &events.UsageRecorded{Agent: name, Spool: name, Seq: 1<<64 - 1, Company: name}
	for range events.MaxReadings {
		u.Readings = append(u.Readings, events.Reading{
			Meter: meter, Value: eventstest.Quantity("123456789.123456789"), At: eventstest.Time("9999-12-31T23:59:59.999Z"),
		})
	}
	u.Digest = events.DigestReadings(u.Readings)
	e := eventstest.Entry(1<<64-1, eventstest.Time("9999-12-31T23:59:59.999Z"), name, &events.EndpointSet{Endpoint: name, Company: name, Name: name}, u)
	e.Actor, e.Command = "agent:"+name, "nats/"+name+"/"+name+"/18446744073709551615"
	e.Events[1].Effective = e.Time
	b := line(t, &e)
	checkCanonical(t, b)
	t.Logf("%d of %d bytes", len(b), events.MaxEntry)
}

// Readings that a door has printed already stand in the log as if they had not been.
func TestPrintedReadings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := &events.UsageRecorded{Agent: "pc-17", Seq: 42, Company: "globex"}
		for range rapid.IntRange(0, 5).Draw(t, "readings") {
			u.Readings = append(u.Readings, events.Reading{
				Meter: rapid.StringMatching(`[!#-\[\]-~]{1,20}`).Draw(t, "meter"),
				Value: eventstest.Quantity(rapid.StringMatching(`(0|[1-9][0-9]{0,8})[.][0-9]{0,8}[1-9]`).Draw(t, "value")),
				At:    eventstest.Time("2026-03-11T04:00:00Z").Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ms")) * time.Millisecond),
			})
		}
		e := eventstest.Entry(12, eventstest.Time("2026-03-11T04:00:00Z"), "acme", u)
		want, err := events.AppendEntry(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		digest, printed := events.PrintReadings(u.Readings)
		u.Printed = printed
		got, err := events.AppendEntry(nil, &e)
		if err != nil || !bytes.Equal(got, want) || digest != events.DigestReadings(u.Readings) {
			t.Fatalf("%s\nwant %s, %v", got, want, err)
		}
	})
}

// reportJSON is what a JSON encoder makes of a report; the hand-written one must write the same.
type reportJSON struct {
	Agent    string              `json:"agent"`
	Spool    string              `json:"spool,omitempty"`
	Seq      uint64              `json:"seq"`
	Company  string              `json:"company"`
	Digest   events.ReportDigest `json:"digest"`
	Readings []readingJSON       `json:"readings"`
}

type readingJSON events.Reading

func (r readingJSON) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode([]any{r.Meter, json.Number(r.Value.Decimal().String()), r.At})
	return b.Bytes(), err
}

func TestUsageIsWrittenAsJSON(t *testing.T) {
	var reports []*events.UsageRecorded
	for _, e := range eventstest.History(7, 300) {
		for _, ev := range e.Events {
			if u, ok := ev.Data.(*events.UsageRecorded); ok {
				reports = append(reports, u)
			}
		}
	}
	if len(reports) < 50 {
		t.Fatalf("only %d reports", len(reports))
	}
	for _, ev := range eventstest.Samples() {
		if u, ok := ev.Data.(*events.UsageRecorded); ok {
			reports = append(reports, u)
		}
	}
	odd := *reports[0]
	odd.Agent, odd.Spool, odd.Company = `a"b\c`, "größe", "<&>\u2028"
	odd.Readings = append([]events.Reading{{Meter: "\x01\t\"😀", At: eventstest.Time("0001-01-01T00:00:00Z")}}, odd.Readings...)
	reports = append(reports, &odd, &events.UsageRecorded{Readings: []events.Reading{}})
	for _, u := range reports {
		same := reportJSON{u.Agent, u.Spool, u.Seq, u.Company, u.Digest, make([]readingJSON, len(u.Readings))}
		for i, r := range u.Readings {
			same.Readings[i] = readingJSON(r)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(same); err != nil {
			t.Fatal(err)
		}
		got, err := events.AppendEvent(nil, &events.Event{Data: u})
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"kind":"usage.recorded.v1","data":` + strings.TrimSpace(want.String()) + `}`; string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// U2: the digest tells reports apart by content and order, and voids by their reason.
func TestReportDigest(t *testing.T) {
	a := events.Reading{Meter: "a", Value: eventstest.Quantity("1"), At: eventstest.Time("2026-03-11T04:00:00Z")}
	b := events.Reading{Meter: "a", Value: eventstest.Quantity("2"), At: eventstest.Time("2026-03-11T04:00:00Z")}
	c := events.Reading{Meter: "a", Value: eventstest.Quantity("1"), At: eventstest.Time("2026-03-11T04:00:00.001Z")}
	seen := make(map[events.ReportDigest]string)
	for name, d := range map[string]events.ReportDigest{
		"none": events.DigestReadings(nil), "a": events.DigestReadings([]events.Reading{a}), "b": events.DigestReadings([]events.Reading{b}),
		"c": events.DigestReadings([]events.Reading{c}), "a b": events.DigestReadings([]events.Reading{a, b}), "b a": events.DigestReadings([]events.Reading{b, a}),
		"void x": events.DigestVoid("x"), "void y": events.DigestVoid("y"), "void": events.DigestVoid(""),
	} {
		if other, ok := seen[d]; ok {
			t.Errorf("%q and %q have the same digest", name, other)
		}
		seen[d] = name
	}
	// The first 8 bytes of SHA-256 over [["a",1,"2026-03-11T04:00:00Z"]] and void:x, computed with sha256sum.
	for name, want := range map[string]string{"a": "77e4ea965ecd7401", "void x": "16b286fc8c69c260"} {
		got := map[string]events.ReportDigest{"a": events.DigestReadings([]events.Reading{a}), "void x": events.DigestVoid("x")}[name]
		if text, _ := got.MarshalText(); string(text) != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
}

func TestRecord(t *testing.T) {
	entries := eventstest.History(3, 20)
	r := eventstest.Records(entries, 3)[0]
	got, err := events.DecodeRecord(&r)
	if diff := cmp.Diff(entries[:len(got)], got, compareEvents); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	two := append(append(append(line(t, &entries[0]), '\n'), line(t, &entries[1])...), '\n')
	for _, c := range []struct {
		name  string
		first uint64
		body  string
	}{
		{"empty", 0, ""},
		{"no newline at the end", 0, strings.TrimSuffix(string(two), "\n")},
		{"an empty line", 0, string(two) + "\n"},
		{"another first number", 1, string(two)},
		{"an entry twice", 0, strings.Repeat(string(two), 2)},
		{"a carriage return", 0, strings.ReplaceAll(string(two), "\n", "\r\n")},
	} {
		if _, err := events.DecodeRecord(&events.Record{ID: "r1", First: c.first, Body: []byte(c.body)}); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), "r1") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	n := 0
	for l, err := range events.Lines(two) {
		if err != nil || bytes.Contains(l, []byte("\n")) {
			t.Errorf("line %q: %v", l, err)
		}
		if n++; n == 1 {
			break // stopping early is fine
		}
	}
}

// D4: billing goes by the time at which an event took effect.
func TestEffectiveAt(t *testing.T) {
	at, before := eventstest.Time("2026-03-01T00:00:07Z"), eventstest.Time("2026-03-01T00:00:00Z")
	e := eventstest.Entry(1, at, "acme", &events.MonthClosed{}, &events.MonthClosed{})
	e.Events[0].Effective = before
	if got := e.EffectiveAt(0); !got.Equal(before) {
		t.Errorf("with a time of its own: %s", got)
	}
	if got := e.EffectiveAt(1); !got.Equal(at) {
		t.Errorf("without: %s", got)
	}
}
