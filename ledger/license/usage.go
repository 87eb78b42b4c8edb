package license

import (
	"fmt"
	"time"

	"licenseledger/events"
)

// Bounds of a reading's time (domain B5; interfaces, "A CloudEvent of usage").
const (
	MaxReadingAhead = 5 * time.Minute
	MaxReadingAge   = 12 // months
)

// Report is a report of usage, or a number that the agent gives up (domain, section 7).
type Report struct {
	Agent   string
	Spool   string
	Seq     uint64
	Company string // makes an unknown endpoint known
	// Readings are the report's, from 1 to 500; none where the number is void.
	Readings []events.Reading
	Void     string // the reason, where the number is given up
	// Digest is of the readings or the reason; the front door computes it, on its own time. Of readings it may leave what that took it to print.
	Digest  events.ReportDigest
	Printed []byte
}

// Check refuses what no state could make valid. Front doors call it before Submit; decisions rely on it.
func (c *Report) Check() error {
	if err := events.CheckName(c.Agent); err != nil {
		return invalid("agent", "%v", err)
	}
	if c.Spool != "" {
		if err := events.CheckName(c.Spool); err != nil {
			return invalid("spool", "%v", err)
		}
	}
	if c.Seq == 0 {
		return invalid("seq", "reports are numbered from 1")
	}
	if c.Company != "" {
		if err := events.CheckName(c.Company); err != nil {
			return invalid("company", "%v", err)
		}
	}
	if c.Void != "" {
		if len(c.Readings) > 0 {
			return invalid("void", "a number that is given up has no readings")
		}
		return text("void", c.Void)
	}
	if len(c.Readings) == 0 || len(c.Readings) > events.MaxReadings {
		return invalid("readings", "a report has 1 to %d readings", events.MaxReadings)
	}
	for i := range c.Readings {
		if err := events.CheckMeter(c.Readings[i].Meter); err != nil {
			return invalid(fmt.Sprintf("readings[%d].meter", i), "%v", err)
		}
	}
	return nil
}

func (c Report) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	duplicate, err := d.Spool.Check(c.Seq, c.Digest)
	if err != nil || duplicate {
		d.duplicate = duplicate
		return err
	}
	oldest := (events.MonthOf(d.Now) - MaxReadingAge).Start()
	for i := range c.Readings {
		switch at := c.Readings[i].At; {
		case at.Sub(d.Now) > MaxReadingAhead:
			return invalid(fmt.Sprintf("readings[%d].at", i), "%s is in the future; the ledger's clock says %s", events.FormatTime(at), events.FormatTime(d.Now))
		case at.Before(oldest):
			return invalid(fmt.Sprintf("readings[%d].at", i), "%s is more than %d months ago", events.FormatTime(at), MaxReadingAge)
		}
	}
	endpoint, ok := d.state.Endpoint(c.Agent)
	if !ok {
		if c.Company == "" {
			return refuse(NotFound, "endpoint %q is unknown, and the report names no company that it belongs to", c.Agent)
		}
		if _, err := d.company(c.Company); err != nil {
			return err
		}
		endpoint = &events.EndpointSet{Endpoint: c.Agent, Company: c.Company, Name: c.Agent}
		d.emit(endpoint)
	}
	if c.Void != "" {
		d.emit(&events.UsageVoided{Agent: c.Agent, Spool: c.Spool, Seq: c.Seq, Reason: c.Void, Digest: c.Digest})
		return nil
	}
	d.emit(&events.UsageRecorded{
		Agent: c.Agent, Spool: c.Spool, Seq: c.Seq, Company: endpoint.Company, Digest: c.Digest, Readings: c.Readings, Printed: c.Printed,
	})
	return nil
}
