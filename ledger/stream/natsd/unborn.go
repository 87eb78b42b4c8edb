package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// The server writes a stream's settings to meta.inf and then their checksum to meta.sum. Killed between the two it
// leaves a stream that it passes over when it starts, and whose creation then succeeds, over the same folder and
// without a checksum: everything works until the next start, which passes over the stream again, with all that is in it.

// ErrNoChecksum says that the settings of a stream that holds messages have lost their checksum: the server would pass over the
// stream as if there were none.
var ErrNoChecksum = errors.New("the stream's file meta.sum is missing, and the server would ignore the stream")

// buryUnborn removes streams that were never finished and hold no message, so that they can be created anew. It runs
// before the server opens the store.
func buryUnborn(streams string) error {
	list, err := os.ReadDir(streams)
	if err != nil {
		return nil // there are none yet; or the server will say what it cannot read
	}
	for _, d := range list {
		dir := filepath.Join(streams, d.Name())
		if !d.IsDir() || finished(dir) {
			continue
		}
		blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
		if err != nil {
			return fmt.Errorf("look for messages of stream %s: %w", d.Name(), err)
		}
		for _, b := range blocks {
			if !empty(b) {
				return fmt.Errorf("stream %s in %s: %w", d.Name(), streams, ErrNoChecksum)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the unfinished stream %s: %w", d.Name(), err)
		}
	}
	return nil
}

func finished(dir string) bool {
	return !empty(filepath.Join(dir, "meta.inf")) && !empty(filepath.Join(dir, "meta.sum"))
}

// empty says that a file has no content, or is not there at all.
func empty(file string) bool {
	fi, err := os.Stat(file)
	return err != nil || fi.Size() == 0
}
