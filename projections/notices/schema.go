package notices

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Buckets. Names in keys end in a zero byte, which no name contains; the ledger's own name is empty. A notice's place is its time, in
// milliseconds, its entry (8 bytes each, big-endian), its event (4) and its slot, so that notices sort as they came.
var (
	bucketAccounts = []byte("accounts") // provider -> account
	bucketCatalogs = []byte("catalogs") // month (4 bytes) -> the catalog in force from it on
	bucketNews     = []byte("news")     // provider, place -> Notice
	bucketSlots    = []byte("slots")    // provider, slot -> n or s for the bucket, place
	bucketStanding = []byte("standing") // provider, place -> Notice
	bucketTotals   = []byte("totals")   // provider, number of a statement -> its total
)

var buckets = [][]byte{bucketAccounts, bucketCatalogs, bucketNews, bucketSlots, bucketStanding, bucketTotals}

// errDamaged says that a row is not what this package writes.
var errDamaged = errors.New("a damaged row")

// account is what notices of a provider need to know of it.
type account struct {
	Currency string    `json:"currency,omitempty"`
	Created  time.Time `json:"created,omitzero"`
	News     int       `json:"news,omitempty"` // how many there are
	// Pays says that there is a payment method; Failed counts the invoices whose charge failed and was not collected.
	Pays   bool `json:"pays,omitempty"`
	Failed int  `json:"failed,omitempty"`
	// GraceEnds is when paid licenses expire for the first of those failures; Lapsed says that they have.
	GraceEnds time.Time `json:"grace_ends,omitzero"`
	Lapsed    bool      `json:"lapsed,omitempty"`
	// Removed is when the payment method was taken away, if that was in the open month: what is paid expires with the month.
	Removed time.Time `json:"removed,omitzero"`
	// Converting counts the announced trials that would become paid licenses if there was a payment method.
	Converting int `json:"converting,omitempty"`
}

// Notice is a notice as it is kept. What it is not about is empty.
type Notice struct {
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`    // when it took effect
	Entry uint64    `json:"entry"` // the one that it comes from
	Event int       `json:"event,omitempty"`
	Slot  string    `json:"slot"`

	Company  string          `json:"company,omitempty"`
	License  string          `json:"license,omitempty"`
	Type     string          `json:"type,omitempty"`
	Assignee events.Assignee `json:"assignee,omitzero"` // of the license, or the endpoint
	// Count is how many licenses it is about, where they are several.
	Count    int    `json:"count,omitempty"`
	Invoice  string `json:"invoice,omitempty"`
	Amount   string `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Until is when it happens, unless something is done.
	Until time.Time `json:"until,omitzero"`
	// Why is the reason, as the event has it.
	Why string `json:"why,omitempty"`
	// Month is the month that it is about, or from which on it holds.
	Month events.Month `json:"month,omitempty"`
	// Of the end of a trial: the price from then on, whether it goes on by itself, whether its type is no longer sold.
	Price     string `json:"price,omitempty"`
	AutoRenew bool   `json:"auto_renew,omitempty"`
	Closed    bool   `json:"closed,omitempty"`
	// Prices are what changes in the catalog.
	Prices []PriceChange `json:"prices,omitempty"`

	// Of annual keys: the key, whether it is suspended, and of a job that lacks seats how many, and which objects it skipped first, by
	// their pseudonyms. Count is how many objects then; of an invoice, how many seats.
	Key       string   `json:"key,omitempty"`
	Suspended bool     `json:"suspended,omitempty"`
	Instance  string   `json:"instance,omitempty"`
	Job       string   `json:"job,omitempty"`
	Seats     int      `json:"seats,omitempty"`
	Objects   []string `json:"objects,omitempty"`

	// What follows comes from where the notice stands, and from its provider.

	Standing bool    `json:"-"`
	account  account // of its provider
}

// key is the notice's place among those of its provider.
func (n *Notice) key() []byte {
	k := binary.BigEndian.AppendUint64(nil, uint64(n.At.UnixMilli())^1<<63)
	k = binary.BigEndian.AppendUint64(k, n.Entry)
	return append(binary.BigEndian.AppendUint32(k, uint32(n.Event)), n.Slot...)
}

// key is a place with the provider before it.
func (p *provider) key(place []byte) []byte { return keyOf(p.id, place) }

func (p *provider) slot(slot string) []byte { return keyOf(p.id, []byte(slot)) }

func keyOf(provider string, rest []byte) []byte {
	return slices.Concat([]byte(provider), []byte{0}, rest)
}

// placeOf says in which bucket a place is.
func placeOf(bucket, key []byte) []byte { return append([]byte{bucket[0]}, key...) }

func rowOf(place []byte) (bucket, key []byte) {
	if place[0] == bucketNews[0] {
		return bucketNews, place[1:]
	}
	return bucketStanding, place[1:]
}

func store(tx *bbolt.Tx, bucket, key []byte, v any) error {
	row, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a row of %s: %w", bucket, err)
	}
	if err := tx.Bucket(bucket).Put(key, row); err != nil {
		return fmt.Errorf("write %s: %w", bucket, err)
	}
	return nil
}

// load reads a row; ok is false if there is none.
func load(tx *bbolt.Tx, bucket, key []byte, v any) (ok bool, err error) {
	row := tx.Bucket(bucket).Get(key)
	if row == nil {
		return false, nil
	}
	return true, decode(bucket, row, v)
}

func decode(bucket, row []byte, v any) error {
	if err := json.Unmarshal(row, v); err != nil {
		return fmt.Errorf("read a row of %s: %w", bucket, err)
	}
	return nil
}
