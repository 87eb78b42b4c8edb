package license

import (
	"fmt"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// MaxSeats bounds the seats of a key.
const MaxSeats = 1_000_000

// FolderUnit is how much of public folders one license of the older model covered: 512 MB (domain K12).
const FolderUnit = 512 << 20

// settleKey lets happen what fell due for a key by a time; false where there is no such key.
func (d *decider) settleKey(id string, t time.Time) bool {
	for {
		k, ok := d.state.Key(id)
		if !ok {
			return false
		}
		due, at := keyDueBy(k, t)
		if due == nil {
			return true
		}
		d.happened(at, due)
	}
}

// key finds a key that a request names, as it stands now.
func (d *decider) key(id string) (events.Key, error) {
	if err := d.needProvider(); err != nil {
		return events.Key{}, err
	}
	if !d.settleKey(id, d.Now) {
		return events.Key{}, refuse(NotFound, "provider %q has no key %.40q", d.Provider, id)
	}
	k, _ := d.state.Key(id)
	return *k, nil
}

// usable says why a key does not allow what only a running one does.
func usable(k *events.Key) error {
	switch KeyStatusOf(k) {
	case events.ExpiredKey:
		return refuse(KeyExpired, "key %s expired at %s: renew it", k.ID, events.FormatTime(k.ExpiresAt))
	case SuspendedKey:
		return refuse(KeySuspended, "key %s is suspended since %s, because an invoice was not collected: restore and archive jobs alone go on", k.ID, events.FormatTime(k.SuspendAt))
	}
	return nil
}

// soldByYear finds an annual type that a request names, and its price in the provider's currency on this day (domain C1, K1).
func (d *decider) soldByYear(id string) (t events.Type, price events.Money, err error) {
	t, ok := d.Catalogs.Type(events.MonthOf(d.Now), id)
	switch {
	case !ok:
		return t, price, invalid("license_type", "the catalog has no license type %.80q", id)
	case t.Term != events.Annual:
		return t, price, invalid("license_type", "%s is sold by the month: only annual types are sold as keys", id)
	}
	price, ok = catalog.Price(t, d.state.account.Currency)
	if !ok {
		return t, price, invalid("license_type", "%s has no price in %s", id, d.state.account.Currency)
	}
	return t, price, nil
}

func seats(n int) error {
	if n < 1 || n > MaxSeats {
		return invalid("seats", "from 1 to %d seats", MaxSeats)
	}
	return nil
}

// OrderKey orders a key, which is usable at once (domain K1).
type OrderKey struct {
	Type    string
	Seats   int
	Company string // empty: the provider's own
	// Salt and Hash are of the key's secret, as [events.KeyOrdered] has them.
	Salt string
	Hash events.Digest
}

func (c OrderKey) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	t, price, err := d.soldByYear(c.Type)
	if err != nil {
		return err
	}
	if err := seats(c.Seats); err != nil {
		return err
	}
	if c.Company != "" {
		company, err := d.company(c.Company)
		if err != nil {
			return err
		}
		if err := allowed(company, t.ID); err != nil {
			return err
		}
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	k := events.Key{ID: d.IDs.Next(), Type: t.ID, Company: c.Company, Status: events.OrderedKey, Seats: c.Seats, Created: d.Now}
	d.emit(&events.KeyOrdered{Salt: c.Salt, Hash: c.Hash, Key: k})
	d.bill(events.ForOrder, &k, t, price, c.Seats, part{from: d.Now, to: events.YearAfter(d.Now)})
	return nil
}

// part is what of a term is paid for; without days, the whole.
type part struct {
	from, to time.Time
	days, of int
}

// bill issues a prepaid invoice, if money is due (domain B8).
func (d *decider) bill(why events.PrepaidFor, k *events.Key, t events.Type, price events.Money, seats int, p part) {
	amount := catalog.Seats(price, seats)
	if p.days > 0 {
		amount = catalog.Prorate(price, seats, p.days, p.of)
	}
	if amount.IsZero() {
		return
	}
	_, entry, _ := d.Catalogs.At(events.MonthOf(d.Now))
	issued := &events.PrepaidIssued{
		Number: PrepaidNumber(d.state.account.Prepaid + 1), For: why, Key: k.ID, Company: k.Company, LicenseType: t.ID, Unit: t.Unit, UnitPrice: price,
		Seats: seats, Days: p.days, TermDays: p.of, From: p.from, To: p.to, Catalog: entry, Currency: d.state.account.Currency, Amount: amount,
	}
	issued.Digest = catalog.DigestLines([]catalog.Line{catalog.PrepaidLine(issued)})
	d.emit(issued)
}

// AddSeats buys further seats of a key for what is left of its term (domain K7).
type AddSeats struct {
	Key   string
	Seats int
}

func (c AddSeats) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	if err := usable(&k); err != nil {
		return err
	}
	t, price, err := d.soldByYear(k.Type)
	if err != nil {
		return err
	}
	if err := seats(c.Seats); err != nil {
		return err
	}
	if k.Seats+c.Seats > MaxSeats {
		return invalid("seats", "a key has at most %d seats, and this one has %d", MaxSeats, k.Seats)
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	k.Seats += c.Seats
	d.emit(&events.KeySeatsAdded{Added: c.Seats, Key: k})
	d.bill(events.ForSeats, &k, t, price, c.Seats, d.rest(&k))
	return nil
}

// rest is what is left of a key's term; of one that was never activated, a whole one.
func (d *decider) rest(k *events.Key) part {
	if k.Status == events.OrderedKey {
		return part{from: d.Now, to: events.YearAfter(d.Now)}
	}
	p := part{from: d.Now, to: k.ExpiresAt}
	if p.days, p.of = catalog.DaysLeft(k.TermFrom, k.ExpiresAt, d.Now); p.days == p.of {
		p.days, p.of = 0, 0
	}
	return p
}

// RenewKey buys a further year of a key: from its end, or, if it has expired, from now (domain K8).
type RenewKey struct {
	Key   string
	Seats int
}

func (c RenewKey) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	switch {
	case k.Status == events.OrderedKey:
		return refuse(KeyNotActivated, "key %s was never activated: its first year has not begun", k.ID)
	case k.Suspended:
		return refuse(KeySuspended, "key %s has an invoice that was not collected: its outcome comes first", k.ID)
	case k.RenewedFor > 0:
		return invalid("key", "key %s is renewed already: from %s on it has a further year with %d seats", k.ID, events.FormatTime(k.ExpiresAt), k.RenewedFor)
	}
	t, price, err := d.soldByYear(k.Type)
	if err != nil {
		return err
	}
	if err := seats(c.Seats); err != nil {
		return err
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	renewed, p := &events.KeyRenewed{}, part{from: k.ExpiresAt}
	if k.Status == events.ExpiredKey {
		p.from = d.Now
		renewed.Reset = c.Seats < k.Seats
		k.Status, k.Seats, k.TermFrom, k.ExpiresAt = events.ActiveKey, c.Seats, d.Now, events.YearAfter(d.Now)
	} else {
		k.RenewedFor = c.Seats
	}
	p.to = events.YearAfter(p.from)
	renewed.Key = k
	d.emit(renewed)
	d.bill(events.ForRenewal, &k, t, price, c.Seats, p)
	return nil
}

// ConvertKey makes a per-user key of one of the older model, which counted a license per mailbox and per started 512 MB of public
// folders. As many seats as it had licenses cost nothing; further ones are added (domain K7, K12).
type ConvertKey struct {
	Key               string
	Seats             int // 0: as many as there were licenses
	Mailboxes         int
	PublicFolderBytes int64
}

func (c ConvertKey) decide(d *decider) error {
	k, err := d.key(c.Key)
	if err != nil {
		return err
	}
	if err := usable(&k); err != nil {
		return err
	}
	switch {
	case k.Converted:
		return invalid("key", "key %s has been converted already", k.ID)
	case c.Mailboxes < 0 || c.Mailboxes > MaxSeats:
		return invalid("mailboxes", "from 0 to %d", MaxSeats)
	case c.PublicFolderBytes < 0 || c.PublicFolderBytes > MaxSeats*FolderUnit:
		return invalid("public_folder_bytes", "from 0 to %d", int64(MaxSeats)*FolderUnit)
	}
	had := OldLicenses(c.Mailboxes, c.PublicFolderBytes)
	if had == 0 {
		return invalid("mailboxes", "a key of the older model has mailboxes or public folders")
	}
	if c.Seats == 0 {
		c.Seats = had
	}
	if err := seats(c.Seats); err != nil {
		return err
	}
	if used := d.state.UsedSeats(k.ID); c.Seats < used {
		return refuse(SeatsShort, "key %s has %d seats in use: release some, or convert it to as many", k.ID, used)
	}
	k.Seats, k.Converted = c.Seats, true
	converted := &events.KeyConverted{Mailboxes: c.Mailboxes, PublicFolderBytes: c.PublicFolderBytes, Key: k}
	if c.Seats <= had {
		d.emit(converted)
		return nil
	}
	t, price, err := d.soldByYear(k.Type)
	if err != nil {
		return err
	}
	if err := d.canBuy(t); err != nil {
		return err
	}
	d.emit(converted)
	d.bill(events.ForConversion, &k, t, price, c.Seats-had, d.rest(&k))
	return nil
}

// OldLicenses is how many licenses of the older model cover so much: one per mailbox, one per started 512 MB of public folders.
func OldLicenses(mailboxes int, publicFolderBytes int64) int {
	return mailboxes + int((publicFolderBytes+FolderUnit-1)/FolderUnit)
}

// PrepaidNumber is the number of a provider's nth prepaid invoice, from 1 (domain B2).
func PrepaidNumber(n int) string { return fmt.Sprintf("P-%06d", n) }

// prepaidNumber reads "P-000001".
func prepaidNumber(s string) (int, bool) {
	var n int
	if _, err := fmt.Sscanf(s, "P-%d", &n); err != nil || n < 1 || PrepaidNumber(n) != s {
		return 0, false
	}
	return n, true
}

// IsPrepaid says whether a number is one of a prepaid invoice.
func IsPrepaid(number string) bool {
	_, ok := prepaidNumber(number)
	return ok
}

// payKey records what became of the charge of a prepaid invoice: it concerns its key alone (domain K1).
func (d *decider) payKey(c RecordPayment) error {
	p, ok := d.state.ring.prepaid.Get(c.Invoice)
	if !ok {
		return refuse(NotFound, "provider %q has no invoice %.40q", d.Provider, c.Invoice)
	}
	switch {
	case p.Outcome == events.Collected && c.Outcome == events.Collected:
		return nil
	case p.Outcome == events.Collected:
		return invalid("outcome", "invoice %s has been collected", c.Invoice)
	}
	k, err := d.key(p.Key)
	if err != nil {
		return err
	}
	d.emit(&events.PaymentRecorded{Invoice: c.Invoice, Outcome: c.Outcome, Reason: c.Reason})
	before := k
	k.SuspendAt = time.Time{}
	if at := d.owing(k.ID); !at.IsZero() {
		k.SuspendAt = at.Add(Grace) // of the first that failed: neither retries nor others start it again
	}
	k.Suspended = k.Suspended && !k.SuspendAt.IsZero() && !k.SuspendAt.After(d.Now)
	switch {
	case k == before:
	case c.Outcome == events.Collected:
		d.emit(&events.KeyChargeCollected{Invoice: c.Invoice, Key: k})
	default:
		d.emit(&events.KeyChargeFailed{Invoice: c.Invoice, Key: k})
	}
	return nil
}

// owing is when the first of a key's invoices failed that are not collected; zero if it owes nothing.
func (d *decider) owing(key string) (first time.Time) {
	d.state.ring.prepaid.Scan(func(_ string, p *Prepaid) bool {
		if p.Key == key && !p.FailedAt.IsZero() && (first.IsZero() || p.FailedAt.Before(first)) {
			first = p.FailedAt
		}
		return true
	})
	return first
}
