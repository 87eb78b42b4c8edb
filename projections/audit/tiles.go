package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"licenseledger/ledger/proof"
)

// MismatchError says that the tiles in the folder and the stream are of two histories. Nothing was changed.
type MismatchError struct {
	Path string // of the tile, within the folder
	What string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s of the audit tiles and the stream differ: %s. One of the two is not what was acknowledged; nothing was changed", e.Path, e.What)
}

// newFolder is where files lie until they are whole and on disk.
const newFolder = ".new"

// tile is a tile that is full and not in the folder yet.
type tile struct {
	tlog.Tile
	data []byte
}

// recorded is a checkpoint that an entry holds.
type recorded struct {
	entry uint64
	proof.Checkpoint
}

// writer writes tiles. It takes the lines of entries from any number on: those that the tiles have are compared with them,
// others are added. commit puts all of it on disk. After an error it is of no use; the folder is sound all the same, and is opened again.
type writer struct {
	disk   disk
	folder proof.Folder
	key    proof.Key // nil Signer until the ledger's id is known

	tree   *proof.Tree
	bundle []byte    // of the unfinished bundle: the entries on the right edge
	signed uint64    // size of the checkpoint in the folder
	full   []tile    // since the last commit
	free   sync.Pool // memory of bundles that are on disk, *[]byte

	next   uint64 // the number of the entry that add takes
	offset int    // where it stands in its bundle

	leaves  []byte // the hashes of a full tile of the lowest level that entries are compared with,
	leavesN int64  // and its number; -1: none

	recorded []recorded // checkpoints that entries since the last commit hold

	// Partial tiles by the checkpoint that needs them: this one and the one before it stay, older ones go.
	partial, before []string
}

