package licenses

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Words are what a text is found by: its runs of letters and digits, in lower case, each once.
func Words(s string) []string {
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(words)
	return slices.Compact(words)
}

// maxWords bounds the words by which one license is found.
const maxWords = 32

// wordsOf are the words under which a license stands in the index: of whom it serves, or served last, and of the name of
// that endpoint. Its type, its company and its own id are not among them: those lead to runs of licenses anyway.
func wordsOf(l *events.License, endpointName string) []string {
	if l.Assignee.ID == "" || !l.Assigned && l.Status.InForce() {
		return nil
	}
	text := l.Assignee.ID
	if l.Assignee.Kind == events.Endpoint && endpointName != l.Assignee.ID {
		text += " " + endpointName
	}
	words := Words(text)
	return words[:min(len(words), maxWords)]
}

// posting is what stands under a word: enough of the license to judge it without its row.
type posting struct {
	cell
	company string
	words   []string // all that it is found by, in order
}

func (p *posting) row(b []byte) []byte {
	b = appendText(appendText(appendText(b, p.Type), string(p.Status)), p.company)
	b = append(b, flag(p.Assigned))
	for _, w := range p.words {
		b = appendText(b, w)
	}
	return b
}

func readPosting(row []byte) (p posting, err error) {
	r := reader{b: row}
	p.Type, p.Status, p.company = r.text(), events.Status(r.text()), r.text()
	p.Assigned = r.byte() != 0
	for len(r.b) > 0 && !r.bad {
		p.words = append(p.words, r.text())
	}
	return p, r.end(bucketWords)
}

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

// meaning is what a word of a search may stand for, beside the words that begin with it: types and companies.
type meaning struct {
	word      string
	types     []string
	companies []string
}

// search is a search with the meanings of its words.
type search struct {
	f     Filter
	terms [][][]meaning
}

// understand looks up what the words of a filter's search mean.
func understand(tx *bbolt.Tx, f Filter) (*search, error) {
	s := &search{f: f}
	types := map[string]bool{}
	f.Company, f.Type, f.Status = "", "", ""
	f.cells(tx, func(c cell, _ uint64) { types[c.Type] = true })
	meanings := map[string]meaning{}
	for _, term := range f.Search {
		var alternatives [][]meaning
		for _, words := range term {
			var all []meaning
			for _, w := range words {
				m, ok := meanings[w]
				if !ok {
					m.word = w
					for t := range types {
						if begins(Words(t), w) {
							m.types = append(m.types, t)
						}
					}
					slices.Sort(m.types)
					meanings[w] = m
				}
				all = append(all, m)
			}
			alternatives = append(alternatives, all)
		}
		s.terms = append(s.terms, alternatives)
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
				meanings[w] = m
			}
		}
		return true, nil
	})
	for _, alternatives := range s.terms {
		for _, all := range alternatives {
			for i := range all {
				all[i] = meanings[all[i].word]
			}
		}
	}
	return s, err
}

// begins says whether one of some words in order begins with another.
func begins(words []string, w string) bool {
	i, _ := slices.BinarySearch(words, w)
	return i < len(words) && strings.HasPrefix(words[i], w)
}

// meets says whether a license meets a word.
func (m *meaning) meets(id string, p *posting) bool {
	return begins(p.words, m.word) || m.byKind(id, p)
}

// byKind says whether it does so by its type, its company or its own id.
func (m *meaning) byKind(id string, p *posting) bool {
	return slices.Contains(m.types, p.Type) || slices.Contains(m.companies, p.company) ||
		len(m.word) >= minIDPrefix && strings.HasPrefix(strings.ToLower(id), m.word)
}

// meets says whether a license meets all terms, and the rest of the filter as far as a posting tells.
func (s *search) meets(id string, p *posting) bool {
	if !s.f.matches(p.cell) || s.f.Company != "" && s.f.Company != p.company {
		return false
	}
	for _, alternatives := range s.terms {
		if !slices.ContainsFunc(alternatives, func(all []meaning) bool {
			return !slices.ContainsFunc(all, func(m meaning) bool { return !m.meets(id, p) })
		}) {
			return false
		}
	}
	return true
}

// source is a run of rows in which all candidates of a word stand, by one of the ways in which it can be met. Sources have an order, which
// is that of their rank and their keys.
type source struct {
	rank   byte
	bucket []byte
	first  string // what all keys begin with
	covers func(id string, p *posting) bool
}

