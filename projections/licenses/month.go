package licenses

import (
	"fmt"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// A provider's licenses are kept monthly: of each there is a version for every month in which something happened to it, as the last event of
// that month left it. A renewal makes no version: it moves the end to the end of the month, which goes without saying. So
// history grows with what happens, not with the number of licenses.

type versionKey struct {
	license string
	month   events.Month // the open month when it happened
}

// AtEnd is a license as it stood when a month was closed, or stands if it is not; ok is false if it did not exist yet.
func AtEnd(tx *bbolt.Tx, provider, id string, m events.Month) (l *events.License, ok bool, err error) {
	first := prefix(provider, id)
	c := tx.Bucket(bucketVersions).Cursor()
	step := c.Prev
	if k, _ := c.Seek(append([]byte(first), monthKey(m+1)...)); k == nil {
		step = c.Last
	}
	k, row := step()
	if k == nil || len(k) <= len(first) || string(k[:len(first)]) != first {
		return nil, false, nil
	}
	if l, err = readLicense(id, row); err != nil {
		return nil, false, fmt.Errorf("version of license %s: %w", id, err)
	}
	if l.Status == events.Paid && l.ExpiresAt.Before(m.End()) {
		l.ExpiresAt = m.End()
	}
	return l, true, nil
}

// lastMonth is the last month in which a license that ended was in force: the day of a release still counts, at its very start too; what ran out
// at the start of a day did not see it (domain D2, D3).
func lastMonth(l *events.License) events.Month {
	if l.Status == events.Released {
		return events.MonthOf(l.ExpiresAt)
	}
	return events.MonthOf(l.ExpiresAt.Add(-events.Precision))
}

// inForceIn says whether a license, as it stood at the end of a month, was in force in it.
func inForceIn(l *events.License, m events.Month) bool {
	return l.Status.InForce() || lastMonth(l) >= m
}

// past says whether a filter is about how licenses stood once, not about how they stand, and which month of the provider is open.
func (f *Filter) past(tx *bbolt.Tx) (past bool, open events.Month, err error) {
	if f.Month == 0 {
		return f.Then != nil, 0, nil
	}
	var a license.Account
	_, err = load(tx, bucketProviders, []byte(f.Provider), &a)
	return f.Then != nil || f.Month < a.Open, a.Open, err
}

// Then is how a provider's licenses stood at a moment of the past, told by what the file keeps anyway: their versions of the last month that was
// closed by then, and what happened since.
type Then struct {
	Closed events.Month
	Since  map[string]*events.License // as the last event until then left them
}

// at is a license as it stood then; ok is false if it did not exist yet.
func (t *Then) at(tx *bbolt.Tx, provider, id string) (l *events.License, ok bool, err error) {
	if l, ok := t.Since[id]; ok {
		return l, true, nil
	}
	return AtEnd(tx, provider, id, t.Closed)
}

// LoadLicenseThen is [LoadLicense] for a moment of the past.
func LoadLicenseThen(tx *bbolt.Tx, provider, id string, t *Then) (events.License, bool, error) {
	l, ok, err := t.at(tx, provider, id)
	if err != nil || !ok {
		return events.License{}, false, err
	}
	return *l, true, nil
}

// stateOf says how a license stood at the time that a filter is about: then, or at a month's end; ok is false if it does not belong there.
func (f *Filter) stateOf(tx *bbolt.Tx, id string) (l *events.License, ok bool, err error) {
	if f.Then == nil || f.Month != 0 && f.Month <= f.Then.Closed {
		l, ok, err = AtEnd(tx, f.Provider, id, f.Month)
	} else {
		l, ok, err = f.Then.at(tx, f.Provider, id)
	}
	return l, ok && (f.Month == 0 || inForceIn(l, f.Month)), err
}

// eachAt is [eachLicense] for a month that is over or a moment of the past, in the order of ids.
func eachAt(tx *bbolt.Tx, f Filter, after string, looks int, fn func(place string, l *events.License) (bool, error)) (next string, err error) {
	if strings.Contains(after, "\x00") { // of a search, when the month was open
		return "", ErrPlace
	}
	s, err := understand(tx, f)
	if err != nil {
		return "", err
	}
	looked, last := 0, after
	err = each(tx, bucketLicenses, prefix(f.Provider), after, func(id string, _ []byte) (bool, error) {
		if looked++; looks > 0 && looked > looks {
			next = last
			return false, nil
		}
		last = id
		l, ok, err := f.stateOf(tx, id)
		if err != nil || !ok {
			return true, err
		}
		if ok, err = s.meetsLicense(tx, l); err != nil || !ok {
			return true, err
		}
		return fn(id, l)
	})
	return next, err
}
