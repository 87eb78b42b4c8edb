package events_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/shopspring/decimal"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/schemas"
)

var update = flag.Bool("update", false, "write the golden entries from the samples")

// sampleEntries puts each sample of a kind into an entry, numbered within its kind, so that a new kind changes no other's entries.
func sampleEntries(kind string) []events.Entry {
	var entries []events.Entry
	for _, ev := range eventstest.Samples() {
		if ev.Data.Kind() != kind {
			continue
		}
		provider := "acme"
		if family, _, _ := strings.Cut(kind, "."); slices.Contains([]string{"ledger", "catalog", "clock", "checkpoint"}, family) {
			provider = ""
		}
		e := eventstest.Entry(uint64(len(entries)), eventstest.Time("2026-03-11T04:00:00Z"), provider, ev.Data)
		e.Events[0].Effective = ev.Effective
		entries = append(entries, e)
	}
	return entries
}

func allSampleEntries() []events.Entry {
	var entries []events.Entry
	for _, kind := range events.Kinds() {
		entries = append(entries, sampleEntries(kind)...)
	}
	return entries
}

func line(t testing.TB, e *events.Entry) []byte {
	t.Helper()
	b, err := events.AppendEntry(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func goldenFile(kind string) string { return filepath.Join("testdata", "golden", kind+".jsonl") }

// What a kind needs beside its type and its row of the table.
func TestEveryKindIsComplete(t *testing.T) {
	kinds := events.Kinds()
	for i, kind := range kinds {
		if slices.Contains(kinds[:i], kind) {
			t.Errorf("kind %s stands twice in the table of kinds.go", kind)
		}
		if got := events.New(kind).Kind(); got != kind {
			t.Errorf("New(%q) makes a %s", kind, got)
		}
		if _, err := schemas.Kind(kind); err != nil {
			t.Errorf("kind %s has no schema: add schemas/%s.json, then run go test ./schemas -update (%v)", kind, kind, err)
		}
		if len(sampleEntries(kind)) == 0 {
			t.Errorf("kind %s has no sample: add one, with and without its optional fields, to events/eventstest/samples.go", kind)
		}
		if _, err := os.Stat(goldenFile(kind)); err != nil && !*update {
			t.Errorf("kind %s has no golden entries: run go test ./events -update (%v)", kind, err)
		}
	}
	// What was written once must stay readable.
	for _, kind := range schemas.Kinds() {
		if !slices.Contains(kinds, kind) {
			t.Errorf("schemas/%s.json belongs to no kind: add it to the table of kinds.go", kind)
		}
	}
	files, err := filepath.Glob(goldenFile("*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if kind := strings.TrimSuffix(filepath.Base(file), ".jsonl"); !slices.Contains(kinds, kind) {
			t.Errorf("%s belongs to no kind: add it to the table of kinds.go", file)
		}
	}
	if d := events.New("license.bought.v0"); d != nil {
		t.Errorf("an unknown kind makes a %T", d)
	}
}

// Golden entries are what the log holds: they never change, byte by byte.
func TestGolden(t *testing.T) {
	for _, kind := range events.Kinds() {
		t.Run(kind, func(t *testing.T) {
			entries := sampleEntries(kind)
			if len(entries) == 0 {
				t.Fatal("there is no sample: add one to events/eventstest/samples.go")
			}
			var body []byte
			for i := range entries {
				body = append(append(body, line(t, &entries[i])...), '\n')
			}
			if *update {
				if err := os.MkdirAll(filepath.Dir(goldenFile(kind)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(goldenFile(kind), body, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(goldenFile(kind))
			if err != nil {
				t.Fatalf("run go test ./events -update: %v", err)
			}
			if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(string(body), "\n")); diff != "" {
				t.Errorf("the samples no longer give the golden entries; a kind that has been written never changes, so either undo that or, "+
					"if samples were added, run go test ./events -update and look at the difference (-golden +samples):\n%s", diff)
			}
			decoded, err := events.DecodeRecord(&events.Record{Body: golden})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(entries, decoded, compareEvents); diff != "" {
				t.Errorf("the golden entries read otherwise than they were written (-sample +golden):\n%s", diff)
			}
		})
	}
}

var compareEvents = cmp.Options{
	cmp.Comparer(func(a, b events.Money) bool { return a.String() == b.String() }),
	cmp.Comparer(func(a, b events.Quantity) bool { return a == b }),
}

// Every sample is what its schema says, and no schema accepts what the codec refuses: a missing field, one more, null, another type, an
// empty value that would have been left out.
func TestSchemasAgreeWithCodec(t *testing.T) {
	for _, kind := range events.Kinds() {
		s, err := schemas.Kind(kind)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		for _, e := range sampleEntries(kind) {
			b := line(t, &e)
			if err := schemas.Check(schemas.Entry(), b); err != nil {
				t.Errorf("%v\n%s", err, b)
			}
			const before = `,"data":`
			i := bytes.Index(b, []byte(before)) + len(before)
			agree(t, s, b[:i], b[i:len(b)-len(`}]}`)], b[len(b)-len(`}]}`):])
		}
	}
	at := eventstest.Time("2026-03-11T04:00:00Z")
	part := eventstest.Entry(3, at, "acme", &events.PaymentMethodRemoved{})
	part.Part, part.Parts = 2, 3
	part.Events[0].Effective = eventstest.Time("2026-03-01T00:00:00Z")
	due := eventstest.Entry(4, at, "", &events.ClockMoved{To: at}, &events.ClockMoved{To: at})
	due.Request = events.Digest{}
	for _, e := range []events.Entry{part, due} {
		agree(t, schemas.Entry(), nil, line(t, &e), nil)
		if err := schemas.Check(schemas.Record(), fmt.Appendf(nil, "[%s]", line(t, &e))); err != nil {
			t.Error(err)
		}
	}
}

// agree changes a document, which stands between before and after in an entry's line, in every way.
func agree(t *testing.T, s *jsonschema.Schema, before, document, after []byte) {
	t.Helper()
	in := func(document []byte) []byte { return slices.Concat(before, document, after) }
	if _, err := events.DecodeEntry(in(document)); err != nil {
		t.Errorf("%v\n%s", err, in(document))
	}
	if err := schemas.Check(s, document); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	refused := 0
	for what, changed := range mutations(t, document) {
		if _, err := events.DecodeEntry(in(changed)); err != nil {
			refused++
			if schemas.Check(s, changed) == nil {
				t.Errorf("%s: the schema accepts what the codec refuses (%v)\n%s", what, err, in(changed))
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d changes of %s were refused", refused, document)
	}
}

// Types of data hold nothing that the codec cannot keep exactly, or cannot check.
func TestKindsHoldExactTypes(t *testing.T) {
	var check func(where string, typ reflect.Type, inMap bool)
	check = func(where string, typ reflect.Type, inMap bool) {
		switch typ {
		case reflect.TypeFor[time.Time]():
			if inMap {
				t.Errorf("%s: a time within a map is not checked by findTimes of kinds.go", where)
			}
			return
		case reflect.TypeFor[decimal.Decimal](), reflect.TypeFor[events.Quantity]():
			return
		}
		switch typ.Kind() {
		case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128, reflect.Interface, reflect.Func, reflect.Chan:
			t.Errorf("%s is a %s", where, typ)
		case reflect.Pointer, reflect.Slice, reflect.Array:
			check(where, typ.Elem(), inMap)
		case reflect.Map:
			check(where+" (key)", typ.Key(), true)
			check(where, typ.Elem(), true)
		case reflect.Struct:
			for f := range typ.Fields() {
				if !f.IsExported() {
					t.Errorf("%s.%s is not exported: it would be lost", where, f.Name)
					continue
				}
				check(where+"."+f.Name, f.Type, inMap)
			}
		}
	}
	for _, kind := range events.Kinds() {
		typ := reflect.TypeOf(events.New(kind)).Elem()
		check(typ.Name(), typ, false)
	}
}

// The last event of a license is its state, so readers must find the license in every kind that carries one.
func TestLicenseAfter(t *testing.T) {
	for _, kind := range events.Kinds() {
		d := events.New(kind)
		got := events.LicenseAfter(d)
		field := reflect.ValueOf(d).Elem().FieldByName("License")
		var want *events.License
		if field.IsValid() {
			want, _ = field.Addr().Interface().(*events.License)
		}
		if got != want {
			t.Errorf("LicenseAfter does not give the license of %s: add the kind to its cases in license.go", kind)
		}
	}
}

// The last event of a key is its state, as with licenses.
func TestKeyAfter(t *testing.T) {
	for _, kind := range events.Kinds() {
		d := events.New(kind)
		got, _ := events.KeyAfter(d)
		var want *events.Key
		if field := reflect.ValueOf(d).Elem().FieldByName("Key"); field.IsValid() {
			want, _ = field.Addr().Interface().(*events.Key)
		}
		if got != want {
			t.Errorf("KeyAfter does not give the key of %s: add the kind to its cases in key.go", kind)
		}
		if field := reflect.ValueOf(d).Elem().FieldByName("Reset"); field.IsValid() {
			field.SetBool(true)
			if _, reset := events.KeyAfter(d); !reset {
				t.Errorf("KeyAfter does not tell that %s resets the seats", kind)
			}
		}
	}
}

// K2: twelve months end at the same instant of the year after; 29 February, at that of 28 February.
func TestK2YearAfter(t *testing.T) {
	for at, want := range map[string]string{
		"2026-03-11T04:00:00.5Z": "2027-03-11T04:00:00.5Z",
		"2027-02-28T23:59:59Z":   "2028-02-28T23:59:59Z",
		"2028-02-28T00:00:00Z":   "2029-02-28T00:00:00Z",
		"2028-02-29T10:00:00Z":   "2029-02-28T10:00:00Z",
		"2028-03-01T00:00:00Z":   "2029-03-01T00:00:00Z",
		"2027-12-31T23:59:59Z":   "2028-12-31T23:59:59Z",
	} {
		if got := events.FormatTime(events.YearAfter(eventstest.Time(at))); got != want {
			t.Errorf("a year after %s is %s, want %s", at, got, want)
		}
	}
}

// member and array are JSON with its order kept, so that a change of one place leaves the rest canonical.
type member struct {
	key   string
	value any // []member, []any, or the text of a scalar
}

func parseOrdered(t *testing.T, dec *json.Decoder) any {
	t.Helper()
	token, err := dec.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case json.Delim('{'):
		object := []member{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			object = append(object, member{key.(string), parseOrdered(t, dec)})
		}
		_, _ = dec.Token()
		return object
	case json.Delim('['):
		array := []any{}
		for dec.More() {
			array = append(array, parseOrdered(t, dec))
		}
		_, _ = dec.Token()
		return array
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(token); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func printOrdered(b []byte, v any) []byte {
	switch v := v.(type) {
	case []member:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = printOrdered(fmt.Appendf(b, "%q:", m.key), m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = printOrdered(b, e)
		}
		return append(b, ']')
	}
	return append(b, v.(string)...)
}

// mutations yields a line with one thing changed, and what that is. Of lists, the first and the last element are changed.
func mutations(t *testing.T, line []byte) iter.Seq2[string, []byte] {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	tree := parseOrdered(t, dec)
	if again := printOrdered(nil, tree); !bytes.Equal(again, line) {
		t.Fatalf("the test's own reader loses something:\n%s\n%s", line, again)
	}
	return func(yield func(string, []byte) bool) {
		stopped := false
		// visit changes v in every way; put builds the whole line around what stands for v.
		var visit func(where string, v any, put func(any) []byte)
		visit = func(where string, v any, put func(any) []byte) {
			try := func(what string, v any) { stopped = stopped || !yield(what+" "+where, put(v)) }
			for _, other := range []string{`null`, `""`, `"x"`, `0`, `-1`, `0.5`, `true`, `false`, `[]`, `{}`} {
				try(other+" for", other)
			}
			switch v := v.(type) {
			case []member:
				try("one more in", append(slices.Clone(v), member{"surplus", "1"}))
				for i, m := range v {
					try("without "+m.key+" in", slices.Delete(slices.Clone(v), i, i+1))
					visit(where+"/"+m.key, m.value, func(other any) []byte {
						changed := slices.Clone(v)
						changed[i].value = other
						return put(changed)
					})
				}
			case []any:
				for i, e := range v {
					if i > 0 && i < len(v)-1 {
						continue
					}
					visit(fmt.Sprintf("%s/%d", where, i), e, func(other any) []byte {
						changed := slices.Clone(v)
						changed[i] = other
						return put(changed)
					})
				}
			}
		}
		visit("", tree, func(v any) []byte { return printOrdered(nil, v) })
	}
}
