// Package ledgertest is what tests of the write side stand on: a [Stream] in
// memory that fails on demand and polices its writers, a [Journal] that does so too, a [Clock] that moves by hand, ids
// that repeat, and [LogSuite], which every implementation of [ledger.Log] must
// pass. Only tests import it.
//
// A stream belongs to nobody; each writer opens a [Log] of its own on it. Faults
// are ordered one by one, or left to chance with a seed:
//
//	clock := ledgertest.NewClock(start)
//	stream := ledgertest.NewStream(t, clock)
//	log := stream.Open()
//	log.Next(ledgertest.AckLost)   // the next append is added; its caller is not told
//	gate := log.HoldMessage()      // the one after it arrives when the gate opens
//	log.Chaos(seed, 0.3)           // from then on, three of ten calls go wrong
//
// What a correct writer never does fails the test: two appends in flight at the
// same time, a record that does not continue the one before it, entries that do not decode or
// are not numbered on, one id for two records, an expectation beyond what was acknowledged.
package ledgertest
