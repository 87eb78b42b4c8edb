package agent_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
)

// A refusal over HTTP comes back with what the ledger says of it, after one attempt: repetitions are the agent's.
func TestHTTP(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.URL.Path != "/v1/providers/acme/usage" || r.Header.Get("Authorization") != "Bearer tk" {
			t.Errorf("%s, %v", r.URL, r.Header)
		}
		p := api.NewProblem(api.CodeOverloaded, "busy")
		w.Header().Set("Content-Type", api.MediaProblem)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	}))
	defer server.Close()
	tr := agent.HTTP(&api.Client{BaseURL: server.URL, Token: "tk", HTTP: server.Client()}, "acme")
	_, err := tr.Send(t.Context(), api.Report{Agent: "pc-17", Seq: 1, Void: "x"})
	var p *api.Problem
	if !errors.As(err, &p) || p.Code != api.CodeOverloaded || p.RetryAfter != 7*time.Second || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
}

// Leases come from where the contract has them, and must be their subject's.
func TestLeasesOverHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", api.MediaJSON)
		_, _ = io.WriteString(w, `{"lease":"`+r.URL.Path+`"}`)
	}))
	defer server.Close()
	client := &api.Client{BaseURL: server.URL, HTTP: server.Client()}
	for _, row := range []struct {
		leases        *agent.Leases
		subject, path string
	}{
		{agent.EndpointLeases(client, "acme", "pc-17"), "agent:pc-17", "/v1/providers/acme/endpoints/pc-17/lease"},
		{agent.InstanceLeases(client, "acme", "srv-1"), "instance:srv-1", "/v1/providers/acme/instances/srv-1/lease"},
	} {
		text, err := row.leases.Fetch(t.Context())
		if err != nil || text != row.path || row.leases.Subject != row.subject || row.leases.Provider != "acme" {
			t.Errorf("%q, %v, %+v", text, err, row.leases)
		}
	}
}
