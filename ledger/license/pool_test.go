package license_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

func TestBuy(t *testing.T) {
	for _, test := range []struct {
		name string
		do   license.Body
		want string
	}{
		{"L3: into the global pool", buy("server", 2, ""), `
			bought L1 server in "" until 2026-03-01
			bought L2 server in "" until 2026-03-01`},
		{"L3: into a company's pool", buy("server", 1, "globex"), `bought L1 server in "globex" until 2026-03-01`},
		{"L8: auto-renew off from the start", license.Buy{Type: "server", Quantity: 1, NoRenew: true}, `bought L1 server in "", not renewing until 2026-03-01`},
		{"L3: of every unit that is assigned", buy("microsoft-365", 1, "initech"), `bought L1 microsoft-365 in "initech" until 2026-03-01`},
		{"no such company", buy("server", 1, "umbrella"), `refused not_found`},
		{"no such type", buy("servers", 1, ""), `refused invalid license_type`},
		{"K1: an annual type is sold as a key", buy("backup-user", 1, ""), `refused invalid license_type`},
		{"C7: a metered type is switched on", buy("backup-storage", 1, ""), `refused invalid license_type`},
		{"none", buy("server", 0, ""), `refused invalid quantity`},
		{"fewer than none", buy("server", -1, ""), `refused invalid quantity`},
		{"too many", buy("server", license.MaxQuantity+1, ""), `refused invalid quantity`},
		{"L13: a type that the company may not use", buy("server", 1, "desktops"), `refused type_not_allowed`},
		{"L13: one that it may use", buy("desktop", 1, "desktops"), `bought L1 desktop in "desktops" until 2026-03-01`},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, "2026-02-10T09:00")
			d.company("desktops", func(c *events.CompanySet) { c.AllowedTypes = []string{"desktop"} })
			d.run(step{do: test.do, want: test.want})
		})
	}
}

func TestBuyNeedsPayment(t *testing.T) {
	d := emptyDesk(t, "2026-02-10T09:00")
	d.run(
		step{"", buy("server", 1, ""), `refused not_found`},
		step{"", license.SetProvider{}, `provider.set.v1`},
		step{"", buy("server", 1, ""), `refused payment_method_required`},
		step{"", license.SetPaymentMethod{System: "fastspring", Account: "a1"}, `pays by a1`},
		step{"", buy("server", 1, ""), `bought L1 server in "" until 2026-03-01`},
		step{"", license.RemovePaymentMethod{}, `payment-method.removed.v1`},
		step{"", buy("server", 1, ""), `refused payment_method_required`},
	)
}

// L9, L10: while the payment method is failing there are no new paid licenses, and renewals go on.
func TestFailingPayment(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.must(buy("server", 1, ""))
	s := d.State("acme")
	decide := func(body license.Body) string {
		decision, err := license.Decide(s, body, d.Facts(ledger.Command{Provider: "acme", Body: body}))
		return d.tell(decision, err)
	}
	s.Apply(&events.Entry{Number: d.System.Next, Time: d.Now, Provider: "acme", Events: []events.Event{
		{Data: &events.PaymentMethodSet{System: "fastspring", Account: "a1", Status: events.PaymentFailing}},
	}})
	if got := decide(buy("server", 1, "")); got != "refused payment_method_required" {
		t.Error(got)
	}
	if got := decide(allocate("desktop", "auto", "pc-1")); got != "refused payment_method_required" {
		t.Error(got)
	}
	d.at("2026-03-01")
	if got := decide(license.Settle{}); got != "due closed 2026-02\ndue renewed L1 server until 2026-04-01" {
		t.Error(got)
	}
	if got := decide(license.SetPaymentMethod{System: "fastspring", Account: "a1"}); !strings.HasSuffix(got, "pays by a1") {
		t.Error(got)
	}
}

// The default catalog has prices in USD alone: a provider that is charged in another currency can buy nothing of it.
func TestBuyNeedsPrice(t *testing.T) {
	d := emptyDesk(t, "2026-02-10T09:00")
	d.must(license.SetProvider{Currency: "EUR"})
	d.must(license.SetPaymentMethod{System: "fastspring", Account: "a1"})
	d.run(step{"", buy("server", 1, ""), `refused invalid license_type`})
}

