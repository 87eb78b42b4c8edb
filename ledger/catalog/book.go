package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"licenseledger/events"
)

// Book holds the published catalogs by the month from which each is in force.
// A Book is never changed: Publish gives another one. The zero value is empty.
type Book struct {
	editions []edition // ascending by month, one per month
}

type edition struct {
	catalog events.Catalog
	entry   uint64
	types   map[string]int // by id, places in catalog.Types
}

// Publish gives the book with one more catalog, published by the given entry. A
// catalog of the same month is replaced (domain C1). Whoever decides asks [Book.Check] first;
// Publish takes what the log says. The catalog must not be changed afterwards.
func (b Book) Publish(c events.Catalog, entry uint64) Book {
	e := edition{catalog: c, entry: entry, types: make(map[string]int, len(c.Types))}
	for i := range c.Types {
		e.types[c.Types[i].ID] = i
	}
	at, same := b.find(c.Effective)
	editions := make([]edition, 0, len(b.editions)+1)
	editions = append(append(editions, b.editions[:at]...), e)
	if same {
		at++
	}
	return Book{append(editions, b.editions[at:]...)}
}

// find is the place of the month's own catalog, or where it would stand.
func (b Book) find(m events.Month) (at int, same bool) {
	return slices.BinarySearchFunc(b.editions, m, func(e edition, m events.Month) int {
		return cmp.Compare(e.catalog.Effective, m)
	})
}

// inForce is the edition that rules a month, or nil before the first.
func (b Book) inForce(m events.Month) *edition {
	at, same := b.find(m)
	if !same {
		at--
	}
	if at < 0 {
		return nil
	}
	return &b.editions[at]
}

// At is the catalog in force in a month and the number of the entry that published it; false before the first.
func (b Book) At(m events.Month) (c events.Catalog, entry uint64, ok bool) {
	e := b.inForce(m)
	if e == nil {
		return events.Catalog{}, 0, false
	}
	return e.catalog, e.entry, true
}

// Type is a license type as it stands in a month. For an annual type the month is that of the order's day.
func (b Book) Type(m events.Month, id string) (events.Type, bool) {
	e := b.inForce(m)
	if e == nil {
		return events.Type{}, false
	}
	at, ok := e.types[id]
	if !ok {
		return events.Type{}, false
	}
	return e.catalog.Types[at], true
}

// Check says what stands against publishing the catalog at a time, in a stable
// order: what [Validate] finds, a month that has begun (domain C1), and types
// that would vanish or become another thing under licenses that live (domain C2).
func (b Book) Check(c events.Catalog, now time.Time) Problems {
	p := Validate(c)
	if begun := events.MonthOf(now); c.Effective <= begun {
		p.add("effective", "the month has begun: the first that has not is %s", begun+1)
	}
	at, same := b.find(c.Effective)
	if at > 0 {
		for _, old := range b.editions[at-1].catalog.Types {
			i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == old.ID })
			if i < 0 {
				p.add("types", "%s is missing: a type never vanishes, it is closed", old.ID)
				continue
			}
			p.remains(fmt.Sprintf("types[%d]", i), old, c.Types[i])
		}
	}
	if same {
		at++
	}
	if at < len(b.editions) {
		// A catalog may be published before one that is already there for a later month.
		later := &b.editions[at]
		for i, t := range c.Types {
			field := fmt.Sprintf("types[%d]", i)
			next, ok := later.types[t.ID]
			if !ok {
				p.add(field, "%s is missing from the catalog of %s, and a type never vanishes: publish that one with it first", t.ID, later.catalog.Effective)
				continue
			}
			p.remains(field, t, later.catalog.Types[next])
		}
	}
	return p
}

// Instead is a catalog that is supposed to have been in force from its month on, through a month, in place of those that were; types that it
// leaves out stay as they were in that last month. Problems are what [Validate] finds, and types that would become another thing.
func (b Book) Instead(c events.Catalog, through events.Month) (events.Catalog, Problems) {
	was, _, _ := b.At(through)
	c.Types = slices.Clone(c.Types)
	var p Problems
	for _, old := range was.Types {
		i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == old.ID })
		if i < 0 {
			c.Types = append(c.Types, old)
			continue
		}
		p.remains(fmt.Sprintf("types[%d]", i), old, c.Types[i])
	}
	return c, append(Validate(c), p...)
}

// remains checks that licenses of a type can go on under its next description.
func (p *Problems) remains(field string, before, after events.Type) {
	if before.Unit != after.Unit {
		p.add(field+".unit", "%s is sold per %s and stays so", before.ID, before.Unit)
	}
	if before.Term != after.Term {
		p.add(field+".term", "%s is %s and stays so", before.ID, before.Term)
	}
	if (before.Policy == events.Metered) != (after.Policy == events.Metered) {
		p.add(field+".policy", "%s cannot begin or cease to be metered", before.ID)
	}
	for _, currency := range sortedKeys(before.Prices) {
		if _, ok := after.Prices[currency]; !ok {
			p.add(field+".prices."+currency, "%s has a price in %s and keeps one", before.ID, currency)
		}
	}
}
