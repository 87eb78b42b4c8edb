package invoices

import (
	"encoding/binary"
	"strings"

	"licenseledger/events"
)

// Buckets. Parts of a key are separated by a zero byte, which no id contains; months are 8 bytes that sort as they do.
var (
	bucketCatalogs   = []byte("catalogs")   // month -> the entry that published it, and the catalog
	bucketAccounts   = []byte("accounts")   // provider -> account
	bucketOpen       = []byte("open")       // provider, license -> the key of the use that goes on
	bucketUses       = []byte("uses")       // provider, month, license, n -> use
	bucketStatements = []byte("statements") // provider, month -> Statement
	bucketNumbers    = []byte("numbers")    // provider, number -> month
	bucketPending    = []byte("pending")    // month, provider -> nothing: computed, not issued
)

var buckets = [][]byte{bucketCatalogs, bucketAccounts, bucketOpen, bucketUses, bucketStatements, bucketNumbers, bucketPending}

func key(parts ...string) string { return strings.Join(parts, "\x00") }

// prefix is what all longer keys with these first parts begin with.
func prefix(parts ...string) string { return key(parts...) + "\x00" }

func monthKey(m events.Month) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(m)))
}

func keyMonth(k string) events.Month { return events.Month(binary.BigEndian.Uint64([]byte(k[:8]))) }

// indexKey numbers the uses of a license in a month.
func indexKey(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
