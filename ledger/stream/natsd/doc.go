// Package natsd runs a NATS server with JetStream inside this process.
//
// The idea: a ledger that needs no other program. The server keeps its stream
// in one folder, speaks to the ledger through in-memory connections and, only
// if asked, to agents through a TCP listener:
//
//	srv, err := natsd.Start(ctx, natsd.Config{Dir: "data/nats", Logger: log})
//	if err != nil { ... }
//	defer srv.Shutdown()
//	admin, err := srv.ConnectAdmin()  // creates the stream, then closes
//	nc, err := srv.Connect()          // appends and reads
//	err = srv.Listen()                // agents may come
//
// # Durability
//
// The server fsyncs every message before it acknowledges it. It refuses
// messages beyond three quarters of the disk space that was free at its start.
//
// Two servers on one folder would both acknowledge the same sequence numbers,
// so Start holds an flock on the file "lock" in the folder ([ErrLocked]). While
// the server runs, and after a run that did not end with [Server.Shutdown], the
// folder contains the file "unclean". A server opening such a store may cut off
// or remove what it cannot read, without an error: [Config.OnUnclean] is the
// moment to copy the store first, [Server.Unclean] tells it afterwards.
//
// # Who may do what
//
// There are two accounts, which share nothing but one service:
//
//	APP   the ledger. JetStream. Exports the service "intake.>" to EDGE.
//	EDGE  the agents. No JetStream. Imports "intake.>" and nothing else.
//
// Agents live apart because the server answers whoever a message names as its
// reply subject: in the ledger's account an agent could name the ledger's own
// subject and have an acknowledgement stored in the ledger. From EDGE a reply
// subject never leaves EDGE.
//
//	connection    made by        account  may
//	service       Connect        APP      everything but create, restore, change, purge and delete
//	                                      streams, and delete messages
//	admin         ConnectAdmin   APP      everything
//	agent p/a     ConnectEdge    EDGE     publish intake.<p>.<a>, subscribe to _INBOX.<p>.<a>.>
//	agent p/a     the listener   EDGE     the same
//
// "$SRV.INFO" and its like are answered in APP, where micro services live;
// agents cannot ask.
//
// An agent connects through the listener as user "<provider>/<agent>" with its
// token as password. Its replies must come to its own inbox, so it sets
//
//	nats.CustomInboxPrefix("_INBOX." + provider + "." + agent)
//
// The default inbox is refused, because a permission for it would let every
// agent read the answers to all others. Names consist of 1 to 64 of
// A-Z a-z 0-9 _ and -; all others are refused, since a name such as "*" would
// become a wildcard in a permission.
//
// An agent may name any reply subject in EDGE, also below another agent's
// inbox. What arrives there is an answer that nobody waits for; clients drop it.
//
// [Server.Disconnect] ends the connections of an agent whose token was revoked.
//
// The listener does not encrypt: outside of a trusted network it belongs behind
// something that does.
package natsd
