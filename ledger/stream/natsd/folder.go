package natsd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// folder is a locked data folder. The lock file is never removed: somebody who
// has it open already would lock a file that others no longer see. The system
// frees the lock when the process ends, however it ends.
type folder struct {
	path    string
	unclean bool // the marker was there when the folder was locked
	lock    *os.File
}

func lockFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the NATS data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the NATS data folder must be writable: %w", err)
	}
	if err := flock(lock); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("NATS data folder %s: %w: stop that server or choose another folder", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock the NATS data folder %s: %w", path, err)
	}
	f := &folder{path: path, lock: lock}
	switch _, err := os.Stat(f.marker()); {
	case err == nil:
		f.unclean = true
	case !errors.Is(err, fs.ErrNotExist):
		f.unlock()
		return nil, fmt.Errorf("how did the previous run of the NATS server end: %w", err)
	}
	return f, nil
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// unlock gives the lock back by itself: a child that is being started has the file for a moment, and would keep the lock of one that is only closed.
func (f *folder) unlock() {
	_ = syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN)
	f.lock.Close()
}

func (f *folder) marker() string { return filepath.Join(f.path, "unclean") }

// mark makes the marker, and makes it durable: it must outlive the loss of
// power that it is there to tell about.
func (f *folder) mark() error {
	m, err := os.OpenFile(f.marker(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("mark the NATS data folder as in use: %w", err)
	}
	_, err = m.WriteString("The server runs, or its last run ended without a clean stop.\n")
	err = errors.Join(err, m.Sync(), m.Close(), syncDir(f.path))
	if err != nil {
		return fmt.Errorf("mark the NATS data folder as in use: %w", err)
	}
	return nil
}

// unmark removes the marker.
func (f *folder) unmark() error {
	err := os.Remove(f.marker())
	if err == nil {
		err = syncDir(f.path)
	}
	if err != nil {
		return fmt.Errorf("mark the NATS data folder as clean: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
