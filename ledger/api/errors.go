package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code says why a call was refused. Codes are stable: programs branch on them, never on texts.
type Code string

// The codes of the contract; Codes lists them with their statuses.
const (
	CodeInvalid               Code = "invalid"           // not JSON, against the schema, or a value that makes no sense: Errors says where
	CodeTooLarge              Code = "too_large"         // a body over MaxBody
	CodeUnauthenticated       Code = "unauthenticated"   // no token, or none that is known
	CodePermissionDenied      Code = "permission_denied" // Permission names what is missing
	CodeNotFound              Code = "not_found"         // also for what belongs to another provider
	CodePaymentMethodRequired Code = "payment_method_required"
	CodeLicenseAlreadyHeld    Code = "license_already_held"
	CodeTypeNotAllowed        Code = "type_not_allowed"
	CodeRequiresVMServer      Code = "requires_vm_server"
	CodeNotAssigned           Code = "not_assigned"
	CodeAlreadyAssigned       Code = "already_assigned"
	CodeLicenseClosed         Code = "license_closed"
	CodePoolEmpty             Code = "pool_empty"     // nothing free, and the company's allocation is manual
	CodeReleaseLocked         Code = "release_locked" // Until says until when
	CodeKeyExpired            Code = "key_expired"
	CodeKeySuspended          Code = "key_suspended"
	CodeKeyNotActivated       Code = "key_not_activated"
	CodeSeatsShort            Code = "seats_short"
	CodeTypeClosed            Code = "type_closed"
	CodeIdempotencyMismatch   Code = "idempotency_mismatch" // the same key with another body
	CodeSequenceReused        Code = "sequence_reused"      // other content under a report number that was recorded
	CodeOverloaded            Code = "overloaded"           // nothing was recorded; RetryAfter
	CodeUnavailable           Code = "unavailable"          // nothing was recorded; RetryAfter
	CodeOutcomeUnknown        Code = "outcome_unknown"      // it may have been recorded: repeat with the same idempotency key
	CodeBehind                Code = "behind"               // the view did not reach After within 10 s
	CodeInternal              Code = "internal"             // nothing more is told
)

// codeTable has every code with its status and its title, which never varies.
var codeTable = [...]struct {
	code   Code
	status int
	title  string
}{
	{CodeInvalid, http.StatusUnprocessableEntity, "The request is not valid"},
	{CodeTooLarge, http.StatusRequestEntityTooLarge, "The body is too large"},
	{CodeUnauthenticated, http.StatusUnauthorized, "A valid token is needed"},
	{CodePermissionDenied, http.StatusForbidden, "A permission is missing"},
	{CodeNotFound, http.StatusNotFound, "There is no such thing"},
	{CodePaymentMethodRequired, http.StatusPaymentRequired, "An active payment method is needed"},
	{CodeLicenseAlreadyHeld, http.StatusConflict, "The assignee holds such a license already"},
	{CodeTypeNotAllowed, http.StatusConflict, "The company may not use this license type"},
	{CodeRequiresVMServer, http.StatusConflict, "The endpoint needs a paid vm-server license first"},
	{CodeNotAssigned, http.StatusConflict, "The license is not assigned"},
	{CodeAlreadyAssigned, http.StatusConflict, "The license is assigned already"},
	{CodeLicenseClosed, http.StatusConflict, "The license is no longer in force"},
	{CodePoolEmpty, http.StatusConflict, "No license is free"},
	{CodeReleaseLocked, http.StatusConflict, "The release is locked"},
	{CodeKeyExpired, http.StatusConflict, "The key has expired"},
	{CodeKeySuspended, http.StatusConflict, "The key is suspended"},
	{CodeKeyNotActivated, http.StatusConflict, "The key is not activated"},
	{CodeSeatsShort, http.StatusConflict, "The key has too few free seats"},
	{CodeTypeClosed, http.StatusConflict, "The license type is no longer sold"},
	{CodeIdempotencyMismatch, http.StatusUnprocessableEntity, "The idempotency key was used with another body"},
	{CodeSequenceReused, http.StatusConflict, "The report number was used for other content"},
	{CodeOverloaded, http.StatusServiceUnavailable, "Too much is waiting; nothing was recorded"},
	{CodeUnavailable, http.StatusServiceUnavailable, "The ledger cannot record now; nothing was recorded"},
	{CodeOutcomeUnknown, http.StatusServiceUnavailable, "The change may have been recorded"},
	{CodeBehind, http.StatusServiceUnavailable, "The view is behind"},
	{CodeInternal, http.StatusInternalServerError, "Internal error"},
}

