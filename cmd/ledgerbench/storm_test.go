package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// The short form of the storm: of three nodes the leader is killed, paused and cut off, and one of two ledgerds is killed. Nothing that was
// acknowledged is lost or there twice, and what callers saw is linearizable.
func TestStorm(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"cluster", "--for", "1ms", "--faults", "4", "-o", "json"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var r stormed
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	t.Logf("%+v", r)
	if len(r.Faults) != 4 || r.Commands == 0 || r.Refused == 0 || r.Reports == 0 || r.Repeated == 0 || !r.Linearizable {
		t.Errorf("nothing was put to the test: %s", stdout.String())
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
