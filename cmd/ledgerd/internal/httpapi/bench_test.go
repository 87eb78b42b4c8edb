package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"licenseledger/ledger"
)

// BenchmarkReport is what the door costs for a report of 500 readings, without the ledger behind it and the network before it.
func BenchmarkReport(b *testing.B) {
	h := newHouse(b)
	h.instead(func(context.Context, ledger.Command) (ledger.Receipt, error) { return ledger.Receipt{Entry: 1}, nil })
	r := report("pc-1", 1, 123456789)
	readings := make([]any, 500)
	for i := range readings {
		readings[i] = r["readings"].([]any)[0]
	}
	r["readings"] = readings
	body, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequestWithContext(b.Context(), "POST", "/v1/providers/acme/usage", bytes.NewReader(body))
		bearer(h.operator)(req)
		w := httptest.NewRecorder()
		h.server.Config.Handler.ServeHTTP(w, req)
		if w.Code != 200 {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}
