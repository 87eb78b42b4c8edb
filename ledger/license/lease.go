package license

import (
	"cmp"
	"slices"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/lease"
)

// LeaseOfEndpoint says what an endpoint may do at a time, and until when (domain K11). claims are issued already; held are
// the licenses that serve the endpoint, or served it last.
//
// What renews itself goes on for as long as the lease may be used offline; what does not, until its end: the month's, or
// that of a trial that nobody pays for. The whole lease allows backups for as long as one of the licenses does.
func LeaseOfEndpoint(claims lease.Claims, account *Account, endpoint string, held []events.License, now time.Time) lease.Claims {
	claims.Subject = "agent:" + endpoint
	claims.Status, claims.BackupUntil = lease.StatusUnlicensed, now
	var ended time.Time // when the last one ended that is no longer in force
	for i := range held {
		l := &held[i]
		until := leasedUntil(l, account, claims.OfflineUntil)
		if !l.Serving() || !until.After(now) || l.Status == events.Paid && account.lapsed(now) {
			if at := l.ExpiresAt; at.After(ended) {
				ended = at
			}
			continue
		}
		claims.Licenses = append(claims.Licenses, lease.LeasedLicense{ID: l.ID, Type: l.Type, Status: string(l.Status), Until: until})
	}
	slices.SortFunc(claims.Licenses, func(a, b lease.LeasedLicense) int { return cmp.Compare(a.ID, b.ID) })
	switch {
	case slices.ContainsFunc(claims.Licenses, func(l lease.LeasedLicense) bool { return l.Status == string(events.Paid) }):
		claims.Status = lease.StatusActive
	case len(claims.Licenses) > 0:
		claims.Status = lease.StatusTrial
	case len(held) > 0:
		claims.Status = lease.StatusExpired
		if ended.Before(now) {
			claims.BackupUntil = ended
		}
	}
	for _, l := range claims.Licenses {
		if l.Until.After(claims.BackupUntil) {
			claims.BackupUntil = l.Until
		}
	}
	return claims
}

// leasedUntil is until when a license in force allows backups if the ledger cannot be asked again.
func leasedUntil(l *events.License, account *Account, offline time.Time) time.Time {
	switch {
	case !l.AutoRenew:
		return l.ExpiresAt
	case l.Status == events.Trial && account.PaymentStatus() != events.PaymentActive && l.ExpiresAt.Before(offline):
		return l.ExpiresAt // it becomes nothing that is paid for (domain L2)
	}
	return offline
}
