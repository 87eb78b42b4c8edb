package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errLocked says that another ledgerd works on a data folder.
var errLocked = errors.New("the data folder is in use")

// lockData locks a data folder for this process, until unlock. The lock file stays; the system frees the lock however the process ends.
func lockData(dir string) (unlock func(), err error) {
	f, err := lockFile(dir)
	if err != nil {
		return nil, err
	}
	return func() { unlockFile(f) }, nil
}

// unlockFile gives the lock back by itself: a child that is being started has the file for a moment, and would keep the lock of one that is only closed.
func unlockFile(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}

func lockFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), f.Close())
	}
	return f, nil
}
