package events

import "time"

// KeyStatus is the state of an annual key (domain, section 6).
type KeyStatus string

// States of a key. Whether it is suspended is told apart: a suspended key's term goes on.
const (
	OrderedKey KeyStatus = "ordered" // never activated: its year has not begun (domain K1, K2)
	ActiveKey  KeyStatus = "active"
	ExpiredKey KeyStatus = "expired" // domain K9
)

// Key is an annual key as it stands after an event. Its secret stands nowhere; see [KeyOrdered].
type Key struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Company string    `json:"company,omitempty"` // whose it is; empty: the provider's own
	Status  KeyStatus `json:"status"`
	Seats   int       `json:"seats"`
	Created time.Time `json:"created"`
	// TermFrom and ExpiresAt are the running term, the end exclusive; of an expired key, its last. Zero before the first activation.
	TermFrom  time.Time `json:"term_from,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// RenewedFor is how many seats a further year has that was bought in advance; 0: none was (domain K8).
	RenewedFor int `json:"renewed_for,omitempty"`
	// SuspendAt is when the key is, or was, suspended because a charge failed, unless that is collected (domain K1).
	SuspendAt time.Time `json:"suspend_at,omitzero"`
	Suspended bool      `json:"suspended,omitempty"`
	// Converted says that it was a key of the older model (domain K12).
	Converted bool `json:"converted,omitempty"`
}

// NextDue is when something happens to the key by itself: its term ends, or it is suspended. Zero: never.
func (k *Key) NextDue() time.Time {
	var t time.Time
	if k.Status == ActiveKey {
		t = k.ExpiresAt
	}
	if at := k.SuspendAt; !k.Suspended && !at.IsZero() && (t.IsZero() || at.Before(t)) {
		t = at
	}
	return t
}

// YearAfter is the same instant of the year after; of 29 February, that of 28 February (domain K2).
func YearAfter(t time.Time) time.Time {
	next := t.AddDate(1, 0, 0)
	if next.Day() != t.Day() {
		next = next.AddDate(0, 0, -1)
	}
	return next
}

// KeyOrdered is the order of a key, usable at once (domain K1). What is pasted into a program is made from a secret of
// the data folder and the salt; the hash tells whether it is that one.
type KeyOrdered struct {
	Salt string `json:"salt"` // 128 random bits in hexadecimal
	Hash Digest `json:"hash"` // of the key's secret
	Key  Key    `json:"key"`
}

// KeyActivated lets an instance use a key; the first activation begins the key's year (domain K2).
type KeyActivated struct {
	Instance string `json:"instance"`
	// Token is the one that the instance got with it, in the place of the one before; empty: none.
	Token string `json:"token,omitempty"`
	Key   Key    `json:"key"`
}

// KeySeatsAdded gives a key more seats for what is left of its term (domain K7).
type KeySeatsAdded struct {
	Added int `json:"added"`
	Key   Key `json:"key"`
}

// KeyRenewed buys a further year: in advance (RenewedFor is set), or of an expired key from now on (domain K8).
type KeyRenewed struct {
	// Reset says that all seats are free again: there are fewer than before, from now on.
	Reset bool `json:"reset,omitempty"`
	Key   Key  `json:"key"`
}

// KeyTermBegan says that a year bought in advance begins (domain K8).
type KeyTermBegan struct {
	// Reset says that all seats are free again: there are fewer than before.
	Reset bool `json:"reset,omitempty"`
	Key   Key  `json:"key"`
}

// KeyExpired says that a key's term ended (domain K9).
type KeyExpired struct {
	Key Key `json:"key"`
}

// KeyChargeFailed sets when a key is suspended: one of its invoices could not be charged (domain K1).
type KeyChargeFailed struct {
	Invoice string `json:"invoice"`
	Key     Key    `json:"key"`
}

// KeyChargeCollected says that an invoice which had failed was collected: a key that owes nothing more goes on.
type KeyChargeCollected struct {
	Invoice string `json:"invoice"`
	Key     Key    `json:"key"`
}

// KeySuspended says that an invoice was not collected in time (domain K1).
type KeySuspended struct {
	Key Key `json:"key"`
}

// KeyConverted makes a per-user key of one of the older model, which counted mailboxes and started 512 MB of public folders (domain K12).
type KeyConverted struct {
	Mailboxes         int   `json:"mailboxes"`
	PublicFolderBytes int64 `json:"public_folder_bytes"`
	Key               Key   `json:"key"`
}

// SeatReleased takes a seat from its user (domain K6).
type SeatReleased struct {
	Key      string `json:"key"`
	Seat     string `json:"seat"`
	User     string `json:"user"`     // a pseudonym
	Instance string `json:"instance"` // that had it assigned
	// AssignedAt is since when the user had it.
	AssignedAt time.Time `json:"assigned_at"`
}

// InstanceTrialStarted begins the trial of an instance without a key (domain K3).
type InstanceTrialStarted struct {
	Instance string    `json:"instance"`
	EndsAt   time.Time `json:"ends_at"` // exclusive
}

// Kind is "key.ordered.v1".
func (*KeyOrdered) Kind() string { return "key.ordered.v1" }

// Kind is "key.activated.v1".
func (*KeyActivated) Kind() string { return "key.activated.v1" }

// Kind is "key.seats-added.v1".
func (*KeySeatsAdded) Kind() string { return "key.seats-added.v1" }

// Kind is "key.renewed.v1".
func (*KeyRenewed) Kind() string { return "key.renewed.v1" }

// Kind is "key.term-began.v1".
func (*KeyTermBegan) Kind() string { return "key.term-began.v1" }

// Kind is "key.expired.v1".
func (*KeyExpired) Kind() string { return "key.expired.v1" }

// Kind is "key.charge-failed.v1".
func (*KeyChargeFailed) Kind() string { return "key.charge-failed.v1" }

// Kind is "key.charge-collected.v1".
func (*KeyChargeCollected) Kind() string { return "key.charge-collected.v1" }

// Kind is "key.suspended.v1".
func (*KeySuspended) Kind() string { return "key.suspended.v1" }

// Kind is "key.converted.v1".
func (*KeyConverted) Kind() string { return "key.converted.v1" }

// Kind is "seat.released.v1".
func (*SeatReleased) Kind() string { return "seat.released.v1" }

// Kind is "instance.trial-started.v1".
func (*InstanceTrialStarted) Kind() string { return "instance.trial-started.v1" }

// KeyAfter gives the key as it stands after an event, or nil where the event does not change one. reset says that all its seats are free again.
func KeyAfter(d Data) (k *Key, reset bool) {
	switch d := d.(type) {
	case *KeyOrdered:
		return &d.Key, false
	case *KeyActivated:
		return &d.Key, false
	case *KeySeatsAdded:
		return &d.Key, false
	case *KeyRenewed:
		return &d.Key, d.Reset
	case *KeyTermBegan:
		return &d.Key, d.Reset
	case *KeyExpired:
		return &d.Key, false
	case *KeyChargeFailed:
		return &d.Key, false
	case *KeyChargeCollected:
		return &d.Key, false
	case *KeySuspended:
		return &d.Key, false
	case *KeyConverted:
		return &d.Key, false
	}
	return nil, false
}
