package usage

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// QueryError says what is wrong with a question.
type QueryError struct {
	Field  string // as in the query string: "from", "to", "group_by", "aggregate", "cursor", "provider"
	Reason string
}

func (e *QueryError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// Aggregate says what a group of readings becomes.
type Aggregate string

// Aggregates. Last is the reading with the latest time, of several at that time the one that arrived last.
const (
	Sum   Aggregate = "sum"
	Max   Aggregate = "max"
	Last  Aggregate = "last"
	Count Aggregate = "count"
)

// Group says which readings are put together: those that agree in everything that is set here, and in the meter.
// Day and Month exclude each other.
type Group struct{ Company, Endpoint, Day, Month bool }

// ParseGroup reads a list like "company,day". An empty one makes one group per meter.
func ParseGroup(list string) (Group, error) {
	var g Group
	if list == "" {
		return g, nil
	}
	fields := map[string]*bool{"company": &g.Company, "endpoint": &g.Endpoint, "day": &g.Day, "month": &g.Month}
	for name := range strings.SplitSeq(list, ",") {
		field := fields[strings.TrimSpace(name)]
		if field == nil || *field {
			return Group{}, &QueryError{Field: "group_by", Reason: fmt.Sprintf("%.40q is not a list of company, endpoint, and day or month", list)}
		}
		*field = true
	}
	return g, g.check()
}

func (g Group) check() error {
	if g.Day && g.Month {
		return &QueryError{Field: "group_by", Reason: "day or month, not both"}
	}
	return nil
}

// Query asks for the usage of one provider.
type Query struct {
	Provider string
	Meter    string // empty: every meter
	// Readings count whose time lies in [From, To). Both are the first instant of a day in UTC, as usage is kept per day; zero leaves that side open.
	From, To  time.Time
	Group     Group
	Aggregate Aggregate // empty: Sum
	Limit     int       // most rows; 0 for all
	// Cursor continues behind the last row of an answer to the same question. It stays valid while usage comes in.
	Cursor string
}

// Row is one group of readings. What the query does not group by is zero.
type Row struct {
	Company  string
	Endpoint string
	Day      events.Date  // only if grouped by day
	Month    events.Month // only if grouped by month
	Meter    string
	Value    decimal.Decimal
}

// Rows answers a query: rows in the order of company, meter, endpoint, and day or month, as far as they are grouped
// by, and a cursor for the rest, empty at the end. Errors are a [QueryError], or a damaged file.
//
// With companies in the group an answer costs no more than the readings of its
// page; without them every page reads all endpoints of the provider in the queried
// months. Memory is bounded by the limit.
func (View) Rows(tx *bbolt.Tx, q Query) ([]Row, string, error) {
	s, err := newSearch(q)
	if err != nil {
		return nil, "", err
	}
	if b := tx.Bucket(bucketMonths); b != nil {
		if err := s.scan(b.Cursor()); err != nil {
			return nil, "", fmt.Errorf("usage of %s: %w", q.Provider, err)
		}
	}
	return s.rows()
}

// search gathers the groups of a page. The key of a group is made like the keys of
// the rows: company, meter, endpoint, time, of which some are left out.
type search struct {
	q        Query
	from, to events.Date // [from, to)
	meter    []byte      // as in keys, without its end; nil: every meter
	after    []byte      // the key of the last group of the page before
	start    []byte      // where in a month's rows the page begins

	groups map[string]*cell
	bound  []byte // no group beyond it is needed; nil: unknown
	key    []byte // of the current group
}

func newSearch(q Query) (*search, error) {
	s := &search{q: q, from: minDate, to: maxDate, groups: map[string]*cell{}}
	if q.Provider == "" {
		return nil, &QueryError{Field: "provider", Reason: "is missing"}
	}
	if err := q.Group.check(); err != nil {
		return nil, err
	}
	switch q.Aggregate {
	case "":
		s.q.Aggregate = Sum
	case Sum, Max, Last, Count:
	default:
		return nil, &QueryError{Field: "aggregate", Reason: fmt.Sprintf("%.40q is not sum, max, last or count", q.Aggregate)}
	}
	for _, bound := range []struct {
		field string
		at    time.Time
		into  *events.Date
	}{{"from", q.From, &s.from}, {"to", q.To, &s.to}} {
		if bound.at.IsZero() {
			continue
		}
		*bound.into = min(max(events.DateOf(bound.at), minDate), maxDate)
		if !events.DateOf(bound.at).Start().Equal(bound.at) {
			return nil, &QueryError{Field: bound.field, Reason: "usage is kept per day, so this must be 00:00:00 of one, in UTC"}
		}
	}
	if q.Meter != "" {
		text := appendText(nil, q.Meter)
		s.meter = text[:len(text)-1]
	}
	if q.Cursor != "" {
		if err := s.resume(); err != nil {
			return nil, &QueryError{Field: "cursor", Reason: "it is not from an answer to this question"}
		}
	}
	return s, nil
}

// Readings have times of these days.
var (
	minDate = events.DateOf(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))
	maxDate = events.DateOf(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
)

// resume reads the cursor.
func (s *search) resume() error {
	key, err := base64.RawURLEncoding.DecodeString(s.q.Cursor)
	if err != nil {
		return err
	}
	if _, err := s.row(key, &cell{}); err != nil {
		return err
	}
	s.after = key
	if s.q.Group.Company {
		// Groups sort as rows do, but for the time.
		s.start = key
		if s.timed() {
			s.start = key[:len(key)-4]
		}
	}
	return nil
}

func (s *search) timed() bool { return s.q.Group.Day || s.q.Group.Month }

// scan goes through the months of the provider that the query touches.
func (s *search) scan(c *bbolt.Cursor) error {
	provider := appendText(nil, s.q.Provider)
	if s.from >= s.to {
		return nil
	}
	last := (s.to - 1).Month()
	month := s.from.Month()
	for {
		k, _ := c.Seek(appendMonth(slices.Clone(provider), month))
		if !bytes.HasPrefix(k, provider) {
			return nil
		}
		if len(k) < len(provider)+4 {
			return errDamaged
		}
		if month = events.Month(binary.BigEndian.Uint32(k[len(provider):])); month > last {
			return nil
		}
		if err := s.scanMonth(c, k[:len(provider)+4], month); err != nil {
			return err
		}
		month++
	}
}

func (s *search) scanMonth(c *bbolt.Cursor, prefix []byte, month events.Month) error {
	first := month.First()
	for k, v := c.Seek(slices.Concat(prefix, s.start)); bytes.HasPrefix(k, prefix); {
		company, rest, err := cutText(k[len(prefix):])
		if err != nil {
			return err
		}
		meter, rest, err := cutText(rest)
		if err != nil {
			return err
		}
		if s.meter != nil && !bytes.Equal(meter, s.meter) {
			// Skip to the meter, or over the company's other ones: no text begins with 0xff.
			to := append(slices.Concat(prefix, company), 0)
			if bytes.Compare(meter, s.meter) < 0 {
				to = append(append(to, s.meter...), 0)
			} else {
				to = append(to, 0xff)
			}
			k, v = c.Seek(to)
			continue
		}
		s.key = s.key[:0]
		if s.q.Group.Company {
			s.key = append(append(s.key, company...), 0)
		}
		s.key = append(append(s.key, meter...), 0)
		if s.q.Group.Endpoint {
			s.key = append(s.key, rest...)
		}
		if s.q.Group.Company && s.bound != nil && bytes.Compare(s.key, s.bound) > 0 {
			return nil // and so are the groups of all rows behind this one
		}
		if err := s.addRow(v, first, month); err != nil {
			return fmt.Errorf("row %q: %w", k, err)
		}
		k, v = c.Next()
	}
	return nil
}

// addRow adds the cells of a row to their groups. s.key is that of the group but for the time.
func (s *search) addRow(row []byte, first events.Date, month events.Month) error {
	untimed := len(s.key)
	for len(row) > 0 {
		day, text, rest, err := cutCell(row)
		if err != nil {
			return err
		}
		row = rest
		date := first + events.Date(day) - 1
		if date < s.from || date >= s.to {
			continue
		}
		s.key = s.key[:untimed]
		switch {
		case s.q.Group.Day:
			s.key = appendDate(s.key, date)
		case s.q.Group.Month:
			s.key = appendMonth(s.key, month)
		}
		if bytes.Compare(s.key, s.after) <= 0 || s.bound != nil && bytes.Compare(s.key, s.bound) > 0 {
			continue
		}
		c, err := readCell(first, day, text)
		if err != nil {
			return err
		}
		g := s.groups[string(s.key)]
		if g == nil {
			s.groups[string(s.key)] = &c
			s.prune()
		} else if err := g.join(&c); err != nil {
			return err
		}
	}
	return nil
}

// prune drops groups that lie beyond the page. Their sums may be incomplete, but no more than Limit rows are answered.
func (s *search) prune() {
	keep := s.q.Limit + 1 // one more tells whether there is a next page
	if s.q.Limit <= 0 || len(s.groups) < 2*keep+64 {
		return
	}
	keys := slices.Sorted(maps.Keys(s.groups))
	for _, k := range keys[keep:] {
		delete(s.groups, k)
	}
	s.bound = []byte(keys[keep-1])
}

// join puts two cells of any days and endpoints together.
func (c *cell) join(other *cell) error {
	var ok bool
	if c.sum, ok = c.sum.add(other.sum); !ok {
		return errOverflow
	}
	if c.max.Cmp(other.max) < 0 {
		c.max = other.max
	}
	if c.before(other) {
		c.day, c.last, c.at, c.entry, c.event = other.day, other.last, other.at, other.entry, other.event
	}
	c.count += other.count
	return nil
}

// before says whether the last reading of the other cell was taken or, at the same time, arrived later.
func (c *cell) before(other *cell) bool {
	switch {
	case c.day != other.day:
		return c.day < other.day
	case c.at != other.at:
		return c.at < other.at
	case c.entry != other.entry:
		return c.entry < other.entry
	}
	return c.event < other.event
}

func (s *search) rows() ([]Row, string, error) {
	keys := slices.Sorted(maps.Keys(s.groups))
	next := ""
	if s.q.Limit > 0 && len(keys) > s.q.Limit {
		keys = keys[:s.q.Limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(keys[len(keys)-1]))
	}
	rows := make([]Row, len(keys))
	for i, k := range keys {
		var err error
		if rows[i], err = s.row([]byte(k), s.groups[k]); err != nil {
			return nil, "", err
		}
	}
	return rows, next, nil
}

// row makes the answer for a group.
func (s *search) row(key []byte, c *cell) (Row, error) {
	var r Row
	var err error
	if s.q.Group.Company {
		if r.Company, key, err = takeText(key); err != nil {
			return r, err
		}
	}
	if r.Meter, key, err = takeText(key); err != nil {
		return r, err
	}
	if s.q.Group.Endpoint {
		if r.Endpoint, key, err = takeText(key); err != nil {
			return r, err
		}
	}
	if s.timed() {
		if len(key) != 4 {
			return r, errDamaged
		}
		if s.q.Group.Day {
			r.Day = readDate(key)
		} else {
			r.Month = events.Month(binary.BigEndian.Uint32(key))
		}
		key = key[4:]
	}
	if len(key) > 0 {
		return r, errDamaged
	}
	switch s.q.Aggregate {
	case Sum:
		r.Value = c.sum.Decimal()
	case Max:
		r.Value = c.max.Decimal()
	case Last:
		r.Value = c.last.Decimal()
	case Count:
		r.Value = whole(c.count).Decimal()
	}
	return r, nil
}

// appendDate writes a date so that dates before 1970 sort first.
func appendDate(b []byte, d events.Date) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(d)^1<<31)
}

