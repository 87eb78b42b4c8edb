package lease

import (
	"errors"
	"fmt"
	"time"
)

// Durations of domain K11.
const (
	// DefaultOffline is how long a program can do without the ledger, unless the operator says otherwise.
	DefaultOffline = 7 * 24 * time.Hour
	// RefreshEvery is how old a lease may become while the ledger can be reached.
	RefreshEvery = time.Hour
	// ClockTolerance is how far a clock may stand behind the latest time seen.
	ClockTolerance = 5 * time.Minute
)

// TrialRestoreLimit is how many items per folder a trial without a key restores (domain K3).
const TrialRestoreLimit = 5

// What a lease says of its subject as a whole.
const (
	StatusActive     = "active"     // paid
	StatusTrial      = "trial"      // on trial
	StatusExpired    = "expired"    // it was licensed, and is not now: restore only
	StatusSuspended  = "suspended"  // of a key: its order was not paid: restore only
	StatusUnlicensed = "unlicensed" // it never held a license: restore only
)

// Claims are what a lease says. Times are UTC, in milliseconds.
type Claims struct {
	Issuer   string `json:"iss" example:"01KGB000000000000000000000" doc:"the ledger's id"`
	Subject  string `json:"sub" example:"agent:pc-17" doc:"whose lease it is: agent:, instance: or key: and the id"`
	IssuedAt int64  `json:"iat" example:"1767600000" doc:"seconds since 1970"`
	Expires  int64  `json:"exp" example:"1768204800" doc:"offline_until, in seconds since 1970"`

	Provider string `json:"provider" example:"acme"`
	Status   string `json:"status" enum:"active,trial,expired,suspended,unlicensed"`
	// Licenses and Keys are what the subject holds, in the order of their ids: an endpoint licenses, an instance keys.
	Licenses []LeasedLicense `json:"licenses,omitempty" doc:"the licenses that the endpoint holds"`
	Keys     []LeasedKey     `json:"keys,omitempty" doc:"the annual keys of the instance"`

	BackupUntil  time.Time `json:"backup_until" doc:"backup jobs run and are created before this instant, and before offline_until"`
	RestoreUntil time.Time `json:"restore_until,omitzero" doc:"restore and archive jobs run before this instant; absent: always"`
	RestoreLimit int       `json:"restore_limit,omitempty" example:"5" doc:"items per folder that a restore brings back; absent: all"`
	OfflineUntil time.Time `json:"offline_until" doc:"from then on backup jobs wait for the licensing server"`
	RefreshAt    time.Time `json:"refresh_at" doc:"by then whoever can reach the ledger asks for a newer lease"`
}

// LeasedLicense is a license in a lease.
type LeasedLicense struct {
	ID     string    `json:"id" example:"01K9PZ3V5Q6W7X8Y9ZABCDEFGH"`
	Type   string    `json:"license_type" example:"server"`
	Status string    `json:"status" enum:"trial,paid"`
	Until  time.Time `json:"until" doc:"the license allows backups before this instant"`
}

// LeasedKey is an annual key in a lease.
type LeasedKey struct {
	Key    string    `json:"key" example:"01K9PZ3V5Q6W7X8Y9ZABCDEFGH"`
	Status string    `json:"status" enum:"ordered,active,expired,suspended"`
	Until  time.Time `json:"until" doc:"the key allows backups before this instant"`
	// Users are those with a seat, as UserID writes them.
	Users []string `json:"users,omitempty" doc:"who has a seat, as opaque ids; offline, backup jobs serve nobody else"`
}

// Issue fills in who issues a lease, and what follows from when and for how long it may be used offline.
func (c *Claims) Issue(ledger string, now time.Time, offline time.Duration) {
	now = now.UTC().Truncate(time.Millisecond)
	c.Issuer, c.IssuedAt = ledger, now.Unix()
	c.OfflineUntil, c.RefreshAt = now.Add(offline), now.Add(RefreshEvery)
	c.Expires = c.OfflineUntil.Unix()
}

// Issued is when the lease was issued, in whole seconds.
func (c *Claims) Issued() time.Time { return time.Unix(c.IssuedAt, 0).UTC() }

// check says what is missing in a lease.
func (c *Claims) check() error {
	var errs []error
	for _, text := range []struct{ name, value string }{
		{"iss", c.Issuer}, {"sub", c.Subject}, {"provider", c.Provider}, {"status", c.Status},
	} {
		if text.value == "" {
			errs = append(errs, fmt.Errorf("%s is missing", text.name))
		}
	}
	for _, at := range []struct {
		name  string
		value time.Time
	}{{"backup_until", c.BackupUntil}, {"offline_until", c.OfflineUntil}, {"refresh_at", c.RefreshAt}} {
		if at.value.IsZero() {
			errs = append(errs, fmt.Errorf("%s is missing", at.name))
		}
	}
	switch {
	case c.IssuedAt <= 0:
		errs = append(errs, errors.New("iat is missing"))
	case c.Expires != c.OfflineUntil.Unix():
		errs = append(errs, errors.New("exp is not offline_until"))
	case c.Expires <= c.IssuedAt:
		errs = append(errs, errors.New("it ends before it was issued"))
	}
	if c.RestoreLimit < 0 {
		errs = append(errs, errors.New("restore_limit is below 0"))
	}
	return errors.Join(errs...)
}
