package license_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// numbers is a spool as simply as can be: every number that was seen, and the last reports.
type numbers struct {
	seen   map[uint64]bool
	high   uint64
	recent []license.Recent
}

func (n *numbers) gaps() []license.Range {
	var gaps []license.Range
	for seq := uint64(1); seq < n.high; seq++ {
		switch last := len(gaps) - 1; {
		case n.seen[seq]:
		case last >= 0 && gaps[last].To == seq-1:
			gaps[last].To = seq
		default:
			gaps = append(gaps, license.Range{From: seq, To: seq})
		}
	}
	return gaps
}

func (n *numbers) add(seq uint64, digest events.ReportDigest) {
	n.seen[seq] = true
	n.high = max(n.high, seq)
	n.recent = append(n.recent, license.Recent{Seq: seq, Digest: digest})
	n.recent = n.recent[max(0, len(n.recent)-license.RecentCount):]
}

// check is what a report is answered with (domain U2).
func (n *numbers) check(seq uint64, digest events.ReportDigest) (duplicate bool, code license.Code) {
	if n.seen[seq] {
		for _, r := range n.recent {
			if r.Seq == seq && r.Digest != digest {
				return false, license.SequenceReused
			}
		}
		return true, ""
	}
	if seq == 0 || seq > n.high+license.MaxAhead {
		return false, license.Invalid
	}
	before := len(n.gaps())
	n.seen[seq] = true
	was := n.high
	n.high = max(was, seq)
	after := len(n.gaps())
	delete(n.seen, seq)
	n.high = was
	if after > max(before, license.MaxGaps) {
		return false, license.Invalid
	}
	return false, ""
}

func digestOf(n uint64) (d events.ReportDigest) {
	binary.BigEndian.PutUint64(d[:], n)
	return d
}

func codeOf(t interface{ Fatalf(string, ...any) }, err error) license.Code {
	var refusal *license.Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatalf("%v is no refusal", err)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Code
}

// U2: whatever comes in whatever order, a spool answers as the set of all numbers would.
func TestSpoolIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := numbers{seen: map[uint64]bool{}}
		var s license.Spool
		for range rapid.IntRange(1, 80).Draw(t, "reports") {
			seq := rapid.OneOf(rapid.Uint64Range(0, 40), rapid.Just(s.High+1), rapid.Uint64Range(s.High, s.High+6)).Draw(t, "seq")
			digest := digestOf(seq + rapid.SampledFrom([]uint64{0, 0, 0, 1000}).Draw(t, "content"))
			duplicate, err := s.Check(seq, digest)
			wantDuplicate, want := model.check(seq, digest)
			if code := codeOf(t, err); code != want || duplicate != wantDuplicate {
				t.Fatalf("report %d after %+v: %v, %q, want %v, %q", seq, s, duplicate, code, wantDuplicate, want)
			}
			if err != nil || duplicate {
				continue
			}
			before := license.Spool{High: s.High, Gaps: slices.Clone(s.Gaps), Recent: slices.Clone(s.Recent)}
			next := s.Add(seq, digest)
			if s.High != before.High || !slices.Equal(s.Gaps, before.Gaps) || !slices.Equal(s.Recent, before.Recent) {
				t.Fatalf("adding %d changed the spool that it was added to from %+v to %+v", seq, before, s)
			}
			s = next
			model.add(seq, digest)
			if s.High != model.high || !slices.Equal(s.Gaps, model.gaps()) || !slices.Equal(s.Recent, model.recent) {
				t.Fatalf("after report %d it is %+v, want high %d, gaps %v, recent %v", seq, s, model.high, model.gaps(), model.recent)
			}
		}
	})
}

