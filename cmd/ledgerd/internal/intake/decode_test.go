package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sample     = `{"spool":"","seq":42,"company":"globex","readings":[{"meter":"backup_bytes","value":1234,"at":"2026-03-11T04:00:00Z"}]}`
	sampleVoid = `{"spool":"","seq":43,"void":"disk lost"}`
)

// with is the sample with one reading's value and time as given.
func with(value, at string) string {
	return `{"seq":1,"readings":[{"meter":"m","value":` + value + `,"at":"` + at + `"}]}`
}

const at = "2026-03-11T04:00:00Z"

func quantity(t *testing.T, s string) events.Quantity {
	t.Helper()
	q, err := events.ParseQuantity(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func readings(t *testing.T, values ...string) (all []events.Reading) {
	for _, v := range values {
		all = append(all, events.Reading{Meter: "m", Value: quantity(t, v), At: time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC)})
	}
	return all
}

// finished is a report of readings as a door hands it on.
func finished(r license.Report) license.Report {
	r.Digest, r.Printed = events.PrintReadings(r.Readings)
	return r
}

var exact = cmp.AllowUnexported(events.Quantity{})

func TestDecode(t *testing.T) {
	one := readings(t, "1234")
	one[0].Meter = "backup_bytes"
	for _, row := range []struct {
		name, body string
		want       license.Report
	}{
		{"report", sample, finished(license.Report{Agent: "pc-17", Seq: 42, Company: "globex", Readings: one})},
		{"void", sampleVoid, license.Report{Agent: "pc-17", Seq: 43, Void: "disk lost", Digest: events.DigestVoid("disk lost")}},
		{
			"another order, white space, escapes, spool, agent",
			"\r\n\t {\"readings\" : [ { \"at\":\"2026-03-11T04:00:00\\u005A\" , \"meter\":\"backup\\u005fbytes\",\n\"value\":1234.0}\t] ,\"seq\": 42, \"\\u0063ompany\":\"globex\",\"spool\":\"s-1\",\"agent\":\"pc-17\"} \n",
			finished(license.Report{Agent: "pc-17", Spool: "s-1", Seq: 42, Company: "globex", Readings: one}),
		},
		{
			"reason with everything that text can have", `{"seq":1,"void":"\" \\ \/ \b\f\n\r\t ä \u00e4 \uD834\udd1e \u0000"}`,
			license.Report{Agent: "pc-17", Seq: 1, Void: "\" \\ / \b\f\n\r\t ä ä 𝄞 \x00", Digest: events.DigestVoid("\" \\ / \b\f\n\r\t ä ä 𝄞 \x00")},
		},
	} {
		got, err := DecodeFrom("pc-17", []byte(row.body))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
		} else if diff := cmp.Diff(row.want, got, exact); diff != "" {
			t.Errorf("%s:\n%s", row.name, diff)
		}
	}
}

// What is read must not change when the body's buffer is used again.
func TestDecodeKeepsNothingOfTheBody(t *testing.T) {
	body := []byte(sample)
	got, err := DecodeFrom("pc-17", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'x'
	}
	if got.Company != "globex" || got.Readings[0].Meter != "backup_bytes" {
		t.Errorf("%+v", got)
	}
}

