package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"licenseledger/ledger/api"
)

// What the ledger takes (domain U3, B5). It is checked here as well, so that a program learns of its mistake at once.
const (
	maxAhead   = 5 * time.Minute
	maxMonths  = 12
	maxMeter   = 64
	maxName    = 64
	maxDigits  = 18
	maxScale   = 9
	maxVoid    = 256 // bytes of the reason for which a number is given up
	wellBefore = 24 * time.Hour
)

// check refuses readings that the ledger would refuse whenever they came, and completes the others. A clock that is a
// little wrong must not make it refuse what the ledger would take, so it is a day more patient with old ones.
func check(readings []api.Reading, now time.Time) ([]api.Reading, error) {
	taken := make([]api.Reading, len(readings))
	now = now.UTC()
	oldest := time.Date(now.Year(), now.Month()-maxMonths, 1, 0, 0, 0, 0, time.UTC).Add(-wellBefore)
	for i, r := range readings {
		if r.At.IsZero() {
			r.At = now
		}
		r.At = r.At.UTC().Truncate(time.Millisecond)
		err := checkMeter(r.Meter)
		switch {
		case err != nil:
		case !isQuantity(r.Value):
			err = fmt.Errorf("%.40q is not a decimal number from 0 with at most %d digits, %d of them after the point", string(r.Value), maxDigits, maxScale)
		case r.At.Sub(now) > maxAhead:
			err = fmt.Errorf("%s is in the future", r.At.Format(time.RFC3339))
		case r.At.Before(oldest):
			err = fmt.Errorf("%s is more than %d months ago", r.At.Format(time.RFC3339), maxMonths)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %d: %w", i, err)
		}
		taken[i] = r
	}
	return taken, nil
}

func checkMeter(meter string) error {
	if meter == "" || len(meter) > maxMeter || strings.ContainsFunc(meter, func(c rune) bool {
		return c < ' ' || c > '~' || c == '"' || c == '\\'
	}) {
		return fmt.Errorf("%.80q is not a meter: 1 to %d printable characters of ASCII without quotation mark and backslash", meter, maxMeter)
	}
	return nil
}

// isQuantity says whether a value is one as the ledger takes it.
func isQuantity(value json.Number) bool {
	whole, fraction, point := strings.Cut(string(value), ".")
	if !digits(whole) || point && !digits(fraction) || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	fraction = strings.TrimRight(fraction, "0")
	n := len(whole) + len(fraction)
	if whole == "0" {
		n = len(fraction)
	}
	return len(fraction) <= maxScale && n <= maxDigits
}

func digits(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool { return c < '0' || c > '9' })
}

func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	}) {
		return fmt.Errorf("%.80q is not a name: 1 to %d letters, digits, _ or -", name, maxName)
	}
	return nil
}

// reasonOf is why a number is given up, in words that the ledger takes.
func reasonOf(p *api.Problem) string {
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, "refused: "+p.Error())
	for len(text) > maxVoid {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

// asProblem is the ledger's refusal in an error, nil if it holds none of the contract.
func asProblem(err error) *api.Problem {
	var p *api.Problem
	if errors.As(err, &p) && p.Code != "" {
		return p
	}
	return nil
}
