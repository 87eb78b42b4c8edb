package ledger

import (
	"errors"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
)

// Command is what a front door hands in: authenticated, checked, persons replaced by pseudonyms.
type Command struct {
	// ID is door/actor/idempotency key. Ids that begin with [license.KeyedDoor] are remembered for 24 hours of the ledger's time.
	ID       string
	Provider string // empty for the ledger's own commands
	Actor    string
	// Request is the digest of the request as it came, which tells a repetition from another request with the same key; zero for what no caller asked for.
	Request events.Digest
	// Seed gives the command's ids; random.
	Seed events.Seed
	// DryRun decides and answers, and records nothing but what was due anyway.
	DryRun bool
	// NoBuy says that the caller may not buy: the command is refused if it would start a paid license (domain L14).
	NoBuy bool
	Body  license.Body
}

// Receipt is the answer to a command.
type Receipt struct {
	// Entry is the command's last entry; for a command that changed nothing, the provider's last one; 0 for a dry run.
	Entry uint64
	Time  time.Time
	// Events are what the command did, or in a dry run would have done. A repeated command answers with those of the first time.
	Events []events.Event
	// Duplicate says that the command, or the report, had been recorded before.
	Duplicate bool
	// Group says what a group action that changed nothing could not do; one that did something says it among its events.
	Group *events.GroupApplied
	// Job says what becomes of a backup job's objects, also where that is no news; of a repeated command, its events alone do.
	Job []*events.JobStarted
}

// Errors of [Sequencer.Submit], beside [*license.Refusal].
var (
	// ErrOverloaded: nothing was recorded, nor will be.
	ErrOverloaded = errors.New("the ledger takes no more commands right now")
	// ErrUnavailable: nothing was recorded, nor will be. It wraps the cause.
	ErrUnavailable = errors.New("the ledger cannot take commands now")
	// ErrOutcomeUnknown: it may have been recorded, or may still be. The same command id gives the answer.
	ErrOutcomeUnknown = errors.New("the command's outcome is not known yet")
)

// System is the ledger's own state: what entries without a provider say.
type System struct {
	Ledger    string // its id; empty before entry 0
	TestClock bool
	Catalogs  catalog.Book
	// Checkpoint is the last one that was recorded.
	Checkpoint license.Checkpointed
	Time       time.Time // of the last entry of any provider
	Next       uint64    // the number of the next entry
}

// Apply folds an entry of any provider into the ledger's state.
func (s *System) Apply(e *events.Entry) {
	s.Time, s.Next = e.Time, e.Number+1
	if e.Provider != "" {
		return
	}
	for _, ev := range e.Events {
		switch d := ev.Data.(type) {
		case *events.LedgerOpened:
			s.Ledger, s.TestClock = d.Ledger, d.TestClock
			s.Catalogs = s.Catalogs.Publish(d.Catalog, e.Number)
			s.Checkpoint = license.Checkpointed{Day: events.DateOf(e.Time), Entry: e.Number}
		case *events.CatalogPublished:
			s.Catalogs = s.Catalogs.Publish(d.Catalog, e.Number)
		case *events.CheckpointSigned:
			s.Checkpoint = license.Checkpointed{Day: events.DateOf(e.Time), Entry: e.Number}
		}
	}
}