// The largest purchase makes entries that fit one record, whatever its names are.
func TestLargestPurchaseFitsARecord(t *testing.T) {
	long := strings.Repeat("x", events.MaxNameLength)
	d := newDesk(t, "2026-02-10T09:00:00.123Z")
	d.company(long, func(*events.CompanySet) {})
	c, _, _ := d.System.Catalogs.At(month("2026-02"))
	c.Types = slices.Clone(c.Types)
	c.Effective, c.Types = month("2026-03"), append(c.Types, events.Type{ID: long, Family: "x", Unit: "endpoint", Prices: c.Types[0].Prices})
	if _, err := d.Do("", license.PublishCatalog{Catalog: c}); err != nil {
		t.Fatal(err)
	}
	d.at("2026-03-10T09:00:00.123Z")
	decision, err := d.Do("acme", license.Buy{Type: long, Quantity: license.MaxQuantity, Company: long, NoRenew: true})
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for i := range decision.Events {
		line, err := events.AppendEvent(nil, &decision.Events[i])
		if err != nil {
			t.Fatal(err)
		}
		bytes += len(line) + 1
	}
	const envelopes = 20 * 2048 // of the entries around them
	if bytes+envelopes > events.MaxRecord {
		t.Errorf("%d licenses take %d bytes", license.MaxQuantity, bytes)
	}
}

