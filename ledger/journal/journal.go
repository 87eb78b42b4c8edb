package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
)

// MaxPayload bounds a record in bytes.
const MaxPayload = 4 << 20

const (
	magic      = "LJR1"
	headerSize = 40
	alignment  = 8

	segmentSize = 8 << 20
	step        = 1 << 20 // by which a file grows
	kept        = 2       // files before the newest that are never reused: the log's own newest file (8 MiB) is always in them
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged says that a journal holds something that does not verify, and not only at its end.
var ErrDamaged = errors.New("the journal is damaged")

// ErrTooLarge says that a record has more than [MaxPayload] bytes.
var ErrTooLarge = errors.New("too large for the journal")

// Config says where a journal is and what it may forget.
type Config struct {
	// Dir is the journal's folder, made with mode 0700 if it is not there. Its caller sees to it that no other process works on it.
	Dir string
	// Covered is the mark up to which the log's other copy is on disk: files whose marks are all at most that may be
	// overwritten. It is called now and then by Append. Nil: nothing is covered.
	Covered func() uint64
	// FileSize is the size of a file in bytes; 0 is 8 MiB.
	FileSize int64
}

// Journal is a journal that is appended to. Its methods are safe for concurrent use; appends happen one after the other.
type Journal struct {
	cfg Config

	mu        sync.Mutex
	file      *os.File
	segment   uint64 // the file's number
	offset    int64  // where the next record goes
	allocated int64  // size of the file
	mark      uint64 // largest in the file
	number    uint64 // of the next record
	sum       uint32 // of the last one
	before    []sealed
	buf       []byte
	zeros     []byte
	err       error // why nothing is appended any more
}

// sealed is a file before the newest.
type sealed struct {
	segment uint64
	mark    uint64
}

// Open opens the journal of a folder, or makes one, to go on behind its last whole record, and reports what it read. [ErrDamaged]: it
// holds damage, and nothing was changed.
func Open(cfg Config) (*Journal, Report, error) {
	if cfg.FileSize == 0 {
		cfg.FileSize = segmentSize
	}
	if cfg.Covered == nil {
		cfg.Covered = func() uint64 { return 0 }
	}
	j := &Journal{cfg: cfg}
	report, err := j.open()
	if err != nil {
		return nil, report, fmt.Errorf("open the journal: %w", err)
	}
	return j, report, nil
}

func (j *Journal) open() (Report, error) {
	if err := os.MkdirAll(j.cfg.Dir, 0o700); err != nil {
		return Report{}, err
	}
	r := reader{dir: j.cfg.Dir}
	if err := r.scan(nil); err != nil {
		return r.Report, err
	}
	if len(r.Damaged) > 0 {
		return r.Report, fmt.Errorf("%s: %w", r.Damaged[0], ErrDamaged)
	}
	j.number, j.sum, j.before = r.number, r.sum, r.segments
	if len(j.before) == 0 {
		return r.Report, j.begin(1, "")
	}
	last := j.before[len(j.before)-1]
	j.before = j.before[:len(j.before)-1]
	file, err := os.OpenFile(filepath.Join(j.cfg.Dir, fileName(last.segment)), os.O_RDWR, 0)
	if err != nil {
		return r.Report, err
	}
	j.file, j.segment, j.mark, j.offset = file, last.segment, last.mark, r.end
	if r.Torn != nil {
		// The next record may be too large for this file, which then ends here, before the torn one.
		_, err = file.WriteAt(make([]byte, headerSize), r.end)
	}
	info, serr := file.Stat()
	if err = errors.Join(err, serr); err == nil {
		j.allocated = info.Size()
		// What was read may not have reached the disk before the crash; from now on it counts.
		err = errors.Join(file.Sync(), syncDir(j.cfg.Dir))
	}
	if err != nil {
		return r.Report, errors.Join(err, file.Close())
	}
	return r.Report, nil
}

// Append writes a record, the payload's parts one after the other, and returns when it is on disk. mark must not be smaller than that of records before.
// After an error nothing is known of this record, and every later call fails with the same error; but [ErrTooLarge] changes nothing.
func (j *Journal) Append(mark uint64, payload ...[]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	length := 0
	for _, p := range payload {
		length += len(p)
	}
	if length > MaxPayload || room(length)+headerSize > j.cfg.FileSize {
		return fmt.Errorf("append %d bytes: %w", length, ErrTooLarge)
	}
	if err := j.append(mark, length, payload); err != nil {
		j.err = fmt.Errorf("append record %d to the journal in %s: %w", j.number, j.cfg.Dir, err)
		return j.err
	}
	return nil
}

func (j *Journal) append(mark uint64, length int, payload [][]byte) error {
	size := room(length)
	if j.offset+size+headerSize > j.cfg.FileSize {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	b := append(j.buf[:0], magic...)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = binary.BigEndian.AppendUint64(b, j.segment)
	b = binary.BigEndian.AppendUint64(b, j.number)
	b = binary.BigEndian.AppendUint64(b, mark)
	b = binary.BigEndian.AppendUint32(b, j.sum)
	b = append(b, 0, 0, 0, 0)
	for _, p := range payload {
		b = append(b, p...)
	}
	sum := checksum(b)
	binary.BigEndian.PutUint32(b[36:], sum)
	b = append(b, make([]byte, size+headerSize-int64(len(b)))...) // padding, and the header that ends the file
	j.buf = b
	if err := j.grow(j.offset + int64(len(b))); err != nil {
		return err
	}
	if _, err := j.file.WriteAt(b, j.offset); err != nil {
		return err
	}
	if err := datasync(j.file); err != nil {
		return err
	}
	j.offset += size
	j.number++
	j.sum, j.mark = sum, max(j.mark, mark)
	return nil
}

// grow writes zeros so that the file has n bytes at least. The next fdatasync makes them durable.
func (j *Journal) grow(n int64) error {
	if n <= j.allocated {
		return nil
	}
	n = min(max(n, j.allocated+step), j.cfg.FileSize)
	if j.zeros == nil {
		j.zeros = make([]byte, 64<<10)
	}
	for j.allocated < n {
		wrote, err := j.file.WriteAt(j.zeros[:min(int64(len(j.zeros)), n-j.allocated)], j.allocated)
		j.allocated += int64(wrote)
		if err != nil {
			return err
		}
	}
	return nil
}

// rotate begins the next file, in place of the newest one that may be forgotten. Older ones are removed first, so that the numbers have no gap
// whatever happens.
func (j *Journal) rotate() error {
	if err := j.file.Close(); err != nil {
		return err
	}
	j.before = append(j.before, sealed{j.segment, j.mark})
	covered := j.cfg.Covered()
	forget := 0
	for forget < len(j.before)-kept && j.before[forget].mark <= covered {
		forget++
	}
	reuse := ""
	for i, s := range j.before[:forget] {
		name := filepath.Join(j.cfg.Dir, fileName(s.segment))
		if i == forget-1 {
			reuse = name
		} else if err := os.Remove(name); err != nil {
			return err
		}
	}
	j.before = append(j.before[:0], j.before[forget:]...)
	return j.begin(j.segment+1, reuse)
}

// begin makes file number n the newest, in place of another or anew.
func (j *Journal) begin(n uint64, reuse string) error {
	name := filepath.Join(j.cfg.Dir, fileName(n))
	if reuse != "" {
		if err := os.Rename(reuse, name); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		err = syncDir(j.cfg.Dir)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	j.file, j.segment, j.offset, j.mark, j.allocated = file, n, 0, 0, info.Size()
	return nil
}

// Stats are numbers for metrics.
type Stats struct {
	Number uint64 // of the last record, 0 for none
	Bytes  int64  // that the files take
}

// Stats tells how large the journal is.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{Number: j.number - 1, Bytes: int64(len(j.before))*j.cfg.FileSize + j.allocated}
}

// Close closes the file. Later appends fail.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = errors.New("the journal is closed")
	}
	return j.file.Close()
}

func fileName(segment uint64) string { return fmt.Sprintf("%08d.journal", segment) }

// room is what a record takes in its file.
func room(length int) int64 {
	return (headerSize + int64(length) + alignment - 1) / alignment * alignment
}

// checksum is over a record without its padding.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:36], castagnoli), castagnoli, b[headerSize:])
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
