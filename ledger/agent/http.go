package agent

import (
	"context"

	"licenseledger/ledger/api"
)

// HTTP sends reports of a provider's agent over HTTP. The client's token is the agent's; its repetitions are left to the agent.
func HTTP(client *api.Client, provider string) Transport {
	own := *client
	own.Retries = -1
	return &httpTransport{&own, provider}
}

type httpTransport struct {
	client   *api.Client
	provider string
}

func (t *httpTransport) Send(ctx context.Context, report api.Report) (api.ReportAnswer, error) {
	return t.client.ReportUsage(ctx, t.provider, report, api.ChangeOptions{})
}

func (t *httpTransport) Close() error { return nil }
