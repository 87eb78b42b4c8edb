package license

import (
	"time"

	"licenseledger/events"
	"licenseledger/ledger/lease"
)

// Statuses of a key as callers see them, beside those of [events.KeyStatus].
const SuspendedKey events.KeyStatus = "suspended"

// KeyStatusOf is how a key stands, in one word: one that has expired is expired, whether its charge was collected or not.
func KeyStatusOf(k *events.Key) events.KeyStatus {
	if k.Suspended && k.Status != events.ExpiredKey {
		return SuspendedKey
	}
	return k.Status
}

// KeyAt is a key as it stands at a time, with what fell due by then, be it recorded or not (domain D4).
func KeyAt(k events.Key, t time.Time) events.Key {
	for {
		d, _ := keyDueBy(&k, t)
		if d == nil {
			return k
		}
		after, _ := events.KeyAfter(d)
		k = *after
	}
}

// keyDueBy is the next thing that happens to a key by itself, if it does by t, and when.
func keyDueBy(k *events.Key, t time.Time) (d events.Data, at time.Time) {
	at = k.NextDue()
	if at.IsZero() || at.After(t) {
		return nil, at
	}
	after := *k
	switch {
	case !k.Suspended && at.Equal(k.SuspendAt):
		after.Suspended = true
		return &events.KeySuspended{Key: after}, at
	case k.RenewedFor > 0:
		after.Seats, after.RenewedFor = k.RenewedFor, 0
		after.TermFrom, after.ExpiresAt = at, events.YearAfter(at)
		return &events.KeyTermBegan{Reset: after.Seats < k.Seats, Key: after}, at
	}
	after.Status = events.ExpiredKey
	return &events.KeyExpired{Key: after}, at
}

// BackupsUntil is until when a key allows backups if nothing is recorded after a time; of one that does not at that time, since
// when (domain K1, K8, K9). A year bought in advance counts, unless its seats are assigned anew.
func BackupsUntil(k *events.Key, t time.Time) time.Time {
	now := KeyAt(*k, t)
	switch {
	case now.Status == events.OrderedKey:
		return now.Created
	case now.Status == events.ExpiredKey && (!now.Suspended || now.ExpiresAt.Before(now.SuspendAt)):
		return now.ExpiresAt
	case now.Suspended:
		return now.SuspendAt
	}
	until := now.ExpiresAt
	if now.RenewedFor >= now.Seats {
		until = events.YearAfter(until)
	}
	if at := now.SuspendAt; !at.IsZero() && at.Before(until) {
		until = at
	}
	return until
}

// LeasedKey is a key in a lease. Users are those with a seat, as [lease.UserID] writes them.
func LeasedKey(k *events.Key, users []string, t time.Time) lease.LeasedKey {
	now := KeyAt(*k, t)
	return lease.LeasedKey{Key: k.ID, Status: string(KeyStatusOf(&now)), Until: BackupsUntil(k, t), Users: users}
}

// leaseStatus is what a lease says of the status of a key.
var leaseStatus = map[events.KeyStatus]string{
	events.OrderedKey: lease.StatusUnlicensed, events.ActiveKey: lease.StatusActive, events.ExpiredKey: lease.StatusExpired, SuspendedKey: lease.StatusSuspended,
}

// LeaseOfKeys says what an instance may do by keys at a time, and until when, where claims are issued already and name
// their subject (domain K11). The keys are those that it may use; the lease allows backups for as long as one of them does.
func LeaseOfKeys(claims lease.Claims, keys []lease.LeasedKey, t time.Time) lease.Claims {
	claims.Keys = keys
	claims.Status, claims.BackupUntil = lease.StatusUnlicensed, t
	allows := false
	for i := range keys {
		k := &keys[i]
		status := leaseStatus[events.KeyStatus(k.Status)]
		active := status == lease.StatusActive && t.Before(k.Until)
		if i == 0 || active && !allows || active == allows && k.Until.After(claims.BackupUntil) {
			claims.Status, claims.BackupUntil = status, k.Until
		}
		allows = allows || active
	}
	return claims
}

// LeaseOfInstance is LeaseOfKeys for an instance, which without a key has its trial: all backups, restores of a few items; afterwards
// neither (domain K3).
func LeaseOfInstance(claims lease.Claims, i *Instance, keys []lease.LeasedKey, t time.Time) lease.Claims {
	if len(keys) > 0 || i.TrialEnds.IsZero() {
		return LeaseOfKeys(claims, keys, t)
	}
	claims.Status, claims.BackupUntil = lease.StatusTrial, i.TrialEnds
	if !t.Before(i.TrialEnds) {
		claims.Status = lease.StatusExpired
	}
	claims.RestoreUntil, claims.RestoreLimit = i.TrialEnds, lease.TrialRestoreLimit
	return claims
}
