package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"licenseledger/ledger/journal"
)

// smallFile makes many files of few records.
const smallFile = 512

// payload is the record number n of these tests.
func payload(n int) []byte {
	return fmt.Appendf(nil, "record %d %s", n, strings.Repeat("x", n*37%200))
}

func open(t testing.TB, cfg journal.Config) (*journal.Journal, journal.Report) {
	t.Helper()
	j, report, err := journal.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, report
}

// fill appends records from..to, with their numbers as marks.
func fill(t testing.TB, j *journal.Journal, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		b := payload(n)
		if err := j.Append(uint64(n), b[:n%len(b)], b[n%len(b):]); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers reads a journal whose records are payload's, and gives their numbers.
func numbers(t testing.TB, dir string) ([]int, journal.Report) {
	t.Helper()
	var found []int
	report, err := journal.Scan(dir, func(r journal.Record) error {
		if want := payload(int(r.Number)); !bytes.Equal(r.Payload, want) || r.Mark != r.Number {
			t.Errorf("record %d with mark %d reads %q, want %q", r.Number, r.Mark, r.Payload, want)
		}
		found = append(found, int(r.Number))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, report
}

func span(from, to int) (all []int) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func whole(t testing.TB, dir string, from, to int) {
	t.Helper()
	if got, report := numbers(t, dir); !slices.Equal(got, span(from, to)) || report.Torn != nil || len(report.Damaged) > 0 {
		t.Errorf("it holds %v, want %d to %d: %+v", got, from, to, report)
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAppendAndScan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	if got, report := numbers(t, dir); len(got) > 0 || report.Records > 0 {
		t.Errorf("a journal that is not there holds %v", got)
	}
	j, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
	whole(t, dir, 1, 0)
	fill(t, j, 1, 20)
	whole(t, dir, 1, 20)
	if err := j.Append(21, nil); err != nil {
		t.Errorf("an empty record: %v", err)
	}
	if st := j.Stats(); st.Number != 21 || st.Bytes == 0 {
		t.Errorf("%+v", st)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(22, payload(22)); err == nil {
		t.Error("a closed journal takes records")
	}
}

// Nothing that is not covered is overwritten, the two files before the newest are always kept, and the rest is used again.
func TestItForgetsOnlyWhatIsCovered(t *testing.T) {
	dir := t.TempDir()
	covered := 0
	j, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile, Covered: func() uint64 { return uint64(covered) }})
	fill(t, j, 1, 60)
	whole(t, dir, 1, 60)
	grown := len(files(t, dir))
	if grown < 10 {
		t.Fatalf("60 records stand in %d files: the test needs more", grown)
	}
	covered = 30
	fill(t, j, 61, 70)
	got, report := numbers(t, dir)
	if report.Torn != nil || len(report.Damaged) > 0 {
		t.Fatalf("%+v", report)
	}
	if got[0] > 31 || got[0] < 25 || got[len(got)-1] != 70 {
		t.Errorf("30 are covered, and it holds %d to %d", got[0], got[len(got)-1])
	}
	for n := 71; n <= 300; n++ {
		covered = n - 1
		fill(t, j, n, n)
	}
	if now := len(files(t, dir)); now != 3 {
		t.Errorf("everything is covered, and %d files are kept", now)
	}
	got, _ = numbers(t, dir)
	whole(t, dir, got[0], 300)
	again, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
	fill(t, again, 301, 310)
	whole(t, dir, got[0], 310)
}

func TestTooLarge(t *testing.T) {
	j, _ := open(t, journal.Config{Dir: t.TempDir(), FileSize: smallFile})
	if err := j.Append(1, make([]byte, smallFile)); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	large, _ := open(t, journal.Config{Dir: t.TempDir()})
	if err := large.Append(1, make([]byte, journal.MaxPayload+1)); !errors.Is(err, journal.ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(j.Append(1, payload(1)), large.Append(1, make([]byte, journal.MaxPayload))); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// After an error nobody knows what is on disk: nothing is appended any more.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
	fill(t, j, 1, 1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var first error
	for n := 2; n < 20 && first == nil; n++ {
		first = j.Append(uint64(n), payload(n)) // fails when it needs the next file
	}
	if !errors.Is(first, fs.ErrNotExist) {
		t.Fatalf("its folder is gone: %v", first)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(20, payload(20)); err != first {
		t.Errorf("afterwards: %v", err)
	}
}

// A crash while a record is written leaves any part of it: those before it are there, and the journal goes on.
func TestTornRecord(t *testing.T) {
	base := t.TempDir()
	j, _ := open(t, journal.Config{Dir: base, FileSize: smallFile})
	fill(t, j, 1, 9)
	before := newest(t, base)
	fill(t, j, 10, 10)
	after := newest(t, base)
	if len(before) != len(after) || bytes.Equal(before, after) {
		t.Fatal("record 10 begins a file: the test needs another number")
	}
	from, to := 0, 0
	for i := range after {
		if before[i] != after[i] {
			if to == 0 {
				from = i
			}
			to = i + 1
		}
	}
	for cut := from; cut <= to; cut++ {
		for _, head := range []bool{true, false} { // what is written first
			torn := slices.Clone(before)
			if head {
				copy(torn[from:cut], after[from:cut])
			} else {
				copy(torn[cut:to], after[cut:to])
			}
			dir := copyOf(t, base)
			all := files(t, dir)
			if err := os.WriteFile(all[len(all)-1], torn, 0o600); err != nil {
				t.Fatal(err)
			}
			got, report := numbers(t, dir)
			last := 9
			if bytes.Equal(torn, after) {
				last = 10
			}
			if !slices.Equal(got, span(1, last)) || len(report.Damaged) > 0 {
				t.Fatalf("cut at %d: it holds %v, %+v", cut, got, report)
			}
			begun := !bytes.Equal(torn[from:from+40], before[from:from+40]) // some of its header is there
			if begun != (report.Torn != nil) && last == 9 {
				t.Fatalf("cut at %d: torn is %v", cut, report.Torn)
			}
			again, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
			fill(t, again, last+1, 12)
			whole(t, dir, 1, 12)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What comes after a torn record may not fit where that stood: the file ends before it, and is no damage once others follow.
func TestTornRecordAtTheEndOfAFile(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
	must(t, errors.Join(j.Append(1, make([]byte, 200)), j.Append(2, make([]byte, 60)), j.Close()))
	file := files(t, dir)[0]
	b, err := os.ReadFile(file)
	must(t, err)
	b[240+40] ^= 1 // of the second record's payload
	must(t, os.WriteFile(file, b, 0o600))
	j, report := open(t, journal.Config{Dir: dir, FileSize: smallFile})
	if report.Records != 1 || report.Torn == nil {
		t.Fatalf("%+v", report)
	}
	must(t, errors.Join(j.Append(2, make([]byte, 200)), j.Append(3, make([]byte, 200)), j.Close()))
	report, err = journal.Scan(dir, nil)
	if len(files(t, dir)) != 3 || err != nil || report.Records != 3 || report.Torn != nil || len(report.Damaged) > 0 {
		t.Errorf("%d files, %+v, %v", len(files(t, dir)), report, err)
	}
}

func newest(t testing.TB, dir string) []byte {
	t.Helper()
	all := files(t, dir)
	b, err := os.ReadFile(all[len(all)-1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Whatever byte is another than it was: no wrong record is read, and unless the byte stands in what is padding or not in use, it is reported and a damaged
// journal is not appended to.
func TestEveryByteChanged(t *testing.T) {
	base := t.TempDir()
	j, _ := open(t, journal.Config{Dir: base, FileSize: smallFile})
	fill(t, j, 1, 12)
	for i, file := range files(t, base) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for at := range content {
			if content[at] == 0 && at > 0 && content[at-1] == 0 && at%7 != 0 {
				continue // zeros are all alike
			}
			content[at] ^= 1 << (at % 8)
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			got, report := numbers(t, base)
			if len(got) < 12 && report.Torn == nil && len(report.Damaged) == 0 {
				t.Errorf("byte %d of file %d: it holds %v, and says nothing", at, i, got)
			}
			if len(report.Damaged) > 0 {
				if _, _, err := journal.Open(journal.Config{Dir: base, FileSize: smallFile}); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(report.Damaged[0].File)) {
					t.Errorf("byte %d of file %d: opened: %v", at, i, err)
				}
			}
			content[at] ^= 1 << (at % 8)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole(t, base, 1, 12)
}

// Damage is named; the records around it are read all the same.
func TestDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, all []string)
		says   string
	}{
		{"a file is missing", func(t *testing.T, all []string) { must(t, os.Remove(all[2])) }, "00000003.journal at byte 0, record"},
		{"files are exchanged", func(t *testing.T, all []string) {
			must(t, os.Rename(all[1], all[1]+".away"))
			must(t, os.Rename(all[2], all[1]))
			must(t, os.Rename(all[1]+".away", all[2]))
		}, "00000002.journal at byte 0"},
		{"a file is empty", func(t *testing.T, all []string) { must(t, os.Truncate(all[1], 0)) }, "00000002.journal at byte 0"},
		{"a file ends early", func(t *testing.T, all []string) { must(t, os.Truncate(all[1], 150)) }, "00000002.journal at byte"},
		{"an older file in its place", func(t *testing.T, all []string) {
			b, err := os.ReadFile(all[0])
			must(t, err)
			must(t, os.WriteFile(all[1], b, 0o600))
		}, "00000002.journal at byte 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			j, _ := open(t, journal.Config{Dir: dir, FileSize: smallFile})
			fill(t, j, 1, 20)
			tt.damage(t, files(t, dir))
			got, report := numbers(t, dir)
			if len(report.Damaged) == 0 || !strings.Contains(report.Damaged[0].String(), tt.says) {
				t.Errorf("it says %v, want %q", report.Damaged, tt.says)
			}
			if len(got) == 0 || got[0] != 1 || got[len(got)-1] != 20 {
				t.Errorf("it still holds %v", got)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestScanEnds(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, journal.Config{Dir: dir})
	fill(t, j, 1, 5)
	enough := errors.New("enough")
	seen := 0
	_, err := journal.Scan(dir, func(journal.Record) error {
		if seen++; seen == 3 {
			return enough
		}
		return nil
	})
	if err != enough || seen != 3 {
		t.Errorf("%v after %d", err, seen)
	}
}

// Any history of appends, coverings, crashes and new beginnings: the journal holds the newest records in order, at least all that are not covered.
func TestHistories(t *testing.T) {
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(base, fmt.Sprint(run))
		covered, last := 0, 0
		cfg := journal.Config{Dir: dir, FileSize: smallFile, Covered: func() uint64 { return uint64(covered) }}
		j, _, err := journal.Open(cfg)
		must(t, err)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				must(t, j.Close())
				j, _, err = journal.Open(cfg)
				must(t, err)
			case 1:
				covered = rapid.IntRange(covered, last).Draw(rt, "covered")
			default:
				n := rapid.IntRange(1, 12).Draw(rt, "records")
				fill(t, j, last+1, last+n)
				last += n
			}
		}
		must(t, j.Close())
		got, report := numbers(t, dir)
		if len(got) != last-firstOf(got, last)+1 || report.Torn != nil || len(report.Damaged) > 0 {
			rt.Fatalf("it holds %v of %d: %+v", got, last, report)
		}
		if firstOf(got, last) > covered+1 {
			rt.Fatalf("%d are covered, and it begins at %d", covered, got[0])
		}
	})
}

// firstOf is the first number, or the one after the last.
func firstOf(got []int, last int) int {
	if len(got) == 0 {
		return last + 1
	}
	return got[0]
}

func ExampleScan() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	j, _, err := journal.Open(journal.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	err = errors.Join(j.Append(1, []byte("the first")), j.Append(3, []byte("two "), []byte("more")), j.Close())
	if err != nil {
		panic(err)
	}
	_, err = journal.Scan(dir, func(r journal.Record) error {
		fmt.Printf("%d, up to %d: %s\n", r.Number, r.Mark, r.Payload)
		return nil
	})
	if err != nil {
		panic(err)
	}
	// Output:
	// 1, up to 1: the first
	// 2, up to 3: two more
}

// What is read from arbitrary files is never a panic, and never more than was written whole.
func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	j, _ := open(f, journal.Config{Dir: dir, FileSize: smallFile})
	fill(f, j, 1, 8)
	all := files(f, dir)
	for _, file := range all {
		b, err := os.ReadFile(file)
		must(f, err)
		f.Add(b, uint16(3), byte(0))
		f.Add(b, uint16(33), byte(1))
	}
	f.Add([]byte("LJR1"), uint16(0), byte(9))
	original, err := os.ReadFile(all[0])
	must(f, err)
	fuzzed := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, at uint16, change byte) {
		b = slices.Clone(b)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= change
		}
		must(t, os.WriteFile(filepath.Join(fuzzed, filepath.Base(all[0])), original, 0o600))
		must(t, os.WriteFile(filepath.Join(fuzzed, filepath.Base(all[1])), b, 0o600))
		records := 0
		report, err := journal.Scan(fuzzed, func(r journal.Record) error {
			records++
			return nil
		})
		if err != nil || report.Records != records {
			t.Fatalf("%d records, %+v, %v", records, report, err)
		}
		j, _, err := journal.Open(journal.Config{Dir: fuzzed, FileSize: smallFile})
		if (err != nil) != (len(report.Damaged) > 0) {
			t.Fatalf("%+v: opened: %v", report, err)
		}
		if err == nil {
			must(t, errors.Join(j.Append(99, []byte("one more")), j.Close()))
			if again, err := journal.Scan(fuzzed, nil); err != nil || again.Records != records+1 || again.Torn != nil || len(again.Damaged) > 0 {
				t.Fatalf("one more than %d: %+v, %v", records, again, err)
			}
		}
		stray, err := filepath.Glob(filepath.Join(fuzzed, "*"))
		must(t, err)
		for _, file := range stray {
			must(t, os.Remove(file))
		}
	})
}

// What an append costs, beside the same bytes at the end of a plain file.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 90 << 10, 500 << 10} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		b.Run(fmt.Sprintf("journal/%dKiB", size>>10), func(b *testing.B) {
			j, _ := open(b, journal.Config{Dir: b.TempDir(), Covered: func() uint64 { return 1 << 60 }})
			b.SetBytes(int64(size))
			for n := 0; b.Loop(); n++ {
				must(b, j.Append(uint64(n), body))
			}
		})
		b.Run(fmt.Sprintf("file/%dKiB", size>>10), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "file"))
			must(b, err)
			defer f.Close()
			b.SetBytes(int64(size))
			for b.Loop() {
				_, err := f.Write(body)
				must(b, errors.Join(err, f.Sync()))
			}
		})
	}
}
