package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"licenseledger/ledger/api"
)

// reportServer answers reports by their number: 1 is recorded, 2 refused, 3 not allowed; at 4 the ledger is broken, and
// for 5 the token has ended.
func reportServer(t *testing.T) (url string, seen *[]api.Report) {
	seen = new([]api.Report)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var report api.Report
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			t.Error(err)
		}
		*seen = append(*seen, report)
		var p *api.Problem
		switch report.Seq {
		case 1:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"seq":1,"status":"recorded","position":7}`)
			return
		case 2:
			p = api.NewProblem(api.CodeInvalid, "")
			p.Errors = []api.FieldError{{Location: "body.readings[0].at", Message: "ahead of the clock"}, {Message: "odd"}}
		case 3:
			p = api.NewProblem(api.CodePermissionDenied, "not yours, mate")
		case 4:
			p = api.NewProblem(api.CodeInternal, "")
		default:
			p = api.NewProblem(api.CodeUnauthenticated, "")
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		if err := json.NewEncoder(w).Encode(p); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, seen
}

func reports(seqs ...int) string {
	var b strings.Builder
	for _, seq := range seqs {
		fmt.Fprintf(&b, `{"agent":"pc-17","seq":%d,"void":"lost"}`+"\n", seq)
	}
	return b.String()
}

// A refused report does not stop the others; a ledger that cannot take any does.
func TestReportsFromFile(t *testing.T) {
	url, seen := reportServer(t)
	for _, row := range []struct {
		name, input, output string
		sent, code          int
		stdout, stderr      string
	}{
		{"nothing", "\n\n", "table", 0, 0, "", ""},
		{"the last line has no end", strings.TrimSpace(reports(1, 1)), "table", 2, 0,
			"pc-17 seq 1: recorded, position 7\npc-17 seq 1: recorded, position 7\n", ""},
		{"refused ones", reports(2, 1, 3), "table", 3, 1,
			"pc-17 seq 2: refused, invalid: The request is not valid; body.readings[0].at: ahead of the clock; odd\n" +
				"pc-17 seq 1: recorded, position 7\npc-17 seq 3: refused, permission_denied: not yours, mate\n",
			"ledgerctl: refused: 2 of 3 reports\n"},
		{"as CSV", reports(1, 3) + "{}\n[]\n", "csv", 2, 1,
			"line,agent,spool,seq,status,position,code,detail\n,pc-17,,1,recorded,7,,\n,pc-17,,3,refused,,permission_denied,\"not yours, mate\"\n" +
				"3,,,,refused,,invalid,\"it names no agent: give --agent, or one in the line\"\n4,,,,refused,,invalid,\": an object is needed, not array\"\n",
			"ledgerctl: refused: 3 of 4 reports\n"},
		{"as JSON", reports(1, 2) + "x\n", "json", 2, 1,
			`{"seq":1,"status":"recorded","position":7}` + "\n" +
				`{"seq":2,"status":"refused","code":"invalid","detail":"The request is not valid","errors":[{"location":"body.readings[0].at","message":"ahead of the clock"},{"message":"odd"}]}` + "\n" +
				`{"line":3,"status":"refused","code":"invalid","detail":"not JSON: invalid character 'x' looking for beginning of value"}` + "\n",
			"ledgerctl: refused: 2 of 3 reports\n"},
		{"the ledger breaks", reports(1, 4, 1), "table", 2, 1, "pc-17 seq 1: recorded, position 7\n",
			"ledgerctl: internal: Internal error\nhint: the log of ledgerd says more\nhint: it stopped at line 2; send the whole file again: what was recorded is answered duplicate\n"},
		{"the token ends", reports(1, 5, 1), "table", 2, 1, "pc-17 seq 1: recorded, position 7\n",
			"ledgerctl: unauthenticated: A valid token is needed\nhint: the ledger does not know this token: is it this ledger's? ledgerd writes the operator's to operator.token in its data folder\n" +
				"hint: it stopped at line 2; send the whole file again: what was recorded is answered duplicate\n"},
		{"a line without end", reports(1) + strings.Repeat("x", api.MaxBody+1) + "\n" + reports(1), "table", 1, 1, "pc-17 seq 1: recorded, position 7\n",
			"ledgerctl: failed: reading line 2: bufio.Scanner: token too long\nhint: it stopped at line 2; send the whole file again: what was recorded is answered duplicate\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			*seen = nil
			got := runWith(url, row.input, "usage", "report", "-f", "-", "-o", row.output)
			if want := (result{row.code, row.stdout, row.stderr}); got != want {
				t.Errorf("got\n%+v\nwant\n%+v", got, want)
			}
			if len(*seen) != row.sent {
				t.Errorf("%d reports were sent, want %d", len(*seen), row.sent)
			}
		})
	}
}

// Whoever reads a pipe sees each answer before the next report is sent.
func TestReportsAreAnsweredOneByOne(t *testing.T) {
	url, _ := reportServer(t)
	input, feed := io.Pipe()
	answers, stdout := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run([]string{"usage", "report", "-f", "-"}, input, stdout, io.Discard, []string{"LEDGER_SERVER=" + url, "LEDGER_TOKEN=x", "LEDGER_PROVIDER=acme"})
	}()
	buffer := make([]byte, 1000)
	for range 3 {
		if _, err := io.WriteString(feed, reports(1)); err != nil {
			t.Fatal(err)
		}
		n, err := answers.Read(buffer)
		if got := string(buffer[:n]); err != nil || got != "pc-17 seq 1: recorded, position 7\n" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	feed.Close()
	if code := <-done; code != exitDone {
		t.Errorf("ended with %d", code)
	}
}

// A reading without a time is of now; all of one report are of the same now.
func TestReadingOfNow(t *testing.T) {
	url, seen := reportServer(t)
	before := time.Now().Truncate(time.Second)
	got := runWith(url, "", "usage", "report", "--agent", "pc-17", "--seq", "1", "--reading", "a=1", "--reading", "b@x=2.50")
	if got.code != exitDone || len(*seen) != 1 {
		t.Fatalf("%+v, %d reports", got, len(*seen))
	}
	readings := (*seen)[0].Readings
	if len(readings) != 2 || readings[0].At != readings[1].At || readings[0].At.Before(before) || readings[0].At.After(time.Now()) {
		t.Errorf("readings %+v", readings)
	}
	if readings[1].Meter != "b@x" || readings[1].Value != "2.50" {
		t.Errorf("reading %+v", readings[1])
	}

	// What may have been recorded must be repeated with the same times, so they are told.
	got = runWith(url, "", "usage", "report", "--agent", "pc-17", "--seq", "4", "--reading", "a=1")
	if !regexp.MustCompile(`\nhint: it may have been recorded: repeat it with the same times: --reading a=1@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$`).MatchString(got.stderr) {
		t.Errorf("stderr %s", got.stderr)
	}
}
