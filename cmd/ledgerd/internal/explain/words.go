package explain

import (
	"fmt"
	"strings"

	"licenseledger/events"
)

// Names gives the id that a caller knows to whom a license serves: of people the log has pseudonyms. nil leaves them as they are.
type Names func(a events.Assignee) string

func (n Names) of(a events.Assignee) string {
	id := a.ID
	if n != nil {
		id = n(a)
	}
	return strings.ReplaceAll(string(a.Kind), "-", " ") + " " + id
}

// serving says whom a license serves: "endpoint pc-17 of globex".
func (n Names) serving(l *events.License) string {
	text := n.of(l.Assignee)
	if l.Company != "" {
		text += " of " + l.Company
	}
	return text
}

// words says in plain words what an event is about; a kind that nothing is said of speaks for itself.
func (n Names) words(d events.Data) string {
	switch d := d.(type) {
	case *events.LicenseBought:
		return fmt.Sprintf("a %s license was bought into %s", d.License.Type, pool(&d.License))
	case *events.LicenseAllocated:
		return fmt.Sprintf("the %s license began to serve %s (%s)", d.License.Type, n.serving(&d.License), source(d))
	case *events.LicenseTrialStarted:
		return fmt.Sprintf("a trial of %s began for %s, until %s", d.License.Type, n.serving(&d.License), events.FormatTime(d.License.ExpiresAt))
	case *events.LicenseConverted:
		return fmt.Sprintf("the trial ended and %s is paid from then on", d.License.Type)
	case *events.LicenseTrialEnding:
		if !d.WillConvert {
			return fmt.Sprintf("the end of the trial was announced; it would not go on, %s %s a month otherwise", d.Price, d.Currency)
		}
		return fmt.Sprintf("the end of the trial was announced: then %s %s a month, %s for the rest of that month", d.Price, d.Currency, d.Charge)
	case *events.LicenseUnassigned:
		return fmt.Sprintf("the license went back to %s: still paid, serving nobody", pool(&d.License))
	case *events.LicenseReplaced:
		return "another license serves in its place: " + d.By
	case *events.LicenseChanged:
		return fmt.Sprintf("changed to %s, in the place of license %s", d.License.Type, d.From)
	case *events.LicenseAutoRenewSet:
		if d.License.AutoRenew {
			return "auto-renewal was switched on"
		}
		return "auto-renewal was switched off: valid until " + events.LastDateBefore(d.License.ExpiresAt).String()
	case *events.LicenseMoved:
		return "it followed its endpoint to company " + d.License.Company
	case *events.LicenseReinstated:
		return "the charge was collected after all: the license is in force again"
	case *events.LicenseReleased:
		return "the license was released; that day is still billed"
	case *events.LicenseRenewed:
		return "renewed until " + events.LastDateBefore(d.License.ExpiresAt).String()
	case *events.LicenseExpired:
		return "the license expired: " + expiry(d.Reason)
	case *events.UsageRecorded:
		return fmt.Sprintf("report %d of %s: %d readings", d.Seq, d.Agent, len(d.Readings))
	case *events.UsageVoided:
		return fmt.Sprintf("report %d of %s was given up: %s", d.Seq, d.Agent, d.Reason)
	case *events.AdjustmentRecorded:
		return fmt.Sprintf("%s was corrected by %s: %s", d.Month, d.Amount, d.Reason)
	case *events.PaymentRecorded:
		return fmt.Sprintf("the charge of %s was %s", d.Invoice, d.Outcome)
	case *events.MonthClosed:
		return d.Month.String() + " was closed"
	case *events.StatementIssued:
		return fmt.Sprintf("statement %s of %s was issued: %s %s", d.Number, d.Month, d.Total, d.Currency)
	case *events.PrepaidIssued:
		return fmt.Sprintf("prepaid invoice %s was issued: %s %s", d.Number, d.Amount, d.Currency)
	case *events.CompanySet:
		if len(d.Metered) > 0 {
			return fmt.Sprintf("company %s is metered for %s", d.Company, strings.Join(d.Metered, ", "))
		}
		return "company " + d.Company + " was set"
	}
	if text := wordsOfKeys(d); text != "" {
		return text
	}
	return d.Kind()
}

// wordsOfKeys is words for what is about annual keys; empty for all else.
func wordsOfKeys(d events.Data) string {
	switch d := d.(type) {
	case *events.KeyOrdered:
		return fmt.Sprintf("a key of %d seats was ordered", d.Key.Seats)
	case *events.KeyActivated:
		return "the key was activated on " + d.Instance + ", valid until " + events.LastDateBefore(d.Key.ExpiresAt).String()
	case *events.KeySeatsAdded:
		return fmt.Sprintf("%d seats were added, %d in all", d.Added, d.Key.Seats)
	case *events.KeyRenewed:
		if d.Key.RenewedFor > 0 {
			return fmt.Sprintf("a further year with %d seats was bought, from %s on", d.Key.RenewedFor, events.FormatTime(d.Key.ExpiresAt))
		}
		return fmt.Sprintf("renewed with %d seats until %s", d.Key.Seats, events.LastDateBefore(d.Key.ExpiresAt))
	case *events.KeyTermBegan:
		return fmt.Sprintf("the further year began, with %d seats", d.Key.Seats)
	case *events.KeyExpired:
		return "the key expired"
	case *events.KeyChargeFailed:
		return fmt.Sprintf("the charge of %s failed: the key is suspended at %s unless that is collected", d.Invoice, events.FormatTime(d.Key.SuspendAt))
	case *events.KeyChargeCollected:
		return fmt.Sprintf("the charge of %s was collected after all", d.Invoice)
	case *events.KeySuspended:
		return "the key was suspended: an invoice was not collected in time"
	case *events.KeyConverted:
		return fmt.Sprintf("converted from %d mailboxes and %d bytes of public folders to %d seats", d.Mailboxes, d.PublicFolderBytes, d.Key.Seats)
	case *events.JobStarted:
		return fmt.Sprintf("job %s started on %s", d.Job, d.Instance)
	case *events.JobRemoved:
		return fmt.Sprintf("job %s was removed from %s", d.Job, d.Instance)
	case *events.SeatReleased:
		return "seat " + d.Seat + " was released"
	case *events.InstanceTrialStarted:
		return fmt.Sprintf("the trial of instance %s began, until %s", d.Instance, events.FormatTime(d.EndsAt))
	}
	return ""
}

func pool(l *events.License) string {
	if l.Pool == "" {
		return "the global pool"
	}
	return "the pool of " + l.Pool
}

func source(d *events.LicenseAllocated) string {
	switch d.Source {
	case events.FromCompanyPool:
		return "from the company's pool"
	case events.FromGlobalPool:
		return "from the global pool"
	case events.BoughtOnTheSpot:
		return "bought on the spot"
	case events.Renewed:
		return "following license " + d.Follows
	}
	return "by its id"
}

func expiry(why events.ExpiryReason) string {
	switch why {
	case events.AutoRenewOff:
		return "auto-renewal was off"
	case events.NoPaymentMethod:
		return "there was no payment method"
	case events.PaymentFailed:
		return "a charge was not collected in time"
	case events.TypeClosed:
		return "its type is no longer sold"
	case events.ParentEnded:
		return "the license that it depends on had ended"
	}
	return string(why)
}
