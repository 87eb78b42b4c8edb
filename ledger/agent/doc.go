// Package agent is what a backup product links: it reports usage through a durable spool, and holds the lease by which
// the product knows, online or not, what it may do (domain U1 to U3, K11).
//
//	client := &api.Client{BaseURL: "https://ledger.example", Token: token}
//	a, err := agent.Open("/var/lib/backup/ledger", agent.Options{
//		Agent:     "pc-17",
//		Transport: agent.HTTP(client, "acme"),
//		Leases:    agent.EndpointLeases(client, "acme", "pc-17"),
//	})
//	defer a.Close()
//
//	if state := a.Check(); state.Backup {
//		n := backUp()
//		err = a.Report(api.Reading{Meter: "backup_bytes", Value: n})
//	}
//
// # Reporting
//
// When Report returns, the readings are on disk; from then on they are the agent's worry. It gathers them into reports of
// at most 500 for a moment (Options.Gather), numbers the reports and sends them one after the other, in order, until the ledger
// has answered that each is on its own disk. The same number always carries the same content, so a repeated report is not
// counted twice: neither kill -9, nor a ledger that dies, nor weeks without a network lose a reading or double one. What
// a program was told only half of, because it was killed within Report, it settles with a mark: [Agent.ReportMarked].
//
// A report that the ledger refuses for good holds up nothing. The agent gives its number up, with the reason, so that the
// ledger shows no gap; puts the readings that were to blame aside, where [Agent.Refused] shows them; and sends the
// others under another number. Refusals that are not the report's fault (a token, an unknown company, no network) are waited
// out: [Agent.Status] shows them.
//
// The spool takes at most Options.MaxBytes of readings. When it is full, Report refuses with [ErrFull] and keeps
// nothing of that call; nothing that it took before is dropped.
//
// # Leases
//
// The agent fetches a lease at its start and within every hour (domain K11), keeps it on disk with the keys that verify it, and
// judges it without the network: [Agent.Check]. It remembers the latest time that it has seen, so that a clock which is turned back
// by more than five minutes suspends backups. The ledger's own time settles it: a fresh lease is also a fresh start.
//
// # The folder
//
// One bbolt file, agent.db, for one agent at a time. It must not be copied to another machine, nor restored from a
// backup: both would use report numbers a second time. The agent notices when the ledger does (sequence_reused, or a number that was used
// long ago) and goes on in a new spool, but what a restored file still held may then be counted again.
// Losing the file loses what was not sent; a new one is a new spool (domain U2).
package agent
