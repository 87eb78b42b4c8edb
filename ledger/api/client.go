package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	mathrand "math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	defaultRetries = 4
	firstBackoff   = 100 * time.Millisecond // doubled by every further one
	maxWait        = 30 * time.Second       // a server that asks for more is not waited for
	maxAnswer      = 64 << 20               // bytes of an answer that is held in memory
	maxProblem     = 1 << 20
)

// Client calls a ledger. The zero value with a BaseURL is ready; it may be used by many goroutines at once, and must not
// be changed meanwhile. The context bounds every call, its repetitions included; there is no other timeout.
//
// What the ledger says it did not record (CodeOverloaded, CodeUnavailable), and what it cannot say (CodeOutcomeUnknown),
// is asked again after a pause: at least as long as Retry-After, and always under the same idempotency key. Nothing else
// is repeated. In particular a broken connection is not: then a *CallError has Unknown set, and the key to repeat with.
//
// Redirects are not followed: the ledger sends none, and the token is for BaseURL alone.
type Client struct {
	BaseURL string       // "http://127.0.0.1:8080"; a path in it comes before /v1
	Token   string       // sent as Authorization: Bearer; none if empty
	HTTP    *http.Client // nil: http.DefaultClient; its CheckRedirect is not used
	Retries int          // repetitions of one call: 0 means 4, below 0 none
}

var errAnswerTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxAnswer)

// call is one call below /v1, or outside of it.
type call struct {
	method  string
	outside bool     // not below /v1
	path    []string // segments, not yet escaped
	query   any      // a struct with query tags or url.Values
	body    any      // nil: none
	media   string   // of the body, MediaJSON if empty
	accept  string   // what is wanted, MediaJSON if empty
	change  bool     // it may leave something behind
	key     string   // its idempotency key, if it has one
	seen    *uint64  // where the header HeaderPosition goes
}

// get reads one thing or one page.
func get[T any](ctx context.Context, c *Client, q Query, path ...string) (T, error) {
	return do[T](ctx, c, call{method: "GET", path: path, query: q, seen: q.seen()})
}

// change sends a change, under a key of our own where the caller has none. A dry run leaves nothing behind and needs none.
func change[T any](ctx context.Context, c *Client, method string, body any, o ChangeOptions, path ...string) (T, error) {
	return changeWith[T](ctx, c, method, body, o, o, path...)
}

// changeWith is change with a query that has more than the options.
func changeWith[T any](ctx context.Context, c *Client, method string, body any, o ChangeOptions, query any, path ...string) (T, error) {
	key := o.IdempotencyKey
	if key == "" && !o.DryRun {
		key = rand.Text()
	}
	return do[T](ctx, c, call{method: method, path: path, query: query, body: body, change: !o.DryRun, key: key})
}

// report sends usage, whose numbers make keys needless.
func report[T any](ctx context.Context, c *Client, media string, body any, o ChangeOptions, path ...string) (T, error) {
	return do[T](ctx, c, call{method: "POST", path: path, query: o, body: body, media: media, change: !o.DryRun, key: o.IdempotencyKey})
}

// all follows the cursors of a list. The pages are as large as they may be, unless the query says how large.
func all[P, R any](ctx context.Context, c *Client, q Query, rows func(P) ([]R, string), path ...string) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var none R
		values := encodeQuery(q)
		if !values.Has("limit") {
			values.Set("limit", strconv.Itoa(MaxLimit))
		}
		k := call{method: "GET", path: path, query: values, seen: q.seen()}
		for {
			page, err := do[P](ctx, c, k)
			if err != nil {
				yield(none, err)
				return
			}
			list, next := rows(page)
			for _, row := range list {
				if !yield(row, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			if next == values.Get("cursor") {
				yield(none, k.failed(fmt.Errorf("the list does not go on: next_cursor %q is the page's own", next), false))
				return
			}
			values.Set("cursor", next)
		}
	}
}

// do sends a call and decodes its answer.
func do[T any](ctx context.Context, c *Client, k call) (T, error) {
	var answer T
	resp, err := c.send(ctx, k)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if err := decode(resp, k, &answer); err != nil {
		var none T
		return none, k.failed(err, k.change)
	}
	return answer, nil
}

