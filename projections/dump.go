package projections

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"go.etcd.io/bbolt"

	"licenseledger/events"
)

// Dump writes all rows of a view in their canonical text and returns the number
// of the next entry that they do not show. Two files of a view that stand at the
// same entry have the same dump.
//
// A row is a line: the names of the buckets that lead to it, its key and its
// value, each quoted as a Go string in ASCII, with single spaces between them. Lines come in the
// order of the keys, the rows of a nested bucket where its name stands:
//
//	"gaps" "acme\x00pc-17\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" "\x05"
//
// [MetaBucket] is left out: it says how the view got there. It holds a read
// transaction all the while, so w should be a file or a hash.
func Dump(s *Store, w io.Writer) (next uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		p, err := readPosition(tx)
		if err != nil {
			return err
		}
		next = p.Next
		return dump(tx, w)
	})
	if err != nil {
		return 0, fmt.Errorf("dump view %s: %w", s.name, err)
	}
	return next, nil
}

func dump(tx *bbolt.Tx, w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<16)
	err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == MetaBucket {
			return nil
		}
		return dumpBucket(out, quoted(nil, name), b)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// DumpHash is the SHA-256 of what [Dump] writes, and the number of the next entry.
func DumpHash(s *Store) (hash events.Digest, next uint64, err error) {
	h := sha256.New()
	next, err = Dump(s, h)
	return events.Digest(h.Sum(nil)), next, err
}

func dumpBucket(out *bufio.Writer, path []byte, b *bbolt.Bucket) error {
	var line []byte
	return b.ForEach(func(k, v []byte) error {
		line = quoted(append(line[:0], path...), k)
		if v == nil {
			return dumpBucket(out, line, b.Bucket(k))
		}
		line = append(quoted(line, v), '\n')
		_, err := out.Write(line)
		return err
	})
}

// quoted appends a space, unless it is the first, and the quoted text.
func quoted(line, text []byte) []byte {
	if len(line) > 0 {
		line = append(line, ' ')
	}
	return strconv.AppendQuoteToASCII(line, string(text))
}
