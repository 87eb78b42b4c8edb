package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"licenseledger/ledger/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attempt is what one request to a scripted ledger was.
type attempt struct {
	at   time.Duration // since the first
	key  string
	body string
}

// script is a transport that gives the answers in turn, the last one for ever. With synctest its pauses take no time.
type script struct {
	answers  []*api.Problem // nil: success
	after    string         // Retry-After of every refusal
	start    time.Time
	attempts []attempt
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(s.attempts) == 0 {
		s.start = time.Now()
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s.attempts = append(s.attempts, attempt{time.Since(s.start), r.Header.Get("Idempotency-Key"), string(body)})
	w := httptest.NewRecorder()
	if p := s.answers[min(len(s.attempts), len(s.answers))-1]; p != nil {
		w.Header().Set("Retry-After", s.after)
		refuse(w, p)
	} else {
		answer(w, 200, `{"position":9}`)
	}
	return w.Result(), nil
}

func (s *script) client() *api.Client {
	return &api.Client{BaseURL: "http://ledger.test", Token: secret, HTTP: &http.Client{Transport: s}}
}

func refusals(codes ...api.Code) []*api.Problem {
	list := make([]*api.Problem, len(codes))
	for i, code := range codes {
		if code != "" {
			list[i] = api.NewProblem(code, "")
		}
	}
	return list
}

func buy(ctx context.Context, c *api.Client, o api.ChangeOptions) (api.LicensesBought, error) {
	return c.BuyLicenses(ctx, "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, o)
}

// Which refusals are asked again, how often, and whether a change that failed may have been recorded all the same.
func TestRepeating(t *testing.T) {
	for _, row := range []struct {
		name     string
		answers  []*api.Problem
		attempts int
		code     api.Code // of the error; "" for none
		unknown  bool
	}{
		{"success", refusals(""), 1, "", false},
		{"overloaded, then success", refusals("overloaded", "overloaded", ""), 3, "", false},
		{"unavailable, then success", refusals("unavailable", ""), 2, "", false},
		{"outcome unknown, then the first answer", refusals("outcome_unknown", ""), 2, "", false},
		{"overloaded for ever", refusals("overloaded"), 5, "overloaded", false},
		{"outcome unknown for ever", refusals("outcome_unknown"), 5, "outcome_unknown", true},
		{"outcome unknown, then not reachable", refusals("outcome_unknown", "unavailable"), 5, "unavailable", true},
		{"outcome unknown, then refused: it was not recorded", refusals("outcome_unknown", "pool_empty"), 2, "pool_empty", false},
		{"outcome unknown, then the token ends", refusals("outcome_unknown", "unauthenticated"), 2, "unauthenticated", true},
		{"outcome unknown, then the permission ends", refusals("outcome_unknown", "permission_denied"), 2, "permission_denied", true},
		{"refused", refusals("payment_method_required", ""), 1, "payment_method_required", false},
		{"invalid", refusals("invalid", ""), 1, "invalid", false},
		{"mismatch", refusals("idempotency_mismatch", ""), 1, "idempotency_mismatch", false},
		{"not our token", refusals("unauthenticated", ""), 1, "unauthenticated", false},
		{"behind", refusals("behind", ""), 1, "behind", true},
		{"internal", refusals("internal", ""), 1, "internal", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: row.answers}
				got, err := buy(t.Context(), s.client(), api.ChangeOptions{})
				if len(s.attempts) != row.attempts {
					t.Errorf("%d attempts, want %d", len(s.attempts), row.attempts)
				}
				for i, a := range s.attempts {
					if a.key == "" || a.key != s.attempts[0].key || a.body != s.attempts[0].body || a.body == "" {
						t.Errorf("attempt %d differs from the first: %+v, %+v", i, a, s.attempts[0])
					}
				}
				if api.CodeOf(err) != row.code || (err == nil) != (row.code == "") {
					t.Fatalf("error %v, want code %q", err, row.code)
				}
				if err == nil {
					if got.Position == nil || *got.Position != 9 {
						t.Errorf("answer %+v", got)
					}
					return
				}
				var failed *api.CallError
				if !errors.As(err, &failed) || failed.Unknown != row.unknown || failed.IdempotencyKey != s.attempts[0].key {
					t.Errorf("%+v, want unknown %v and the key %s", failed, row.unknown, s.attempts[0].key)
				}
				if tells := strings.Contains(err.Error(), s.attempts[0].key); tells != row.unknown {
					t.Errorf("the error tells the key to repeat with: %v, want %v: %v", tells, row.unknown, err)
				}
			})
		})
	}
}