// openWriter reads where the tiles in a folder end. key gives the key of an origin.
func openWriter(d disk, key func(origin string) (proof.Key, error)) (*writer, error) {
	w := &writer{disk: d, folder: proof.Folder{FS: os.DirFS(d.root())}, tree: new(proof.Tree), leavesN: -1}
	if err := d.prepare(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	text, err := w.folder.Checkpoint(ctx)
	if errors.Is(err, proof.ErrNoTile) {
		return w, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the audit tiles: %w", err)
	}
	c, err := proof.ReadCheckpoint(text)
	if err == nil {
		err = w.useKey(c.Origin, key)
	}
	if err == nil {
		c, err = proof.OpenCheckpoint(text, w.key.Verifier())
	}
	if err != nil {
		return nil, fmt.Errorf("read the audit tiles: %w", err)
	}
	w.tree, err = proof.ResumeTree(c.Size, func(t tlog.Tile) ([]byte, error) { return w.folder.Tile(ctx, t) })
	if err != nil {
		return nil, fmt.Errorf("read the audit tiles: %w", err)
	}
	if w.tree.Root() != c.Root {
		return nil, fmt.Errorf("read the audit tiles: %w: those at the right edge do not hash to the checkpoint of %d entries", proof.ErrHashTile, c.Size)
	}
	if t, ok := proof.EdgeTile(proof.EntriesLevel, c.Size); ok {
		if w.bundle, err = w.folder.Tile(ctx, t); err != nil {
			return nil, fmt.Errorf("read the audit tiles: %s: %w", proof.Path(t), err)
		}
		if err := w.checkBundle(t); err != nil {
			return nil, err
		}
	}
	w.signed = c.Size
	w.partial = w.edgePaths()
	w.clean()
	return w, nil
}

// useKey takes the key of an origin.
func (w *writer) useKey(origin string, key func(origin string) (proof.Key, error)) error {
	k, err := key(origin)
	if err != nil {
		return fmt.Errorf("the key that signs checkpoints: %w", err)
	}
	if k.Name() != origin {
		return fmt.Errorf("the key that signs checkpoints is of %s, the tiles of %s", k.Name(), origin)
	}
	w.key = k
	return nil
}

// checkBundle compares the unfinished bundle with the unfinished tile of the lowest level.
func (w *writer) checkBundle(t tlog.Tile) error {
	var hashes []byte
	for line, err := range proof.Lines(w.bundle) {
		if err != nil {
			return fmt.Errorf("read the audit tiles: %w: %s: %v", proof.ErrEntries, proof.Path(t), err)
		}
		h := proof.LeafHash(line)
		hashes = append(hashes, h[:]...)
	}
	return w.tree.Edge(func(low tlog.Tile, want []byte) error {
		if low.L == 0 && !bytes.Equal(hashes, want) {
			return fmt.Errorf("read the audit tiles: %w: %s does not fit %s", proof.ErrEntries, proof.Path(t), proof.Path(low))
		}
		return nil
	})
}

// clean removes partial tiles whose full one is there: a kill may have left them.
func (w *writer) clean() {
	for _, name := range w.partial {
		dir := filepath.Dir(filepath.Dir(name))
		list, _ := fs.ReadDir(w.folder, filepath.ToSlash(dir)) // what cannot be read is not needed
		for _, e := range list {
			if whole, ok := strings.CutSuffix(e.Name(), ".p"); ok && slices.ContainsFunc(list, func(o fs.DirEntry) bool { return o.Name() == whole }) {
				w.disk.remove(filepath.Join(dir, e.Name()))
			}
		}
	}
}

// size is the number of entries in the tree.
func (w *writer) size() uint64 { return w.tree.Size() }

// from says which entry comes next.
func (w *writer) from(n uint64) error {
	if n == w.next && n > 0 {
		return nil
	}
	switch {
	case n > w.size():
		return fmt.Errorf("the audit tiles end with %d entries, and the view has seen %d: tiles were lost. "+
			"Restore their folder from a copy, or, where the stream is known to be right, remove the view's file, and they are written again", w.size(), n)
	case n == w.size():
		w.offset = len(w.bundle)
	default:
		t := tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(n / proof.Width), W: int(n % proof.Width)}
		w.offset = 0
		if t.W > 0 {
			data, err := w.folder.Tile(context.Background(), t)
			if err != nil {
				return fmt.Errorf("read the audit tiles: %s: %w", proof.Path(t), err)
			}
			w.offset = len(data)
		}
	}
	w.next = n
	return nil
}

// add takes the line of the next entry and says where in its bundle it stands.
func (w *writer) add(line []byte) (offset int, err error) {
	hash := proof.LeafHash(line)
	if w.next < w.size() {
		err = w.compare(hash)
	} else {
		err = w.append(hash, line)
	}
	if err != nil {
		return 0, err
	}
	offset = w.offset
	w.offset += 2 + len(line)
	if w.next++; w.next%proof.Width == 0 {
		w.offset = 0
	}
	return offset, nil
}

func (w *writer) append(hash tlog.Hash, line []byte) error {
	if w.bundle == nil {
		w.bundle = w.room()
	}
	w.bundle = proof.AppendLine(w.bundle, line)
	if n := w.size() + 1; n%proof.Width == 0 {
		w.full = append(w.full, tile{tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(n/proof.Width) - 1, W: proof.Width}, w.bundle})
		w.bundle = nil
	}
	return w.tree.Append(hash, func(t tlog.Tile, hashes []byte) error {
		w.full = append(w.full, tile{t, slices.Clone(hashes)})
		return nil
	})
}

// room is where the next bundle is gathered: memory of one that is on disk, or new, for one as large as the last.
func (w *writer) room() []byte {
	if b, ok := w.free.Get().(*[]byte); ok {
		return *b
	}
	for i := len(w.full) - 1; i >= 0; i-- {
		if w.full[i].L == proof.EntriesLevel {
			return make([]byte, 0, len(w.full[i].data)*9/8)
		}
	}
	return nil
}