func TestAllocate(t *testing.T) {
	const first = "2026-02-10T09:00"
	person := func(kind events.AssigneeKind, id string) events.Assignee { return events.Assignee{Kind: kind, ID: id} }
	one := func(name, company, pool string) step {
		return step{first, buy("server", 1, pool), fmt.Sprintf(`bought %s server in %q until 2026-03-01`, name, pool)}
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"L4: from the company's pool first", []step{
			one("L1", "", ""), one("L2", "", "globex"), one("L3", "", "initech"),
			{first, allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L2 server from company-pool to pc-1 of \"globex\""},
		}},
		{"L4: the oldest free license of a pool", []step{
			{first, buy("server", 2, ""), "bought L1 server in \"\" until 2026-03-01\nbought L2 server in \"\" until 2026-03-01"},
			{"2026-02-11", allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L1 server from global-pool to pc-1 of \"globex\""},
			{"2026-02-11", license.Release{License: "L1"}, `released L1 server`},
			{"2026-02-12", allocate("server", "globex", "pc-1"), `allocated L2 server from global-pool to pc-1 of "globex"`},
		}},
		{"L4: then from the global pool, where the company's pool is global", []step{
			one("L1", "", ""), one("L2", "", "initech"),
			{first, allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L1 server from global-pool to pc-1 of \"globex\""},
			{first, allocate("server", "globex", "pc-2"), `refused pool_empty`},
		}},
		{"L4: not from the global pool, where the company keeps to its own", []step{
			one("L1", "", ""),
			{first, allocate("server", "initech", "pc-1"), `refused pool_empty`},
			one("L2", "", "initech"),
			{first, allocate("server", "initech", "pc-1"), "endpoint pc-1 of \"initech\"\nallocated L2 server from company-pool to pc-1 of \"initech\""},
		}},
		{"L4: an automatic company draws from the pools before it buys", []step{
			one("L1", "", ""),
			{first, allocate("server", "auto", "pc-1"), "endpoint pc-1 of \"auto\"\nallocated L1 server from global-pool to pc-1 of \"auto\""},
			{first, allocate("server", "auto", "pc-2"), `
				bought L2 server in "auto" until 2026-03-01
				endpoint pc-2 of "auto"
				allocated L2 server from bought to pc-2 of "auto"`},
		}},
		{"L4, L3: buying on the spot needs a payment method, an allocation from a pool does not", []step{
			one("L1", "", ""),
			{first, license.RemovePaymentMethod{}, `payment-method.removed.v1`},
			{first, allocate("server", "auto", "pc-1"), "endpoint pc-1 of \"auto\"\nallocated L1 server from global-pool to pc-1 of \"auto\""},
			{first, allocate("server", "auto", "pc-2"), `refused payment_method_required`},
		}},
		{"L4: a license of another type is no help", []step{
			one("L1", "", "globex"),
			{first, allocate("desktop", "globex", "pc-1"), `refused pool_empty`},
		}},
		{"L4: at most one license of a type", []step{
			{first, buy("server", 2, ""), "bought L1 server in \"\" until 2026-03-01\nbought L2 server in \"\" until 2026-03-01"},
			{first, allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L1 server from global-pool to pc-1 of \"globex\""},
			{first, allocate("server", "globex", "pc-1"), `refused license_already_held`},
			{first, license.Allocate{License: "L2", Assignee: endpoint("pc-1")}, `refused license_already_held`},
			{first, license.Release{License: "L1"}, `released L1 server`},
			{first, allocate("server", "globex", "pc-1"), `allocated L2 server from global-pool to pc-1 of "globex"`},
		}},
		{"L4: nor one that another held one includes", []step{
			{first, buy("rmm-connect", 1, ""), `bought L1 rmm-connect in "" until 2026-03-01`},
			{first, buy("connect", 2, ""), "bought L2 connect in \"\" until 2026-03-01\nbought L3 connect in \"\" until 2026-03-01"},
			{first, license.Allocate{Type: "rmm-connect", Assignee: person(events.Administrator, "ann")}, `allocated L1 rmm-connect from global-pool to ann of ""`},
			{first, license.Allocate{Type: "connect", Assignee: person(events.Administrator, "ann")}, `refused license_already_held`},
			{first, license.Allocate{License: "L2", Assignee: person(events.Administrator, "ann")}, `refused license_already_held`},
			{first, license.Allocate{Type: "connect", Assignee: person(events.Administrator, "bob")}, `allocated L2 connect from global-pool to bob of ""`},
			{first, license.Release{License: "L1"}, `released L1 rmm-connect`},
			{first, license.Allocate{Type: "connect", Assignee: person(events.Administrator, "ann")}, `allocated L3 connect from global-pool to ann of ""`},
		}},
		{"L4, L12: sockets are several, and need a paid vm-server", []step{
			{first, buy("vm-server-socket", 2, ""), "bought L1 vm-server-socket in \"\" until 2026-03-01\nbought L2 vm-server-socket in \"\" until 2026-03-01"},
			{first, buy("vm-server", 1, ""), `bought L3 vm-server in "" until 2026-03-01`},
			{first, allocate("vm-server-socket", "globex", "pc-1"), `refused requires_vm_server`},
			{first, allocate("vm-server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L3 vm-server from global-pool to pc-1 of \"globex\""},
			{first, allocate("vm-server-socket", "globex", "pc-2"), `refused requires_vm_server`},
			{first, allocate("vm-server-socket", "globex", "pc-1"), `allocated L1 vm-server-socket from global-pool to pc-1 of "globex"`},
			{first, allocate("vm-server-socket", "globex", "pc-1"), `allocated L2 vm-server-socket from global-pool to pc-1 of "globex"`},
		}},
		{"L4: by id, from the global pool also for a company that keeps to its own", []step{
			one("L1", "", ""), one("L2", "", "initech"),
			{first, license.Allocate{License: "L1", Company: "initech", Assignee: endpoint("pc-1")}, "endpoint pc-1 of \"initech\"\nallocated L1 server from by-id to pc-1 of \"initech\""},
			{first, license.Allocate{License: "L1", Company: "initech", Assignee: endpoint("pc-2")}, `refused already_assigned`},
			{first, license.Allocate{License: "L2", Company: "globex", Assignee: endpoint("pc-3")}, `refused invalid license`},
			{first, license.Allocate{License: "L2", Company: "initech", Assignee: endpoint("pc-2")}, "endpoint pc-2 of \"initech\"\nallocated L2 server from by-id to pc-2 of \"initech\""},
			{first, license.Release{License: "L2"}, `released L2 server`},
			{first, license.Allocate{License: "L2", Company: "initech", Assignee: endpoint("pc-2")}, `refused license_closed`},
			{first, license.Allocate{License: "L9", Company: "initech", Assignee: endpoint("pc-2")}, `refused not_found`},
		}},
		{"L4: a license or a type, not both, not none", []step{
			one("L1", "", ""),
			{first, license.Allocate{Assignee: endpoint("pc-1")}, `refused invalid license_type`},
			{first, license.Allocate{License: "L1", Type: "server", Company: "globex", Assignee: endpoint("pc-1")}, `refused invalid license_type`},
		}},
		{"L13: an endpoint is its company's; a command that names no company means that one", []step{
			{first, buy("desktop", 1, ""), `bought L1 desktop in "" until 2026-03-01`},
			one("L2", "", ""),
			{first, allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L2 server from global-pool to pc-1 of \"globex\""},
			{first, allocate("desktop", "auto", "pc-1"), `refused invalid company`},
			{first, allocate("desktop", "", "pc-1"), `allocated L1 desktop from global-pool to pc-1 of "globex"`},
		}},
		{"L13: companies and what they may use", []step{
			{first, buy("desktop", 1, ""), `bought L1 desktop in "" until 2026-03-01`},
			one("L2", "", ""),
			{first, license.SetCompany{CompanySet: events.CompanySet{Company: "narrow", AllowedTypes: []string{"desktop"}}}, `company.set.v1`},
			{first, allocate("server", "narrow", "pc-1"), `refused type_not_allowed`},
			{first, license.Allocate{License: "L2", Company: "narrow", Assignee: endpoint("pc-1")}, `refused type_not_allowed`},
			{first, allocate("desktop", "narrow", "pc-1"), "endpoint pc-1 of \"narrow\"\nallocated L1 desktop from global-pool to pc-1 of \"narrow\""},
			{first, allocate("server", "umbrella", "pc-2"), `refused not_found`},
		}},
		{"who belongs to a company", []step{
			{first, allocate("server", "", "pc-1"), `refused invalid company`},
			{first, license.Allocate{Type: "microsoft-365", Assignee: person(events.DomainUser, "u")}, `refused invalid company`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Assignee: person(events.Domain, "a.example")}, `refused invalid company`},
			{first, license.Allocate{Type: "onboarding", Assignee: person(events.Administrator, "ann")}, `refused pool_empty`},
			{first, license.Allocate{Type: "advanced-rebranding", Assignee: person(events.Branding, "b")}, `refused pool_empty`},
			{first, license.Allocate{Type: "advanced-rebranding", Company: "auto", Assignee: person(events.Branding, "b")}, `
				bought L1 advanced-rebranding in "auto" until 2026-03-01
				allocated L1 advanced-rebranding from bought to b of "auto"`},
		}},
		{"whom a type serves", []step{
			{first, license.Allocate{Type: "server", Company: "globex", Assignee: person(events.Domain, "pc-1")}, `refused invalid assignee.kind`},
			{first, license.Allocate{Type: "microsoft-365", Company: "globex", Assignee: endpoint("pc-1")}, `refused invalid assignee.kind`},
			{first, license.Allocate{Type: "server", Company: "globex"}, `refused invalid assignee.kind`},
			{first, license.Allocate{Type: "backup-storage", Company: "globex", Assignee: endpoint("pc-1")}, `refused invalid license_type`},
			{first, license.Allocate{Type: "backup-user", Company: "globex", Assignee: endpoint("pc-1")}, `refused invalid license_type`},
		}},
		{"ids of assignees", []step{
			{first, allocate("server", "auto", ""), `refused invalid assignee.id`},
			{first, allocate("server", "auto", "größe"), `refused invalid assignee.id`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Company: "auto", Assignee: person(events.Domain, "")}, `refused invalid assignee.id`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Company: "auto", Assignee: person(events.Domain, strings.Repeat("x", 257))}, `refused invalid assignee.id`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Company: "auto", Assignee: person(events.Domain, "a\x00b")}, `refused invalid assignee.id`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Company: "auto", Assignee: person(events.Domain, "a\xffb")}, `refused invalid assignee.id`},
			{first, license.Allocate{Type: "sharepoint-teams-drives", Company: "auto", Assignee: person(events.Domain, "größe.example")}, `
				bought L1 sharepoint-teams-drives in "auto" until 2026-03-01
				allocated L1 sharepoint-teams-drives from bought to größe.example of "auto"`},
		}},
		{"L9, L4: what is held has to be in force now", []step{
			{first, license.Buy{Type: "rmm-connect", Quantity: 1, NoRenew: true}, `bought L1 rmm-connect in "", not renewing until 2026-03-01`},
			{first, buy("connect", 1, ""), `bought L2 connect in "" until 2026-03-01`},
			{first, license.Allocate{Type: "rmm-connect", Assignee: person(events.Administrator, "ann")}, `allocated L1 rmm-connect from global-pool to ann of ""`},
			{"2026-03-01", license.Allocate{Type: "connect", Assignee: person(events.Administrator, "ann")}, `
				due closed 2026-02
				due expired L1 rmm-connect, auto-renew-off
				due renewed L2 connect until 2026-04-01
				allocated L2 connect from global-pool to ann of ""`},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { newDesk(t, "2026-02-01").run(test.steps...) })
	}
}

