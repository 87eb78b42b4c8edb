package main

import (
	"context"
	"errors"
	"fmt"

	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
)

// reportThrough reports readings through the spool in a folder, as a backup product does: they are on disk before anything is
// sent, the spool numbers the reports, and what cannot be sent now is sent by the next command with that folder.
func (c *cli) reportThrough(ctx context.Context, dir string, report api.Report) (err error) {
	a, err := agent.Open(dir, agent.Options{
		Agent: report.Agent, Company: report.Company, Transport: agent.HTTP(c.Client, c.provider), Gather: -1,
	})
	if err != nil {
		return &usageError{text: err.Error()}
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Report(report.Readings...); err != nil {
		if errors.Is(err, agent.ErrFull) {
			return &hintedError{err, "nothing of this was kept; what waits is sent when the ledger can be reached"}
		}
		return &usageError{text: err.Error()}
	}
	// What waited, or has just been reported, may be sent already.
	if s := a.Status(); len(report.Readings) == 0 && s.Found == 0 && s.Refused == 0 {
		_, err := fmt.Fprintln(c.stderr, "nothing waits in", printable(dir))
		return err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := a.Flush(ctx); err != nil {
		s := a.Status()
		hint := fmt.Sprintf("%d readings are kept in %s: the next command with that folder sends them", s.Waiting, dir)
		if s.Err != nil {
			err = s.Err // that it took too long says less
		}
		return &hintedError{err, hint}
	}
	return c.printSpooled(a)
}

// printSpooled prints what became of a spool that is empty now. What was refused was told then, and is forgotten.
func (c *cli) printSpooled(a *agent.Agent) error {
	refused, err := a.Refused()
	if err != nil {
		return err
	}
	readings := 0
	for i, r := range refused {
		readings += len(r.Readings)
		told := reported{Agent: a.Agent, Spool: r.Spool, Seq: r.Number, Status: api.ReportRefused, Code: r.Problem.Code, Errors: r.Problem.Errors}
		_, told.Detail = problemText(r.Problem)
		if err := c.printReport(told, i == 0); err != nil {
			return err
		}
		if err := a.Forget(r.ID); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		return &refusedError{fmt.Sprintf("%d readings", readings)}
	}
	s := a.Status()
	return c.printReport(reported{Agent: a.Agent, Spool: s.Spool, Seq: s.Next - 1, Status: api.ReportRecorded}, true)
}
