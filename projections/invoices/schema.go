package invoices

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// Buckets. Parts of a key are separated by a zero byte, which no id contains; months are 8 bytes that sort as they do.
var (
	bucketCatalogs   = []byte("catalogs")   // month -> the entry that published it, and the catalog
	bucketAccounts   = []byte("accounts")   // provider -> account
	bucketOpen       = []byte("open")       // provider, license -> use: the one that goes on
	bucketUses       = []byte("uses")       // provider, month, license, event -> use: one that is over, or its part in a month that is
	bucketStatements = []byte("statements") // provider, month -> Statement
	bucketNumbers    = []byte("numbers")    // provider, number -> month
	bucketPending    = []byte("pending")    // month, provider -> nothing: computed, not issued

	bucketTrials      = []byte("trials")      // provider, endpoint, license -> use: a trial, over or not; its month is 0
	bucketSwitches    = []byte("switches")    // provider, company -> switches, once it has switched a metered type on
	bucketReadings    = []byte("readings")    // provider, month, company, type, endpoint, day -> reading; of types that count values: ..., value -> nothing
	bucketLate        = []byte("late")        // the same, of what came when its month was closed
	bucketEarly       = []byte("early")       // provider, month, event, place in it -> early: a reading of a month that has not begun
	bucketCorrections = []byte("corrections") // provider, month, event -> events.AdjustmentRecorded
	bucketChanged     = []byte("changed")     // provider, month -> nothing: closed, and perhaps not what it was last billed with
	bucketBilled      = []byte("billed")      // provider, month -> the lines that it was last billed with, where a later statement adjusted it
	bucketPayments    = []byte("payments")    // provider, event -> Payment
	bucketOutcomes    = []byte("outcomes")    // provider, number of an invoice -> the last outcome

	bucketPrepaid        = []byte("prepaid")         // provider, place -> Prepaid
	bucketPrepaidNumbers = []byte("prepaid-numbers") // provider, number -> place
)

var buckets = [][]byte{
	bucketCatalogs, bucketAccounts, bucketOpen, bucketUses, bucketStatements, bucketNumbers, bucketPending,
	bucketTrials, bucketSwitches, bucketReadings, bucketLate, bucketEarly, bucketCorrections, bucketChanged, bucketBilled, bucketPayments, bucketOutcomes,
	bucketPrepaid, bucketPrepaidNumbers,
}

func key(parts ...string) string { return strings.Join(parts, "\x00") }

// prefix is what all longer keys with these first parts begin with.
func prefix(parts ...string) string { return key(parts...) + "\x00" }

func monthKey(m events.Month) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(m)))
}

func parseMonthKey(k string) (events.Month, error) {
	if len(k) != 8 {
		return 0, errDamaged
	}
	return events.Month(binary.BigEndian.Uint64([]byte(k))), nil
}

// eventKey sorts as the events of the log do.
func eventKey(entry uint64, event int) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 12), entry)
	return string(binary.BigEndian.AppendUint32(b, uint32(event)))
}

// entryOf is the entry of an event's key.
func entryOf(k string) (uint64, error) {
	if len(k) != 12 {
		return 0, errDamaged
	}
	return binary.BigEndian.Uint64([]byte(k)), nil
}

// use is one license serving one assignee in a month, as far as it was billable.
type use struct {
	Month    events.Month
	Type     string
	Company  string
	Assignee events.Assignee
	Created  time.Time   // the license
	From, To events.Date // the first and the last day that count; To is 0 while it goes on
	// Activated and Deactivated are the instants of the assignment, in whatever months; Deactivated is zero while it goes on.
	Activated, Deactivated time.Time
}

// rated is the use as rating wants it, of what it is through a day.
func (u *use) rated(license string, through events.Date) catalog.Use {
	to := u.To
	if to == 0 || to > through {
		to = through
	}
	return catalog.Use{
		License: license, Created: u.Created, Type: u.Type, Company: u.Company, Assignee: u.Assignee,
		From: u.From, To: to, Activated: u.Activated, Deactivated: u.Deactivated,
	}
}

// A use's row is six numbers of 8 bytes each and four texts, separated by zero bytes: uses are many, and JSON would take
// three times as long.
const numbers = 6

func (u *use) row() []byte {
	texts := [...]string{u.Type, u.Company, string(u.Assignee.Kind), u.Assignee.ID}
	size := 8*numbers + len(texts) - 1
	for _, s := range texts {
		size += len(s)
	}
	b := make([]byte, 0, size)
	for _, n := range [numbers]int64{
		int64(u.Month), u.Created.UnixMilli(), int64(u.From), int64(u.To), u.Activated.UnixMilli(), u.Deactivated.UnixMilli(),
	} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for i, s := range texts {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, s...)
	}
	return b
}

var errDamaged = errors.New("the row is damaged")

func readUse(row []byte) (*use, error) {
	if len(row) < 8*numbers {
		return nil, errDamaged
	}
	var n [numbers]int64
	for i := range n {
		n[i] = int64(binary.BigEndian.Uint64(row[8*i:]))
	}
	u := &use{
		Month: events.Month(n[0]), Created: instant(n[1]), From: events.Date(n[2]), To: events.Date(n[3]),
		Activated: instant(n[4]), Deactivated: instant(n[5]),
	}
	texts := string(row[8*numbers:])
	u.Type, texts, _ = strings.Cut(texts, "\x00")
	u.Company, texts, _ = strings.Cut(texts, "\x00")
	kind, id, complete := strings.Cut(texts, "\x00")
	if !complete || strings.Contains(id, "\x00") {
		return nil, errDamaged
	}
	u.Assignee = events.Assignee{Kind: events.AssigneeKind(kind), ID: id}
	return u, nil
}

// inMonth says whether a use's row is of a month; of a damaged one too, which is for readUse to say.
func inMonth(row []byte, m events.Month) bool {
	return len(row) < 8 || binary.BigEndian.Uint64(row) == uint64(m)
}

func instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
