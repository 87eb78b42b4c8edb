package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// blocks are the files with the stream's records, in their order.
func blocks(t *testing.T, dir string) []string {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(dir, "nats", "jetstream", "APP", "streams", "LEDGER", "msgs", "*.blk")))(t)
	if len(files) == 0 {
		t.Fatal("the stream has no blocks where they are expected")
	}
	return files
}

// cut takes the last bytes off a file.
func cut(t *testing.T, file string, n int64) {
	t.Helper()
	size := must(os.Stat(file))(t).Size()
	if size <= n {
		t.Fatalf("%s has %d bytes", file, size)
	}
	if err := os.Truncate(file, size-n); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// buyMore starts the ledger, buys n times and ends it: politely, or with kill -9.
func buyMore(t *testing.T, dir string, n int, politely bool) {
	t.Helper()
	run := start
	if politely {
		run = within
	}
	d := run(t, onTestClock(dir)...)
	c := d.ready()
	for range n {
		a := must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, api.ChangeOptions{}))(t)
		visible(t, c, *a.Position)
	}
	if politely {
		d.stop()
	} else {
		d.kill()
	}
}

// The stream has lost something that was acknowledged, or all of it. What stood at its end the next start puts back by itself; else no start serves what
// is left, and ledgerd restore makes the stream again, with every entry, from its other copies. What the views held they hold again.
func TestStreamDamaged(t *testing.T) {
	const lost = "records are missing from the stream. Keep the folder as it is; ledgerd restore"
	for _, tt := range []struct {
		name   string
		unkind bool // the ledger was killed
		damage func(t *testing.T, dir string)
		wants  []string // nil: the start repairs it, unless the server itself sees that something is missing
	}{
		{"last bytes gone", false, func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0], 7) }, []string{lost}},
		{"last records gone", false, func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0], 2500) }, []string{lost}},
		{"first bytes gone", false, func(t *testing.T, dir string) {
			file := blocks(t, dir)[0]
			b := must(os.ReadFile(file))(t)
			if err := os.WriteFile(file, append(make([]byte, 300), b[300:]...), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"ledgerd restore"}},
		// After kill -9 the server has no note of where the stream ended, and takes for the end what is left.
		{"last bytes gone after a kill", true, func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0], 7) }, nil},
		{"last records gone after a kill", true, func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0], 2500) }, nil},
		{"a bit of the last record after a kill", true, func(t *testing.T, dir string) { flip(t, blocks(t, dir)[0], -100) }, nil},
		{"a bit in the middle after a kill", true, func(t *testing.T, dir string) { flip(t, blocks(t, dir)[0], 2500) }, nil},
		{"last records and the journal gone", true, func(t *testing.T, dir string) {
			cut(t, blocks(t, dir)[0], 2500)
			remove(t, filepath.Join(dir, "journal"))
		}, []string{"ledgerd restore"}},
		{"block gone after a kill", true, func(t *testing.T, dir string) { remove(t, blocks(t, dir)[0]) }, []string{"whose stream is gone", "ledgerd restore"}},
		{"stream gone", false, func(t *testing.T, dir string) { remove(t, filepath.Dir(filepath.Dir(blocks(t, dir)[0]))) }, []string{"whose stream is gone", "ledgerd restore"}},
		{"stream's description damaged", false, func(t *testing.T, dir string) {
			cut(t, filepath.Join(filepath.Dir(filepath.Dir(blocks(t, dir)[0])), "meta.inf"), 10)
		}, []string{"whose stream is gone", "ledgerd restore"}},
		{"store gone", false, func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "nats", "jetstream")) }, []string{"whose stream is gone", "ledgerd restore"}},
		{"server's folder gone", false, func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "nats")) }, []string{"whose stream is gone", "ledgerd restore"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := small(t)
			buyMore(t, dir, 3, !tt.unkind)
			before := dumps(t, dir)
			_, want := readLog(t, copyFolder(t, dir))
			tt.damage(t, dir)
			if tt.wants != nil {
				files := snapshot(t, dir)
				refuses(t, 1, tt.wants, onTestClock(dir)...)
				if _, err := os.Stat(filepath.Join(dir, "nats")); err != nil {
					// Nothing was made in place of what is gone.
					if now := snapshot(t, dir); fmt.Sprint(now) != fmt.Sprint(files) {
						t.Errorf("the folder holds %v, before %v", now, files)
					}
				}
				refuses(t, 1, tt.wants[len(tt.wants)-1:], onTestClock(dir)...)
				sameDumps(t, "after the refusals", dumps(t, dir), before)
				out := command(t, 0, "restore", "--data", dir)
				if !strings.Contains(out, fmt.Sprintf("holds %d entries again", len(want))) {
					t.Errorf("it restored: %s", out)
				}
			}
			d := repaired(t, dir)
			visible(t, d.ready(), want[len(want)-1].Number)
			d.stop()
			sameDumps(t, "in the end", dumps(t, dir), before)
			records, got := readLog(t, dir)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the log (- before, + now):\n%s", diff)
			}
			verifyTiles(t, dir, records)
			command(t, 0, "verify", "--data", dir)
		})
	}
}

