package events

import (
	"reflect"
	"testing"
	"time"
)

// Data may hold times at any depth; each must be stamped.
func TestFindTimes(t *testing.T) {
	type inner struct {
		Name string
		At   time.Time
	}
	type data struct {
		Note   string
		Inner  inner
		Maybe  *inner
		List   []inner
		Pair   [2]time.Time
		Amount Money
	}
	stampedAll := findTimes(reflect.TypeFor[data]())
	good, bad := time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC), time.Date(2026, 3, 11, 4, 0, 0, 1, time.UTC)
	fill := func() data {
		return data{Inner: inner{At: good}, Maybe: &inner{At: good}, List: []inner{{At: good}, {At: good}}, Pair: [2]time.Time{good, good}}
	}
	for name, c := range map[string]struct {
		change func(*data)
		want   bool
	}{
		"all stamped":      {func(*data) {}, true},
		"nothing there":    {func(d *data) { *d = data{} }, true},
		"in a struct":      {func(d *data) { d.Inner.At = bad }, false},
		"behind a pointer": {func(d *data) { d.Maybe.At = bad }, false},
		"in a slice":       {func(d *data) { d.List[1].At = bad }, false},
		"in an array":      {func(d *data) { d.Pair[1] = bad }, false},
	} {
		d := fill()
		c.change(&d)
		if got := stampedAll(reflect.ValueOf(&d).Elem()); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if findTimes(reflect.TypeFor[Catalog]()) != nil {
		t.Error("a catalog has no times, but would be searched for them")
	}
}
