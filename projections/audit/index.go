package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Buckets. Numbers are big-endian. A zero byte ends the provider, whose id contains none; the ledger's own entries have an empty one.
var (
	bucketRuns    = []byte("runs")    // provider, first entry (8 bytes) -> run
	bucketKinds   = []byte("kinds")   // number (4 bytes) -> a set of kinds, in their order, separated by spaces
	bucketBundles = []byte("bundles") // bundle (8 bytes) -> the numbers of its entries' sets of kinds, ascending (uvarints)
	bucketDays    = []byte("days")    // day (4 bytes) -> its first entry (8 bytes)
)

// A run tells up to runLength entries of a provider, in order. Of each it has three uvarints: how much its number
// is larger than that of the one before (of the first: than the key's), the number of its set of kinds, and where in its
// bundle it stands.
const runLength = 256

// errDamaged says that a row is not what this package writes.
var errDamaged = errors.New("a damaged row of the audit view's index")

func runKey(provider string, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(provider), 0), first)
}

// readRunKey takes the first entry from what follows the provider in a key.
func readRunKey(rest []byte) (first uint64, err error) {
	if len(rest) != 8 {
		return 0, errDamaged
	}
	return binary.BigEndian.Uint64(rest), nil
}

// ref is where an entry stands, and the number of its set of kinds.
type ref struct {
	number uint64
	kinds  uint32
	offset int
}

// eachRef yields what a run holds.
func eachRef(row []byte, first uint64, fn func(ref) error) error {
	for number := first; len(row) > 0; {
		var v [3]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(row); n <= 0 {
				return errDamaged
			}
			row = row[n:]
		}
		number += v[0]
		if err := fn(ref{number: number, kinds: uint32(v[1]), offset: int(v[2])}); err != nil {
			return err
		}
	}
	return nil
}

// run is the last run of a provider, while it grows.
type run struct {
	provider string
	first    uint64
	last     uint64
	count    int
	row      []byte
	changed  bool
}

// index gathers the rows of a batch.
type index struct {
	tx *bbolt.Tx

	runs     map[string]*run // by provider: the last one; nil where there is none
	done     []*run          // those before
	kinds    map[string]uint32
	sets     map[string]uint32 // by the kinds of an entry in the order of its events: a shorter way to kinds
	newKinds []string
	bundles  map[uint64][]uint32
	day      events.Date // of the last entry
	days     map[events.Date]uint64
	key      []byte
}

func newIndex(tx *bbolt.Tx) (*index, error) {
	x := &index{
		tx: tx, runs: map[string]*run{}, kinds: map[string]uint32{}, sets: map[string]uint32{},
		bundles: map[uint64][]uint32{}, days: map[events.Date]uint64{}, day: -1,
	}
	for _, name := range [][]byte{bucketRuns, bucketKinds, bucketBundles, bucketDays} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	err := tx.Bucket(bucketKinds).ForEach(func(k, v []byte) error {
		if len(k) != 4 {
			return errDamaged
		}
		x.kinds[string(v)] = binary.BigEndian.Uint32(k)
		return nil
	})
	if k, _ := tx.Bucket(bucketDays).Cursor().Last(); len(k) == 4 {
		x.day = events.Date(binary.BigEndian.Uint32(k))
	}
	return x, err
}

// add indexes an entry that stands at an offset of its bundle.
func (x *index) add(e *events.Entry, width uint64, offset int) error {
	day := events.DateOf(e.Time)
	if day != x.day {
		x.days[day], x.day = e.Number, day
	}
	kinds := x.kindsOf(e)
	if list := x.bundles[e.Number/width]; !slices.Contains(list, kinds) {
		x.bundles[e.Number/width] = append(list, kinds)
	}
	r, err := x.last(e.Provider)
	if err != nil {
		return err
	}
	if r == nil || r.count == runLength {
		if r != nil && r.changed {
			x.done = append(x.done, r)
		}
		r = &run{provider: e.Provider, first: e.Number, last: e.Number}
		x.runs[e.Provider] = r
	}
	r.row = binary.AppendUvarint(r.row, e.Number-r.last)
	r.row = binary.AppendUvarint(r.row, uint64(kinds))
	r.row = binary.AppendUvarint(r.row, uint64(offset))
	r.last, r.count, r.changed = e.Number, r.count+1, true
	return nil
}

