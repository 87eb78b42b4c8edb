package natsd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// childFolder is the environment variable that turns the test binary into a
// server on that folder.
const childFolder = "NATSD_TEST_CHILD_FOLDER"

// runChild starts a server, stores five records, says "ready" and waits to be
// killed, or for its parent to be gone.
func runChild(dir string) {
	ctx := context.Background()
	s, err := Start(ctx, Config{Dir: dir})
	if err == nil {
		err = errors.Join(makeLedger(ctx, s), appendRecords(ctx, s, 5))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(1)
}

func TestKilledServer(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childFolder+"="+dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if line != "ready\n" {
		child.Process.Kill()
		child.Wait()
		t.Fatalf("the child says %q, %v", line, err)
	}
	_, err = Start(t.Context(), Config{Dir: dir})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("beside the child: %v, want ErrLocked", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}

	// Whoever fails to save the store leaves everything as it is.
	cannotCopy := errors.New("cannot copy")
	if _, err := Start(t.Context(), Config{Dir: dir, OnUnclean: func(string) error { return cannotCopy }}); !errors.Is(err, cannotCopy) {
		t.Fatalf("got %v, want the error of OnUnclean", err)
	}

	// Neither does a start that fails later make the folder clean.
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Start(ctx, Config{Dir: dir, OnUnclean: func(string) error { cancel(); return nil }}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}

	var blocks []string
	s := start(t, Config{Dir: dir, OnUnclean: func(streams string) (err error) {
		if _, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrLocked) {
			t.Errorf("while OnUnclean runs: %v, want ErrLocked", err)
		}
		blocks, err = filepath.Glob(filepath.Join(streams, "LEDGER", "msgs", "*.blk"))
		return err
	}})
	if !s.Unclean() {
		t.Error("killed, but not unclean")
	}
	if len(blocks) == 0 {
		t.Error("OnUnclean did not see the stream's blocks")
	}
	if n := messages(t, service(t, s)); n != 5 {
		t.Errorf("%d messages after the kill, want the 5 acknowledged ones", n)
	}
	s.Shutdown()
	if !s.Unclean() {
		t.Error("Unclean is about the run before, also after Shutdown")
	}
	if start(t, Config{Dir: dir}).Unclean() {
		t.Error("unclean after a clean stop")
	}
}
