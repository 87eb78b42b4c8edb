package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
)

// kills is how often TestKilled kills, unless LEDGER_SOAK says how long instead.
const kills = 44

// seedOf gives the seed of a test's choices: LEDGER_SEED repeats those of an earlier run, as far as time allows.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text, ok := os.LookupEnv("LEDGER_SEED"); ok {
		seed = must(strconv.ParseUint(text, 10, 64))(t)
	}
	t.Logf("LEDGER_SEED=%d", seed)
	return seed
}

// Ledgerd is killed (kill -9) at random moments of its work, its start and its stop, with clients at work all the time: they buy,
// allocate, release and report, repeat what was not answered under the same key or never ask again. No start after it needs
// a hand. In the end the log holds everything that was acknowledged exactly once, the rest once or not at all, and
// nothing that nobody sent; and the views that lived through it are the ones that the log alone gives.
//
// A longer form kills for as long as LEDGER_SOAK says:
//
//	LEDGER_SOAK=30m go test ./cmd/ledgerd -run TestKilled -timeout 1h -v
func TestKilled(t *testing.T) {
	seed := seedOf(t)
	choose := rand.New(rand.NewPCG(seed, 0))
	enough := func(n int, _ time.Duration) bool { return n >= kills }
	if text, ok := os.LookupEnv("LEDGER_SOAK"); ok {
		long := must(time.ParseDuration(text))(t)
		enough = func(_ int, past time.Duration) bool { return past >= long }
	}
	dir := t.TempDir()
	args := []string{"--data", dir, anyPort}

	first := start(t, args...)
	c := first.ready()
	setUp(t, c, "acme")
	setUp(t, c, "umbrella")
	first.kill()

	l := newLoad(t, seed)
	ctx, cancel := context.WithCancel(t.Context())
	wait := l.begin(ctx)
	defer wait()
	defer cancel()

	begun := time.Now()
	killed, usual := 0, 100*time.Millisecond // how long a start takes
	died := make(map[string]int)
	for !enough(killed, time.Since(begun)) {
		born := time.Now()
		d := start(t, args...)
		if choose.IntN(4) == 0 {
			// While it starts: a moment that most starts do not reach the end of.
			select {
			case <-time.After(rand.N(usual)):
				died["starting"]++
			case <-d.exited:
				t.Fatalf("it ended with code %d while it started:\n%s", d.code, d.err)
			}
			d.kill()
			killed++
			continue
		}
		c := d.ready()
		usual = (3*usual + time.Since(born)) / 4
		visible(t, c, l.known.Load())
		busy := l.open(c, 1+choose.Int64N(120))
		select {
		case <-busy:
		case <-d.exited:
			t.Fatalf("it ended with code %d by itself:\n%s", d.code, d.err)
		case <-time.After(patience):
			t.Fatalf("clients wait:\n%s", d.err)
		}
		switch choose.IntN(8) {
		case 0:
			d.stop()
			died["politely"]++
			continue
		case 1:
			d.end(syscall.SIGTERM)
			d.await("Stopping")
			died["stopping"]++
		default:
			died["working"]++
		}
		d.kill()
		killed++
	}
	t.Logf("killed %d times in %s: %v; a start takes %s", killed, time.Since(begun).Round(time.Second), died, usual.Round(time.Millisecond))

	last := start(t, args...)
	c = last.ready()
	visible(t, c, l.known.Load())
	l.open(c, -1)
	l.end()
	wait()
	visible(t, c, l.known.Load())
	seen := map[string]account{"acme": accountOf(t, c, "acme"), "umbrella": accountOf(t, c, "umbrella")}
	last.stop()

	records, entries := readLog(t, dir)
	l.check(entries, false)
	verifyTiles(t, dir, records)
	for provider, got := range seen {
		if d := cmp.Diff(recount(entries, provider), got); d != "" {
			t.Errorf("what the ledger shows of %s is not what its log says (- log, + shown):\n%s", provider, d)
		}
	}
	live := dumps(t, dir)
	removeViews(t, dir)
	rebuilt := start(t, args...)
	c = rebuilt.ready()
	for provider, want := range seen {
		if d := cmp.Diff(want, accountOf(t, c, provider)); d != "" {
			t.Errorf("%s after the views were built again:\n%s", provider, d)
		}
	}
	rebuilt.stop()
	sameDumps(t, "built again", dumps(t, dir), live)
	verifyTiles(t, dir, records)
}

// account is what a ledger shows of a provider.
type account struct {
	Licenses map[string]string // status by id
	Readings map[string]int    // by endpoint
	Gaps     []api.Gap
}

func accountOf(t *testing.T, c *api.Client, provider string) account {
	t.Helper()
	a := account{Licenses: make(map[string]string), Readings: make(map[string]int)}
	for l, err := range c.AllLicenses(t.Context(), provider, api.LicenseQuery{}) {
		a.Licenses[must(l, err)(t).ID] = l.Status
	}
	q := api.UsageQuery{Meter: "backup_bytes", GroupBy: []string{"endpoint"}, Aggregate: "count"}
	for row, err := range c.AllUsage(t.Context(), provider, q) {
		a.Readings[must(row, err)(t).Endpoint] = int(must(row.Value.Int64())(t))
	}
	for gap, err := range c.AllUsageGaps(t.Context(), provider, api.ListQuery{}) {
		a.Gaps = append(a.Gaps, must(gap, err)(t))
	}
	slices.SortFunc(a.Gaps, byAgent)
	return a
}

