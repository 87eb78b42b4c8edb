package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// fillBlocks reports as one agent until the stream has more than one block, and gives the last position.
func fillBlocks(t *testing.T, c *api.Client) (position uint64) {
	t.Helper()
	const reports = 330 // of about 30 kB; a block has 8 MiB
	at := time.Date(2026, 1, 5, 7, 0, 0, 0, time.UTC)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for worker := range 4 {
		wg.Go(func() {
			for seq := worker + 1; seq <= reports; seq += 4 {
				r := api.Report{Agent: "pc-1", Seq: uint64(seq), Company: "globex"}
				for i := range 500 {
					r.Readings = append(r.Readings, api.Reading{Meter: "backup_bytes", Value: "123456789.123456789", At: at.Add(time.Duration(i) * time.Millisecond)})
				}
				a, err := c.ReportUsage(t.Context(), "acme", r, api.ChangeOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				position = max(position, *a.Position)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return position
}

// What the server does to a stream of one replica after kill -9 and one flipped bit: it cuts the block there, without a word. It is noticed at the
// start, nothing is served that misses anything, and every acknowledged entry comes back.
func TestSilentLoss(t *testing.T) {
	base := t.TempDir()
	d := start(t, onTestClock(base)...)
	c := d.ready()
	setUp(t, c, "acme")
	last := fillBlocks(t, c)
	for range 3 {
		a := must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, api.ChangeOptions{}))(t)
		last = max(last, *a.Position)
	}
	d.kill()
	_, want := readLog(t, copyFolder(t, base))
	if uint64(len(want)) <= last {
		t.Fatalf("%d entries, and %d was acknowledged", len(want), last)
	}
	for _, tt := range []struct {
		name  string
		block int // from the end
		at    int
	}{
		{"old block", 1, 3 << 20},
		{"last block", 0, 5000},
		{"last record, newer than the tiles", 0, -60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := copyFolder(t, base)
			all := blocks(t, dir)
			if len(all) < 2 {
				t.Fatalf("the stream has only %v", all)
			}
			flip(t, all[len(all)-1-tt.block], tt.at)
			d := repaired(t, dir)
			visible(t, d.ready(), last)
			d.stop()
			records, got := readLog(t, dir)
			if !sameEntries(got, want) {
				t.Errorf("%d entries came back of %d, or others", len(got), len(want))
			}
			verifyTiles(t, dir, records)
		})
	}
}

func sameEntries(a, b []events.Entry) bool {
	return slices.EqualFunc(a, b, func(a, b events.Entry) bool {
		one, err := events.AppendEntry(nil, &a)
		other, err2 := events.AppendEntry(nil, &b)
		return err == nil && err2 == nil && bytes.Equal(one, other)
	})
}

// Whatever was changed in a ledger that does not run, ledgerd verify names it; what was not changed it does not complain about, and it changes nothing.
func TestVerifyNamesWhatWasChanged(t *testing.T) {
	base := small(t)
	buyMore(t, base, 3, true)
	before := snapshot(t, base)
	out := command(t, 0, "verify", "--data", base)
	for _, part := range []string{"tiles", "journal", "stream", "licenses", "usage", "invoices", "audit"} {
		if !strings.Contains(out, part) {
			t.Errorf("it says nothing of %s:\n%s", part, out)
		}
	}
	if d := cmp.Diff(before, snapshot(t, base)); d != "" {
		t.Errorf("verify changed the folder (- before, + after):\n%s", d)
	}

	type row struct {
		name, part string
		change     func(t *testing.T, dir string)
	}
	var rows []row
	size := int(must(os.Stat(blocks(t, base)[0]))(t).Size())
	for n := range 6 {
		at := size * (2*n + 1) / 12
		rows = append(rows, row{fmt.Sprintf("byte %d of a block", at), "stream", func(t *testing.T, dir string) { flip(t, blocks(t, dir)[0], at) }})
	}
	for _, file := range []string{"entries", "0"} {
		for _, at := range []int{3, -5} {
			rows = append(rows, row{fmt.Sprintf("byte %d of tile %s", at, file), "tiles", func(t *testing.T, dir string) {
				all := must(filepath.Glob(filepath.Join(dir, "views", "audit", "tile", file, "000.p", "*")))(t)
				slices.SortFunc(all, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
				flip(t, all[len(all)-1], at)
			}})
		}
	}
	rows = append(rows,
		row{"byte of the checkpoint", "tiles", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "views", "audit", "checkpoint"), 50) }},
		row{"byte of the journal", "journal", func(t *testing.T, dir string) {
			flip(t, must(filepath.Glob(filepath.Join(dir, "journal", "*.journal")))(t)[0], 300)
		}},
	)
	for _, v := range views() {
		if v.Name() == "usage" {
			continue // nothing was reported: it has no rows
		}
		for what, change := range map[string]func(b *bbolt.Bucket, k, v []byte) error{
			"edited":  func(b *bbolt.Bucket, k, v []byte) error { return b.Put(k, append(bytes.Clone(v), 'x')) },
			"dropped": func(b *bbolt.Bucket, k, _ []byte) error { return b.Delete(k) },
		} {
			rows = append(rows, row{"a row of " + v.Name() + " " + what, v.Name(), func(t *testing.T, dir string) { changeRow(t, filepath.Join(dir, "views", v.Name()+".db"), change) }})
		}
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			dir := copyFolder(t, base)
			tt.change(t, dir)
			out := command(t, 3, "verify", "--data", dir)
			found := false
			for line := range strings.Lines(out) {
				part, rest, _ := strings.Cut(line, " ")
				if strings.Contains(rest, "DIFFERS: ") && part == tt.part {
					found = true
				}
			}
			if !found {
				t.Errorf("it does not say that %s differs:\n%s", tt.part, out)
			}
		})
	}
}

