package recover

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"licenseledger/ledger"
	"licenseledger/ledger/journal"
)

// journalled is what the journal knows of a record, without its body.
type journalled struct {
	Seq    uint64
	ID     string
	Prev   string
	First  uint64
	Next   uint64 // the entry after its last one
	Digest [sha256.Size]byte
}

// notes are a journal's records in order, without those that were dropped.
type notes struct {
	all    []journalled
	report journal.Report
}

func readNotes(dir string) (notes, error) {
	var n notes
	dropped := make(map[string]bool)
	report, err := journal.Scan(dir, func(r journal.Record) error {
		j, err := ledger.ParseJournalled(r.Payload)
		if err != nil {
			return err
		}
		if j.Dropped {
			dropped[j.ID] = true
			return nil
		}
		n.all = append(n.all, journalled{
			Seq: j.Seq, ID: j.ID, Prev: j.Prev, First: j.First, Next: j.First + uint64(bytes.Count(j.Body, []byte{'\n'})), Digest: sha256.Sum256(j.Body),
		})
		return nil
	})
	n.all = slices.DeleteFunc(n.all, func(r journalled) bool { return dropped[r.ID] })
	n.report = report
	return n, err
}

// chain gives the records that the newest one rests on, as far back as the journal goes without a gap: each is the one that the next names.
// What is not in it lost its place to another record.
func (n notes) chain() []journalled {
	if len(n.all) == 0 {
		return nil
	}
	byID := make(map[string]journalled, len(n.all))
	for _, r := range n.all {
		byID[r.ID] = r
	}
	at := n.all[len(n.all)-1]
	chain := []journalled{at}
	for {
		before, ok := byID[at.Prev]
		if !ok || before.Seq+1 != at.Seq || before.Next != at.First {
			break
		}
		chain = append(chain, before)
		at = before
	}
	slices.Reverse(chain)
	return chain
}
