package license_test

import (
	"strings"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

func TestSetProvider(t *testing.T) {
	long := strings.Repeat("x", events.MaxTextLength+1)
	for _, test := range []struct {
		name     string
		provider string
		do       license.SetProvider
		want     string
		account  string // name and currency after it
	}{
		{"a new one is charged in USD", "acme", license.SetProvider{Name: "Acme"}, "provider.set.v1", "Acme USD"},
		{"or in another currency", "acme", license.SetProvider{Name: "Acme", Currency: "EUR"}, "provider.set.v1", "Acme EUR"},
		{"a name changes", "old", license.SetProvider{Name: "Older"}, "provider.set.v1", "Older CHF"},
		{"also with the currency that it has", "old", license.SetProvider{Name: "Older", Currency: "CHF"}, "provider.set.v1", "Older CHF"},
		{"nothing changes", "old", license.SetProvider{Name: "Old"}, "", "Old CHF"},
		{"the currency never changes", "old", license.SetProvider{Name: "Old", Currency: "USD"}, "refused invalid currency", "Old CHF"},
		{"no currency", "acme", license.SetProvider{Currency: "usd"}, "refused invalid currency", " "},
		{"no currency", "acme", license.SetProvider{Currency: "USDX"}, "refused invalid currency", " "},
		{"no id", "", license.SetProvider{}, "refused invalid provider", " "},
		{"no id", "a b", license.SetProvider{}, "refused invalid provider", " "},
		{"too long", "acme", license.SetProvider{Name: long}, "refused invalid name", " "},
		{"not UTF-8", "acme", license.SetProvider{Name: "\xff"}, "refused invalid name", " "},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := emptyDesk(t, "2026-02-10")
			d.in("old", license.SetProvider{Name: "Old", Currency: "CHF"})
			if got := d.in(test.provider, test.do); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			a := d.State(test.provider).Account()
			if got := a.Name + " " + a.Currency; got != test.account {
				t.Errorf("then it is %q, want %q", got, test.account)
			}
			if a.Exists() && (a.Open != month("2026-02") || !a.Created.Equal(instant("2026-02-10"))) {
				t.Errorf("created %s, open %s", a.Created, a.Open)
			}
		})
	}
}

func TestPaymentMethod(t *testing.T) {
	d := emptyDesk(t, "2026-02-10")
	status := func(want events.PaymentStatus) {
		t.Helper()
		a := d.State("acme").Account()
		if got := a.PaymentStatus(); got != want {
			t.Errorf("the payment method is %s, want %s", got, want)
		}
	}
	by := func(system, account string) license.SetPaymentMethod {
		return license.SetPaymentMethod{System: system, Account: account}
	}
	d.run(step{"", by("fastspring", "a1"), "refused not_found"}, step{"", license.RemovePaymentMethod{}, "refused not_found"})
	d.must(license.SetProvider{})
	status(events.PaymentNone)
	d.run(
		step{"", license.RemovePaymentMethod{}, ""},
		step{"", by("cash", "a1"), "refused invalid system"},
		step{"", by("fastspring", ""), "refused invalid account"},
		step{"", by("fastspring", "\xff"), "refused invalid account"},
		step{"", by("fastspring", strings.Repeat("x", 257)), "refused invalid account"},
		step{"", by("fastspring", "a1"), "pays by a1"},
		step{"", by("fastspring", "a1"), ""},
	)
	status(events.PaymentActive)
	d.run(step{"", by("fastspring", "a2"), "pays by a2"}, step{"", license.RemovePaymentMethod{}, "payment-method.removed.v1"})
	status(events.PaymentNone)
}

