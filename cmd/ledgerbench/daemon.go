package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"licenseledger/ledger/api"
)

// daemon is a real ledgerd, in processes one after the other over the same folder and at the same addresses.
type daemon struct {
	program   string
	data, log string
	http      string // address
	args      []string

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	exit  error
}

// vitals are what a process uses at a moment.
type vitals struct {
	heap       float64 // bytes that the last collection found alive
	goroutines float64
	files      float64 // open
	resident   float64 // anonymous, bytes
}

// staying is a long form that looks for everything that real ledgerds acknowledged.
type staying struct {
	name    string
	program string // ledgerd; empty: built from this source
	dir     string // of its own
}

// outcome is what a long form came to, for people; encoding/json has it for programs.
type outcome interface{ write(io.Writer) error }

// withFolder lets run work in a folder of its own, with a ledgerd to start, and prints what it came to. What failed leaves its files, and says where.
func (s *staying) withFolder(ctx context.Context, parent, output string, stdout io.Writer, run func() (outcome, error)) (err error) {
	if s.dir, err = os.MkdirTemp(parent, "ledgerbench-"+s.name+"-"); err != nil {
		return err
	}
	if s.program == "" {
		if s.program, err = buildLedgerd(ctx, s.dir); err != nil {
			return errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	result, err := run()
	if err != nil {
		return fmt.Errorf("%s, files in %s: %w", s.name, s.dir, err)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(stdout).Encode(result)
	}
	return result.write(stdout)
}

// buildLedgerd builds ledgerd from the source that this program is run in.
func buildLedgerd(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "ledgerd")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "licenseledger/cmd/ledgerd").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build ledgerd, or name it with --ledgerd: %w\n%s", err, out)
	}
	return program, nil
}

func newDaemon(program, dir string, args ...string) (*daemon, error) {
	address, err := freeAddress()
	return &daemon{program: program, data: filepath.Join(dir, "data"), log: filepath.Join(dir, "ledgerd.log"), http: address, args: args}, err
}

// freeAddress is an address that nobody listened on just now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts a process and waits, as long as ctx lasts, until it is ready. Whoever starts it stops it.
func (d *daemon) start(ctx context.Context) (ready time.Duration, err error) {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	began := time.Now()
	d.cmd = exec.Command(d.program, append([]string{"--data", d.data, "--http", d.http}, d.args...)...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return 0, fmt.Errorf("start ledgerd: %w", err)
	}
	ended := make(chan struct{})
	d.ended = ended
	go func(cmd *exec.Cmd) {
		d.exit = cmd.Wait()
		close(ended)
	}(d.cmd)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get("http://" + d.http + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return 0, fmt.Errorf("ledgerd ended while it started: %w", d.exit)
		case <-ctx.Done():
			d.kill()
			return 0, ctx.Err()
		}
	}
}

// kill ends the process as a power failure does, but for the disk's own caches.
func (d *daemon) kill() {
	_ = d.cmd.Process.Signal(syscall.SIGKILL)
	<-d.ended
}

// stop asks the process to end, if there is one, and waits for it.
func (d *daemon) stop() error {
	if d.cmd == nil || d.cmd.Process == nil {
		return nil
	}
	select {
	case <-d.ended:
		return nil
	default:
	}
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-d.ended
	return d.exit
}

// verify runs ledgerd verify over the folder, while no ledgerd does.
func (d *daemon) verify(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, d.program, "verify", "--data", d.data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ledgerd verify: %w\n%s", err, out)
	}
	return nil
}

// client calls it as its operator.
func (d *daemon) client() (*api.Client, error) {
	token, err := os.ReadFile(filepath.Join(d.data, "operator.token"))
	return &api.Client{BaseURL: "http://" + d.http, Token: strings.TrimSpace(string(token)), Retries: -1}, err
}

// vitals reads what the process uses.
func (d *daemon) vitals(ctx context.Context) (v vitals, err error) {
	pid := d.cmd.Process.Pid
	resident, err := residentAnonymous(pid)
	if err != nil {
		return v, err
	}
	v.resident = float64(resident)
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return v, err
	}
	v.files = float64(len(files))
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+d.http+"/metrics", nil)
	if err != nil {
		return v, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	wanted := map[string]*float64{"go_gc_heap_live_bytes": &v.heap, "go_goroutines": &v.goroutines}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if into := wanted[name]; into != nil {
			if *into, err = strconv.ParseFloat(value, 64); err != nil {
				return v, err
			}
			delete(wanted, name)
		}
	}
	if len(wanted) > 0 {
		return v, errors.New("ledgerd's /metrics do not tell heap and goroutines")
	}
	return v, nil
}

// lastWords is the end of what ledgerd said.
func (d *daemon) lastWords() string {
	f, err := os.Open(d.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 4096
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}