func decode(resp *http.Response, k call, answer any) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return errAnswerTooLarge
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("decoding the answer: %w", err)
	}
	return position(resp, k.seen)
}

func position(resp *http.Response, seen *uint64) error {
	text := resp.Header.Get(HeaderPosition)
	if seen == nil || text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("header %s: %q is not a position", HeaderPosition, text)
	}
	*seen = n
	return nil
}

// Open is a GET whose answer is read as it comes: any list as MediaCSV, an invoice as MediaHTML, MediaPDF or MediaCSV,
// JSON Lines. The caller closes it; a read ends with io.EOF only if the answer is complete. The path is given in
// segments below /v1:
//
//	rows, err := c.Open(ctx, api.MediaCSV, api.ListQuery{}, "providers", "acme", "companies")
func (c *Client) Open(ctx context.Context, media string, q Query, path ...string) (io.ReadCloser, error) {
	k := call{method: "GET", path: path, query: q, accept: media, seen: q.seen()}
	resp, err := c.send(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := position(resp, k.seen); err != nil {
		resp.Body.Close()
		return nil, k.failed(err, false)
	}
	return resp.Body, nil
}

// Lines decodes JSON Lines, as of Changes. It reads to the end or to the first error, and does not close.
func Lines[T any](r io.Reader) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		decoder := json.NewDecoder(r)
		for n := 1; ; n++ {
			var line T
			err := decoder.Decode(&line)
			if err == io.EOF {
				return
			}
			if err != nil {
				var none T
				yield(none, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// send makes the request, repeats it where that is safe and sensible, and answers with the first success.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	target, err := c.target(k)
	if err != nil {
		return nil, k.failed(err, false)
	}
	body, err := encodeBody(k.body)
	if err != nil {
		return nil, k.failed(err, false)
	}
	retries := c.Retries
	if retries == 0 {
		retries = defaultRetries
	}
	unknown := false // whether an attempt so far may have been recorded
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, k.failed(err, k.change && unknown)
		}
		resp, err := c.once(ctx, k, target, body)
		if err == nil {
			return resp, nil
		}
		var p *Problem
		if !errors.As(err, &p) || !p.Retryable() {
			return nil, k.failed(err, k.change && mayBeRecorded(err, unknown))
		}
		unknown = unknown || p.Code == CodeOutcomeUnknown
		pause := max(p.RetryAfter, backoff(attempt))
		if attempt >= retries || !worthWaiting(ctx, pause) {
			return nil, k.failed(err, k.change && unknown)
		}
		if stopped := wait(ctx, pause); stopped != nil {
			return nil, k.failed(fmt.Errorf("%w, after %w", stopped, err), k.change && unknown)
		}
	}
}

// once makes the request once. Whatever is not a success is an error, its body closed.
func (c *Client) once(ctx context.Context, k call, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, k.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	accept := MediaJSON
	if k.accept != "" {
		accept = k.accept
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		media := MediaJSON
		if k.media != "" {
			media = k.media
		}
		req.Header.Set("Content-Type", media)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if k.key != "" {
		req.Header.Set(HeaderIdempotencyKey, k.key)
	}
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	resp, err := client.Do(req)
	if err != nil {
		var failed *url.Error // repeats method and URL, which CallError has
		if errors.As(err, &failed) {
			err = failed.Err
		}
		err = fmt.Errorf("no answer from %s: %w", req.URL.Host, err)
		if connected.Load() {
			err = &lostAnswer{err}
		}
		return nil, err
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode/100 == 2 && media == accept {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 3 {
		return nil, &strangeAnswer{resp.StatusCode, fmt.Errorf("%s redirects%s (%s), which is not followed: is the base URL right?", req.URL.Host, elsewhere(resp), resp.Status)}
	}
	start, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, &strangeAnswer{resp.StatusCode, fmt.Errorf("reading the answer (%s): %w", resp.Status, err)}
	}
	if resp.StatusCode >= 400 && (media == MediaJSON || media == MediaProblem) {
		p := &Problem{}
		if json.Unmarshal(start, p) == nil {
			p.Status = resp.StatusCode
			p.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
			return nil, p
		}
	}
	return nil, &strangeAnswer{resp.StatusCode, fmt.Errorf("%s answered %s with %s, not %s (%.120q): is it a ledger?", req.URL.Host, resp.Status, orNone(media), accept, start)}
}

// lostAnswer is the error of a request that a connection had taken. What the error says is of the last attempt: net/http
// sends a request with an idempotency key again by itself when a connection that it used before breaks, and may then fail to connect.
type lostAnswer struct{ err error }

func (e *lostAnswer) Error() string { return e.err.Error() }
func (e *lostAnswer) Unwrap() error { return e.err }

// strangeAnswer is an answer that the contract does not have.
type strangeAnswer struct {
	status int
	err    error
}

func (e *strangeAnswer) Error() string { return e.err.Error() }
func (e *strangeAnswer) Unwrap() error { return e.err }

// mayBeRecorded says whether a change that ended with this error, and is not repeated, may stand in the ledger. unknown
// says it of the attempts before. A refusal settles it, as the ledger would have given the first answer again; but not
// one at the door, before the key was looked at.
func mayBeRecorded(err error, unknown bool) bool {
	var p *Problem
	if errors.As(err, &p) {
		switch {
		case p.Status >= 500:
			return true
		case p.Code == "" || p.Code == CodeUnauthenticated || p.Code == CodePermissionDenied:
			return unknown
		}
		return false
	}
	var strange *strangeAnswer
	if errors.As(err, &strange) {
		return unknown || strange.status/100 == 2 || strange.status >= 500
	}
	var lost *lostAnswer
	var op *net.OpError
	if !errors.As(err, &lost) && errors.As(err, &op) && op.Op == "dial" {
		return unknown
	}
	return true
}

// target is the URL of a call. Ids become one segment each, whatever is in them.
func (c *Client) target(k call) (string, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil {
		return "", errors.New("the base URL must look like http://127.0.0.1:8080, without user, query and fragment")
	}
	if !headerSafe(c.Token) {
		return "", errors.New("the token has characters that no token has: is there a space or a line end with it?")
	}
	if !headerSafe(k.key) {
		return "", errors.New("the idempotency key has other characters than letters, digits and signs of ASCII")
	}
	var b strings.Builder
	b.WriteString(strings.TrimRight(base.String(), "/") + k.root())
	for _, segment := range k.path {
		switch segment {
		case "":
			return "", errors.New("an id in the path is empty")
		case ".", "..":
			return "", fmt.Errorf("%q is not an id", segment)
		}
		b.WriteString("/" + url.PathEscape(segment))
	}
	values, ok := k.query.(url.Values)
	if !ok {
		values = encodeQuery(k.query)
	}
	if len(values) > 0 {
		b.WriteString("?" + values.Encode())
	}
	return b.String(), nil
}

// root is what the path of a call begins with.
func (k call) root() string {
	if k.outside {
		return ""
	}
	return "/v1"
}

func (k call) failed(err error, unknown bool) *CallError {
	path := k.root()
	for _, segment := range k.path {
		path += "/" + url.PathEscape(segment)
	}
	return &CallError{Method: k.method, Path: path, Unknown: unknown, IdempotencyKey: k.key, Err: err}
}

// headerSafe says whether a text goes through a header as it is.
func headerSafe(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// retryAfter reads the header: seconds or a date; 0 if it is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// backoff is the pause that we take ourselves: random, so that many clients do not come back together.
func backoff(attempt int) time.Duration {
	longest := firstBackoff << min(attempt, 8)
	return longest/2 + mathrand.N(longest/2)
}

// worthWaiting says whether a pause leaves time to ask again.
func worthWaiting(ctx context.Context, pause time.Duration) bool {
	deadline, limited := ctx.Deadline()
	return pause <= maxWait && (!limited || time.Until(deadline) > pause)
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// elsewhere names the host of a redirect, and nothing else of it.
func elsewhere(resp *http.Response) string {
	if to, err := resp.Location(); err == nil {
		return " to " + to.Scheme + "://" + to.Host
	}
	return ""
}

func orNone(media string) string {
	if media == "" {
		return "no content type"
	}
	return media
}