func TestRelease(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"L7: terminal, whether it serves somebody or not", []step{
			{"", buy("server", 2, ""), "bought L1 server in \"\" until 2026-03-01\nbought L2 server in \"\" until 2026-03-01"},
			{"", license.Release{License: "L1"}, `released L1 server`},
			{"", license.Release{License: "L1"}, `refused license_closed`},
			{"", allocate("server", "globex", "pc-1"), "endpoint pc-1 of \"globex\"\nallocated L2 server from global-pool to pc-1 of \"globex\""},
			{"", license.Release{License: "L2"}, `released L2 server`},
			{"", allocate("server", "globex", "pc-2"), `refused pool_empty`},
			{"2026-03-01", license.Settle{}, `due closed 2026-02`},
		}},
		{"no such license", []step{
			{"", license.Release{License: "L1"}, `refused not_found`},
			{"", license.Release{}, `refused not_found`},
		}},
	} {
		t.Run(test.name, func(t *testing.T) { newDesk(t, "2026-02-10T09:00").run(test.steps...) })
	}
}

// L14: another provider's things are not found.
func TestProvidersAreApart(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.must(buy("server", 1, ""))
	if _, err := d.Do("other", license.SetProvider{}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []license.Body{
		license.Release{License: "L1"},
		license.Allocate{License: "L1", Assignee: endpoint("pc-1")},
		license.Allocate{Type: "server", Company: "globex", Assignee: endpoint("pc-1")},
		buy("server", 1, "globex"),
		report("pc-1", 1, reading("1", "2026-02-10")),
	} {
		if got := d.in("other", body); got != "refused not_found" {
			t.Errorf("%+v: %s", body, got)
		}
	}
}

// A released license says until when it was in force, and whom it served last (events.License).
func TestReleasedLicense(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.must(allocate("server", "auto", "pc-1"))
	d.at("2026-02-11T10:00")
	d.must(license.Release{License: "L1"})
	l, ok := d.State("acme").License(d.ids["L1"])
	if !ok {
		t.Fatal("it is gone")
	}
	want := events.License{
		ID: d.ids["L1"], Type: "server", Status: events.Released, Pool: "auto", Company: "auto", Assignee: endpoint("pc-1"),
		AutoRenew: true, Created: instant("2026-02-10T09:00"), ExpiresAt: instant("2026-02-11T10:00"),
	}
	if *l != want {
		t.Errorf("%+v, want %+v", *l, want)
	}
}

// No license serves two, no assignee holds two of a type, and no pool gives what it does not have: checked from the events of
// random commands alone.
func TestAllocationsAreExclusive(t *testing.T) {
	for seed := range uint64(10) {
		licenses := map[string]events.License{}
		holds := map[string]string{}
		for _, e := range ledgertest.History(seed, 400) {
			for _, ev := range e.Events {
				l := events.LicenseAfter(ev.Data)
				if l == nil {
					continue
				}
				before := licenses[l.ID]
				licenses[l.ID] = *l
				held := func(l *events.License) string {
					return fmt.Sprintf("%s %s %s %s", e.Provider, l.Assignee.Kind, l.Assignee.ID, l.Type)
				}
				if before.Serving() && !l.Serving() {
					delete(holds, held(&before))
				}
				if a, ok := ev.Data.(*events.LicenseAllocated); ok {
					if before.Status != events.Paid || before.Assigned {
						t.Fatalf("seed %d: entry %d allocates %+v", seed, e.Number, before)
					}
					if before.Pool != "" && before.Pool != l.Company || a.Source == events.FromCompanyPool && before.Pool == "" ||
						a.Source == events.FromGlobalPool && before.Pool != "" {
						t.Fatalf("seed %d: entry %d allocates from %s %+v", seed, e.Number, a.Source, l)
					}
					if l.Type != "vm-server-socket" {
						if other, ok := holds[held(l)]; ok {
							t.Fatalf("seed %d: entry %d allocates %s to the holder of %s", seed, e.Number, l.ID, other)
						}
						holds[held(l)] = l.ID
					}
				}
			}
		}
	}
}
