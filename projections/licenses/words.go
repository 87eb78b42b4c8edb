package licenses

import (
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
	words   []byte // all that it is found by, in order, as they stand in the row
}

func newPosting(l *events.License, words []string) posting {
	p := posting{cell: cellOf(l), company: CompanyOf(l)}
	for _, w := range words {
		p.words = appendText(p.words, w)
	}
	return p
}

func (p *posting) row(b []byte) []byte {
	b = appendText(appendText(appendText(b, p.Type), string(p.Status)), p.company)
	return append(append(b, flag(p.Assigned)), p.words...)
}

// first is the first of the words that begins with another; nil if none does.
func (p *posting) first(beginning string) []byte {
	r := reader{b: p.words}
	for len(r.b) > 0 && !r.bad {
		if w := r.bytes(int(r.uint())); len(w) >= len(beginning) && string(w[:len(beginning)]) == beginning {
			return w
		}
	}
	return nil
}

// postings reads them. What many have in common is made once.
type postings struct{ seen map[string]posting }

func (ps *postings) read(row []byte) (p posting, err error) {
	r := reader{b: row}
	for range 3 {
		r.bytes(int(r.uint()))
	}
	r.byte()
	common := row[:len(row)-len(r.b)]
	p, ok := ps.seen[string(common)]
	words := r.b
	for len(r.b) > 0 && !r.bad {
		r.bytes(int(r.uint()))
	}
	if err := r.end(bucketWords); err != nil {
		return p, err
	}
	if !ok {
		c := reader{b: common}
		p = posting{cell: cell{Type: c.text(), Status: events.Status(c.text())}, company: c.text()}
		p.Assigned = c.byte() != 0
		if ps.seen == nil {
			ps.seen = make(map[string]posting)
		}
		ps.seen[string(common)] = p
	}
	p.words = words
	return p, nil
}

// endpointName is the name of the endpoint that a license serves, or served last; empty for other assignees and for endpoints that are gone.
func endpointName(tx *bbolt.Tx, provider string, l *events.License) (string, error) {
	if l.Assignee.Kind != events.Endpoint {
		return "", nil
	}
	e, _, err := LoadEndpoint(tx, provider, l.Assignee.ID)
	return e.Name, err
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
	after := wordsOf(is, name)
	for _, word := range before {
		if _, stays := slices.BinarySearch(after, word); !stays {
			x.w.delete(bucketWords, x.w.key(x.provider, word, is.ID))
		}
	}
	if len(after) > 0 {
		p := newPosting(is, after)
		row := x.w.cut(p.row)
		for _, word := range after {
			x.w.put(bucketWords, x.w.key(x.provider, word, is.ID), row)
		}
	}
	return nil
}

// rename does so for the licenses of endpoints that have another name now, beside those that changed themselves.
func (x *indexer) rename(changed map[string]*events.License) error {
	for id, e := range x.endpoints {
		old, _, err := LoadEndpoint(x.w.tx, x.provider, id) // without a name if it is new, or was gone
		if err != nil {
			return err
		}
		is := ""
		if e != nil {
			is = e.Name
		}
		if is == old.Name || old.Name == "" && is == id { // its id finds it anyway
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
