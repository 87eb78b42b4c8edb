package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"licenseledger/ledger/api"
)

// A ledger that dies with a request in its hands may have recorded it. That net/http then tries again by itself, and finds
// nobody to connect to, does not make it certain that nothing was.
func TestDiesWithRequest(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- func() error {
			conn, err := listener.Accept()
			if err != nil {
				return err
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for n := range 2 {
				r, err := http.ReadRequest(in)
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
				}
				if err != nil {
					return err
				}
				if n == 0 {
					_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"position\":9}")
				} else {
					err = listener.Close()
				}
				if err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &api.Client{BaseURL: "http://" + listener.Addr().String(), HTTP: &http.Client{Transport: transport}}
	buy := func() error {
		_, err := c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, api.ChangeOptions{IdempotencyKey: "k"})
		return err
	}
	if err := buy(); err != nil {
		t.Fatal(err)
	}
	err = buy()
	var failed *api.CallError
	if !errors.As(err, &failed) || !failed.Unknown || failed.IdempotencyKey != "k" {
		t.Errorf("%v: is said to have left nothing behind", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
