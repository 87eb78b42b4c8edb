package licenses

import (
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
func (f Filter) cells(tx *bbolt.Tx, fn func(cell, uint64)) { f.cellsOf(tx, f.scope(), fn) }

// cellsOf does so for any scope.
func (f Filter) cellsOf(tx *bbolt.Tx, scope string, fn func(cell, uint64)) {
	b := tx.Bucket(bucketCounts)
	if b == nil {
		return
	}
	first := prefix(f.Provider, scope)
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

// Count counts the licenses under a filter. It costs as much as there are cells; a search as much as its rarest word finds; a month that is
// over, and a moment of the past, as much as the provider has licenses.
func Count(tx *bbolt.Tx, f Filter) (n Counters, err error) {
	if tx.Bucket(bucketLicenses) == nil {
		return n, nil // nothing was seen so far
	}
	past, open, err := f.past(tx)
	switch {
	case err != nil:
	case past || f.Month != 0 && len(f.Search) > 0:
		_, err = eachLicense(tx, f, "", 0, func(_ string, l *events.License) (bool, error) {
			n.add(cellOf(l), 1)
			return true, nil
		})
	case len(f.Search) > 0:
		var s *search
		if s, err = understand(tx, f); err == nil {
			n, err = s.count(tx)
		}
	case f.Month != 0:
		f.cells(tx, func(c cell, count uint64) {
			if c.Status.InForce() {
				n.add(c, count)
			}
		})
		if f.Month == open { // nothing ended later
			f.cellsOf(tx, scopeEnded(open, f.scope()), n.add)
		}
	default:
		f.cells(tx, n.add)
	}
	return n, err
}

// eachLicense yields the licenses under a filter behind a place, with their own, until fn says no. Where few fit it gives up after so many
// looks (0: never), with the place where it is.
func eachLicense(tx *bbolt.Tx, f Filter, after string, looks int, fn func(place string, l *events.License) (bool, error)) (next string, err error) {
	past, _, err := f.past(tx)
	switch {
	case err != nil:
		return "", err
	case past:
		return eachAt(tx, f, after, looks, fn)
	case len(f.Search) > 0:
		s, err := understand(tx, f)
		if err != nil {
			return "", err
		}
		return s.each(tx, after, looks, func(c *candidate) (bool, error) {
			l, ok, err := LoadLicense(tx, f.Provider, string(c.id))
			if err != nil || !ok {
				return false, fmt.Errorf("license %s is in the words' index alone: %w", c.id, err)
			}
			if f.Month != 0 && !inForceIn(&l, f.Month) {
				return true, nil
			}
			return fn(c.place(), &l)
		})
	}
	looked, last := 0, after
	look := func(id string, l *events.License, err error) (bool, error) {
		if looked++; looks > 0 && looked > looks {
			next = last
			return false, nil
		}
		last = id
		if err != nil || f.Month != 0 && !inForceIn(l, f.Month) {
			return true, err
		}
		return fn(id, l)
	}
	if f.Company == "" && f.Type == "" && f.Status == "" {
		err = each(tx, bucketLicenses, prefix(f.Provider), after, func(id string, row []byte) (bool, error) {
			l, err := readLicense(id, row)
			return look(id, l, err)
		})
	} else {
		g := f.byID()
		err = g.each(tx, after, false, func(id string) (bool, error) {
			l, err := mustLoad(tx, f.Provider, id)
			return look(id, &l, err)
		})
	}
	return next, err
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