// U2: at most 1,000 gaps: no report opens one more, none splits one, and each may close one.
func TestSpoolGaps(t *testing.T) {
	var s license.Spool
	for n := uint64(1); n <= license.MaxGaps; n++ {
		seq := 4 * n // gaps of three numbers: 1 to 3, 5 to 7, ...
		if _, err := s.Check(seq, digestOf(seq)); err != nil {
			t.Fatalf("gap %d: %v", n, err)
		}
		s = s.Add(seq, digestOf(seq))
	}
	for _, test := range []struct {
		name string
		seq  uint64
		want license.Code
	}{
		{"the next one", s.High + 1, ""},
		{"one gap more", s.High + 2, license.Invalid},
		{"the first of a gap", 5, ""},
		{"the middle of a gap", 6, license.Invalid},
		{"the last of a gap", 7, ""},
		{"one that was seen", 8, ""},
	} {
		if _, err := s.Check(test.seq, digestOf(test.seq)); codeOf(t, err) != test.want {
			t.Errorf("%s, %d: %v, want %q", test.name, test.seq, err, test.want)
		}
	}
	s = s.Add(5, digestOf(5)).Add(7, digestOf(7)).Add(6, digestOf(6))
	if len(s.Gaps) != license.MaxGaps-1 {
		t.Fatalf("%d gaps", len(s.Gaps))
	}
	if _, err := s.Check(10, digestOf(10)); err != nil {
		t.Errorf("with a gap closed another one cannot be split: %v", err)
	}
}

// U2: digests of the last 16 reports tell other content; older numbers count as repeated, whatever they say.
func TestSpoolRemembers(t *testing.T) {
	var s license.Spool
	for seq := uint64(1); seq <= license.RecentCount+1; seq++ {
		s = s.Add(seq, digestOf(seq))
	}
	if duplicate, err := s.Check(1, digestOf(99)); !duplicate || err != nil {
		t.Errorf("the oldest: %v, %v", duplicate, err)
	}
	if _, err := s.Check(2, digestOf(99)); codeOf(t, err) != license.SequenceReused {
		t.Errorf("the oldest that is remembered: %v", err)
	}
	if duplicate, err := s.Check(2, digestOf(2)); !duplicate || err != nil {
		t.Errorf("the same again: %v, %v", duplicate, err)
	}
}

// At the end of what numbers there are, nothing wraps around.
func TestSpoolEnds(t *testing.T) {
	const last = math.MaxUint64
	s := license.Spool{High: last - 2}
	if _, err := s.Check(last, digestOf(1)); err != nil {
		t.Fatal(err)
	}
	s = s.Add(last, digestOf(1))
	if s.High != last || !slices.Equal(s.Gaps, []license.Range{{From: last - 1, To: last - 1}}) {
		t.Fatalf("%+v", s)
	}
	if duplicate, err := s.Check(last, digestOf(1)); !duplicate || err != nil {
		t.Errorf("%v, %v", duplicate, err)
	}
	if s = s.Add(last-1, digestOf(2)); s.High != last || s.Gaps != nil {
		t.Errorf("%+v", s)
	}
	if _, err := (&license.Spool{}).Check(last, digestOf(1)); codeOf(t, err) != license.Invalid {
		t.Errorf("the last number first: %v", err)
	}
}

// FuzzSpool feeds numbers to a spool, two bytes each, and holds it against the set of them.
func FuzzSpool(f *testing.F) {
	f.Add([]byte{0, 1, 0, 3, 0, 2, 0, 2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		model := numbers{seen: map[uint64]bool{}}
		var s license.Spool
		for ; len(b) >= 2 && len(model.seen) < 200; b = b[2:] {
			seq := uint64(b[0]&1)<<8 | uint64(b[1])
			duplicate, err := s.Check(seq, digestOf(seq))
			wantDuplicate, want := model.check(seq, digestOf(seq))
			if code := codeOf(t, err); code != want || duplicate != wantDuplicate {
				t.Fatalf("report %d after %+v: %v, %q, want %v, %q", seq, s, duplicate, code, wantDuplicate, want)
			}
			if err == nil && !duplicate {
				s = s.Add(seq, digestOf(seq))
				model.add(seq, digestOf(seq))
			}
			if !slices.Equal(s.Gaps, model.gaps()) {
				t.Fatalf("after report %d gaps are %v, want %v", seq, s.Gaps, model.gaps())
			}
		}
	})
}
