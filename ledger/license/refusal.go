package license

import (
	"errors"
	"fmt"
	"time"

	"licenseledger/ledger/catalog"
)

// Code is the stable name of a refusal, the same at every front door.
type Code string

// Codes of refusals that decisions make.
const (
	Invalid               Code = "invalid"
	NotFound              Code = "not_found"
	PaymentMethodRequired Code = "payment_method_required"
	LicenseAlreadyHeld    Code = "license_already_held"
	TypeNotAllowed        Code = "type_not_allowed"
	TypeClosed            Code = "type_closed"
	RequiresVMServer      Code = "requires_vm_server"
	AlreadyAssigned       Code = "already_assigned"
	NotAssigned           Code = "not_assigned"
	LicenseClosed         Code = "license_closed"
	PoolEmpty             Code = "pool_empty"
	SequenceReused        Code = "sequence_reused"
	IdempotencyMismatch   Code = "idempotency_mismatch"
	PermissionDenied      Code = "permission_denied"
	ReleaseLocked         Code = "release_locked"
	KeyExpired            Code = "key_expired"
	KeySuspended          Code = "key_suspended"
	KeyNotActivated       Code = "key_not_activated"
	SeatsShort            Code = "seats_short"
)

// Refusal is a command's refusal by a rule. It is an error.
type Refusal struct {
	Code    Code
	Message string    // for a person: what is wrong, and what to do
	Field   string    // the field of the request, where one is to blame
	Until   time.Time // when a lock ends, where there is one
	// Permission is what the caller lacks.
	Permission string
	// Problems are all that is wrong with a catalog.
	Problems catalog.Problems
}

func (r *Refusal) Error() string { return string(r.Code) + ": " + r.Message }

func refuse(code Code, format string, args ...any) error {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(field, format string, args ...any) error {
	return &Refusal{Code: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

func codeOf(err error) Code {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return Invalid
}
