package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

const buy = "license buy --license-type server --quantity 1"

// What servers answer that are no ledgers, or not well: one line, a hint, exit code 1.
func TestServersThatFail(t *testing.T) {
	respond := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	const problem = "application/problem+json"
	for _, row := range []struct {
		name   string
		args   string
		answer http.HandlerFunc
		want   []string // regular expressions, one per line of stderr
	}{
		{"HTML", "clock show", respond(200, "text/html", "<html>\n<h1>Welcome</h1>"),
			[]string{`^ledgerctl: failed: 127\.0\.0\.1:\d+ answered 200 OK with text/html, .*is it a ledger\?$`}},
		{"HTML that refuses", "clock show", respond(404, "text/html", "<html>"),
			[]string{`^ledgerctl: failed: .* answered 404 Not Found with text/html`}},
		{"HTML to a change: who knows", buy + " --idempotency-key k-1", respond(502, "text/html", "<html>"),
			[]string{`^ledgerctl: failed: .* 502 Bad Gateway`, `^hint: it may have been recorded: the same command with --idempotency-key k-1 finds out, and does nothing twice$`}},
		{"a login page elsewhere", "clock show", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example/", http.StatusFound)
		}, []string{`^ledgerctl: failed: .* redirects to https://login\.example .*is the base URL right\?$`}},
		{"not the JSON that it claims", "clock show", respond(200, "application/json", `{"now":`),
			[]string{`^ledgerctl: failed: decoding the answer: unexpected end of JSON input$`}},
		{"cut off", "clock show", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"now":`)
		}, []string{`^ledgerctl: failed: reading the answer: unexpected EOF$`}},
		{"another server's problem", "clock show", respond(404, problem, `{"title":"No route"}`),
			[]string{`^ledgerctl: status 404: No route$`, `^hint: that is not a ledger's answer: is --server right\?$`}},
		{"a problem without words", "clock show", respond(409, problem, `{"code":"license_closed"}`),
			[]string{`^ledgerctl: license_closed: The license is no longer in force$`, `^hint: `}},
		{"text that plays with the terminal", "clock show", respond(409, problem, `{"code":"pool_empty","detail":"a\u001b[2Jb\r\nledgerctl: done\u202e"}`),
			[]string{"^ledgerctl: pool_empty: a\uFFFD\\[2Jb ledgerctl: done\uFFFD$", `^hint: `}},
		{"permission", buy, respond(403, problem, `{"code":"permission_denied","detail":"ann may not","permission":"licenses.buy"}`),
			[]string{`^ledgerctl: permission_denied: ann may not \(missing: licenses\.buy\)$`, `^hint: the token does not allow it`}},
		{"locked", "key release 01K ann", respond(409, problem, `{"code":"release_locked","detail":"seat 3","until":"2026-05-01T10:00:00Z"}`),
			[]string{`^ledgerctl: release_locked: seat 3 \(until 2026-05-01T10:00:00Z\)$`, `^hint: ledgerctl key seats `}},
		{"fields", buy + " --company x", respond(422, problem, `{"code":"invalid","title":"The request is not valid","hint":"see the contract","errors":[{"location":"body.license_type","message":"unknown"},{"location":"query.zork","message":"what?"},{"message":"odd"}]}`),
			[]string{`^ledgerctl: invalid: The request is not valid$`, `^  body\.license_type \(--license-type\): unknown$`, `^  query\.zork: what\?$`, `^  odd$`, `^hint: see the contract$`}},
		{"overloaded", buy, respond(503, problem, `{"code":"overloaded","detail":"too much"}`),
			[]string{`^ledgerctl: overloaded: too much$`, `^hint: nothing was recorded: try again a little later$`}},
		{"outcome unknown", buy, respond(503, problem, `{"code":"outcome_unknown","detail":"no answer from the stream"}`),
			[]string{`^ledgerctl: outcome_unknown: no answer from the stream$`, `^hint: it may have been recorded: the same command with --idempotency-key \w{26} finds out`}},
		{"no clock", "clock show", respond(404, problem, `{"code":"not_found","detail":"this ledger's clock is the real one"}`),
			[]string{`^ledgerctl: not_found: this ledger's clock is the real one$`, `^hint: only a ledger that was started with --test-clock shows its clock$`}},
		{"no provider", "payment-method show", respond(404, problem, `{"code":"not_found"}`),
			[]string{`^ledgerctl: not_found: There is no such thing$`, `^hint: ids are exact: ledgerctl provider list shows the providers$`}},
		{"internal", "clock show", respond(500, problem, `{"code":"internal"}`),
			[]string{`^ledgerctl: internal: Internal error$`, `^hint: the log of ledgerd says more$`}},
		{"behind", "license list --after 9", respond(503, problem, `{"code":"behind","detail":"at 7"}`),
			[]string{`^ledgerctl: behind: at 7$`, `^hint: ask again: `}},
		{"a page after the first", "company list --all", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("cursor") != "" {
				respond(500, problem, `{"code":"internal"}`)(w, r)
				return
			}
			respond(200, "application/json", `{"companies":[{"id":"globex","name":"Globex"}],"next_cursor":"c"}`)(w, r)
		}, []string{`^ledgerctl: internal: `, `^hint: `}},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(row.answer)
			defer server.Close()
			checkFailure(t, runWith(server.URL, "", strings.Fields(row.args)...), row.want)
		})
	}
}

