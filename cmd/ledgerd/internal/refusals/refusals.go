// Package refusals turns an error into what its caller is told: the one place where errors become codes.
//
//	p := refusals.Problem(err)
//	// {"status":402,"code":"payment_method_required","detail":"provider \"acme\" has no active payment method: ..."}
//
// HTTP writes the problem as it stands (RFC 9457), the NATS intake takes its fields. An error that nobody foresaw
// becomes "internal", of which nothing more is told: the door writes it to the log.
package refusals

import (
	"errors"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

// How long callers should wait before they try again.
const (
	retryOverloaded  = time.Second
	retryUnavailable = 5 * time.Second
	retryUnknown     = time.Second
)

// Problem is what the caller is told about an error of [ledger.Sequencer.Submit], of package auth, or of a door's own:
// a *[license.Refusal], or a *[api.Problem], which is returned as it is. The error is not nil.
//
// A refused field is named as one of the body. What is not JSON at all is "invalid" with status 422 like everything
// else that is; HTTP, which can tell, makes it 400.
func Problem(err error) *api.Problem {
	var problem *api.Problem
	var refusal *license.Refusal
	var denied *auth.Denied
	switch {
	case errors.As(err, &problem):
		return problem
	// What is not known comes before what is: an error may join several.
	case errors.Is(err, ledger.ErrOutcomeUnknown):
		return retry(api.CodeOutcomeUnknown, "the answer of the disk is missing", "send it again as it is: it will not count twice", retryUnknown)
	case errors.Is(err, ledger.ErrUnavailable):
		return retry(api.CodeUnavailable, "the ledger cannot record anything at the moment", "send it again later", retryUnavailable)
	case errors.Is(err, ledger.ErrOverloaded):
		return retry(api.CodeOverloaded, "more is waiting than the ledger takes", "send it again later, and less at a time", retryOverloaded)
	case errors.As(err, &refusal):
		p := api.NewProblem(api.Code(refusal.Code), refusal.Message)
		p.Until, p.Permission = refusal.Until, refusal.Permission
		if refusal.Field != "" {
			p.Errors = []api.FieldError{{Location: "body." + refusal.Field, Message: refusal.Message}}
		}
		return p
	case errors.As(err, &denied):
		p := api.NewProblem(api.CodePermissionDenied, denied.Error())
		p.Permission = denied.Permission
		return p
	case errors.Is(err, auth.ErrNotFound):
		return api.NewProblem(api.CodeNotFound, auth.ErrNotFound.Error())
	case errors.Is(err, auth.ErrUnauthenticated):
		p := api.NewProblem(api.CodeUnauthenticated, err.Error())
		p.Hint = "send the header Authorization: Bearer TOKEN"
		return p
	}
	return api.NewProblem(api.CodeInternal, "")
}

func retry(code api.Code, detail, hint string, after time.Duration) *api.Problem {
	p := api.NewProblem(code, detail)
	p.Hint, p.RetryAfter = hint, after
	return p
}
