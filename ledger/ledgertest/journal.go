package ledgertest

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"licenseledger/ledger"
)

// ErrJournal is the error of a [Journal] that was told to fail.
var ErrJournal = errors.New("ledgertest: the journal's disk is gone")

// Journal is a [ledger.Journal] in memory. It is safe for concurrent use; what is not a journalled record, or has another mark than its record, fails the test.
type Journal struct {
	t testing.TB

	mu      sync.Mutex
	records []ledger.Journalled
	failing bool
	hold    *Gate
}

var _ ledger.Journal = (*Journal)(nil)

// NewJournal is an empty journal.
func NewJournal(t testing.TB) *Journal { return &Journal{t: t} }

// Append is [ledger.Journal]'s.
func (j *Journal) Append(next uint64, payload ...[]byte) error {
	j.mu.Lock()
	hold := j.hold
	j.hold = nil
	j.mu.Unlock()
	if hold != nil {
		close(hold.reached)
		<-hold.opened
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failing {
		return ErrJournal
	}
	r, err := ledger.ParseJournalled(bytes.Join(payload, nil))
	if err != nil {
		j.t.Errorf("ledgertest: %v", err)
		return err
	}
	if r.Dropped {
		if last := len(j.records) - 1; last < 0 || j.records[last].ID != r.ID {
			j.t.Errorf("ledgertest: %s is dropped, and was not journalled last", r.ID)
		}
	} else if end := r.First + uint64(bytes.Count(r.Body, []byte{'\n'})); end != next {
		j.t.Errorf("ledgertest: record %s ends before entry %d, and its mark is %d", r.ID, end, next)
	}
	j.records = append(j.records, r)
	return nil
}

// Fail makes every append from now on fail with [ErrJournal].
func (j *Journal) Fail() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failing = true
}

// Hold makes the next append wait for the gate before it does anything.
func (j *Journal) Hold() *Gate {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hold = newGate()
	return j.hold
}

// Records is what was journalled, in order.
func (j *Journal) Records() []ledger.Journalled {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]ledger.Journalled(nil), j.records...)
}
