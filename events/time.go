package events

import (
	"fmt"
	"time"
)

// Precision is the resolution of every time in the ledger.
const Precision = time.Millisecond

// Stamp brings a time into the ledger's form: UTC, cut to [Precision]. Times in entries must have it.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(Precision) }

// Years 1 to 9999, as seconds of Unix time; the end is exclusive.
const firstSecond, endSecond = -62135596800, 253402300800

// stamped says whether a time is as [Stamp] makes it, in the years that the codec can write.
func stamped(t time.Time) bool {
	s := t.Unix()
	return t.Location() == time.UTC && t.Nanosecond()%int(Precision) == 0 && s >= firstSecond && s < endSecond
}

// FormatTime is the canonical text of a time: RFC 3339 in UTC, milliseconds without trailing zeros.
func FormatTime(t time.Time) string { return string(appendTime(nil, t)) }

func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, "2006-01-02T15:04:05.999Z")
	}
	hour, minute, second := t.Clock()
	b = append(appendTwo(appendTwo(b, year/100), year%100), '-')
	b = append(appendTwo(b, int(month)), '-')
	b = append(appendTwo(b, day), 'T')
	b = append(appendTwo(b, hour), ':')
	b = append(appendTwo(b, minute), ':')
	b = appendTwo(b, second)
	if ms := t.Nanosecond() / int(Precision); ms != 0 {
		b = append(b, '.', byte('0'+ms/100))
		if ms %= 100; ms != 0 {
			b = append(b, byte('0'+ms/10))
			if ms %= 10; ms != 0 {
				b = append(b, byte('0'+ms))
			}
		}
	}
	return append(b, 'Z')
}

func appendTwo(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// ParseTime reads the canonical text of a time and nothing else. Years are 0001 to 9999.
func ParseTime[T string | []byte](s T) (time.Time, error) {
	if t, ok := parseTime(s); ok {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%.40q is not a time like 2026-03-11T04:00:00Z (UTC, at most milliseconds)", string(s))
}

func parseTime[T string | []byte](s T) (t time.Time, ok bool) {
	if len(s) < 20 || len(s) > 24 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return t, false
	}
	century, year, month, day := two(s[0], s[1]), two(s[2], s[3]), two(s[5], s[6]), two(s[8], s[9])
	hour, minute, second := two(s[11], s[12]), two(s[14], s[15]), two(s[17], s[18])
	if century|year|month|day|hour|minute|second < 0 {
		return t, false
	}
	year += 100 * century
	if year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	nanos := 0
	if len(s) > 20 {
		// A fraction is a point and one to three digits, the last of them not 0.
		if s[19] != '.' || len(s) == 21 || s[len(s)-2] == '0' {
			return t, false
		}
		unit := int(time.Second)
		for i := 20; i < len(s)-1; i++ {
			if s[i] < '0' || s[i] > '9' {
				return t, false
			}
			unit /= 10
			nanos += int(s[i]-'0') * unit
		}
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC), true
}

// two is the number of two digits, or negative.
func two(tens, ones byte) int {
	tens, ones = tens-'0', ones-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// Date is a calendar day in UTC (domain D1), counted from 1970-01-01. On the wire: "2026-03-11".
type Date int32

// The days that have a text: 0000-01-01 to 9999-12-31.
const firstDate, lastDate Date = -719528, 2932896

// DateOf is the day in which t lies.
func DateOf(t time.Time) Date { return Date(floorDiv(t.Unix(), 86400)) }

// LastDateBefore is the last day that something ending exclusively at t still touches (domain D3).
func LastDateBefore(t time.Time) Date { return DateOf(t.Add(-1)) }

// Start is 00:00:00 of the day.
func (d Date) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// Month is the month in which the day lies.
func (d Date) Month() Month { return MonthOf(d.Start()) }

// String is "2026-03-11".
func (d Date) String() string { return d.Start().Format(time.DateOnly) }

// MarshalText and UnmarshalText make the text the wire form, also as a map key. Years are 0 to 9999.
func (d Date) MarshalText() ([]byte, error) {
	if d < firstDate || d > lastDate {
		return nil, fmt.Errorf("day %d from 1970-01-01 lies outside the years 0 to 9999", int32(d))
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads "2026-03-11".
func (d *Date) UnmarshalText(b []byte) error {
	v, err := ParseDate(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// ParseDate reads "2026-03-11".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a date like 2026-03-11", s)
	}
	return DateOf(t), nil
}

// Month is a calendar month in UTC, [1st 00:00, next 1st 00:00) (domain D1),
// counted from January of year 0. On the wire: "2026-03".
type Month int32

// MonthOf is the month in which t lies.
func MonthOf(t time.Time) Month {
	t = t.UTC()
	return Month(t.Year()*12 + int(t.Month()) - 1)
}

// Start is the month's first instant.
func (m Month) Start() time.Time {
	return time.Date(int(m)/12, time.Month(int(m)%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// End is the first instant after the month.
func (m Month) End() time.Time { return (m + 1).Start() }

// Days is the number of days in the month.
func (m Month) Days() int { return int(m.Last()-m.First()) + 1 }

// First is the month's first day.
func (m Month) First() Date { return DateOf(m.Start()) }

// Last is the month's last day.
func (m Month) Last() Date { return DateOf(m.End()) - 1 }

// String is "2026-03".
func (m Month) String() string { return m.Start().Format("2006-01") }

// MarshalText makes the text the wire form, also as a map key. Years are 0 to 9999.
func (m Month) MarshalText() ([]byte, error) {
	if m < 0 || m >= 10000*12 {
		return nil, fmt.Errorf("month %d from January of year 0 lies outside the years 0 to 9999", int32(m))
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads "2026-03".
func (m *Month) UnmarshalText(b []byte) error {
	v, err := ParseMonth(string(b))
	if err == nil {
		*m = v
	}
	return err
}

// ParseMonth reads "2026-03".
func ParseMonth(s string) (Month, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a month like 2026-03", s)
	}
	return MonthOf(t), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