func readDate(b []byte) events.Date { return events.Date(binary.BigEndian.Uint32(b) ^ 1<<31) }

// Day is what an endpoint's meter adds up to on one day.
type Day struct {
	Company, Meter, Endpoint string
	Day                      events.Date
	Count                    uint64
	Sum, Max, Last           Amount
	// LastAt is the time of the last reading; it arrived with event LastEvent of entry LastEntry.
	LastAt    time.Time
	LastEntry uint64
	LastEvent int
}

// MonthDays calls fn for every day with readings of a provider's month, by company, meter, endpoint and day. An error of fn ends it and is returned.
func (View) MonthDays(tx *bbolt.Tx, provider string, month events.Month, fn func(Day) error) error {
	b := tx.Bucket(bucketMonths)
	if b == nil {
		return nil
	}
	prefix, first := monthPrefix(provider, month), month.First()
	c := b.Cursor()
	for k, row := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, row = c.Next() {
		series, err := readSeries(k[len(prefix):])
		if err != nil {
			return fmt.Errorf("usage row %q: %w", k, err)
		}
		for len(row) > 0 {
			day, text, rest, err := cutCell(row)
			if err != nil {
				return fmt.Errorf("usage row %q: %w", k, err)
			}
			c, err := readCell(first, day, text)
			if err != nil {
				return fmt.Errorf("usage row %q: %w", k, err)
			}
			row = rest
			if err := fn(Day{
				Company: series.company, Meter: series.meter, Endpoint: series.endpoint, Day: c.day,
				Count: c.count, Sum: c.sum, Max: c.max, Last: c.last,
				LastAt: c.day.Start().Add(time.Duration(c.at) * time.Millisecond), LastEntry: c.entry, LastEvent: int(c.event),
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Gap is a range of numbers of an agent's spool for which neither a report nor a void has come (domain U2), though higher ones have.
type Gap struct {
	Agent, Spool string
	From, To     uint64 // [From, To)
}

// Gaps lists the gaps of a provider by agent, spool and number, at most limit of them (0: all), and a cursor for the rest, empty at the end.
func (View) Gaps(tx *bbolt.Tx, provider string, limit int, cursor string) ([]Gap, string, error) {
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return nil, "", &QueryError{Field: "cursor", Reason: "it is not from an answer to this question"}
	}
	if provider == "" {
		return nil, "", &QueryError{Field: "provider", Reason: "is missing"}
	}
	b := tx.Bucket(bucketGaps)
	if b == nil {
		return nil, "", nil
	}
	prefix := appendText(nil, provider)
	last := slices.Concat(prefix, after)
	var gaps []Gap
	c := b.Cursor()
	for k, v := c.Seek(last); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(after) > 0 && bytes.Equal(k, last) {
			continue
		}
		if limit > 0 && len(gaps) == limit {
			return gaps, base64.RawURLEncoding.EncodeToString(last[len(prefix):]), nil
		}
		var g Gap
		rest := k[len(prefix):]
		if g.Agent, rest, err = takeText(rest); err == nil {
			g.Spool, rest, err = takeText(rest)
		}
		var s span
		if err == nil {
			s, err = readGap(rest, v)
		}
		if err != nil {
			return nil, "", fmt.Errorf("gap %q: %w", k, err)
		}
		g.From, g.To = s.from, s.to
		gaps, last = append(gaps, g), k
	}
	return gaps, "", nil
}