// repaired starts a ledger whose stream may be damaged. Where the start refuses to serve it, it says what helps, and that is done.
func repaired(t *testing.T, dir string) *ledgerd {
	t.Helper()
	d := within(t, onTestClock(dir)...)
	for over := false; !over; {
		text, grown := d.out.now()
		if strings.Contains(text, "open at http") {
			return d
		}
		select {
		case <-grown:
		case <-d.exited:
			over = true
		case <-time.After(patience):
			t.Fatalf("ledgerd neither serves nor ends:\n%s", d.err)
		}
	}
	d.exits(1)
	checkComplaint(t, d.err.String(), []string{"ledgerd restore"})
	command(t, 0, "restore", "--data", dir)
	return within(t, onTestClock(dir)...)
}

// flip changes a bit of a file, at an offset from its start or, negative, from its end.
func flip(t *testing.T, file string, at int) {
	t.Helper()
	b := must(os.ReadFile(file))(t)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1 << (at % 8)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs a command of ledgerd that ends by itself, and gives what it printed.
func command(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	if got := run(t.Context(), args, noEnvironment, &out, &complaint); got != code {
		t.Errorf("ledgerd %q: code %d, want %d\n%s%s", args, got, code, out.String(), complaint.String())
	}
	return out.String() + complaint.String()
}

// The stream is an old copy: the start puts back what was written since. Where something else was written to it since, only the records' ids tell.
func TestStreamOfAnotherTime(t *testing.T) {
	dir := small(t)
	old := copyFolder(t, dir)
	buyMore(t, dir, 2, true)
	before := dumps(t, dir)
	exchange := func(a, b string) {
		t.Helper()
		for _, move := range [][2]string{{a, a + ".moving"}, {b, a}, {a + ".moving", b}} {
			if err := os.Rename(move[0], move[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	nats := func(dir string) string { return filepath.Join(dir, "nats") }

	behind := copyFolder(t, dir)
	remove(t, nats(behind))
	if err := os.CopyFS(nats(behind), os.DirFS(nats(old))); err != nil {
		t.Fatal(err)
	}
	d := within(t, onTestClock(behind)...)
	visible(t, d.ready(), 7)
	d.stop()
	sameDumps(t, "put back", dumps(t, behind), before)

	buyMore(t, old, 2, true)
	exchange(nats(dir), nats(old))
	refuses(t, 1, []string{"contradict each other"}, onTestClock(dir)...)
	exchange(nats(dir), nats(old))

	sameDumps(t, "after the refusal", dumps(t, dir), before)
	buyMore(t, dir, 1, true)
	buyMore(t, old, 1, true)
}

// A view of another ledger is never followed, shown or decided on, whether it is longer or shorter than the stream.
func TestForeignViews(t *testing.T) {
	dir, longer := small(t), small(t)
	buyMore(t, longer, 2, true)
	shorter := t.TempDir()
	d := within(t, onTestClock(shorter)...)
	c := d.ready()
	setUp(t, c, "acme")
	visible(t, c, 4)
	d.stop()

	for name, other := range map[string]string{"longer": longer, "shorter": shorter} {
		for _, v := range views() {
			t.Run(name+" "+v.Name(), func(t *testing.T) {
				mixed := copyFolder(t, dir)
				file := filepath.Join(mixed, "views", v.Name()+".db")
				own := must(os.ReadFile(file))(t)
				foreign := must(os.ReadFile(filepath.Join(other, "views", v.Name()+".db")))(t)
				if err := os.WriteFile(file, foreign, 0o600); err != nil {
					t.Fatal(err)
				}
				records, _ := readLog(t, mixed)
				refuses(t, 1, []string{"view " + v.Name(), "of another", "emove " + file}, onTestClock(mixed)...)
				if now, _ := readLog(t, mixed); !sameRecords(now, records) {
					t.Error("the log has changed")
				}

				// The complaint says what helps.
				remove(t, file)
				buyMore(t, mixed, 1, true)
				if now := must(os.ReadFile(file))(t); bytes.Equal(now, own) {
					t.Error("the view has not gone on")
				}
			})
		}
	}
}

// A damaged view is refused with one line that says how to have it built again; then it is.
func TestViewDamaged(t *testing.T) {
	whole := small(t)
	want := dumps(t, whole)
	for _, v := range views() {
		for name, damage := range map[string]func(t *testing.T, file string){
			"cut to a stump":    func(t *testing.T, file string) { truncate(t, file, 3000) },
			"cut to some pages": func(t *testing.T, file string) { truncate(t, file, 5*int64(os.Getpagesize())) },
			"something else": func(t *testing.T, file string) {
				if err := os.WriteFile(file, []byte(strings.Repeat("not a view\n", 10_000)), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(v.Name()+" "+name, func(t *testing.T) {
				dir := copyFolder(t, whole)
				file := filepath.Join(dir, "views", v.Name()+".db")
				damage(t, file)
				// A process of its own: a fault would end this one.
				d := start(t, onTestClock(dir)...)
				d.exits(1)
				checkComplaint(t, d.err.String(), []string{"view " + v.Name(), "damaged", "remove the file, and it is built again"})
				remove(t, file)
				again := within(t, onTestClock(dir)...)
				visible(t, again.ready(), 5)
				again.stop()
				sameDumps(t, "built again", dumps(t, dir), want)
			})
		}
	}
}

// A view of an older format is built again by itself, and one that is missing is no difference.
func TestViewOutdated(t *testing.T) {
	whole := small(t)
	want := dumps(t, whole)
	dir := copyFolder(t, whole)
	for _, v := range views() {
		file := filepath.Join(dir, "views", v.Name()+".db")
		db := must(bbolt.Open(file, 0o600, nil))(t)
		err := db.Update(func(tx *bbolt.Tx) error {
			meta := tx.Bucket([]byte(projections.MetaBucket))
			return meta.Put([]byte("format"), bytes.Replace(meta.Get([]byte("format")), []byte(`"rows":`), []byte(`"rows":9`), 1))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d := within(t, onTestClock(dir)...)
	visible(t, d.ready(), 5)
	d.stop()
	sameDumps(t, "built again", dumps(t, dir), want)

	remove(t, filepath.Join(dir, "views", "usage.db"))
	if out := command(t, 0, "verify", "--data", dir); !strings.Contains(out, "usage     not there: the next start builds it") {
		t.Error(out)
	}
}

func truncate(t *testing.T, file string, size int64) {
	t.Helper()
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
}

// What cannot be built again says so.
func TestKeysDamaged(t *testing.T) {
	whole := small(t)
	people := must(names.Open(filepath.Join(whole, "names.db")))(t)
	for i := range 200 {
		must(people.Pseudonym("acme", "administrator", fmt.Sprint(i)))(t)
	}
	if err := people.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file  string
		size  int64
		wants []string
	}{
		{"names.db", 3000, []string{"names.db is damaged", "restore it from a copy"}},
		{"names.db", 5 * int64(os.Getpagesize()), []string{"names.db is damaged", "restore it from a copy"}},
		{"operator.token", 0, []string{"operator.token", "restore it, or remove it"}},
		{"keys/checkpoint.key", 0, []string{"checkpoint.key", "restore it from a copy"}},
		{"keys/checkpoint.key", 60, []string{"checkpoint.key", "restore it from a copy"}},
		{"views/audit/checkpoint", 20, []string{"audit tiles", "not a checkpoint of this ledger"}},
		{"operator.token", 20, []string{"operator.token", "restore it, or remove it"}},
	} {
		t.Run(fmt.Sprintf("%s of %d bytes", tt.file, tt.size), func(t *testing.T) {
			dir := copyFolder(t, whole)
			truncate(t, filepath.Join(dir, tt.file), tt.size)
			d := start(t, onTestClock(dir)...)
			d.exits(1)
			checkComplaint(t, d.err.String(), tt.wants)
		})
	}
}
