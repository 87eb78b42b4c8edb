package recover

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/ledger/journal"
	"licenseledger/ledger/proof"
)

// Manifest is the last file of a backup: without it the backup is not whole.
type Manifest struct {
	Format  int               `json:"format"`
	At      time.Time         `json:"at"`
	Signed  uint64            `json:"signed"`  // entries in the tiles
	Records int               `json:"records"` // journalled, for what is newer
	Files   map[string]string `json:"files"`   // SHA-256 by name
}

const (
	backupFormat   = 1
	manifestFile   = "manifest.json"
	recordsFile    = "records"
	namesFile      = "names.db"
	tilesFolder    = "tiles"
	keysFolder     = "keys"
	backupAttempts = 20
)

// ErrBackup says that a file is no whole backup.
var ErrBackup = errors.New("not a whole backup")

// Backup writes everything of a data folder that cannot be computed again into one new file (a tar file, packed with gzip): tiles, the
// journalled records beyond them, keys, the operator's token, names. It works beside a ledger that runs and takes
// no lock: every entry that was acknowledged before the call is in it. Names are copied last, so that they know whoever the entries name.
func Backup(ctx context.Context, data, views, journalDir, to string, now time.Time) (m Manifest, err error) {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to))
		}
	}()
	packed := gzip.NewWriter(file)
	w := &backupWriter{tar: tar.NewWriter(packed), m: Manifest{Format: backupFormat, At: now.UTC(), Files: map[string]string{}}}
	err = w.all(ctx, data, proof.Folder{FS: os.DirFS(filepath.Join(views, "audit"))}, journalDir)
	if err == nil {
		err = errors.Join(w.tar.Close(), packed.Close(), file.Sync())
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = syncFolder(filepath.Dir(to))
	}
	return w.m, err
}

type backupWriter struct {
	tar *tar.Writer
	m   Manifest
}

func (w *backupWriter) add(name string, content []byte) error {
	sum := sha256.Sum256(content)
	w.m.Files[name] = hex.EncodeToString(sum[:])
	err := w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.m.At})
	if err == nil {
		_, err = w.tar.Write(content)
	}
	return err
}

