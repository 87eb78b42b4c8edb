package license_test

import (
	"slices"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// edition is the catalog in force in a month, from another month on, with one type changed.
func (d *desk) edition(effective, licenseType string, change func(*events.Type)) license.PublishCatalog {
	c, _, _ := d.System.Catalogs.At(month(effective))
	c.Effective, c.Types = month(effective), slices.Clone(c.Types)
	change(&c.Types[slices.IndexFunc(c.Types, func(t events.Type) bool { return t.ID == licenseType })])
	return license.PublishCatalog{Catalog: c}
}

func (d *desk) publish(want string, p license.PublishCatalog) {
	d.t.Helper()
	if got := d.in("", p); got != want {
		d.t.Fatalf("publishing a catalog of %s: %s, want %s", p.Catalog.Effective, got, want)
	}
}

func closed(t *events.Type) { t.Closed = true }

func price(s string) func(*events.Type) {
	return func(t *events.Type) { t.Prices = map[string]events.Money{"USD": money(s)} }
}

// C1: a catalog is in force from a month that has not begun.
func TestPublishCatalog(t *testing.T) {
	d := newDesk(t, "2026-02-28T23:59:59.999Z")
	d.publish("refused invalid", d.edition("2026-01", "server", price("7.00")))
	d.publish("refused invalid", d.edition("2026-02", "server", price("7.00")))
	d.publish("catalog.published.v1", d.edition("2026-03", "server", price("7.00")))
	d.publish("catalog.published.v1", d.edition("2026-03", "server", price("8.00"))) // replaces it
	d.at("2026-03-01")
	d.publish("refused invalid", d.edition("2026-03", "server", price("9.00")))
	d.publish("catalog.published.v1", d.edition("2026-04", "server", price("9.00")))
	for m, want := range map[string]string{"2026-02": "6.99", "2026-03": "8.00", "2026-04": "9.00"} {
		if s, ok := d.System.Catalogs.Type(month(m), "server"); !ok || s.Prices["USD"].String() != want {
			t.Errorf("a server costs %s in %s, want %s", s.Prices["USD"], m, want)
		}
	}
	// What may be left out is filled in before it is published: the log says all of it.
	p := d.edition("2026-05", "server", func(t *events.Type) { t.Term, t.Policy, t.Includes = "", "", nil })
	d.publish("catalog.published.v1", p)
	c := d.Entries[len(d.Entries)-1].Events[0].Data.(*events.CatalogPublished).Catalog
	if s := c.Types[0]; s.Term != events.Monthly || s.Policy != events.DaysActive || s.Includes == nil {
		t.Errorf("it was published as %+v", s)
	}
}

func TestCatalogProblems(t *testing.T) {
	d := newDesk(t, "2026-02-10")
	c, _, _ := d.System.Catalogs.At(month("2026-02"))
	c.Effective, c.Types = month("2026-02"), c.Types[1:]
	_, err := d.Do("", license.PublishCatalog{Catalog: c})
	refusal, ok := err.(*license.Refusal)
	if !ok || refusal.Code != license.Invalid || len(refusal.Problems) != 2 {
		t.Errorf("a catalog of a running month without a type that was sold: %#v", err)
	}
}

// C2: what is closed is not sold any more; what was sold goes on.
func TestClosedTypes(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	d.publish("catalog.published.v1", d.edition("2026-03", "server", closed))
	d.run(
		step{"2026-02-28T23:59:59.999Z", buy("server", 2, "auto"), `
			bought L1 server in "auto" until 2026-03-01
			bought L2 server in "auto" until 2026-03-01`},
		step{"2026-03-01", buy("server", 1, "auto"), "due closed 2026-02\nrefused type_closed"},
		step{"2026-03-01", allocate("server", "auto", "pc-1"), `
			due renewed L1 server until 2026-04-01
			endpoint pc-1 of "auto"
			allocated L1 server from company-pool to pc-1 of "auto"`},
		step{"2026-03-01", license.Release{License: "L2"}, `
			due renewed L2 server until 2026-04-01
			released L2 server`},
		step{"2026-03-01", allocate("server", "auto", "pc-2"), `refused type_closed`}, // on the spot
		step{"2026-03-01", allocate("server", "globex", "pc-3"), `refused pool_empty`},
		step{"2026-04-01", license.Settle{}, "due closed 2026-03\ndue renewed L1 server until 2026-05-01"},
	)
	d.publish("catalog.published.v1", d.edition("2026-05", "server", func(t *events.Type) { t.Closed = false }))
	d.run(step{"2026-05-01", buy("server", 1, "auto"), "due closed 2026-04\nbought L3 server in \"auto\" until 2026-06-01"})
}

// A type is sold from the month on in which a catalog has it, in the currencies that it has a price in.
func TestNewTypes(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	c, _, _ := d.System.Catalogs.At(month("2026-02"))
	tablet := c.Types[0]
	tablet.ID = "tablet"
	c.Effective, c.Types = month("2026-03"), append(slices.Clone(c.Types), tablet)
	d.publish("catalog.published.v1", license.PublishCatalog{Catalog: c})
	d.run(
		step{"2026-02-28", buy("tablet", 1, ""), `refused invalid license_type`},
		step{"2026-03-01", buy("tablet", 1, ""), "due closed 2026-02\nbought L1 tablet in \"\" until 2026-04-01"},
	)
}

func TestOpenAndMoveClock(t *testing.T) {
	d := newDesk(t, "2026-02-10T09:00")
	open := d.Entries[0].Events[0].Data.(*events.LedgerOpened)
	if !open.TestClock || open.Ledger == "" || open.Catalog.Effective != month("2024-01") {
		t.Errorf("entry 0 is %+v", open)
	}
	if c := d.Entries[0].Events[1].Data.(*events.CatalogPublished).Catalog; c.Effective != month("2024-08") || c.Minimum["USD"].String() != "20.00" {
		t.Errorf("B3: the second catalog is of %s with a minimum of %s", c.Effective, c.Minimum["USD"])
	}
	if got := d.in("", license.Open{Ledger: "another"}); got != "" {
		t.Errorf("an open ledger was opened again: %s", got)
	}
	if got := d.in("", license.MoveClock{To: d.Now}); got != "clock.moved.v1" {
		t.Error(got)
	}
}
