package lease

import (
	"slices"
	"time"
)

// Mode says what a program may do now.
type Mode string

// Modes, from the most that is allowed to the least.
const (
	Allowed     Mode = "allowed"      // backup, restore and archive jobs
	RestoreOnly Mode = "restore_only" // restore and archive jobs; backup jobs neither run nor are created
	Suspended   Mode = "suspended"    // the same, until the licensing server has been reached
	Ended       Mode = "ended"        // nothing, until a key is activated (domain K3)
)

// Reason says why not everything is allowed. It is empty where it is.
type Reason string

// Reasons.
const (
	NoLease     Reason = "no_lease"     // none was ever obtained
	ClockBehind Reason = "clock_behind" // the clock was turned back
	Offline     Reason = "offline"      // the licensing server was not reached for too long
	Due         Reason = "due"          // what was licensed has ended since; whether it was renewed, the server knows
	NotLicensed Reason = "not_licensed" // the lease allows no backups: expired, never licensed, or not paid
	TrialEnded  Reason = "trial_ended"  // a trial without a key is over
)

// State is what a program may do at a moment.
type State struct {
	Mode   Mode
	Reason Reason
	// Backup says whether backup jobs may run and be created; Restore, whether restore and archive jobs may run.
	Backup, Restore bool
	// RestoreLimit is how many items per folder a restore brings back; 0: all.
	RestoreLimit int
	// Types are the license types under which backups may run now, in order; those of endpoints only.
	Types []string
	// BackupUntil is when backups stop if the ledger is not reached again: the earlier of backup_until and offline_until.
	// OfflineUntil is for display; RefreshAt, for the next refresh. All are zero without a lease.
	BackupUntil, OfflineUntil, RefreshAt time.Time
}

// Text is the state for people, as in "suspended (waiting for the licensing server)".
func (s State) Text() string {
	switch s.Mode {
	case Allowed:
		return "allowed"
	case RestoreOnly:
		return "restore only"
	case Ended:
		return "ended (a key is needed)"
	}
	switch s.Reason {
	case ClockBehind:
		return "suspended (waiting for the licensing server; the clock was turned back)"
	default:
		return "suspended (waiting for the licensing server)"
	}
}

// Judge says what a lease allows at a moment (domain K11); nil is no lease. now is the machine's clock. seen is the
// latest time that the program has ever seen, on its clock or in a lease: time does not run backwards, so what has ended
// does not begin again while a clock stands a little behind.
//
// Backups run before min(backup_until, offline_until). Then they are suspended until the ledger has been reached, for
// only the ledger knows whether what ended was renewed; a lease of something expired says restore only. A clock more
// than five minutes behind seen suspends them too. Restore and archive jobs go on in every case but one: a trial
// without a key has ended (domain K3).
func Judge(c *Claims, now, seen time.Time) State {
	if c == nil {
		return State{Mode: Suspended, Reason: NoLease, Restore: true}
	}
	if issued := c.Issued(); issued.After(seen) {
		seen = issued
	}
	at := now
	if seen.After(now) {
		at = seen
	}
	s := State{
		Restore: c.RestoreUntil.IsZero() || at.Before(c.RestoreUntil), RestoreLimit: c.RestoreLimit,
		BackupUntil: c.BackupUntil, OfflineUntil: c.OfflineUntil, RefreshAt: c.RefreshAt,
	}
	if c.OfflineUntil.Before(s.BackupUntil) {
		s.BackupUntil = c.OfflineUntil
	}
	switch {
	case !s.Restore:
		s.Mode, s.Reason = Ended, TrialEnded
	case seen.Sub(now) > ClockTolerance:
		s.Mode, s.Reason = Suspended, ClockBehind
	case c.Status != StatusActive && c.Status != StatusTrial:
		s.Mode, s.Reason = RestoreOnly, NotLicensed
	case at.Before(s.BackupUntil):
		s.Mode, s.Backup = Allowed, true
		for _, l := range c.Licenses {
			if at.Before(l.Until) && !slices.Contains(s.Types, l.Type) {
				s.Types = append(s.Types, l.Type)
			}
		}
		slices.Sort(s.Types)
	case at.Before(c.OfflineUntil):
		s.Mode, s.Reason = Suspended, Due
	default:
		s.Mode, s.Reason = Suspended, Offline
	}
	return s
}

// Seated says whether a user has a seat of one of the lease's keys that allow backups at a moment: offline, a backup job serves
// nobody else (domain K11).
func (c *Claims) Seated(user string, at time.Time) bool {
	return slices.ContainsFunc(c.Keys, func(k LeasedKey) bool {
		return at.Before(k.Until) && slices.Contains(k.Users, UserID(k.Key, user))
	})
}
