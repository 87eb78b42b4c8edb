package ledger

import "sync/atomic"

// counters are written by the sequencer and read by anybody.
type counters struct {
	records, entries, bytes                  atomic.Int64
	conflicts, retries, overloaded, compared atomic.Int64
}

// Stats is what a sequencer has done since its start, and what waits.
type Stats struct {
	Records, Entries, Bytes        int64 // acknowledged
	Conflicts, Retries, Overloaded int64
	Waiting, WaitingBytes          int64 // requests that are not answered
}

// Stats reads the counters; each by itself is exact.
func (q *Sequencer) Stats() Stats {
	return Stats{
		Records: q.stats.records.Load(), Entries: q.stats.entries.Load(), Bytes: q.stats.bytes.Load(),
		Conflicts: q.stats.conflicts.Load(), Retries: q.stats.retries.Load(), Overloaded: q.stats.overloaded.Load(),
		Waiting: q.count.Load(), WaitingBytes: q.waiting.Load(),
	}
}
