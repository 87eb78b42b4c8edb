package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/projections/invoices"
)

// Statement is what is to be explained: an issued statement, or the running month's as it stands.
type Statement struct {
	Provider string
	invoices.Statement
	// At is the moment whose entries it rests on: after its cut, or now.
	At past.Moment
	// Day is the last day that counts.
	Day events.Date
	// Effective is the month from which the catalog was in force by which it was rated.
	Effective events.Month
}

// explainer is an explanation under way.
type explainer struct {
	Statement
	names Names
	rows  map[share][]catalog.Row
	lines []*line
}

// share is a company's part of a type.
type share struct{ company, licenseType string }

// line is a line with its parts, to which entries are still to be found.
type line struct {
	catalog.Line
	parts  []part
	events []api.ExplainedEvent
}

type part struct {
	api.ExplainedPart
	use  *catalog.Use // whose entries are wanted
	cost events.Money
}

// Explain explains a statement, or the line of it that has an id; ok is false if there is no such line.
func Explain(ctx context.Context, h *past.Past, s Statement, id string, names Names) (e api.Explanation, ok bool, err error) {
	x := &explainer{Statement: s, names: names, rows: make(map[share][]catalog.Row)}
	for i := range s.Lines {
		if id == "" || s.Lines[i].ID == id {
			x.lines = append(x.lines, &line{Line: s.Lines[i]})
		}
	}
	if id != "" && len(x.lines) == 0 {
		return e, false, nil
	}
	if err := x.loadRows(ctx, h); err != nil {
		return e, false, err
	}
	for _, l := range x.lines {
		x.divide(l)
	}
	if err := x.findEntries(ctx, h); err != nil {
		return e, false, err
	}
	explained := make([]api.Explanation, len(x.lines))
	for i, l := range x.lines {
		if explained[i], err = x.explanation(l, id != ""); err != nil {
			return e, false, err
		}
	}
	if id != "" {
		return explained[0], true, nil
	}
	return api.Explanation{
		Invoice: s.Number, Currency: s.Currency, Amount: s.Total.String(), Lines: explained,
		Text: fmt.Sprintf("invoice %s of %s: %s %s in %d lines", s.Number, s.Month, s.Total, s.Currency, len(s.Lines)),
	}, true, nil
}

// loadRows reads the usage history as it was when the statement was computed.
func (x *explainer) loadRows(ctx context.Context, h *past.Past) error {
	then, err := h.View(ctx, invoices.New(), x.Provider, x.At)
	if err != nil {
		return err
	}
	defer func() { _ = then.Close() }()
	return then.Read(func(tx *bbolt.Tx) error {
		rating, err := invoices.History(tx, x.Provider, x.Month, x.Day)
		for i := range rating.Rows {
			of := share{rating.Rows[i].Company, rating.Rows[i].Type}
			x.rows[of] = append(x.rows[of], rating.Rows[i])
		}
		return err
	})
}

// divide says what a line consists of.
func (x *explainer) divide(l *line) {
	switch l.Kind {
	case catalog.Usage:
		for _, row := range x.rows[share{l.Company, l.LicenseType}] {
			if p, ok := x.used(l, &row); ok {
				l.parts = append(l.parts, p)
			}
		}
	case catalog.Minimum:
		l.add(l.Amount, fmt.Sprintf("the usage of %s comes to %s, which is lifted to the minimum of %s", x.Month, x.Subtotal, sum(x.Subtotal, l.Amount)))
	case catalog.Carried:
		if l.Amount.IsNegative() {
			l.add(l.Amount, fmt.Sprintf("a credit that was left when %s was charged", l.Month))
		} else {
			l.add(l.Amount, "a credit that is left for the next statement: an invoice never falls below zero")
		}
	}
	// What an adjustment consists of shows when the entries are read.
}

