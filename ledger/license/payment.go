package license

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Grace is how long paid licenses go on after the first recorded failure of a charge (domain L10).
const Grace = 7 * 24 * time.Hour

// RecordPayment says what became of a statement's charge (domain L10), or of a prepaid invoice's (domain K1).
type RecordPayment struct {
	Invoice string
	Outcome events.Outcome
	Reason  string
}

func (c RecordPayment) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if c.Outcome != events.Collected && c.Outcome != events.Failed {
		return invalid("outcome", "collected or failed")
	}
	if err := text("reason", c.Reason); err != nil {
		return err
	}
	if IsPrepaid(c.Invoice) {
		return d.payKey(c)
	}
	a := &d.state.account
	if n, ok := statementNumber(c.Invoice); !ok || n > a.Statements {
		return refuse(NotFound, "provider %q has no invoice %.40q", d.Provider, c.Invoice)
	}
	d.settleAll()
	before, known := a.Outcomes[c.Invoice]
	switch {
	case known && before == events.Collected && c.Outcome == events.Collected:
		return nil
	case known && before == events.Collected:
		return invalid("outcome", "invoice %s has been collected", c.Invoice)
	}
	recorded := &events.PaymentRecorded{Invoice: c.Invoice, Outcome: c.Outcome, Reason: c.Reason}
	if c.Outcome == events.Failed && a.GraceEnds.IsZero() {
		recorded.GraceEnds = d.Now.Add(Grace) // retries do not start it again
	}
	d.emit(recorded)
	return nil
}

// statementNumber reads "S-000001".
func statementNumber(s string) (int, bool) {
	var n int
	if _, err := fmt.Sscanf(s, "S-%d", &n); err != nil || n < 1 || StatementNumber(n) != s {
		return 0, false
	}
	return n, true
}

// MaxAdjustment is more than any correction comes to.
const MaxAdjustment = 1_000_000_000_000

// Adjust corrects what a closed month came to (domain B5).
type Adjust struct {
	Month   events.Month
	Company string
	Type    string
	License string
	Amount  events.Money // negative: a credit
	Reason  string
}

func (c Adjust) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	a := &d.state.account
	switch {
	case strings.TrimSpace(c.Reason) == "":
		return invalid("reason", "a correction needs a reason")
	case len(c.Reason) > events.MaxTextLength || !utf8.ValidString(c.Reason):
		return invalid("reason", "at most %d bytes of UTF-8", events.MaxTextLength)
	case c.Month >= a.Open:
		return invalid("month", "%s is not closed: what is wrong in it can be put right by commands", c.Month)
	case c.Month < events.MonthOf(a.Created):
		return invalid("month", "provider %q did not exist in %s", d.Provider, c.Month)
	case c.Amount.IsZero() || !c.Amount.Round(2).Equal(c.Amount.Decimal) || c.Amount.Abs().GreaterThanOrEqual(decimal.NewFromInt(MaxAdjustment)):
		return invalid("amount", "an amount other than 0, in whole cents, below %d", MaxAdjustment)
	}
	if c.Company != "" {
		if _, err := d.company(c.Company); err != nil {
			return err
		}
	}
	if c.License != "" {
		l, ok := d.state.License(c.License)
		if !ok {
			return refuse(NotFound, "provider %q has no license %.40q", d.Provider, c.License)
		}
		if c.Type == "" {
			c.Type = l.Type
		}
		if c.Type != l.Type {
			return invalid("license_type", "license %s is of type %s", l.ID, l.Type)
		}
		if c.Company == "" {
			c.Company = l.Company
		}
	}
	if _, ok := d.Catalogs.Type(c.Month, c.Type); c.Type != "" && !ok {
		return invalid("license_type", "the catalog of %s has no license type %q", c.Month, c.Type)
	}
	d.emit(&events.AdjustmentRecorded{
		Month: c.Month, Company: c.Company, LicenseType: c.Type, License: c.License, Amount: c.Amount, Reason: c.Reason,
	})
	return nil
}
