package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// snapshot is what is in a folder: a digest of each file.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if d.IsDir() {
			all[path] = "folder"
			return nil
		}
		b, err := os.ReadFile(path)
		all[path] = fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// small is a ledger on a test clock that ran and was stopped: provider acme with a license.
func small(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	d := within(t, onTestClock(dir)...)
	c := d.ready()
	setUp(t, c, "acme")
	bought := must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 3}, api.ChangeOptions{}))(t)
	visible(t, c, *bought.Position)
	d.stop()
	return dir
}

// refuses runs ledgerd, which ends by itself with one last line that says everything wanted.
func refuses(t *testing.T, code int, wants []string, args ...string) {
	t.Helper()
	var out, complaint bytes.Buffer
	if got := run(t.Context(), args, noEnvironment, &out, &complaint); got != code {
		t.Errorf("ledgerd %q: code %d, want %d", args, got, code)
	}
	checkComplaint(t, complaint.String(), wants)
	if out.Len() > 0 {
		t.Errorf("ledgerd %q prints %q", args, out.String())
	}
}

func checkComplaint(t *testing.T, text string, wants []string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	last := lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		// The server of the stream may say before what it found in its files.
		if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "from=nats-server") && !strings.Contains(line, "ended uncleanly") {
			t.Errorf("one line too many: %s", line)
		}
	}
	if !strings.HasPrefix(last, "ledgerd: ") {
		t.Errorf("the last line is %q", last)
	}
	for _, want := range wants {
		if !strings.Contains(last, want) {
			t.Errorf("%q does not say %q", last, want)
		}
	}
}

