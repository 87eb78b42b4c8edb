package notices

import (
	"fmt"
	"strings"
	"time"

	"licenseledger/events"
)

// Notices of money.
const (
	statementIssued      = "statement-issued"
	paymentCollected     = "payment-collected"
	paymentFailed        = "payment-failed"
	paymentMethodMissing = "payment-method-missing"
	correction           = "correction"
)

// payments tells of statements, of corrections (domain B5), of what became of charges (domain L10), and of a payment method that is missed.
func (p *provider) payments(m moment, d events.Data) error {
	switch d := d.(type) {
	case *events.PaymentMethodSet:
		p.account.Pays, p.account.Removed = true, time.Time{}
		return p.askForMethod(m)
	case *events.PaymentMethodRemoved:
		p.account.Pays, p.account.Removed = false, m.at
		return p.askForMethod(m)
	case *events.MonthClosed:
		p.account.Removed = time.Time{} // what was paid expires now
		return p.askForMethod(m)
	case *events.StatementIssued:
		total := d.Total.String()
		if err := p.tx.Bucket(bucketTotals).Put(p.slot(d.Number), []byte(total)); err != nil {
			return fmt.Errorf("write %s: %w", bucketTotals, err)
		}
		return p.news(m, statementIssued+" "+d.Number, Notice{
			Kind: statementIssued, Invoice: d.Number, Month: d.Month, Amount: total, Currency: d.Currency,
		}, nil)
	case *events.AdjustmentRecorded:
		return p.news(m, fmt.Sprintf("%s %d.%d", correction, m.entry, m.event), Notice{
			Kind: correction, Company: d.Company, License: d.License, Type: d.LicenseType, Month: d.Month, Amount: d.Amount.String(), Currency: p.account.Currency, Why: d.Reason,
		}, nil)
	case *events.GraceSettled:
		if ends := p.account.GraceEnds; !ends.IsZero() && !ends.After(m.at) {
			p.account.Lapsed = true // also where nothing was paid that could expire
		}
	case *events.PaymentRecorded:
		if d.Outcome == events.Failed {
			if isPrepaid(d.Invoice) {
				return nil // what becomes of the key tells
			}
			return p.fail(m, d)
		}
		return p.collect(m, d)
	}
	return nil
}

func (p *provider) fail(m moment, d *events.PaymentRecorded) error {
	slot := paymentFailed + " " + d.Invoice
	_, again, err := p.find(slot)
	if err != nil {
		return err
	}
	if !again {
		p.account.Failed++
	}
	if !d.GraceEnds.IsZero() {
		p.account.GraceEnds = d.GraceEnds
	}
	n := p.ofInvoice(paymentFailed, d)
	n.Until, n.Why = p.account.GraceEnds, d.Reason
	return p.stand(m, slot, n)
}

func (p *provider) collect(m moment, d *events.PaymentRecorded) error {
	slot := paymentFailed + " " + d.Invoice
	_, failed, err := p.find(slot)
	if err != nil {
		return err
	}
	if failed {
		if err := p.resolve(slot); err != nil {
			return err
		}
		if p.account.Failed--; p.account.Failed == 0 {
			p.account.GraceEnds, p.account.Lapsed = time.Time{}, false
		}
	}
	return p.news(m, paymentCollected+" "+d.Invoice, p.ofInvoice(paymentCollected, d), nil)
}

func (p *provider) ofInvoice(kind string, d *events.PaymentRecorded) Notice {
	return Notice{
		Kind: kind, Invoice: d.Invoice, Amount: string(p.tx.Bucket(bucketTotals).Get(p.slot(d.Invoice))), Currency: p.account.Currency,
	}
}

// askForMethod asks for a payment method while one is missed: trials would end, or what is paid expires with the month (domain L2, L9).
func (p *provider) askForMethod(m moment) error {
	a := &p.account
	if a.Pays || a.Removed.IsZero() && a.Converting == 0 {
		return p.resolve(paymentMethodMissing)
	}
	return p.stand(m, paymentMethodMissing, Notice{Kind: paymentMethodMissing})
}

func sayStatementIssued(n *Notice, _ string) (bool, string) {
	return true, "Statement " + n.Invoice + " for " + month(n.Month) + " was issued: " + n.Amount + " " + n.Currency + "."
}

// sayCorrection tells of a corrected month (domain B5).
func sayCorrection(n *Notice, _ string) (bool, string) {
	text := month(n.Month) + n.of() + " was corrected by " + n.Amount + " " + n.Currency + ": " + n.Why + ". The next statement says what becomes of it."
	return strings.HasPrefix(n.Amount, "-"), text
}

func sayPaymentCollected(n *Notice, _ string) (bool, string) {
	return true, n.charge() + " was collected."
}

func sayPaymentFailed(n *Notice, _ string) (bool, string) {
	text := n.charge() + " failed"
	if n.Why != "" {
		text += " (" + n.Why + ")"
	}
	if n.account.Lapsed {
		return false, text + " and was not collected by " + instant(n.Until) + ": all paid licenses expired. They come back if it is collected in the month in which they did."
	}
	return false, text + ". Unless it is collected by " + instant(n.Until) + ", all paid licenses expire; until then no new ones can be bought."
}

func sayPaymentMethodMissing(n *Notice, _ string) (bool, string) {
	text := "There is no payment method."
	if n.account.Converting > 0 {
		text += " Trials that end become paid licenses only if there is one."
	}
	if at := n.account.Removed; !at.IsZero() {
		text += " Without one all paid licenses expire on " + instant(events.MonthOf(at).End()) + "."
	}
	return false, text
}

// charge names the charge of an invoice; of one that the view has not seen, its number alone.
func (n *Notice) charge() string {
	text := "The charge of invoice " + n.Invoice
	if n.Amount != "" {
		text += ", " + n.Amount + " " + n.Currency + ","
	}
	return text
}
