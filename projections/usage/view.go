// Package usage is the view of what agents report: how much of each meter every
// endpoint used on every day, and which reports are missing.
//
// It reads two events. usage.recorded adds its readings to the day of their own
// time in UTC (domain D1), under the endpoint and the company that the event
// names, however late it comes (domain U3). Both usage.recorded and usage.voided
// take their number off the gaps of the agent's spool (domain U2). The sequencer
// has refused repeated reports, so every event counts.
//
// A row holds a month of one endpoint's meter, with a cell per day: number, exact
// sum and maximum of the readings, and the last one by its time. So the day, the
// month and any span of them are read from the same rows, and a day's new
// readings change few pages of the file. The keys lead with provider and month,
// then company, meter, endpoint (schema.go):
//
//	"months" "acme\x00" "\x00\x00\x5e\xfa" "globex\x00" "storage_bytes\x00" "pc-17\x00"
//		-> day 1: 24 readings, sum 2.4e12, max 1e11, last 1e11 at 23:00; day 2: ...
//
// Questions are methods of [View] that take a read transaction:
//
//	err := store.Read(ctx, func(tx *bbolt.Tx, next uint64) error {
//		rows, cursor, err = usage.View{}.Rows(tx, usage.Query{
//			Provider: "acme", Meter: "storage_bytes", From: march, To: april,
//			Group: usage.Group{Company: true, Day: true}, Aggregate: usage.Max, Limit: 50,
//		})
//		return err
//	})
//
// The view has no caches: a View is a name for its rows, and safe for concurrent use.
package usage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
)

// View is a [projections.View].
type View struct{}

// Name is "usage".
func (View) Name() string { return "usage" }

// Usage is true.
func (View) Usage() bool { return true }

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	b := &batch{endpoints: map[endpointKey]uint32{}, cells: map[cellKey]*cell{}, spools: map[spoolKey]*spool{}}
	for _, bucket := range []struct {
		name []byte
		into **bbolt.Bucket
	}{{bucketMonths, &b.months}, {bucketSpools, &b.spoolRows}, {bucketGaps, &b.gapRows}} {
		var err error
		if *bucket.into, err = tx.CreateBucketIfNotExists(bucket.name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", bucket.name, err)
		}
	}
	return b, nil
}

// batch adds up readings in memory and writes each row once.
type batch struct {
	months, spoolRows, gapRows *bbolt.Bucket

	endpoints map[endpointKey]uint32 // numbers them, to make the keys of cells small
	keys      []endpointKey          // by number
	cells     map[cellKey]*cell
	free      []cell // room for new ones
	spools    map[spoolKey]*spool
}

type endpointKey struct{ provider, company, endpoint string }

type cellKey struct {
	endpoint uint32
	day      events.Date
	meter    string
}

