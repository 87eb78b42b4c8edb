package license

import (
	"fmt"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// Open makes entry 0 of a ledger. On a ledger that is open it changes nothing.
type Open struct {
	Ledger    string // its id
	TestClock bool
}

func (c Open) decide(d *decider) error {
	if d.Opened {
		return nil
	}
	catalogs := catalog.Default()
	d.emit(&events.LedgerOpened{Ledger: c.Ledger, TestClock: c.TestClock, Catalog: catalogs[0]})
	for _, c := range catalogs[1:] {
		d.emit(&events.CatalogPublished{Catalog: c})
	}
	return nil
}

// PublishCatalog puts a catalog in force from a month that has not begun (domain C1).
type PublishCatalog struct{ Catalog events.Catalog }

func (c PublishCatalog) decide(d *decider) error {
	full := catalog.Fill(c.Catalog)
	if problems := d.Catalogs.Check(full, d.Now); len(problems) > 0 {
		return &Refusal{Code: Invalid, Message: "the catalog cannot be published: " + problems.Error(), Problems: problems}
	}
	d.emit(&events.CatalogPublished{Catalog: full})
	return nil
}

// MoveClock records that a test clock stands at To, which is the time of this very decision.
type MoveClock struct{ To time.Time }

func (c MoveClock) decide(d *decider) error {
	d.emit(&events.ClockMoved{To: c.To})
	return nil
}

// Checkpointed says when a checkpoint was recorded last; of a ledger without one, when it was opened.
type Checkpointed struct {
	Day   events.Date `json:"day"`
	Entry uint64      `json:"entry"`
}

// RecordCheckpoint keeps a signed checkpoint in the log: one a day, on the first that something else has come since.
type RecordCheckpoint struct{ events.CheckpointSigned }

func (c RecordCheckpoint) decide(d *decider) error {
	if events.DateOf(d.Now) <= d.Checkpoint.Day || c.Size <= d.Checkpoint.Entry+1 {
		return nil // recorded before, by this clock or another; or there is nothing new to sign
	}
	d.emit(&c.CheckpointSigned)
	return nil
}

// IssueStatement makes a statement final that the invoices view computed (domain B6). Its number is given here.
type IssueStatement struct{ events.StatementIssued }

func (c IssueStatement) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	a := d.state.account
	if c.Month >= a.Open {
		return invalid("month", "%s is not closed", c.Month)
	}
	if a.Issued >= c.Month {
		return nil // issued before, by this clock or another
	}
	issued := c.StatementIssued
	issued.Number = StatementNumber(a.Statements + 1)
	d.emit(&issued)
	return nil
}

// StatementNumber is the number of a provider's nth statement, from 1 (domain B2).
func StatementNumber(n int) string { return fmt.Sprintf("S-%06d", n) }