// used is the part of a usage line that a row of the usage history is.
func (x *explainer) used(l *line, row *catalog.Row) (part, bool) {
	p := part{cost: row.Cost, use: row.Use}
	p.LicenseType, p.Company, p.DaysActive, p.BilledDays = row.Type, row.Company, row.DaysActive, row.BilledDays
	days := x.Month.Days()
	switch {
	case row.Use == nil && l.Policy == events.Metered:
		p.Text = fmt.Sprintf("the meter came to %s %s, on %d days of endpoints, at %s", row.Quantity, l.Unit, row.BilledDays, l.UnitPrice)
		return p, true
	case row.Use == nil:
		return p, false // the peak is carried by its licenses
	}
	u := row.Use
	p.License = u.License
	p.Assignee = &api.Assignee{Kind: string(u.Assignee.Kind), ID: u.Assignee.ID}
	if x.names != nil {
		p.Assignee.ID = x.names(u.Assignee)
	}
	whom := x.names.of(u.Assignee)
	if u.To < u.From {
		p.Text = whom + " on no day that was not another's"
		return p, true
	}
	p.From, p.Through = u.From.String(), u.To.String()
	when := fmt.Sprintf("%s from %s to %s", whom, p.From, p.Through)
	switch {
	case l.Policy == events.Peak && row.Cost.IsZero():
		p.Text = when + ": not among those of the day with the most licenses"
	case l.Policy == events.Peak:
		p.Text = when + ": one of those of the first day with the most licenses"
	case row.BilledDays == 0 && row.DaysActive > 0 && l.Policy == events.FullMonth:
		p.Text = when + ": the month is billed with another assignment of this license, or free"
	case row.BilledDays == 0 && row.DaysActive > 0:
		p.Text = fmt.Sprintf("%s: %d days, free because no older license was active", when, row.DaysActive)
	case l.Policy == events.FullMonth:
		p.Text = when + ": any active day bills the whole month"
	case row.BilledDays < row.DaysActive:
		p.Text = fmt.Sprintf("%s: %d days, of which %d of %d are billed and the others free", when, row.DaysActive, row.BilledDays, days)
	default:
		p.Text = fmt.Sprintf("%s: %d of %d days", when, row.BilledDays, days)
	}
	return p, true
}

func (l *line) add(amount events.Money, text string) {
	p := part{cost: amount}
	p.Text, p.LicenseType, p.Company = text, l.LicenseType, l.Company
	l.parts = append(l.parts, p)
}

// findEntries reads the provider's history once, and notes what stands behind each part.
func (x *explainer) findEntries(ctx context.Context, h *past.Past) error {
	byLicense := make(map[string][]*found)
	for _, l := range x.lines {
		for i := range l.parts {
			if u := l.parts[i].use; u != nil {
				byLicense[u.License] = append(byLicense[u.License], &found{l, i})
			}
		}
	}
	meters := make(map[string]string) // of license types
	for e, err := range h.Entries(ctx, x.Provider, x.At) {
		if err != nil {
			return err
		}
		for i := range e.Events {
			d := e.Events[i].Data
			if l := events.LicenseAfter(d); l != nil {
				for _, f := range byLicense[l.ID] {
					if f.begins(d, e.EffectiveAt(i), x.Month) {
						f.note(x, e, i)
					}
				}
				continue
			}
			x.note(e, i, meters)
		}
	}
	for _, l := range x.lines {
		x.remainder(l)
	}
	return nil
}

// found is a part for which entries are found.
type found struct {
	line *line
	part int
}

// begins says whether an event of the part's license is one that stands behind it: it began the use, ended it, or renewed it in this month.
func (f *found) begins(d events.Data, at time.Time, month events.Month) bool {
	switch d.(type) {
	case *events.LicenseBought, *events.LicenseTrialEnding, *events.LicenseAutoRenewSet:
		return false
	}
	u := f.line.parts[f.part].use
	if at.Equal(u.Activated) {
		return true
	}
	if at.Equal(u.Deactivated) {
		return true
	}
	goesOn := u.Deactivated.IsZero() || at.Before(u.Deactivated)
	return goesOn && at.After(u.Activated) && !at.Before(month.Start()) && at.Before(month.End())
}

