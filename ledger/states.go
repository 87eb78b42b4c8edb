package ledger

import (
	"context"

	"licenseledger/ledger/license"
)

// States is where the sequencer loads what decisions rest on: the licenses view.
// Each load waits until the view has applied every entry below next, and may be newer. Methods are safe for concurrent use.
type States interface {
	System(ctx context.Context, next uint64) (System, error)
	Provider(ctx context.Context, id string, next uint64) (*license.State, error)
	Spool(ctx context.Context, key SpoolKey, next uint64) (license.Spool, error)
	// Next is the first entry that the view has not applied.
	Next() uint64
}

// SpoolKey names one spool of one agent.
type SpoolKey struct{ Provider, Agent, Spool string }
