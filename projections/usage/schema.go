package usage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"licenseledger/events"
)

// Buckets. Texts in keys end in a zero byte (one within a text is followed by 0xff, which no text begins
// with), so keys sort as their texts do, field by field. Numbers are big-endian.
var (
	// provider, month (4 bytes), company, meter, endpoint -> cells of the days
	bucketMonths = []byte("months")
	// provider, agent, spool -> the number after the highest that was seen (uvarint)
	bucketSpools = []byte("spools")
	// provider, agent, spool, first missing number (8 bytes) -> the number after the last missing one (uvarint)
	bucketGaps = []byte("gaps")
)

// errDamaged says that a row is not what this package writes.
var errDamaged = errors.New("a damaged row")

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if b = append(b, s[i]); s[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0)
}

// takeText reads what appendText wrote.
func takeText(b []byte) (s string, rest []byte, err error) {
	text, rest, err := cutText(b)
	if err != nil {
		return "", nil, err
	}
	for i := range text {
		if text[i] == 0 {
			return unescape(text), rest, nil
		}
	}
	return string(text), rest, nil
}

// cutText is the first text as it stands in the key, without its end.
func cutText(b []byte) (text, rest []byte, err error) {
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			continue
		}
		if i+1 == len(b) || b[i+1] != 0xff {
			return b[:i], b[i+1:], nil
		}
		i++
	}
	return nil, nil, errDamaged
}

func unescape(text []byte) string {
	s := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if s = append(s, text[i]); text[i] == 0 {
			i++
		}
	}
	return string(s)
}

func appendMonth(b []byte, m events.Month) []byte { return binary.BigEndian.AppendUint32(b, uint32(m)) }

// monthPrefix begins the keys of a provider's month.
func monthPrefix(provider string, m events.Month) []byte {
	return appendMonth(appendText(nil, provider), m)
}

// appendSeries appends the part of a key that follows the month.
func appendSeries(b []byte, company, meter, endpoint string) []byte {
	return appendText(appendText(appendText(b, company), meter), endpoint)
}

func appendSpool(b []byte, provider, agent, spool string) []byte {
	return appendText(appendText(appendText(b, provider), agent), spool)
}

// cell is what a day of an endpoint's meter adds up to.
type cell struct {
	day            events.Date
	count          uint64
	sum, max, last Amount
	// at is when the last reading was taken, in milliseconds of the day. Of several at the same time the one that
	// arrived last counts; entry and event say when that was.
	at    uint32
	entry uint64
	event uint32
}

const msPerDay = 86_400_000

// add takes a reading that arrived later than those before.
func (c *cell) add(v Amount, at uint32, entry uint64, event uint32) error {
	var ok bool
	if c.sum, ok = c.sum.add(v); !ok {
		return errOverflow
	}
	if c.max.Cmp(v) < 0 {
		c.max = v
	}
	if c.count == 0 || at >= c.at {
		c.last, c.at, c.entry, c.event = v, at, entry, event
	}
	c.count++
	return nil
}

// merge takes the readings of a cell that arrived later than those before.
func (c *cell) merge(later *cell) error {
	var ok bool
	if c.sum, ok = c.sum.add(later.sum); !ok {
		return errOverflow
	}
	if c.max.Cmp(later.max) < 0 {
		c.max = later.max
	}
	if later.at >= c.at {
		c.last, c.at, c.entry, c.event = later.last, later.at, later.entry, later.event
	}
	c.count += later.count
	return nil
}

// A row of bucketMonths holds one cell per day with readings, by day:
//
//	day of the month (1 byte), length of the rest (1 byte), count, sum, [max, last,] at, entry, event
//
// Numbers are uvarints. A single reading is its own maximum and last one, so these are left out.

// appendCell appends a cell of a month's row.
func appendCell(b []byte, first events.Date, c *cell) []byte {
	b = append(b, byte(c.day-first)+1, 0)
	start := len(b)
	b = binary.AppendUvarint(b, c.count)
	b = appendAmount(b, c.sum)
	if c.count > 1 {
		b = appendAmount(appendAmount(b, c.max), c.last)
	}
	b = binary.AppendUvarint(b, uint64(c.at))
	b = binary.AppendUvarint(b, c.entry)
	b = binary.AppendUvarint(b, uint64(c.event))
	b[start-1] = byte(len(b) - start) // at most 10 + 3x19 + 5 + 10 + 5
	return b
}

// cutCell splits the first cell off a row.
func cutCell(row []byte) (day byte, text, rest []byte, err error) {
	if len(row) < 2 || len(row) < 2+int(row[1]) {
		return 0, nil, nil, errDamaged
	}
	return row[0], row[2 : 2+int(row[1])], row[2+int(row[1]):], nil
}

// readCell reads what cutCell gave.
func readCell(first events.Date, day byte, text []byte) (cell, error) {
	r := reader{b: text}
	c := cell{day: first + events.Date(day) - 1, count: r.uint(), sum: r.amount()}
	c.max, c.last = c.sum, c.sum
	if c.count > 1 {
		c.max, c.last = r.amount(), r.amount()
	}
	c.at, c.entry, c.event = uint32(r.uint()), r.uint(), uint32(r.uint())
	if r.bad || len(r.b) > 0 {
		return cell{}, errDamaged
	}
	return c, nil
}

// appendAmount writes whole units, doubled, or billionths, doubled and 1 added.
func appendAmount(b []byte, a Amount) []byte {
	mark := uint64(1)
	if units, ok := a.units(); ok {
		a, mark = units, 0
	}
	hi, lo := a.hi<<1|a.lo>>63, a.lo<<1|mark
	for hi > 0 || lo >= 0x80 {
		b = append(b, byte(lo)|0x80)
		hi, lo = hi>>7, hi<<57|lo>>7
	}
	return append(b, byte(lo))
}

// reader takes numbers off the front of b. After a failure it is bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) amount() Amount {
	var a Amount
	for shift := 0; ; shift += 7 {
		if len(r.b) == 0 || shift > 126 {
			r.b, r.bad = nil, true
			return Amount{}
		}
		c := r.b[0]
		r.b = r.b[1:]
		part := uint64(c & 0x7f)
		if shift < 64 {
			a.lo |= part << shift
			if shift > 57 {
				a.hi |= part >> (64 - shift)
			}
		} else {
			a.hi |= part << (shift - 64)
		}
		if c < 0x80 {
			break
		}
	}
	billionths := a.lo&1 == 1
	a.hi, a.lo = a.hi>>1, a.hi<<63|a.lo>>1
	if !billionths {
		hi, lo := bits.Mul64(a.lo, perUnit)
		a = Amount{a.hi*perUnit + hi, lo}
	}
	return a
}

// monthRow is a key of bucketMonths, taken apart.
type monthRow struct{ company, meter, endpoint string }

func readSeries(key []byte) (monthRow, error) {
	var r monthRow
	var err error
	if r.company, key, err = takeText(key); err == nil {
		if r.meter, key, err = takeText(key); err == nil {
			r.endpoint, key, err = takeText(key)
		}
	}
	if err == nil && len(key) > 0 {
		err = fmt.Errorf("bytes after the endpoint: %w", errDamaged)
	}
	return r, err
}
