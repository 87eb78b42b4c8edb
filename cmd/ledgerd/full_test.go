package main

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"licenseledger/ledger/api"
)

// The disk is full: no file can grow any more. Who asks for something is told that it cannot be recorded now, or that nobody
// knows; when there is room again the next start goes on, with everything that was acknowledged exactly once, and a
// repetition of what was not.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data", dir, anyPort}
	d := start(t, args...)
	c := d.ready()
	setUp(t, c, "acme")

	buy := func(c *api.Client, key string) error {
		_, err := c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 20}, api.ChangeOptions{IdempotencyKey: key})
		return err
	}
	if err := buy(c, "before"); err != nil {
		t.Fatal(err)
	}
	files := blocks(t, dir)
	size := must(os.Stat(files[len(files)-1]))(t).Size()
	if err := unix.Prlimit(d.pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(size) + 30_000, Max: unix.RLIM_INFINITY}, nil); err != nil {
		t.Fatal(err)
	}
	acknowledged := []string{"before"}
	failed := ""
	for n := 0; failed == ""; n++ {
		key := fmt.Sprintf("full-%d", n)
		err := buy(c, key)
		switch code := api.CodeOf(err); {
		case err == nil && n < 100:
			acknowledged = append(acknowledged, key)
		case code == api.CodeUnavailable || code == api.CodeOutcomeUnknown || code == api.CodeOverloaded:
			failed = key
		default:
			t.Fatalf("%s, which the disk has no room for: %v\n%s", key, err, d.err)
		}
	}
	d.kill()

	d = start(t, args...)
	c = d.ready()
	for _, key := range append([]string{failed, "after"}, acknowledged...) {
		if err := buy(c, key); err != nil {
			t.Errorf("%s, when there is room again: %v", key, err)
		}
	}
	d.stop()
	found := make(map[string]int)
	_, entries := readLog(t, dir)
	for i := range entries {
		found[entries[i].Command]++
	}
	for _, key := range append([]string{failed, "after"}, acknowledged...) {
		if n := found["http/operator/"+key]; n != 1 {
			t.Errorf("%s is recorded %d times", key, n)
		}
	}
	t.Logf("%d purchases found room", len(acknowledged))
}
