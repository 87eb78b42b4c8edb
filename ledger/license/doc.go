// Package license decides. It is pure: state and command in, events out.
//
//	decision, err := license.Decide(state, license.Buy{Type: "server", Quantity: 2}, facts)
//	next := decision.State     // the state after decision.Due and decision.Events
//
// [State] is all that decisions of one provider rest on; it is the fold of the
// provider's entries by [State.Apply]. Forking a state is cheap (its maps are
// persistent), so a decision works on a fork and the caller keeps it or lets it go: dry runs, refusals and conflicts need no undo.
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
