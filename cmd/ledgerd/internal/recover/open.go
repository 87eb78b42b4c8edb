package recover

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/journal"
	"licenseledger/ledger/proof"
)

var (
	// ErrNeither says that stream and journal contradict each other, and that nothing here tells which of them is right.
	ErrNeither = errors.New("the stream and the journal contradict each other")
	// ErrTiles says that the stream is not what the tiles hold and the ledger has signed.
	ErrTiles = errors.New("the stream is not what was signed")
)

// Config says what is compared.
type Config struct {
	Log     ledger.Log
	Dir     string        // the journal's folder
	Tiles   proof.Source  // the audit tiles
	Size    uint64        // entries in them, by the checkpoint, whose signature was checked; 0: there are no tiles
	Covered func() uint64 // the same while they grow
	Logger  *slog.Logger
}

// Open compares the stream with the journal, repairs the end of either from the other, and opens the journal to go on with. Only the ledger's start calls it, with
// the folder locked and nothing else at work on the log.
//
// Errors: [ledger.ErrGap] if the stream misses records between others; [ErrTiles]; [ErrNeither]; those of reading and writing.
func Open(ctx context.Context, c Config) (*journal.Journal, error) {
	known, err := readNotes(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("compare stream and journal: %w", err)
	}
	if torn := known.report.Torn; torn != nil {
		c.Logger.Info("the journal ends with a record that was not written whole, and so acknowledged to nobody", "place", torn.String())
	}
	s := &comparison{Config: c, chain: known.chain()}
	if err := s.compare(ctx); err != nil {
		return nil, fmt.Errorf("compare stream and journal: %w", err)
	}
	if err := s.append(ctx); err != nil {
		return nil, fmt.Errorf("append again what the stream has lost: %w", err)
	}
	if err := s.compareTiles(ctx); err != nil {
		return nil, fmt.Errorf("compare stream and tiles: %w", err)
	}
	for _, place := range known.report.Damaged {
		c.Logger.Warn("the journal is damaged; the stream is whole, and the journal is begun anew", "place", place.String())
	}
	if len(known.report.Damaged) > 0 {
		if err := os.Rename(c.Dir, c.Dir+".damaged-"+time.Now().UTC().Format("20060102T150405.000")); err != nil {
			return nil, fmt.Errorf("move the damaged journal away: %w", err)
		}
		s.chain = nil
	}
	j, _, err := journal.Open(journal.Config{Dir: c.Dir, Covered: c.Covered})
	if err != nil {
		return nil, err
	}
	if err := s.fill(ctx, j); err != nil {
		return nil, errors.Join(fmt.Errorf("journal what the stream holds: %w", err), j.Close())
	}
	return j, nil
}

// comparison is one call of Open.
type comparison struct {
	Config
	chain []journalled // of the journal

	// The stream's end.
	last uint64 // sequence
	id   string
	next uint64 // entry
}

// compare reads the stream as far as the journal goes back, and finds its end.
func (c *comparison) compare(ctx context.Context) error {
	last, err := c.Log.Last(ctx)
	if err != nil {
		return err
	}
	if last == 0 {
		return nil
	}
	from := last
	if len(c.chain) > 0 {
		from = min(from, c.chain[0].Seq)
	}
	bySeq := make(map[uint64]journalled, len(c.chain))
	for _, r := range c.chain {
		bySeq[r.Seq] = r
	}
	return c.read(ctx, from, last, func(r events.Stored) error {
		return c.compareJournalled(bySeq, r)
	})
}

func (c *comparison) compareJournalled(bySeq map[uint64]journalled, r events.Stored) error {
	if j, ok := bySeq[r.Seq]; ok && (j.ID != r.ID || j.Digest != sha256.Sum256(r.Body)) {
		return fmt.Errorf("as record %d the stream holds %s and the journal %s, which differ: %w", r.Seq, r.ID, j.ID, ErrNeither)
	}
	return nil
}

// compareTiles compares what the stream holds from the last full tile on with the tiles.
func (c *comparison) compareTiles(ctx context.Context) error {
	if c.next < c.Size {
		return fmt.Errorf("it ends before entry %d, and %d were signed: %w", c.next, c.Size, ErrTiles)
	}
	if c.Size == 0 {
		return nil
	}
	at := (c.Size - 1) / proof.Width * proof.Width
	first, err := ledger.Find(ctx, c.Log, at)
	if err != nil {
		return err
	}
	tiles := c.signed(ctx, at)
	defer tiles.stop()
	return c.read(ctx, first.Seq, c.last, tiles.compare)
}

// signedEntries are the entries of the tiles, to be compared with those of records one after the other.
type signedEntries struct {
	number, size uint64
	next         func() ([]byte, error, bool)
	stop         func()
}

