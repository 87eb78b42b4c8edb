package projections_test

import (
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"testing"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
)

// inOrder yields entries and then, if there is one, an error.
func inOrder(list []events.Entry, err error) iter.Seq2[*events.Entry, error] {
	return func(yield func(*events.Entry, error) bool) {
		for i := range list {
			if !yield(&list[i], nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// What is folded aside are the rows that a live view had at that entry, over several transactions too.
func TestAside(t *testing.T) {
	all := history("01KGB000000000000000000000", 205_000)
	for _, n := range []int{0, 1, 7, 100_000, 100_001, 205_000} {
		for _, noUsage := range []bool{false, true} {
			a, err := projections.NewAside(t.TempDir(), &rows{noUsage: noUsage}, inOrder(all[:n], nil))
			if err != nil {
				t.Fatal(err)
			}
			err = a.Read(func(tx *bbolt.Tx) error {
				b := tx.Bucket([]byte("rows"))
				if got := b.Stats().KeyN; got != n {
					t.Errorf("%d entries make %d rows", n, got)
				}
				if n < 5 {
					return nil
				}
				want := "test/3 1"
				if noUsage {
					want = "test/3 0"
				}
				if got := string(b.Get(binary.BigEndian.AppendUint64(nil, 3))); got != want {
					t.Errorf("the row of a report is %q, not %q", got, want)
				}
				if got := string(b.Get(binary.BigEndian.AppendUint64(nil, 4))); got != "test/4 1" {
					t.Errorf("the row of a company is %q", got)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			switch last := a.Last(); {
			case n == 0 && last != nil, n > 0 && (last == nil || *last != uint64(n-1)):
				t.Errorf("after %d entries the last is %v", n, last)
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever goes wrong, nothing is left behind.
func TestAsideFails(t *testing.T) {
	all := history("01KGB000000000000000000000", 10)
	torn := errors.New("torn")
	for name, c := range map[string]struct {
		view    *rows
		entries iter.Seq2[*events.Entry, error]
		want    error
	}{
		"the entries end in an error": {&rows{}, inOrder(all, torn), torn},
		"the view refuses an entry":   {&rows{onApply: failAt(5)}, inOrder(all, nil), errPoison},
		"the view does not begin":     {&rows{onBegin: func() error { return errPoison }}, inOrder(all, nil), errPoison},
		"the view does not flush":     {&rows{onFlush: func() error { return errPoison }}, inOrder(all, nil), errPoison},
	} {
		dir := t.TempDir()
		if a, err := projections.NewAside(dir, c.view, c.entries); !errors.Is(err, c.want) || a != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", name, left, err)
		}
	}
	panics := &rows{onApply: func(*events.Entry) error { panic("a view's mistake") }}
	if _, err := projections.NewAside(t.TempDir(), panics, inOrder(all, nil)); err == nil {
		t.Error("a panic of the view is no error")
	}
	if _, err := projections.NewAside(t.TempDir()+"/none", &rows{}, inOrder(all, nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is missing: %v", err)
	}
}
