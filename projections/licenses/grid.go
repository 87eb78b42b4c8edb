package licenses

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Used is the status filter for licenses that are in use: trial or paid, and assigned.
const Used = "used"

// Filter selects licenses of a provider; empty fields select all.
type Filter struct {
	Provider string
	Company  string
	Type     string
	Status   string // a status, or [Used]
	Search   []Term
	// Month selects the licenses that were in force in it, as they stood at its end; of a month that is not over, as they stand (domain L15).
	Month events.Month
	// Then, if it is not nil, is the moment of the past at which they are looked at. Endpoints and companies are known by their names of now, so
	// it does not go with Search.
	Then *Then
}

func (f Filter) scope() string {
	if f.Company == "" {
		return scopeAll
	}
	return scopeCompany(f.Company)
}

func (f Filter) matches(c cell) bool {
	switch {
	case f.Type != "" && f.Type != c.Type:
		return false
	case f.Status == Used:
		return c.Assigned && c.Status.InForce()
	default:
		return f.Status == "" || f.Status == string(c.Status)
	}
}

// cells yields the cells of the filter's scope that hold licenses, with their number.
func (f Filter) cells(tx *bbolt.Tx, fn func(cell, uint64)) {
	b := tx.Bucket(bucketCounts)
	if b == nil {
		return
	}
	first := prefix(f.Provider, f.scope())
	c := b.Cursor()
	for k, v := c.Seek([]byte(first)); k != nil && strings.HasPrefix(string(k), first); k, v = c.Next() {
		if cell := parseCell(string(k[len(first):])); f.matches(cell) {
			fn(cell, binary.BigEndian.Uint64(v))
		}
	}
}

// Counters are the numbers above the grid (domain L15).
type Counters struct{ All, ActiveTrial, Paid, Released, Used uint64 }

func (n *Counters) add(c cell, count uint64) {
	n.All += count
	switch c.Status {
	case events.Trial:
		n.ActiveTrial += count
	case events.Paid:
		n.Paid += count
	case events.Released:
		n.Released += count
	}
	if c.Assigned && c.Status.InForce() {
		n.Used += count
	}
}

// Count counts the licenses under a filter. Without search and month it costs as much as there are cells; a search as much as it finds; a
// month as much as the provider has licenses.
func Count(tx *bbolt.Tx, f Filter) (n Counters, err error) {
	switch {
	case tx.Bucket(bucketLicenses) == nil: // nothing was seen so far
	case f.Month != 0 || f.Then != nil:
		_, err = eachAt(tx, f, "", 0, func(_ string, l *events.License) (bool, error) {
			n.add(cellOf(l), 1)
			return true, nil
		})
	case len(f.Search) > 0:
		var s *search
		if s, err = understand(tx, f); err == nil {
			n, err = s.count(tx)
		}
	default:
		f.cells(tx, n.add)
	}
	return n, err
}

// Order is how rows are sorted; the zero value is by id, that is, by creation, but for a search, whose rows then come in the order of the
// words by which they are found.
type Order struct {
	By         Column
	Descending bool
}

// Column is a field by which rows can be sorted; rows that are equal in it are by id.
type Column string

// Columns to sort by.
const (
	SortID       Column = "id"
	SortType     Column = "license_type"
	SortCompany  Column = "company"
	SortAssignee Column = "assignee"
	SortStatus   Column = "status"
	SortExpiry   Column = "expires_at"
)

// sortKey is a text that sorts as the licenses do.
func (o Order) sortKey(l *events.License) string {
	switch o.By {
	case SortType:
		return key(l.Type, l.ID)
	case SortCompany:
		return key(CompanyOf(l), l.ID)
	case SortAssignee:
		if !l.Assigned && l.Status.InForce() {
			return key("", "", l.ID)
		}
		return key(string(l.Assignee.Kind), l.Assignee.ID, l.ID)
	case SortStatus:
		return key(string(l.Status), l.ID)
	case SortExpiry:
		return string(appendTimeKey(nil, l.ExpiresAt)) + l.ID
	}
	return l.ID
}

// looks bounds the rows that one page looks at, so that it is quick where little fits: then it is shorter than it may be, and goes on.
const looks = 20_000

// Page lists licenses under a filter, at most limit of them, behind the place of an earlier page's end; next is this one's, empty at the
// end of the list. A place stays good while licenses change: what did not change is neither missed nor seen twice.
//
// By id, and in a search that is not sorted, what a page costs depends on limit and on the number of cells, not on the number of licenses; a
// page may be short, and still have a next one. Sorted by another column it reads all that the filter selects.
func Page(tx *bbolt.Tx, f Filter, o Order, after string, limit int) (rows []events.License, next string, err error) {
	if tx.Bucket(bucketLicenses) == nil {
		return nil, "", nil // nothing was seen so far
	}
	if o != (Order{}) && o != (Order{By: SortID}) || len(f.Search) > 0 && o.By == SortID {
		return sorted(tx, f, o, after, limit)
	}
	last, full := "", false
	next, err = eachLicense(tx, f, after, looks, func(place string, l *events.License) (bool, error) {
		if full = len(rows) == limit; full {
			return false, nil
		}
		rows, last = append(rows, *l), place
		return true, nil
	})
	if full {
		next = last
	}
	return rows, next, err
}

