package httpapi

import (
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.etcd.io/bbolt"

	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
)

// call is one call of the contract: where it is, what it is called, who may make it, and what it may refuse.
type call struct {
	method, path string // below /v1
	id, summary  string
	about        string // more for the OpenAPI document
	tag          string // its family
	// allow are permissions, one of which is needed.
	allow []string
	// anyone says that any token will do, or that the call looks at permissions itself.
	anyone bool
	// open says that no token is asked for: the call has a credential of its own.
	open bool
	// codes are refusals beside those of every call.
	codes []api.Code
	// unanswered are parameters of the contract that nothing answers so far. They are refused, and the document has them not.
	unanswered []string
	// present says that a read of a provider answers as things stand, and not for past moments (as_of) as the others do.
	present bool
	// creates says that it may answer 201.
	creates bool
	// reads says that it changes nothing, whatever its method is.
	reads bool
	// raw says that the call reads its body itself.
	raw bool
}

// onlyReads says that a call changes nothing.
func (c *call) onlyReads() bool { return c.reads || c.method == http.MethodGet }

// answersPast says whether the call takes as_of: what a provider was is known for every moment.
func (c *call) answersPast() bool {
	return c.method == http.MethodGet && strings.Contains(c.path, "{provider}") && !c.present
}

// Paths that calls have in common. They are exported because huma looks into exported fields only.
type (
	ProviderPath struct {
		Provider string `path:"provider" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"acme"`
	}
	CompanyPath struct {
		ProviderPath
		Company string `path:"company" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"globex"`
	}
)

// read is what a read answers with.
type read[T any] struct {
	Position *uint64 `header:"Ledger-Position" doc:"number of the last entry that the answer has seen"`
	Body     T
}

// changed is what a change answers with.
type changed[T any] struct {
	Status int
	Body   T
}

// register makes a call known to the router and to the OpenAPI document.
func register[I, O any](s *server, c call, handle func(ctx context.Context, in *I) (*O, error)) {
	if !c.answersPast() {
		c.unanswered = append(c.unanswered, "as_of")
	}
	op := s.operation(c)
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.refuse(ctx, err)
		}
		return out, nil
	})
	described := operationOf(s.api.OpenAPI(), op)
	described.Parameters = slices.DeleteFunc(described.Parameters, func(p *huma.Param) bool { return slices.Contains(c.unanswered, p.Name) })
	for _, p := range described.Parameters {
		neverNull(p.Schema)
	}
	if headers := described.Responses["200"].Headers; headers[api.HeaderPosition] != nil {
		headers[api.HeaderPosition] = positionHeader()
	}
	if c.creates {
		created := *described.Responses["200"]
		created.Description = "Something was made."
		described.Responses["201"] = &created
	}
}

func operationOf(doc *huma.OpenAPI, op huma.Operation) *huma.Operation {
	item := doc.Paths[op.Path]
	switch op.Method {
	case http.MethodPut:
		return item.Put
	case http.MethodPost:
		return item.Post
	case http.MethodDelete:
		return item.Delete
	}
	return item.Get
}

