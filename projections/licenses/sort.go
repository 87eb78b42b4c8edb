package licenses

import (
	"bytes"
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

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

// before says whether one sort key comes before another.
func (o Order) before(a, b string) bool {
	if o.Descending {
		return a > b
	}
	return a < b
}

// looks bounds the rows that one page looks at, so that it is quick where little fits: then it is shorter than it may be, and goes on.
const looks = 20_000

// Page lists licenses under a filter, at most limit of them, behind the place of an earlier page's end; next is this one's, empty at the
// end of the list. A place stays good while licenses change: what did not change is neither missed nor seen twice. One that is none of this
// list is [ErrPlace].
//
// What a page costs depends on limit and on the number of cells, not on the number of licenses; a page may be short, and still have a next
// one. But sorted by their end, or sorted at all in a month or at a moment that is over, all licenses that the filter selects are read for it.
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

// sorted makes a page in an order: out of the indexes, or, where there is none or reading all is less work, out of all rows. Places are
// the same either way.
func sorted(tx *bbolt.Tx, f Filter, o Order, after string, limit int) ([]events.License, string, error) {
	past, _, err := f.past(tx)
	if err != nil {
		return nil, "", err
	}
	if past || o.By == SortExpiry {
		return pick(tx, f, o, after, limit)
	}
	s, err := understand(tx, f)
	if err != nil {
		return nil, "", err
	}
	n := uint64(0)
	f.cells(tx, func(_ cell, count uint64) { n += count })
	if n > few && len(f.Search) > 0 {
		_, n = s.start(tx, few)
	}
	if n <= few {
		return pick(tx, f, o, after, limit)
	}
	return walk(tx, s, o, after, limit)
}

// walk reads the rows of a page out of the indexes.
func walk(tx *bbolt.Tx, s *search, o Order, after string, limit int) (rows []events.License, next string, err error) {
	groups := s.f.groups(tx, o.By)
	if o.Descending {
		slices.Reverse(groups)
	}
	looked, last, done := 0, after, false
	for i := 0; i < len(groups) && !done; i++ {
		g := groups[i]
		err := g.each(tx, after, o.Descending, func(k string) (bool, error) {
			if looked++; looked > looks {
				next, done = last, true
				return false, nil
			}
			l, err := mustLoad(tx, s.f.Provider, k[strings.LastIndexByte(k, 0)+1:])
			if err != nil {
				return false, err
			}
			last = k
			if o.sortKey(&l) != k || s.f.Month != 0 && !inForceIn(&l, s.f.Month) {
				return true, nil
			}
			if ok, err := s.meetsLicense(tx, &l); err != nil || !ok {
				return true, err
			}
			if len(rows) == limit {
				next, done = o.sortKey(&rows[limit-1]), true
				return false, nil
			}
			rows = append(rows, l)
			return true, nil
		})
		if err != nil {
			return nil, "", err
		}
	}
	return rows, next, nil
}

// mustLoad reads a license that stands in an index.
func mustLoad(tx *bbolt.Tx, provider, id string) (events.License, error) {
	l, ok, err := LoadLicense(tx, provider, id)
	if err == nil && !ok {
		err = fmt.Errorf("license %s is in an index alone", id)
	}
	return l, err
}

// group is a stretch of an order, out of runs of an index that are each in that order.
type group struct {
	from   string // no key of the group comes before
	prefix string // what all its keys begin with
	runs   func(tx *bbolt.Tx) []run
}

// run is a run of index rows: those that begin with a prefix. What follows it is in order, and so is what follows the group's.
type run struct {
	bucket []byte
	prefix string
}

// groups are the stretches of an order, in ascending order.
func (f Filter) groups(tx *bbolt.Tx, by Column) (groups []group) {
	switch by {
	case SortType:
		for _, t := range f.types(tx) {
			groups = append(groups, f.group(t, f.scope(), func(c cell) bool { return c.Type == t }))
		}
	case SortStatus:
		var statuses []string
		f.cells(tx, func(c cell, _ uint64) { statuses = append(statuses, string(c.Status)) })
		slices.Sort(statuses)
		for _, status := range slices.Compact(statuses) {
			groups = append(groups, f.group(status, f.scope(), func(c cell) bool { return string(c.Status) == status }))
		}
	case SortCompany:
		for _, company := range f.companies(tx) {
			groups = append(groups, f.group(company, scopeCompany(company), func(cell) bool { return true }))
		}
	case SortAssignee:
		nobody := f.runsOf(f.scope(), func(c cell) bool { return !c.Assigned && c.Status.InForce() })
		groups = []group{
			{prefix: key("", "", ""), runs: func(tx *bbolt.Tx) []run {
				return append(nobody(tx), run{bucketAssignees, prefix(f.Provider, "", "")})
			}},
			{from: "\x01", runs: func(*bbolt.Tx) []run { return []run{{bucketAssignees, prefix(f.Provider)}} }},
		}
	default:
		groups = []group{f.byID()}
	}
	return groups
}

// byID are the licenses under the filter, but for search and month, in the order of their ids.
func (f Filter) byID() group {
	if f.Company == "" && f.Type == "" && f.Status == "" {
		return group{runs: func(*bbolt.Tx) []run { return []run{{bucketLicenses, prefix(f.Provider)}} }}
	}
	return group{runs: f.runsOf(f.scope(), func(cell) bool { return true })}
}

// group is one of licenses that have a text in common, out of some of the cells of a scope.
func (f Filter) group(text, scope string, cells func(cell) bool) group {
	return group{from: prefix(text), prefix: prefix(text), runs: f.runsOf(scope, cells)}
}

// runsOf are the runs of some of the cells of a scope.
func (f Filter) runsOf(scope string, cells func(cell) bool) func(tx *bbolt.Tx) []run {
	return func(tx *bbolt.Tx) (runs []run) {
		f.cellsOf(tx, scope, func(c cell, _ uint64) {
			if cells(c) {
				runs = append(runs, run{bucketGrid, prefix(f.Provider, scope, string(appendCell(nil, c)))})
			}
		})
		return runs
	}
}

// types are those of the licenses under the filter, in order.
func (f Filter) types(tx *bbolt.Tx) (types []string) {
	f.cells(tx, func(c cell, _ uint64) {
		if len(types) == 0 || types[len(types)-1] != c.Type {
			types = append(types, c.Type)
		}
	})
	return types
}

// companies are those that licenses are listed under, in order; "" for the provider itself.
func (f Filter) companies(tx *bbolt.Tx) (companies []string) {
	if f.Company != "" {
		return []string{f.Company}
	}
	first := prefix(f.Provider) + scopeCompany("")
	c := tx.Bucket(bucketCounts).Cursor()
	for k, _ := c.Seek([]byte(first)); k != nil && bytes.HasPrefix(k, []byte(first)); {
		company, _, _ := strings.Cut(string(k[len(first):]), "\x00")
		companies = append(companies, company)
		k, _ = c.Seek([]byte(first + company + "\x01"))
	}
	return companies
}

// each yields the keys of a group in an order, behind one of the whole order, each once, until fn says no.
func (g *group) each(tx *bbolt.Tx, after string, descending bool, fn func(k string) (bool, error)) error {
	m := merge{descending: descending}
	for _, r := range g.runs(tx) {
		low := ""
		if g.from > g.prefix {
			low = g.from[len(g.prefix):]
		}
		rest, inside := strings.CutPrefix(after, g.prefix)
		switch {
		case after == "":
			rest = ""
		case after < g.from, !inside && after < g.prefix:
			if descending {
				return nil
			}
			rest = ""
		case !inside:
			if !descending {
				return nil
			}
			rest = ""
		}
		h := &head{cursor: tx.Bucket(r.bucket).Cursor(), prefix: r.prefix, low: low}
		if h.seek(rest, descending) {
			m.heads = append(m.heads, h)
		}
	}
	heap.Init(&m)
	last := ""
	for len(m.heads) > 0 {
		h := m.heads[0]
		if h.rest != last { // a license may stand in two runs
			if more, err := fn(g.prefix + h.rest); err != nil || !more {
				return err
			}
			last = h.rest
		}
		if h.step(descending) {
			heap.Fix(&m, 0)
		} else {
			heap.Pop(&m)
		}
	}
	return nil
}

// head is where a merge is in one run.
type head struct {
	cursor *bbolt.Cursor
	prefix string
	low    string // what comes before does not belong to it
	rest   string // of the key, behind the prefix
}

// seek goes to the first key behind another, in either direction; it is false if there is none.
func (h *head) seek(after string, descending bool) bool {
	switch {
	case !descending && after == "":
		k, _ := h.cursor.Seek([]byte(h.prefix + h.low))
		return h.at(k)
	case !descending:
		k, _ := h.cursor.Seek([]byte(h.prefix + after + "\x00"))
		return h.at(k)
	}
	end := []byte(h.prefix + after)
	if after == "" {
		end[len(end)-1]++ // it is a zero byte
	}
	if k, _ := h.cursor.Seek(end); k == nil {
		k, _ = h.cursor.Last()
		return h.at(k)
	}
	return h.step(true)
}

func (h *head) step(descending bool) bool {
	step := h.cursor.Next
	if descending {
		step = h.cursor.Prev
	}
	k, _ := step()
	return h.at(k)
}

// at takes the cursor's key; it is false outside of the run.
func (h *head) at(k []byte) bool {
	if k == nil || !bytes.HasPrefix(k, []byte(h.prefix)) {
		return false
	}
	h.rest = string(k[len(h.prefix):])
	return h.rest >= h.low
}

// merge is a heap of runs by their next key.
type merge struct {
	heads      []*head
	descending bool
}

func (m *merge) Len() int { return len(m.heads) }
func (m *merge) Less(i, j int) bool {
	if m.descending {
		return m.heads[i].rest > m.heads[j].rest
	}
	return m.heads[i].rest < m.heads[j].rest
}
func (m *merge) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merge) Push(x any)    { m.heads = append(m.heads, x.(*head)) }
func (m *merge) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}

// pick picks the rows of a page out of all.
func pick(tx *bbolt.Tx, f Filter, o Order, after string, limit int) ([]events.License, string, error) {
	best := &page{Order: o}
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
	Order
	rows []sortedRow
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