// changeRow changes the first row of a view that is not of the runtime.
func changeRow(t *testing.T, file string, change func(b *bbolt.Bucket, k, v []byte) error) {
	t.Helper()
	db := must(bbolt.Open(file, 0o600, nil))(t)
	defer db.Close()
	changed := false
	var walk func(b *bbolt.Bucket) error
	walk = func(b *bbolt.Bucket) error {
		for k, v := b.Cursor().First(); k != nil && !changed; k, v = nil, nil {
			if v == nil {
				if err := walk(b.Bucket(k)); err != nil {
					return err
				}
				continue
			}
			changed = true
			return change(b, k, v)
		}
		return nil
	}
	err := db.Update(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if changed || string(name) == projections.MetaBucket {
				return nil
			}
			return walk(b)
		})
	})
	if err != nil || !changed {
		t.Fatalf("no row of %s was changed: %v", file, err)
	}
}

// A restore is killed at any moment, again and again: the last one makes the stream again all the same.
func TestRestoreKilled(t *testing.T) {
	choose := rand.New(rand.NewPCG(seedOf(t), 3))
	dir := small(t)
	buyMore(t, dir, 3, false)
	before := dumps(t, dir)
	_, want := readLog(t, copyFolder(t, dir))
	remove(t, blocks(t, dir)[0])
	for range 6 {
		d := start(t, "restore", "--data", dir)
		select {
		case <-d.exited:
		case <-time.After(time.Duration(choose.Int64N(int64(120 * time.Millisecond)))):
		}
		d.kill()
	}
	command(t, 0, "restore", "--data", dir)
	d := within(t, onTestClock(dir)...)
	visible(t, d.ready(), want[len(want)-1].Number)
	d.stop()
	if _, got := readLog(t, dir); !sameEntries(got, want) {
		t.Errorf("%d entries came back of %d, or others", len(got), len(want))
	}
	sameDumps(t, "restored", dumps(t, dir), before)
}

// Of a ledger that lost stream, views and tiles the journal alone is left: it is enough as long as it reaches back to the first record. Where it does not, nothing is made.
func TestRestoreFromJournalAlone(t *testing.T) {
	dir := small(t)
	_, want := readLog(t, copyFolder(t, dir))
	remove(t, filepath.Join(dir, "nats"))
	remove(t, filepath.Join(dir, "views"))
	command(t, 0, "restore", "--data", dir)
	d := within(t, onTestClock(dir)...)
	visible(t, d.ready(), want[len(want)-1].Number)
	d.stop()
	records, got := readLog(t, dir)
	if !sameEntries(got, want) {
		t.Errorf("%d entries came back of %d, or others", len(got), len(want))
	}
	verifyTiles(t, dir, records)

	for _, name := range []string{"nats", "views", "journal"} {
		remove(t, filepath.Join(dir, name))
	}
	if out := command(t, 1, "restore", "--data", dir); !strings.Contains(out, "neither tiles nor journalled records") {
		t.Error(out)
	}
	if _, err := os.Stat(filepath.Join(dir, "nats")); err == nil {
		t.Error("a stream was made of nothing")
	}
}

