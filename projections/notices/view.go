// Package notices is the view of what a provider should hear: good news, bad news, and what asks somebody to act.
//
// A notice is standing or it is news. A standing one asks for something (an endpoint without a license, a charge that
// failed, a trial that ends) and goes when that is done. News tell what happened, and make room for newer ones: a provider has
// at most [MaxNews] of them, none older than [MaxAge] when the newest came. All of it follows from entries; the view never reads a clock.
//
// A notice has a slot, which says what it is about. What comes again to a slot goes into the notice that is there:
//
//	trial-ending 01KGB…                            one license's end of its trial, until that has come
//	licenses-expired 2026-02-01 globex server …    what ran out on one day for one reason: 400 licenses are one notice
//
// Notices are kept as facts. What they say to people is worked out when they are read ([Notice.Text]), for
// some of it depends on what came later: a trial's end leads to a paid license only with a payment method.
//
// A family of events has a file of its own: a function that takes its events (families) and what its notices say (kinds).
// The view has no caches: a View is a name for its rows, and safe for concurrent use.
package notices

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
)

// Bounds of a provider's news.
const (
	MaxNews = 1000
	MaxAge  = 92 * 24 * time.Hour
)

// View is a [projections.View].
type View struct{}

// Name is "notices".
func (View) Name() string { return "notices" }

// Usage is not wanted.
func (View) Usage() bool { return false }

// families are what looks at every event of a provider, each at those of its family.
var families = [...]func(*provider, moment, events.Data) error{
	(*provider).licenses, (*provider).endpoints, (*provider).payments, (*provider).keys,
}

// kinds are all kinds of notices, and what they say.
var kinds = [...]struct {
	name string
	says func(n *Notice, who string) (good bool, text string)
}{
	{trialStarted, sayTrialStarted},
	{trialEnding, sayTrialEnding},
	{trialConverted, sayTrialConverted},
	{trialExpired, sayTrialExpired},
	{licensesExpired, sayLicensesExpired},
	{licensesReinstated, sayLicensesReinstated},
	{licenseMissing, sayLicenseMissing},
	{socketsMissing, saySocketsMissing},
	{statementIssued, sayStatementIssued},
	{paymentCollected, sayPaymentCollected},
	{paymentFailed, sayPaymentFailed},
	{paymentMethodMissing, sayPaymentMethodMissing},
	{correction, sayCorrection},
	{pricesChange, sayPricesChange},
	{prepaidIssued, sayPrepaidIssued},
	{seatsMissing, saySeatsMissing},
	{keyExpired, sayKeyExpired},
	{keyUnpaid, sayKeyUnpaid},
}

// Kinds lists the names of all kinds of notices.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].name
	}
	return names
}

// IsKind says whether there are notices of a kind.
func IsKind(name string) bool { return slices.Contains(Kinds(), name) }

// moment is where in the log something happens, and when it takes effect.
type moment struct {
	entry uint64
	event int
	at    time.Time
	// decided is the entry's time; what fell due takes effect before it.
	decided time.Time
}

// Begin starts a batch.
func (View) Begin(tx *bbolt.Tx) (projections.Batch, error) {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return &batch{tx: tx, providers: make(map[string]*provider), inForce: make(map[events.Month]events.Catalog)}, nil
}

// batch is a transaction. Notices are written at once: there are few of them.
type batch struct {
	tx        *bbolt.Tx
	providers map[string]*provider
	inForce   map[events.Month]events.Catalog // as far as they were asked for since the last one came
}

// provider is one of a batch; the one without a name is the ledger itself, whose notices are for all.
type provider struct {
	*batch
	id      string
	account account
	before  account
}

