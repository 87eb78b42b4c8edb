package refusals_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/refusals"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

func TestProblem(t *testing.T) {
	refusal := &license.Refusal{Code: license.PaymentMethodRequired, Message: "no payment method"}
	secret := errors.New("open /srv/ledger/names.db: no space left")
	for _, row := range []struct {
		name   string
		err    error
		code   api.Code
		status int
		retry  bool
	}{
		{"refusal", refusal, "payment_method_required", 402, false},
		{"refusal, wrapped", fmt.Errorf("buy: %w", refusal), "payment_method_required", 402, false},
		{"overloaded", fmt.Errorf("%w: %w", ledger.ErrOverloaded, context.DeadlineExceeded), "overloaded", 503, true},
		{"unavailable", fmt.Errorf("%w: %w", ledger.ErrUnavailable, secret), "unavailable", 503, true},
		{"outcome unknown", fmt.Errorf("%w: %w", ledger.ErrOutcomeUnknown, context.Canceled), "outcome_unknown", 503, true},
		// What was due could not be written: the refusal rests on it, so it is not the answer.
		{"refusal that may not hold", errors.Join(refusal, fmt.Errorf("%w: %w", ledger.ErrUnavailable, secret)), "unavailable", 503, true},
		{"unknown before unavailable", errors.Join(ledger.ErrUnavailable, ledger.ErrOutcomeUnknown), "outcome_unknown", 503, true},
		{"permission", fmt.Errorf("buy: %w", &auth.Denied{Permission: auth.BuyLicenses}), "permission_denied", 403, false},
		{"another provider", auth.Allow(auth.Principal{Kind: auth.KindProvider, Provider: "acme"}, "globex", auth.Administer), "not_found", 404, false},
		{"token", fmt.Errorf("%w: it is mistyped", auth.ErrUnauthenticated), "unauthenticated", 401, false},
		{"a problem of the door", api.NewProblem(api.CodeTooLarge, "2 MiB"), "too_large", 413, false},
		{"unforeseen", secret, "internal", 500, false},
	} {
		p := refusals.Problem(row.err)
		if p.Code != row.code || p.Status != row.status || p.Retryable() != row.retry || (p.RetryAfter > 0) != row.retry || p.Title == "" {
			t.Errorf("%s: %+v", row.name, p)
		}
		if b, err := json.Marshal(p); err != nil || strings.Contains(string(b), "/srv") {
			t.Errorf("%s tells too much: %s, %v", row.name, b, err)
		}
	}
}

func TestProblemSaysWhere(t *testing.T) {
	until := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	p := refusals.Problem(&license.Refusal{Code: license.Invalid, Field: "readings[3].value", Message: "negative", Until: until})
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.readings[3].value" || p.Errors[0].Message != "negative" || p.Detail != "negative" || !p.Until.Equal(until) {
		t.Errorf("%+v", p)
	}
	p = refusals.Problem(&auth.Denied{Permission: "keys.activate"})
	if p.Permission != "keys.activate" {
		t.Errorf("%+v", p)
	}
}

// Every code that decisions refuse with is one of the contract.
func TestCodesOfDecisions(t *testing.T) {
	for _, code := range []license.Code{
		license.Invalid, license.NotFound, license.PaymentMethodRequired, license.LicenseAlreadyHeld, license.TypeNotAllowed,
		license.TypeClosed, license.RequiresVMServer, license.AlreadyAssigned, license.NotAssigned, license.LicenseClosed,
		license.PoolEmpty, license.SequenceReused, license.IdempotencyMismatch,
	} {
		p := refusals.Problem(&license.Refusal{Code: code, Message: "why"})
		if !slices.Contains(api.Codes(), p.Code) || p.Status < 400 || p.Status > 499 || p.Detail != "why" {
			t.Errorf("%s: %+v", code, p)
		}
	}
}