// L13: what a company's settings are when nothing is said of them, and what they may be.
func TestSetCompany(t *testing.T) {
	long := strings.Repeat("x", events.MaxTextLength+1)
	d := emptyDesk(t, "2026-02-10")
	set := func(c events.CompanySet) string { return d.do(license.SetCompany{CompanySet: c}) }
	if got := set(events.CompanySet{Company: "globex"}); got != "refused not_found" {
		t.Error(got)
	}
	d.must(license.SetProvider{})
	for _, test := range []struct {
		name string
		set  events.CompanySet
		want string
	}{
		{"a new one", events.CompanySet{Company: "globex"}, "company.set.v1"},
		{"the defaults, said", events.CompanySet{Company: "globex", Allocation: events.Manual, Pool: events.GlobalPool}, ""},
		{"a name", events.CompanySet{Company: "globex", Name: "Globex"}, "company.set.v1"},
		{"types, in any order and twice", events.CompanySet{Company: "globex", Name: "Globex", AllowedTypes: []string{"server", "desktop", "server"}}, "company.set.v1"},
		{"the same types", events.CompanySet{Company: "globex", Name: "Globex", AllowedTypes: []string{"desktop", "server"}}, ""},
		{"settings that are not said are the defaults again", events.CompanySet{Company: "globex", Name: "Globex"}, "company.set.v1"},
		{"metered", events.CompanySet{Company: "globex", Name: "Globex", Metered: []string{"backup-storage"}, ExternalID: "crm/1"}, "company.set.v1"},
		{"automatic", events.CompanySet{Company: "initech", Allocation: events.Automatic, Pool: events.CompanyPool}, "company.set.v1"},
		{"no id", events.CompanySet{}, "refused invalid company"},
		{"a bad id", events.CompanySet{Company: "a b"}, "refused invalid company"},
		{"a long name", events.CompanySet{Company: "x", Name: long}, "refused invalid name"},
		{"a long external id", events.CompanySet{Company: "x", ExternalID: long}, "refused invalid external_id"},
		{"no such allocation", events.CompanySet{Company: "x", Allocation: "both"}, "refused invalid allocation"},
		{"no such pool", events.CompanySet{Company: "x", Pool: "none"}, "refused invalid pool"},
		{"no such type", events.CompanySet{Company: "x", AllowedTypes: []string{"servers"}}, "refused invalid allowed_types"},
		{"not metered", events.CompanySet{Company: "x", Metered: []string{"server"}}, "refused invalid metered"},
	} {
		if got := set(test.set); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	c, ok := d.State("acme").Company("initech")
	if !ok || c.Allocation != events.Automatic || c.Pool != events.CompanyPool || c.AllowedTypes != nil || c.Metered != nil {
		t.Errorf("%+v", c)
	}
	if _, ok := d.State("acme").Company("x"); ok {
		t.Error("a refused company is there")
	}
}

// The settings that a caller hands in stay the caller's.
func TestSetCompanyKeepsTheRequest(t *testing.T) {
	d := newDesk(t, "2026-02-10")
	asked := []string{"server", "desktop"}
	d.must(license.SetCompany{CompanySet: events.CompanySet{Company: "globex", AllowedTypes: asked}})
	if asked[0] != "server" {
		t.Errorf("the request reads %v now", asked)
	}
}

// B2: numbers without gaps per provider; B6: after the month is closed, once.
func TestIssueStatement(t *testing.T) {
	issue := func(m string) license.IssueStatement {
		return license.IssueStatement{StatementIssued: events.StatementIssued{Month: month(m), Number: "S-000099", Currency: "USD"}}
	}
	d := emptyDesk(t, "2026-02-10")
	d.run(step{"", issue("2026-01"), "refused not_found"})
	d.must(license.SetProvider{})
	d.run(
		step{"", issue("2026-02"), "refused invalid month"},
		step{"2026-03-01", issue("2026-02"), "due closed 2026-02\nissued S-000001 for 2026-02"},
		step{"2026-03-01", issue("2026-02"), ""}, // by another clock
		step{"2026-03-01", issue("2026-03"), "refused invalid month"},
		step{"2026-05-01", issue("2026-04"), "due closed 2026-03 at 2026-04-01\ndue closed 2026-04\nissued S-000002 for 2026-04"}, // March had none
	)
	if _, err := d.Do("other", license.SetProvider{}); err != nil {
		t.Fatal(err)
	}
	d.at("2026-06-01")
	if got := d.in("other", issue("2026-05")); !strings.HasSuffix(got, "issued S-000001 for 2026-05") {
		t.Error(got)
	}
	if n := license.StatementNumber(1234567); n != "S-1234567" {
		t.Error(n)
	}
}
