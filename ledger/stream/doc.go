// Package stream keeps the ledger's log in a JetStream stream: [Stream] is a [ledger.Log].
//
// The stream is called LEDGER. Its messages all have the one subject
// "ledger.0", and each is one record: JSON Lines as the body, and these headers:
//
//	Nats-Expected-Last-Sequence: 41                 the append's condition
//	Ledger-Record: 01KGB5TQ0JXW7E1R8Z3S5V9M2C       the record's id
//	Ledger-Prev: 01KGB5TPZH4N6Y0K8D2T7F3QXA         the id of the record before it, empty in the first
//	Ledger-First: 1207                              the number of its first entry
//
// The ledger opens it with the connection that it works with. Only [Create]
// needs a connection that may create streams, and only a ledger without views
// and tiles may call it:
//
//	log, err := stream.Open(ctx, nc, stream.Config{Replicas: 1})
//	if errors.Is(err, stream.ErrNoStream) && newLedger {
//		log, err = stream.Create(ctx, admin, nc, stream.Config{Replicas: 1})
//	}
//
// # What is promised
//
// Append is a compare-and-swap on the number of the last message. What it
// acknowledges is on disk if the server syncs always (package natsd does), and
// on a majority of disks with several replicas. An error says [ledger.ErrConflict]
// or [ledger.ErrRefused] only where the server's code for it proves that
// nothing was added, or where the message was never sent; everything else is an
// unknown outcome. While a connection is interrupted, its client keeps what is
// published and sends it later: an append whose outcome was unknown may arrive
// long after it returned, and is then stopped by its condition alone. (With
// nats.ReconnectBufSize(-1) it is refused at once instead.) Message ids
// (Nats-Msg-Id) and their duplicate window are not used.
//
// Get and Last ask the stream's leader, never a replica: direct gets are off.
//
// With several replicas a leader that is cut off from the others goes on
// answering for ten seconds and more, from what it has, while the others may
// have another leader after four. Last believes one only if it has heard a
// majority within three seconds ([ErrNoLeader] otherwise, which passes): so
// what a decision rests on is no older than its question. A node that is cut off
// or hangs keeps its clients, too; [Watch] moves a connection to the next one.
// A new leader may, for a moment, be behind what the old one had acknowledged,
// and one that does not know yet that it is the old one may answer Get for what it does not have:
// [ledger.Config.Doubt] says how long that is not taken for a loss.
//
// Read is a pull consumer of its own, without acknowledgements, kept in the
// server's memory. The reader counts two things: the consumer's own numbering,
// whose jumps mean that messages were lost between server and reader, and the
// stream's numbering, whose jumps mean that the stream lost them. After the
// former it starts again where it was; the latter is [ledger.ErrGap]. It starts
// again after every reconnect too, and whenever, having heard nothing for a
// while, it finds that the server has delivered more than arrived, or less than
// there is. A stream that ends before a record of which this process has heard is
// a gap as well: of a block that it cannot read the server forgets the contents,
// goes on with a shorter stream, and says nothing. At most 8 MiB are
// under way to a reader at a time, however slow it is, twice that for moments.
package stream
