package leasekeys_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/cmd/ledgerd/internal/leasekeys"
	"licenseledger/ledger/lease"
)

var start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

const (
	day  = 24 * time.Hour
	tick = time.Millisecond
)

func open(t *testing.T, dir string, offline time.Duration, now time.Time) *leasekeys.Keys {
	t.Helper()
	k, err := leasekeys.Open(dir, offline, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed is a lease that is issued at a time.
func signed(t *testing.T, k *leasekeys.Keys, now time.Time) string {
	t.Helper()
	c := lease.Claims{Subject: "agent:pc-17", Provider: "acme", Status: lease.StatusActive}
	c.Issue("01KGB000000000000000000000", now, k.Offline())
	c.BackupUntil = c.OfflineUntil
	text, err := k.Sign(c, now)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func public(t *testing.T, k *leasekeys.Keys, now time.Time) lease.KeySet {
	t.Helper()
	set, err := k.Public(now)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func ids(set lease.KeySet) []string { return slices.Sorted(maps.Keys(set)) }

// A lease is verified by what is published until it has ended, whatever rotates and restarts meanwhile; and keys do go.
func TestRotationK11(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := open(t, dir, lease.DefaultOffline, start)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	type held struct {
		text string
		end  time.Time
	}
	var leases []held
	seen, before := make(map[string]bool), public(t, k, start)
	for at := start; at.Before(start.Add(400 * day)); at = at.Add(23 * time.Hour) {
		if at.Sub(start)%(138*time.Hour) == 0 {
			k = open(t, dir, lease.DefaultOffline, at)
		}
		set := public(t, k, at)
		text := signed(t, k, at)
		if _, err := lease.Verify(text, before); err != nil {
			t.Fatalf("%s: it is signed with a key that was not published 23 hours before: %v", at, err)
		}
		before = set
		leases = append(leases, held{text, at.Add(lease.DefaultOffline)})
		leases = slices.DeleteFunc(leases, func(l held) bool { return !at.Before(l.end) })
		for _, l := range leases {
			if _, err := lease.Verify(l.text, set); err != nil {
				t.Fatalf("%s: a lease that runs until %s: %v", at, l.end, err)
			}
		}
		if len(set) > 2 {
			t.Fatalf("%s: %d keys are published", at, len(set))
		}
		for _, id := range ids(set) {
			seen[id] = true
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d keys in 400 days, want 5", len(seen))
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// The moments at which keys come, sign and go.
func TestRotationMoments(t *testing.T) {
	dir := t.TempDir()
	k := open(t, dir, 2*day, start)
	first := ids(public(t, k, start.Add(90*day-tick)))
	both := public(t, k, start.Add(90*day))
	if len(first) != 1 || len(both) != 2 {
		t.Fatalf("%d keys, then %d", len(first), len(both))
	}
	old := lease.KeySet{first[0]: both[first[0]]}
	for at, byOld := range map[time.Time]bool{start.Add(91*day - tick): true, start.Add(91 * day): false} {
		if _, err := lease.Verify(signed(t, k, at), old); (err == nil) != byOld {
			t.Errorf("%s: %v", at, err)
		}
	}
	// The last lease of the old key ends 2 days after that, for clocks up to 5 minutes apart.
	end := start.Add(93*day + 5*time.Minute)
	if got := public(t, k, end.Add(-tick)); len(got) != 2 {
		t.Errorf("the old key has gone: %v", ids(got))
	}
	if got := public(t, k, end); len(got) != 1 || got[first[0]] != nil {
		t.Errorf("the old key is still there: %v", ids(got))
	}
}

// Leases that were signed while more time offline was allowed still run after it was made less.
func TestShorterOffline(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, 2*day, start)
	k := open(t, dir, 30*day, start.Add(day)) // longer
	text := signed(t, k, start.Add(90*day))
	k = open(t, dir, day, start.Add(90*day))
	public(t, k, start.Add(90*day))
	for _, at := range []time.Time{start.Add(91 * day), start.Add(120*day - tick)} {
		if _, err := lease.Verify(text, public(t, k, at)); err != nil {
			t.Errorf("%s: %v", at, err)
		}
	}
	if got := public(t, k, start.Add(121*day+5*time.Minute)); len(got) != 1 {
		t.Errorf("%d keys", len(got))
	}
}

// Files that are not as they were written are refused, not replaced: other leases may still run on them.
func TestDamage(t *testing.T) {
	for name, spoil := range map[string]func(path, text string) error{
		"mode":    func(path, _ string) error { return os.Chmod(path, 0o640) },
		"empty":   func(path, _ string) error { return os.WriteFile(path, nil, 0o600) },
		"cut":     func(path, text string) error { return os.WriteFile(path, []byte(text[:40]), 0o600) },
		"renamed": func(path, _ string) error { return os.Rename(path, filepath.Join(filepath.Dir(path), "x.json")) },
		"offline": func(path, text string) error { return rewrite(path, text, "168h0m0s", "a week") },
		"created": func(path, text string) error {
			return rewrite(path, text, "2026-01-05T08:00:00Z", "0001-01-01T00:00:00Z")
		},
		"other id": func(path, text string) error { return rewrite(path, text, `"kid":"`, `"kid":"x`) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open(t, dir, lease.DefaultOffline, start)
			files, err := filepath.Glob(filepath.Join(dir, "*.json"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			text, err := os.ReadFile(files[0])
			if err == nil {
				err = spoil(files[0], string(text))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := leasekeys.Open(dir, lease.DefaultOffline, start); err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
	// A file that was being written when the machine stopped is none.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.json.new"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	was := ids(public(t, open(t, dir, lease.DefaultOffline, start), start))
	if again := ids(public(t, open(t, dir, lease.DefaultOffline, start), start)); len(was) != 1 || !cmp.Equal(was, again) {
		t.Errorf("%v, then %v", was, again)
	}
}

func rewrite(path, text, old, replacement string) error {
	return os.WriteFile(path, []byte(strings.Replace(text, old, replacement, 1)), 0o600)
}