func (w *backupWriter) all(ctx context.Context, data string, tiles proof.Folder, journalDir string) error {
	signed, records, err := w.tail(ctx, tiles, journalDir)
	if err != nil {
		return err
	}
	if err := w.tiles(ctx, tiles, signed); err != nil {
		return err
	}
	if err := w.add(recordsFile, records); err != nil {
		return err
	}
	secrets := []string{"operator.token"}
	err = fs.WalkDir(os.DirFS(data), keysFolder, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() {
			secrets = append(secrets, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range secrets {
		content, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // keys of leases come and go
		}
		if err == nil {
			err = w.add(name, content)
		}
		if err != nil {
			return err
		}
	}
	names, err := copyBolt(filepath.Join(data, namesFile))
	if err == nil {
		err = w.add(namesFile, names)
	}
	if err != nil {
		return err
	}
	manifest, err := json.MarshalIndent(w.m, "", "  ")
	if err == nil {
		err = w.add(manifestFile, manifest)
	}
	return err
}

// tail reads the checkpoint and then the journal, which reaches back to it unless a file was used again in between: then both are read again.
func (w *backupWriter) tail(ctx context.Context, tiles proof.Folder, journalDir string) (signed, records []byte, err error) {
	for range backupAttempts {
		if signed, err = tiles.Checkpoint(ctx); err != nil && !errors.Is(err, proof.ErrNoTile) {
			return nil, nil, err
		}
		w.m.Signed = 0
		if err == nil {
			c, err := proof.ReadCheckpoint(signed)
			if err != nil {
				return nil, nil, err
			}
			w.m.Signed = c.Size
		}
		var known notes
		known, err = readNotes(journalDir)
		chain := known.chain()
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && len(known.report.Damaged) > 0:
			err = fmt.Errorf("the journal cannot be read whole: %v: %w", known.report.Damaged, ErrNeither)
			continue
		case err != nil:
			return nil, nil, err
		case len(chain) == 0 && w.m.Signed > 0, len(chain) > 0 && chain[0].First <= w.m.Signed:
		default:
			err = fmt.Errorf("the tiles end before entry %d, and the journal does not reach back to it: %w", w.m.Signed, ErrNeither)
			continue
		}
		if records, err = w.records(journalDir, chain); err == nil {
			return signed, records, nil
		}
	}
	return nil, nil, err
}

// records are the journalled records of the chain that hold what the tiles do not: each with its mark and length (8 bytes each, big-endian) before it.
func (w *backupWriter) records(dir string, chain []journalled) (all []byte, err error) {
	wanted := make(map[string]bool)
	for _, n := range chain {
		if n.Next > w.m.Signed {
			wanted[n.ID] = true
		}
	}
	w.m.Records = 0
	_, err = journal.Scan(dir, func(r journal.Record) error {
		head, _, _ := bytes.Cut(r.Payload, []byte{'\n'})
		var j struct {
			ID      string `json:"id"`
			Dropped bool   `json:"dropped"`
		}
		if err := json.Unmarshal(head, &j); err != nil || j.Dropped || !wanted[j.ID] {
			return err
		}
		delete(wanted, j.ID)
		all = binary.BigEndian.AppendUint64(all, r.Mark)
		all = binary.BigEndian.AppendUint64(all, uint64(len(r.Payload)))
		all = append(all, r.Payload...)
		w.m.Records++
		return nil
	})
	if err == nil && len(wanted) > 0 {
		err = fmt.Errorf("%d journalled records are gone: %w", len(wanted), ErrNeither)
	}
	return all, err
}

// tiles writes what a checkpoint covers.
func (w *backupWriter) tiles(ctx context.Context, src proof.Folder, signed []byte) error {
	if w.m.Signed == 0 {
		return nil
	}
	if err := w.add(path.Join(tilesFolder, proof.CheckpointFile), signed); err != nil {
		return err
	}
	for level := proof.EntriesLevel; level < 8; level++ {
		n := w.m.Signed >> (proof.Height * uint(max(level, 0)))
		if n == 0 {
			return nil
		}
		for i := uint64(0); i*proof.Width < n; i++ {
			tile := tlog.Tile{H: proof.Height, L: level, N: int64(i), W: int(min(proof.Width, n-i*proof.Width))}
			content, err := src.Tile(ctx, tile)
			if err == nil {
				err = w.add(path.Join(tilesFolder, proof.Path(tile)), content)
			}
			if err != nil {
				return fmt.Errorf("back up %s: %w", proof.Path(tile), err)
			}
		}
	}
	return nil
}

// copyBolt copies a bbolt file that another process may be writing. The file's pages are never changed in place while the newest transaction
// needs them, so a copy is whole if no transaction ended while it was made: the two pages that tell the newest one are the same before and after.
func copyBolt(file string) ([]byte, error) {
	for range backupAttempts {
		before, err := boltMeta(file)
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		after, err := boltMeta(file)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(before, after) || !bytes.HasPrefix(content, before) {
			continue
		}
		return content, checkBolt(content)
	}
	return nil, fmt.Errorf("%s is written to all the time: try again", file)
}

// boltMeta is the beginning of a bbolt file, which tells the newest transaction.
func boltMeta(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 2*os.Getpagesize())
	_, err = io.ReadFull(f, b)
	return b, err
}

// checkBolt opens a copy and looks at every page.
func checkBolt(content []byte) error {
	dir, err := os.MkdirTemp("", "ledgerd-backup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, namesFile)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return err
	}
	db, err := bbolt.Open(name, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("check the copy of %s: %w", namesFile, err)
	}
	var found error
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found = errors.Join(found, err)
		}
		return nil
	})
	return errors.Join(err, found, db.Close())
}

