package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"ledgerctl": main})
}

// leakChecked fails a run of tests that leaves goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// The sessions in testdata are shell sessions with a ledger at $SERVER whose operator's token is in $TOKEN_FILE. It is
// empty, and its test clock stands at 2026-03-01T00:00:00Z. Here it is a fake that plays the session's file "ledger",
// and nothing else; what a real ledger chooses (ids, positions, digests) a session captures.
//
//	capture REGEXP NAME...          puts what the groups match in stdout into variables
//	replace OLD NEW FILE            replaces a text in a file, which must have it
//	exits CODE PROGRAM ARGUMENT...  runs a program that must end with this code
//
// With LEDGERCTL_UPDATE set, what cmp compares is written anew instead.
func TestSessions(t *testing.T) {
	runSessions(t, startFake, "testdata/*.txtar")
}

// The same sessions, and those about annual keys, with a real ledger each: the program ledgerd of this source.
func TestSessionsWithLedger(t *testing.T) {
	program := filepath.Join(t.TempDir(), "ledgerd")
	if out, err := exec.Command("go", "build", "-o", program, "licenseledger/cmd/ledgerd").CombinedOutput(); err != nil {
		t.Fatalf("building ledgerd: %v\n%s", err, out)
	}
	runSessions(t, func(env *testscript.Env) error { return startLedger(env, program) }, "testdata/*.txtar", "testdata/keys/*.txtar")
}

func runSessions(t *testing.T, start func(*testscript.Env) error, patterns ...string) {
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d sessions, %v", pattern, len(found), err)
		}
		files = append(files, found...)
	}
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // with -race every process would wait a second at its end
			return start(env)
		},
		UpdateScripts: os.Getenv("LEDGERCTL_UPDATE") != "",
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"capture": capture, "replace": replace, "exits": exits},
	})
}

// startFake gives a session a ledger that plays its file "ledger".
func startFake(env *testscript.Env) error {
	text, err := os.ReadFile(filepath.Join(env.WorkDir, "ledger"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	exchanges, err := parseTranscript(string(text))
	if err != nil {
		return err
	}
	ledger := newFakeLedger(exchanges)
	env.Defer(func() {
		if err := ledger.finish(); err != nil {
			env.T().Fatal(err)
		}
	})
	file := filepath.Join(env.WorkDir, "operator.token")
	env.Setenv("SERVER", ledger.URL)
	env.Setenv("TOKEN_FILE", file)
	return os.WriteFile(file, []byte(testToken+"\n"), 0o600)
}

// startLedger gives a session a real ledger of its own: the program ledgerd.
func startLedger(env *testscript.Env, program string) error {
	data := filepath.Join(env.WorkDir, "data")
	cmd := exec.Command(program, "--data", data, "--test-clock", "2026-03-01T00:00:00Z", "--http", "127.0.0.1:0")
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	env.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			env.T().Fatal("ledgerd: ", err)
		}
	})
	address := regexp.MustCompile(`open at (http://[^/ ]+)/v1`)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			env.Setenv("SERVER", found[1])
			env.Setenv("TOKEN_FILE", filepath.Join(data, "operator.token"))
			return nil
		}
	}
	return errors.New("ledgerd did not say where it is open")
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	groups := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(groups) != len(args) {
		ts.Fatalf("stdout has %d matches of %s for %v", max(0, len(groups)-1), pattern, args[1:])
	}
	for i, name := range args[1:] {
		ts.Setenv(name, groups[i+1])
	}
}

func replace(ts *testscript.TestScript, _ bool, args []string) {
	before := ts.ReadFile(args[2])
	if !strings.Contains(before, args[0]) {
		ts.Fatalf("%s has no %s", args[2], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(before, args[0], args[1])), 0o600))
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s did not run: %v", args[1], err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("%s ended with %d, want %d", args[1], code, want)
	}
}
