package natsd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The server writes a stream's settings to meta.inf and then their checksum to meta.sum. Killed between the two it
// leaves a stream that it passes over when it starts, and whose creation then succeeds, over the same folder and
// without a checksum: everything works until the next start, which passes over the stream again, with all that is in it.

// ErrNoChecksum says that the settings of a stream that holds messages have lost their checksum: the server would pass over the
// stream as if there were none.
var ErrNoChecksum = errors.New("the stream's file meta.sum is missing, and the server would ignore the stream")

// buryUnborn removes streams that hold no message, so that they are created anew, whole. It runs before the server opens the store.
func buryUnborn(streams string) error {
	list, err := os.ReadDir(streams)
	if err != nil {
		return nil // there are none yet; or the server will say what it cannot read
	}
	for _, d := range list {
		dir := filepath.Join(streams, d.Name())
		if !d.IsDir() {
			continue
		}
		held, err := holdsMessages(dir)
		switch {
		case err != nil:
			return fmt.Errorf("look for messages of stream %s: %w", d.Name(), err)
		case held && empty(filepath.Join(dir, "meta.sum")):
			return fmt.Errorf("stream %s in %s: %w", d.Name(), streams, ErrNoChecksum)
		case held:
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the empty stream %s: %w", d.Name(), err)
		}
	}
	return nil
}

func holdsMessages(dir string) (bool, error) {
	blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	return slices.ContainsFunc(blocks, func(b string) bool { return !empty(b) }), err
}

// empty says that a file has no content, or is not there at all.
func empty(file string) bool {
	fi, err := os.Stat(file)
	return err != nil || fi.Size() == 0
}
