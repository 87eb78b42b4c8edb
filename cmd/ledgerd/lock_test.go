package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// A child that is being started has all files of its parent for a moment; a lock that was given back is free all the same.
func TestUnlockedWhileSomebodyHasTheFile(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(dir); !errors.Is(err, errLocked) {
		t.Fatalf("locked twice: %v", err)
	}
	inherited := inherit(t, filepath.Join(dir, "lock"))
	defer syscall.Close(inherited)
	unlock()
	if unlock, err = lockData(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
}

// inherit is a second descriptor of a file that this process has open, as a child gets one.
func inherit(t *testing.T, path string) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, entry := range open {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", entry.Name())); err != nil || name != path {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err == nil {
			fd, err = syscall.Dup(fd)
		}
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	t.Fatalf("%s is not open", path)
	return 0
}
