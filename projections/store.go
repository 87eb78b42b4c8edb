package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"licenseledger/events"
)

// MetaBucket is the bucket of the runtime in every view's file. It is no part of the view's rows.
const MetaBucket = "meta"

// fileFormat is the version of what the runtime writes into MetaBucket.
const fileFormat = 1

// lockTimeout bounds how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

var (
	keyFormat   = []byte("format")
	keyPosition = []byte("position")
)

// header says what a file is. It never changes.
type header struct {
	Format int    `json:"format"`
	View   string `json:"view"`
	Rows   int    `json:"rows"` // the view's own format
}

// position says where a view stands. The zero value is the beginning of any ledger.
type position struct {
	Ledger string        `json:"ledger"`
	Next   uint64        `json:"next"`   // number of the next entry to apply
	Seq    uint64        `json:"seq"`    // sequence of the last record, 0 for none
	Record string        `json:"record"` // its id
	Hash   events.Digest `json:"hash"`   // SHA-256 of its body
}

// Store is one view's file: its rows and its position. All methods are safe for concurrent use.
type Store struct {
	view View
	name string
	db   *bbolt.DB

	tail     atomic.Uint64 // number of entries that the stream is known to hold
	queued   atomic.Int64  // bytes of records between the reader and the view
	catching atomic.Bool   // it has a reader of its own
	poke     chan struct{} // somebody began to wait

	mu       sync.Mutex
	pos      position // committed
	err      error
	closed   bool
	followed bool
	waiters  map[*waiter]struct{}
	commits  uint64
	spent    time.Duration
}

// waiter is closed once its entry is visible or never will be.
type waiter struct {
	entry uint64
	done  chan struct{}
}

// Open opens the file DIR/<name>.db of a view (mode 0600), or creates it; the
// folder must exist. The file belongs to one process at a time: where another
// has it, Open fails with [ErrLocked] after a second. A file that is damaged,
// or of another view or format, is a [RefusedError].
//
// A view that has a method Format() int changes its number whenever its rows
// change their shape; without the method the format is 1. The error of a file of another number says so ([RefusedError].Outdated).
//
// A view with caches belongs to one store, and starts afresh with the store's file.
func Open(dir string, v View) (*Store, error) {
	s := &Store{view: v, name: v.Name(), poke: make(chan struct{}, 1), waiters: map[*waiter]struct{}{}}
	path, err := filePath(dir, v)
	if err != nil {
		return nil, err
	}
	if s.db, err = openFile(path, s.name); err != nil {
		return nil, fmt.Errorf("open view %s: %w", s.name, err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open view %s: %w", s.name, err), s.db.Close())
	}
	return s, nil
}

// Remove deletes the view's file, so that it is rebuilt from entry 0. No file is no error; a file in use is [ErrLocked].
func Remove(dir string, v View) error {
	path, err := filePath(dir, v)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// Opening takes the lock. A file that cannot be opened for another reason is what a rebuild is for.
	db, err := openFile(path, v.Name())
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("remove view %s: %w", v.Name(), err)
	}
	err = os.Remove(path)
	if db != nil {
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		return fmt.Errorf("remove view %s: %w", v.Name(), err)
	}
	return nil
}

func filePath(dir string, v View) (string, error) {
	name := v.Name()
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "", fmt.Errorf("%q does not name a view: letters only", name)
		}
	}
	if name == "" {
		return "", errors.New("a view without a name")
	}
	return filepath.Join(dir, name+".db"), nil
}

