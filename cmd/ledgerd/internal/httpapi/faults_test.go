package httpapi_test

import (
	"context"
	"fmt"

	"licenseledger/cmd/ledgerd/internal/httpapi"
	"licenseledger/ledger"
)

// errCut is what a caller meets whose command was not taken.
var errCut = fmt.Errorf("%w: cut off", ledger.ErrOverloaded)

// after hands commands on unless fault says otherwise.
func (h *house) after(fault func() error) submitFunc {
	next := h.submit.next
	return func(ctx context.Context, c ledger.Command) (ledger.Receipt, error) {
		if err := fault(); err != nil {
			return ledger.Receipt{}, err
		}
		return next.Submit(ctx, c)
	}
}

// disconnects notes whom the door has disconnected.
func disconnects(who *[]string) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		c.Disconnect = func(provider, agent string) error {
			*who = append(*who, provider+"/"+agent)
			return nil
		}
	}
}
