package events

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
)

// Seed makes a command's ids its own: the front door draws 16 random bytes, and whoever
// decides the command, however often, gets the same ids in the same order.
type Seed [16]byte

// IDs hands out the ids of one decision. It is not safe for concurrent use.
type IDs struct {
	time time.Time
	next ulid.ULID
	used bool
	seed Seed
}

// NewIDs starts the ids of a command decided at t: ULIDs of that time that rise by one, so licenses of one purchase sort as they were bought.
func NewIDs(seed Seed, t time.Time) *IDs { return &IDs{time: t, seed: seed} }

// Next is the next id: 26 characters of Crockford base 32.
func (ids *IDs) Next() string {
	if !ids.used {
		ids.used = true
		sum := sha256.Sum256(ids.seed[:])
		// The highest bit stays free, so that counting up never overflows.
		sum[0] &= 0x7f
		_ = ids.next.SetTime(ulid.Timestamp(ids.time)) // fails after the year 10889
		copy(ids.next[6:], sum[:10])
		return ids.next.String()
	}
	for i := len(ids.next) - 1; i >= 6; i-- {
		ids.next[i]++
		if ids.next[i] != 0 {
			break
		}
	}
	return ids.next.String()
}

// ULIDAt makes one id from a time and ten random bytes, for names of records and the like.
func ULIDAt(t time.Time, entropy [10]byte) string {
	var id ulid.ULID
	_ = id.SetTime(ulid.Timestamp(t))
	copy(id[6:], entropy[:])
	return id.String()
}

// CheckULID says whether s is an id that the ledger could have created.
func CheckULID(s string) error {
	id, err := ulid.ParseStrict(s)
	if err != nil || id.String() != s {
		return fmt.Errorf("%.40q is not an id of the ledger (26 characters, Crockford base 32)", s)
	}
	return nil
}

// MaxNameLength bounds the callers' own names for providers, companies, administrators, endpoints and instances.
const MaxNameLength = 64

// MaxTextLength bounds ids that are free text (users, domains, brandings) and display names, in bytes.
const MaxTextLength = 256

// CheckName says whether s may name a provider, company, administrator, endpoint or instance:
// letters, digits, "_" and "-", at most 64 of them.
func CheckName(s string) error {
	if s == "" || len(s) > MaxNameLength {
		return fmt.Errorf("%.80q is not a name: 1 to %d letters, digits, _ or -", s, MaxNameLength)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return fmt.Errorf("%.80q is not a name: 1 to %d letters, digits, _ or -", s, MaxNameLength)
		}
	}
	return nil
}