func byAgent(a, b api.Gap) int {
	return strings.Compare(fmt.Sprintf("%s %020d", a.Agent, a.From), fmt.Sprintf("%s %020d", b.Agent, b.From))
}

// recount makes the account of a provider from the log alone, in the simplest way.
func recount(entries []events.Entry, provider string) account {
	a := account{Licenses: make(map[string]string), Readings: make(map[string]int)}
	numbers := make(map[string][]uint64)
	for i := range entries {
		if entries[i].Provider != provider {
			continue
		}
		for _, ev := range entries[i].Events {
			if l := events.LicenseAfter(ev.Data); l != nil {
				a.Licenses[l.ID] = string(l.Status)
			}
			if u, ok := ev.Data.(*events.UsageRecorded); ok {
				a.Readings[u.Agent] += len(u.Readings)
				numbers[u.Agent] = append(numbers[u.Agent], u.Seq)
			}
		}
	}
	for agent, seen := range numbers {
		slices.Sort(seen)
		next := uint64(1)
		for _, seq := range seen {
			if seq > next {
				a.Gaps = append(a.Gaps, api.Gap{Agent: agent, From: next, To: seq})
			}
			next = seq + 1
		}
	}
	slices.SortFunc(a.Gaps, byAgent)
	return a
}

// The very first start of a ledger is killed: whatever there is of it, the next start makes a whole ledger of it.
func TestKilledAtBirth(t *testing.T) {
	choose := rand.New(rand.NewPCG(seedOf(t), 1))
	for n := range 8 {
		dir := t.TempDir()
		args := onTestClock(dir)
		for range 1 + choose.IntN(2) {
			d := start(t, args...)
			select {
			case <-time.After(time.Duration(choose.Int64N(int64(150 * time.Millisecond)))):
			case <-d.exited:
				t.Fatalf("%d: it ended with code %d:\n%s", n, d.code, d.err)
			}
			d.kill()
		}
		d := start(t, args...)
		setUp(t, d.ready(), "acme")
		d.stop()
		if _, entries := readLog(t, dir); len(entries) != 5 {
			t.Errorf("%d: %d entries, want 5", n, len(entries))
		}
	}
}

// The server was killed while it made the stream: there are some of its files, and it ignores what is there.
func TestStreamHalfMade(t *testing.T) {
	for name, spoil := range map[string]func(folder string) error{
		"no checksum":    func(folder string) error { return os.Remove(filepath.Join(folder, "meta.sum")) },
		"empty checksum": func(folder string) error { return os.Truncate(filepath.Join(folder, "meta.sum"), 0) },
		"checksum of another": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "meta.sum"), []byte("0123456789abcdef"), 0o600)
		},
		"checksum written": func(folder string) error {
			return os.Rename(filepath.Join(folder, "meta.sum"), filepath.Join(folder, "meta.sum.tmp"))
		},
		"empty description": func(folder string) error { return os.Truncate(filepath.Join(folder, "meta.inf"), 0) },
		"no description": func(folder string) error {
			return errors.Join(os.Remove(filepath.Join(folder, "meta.sum")), os.Remove(filepath.Join(folder, "meta.inf")))
		},
		"nothing but a folder": func(folder string) error { return errors.Join(os.RemoveAll(folder), os.Mkdir(folder, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			server := must(natsd.Start(t.Context(), natsd.Config{Dir: filepath.Join(dir, "nats")}))(t)
			conn, admin := must(server.Connect())(t), must(server.ConnectAdmin())(t)
			_, err := stream.Create(t.Context(), admin, conn, stream.Config{})
			admin.Close()
			conn.Close()
			server.Shutdown()
			if err := errors.Join(err, spoil(filepath.Join(server.StoreDir(), stream.Name))); err != nil {
				t.Fatal(err)
			}
			d := within(t, onTestClock(dir)...)
			c := d.ready()
			setUp(t, c, "acme")
			visible(t, c, 4)
			d.stop()
			again := within(t, onTestClock(dir)...)
			visible(t, again.ready(), 4)
			again.stop()
			if _, entries := readLog(t, dir); len(entries) != 5 {
				t.Errorf("%d entries, want 5", len(entries))
			}
		})
	}
}

// The demo is killed while it plays, whose agents report over NATS; started again it goes on, and ends where it always does.
func TestKilledDemo(t *testing.T) {
	choose := rand.New(rand.NewPCG(seedOf(t), 2))
	dir := t.TempDir()
	args := []string{"--demo", "--data", dir, anyPort}
	for _, step := range []string{"11 licenses", "12 reports", "15 reports"} {
		d := start(t, args...)
		d.await("2026-03-" + step)
		// Now in the middle of the next: reports, releases, licenses, or a move of the clock.
		select {
		case <-time.After(time.Duration(choose.Int64N(int64(100 * time.Millisecond)))):
		case <-d.exited:
			t.Fatalf("it ended with code %d:\n%s", d.code, d.err)
		}
		d.kill()
	}
	d := start(t, args...)
	checkBill(t, d.ready())
	d.stop()
	_, entries := readLog(t, dir)
	checkReports(t, entries)
	live := dumps(t, dir)
	removeViews(t, dir)
	d = start(t, onTestClock(dir)...)
	checkBill(t, d.ready())
	d.stop()
	sameDumps(t, "built again", dumps(t, dir), live)
}
