package licenses

import (
	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// PageByIndex and PageByRows are the two ways to make a sorted page.
func PageByIndex(tx *bbolt.Tx, f Filter, o Order, after string, limit int) ([]events.License, string, error) {
	s, err := understand(tx, f)
	if err != nil {
		return nil, "", err
	}
	return walk(tx, s, o, after, limit)
}

// PageByRows is the other one.
func PageByRows(tx *bbolt.Tx, f Filter, o Order, after string, limit int) ([]events.License, string, error) {
	return pick(tx, f, o, after, limit)
}
