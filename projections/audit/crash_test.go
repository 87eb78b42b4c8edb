package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/proof"
	"licenseledger/projections/viewtest"
)

var errKilled = errors.New("killed")

// killedDisk is a disk that goes on for so many steps and then does nothing any more, as if the process had been killed. A file that is
// being written then is left torn.
type killedDisk struct {
	osDisk
	steps *atomic.Int64
	moved map[string]bool // names that were written once
}

func (d killedDisk) step() error {
	if d.steps.Add(-1) < 0 {
		return errKilled
	}
	return nil
}

func (d killedDisk) create(name string, data []byte) error {
	if err := d.step(); err != nil {
		_ = d.osDisk.create(name, data[:len(data)/2])
		return err
	}
	return d.osDisk.create(name, data)
}

func (d killedDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	if to != proof.CheckpointFile && d.moved[to] {
		return errors.New(to + " is written a second time")
	}
	d.moved[to] = true
	return d.osDisk.rename(from, to)
}

func (d killedDisk) mkdir(name string) ([]string, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	return d.osDisk.mkdir(name)
}

func (d killedDisk) sync(name string) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.osDisk.sync(name)
}

func (d killedDisk) remove(name string) {
	if d.step() == nil {
		d.osDisk.remove(name)
	}
}

// Killed at any step, the folder's checkpoint is right, and the next start goes on: no tile is ever written a second time, and no
// checkpoint covers less than one before it, however the stream is cut into transactions then.
func TestKilledAtAnyStep(t *testing.T) {
	entries := eventstest.History(4, 275)
	key := verifier(t, entries)
	for kill := 0; ; kill++ {
		dir := viewtest.TempDir(t)
		moved := map[string]bool{}
		var steps atomic.Int64
		steps.Store(int64(kill))
		src := viewtest.NewSource()
		view := func() *View {
			v := newTestView()
			v.open = func(root string) disk { return killedDisk{osDisk(root), &steps, moved} }
			return v
		}
		// Three transactions, so that partial tiles grow, become full and go away.
		records := viewtest.Pack("r", entries, 4)
		killed := false
		signed := uint64(0)
		for _, end := range []int{len(records) / 5, len(records) / 2, len(records)} {
			src.Append(records[len(src.Records()):end]...)
			want := int(lastOf(records[end-1]))
			for {
				err := follow(t, dir, view(), src, want)
				signed = checkKilled(t, dir, key, signed, kill)
				if err == nil {
					break
				}
				if killed || !errors.Is(err, errKilled) {
					t.Fatalf("killed at step %d: %v", kill, err)
				}
				killed = true
				steps.Store(1 << 30)
			}
		}
		// One more start removes what was left behind.
		steps.Store(1 << 30)
		if _, err := openWriter(osDisk(folder(dir)), testKey); err != nil {
			t.Fatal(err)
		}
		checkFolder(t, dir, entries)
		for name := range files(t, dir) {
			if strings.Contains(name, ".p/") {
				whole := filepath.Join(folder(dir), strings.SplitN(name, ".p/", 2)[0])
				if _, err := os.Stat(whole); err == nil {
					t.Errorf("killed at step %d: %s is there beside the full tile", kill, name)
				}
			}
		}
		if !killed {
			if kill < 30 {
				t.Fatal("the test looks in the wrong place")
			}
			return
		}
	}
}

// lastOf is the number of entries up to the end of a record.
func lastOf(r events.Record) uint64 {
	n := r.First
	for range events.Lines(r.Body) {
		n++
	}
	return n
}

// checkKilled checks a folder after a kill and gives the size of its checkpoint.
func checkKilled(t *testing.T, dir string, key proof.Key, before uint64, kill int) uint64 {
	t.Helper()
	c, err := proof.Verify(t.Context(), Folder(dir), key.Verifier(), proof.Options{})
	if errors.Is(err, proof.ErrNoTile) && before == 0 && strings.Contains(err.Error(), "the checkpoint") {
		return 0
	}
	if err != nil {
		t.Fatalf("killed at step %d: %v", kill, err)
	}
	if c.Size < before {
		t.Fatalf("killed at step %d: the checkpoint went back from %d to %d entries", kill, before, c.Size)
	}
	return c.Size
}
