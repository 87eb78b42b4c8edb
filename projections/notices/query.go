package notices

import (
	"bytes"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Query asks for notices of a provider. Empty filters let everything through.
type Query struct {
	Provider string
	Kind     string
	Company  string
	News     News
	Standing bool // only standing ones
	Limit    int
	After    string // the [Notice.Place] of the last one seen; empty from the newest on
}

// News says what a notice brings.
type News string

// News are good or bad.
const (
	Good News = "good"
	Bad  News = "bad"
)

// Place is where the notice is in the list: the list goes on behind it, also when the notice is gone.
func (n *Notice) Place() string { return string(n.key()) }

// Page lists notices, standing ones and news together, newest first: at most Limit of them.
func Page(tx *bbolt.Tx, q Query) (list []Notice, err error) {
	if tx.Bucket(bucketAccounts) == nil {
		return nil, nil // an empty file
	}
	var a account
	if _, err := load(tx, bucketAccounts, keyOf(q.Provider, nil), &a); err != nil {
		return nil, err
	}
	sources := []*source{
		newSource(tx, bucketStanding, q.Provider, q.After), newSource(tx, bucketNews, q.Provider, q.After), newSource(tx, bucketNews, "", q.After),
	}
	if q.Standing {
		sources = sources[:1]
	}
	for len(list) < q.Limit {
		var newest *source
		for _, s := range sources {
			if s.place != nil && (newest == nil || bytes.Compare(s.place, newest.place) > 0) {
				newest = s
			}
		}
		if newest == nil {
			return list, nil
		}
		n := Notice{account: a, Standing: bytes.Equal(newest.bucket, bucketStanding)}
		if err := decode(newest.bucket, newest.row, &n); err != nil {
			return nil, err
		}
		newest.step()
		if q.takes(&n) && (n.Kind != pricesChange || n.concerns(&a)) {
			list = append(list, n)
		}
	}
	return list, nil
}

func (q *Query) takes(n *Notice) bool {
	return (q.Kind == "" || n.Kind == q.Kind) && (q.Company == "" || n.Company == q.Company) && (q.News == "" || n.News() == q.News)
}

// source is a bucket's notices of a provider, newest first.
type source struct {
	bucket     []byte
	prefix     []byte
	cursor     *bbolt.Cursor
	place, row []byte // of the next one; nil at the end
}

func newSource(tx *bbolt.Tx, bucket []byte, provider, after string) *source {
	s := &source{bucket: bucket, prefix: keyOf(provider, nil), cursor: tx.Bucket(bucket).Cursor()}
	// The last one before a key: that behind which to go on, or the one behind all of the provider's.
	end := append(keyOf(provider, nil), after...)
	if after == "" {
		end[len(end)-1]++
	}
	if k, _ := s.cursor.Seek(end); k == nil {
		s.take(s.cursor.Last())
	} else {
		s.step()
	}
	return s
}

func (s *source) step() { s.take(s.cursor.Prev()) }

func (s *source) take(k, row []byte) {
	if s.place, s.row = nil, nil; bytes.HasPrefix(k, s.prefix) {
		s.place, s.row = k[len(s.prefix):], row
	}
}

// News says whether the notice is good or bad, as things stand.
func (n *Notice) News() News {
	if good, _ := n.says(""); good {
		return Good
	}
	return Bad
}

// Text says to people, in one or two sentences, what the notice is about. Who is the assignee's id as the reader may see
// it: in the log people have pseudonyms (domain U4).
func (n *Notice) Text(who string) string {
	_, text := n.says(who)
	return text
}

func (n *Notice) says(who string) (good bool, text string) {
	for i := range kinds {
		if kinds[i].name == n.Kind {
			return kinds[i].says(n, who)
		}
	}
	return false, n.Kind // of a later program, which shares the file
}

// one names a license by its type, whom it serves, and the company.
func (n *Notice) one(who string) string {
	text := n.Type
	if n.Assignee.ID != "" {
		text += " for " + string(n.Assignee.Kind) + " " + who
	}
	return text + n.of()
}

// several counts licenses.
func (n *Notice) several(one, many string) string {
	if n.Count == 1 {
		many = one
	}
	return strconv.Itoa(max(n.Count, 1)) + " " + n.Type + " " + many + n.of()
}

func (n *Notice) of() string {
	if n.Company == "" {
		return ""
	}
	return " of company " + n.Company
}

func instant(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

func month(m events.Month) string { return m.Start().Format("January 2006") }