// Unpack makes the files of a ledger from a backup, in a folder that does not exist or is empty. Everything is compared with the manifest before the folder
// gets its name. The stream is made by [Restore.Run] afterwards.
func Unpack(from, data string) (Manifest, error) {
	if there, err := os.ReadDir(data); err == nil && len(there) > 0 {
		return Manifest{}, fmt.Errorf("%s is not empty: choose another folder, or move it away", data)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, err
	}
	unpacking := data + ".unpacking"
	if err := os.RemoveAll(unpacking); err != nil {
		return Manifest{}, err
	}
	if err := os.MkdirAll(unpacking, 0o700); err != nil {
		return Manifest{}, err
	}
	m, err := unpack(from, unpacking)
	if err != nil {
		return m, errors.Join(fmt.Errorf("%s: %w", from, err), os.RemoveAll(unpacking))
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if err := os.Rename(unpacking, data); err != nil {
		return m, err
	}
	return m, syncFolder(filepath.Dir(filepath.Clean(data)))
}

// belongs says whether a backup holds a file of that name.
func belongs(name string) bool {
	if !filepath.IsLocal(name) || strings.Contains(name, "\\") || path.Clean(name) != name {
		return false
	}
	switch name {
	case manifestFile, recordsFile, namesFile, "operator.token":
		return true
	}
	folder, _, within := strings.Cut(name, "/")
	return within && (folder == tilesFolder || folder == keysFolder)
}

func unpack(from, dir string) (m Manifest, err error) {
	file, err := os.Open(from)
	if err != nil {
		return m, err
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	sums := make(map[string]string)
	whole := false
	for in := tar.NewReader(packed); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(in)
		}
		if err != nil {
			return m, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		if _, twice := sums[h.Name]; whole || twice || !belongs(h.Name) {
			return m, fmt.Errorf("%w: it holds %.80q", ErrBackup, h.Name)
		}
		sum := sha256.Sum256(content)
		switch h.Name {
		case manifestFile:
			if err := json.Unmarshal(content, &m); err != nil {
				return m, fmt.Errorf("%w: its manifest: %w", ErrBackup, err)
			}
			if m.Format != backupFormat {
				return m, fmt.Errorf("%w: it is of format %d, and this program reads format %d", ErrBackup, m.Format, backupFormat)
			}
			whole = true
			continue
		case recordsFile:
			err = unpackRecords(content, filepath.Join(dir, "journal"))
		default:
			name := filepath.FromSlash(h.Name)
			if rest, ok := strings.CutPrefix(h.Name, tilesFolder+"/"); ok {
				name = filepath.Join("views", "audit", filepath.FromSlash(rest))
			}
			err = writeSynced(filepath.Join(dir, name), content)
		}
		if err != nil {
			return m, err
		}
		sums[h.Name] = hex.EncodeToString(sum[:])
	}
	if !whole {
		return m, fmt.Errorf("%w: it has no manifest", ErrBackup)
	}
	for name, sum := range m.Files {
		if sums[name] != sum {
			return m, fmt.Errorf("%w: %s is missing or changed", ErrBackup, name)
		}
	}
	if len(sums) != len(m.Files) {
		return m, fmt.Errorf("%w: it holds files that its manifest does not name", ErrBackup)
	}
	// What is behind the end of the tar file belongs to the checksum of the whole.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return m, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return m, nil
}

// unpackRecords makes a journal of the records.
func unpackRecords(b []byte, dir string) error {
	j, _, err := journal.Open(journal.Config{Dir: dir})
	if err != nil {
		return err
	}
	for len(b) > 0 && err == nil {
		if len(b) < 16 || uint64(len(b)-16) < binary.BigEndian.Uint64(b[8:]) {
			err = fmt.Errorf("%w: its records are cut off", ErrBackup)
			break
		}
		mark, end := binary.BigEndian.Uint64(b), 16+binary.BigEndian.Uint64(b[8:])
		err = j.Append(mark, b[16:end])
		b = b[end:]
	}
	return errors.Join(err, j.Close())
}

func writeSynced(name string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), syncFolder(filepath.Dir(name)))
}
