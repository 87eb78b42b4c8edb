package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
)

const testToken = "operator-token-of-the-test"

// exchange is one request that a fake ledger expects, and its answer.
type exchange struct {
	method, target string // target with its query, not escaped: /v1/providers/acme/companies?limit=2
	key            string // idempotency key, if it matters
	token          string // as the Authorization header has it, if it is not the test's
	accept         string // what is asked for and answered, if it is not JSON
	body           string // JSON, or nothing
	status         int
	answer         string
}

// parseTranscript reads exchanges: lines that begin with > are the request, those with < its answer. Empty lines and
// lines with # are for the reader.
//
//	> PUT /v1/clock
//	> Idempotency-Key: k1   (these three only if they matter)
//	> Authorization: Bearer another
//	> Accept: text/html
//	> {"now":"2026-03-10T12:00:00Z"}
//	< 200
//	< {"now":"2026-03-10T12:00:00Z","position":9}
func parseTranscript(text string) ([]exchange, error) {
	var list []exchange
	answering := true
	for n, line := range strings.Split(text, "\n") {
		content := strings.TrimSpace(line)
		if content == "" || content[0] == '#' {
			continue
		}
		side, content := content[0], strings.TrimSpace(content[1:])
		switch {
		case side == '>' && answering:
			method, target, _ := strings.Cut(content, " ")
			list = append(list, exchange{method: method, target: target})
			answering = false
		case side == '>' && strings.HasPrefix(content, "Idempotency-Key: "):
			list[len(list)-1].key = strings.TrimPrefix(content, "Idempotency-Key: ")
		case side == '>' && strings.HasPrefix(content, "Authorization: "):
			list[len(list)-1].token = strings.TrimPrefix(content, "Authorization: ")
		case side == '>' && strings.HasPrefix(content, "Accept: "):
			list[len(list)-1].accept = strings.TrimPrefix(content, "Accept: ")
		case side == '>':
			list[len(list)-1].body += content
		case side == '<' && len(list) > 0 && !answering:
			if _, err := fmt.Sscanf(content, "%d", &list[len(list)-1].status); err != nil {
				return nil, fmt.Errorf("line %d: no status: %w", n+1, err)
			}
			answering = true
		case side == '<' && len(list) > 0:
			list[len(list)-1].answer += content
		default:
			return nil, fmt.Errorf("line %d: %q", n+1, line)
		}
	}
	return list, nil
}

// fakeLedger answers the requests that it expects, in their order, and refuses every other one.
type fakeLedger struct {
	*httptest.Server
	mu    sync.Mutex
	rest  []exchange
	wrong []string
}

func newFakeLedger(exchanges []exchange) *fakeLedger {
	f := &fakeLedger{rest: exchanges}
	f.Server = httptest.NewServer(f)
	return f
}

func (f *fakeLedger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, err := f.expect(r)
	if err != nil {
		f.wrong = append(f.wrong, err.Error())
		problem, _ := json.Marshal(map[string]any{"code": "internal", "status": 500, "detail": "the fake ledger: " + err.Error()})
		x = exchange{status: 500, answer: string(problem)}
	}
	media := cmp.Or(x.accept, "application/json")
	if x.status >= 400 {
		media = "application/problem+json"
	}
	w.Header().Set("Content-Type", media)
	if r.Method == "GET" {
		w.Header().Set("Ledger-Position", "412")
	}
	w.WriteHeader(x.status)
	io.WriteString(w, x.answer)
}

// expect takes the next exchange, if it is the request's.
func (f *fakeLedger) expect(r *http.Request) (exchange, error) {
	if len(f.rest) == 0 {
		return exchange{}, fmt.Errorf("%s %s: nothing more was expected", r.Method, r.RequestURI)
	}
	x := f.rest[0]
	if err := x.check(r); err != nil {
		return x, fmt.Errorf("%s %s: %w", r.Method, r.RequestURI, err)
	}
	f.rest = f.rest[1:]
	return x, nil
}

