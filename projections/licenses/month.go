package licenses

import (
	"fmt"

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

// inForceIn says whether a license, as it stood at the end of a month, was in force in it.
func inForceIn(l *events.License, m events.Month) bool {
	return l.Status.InForce() || !l.ExpiresAt.Before(m.Start())
}

// eachInMonth is [eachLicense] for a month, in the order of ids.
func eachInMonth(tx *bbolt.Tx, f Filter, after string, looks int, fn func(place string, l *events.License) (bool, error)) (next string, err error) {
	s, err := understand(tx, f)
	if err != nil {
		return "", err
	}
	var a license.Account
	if _, err := load(tx, bucketProviders, []byte(f.Provider), &a); err != nil {
		return "", err
	}
	looked, last := 0, after
	err = each(tx, bucketLicenses, prefix(f.Provider), after, func(id string, row []byte) (bool, error) {
		if looked++; looks > 0 && looked > looks {
			next = last
			return false, nil
		}
		last = id
		l, ok, err := (*events.License)(nil), true, error(nil)
		if f.Month < a.Open {
			l, ok, err = AtEnd(tx, f.Provider, id, f.Month)
		} else {
			l, err = readLicense(id, row)
		}
		if err != nil || !ok || !inForceIn(l, f.Month) {
			return true, err
		}
		name := ""
		if len(s.terms) > 0 {
			if name, err = endpointName(tx, f.Provider, l); err != nil {
				return false, err
			}
		}
		if !s.meets(id, &posting{cellOf(l), CompanyOf(l), wordsOf(l, name)}) {
			return true, nil
		}
		return fn(id, l)
	})
	return next, err
}
