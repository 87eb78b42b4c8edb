package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The published keys are printed as they are, without a token.
func TestLeaseKeys(t *testing.T) {
	const keys = `{"keys":[{"kty":"OKP"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s, %v", r.URL, r.Header)
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = io.WriteString(w, keys+"\n")
	}))
	t.Cleanup(server.Close)
	for _, format := range []string{"table", "json"} {
		var stdout, stderr strings.Builder
		code := run([]string{"lease", "keys", "-o", format}, strings.NewReader(""), &stdout, &stderr, []string{"LEDGER_SERVER=" + server.URL})
		if code != exitDone || stdout.String() != keys+"\n" || stderr.String() != "" {
			t.Errorf("%d, %s%s", code, stdout.String(), stderr.String())
		}
	}
}

// Domain U2: through a spool nothing is lost while the ledger is away, and numbers go on from command to command.
func TestReportThroughSpoolU2(t *testing.T) {
	url, seen := reportServer(t)
	dir := filepath.Join(t.TempDir(), "spool")
	report := func(server string, more ...string) result {
		return runWith(server, "", append([]string{"usage", "report", "--agent", "pc-17", "--spool-dir", dir}, more...)...)
	}
	away := report("http://127.0.0.1:1", "--reading", "a=1", "--reading", "b=2", "--timeout", "20ms")
	if away.code != exitFailed || !regexp.MustCompile(`^ledgerctl: unreachable: (.*\n)*hint: 2 readings are kept in .*: the next command with that folder sends them\n$`).MatchString(away.stderr) {
		t.Errorf("%+v", away)
	}
	line := regexp.MustCompile(`^pc-17 spool (\w+) seq (\d+): (\w+)`)
	got := report(url)
	if found := line.FindStringSubmatch(got.stdout); got.code != exitDone || found == nil || found[2] != "1" || found[3] != "recorded" {
		t.Errorf("%+v", got)
	}
	if len(*seen) != 1 || len((*seen)[0].Readings) != 2 || (*seen)[0].Spool == "" {
		t.Errorf("%+v", *seen)
	}
	got = report(url, "--reading", "c=3")
	if found := line.FindStringSubmatch(got.stdout); got.code != exitFailed || found == nil || found[2] != "2" || found[3] != "refused" || got.stderr != "ledgerctl: refused: 1 readings\n" {
		t.Errorf("%+v", got)
	}
	if got := report(url); got.code != exitDone || got.stdout != "" || !strings.HasPrefix(got.stderr, "nothing waits in ") {
		t.Errorf("%+v", got)
	}
	for name, args := range map[string][]string{
		"another agent's": {"usage", "report", "--agent", "pc-18", "--spool-dir", dir, "--reading", "a=1"},
		"no reading":      {"usage", "report", "--agent", "pc-17", "--spool-dir", dir, "--void", "x"},
		"a number":        {"usage", "report", "--agent", "pc-17", "--spool-dir", dir, "--reading", "a=1", "--seq", "4"},
		"a wrong reading": {"usage", "report", "--agent", "pc-17", "--spool-dir", dir, "--reading", "a=-1"},
	} {
		if got := runWith(url, "", args...); got.code != exitUsage {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "agent.db")); err != nil {
		t.Error(err)
	}
}
