package httpapi

import (
	"maps"
	"net/url"
	"slices"
	"testing"
)

// What readQuery takes has every parameter once, and says the same when it is written again.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "dry_run", "dry_run=", "dry_run=false", "after=1&limit=50", "limit=1&limit=2", "a=%zz", "a;b", "=", "&&", "q=a%20b+c", "company=globex&status=used&cursor=abc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		query, err := readQuery(&url.URL{RawQuery: s})
		if err != nil {
			return
		}
		for name, values := range query {
			if len(values) != 1 {
				t.Fatalf("%q has %q %d times", s, name, len(values))
			}
		}
		if query.Has("dry_run") && query.Get("dry_run") == "" {
			t.Fatalf("%q leaves open whether it is a dry run", s)
		}
		again, err := readQuery(&url.URL{RawQuery: query.Encode()})
		if err != nil || !maps.EqualFunc(query, again, slices.Equal[[]string]) {
			t.Fatalf("%q becomes %v (%v)", s, again, err)
		}
	})
}
