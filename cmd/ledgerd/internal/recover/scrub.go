package recover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/proof"
)

// Scrub reads the whole stream again and again, slowly, and compares it with the tiles: files rot where nobody looks.
type Scrub struct {
	Log    ledger.Log
	Tiles  proof.Source
	Size   func() uint64 // entries that the tiles hold by now
	Rate   int64         // bytes that are read in a second, at most
	First  time.Duration // before the first pass
	Pause  time.Duration // between two
	Logger *slog.Logger

	found   atomic.Pointer[error]
	passes  atomic.Int64
	records atomic.Int64
	bytes   atomic.Int64
}

// ScrubStats are numbers for metrics.
type ScrubStats struct {
	Passes, Records, Bytes int64 // passes that ended well, records and bytes that were compared
	Damaged                bool
}

// Stats tells how far it is.
func (s *Scrub) Stats() ScrubStats {
	return ScrubStats{Passes: s.passes.Load(), Records: s.records.Load(), Bytes: s.bytes.Load(), Damaged: s.Err() != nil}
}

// Err says what differs, as the first pass that met it has found it, or nil.
func (s *Scrub) Err() error {
	if err := s.found.Load(); err != nil {
		return *err
	}
	return nil
}

// Run works until ctx ends, or something differs.
func (s *Scrub) Run(ctx context.Context) {
	for wait(ctx, s.First); ctx.Err() == nil; wait(ctx, s.Pause) {
		err := s.pass(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			s.passes.Add(1)
		case errors.Is(err, ledger.ErrGap), errors.Is(err, events.ErrMalformed), errors.Is(err, ErrTiles), proof.Tampered(err):
			err = fmt.Errorf("the stream and its tiles, read again: %w", err)
			s.found.Store(&err)
			s.Logger.Error("the stream or its second copy is damaged: stop, and run ledgerd verify", "err", err)
			return
		default:
			s.Logger.Warn("the stream could not be read again; later", "err", err)
		}
	}
}

// pass reads the stream once, as far as the tiles go.
func (s *Scrub) pass(ctx context.Context) error {
	size := s.Size()
	last, err := s.Log.Last(ctx)
	if err != nil || last == 0 {
		return err
	}
	c := &comparison{Config: Config{Log: s.Log, Tiles: s.Tiles, Size: size}}
	tiles := c.signed(ctx, 0)
	defer tiles.stop()
	tree := &proof.Tree{}
	return c.read(ctx, 1, last, func(r events.Stored) error {
		if r.Seq == 1 && (r.Prev != "" || r.First != 0) {
			return fmt.Errorf("record 1 is not the first: %w", ledger.ErrGap)
		}
		if err := tiles.compare(r); err != nil {
			return err
		}
		for line, err := range events.Lines(r.Body) {
			if err != nil {
				return err
			}
			if tree.Size() < size {
				if err := tree.Append(proof.LeafHash(line), func(t tlog.Tile, hashes []byte) error { return s.compare(ctx, t, hashes) }); err != nil {
					return err
				}
			}
		}
		s.records.Add(1)
		s.bytes.Add(int64(len(r.Body)))
		wait(ctx, time.Duration(int64(len(r.Body))*int64(time.Second)/s.Rate))
		return ctx.Err()
	})
}

// compare compares a full tile of hashes.
func (s *Scrub) compare(ctx context.Context, t tlog.Tile, hashes []byte) error {
	there, err := s.Tiles.Tile(ctx, t)
	if err == nil && !bytes.Equal(there, hashes) {
		err = proof.ErrHashTile
	}
	if err != nil {
		return fmt.Errorf("%s: %w", proof.Path(t), err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