func TestKeys(t *testing.T) {
	s := &script{answers: refusals("")}
	c := s.client()
	for _, o := range []api.ChangeOptions{{}, {}, {IdempotencyKey: "mine"}, {DryRun: true}, {DryRun: true, IdempotencyKey: "mine"}} {
		if _, err := buy(t.Context(), c, o); err != nil {
			t.Fatal(err)
		}
	}
	first, second := s.attempts[0].key, s.attempts[1].key
	if first == second || len(first) < 26 {
		t.Errorf("two changes under the keys %q and %q", first, second)
	}
	for i, want := range []string{first, second, "mine", "", "mine"} {
		if s.attempts[i].key != want {
			t.Errorf("call %d under the key %q, want %q", i, s.attempts[i].key, want)
		}
	}
}

// A usage report (U2) is repeated by its own number, without a key.
func TestReportIsRepeatedByItsNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: refusals("outcome_unknown", "overloaded", "")}
		if _, err := s.client().ReportUsage(t.Context(), "acme", api.Report{Agent: "pc-17", Seq: 42}, api.ChangeOptions{}); err != nil {
			t.Fatal(err)
		}
		if len(s.attempts) != 3 || s.attempts[2].body != s.attempts[0].body || s.attempts[2].key != "" {
			t.Errorf("%+v", s.attempts)
		}
	})
}

func TestReadsAreRepeatedAndLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: refusals("unavailable")}
		_, err := s.client().Provider(t.Context(), "acme", api.ReadOptions{})
		var failed *api.CallError
		if !errors.As(err, &failed) || failed.Unknown || failed.IdempotencyKey != "" || len(s.attempts) != 5 {
			t.Errorf("%d attempts, %+v", len(s.attempts), failed)
		}
	})
}

func TestPauses(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, row := range []struct {
		name     string
		after    func() string
		limit    time.Duration // of the context; 0: none
		retries  int
		attempts int
		least    time.Duration // between the first two
		most     time.Duration
	}{
		{"no Retry-After: our own", func() string { return "" }, 0, 0, 5, 50 * time.Millisecond, 100 * time.Millisecond},
		{"at once: our own", func() string { return "0" }, 0, 0, 5, 50 * time.Millisecond, 100 * time.Millisecond},
		{"not understood: our own", func() string { return "soon" }, 0, 0, 5, 50 * time.Millisecond, 100 * time.Millisecond},
		{"seconds", func() string { return "7" }, 0, 0, 5, 7 * time.Second, 7 * time.Second},
		{"a date", func() string { return date(9 * time.Second) }, 0, 1, 2, 8 * time.Second, 9 * time.Second},
		{"a date that has passed", func() string { return date(-time.Hour) }, 0, 0, 5, 50 * time.Millisecond, 100 * time.Millisecond},
		{"longer than anybody waits", func() string { return "31" }, 0, 0, 1, 0, 0},
		{"beyond any duration", func() string { return "9223372036854775807" }, 0, 0, 1, 0, 0},
		{"longer than the context", func() string { return "7" }, 5 * time.Second, 0, 1, 0, 0},
		{"until the context has no room for more", func() string { return "7" }, 20 * time.Second, 0, 3, 7 * time.Second, 7 * time.Second},
		{"fewer repetitions", func() string { return "" }, 0, 1, 2, 50 * time.Millisecond, 100 * time.Millisecond},
		{"no repetitions", func() string { return "" }, 0, -1, 1, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if row.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, row.limit)
					defer cancel()
					ctx = limited
				}
				s := &script{answers: refusals("overloaded"), after: row.after()}
				c := s.client()
				c.Retries = row.retries
				_, err := buy(ctx, c, api.ChangeOptions{})
				if api.CodeOf(err) != api.CodeOverloaded {
					t.Fatalf("error %v", err)
				}
				if len(s.attempts) != row.attempts {
					t.Fatalf("%d attempts, want %d", len(s.attempts), row.attempts)
				}
				if row.attempts > 1 {
					if pause := s.attempts[1].at; pause < row.least || pause > row.most {
						t.Errorf("paused %s, want %s to %s", pause, row.least, row.most)
					}
				}
			})
		})
	}
}