// Apply adds the entry's usage.
func (b *batch) Apply(e *events.Entry) error {
	for i := range e.Events {
		switch d := e.Events[i].Data.(type) {
		case *events.UsageRecorded:
			if err := b.add(e, uint32(i), d); err != nil {
				return err
			}
			if err := b.saw(spoolKey{e.Provider, d.Agent, d.Spool}, d.Seq); err != nil {
				return err
			}
		case *events.UsageVoided:
			if err := b.saw(spoolKey{e.Provider, d.Agent, d.Spool}, d.Seq); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *batch) add(e *events.Entry, event uint32, u *events.UsageRecorded) error {
	key := endpointKey{e.Provider, u.Company, u.Agent}
	endpoint, ok := b.endpoints[key]
	if !ok {
		endpoint = uint32(len(b.keys))
		b.endpoints[key], b.keys = endpoint, append(b.keys, key)
	}
	// Neighbours in a report mostly share meter and day.
	at := cellKey{endpoint: endpoint}
	var c *cell
	for i := range u.Readings {
		r := &u.Readings[i]
		day := events.DateOf(r.At)
		if c == nil || at.day != day || at.meter != r.Meter {
			at.day, at.meter = day, r.Meter
			if c = b.cells[at]; c == nil {
				c = b.newCell(day)
				b.cells[at] = c
			}
		}
		ms := r.At.UnixMilli() - int64(day)*msPerDay
		if err := c.add(amountOf(r.Value), uint32(ms), e.Number, event); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) newCell(day events.Date) *cell {
	if len(b.free) == 0 {
		b.free = make([]cell, 256)
	}
	c := &b.free[0]
	b.free = b.free[1:]
	c.day = day
	return c
}

// Flush writes all rows, in the order of their keys.
func (b *batch) Flush() error {
	if err := b.flushMonths(); err != nil {
		return err
	}
	return b.flushSpools()
}

// Done has nothing to keep or drop.
func (*batch) Done(bool) {}

// change is a cell to be merged into the row of its key.
type change struct {
	key   []byte
	first events.Date // of the row's month
	cell  *cell
}

func (b *batch) flushMonths() error {
	changes := make([]change, 0, len(b.cells))
	arena := make([]byte, 0, 64*len(b.cells)) // keys lie in one piece of memory; a slice of it stays valid when it moves
	var day events.Date
	var month events.Month
	var first events.Date
	for at, c := range b.cells {
		if month == 0 || at.day != day {
			day, month = at.day, at.day.Month()
			first = month.First()
		}
		key := b.keys[at.endpoint]
		start := len(arena)
		arena = appendMonth(appendText(arena, key.provider), month)
		arena = appendSeries(arena, key.company, at.meter, key.endpoint)
		changes = append(changes, change{key: arena[start:len(arena):len(arena)], first: first, cell: c})
	}
	slices.SortFunc(changes, func(x, y change) int {
		return cmp.Or(bytes.Compare(x.key, y.key), cmp.Compare(x.cell.day, y.cell.day))
	})
	// Values belong to the transaction until it ends.
	var values []byte
	for len(changes) > 0 {
		if cap(values)-len(values) < 4<<10 {
			values = make([]byte, 0, 64<<10)
		}
		n := 1
		for n < len(changes) && bytes.Equal(changes[n].key, changes[0].key) {
			n++
		}
		start := len(values)
		var err error
		if values, err = mergeRow(values, b.months.Get(changes[0].key), changes[:n]); err != nil {
			return fmt.Errorf("usage row %q: %w", changes[0].key, err)
		}
		if err := b.months.Put(changes[0].key, values[start:len(values):len(values)]); err != nil {
			return fmt.Errorf("write usage row %q: %w", changes[0].key, err)
		}
		changes = changes[n:]
	}
	return nil
}

// mergeRow appends a month's row with changes merged in, which are sorted by day.
func mergeRow(b, row []byte, changes []change) ([]byte, error) {
	first := changes[0].first
	for len(row) > 0 {
		day, text, rest, err := cutCell(row)
		if err != nil {
			return b, err
		}
		date := first + events.Date(day) - 1
		for len(changes) > 0 && changes[0].cell.day < date {
			b, changes = appendCell(b, first, changes[0].cell), changes[1:]
		}
		if len(changes) == 0 {
			return append(b, row...), nil
		}
		if changes[0].cell.day > date {
			b = append(b, row[:len(row)-len(rest)]...)
		} else {
			c, err := readCell(first, day, text)
			if err != nil {
				return b, err
			}
			if err := c.merge(changes[0].cell); err != nil {
				return b, err
			}
			b, changes = appendCell(b, first, &c), changes[1:]
		}
		row = rest
	}
	for _, ch := range changes {
		b = appendCell(b, first, ch.cell)
	}
	return b, nil
}

// span is a range of numbers that are missing; to is the first that is not.
type span struct{ from, to uint64 }

type spoolKey struct{ provider, agent, spool string }

// spool is what is known of an agent's spool (domain U2).
type spool struct {
	key   []byte
	next  uint64 // the number after the highest that was seen
	gaps  []span // sorted; only if they were loaded
	was   []span // as the rows have them
	known bool   // gaps were loaded
}

// saw takes a number off the spool's gaps, or opens one before it.
func (b *batch) saw(key spoolKey, seq uint64) error {
	s, err := b.spool(key)
	if err != nil {
		return err
	}
	if seq == s.next {
		s.next++
		return nil
	}
	if err := b.loadGaps(s); err != nil {
		return err
	}
	if seq > s.next {
		s.gaps = append(s.gaps, span{s.next, seq})
		s.next = seq + 1
		return nil
	}
	i, _ := slices.BinarySearchFunc(s.gaps, seq, func(g span, seq uint64) int {
		if g.to <= seq {
			return -1
		}
		return 1
	})
	if i == len(s.gaps) || seq < s.gaps[i].from {
		return nil
	}
	g := s.gaps[i]
	left := make([]span, 0, 2)
	if g.from < seq {
		left = append(left, span{g.from, seq})
	}
	if seq+1 < g.to {
		left = append(left, span{seq + 1, g.to})
	}
	s.gaps = slices.Replace(s.gaps, i, i+1, left...)
	return nil
}

func (b *batch) spool(key spoolKey) (*spool, error) {
	if s, ok := b.spools[key]; ok {
		return s, nil
	}
	s := &spool{key: appendSpool(nil, key.provider, key.agent, key.spool), next: 1}
	if row := b.spoolRows.Get(s.key); row != nil {
		r := reader{b: row}
		if s.next = r.uint(); r.bad || len(r.b) > 0 {
			return nil, fmt.Errorf("spool %q: %w", s.key, errDamaged)
		}
	}
	b.spools[key] = s
	return s, nil
}

func (b *batch) loadGaps(s *spool) error {
	if s.known {
		return nil
	}
	c := b.gapRows.Cursor()
	for k, v := c.Seek(s.key); k != nil && bytes.HasPrefix(k, s.key); k, v = c.Next() {
		g, err := readGap(k[len(s.key):], v)
		if err != nil {
			return fmt.Errorf("gap %q: %w", k, err)
		}
		s.was = append(s.was, g)
	}
	s.gaps, s.known = slices.Clone(s.was), true
	return nil
}

func readGap(from, row []byte) (span, error) {
	r := reader{b: row}
	to := r.uint()
	if len(from) != 8 || r.bad || len(r.b) > 0 {
		return span{}, errDamaged
	}
	return span{binary.BigEndian.Uint64(from), to}, nil
}

func (b *batch) flushSpools() error {
	spools := make([]*spool, 0, len(b.spools))
	for _, s := range b.spools {
		spools = append(spools, s)
	}
	slices.SortFunc(spools, func(x, y *spool) int { return bytes.Compare(x.key, y.key) })
	for _, s := range spools {
		if err := b.spoolRows.Put(s.key, binary.AppendUvarint(nil, s.next)); err != nil {
			return fmt.Errorf("write spool %q: %w", s.key, err)
		}
		if err := b.flushGaps(s); err != nil {
			return fmt.Errorf("write the gaps of spool %q: %w", s.key, err)
		}
	}
	return nil
}

// flushGaps writes what differs from the rows.
func (b *batch) flushGaps(s *spool) error {
	was, gaps := s.was, s.gaps
	for len(was) > 0 || len(gaps) > 0 {
		switch {
		case len(gaps) == 0 || len(was) > 0 && was[0].from < gaps[0].from:
			if err := b.gapRows.Delete(binary.BigEndian.AppendUint64(slices.Clone(s.key), was[0].from)); err != nil {
				return err
			}
			was = was[1:]
			continue
		case len(was) > 0 && was[0] == gaps[0]:
			was, gaps = was[1:], gaps[1:]
			continue
		case len(was) > 0 && was[0].from == gaps[0].from:
			was = was[1:]
		}
		key := binary.BigEndian.AppendUint64(slices.Clone(s.key), gaps[0].from)
		if err := b.gapRows.Put(key, binary.AppendUvarint(nil, gaps[0].to)); err != nil {
			return err
		}
		gaps = gaps[1:]
	}
	return nil
}