func (f *found) note(x *explainer, e *events.Entry, i int) {
	p := &f.line.parts[f.part]
	p.Positions = append(p.Positions, position(e, i))
	f.line.note(x, e, i)
}

func (l *line) note(x *explainer, e *events.Entry, i int) {
	l.events = append(l.events, explained(e, i, x.names))
}

// note looks at an event that is not about a license.
func (x *explainer) note(e *events.Entry, i int, meters map[string]string) {
	switch d := e.Events[i].Data.(type) {
	case *events.LedgerOpened:
		learnMeters(meters, d.Catalog)
	case *events.CatalogPublished:
		learnMeters(meters, d.Catalog)
	case *events.MonthClosed:
		// What was late or corrected until then stood on the statement of that month.
		for _, l := range x.lines {
			if l.Kind == catalog.Adjustment && d.Month == x.Month-1 {
				l.parts, l.events = nil, nil
			}
		}
	case *events.UsageRecorded:
		for _, l := range x.lines {
			if l.Policy != events.Metered || l.Company != d.Company {
				continue
			}
			if slices.ContainsFunc(d.Readings, func(r events.Reading) bool {
				return r.Meter == meters[l.LicenseType] && events.MonthOf(r.At) == l.Month
			}) {
				l.note(x, e, i)
				if len(l.parts) == 1 && l.Kind == catalog.Usage {
					l.parts[0].Positions = append(l.parts[0].Positions, position(e, i))
				}
			}
		}
	case *events.AdjustmentRecorded:
		for _, l := range x.lines {
			if l.Kind != catalog.Adjustment || l.Policy == catalog.OfMinimum ||
				l.Month != d.Month || l.Company != d.Company || l.LicenseType != d.LicenseType {
				continue
			}
			l.add(catalog.RoundCent(d.Amount.Decimal), "corrected: "+d.Reason)
			l.parts[len(l.parts)-1].Positions = []string{position(e, i)}
			l.note(x, e, i)
		}
	case *events.StatementIssued:
		for _, l := range x.lines {
			if l.Kind == catalog.Carried && l.Amount.IsNegative() && d.Month == l.Month {
				l.parts[0].Positions = append(l.parts[0].Positions, position(e, i))
				l.note(x, e, i)
			}
		}
	}
}

func learnMeters(meters map[string]string, c events.Catalog) {
	for _, t := range c.Types {
		if t.Meter != "" {
			meters[t.ID] = t.Meter
		}
	}
}

// remainder says what of an adjustment no correction accounts for: it is what came late, or how the month's minimum changed.
func (x *explainer) remainder(l *line) {
	if l.Kind != catalog.Adjustment {
		return
	}
	rest := events.Money{Decimal: l.Amount.Sub(l.total().Decimal)}
	switch {
	case rest.IsZero():
	case l.Policy == catalog.OfMinimum:
		l.add(rest, fmt.Sprintf("with it, what had been charged to reach the minimum of %s changes", l.Month))
	default:
		l.add(rest, fmt.Sprintf("readings of %s that came when it was closed", l.Month))
		for _, e := range l.events {
			if e.Kind == (*events.UsageRecorded)(nil).Kind() {
				last := &l.parts[len(l.parts)-1]
				last.Positions = append(last.Positions, e.Position)
			}
		}
	}
}

func (l *line) total() events.Money {
	total := events.Money{}
	for i := range l.parts {
		total = sum(total, l.parts[i].cost)
	}
	return total
}

