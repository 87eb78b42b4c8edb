package notices

import (
	"strings"

	"licenseledger/events"
)

// Notices of licenses.
const (
	trialStarted       = "trial-started"
	trialEnding        = "trial-ending"
	trialConverted     = "trial-converted"
	trialExpired       = "trial-expired"
	licensesExpired    = "licenses-expired"
	licensesReinstated = "licenses-reinstated"
)

// licenses tells of trials (domain L1, L2) and of what runs out or comes back (domain L8, L9, L10).
func (p *provider) licenses(m moment, d events.Data) error {
	l := events.LicenseAfter(d)
	if l == nil {
		return nil
	}
	slot := trialEnding + " " + l.ID
	switch d := d.(type) {
	case *events.LicenseTrialStarted:
		n := ofLicense(trialStarted, l)
		n.Until = l.ExpiresAt
		return p.together(m, n)
	case *events.LicenseTrialEnding:
		return p.announce(m, slot, d)
	case *events.LicenseConverted:
		if err := p.endTrial(m, slot); err != nil {
			return err
		}
		return p.together(m, ofLicense(trialConverted, l))
	case *events.LicenseExpired:
		return p.expire(m, slot, d)
	case *events.LicenseReinstated:
		return p.together(m, ofLicense(licensesReinstated, l))
	}
	switch {
	case !l.Trialed:
		return nil // most are not, and need not be looked for
	case l.Status != events.Trial:
		return p.endTrial(m, slot)
	}
	n, ok, err := p.find(slot)
	if err != nil || !ok {
		return err
	}
	n.Company, n.AutoRenew = l.Company, l.AutoRenew
	if err := p.stand(m, slot, n); err != nil {
		return err
	}
	return p.askForMethod(m)
}

func (p *provider) announce(m moment, slot string, d *events.LicenseTrialEnding) error {
	l := &d.License
	n := ofLicense(trialEnding, l)
	n.Until, n.AutoRenew = l.ExpiresAt, l.AutoRenew
	n.Price, n.Amount, n.Currency = d.Price.String(), d.Charge.String(), d.Currency
	t, err := p.typeIn(events.MonthOf(l.ExpiresAt), l.Type)
	if err != nil {
		return err
	}
	n.Closed = t.Closed
	if err := p.stand(m, slot, n); err != nil {
		return err
	}
	return p.askForMethod(m)
}

// endTrial takes back the announcement of a trial's end.
func (p *provider) endTrial(m moment, slot string) error {
	if err := p.resolve(slot); err != nil {
		return err
	}
	return p.askForMethod(m)
}

func (p *provider) expire(m moment, slot string, d *events.LicenseExpired) error {
	n := ofLicense(licensesExpired, &d.License)
	n.Why = string(d.Reason)
	if d.License.Trialed {
		// A trial's end was announced before; of a paid license that began as a trial there is no announcement any more.
		_, trial, err := p.find(slot)
		if err != nil {
			return err
		}
		if trial {
			if err := p.endTrial(m, slot); err != nil {
				return err
			}
			n.Kind = trialExpired
		}
	}
	switch d.Reason {
	case events.ParentEnded:
		return nil // what they belong to is told of
	case events.PaymentFailed:
		p.account.Lapsed = true
	}
	return p.together(m, n)
}

// together tells of what happened to a license, in one notice with others of its type and company to which the same happened on that day.
func (p *provider) together(m moment, n Notice) error {
	slot := strings.Join([]string{n.Kind, events.DateOf(m.at).String(), n.Company, n.Type, n.Why}, " ")
	return p.news(m, slot, n, func(was, _ Notice) Notice {
		if was.Count == 0 {
			was.Count = 1
		}
		was.Count++
		was.License, was.Assignee, was.Until = "", events.Assignee{}, n.Until
		return was
	})
}

func ofLicense(kind string, l *events.License) Notice {
	company := l.Company
	if company == "" {
		company = l.Pool
	}
	return Notice{Kind: kind, Company: company, License: l.ID, Type: l.Type, Assignee: l.Assignee}
}

// count keeps the number of announced trials that a payment method would let go on.
func (p *provider) count(n *Notice, by int) {
	if n.Kind == trialEnding && n.AutoRenew && !n.Closed {
		p.account.Converting += by
	}
}

func sayTrialStarted(n *Notice, who string) (bool, string) {
	if n.Count > 0 {
		return true, n.several("trial", "trials") + " began."
	}
	return true, "The trial of " + n.one(who) + " began; it ends on " + instant(n.Until) + "."
}

func sayTrialEnding(n *Notice, who string) (bool, string) {
	text := "The trial of " + n.one(who) + " ends on " + instant(n.Until)
	price := n.Price + " " + n.Currency + " a month"
	switch {
	case !n.AutoRenew:
		return false, text + ", and the license with it: auto-renew is off."
	case n.Closed:
		return false, text + ", and the license with it: " + n.Type + " is no longer sold."
	case !n.account.Pays:
		return false, text + ", and the license with it, unless there is a payment method by then; it would cost " + price + "."
	case n.account.Failed > 0:
		return false, text + ", and the license with it, unless what is owed has been collected by then; it would cost " + price + "."
	}
	return true, text + ". From then on the license costs " + price + "; that makes " + n.Amount + " " + n.Currency + " for the rest of " + month(events.MonthOf(n.Until)) + "."
}

func sayTrialConverted(n *Notice, who string) (bool, string) {
	if n.Count > 0 {
		return true, n.several("trial", "trials") + " became paid licenses."
	}
	return true, "The trial of " + n.one(who) + " became a paid license."
}

func sayTrialExpired(n *Notice, who string) (bool, string) {
	if n.Count > 0 {
		return false, n.several("trial", "trials") + " ended without becoming paid: " + why(n.Why) + "."
	}
	return false, "The trial of " + n.one(who) + " ended without becoming paid: " + why(n.Why) + "."
}

func sayLicensesExpired(n *Notice, who string) (bool, string) {
	if n.Count > 0 {
		return false, n.several("license", "licenses") + " expired: " + why(n.Why) + "."
	}
	return false, "The license " + n.one(who) + " expired: " + why(n.Why) + "."
}

func sayLicensesReinstated(n *Notice, who string) (bool, string) {
	if n.Count > 0 {
		return true, n.several("license", "licenses") + " came back: the charge was collected."
	}
	return true, "The license " + n.one(who) + " came back: the charge was collected."
}

// why says why something ran out.
func why(reason string) string {
	switch events.ExpiryReason(reason) {
	case events.AutoRenewOff:
		return "auto-renew was off"
	case events.NoPaymentMethod:
		return "there was no payment method to charge"
	case events.PaymentFailed:
		return "a charge failed and was not collected in time"
	case events.TypeClosed:
		return "its type is no longer sold"
	}
	return reason
}
