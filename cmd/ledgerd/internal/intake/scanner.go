package intake

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// scanner reads JSON from b, beginning at i. After the first error every method does nothing and gives zero values.
type scanner struct {
	b   []byte
	i   int
	err *license.Refusal
}

// fail refuses; whoever knows which field it was sets it.
func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = &license.Refusal{Code: license.Invalid, Message: fmt.Sprintf(format, args...)}
	}
}

// blame names the field that an error is about, unless it is named already.
func (s *scanner) blame(format string, args ...any) {
	if s.err != nil && s.err.Field == "" {
		s.err.Field = fmt.Sprintf(format, args...)
	}
}

// peek skips white space and shows the next byte without taking it; 0 at the end and after an error.
func (s *scanner) peek() byte {
	for s.err == nil && s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// unexpected refuses what stands where something else belongs.
func (s *scanner) unexpected(wanted string) {
	if s.peek(); s.i >= len(s.b) {
		s.fail("the report is cut off where %s belongs", wanted)
	} else {
		s.fail("byte %d: %q where %s belongs", s.i, s.b[s.i], wanted)
	}
}

func (s *scanner) take(c byte, wanted string) {
	if s.peek() != c {
		s.unexpected(wanted)
		return
	}
	s.i++
}

// more steps to the next member of an object or array that ends with end: false behind its end, and after an error.
func (s *scanner) more(first bool, end byte) bool {
	switch c := s.peek(); {
	case c == end && s.err == nil:
		s.i++
		return false
	case first:
		return s.err == nil
	case c == ',':
		s.i++
		return true
	}
	s.unexpected("a comma or the end")
	return false
}

// end refuses anything but white space behind the value.
func (s *scanner) end() {
	if s.peek(); s.err == nil && s.i < len(s.b) {
		s.unexpected("the end")
	}
}

// key takes a member's name and the colon behind it.
func (s *scanner) key() []byte {
	name := s.text()
	s.take(':', "a colon")
	return name
}

// text takes a string. The bytes are the body's own unless it has escapes.
func (s *scanner) text() []byte {
	if s.peek() != '"' {
		s.unexpected("a string")
		return nil
	}
	b, start, ascii := s.b, s.i+1, true
	for i := start; i < len(b); i++ {
		if !special[b[i]] {
			continue
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			if v := b[start:i]; ascii || utf8.Valid(v) {
				return v
			}
			s.fail("the text at byte %d is not UTF-8", start)
			return nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			s.i = i
			s.fail("byte %d: a control character in a text", i)
			return nil
		default:
			ascii = false
		}
	}
	s.i = len(b)
	s.fail("the report is cut off within a text")
	return nil
}

// special are the bytes of a text that do not simply stand for themselves.
var special = func() (table [256]bool) {
	for c := range table {
		table[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return table
}()

// escaped takes a string that has escapes, from behind its quotation mark.
func (s *scanner) escaped(start int) []byte {
	var v []byte
	for i := start; i < len(s.b); {
		c := s.b[i]
		switch {
		case c == '"':
			if s.i = i + 1; !utf8.Valid(v) {
				s.fail("the text at byte %d is not UTF-8", start)
				return nil
			}
			return v
		case c < ' ':
			s.fail("byte %d: a control character in a text", i)
			return nil
		case c != '\\':
			v = append(v, c)
			i++
			continue
		}
		var n int
		if v, n = unescape(v, s.b[i:]); n == 0 {
			s.fail("byte %d: a broken escape in a text", i)
			return nil
		}
		i += n
	}
	s.fail("the report is cut off within a text")
	return nil
}

// unescape appends what the escape in front of b stands for, and says how long it is; 0 if it is none. Half of a pair
// of surrogates is none: it has no UTF-8.
func unescape(v, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return v, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return append(v, c), 2
	case 'b':
		return append(v, '\b'), 2
	case 'f':
		return append(v, '\f'), 2
	case 'n':
		return append(v, '\n'), 2
	case 'r':
		return append(v, '\r'), 2
	case 't':
		return append(v, '\t'), 2
	}
	r, n := hex4(b), 6
	if utf16.IsSurrogate(r) {
		r, n = utf16.DecodeRune(r, hex4(b[n:])), 12
		if r == utf8.RuneError {
			return v, 0
		}
	}
	if r < 0 {
		return v, 0
	}
	return utf8.AppendRune(v, r), n
}

// hex4 is the code of an escape like \u00e4, or negative.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// number takes the text of a number, which the caller still has to check.
func (s *scanner) number() []byte {
	if c := s.peek(); c != '-' && (c < '0' || c > '9') {
		s.unexpected("a number")
		return nil
	}
	start := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case '0' <= c && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
			s.i++
			continue
		}
		break
	}
	return s.b[start:s.i]
}

// quantity takes the value of a reading.
func (s *scanner) quantity() events.Quantity {
	v := s.number()
	if s.err != nil {
		return events.Quantity{}
	}
	q, err := events.ParseQuantity(v)
	if err != nil {
		s.fail("%v", err)
	}
	return q
}

// count takes a number that counts: plain digits.
func (s *scanner) count() uint64 {
	v := s.number()
	if s.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil || len(v) > 1 && v[0] == '0' {
		s.fail("%.40q is not a number from 1 to 18446744073709551615, in digits", v)
	}
	return n
}

// instant takes a time: RFC 3339 with any offset and at most nine digits of a second. It comes in the ledger's form.
func (s *scanner) instant() time.Time {
	v := s.text()
	if s.err != nil {
		return time.Time{}
	}
	t, ok := parseInstant(v)
	if !ok {
		s.fail("%.40q is not a time like 2026-03-11T04:00:00Z or 2026-03-11T05:00:00.250+01:00", v)
	}
	return t
}

func parseInstant(v []byte) (t time.Time, ok bool) {
	const date = len("2006-01-02T15:04:05")
	if len(v) <= date {
		return t, false
	}
	var canonical [date + 1]byte
	copy(canonical[:], v[:date])
	canonical[date] = 'Z'
	t, err := events.ParseTime(canonical[:])
	if err != nil {
		return t, false
	}
	v = v[date:]
	if v[0] == '.' {
		digits := 1
		for unit := 100 * time.Millisecond; digits < len(v) && '0' <= v[digits] && v[digits] <= '9'; unit /= 10 {
			if unit >= events.Precision {
				t = t.Add(time.Duration(v[digits]-'0') * unit)
			}
			digits++
		}
		if digits--; digits < 1 || digits > 9 {
			return t, false
		}
		v = v[1+digits:]
	}
	if len(v) == 1 && v[0] == 'Z' {
		return t, true
	}
	if len(v) != len("+01:00") || v[0] != '+' && v[0] != '-' || v[3] != ':' {
		return t, false
	}
	hours, minutes := two(v[1:]), two(v[4:])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return t, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if v[0] == '+' {
		offset = -offset
	}
	t = t.Add(offset)
	return t, t.Year() >= 1 && t.Year() <= 9999
}

// two is the number that b begins with, in two digits, or negative.
func two(b []byte) int {
	if b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}
