package natsd

import (
	"syscall"
	"testing"
)

// A child that is being started has all files of its parent for a moment; a lock that was given back is free all the same.
func TestUnlockedWhileSomebodyHasTheFile(t *testing.T) {
	path := t.TempDir()
	f, err := lockFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := syscall.Dup(int(f.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	f.unlock()
	again, err := lockFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	again.unlock()
}
