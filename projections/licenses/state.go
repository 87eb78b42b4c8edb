package licenses

import (
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
	var s System
	var book catalog.Book
	if _, err := load(tx, bucketLedger, keySystem, &s); err != nil {
		return s, book, err
	}
	err := each(tx, bucketCatalogs, "", func(_ string, c *publishedCatalog) bool {
		book = book.Publish(c.Catalog, c.Entry)
		return true
	})
	return s, book, err
}

// LoadState reads all of a provider's state; that of one that does not exist is empty.
func LoadState(tx *bbolt.Tx, provider string) (*license.State, error) {
	var rows license.Rows
	if _, err := load(tx, bucketProviders, []byte(provider), &rows.Account); err != nil {
		return nil, err
	}
	first := prefix(provider)
	if err := each(tx, bucketCompanies, first, func(_ string, c *events.CompanySet) bool {
		rows.Companies = append(rows.Companies, c)
		return true
	}); err != nil {
		return nil, err
	}
	if err := each(tx, bucketEndpoints, first, func(_ string, e *events.EndpointSet) bool {
		rows.Endpoints = append(rows.Endpoints, e)
		return true
	}); err != nil {
		return nil, err
	}
	if err := each(tx, bucketLicenses, first, func(_ string, l *events.License) bool {
		rows.Licenses = append(rows.Licenses, l)
		return true
	}); err != nil {
		return nil, err
	}
	rows.Commands = make(map[string]license.Remembered)
	if err := each(tx, bucketCommands, first, func(k string, r *license.Remembered) bool {
		rows.Commands[k[len(first):]] = *r
		return true
	}); err != nil {
		return nil, err
	}
	if err := each(tx, bucketAdmins, first, func(_ string, a *events.AdministratorSet) bool {
		rows.Administrators = append(rows.Administrators, a)
		return true
	}); err != nil {
		return nil, err
	}
	if err := each(tx, bucketTokens, first, func(_ string, t *Token) bool {
		rows.Tokens = append(rows.Tokens, &t.TokenIssued)
		return true
	}); err != nil {
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
	err = eachAfter(tx, bucketAdmins, prefix(provider), after, func(_ string, a *events.AdministratorSet) bool {
		rows = append(rows, *a)
		return len(rows) < limit
	})
	return rows, err
}

// Tokens lists a provider's tokens whose id is greater than after, in order, at most limit.
func Tokens(tx *bbolt.Tx, provider, after string, limit int) (rows []Token, err error) {
	err = eachAfter(tx, bucketTokens, prefix(provider), after, func(_ string, t *Token) bool {
		rows = append(rows, *t)
		return len(rows) < limit
	})
	return rows, err
}

// LoadTokenByHash finds the token that has a hash, and whose it is.
func LoadTokenByHash(tx *bbolt.Tx, hash events.Digest) (provider string, t Token, ok bool, err error) {
	b := tx.Bucket(bucketHashes)
	if b == nil {
		return "", t, false, nil
	}
	k := b.Get(hash[:])
	if k == nil {
		return "", t, false, nil
	}
	provider, _, _ = strings.Cut(string(k), "\x00")
	ok, err = load(tx, bucketTokens, k, &t)
	return provider, t, ok, err
}

// LoadSpool reads what is known of an agent's spool.
func LoadSpool(tx *bbolt.Tx, provider, agent, spool string) (license.Spool, error) {
	var s license.Spool
	_, err := load(tx, bucketSpools, []byte(key(provider, agent, spool)), &s)
	return s, err
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
func LoadLicense(tx *bbolt.Tx, provider, id string) (l events.License, ok bool, err error) {
	ok, err = load(tx, bucketLicenses, []byte(key(provider, id)), &l)
	return l, ok, err
}

// Providers lists providers whose id is greater than after, in order, at most limit.
func Providers(tx *bbolt.Tx, after string, limit int) (ids []string, accounts []license.Account, err error) {
	err = eachAfter(tx, bucketProviders, "", after, func(id string, a *license.Account) bool {
		if a.Exists() {
			ids, accounts = append(ids, id), append(accounts, *a)
		}
		return len(ids) < limit
	})
	return ids, accounts, err
}

// Companies lists a provider's companies whose id is greater than after, in order, at most limit.
func Companies(tx *bbolt.Tx, provider, after string, limit int) (rows []events.CompanySet, err error) {
	err = eachAfter(tx, bucketCompanies, prefix(provider), after, func(_ string, c *events.CompanySet) bool {
		rows = append(rows, *c)
		return len(rows) < limit
	})
	return rows, err
}

// Endpoints lists a provider's endpoints whose id is greater than after, in order, at most limit.
func Endpoints(tx *bbolt.Tx, provider, after string, limit int) (rows []events.EndpointSet, err error) {
	err = eachAfter(tx, bucketEndpoints, prefix(provider), after, func(_ string, e *events.EndpointSet) bool {
		rows = append(rows, *e)
		return len(rows) < limit
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
	end := timeKey(t.Add(events.Precision))
	for _, name := range [][]byte{bucketMonths, bucketDue, bucketSweeps} {
		b := tx.Bucket(name)
		if b == nil {
			continue
		}
		c := b.Cursor()
		for k, _ := c.First(); k != nil && string(k[:8]) < end && len(ids) < limit; {
			id, _, _ := strings.Cut(string(k[8:]), "\x00")
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
			// Many licenses end at one instant: go on behind this provider's.
			k, _ = c.Seek([]byte(string(k[:8]) + id + "\x01"))
		}
	}
	return ids
}

// each decodes the rows whose keys begin with first, until fn returns false.
func each[T any](tx *bbolt.Tx, bucket []byte, first string, fn func(k string, v *T) bool) error {
	return eachAfter(tx, bucket, first, "", fn)
}

// eachAfter starts behind the key first+after, if after is not empty; fn gets the key without first when it is set.
func eachAfter[T any](tx *bbolt.Tx, bucket []byte, first, after string, fn func(k string, v *T) bool) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	start := first + after
	if after != "" {
		start += "\x00"
	}
	c := b.Cursor()
	for k, text := c.Seek([]byte(start)); k != nil && strings.HasPrefix(string(k), first); k, text = c.Next() {
		v := new(T)
		if err := json.Unmarshal(text, v); err != nil {
			return fmt.Errorf("read a row of %s: %w", bucket, err)
		}
		if !fn(string(k), v) {
			return nil
		}
	}
	return nil
}
