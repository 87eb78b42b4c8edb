package licenses

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

// LoadSystem reads the ledger's own state and its catalogs.
func LoadSystem(tx *bbolt.Tx) (System, catalog.Book, error) {
	var book catalog.Book
	s, err := LoadLedger(tx)
	if err != nil {
		return s, book, err
	}
	err = each(tx, bucketCatalogs, "", "", func(_ string, row []byte) (bool, error) {
		c, err := readJSON[publishedCatalog](bucketCatalogs, row)
		if err == nil {
			book = book.Publish(c.Catalog, c.Entry)
		}
		return true, err
	})
	return s, book, err
}

// LoadLedger reads the ledger's own state without its catalogs.
func LoadLedger(tx *bbolt.Tx) (s System, err error) {
	_, err = load(tx, bucketLedger, keySystem, &s)
	return s, err
}

// LoadState reads all of a provider's state; that of one that does not exist is empty.
func LoadState(tx *bbolt.Tx, provider string) (*license.State, error) {
	rows := license.Rows{Commands: make(map[string]license.Remembered)}
	if _, err := load(tx, bucketProviders, []byte(provider), &rows.Account); err != nil {
		return nil, err
	}
	first := prefix(provider)
	err := each(tx, bucketCompanies, first, "", func(_ string, row []byte) (bool, error) {
		c, err := readJSON[events.CompanySet](bucketCompanies, row)
		rows.Companies = append(rows.Companies, c)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, bucketEndpoints, first, "", func(_ string, row []byte) (bool, error) {
		e, err := readJSON[events.EndpointSet](bucketEndpoints, row)
		rows.Endpoints = append(rows.Endpoints, e)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, bucketLicenses, first, "", func(id string, row []byte) (bool, error) {
		l, err := readLicense(id, row)
		rows.Licenses = append(rows.Licenses, l)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	// In the order of time: of a command that stands there twice, the later counts.
	err = each(tx, bucketCommands, first, "", func(k string, row []byte) (bool, error) {
		c, err := readCommand(keyTime([]byte(k)), row)
		rows.Commands[k[timeKeyLen:]] = c
		return true, err
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, bucketAdmins, first, "", func(_ string, row []byte) (bool, error) {
		a, err := readJSON[events.AdministratorSet](bucketAdmins, row)
		rows.Administrators = append(rows.Administrators, a)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, bucketTokens, first, "", func(_ string, row []byte) (bool, error) {
		t, err := readJSON[Token](bucketTokens, row)
		if err == nil {
			rows.Tokens = append(rows.Tokens, &t.TokenIssued)
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	if err := loadKeys(tx, provider, &rows); err != nil {
		return nil, err
	}
	return license.FromRows(rows), nil
}

// LoadAdministrator reads an administrator by its pseudonym.
func LoadAdministrator(tx *bbolt.Tx, provider, administrator string) (a events.AdministratorSet, ok bool, err error) {
	ok, err = load(tx, bucketAdmins, []byte(key(provider, administrator)), &a)
	return a, ok, err
}

// Administrators lists a provider's administrators whose pseudonym is greater than after, in order, at most limit.
func Administrators(tx *bbolt.Tx, provider, after string, limit int) (rows []events.AdministratorSet, err error) {
	err = each(tx, bucketAdmins, prefix(provider), after, func(_ string, row []byte) (bool, error) {
		a, err := readJSON[events.AdministratorSet](bucketAdmins, row)
		if err == nil {
			rows = append(rows, *a)
		}
		return len(rows) < limit, err
	})
	return rows, err
}

// Tokens lists a provider's tokens whose id is greater than after, in order, at most limit.
func Tokens(tx *bbolt.Tx, provider, after string, limit int) (rows []Token, err error) {
	err = each(tx, bucketTokens, prefix(provider), after, func(_ string, row []byte) (bool, error) {
		t, err := readJSON[Token](bucketTokens, row)
		if err == nil {
			rows = append(rows, *t)
		}
		return len(rows) < limit, err
	})
	return rows, err
}

// LoadTokenByHash finds the token that has a hash, and whose it is.
func LoadTokenByHash(tx *bbolt.Tx, hash events.Digest) (provider string, t Token, ok bool, err error) {
	k := get(tx, bucketHashes, hash[:])
	if k == nil {
		return "", t, false, nil
	}
	provider, _, _ = strings.Cut(string(k), "\x00")
	ok, err = load(tx, bucketTokens, k, &t)
	return provider, t, ok, err
}

// LoadSpool reads what is known of an agent's spool.
func LoadSpool(tx *bbolt.Tx, provider, agent, spool string) (license.Spool, error) {
	row := get(tx, bucketSpools, []byte(key(provider, agent, spool)))
	if row == nil {
		return license.Spool{}, nil
	}
	return readSpool(row)
}

// LoadAccount reads a provider's account; ok is false if there is no such provider.
func LoadAccount(tx *bbolt.Tx, provider string) (a license.Account, ok bool, err error) {
	ok, err = load(tx, bucketProviders, []byte(provider), &a)
	return a, ok && a.Exists(), err
}

// LoadCompany reads a company.
func LoadCompany(tx *bbolt.Tx, provider, company string) (c events.CompanySet, ok bool, err error) {
	ok, err = load(tx, bucketCompanies, []byte(key(provider, company)), &c)
	return c, ok, err
}

// LoadEndpoint reads an endpoint.
func LoadEndpoint(tx *bbolt.Tx, provider, endpoint string) (e events.EndpointSet, ok bool, err error) {
	ok, err = load(tx, bucketEndpoints, []byte(key(provider, endpoint)), &e)
	return e, ok, err
}

// LoadLicense reads a license.
func LoadLicense(tx *bbolt.Tx, provider, id string) (events.License, bool, error) {
	row := get(tx, bucketLicenses, []byte(key(provider, id)))
	if row == nil {
		return events.License{}, false, nil
	}
	l, err := readLicense(id, row)
	return *l, err == nil, err
}

// Providers lists providers whose id is greater than after, in order, at most limit.
func Providers(tx *bbolt.Tx, after string, limit int) (ids []string, accounts []license.Account, err error) {
	err = each(tx, bucketProviders, "", after, func(id string, row []byte) (bool, error) {
		a, err := readJSON[license.Account](bucketProviders, row)
		if err == nil && a.Exists() {
			ids, accounts = append(ids, id), append(accounts, *a)
		}
		return len(ids) < limit, err
	})
	return ids, accounts, err
}

// Companies lists a provider's companies whose id is greater than after, in order, at most limit.
func Companies(tx *bbolt.Tx, provider, after string, limit int) (rows []events.CompanySet, err error) {
	err = each(tx, bucketCompanies, prefix(provider), after, func(_ string, row []byte) (bool, error) {
		c, err := readJSON[events.CompanySet](bucketCompanies, row)
		if err == nil {
			rows = append(rows, *c)
		}
		return len(rows) < limit, err
	})
	return rows, err
}

// Endpoints lists a provider's endpoints whose id is greater than after, in order, at most limit.
func Endpoints(tx *bbolt.Tx, provider, after string, limit int) (rows []events.EndpointSet, err error) {
	err = each(tx, bucketEndpoints, prefix(provider), after, func(_ string, row []byte) (bool, error) {
		e, err := readJSON[events.EndpointSet](bucketEndpoints, row)
		if err == nil {
			rows = append(rows, *e)
		}
		return len(rows) < limit, err
	})
	return rows, err
}

// NextDue is the earliest instant at which something falls due by itself; ok is false if nothing ever does.
func NextDue(tx *bbolt.Tx) (t time.Time, ok bool) {
	for _, name := range [][]byte{bucketDue, bucketMonths, bucketSweeps} {
		b := tx.Bucket(name)
		if b == nil {
			continue
		}
		if k, _ := b.Cursor().First(); k != nil {
			if at := keyTime(k); !ok || at.Before(t) {
				t, ok = at, true
			}
		}
	}
	return t, ok
}

// DueProviders lists providers for which something is due at t or before, at most limit.
func DueProviders(tx *bbolt.Tx, t time.Time, limit int) []string {
	var ids []string
	seen := make(map[string]bool)
	for _, name := range [][]byte{bucketMonths, bucketDue, bucketSweeps} {
		b := tx.Bucket(name)
		if b == nil {
			continue
		}
		c := b.Cursor()
		for k, _ := c.First(); k != nil && !keyTime(k).After(t) && len(ids) < limit; k, _ = c.Next() {
			if id := string(k[timeKeyLen:]); !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// get reads a row; nil if there is none.
func get(tx *bbolt.Tx, bucket, k []byte) []byte {
	if b := tx.Bucket(bucket); b != nil {
		return b.Get(k)
	}
	return nil
}

// load reads a row of JSON into v; ok is false if there is none.
func load(tx *bbolt.Tx, bucket, k []byte, v any) (ok bool, err error) {
	row := get(tx, bucket, k)
	if row == nil {
		return false, nil
	}
	if err := json.Unmarshal(row, v); err != nil {
		return false, fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return true, nil
}

// each yields the rows whose keys begin with first, and come behind first+after if after is not empty, until fn says no. fn
// gets what follows first in the key.
func each(tx *bbolt.Tx, bucket []byte, first, after string, fn func(k string, row []byte) (bool, error)) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	start := first + after
	if after != "" {
		start += "\x00"
	}
	c := b.Cursor()
	for k, row := c.Seek([]byte(start)); k != nil && bytes.HasPrefix(k, []byte(first)); k, row = c.Next() {
		if more, err := fn(string(k[len(first):]), row); err != nil || !more {
			return err
		}
	}
	return nil
}
