package license

import (
	"sort"

	"licenseledger/events"
)

// Bounds of a spool (domain U2).
const (
	MaxGaps      = 1000
	MaxAhead     = 100_000
	RecentCount  = 16
	MaxSpoolName = 64
)

// Spool is what is known of the reports of one spool of one agent (domain U2).
type Spool struct {
	// High is the highest number seen.
	High uint64 `json:"high"`
	// Gaps are the numbers below High that were not seen, in order.
	Gaps []Range `json:"gaps,omitempty"`
	// Recent are the digests of the last reports, oldest first.
	Recent []Recent `json:"recent,omitempty"`
}

// Range is a run of numbers, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Recent is a report that came lately.
type Recent struct {
	Seq    uint64              `json:"seq"`
	Digest events.ReportDigest `json:"digest"`
}

// Check says whether a report counts: duplicate is true for one that was counted before. A refusal is [SequenceReused] or [Invalid].
func (s *Spool) Check(seq uint64, digest events.ReportDigest) (duplicate bool, err error) {
	switch {
	case seq == 0:
		return false, invalid("seq", "reports are numbered from 1")
	case seq > s.High:
		if seq-s.High > MaxAhead {
			return false, invalid("seq", "report %d is more than %d ahead of the last one, %d", seq, MaxAhead, s.High)
		}
		if seq > s.High+1 && len(s.Gaps) >= MaxGaps {
			return false, invalid("seq", "report %d would open one gap more than the %d that a spool may have: send what is missing, or declare it void", seq, MaxGaps)
		}
		return false, nil
	}
	if i := s.gap(seq); i < len(s.Gaps) && s.Gaps[i].From <= seq {
		if s.Gaps[i].From < seq && seq < s.Gaps[i].To && len(s.Gaps) >= MaxGaps {
			return false, invalid("seq", "report %d would split a gap, and the spool has %d already: send the first missing report, %d", seq, MaxGaps, s.Gaps[0].From)
		}
		return false, nil
	}
	for _, r := range s.Recent {
		if r.Seq == seq && r.Digest != digest {
			return false, refuse(SequenceReused, "report %d was recorded with other content: a spool never uses a number twice (a reinstalled agent starts a new spool)", seq)
		}
	}
	return true, nil
}

// gap is the index of the first gap that ends at or after seq.
func (s *Spool) gap(seq uint64) int {
	return sort.Search(len(s.Gaps), func(i int) bool { return s.Gaps[i].To >= seq })
}

// Add folds a report or a void into the spool. Slices are copied, never changed in place: older values stay as they were.
func (s Spool) Add(seq uint64, digest events.ReportDigest) Spool {
	if seq > s.High {
		if seq > s.High+1 {
			s.Gaps = append(s.Gaps[:len(s.Gaps):len(s.Gaps)], Range{s.High + 1, seq - 1})
		}
		s.High = seq
	} else if i := s.gap(seq); i < len(s.Gaps) && s.Gaps[i].From <= seq {
		g, gaps := s.Gaps[i], append([]Range(nil), s.Gaps[:i]...)
		if g.From < seq {
			gaps = append(gaps, Range{g.From, seq - 1})
		}
		if seq < g.To {
			gaps = append(gaps, Range{seq + 1, g.To})
		}
		s.Gaps = append(gaps, s.Gaps[i+1:]...)
		if len(s.Gaps) == 0 {
			s.Gaps = nil
		}
	}
	old := s.Recent
	if len(old) >= RecentCount {
		old = old[len(old)-RecentCount+1:]
	}
	s.Recent = append(append(make([]Recent, 0, RecentCount), old...), Recent{seq, digest})
	return s
}

// SpoolOf names the spool that an event of usage belongs to; ok is false for other events.
func SpoolOf(d events.Data) (agent, spool string, seq uint64, digest events.ReportDigest, ok bool) {
	switch d := d.(type) {
	case *events.UsageRecorded:
		return d.Agent, d.Spool, d.Seq, d.Digest, true
	case *events.UsageVoided:
		return d.Agent, d.Spool, d.Seq, d.Digest, true
	}
	return "", "", 0, events.ReportDigest{}, false
}
