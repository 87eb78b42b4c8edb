package catalog

import (
	"testing"

	"licenseledger/events"
)

// A catalog that is supposed keeps what it leaves out, and makes no type another thing.
func TestInstead(t *testing.T) {
	month, err := events.ParseMonth("2026-03")
	if err != nil {
		t.Fatal(err)
	}
	book := Book{}
	for i, c := range Default() {
		book = book.Publish(c, uint64(i))
	}
	was, _, _ := book.At(month)
	server := was.Types[0]
	server.Prices = map[string]events.Money{"USD": fromCents(500)}
	c, problems := book.Instead(Fill(events.Catalog{Effective: month, Types: []events.Type{server}}), month)
	if len(problems) > 0 || len(c.Types) != len(was.Types) || len(c.Minimum) != 0 {
		t.Fatalf("%v: %d types, minimum %v", problems, len(c.Types), c.Minimum)
	}
	for _, got := range c.Types {
		price, _ := Price(got, "USD")
		for _, old := range was.Types {
			if before, _ := Price(old, "USD"); old.ID == got.ID && (got.ID == "server") == price.Equal(before.Decimal) {
				t.Errorf("%s costs %s, before %s", got.ID, price, before)
			}
		}
	}
	server.Unit = PerAdministrator
	if _, problems := book.Instead(Fill(events.Catalog{Effective: month, Types: []events.Type{server}}), month); len(problems) != 1 || problems[0].Field != "types[0].unit" {
		t.Errorf("another unit: %v", problems)
	}
	server.Prices = nil
	if _, problems := book.Instead(Fill(events.Catalog{Effective: month, Types: []events.Type{server}}), month); len(problems) < 2 {
		t.Errorf("without a price: %v", problems)
	}
}