// A backup is made while clients are at work: the ledger that comes of it holds everything that was acknowledged before, and verifies.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "--data", dir, anyPort)
	c := d.ready()
	setUp(t, c, "acme")
	setUp(t, c, "umbrella")
	l := newLoad(t, seedOf(t))
	ctx, cancel := context.WithCancel(t.Context())
	wait := l.begin(ctx)
	defer wait()
	defer cancel()
	await := func(n int64) {
		t.Helper()
		select {
		case <-l.open(c, n):
		case <-d.exited:
			t.Fatalf("it ended with code %d by itself:\n%s", d.code, d.err)
		case <-time.After(patience):
			t.Fatalf("clients wait:\n%s", d.err)
		}
	}
	await(100)
	file := filepath.Join(t.TempDir(), "backup")
	l.open(c, 1<<30) // clients go on meanwhile
	known := l.known.Load()
	command(t, 0, "backup", "--data", dir, "--to", file)
	await(20)
	d.stop()
	cancel()
	wait()
	_, all := readLog(t, dir)

	again := filepath.Join(t.TempDir(), "again")
	command(t, 0, "restore", "--data", again, "--from", file)
	r := within(t, "--data", again, anyPort)
	visible(t, r.ready(), known)
	r.stop()
	for path, kept := range snapshot(t, filepath.Join(dir, "keys")) {
		name := must(filepath.Rel(dir, path))(t)
		if got := snapshot(t, filepath.Join(again, "keys"))[filepath.Join(again, name)]; got != kept {
			t.Errorf("%s is %q, and was %q", name, got, kept)
		}
	}
	records, got := readLog(t, again)
	if uint64(len(got)) <= known || len(got) > len(all)+5 || !sameEntries(got[:known+1], all[:known+1]) {
		t.Errorf("%d was acknowledged before; of %d entries %d came back, or others", known, len(all), len(got))
	}
	verifyTiles(t, again, records)
	command(t, 0, "verify", "--data", again)

	// What is not a whole backup makes nothing.
	content := must(os.ReadFile(file))(t)
	for name, spoiled := range map[string][]byte{
		"cut":     content[:len(content)/2],
		"changed": func() []byte { b := bytes.Clone(content); b[len(b)/3] ^= 4; return b }(),
		"nothing": nil,
	} {
		bad, to := filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "to")
		if err := os.WriteFile(bad, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := command(t, 1, "restore", "--data", to, "--from", bad); !strings.Contains(out, "not a whole backup") {
			t.Errorf("%s: %s", name, out)
		}
		if left := must(os.ReadDir(filepath.Dir(to)))(t); len(left) > 0 {
			t.Errorf("%s: it left %v", name, left)
		}
	}
	if out := command(t, 1, "restore", "--data", again, "--from", file); !strings.Contains(out, "is not empty") {
		t.Errorf("over a ledger: %s", out)
	}
	if out := command(t, 1, "backup", "--data", again, "--to", file); !strings.Contains(out, "exists") {
		t.Errorf("over a backup: %s", out)
	}
}

// The command line of the commands beside serving.
func TestMaintenanceUsage(t *testing.T) {
	dir := small(t)
	for _, tt := range []struct {
		code  int
		args  []string
		wants []string
	}{
		{2, []string{"verify"}, []string{"--data DIR"}},
		{2, []string{"restore", "--data", dir, "now"}, []string{`"now"`}},
		{2, []string{"backup", "--data", dir}, []string{"--to FILE"}},
		{2, []string{"backup", "--data", dir, "--form=x"}, []string{"--form"}},
		{1, []string{"verify", "--data", filepath.Join(dir, "nowhere")}, []string{"nowhere"}},
		{0, []string{"restore", "--help"}, []string{"--from", "--data", "LEDGER_DATA"}},
	} {
		out := command(t, tt.code, tt.args...)
		for _, want := range tt.wants {
			if !strings.Contains(out, want) {
				t.Errorf("ledgerd %q does not say %q: %s", tt.args, want, out)
			}
		}
	}
	d := within(t, onTestClock(dir)...)
	d.ready()
	for _, name := range []string{"verify", "restore"} {
		if out := command(t, 1, name, "--data", dir); !strings.Contains(out, "Is another ledgerd running on this folder?") {
			t.Errorf("beside a ledger that runs: %s", out)
		}
	}
	d.stop()
	var out, complaint bytes.Buffer
	environment := func(name string) (string, bool) { return dir, name == "LEDGER_DATA" }
	if code := run(t.Context(), []string{"verify"}, environment, &out, &complaint); code != 0 {
		t.Errorf("by LEDGER_DATA: code %d, %s", code, complaint.String())
	}
}
