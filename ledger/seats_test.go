package ledger_test

import (
	"math/rand/v2"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
)

// Instances that start jobs, release, add and renew through two sequencers with every fault: linearizable, refusals included, and the log,
// read from its start, never has more users than seats (K5, K6, K8).
func TestSeatsAreLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	clock := ledgertest.NewClock(start)
	stream := ledgertest.NewStream(t, clock)
	one := another(t, stream, clock, ledger.Config{})
	one.open()
	two := another(t, stream, clock, ledger.Config{})
	for i, h := range []*house{one, two} {
		h.log.Chaos(seed+uint64(i), 0.1)
	}
	ledgertest.RaceForSeats(t, seed, clock, 8, 15, one, two)
	for _, h := range []*house{one, two} {
		h.log.Chaos(0, 0)
	}
	var known []events.Entry
	for _, e := range entries(t, stream) {
		if e.Actor != "ledgertest" { // a made-up foreign record
			known = append(known, e)
		}
	}
	ledgertest.CheckSeats(t, known)
}
