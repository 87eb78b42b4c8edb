package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// The short form of the soak: a real ledgerd under load, killed a few times and given more than it takes; everything that it acknowledged is
// there once, and its views are those that the stream gives.
func TestSoak(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"soak", "--for", "6s", "--kill-every", "3s", "-o", "json"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var r soaked
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	t.Logf("%+v", r)
	if r.Kills == 0 || r.Bursts == 0 || r.Reports == 0 || r.Commands == 0 || r.Repeated == 0 || !r.Verified || !(r.ReadyMax > 0) {
		t.Errorf("nothing was put to the test: %s", stdout.String())
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
