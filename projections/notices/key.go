package notices

import (
	"fmt"
	"strings"

	"licenseledger/events"
)

// Notices of annual keys.
const (
	prepaidIssued = "prepaid-issued"
	seatsMissing  = "seats-missing"
	keyExpired    = "key-expired"
	keyUnpaid     = "key-unpaid"
)

// maxObjects bounds the skipped objects that a notice names.
const maxObjects = 10

// isPrepaid says whether an invoice is a key's: its outcome concerns the key alone (domain K1).
func isPrepaid(invoice string) bool { return strings.HasPrefix(invoice, "P-") }

// keys tells of prepaid invoices, of keys that have ended or were not paid (domain K1, K9), and of jobs whose objects lack seats, as long as
// they do (domain K5).
func (p *provider) keys(m moment, d events.Data) error {
	switch d := d.(type) {
	case *events.PrepaidIssued:
		total := d.Amount.String()
		if err := p.tx.Bucket(bucketTotals).Put(p.slot(d.Number), []byte(total)); err != nil {
			return fmt.Errorf("write %s: %w", bucketTotals, err)
		}
		return p.news(m, prepaidIssued+" "+d.Number, Notice{
			Kind: prepaidIssued, Company: d.Company, Type: d.LicenseType, Key: d.Key, Count: d.Seats, Invoice: d.Number, Amount: total, Currency: d.Currency, Why: string(d.For),
		}, nil)
	case *events.JobStarted:
		return p.skipped(m, d)
	case *events.JobRemoved:
		return p.resolve(slotOfJob(d.Key, d.Instance, d.Job))
	case *events.KeyExpired:
		return p.stand(m, keyExpired+" "+d.Key.ID, Notice{Kind: keyExpired, Company: d.Key.Company, Type: d.Key.Type, Key: d.Key.ID, Until: d.Key.ExpiresAt})
	case *events.KeyRenewed:
		return p.resolve(keyExpired + " " + d.Key.ID)
	case *events.KeyChargeFailed:
		return p.unpaid(m, d.Invoice, &d.Key)
	case *events.KeySuspended:
		return p.unpaid(m, "", &d.Key)
	case *events.KeyChargeCollected:
		if d.Key.SuspendAt.IsZero() {
			return p.resolve(keyUnpaid + " " + d.Key.ID)
		}
		return p.unpaid(m, "", &d.Key)
	}
	return nil
}

// unpaid says when a key is, or since when it has been, suspended. An invoice that is not known any more is the one that is named already.
func (p *provider) unpaid(m moment, invoice string, k *events.Key) error {
	slot := keyUnpaid + " " + k.ID
	n, _, err := p.find(slot)
	if err != nil {
		return err
	}
	if invoice == "" {
		invoice = n.Invoice
	}
	return p.stand(m, slot, Notice{
		Kind: keyUnpaid, Company: k.Company, Type: k.Type, Key: k.ID, Invoice: invoice, Amount: string(p.tx.Bucket(bucketTotals).Get(p.slot(invoice))),
		Currency: p.account.Currency, Until: k.SuspendAt, Suspended: k.Suspended,
	})
}

func slotOfJob(key, instance, job string) string {
	return strings.Join([]string{seatsMissing, key, instance, job}, " ")
}

// skipped puts up the notice of a job that lacks seats, or takes it away. The parts of a large job come one after the other.
func (p *provider) skipped(m moment, d *events.JobStarted) error {
	slot := slotOfJob(d.Key, d.Instance, d.Job)
	if d.Skipped == 0 {
		if d.Part > 1 {
			return nil
		}
		return p.resolve(slot)
	}
	n := Notice{Kind: seatsMissing, Key: d.Key, Instance: d.Instance, Job: d.Job, Count: d.Skipped, Seats: d.SeatsMissing}
	if d.Part > 1 {
		before, _, err := p.find(slot)
		if err != nil || len(before.Objects) == maxObjects {
			return err
		}
		n.Objects = before.Objects
	}
	for i := range d.Objects {
		if o := &d.Objects[i]; o.Skipped == events.SeatsMissing && !o.Continued && len(n.Objects) < maxObjects {
			n.Objects = append(n.Objects, o.ID)
		}
	}
	return p.stand(m, slot, n)
}

func sayPrepaidIssued(n *Notice, _ string) (bool, string) {
	what := fmt.Sprintf("%d further seats", n.Count)
	switch events.PrepaidFor(n.Why) {
	case events.ForOrder:
		what = fmt.Sprintf("the order of %d seats", n.Count)
	case events.ForRenewal:
		what = fmt.Sprintf("a further year of %d seats", n.Count)
	case events.ForConversion:
		what = fmt.Sprintf("%d seats beyond what was converted", n.Count)
	}
	return true, "Invoice " + n.Invoice + " for " + what + " of key" + n.ofKey() + " was issued: " + n.Amount + " " + n.Currency + "."
}

func sayKeyExpired(n *Notice, _ string) (bool, string) {
	return false, "The key" + n.ofKey() + " expired on " + instant(n.Until) + ": no backup job runs or is created until it is renewed; restore and archive jobs go on."
}

func sayKeyUnpaid(n *Notice, _ string) (bool, string) {
	if n.Suspended {
		return false, n.charge() + " was not collected by " + instant(n.Until) + ": the key" + n.ofKey() + " is suspended, restore and archive jobs alone go on."
	}
	return false, n.charge() + " failed. Unless it is collected by " + instant(n.Until) + ", the key" + n.ofKey() + " is suspended: restore and archive jobs alone go on then."
}

func saySeatsMissing(n *Notice, _ string) (bool, string) {
	objects, seats := "objects were", "seats"
	if n.Count == 1 {
		objects = "object was"
	}
	if n.Seats == 1 {
		seats = "seat"
	}
	return false, fmt.Sprintf("%d %s not backed up by job %s on %s: the key%s lacks %d %s. Add seats, or release some, and start the job again.",
		n.Count, objects, n.Job, n.Instance, n.ofKey(), n.Seats, seats)
}

// ofKey names the key.
func (n *Notice) ofKey() string {
	text := " " + n.Key
	if n.Type != "" {
		text += " (" + n.Type + n.of() + ")"
	}
	return text
}