// Domain U1: an agent reports for itself.
func TestDecodeAgentU1(t *testing.T) {
	named := func(agent string) []byte { return []byte(`{"agent":"` + agent + `","seq":43,"void":"disk lost"}`) }
	if r, err := Decode(named("pc-17")); err != nil || r.Agent != "pc-17" {
		t.Errorf("%q, %v", r.Agent, err)
	}
	if r, err := DecodeFrom("pc-17", named("pc-17")); err != nil || r.Agent != "pc-17" {
		t.Errorf("%q, %v", r.Agent, err)
	}
	for name, err := range map[string]error{
		"another":     second(DecodeFrom("pc-17", named("pc-18"))),
		"another one": second(DecodeFrom("pc-17", named("PC-17"))),
		"empty":       second(DecodeFrom("pc-17", named(""))),
		"none":        second(Decode([]byte(sampleVoid))),
		"no name":     second(Decode(named("pc 17"))),
		"no subject":  second(DecodeFrom("pc*17", []byte(sampleVoid))),
	} {
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.Invalid || refusal.Field != "agent" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Domain U3: values are decimal numbers, kept to the last digit; equal readings are one report, however written.
func TestDecodeValuesU3(t *testing.T) {
	for _, row := range []struct{ text, same string }{
		{"0", "0"}, {"0.0", "0"}, {"1.50", "1.5"}, {"0.000000001", "0.000000001"}, {"999999999999999999", "999999999999999999"},
		{"123456789.123456789", "123456789.123456789"}, {"1.5000000000000000000", "1.5"},
	} {
		r, err := DecodeFrom("pc-17", []byte(with(row.text, at)))
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if want := readings(t, row.same); r.Readings[0].Value != want[0].Value || r.Digest != events.DigestReadings(want) {
			t.Errorf("%s is %s", row.text, r.Readings[0].Value)
		}
	}
	for _, text := range []string{
		"-1", "-0", "-0.5", "1e3", "1E3", "1e-3", "1.5e+2", "1000000000000000000", "0.0000000001", "1234567890.123456789",
		"01", "00", "1.", ".5", "+1", "1-2", "--1", "1.2.3", `"12"`, "null", "true", "[1]", "{}", "NaN", "Infinity", "0x10", "1_000",
	} {
		_, err := DecodeFrom("pc-17", []byte(with(text, at)))
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.Invalid || !strings.HasPrefix(refusal.Field, "readings[0]") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := DecodeFrom("pc-17", []byte(with("1e3", at))); err == nil || !strings.Contains(err.Error(), "no exponent") {
		t.Errorf("an exponent is refused without a hint: %v", err)
	}
}

// Domain D1: UTC everywhere.
func TestDecodeTimesD1(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"2026-03-11T04:00:00Z", "2026-03-11T04:00:00Z"},
		{"2026-03-11T04:00:00.1Z", "2026-03-11T04:00:00.1Z"},
		{"2026-03-11T04:00:00.123999999Z", "2026-03-11T04:00:00.123Z"},
		{"2026-03-11T04:00:00.0009Z", "2026-03-11T04:00:00Z"},
		{"2026-03-11T05:00:00+01:00", "2026-03-11T04:00:00Z"},
		{"2026-03-10T16:00:00.5-12:00", "2026-03-11T04:00:00.5Z"},
		{"2026-03-11T04:00:00-00:00", "2026-03-11T04:00:00Z"},
		{"2026-03-12T03:59:00+23:59", "2026-03-11T04:00:00Z"},
		{"2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
	} {
		r, err := DecodeFrom("pc-17", []byte(with("1", row.text)))
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
		} else if got := r.Readings[0].At; events.FormatTime(got) != row.want || got.Location() != time.UTC {
			t.Errorf("%s is %s", row.text, got)
		}
	}
	for _, text := range []string{
		"", "2026-03-11", "2026-03-11T04:00Z", "2026-03-11T04:00:00", "2026-03-11 04:00:00Z", "2026-03-11t04:00:00Z", "2026-03-11T04:00:00z",
		"2026-02-29T04:00:00Z", "2026-13-01T04:00:00Z", "2026-03-11T24:00:00Z", "2026-03-11T04:60:00Z", "2026-03-11T23:59:60Z", "2026-03-11T4:00:00Z",
		"2026-03-11T04:00:00,5Z", "2026-03-11T04:00:00.Z", "2026-03-11T04:00:00.1234567890Z", "2026-03-11T04:00:00+0100", "2026-03-11T04:00:00+01",
		"2026-03-11T04:00:00+24:00", "2026-03-11T04:00:00+01:60", "2026-03-11T04:00:00ZZ", " 2026-03-11T04:00:00Z", "2026-03-11T04:00:00Z ",
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "02026-03-11T04:00:00Z", "1773201600",
	} {
		_, err := DecodeFrom("pc-17", []byte(with("1", text)))
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.Invalid || refusal.Field != "readings[0].at" {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := DecodeFrom("pc-17", []byte(`{"seq":1,"readings":[{"meter":"m","value":1,"at":1773201600}]}`)); err == nil {
		t.Error("a number is a time")
	}
}

// refused are bodies that are refused, with the place that is to blame.
var refused = []struct{ name, body, field string }{
	{"nothing", ``, ""},
	{"white space", " \n", ""},
	{"null", `null`, ""},
	{"a number", `1`, ""},
	{"an array", `[` + sample + `]`, ""},
	{"byte order mark", "\ufeff" + sample, ""},
	{"two", sample + sample, ""},
	{"trailing byte", sample + `x`, ""},
	{"trailing comma", `{"seq":43,"void":"x",}`, ""},
	{"leading comma", `{,"seq":43,"void":"x"}`, ""},
	{"no comma", `{"seq":43 "void":"x"}`, ""},
	{"two commas", `{"seq":43,,"void":"x"}`, ""},
	{"semicolon", `{"seq":43;"void":"x"}`, ""},
	{"no colon", `{"seq" 43}`, "seq"},
	{"no name", `{43}`, ""},
	{"bare name", `{seq:43}`, ""},
	{"single quotes", `{'seq':43}`, ""},
	{"comment", `/**/` + sample, ""},
	{"cut off", sample[:len(sample)-1], ""},
	{"cut off within a text", `{"seq":43,"void":"x`, "void"},
	{"unknown field", `{"seq":43,"void":"x","v":1}`, "v"},
	{"another case", `{"Seq":43,"void":"x"}`, "Seq"},
	{"empty name", `{"seq":43,"void":"x","":1}`, ""},
	{"seq twice", `{"seq":43,"seq":43,"void":"x"}`, "seq"},
	{"void twice", `{"seq":43,"void":"x","void":"y"}`, "void"},
	{"readings twice", `{"seq":43,"readings":[{"meter":"m","value":1,"at":"` + at + `"}],"readings":[{"meter":"m","value":1,"at":"` + at + `"}]}`, "readings"},
	{"name twice, once escaped", `{"seq":43,"\u0073eq":43,"void":"x"}`, "seq"},
	{"no seq", `{"void":"x"}`, "seq"},
	{"seq 0", `{"seq":0,"void":"x"}`, "seq"},
	{"seq negative", `{"seq":-1,"void":"x"}`, "seq"},
	{"seq text", `{"seq":"43","void":"x"}`, "seq"},
	{"seq null", `{"seq":null,"void":"x"}`, "seq"},
	{"seq too large", `{"seq":18446744073709551616,"void":"x"}`, "seq"},
	{"seq with a fraction", `{"seq":1.5,"void":"x"}`, "seq"},
	{"seq as a float", `{"seq":42.0,"void":"x"}`, "seq"},
	{"seq with an exponent", `{"seq":1e2,"void":"x"}`, "seq"},
	{"seq with a zero", `{"seq":042,"void":"x"}`, "seq"},
	{"seq with a sign", `{"seq":+42,"void":"x"}`, "seq"},
	{"neither readings nor void", `{"seq":43}`, "readings"},
	{"both readings and void", `{"seq":43,"void":"x","readings":[{"meter":"m","value":1,"at":"` + at + `"}]}`, "void"},
	{"void and no readings", `{"seq":43,"void":"x","readings":[]}`, "void"},
	{"empty void", `{"seq":43,"void":""}`, "void"},
	{"void null", `{"seq":43,"void":null}`, "void"},
	{"void too long", `{"seq":43,"void":"` + strings.Repeat("x", 257) + `"}`, "void"},
	{"void too long in bytes", `{"seq":43,"void":"` + strings.Repeat("ä", 129) + `"}`, "void"},
	{"void not UTF-8", "{\"seq\":43,\"void\":\"\xff\"}", "void"},
	{"void not UTF-8, with an escape", "{\"seq\":43,\"void\":\"\\n\xc3\\u00a9\"}", "void"},
	{"half a pair of surrogates", `{"seq":43,"void":"\ud800"}`, "void"},
	{"the other half", `{"seq":43,"void":"\udc00\ud800"}`, "void"},
	{"half a pair and a letter", `{"seq":43,"void":"\ud800\u0041"}`, "void"},
	{"control character", "{\"seq\":43,\"void\":\"a\nb\"}", "void"},
	{"control character behind an escape", "{\"seq\":43,\"void\":\"\\n\x00\"}", "void"},
	{"broken escape", `{"seq":43,"void":"\x41"}`, "void"},
	{"short escape", `{"seq":43,"void":"\u00g0"}`, "void"},
	{"cut off within an escape", `{"seq":43,"void":"\u00`, "void"},
	{"cut off behind a backslash", `{"seq":43,"void":"\`, "void"},
	{"spool", `{"seq":43,"spool":"a b","void":"x"}`, "spool"},
	{"spool too long", `{"seq":43,"spool":"` + strings.Repeat("x", 65) + `","void":"x"}`, "spool"},
	{"spool null", `{"seq":43,"spool":null,"void":"x"}`, "spool"},
	{"company", `{"seq":43,"company":"a.b","void":"x"}`, "company"},
	{"company empty", `{"seq":43,"company":"","void":"x"}`, "company"},
	{"readings empty", `{"seq":43,"readings":[]}`, "readings"},
	{"readings null", `{"seq":43,"readings":null}`, "readings"},
	{"readings an object", `{"seq":43,"readings":{}}`, "readings"},
	{"readings cut off", `{"seq":43,"readings":[`, "readings[0]"},
	{"reading null", `{"seq":43,"readings":[null]}`, "readings[0]"},
	{"reading an array", `{"seq":43,"readings":[["m",1,"` + at + `"]]}`, "readings[0]"},
	{"readings with a comma at the end", `{"seq":43,"readings":[{"meter":"m","value":1,"at":"` + at + `"},]}`, "readings[1]"},
	{"second reading without a value", `{"seq":43,"readings":[{"meter":"m","value":1,"at":"` + at + `"},{"meter":"m","at":"` + at + `"}]}`, "readings[1]"},
	{"reading without meter", `{"seq":43,"readings":[{"value":1,"at":"` + at + `"}]}`, "readings[0]"},
	{"reading without time", `{"seq":43,"readings":[{"meter":"m","value":1}]}`, "readings[0]"},
	{"reading with more", `{"seq":43,"readings":[{"meter":"m","value":1,"at":"` + at + `","x":1}]}`, "readings[0].x"},
	{"meter twice", `{"seq":43,"readings":[{"meter":"m","meter":"m","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
	{"value twice", `{"seq":43,"readings":[{"meter":"m","value":1,"value":1,"at":"` + at + `"}]}`, "readings[0].value"},
	{"meter empty", `{"seq":43,"readings":[{"meter":"","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
	{"meter too long", `{"seq":43,"readings":[{"meter":"` + strings.Repeat("m", 65) + `","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
	{"meter not ASCII", `{"seq":43,"readings":[{"meter":"ä","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
	{"meter with a quotation mark", `{"seq":43,"readings":[{"meter":"\"","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
	{"meter with a control character", `{"seq":43,"readings":[{"meter":"\n","value":1,"at":"` + at + `"}]}`, "readings[0].meter"},
}

func TestDecodeRefuses(t *testing.T) {
	for _, row := range refused {
		_, err := DecodeFrom("pc-17", []byte(row.body))
		var refusal *license.Refusal
		if !errors.As(err, &refusal) || refusal.Code != license.Invalid || refusal.Field != row.field || refusal.Message == "" {
			t.Errorf("%s: %#v, want the field %q", row.name, err, row.field)
		}
	}
}

// Text is UTF-8 wherever it stands, whatever the field would say to it.
func TestTextIsUTF8(t *testing.T) {
	for _, text := range []string{"\xff", "ä\xc3", "\xed\xa0\x80", "\\n\xff", "\xc3\\u00a9", "\\u00c3\xa9"} {
		s := scanner{b: []byte(`"` + text + `"`)}
		if v := s.text(); s.err == nil || v != nil {
			t.Errorf("%q is the text %q", text, v)
		}
	}
}

// Domain U3: a report is taken or refused whole, and has at most 500 readings.
func TestDecodeReadingsU3(t *testing.T) {
	r, err := DecodeFrom("pc-17", report(500))
	if err != nil || len(r.Readings) != 500 {
		t.Fatalf("%d readings, %v", len(r.Readings), err)
	}
	var refusal *license.Refusal
	if _, err = DecodeFrom("pc-17", report(501)); !errors.As(err, &refusal) || refusal.Field != "readings" {
		t.Errorf("501 readings: %v", err)
	}
	// The number of a refused report is told if it stood in front.
	body := bytes.Replace(report(500), []byte(`"value":499`), []byte(`"value":-499`), 1)
	if r, err = DecodeFrom("pc-17", body); !errors.As(err, &refusal) || refusal.Field != "readings[499].value" || r.Seq != 42 {
		t.Errorf("a wrong last reading: %v", err)
	}
}

// A body cannot make the decoder take more memory than a report could use.
func TestDecodeMemoryIsBounded(t *testing.T) {
	for name, body := range map[string]string{
		"braces":   `{"seq":1,"readings":[` + strings.Repeat("{", 1<<20),
		"readings": `{"seq":1,"readings":[` + strings.Repeat(`{"meter":"m","value":1,"at":"`+at+`"},`, 20_000),
		"brackets": `{"seq":1,"readings":` + strings.Repeat("[", 1<<20),
	} {
		if n := testing.AllocsPerRun(1, func() {
			if _, err := DecodeFrom("pc-17", []byte(body)); err == nil {
				t.Errorf("%s: no error", name)
			}
		}); n > 20 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// report is as an agent sends it: a few meters in turn, one time each.
func report(n int) []byte {
	meters := []string{"backup_bytes", "storage_bytes", "files_total"}
	b := []byte(`{"spool":"","seq":42,"company":"globex","readings":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"meter":%q,"value":%d,"at":"2026-03-11T04:%02d:%02dZ"}`, meters[i%len(meters)], i, i/3/60%60, i/3%60)
	}
	return append(b, `]}`...)
}

// accepts says whether Decode takes a body, with its agent or without.
func accepts(body []byte) (license.Report, bool) {
	r, err := Decode(body)
	if err != nil {
		r, err = DecodeFrom("pc-17", body)
	}
	return r, err == nil
}

// checkAgainstSchema holds the decoder equal to schemas/report.json, and what it reads to what encoding/json reads.
func checkAgainstSchema(t *testing.T, body []byte) {
	t.Helper()
	r, ok := accepts(body)
	if hugeExponent.Match(body) {
		return // the schema's library works such numbers out in full, which takes long; seeds have shorter ones
	}
	schemaErr := schemas.Check(schemas.Report(), body)
	switch {
	case ok && schemaErr != nil:
		t.Errorf("accepted against the schema: %.200q: %v", body, schemaErr)
	case !ok && schemaErr == nil:
		if stricter(t, body) == "" {
			t.Errorf("refused for no reason that the documentation gives: %.200q: %v", body, second(DecodeFrom("pc-17", body)))
		}
	}
	if !ok {
		return
	}
	var want api.Report
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatalf("encoding/json does not read what was accepted: %.200q: %v", body, err)
	}
	if want.Agent == "" {
		want.Agent = "pc-17"
	}
	if r.Agent != want.Agent || r.Spool != want.Spool || r.Seq != want.Seq || r.Company != want.Company || r.Void != want.Void || len(r.Readings) != len(want.Readings) {
		t.Fatalf("%.200q: read %+v, encoding/json reads %+v", body, r, want)
	}
	for i, reading := range want.Readings {
		got := r.Readings[i]
		if got.Meter != reading.Meter || got.Value != quantity(t, reading.Value.String()) || !got.At.Equal(reading.At.Truncate(time.Millisecond)) {
			t.Fatalf("%.200q: reading %d is %+v, encoding/json reads %+v", body, i, got, reading)
		}
	}
	// What was accepted can be written to the log.
	entry := events.Entry{Time: time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC), Provider: "acme", Actor: "a", Command: "c"}
	if r.Void != "" {
		entry.Events = []events.Event{{Data: &events.UsageVoided{Agent: r.Agent, Spool: r.Spool, Seq: r.Seq, Reason: r.Void, Digest: r.Digest}}}
	} else {
		entry.Events = []events.Event{{Data: &events.UsageRecorded{Agent: r.Agent, Spool: r.Spool, Seq: r.Seq, Company: "c", Digest: r.Digest, Readings: r.Readings}}}
	}
	if _, err := events.AppendEntry(nil, &entry); err != nil {
		t.Fatalf("%.200q cannot be recorded: %v", body, err)
	}
}

var hugeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{4}`)

var surrogate = regexp.MustCompile(`(?i)\\u[d][89a-f]`)

// stricter finds why a body that the schema accepts is refused: one of the reasons that the package comment lists.
func stricter(t *testing.T, body []byte) string {
	if !utf8.Valid(body) || surrogate.Match(body) {
		return "UTF-8"
	}
	if twice(json.NewDecoder(bytes.NewReader(body))) {
		return "a field that comes twice"
	}
	var r struct {
		Seq      json.Number
		Void     string
		Readings []api.Reading
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return "times that Go does not read: the years"
	}
	switch {
	case !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(r.Seq.String()):
		return "seq"
	case len(r.Void) > events.MaxTextLength:
		return "the bytes of void"
	}
	for _, reading := range r.Readings {
		if year := reading.At.UTC().Year(); year < 1 || year > 9999 {
			return "the years"
		}
	}
	return ""
}

// twice says whether a name comes twice in the object, or in one within it.
func twice(d *json.Decoder) bool {
	type level struct {
		names map[string]bool // nil: an array
		value bool            // the next token is a member's value
	}
	var levels []*level
	for {
		token, err := d.Token()
		if err == io.EOF {
			return false
		}
		if err != nil {
			return false
		}
		if n := len(levels); n > 0 && levels[n-1].names != nil {
			top := levels[n-1]
			if name, ok := token.(string); ok && !top.value {
				if top.names[name] {
					return true
				}
				top.names[name], top.value = true, true
				continue
			}
			top.value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, &level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, &level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}

// corpus is what both the decoder and the schema are asked about.
func corpus() []string {
	all := []string{
		sample, sampleVoid, string(report(3)), string(report(500)), string(report(501)),
		`{"seq":1,"agent":"pc-17","spool":"x","void":"y"}`, `{"seq":18446744073709551615,"void":"y"}`,
		`{"seq":43,"void":"` + strings.Repeat("x", 256) + `"}`, `{"seq":43,"void":"` + strings.Repeat("ä", 256) + `"}`,
		`{"seq":43,"spool":"` + strings.Repeat("x", 64) + `","void":"x"}`,
		`{"seq":43,"void":"\ud83d\ude00"}`, `{"seq":43,"void":"\ufffd"}`, `{"seq":43,"void":"\u0000"}`, `{"seq":43,"agent":"","void":"x"}`,
		`{"seq":43,"readings":[{"meter":" ~[]!#","value":1,"at":"` + at + `"}]}`,
		`{"seq":43,"readings":[{"meter":"` + strings.Repeat("m", 64) + `","value":1,"at":"` + at + `"}]}`,
		`{"seq":43,"readings":[{"meter":"\u006d","value":1,"at":"` + at + `"}]}`,
		`{"seq":4.3e1,"void":"x"}`, `{"seq":1e400,"void":"x"}`,
	}
	for _, row := range refused {
		all = append(all, row.body)
	}
	for _, value := range []string{
		"0", "0.0", "-0", "-0.0", "1", "-1", "1.5", "1.50", "1e3", "1E+3", "1e-3", "0e0", "0.5e1", "01", "1.", ".1", "999999999999999999", "1000000000000000000",
		"0.000000001", "0.0000000001", "0.1000000000", "123456789.123456789", "1234567890.123456789", "999999999999999999.0", "999999999999999999.5",
		"100000000000000000.5", `"1"`, "null", "true", "[]", "{}", "1e400", "1 ", "\t1",
	} {
		all = append(all, with(value, at))
	}
	for _, time := range []string{
		at, "2026-03-11T04:00:00.5Z", "2026-03-11T04:00:00.123456789Z", "2026-03-11T04:00:00.1234567890Z", "2026-03-11T05:00:00+01:00", "2026-03-11T05:00:00-00:00",
		"2026-03-11T05:00:00+23:59", "2026-03-11T05:00:00+24:00", "2026-03-11t04:00:00Z", "2026-03-11T04:00:00z", "2026-03-11T23:59:60Z", "2026-03-11T24:00:00Z",
		"2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"9999-12-31T23:59:59-01:00", "2026-03-11T04:00:00,5Z", "2026-03-11T04:00:00.Z", "2026-03-11T4:00:00Z", "2026-03-11", "", "2026-03-11T04:00:00+0100",
	} {
		all = append(all, with("1", time))
	}
	return all
}

func TestDecodeEqualsTheSchema(t *testing.T) {
	accepted := 0
	for _, body := range corpus() {
		checkAgainstSchema(t, []byte(body))
		if _, ok := accepts([]byte(body)); ok {
			accepted++
		}
	}
	if accepted < 25 || accepted > len(corpus())/2 {
		t.Errorf("%d of %d bodies are accepted: the corpus shows only one side", accepted, len(corpus()))
	}
}

// Each reason for being stricter than the schema is real: the schema accepts, the decoder refuses.
func TestDecodeStricterThanTheSchema(t *testing.T) {
	for reason, body := range map[string]string{
		"a field that comes twice":  `{"seq":43,"seq":43,"void":"x"}`,
		"UTF-8":                     "{\"seq\":43,\"void\":\"\xff\"}",
		"UTF-8 ":                    `{"seq":43,"void":"\ud800"}`,
		"seq":                       `{"seq":42.0,"void":"x"}`,
		"the bytes of void":         `{"seq":43,"void":"` + strings.Repeat("ä", 129) + `"}`,
		"the years":                 with("1", "0001-01-01T00:00:00+01:00"),
		"a field that comes twice ": `{"seq":43,"readings":[{"meter":"m","value":1,"value":2,"at":"` + at + `"}]}`,
	} {
		if err := schemas.Check(schemas.Report(), []byte(body)); err != nil {
			t.Errorf("%s: the schema refuses too: %v", reason, err)
		}
		if _, ok := accepts([]byte(body)); ok {
			t.Errorf("%s: accepted", reason)
		}
		if got := stricter(t, []byte(body)); got != strings.TrimSpace(reason) {
			t.Errorf("%s is taken for %q", reason, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range corpus() {
		if len(body) < 1000 {
			f.Add([]byte(body))
		}
	}
	f.Fuzz(checkAgainstSchema)
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{100, 500} {
		body := report(n)
		b.Run(fmt.Sprintf("readings=%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeFrom("pc-17", body); err != nil {
					b.Fatal(err)
				}
			}
		})
		// The scanner alone, without check and digest: what encoding/json below is to be compared with.
		b.Run(fmt.Sprintf("readings=%d/scan", n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s, r := scanner{b: body}, license.Report{}
				if s.report(&r); s.err != nil {
					b.Fatal(s.err)
				}
			}
		})
		b.Run(fmt.Sprintf("readings=%d/encoding-json", n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var r api.Report
				if err := json.Unmarshal(body, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
