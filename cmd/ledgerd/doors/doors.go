// Package doors lends rooms that are internal to ledgerd to programs of this module that run a ledger in a process of
// their own: the NATS door, the clock that makes due, and past moments. The benchmark does: it measures what ledgerd has.
//
//	service, err := doors.Start(doors.Config{Conn: conn, Ledger: sequencer})
//	defer service.Stop(ctx)
package doors

import (
	"licenseledger/cmd/ledgerd/internal/clock"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/cmd/ledgerd/internal/past"
)

// Config says where reports come from and where they go.
type Config = intake.Config

// Service is the NATS service that takes reports.
type Service = intake.Service

// Start begins to take reports.
func Start(c Config) (*Service, error) { return intake.Start(c) }

// Clock makes due what nobody asks for.
type Clock = clock.Clock

// Past answers what was.
type Past = past.Past
