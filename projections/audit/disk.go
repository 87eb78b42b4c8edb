package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is a folder as the writer uses it; names are within it. Tests stand in the way of it.
type disk interface {
	root() string
	// prepare makes the folder, if need be, and empties newFolder.
	prepare() error
	read(name string) ([]byte, error)
	// create writes a file and syncs it; one of that name is replaced.
	create(name string, data []byte) error
	rename(from, to string) error
	// mkdir makes a folder with those above it and says which were made.
	mkdir(name string) (made []string, err error)
	// sync makes a folder's names durable.
	sync(name string) error
	// remove deletes what is no longer needed; what cannot be deleted does no harm.
	remove(name string)
}

// osDisk is a folder of the operating system.
type osDisk string

func (d osDisk) path(name string) string { return filepath.Join(string(d), name) }

func (d osDisk) root() string { return string(d) }

func (d osDisk) prepare() error {
	if err := os.RemoveAll(d.path(newFolder)); err != nil {
		return err
	}
	_, err := os.Stat(string(d))
	made := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(d.path(newFolder), 0o700); err != nil {
		return err
	}
	if made {
		return syncFolder(filepath.Dir(string(d)))
	}
	return nil
}

func (d osDisk) read(name string) ([]byte, error) { return os.ReadFile(d.path(name)) }

func (d osDisk) create(name string, data []byte) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d osDisk) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osDisk) mkdir(name string) (made []string, err error) {
	for dir := name; dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(d.path(dir)); err == nil {
			break
		}
		made = append(made, dir)
	}
	if len(made) == 0 {
		return nil, nil
	}
	return made, os.MkdirAll(d.path(name), 0o700)
}

func (d osDisk) sync(name string) error { return syncFolder(d.path(name)) }

func (d osDisk) remove(name string) { _ = os.RemoveAll(d.path(name)) }

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