// sorted picks the rows of a page out of all.
func sorted(tx *bbolt.Tx, f Filter, o Order, after string, limit int) ([]events.License, string, error) {
	best := &page{desc: o.Descending}
	_, err := eachLicense(tx, f, "", 0, func(_ string, l *events.License) (bool, error) {
		k := o.sortKey(l)
		if after != "" && !best.before(after, k) {
			return true, nil
		}
		if best.Len() > limit {
			if !best.before(k, best.rows[0].key) {
				return true, nil
			}
			heap.Pop(best)
		}
		heap.Push(best, sortedRow{k, *l})
		return true, nil
	})
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(best.rows, func(a, b sortedRow) int {
		if best.before(a.key, b.key) {
			return -1
		}
		return 1
	})
	next := ""
	if len(best.rows) > limit {
		best.rows = best.rows[:limit]
		next = best.rows[limit-1].key
	}
	rows := make([]events.License, len(best.rows))
	for i := range best.rows {
		rows[i] = best.rows[i].License
	}
	return rows, next, nil
}

type sortedRow struct {
	key string
	events.License
}

// page is a heap of the first rows so far, the last of them on top.
type page struct {
	rows []sortedRow
	desc bool
}

func (p *page) before(a, b string) bool {
	if p.desc {
		return a > b
	}
	return a < b
}
func (p *page) Len() int           { return len(p.rows) }
func (p *page) Less(i, j int) bool { return p.before(p.rows[j].key, p.rows[i].key) }
func (p *page) Swap(i, j int)      { p.rows[i], p.rows[j] = p.rows[j], p.rows[i] }
func (p *page) Push(x any)         { p.rows = append(p.rows, x.(sortedRow)) }
func (p *page) Pop() any {
	last := p.rows[len(p.rows)-1]
	p.rows = p.rows[:len(p.rows)-1]
	return last
}

// eachLicense yields the licenses under a filter behind a place, with their own, until fn says no. Where few fit it gives up after so many
// looks (0: never), with the place where it is.
func eachLicense(tx *bbolt.Tx, f Filter, after string, looks int, fn func(place string, l *events.License) (bool, error)) (next string, err error) {
	switch {
	case f.Month != 0 || f.Then != nil:
		return eachAt(tx, f, after, looks, fn)
	case len(f.Search) > 0:
		s, err := understand(tx, f)
		if err != nil {
			return "", err
		}
		return s.each(tx, after, looks, func(place, id string, _ *posting) (bool, error) {
			l, ok, err := LoadLicense(tx, f.Provider, id)
			if err != nil || !ok {
				return false, fmt.Errorf("license %s is in the words' index alone: %w", id, err)
			}
			return fn(place, &l)
		})
	case f.Company == "" && f.Type == "" && f.Status == "":
		err = each(tx, bucketLicenses, prefix(f.Provider), after, func(id string, row []byte) (bool, error) {
			l, err := readLicense(id, row)
			if err != nil {
				return false, err
			}
			return fn(id, l)
		})
		return "", err
	}
	return "", eachOfCells(tx, f, after, fn)
}

// eachOfCells merges the runs of the filter's cells.
func eachOfCells(tx *bbolt.Tx, f Filter, after string, fn func(place string, l *events.License) (bool, error)) error {
	var runs runs
	f.cells(tx, func(c cell, _ uint64) {
		r := &run{cursor: tx.Bucket(bucketGrid).Cursor(), prefix: prefix(f.Provider, f.scope(), string(appendCell(nil, c)))}
		start := r.prefix + after
		if after != "" {
			start += "\x00"
		}
		if k, _ := r.cursor.Seek([]byte(start)); r.at(k) {
			runs = append(runs, r)
		}
	})
	heap.Init(&runs)
	for len(runs) > 0 {
		id := runs[0].id
		l, ok, err := LoadLicense(tx, f.Provider, id)
		if err != nil || !ok {
			return fmt.Errorf("license %s is in the grid's index alone: %w", id, err)
		}
		if more, err := fn(id, &l); err != nil || !more {
			return err
		}
		if k, _ := runs[0].cursor.Next(); runs[0].at(k) {
			heap.Fix(&runs, 0)
		} else {
			heap.Pop(&runs)
		}
	}
	return nil
}

// ByAssignee lists the licenses that an assignee holds or held last, in the order of their ids.
func ByAssignee(tx *bbolt.Tx, provider string, a events.Assignee) ([]events.License, error) {
	b := tx.Bucket(bucketAssignees)
	if b == nil {
		return nil, nil
	}
	var rows []events.License
	first := prefix(provider, string(a.Kind), a.ID)
	c := b.Cursor()
	for k, _ := c.Seek([]byte(first)); k != nil && strings.HasPrefix(string(k), first); k, _ = c.Next() {
		l, ok, err := LoadLicense(tx, provider, string(k[len(first):]))
		if err != nil || !ok {
			return nil, fmt.Errorf("license %s is in the assignees' index alone: %w", k[len(first):], err)
		}
		rows = append(rows, l)
	}
	return rows, nil
}

// run is a run of ids in one cell, in order.
type run struct {
	cursor *bbolt.Cursor
	prefix string
	id     string
}

// at takes the cursor's key; it is false at the end of the run.
func (r *run) at(k []byte) bool {
	if k == nil || !strings.HasPrefix(string(k), r.prefix) {
		return false
	}
	r.id = string(k[len(r.prefix):])
	return true
}

// runs is a heap by the next id.
type runs []*run

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return r[i].id < r[j].id }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)        { *r = append(*r, x.(*run)) }
func (r *runs) Pop() any {
	old := *r
	x := old[len(old)-1]
	*r = old[:len(old)-1]
	return x
}
