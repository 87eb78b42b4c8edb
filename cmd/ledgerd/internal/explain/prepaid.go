package explain

import (
	"fmt"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/projections/invoices"
)

// Prepaid explains the invoice of a key, or its line if that has the id: what it is for stands in the entry that issued it. effective is the month from
// which the catalog was in force; ok is false if there is no such line.
func Prepaid(v *invoices.Prepaid, issued *events.Entry, effective events.Month, id string) (e api.Explanation, ok bool) {
	line := catalog.PrepaidLine(&v.PrepaidIssued)
	if id != "" && id != line.ID {
		return e, false
	}
	text := fmt.Sprintf("%s of key %s: %d seats of %s at %s %s a year", v.For, v.Key, v.Seats, v.LicenseType, v.UnitPrice, v.Currency)
	if v.Days > 0 {
		text += fmt.Sprintf(", for %d of the term's %d days", v.Days, v.TermDays)
	}
	e = api.Explanation{
		Invoice: v.Number, Currency: v.Currency, Amount: v.Amount.String(), Text: text, Line: apiLine(&line),
		Catalog: &api.ExplainedCatalog{Effective: effective.String(), Position: v.Catalog},
	}
	part := api.ExplainedPart{
		Text: text, LicenseType: v.LicenseType, Company: v.Company, From: events.DateOf(v.From).String(), Through: events.LastDateBefore(v.To).String(),
		BilledDays: v.Days, Amount: v.Amount.String(),
	}
	for i := range issued.Events {
		e.Events = append(e.Events, explained(issued, i, nil))
		part.Positions = append(part.Positions, position(issued, i))
	}
	e.Parts = []api.ExplainedPart{part}
	if id == "" {
		e = api.Explanation{
			Invoice: v.Number, Currency: v.Currency, Amount: v.Amount.String(), Lines: []api.Explanation{e},
			Text: fmt.Sprintf("prepaid invoice %s of %s: %s %s", v.Number, events.DateOf(v.IssuedAt), v.Amount, v.Currency),
		}
	}
	return e, true
}
