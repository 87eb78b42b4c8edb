package agent_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

// A backup program asks what it may do, backs up, and reports what it measured. The ledger is a small one for the example.
func Example() {
	server := smallLedger()
	defer server.Close()
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	client := &api.Client{BaseURL: server.URL, Token: "ledger_tk_of_pc-17", HTTP: server.Client()}
	a, err := agent.Open(dir, agent.Options{
		Agent:     "pc-17",
		Transport: agent.HTTP(client, "acme"),
		Leases:    agent.EndpointLeases(client, "acme", "pc-17"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := a.Refresh(ctx); err != nil { // it comes by itself; here the example waits for it
		fmt.Println(err)
	}
	state := a.Check()
	fmt.Println("backups:", state.Text(), state.Types)
	fmt.Println("without the ledger for", time.Until(state.OfflineUntil).Round(time.Hour))

	// Job 41 has run. If the program is killed here, the mark tells it after its next start whether job 41 was reported.
	err = a.ReportMarked("job 41",
		api.Reading{Meter: "backup_bytes", Value: "1234"},
		api.Reading{Meter: "backup_files", Value: "7"},
	)
	if err != nil {
		fmt.Println(err) // agent.ErrFull: the disk has room for so much only
	}
	if err := a.Flush(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println("reported up to", a.Mark())
	fmt.Println("waiting:", a.Status().Waiting)
	// Output:
	// backups: allowed [server]
	// without the ledger for 168h0m0s
	// report 1: 2 readings
	// reported up to job 41
	// waiting: 0
}

// smallLedger answers what an agent asks.
func smallLedger() *httptest.Server {
	key := lease.NewSigningKey([ed25519.SeedSize]byte{1})
	answer := func(w http.ResponseWriter, media string, v any) {
		w.Header().Set("Content-Type", media)
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/providers/acme/usage", func(w http.ResponseWriter, r *http.Request) {
		var report api.Report
		_ = json.NewDecoder(r.Body).Decode(&report)
		fmt.Printf("report %d: %d readings\n", report.Seq, len(report.Readings))
		answer(w, api.MediaJSON, api.ReportAnswer{Seq: report.Seq, Status: api.ReportRecorded})
	})
	mux.HandleFunc("GET /v1/providers/acme/endpoints/pc-17/lease", func(w http.ResponseWriter, _ *http.Request) {
		c := lease.Claims{Provider: "acme", Subject: "agent:pc-17", Status: lease.StatusActive}
		c.Issue("01KGB000000000000000000000", time.Now(), lease.DefaultOffline)
		c.BackupUntil = c.OfflineUntil
		c.Licenses = []lease.LeasedLicense{{ID: "01KE6DHC000000000000000001", Type: "server", Status: "paid", Until: c.OfflineUntil}}
		text, _ := lease.Sign(c, key)
		answer(w, api.MediaJSON, api.Lease{Text: text, Claims: c})
	})
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, lease.MediaKeys, lease.NewKeySet(key.Public()))
	})
	return httptest.NewServer(mux)
}