func (x *explainer) explanation(l *line, alone bool) (api.Explanation, error) {
	if total := l.total(); !total.Equal(l.Amount.Decimal) {
		return api.Explanation{}, fmt.Errorf("line %s of %s: its parts add up to %s, not %s", l.ID, x.Number, total, l.Amount)
	}
	e := api.Explanation{
		Invoice: x.Number, Currency: x.Currency, Amount: l.Amount.String(), Line: apiLine(&l.Line), Text: x.title(l),
		Parts: make([]api.ExplainedPart, len(l.parts)),
	}
	for i := range l.parts {
		e.Parts[i] = l.parts[i].ExplainedPart
		e.Parts[i].Amount = events.Money{Decimal: catalog.RoundCent(l.parts[i].cost.Decimal).Decimal}.String()
		if e.Parts[i].Positions == nil {
			e.Parts[i].Positions = []string{}
		}
	}
	if l.LicenseType != "" || l.Kind == catalog.Minimum {
		e.Catalog = &api.ExplainedCatalog{Effective: x.Effective.String(), Position: x.Catalog}
	}
	if alone {
		e.Events = l.events
	}
	return e, nil
}

func (x *explainer) title(l *line) string {
	what := string(l.Kind)
	if l.LicenseType != "" {
		what = l.LicenseType
	}
	if l.Company != "" {
		what += " for " + l.Company
	}
	text := fmt.Sprintf("%s in %s: %s %s", what, l.Month, l.Amount, x.Currency)
	switch {
	case l.Kind == catalog.Usage:
		return text + fmt.Sprintf(", %s at %s per %s and month (%s)", l.Quantity, l.UnitPrice, l.Unit, l.Policy)
	case l.Kind == catalog.Adjustment:
		return "adjustment of " + text
	}
	return text
}

func apiLine(l *catalog.Line) *api.Line {
	row := &api.Line{
		ID: l.ID, Kind: string(l.Kind), Company: l.Company, LicenseType: l.LicenseType, Policy: string(l.Policy), Unit: l.Unit,
		DaysActive: l.DaysActive, BilledDays: l.BilledDays, Month: l.Month.String(), Amount: l.Amount.String(),
	}
	if l.LicenseType != "" {
		row.UnitPrice, row.Quantity = l.UnitPrice.String(), json.Number(l.Quantity.String())
	}
	return row
}

func sum(a, b events.Money) events.Money { return events.Money{Decimal: a.Add(b.Decimal)} }

// position names an event: the number of its entry, and its own within it.
func position(e *events.Entry, i int) string {
	return strconv.FormatUint(e.Number, 10) + "." + strconv.Itoa(i)
}

func explained(e *events.Entry, i int, names Names) api.ExplainedEvent {
	ev := &e.Events[i]
	x := api.ExplainedEvent{
		Position: position(e, i), Kind: ev.Data.Kind(), At: e.Time, Effective: ev.Effective, Actor: e.Actor, Text: names.words(ev.Data),
	}
	if l := events.LicenseAfter(ev.Data); l != nil {
		x.License = l.ID
	}
	return x
}

// Life is all that ever happened to a license, in the order of the log; empty if nothing did.
func Life(ctx context.Context, h *past.Past, provider, license string, at past.Moment, names Names) (list []api.ExplainedEvent, err error) {
	for e, err := range h.Entries(ctx, provider, at) {
		if err != nil {
			return nil, err
		}
		for i := range e.Events {
			if l := events.LicenseAfter(e.Events[i].Data); l != nil && l.ID == license {
				list = append(list, explained(e, i, names))
			}
		}
	}
	return list, nil
}

// InWords tells a license's life in one sentence.
func InWords(l *api.License, list []api.ExplainedEvent) string {
	parts := make([]string, 0, len(list))
	for _, e := range list {
		at := e.At
		if !e.Effective.IsZero() {
			at = e.Effective
		}
		parts = append(parts, at.UTC().Format(time.DateOnly)+" "+e.Text)
	}
	return fmt.Sprintf("%s license %s is %s: %s", l.LicenseType, l.ID, l.Status, strings.Join(parts, "; "))
}
