package license

import (
	"slices"
	"unicode/utf8"

	"licenseledger/events"
)

// SetProvider creates a provider, or changes its name.
type SetProvider struct {
	Name     string
	Currency string // empty: USD for a new provider, unchanged for an old one
}

func (c SetProvider) decide(d *decider) error {
	if err := events.CheckName(d.Provider); err != nil {
		return invalid("provider", "%v", err)
	}
	if err := text("name", c.Name); err != nil {
		return err
	}
	a := d.state.account
	if c.Currency == "" {
		if c.Currency = a.Currency; c.Currency == "" {
			c.Currency = "USD"
		}
	}
	if !isCurrency(c.Currency) {
		return invalid("currency", "%.10q is not a currency: three capital letters, as in ISO 4217", c.Currency)
	}
	if a.Exists() && a.Currency != c.Currency {
		return invalid("currency", "provider %q is charged in %s; a provider's currency never changes", d.Provider, a.Currency)
	}
	if !a.Exists() || a.Name != c.Name {
		d.emit(&events.ProviderSet{Name: c.Name, Currency: c.Currency})
	}
	return nil
}

func isCurrency(s string) bool {
	for _, c := range s {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return len(s) == 3
}

func text(field, s string) error {
	if len(s) > events.MaxTextLength || !utf8.ValidString(s) {
		return invalid(field, "at most %d bytes of UTF-8", events.MaxTextLength)
	}
	return nil
}

// SetPaymentMethod says how the provider pays.
type SetPaymentMethod struct {
	System  string // fastspring
	Account string
}

func (c SetPaymentMethod) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if c.System != "fastspring" {
		return invalid("system", "%.40q is not a payment system: fastspring is", c.System)
	}
	if c.Account == "" || len(c.Account) > events.MaxTextLength || !utf8.ValidString(c.Account) {
		return invalid("account", "the account at the payment system, at most %d bytes", events.MaxTextLength)
	}
	d.settleAll()
	set := events.PaymentMethodSet{System: c.System, Account: c.Account, Status: events.PaymentActive}
	if len(d.state.account.Failed) > 0 {
		set.Status = events.PaymentFailing // until what is owed has been collected
	}
	if d.state.account.Payment != set {
		d.emit(&set)
	}
	return nil
}

// RemovePaymentMethod takes the payment method away.
type RemovePaymentMethod struct{}

func (c RemovePaymentMethod) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	d.settleAll()
	if d.state.account.PaymentStatus() != events.PaymentNone {
		d.emit(&events.PaymentMethodRemoved{})
	}
	return nil
}

// SetCompany creates a company or replaces its settings; empty settings are the defaults (domain L13).
type SetCompany struct{ events.CompanySet }

func (c SetCompany) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if err := events.CheckName(c.Company); err != nil {
		return invalid("company", "%v", err)
	}
	if err := text("name", c.Name); err != nil {
		return err
	}
	if err := text("external_id", c.ExternalID); err != nil {
		return err
	}
	set := c.CompanySet
	if set.Allocation == "" {
		set.Allocation = events.Manual
	}
	if set.Pool == "" {
		set.Pool = events.GlobalPool
	}
	if set.Allocation != events.Manual && set.Allocation != events.Automatic {
		return invalid("allocation", "automatic or manual")
	}
	if set.Pool != events.GlobalPool && set.Pool != events.CompanyPool {
		return invalid("pool", "global or company")
	}
	var err error
	if set.AllowedTypes, err = d.types("allowed_types", set.AllowedTypes, false); err != nil {
		return err
	}
	if set.Metered, err = d.types("metered", set.Metered, true); err != nil {
		return err
	}
	if old, ok := d.state.Company(set.Company); !ok || !sameCompany(old, &set) {
		d.settleSockets()
		d.emit(&set)
	}
	return nil
}

// settleSockets lets the trials end that were due and then need further licenses, which a company's settings allow or not.
func (d *decider) settleSockets() {
	c, _, _ := d.Catalogs.At(events.MonthOf(d.Now))
	for _, t := range c.Types {
		if t.Requires != "" {
			d.settleTrials(t.Requires)
		}
	}
}

// types checks a set of license types and puts it in order.
func (d *decider) types(field string, ids []string, metered bool) ([]string, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, id := range ids {
		t, ok := d.Catalogs.Type(events.MonthOf(d.Now), id)
		if !ok {
			return nil, invalid(field, "the catalog has no license type %.80q", id)
		}
		if metered && t.Policy != events.Metered {
			return nil, invalid(field, "%s is not metered", id)
		}
		if _, ok := t.Prices[d.state.account.Currency]; metered && !ok {
			return nil, invalid(field, "%s has no price in %s", id, d.state.account.Currency)
		}
	}
	return ids, nil
}

func sameCompany(a, b *events.CompanySet) bool {
	return a.Name == b.Name && a.Allocation == b.Allocation && a.Pool == b.Pool && a.ExternalID == b.ExternalID &&
		slices.Equal(a.AllowedTypes, b.AllowedTypes) && slices.Equal(a.Metered, b.Metered)
}
