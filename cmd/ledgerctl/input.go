package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"licenseledger/ledger/api"
)

// open opens an input file; - is standard input.
func (c *cli) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(c.stdin), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return file, nil
}

// readBody reads a body of a call in JSON from an input file. what stands before the file's name in errors, as "the catalog"; hint says how such
// a file looks.
func (c *cli) readBody(file, what, hint string, into any) error {
	input, err := c.open(file)
	if err != nil {
		return err
	}
	defer input.Close()
	text, err := io.ReadAll(io.LimitReader(input, api.MaxBody+1))
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", what, file, err)
	}
	if len(text) > api.MaxBody {
		return &usageError{text: fmt.Sprintf("%s %s: larger than %d bytes", what, file, api.MaxBody)}
	}
	if err := decodeStrict(text, into); err != nil {
		return &usageError{text: what + " " + file + ": " + err.Error(), hint: hint}
	}
	return nil
}

// decodeStrict decodes one JSON value and nothing behind it. Its errors are for whoever wrote the JSON.
func decodeStrict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return explainJSON(text, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is something behind the JSON value")
	}
	return nil
}

func explainJSON(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var when *time.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("not JSON: it ends too early")
	case errors.As(err, &syntax):
		return fmt.Errorf("%snot JSON: %w", place(text, syntax.Offset), syntax)
	case errors.As(err, &kind):
		found, _, _ := strings.Cut(kind.Value, " ")
		return fmt.Errorf("%s%s: %s is needed, not %s", place(text, kind.Offset), kind.Field, kindName(kind.Type), found)
	case errors.As(err, &when):
		return fmt.Errorf("%s is not a time like 2026-03-11T04:00:00Z", quoted(strings.Trim(when.Value, `"`)))
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// place says on which line an offset lies, where there are several.
func place(text []byte, offset int64) string {
	if !bytes.Contains(bytes.TrimSpace(text), []byte("\n")) {
		return ""
	}
	return fmt.Sprintf("line %d: ", 1+bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")))
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a whole number"
}
