package recover

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/proof"
)

// VerifyTiles hashes all entries of the tiles and compares them with the signed checkpoint. Where nothing was signed so far there are no entries.
func VerifyTiles(ctx context.Context, tiles proof.Source, key note.Verifier, progress func(done, total uint64)) (uint64, error) {
	if key == nil {
		return 0, nil
	}
	c, err := proof.Verify(ctx, tiles, key, proof.Options{Progress: progress})
	return c.Size, err
}

// VerifyJournal reads the journal. A torn last record is no difference: it was acknowledged to nobody.
func VerifyJournal(dir string) (records int, err error) {
	known, err := readNotes(dir)
	for _, place := range known.report.Damaged {
		err = errors.Join(err, errors.New(place.String()))
	}
	return known.report.Records, err
}

// VerifyStream reads the whole stream and compares it with the tiles, entry by entry, and with the journal. It changes nothing.
func VerifyStream(ctx context.Context, c Config, progress func(done, total uint64)) (entries uint64, err error) {
	known, err := readNotes(c.Dir)
	if err != nil {
		return 0, err
	}
	s := &comparison{Config: c, chain: known.chain()}
	last, err := c.Log.Last(ctx)
	if err != nil || last == 0 {
		return 0, err
	}
	bySeq := make(map[uint64]journalled)
	for _, r := range s.chain {
		bySeq[r.Seq] = r
	}
	tiles := s.signed(ctx, 0)
	defer tiles.stop()
	err = s.read(ctx, 1, last, func(r events.Stored) error {
		if r.Seq == 1 && (r.Prev != "" || r.First != 0) {
			return fmt.Errorf("record 1 is not the first: %w", ledger.ErrGap)
		}
		if progress != nil {
			progress(r.Seq, last)
		}
		if err := s.compareJournalled(bySeq, r); err != nil {
			return err
		}
		return tiles.compare(r)
	})
	if err == nil && s.next < c.Size {
		err = fmt.Errorf("it ends before entry %d, and %d were signed: %w", s.next, c.Size, ErrTiles)
	}
	if n := len(s.chain); err == nil && n > 0 && s.chain[n-1].Seq > last {
		err = fmt.Errorf("it ends with record %d, and the journal goes on to record %d: the next start appends them again", last, s.chain[n-1].Seq)
	}
	return s.next, err
}
