package natsd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// CopyBlocks copies the files of streams, as [Config.OnUnclean] gets them, that hold messages behind a sequence, and
// what describes the streams, to a folder that does not exist yet. The folder has its name only once it is whole and on disk.
func CopyBlocks(streams, to string, after uint64) error {
	unfinished := to + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(streams)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range list {
		if !d.IsDir() {
			continue
		}
		blocks, err := blocksBehind(filepath.Join(streams, d.Name(), "msgs"), after)
		if err != nil {
			return fmt.Errorf("find the files of stream %s: %w", d.Name(), err)
		}
		for _, name := range append([]string{"meta.inf", "meta.sum"}, blocks...) {
			if err := copyFile(filepath.Join(streams, d.Name(), name), filepath.Join(unfinished, d.Name(), name)); err != nil {
				return err
			}
		}
	}
	if err := os.Rename(unfinished, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// blocksBehind gives the message files of a stream, as msgs/<number>.blk, from the one on that holds the message after a sequence. A file begins with its
// first message, which begins with its length (4 bytes, little-endian) and its sequence (8 bytes).
func blocksBehind(msgs string, after uint64) ([]string, error) {
	list, err := os.ReadDir(msgs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, d := range list {
		if text, ok := strings.CutSuffix(d.Name(), ".blk"); ok {
			if n, err := strconv.Atoi(text); err == nil {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	var names []string
	for _, n := range slices.Backward(numbers) {
		name := strconv.Itoa(n) + ".blk"
		names = append(names, filepath.Join("msgs", name))
		first, err := firstSequence(filepath.Join(msgs, name))
		if err != nil {
			return nil, err
		}
		if first > 0 && first <= after+1 {
			break
		}
	}
	return names, nil
}

// firstSequence is the sequence of a file's first message, 0 for an empty file.
func firstSequence(file string) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var head [12]byte
	if _, err := io.ReadFull(f, head[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(head[4:]), nil
}

// copyFile copies a file and syncs the copy; what is not there is not copied.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close(), syncDir(filepath.Dir(to)))
}