// checkFailure expects exit code 1, nothing on stdout and these lines on stderr.
func checkFailure(t *testing.T, got result, want []string) {
	t.Helper()
	if got.code != exitFailed || got.stdout != "" {
		t.Errorf("ended with %d, stdout %q", got.code, got.stdout)
	}
	lines := strings.Split(strings.TrimSuffix(got.stderr, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), got.stderr)
	}
	for i, pattern := range want {
		if !regexp.MustCompile(pattern).MatchString(lines[i]) {
			t.Errorf("line %q does not match %s", lines[i], pattern)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	for _, args := range []string{"clock show", buy} { // nothing was sent: no hint that it may have been recorded
		checkFailure(t, runWith("http://"+address, "", strings.Fields(args)...),
			[]string{`^ledgerctl: unreachable: no answer from ` + regexp.QuoteMeta(address) + `: `, `^hint: is ledgerd running\? `})
	}
}

// silent is a server that takes requests and never answers; it tells when one has come.
func silent(t *testing.T) (url string, asked <-chan struct{}) {
	requests := make(chan struct{}, 10)
	stop, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-stop.Done():
		}
	}))
	t.Cleanup(func() { cancel(); server.Close() })
	return server.URL, requests
}

func TestTimeout(t *testing.T) {
	url, _ := silent(t)
	const late = `^ledgerctl: timeout: no answer from http://127\.0\.0\.1:\d+ within 20ms$`
	const longer = `^hint: --timeout waits longer`
	for _, row := range []struct {
		args string
		want []string
	}{
		{"clock show", []string{late, longer}},
		{"company list --all", []string{late, longer}},
		{buy, []string{late, longer, `^hint: it may have been recorded: the same command with --idempotency-key \w{26} `}},
		{buy + " --dry-run", []string{late, longer}},
		{"clock set --now 2026-04-01", []string{late, longer, `^hint: it may have been recorded: `}},
		{"usage report --agent a --seq 1 --void lost", []string{late, longer, `^hint: it may have been recorded: repeated as it is, `}},
		{"usage report --agent a --seq 1 --reading m=1@2026-03-11 --reading n=2@2026-03-11T04:00:00Z",
			[]string{late, longer, `^hint: .* repeat it with the same times: --reading m=1@2026-03-11T00:00:00Z --reading n=2@2026-03-11T04:00:00Z$`}},
	} {
		t.Run(row.args, func(t *testing.T) {
			checkFailure(t, runWith(url, "", append(strings.Fields(row.args), "--timeout", "20ms")...), row.want)
		})
	}
}

// Told to stop, it says what may have been recorded.
func TestInterrupt(t *testing.T) {
	url, asked := silent(t)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan result)
	go func() { done <- runWith(url, "", append(strings.Fields(buy), "--timeout", "0")...) }()
	<-asked
	if err := self.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		checkFailure(t, got, []string{`^ledgerctl: interrupted: stopped before the answer came$`, `^hint: it may have been recorded: `})
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

// Hints name only commands that there are.
func TestHintsCanBeFollowed(t *testing.T) {
	root := (&cli{Client: &api.Client{}}).root()
	commands := leaves(root)
	named := regexp.MustCompile(`ledgerctl ([a-z-]+ [a-z]+)`)
	found := 0
	for _, code := range api.Codes() {
		for _, cmd := range commands {
			for _, match := range named.FindAllStringSubmatch(hintFor(cmd, api.NewProblem(code, "")), -1) {
				found++
				if !slices.ContainsFunc(commands, func(c *cobra.Command) bool { return c.CommandPath() == "ledgerctl "+match[1] }) {
					t.Fatalf("%s: there is no %s", code, match[0])
				}
			}
		}
	}
	if found == 0 {
		t.Error("no hint names a command")
	}
}
