package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"licenseledger/ledger/api"
)

// Transport brings reports to the ledger. Its methods are called one at a time, but for Close, which may come during a Send
// whose context has ended.
type Transport interface {
	// Send hands a report over and waits for the answer. A refusal is a *api.Problem in the error's chain. Any other error
	// says nothing about what became of the report.
	Send(ctx context.Context, report api.Report) (api.ReportAnswer, error)
	Close() error
}

// deliver sends what the spool holds, one report after the other, until the agent is closed.
func (a *Agent) deliver() {
	failures := 0
	for a.ctx.Err() == nil {
		report, pause, err := a.spool.next(a.Gather, a.Now())
		if err == nil && report != nil {
			if err = a.hand(report); err == nil {
				failures = 0
				a.note(nil, 0)
				continue
			}
		}
		if a.ctx.Err() != nil {
			return
		}
		wake := a.wake
		if err != nil {
			pause = a.backoff(failures, err)
			failures++
			wake = nil // new readings do not hurry anything
			a.note(err, pause)
			a.Logger.Warn("a report did not get through", "agent", a.Agent, "err", err, "retry_in", pause)
		}
		var timer <-chan time.Time
		if pause > 0 {
			timer = time.After(pause)
		}
		select {
		case <-a.ctx.Done():
		case <-timer:
		case <-wake:
		case <-a.urge:
		}
	}
}

// note remembers how the last attempt went.
func (a *Agent) note(err error, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed, a.retry = err, time.Time{}
	if err != nil {
		a.retry = a.Now().Add(pause)
	}
}

// backoff is how long to wait after so many failures in a row, the last of which is err.
func (a *Agent) backoff(failures int, err error) time.Duration {
	longest := a.MaxBackoff
	if failures < 30 {
		longest = min(longest, a.MinBackoff<<failures)
	}
	pause := longest/2 + rand.N(longest/2+1)
	if p := asProblem(err); p != nil {
		pause = max(pause, min(p.RetryAfter, time.Hour))
	}
	return pause
}

// send makes one attempt.
func (a *Agent) send(number uint64, spool string, readings []api.Reading, void string) (api.ReportAnswer, error) {
	ctx, cancel := context.WithTimeout(a.ctx, a.Patience)
	defer cancel()
	r := api.Report{Agent: a.Agent, Spool: spool, Seq: number, Company: a.Company, Readings: readings, Void: void}
	answer, err := a.Transport.Send(ctx, r)
	if err == nil && (answer.Seq != number || answer.Status != api.ReportRecorded && answer.Status != api.ReportDuplicate) {
		err = fmt.Errorf("report %d was answered with %q of report %d", number, answer.Status, answer.Seq)
	}
	return answer, err
}

// hand brings the report that is being sent one step further: it is in the ledger, or its number is given up, or it goes on in
// another spool. An error says that this step is to be tried again.
func (a *Agent) hand(r *sealed) error {
	readings := r.Readings
	if r.Void != "" {
		readings = nil
	}
	answer, err := a.send(r.Number, r.spool, readings, r.Void)
	if err == nil {
		switch {
		case r.Void != "":
			return a.spool.setAside(a.Now())
		case answer.Status == api.ReportDuplicate && r.fresh:
			return a.recorded(r)
		}
		return a.spool.settle()
	}
	p := asProblem(err)
	switch {
	case p == nil:
		return err
	case p.Code == api.CodeSequenceReused && r.Void != "":
		// The number has other content than the reason why it is given up: it has the readings after all. An attempt that was
		// thought lost came late, when the ledger's clock had caught up with them.
		return a.spool.settle()
	case p.Code == api.CodeSequenceReused:
		return a.renew(r, "its number was used for other content")
	case p.Code == api.CodeInvalid && (r.Void != "" || blamesNumber(p)):
		return a.renew(r, "its number can neither be used nor given up")
	case p.Code == api.CodeInvalid || p.Code == api.CodeTooLarge:
		a.Logger.Error("a report was refused; its number is given up", "agent", a.Agent, "number", r.Number, "err", p)
		return a.spool.giveUp(p)
	}
	return err
}

// recorded is for a report that was answered duplicate and that only this process has sent. Either an attempt got through
// whose answer was lost, or somebody else has used the number, with a copy of this folder. The ledger compares the content of a
// spool's last reports: so the number is asked for again, with other content, which it refuses if the first content is ours.
func (a *Agent) recorded(r *sealed) error {
	_, err := a.send(r.Number, r.spool, nil, "asked whether the number is in use")
	if p := asProblem(err); p != nil && p.Code == api.CodeSequenceReused {
		return a.spool.settle()
	}
	if err != nil {
		return err
	}
	return a.renew(r, "its number was used long ago")
}

func (a *Agent) renew(r *sealed, why string) error {
	a.Logger.Error("the spool is used by another agent as well: a new one begins", "agent", a.Agent, "spool", r.spool, "number", r.Number, "why", why)
	return a.spool.renew(a.Now())
}
