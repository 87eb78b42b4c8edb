package httpapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden answers anew")

// A file of testdata is a session: requests, and between them the answers that they get, headers that matter first. With
// -update the answers are written anew; what they ought to be is for the reader of the difference to say.
//
//	> PUT /v1/providers/acme {"name":"Acme"}
//	201
//	{"id":"acme", ...}
func TestFlows(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h := newHouse(t)
			var got bytes.Buffer
			for line := range strings.Lines(string(want)) {
				request, ok := strings.CutPrefix(line, "> ")
				if !ok {
					if strings.HasPrefix(line, "#") || got.Len() == 0 {
						got.WriteString(line)
					}
					continue
				}
				h.play(&got, strings.TrimSpace(request))
			}
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("other answers than in the file (-want +got):\n%s", diff)
			}
		})
	}
}

// play sends the request of a line, "METHOD PATH {BODY} Header: value", and writes line and answer.
func (h *house) play(out *bytes.Buffer, line string) {
	h.t.Helper()
	method, rest, _ := strings.Cut(line, " ")
	path, rest, _ := strings.Cut(rest, " ")
	var body any
	var changes []with
	if strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[") {
		d := json.NewDecoder(strings.NewReader(rest))
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			h.t.Fatalf("%s: %v", line, err)
		}
		body, rest = string(v), rest[d.InputOffset():]
	}
	for field := range strings.SplitSeq(strings.TrimSpace(rest), ", ") {
		if name, value, ok := strings.Cut(field, ": "); ok {
			changes = append(changes, header(name, value))
		}
	}
	a := h.call(method, path, body, changes...)
	fmt.Fprintf(out, "> %s\n%d", line, a.status)
	for _, name := range []string{"Ledger-Position", "Retry-After", "Allow"} {
		if v := a.header.Get(name); v != "" {
			fmt.Fprintf(out, " %s: %s", name, v)
		}
	}
	out.WriteString("\n" + strings.ReplaceAll(strings.TrimSpace(a.body), "\r\n", "\n") + "\n\n")
}
