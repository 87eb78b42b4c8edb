package viewtest

import (
	"os"
	"testing"
)

// TempDir makes a folder for views' files that is removed with the test. It lies in memory where Linux offers that, else
// where [testing.T.TempDir] would be: views sync every transaction, and tests of views are not about the disk.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "viewtest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
