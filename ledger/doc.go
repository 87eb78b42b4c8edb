// Package ledger is the front door of the write side: [Sequencer.Submit] takes a
// command and answers with a receipt, or a refusal, that is true for good.
//
//	receipt, err := sequencer.Submit(ctx, ledger.Command{
//		ID: "http/operator/k1", Provider: "acme", Actor: "operator",
//		Body: license.Buy{Type: "server", Quantity: 2},
//	})
//	// receipt.Entry is the position in the log, receipt.Events what happened
//
// The sequencer is the only writer that it knows of on its [Log]. It takes all
// waiting commands, decides each against its provider's state (package license)
// and writes their entries into one record. Exactly one record is in flight;
// while it is being made durable the next one gathers, so under load records
// grow by themselves and the cost of an fsync is shared. There are no timers.
//
// Every answer travels with the record that was being gathered when it was
// decided, and is given when that record is on disk: acceptances, but refusals, duplicates
// and dry runs as well, for they too rest on entries before them. A record without entries is not
// written; that nobody else wrote in the meantime is asked of the log instead.
//
// When another writer was there first (a conflict), everything undecided for good is
// decided again: the states that own records in flight or the foreign ones touched are
// dropped and loaded again. When an acknowledgement is lost, the same bytes are
// sent again until the slot is taken, and the record's id tells by whom.
//
// With a [Journal], each record is written there while it is being appended to the log, and answers wait for
// both. A record that lost its slot, or was refused, is journalled as dropped before anybody is told. If the journal fails,
// nothing is acknowledged any more: what was in flight is [ErrOutcomeUnknown], and everything after it [ErrUnavailable].
package ledger
