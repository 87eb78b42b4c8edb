package licenses

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Term is a part of a search that a row has to meet: all words of one of its alternatives.
type Term [][]string

// ParseSearch reads what somebody typed: parts separated by spaces, each of which every row has to meet. A part stands for its own words;
// also, if known has something for it, for others: those under which the log knows a person.
func ParseSearch(q string, known func(part string) []string) []Term {
	var terms []Term
	for _, part := range strings.Fields(q) {
		var t Term
		if words := Words(part); len(words) > 0 {
			t = append(t, words)
		}
		for _, other := range known(part) {
			t = append(t, []string{strings.ToLower(other)})
		}
		if len(t) > 0 {
			terms = append(terms, t)
		}
	}
	return terms
}

// minIDPrefix is how much of a license's id has to be typed: they all begin alike.
const minIDPrefix = 10

// meaning is what a word of a search may stand for, beside the words that begin with it: types, companies, and, if it is long enough,
// licenses whose id begins so.
type meaning struct {
	word      string
	types     []string // in order, as the companies
	companies []string
	id        string
}

// way is one of the ways in which a license meets a word.
type way int

const (
	byWord way = iota
	byType
	byCompany
	byID
	ways // how many there are
)

// meets says whether a license meets a word in some way.
func (m *meaning) meets(w way, id []byte, p *posting) bool {
	switch w {
	case byWord:
		return p.first(m.word) != nil
	case byType:
		_, ok := slices.BinarySearch(m.types, p.Type)
		return ok
	case byCompany:
		_, ok := slices.BinarySearch(m.companies, p.company)
		return ok
	default:
		return m.id != "" && bytes.HasPrefix(id, []byte(m.id))
	}
}

// meetsBefore says whether it does so in one of the ways before another; in any before [ways].
func (m *meaning) meetsBefore(end way, id []byte, p *posting) bool {
	for w := end - 1; w >= 0; w-- {
		if m.meets(w, id, p) {
			return true
		}
	}
	return false
}

// search is a search with the meanings of its words.
type search struct {
	f        Filter
	terms    [][][]meaning
	postings postings
}

// understand looks up what the words of a filter's search mean.
func understand(tx *bbolt.Tx, f Filter) (*search, error) {
	s := &search{f: f}
	if len(f.Search) == 0 {
		return s, nil
	}
	meanings := map[string]*meaning{}
	for _, term := range f.Search {
		for _, words := range term {
			for _, w := range words {
				m := &meaning{word: w}
				if len(w) >= minIDPrefix {
					m.id = strings.ToUpper(w)
				}
				meanings[w] = m
			}
		}
	}
	everything := Filter{Provider: f.Provider}
	for _, t := range everything.types(tx) {
		words := Words(t)
		for w, m := range meanings {
			if begins(words, w) {
				m.types = append(m.types, t)
			}
		}
	}
	err := each(tx, bucketCompanies, prefix(f.Provider), "", func(id string, row []byte) (bool, error) {
		c, err := readJSON[events.CompanySet](bucketCompanies, row)
		if err != nil {
			return false, err
		}
		words := Words(c.Company + " " + c.Name)
		for w, m := range meanings {
			if begins(words, w) {
				m.companies = append(m.companies, id)
			}
		}
		return true, nil
	})
	for _, term := range f.Search {
		var alternatives [][]meaning
		for _, words := range term {
			var all []meaning
			for _, w := range words {
				all = append(all, *meanings[w])
			}
			alternatives = append(alternatives, all)
		}
		s.terms = append(s.terms, alternatives)
	}
	return s, err
}

// begins says whether one of some words in order begins with another.
func begins(words []string, w string) bool {
	i, _ := slices.BinarySearch(words, w)
	return i < len(words) && strings.HasPrefix(words[i], w)
}

// meets says whether a license meets all terms, and the rest of the filter as far as a posting tells.
func (s *search) meets(id []byte, p *posting) bool {
	if !s.f.matches(p.cell) || s.f.Company != "" && s.f.Company != p.company {
		return false
	}
	for _, alternatives := range s.terms {
		if !slices.ContainsFunc(alternatives, func(all []meaning) bool {
			for i := range all {
				if !all[i].meetsBefore(ways, id, p) {
					return false
				}
			}
			return true
		}) {
			return false
		}
	}
	return true
}

// meetsLicense says so of a license as it stands in a row, or stood.
func (s *search) meetsLicense(tx *bbolt.Tx, l *events.License) (bool, error) {
	p, err := s.posting(tx, l)
	return err == nil && s.meets([]byte(l.ID), &p), err
}

// posting is what stands, or would stand, under the words of a license.
func (s *search) posting(tx *bbolt.Tx, l *events.License) (posting, error) {
	if len(s.terms) == 0 {
		return newPosting(l, nil), nil
	}
	name, err := endpointName(tx, s.f.Provider, l)
	return newPosting(l, wordsOf(l, name)), err
}

// source is a run of rows in which candidates of a search stand: those of a word of one alternative, in one of the ways.
type source struct {
	bucket      []byte
	first       string // what all keys begin with
	alternative int
	way         way
}