// Apply looks at an entry's events.
func (b *batch) Apply(e *events.Entry) error {
	if len(e.Events) == 0 {
		return nil // of usage alone
	}
	p, err := b.provider(e.Provider)
	if err != nil {
		return err
	}
	for i := range e.Events {
		m := moment{e.Number, i, e.EffectiveAt(i), e.Time}
		if e.Provider == "" {
			err = p.publish(m, e.Events[i].Data)
		} else {
			err = p.apply(m, e.Events[i].Data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *provider) apply(m moment, d events.Data) error {
	if d, ok := d.(*events.ProviderSet); ok && p.account.Currency == "" {
		p.account.Currency, p.account.Created = d.Currency, m.at
	}
	for _, family := range families {
		if err := family(p, m, d); err != nil {
			return fmt.Errorf("notices of provider %q: %w", p.id, err)
		}
	}
	return nil
}

func (b *batch) provider(id string) (*provider, error) {
	if p, ok := b.providers[id]; ok {
		return p, nil
	}
	p := &provider{batch: b, id: id}
	if _, err := load(b.tx, bucketAccounts, keyOf(id, nil), &p.account); err != nil {
		return nil, err
	}
	p.before = p.account
	b.providers[id] = p
	return p, nil
}

// Flush writes what is kept of the providers.
func (b *batch) Flush() error {
	for id, p := range b.providers {
		switch p.account {
		case p.before:
		case account{}: // as if it had never been looked at
			if err := b.tx.Bucket(bucketAccounts).Delete(keyOf(id, nil)); err != nil {
				return fmt.Errorf("write %s: %w", bucketAccounts, err)
			}
		default:
			if err := store(b.tx, bucketAccounts, keyOf(id, nil), p.account); err != nil {
				return err
			}
		}
	}
	return nil
}

// Done has nothing to keep or drop.
func (*batch) Done(bool) {}

// find reads the notice of a slot, if there is one.
func (p *provider) find(slot string) (n Notice, ok bool, err error) {
	place := p.tx.Bucket(bucketSlots).Get(p.slot(slot))
	if place == nil {
		return n, false, nil
	}
	bucket, key := rowOf(place)
	ok, err = load(p.tx, bucket, p.key(key), &n)
	if err == nil && !ok {
		err = fmt.Errorf("slot %q: %w", slot, errDamaged)
	}
	return n, ok, err
}

// stand puts up a standing notice, or puts what it says now into the one that is there, which keeps its place.
func (p *provider) stand(m moment, slot string, n Notice) error {
	return p.put(m, slot, bucketStanding, n, nil)
}

// news tells what happened. Where the slot has a notice, merge puts this into it.
func (p *provider) news(m moment, slot string, n Notice, merge func(was, is Notice) Notice) error {
	if err := p.put(m, slot, bucketNews, n, merge); err != nil {
		return err
	}
	return p.trim(m.decided)
}

func (p *provider) put(m moment, slot string, bucket []byte, n Notice, merge func(was, is Notice) Notice) error {
	was, ok, err := p.find(slot)
	if err != nil {
		return err
	}
	n.At, n.Entry, n.Event, n.Slot = m.at, m.entry, m.event, slot
	if ok {
		if merge != nil {
			n = merge(was, n)
		}
		n.At, n.Entry, n.Event, n.Slot = was.At, was.Entry, was.Event, was.Slot
	} else if bytes.Equal(bucket, bucketNews) {
		p.account.News++
	}
	p.count(&was, -1)
	p.count(&n, +1)
	key := n.key()
	if err := p.tx.Bucket(bucketSlots).Put(p.slot(slot), placeOf(bucket, key)); err != nil {
		return fmt.Errorf("write %s: %w", bucketSlots, err)
	}
	return store(p.tx, bucket, p.key(key), n)
}

// resolve takes a slot's notice away, if there is one.
func (p *provider) resolve(slot string) error {
	n, ok, err := p.find(slot)
	if err != nil || !ok {
		return err
	}
	p.count(&n, -1)
	return p.remove(bucketStanding, &n)
}

func (p *provider) remove(bucket []byte, n *Notice) error {
	if err := p.tx.Bucket(bucketSlots).Delete(p.slot(n.Slot)); err != nil {
		return fmt.Errorf("write %s: %w", bucketSlots, err)
	}
	if err := p.tx.Bucket(bucket).Delete(p.key(n.key())); err != nil {
		return fmt.Errorf("write %s: %w", bucket, err)
	}
	return nil
}

// trim makes room: the oldest news go where there are too many, or where they are too old at a time.
func (p *provider) trim(now time.Time) error {
	for {
		prefix := p.key(nil)
		k, row := p.tx.Bucket(bucketNews).Cursor().Seek(prefix)
		if k == nil || !bytes.HasPrefix(k, prefix) {
			return nil
		}
		var oldest Notice
		if err := decode(bucketNews, row, &oldest); err != nil {
			return err
		}
		if p.account.News <= MaxNews && now.Sub(oldest.At) <= MaxAge {
			return nil
		}
		p.account.News--
		if err := p.remove(bucketNews, &oldest); err != nil {
			return err
		}
	}
}
