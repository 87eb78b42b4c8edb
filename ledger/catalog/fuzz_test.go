package catalog_test

import (
	"encoding/json"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/schemas"
)

// Whatever catalog comes: nothing panics, a good one says the same after the log has kept it, and filling it changes nothing more.
func FuzzCatalog(f *testing.F) {
	for _, c := range catalog.Default() {
		text, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range []string{`{}`, `{"effective":"2026-05","types":[{}]}`, `{"effective":"2026-13"}`, `{"effective":"2026-05","minimum":{"USD":"-1"},"types":[{"id":"a","prices":{"USD":"1e9"}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c events.Catalog
		if json.Unmarshal(b, &c) != nil {
			return
		}
		c = catalog.Fill(c)
		problems := catalog.Validate(c)
		if len(problems) > 0 {
			if problems.Error() == "" || problems[0].Field == "" {
				t.Fatalf("%q is refused without a reason: %v", b, problems)
			}
			return
		}
		first, err := json.Marshal(c)
		if err != nil {
			t.Fatalf("%q is good and cannot be written: %v", b, err)
		}
		var again events.Catalog
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%q is written as %q: %v", b, first, err)
		}
		if err := schemas.Check(schemas.Catalog(), first); err != nil {
			t.Fatalf("%q is good, and not what the schema says: %v", first, err)
		}
		if problems := catalog.Validate(again); len(problems) > 0 {
			t.Fatalf("%q is good, and not as it is kept: %v", b, problems)
		}
		second, err := json.Marshal(catalog.Fill(again))
		if err != nil || string(second) != string(first) {
			t.Fatalf("%q becomes %q (%v)", first, second, err)
		}
	})
}