func TestRetryAfterIsTold(t *testing.T) {
	s := &script{answers: refusals("unavailable"), after: "90"}
	_, err := buy(t.Context(), s.client(), api.ChangeOptions{})
	var p *api.Problem
	if !errors.As(err, &p) || p.RetryAfter != 90*time.Second {
		t.Errorf("%+v", p)
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: refusals("outcome_unknown"), after: "7"}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start := time.Now()
		_, err := buy(ctx, s.client(), api.ChangeOptions{})
		var failed *api.CallError
		if !errors.Is(err, context.Canceled) || api.CodeOf(err) != api.CodeOutcomeUnknown || !errors.As(err, &failed) || !failed.Unknown {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 3*time.Second || len(s.attempts) != 1 {
			t.Errorf("%d attempts in %s", len(s.attempts), took)
		}
	})
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := &script{answers: refusals("")}
	_, err := buy(ctx, s.client(), api.ChangeOptions{})
	var failed *api.CallError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Unknown || len(s.attempts) != 0 {
		t.Errorf("%d attempts, error %v", len(s.attempts), err)
	}
}

func TestProblemsAreDecoded(t *testing.T) {
	position := uint64(411)
	sent := api.Problem{
		Type: "about:blank", Title: "t", Status: 409, Detail: "d", Code: api.CodeReleaseLocked,
		Errors:     []api.FieldError{{Location: "body.quantity", Message: "too small", Value: 0.0}},
		Permission: api.PermissionBuyLicenses, Until: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Hint: "wait", Position: &position,
	}
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) { refuse(w, &sent) })
	_, err := c.License(t.Context(), "acme", "01J", api.ReadOptions{})
	var got *api.Problem
	if !errors.As(err, &got) {
		t.Fatalf("error %v", err)
	}
	if diff := cmp.Diff(sent, *got); diff != "" {
		t.Errorf("sent (-), got (+):\n%s", diff)
	}
	if want := "GET /v1/providers/acme/licenses/01J: release_locked: d (body.quantity: too small) (missing: licenses.buy) (until 2026-05-01T10:00:00Z)"; err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// What a ledger never answers names what it was instead of failing in the decoder.
