package invoices

import (
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Payment is a recorded outcome of a charge (domain L10).
type Payment struct {
	Entry   uint64         `json:"entry"`
	Invoice string         `json:"invoice"`
	Outcome events.Outcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
	At      time.Time      `json:"at"`
}

func (b *batch) pay(p *provider, e *events.Entry, i int, d *events.PaymentRecorded) error {
	if err := b.tx.Bucket(bucketOutcomes).Put([]byte(key(p.id, d.Invoice)), []byte(d.Outcome)); err != nil {
		return fmt.Errorf("write %s: %w", bucketOutcomes, err)
	}
	return putJSON(b.tx, bucketPayments, prefix(p.id)+eventKey(e.Number, i), Payment{e.Number, d.Invoice, d.Outcome, d.Reason, e.EffectiveAt(i)})
}

// outcome is what last became of an invoice's charge; empty while that is pending.
func outcome(tx *bbolt.Tx, provider, number string) events.Outcome {
	b := tx.Bucket(bucketOutcomes)
	if b == nil {
		return ""
	}
	return events.Outcome(b.Get([]byte(key(provider, number))))
}

// Payments lists the recorded outcomes of a provider's charges behind an entry, in order, at most limit.
func Payments(tx *bbolt.Tx, provider string, after uint64, limit int) (rows []Payment, err error) {
	err = eachFrom(tx, bucketPayments, prefix(provider), eventKey(after+1, 0), func(_ string, row []byte) (bool, error) {
		var p Payment
		if err := json.Unmarshal(row, &p); err != nil {
			return false, err
		}
		rows = append(rows, p)
		return len(rows) < limit, nil
	})
	return rows, err
}

// LastPayment is the last recorded outcome of an invoice's charge at or before an entry; ok is false if there is none.
func LastPayment(tx *bbolt.Tx, provider, number string, entry uint64) (last Payment, ok bool, err error) {
	err = eachFrom(tx, bucketPayments, prefix(provider), "", func(_ string, row []byte) (bool, error) {
		var p Payment
		if err := json.Unmarshal(row, &p); err != nil {
			return false, err
		}
		if p.Entry > entry {
			return false, nil
		}
		if p.Invoice == number {
			last, ok = p, true
		}
		return true, nil
	})
	return last, ok, err
}
