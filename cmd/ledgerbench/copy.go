package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
)

// copyView keeps the second copy of the log as the audit view does, at the same pace, in files of about the same size that are synced, but
// without the Merkle tree over it, an index or signatures. It is what checkpoints are compared with.
type copyView struct {
	dir string
	n   int
}

const copySize = 1 << 20 // of a file, about that of a bundle of reports

func (*copyView) Name() string        { return "copy" }
func (*copyView) Usage() bool         { return true }
func (*copyView) Pace() time.Duration { return 500 * time.Millisecond }

func (v *copyView) Begin(*bbolt.Tx) (projections.Batch, error) {
	return &copyBatch{view: v}, os.MkdirAll(v.dir, 0o700)
}

type copyBatch struct {
	view  *copyView
	files [][]byte
}

// Record gathers lines as bundles do: each is copied.
func (b *copyBatch) Record(r *events.Record) error {
	if n := len(b.files); n == 0 || len(b.files[n-1]) >= copySize {
		b.files = append(b.files, make([]byte, 0, copySize*3/2))
	}
	last := len(b.files) - 1
	b.files[last] = append(b.files[last], r.Body...)
	return nil
}

func (b *copyBatch) Apply(*events.Entry) error { return nil }

func (b *copyBatch) Flush() error {
	var open []*os.File
	defer func() {
		for _, f := range open {
			_ = f.Close()
		}
	}()
	for _, data := range b.files {
		f, err := os.Create(filepath.Join(b.view.dir, fmt.Sprint(b.view.n)))
		if err != nil {
			return err
		}
		b.view.n++
		open = append(open, f)
		if _, err := f.Write(data); err != nil {
			return err
		}
	}
	for _, f := range open {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

func (*copyBatch) Done(bool) {}
