package licenses

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// fill sets every field of a struct to something that is not zero, each to something else.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.UnixMilli(int64(1000 + *n)).UTC()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.String:
		v.SetString("text" + string(rune('A'+*n)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	default:
		t.Fatalf("the test cannot fill a %s", v.Type())
	}
}

// A row keeps every field; one that is added to the struct has to be added to the row.
func TestRowsKeepEverything(t *testing.T) {
	n := 0
	var l events.License
	fill(t, reflect.ValueOf(&l).Elem(), &n)
	got, err := readLicense(l.ID, appendLicense(nil, &l))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&l, got); diff != "" {
		t.Errorf("a license (-written +read):\n%s", diff)
	}
	for _, change := range []func(*events.License){
		func(l *events.License) { l.Assigned = false },
		func(l *events.License) { l.AutoRenew = false },
		func(l *events.License) { *l = events.License{ID: l.ID} },
		func(l *events.License) { l.BilledFrom, l.Created = -1, time.Time{} },
	} {
		changed := l
		change(&changed)
		if got, err := readLicense(l.ID, appendLicense(nil, &changed)); err != nil || *got != changed {
			t.Errorf("%+v, %v, want %+v", got, err, changed)
		}
	}

	var c license.Remembered
	fill(t, reflect.ValueOf(&c).Elem(), &n)
	if got, err := readCommand(c.Time, appendCommand(nil, &c)); err != nil || got != c {
		t.Errorf("a command: %+v, %v, want %+v", got, err, c)
	}
}

func TestSpoolRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s license.Spool
		for range rapid.IntRange(0, 40).Draw(t, "reports") {
			seq := s.High + rapid.Uint64Range(1, 300).Draw(t, "ahead")
			if len(s.Gaps) > 0 && rapid.Bool().Draw(t, "missing") {
				seq = s.Gaps[0].From
			}
			var digest events.ReportDigest
			copy(digest[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "digest"))
			s = s.Add(seq, digest)
		}
		got, err := readSpool(appendSpool(nil, &s))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	})
}

// A row that is cut off or too long is an error, never another value or a panic.
func TestDamagedRows(t *testing.T) {
	n := 0
	var l events.License
	fill(t, reflect.ValueOf(&l).Elem(), &n)
	s := license.Spool{High: 500, Gaps: []license.Range{{From: 2, To: 300}}, Recent: []license.Recent{{Seq: 500, Digest: events.ReportDigest{1}}}}
	c := license.Remembered{Entry: 300, Parts: 2, Digest: events.Digest{1}}
	for _, kind := range []struct {
		name string
		row  []byte
		read func([]byte) error
	}{
		{"license", appendLicense(nil, &l), func(b []byte) error { _, err := readLicense("x", b); return err }},
		{"spool", appendSpool(nil, &s), func(b []byte) error { _, err := readSpool(b); return err }},
		{"command", appendCommand(nil, &c), func(b []byte) error { _, err := readCommand(time.Time{}, b); return err }},
	} {
		// A spool without its recent reports is a spool.
		whole := map[int]bool{len(kind.row): true}
		if kind.name == "spool" {
			whole[len(appendSpool(nil, &license.Spool{High: s.High, Gaps: s.Gaps}))] = true
		}
		for cut := range len(kind.row) + 1 {
			if err := kind.read(kind.row[:cut]); errors.Is(err, errDamaged) == whole[cut] {
				t.Errorf("%d of %d bytes of a %s: %v", cut, len(kind.row), kind.name, err)
			}
		}
		if err := kind.read(append(kind.row, 0)); !errors.Is(err, errDamaged) {
			t.Errorf("a byte more than a %s: %v", kind.name, err)
		}
	}
	if _, err := readSpool([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f}); !errors.Is(err, errDamaged) {
		t.Errorf("more gaps than there may be: %v", err)
	}
}
