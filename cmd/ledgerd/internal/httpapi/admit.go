package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
)

// request is what calls know of the request that they answer, beside their input.
type request struct {
	id     string
	url    *url.URL
	who    auth.Principal
	query  url.Values
	body   []byte        // of usage, as it came
	media  string        // Content-Type
	accept string        // Accept
	digest events.Digest // of a change
	moment *moment       // nil: now

	control *http.ResponseController
}

type requestKey struct{}

// requestOf is the request of a call's context.
func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return &request{}
	}
	return r
}

type humaContext = huma.Context

// admitted is a request as huma goes on with it: let in, its query and body read.
type admitted struct {
	humaContext
	query url.Values
	body  *bytes.Reader
}

func (a *admitted) Query(name string) string { return a.query.Get(name) }

// Header hides that bodies of other media types are read as JSON too.
func (a *admitted) Header(name string) string {
	if http.CanonicalHeaderKey(name) == "Content-Type" {
		return api.MediaJSON
	}
	return a.humaContext.Header(name)
}

func (a *admitted) BodyReader() io.Reader { return a.body }

func (a *admitted) Unwrap() huma.Context { return a.humaContext }

// admit lets a request in to a call, or refuses it: who sends it, may they, and is its query and body one at all?
func (s *server) admit(c call) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		in, err := s.letIn(c, ctx, w, r)
		if err != nil {
			s.write(w, s.problem(r.Context(), err))
			return
		}
		next(in)
		if m := requestOf(r.Context()).moment; m != nil {
			if err := m.close(); err != nil {
				s.Logger.Warn("a view of the past was not given back", "err", err)
			}
		}
	}
}

func (s *server) letIn(c call, ctx huma.Context, w http.ResponseWriter, r *http.Request) (*admitted, error) {
	req := requestOf(r.Context())
	var err error
	if !c.open {
		if req.who, err = s.authenticate(r); err != nil {
			return nil, err
		}
	}
	if err := authorize(c, req.who, r); err != nil {
		return nil, err
	}
	if req.query, err = readQuery(r.URL); err != nil {
		return nil, err
	}
	for _, name := range c.unanswered {
		if req.query.Has(name) {
			return nil, notYet("query." + name)
		}
	}
	if req.moment, err = s.readMoment(req.query.Get("as_of"), r.PathValue("provider")); err != nil {
		return nil, err
	}
	req.url, req.media, req.accept = r.URL, r.Header.Get("Content-Type"), r.Header.Get("Accept")
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	// The server's read deadline is for what has been read now; while the call works, it would look like a caller who left.
	req.control = http.NewResponseController(w)
	_ = req.control.SetReadDeadline(time.Time{})
	if c.raw {
		if req.body = body; r.Header.Get(api.HeaderIdempotencyKey) != "" {
			req.digest = digest(r, req.query, body)
		}
		return &admitted{ctx, req.query, bytes.NewReader(body)}, nil
	}
	var parsed any
	if len(body) > 0 {
		if parsed, err = parse(body); err != nil {
			return nil, err
		}
	}
	op := ctx.Operation()
	if op.RequestBody == nil {
		if members, ok := parsed.(map[string]any); parsed != nil && (!ok || len(members) > 0) {
			return nil, invalid("body", "this call takes no body")
		}
		parsed = nil
	} else if found := strangers(s.api.OpenAPI().Components.Schemas, op.RequestBody.Content[api.MediaJSON].Schema, parsed, "body"); len(found) > 0 {
		slices.SortFunc(found, func(a, b api.FieldError) int { return cmp.Compare(a.Location, b.Location) })
		p := api.NewProblem(api.CodeInvalid, "the body has fields that are not known")
		p.Errors = found
		return nil, p
	}
	req.digest = digest(r, req.query, parsed)
	return &admitted{ctx, req.query, bytes.NewReader(body)}, nil
}

// authenticate says who sends the request.
func (s *server) authenticate(r *http.Request) (auth.Principal, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		p := api.NewProblem(api.CodeUnauthenticated, "there is no token")
		p.Hint = "send the header Authorization: Bearer TOKEN"
		return auth.Principal{}, p
	}
	who, err := s.Auth.Verify(strings.TrimSpace(token))
	if err != nil {
		if !errors.Is(err, auth.ErrUnauthenticated) {
			return who, fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
		}
		return who, api.NewProblem(api.CodeUnauthenticated, "the token is not known: it is mistyped, or was revoked")
	}
	return who, nil
}

// authorize says whether the caller may make the call.
func authorize(c call, who auth.Principal, r *http.Request) error {
	if c.anyone || c.open {
		return nil
	}
	if c.onlyReads() {
		return auth.AllowRead(who, r.PathValue("provider"), c.allow...)
	}
	return auth.Allow(who, r.PathValue("provider"), c.allow...)
}

// readQuery reads the query strictly: a parameter stands once.
func readQuery(u *url.URL) (url.Values, error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, invalid("query", "the query is not well-formed")
	}
	for name, values := range query {
		if len(values) > 1 {
			return nil, invalid("query."+name, "it stands there twice")
		}
	}
	// Without a value it is meant, and it is the side on which nothing is recorded.
	if query.Has("dry_run") && query.Get("dry_run") == "" {
		query.Set("dry_run", "true")
	}
	return query, nil
}
