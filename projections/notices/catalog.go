package notices

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"

	"licenseledger/events"
)

// pricesChange tells all providers what a catalog changes, from its month on (domain C1, C2). It belongs to the ledger itself.
const pricesChange = "prices-change"

// PriceChange is how a type differs from what it was in the month before.
type PriceChange struct {
	Type string `json:"type"`
	// Was and Is are its prices per currency; one that stays the same is in neither.
	Was    map[string]string `json:"was,omitempty"`
	Is     map[string]string `json:"is,omitempty"`
	Per    string            `json:"per,omitempty"`    // month or year
	Closed bool              `json:"closed,omitempty"` // no longer sold
}

// publish takes the ledger's own events.
func (p *provider) publish(m moment, d events.Data) error {
	clear(p.inForce)
	switch d := d.(type) {
	case *events.LedgerOpened:
		return store(p.tx, bucketCatalogs, monthKey(d.Catalog.Effective), d.Catalog)
	case *events.CatalogPublished:
		if err := store(p.tx, bucketCatalogs, monthKey(d.Catalog.Effective), d.Catalog); err != nil {
			return err
		}
		if err := p.compare(m, d.Catalog.Effective); err != nil {
			return err
		}
		// One for a later month that was published before has another one before it now.
		if k, _ := p.tx.Bucket(bucketCatalogs).Cursor().Seek(monthKey(d.Catalog.Effective + 1)); k != nil {
			return p.compare(m, events.Month(binary.BigEndian.Uint32(k)))
		}
	}
	return nil
}

// compare tells what the catalog of a month changes.
func (p *provider) compare(m moment, month events.Month) error {
	is, err := p.catalogOf(month)
	if err != nil {
		return err
	}
	was, err := p.catalogOf(month - 1)
	if err != nil {
		return err
	}
	slot := pricesChange + " " + month.String()
	changes := changesOf(was, is)
	if len(changes) > 0 {
		return p.news(m, slot, Notice{Kind: pricesChange, Month: month, Prices: changes}, nil)
	}
	n, ok, err := p.find(slot)
	if err != nil || !ok {
		return err
	}
	p.account.News--
	return p.remove(bucketNews, &n)
}

func changesOf(was, is events.Catalog) (list []PriceChange) {
	for i := range is.Types {
		t := &is.Types[i]
		change := PriceChange{Type: t.ID, Per: "month"}
		if t.Term == events.Annual {
			change.Per = "year"
		}
		before, sold := typeOf(was, t.ID)
		change.Closed = t.Closed && sold && !before.Closed
		change.Was, change.Is = differing(before.Prices, t.Prices), differing(t.Prices, before.Prices)
		if len(change.Was)+len(change.Is) > 0 || change.Closed {
			list = append(list, change)
		}
	}
	return list
}

// differing are the prices that are others, or none, in the other list.
func differing(prices, others map[string]events.Money) map[string]string {
	list := make(map[string]string)
	for currency, price := range prices {
		if other, ok := others[currency]; !ok || !other.Equal(price.Decimal) {
			list[currency] = price.String()
		}
	}
	return list
}

func typeOf(c events.Catalog, id string) (events.Type, bool) {
	i := slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == id })
	if i < 0 {
		return events.Type{}, false
	}
	return c.Types[i], true
}

// typeIn is a type as the catalog of a month has it; of one that it does not have nothing is known.
func (b *batch) typeIn(m events.Month, id string) (events.Type, error) {
	c, ok := b.inForce[m]
	if !ok {
		var err error
		if c, err = b.catalogOf(m); err != nil {
			return events.Type{}, err
		}
		b.inForce[m] = c
	}
	t, _ := typeOf(c, id)
	return t, nil
}

// catalogOf is the catalog in force in a month; empty before the first.
func (b *batch) catalogOf(m events.Month) (c events.Catalog, err error) {
	cursor := b.tx.Bucket(bucketCatalogs).Cursor()
	k, row := cursor.Seek(monthKey(m))
	if k == nil {
		k, row = cursor.Last()
	} else if !bytes.Equal(k, monthKey(m)) {
		k, row = cursor.Prev()
	}
	if k == nil {
		return c, nil
	}
	return c, decode(bucketCatalogs, row, &c)
}

func monthKey(m events.Month) []byte { return binary.BigEndian.AppendUint32(nil, uint32(m)) }

// concerns says whether a notice of the ledger itself is for a provider: something changes in its currency, and it was there in that month.
func (n *Notice) concerns(a *account) bool {
	return n.Month >= events.MonthOf(a.Created) && len(n.changes(a.Currency)) > 0
}

// changes says what changes in a currency, one text per type.
func (n *Notice) changes(currency string) (list []string) {
	for i := range n.Prices {
		c := &n.Prices[i]
		was, is := c.Was[currency], c.Is[currency]
		text := ""
		switch {
		case is != "" && was != "":
			text = is + " " + currency + " a " + c.Per + " instead of " + was
		case is != "":
			text = is + " " + currency + " a " + c.Per + ", and had no price before"
		case was != "":
			text = "has no price any more"
		}
		if c.Closed {
			text = strings.TrimPrefix(text+", no longer sold", ", ")
		}
		if text != "" {
			list = append(list, c.Type+" "+text)
		}
	}
	return list
}

func sayPricesChange(n *Notice, _ string) (bool, string) {
	better := true
	for i := range n.Prices {
		was, is := n.Prices[i].Was[n.account.Currency], n.Prices[i].Is[n.account.Currency]
		better = better && !dearer(was, is) && !n.Prices[i].Closed
	}
	return better, "From " + month(n.Month) + " on: " + strings.Join(n.changes(n.account.Currency), "; ") + "."
}

// dearer says that a price rises, or that there is none any more.
func dearer(was, is string) bool {
	if was == "" {
		return false
	}
	before, err1 := events.ParseMoney(was)
	after, err2 := events.ParseMoney(is)
	return err1 != nil || err2 != nil || after.GreaterThan(before.Decimal)
}