// rank orders sources; those of the same rank have no license in common, and come in the order of their keys.
func (s source) rank() int { return s.alternative*int(ways) + int(s.way) }

// sources of a word, in a fixed order.
func (s *search) sources(m *meaning, alternative int) []source {
	list := []source{{bucketWords, prefix(s.f.Provider) + m.word, alternative, byWord}}
	for _, t := range m.types {
		list = append(list, source{bucketGrid, prefix(s.f.Provider, scopeAll, t), alternative, byType})
	}
	for _, c := range m.companies {
		list = append(list, source{bucketGrid, prefix(s.f.Provider, scopeCompany(c)), alternative, byCompany})
	}
	if m.id != "" {
		list = append(list, source{bucketLicenses, prefix(s.f.Provider) + m.id, alternative, byID})
	}
	return list
}

// few is as many licenses as may well be looked at one by one.
const few = 4096

// listed is how many candidates of a word stand in runs of the grid.
func (s *search) listed(tx *bbolt.Tx, m *meaning) (n uint64) {
	for _, src := range s.sources(m, 0) {
		if !bytes.Equal(src.bucket, bucketGrid) {
			continue
		}
		c := tx.Bucket(bucketCounts).Cursor()
		for k, v := c.Seek([]byte(src.first)); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = c.Next() {
			n += binary.BigEndian.Uint64(v)
		}
	}
	return n
}

// cost is how many candidates a word has, of which so many are listed; if there are more than most, most + 1.
func (s *search) cost(tx *bbolt.Tx, m *meaning, listed, most uint64) uint64 {
	n := listed
	for _, src := range s.sources(m, 0) {
		if bytes.Equal(src.bucket, bucketGrid) {
			continue
		}
		c := tx.Bucket(src.bucket).Cursor()
		for k, _ := c.Seek([]byte(src.first)); k != nil && n <= most && bytes.HasPrefix(k, []byte(src.first)); k, _ = c.Next() {
			n++
		}
	}
	return min(n, most+1)
}

// probes is as many candidates as are counted to learn which word has the fewest.
const probes = 1 << 16

// start is where the candidates of a search come from: a term and, of each of its alternatives, a word.
type start struct {
	term  int
	words []int
}

// start picks the term that has the fewest candidates, and says how many; if there are more than most, most + 1. Among those it takes
// the one with the fewest in runs of the grid, where each has to be read.
func (s *search) start(tx *bbolt.Tx, most uint64) (best start, least uint64) {
	least, leastListed := most+1, uint64(math.MaxUint64)
	for i, alternatives := range s.terms {
		candidate, total, totalListed := start{term: i}, uint64(0), uint64(0)
		for _, all := range alternatives {
			word, fewest, fewestListed := 0, uint64(math.MaxUint64), uint64(math.MaxUint64)
			for j := range all {
				listed := s.listed(tx, &all[j])
				n := min(s.cost(tx, &all[j], listed, min(fewest, least)), most+1)
				if n < fewest || n == fewest && listed < fewestListed {
					word, fewest, fewestListed = j, n, listed
				}
			}
			candidate.words = append(candidate.words, word)
			total, totalListed = total+fewest, totalListed+fewestListed
		}
		total = min(total, most+1)
		if total < least || total == least && totalListed < leastListed {
			best, least, leastListed = candidate, total, totalListed
		}
	}
	return best, least
}

// ErrPlace says that a place is none of the list: of another one, or of a month that was open then and is closed now.
var ErrPlace = errors.New("the place is none of this list")

// place is where a search is. It keeps what the search started with: which word has the fewest candidates changes.
type place struct {
	start
	rank int
	key  string
}

// String is like "1.0.2:4", then a zero byte and the key.
func (p place) String() string {
	var b []byte
	b = strconv.AppendInt(b, int64(p.term), 10)
	for _, w := range p.words {
		b = strconv.AppendInt(append(b, '.'), int64(w), 10)
	}
	b = strconv.AppendInt(append(b, ':'), int64(p.rank), 10)
	return string(append(append(b, 0), p.key...))
}

// place reads one; that of the beginning is empty.
func (s *search) place(tx *bbolt.Tx, text string) (p place, err error) {
	if text == "" {
		p.start = start{words: make([]int, len(s.terms[0]))}
		if len(s.terms) > 1 || slices.ContainsFunc(s.terms[0], func(all []meaning) bool { return len(all) > 1 }) {
			p.start, _ = s.start(tx, probes)
		}
		return p, nil
	}
	head, key, ok := strings.Cut(text, "\x00")
	choice, rank, ok2 := strings.Cut(head, ":")
	p.key = key
	if p.rank, err = strconv.Atoi(rank); err != nil || !ok || !ok2 {
		return p, ErrPlace
	}
	for i, digits := range strings.Split(choice, ".") {
		n, err := strconv.Atoi(digits)
		switch {
		case err != nil || n < 0 || i == 0 && n >= len(s.terms):
			return p, ErrPlace
		case i == 0:
			p.term = n
			p.words = make([]int, len(s.terms[n])) // of an alternative that has come since, the first
		case i > len(p.words): // of one that is gone
		case n >= len(s.terms[p.term][i-1]):
			return p, ErrPlace
		default:
			p.words[i-1] = n
		}
	}
	return p, nil
}