func openFile(path, view string) (db *bbolt.DB, err error) {
	defer func() {
		// bbolt meets some kinds of damage with a panic.
		if p := recover(); p != nil {
			db, err = nil, &RefusedError{View: view, Reason: fmt.Sprintf("its file is damaged: %v", p)}
		}
	}()
	// So is a file that was cut off: it ends before its mapping does, which would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	// A file that outgrows its mapping is mapped again, which waits for every open read
	// transaction and keeps new ones and the writer out meanwhile. So the mapping is made
	// much larger than the file; on 64 bits that costs address space only.
	mapped := int64(16 << 20)
	if strconv.IntSize == 64 {
		mapped = 1 << 30
		if info, err := os.Stat(path); err == nil {
			mapped = max(mapped, 2*info.Size())
		}
	}
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:         lockTimeout,
		InitialMmapSize: int(mapped),
		FreelistType:    bbolt.FreelistMapType,
	})
	var system syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	case err != nil && !errors.As(err, &system):
		return nil, &RefusedError{View: view, Reason: fmt.Sprintf("its file is damaged or not a view's: %v", err)}
	case err != nil:
		return nil, err
	}
	if missing := cutOff(db, path); missing > 0 {
		return nil, errors.Join(&RefusedError{View: view, Reason: fmt.Sprintf("its file is damaged: the last %d bytes are missing", missing)}, db.Close())
	}
	return db, nil
}

// cutOff is how many bytes the file should have and has not.
func cutOff(db *bbolt.DB, path string) (missing int64) {
	info, err := os.Stat(path)
	if err != nil {
		return 0 // it was opened a moment ago; whoever removed it knows
	}
	_ = db.View(func(tx *bbolt.Tx) error { missing = tx.Size() - info.Size(); return nil })
	return missing
}

// load reads the file's header and position, or writes the header of a new file.
func (s *Store) load() error {
	want := header{Format: fileFormat, View: s.name, Rows: 1}
	if f, ok := s.view.(interface{ Format() int }); ok {
		want.Rows = f.Format()
	}
	fresh := false
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		meta := tx.Bucket([]byte(MetaBucket))
		if fresh = meta == nil; fresh {
			return nil
		}
		var got header
		if err := json.Unmarshal(meta.Get(keyFormat), &got); err != nil {
			return &RefusedError{View: s.name, Reason: fmt.Sprintf("its file has no readable header: %v", err)}
		}
		if got != want {
			other := got
			other.Rows = want.Rows
			return &RefusedError{View: s.name, Outdated: other == want, Reason: fmt.Sprintf(
				"its file is of view %s, file format %d, rows of format %d; this program writes view %s, file format %d, rows of format %d",
				got.View, got.Format, got.Rows, want.View, want.Format, want.Rows)}
		}
		s.pos, err = readPosition(tx)
		return err
	})
	if err != nil || !fresh {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte(MetaBucket))
		if err != nil {
			return err
		}
		return putJSON(meta, keyFormat, want)
	})
}

func readPosition(tx *bbolt.Tx) (position, error) {
	var p position
	if b := tx.Bucket([]byte(MetaBucket)).Get(keyPosition); b != nil {
		if err := json.Unmarshal(b, &p); err != nil {
			return p, fmt.Errorf("read the view's position: %w", err)
		}
	}
	return p, nil
}

func putJSON(b *bbolt.Bucket, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

// Close closes the file once open reads have ended. Those who wait get [ErrClosed]. Follow must have returned.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.release(func(*waiter) bool { return true })
	s.mu.Unlock()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close view %s: %w", s.name, err)
	}
	return nil
}

// Name is the view's name.
func (s *Store) Name() string { return s.name }

// Next is the number of the next entry to become visible: all entries below it are.
func (s *Store) Next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos.Next
}

// Err says why the view stopped, a [*StoppedError], or nil while it can go on.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Lag is the number of entries that the stream is known to hold and that are not visible yet.
func (s *Store) Lag() uint64 {
	next, tail := s.Next(), s.tail.Load()
	return max(tail, next) - next
}

// Read calls fn with a read transaction and the number of the next entry that
// it does not show. Keep it short: nothing read may be used after fn, and fn
// must not write to a network or wait for anything, for as long as it runs the
// file cannot be mapped anew and grows.
func (s *Store) Read(ctx context.Context, fn func(tx *bbolt.Tx, next uint64) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read view %s: %w", s.name, err)
	}
	err := s.db.View(func(tx *bbolt.Tx) error {
		p, err := readPosition(tx)
		if err != nil {
			return err
		}
		return fn(tx, p.Next)
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return fmt.Errorf("read view %s: %w", s.name, ErrClosed)
	}
	return err
}

