package stream_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
)

// Instances of one key race for its seats over the real stream, through two sequencers that overtake each other: linearizable, refusals included,
// and never more users than seats (domain K5, K6, K8).
func TestSeatsAreLinearizable(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	e := startEmbedded(t)
	clock := ledgertest.NewClock(time.Now())
	log := e.create()
	sequencer := func(log *stream.Stream) *ledger.Sequencer {
		s, err := ledger.Start(t.Context(), ledger.Config{Log: log, States: ledgertest.NewStates(t, log), Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	one := sequencer(log)
	if _, err := one.Submit(t.Context(), ledger.Command{ID: "once/open", Actor: "test", Body: license.Open{Ledger: "01KGB0000000000000000000AA"}}); err != nil {
		t.Fatal(err)
	}
	two := sequencer(e.open())
	ledgertest.RaceForSeats(t, seed, clock, 12, 25, one, two)
	last, err := log.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Entry
	for stored, err := range log.Read(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		entries, err := events.DecodeRecord(&stored.Record)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, entries...); stored.Seq == last {
			break
		}
	}
	ledgertest.CheckSeats(t, all)
	if one.Stats().Conflicts+two.Stats().Conflicts == 0 {
		t.Error("neither overtook the other")
	}
}