// candidate is a license that may meet a search.
type candidate struct {
	id []byte
	posting
	at place // without the key
	k  []byte
}

func (c *candidate) place() string {
	c.at.key = string(c.k)
	return c.at.String()
}

// each yields the licenses that meet the search, each once, behind a place, until fn says no. They come in the order of the words by which they
// are found, and so do places. It gives up after so many looks, with the place where it is; 0 is without bound.
func (s *search) each(tx *bbolt.Tx, after string, looks int, fn func(c *candidate) (bool, error)) (next string, err error) {
	from, err := s.place(tx, after)
	if err != nil {
		return "", err
	}
	var words []*meaning // those to start with
	var sources []source
	for i, w := range from.words {
		m := &s.terms[from.term][i][w]
		words = append(words, m)
		for _, src := range s.sources(m, i) {
			if !slices.ContainsFunc(sources, func(o source) bool { return o.first == src.first && bytes.Equal(o.bucket, src.bucket) }) {
				sources = append(sources, src)
			}
		}
	}
	looked := 0
	c := candidate{at: from, k: []byte(from.key)}
	for _, src := range sources {
		begin := src.first
		switch {
		case src.rank() < from.rank:
			continue
		case src.rank() == from.rank && from.key >= begin:
			begin = from.key + "\x00"
		}
		cursor := tx.Bucket(src.bucket).Cursor()
		for k, v := cursor.Seek([]byte(begin)); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = cursor.Next() {
			if looked++; looks > 0 && looked > looks {
				return c.place(), nil
			}
			c.k, c.at.rank = k, src.rank()
			c.id = k[bytes.LastIndexByte(k, 0)+1:]
			if err := s.look(tx, src, &c, v); err != nil {
				return "", err
			}
			if src.way == byWord && !s.standsFirst(src, &c) || !s.meets(c.id, &c.posting) || s.seen(words, src, &c) {
				continue
			}
			if more, err := fn(&c); err != nil || !more {
				return c.place(), err
			}
		}
	}
	return "", nil
}

// look finds out what there is to know of a candidate.
func (s *search) look(tx *bbolt.Tx, src source, c *candidate, row []byte) (err error) {
	if src.way == byWord {
		c.posting, err = s.postings.read(row)
		return err
	}
	l, ok, err := LoadLicense(tx, s.f.Provider, string(c.id))
	if err != nil || !ok {
		return fmt.Errorf("license %s is in an index alone: %w", c.id, err)
	}
	c.posting, err = s.posting(tx, &l)
	return err
}

// standsFirst is false for a candidate that stands under an earlier word of the same run too.
func (s *search) standsFirst(src source, c *candidate) bool {
	from := len(s.f.Provider) + 1
	return bytes.Equal(c.first(src.first[from:]), c.k[from:len(c.k)-len(c.id)-1])
}

// seen says whether a license is a candidate of an earlier source.
func (s *search) seen(words []*meaning, src source, c *candidate) bool {
	for _, m := range words[:src.alternative] {
		if m.meetsBefore(ways, c.id, &c.posting) {
			return true
		}
	}
	return words[src.alternative].meetsBefore(src.way, c.id, &c.posting)
}

// count counts the licenses that meet the search.
func (s *search) count(tx *bbolt.Tx) (n Counters, err error) {
	if len(s.terms) != 1 || len(s.terms[0]) != 1 || len(s.terms[0][0]) != 1 || s.terms[0][0][0].id != "" {
		_, err = s.each(tx, "", 0, func(c *candidate) (bool, error) {
			n.add(c.cell, 1)
			return true, nil
		})
		return n, err
	}
	// Of a single word, what is met by type or company is counted already.
	m := &s.terms[0][0][0]
	src := s.sources(m, 0)[0]
	cursor := tx.Bucket(bucketWords).Cursor()
	for k, v := cursor.Seek([]byte(src.first)); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = cursor.Next() {
		c := candidate{k: k, id: k[bytes.LastIndexByte(k, 0)+1:]}
		if c.posting, err = s.postings.read(v); err != nil {
			return n, err
		}
		if s.standsFirst(src, &c) && s.meets(c.id, &c.posting) && !m.meets(byType, c.id, &c.posting) && !m.meets(byCompany, c.id, &c.posting) {
			n.add(c.cell, 1)
		}
	}
	of := func(company string, fn func(cell, uint64)) {
		f := s.f
		f.Company = company
		f.cells(tx, fn)
	}
	byType := func(c cell) bool { return slices.Contains(m.types, c.Type) }
	of(s.f.Company, func(c cell, count uint64) {
		if byType(c) || s.f.Company != "" && slices.Contains(m.companies, s.f.Company) {
			n.add(c, count)
		}
	})
	if s.f.Company != "" {
		return n, nil
	}
	for _, company := range m.companies {
		of(company, func(c cell, count uint64) {
			if !byType(c) {
				n.add(c, count)
			}
		})
	}
	return n, nil
}
