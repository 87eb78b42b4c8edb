package httpapi

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// views are all views.
func (s *server) views() []*projections.Store {
	return []*projections.Store{s.Licenses, s.Usage, s.Invoices, s.Notices, s.Audit}
}

// readiness is what /readyz answers: why it cannot serve, if it cannot, and where the views stand.
type readiness struct {
	*api.Problem
	Ready bool        `json:"ready"`
	Views []viewState `json:"views"`
}

type viewState struct {
	View    string  `json:"view" example:"licenses"`
	Last    *uint64 `json:"last,omitempty" doc:"number of the last entry that it has seen"`
	Lag     uint64  `json:"lag" doc:"entries that it has not seen yet"`
	Stopped bool    `json:"stopped" doc:"it cannot go on; the log says why"`
}

// outside registers what is outside /v1 and takes no token.
func (s *server) outside() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", api.MediaJSON)
		_, _ = w.Write([]byte(`{"status":"alive"}` + "\n"))
	})
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}))
	for _, o := range []struct{ path, id, summary, media, about string }{
		{"/healthz", "get-health", "Whether the process lives", api.MediaJSON, "It does."},
		{"/readyz", "get-readiness", "Whether it can serve, and where the views stand", api.MediaJSON, "It can."},
		{"/metrics", "get-metrics", "Metrics for Prometheus", "text/plain", "The metrics."},
		{"/openapi.json", "get-openapi", "This document", api.MediaJSON, "The document."},
	} {
		op := &huma.Operation{
			Method: http.MethodGet, Path: o.path, OperationID: o.id, Summary: o.summary, Tags: []string{"Operation"},
			Responses: map[string]*huma.Response{
				"200":     {Description: o.about, Content: map[string]*huma.MediaType{o.media: {Schema: &huma.Schema{}}}},
				"default": {Description: "A refusal.", Content: map[string]*huma.MediaType{api.MediaProblem: {Schema: s.problemSchema()}}},
			},
		}
		s.api.OpenAPI().AddOperation(op)
	}
}

func (s *server) problemSchema() *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Problem](), true, "")
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	state := readiness{Ready: true}
	var wrong []api.FieldError
	for _, v := range s.views() {
		view := viewState{View: v.Name(), Lag: v.Lag(), Stopped: v.Err() != nil}
		if next := v.Next(); next > 0 {
			view.Last = new(next - 1)
		}
		if view.Stopped {
			wrong = append(wrong, api.FieldError{Location: v.Name(), Message: "the view has stopped before entry " + strconv.FormatUint(v.Next(), 10)})
		}
		state.Views = append(state.Views, view)
	}
	w.Header().Set("Content-Type", api.MediaJSON)
	status := http.StatusOK
	err := s.Ready()
	if err != nil || len(wrong) > 0 {
		if len(wrong) == 0 {
			s.Logger.WarnContext(r.Context(), "not ready", "err", err)
		}
		p := retry(api.CodeUnavailable, waitLong, "the ledger cannot serve all calls; its log says why")
		p.Errors = wrong
		state.Problem, state.Ready, status = p, false, p.Status
		for name, values := range headersOf(p) {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", api.MediaProblem)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(state) // a caller that is gone needs no answer
}
