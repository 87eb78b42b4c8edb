package journal

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes a file's content durable, and its size where that changed.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
