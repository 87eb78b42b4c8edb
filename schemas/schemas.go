// Package schemas holds the JSON Schemas (2020-12) of what goes into the ledger and of what stands in it:
//
//	report.json               a usage report of an agent, or a number that it gives up
//	cloudevent.json           a reading as a CloudEvent
//	catalog.json              what is sold from a month on
//	license.bought.v1.json    the data of an event of that kind; one file per kind and version
//	event.json                an event: the kind, and data as that kind's schema says
//	entry.json, record.json   a line of the log; the lines of a record, as an array
//	defs.json                 what they share
//
// The files refer to each other by name, so they work from any folder or address that holds them all ([FS]).
// Formats are assertions. One format is the ledger's own, "quantity": a reading's value as it may be written.
//
//	problems := schemas.Violations(schemas.Check(schemas.Report(), body))
//	// {/readings/3/value  -1 is not valid quantity: a decimal number from 0 without exponent}
//
// event.json is made from the names of the kinds: go test ./schemas -update writes it.
//
// Everything here is safe for concurrent use. The first use compiles all schemas, in some milliseconds.
package schemas

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

//go:embed *.json
var files embed.FS

// base stands before the files' names while they are compiled; nothing is ever loaded from it.
const base = "embedded:///"

// ErrNoSchema says that there is no schema of that kind.
var ErrNoSchema = errors.New("no such schema")

// compiled has every file's schema by name, without ".json".
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	c := newCompiler()
	all := make(map[string]*jsonschema.Schema)
	for _, name := range Names() {
		b, err := files.ReadFile(name + ".json")
		if err != nil {
			return nil, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s.json: %w", name, err)
		}
		if err := c.AddResource(base+name+".json", doc); err != nil {
			return nil, err
		}
	}
	for _, name := range Names() {
		s, err := c.Compile(base + name + ".json")
		if err != nil {
			return nil, err
		}
		all[name] = s
	}
	return all, nil
})

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: "quantity", Validate: checkQuantity})
	c.UseLoader(jsonschema.SchemeURLLoader{}) // no scheme: nothing is loaded from outside
	return c
}

// Names lists all schemas, sorted: their files' names without ".json".
func Names() []string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

var kindName = regexp.MustCompile(`\.v[0-9]+$`)

// Kinds lists the kinds of events that have a schema, sorted.
func Kinds() []string {
	var kinds []string
	for _, name := range Names() {
		if kindName.MatchString(name) {
			kinds = append(kinds, name)
		}
	}
	return kinds
}

// FS holds the files as they are, for those who serve or copy them.
func FS() fs.FS { return files }

// Kind is the schema of the data of an event of that kind, like "license.bought.v1"; an error wraps [ErrNoSchema].
func Kind(kind string) (*jsonschema.Schema, error) {
	if !kindName.MatchString(kind) {
		return nil, fmt.Errorf("%.80q is not a kind of event: %w", kind, ErrNoSchema)
	}
	all, err := compiled()
	if err != nil {
		return nil, err
	}
	s, ok := all[kind]
	if !ok {
		return nil, fmt.Errorf("kind %.80q: %w", kind, ErrNoSchema)
	}
	return s, nil
}

// Report is the schema of a usage report.
func Report() *jsonschema.Schema { return must("report") }

// CloudEvent is the schema of one reading as a CloudEvent.
func CloudEvent() *jsonschema.Schema { return must("cloudevent") }

// Catalog is the schema of a catalog that is published.
func Catalog() *jsonschema.Schema { return must("catalog") }

// Entry is the schema of a line of the log, with the data of its events.
func Entry() *jsonschema.Schema { return must("entry") }

// Record is the schema of the lines of a record, read into an array.
func Record() *jsonschema.Schema { return must("record") }

// must panics where the embedded files are broken, which the tests exclude.
func must(name string) *jsonschema.Schema {
	all, err := compiled()
	if err != nil {
		panic(fmt.Errorf("embedded schemas: %w", err))
	}
	return all[name]
}

// Check reads a JSON document, with numbers as they are written, and validates it. [Violations] lists what is wrong.
func Check(s *jsonschema.Schema, document []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return s.Validate(v)
}

// Violation says what is wrong where.
type Violation struct {
	Location string // a JSON Pointer into the document; empty: the document itself
	Message  string
}

// Violations lists what an error of Validate or [Check] says, sorted by location: nil for nil, one violation of the
// whole document for an error of another kind.
func Violations(err error) []Violation {
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []Violation{{Message: err.Error()}}
	}
	found := leaves(nil, invalid, message.NewPrinter(language.English))
	slices.SortFunc(found, func(a, b Violation) int {
		return cmp.Or(strings.Compare(a.Location, b.Location), strings.Compare(a.Message, b.Message))
	})
	return slices.Compact(found)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func leaves(found []Violation, e *jsonschema.ValidationError, p *message.Printer) []Violation {
	for _, cause := range e.Causes {
		found = leaves(found, cause, p)
	}
	if len(e.Causes) > 0 {
		return found
	}
	var pointer strings.Builder
	for _, token := range e.InstanceLocation {
		pointer.WriteString("/" + pointerEscapes.Replace(token))
	}
	return append(found, Violation{pointer.String(), e.ErrorKind.LocalizedString(p)})
}

// Bounds of the format "quantity".
const maxDigits, maxScale = 18, 9

var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// checkQuantity is the format "quantity". It needs the number's text, so it says nothing of numbers that were read as floats.
func checkQuantity(v any) error {
	n, ok := v.(json.Number)
	if !ok {
		return nil
	}
	if !plainNumber.MatchString(n.String()) {
		return errors.New("a decimal number from 0 without exponent")
	}
	whole, fraction, _ := strings.Cut(n.String(), ".")
	fraction = strings.TrimRight(fraction, "0")
	digits := len(strings.TrimLeft(whole+fraction, "0"))
	if digits > maxDigits || len(fraction) > maxScale {
		return fmt.Errorf("at most %d significant digits, at most %d of them after the point", maxDigits, maxScale)
	}
	return nil
}
