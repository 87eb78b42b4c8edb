// Package projections turns the stream of records into views: files of rows
// that answer questions and can be thrown away at any time.
//
// A [View] says what its rows are. [Open] gives it a [Store], one bbolt file
// DIR/<name>.db. [Follow] reads the stream once for all stores, decodes each
// record once and hands its entries to every view, each in a goroutine of its
// own. A view writes its rows and its position in the same transaction, so it
// continues exactly where it stood, however the process ended:
//
//	store, err := projections.Open(dir, usage.View{})
//	...
//	go projections.Follow(ctx, log, projections.Options{}, store)
//	err = store.Wait(ctx, receipt.Position) // the receipt's entry is visible
//	err = store.Read(ctx, func(tx *bbolt.Tx, next uint64) error {
//		rows, cursor, err = usage.View{}.Rows(tx, query)
//		return err
//	})
//
// # Position
//
// A view's position is a count: [Store.Next] is the number of the next entry to
// apply, 0 for an empty view. Beside it the file keeps the ledger's id and the
// sequence, id and SHA-256 of the last record, in a bucket that is no part of
// the view's rows ([MetaBucket]). When following starts, the record at the
// position is read again and compared: a file of another ledger, or of another
// history of the same one, is a [RefusedError]. From there on every record must
// continue the one before (sequence, chained ids, entry numbers). Records that
// were applied before are skipped.
//
// # Errors
//
// A gap, an unknown kind, a foreign record, an error or a panic of the view
// stops that view for good ([StoppedError], kept in [Store.Err] and logged
// once); the others go on. Errors of the source are retried unless
// [Options].Fatal says that they will not pass. A rebuild is [Remove] and the
// same code from entry 0.
//
// # Slow views
//
// Queues between the reader and the views are bounded in bytes of record
// bodies. When one is full, the reader waits as long as no other view has run
// dry; then the slow view is left behind and gets a reader of its own, until it
// has caught up and joins the others again.
//
// # Durability
//
// Transactions are fsynced. They hold whole records, many of them while a view
// catches up. When nothing more is queued a view commits at most every 50 ms, less often
// (but every half second) where commits take long, so that they stay a tenth of the work;
// and at once when somebody waits in [Store.Wait] for what it has applied. A view whose commits are dear says so itself ([Pacer]).
//
// # Bytes
//
// Views see decoded entries. One that needs the bytes as they were appended has batches that are a [Recorder].
package projections
