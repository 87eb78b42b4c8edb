package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/proof"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

// asProcess is the environment variable that makes another program of this test's: ledgerd, or an agent.
const asProcess = "LEDGERD_TEST_PROCESS"

func TestMain(m *testing.M) {
	if role := os.Getenv(asProcess); role != "" {
		signal.Ignore(syscall.SIGXFSZ) // a file that may not grow is an error of its write
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends when the test does, however it ends
			os.Exit(3)
		}()
		if role == "agent" {
			agentMain()
		}
		main()
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what should happen at once: machines that run tests are busy.
const patience = 3 * time.Minute

// printed is what a ledgerd has printed so far.
type printed struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed when there is more
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grown != nil {
		close(p.grown)
		p.grown = nil
	}
	return p.text.Write(b)
}

func (p *printed) String() string {
	text, _ := p.now()
	return text
}

// now is the text, and what is closed when there is more.
func (p *printed) now() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grown == nil {
		p.grown = make(chan struct{})
	}
	return p.text.String(), p.grown
}

// ledgerd is one that runs: a process of its own, or within this one.
type ledgerd struct {
	t        testing.TB
	out, err *printed
	pid      int             // of the process
	end      func(os.Signal) // sends it a signal
	exited   chan struct{}
	code     int // once exited is closed; -1 if a signal ended it
}

// start starts ledgerd as a process.
func start(t testing.TB, args ...string) *ledgerd {
	t.Helper()
	return startIn(t, os.TempDir(), args...)
}

// startIn is start with another folder for temporary files.
func startIn(t testing.TB, temp string, args ...string) *ledgerd {
	t.Helper()
	return startAs(t, "ledgerd", temp, args...)
}

// startAs starts this test's program as another one.
func startAs(t testing.TB, role, temp string, args ...string) *ledgerd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledgerd{t: t, out: new(printed), err: new(printed), exited: make(chan struct{})}
	cmd := exec.Command(self, args...)
	cmd.Env = append(withoutLedger(os.Environ()), asProcess+"="+role, "TMPDIR="+temp)
	cmd.Stdout, cmd.Stderr = l.out, l.err
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.pid = cmd.Process.Pid
	l.end = func(s os.Signal) { _ = cmd.Process.Signal(s) } // it may have ended by itself
	go func() {
		defer close(l.exited)
		_ = cmd.Wait() // the code says it
		_ = stdin.Close()
		l.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(l.kill)
	return l
}

// withoutLedger drops what would configure a ledgerd.
func withoutLedger(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "LEDGER") })
}

// within runs ledgerd within this process, where every signal is a polite one.
func within(t testing.TB, args ...string) *ledgerd {
	t.Helper()
	return withinEnvironment(t, noEnvironment, args...)
}

func withinEnvironment(t testing.TB, env func(string) (string, bool), args ...string) *ledgerd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &ledgerd{t: t, out: new(printed), err: new(printed), exited: make(chan struct{}), end: func(os.Signal) { cancel() }}
	go func() {
		defer close(l.exited)
		l.code = run(ctx, args, env, l.out, l.err)
	}()
	t.Cleanup(l.kill)
	return l
}

func noEnvironment(string) (string, bool) { return "", false }

// memory is the most memory that the process had so far, in MiB. What is known of a process that has ended counts its parent's too.
func (l *ledgerd) memory() int {
	l.t.Helper()
	for line := range strings.Lines(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", l.pid)))(l.t))) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return must(strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(peak), "kB"))))(l.t) >> 10
		}
	}
	l.t.Fatal("the system does not tell how much memory a process had")
	return 0
}

// kill ends it at once, if it runs.
func (l *ledgerd) kill() {
	l.end(os.Kill)
	<-l.exited
}

// stop ends it politely and checks that it was content.
func (l *ledgerd) stop() {
	l.t.Helper()
	l.end(syscall.SIGTERM)
	l.exits(0)
}

// exits waits until it has ended and checks its code.
func (l *ledgerd) exits(code int) {
	l.t.Helper()
	select {
	case <-l.exited:
	case <-time.After(patience):
		l.t.Fatalf("ledgerd does not end:\n%s%s", l.out, l.err)
	}
	if l.code != code {
		l.t.Fatalf("ledgerd ended with code %d, want %d:\n%s%s", l.code, code, l.out, l.err)
	}
}

// await waits until it has printed something that matches, and gives the submatches.
func (l *ledgerd) await(pattern string) []string {
	l.t.Helper()
	return l.awaitIn(l.out, pattern)
}