// operation is what the OpenAPI document says of a call.
func (s *server) operation(c call) huma.Operation {
	op := huma.Operation{
		Method: c.method, Path: "/v1" + c.path, OperationID: c.id, Summary: c.summary, Description: c.about, Tags: []string{c.tag},
		Security:    []map[string][]string{{"token": {}}},
		Middlewares: huma.Middlewares{s.admit(c)},
		Responses:   map[string]*huma.Response{"200": {Description: "Done."}},
		// The body is read, and bounded, before huma looks at it; and huma's deadline would end slow calls.
		MaxBodyBytes: -1, BodyReadTimeout: -1,
		SkipValidateBody: c.raw,
	}
	if c.open {
		op.Security = nil
	}
	codes := []api.Code{api.CodeInvalid, api.CodeUnauthenticated, api.CodeUnavailable, api.CodeInternal}
	if !c.anyone && !c.open {
		codes = append(codes, api.CodePermissionDenied)
	}
	if strings.Contains(c.path, "{") {
		codes = append(codes, api.CodeNotFound)
	}
	if c.onlyReads() {
		codes = append(codes, api.CodeBehind)
	}
	if c.method == http.MethodPost && c.reads {
		codes = append(codes, api.CodeTooLarge)
	}
	if !c.onlyReads() {
		codes = append(codes, api.CodeTooLarge, api.CodeIdempotencyMismatch, api.CodeOverloaded, api.CodeOutcomeUnknown)
	}
	codes = append(codes, c.codes...)

	byStatus := map[int][]string{}
	for _, code := range codes {
		byStatus[code.Status()] = append(byStatus[code.Status()], "`"+string(code)+"`: "+code.Title()+".")
	}
	byStatus[http.StatusBadRequest] = []string{"`invalid`: The body is not JSON."}
	if c.method == http.MethodGet || c.method == http.MethodDelete {
		delete(byStatus, http.StatusBadRequest)
	}
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
	for _, status := range slices.Sorted(maps.Keys(byStatus)) {
		texts := byStatus[status]
		slices.Sort(texts)
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(slices.Compact(texts), "\n"),
			Content:     map[string]*huma.MediaType{api.MediaProblem: {Schema: schema}},
		}
	}
	return op
}

// see runs fn on a view that has seen the entry that the caller asked for, and says where the view stands. Who asks for
// none gets what this door has answered before, unless the view is behind.
func (s *server) see(ctx context.Context, view *projections.Store, after uint64, fn func(tx *bbolt.Tx) error) (position *uint64, err error) {
	if m := requestOf(ctx).moment; m != nil {
		return s.seeThen(ctx, m, view, fn)
	}
	if after > 0 {
		if err := s.wait(ctx, view, after); err != nil {
			return nil, err
		}
	} else {
		limited, cancel := context.WithTimeout(ctx, s.Fresh)
		_ = view.Wait(limited, s.answered.Load())
		cancel()
	}
	return look(ctx, view, fn)
}

// look is see as the view stands.
func look(ctx context.Context, view *projections.Store, fn func(tx *bbolt.Tx) error) (position *uint64, err error) {
	err = view.Read(ctx, func(tx *bbolt.Tx, next uint64) error {
		if next > 0 {
			position = new(next - 1)
		}
		return fn(tx)
	})
	return position, err
}

// wait waits until a view has seen an entry, as long as callers may make it wait.
func (s *server) wait(ctx context.Context, view *projections.Store, entry uint64) error {
	limited, cancel := context.WithTimeout(ctx, s.ReadWait)
	defer cancel()
	err := view.Wait(limited, entry)
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	p := retry(api.CodeBehind, waitShort, "the view "+view.Name()+" has not seen entry "+strconv.FormatUint(entry, 10)+" yet")
	if next := view.Next(); next > 0 {
		p.Position = new(next - 1)
	}
	return p
}

// inProvider is see for what the licenses view knows of a provider, which must exist.
func (s *server) inProvider(ctx context.Context, provider string, after uint64, fn func(tx *bbolt.Tx, a license.Account) error) (position *uint64, err error) {
	return s.see(ctx, s.Licenses, after, withAccount(provider, fn))
}

func withAccount(provider string, fn func(tx *bbolt.Tx, a license.Account) error) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		account, ok, err := licenses.LoadAccount(tx, provider)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("there is no provider %q", provider)
		}
		return fn(tx, account)
	}
}

// exists is inProvider for calls that ask another view.
func (s *server) exists(ctx context.Context, provider string, after uint64) (position *uint64, err error) {
	return s.inProvider(ctx, provider, after, func(*bbolt.Tx, license.Account) error { return nil })
}

// lowest is where an answer stands that came from two views.
func lowest(a, b *uint64) *uint64 {
	if a == nil || b == nil {
		return nil
	}
	return new(min(*a, *b))
}

// now is the ledger's time.
func (s *server) now() (time.Time, error) {
	now, err := s.Clock.Now()
	if err != nil {
		p := retry(api.CodeUnavailable, waitLong, "the ledger's clock cannot be trusted now")
		s.Logger.Warn("the clock cannot be trusted", "err", err)
		return now, p
	}
	return now, nil
}