// sources of a word, in a fixed order.
func (s *search) sources(m meaning) []source {
	list := []source{{'w', bucketWords, prefix(s.f.Provider) + m.word, func(_ string, p *posting) bool { return begins(p.words, m.word) }}}
	for _, t := range m.types {
		list = append(list, source{'x', bucketGrid, prefix(s.f.Provider, scopeAll, t), func(_ string, p *posting) bool { return p.Type == t }})
	}
	for _, c := range m.companies {
		list = append(list, source{'y', bucketGrid, prefix(s.f.Provider, scopeCompany(c)), func(_ string, p *posting) bool { return p.company == c }})
	}
	if len(m.word) >= minIDPrefix {
		list = append(list, source{'z', bucketLicenses, prefix(s.f.Provider) + strings.ToUpper(m.word), func(id string, _ *posting) bool {
			return strings.HasPrefix(strings.ToLower(id), m.word)
		}})
	}
	return list
}

// enough candidates to know that a word is a bad one to start from.
const enough = 4096

// cost is about how many candidates a word has.
func (s *search) cost(tx *bbolt.Tx, m meaning) (n uint64) {
	for _, src := range s.sources(m) {
		if !bytes.Equal(src.bucket, bucketGrid) {
			c := tx.Bucket(src.bucket).Cursor()
			for k, _ := c.Seek([]byte(src.first)); k != nil && n < enough && bytes.HasPrefix(k, []byte(src.first)); k, _ = c.Next() {
				n++
			}
			continue
		}
		c := tx.Bucket(bucketCounts).Cursor()
		for k, v := c.Seek([]byte(src.first)); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = c.Next() {
			n += binary.BigEndian.Uint64(v)
		}
	}
	return n
}

// start gives the words from which a search starts, one of each alternative of the term that has the fewest candidates.
func (s *search) start(tx *bbolt.Tx) []meaning {
	var best []meaning
	least := uint64(0)
	for _, alternatives := range s.terms {
		var words []meaning
		total := uint64(0)
		for _, all := range alternatives {
			word, n := all[0], s.cost(tx, all[0])
			for _, m := range all[1:] {
				if c := s.cost(tx, m); c < n {
					word, n = m, c
				}
			}
			words, total = append(words, word), total+n
		}
		if best == nil || total < least {
			best, least = words, total
		}
	}
	return best
}

// again finds the words from which a search started, which its places tell.
func (s *search) again(words string) (list []meaning) {
	for word := range strings.SplitSeq(words, " ") {
		for _, alternatives := range s.terms {
			for _, all := range alternatives {
				if i := slices.IndexFunc(all, func(m meaning) bool { return m.word == word }); i >= 0 {
					list = append(list, all[i])
				}
			}
		}
	}
	return list
}

// from are the sources of words, in their order.
func (s *search) from(words []meaning) (list []source) {
	for _, m := range words {
		list = append(list, s.sources(m)...)
	}
	slices.SortFunc(list, func(a, b source) int { return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.first, b.first)) })
	return slices.CompactFunc(list, func(a, b source) bool { return a.rank == b.rank && a.first == b.first })
}

// each yields the licenses that meet the search, each once, behind a place, until fn says no. They come in the order of the words by which they
// are found, and so do places. It gives up after so many looks, with the place where it is; 0 is without bound.
//
// A place is the words from which the search started, the rank of a source and a key of it: a search goes on from the same words, however many
// candidates they have by then, and where a source is gone with the next one.
func (s *search) each(tx *bbolt.Tx, after string, looks int, fn func(place, id string, p *posting) (bool, error)) (next string, err error) {
	words, rest, goesOn := strings.Cut(after, "\x00")
	var started []meaning
	if goesOn {
		started = s.again(words)
	} else {
		started = s.start(tx)
		words = ""
		for i, m := range started {
			if i > 0 {
				words += " "
			}
			words += m.word
		}
	}
	sources := s.from(started)
	looked, last := 0, after
	for i, src := range sources {
		from := []byte(src.first)
		if goesOn && rest != "" {
			switch rank, key := rest[0], rest[1:]; {
			case src.rank < rank, src.rank == rank && src.first < key && !strings.HasPrefix(key, src.first):
				continue
			case src.rank == rank && strings.HasPrefix(key, src.first):
				from = []byte(key + "\x00")
			}
		}
		c := tx.Bucket(src.bucket).Cursor()
		for k, v := c.Seek(from); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = c.Next() {
			if looked++; looks > 0 && looked > looks {
				return last, nil
			}
			last = words + "\x00" + string(src.rank) + string(k)
			id := string(k[bytes.LastIndexByte(k, 0)+1:])
			p, ok, err := s.candidate(tx, src, id, k, v)
			if err != nil {
				return "", err
			}
			if !ok || !s.meets(id, &p) || slices.ContainsFunc(sources[:i], func(o source) bool { return o.covers(id, &p) }) {
				continue
			}
			if more, err := fn(last, id, &p); err != nil || !more {
				return last, err
			}
		}
	}
	return "", nil
}

