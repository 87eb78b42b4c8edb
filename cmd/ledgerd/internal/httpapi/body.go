package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"licenseledger/events"
	"licenseledger/ledger/api"
)

// maxDepth bounds how deep a body is nested; no body of the contract comes near.
const maxDepth = 32

// readBody reads a body of at most [api.MaxBody] bytes. What says beforehand that it is larger is not read at all.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > api.MaxBody {
		w.Header().Set("Connection", "close") // what is still coming is nobody's next request
		return nil, tooLarge()
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, api.MaxBody))
	var exceeded *http.MaxBytesError
	switch {
	case errors.As(err, &exceeded):
		return nil, tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, broken("the body did not arrive in time")
	case err != nil:
		return nil, broken("the body was cut off")
	}
	return b.Bytes(), nil
}

func tooLarge() *api.Problem {
	p := api.NewProblem(api.CodeTooLarge, fmt.Sprintf("a body has at most %d bytes", api.MaxBody))
	p.Hint = "divide it"
	return p
}

// parse reads one JSON value and nothing behind it. Numbers stay as they were written.
func parse(b []byte) (any, error) {
	if !utf8.Valid(b) {
		return nil, broken("the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d, 0)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = broken("something stands behind the JSON value")
		}
	}
	var p *api.Problem
	if err != nil && !errors.As(err, &p) {
		return nil, broken("the body is not JSON: %v, at byte %d", err, d.InputOffset())
	}
	return v, err
}

// value reads the next value of a body.
func value(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, broken("the body is nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := make(map[string]any)
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := token.(string) // the decoder takes nothing else
			if _, twice := object[name]; twice {
				return nil, broken("%.40q stands twice in one object", name)
			}
			if object[name], err = value(d, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return object, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := value(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// strangers lists names of a body that its schema does not have exactly so. (The checks of huma and encoding/json take
// names in other letters for the same.) They come in no order.
func strangers(registry huma.Registry, s *huma.Schema, v any, path string) (found []api.FieldError) {
	for s != nil && s.Ref != "" {
		s = registry.SchemaFromRef(s.Ref)
	}
	if s == nil {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		other, _ := s.AdditionalProperties.(*huma.Schema)
		closed, _ := s.AdditionalProperties.(bool)
		closed = other == nil && !closed && s.Properties != nil
		for name, member := range v {
			within := other
			if known, ok := s.Properties[name]; ok {
				within = known
			} else if closed {
				found = append(found, api.FieldError{Location: fmt.Sprintf("%s.%.80s", path, name), Message: "there is no such field"})
				continue
			}
			found = append(found, strangers(registry, within, member, path+"."+name)...)
		}
	case []any:
		for i, item := range v {
			found = append(found, strangers(registry, s.Items, item, fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return found
}

// digest is what tells a repeated change from another one under its idempotency key (package comment). The body is as
// parse gives it, nil where there is none.
func digest(r *http.Request, query url.Values, body any) events.Digest {
	rest := make(url.Values, len(query))
	for name, values := range query {
		if name != "dry_run" && name != "checkpoint" {
			rest[name] = values
		}
	}
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), rest.Encode())
	switch body := body.(type) {
	case nil:
	case []byte: // of usage, whose canonical form is the report's own digest
		_, _ = h.Write(body)
	default:
		canonical, _ := json.Marshal(body) // what was parsed encodes
		_, _ = h.Write(canonical)
	}
	return events.Digest(h.Sum(nil))
}
