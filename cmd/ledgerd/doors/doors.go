// Package doors lends ledgerd's NATS door, which is internal to ledgerd, to programs of this module that run a ledger
// in a process of their own. The benchmark does: it measures the door that ledgerd has.
//
//	service, err := doors.Start(doors.Config{Conn: conn, Ledger: sequencer})
//	defer service.Stop(ctx)
package doors

import "licenseledger/cmd/ledgerd/internal/intake"

// Config says where reports come from and where they go.
type Config = intake.Config

// Service is the NATS service that takes reports.
type Service = intake.Service

// Start begins to take reports.
func Start(c Config) (*Service, error) { return intake.Start(c) }