// Wait returns once the entry is visible to Read. It fails with ctx's error, with the
// [StoppedError] of a view that will not get there, or with [ErrClosed]. While nobody follows, it waits.
func (s *Store) Wait(ctx context.Context, entry uint64) error {
	s.mu.Lock()
	if done, err := s.outcome(entry); done {
		s.mu.Unlock()
		return err
	}
	w := &waiter{entry: entry, done: make(chan struct{})}
	s.waiters[w] = struct{}{}
	s.mu.Unlock()
	signal(s.poke)

	select {
	case <-w.done:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiters, w)
	if done, err := s.outcome(entry); done {
		return err
	}
	return fmt.Errorf("wait for entry %d in view %s: %w", entry, s.name, ctx.Err())
}

// outcome says whether waiting for an entry is over. It needs s.mu.
func (s *Store) outcome(entry uint64) (done bool, err error) {
	switch {
	case entry < s.pos.Next:
		return true, nil
	case s.err != nil:
		return true, s.err
	case s.closed:
		return true, fmt.Errorf("wait for entry %d in view %s: %w", entry, s.name, ErrClosed)
	}
	return false, nil
}

// WaitTail returns once everything is visible that the stream held when it was called.
func (s *Store) WaitTail(ctx context.Context, src Source) error {
	tail, err := tailOf(ctx, src)
	if err != nil {
		return fmt.Errorf("wait for view %s: %w", s.name, err)
	}
	if tail == 0 {
		return nil
	}
	return s.Wait(ctx, tail-1)
}

// Stats are numbers for metrics and health reports.
type Stats struct {
	View         string
	Next         uint64        // number of the next entry to become visible
	Sequence     uint64        // of the last record that is visible
	Record       string        // its id
	Lag          uint64        // entries known to be in the stream and not visible yet
	Queued       int64         // bytes of records that wait for the view
	CatchingUp   bool          // it fell behind the others and reads by itself
	Transactions uint64        // committed since Open
	CommitTime   time.Duration // spent in flushing and committing them
	FileSize     int64         // bytes
	Err          error         // as [Store.Err]
}

// Stats tells where the view stands.
func (s *Store) Stats() Stats {
	st := Stats{View: s.name, Lag: s.Lag(), Queued: s.queued.Load(), CatchingUp: s.catching.Load()}
	// A closed file has no size.
	_ = s.db.View(func(tx *bbolt.Tx) error { st.FileSize = tx.Size(); return nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Next, st.Sequence, st.Record, st.Err = s.pos.Next, s.pos.Seq, s.pos.Record, s.err
	st.Transactions, st.CommitTime = s.commits, s.spent
	return st
}

// committed makes a new position known.
func (s *Store) committed(p position, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pos = p
	s.commits++
	s.spent += took
	s.release(func(w *waiter) bool { return w.entry < p.Next })
}

// stop keeps the reason why the view stopped.
func (s *Store) stop(err error) *StoppedError {
	s.mu.Lock()
	defer s.mu.Unlock()
	stopped := &StoppedError{View: s.name, Next: s.pos.Next, Err: err}
	s.err = stopped
	s.release(func(*waiter) bool { return true })
	return stopped
}

// release lets waiters go. It needs s.mu.
func (s *Store) release(which func(*waiter) bool) {
	for w := range s.waiters {
		if which(w) {
			delete(s.waiters, w)
			close(w.done)
		}
	}
}

// wanted says whether somebody waits for an entry below next.
func (s *Store) wanted(next uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.waiters {
		if w.entry < next {
			return true
		}
	}
	return false
}

// signal wakes whoever listens on a channel that holds one signal.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// guarded calls fn and turns a panic into an error.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return fn()
}