// What is wrong with the command line costs one line and leaves nothing behind, not even a folder.
func TestBadStarts(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	taken := listener.Addr().String()
	for _, tt := range []struct {
		name  string
		code  int
		args  []string // DIR stands for a folder that does not exist
		wants []string
	}{
		{"no folder", 2, nil, []string{"--data DIR", "--demo", "--help"}},
		{"empty folder", 2, []string{"--data="}, []string{"--data DIR"}},
		{"unknown flag", 2, []string{"--data", "DIR", "--prot=1"}, []string{"--prot", "--help"}},
		{"unknown argument", 2, []string{"--data", "DIR", "serve"}, []string{`"serve"`, "--help"}},
		{"value missing", 2, []string{"--data"}, []string{"--data"}},
		{"no bool", 2, []string{"--demo=perhaps"}, []string{"--demo", "perhaps"}},
		{"clock is no time", 2, []string{"--data", "DIR", "--test-clock=tomorrow"}, []string{`"tomorrow"`, "2026-03-01T00:00:00Z"}},
		{"clock at zero", 2, []string{"--data", "DIR", "--test-clock=0001-01-01T00:00:00Z"}, []string{"--test-clock", "2024-01-01T00:00:00Z"}},
		{"clock before all catalogs", 2, []string{"--data", "DIR", "--test-clock=2023-12-31T23:59:59Z"}, []string{"--test-clock", "2024-01-01T00:00:00Z"}},
		{"clock at the end of time", 2, []string{"--data", "DIR", "--test-clock=9999-12-31T00:00:00Z"}, []string{"--test-clock", "9989"}},
		{"clock for the demo", 2, []string{"--demo", "--test-clock=2026-03-01T00:00:00Z"}, []string{"--test-clock", "--demo"}},
		{"no address", 2, []string{"--data", "DIR", "--http=8080"}, []string{"--http", `"8080"`, "127.0.0.1:8080"}},
		{"empty address", 2, []string{"--data", "DIR", "--http="}, []string{"--http"}},
		{"no port", 2, []string{"--data", "DIR", "--http=127.0.0.1:99999"}, []string{"--http", "99999"}},
		{"no NATS address", 2, []string{"--data", "DIR", "--nats-listen=x"}, []string{"--nats-listen", `"x"`}},
		{"two servers", 2, []string{"--data", "DIR", "--nats=nats://127.0.0.1:1", "--nats-listen=127.0.0.1:0"}, []string{"--nats-listen", "--nats"}},
		{"credentials alone", 2, []string{"--data", "DIR", "--creds=x"}, []string{"--creds", "--nats"}},
		{"credentials missing", 2, []string{"--data", "DIR", "--nats=nats://127.0.0.1:1", "--creds=/nowhere/x"}, []string{"--creds", "/nowhere/x"}},
		{"leases shorter than their refresh", 2, []string{"--data", "DIR", "--lease-offline=59m59s"}, []string{"--lease-offline", "59m59s", "1h0m0s"}},
		{"leases for ever", 2, []string{"--data", "DIR", "--lease-offline=8785h"}, []string{"--lease-offline", "8785h", "8784h"}},
		{"NATS without folder", 2, []string{"--nats=nats://127.0.0.1:1", "--demo"}, []string{"--nats", "--data DIR"}},

		{"taken port", 1, []string{"--data", "DIR", "--http", taken}, []string{taken, "Another program has the port", "--http"}},
		{"taken NATS port", 1, []string{"--data", "DIR", anyPort, "--nats-listen", taken}, []string{taken, "Another program has the port", "--nats-listen"}},
		{"foreign address", 1, []string{"--data", "DIR", "--http=192.0.2.1:0"}, []string{"192.0.2.1", "Choose another --http"}},
		{"foreign NATS address", 1, []string{"--data", "DIR", anyPort, "--nats-listen=192.0.2.1:0"}, []string{"192.0.2.1", "Choose another --nats-listen"}},
		{"taken port of the demo", 1, []string{"--demo", "--http", taken}, []string{taken}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			for i, arg := range tt.args {
				tt.args[i] = strings.Replace(arg, "DIR", filepath.Join(temp, "data"), 1)
			}
			refuses(t, tt.code, tt.wants, tt.args...)
			if left := snapshot(t, temp); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// Where the folder should be there is a file, or on the way to it: file modes do not stop everybody.
func TestFolderCannotBeMade(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{file, filepath.Join(file, "data"), "/dev/null/data"} {
		refuses(t, 1, []string{"not a directory", "Choose a folder that you may write to, with --data"}, "--data", data, anyPort)
	}
	if left := snapshot(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNoNATSServer(t *testing.T) {
	refuses(t, 1, []string{"Is the server running"}, "--data", t.TempDir(), anyPort, "--nats=nats://127.0.0.1:1")
}

// Two ledgerds never work on one folder, whichever way the second one is started.
func TestSecondOnFolder(t *testing.T) {
	dir := t.TempDir()
	d := start(t, onTestClock(dir)...)
	c := d.ready()
	setUp(t, c, "acme")
	token := must(os.ReadFile(filepath.Join(dir, "operator.token")))(t)
	refuses(t, 1, []string{dir, "Is another ledgerd running on this folder?", "--data"}, onTestClock(dir)...)
	refuses(t, 1, []string{"Is another ledgerd running on this folder?"}, "--demo", "--data", dir, anyPort)

	// names.db is not what keeps it out: somebody may have put it elsewhere.
	if err := os.Rename(filepath.Join(dir, "names.db"), filepath.Join(dir, "names.db.away")); err != nil {
		t.Fatal(err)
	}
	refuses(t, 1, []string{"Is another ledgerd running on this folder?"}, onTestClock(dir)...)

	must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, api.ChangeOptions{}))(t)
	if now := must(os.ReadFile(filepath.Join(dir, "operator.token")))(t); !bytes.Equal(now, token) {
		t.Error("the token of the first one was changed")
	}
	d.stop()
}

// A ledger on a test clock and one on real time refuse each other's folders.
func TestClockOfAnotherKind(t *testing.T) {
	test, real := small(t), t.TempDir()
	d := within(t, "--data", real, anyPort)
	c := d.ready()
	setUp(t, c, "acme")
	visible(t, c, 4)
	d.stop()
	for _, tt := range []struct {
		dir   string
		args  []string
		wants []string
	}{
		{test, []string{"--data", test, anyPort}, []string{test, "stands at 2026-01-05T08:00:00Z", "give --test-clock"}},
		{real, onTestClock(real), []string{real, "real time", "--test-clock"}},
		{real, []string{"--demo", "--data", real, anyPort}, []string{real, "real time", "--demo"}},
	} {
		before := dumps(t, tt.dir)
		records, _ := readLog(t, tt.dir)
		refuses(t, 1, tt.wants, tt.args...)
		sameDumps(t, "after the refusal", dumps(t, tt.dir), before)
		if now, _ := readLog(t, tt.dir); !sameRecords(now, records) {
			t.Error("the log has changed")
		}
	}
}

// Every flag has a variable; a flag on the command line goes before it.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	environment := map[string]string{
		"LEDGER_DATA": dir, "LEDGER_HTTP": "127.0.0.1:0", "LEDGER_TEST_CLOCK": "2026-02-03T04:05:06Z", "LEDGER_NATS_LISTEN": "127.0.0.1:0",
		"LEDGER_DEMO": "false", "LEDGER_VERBOSE": "true", "LEDGER_NATS": "", "LEDGER_CREDS": "",
	}
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	d := withinEnvironment(t, lookup)
	c := d.ready()
	d.await(`Agents report to nats://127\.0\.0\.1:\d+\.\n`)
	if now := must(c.Clock(t.Context(), api.ReadOptions{}))(t).Now.String(); now != "2026-02-03 04:05:06 +0000 UTC" {
		t.Errorf("the clock stands at %s", now)
	}
	if text := d.err.String(); !strings.Contains(text, "level=DEBUG") {
		t.Errorf("it is not verbose: %s", text)
	}
	if where := d.await(`token is in (.*)\.\n`)[1]; where != filepath.Join(dir, "operator.token") {
		t.Errorf("the token is in %s", where)
	}
	d.stop()

	for _, tt := range []struct {
		name, value string
		args        []string
		wants       []string
	}{
		{"LEDGER_HTTP", "nowhere", nil, []string{`"nowhere"`}},
		{"LEDGER_HTTP", "127.0.0.1:0", []string{"--http=elsewhere"}, []string{`"elsewhere"`}},
		{"LEDGER_DEMO", "perhaps", nil, []string{"LEDGER_DEMO", "perhaps"}},
		{"LEDGER_TEST_CLOCK", "never", nil, []string{`"never"`}},
	} {
		changed := maps.Clone(environment)
		changed[tt.name] = tt.value
		var out, complaint bytes.Buffer
		code := run(t.Context(), tt.args, func(name string) (string, bool) { v, ok := changed[name]; return v, ok }, &out, &complaint)
		if code != 2 {
			t.Errorf("%s=%s: code %d", tt.name, tt.value, code)
		}
		checkComplaint(t, complaint.String(), tt.wants)
	}
}

func TestHelp(t *testing.T) {
	for _, flag := range []string{"--help", "-h"} {
		var out, complaint bytes.Buffer
		if code := run(t.Context(), []string{flag}, noEnvironment, &out, &complaint); code != 0 || complaint.Len() > 0 {
			t.Errorf("%s: code %d, %q", flag, code, complaint.String())
		}
		for _, want := range []string{"--demo", "--data", "--http", "127.0.0.1:8080", "--nats ", "--creds", "--nats-listen", "--test-clock", "--lease-offline", "LEDGER_DATA"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s does not explain %s:\n%s", flag, want, out.String())
			}
		}
	}
}

// What a first start leaves for the operator is for nobody else.
func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	d := within(t, onTestClock(dir)...)
	d.ready()
	d.stop()
	got := make(map[string]string)
	for _, name := range []string{"", "operator.token", "names.db", "nats", "views", "views/licenses.db", "views/audit", "keys", "keys/checkpoint.key", "keys/checkpoint.pub", "keys/leases"} {
		got[name] = must(os.Stat(filepath.Join(dir, name)))(t).Mode().String()
	}
	want := map[string]string{
		"": "drwx------", "operator.token": "-rw-------", "names.db": "-rw-------", "nats": "drwx------", "views": "drwx------", "views/licenses.db": "-rw-------",
		"views/audit": "drwx------", "keys": "drwx------", "keys/checkpoint.key": "-rw-------", "keys/checkpoint.pub": "-rw-r--r--", "keys/leases": "drwx------",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("modes (- want, + got):\n%s", d)
	}
}
