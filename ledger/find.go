package ledger

import (
	"bytes"
	"context"
	"fmt"

	"licenseledger/events"
)

// Find reads the record that holds an entry. It looks at about log2(n) of n
// records, less where the log grew evenly. [ErrNoRecord]: the log does not reach that entry yet.
func Find(ctx context.Context, log Log, entry uint64) (events.Stored, error) {
	fail := func(err error) (events.Stored, error) {
		return events.Stored{}, fmt.Errorf("find entry %d: %w", entry, err)
	}
	end, err := log.Last(ctx)
	if err != nil {
		return fail(err)
	}
	if end == 0 {
		return fail(ErrNoRecord)
	}
	// The record is low or one between low and high: low begins at the entry or before it, high behind it.
	high, err := log.Get(ctx, end)
	if err != nil {
		return fail(err)
	}
	if entry >= high.First {
		if entry-high.First >= uint64(bytes.Count(high.Body, []byte{'\n'})) {
			return fail(ErrNoRecord)
		}
		return high, nil
	}
	low, err := log.Get(ctx, 1)
	if err != nil {
		return fail(err)
	}
	for guess := true; high.Seq-low.Seq > 1; guess = !guess {
		if entry < low.First || high.First <= low.First {
			return fail(fmt.Errorf("records %d and %d begin with entries %d and %d: %w", low.Seq, high.Seq, low.First, high.First, ErrGap))
		}
		// Every other look is the middle, so that a log of uneven records costs no more than twice the looks.
		step := (high.Seq - low.Seq) / 2
		if guess {
			share := float64(entry-low.First) / float64(high.First-low.First)
			step = min(max(1, uint64(share*float64(high.Seq-low.Seq))), high.Seq-low.Seq-1)
		}
		mid, err := log.Get(ctx, low.Seq+step)
		if err != nil {
			return fail(err)
		}
		if mid.First <= entry {
			low = mid
		} else {
			high = mid
		}
	}
	if entry < low.First || entry-low.First >= uint64(bytes.Count(low.Body, []byte{'\n'})) {
		return fail(fmt.Errorf("record %d begins with entry %d and does not hold it: %w", low.Seq, low.First, ErrGap))
	}
	return low, nil
}