func TestStrangeAnswers(t *testing.T) {
	for _, row := range []struct {
		name, media, body string
		status            int
		unknown           bool
		want              string // part of the error
	}{
		{"a proxy's page", "text/html", "<h1>Bad Gateway</h1>", 502, true, `502 Bad Gateway with text/html, not application/json ("<h1>Bad Gateway</h1>")`},
		{"another server", "text/html", "<h1>Hello</h1>", 200, true, "200 OK with text/html"},
		{"another server's 404", "text/plain", "404 page not found", 404, false, "404 Not Found with text/plain"},
		{"no content type, no body", "", "", 500, true, "500 Internal Server Error with no content type"},
		{"cut JSON", "application/json", `{"position":`, 200, true, "decoding the answer"},
		{"empty", "application/json", "", 200, true, "decoding the answer"},
		{"JSON of another shape", "application/json", `{"position":"nine"}`, 200, true, "decoding the answer"},
		{"a problem without code", "application/problem+json", `{"title":"Forbidden by proxy"}`, 403, false, "status 403: Forbidden by proxy"},
		{"a refusal that is no problem", "application/json", `"no"`, 403, false, "403 Forbidden with application/json"},
		{"control characters", "text/plain", "\x1b[31mred", 500, true, `"\x1b[31mred"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			asked := 0
			c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				w.Header()["Content-Type"] = nil
				if row.media != "" {
					w.Header().Set("Content-Type", row.media)
				}
				w.WriteHeader(row.status)
				io.WriteString(w, row.body)
			})
			_, err := buy(t.Context(), c, api.ChangeOptions{})
			var failed *api.CallError
			if !errors.As(err, &failed) || failed.Unknown != row.unknown || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %s, unknown %v", err, row.want, row.unknown)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	asked := 0
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		refuse(w, api.NewProblem(api.CodeTooLarge, "the body is too large"))
	})
	report := api.Report{Agent: "pc-17", Seq: 1}
	_, err := c.ReportUsage(t.Context(), "acme", report, api.ChangeOptions{})
	if api.CodeOf(err) != api.CodeTooLarge || asked != 1 {
		t.Errorf("the server's refusal: asked %d times, error %v", asked, err)
	}
	report.Void = strings.Repeat("x", api.MaxBody)
	_, err = c.ReportUsage(t.Context(), "acme", report, api.ChangeOptions{})
	var failed *api.CallError
	if api.CodeOf(err) != api.CodeTooLarge || !errors.As(err, &failed) || failed.Unknown || asked != 1 {
		t.Errorf("over the limit, asked %d times: nothing may be sent: %v", asked, err)
	}
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	c := &api.Client{BaseURL: "http://" + address, Token: secret, HTTP: &http.Client{Transport: &http.Transport{}}}
	_, err = buy(t.Context(), c, api.ChangeOptions{})
	var failed *api.CallError
	if !errors.As(err, &failed) || failed.Unknown || !strings.Contains(err.Error(), "no answer from "+address) {
		t.Errorf("error %v", err)
	}
}

// The ledger took the change, then the connection, a new one, broke: nobody asks again, but the error says with which
// key to.
func TestConnectionBreaks(t *testing.T) {
	keys := make(chan string, 10)
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		panic(http.ErrAbortHandler)
	})
	_, err := buy(t.Context(), c, api.ChangeOptions{})
	var failed *api.CallError
	if !errors.As(err, &failed) || !failed.Unknown || failed.IdempotencyKey != <-keys || len(keys) != 0 {
		t.Fatalf("error %v, %d further requests", err, len(keys))
	}
	if want := "; it may have been recorded: repeat it with the idempotency key " + failed.IdempotencyKey; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v", err)
	}
}

// A redirect to another host, even to another port of this one, must not carry the token there.
func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		answer(w, 200, `{}`)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/elsewhere?token="+secret, status)
		})
		followed := false
		c.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { followed = true; return nil }
		_, readErr := c.Provider(t.Context(), "acme", api.ReadOptions{})
		_, changeErr := buy(t.Context(), c, api.ChangeOptions{})
		for _, err := range []error{readErr, changeErr} {
			var failed *api.CallError
			if !errors.As(err, &failed) || failed.Unknown || !strings.Contains(err.Error(), "redirects to "+other.URL+" (") {
				t.Errorf("%d: error %v", status, err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%d: the error tells the token: %v", status, err)
			}
		}
		if reached != 0 || followed {
			t.Errorf("%d: followed", status)
		}
	}
}

func TestWhatCannotBeSent(t *testing.T) {
	for _, row := range []struct {
		name  string
		edit  func(*api.Client)
		id    string
		key   string
		wants string
	}{
		{"no base URL", func(c *api.Client) { c.BaseURL = "" }, "acme", "", "the base URL must look like"},
		{"no scheme", func(c *api.Client) { c.BaseURL = "127.0.0.1:8080" }, "acme", "", "the base URL must look like"},
		{"another scheme", func(c *api.Client) { c.BaseURL = "ftp://ledger" }, "acme", "", "the base URL must look like"},
		{"user in the URL", func(c *api.Client) { c.BaseURL = "http://ann:" + secret + "@ledger" }, "acme", "", "the base URL must look like"},
		{"no id", func(c *api.Client) {}, "", "", "an id in the path is empty"},
		{"an id that climbs", func(c *api.Client) {}, "..", "", `".." is not an id`},
		{"token with line end", func(c *api.Client) { c.Token = secret + "\n" }, "acme", "", "the token has characters"},
		{"key with line end", func(c *api.Client) {}, "acme", "k\r\nX: y", "the idempotency key has other characters"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &script{answers: refusals("")}
			c := s.client()
			row.edit(c)
			_, err := c.PutProvider(t.Context(), row.id, api.ProviderSettings{Name: "x"}, api.ChangeOptions{IdempotencyKey: row.key})
			if err == nil || !strings.Contains(err.Error(), row.wants) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %v, want %s", err, row.wants)
			}
			var failed *api.CallError
			if !errors.As(err, &failed) || failed.Unknown || len(s.attempts) != 0 {
				t.Errorf("%d requests, %+v", len(s.attempts), failed)
			}
		})
	}
}

func TestPathsAndBase(t *testing.T) {
	asked := ""
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		answer(w, 200, `{}`)
	})
	c.BaseURL += "/tenant/"
	if _, err := c.License(t.Context(), "a/b?c", "ü%", api.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "/tenant/v1/providers/a%2Fb%3Fc/licenses/%C3%BC%25"; asked != want {
		t.Errorf("asked for %s, want %s", asked, want)
	}
}

func TestLedgerPosition(t *testing.T) {
	header := "412"
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		if header != "" {
			w.Header().Set("Ledger-Position", header)
		}
		answer(w, 200, `{}`)
	})
	var seen uint64
	read := api.ReadOptions{Seen: &seen}
	if _, err := c.NextPayment(t.Context(), "acme", read); err != nil || seen != 412 {
		t.Errorf("one thing: seen %d, %v", seen, err)
	}
	header = "413"
	if _, err := c.Licenses(t.Context(), "acme", api.LicenseQuery{ReadOptions: read}); err != nil || seen != 413 {
		t.Errorf("a list: seen %d, %v", seen, err)
	}
	header = ""
	if _, err := c.Clock(t.Context(), read); err != nil || seen != 413 {
		t.Errorf("without the header: seen %d, %v", seen, err)
	}
	header = "-1"
	if _, err := c.Clock(t.Context(), read); err == nil {
		t.Error("a header that is no position passed")
	}
	if _, err := c.Open(t.Context(), api.MediaJSON, read, "clock"); err == nil {
		t.Error("a header that is no position passed in a stream")
	}
}

// pagesOf serves notices, two on a page, from 1 to n; the page at the cursor in broken is refused.
func pagesOf(n int, broken string, limits *[]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*limits = append(*limits, r.URL.Query().Get("limit"))
		cursor := r.URL.Query().Get("cursor")
		if broken != "" && cursor == broken {
			refuse(w, api.NewProblem(api.CodeInternal, ""))
			return
		}
		first := 1
		if cursor != "" {
			fmt.Sscan(cursor, &first)
		}
		rows := fmt.Sprintf(`{"kind":"n%d"}`, first)
		if first+1 <= n {
			rows += fmt.Sprintf(`,{"kind":"n%d"}`, first+1)
		}
		next := ""
		if first+2 <= n {
			next = fmt.Sprintf(`,"next_cursor":"%d"`, first+2)
		}
		answer(w, 200, `{"notices":[`+rows+`]`+next+`}`)
	}
}

func kinds(rows iter.Seq2[api.Notice, error]) (list []string, failed error) {
	for row, err := range rows {
		if err != nil {
			return list, err
		}
		list = append(list, row.Kind)
	}
	return list, nil
}

func TestAllFollowsTheCursors(t *testing.T) {
	var limits []string
	c := ledger(t, pagesOf(5, "", &limits))
	rows := c.AllNotices(t.Context(), "acme", api.NoticeQuery{})
	for range 2 { // it can be ranged over again
		got, err := kinds(rows)
		if diff := cmp.Diff([]string{"n1", "n2", "n3", "n4", "n5"}, got); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	}
	if diff := cmp.Diff([]string{"1000", "1000", "1000", "1000", "1000", "1000"}, limits); diff != "" {
		t.Errorf("limits %s", diff)
	}

	limits = nil
	for row, err := range c.AllNotices(t.Context(), "acme", api.NoticeQuery{PageOptions: api.PageOptions{Limit: 2, Cursor: "3"}}) {
		if err != nil || row.Kind != "n3" {
			t.Errorf("from the cursor on: %+v, %v", row, err)
		}
		break
	}
	if diff := cmp.Diff([]string{"2"}, limits); diff != "" {
		t.Errorf("one page was enough: %s", diff)
	}
}

func TestAllEndsWithTheError(t *testing.T) {
	var limits []string
	c := ledger(t, pagesOf(5, "3", &limits))
	got, err := kinds(c.AllNotices(t.Context(), "acme", api.NoticeQuery{}))
	if diff := cmp.Diff([]string{"n1", "n2"}, got); diff != "" || api.CodeOf(err) != api.CodeInternal {
		t.Errorf("%v %s", err, diff)
	}
}

func TestAllStopsWhereTheCursorDoesNotMove(t *testing.T) {
	asked := 0
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if asked > 5 { // enough to tell
			answer(w, 200, `{"notices":[]}`)
			return
		}
		answer(w, 200, `{"notices":[{"kind":"n"}],"next_cursor":"here"}`)
	})
	got, err := kinds(c.AllNotices(t.Context(), "acme", api.NoticeQuery{}))
	if err == nil || !strings.Contains(err.Error(), "does not go on") || len(got) != 2 || asked != 2 {
		t.Errorf("%d rows of %d pages, error %v", len(got), asked, err)
	}
}

// Every list is followed by its own field.
func TestAllLists(t *testing.T) {
	for _, row := range []struct {
		field string
		count func(context.Context, *api.Client) (int, error)
	}{
		{"providers", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllProviders(ctx, api.ListQuery{}))
		}},
		{"companies", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllCompanies(ctx, "acme", api.ListQuery{}))
		}},
		{"administrators", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllAdministrators(ctx, "acme", api.ListQuery{}))
		}},
		{"tokens", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllTokens(ctx, "acme", api.ListQuery{}))
		}},
		{"payments", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllPayments(ctx, "acme", api.ListQuery{}))
		}},
		{"endpoints", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllEndpoints(ctx, "acme", api.EndpointQuery{}))
		}},
		{"licenses", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllLicenses(ctx, "acme", api.LicenseQuery{}))
		}},
		{"rows", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllUsageHistory(ctx, "acme", api.UsageHistoryQuery{}))
		}},
		{"rows", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllUsage(ctx, "acme", api.UsageQuery{}))
		}},
		{"gaps", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllUsageGaps(ctx, "acme", api.ListQuery{}))
		}},
		{"invoices", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllInvoices(ctx, "acme", api.InvoiceQuery{}))
		}},
		{"notices", func(ctx context.Context, c *api.Client) (int, error) {
			return count(c.AllNotices(ctx, "acme", api.NoticeQuery{}))
		}},
	} {
		c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
			next := `,"next_cursor":"2"`
			if r.URL.Query().Get("cursor") == "2" {
				next = ""
			}
			answer(w, 200, `{"`+row.field+`":[{},{}]`+next+`}`)
		})
		if n, err := row.count(t.Context(), c); n != 4 || err != nil {
			t.Errorf("%s: %d rows, %v, want 4", row.field, n, err)
		}
	}
}

func count[T any](rows iter.Seq2[T, error]) (n int, failed error) {
	for _, err := range rows {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestLines(t *testing.T) {
	const lines = `{"position":"412.0","kind":"a"}` + "\n" + `{"position":"412.1","kind":"b"}` + "\n"
	for _, row := range []struct {
		name  string
		serve func(http.ResponseWriter)
		want  []string
		fails bool
	}{
		{"whole", func(w http.ResponseWriter) { io.WriteString(w, lines) }, []string{"412.0", "412.1"}, false},
		{"nothing", func(w http.ResponseWriter) {}, nil, false},
		{"cut between lines", func(w http.ResponseWriter) {
			io.WriteString(w, lines)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, []string{"412.0", "412.1"}, true},
		{"cut within a line", func(w http.ResponseWriter) { io.WriteString(w, lines+`{"posi`) }, []string{"412.0", "412.1"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := ledger(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/jsonl")
				w.Header().Set("Ledger-Position", "412")
				row.serve(w)
			})
			var seen uint64
			body, err := c.Changes(t.Context(), "acme", api.ChangesQuery{ReadOptions: api.ReadOptions{Seen: &seen}})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			var got []string
			var failed error
			for line, err := range api.Lines[api.Changed](body) {
				if failed = err; err == nil {
					got = append(got, line.Position)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" || (failed != nil) != row.fails || seen != 412 {
				t.Errorf("error %v, seen %d: %s", failed, seen, diff)
			}
		})
	}
}

// A list that is asked for as CSV and answered as JSON is not handed on as if it were CSV.
func TestStreamOfAnotherType(t *testing.T) {
	c := ledger(t, func(w http.ResponseWriter, r *http.Request) { answer(w, 200, `{"licenses":[]}`) })
	if _, err := c.LicensesCSV(t.Context(), "acme", api.LicenseQuery{}); err == nil || !strings.Contains(err.Error(), "application/json, not text/csv") {
		t.Errorf("error %v", err)
	}
	refused := ledger(t, func(w http.ResponseWriter, r *http.Request) {
		p := api.NewProblem(api.CodePermissionDenied, "")
		p.Permission = api.PermissionUsageHistory
		refuse(w, p)
	})
	var p *api.Problem
	if _, err := refused.UsageHistoryCSV(t.Context(), "acme", api.UsageHistoryQuery{}); !errors.As(err, &p) || p.Permission != "usage.history" {
		t.Errorf("error %v", err)
	}
}
