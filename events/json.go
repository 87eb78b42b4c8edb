package events

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// printer writes canonical JSON to the end of b. After an error what it wrote is of no use.
type printer struct {
	b   []byte
	err error
}

func (p *printer) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *printer) literal(l string) { p.b = append(p.b, l...) }

func (p *printer) uint(n uint64) { p.b = strconv.AppendUint(p.b, n, 10) }

func (p *printer) time(t time.Time) {
	if !stamped(t) {
		p.fail("%s is not UTC in whole milliseconds of the years 1 to 9999", t.Format(time.RFC3339Nano))
	}
	p.b = append(appendTime(append(p.b, '"'), t), '"')
}

func (p *printer) date(d Date) {
	text, err := d.MarshalText()
	if err != nil {
		p.fail("%w", err)
		return
	}
	p.b = append(append(append(p.b, '"'), text...), '"')
}

func (p *printer) hex(v []byte) {
	p.b = append(hex.AppendEncode(append(p.b, '"'), v), '"')
}

func (p *printer) string(s string) {
	switch {
	case plain(s):
		p.b = append(append(append(p.b, '"'), s...), '"')
	case !utf8.ValidString(s):
		p.fail("%.80q is not UTF-8", s)
	default:
		p.json(s)
	}
}

func (p *printer) json(v any) {
	w, err := encodeJSON(v)
	if err != nil {
		p.fail("%w", err)
		return
	}
	p.b = append(p.b, w.text()...)
	w.release()
}

