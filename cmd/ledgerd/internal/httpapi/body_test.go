package httpapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What parse takes, encoding/json takes as well, and its canonical form says the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[true,null,"x"],"c":{"d":-0.50e3}}`, `[]`, `null`, ` 5 `, `{"a":1,"a":2}`, `{"a":1}}`, `[1 2]`, `{"a" 1}`, "\"\xff\"", `"\ud800"`, `[[[[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			t.Fatalf("%q is taken and is not JSON", b)
		}
		canonical, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(canonical)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", b, canonical, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatalf("%q becomes %q: %s", b, canonical, diff)
		}
	})
}