func (c *comparison) signed(ctx context.Context, from uint64) *signedEntries {
	s := &signedEntries{number: from, size: c.Size}
	s.next, s.stop = iter.Pull2(proof.Entries(ctx, c.Tiles, from, c.Size))
	return s
}

// compare compares the entries of the next record.
func (s *signedEntries) compare(r events.Stored) error {
	number := r.First
	for line, err := range events.Lines(r.Body) {
		if err != nil {
			return err
		}
		if number == s.number && number < s.size {
			signed, err, _ := s.next()
			if err != nil {
				return err
			}
			if !bytes.Equal(signed, line) {
				return fmt.Errorf("entry %d differs: %w", number, ErrTiles)
			}
			s.number++
		}
		number++
	}
	return nil
}

// read reads records from..to and notes where the last one ends.
func (c *comparison) read(ctx context.Context, from, to uint64, each func(events.Stored) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r, err := range c.Log.Read(ctx, from) {
		if err != nil {
			return err
		}
		if r.Seq > from && (r.Prev != c.id || r.First != c.next) {
			return fmt.Errorf("record %d does not continue the one before it: %w", r.Seq, ledger.ErrGap)
		}
		c.last, c.id, c.next = r.Seq, r.ID, r.First+uint64(bytes.Count(r.Body, []byte{'\n'}))
		if err := each(r); err != nil {
			return err
		}
		if r.Seq == to {
			return nil
		}
	}
	return ctx.Err()
}

// append appends the journalled records that stand behind the stream's end.
func (c *comparison) append(ctx context.Context) error {
	missing := make(map[string]bool)
	seq, id, next := c.last, c.id, c.next
	for _, r := range c.chain {
		if r.Seq <= c.last {
			continue
		}
		if r.Seq != seq+1 || r.Prev != id || r.First != next {
			return fmt.Errorf("the stream ends with record %d (%s), before entry %d; the journal goes on with record %d after %s, from entry %d: %w", seq, id, next, r.Seq, r.Prev, r.First, ErrNeither)
		}
		seq, id, next = r.Seq, r.ID, r.Next
		missing[r.ID] = true
	}
	if len(missing) == 0 {
		return nil
	}
	before := c.last
	_, err := journal.Scan(c.Dir, func(r journal.Record) error {
		j, err := ledger.ParseJournalled(r.Payload)
		if err != nil || j.Dropped || !missing[j.ID] || j.Seq != c.last+1 {
			return err
		}
		if err := c.insist(ctx, j); err != nil {
			return err
		}
		delete(missing, j.ID)
		c.last, c.id, c.next = j.Seq, j.ID, j.First+uint64(bytes.Count(j.Body, []byte{'\n'}))
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%d records can no longer be read from the journal: %w", len(missing), ErrNeither)
	}
	if err != nil {
		return err
	}
	c.Logger.Info("records that the journal held and the stream did not were appended to the stream again", "first", before+1, "last", c.last)
	return nil
}

// insist appends a record, whatever becomes of the acknowledgement.
func (c *comparison) insist(ctx context.Context, j ledger.Journalled) error {
	var err error
	for range 3 {
		if err = c.Log.Append(ctx, j.Record, j.Seq-1); err == nil {
			return nil
		}
		if there, gerr := c.Log.Get(ctx, j.Seq); gerr == nil && there.ID == j.ID {
			return nil
		}
	}
	if errors.Is(err, ledger.ErrConflict) {
		err = fmt.Errorf("the stream does not end where it said: %w: %w", err, ledger.ErrGap)
	}
	return err
}

// fill journals what the stream holds and neither the journal nor the other copy does.
func (c *comparison) fill(ctx context.Context, j *journal.Journal) error {
	covered := c.Size
	from := c.last + 1
	switch {
	case len(c.chain) > 0 && c.chain[0].First <= covered:
		from = c.chain[len(c.chain)-1].Seq + 1
	case c.next > covered:
		r, err := ledger.Find(ctx, c.Log, covered)
		if err != nil {
			return err
		}
		from = r.Seq
		if len(c.chain) > 0 && c.chain[0].Seq <= from {
			from = c.chain[len(c.chain)-1].Seq + 1
		}
	}
	if from > c.last {
		return nil
	}
	return c.read(ctx, from, c.last, func(r events.Stored) error {
		note := ledger.Journalled{Record: r.Record, Seq: r.Seq}
		return j.Append(c.next, note.Head(), r.Body)
	})
}

// Begins says whether the journal, as far as it goes, reaches back to the first record: then a stream that is not there
// can be made of it. So it is in a new ledger, and in one whose very first start was killed.
func Begins(dir string) (bool, error) {
	known, err := readNotes(dir)
	if err != nil {
		return false, fmt.Errorf("read the journal: %w", err)
	}
	chain := known.chain()
	return len(chain) == 0 || chain[0].Seq == 1 && chain[0].Prev == "" && chain[0].First == 0, nil
}
