package main

import (
	"errors"
	"syscall"
	"testing"
)

// A child that is being started has all files of its parent for a moment; a lock that was given back is free all the same.
func TestUnlockedWhileSomebodyHasTheFile(t *testing.T) {
	dir := t.TempDir()
	file, err := lockFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(dir); !errors.Is(err, errLocked) {
		t.Fatalf("locked twice: %v", err)
	}
	inherited, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	unlockFile(file)
	unlock, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