// kindsOf is the number of the set of an entry's kinds; numbers are given in the order in which sets appear.
func (x *index) kindsOf(e *events.Entry) uint32 {
	x.key = x.key[:0]
	before := ""
	for i := range e.Events {
		if kind := e.Events[i].Data.Kind(); kind != before {
			x.key, before = append(append(x.key, kind...), ' '), kind
		}
	}
	if n, ok := x.sets[string(x.key)]; ok {
		return n
	}
	list := strings.Fields(string(x.key))
	slices.Sort(list)
	set := strings.Join(slices.Compact(list), " ")
	n, ok := x.kinds[set]
	if !ok {
		n = uint32(len(x.kinds))
		x.kinds[set] = n
		x.newKinds = append(x.newKinds, set)
	}
	x.sets[string(x.key)] = n
	return n
}

// last is the last run of a provider, nil if it has none.
func (x *index) last(provider string) (*run, error) {
	if r, ok := x.runs[provider]; ok {
		return r, nil
	}
	prefix := append([]byte(provider), 0)
	k, row := seekRun(x.tx.Bucket(bucketRuns).Cursor(), prefix, math.MaxUint64)
	var r *run
	if k != nil {
		first, err := readRunKey(k[len(prefix):])
		if err != nil {
			return nil, err
		}
		r = &run{provider: provider, first: first, row: slices.Clone(row)}
		err = eachRef(row, first, func(at ref) error {
			r.last = at.number
			r.count++
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	x.runs[provider] = r
	return r, nil
}

// seekRun goes to the last run that begins at or before an entry; nil if there is none, or it is another provider's.
func seekRun(c *bbolt.Cursor, prefix []byte, entry uint64) (key, row []byte) {
	seek := binary.BigEndian.AppendUint64(slices.Clone(prefix), entry)
	k, row := c.Seek(seek)
	switch {
	case bytes.Equal(k, seek):
		return k, row
	case k == nil:
		k, row = c.Last()
	default:
		k, row = c.Prev()
	}
	if !bytes.HasPrefix(k, prefix) {
		return nil, nil
	}
	return k, row
}

// flush writes all rows, in the order of their keys.
func (x *index) flush() error {
	runs := x.done
	for _, r := range x.runs {
		if r != nil && r.changed {
			runs = append(runs, r)
		}
	}
	keys := make([][]byte, len(runs))
	order := make([]int, len(runs))
	for i, r := range runs {
		keys[i], order[i] = runKey(r.provider, r.first), i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	for _, i := range order {
		if err := put(x.tx, bucketRuns, keys[i], runs[i].row); err != nil {
			return err
		}
	}
	for _, set := range x.newKinds {
		if err := put(x.tx, bucketKinds, binary.BigEndian.AppendUint32(nil, x.kinds[set]), []byte(set)); err != nil {
			return err
		}
	}
	for _, n := range slices.Sorted(maps.Keys(x.bundles)) {
		key := binary.BigEndian.AppendUint64(nil, n)
		list, err := readKinds(x.tx.Bucket(bucketBundles).Get(key))
		if err != nil {
			return err
		}
		list = append(list, x.bundles[n]...)
		slices.Sort(list)
		var row []byte
		for _, kinds := range slices.Compact(list) {
			row = binary.AppendUvarint(row, uint64(kinds))
		}
		if err := put(x.tx, bucketBundles, key, row); err != nil {
			return err
		}
	}
	for _, day := range slices.Sorted(maps.Keys(x.days)) {
		first := binary.BigEndian.AppendUint64(nil, x.days[day])
		if err := put(x.tx, bucketDays, binary.BigEndian.AppendUint32(nil, uint32(day)), first); err != nil {
			return err
		}
	}
	return nil
}

func put(tx *bbolt.Tx, bucket, key, row []byte) error {
	if err := tx.Bucket(bucket).Put(key, row); err != nil {
		return fmt.Errorf("write %s: %w", bucket, err)
	}
	return nil
}

// readKinds reads a row of bucketBundles.
func readKinds(row []byte) ([]uint32, error) {
	var list []uint32
	for len(row) > 0 {
		v, n := binary.Uvarint(row)
		if n <= 0 {
			return nil, errDamaged
		}
		list, row = append(list, uint32(v)), row[n:]
	}
	return list, nil
}
