package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"licenseledger/events"
)

func TestC3DefaultCatalog(t *testing.T) {
	all := Default()
	want := map[string]string{
		"server": "6.99", "ultimate": "9.99", "file-backup": "2.49", "desktop": "2.99", "ms-sql": "12.99", "ms-exchange": "12.99",
		"ms-sql-exchange": "17.99", "vm-server": "12.99", "vm-server-socket": "6.49", "rmm-connect": "49.00", "connect": "19.00",
		"microsoft-365": "1.59", "google-workspace": "1.59", "sharepoint-teams-drives": "12.00", "advanced-rebranding": "49.00",
		"onboarding": "99.00", "premium-support": "79.00", "backup-storage": "0.0060", "backup-user": "21.60",
	}
	for _, c := range all {
		if p := Validate(c); len(p) > 0 {
			t.Error(c.Effective, p)
		}
		got := make(map[string]string)
		for _, typ := range c.Types {
			price, _ := Price(typ, "USD")
			got[typ.ID] = price.String()
			if trial := typ.Unit == PerEndpoint; trial && typ.TrialDays != 14 || !trial && typ.TrialDays != 0 && typ.ID != "backup-user" {
				t.Errorf("%s has a trial of %d days", typ.ID, typ.TrialDays)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if len(all) != 2 || all[0].Minimum != nil || all[1].Minimum["USD"].String() != "20.00" || all[1].Effective.String() != "2024-08" {
		t.Error("B3: the minimum begins in August 2024")
	}
	b, err := json.Marshal(all[1].Types[0])
	if err != nil {
		t.Fatal(err)
	}
	const server = `{"id":"server","family":"backup","unit":"endpoint","term":"monthly","prices":{"USD":"6.99"},"trial_days":14,"free_units":0,` +
		`"policy":"days-active","meter":"","aggregate":"","includes":[],"requires":"","included_units":0,"release_lock_days":0,"closed":false}`
	if diff := cmp.Diff(server, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestUnits(t *testing.T) {
	for unit, want := range map[string]events.AssigneeKind{
		PerEndpoint: events.Endpoint, PerSocket: events.Endpoint, PerAdministrator: events.Administrator, PerDomainUser: events.DomainUser,
		PerDomain: events.Domain, PerBranding: events.Branding, PerGiBMonth: "", PerUserSeat: "", "call": "",
	} {
		if kind, ok := AssigneeKind(unit); kind != want || ok != (want != "") {
			t.Errorf("%s serves %q", unit, kind)
		}
	}
	vm, _ := defaultBook().Type(mon("2026-04"), "vm-server")
	for sockets, want := range map[int]int{0: 0, 1: 0, 2: 0, 3: 1, 5: 3} {
		if got := Sockets(vm, sockets); got != want {
			t.Errorf("L12: %d sockets need %d licenses, want %d", sockets, got, want)
		}
	}
}

func TestC1Book(t *testing.T) {
	priced := func(m, price string) events.Catalog {
		c := with(standard(mon("2026-01")), "server", func(t *events.Type) { t.Prices = map[string]events.Money{"USD": money(price)} })
		c.Effective = mon(m)
		return c
	}
	old := defaultBook()
	book := old.Publish(priced("2026-06", "8.00"), 70).Publish(priced("2026-05", "7.50"), 71).Publish(priced("2026-06", "8.50"), 72)
	for _, tt := range []struct {
		book  Book
		month string
		price string
		entry uint64
	}{
		{book, "2023-12", "", 0}, {book, "2024-01", "6.99", 0}, {book, "2026-04", "6.99", 0},
		{book, "2026-05", "7.50", 71}, {book, "2026-06", "8.50", 72}, {book, "2030-01", "8.50", 72},
		{old, "2026-05", "6.99", 0}, // a book never changes
		{Book{}, "2026-05", "", 0},
	} {
		m := mon(tt.month)
		_, entry, ok := tt.book.At(m)
		typ, found := tt.book.Type(m, "server")
		price, _ := Price(typ, "USD")
		if ok != (tt.price != "") || found != ok || entry != tt.entry || found && price.String() != tt.price {
			t.Errorf("%s: %s of entry %d, want %s of %d", tt.month, price, entry, tt.price, tt.entry)
		}
	}
	if _, found := book.Type(mon("2026-06"), "mainframe"); found {
		t.Error("a type that nobody sells")
	}
}

func TestBookCheck(t *testing.T) {
	now := at("2026-04-30T23:59:59.999Z")
	base := standard(mon("2026-04"))
	book := defaultBook()
	extra := base.Types[0]
	extra.ID = "nas"
	var september events.Catalog = base
	september.Effective = mon("2026-09")

	fresh := func(month string, change func(c *events.Catalog)) events.Catalog {
		c := base
		c.Types = slices.Clone(base.Types)
		c.Effective = mon(month)
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name   string
		book   Book
		c      events.Catalog
		fields []string
	}{
		{"C1: the next month", book, fresh("2026-05", func(*events.Catalog) {}), nil},
		{"C1: the running month", book, fresh("2026-04", func(*events.Catalog) {}), []string{"effective"}},
		{"C1: a month gone by", book, fresh("2024-08", func(*events.Catalog) {}), []string{"effective"}},
		{"C2: a type vanishes", book, fresh("2026-05", func(c *events.Catalog) { c.Types = c.Types[1:] }), []string{"types"}},
		{"C2: a type is closed", book, fresh("2026-05", func(c *events.Catalog) { c.Types[0].Closed = true }), nil},
		{"a new type", book, fresh("2026-05", func(c *events.Catalog) { c.Types = append(c.Types, extra) }), nil},
		{"C2: a type that the next catalog lacks", book.Publish(september, 9),
			fresh("2026-05", func(c *events.Catalog) { c.Types = append(c.Types, extra) }), []string{"types[19]"}},
		{"C1: the same month again may drop what only it had",
			book.Publish(fresh("2026-05", func(c *events.Catalog) { c.Types = append(c.Types, extra) }), 9), fresh("2026-05", func(*events.Catalog) {}), nil},
		{"a type for another assignee", book, fresh("2026-05", func(c *events.Catalog) { c.Types[0].Unit = PerDomain }), []string{"types[0].unit"}},
		{"a type by the year", book, fresh("2026-05", func(c *events.Catalog) {
			c.Types[3].Term, c.Types[3].Unit = events.Annual, PerUserSeat
		}), []string{"types[3].unit", "types[3].term"}},
		{"a type without its currency", book, fresh("2026-05", func(c *events.Catalog) {
			c.Types[0].Prices = map[string]events.Money{"EUR": money("5.00")}
		}), []string{"types[0].prices.USD"}},
		{"a metered type becomes assigned", book, fresh("2026-05", func(c *events.Catalog) {
			c.Types[17].Policy, c.Types[17].Meter, c.Types[17].Aggregate, c.Types[17].Unit = events.DaysActive, "", "", PerDomain
		}), []string{"types[17].unit", "types[17].policy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			checkFields(t, tt.book.Check(tt.c, now), tt.fields)
		})
	}
}

func checkFields(t *testing.T, p Problems, want []string) {
	t.Helper()
	var got []string
	for _, x := range p {
		got = append(got, x.Field)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%v\n%s", p, diff)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *events.Catalog)
		fields []string
	}{
		{"good", func(*events.Catalog) {}, nil},
		{"no month", func(c *events.Catalog) { c.Effective = 0 }, []string{"effective"}},
		{"no types", func(c *events.Catalog) { c.Types = nil }, []string{"types"}},
		{"a negative minimum", func(c *events.Catalog) { c.Minimum = map[string]events.Money{"USD": money("-1.00")} }, []string{"minimum.USD"}},
		{"half a cent of minimum", func(c *events.Catalog) { c.Minimum = map[string]events.Money{"USD": money("1.005")} }, []string{"minimum.USD"}},
		{"a minimum in no currency", func(c *events.Catalog) { c.Minimum = map[string]events.Money{"usd": money("1.00")} }, []string{"minimum.usd"}},
		{"an id with a blank", func(c *events.Catalog) { c.Types[0].ID = "my server" }, []string{"types[0].id"}},
		{"an id twice", func(c *events.Catalog) { c.Types[1].ID = "server" }, []string{"types[1].id"}},
		{"no family", func(c *events.Catalog) { c.Types[0].Family = "" }, []string{"types[0].family"}},
		{"an unknown unit", func(c *events.Catalog) { c.Types[0].Unit = "mailbox" }, []string{"types[0].unit"}},
		{"an unknown term", func(c *events.Catalog) { c.Types[0].Term = "weekly" }, []string{"types[0].term"}},
		{"an unknown policy", func(c *events.Catalog) { c.Types[0].Policy = "flat" }, []string{"types[0].policy"}},
		{"no price", func(c *events.Catalog) { c.Types[0].Prices = nil }, []string{"types[0].prices"}},
		{"a negative price", func(c *events.Catalog) { c.Types[0].Prices = usd(-1, 0) }, []string{"types[0].prices.USD"}},
		{"too high a price", func(c *events.Catalog) { c.Types[0].Prices = usd(MaxPrice*100+1, -2) }, []string{"types[0].prices.USD"}},
		{"too fine a price", func(c *events.Catalog) { c.Types[0].Prices = usd(1, -7) }, []string{"types[0].prices.USD"}},
		{"a fine price", func(c *events.Catalog) { c.Types[0].Prices = usd(1, -6) }, nil},
		{"a price of nothing", func(c *events.Catalog) { c.Types[0].Prices = usd(0, 0) }, nil},
		{"a negative trial", func(c *events.Catalog) { c.Types[0].TrialDays = -1 }, []string{"types[0].trial_days"}},
		{"a long trial", func(c *events.Catalog) { c.Types[0].TrialDays = 367 }, []string{"types[0].trial_days"}},
		{"negative free units", func(c *events.Catalog) { c.Types[0].FreeUnits = -1 }, []string{"types[0].free_units"}},
		{"sockets of an administrator", func(c *events.Catalog) { c.Types[10].IncludedUnits = 2 }, []string{"types[10].included_units"}},
		{"a lock on a monthly type", func(c *events.Catalog) { c.Types[0].ReleaseLockDays = 30 }, []string{"types[0].release_lock_days"}},
		{"a meter without use", func(c *events.Catalog) { c.Types[0].Meter = "x" }, []string{"types[0].meter"}},
		{"an aggregate without use", func(c *events.Catalog) { c.Types[0].Aggregate = events.Sum }, []string{"types[0].aggregate"}},
		{"metered without meter and aggregate", func(c *events.Catalog) { c.Types[17].Meter, c.Types[17].Aggregate = "", "" },
			[]string{"types[17].meter", "types[17].aggregate"}},
		{"a meter that no report can name", func(c *events.Catalog) { c.Types[17].Meter = "a\nb" }, []string{"types[17].meter"}},
		{"metered with free units", func(c *events.Catalog) { c.Types[17].FreeUnits = 1 }, []string{"types[17].free_units"}},
		{"metered per anything", func(c *events.Catalog) { c.Types[17].Unit = "call" }, nil},
		{"a key per endpoint", func(c *events.Catalog) { c.Types[18].Unit = PerEndpoint }, []string{"types[18].unit"}},
		{"a key with a peak", func(c *events.Catalog) { c.Types[18].Policy = events.Peak }, []string{"types[18].policy"}},
		{"requires nobody", func(c *events.Catalog) { c.Types[8].Requires = "x" }, []string{"types[8].requires"}},
		{"a socket of nothing", func(c *events.Catalog) { c.Types[8].Requires = "" }, []string{"types[8].requires"}},
		{"requires itself", func(c *events.Catalog) { c.Types[0].Requires = "server" }, []string{"types[0].requires"}},
		{"requires another assignee's", func(c *events.Catalog) { c.Types[0].Requires = "connect" }, []string{"types[0].requires"}},
		{"includes twice", func(c *events.Catalog) { c.Types[9].Includes = []string{"connect", "connect"} }, []string{"types[9].includes[1]"}},
		{"a circle of requirements", func(c *events.Catalog) { c.Types[0].Requires, c.Types[1].Requires = "ultimate", "server" }, []string{"types[0]"}},
		{"requires what includes it", func(c *events.Catalog) { c.Types[10].Requires = "rmm-connect" }, []string{"types[9]"}},
		{"too large for the log", func(c *events.Catalog) {
			for i := range 300 {
				t := c.Types[0]
				t.ID = fmt.Sprint("server-", i)
				c.Types = append(c.Types, t)
			}
		}, []string{"types"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()[1]
			tt.change(&c)
			checkFields(t, Validate(c), tt.fields)
		})
	}
}

func TestFill(t *testing.T) {
	given := events.Catalog{Effective: mon("2026-05"), Types: []events.Type{{ID: "nas", Family: "backup", Unit: PerEndpoint, Prices: usd(5, 0)}}}
	full := Fill(given)
	if typ := full.Types[0]; typ.Term != events.Monthly || typ.Policy != events.DaysActive || typ.Includes == nil {
		t.Errorf("C4: %+v", typ)
	}
	if given.Types[0].Term != "" {
		t.Error("the given catalog has changed")
	}
	if p := Validate(full); len(p) > 0 {
		t.Error(p)
	}
}

func BenchmarkBookType(b *testing.B) {
	book, m := defaultBook(), mon("2026-04")
	for b.Loop() {
		if t, ok := book.Type(m, "premium-support"); !ok || t.Prices["USD"].LessThan(decimal.Zero) {
			b.Fatal("missing")
		}
	}
}
