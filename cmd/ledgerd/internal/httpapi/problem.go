package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"licenseledger/cmd/ledgerd/internal/refusals"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections"
)

// How long callers are asked to wait before they try again.
const (
	waitShort = time.Second
	waitLong  = 5 * time.Second
)

func notFound(format string, args ...any) *api.Problem {
	return api.NewProblem(api.CodeNotFound, fmt.Sprintf(format, args...))
}

// invalid is the refusal of one place of a request.
func invalid(location, format string, args ...any) *api.Problem {
	text := fmt.Sprintf(format, args...)
	p := api.NewProblem(api.CodeInvalid, text)
	p.Errors = []api.FieldError{{Location: location, Message: text}}
	return p
}

// notYet refuses a parameter of the contract that nothing answers so far. To ignore it would be a wrong answer.
func notYet(location string) *api.Problem {
	p := invalid(location, "this cannot be answered yet")
	p.Hint = "leave it out"
	return p
}

// broken is the refusal of a body that is not what it says it is; its status is 400.
func broken(format string, args ...any) *api.Problem {
	p := invalid("body", format, args...)
	p.Status = http.StatusBadRequest
	return p
}

// problem is what the caller is told about an error; what it is not told is logged.
func (s *server) problem(ctx context.Context, err error) *api.Problem {
	var stopped *projections.StoppedError
	switch {
	case api.CodeOf(err) != "":
	case errors.Is(err, ledger.ErrOutcomeUnknown): // before the reason why
	case errors.As(err, &stopped), errors.Is(err, projections.ErrClosed):
		return retry(api.CodeUnavailable, waitLong, "a view has stopped: /readyz says which")
	case errors.Is(err, context.Canceled) && ctx.Err() != nil: // nobody listens any more
		return retry(api.CodeUnavailable, waitShort, "the request was given up")
	}
	p := refusals.Problem(err)
	var refusal *license.Refusal
	if errors.As(err, &refusal) {
		for _, wrong := range refusal.Problems {
			p.Errors = append(p.Errors, api.FieldError{Location: "body." + wrong.Field, Message: wrong.Message})
		}
	}
	if p.Status >= http.StatusInternalServerError && p.Code != api.CodeBehind && p.Code != api.CodeOverloaded {
		level := slog.LevelError
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			level = slog.LevelInfo // the caller left before the answer came
		}
		s.Logger.Log(ctx, level, "a request failed", "request", requestOf(ctx).id, "code", p.Code, "err", err)
	}
	return p
}

func retry(code api.Code, after time.Duration, detail string) *api.Problem {
	p := api.NewProblem(code, detail)
	p.RetryAfter = after
	return p
}

// refuse is problem as an error that huma writes with its headers.
func (s *server) refuse(ctx context.Context, err error) error {
	p := s.problem(ctx, err)
	return huma.ErrorWithHeaders(p, headersOf(p))
}

func headersOf(p *api.Problem) http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Code == api.CodeUnauthenticated {
		h.Set("WWW-Authenticate", `Bearer realm="licenseledger"`)
	}
	return h
}

// write answers with a problem where no call has begun to answer.
func (s *server) write(w http.ResponseWriter, p *api.Problem) {
	for name, values := range headersOf(p) {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", api.MediaProblem)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a caller that is gone needs no answer
}

// ownProblems turns huma's own errors into ours; huma writes them after it.
func (s *server) ownProblems(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if e.Status >= http.StatusInternalServerError {
		s.Logger.ErrorContext(ctx.Context(), "a request failed", "request", requestOf(ctx.Context()).id, "err", e.Detail, "errors", e.Errors)
		return api.NewProblem(api.CodeInternal, ""), nil
	}
	p := api.NewProblem(api.CodeInvalid, e.Detail)
	if p.Status = e.Status; p.Status == http.StatusUnprocessableEntity {
		p.Detail = "the request does not fit its schema"
	}
	for _, d := range e.Errors {
		p.Errors = append(p.Errors, api.FieldError{Location: d.Location, Message: d.Message, Value: echo(d.Value)})
	}
	return p, nil
}

// echo is a value as a refusal repeats it: only what is short.
func echo(v any) any {
	const longest = 80
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil
		}
		if len(v) > longest {
			return fmt.Sprintf("%.*s...", longest, v)
		}
		return v
	case bool, float64, int64, uint64, json.Number:
		return v
	}
	return nil
}