// compare compares the next entry with what the tiles have in its place.
func (w *writer) compare(hash tlog.Hash) error {
	n := int64(w.next / proof.Width)
	if w.leavesN != n {
		t := tlog.Tile{H: proof.Height, L: 0, N: n, W: proof.Width}
		if edge, ok := proof.EdgeTile(0, w.size()); ok && edge.N == n {
			t = edge
		}
		hashes, err := w.leavesOf(t)
		if err != nil {
			return err
		}
		w.leaves, w.leavesN = hashes, n
	}
	at := int(w.next%proof.Width) * tlog.HashSize
	if !bytes.Equal(w.leaves[at:at+tlog.HashSize], hash[:]) {
		return &MismatchError{
			Path: proof.Path(tlog.Tile{H: proof.Height, L: 0, N: n, W: len(w.leaves) / tlog.HashSize}),
			What: fmt.Sprintf("entry %d is another one", w.next),
		}
	}
	if w.next+1 == w.size() {
		w.leavesN = -1 // the tile grows from here on
	}
	return nil
}

// leavesOf reads a tile of the lowest level: one that is in the folder, or is about to be.
func (w *writer) leavesOf(t tlog.Tile) ([]byte, error) {
	hashes, err := w.folder.Tile(context.Background(), t)
	if err != nil {
		return nil, fmt.Errorf("read the audit tiles: %s: %w", proof.Path(t), err)
	}
	if len(hashes) != t.W*tlog.HashSize {
		return nil, fmt.Errorf("read the audit tiles: %w: %s has %d bytes", proof.ErrHashTile, proof.Path(t), len(hashes))
	}
	return hashes, nil
}

// edgePaths are the names of the partial tiles of the tree as it is.
func (w *writer) edgePaths() []string {
	var paths []string
	if t, ok := proof.EdgeTile(proof.EntriesLevel, w.size()); ok {
		paths = append(paths, filepath.FromSlash(proof.Path(t)))
	}
	_ = w.tree.Edge(func(t tlog.Tile, _ []byte) error { // fails only where its function does
		paths = append(paths, filepath.FromSlash(proof.Path(t)))
		return nil
	})
	return paths
}