// plain says whether a string stands in JSON as it is.
func plain[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// scanner reads canonical JSON from the front of b. After the first error every method does nothing.
type scanner struct {
	b   []byte
	err error
}

func (s *scanner) fail(why string) {
	if s.err == nil {
		s.err = fmt.Errorf("%s: %w", why, ErrMalformed)
	}
}

func (s *scanner) has(literal string) bool {
	if s.err != nil || len(s.b) < len(literal) || string(s.b[:len(literal)]) != literal {
		return false
	}
	s.b = s.b[len(literal):]
	return true
}

func (s *scanner) literal(l string) {
	if !s.has(l) && s.err == nil {
		s.fail("expected " + l)
	}
}

// hasByte and byte are has and literal for one byte, which readings are full of.
func (s *scanner) hasByte(c byte) bool {
	if s.err != nil || len(s.b) == 0 || s.b[0] != c {
		return false
	}
	s.b = s.b[1:]
	return true
}

func (s *scanner) byte(c byte) {
	if !s.hasByte(c) && s.err == nil {
		s.fail("expected " + string(c))
	}
}

func (s *scanner) uint() uint64 {
	n := 0
	for n < len(s.b) && s.b[n] >= '0' && s.b[n] <= '9' {
		n++
	}
	if s.err != nil || n == 0 || n > 1 && s.b[0] == '0' {
		s.fail("expected a whole number")
		return 0
	}
	v, err := strconv.ParseUint(string(s.b[:n]), 10, 64)
	if err != nil {
		s.fail("a number out of range")
		return 0
	}
	s.b = s.b[n:]
	return v
}

// until takes the bytes before the next end, and end itself.
func (s *scanner) until(end byte) []byte {
	i := bytes.IndexByte(s.b, end)
	if s.err != nil || i < 0 {
		s.fail("cut off")
		return nil
	}
	v := s.b[:i]
	s.b = s.b[i+1:]
	return v
}

func (s *scanner) time() time.Time {
	s.byte('"')
	v := s.until('"')
	if s.err != nil {
		return time.Time{}
	}
	t, err := ParseTime(v)
	if err != nil {
		s.fail(err.Error())
	}
	return t
}

func (s *scanner) date() Date {
	s.byte('"')
	v := s.until('"')
	if s.err != nil {
		return 0
	}
	d, err := ParseDate(string(v))
	if err != nil {
		s.fail(err.Error())
	} else if d.String() != string(v) {
		s.fail("a date not written the canonical way")
	}
	return d
}

func (s *scanner) hex(into []byte) {
	s.byte('"')
	v := s.until('"')
	if s.err != nil {
		return
	}
	if len(v) != 2*len(into) || !lowerHex(v) {
		s.fail("expected lower-case hexadecimal digits")
		return
	}
	_, _ = hex.Decode(into, v) // cannot fail: checked above
}

// plain takes a string if it stands in JSON as it is; the bytes are the line's.
func (s *scanner) plain() ([]byte, bool) {
	if s.err != nil || len(s.b) == 0 || s.b[0] != '"' {
		return nil, false
	}
	i := bytes.IndexByte(s.b[1:], '"')
	if i < 0 || !plain(s.b[1:1+i]) {
		return nil, false
	}
	v := s.b[1 : 1+i]
	s.b = s.b[2+i:]
	return v, true
}

func (s *scanner) string() string {
	if v, ok := s.plain(); ok {
		return string(v)
	}
	var v string
	s.json(&v)
	return v
}

// filled takes a string that is left out rather than empty.
func (s *scanner) filled() string {
	v := s.string()
	if s.err == nil && v == "" {
		s.fail("an empty text that belongs left out")
	}
	return v
}

// json reads the next JSON value into v and checks that v writes the same bytes again. (That also refuses unknown
// fields, which v does not write.)
func (s *scanner) json(v any) {
	value := s.value()
	if s.err != nil {
		return
	}
	if err := json.Unmarshal(value, v); err != nil {
		s.fail(err.Error())
		return
	}
	w, err := encodeJSON(v)
	if err != nil {
		s.fail(err.Error())
		return
	}
	if !bytes.Equal(w.text(), value) {
		s.fail("not written the canonical way")
	}
	w.release()
}

// value takes the bytes of the next JSON value, which the caller still has to check.
func (s *scanner) value() []byte {
	depth, quoted := 0, false
	for i := 0; s.err == nil && i < len(s.b); i++ {
		switch c := s.b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth <= 0 && !quoted {
			v := s.b[:i+1]
			s.b = s.b[i+1:]
			return v
		}
	}
	s.fail("cut off")
	return nil
}

// jsonWriter is an encoder and the buffer it writes to, kept together for reuse.
type jsonWriter struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var jsonWriters = sync.Pool{New: func() any {
	w := new(jsonWriter)
	w.enc = json.NewEncoder(&w.buf)
	w.enc.SetEscapeHTML(false)
	return w
}}

// encodeJSON writes v as encoding/json does, but for escaping of HTML, and refuses what would not be read back as
// it is. The caller releases the writer when it has used the text.
func encodeJSON(v any) (*jsonWriter, error) {
	w := jsonWriters.Get().(*jsonWriter)
	w.buf.Reset()
	err := w.enc.Encode(v)
	if err == nil {
		err = checkJSON(w.text())
	}
	if err != nil {
		w.release()
		return nil, err
	}
	return w, nil
}

func (w *jsonWriter) text() []byte { return bytes.TrimSuffix(w.buf.Bytes(), []byte("\n")) }

func (w *jsonWriter) release() { jsonWriters.Put(w) }

// checkJSON refuses two things that encoding/json writes for values that it does not read back: null for a nil list or
// map, and an escaped U+FFFD for bytes that are not UTF-8.
func checkJSON(b []byte) error {
	const replaced = `\ufffd`
	if !bytes.Contains(b, []byte("null")) && !bytes.Contains(b, []byte(replaced)) {
		return nil
	}
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			if bytes.HasPrefix(b[i:], []byte(replaced)) {
				return errors.New("text that is not UTF-8")
			}
			i++
		case c == '"':
			quoted = !quoted
		case c == 'n' && !quoted:
			return errors.New("null where a list or a map belongs")
		}
	}
	return nil
}