// candidate is what is known of a candidate; false for one that stands under an earlier word of the same run too.
func (s *search) candidate(tx *bbolt.Tx, src source, id string, k, v []byte) (p posting, ok bool, err error) {
	if bytes.Equal(src.bucket, bucketWords) {
		if p, err = readPosting(v); err != nil {
			return p, false, err
		}
		from := prefix(s.f.Provider)
		word := string(k[len(from) : len(k)-len(id)-1])
		i, _ := slices.BinarySearch(p.words, src.first[len(from):])
		return p, i < len(p.words) && p.words[i] == word, nil
	}
	l, found, err := LoadLicense(tx, s.f.Provider, id)
	if err != nil || !found {
		return p, false, fmt.Errorf("license %s is in an index alone: %w", id, err)
	}
	name, err := endpointName(tx, s.f.Provider, &l)
	return posting{cellOf(&l), CompanyOf(&l), wordsOf(&l, name)}, true, err
}

// endpointName is the name of the endpoint that a license serves, or served last; empty for other assignees and for endpoints that are gone.
func endpointName(tx *bbolt.Tx, provider string, l *events.License) (string, error) {
	if l.Assignee.Kind != events.Endpoint {
		return "", nil
	}
	e, _, err := LoadEndpoint(tx, provider, l.Assignee.ID)
	return e.Name, err
}

// count counts the licenses that meet the search.
func (s *search) count(tx *bbolt.Tx) (n Counters, err error) {
	if len(s.terms) != 1 || len(s.terms[0]) != 1 || len(s.terms[0][0]) != 1 || len(s.terms[0][0][0].word) >= minIDPrefix {
		_, err = s.each(tx, "", 0, func(_, _ string, p *posting) (bool, error) {
			n.add(p.cell, 1)
			return true, nil
		})
		return n, err
	}
	// Of a single word, what is met by type or company is counted already.
	m := s.terms[0][0][0]
	src := s.sources(m)[0]
	c := tx.Bucket(bucketWords).Cursor()
	for k, v := c.Seek([]byte(src.first)); k != nil && bytes.HasPrefix(k, []byte(src.first)); k, v = c.Next() {
		id := string(k[bytes.LastIndexByte(k, 0)+1:])
		p, ok, err := s.candidate(tx, src, id, k, v)
		if err != nil {
			return n, err
		}
		if ok && s.meets(id, &p) && !m.byKind(id, &p) {
			n.add(p.cell, 1)
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

// indexer moves licenses in the index of words, for one flush of a provider.
type indexer struct {
	w         *writer
	provider  string
	endpoints map[string]*events.EndpointSet // that changed; nil for one that is gone
}

// names are an endpoint's name as the rows have it, and as it is.
func (x *indexer) names(l *events.License) (was, is string, err error) {
	if l.Assignee.Kind != events.Endpoint {
		return "", "", nil
	}
	if was, err = endpointName(x.w.tx, x.provider, l); err != nil {
		return "", "", err
	}
	is = was
	if e, changed := x.endpoints[l.Assignee.ID]; changed {
		if is = ""; e != nil {
			is = e.Name
		}
	}
	return was, is, nil
}

// move takes a license from the words under which it stood, which may be none, to those under which it stands.
func (x *indexer) move(was, is *events.License) error {
	_, touched := x.endpoints[is.Assignee.ID]
	if was != nil && !touched && cellOf(was) == cellOf(is) && CompanyOf(was) == CompanyOf(is) && was.Assignee == is.Assignee {
		return nil
	}
	var before []string
	if was != nil {
		name, _, err := x.names(was)
		if err != nil {
			return err
		}
		before = wordsOf(was, name)
	}
	_, name, err := x.names(is)
	if err != nil {
		return err
	}
	p := posting{cellOf(is), CompanyOf(is), wordsOf(is, name)}
	for _, word := range before {
		if _, stays := slices.BinarySearch(p.words, word); !stays {
			x.w.delete(bucketWords, x.w.key(x.provider, word, is.ID))
		}
	}
	if len(p.words) > 0 {
		row := x.w.cut(p.row)
		for _, word := range p.words {
			x.w.put(bucketWords, x.w.key(x.provider, word, is.ID), row)
		}
	}
	return nil
}

// rename does so for the licenses of endpoints that have another name now, beside those that changed themselves.
func (x *indexer) rename(changed map[string]*events.License) error {
	for id, e := range x.endpoints {
		was, _, err := LoadEndpoint(x.w.tx, x.provider, id)
		if err != nil {
			return err
		}
		is := ""
		if e != nil {
			is = e.Name
		}
		if is == was.Name || was.Name == "" && is == id { // its id finds it anyway
			continue
		}
		held, err := ByAssignee(x.w.tx, x.provider, events.Assignee{Kind: events.Endpoint, ID: id})
		if err != nil {
			return err
		}
		for i := range held {
			if l := &held[i]; changed[l.ID] == nil {
				if err := x.move(l, l); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
