package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Record is what was appended.
type Record struct {
	Number  uint64
	Mark    uint64
	Payload []byte // valid until the function that it was given to returns
}

// Place is where something does not verify.
type Place struct {
	File   string
	Offset int64
	Number uint64 // of the record that should stand there; 0 if that is not known
	Reason string
}

func (p Place) String() string {
	if p.Number == 0 {
		return fmt.Sprintf("%s at byte %d: %s", p.File, p.Offset, p.Reason)
	}
	return fmt.Sprintf("%s at byte %d, record %d: %s", p.File, p.Offset, p.Number, p.Reason)
}

// Report is what [Scan] found.
type Report struct {
	Records int
	Torn    *Place  // the last record, if it is not whole
	Damaged []Place // everything else
}

// Scan reads the records of a folder in order and gives them to each, whose first error ends it. A folder that
// is not there holds none. Errors are each's, and those of reading files; damage is reported. The journal may be in use meanwhile: then what is
// appended or forgotten while Scan runs may be reported as torn, damaged or [fs.ErrNotExist], and reading again helps.
func Scan(dir string, each func(Record) error) (Report, error) {
	r := reader{dir: dir}
	err := r.scan(each)
	return r.Report, err
}

// reader reads all files of a journal.
type reader struct {
	Report
	dir      string
	number   uint64   // expected next; of no meaning before the first record
	sum      uint32   // of the record before
	started  bool     // there was a record
	segments []sealed // files that were read
	end      int64    // where the last record of the last file ends
}

func (r *reader) scan(each func(Record) error) error {
	names, err := list(r.dir)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	r.number = 1
	for i, segment := range names {
		name := filepath.Join(r.dir, fileName(segment))
		if i > 0 && segment != names[i-1]+1 {
			r.Damaged = append(r.Damaged, Place{File: filepath.Join(r.dir, fileName(names[i-1]+1)), Number: r.number, Reason: "the file is missing"})
			r.started = false
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if err := r.file(name, segment, content, i == len(names)-1, each); err != nil {
			return err
		}
	}
	return nil
}

// list gives the numbers of the files, in order.
func list(dir string) ([]uint64, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []uint64
	for _, d := range all { // in the order of their names, which is that of numbers with as many digits
		if text, ok := strings.CutSuffix(d.Name(), ".journal"); ok {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil && d.Name() == fileName(n) {
				found = append(found, n)
			}
		}
	}
	return found, err
}

// file reads one file.
func (r *reader) file(name string, segment uint64, b []byte, newest bool, each func(Record) error) error {
	r.segments = append(r.segments, sealed{segment: segment})
	here := &r.segments[len(r.segments)-1]
	at := int64(0)
	for ended := false; !ended; {
		rec, sum, ok := parse(b, at, segment)
		if !ok {
			place := Place{File: name, Offset: at, Number: r.number, Reason: "it does not verify"}
			next := search(b, at+alignment, segment)
			switch {
			case next >= 0:
				r.Damaged = append(r.Damaged, place)
				at = next
				r.started = false // what comes next is a new beginning
				continue
			case isEnd(b, at):
			case !newest:
				r.Damaged = append(r.Damaged, place)
			case at > 0 || !unused(b, segment):
				place.Reason = "it is not whole"
				r.Torn = &place
			}
			ended = true
			continue
		}
		if r.started && (rec.Number != r.number || binary.BigEndian.Uint32(b[at+32:]) != r.sum) {
			r.Damaged = append(r.Damaged, Place{File: name, Offset: at, Number: r.number, Reason: fmt.Sprintf("record %d stands there, which does not follow the one before it", rec.Number)})
		}
		r.started, r.number, r.sum = true, rec.Number+1, sum
		here.mark = max(here.mark, rec.Mark)
		r.Records++
		if each != nil {
			if err := each(rec); err != nil {
				return err
			}
		}
		at += room(len(rec.Payload))
	}
	r.end = at
	return nil
}

// parse reads the record at an offset.
func parse(b []byte, at int64, segment uint64) (rec Record, sum uint32, ok bool) {
	if at > int64(len(b))-headerSize || string(b[at:at+4]) != magic || binary.BigEndian.Uint64(b[at+8:]) != segment {
		return rec, 0, false
	}
	length := int64(binary.BigEndian.Uint32(b[at+4:]))
	if length > int64(len(b))-at-headerSize {
		return rec, 0, false
	}
	whole := b[at : at+headerSize+length]
	if sum = checksum(whole); sum != binary.BigEndian.Uint32(whole[36:]) {
		return rec, 0, false
	}
	return Record{Number: binary.BigEndian.Uint64(whole[16:]), Mark: binary.BigEndian.Uint64(whole[24:]), Payload: whole[headerSize:len(whole):len(whole)]}, sum, true
}

// search finds the next record at or behind an offset, or -1.
func search(b []byte, at int64, segment uint64) int64 {
	for ; at <= int64(len(b))-headerSize; at += alignment {
		if b[at] == magic[0] {
			if _, _, ok := parse(b, at, segment); ok {
				return at
			}
		}
	}
	return -1
}

// isEnd says that a header of zeros stands at an offset.
func isEnd(b []byte, at int64) bool {
	if at > int64(len(b))-headerSize {
		return false
	}
	for _, c := range b[at : at+headerSize] {
		if c != 0 {
			return false
		}
	}
	return true
}

// unused says that a file was not written yet since it got its number: it is empty, or begins with a record of an earlier one.
func unused(b []byte, segment uint64) bool {
	if len(b) < headerSize {
		return len(b) == 0
	}
	earlier := binary.BigEndian.Uint64(b[8:])
	_, _, ok := parse(b, 0, earlier)
	return ok && earlier < segment
}
