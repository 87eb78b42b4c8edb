package licenses_test

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
	"licenseledger/projections/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// file is a view's file without the runtime: a test says what a transaction holds.
type file struct {
	t  testing.TB
	db *bbolt.DB
}

func newFile(t testing.TB) *file {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(viewtest.TempDir(t), "licenses.db"), 0o600, &bbolt.Options{NoSync: true, InitialMmapSize: 1 << 28, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &file{t, db}
}

// apply applies entries in one transaction.
func (f *file) apply(entries ...events.Entry) {
	f.t.Helper()
	if err := f.try(entries...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *file) try(entries ...events.Entry) error {
	var batch projections.Batch
	err := f.db.Update(func(tx *bbolt.Tx) (err error) {
		if batch, err = licenses.New().Begin(tx); err != nil {
			return err
		}
		for i := range entries {
			if err := batch.Apply(&entries[i]); err != nil {
				return err
			}
		}
		return batch.Flush()
	})
	if batch != nil {
		batch.Done(err == nil)
	}
	return err
}

// read reads what was applied.
func (f *file) read(fn func(tx *bbolt.Tx)) {
	f.t.Helper()
	if err := f.db.View(func(tx *bbolt.Tx) error { fn(tx); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// follower applies a busy ledger's entries to a file.
type follower struct {
	*file
	*ledgertest.Traffic
	applied int
}

func follow(t testing.TB, seed uint64) *follower {
	return &follower{file: newFile(t), Traffic: ledgertest.NewTraffic(seed)}
}

// catchUp applies what is new, in transactions of at most n entries.
func (f *follower) catchUp(n int) {
	f.t.Helper()
	for f.applied < len(f.Entries) {
		end := min(len(f.Entries), f.applied+n)
		f.apply(f.Entries[f.applied:end]...)
		f.applied = end
	}
}
