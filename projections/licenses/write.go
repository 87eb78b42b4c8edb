package licenses

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// writer gathers what a flush writes, each key once, so that every bucket is written in the order of its keys: bbolt is several
// times faster then.
type writer struct {
	tx   *bbolt.Tx
	rows map[string]*[]row
	err  error
	// room is where keys and values are made, in large pieces; what was cut off it stays.
	room []byte
}

// row is a row to write; without a value it goes.
type row struct{ key, value []byte }

func newWriter(tx *bbolt.Tx) *writer {
	w := &writer{tx: tx, rows: make(map[string]*[]row, len(buckets))}
	for _, name := range buckets {
		w.rows[string(name)] = new([]row)
	}
	return w
}

// cut makes a key or a value by appending to the writer's room.
func (w *writer) cut(fill func(b []byte) []byte) []byte {
	if cap(w.room)-len(w.room) < 512 {
		w.room = make([]byte, 0, 64<<10)
	}
	start := len(w.room)
	w.room = fill(w.room)
	return w.room[start:len(w.room):len(w.room)]
}

func (w *writer) key(parts ...string) []byte {
	return w.cut(func(b []byte) []byte { return appendKey(b, parts...) })
}

func (w *writer) put(bucket, k, v []byte) {
	rows := w.rows[string(bucket)]
	*rows = append(*rows, row{k, v})
}

// mark puts a row that says all in its key.
func (w *writer) mark(bucket, k []byte) { w.put(bucket, k, []byte{}) }

func (w *writer) delete(bucket, k []byte) { w.put(bucket, k, nil) }

func (w *writer) putJSON(bucket, k []byte, v any) {
	text, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("encode a row of %s: %w", bucket, err)
	}
	w.put(bucket, k, text)
}

// add changes a number; a row that comes to nothing goes.
func (w *writer) add(bucket, k []byte, change int64) {
	n := uint64(change)
	if row := w.tx.Bucket(bucket).Get(k); row != nil {
		n += binary.BigEndian.Uint64(row)
	}
	if n == 0 {
		w.delete(bucket, k)
	} else {
		w.put(bucket, k, w.cut(func(b []byte) []byte { return binary.BigEndian.AppendUint64(b, n) }))
	}
}

func (w *writer) flush() error {
	if w.err != nil {
		return w.err
	}
	for _, name := range buckets {
		bucket, rows := w.tx.Bucket(name), *w.rows[string(name)]
		slices.SortFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
		for i, r := range rows {
			// Which of two would win depends on how they were sorted.
			if i > 0 && bytes.Equal(r.key, rows[i-1].key) {
				return fmt.Errorf("write %s: row %q twice", name, r.key)
			}
			var err error
			if r.value == nil {
				err = bucket.Delete(r.key)
			} else {
				err = bucket.Put(r.key, r.value)
			}
			if err != nil {
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
	}
	return nil
}

// tally is how the numbers of one provider change.
type tally struct {
	grid map[gridCell]int64
	due  map[int64]int64 // by the milliseconds of the end
}

// gridCell is a cell of one scope of the grid.
type gridCell struct {
	scope string
	cell  cell
}

// hasAssigneeRow says whether a license stands among the assignees: all that had one, and, under nobody, what ended without.
func hasAssigneeRow(l *events.License) bool { return l.Assignee.ID != "" || !l.Status.InForce() }

func inScope(l *events.License, scope string) bool {
	scopes := scopesOf(l)
	return slices.Contains(scopes[:], scope)
}

// move takes a license in the indexes from where it was, which may be nowhere, to where it is.
func (w *writer) move(provider string, was, is *events.License, t *tally) {
	for _, scope := range scopesOf(is) {
		if was == nil || cellOf(was) != cellOf(is) || !inScope(was, scope) {
			t.grid[gridCell{scope, cellOf(is)}]++
			w.mark(bucketGrid, w.cellKey(provider, scope, cellOf(is), is.ID))
		}
	}
	if was != nil && (cellOf(was) != cellOf(is) || CompanyOf(was) != CompanyOf(is)) {
		for _, scope := range scopesOf(was) {
			if cellOf(was) != cellOf(is) || !inScope(is, scope) {
				t.grid[gridCell{scope, cellOf(was)}]--
				w.delete(bucketGrid, w.cellKey(provider, scope, cellOf(was), was.ID))
			}
		}
	}
	if had, has := was != nil && hasAssigneeRow(was), hasAssigneeRow(is); was == nil || was.Assignee != is.Assignee || had != has {
		if had {
			w.delete(bucketAssignees, w.key(provider, string(was.Assignee.Kind), was.Assignee.ID, was.ID))
		}
		if has {
			w.mark(bucketAssignees, w.key(provider, string(is.Assignee.Kind), is.Assignee.ID, is.ID))
		}
	}
	if was != nil && !was.Status.InForce() {
		for _, scope := range scopesOf(was) {
			t.grid[gridCell{scopeEnded(lastMonth(was), scope), cellOf(was)}]--
		}
	}
	if !is.Status.InForce() {
		for _, scope := range scopesOf(is) {
			t.grid[gridCell{scopeEnded(lastMonth(is), scope), cellOf(is)}]++
		}
	}
	if was != nil && was.Status.InForce() {
		t.due[was.NextDue().UnixMilli()]--
	}
	if is.Status.InForce() {
		t.due[is.NextDue().UnixMilli()]++
	}
}

func (w *writer) addUp(provider string, t *tally) {
	for c, change := range t.grid {
		if change != 0 {
			w.add(bucketCounts, w.cellKey(provider, c.scope, c.cell), change)
		}
	}
	for at, change := range t.due {
		if change != 0 {
			w.add(bucketDue, w.cut(func(b []byte) []byte { return append(appendTimeKey(b, time.UnixMilli(at)), provider...) }), change)
		}
	}
}

// cellKey is the key of a cell, and of a license in it.
func (w *writer) cellKey(provider, scope string, c cell, license ...string) []byte {
	return w.cut(func(b []byte) []byte {
		b = appendCell(append(appendKey(b, provider, scope), 0), c)
		for _, id := range license {
			b = append(append(b, 0), id...)
		}
		return b
	})
}
