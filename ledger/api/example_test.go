package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"licenseledger/ledger/api"
)

// A dry run tells what a release would save; then a refusal is told apart by its code.
func ExampleClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("dry_run") == "true" {
			answer(w, 200, `{"license":{"id":"01J","status":"released"},"savings":"4.49","currency":"USD"}`)
			return
		}
		refuse(w, api.NewProblem(api.CodeLicenseClosed, "it was released on 2026-03-10"))
	}))
	defer server.Close()
	c := &api.Client{BaseURL: server.URL, Token: "secret", HTTP: server.Client()}
	ctx := context.Background()

	tried, err := c.ReleaseLicense(ctx, "acme", "01J", api.ChangeOptions{DryRun: true})
	fmt.Println(tried.Savings, tried.Currency, err)

	_, err = c.ReleaseLicense(ctx, "acme", "01J", api.ChangeOptions{})
	fmt.Println(api.CodeOf(err) == api.CodeLicenseClosed)
	fmt.Println(err)
	// Output:
	// 4.49 USD <nil>
	// true
	// POST /v1/providers/acme/licenses/01J/release: license_closed: it was released on 2026-03-10
}