func (x exchange) check(r *http.Request) error {
	want, err := url.Parse(strings.ReplaceAll(x.target, " ", "%20"))
	if err != nil {
		return err
	}
	if r.Method != x.method || r.URL.Path != want.Path || !reflect.DeepEqual(r.URL.Query(), want.Query()) {
		return fmt.Errorf("expected %s %s", x.method, x.target)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if !sameJSON(string(body), x.body) {
		return fmt.Errorf("body %q, expected %q", body, x.body)
	}
	media := ""
	if x.body != "" {
		media = "application/json"
	}
	token := "Bearer " + testToken
	if x.token != "" {
		token = x.token
	}
	for _, header := range []struct{ name, want string }{
		{"Authorization", token}, {"Accept", cmp.Or(x.accept, "application/json")}, {"Content-Type", media},
	} {
		if got := r.Header.Get(header.name); got != header.want {
			return fmt.Errorf("%s: %q, expected %q", header.name, got, header.want)
		}
	}
	return x.checkKey(r)
}

// checkKey: every change has a key, but dry runs, estimates and usage reports, which have numbers, need none.
func (x exchange) checkKey(r *http.Request) error {
	key := r.Header.Get("Idempotency-Key")
	needless := r.Method == "GET" || strings.HasSuffix(r.URL.Path, "/usage") || strings.HasSuffix(r.URL.Path, "/estimate") || strings.HasSuffix(r.URL.Path, "/what-if") || r.URL.Query().Get("dry_run") == "true"
	switch {
	case x.key != "" && key != x.key:
		return fmt.Errorf("Idempotency-Key %q, expected %q", key, x.key)
	case x.key == "" && needless && key != "":
		return fmt.Errorf("Idempotency-Key %q, expected none", key)
	case !needless && len(key) < 16 && x.key == "":
		return fmt.Errorf("Idempotency-Key %q cannot be unique", key)
	}
	return nil
}

// finish says what went wrong: what was not expected, and what was expected and did not come.
func (f *fakeLedger) finish() error {
	f.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	problems := f.wrong
	for _, x := range f.rest {
		problems = append(problems, fmt.Sprintf("%s %s was expected, and did not come", x.method, x.target))
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("the fake ledger:\n%s", strings.Join(problems, "\n"))
}

// sameJSON compares two JSON texts, numbers by their digits. Two empty ones are the same.
func sameJSON(a, b string) bool {
	if a == "" || b == "" {
		return a == b
	}
	var values [2]any
	for i, text := range []string{a, b} {
		decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
		decoder.UseNumber()
		if decoder.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

// The fake must refuse what is not exactly right, or the sessions prove nothing.
func TestFakeLedgerIsStrict(t *testing.T) {
	buy := exchange{method: "POST", target: "/v1/providers/acme/licenses", body: `{"quantity":1}`, status: 200, answer: `{}`}
	list := exchange{method: "GET", target: "/v1/providers/acme/licenses?q=pc 17", status: 200, answer: `{}`}
	for _, row := range []struct {
		name   string
		expect []exchange
		change func(r *http.Request)
		ok     bool
	}{
		{"right", []exchange{buy}, func(*http.Request) {}, true},
		{"nothing expected", nil, func(*http.Request) {}, false},
		{"another expected", []exchange{list}, func(*http.Request) {}, false},
		{"one more expected", []exchange{buy, list}, func(*http.Request) {}, false},
		{"no token", []exchange{buy}, func(r *http.Request) { r.Header.Del("Authorization") }, false},
		{"no key", []exchange{buy}, func(r *http.Request) { r.Header.Del("Idempotency-Key") }, false},
		{"a short key", []exchange{buy}, func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") }, false},
		{"no Accept", []exchange{buy}, func(r *http.Request) { r.Header.Del("Accept") }, false},
		{"no Content-Type", []exchange{buy}, func(r *http.Request) { r.Header.Del("Content-Type") }, false},
		{"other method", []exchange{buy}, func(r *http.Request) { r.Method = "PUT" }, false},
		{"other query", []exchange{buy}, func(r *http.Request) { r.URL.RawQuery = "dry_run=true" }, false},
		{"other number", []exchange{buy}, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"quantity":1.0}`)) }, false},
		{"no body", []exchange{buy}, func(r *http.Request) { r.Body = http.NoBody }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFakeLedger(row.expect)
			r := httptest.NewRequest("POST", "/v1/providers/acme/licenses", strings.NewReader(`{ "quantity": 1 }`))
			r.Header.Set("Authorization", "Bearer "+testToken)
			r.Header.Set("Accept", "application/json")
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Idempotency-Key", "0123456789abcdef")
			row.change(r)
			f.ServeHTTP(httptest.NewRecorder(), r)
			if err := f.finish(); (err == nil) != row.ok {
				t.Errorf("got %v, want it to pass: %v", err, row.ok)
			}
		})
	}
}
