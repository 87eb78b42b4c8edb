package licenses

import (
	"container/heap"
	"encoding/binary"
	"fmt"
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

// Count counts the licenses under a filter.
func Count(tx *bbolt.Tx, f Filter) Counters {
	var n Counters
	f.cells(tx, func(c cell, count uint64) {
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
	})
	return n
}

// Page lists the licenses under a filter whose id is greater than after, in the order of their ids (that is: of their
// creation), at most limit of them. What a page costs depends on limit and on the number of cells, not on the number of licenses.
func Page(tx *bbolt.Tx, f Filter, after string, limit int) ([]events.License, error) {
	if f.Company == "" && f.Type == "" && f.Status == "" {
		var rows []events.License
		err := each(tx, bucketLicenses, prefix(f.Provider), after, func(id string, row []byte) (bool, error) {
			l, err := readLicense(id, row)
			rows = append(rows, *l)
			return len(rows) < limit, err
		})
		return rows, err
	}
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
	rows := make([]events.License, 0, min(limit, 64))
	for len(runs) > 0 && len(rows) < limit {
		l, ok, err := LoadLicense(tx, f.Provider, runs[0].id)
		if err != nil || !ok {
			return nil, fmt.Errorf("license %s is in the grid's index alone: %w", runs[0].id, err)
		}
		rows = append(rows, l)
		if k, _ := runs[0].cursor.Next(); runs[0].at(k) {
			heap.Fix(&runs, 0)
		} else {
			heap.Pop(&runs)
		}
	}
	return rows, nil
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
