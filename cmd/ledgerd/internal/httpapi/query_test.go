package httpapi

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"testing"

	"licenseledger/ledger/api"
)

// What readQuery takes is what net/url reads, every parameter once, and says the same when it is written again; it refuses nothing else.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"", "dry_run", "dry_run=", "dry_run=false", "after=1&limit=50", "limit=1&limit=2", "a=%zz", "a;b", "=", "&&", "q=a%20b+c", "company=globex&status=used&cursor=abc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		query, err := readQuery(&url.URL{RawQuery: s})
		want, wantErr := url.ParseQuery(s)
		once := wantErr == nil
		for _, values := range want {
			once = once && len(values) == 1
		}
		if (err == nil) != once {
			t.Fatalf("%q: %v; net/url: %v, %v", s, err, want, wantErr)
		}
		if err != nil {
			if query != nil {
				t.Fatalf("%q is refused, and read as %v", s, query)
			}
			return
		}
		if want.Has("dry_run") && want.Get("dry_run") == "" {
			want.Set("dry_run", "true")
		}
		if !maps.EqualFunc(query, want, slices.Equal[[]string]) {
			t.Fatalf("%q is read as %v, by net/url as %v", s, query, want)
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

// A cursor is opened by the list, with the filter, that sealed it, and by no other; what nobody sealed is the caller's mistake.
func FuzzCursor(f *testing.F) {
	for _, s := range [][3]string{
		{"status=used&limit=5", "pc-17", ""}, {"status=used", "server/01KGB000000000000000000000", "AAAAAAAAcGMtMTc"}, {"", "\x00\xff", "////"}, {"q=a&cursor=x", "a", "A"}, {"sort=-type", "é", "\n"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, filter, key, foreign string) {
		query, err := url.ParseQuery(filter)
		if err != nil || key == "" {
			return
		}
		own := &request{url: &url.URL{Path: "/v1/providers/acme/licenses"}, query: query}
		cursor := sealCursor(own, key)
		if got, err := openCursor(own, cursor); err != nil || got != key {
			t.Fatalf("%q becomes %q, which is opened as %q, %v", key, cursor, got, err)
		}
		for _, r := range []*request{
			{url: &url.URL{Path: "/v1/providers/umbrella/licenses"}, query: query},
			{url: own.url, query: url.Values{"another filter of another list": {filter}}},
		} {
			if got, err := openCursor(r, cursor); err == nil {
				t.Fatalf("%q of another list is opened as %q", cursor, got)
			}
		}
		got, err := openCursor(own, foreign)
		var p *api.Problem
		if err != nil && (!errors.As(err, &p) || p.Code != api.CodeInvalid || got != "") {
			t.Fatalf("%q: %q, %v", foreign, got, err)
		}
		if err == nil && foreign != "" {
			if again, err := openCursor(own, sealCursor(own, got)); err != nil || again != got {
				t.Fatalf("%q is opened as %q, and sealed again as %q, %v", foreign, got, again, err)
			}
		}
	})
}
