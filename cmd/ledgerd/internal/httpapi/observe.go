package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"licenseledger/ledger/api"
)

// headerRequestID names a request in answers and logs.
const headerRequestID = "X-Request-Id"

// observe is the outermost step of every request: it names it, counts it, logs it, and turns a panic into an answer.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		req := &request{id: rand.Text()}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set(headerRequestID, req.id)
		rec.Header().Set("Cache-Control", "no-store")
		rec.Header().Set("X-Content-Type-Options", "nosniff")
		defer func() {
			p := recover()
			aborted := p != nil && errors.Is(asError(p), http.ErrAbortHandler)
			if p != nil && !aborted {
				s.Logger.ErrorContext(r.Context(), "a request panicked", "request", req.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if aborted = rec.status != 0; !aborted {
					s.write(rec, api.NewProblem(api.CodeInternal, ""))
				}
			}
			route := routeOf(r)
			s.requests.WithLabelValues(route, methodOf(r), strconv.Itoa(rec.status)).Inc()
			s.seconds.WithLabelValues(route).Observe(time.Since(began).Seconds())
			s.Logger.DebugContext(r.Context(), "answered", "request", req.id, "method", r.Method, "path", r.URL.Path,
				"status", rec.status, "who", req.who.String(), "took", time.Since(began))
			if aborted {
				panic(http.ErrAbortHandler) // the caller must not take what it has for the whole
			}
		}()
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean != strings.TrimSuffix(r.URL.Path, "/") {
			s.write(rec, notFound("there is nothing at this path"))
			return
		}
		next.ServeHTTP(rec, r)
	})
}

func asError(p any) error {
	err, _ := p.(error)
	return err
}

// routeOf is a request's route as metrics name it: its pattern, so that ids make no labels of their own.
func routeOf(r *http.Request) string {
	_, route, ok := strings.Cut(r.Pattern, " ")
	if !ok {
		return "unknown"
	}
	return route
}

// methodOf is a request's method as metrics name it: callers make up no labels.
func methodOf(r *http.Request) string {
	if r.Method == http.MethodHead || slices.Contains(methods, r.Method) {
		return r.Method
	}
	return "other"
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// methods are those of the contract.
var methods = []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}

// unknownPath answers where no route does: 404, or 405 where another method would do.
func (s *server) unknownPath(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range methods {
		other := *r
		other.Method = method
		if _, pattern := s.mux.Handler(&other); strings.Contains(pattern, " ") {
			allowed = append(allowed, method)
		}
	}
	p := notFound("there is nothing at this path")
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		p = invalid("method", "this path takes %s", strings.Join(allowed, ", "))
		p.Status = http.StatusMethodNotAllowed
	}
	s.write(w, p)
}
