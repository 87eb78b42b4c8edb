package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"licenseledger/schemas"
)

var update = flag.Bool("update", false, "write event.json")

// event.json names every kind, so that whoever has only the files can check an entry with its data.
func TestEventNamesEveryKind(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Event",
  "description": "One thing that happened: its kind, when it took effect where that differs from the entry's time, and its data as the kind's schema says.",
  "type": "object",
  "properties": {
    "kind": {"enum": [`)
	for i, kind := range schemas.Kinds() {
		b.WriteString(strings.Repeat(",", min(i, 1)) + fmt.Sprintf("\n      %q", kind))
	}
	b.WriteString(`
    ]},
    "effective": {"$ref": "defs.json#/$defs/time"},
    "data": {"type": "object"}
  },
  "required": ["kind", "data"],
  "additionalProperties": false,
  "allOf": [`)
	for i, kind := range schemas.Kinds() {
		b.WriteString(strings.Repeat(",", min(i, 1)) + fmt.Sprintf(
			"\n    {\"if\": {\"properties\": {\"kind\": {\"const\": %q}}}, \"then\": {\"properties\": {\"data\": {\"$ref\": \"%s.json\"}}}}", kind, kind))
	}
	b.WriteString("\n  ]\n}\n")
	if *update {
		if err := os.WriteFile("event.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile("event.json")
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Fatalf("event.json does not name exactly the kinds that have a schema: run go test ./schemas -update (%v)", err)
	}
}

// Every file says what it is, which draft it follows, and allows no field that it does not name (but for CloudEvents, which may have others).
func TestFilesAreWellFormed(t *testing.T) {
	metaschema := jsonschema.NewCompiler().MustCompile("https://json-schema.org/draft/2020-12/schema")
	for _, name := range schemas.Names() {
		b, err := fs.ReadFile(schemas.FS(), name+".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Check(metaschema, b); err != nil {
			t.Errorf("%s.json: %v", name, err)
		}
		var doc map[string]any
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Errorf("%s.json: %v", name, err)
		}
		for _, field := range []string{"$schema", "title", "description"} {
			if doc[field] == nil {
				t.Errorf("%s.json has no %s", name, field)
			}
		}
		if name != "cloudevent" {
			checkClosed(t, name+".json", doc, false)
		}
	}
}

// checkClosed finds schemas with properties that allow others; narrowing a referenced schema is no such schema.
func checkClosed(t *testing.T, where string, v any, narrows bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			checkClosed(t, where, e, narrows)
		}
	case map[string]any:
		_, refers := v["$ref"]
		narrows = narrows || refers
		if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" && !narrows && v["additionalProperties"] != false {
			t.Errorf("%s: a schema with properties allows others: set additionalProperties to false", where)
		}
		for key, e := range v {
			checkClosed(t, where+"/"+key, e, narrows)
		}
	}
}

func TestKind(t *testing.T) {
	for _, kind := range schemas.Kinds() {
		if _, err := schemas.Kind(kind); err != nil {
			t.Error(err)
		}
	}
	if !slices.Contains(schemas.Kinds(), "license.bought.v1") {
		t.Error("license.bought.v1 has no schema")
	}
	for _, kind := range []string{"license.bought.v0", "license.bought", "report", "defs", "", "../report"} {
		if s, err := schemas.Kind(kind); s != nil || !errors.Is(err, schemas.ErrNoSchema) {
			t.Errorf("kind %q: %v", kind, err)
		}
	}
}

const reading = `{"meter":"backup_bytes","value":1234,"at":"2026-03-11T04:00:00Z"}`

func readings(n int) string { return strings.Repeat(reading+",", n-1) + reading }

// U1 to U3, and the forms that the interfaces name. An empty list of violations means that the report is valid.
func TestReport(t *testing.T) {
	one := func(meter, value, at string) string {
		return fmt.Sprintf(`{"seq":1,"readings":[{"meter":%s,"value":%s,"at":%s}]}`, meter, value, at)
	}
	m, at := `"m"`, `"2026-03-11T04:00:00Z"`
	for _, c := range []struct {
		name, doc string
		at        []string
	}{
		{"as documented", `{"spool":"","seq":42,"company":"globex","readings":[` + reading + `]}`, nil},
		{"with its agent", `{"agent":"pc-17","spool":"a1","seq":42,"readings":[` + reading + `]}`, nil},
		{"void as documented", `{"spool":"","seq":43,"void":"disk lost"}`, nil},
		{"no readings", `{"seq":1,"readings":[]}`, []string{"/readings"}},
		{"U3: 500 readings", `{"seq":1,"readings":[` + readings(500) + `]}`, nil},
		{"U3: 501 readings", `{"seq":1,"readings":[` + readings(501) + `]}`, []string{"/readings"}},
		{"U3: a meter of 64", one(`"`+strings.Repeat("m", 64)+`"`, "1", at), nil},
		{"U3: a meter of 65", one(`"`+strings.Repeat("m", 65)+`"`, "1", at), []string{"/readings/0/meter"}},
		{"U3: an empty meter", one(`""`, "1", at), []string{"/readings/0/meter"}},
		{"a meter beyond ASCII", one(`"größe"`, "1", at), []string{"/readings/0/meter"}},
		{"a meter with a quotation mark", one(`"a\"b"`, "1", at), []string{"/readings/0/meter"}},
		{"a meter with spaces and signs", one(`"a <b>/c.d:e~[0] & f"`, "1", at), nil},
		{"value 0", one(m, "0", at), nil},
		{"18 digits", one(m, "999999999.999999999", at), nil},
		{"18 digits and zeros", one(m, "123456789.123456789000", at), nil},
		{"19 digits", one(m, "1999999999.999999999", at), []string{"/readings/0/value"}},
		{"10 digits after the point", one(m, "0.1234567891", at), []string{"/readings/0/value"}},
		{"U3: a negative value", one(m, "-1", at), []string{"/readings/0/value"}},
		{"U3: an exponent", one(m, "1e3", at), []string{"/readings/0/value"}},
		{"U3: a value in quotes", one(m, `"1"`, at), []string{"/readings/0/value"}},
		{"nanoseconds and an offset", one(m, "1", `"2026-03-11T05:00:00.123456789+01:00"`), nil},
		{"no such day", one(m, "1", `"2026-02-29T04:00:00Z"`), []string{"/readings/0/at"}},
		{"a leap second", one(m, "1", `"2016-12-31T23:59:60Z"`), []string{"/readings/0/at"}},
		{"no offset", one(m, "1", `"2026-03-11T04:00:00"`), []string{"/readings/0/at"}},
		{"lower case", one(m, "1", `"2026-03-11t04:00:00z"`), []string{"/readings/0/at"}},
		{"seq 0", `{"seq":0,"readings":[` + reading + `]}`, []string{"/seq"}},
		{"seq 1.5", `{"seq":1.5,"readings":[` + reading + `]}`, []string{"/seq"}},
		{"the highest seq", `{"seq":18446744073709551615,"readings":[` + reading + `]}`, nil},
		{"a higher seq", `{"seq":18446744073709551616,"readings":[` + reading + `]}`, []string{"/seq"}},
		{"no seq", `{"readings":[` + reading + `]}`, []string{""}},
		{"neither readings nor void", `{"seq":1}`, []string{""}},
		{"readings and void", `{"seq":1,"readings":[` + reading + `],"void":"x"}`, []string{"/readings"}},
		{"an empty reason", `{"seq":1,"void":""}`, []string{"/void"}},
		{"another field", `{"seq":1,"readings":[` + reading + `],"x":1}`, []string{""}},
		{"another field of a reading", `{"seq":1,"readings":[{"meter":"m","value":1,"at":"2026-03-11T04:00:00Z","unit":"B"}]}`, []string{"/readings/0"}},
		{"an incomplete reading", `{"seq":1,"readings":[` + reading + `,{"meter":"m"}]}`, []string{"/readings/1"}},
		{"an impossible agent", `{"agent":"pc 17","seq":1,"readings":[` + reading + `]}`, []string{"/agent"}},
		{"an impossible company", `{"seq":1,"company":"","readings":[` + reading + `]}`, []string{"/company"}},
		{"not an object", `[]`, []string{""}},
		{"not JSON", `{"seq":1,`, []string{""}},
		{"two documents", `{"seq":1,"readings":[` + reading + `]}{}`, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) { checkViolations(t, schemas.Report(), c.doc, c.at) })
	}
}

func TestCloudEvent(t *testing.T) {
	const valid = `{"specversion":"1.0","id":"a","source":"pc-17","type":"backup_bytes","sequence":"42","subject":"globex","time":"2026-03-11T04:00:00Z","data":{"value":1234}}`
	with := func(old, new string) string {
		if !strings.Contains(valid, old) {
			t.Fatalf("no %s in the example", old)
		}
		return strings.Replace(valid, old, new, 1)
	}
	for _, c := range []struct {
		name, doc string
		at        []string
	}{
		{"as documented", valid, nil},
		{"without a company", with(`"subject":"globex",`, ``), nil},
		{"padded sequence", with(`"42"`, `"00000000000000000042"`), nil},
		{"other attributes", with(`"id":`, `"datacontenttype":"application/json","myext":true,"id":`), nil},
		{"sequence 0", with(`"42"`, `"000"`), []string{"/sequence"}},
		{"sequence as a number", with(`"42"`, `42`), []string{"/sequence"}},
		{"no sequence", with(`"sequence":"42",`, ``), []string{""}},
		{"another version", with(`"1.0"`, `"0.3"`), []string{"/specversion"}},
		{"a negative value", with(`1234`, `-1`), []string{"/data/value"}},
		{"no value", with(`{"value":1234}`, `{}`), []string{"/data"}},
		{"no time", with(`,"time":"2026-03-11T04:00:00Z"`, ``), []string{""}},
		{"a source that is no agent", with(`"pc-17"`, `"https://example.com/pc-17"`), []string{"/source"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkViolations(t, schemas.CloudEvent(), c.doc, c.at) })
	}
}

// C1 to C3: the example of the interfaces, and what cannot be published.
func TestCatalog(t *testing.T) {
	const valid = `{"effective":"2026-05","minimum":{"USD":"20.00"},"types":[{"id":"server","family":"backup","unit":"endpoint","term":"monthly",
		"prices":{"USD":"6.99"},"trial_days":14,"free_units":0,"policy":"days-active","meter":"","aggregate":"","includes":[],"requires":"",
		"included_units":0,"release_lock_days":0,"closed":false}]}`
	with := func(old, new string) string {
		if !strings.Contains(valid, old) {
			t.Fatalf("no %s in the example", old)
		}
		return strings.Replace(valid, old, new, 1)
	}
	for _, c := range []struct {
		name, doc string
		at        []string
	}{
		{"as documented", valid, nil},
		{"the least", `{"effective":"2026-05","types":[{"id":"x","unit":"u","term":"annual","prices":{}}]}`, nil},
		{"four digits after the point", with(`"6.99"`, `"0.0060"`), nil},
		{"no types", `{"effective":"2026-05","types":[]}`, []string{"/types"}},
		{"month 13", with(`2026-05`, `2026-13`), []string{"/effective"}},
		{"a price as a number", with(`"6.99"`, `6.99`), []string{"/types/0/prices/USD"}},
		{"a negative price", with(`"6.99"`, `"-6.99"`), []string{"/types/0/prices/USD"}},
		{"a price with one digit", with(`"6.99"`, `"6.9"`), []string{"/types/0/prices/USD"}},
		{"a price with leading zeros", with(`"6.99"`, `"06.99"`), []string{"/types/0/prices/USD"}},
		{"a currency that is none", with(`"prices":{"USD"`, `"prices":{"dollars"`), []string{"/types/0/prices"}},
		{"a policy that is none", with(`"days-active"`, `"weekly"`), []string{"/types/0/policy"}},
		{"negative trial days", with(`"trial_days":14`, `"trial_days":-1`), []string{"/types/0/trial_days"}},
		{"another field", with(`"closed"`, `"open"`), []string{"/types/0"}},
	} {
		t.Run(c.name, func(t *testing.T) { checkViolations(t, schemas.Catalog(), c.doc, c.at) })
	}
}

func checkViolations(t *testing.T, s *jsonschema.Schema, doc string, want []string) {
	t.Helper()
	var got []string
	for _, v := range schemas.Violations(schemas.Check(s, []byte(doc))) {
		if v.Message == "" {
			t.Errorf("a violation at %q without a message", v.Location)
		}
		if !slices.Contains(got, v.Location) {
			got = append(got, v.Location)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("locations of violations (-want +got):\n%s%v", diff, schemas.Check(s, []byte(doc)))
	}
}

func TestViolations(t *testing.T) {
	doc := `{"seq":0,"company":"a b","readings":[{"meter":"m","value":-1,"at":"2026-03-11T04:00:00Z"}],"x":1}`
	want := []schemas.Violation{
		{Location: "", Message: "additional properties 'x' not allowed"},
		{Location: "/company", Message: "'a b' does not match pattern '^[A-Za-z0-9_-]{1,64}$'"},
		{Location: "/readings/0/value", Message: "-1 is not valid quantity: a decimal number from 0 without exponent"},
		{Location: "/seq", Message: "minimum: got 0, want 1"},
	}
	err := schemas.Check(schemas.Report(), []byte(doc))
	if diff := cmp.Diff(want, schemas.Violations(fmt.Errorf("report: %w", err))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if v := schemas.Violations(nil); v != nil {
		t.Errorf("no error has violations: %v", v)
	}
	if v := schemas.Violations(errors.New("cut off")); len(v) != 1 || v[0] != (schemas.Violation{Message: "cut off"}) {
		t.Errorf("an error of another kind: %v", v)
	}

	// A location is a JSON Pointer (RFC 6901).
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:numbers", map[string]any{"additionalProperties": map[string]any{"type": "number"}}); err != nil {
		t.Fatal(err)
	}
	v := schemas.Violations(schemas.Check(c.MustCompile("urn:numbers"), []byte(`{"a/b~c":"text"}`)))
	if len(v) != 1 || v[0].Location != "/a~1b~0c" {
		t.Errorf("violations: %v", v)
	}
}
