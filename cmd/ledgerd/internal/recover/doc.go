// Package recover brings the copies of a ledger's log together: the stream, which may lose what it acknowledged without a word,
// the audit tiles, which hold all entries once more but for the newest, and the tail journal, which holds those.
//
// [Open] compares them when the ledger starts, before anything is served:
//
//	tail, err := recover.Open(ctx, recover.Config{Log: log, Dir: "data/journal", Tiles: tiles, Size: 1207, ...})
//	// err: the stream has lost what cannot be put back here, or the copies contradict each other
//	// tail: the journal, for the sequencer to go on with
//
// Records are chained by their ids, and that decides. Journalled records that continue the stream's chain are appended to
// it again, in order, under their old ids: whether they were acknowledged or only on their way, they come to stand
// where they were to stand. A record that was dropped, or that no later journalled record continues, is not. Records that the journal misses are
// written to it. Where the chain is broken on both sides, nothing is changed: [ErrNeither].
package recover