// Codes are all codes, in the order of the contract.
func Codes() []Code {
	codes := make([]Code, len(codeTable))
	for i, row := range codeTable {
		codes[i] = row.code
	}
	return codes
}

// Status is the HTTP status of the code; of CodeInvalid the one of a body that is JSON (422; what is not even JSON gets
// 400). A code that is not of the contract is a 500.
func (c Code) Status() int {
	for _, row := range codeTable {
		if row.code == c {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// Title is a short sentence for people that says what the code means.
func (c Code) Title() string {
	for _, row := range codeTable {
		if row.code == c {
			return row.title
		}
	}
	return CodeInternal.Title()
}

// Problem is a refusal as it is on the wire (RFC 9457, application/problem+json), and the error that the Client returns
// for it: find it with errors.As, or ask CodeOf.
type Problem struct {
	Type       string       `json:"type,omitempty" default:"about:blank" doc:"always about:blank: the code tells what happened"`
	Title      string       `json:"title,omitempty" doc:"what the code means, for people"`
	Status     int          `json:"status,omitempty" example:"409" doc:"the HTTP status"`
	Detail     string       `json:"detail,omitempty" doc:"what happened this time, for people"`
	Code       Code         `json:"code,omitempty" example:"license_already_held" doc:"what happened, for programs"`
	Errors     []FieldError `json:"errors,omitempty" doc:"invalid: where"`
	Permission string       `json:"permission,omitempty" example:"licenses.buy" doc:"permission_denied: what is missing"`
	Until      time.Time    `json:"until,omitzero" doc:"release_locked: from then on it can be released"`
	Hint       string       `json:"hint,omitempty" doc:"what to do about it"`
	Position   *uint64      `json:"position,omitempty" doc:"behind: the last entry that the view has seen"`

	// RetryAfter is the header of that name: how long to wait before asking again, 0 where it is absent.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is one place of a request that is not as it must be.
type FieldError struct {
	Location string `json:"location,omitempty" example:"body.quantity" doc:"where, beginning with body, query, path or header"`
	Message  string `json:"message,omitempty" doc:"what is wrong there"`
	Value    any    `json:"value,omitempty" doc:"what stood there"`
}

// NewProblem is the refusal with the code's own status and title.
func NewProblem(code Code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: code.Title(), Status: code.Status(), Code: code, Detail: detail}
}

// Error is one line: the code, what happened and where.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Code != "":
		b.WriteString(string(p.Code))
	default: // some other server's problem
		fmt.Fprintf(&b, "status %d", p.Status)
	}
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	} else if p.Title != "" {
		b.WriteString(": " + p.Title)
	}
	if len(p.Errors) > 0 {
		places := make([]string, len(p.Errors))
		for i, e := range p.Errors {
			places[i] = strings.TrimPrefix(e.Location+": "+e.Message, ": ")
		}
		b.WriteString(" (" + strings.Join(places, "; ") + ")")
	}
	if p.Permission != "" {
		b.WriteString(" (missing: " + p.Permission + ")")
	}
	if !p.Until.IsZero() {
		b.WriteString(" (until " + p.Until.UTC().Format(time.RFC3339Nano) + ")")
	}
	return b.String()
}

// Retryable says whether the same call, with the same idempotency key, may succeed a little later. CodeBehind is not
// among them: its call has waited already, and only the caller knows whether to wait on.
func (p *Problem) Retryable() bool {
	switch p.Code {
	case CodeOverloaded, CodeUnavailable, CodeOutcomeUnknown:
		return true
	}
	return false
}

// GetStatus and ContentType are what the server's HTTP library asks of an error that it is to write as it stands.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType turns JSON into problem JSON; see GetStatus.
func (p *Problem) ContentType(media string) string {
	if media == MediaJSON {
		return MediaProblem
	}
	return media
}

// CodeOf is the code of the Problem in the error's chain, "" where there is none.
func CodeOf(err error) Code {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// CallError is what every method of the Client returns when a call fails: which call it was, and why. The cause is a
// *Problem where the ledger refused; otherwise the server was not reached, did not answer, or answered something else.
type CallError struct {
	Method, Path string

	// Unknown says that a change may have been recorded although its answer is missing. Repeating it with IdempotencyKey
	// (a usage report: as it is) finds out, and changes nothing twice.
	Unknown        bool
	IdempotencyKey string

	Err error
}

func (e *CallError) Error() string {
	text := e.Method + " " + e.Path + ": " + e.Err.Error()
	if e.Unknown && e.IdempotencyKey != "" {
		text += "; it may have been recorded: repeat it with the idempotency key " + e.IdempotencyKey
	}
	return text
}

// Unwrap is the cause.
func (e *CallError) Unwrap() error { return e.Err }
