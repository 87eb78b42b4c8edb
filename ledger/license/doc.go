// Package license decides. It is pure: state and command in, events out.
//
//	decision, err := license.Decide(state, license.Buy{Type: "server", Quantity: 2}, facts)
//	state.Apply(entry)         // for each entry made of decision.Due, then of decision.Events
//
// [State] is all that decisions of one provider rest on; it is the fold of the
// provider's entries by [State.Apply]. A decision tries its events out on the state and takes them back: what was decided, refused or
// only tried (a dry run) shows in the state when its entry is applied, and not before.
//
// What fell due by the command's time is decided first (domain D4): ends of
// months ([events.MonthClosed]) always, the renewal or end of a license before the command touches that license. The
// rest of what is due waits for the clock, which asks for it in pages ([Settle]).
//
// A [Spool] is what decisions about reports of one agent rest on; it is apart from the
// state, so that agents by the million need not be in memory together.
//
// Refusals are values ([Refusal]) with a stable code; a refused command leaves nothing behind but what was due anyway.
package license