// commit puts on disk what was added, and signs it: bundles, tiles of hashes, their folders, the checkpoint, each before what rests
// on it. Without new entries it does nothing: a checkpoint never goes back.
func (w *writer) commit() error {
	if w.size() == w.signed {
		return w.agree()
	}
	if w.key.Signer == nil {
		return errors.New("sign a checkpoint: the ledger's id is not known")
	}
	tiles := slices.Clone(w.full)
	if t, ok := proof.EdgeTile(proof.EntriesLevel, w.size()); ok {
		tiles = append(tiles, tile{t, w.bundle})
	}
	err := w.tree.Edge(func(t tlog.Tile, hashes []byte) error {
		tiles = append(tiles, tile{t, hashes})
		return nil
	})
	if err != nil {
		return err
	}
	// Bundles first: a tile of hashes says that its entries are there.
	slices.SortStableFunc(tiles, func(a, b tile) int { return a.L - b.L })
	low := slices.IndexFunc(tiles, func(t tile) bool { return t.L >= 0 })
	if low < 0 {
		low = len(tiles)
	}
	dirs := map[string]bool{}
	for _, group := range [][]tile{tiles[:low], tiles[low:]} {
		if err := w.write(group, dirs); err != nil {
			return err
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := w.disk.sync(dir); err != nil {
			return fmt.Errorf("write the audit tiles: %w", err)
		}
	}
	// Nothing is signed that does not agree with what was signed before.
	if err := w.agree(); err != nil {
		return err
	}
	signed, err := w.checkpoint().Sign(w.key)
	if err != nil {
		return err
	}
	from := filepath.Join(newFolder, proof.CheckpointFile)
	sync, err := w.disk.create(from, signed)
	if err == nil {
		err = sync()
	}
	if err == nil {
		err = w.disk.rename(from, proof.CheckpointFile)
	}
	if err == nil {
		err = w.disk.sync(".")
	}
	if err != nil {
		return fmt.Errorf("write the audit checkpoint: %w", err)
	}
	w.signed = w.size()
	w.forget()
	return nil
}

// checkpoint is that of the tree as it is.
func (w *writer) checkpoint() proof.Checkpoint {
	return proof.Checkpoint{Origin: w.key.Name(), Size: w.size(), Root: w.tree.Root()}
}

// record takes a checkpoint that an entry holds.
func (w *writer) record(entry uint64, note string) error {
	c, err := proof.ReadCheckpoint([]byte(note))
	if err != nil {
		return fmt.Errorf("entry %d: %w", entry, err)
	}
	w.recorded = append(w.recorded, recorded{entry, c})
	return nil
}

// agree compares the tree, whose tiles are in the folder, with the checkpoints that entries hold.
func (w *writer) agree() error {
	for _, r := range w.recorded {
		err := errors.New("it is of " + r.Origin)
		if r.Origin == w.key.Name() {
			err = proof.Consistent(context.Background(), w.folder, w.checkpoint(), r.Checkpoint)
		}
		if err != nil {
			return &MismatchError{Path: proof.CheckpointFile, What: fmt.Sprintf("the checkpoint that entry %d holds does not agree with the tree: %v", r.entry, err)}
		}
	}
	w.recorded = w.recorded[:0]
	return nil
}

// forget removes partial tiles that no checkpoint of now or before needs, and makes room for new ones.
func (w *writer) forget() {
	now := w.edgePaths()
	for _, name := range w.before {
		if !slices.Contains(w.partial, name) && !slices.Contains(now, name) {
			w.disk.remove(name)
		}
	}
	w.before, w.partial = w.partial, now
	for _, t := range w.full {
		w.disk.remove(filepath.FromSlash(proof.Path(t.Tile)) + ".p")
		if t.L == proof.EntriesLevel {
			b := t.data[:0]
			w.free.Put(&b)
		}
	}
	w.full = w.full[:0]
}

// write puts tiles into the folder, each under its name only when it is whole and on disk. dirs are the folders to be synced.
func (w *writer) write(tiles []tile, dirs map[string]bool) error {
	var missing []tile
	for _, t := range tiles {
		name := filepath.FromSlash(proof.Path(t.Tile))
		there, err := w.disk.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, t)
			continue
		}
		if err != nil {
			return fmt.Errorf("read the audit tiles: %w", err)
		}
		if !bytes.Equal(there, t.data) {
			return &MismatchError{Path: proof.Path(t.Tile), What: "it is there already, with other bytes"}
		}
		// Whoever wrote it may not have got to syncing its folder.
		dirs[filepath.Dir(name)] = true
	}
	// Made one after the other, as they are in one folder; synced together, so that the file system can put several on disk at once.
	var g errgroup.Group
	g.SetLimit(8)
	for i, t := range missing {
		sync, err := w.disk.create(filepath.Join(newFolder, strconv.Itoa(i)), t.data)
		if err != nil {
			return errors.Join(fmt.Errorf("write the audit tiles: %w", err), g.Wait())
		}
		g.Go(sync)
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("write the audit tiles: %w", err)
	}
	for i, t := range missing {
		name := filepath.FromSlash(proof.Path(t.Tile))
		made, err := w.disk.mkdir(filepath.Dir(name))
		if err == nil {
			err = w.disk.rename(filepath.Join(newFolder, strconv.Itoa(i)), name)
		}
		if err != nil {
			return fmt.Errorf("write the audit tiles: %w", err)
		}
		dirs[filepath.Dir(name)] = true
		for _, dir := range made {
			dirs[filepath.Dir(dir)] = true
		}
	}
	return nil
}