func (l *ledgerd) awaitIn(p *printed, pattern string) []string {
	l.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for over := false; ; {
		text, grown := p.now()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		if over {
			l.t.Fatalf("ledgerd ended with code %d before it printed %q:\n%s%s", l.code, pattern, text, l.err)
		}
		select {
		case <-grown:
		case <-l.exited:
			over = true // what it printed last is to be looked at
		case <-timeout:
			l.t.Fatalf("ledgerd does not print %q:\n%s%s", pattern, text, l.err)
		}
	}
}

// ready waits until the ledger is open and gives a client with the operator's token. The client repeats nothing by itself.
func (l *ledgerd) ready() *api.Client {
	l.t.Helper()
	url := l.await(`open at (http://\S+)/v1 `)[1]
	token, err := os.ReadFile(l.await(`token is in (.*)\.\n`)[1])
	if err != nil {
		l.t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	l.t.Cleanup(transport.CloseIdleConnections)
	return &api.Client{BaseURL: url, Token: strings.TrimSpace(string(token)), HTTP: &http.Client{Transport: transport}, Retries: -1}
}

// Flags of most ledgers in these tests.
const anyPort = "--http=127.0.0.1:0"

func onTestClock(dir string) []string {
	return []string{"--data", dir, anyPort, "--test-clock=2026-01-05T08:00:00Z"}
}

// must is for what the test needs and does not test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// setUp makes a provider that pays, with company globex, which gets licenses by itself, and initech with a pool of its own.
func setUp(t testing.TB, c *api.Client, provider string) {
	t.Helper()
	ctx := t.Context()
	key := func(what string) api.ChangeOptions {
		return api.ChangeOptions{IdempotencyKey: "setup-" + provider + "-" + what}
	}
	must(c.PutProvider(ctx, provider, api.ProviderSettings{Name: provider}, key("provider")))(t)
	must(c.PutPaymentMethod(ctx, provider, api.PaymentMethodSettings{System: "fastspring", Account: provider}, key("payment")))(t)
	must(c.PutCompany(ctx, provider, "globex", api.CompanySettings{Name: "Globex", Allocation: api.AllocationAutomatic}, key("globex")))(t)
	must(c.PutCompany(ctx, provider, "initech", api.CompanySettings{Name: "Initech", Pool: api.PoolCompany}, key("initech")))(t)
}

// asks are cheap reads of each view, of provider acme.
func asks(t testing.TB, c *api.Client) map[string]func(o api.ReadOptions) error {
	return map[string]func(o api.ReadOptions) error{
		"licenses": func(o api.ReadOptions) error {
			_, err := c.LicenseCounters(t.Context(), "acme", api.CountersQuery{ReadOptions: o})
			return err
		},
		"usage": func(o api.ReadOptions) error {
			_, err := c.UsageGaps(t.Context(), "acme", api.ListQuery{ReadOptions: o})
			return err
		},
		"audit": func(o api.ReadOptions) error {
			lines, err := c.Changes(t.Context(), "acme", api.ChangesQuery{ReadOptions: o, Since: math.MaxUint64})
			if err == nil {
				err = lines.Close()
			}
			return err
		},
		"invoices": func(o api.ReadOptions) error {
			_, err := c.Invoices(t.Context(), "acme", api.InvoiceQuery{ReadOptions: o})
			return err
		},
		"notices": func(o api.ReadOptions) error {
			_, err := c.Notices(t.Context(), "acme", api.NoticeQuery{ReadOptions: o})
			return err
		},
	}
}

// visible waits until all views show an entry, but those named. There must be provider acme.
func visible(t testing.TB, c *api.Client, after uint64, but ...string) {
	t.Helper()
	for view, ask := range asks(t, c) {
		if slices.Contains(but, view) {
			continue
		}
		var at uint64
		err := ask(api.ReadOptions{After: after, Seen: &at})
		for begun := time.Now(); api.CodeOf(err) == api.CodeBehind && time.Since(begun) < patience; {
			err = ask(api.ReadOptions{After: after, Seen: &at}) // it waits for 10 s
		}
		if err != nil || at < after {
			t.Errorf("view %s stands at %d, not at %d: %v", view, at, after, err)
		}
	}
}

// views are those of ledgerd.
func views() []projections.View {
	return []projections.View{licenses.New(), usage.View{}, invoices.New(), notices.View{}, audit.New(noKey)}
}

// noKey is for views that are only looked at.
func noKey(string) (proof.Key, error) { return proof.Key{}, errors.New("nothing is signed here") }

// dumps are the canonical dumps of the views of a ledger that does not run.
func dumps(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, v := range views() {
		store := must(projections.Open(filepath.Join(dir, "views"), v))(t)
		var b strings.Builder
		next, err := projections.Dump(store, &b)
		if err := errors.Join(err, store.Close()); err != nil {
			t.Fatal(err)
		}
		all[v.Name()] = fmt.Sprintf("%d entries\n%s", next, b.String())
	}
	return all
}

// sameDumps compares dumps and names the first line that differs.
func sameDumps(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		g, w := strings.Split(got[name], "\n"), strings.Split(w, "\n")
		for i := range max(len(g), len(w)) {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				t.Errorf("%s: view %s differs in line %d:\n got %.300s\nwant %.300s", what, name, i, lineOf(g, i), lineOf(w, i))
				break
			}
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "no such line"
}

// removeViews deletes the views' files, so that the next start builds them again.
func removeViews(t testing.TB, dir string) {
	t.Helper()
	for _, v := range views() {
		if err := projections.Remove(filepath.Join(dir, "views"), v); err != nil {
			t.Fatal(err)
		}
	}
}

// readLog reads the log of a ledger that does not run, and checks that it is whole: sequences and entries are numbered
// without gaps, each record names the one before, time never runs backwards, and the first entry alone opens the ledger.
func readLog(t testing.TB, dir string) (records []events.Stored, entries []events.Entry) {
	t.Helper()
	server := must(natsd.Start(t.Context(), natsd.Config{Dir: filepath.Join(dir, "nats")}))(t)
	defer server.Shutdown()
	conn := must(server.Connect())(t)
	defer conn.Close()
	log := must(stream.Open(t.Context(), conn, stream.Config{Replicas: 1}))(t)
	last := must(log.Last(t.Context()))(t)
	previous := ""
	for r, err := range log.Read(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		inside, err := events.DecodeRecord(&r.Record)
		if err != nil {
			t.Fatalf("record %d: %v", r.Seq, err)
		}
		if r.Seq != uint64(len(records)+1) || r.Prev != previous || r.First != uint64(len(entries)) {
			t.Fatalf("record %d: %s after %q from entry %d; %d records and %d entries come before, the last is %q", r.Seq, r.ID, r.Prev, r.First, len(records), len(entries), previous)
		}
		for i := range inside {
			e := &inside[i]
			if e.Number != uint64(len(entries)+i) {
				t.Fatalf("record %d has entry %d in the place of %d", r.Seq, e.Number, len(entries)+i)
			}
			if _, opens := e.Events[0].Data.(*events.LedgerOpened); opens != (e.Number == 0) {
				t.Fatalf("entry %d holds %s", e.Number, e.Events[0].Data.Kind())
			}
		}
		previous, records, entries = r.ID, append(records, r), append(entries, inside...)
		if r.Seq == last {
			break
		}
	}
	for i := range entries[1:] {
		if entries[i+1].Time.Before(entries[i].Time) {
			t.Fatalf("entry %d is of %s, the one before of %s", i+1, entries[i+1].Time, entries[i].Time)
		}
	}
	return records, entries
}

// verifyTiles checks that the audit tiles of a ledger that does not run are whole, signed with its key, and hold the log to its last entry.
func verifyTiles(t testing.TB, dir string, records []events.Stored) proof.Checkpoint {
	t.Helper()
	key := must(proof.ParseVerifier(must(publicKey(dir))(t)))(t)
	tiles := audit.Folder(filepath.Join(dir, "views"))
	checkpoint, err := proof.Verify(t.Context(), tiles, key, proof.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for _, r := range records {
		want = append(want, r.Body...)
	}
	for line, err := range proof.Entries(t.Context(), tiles, 0, checkpoint.Size) {
		if err != nil {
			t.Fatal(err)
		}
		rest, ok := bytes.CutPrefix(want, append(line[:len(line):len(line)], '\n'))
		if !ok {
			t.Fatalf("the tiles have %q where the log has %.200q", line, want)
		}
		want = rest
	}
	if len(want) > 0 {
		t.Fatalf("the tiles end with %d entries, the log goes on with %.200q", checkpoint.Size, want)
	}
	return checkpoint
}

// copyFolder copies a ledger that does not run.
func copyFolder(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	err := os.CopyFS(to, os.DirFS(from))
	leases := must(filepath.Glob(filepath.Join(to, "keys", "leases", "*")))(t)
	for _, secret := range append(leases, filepath.Join(to, "operator.token"), filepath.Join(to, "keys", checkpointKey), filepath.Join(to, "keys", activationKey)) {
		if err == nil {
			err = os.Chmod(secret, 0o600) // a copy has other modes
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}
