package events_test

import (
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/schemas"
)

// The shared definitions of the schemas accept the same texts as the functions that read them.
func TestDefinitionsAgree(t *testing.T) {
	file, err := schemas.FS().Open("defs.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	doc, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:defs", doc); err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		name    string
		valid   string
		pattern string // of texts near the border
		check   func(string) error
	}{
		{"name", "pc-17_B", `[A-Za-z0-9_-]{1,66}[ .é\n]?`, events.CheckName},
		{"meter", "backup bytes", `[ -~]{0,66}[é\n"]?`, events.CheckMeter},
		{"ulid", "01ARYZ6S410000000000000000", `[0-8][0-9A-HJKMNP-TV-Z]{24,26}[ILOUa\n]?`, events.CheckULID},
		{"digest", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", `[0-9a-f]{63,65}[G\n]?`, func(s string) error { return new(events.Digest).UnmarshalText([]byte(s)) }},
		{"report_digest", "0123456789abcdef", `[0-9a-f]{15,17}[G\n]?`, func(s string) error { return new(events.ReportDigest).UnmarshalText([]byte(s)) }},
		{"date", "2024-02-29", `(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]\n?`, func(s string) error { _, err := events.ParseDate(s); return err }},
		{"month", "2026-12", `[0-9]{3,5}-[01][0-9]\n?`, func(s string) error { _, err := events.ParseMonth(s); return err }},
		{"time", "2026-03-11T04:00:00.05Z", `(0000|19|20[0-9]{2})-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,4})?(Z|z|\+00:00)\n?`,
			func(s string) error { _, err := events.ParseTime(s); return err }},
		{"money", "-0.0060", `-?[0-9]{0,2}\.[0-9]{0,3}`, func(s string) error {
			var m events.Money
			b, _ := json.Marshal(s)
			if err := json.Unmarshal(b, &m); err != nil {
				return err
			}
			if again := m.String(); again != s {
				return events.ErrMalformed
			}
			return nil
		}},
	} {
		t.Run(d.name, func(t *testing.T) {
			s := c.MustCompile("urn:defs#/$defs/" + d.name)
			if schema, code := s.Validate(d.valid), d.check(d.valid); schema != nil || code != nil {
				t.Errorf("%q: the schema says %v, the code %v", d.valid, schema, code)
			}
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.StringMatching(d.pattern).Draw(t, "text")
				schema, code := s.Validate(text), d.check(text)
				if (schema == nil) != (code == nil) {
					t.Fatalf("%q: the schema says %v, the code %v", text, schema, code)
				}
			})
		})
	}
}
