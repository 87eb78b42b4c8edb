package main

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"licenseledger/ledger/proof"
	"licenseledger/projections/audit"
)

// Files of the folder of keys: the one that signs checkpoints, which is secret, and its public half, which everybody may have; and
// what the secrets of annual keys are made with (see internal/auth).
const (
	checkpointKey    = "checkpoint.key"
	checkpointPublic = "checkpoint.pub"
	activationKey    = "activation.key"
)

func keysFolder(data string) string { return filepath.Join(data, "keys") }

// signing gives the key that signs a ledger's checkpoints, and makes it when the ledger is opened: mode 0600, on disk before anything is
// signed with it. Where tiles are that a key has signed, none is made anew: old checkpoints would not verify any more.
// Several ledgerds on one stream sign with one key where its file is copied to all of them before they start, else each with its own.
func signing(data string) func(origin string) (proof.Key, error) {
	return func(origin string) (proof.Key, error) {
		dir := keysFolder(data)
		text, err := os.ReadFile(filepath.Join(dir, checkpointKey))
		if errors.Is(err, fs.ErrNotExist) {
			return makeSigning(data, origin)
		}
		var info fs.FileInfo
		if err == nil {
			info, err = os.Stat(filepath.Join(dir, checkpointKey))
		}
		if err != nil {
			return proof.Key{}, err
		}
		if info.Mode().Perm()&0o077 != 0 {
			return proof.Key{}, fmt.Errorf("%s can be read by other users (mode %04o): make it 0600", filepath.Join(dir, checkpointKey), info.Mode().Perm())
		}
		key, err := proof.ParseKey(string(text))
		if err != nil {
			return proof.Key{}, fmt.Errorf("%s: %w; restore it from a copy", filepath.Join(dir, checkpointKey), err)
		}
		// The public half follows from it, and may have been lost.
		public := filepath.Join(dir, checkpointPublic)
		if there, err := os.ReadFile(public); err == nil && string(there) == key.Public()+"\n" {
			return key, nil
		}
		return key, writeFile(public, key.Public()+"\n", 0o644)
	}
}

// checkSigning finds out at the start whether the key is there that the tiles were signed with.
func checkSigning(ctx context.Context, data string) error {
	signed, err := audit.Folder(filepath.Join(data, "views")).Checkpoint(ctx)
	if errors.Is(err, proof.ErrNoTile) {
		return nil // nothing was signed so far
	}
	if err != nil {
		return err
	}
	c, err := proof.ReadCheckpoint(signed)
	if err != nil {
		return fmt.Errorf("the audit tiles: %w", err)
	}
	key, err := signing(data)(c.Origin)
	if err != nil {
		return err
	}
	if _, err := proof.OpenCheckpoint(signed, key.Verifier()); err != nil {
		return fmt.Errorf("the checkpoint of the audit tiles was signed with another key than %s, or is damaged: restore them from a copy: %w",
			filepath.Join(keysFolder(data), checkpointKey), err)
	}
	return nil
}

// verifierOf is what the checkpoints of a folder verify with. Where nothing was signed so far there is none, and none is needed.
func verifierOf(ctx context.Context, data string) (note.Verifier, error) {
	if _, err := audit.Folder(viewsFolder(data)).Checkpoint(ctx); errors.Is(err, proof.ErrNoTile) {
		return nil, nil
	}
	text, err := publicKey(data)
	if err != nil {
		return nil, err
	}
	return proof.ParseVerifier(text)
}

// publicKey is the text of the public half, which checkpoints verify with.
func publicKey(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(keysFolder(data), checkpointPublic))
	return strings.TrimSpace(string(text)), err
}

func makeSigning(data, origin string) (proof.Key, error) {
	dir := keysFolder(data)
	if _, err := fs.Stat(audit.Folder(filepath.Join(data, "views")).FS, proof.CheckpointFile); err == nil {
		return proof.Key{}, fmt.Errorf("%s is gone, and checkpoints were signed with it: restore it from a copy", filepath.Join(dir, checkpointKey))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return proof.Key{}, err
	}
	if err := syncFolder(data); err != nil {
		return proof.Key{}, err
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	key, err := proof.NewKey(origin, seed)
	if err != nil {
		return key, err
	}
	if err := writeFile(filepath.Join(dir, checkpointPublic), key.Public()+"\n", 0o644); err != nil {
		return key, err
	}
	return key, writeFile(filepath.Join(dir, checkpointKey), key.Private()+"\n", 0o600)
}

// writeFile writes a file that is whole and on disk under its name, or not there.
func writeFile(path, text string, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone when it has its name
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
