package httpapi

import (
	"context"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/explain"
	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
)

func (s *server) explanations() {
	const tag = "Invoices"
	register(s, call{
		method: "GET", path: "/providers/{provider}/invoices/{number}/explain", id: "explain-invoice", summary: "Why an invoice is what it is", tag: tag,
		about: "Each line with the parts that add up to it, and the positions of the events behind each part; with `line` that one alone, and its events in words. " +
			"The number `draft` stands for the running month.",
		allow: []string{auth.ManageLicenses}, present: true,
	}, s.explainInvoice)
	register(s, call{
		method: "GET", path: "/providers/{provider}/licenses/{license}/explain", id: "explain-license", summary: "The whole life of a license", tag: "Licenses",
		allow: []string{auth.ManageLicenses}, present: true,
	}, s.explainLicense)
	register(s, call{
		method: "POST", path: "/providers/{provider}/what-if", id: "what-if", summary: "What past months would have cost under another catalog", tag: tag,
		about: "The statements of closed months as they were and as they would have been: the same licenses, days, readings and corrections, other prices and policies. " +
			"The catalog counts from its effective month on; types that it leaves out stay as they were. Nothing is recorded.",
		allow: []string{auth.ManageLicenses}, reads: true,
	}, s.whatIf)
}

// past is the past of providers.
func (s *server) past() *past.Past { return &past.Past{Audit: s.AuditReader} }

type explainInvoiceIn struct {
	ProviderPath
	Number string `path:"number" pattern:"^[A-Za-z0-9-]{1,32}$" example:"S-000001"`
	api.ExplainQuery
}

func (s *server) explainInvoice(ctx context.Context, in *explainInvoiceIn) (*read[api.Explanation], error) {
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	var book catalog.Book
	exists, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) (err error) {
		_, book, err = licenses.LoadSystem(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if license.IsPrepaid(in.Number) {
		return s.explainPrepaid(ctx, in, book, exists)
	}
	statement := explain.Statement{Provider: in.Provider}
	position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) (err error) {
		ok := false
		if in.Number == api.InvoiceDraft {
			statement.Statement, ok, err = invoices.Draft(tx, in.Provider, events.DateOf(now))
			statement.Number = api.InvoiceDraft
		} else {
			statement.Statement, ok, err = invoices.ByNumber(tx, in.Provider, in.Number)
		}
		if err == nil && !ok {
			err = notFound("provider %q has no invoice %q", in.Provider, in.Number)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	statement.Day = min(statement.Month.Last(), events.DateOf(now))
	rests := statement.Cut
	if in.Number == api.InvoiceDraft {
		rests = *position
	}
	statement.At = past.After(rests)
	if c, _, ok := book.At(statement.Month); ok {
		statement.Effective = c.Effective
	}
	if err := s.wait(ctx, s.Audit, rests); err != nil {
		return nil, err
	}
	explained, ok, err := explain.Explain(ctx, s.past(), statement, in.Line, s.nameOf(in.Provider))
	if err == nil && !ok {
		err = notFound("invoice %s has no line %.40q", in.Number, in.Line)
	}
	return &read[api.Explanation]{lowest(exists, position), explained}, err
}

// explainPrepaid explains the invoice of a key: all of it stands in one entry.
func (s *server) explainPrepaid(ctx context.Context, in *explainInvoiceIn, book catalog.Book, exists *uint64) (*read[api.Explanation], error) {
	var found invoices.Invoice
	position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) (err error) {
		found, err = findInvoice(tx, in.Provider, in.Number)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, s.Audit, found.Prepaid.Entry); err != nil {
		return nil, err
	}
	line, err := s.AuditReader.Entry(ctx, found.Prepaid.Entry)
	if err != nil {
		return nil, err
	}
	entry, err := events.DecodeEntry(line)
	if err != nil {
		return nil, err
	}
	c, _, _ := book.At(events.MonthOf(found.Prepaid.IssuedAt))
	explained, ok := explain.Prepaid(found.Prepaid, &entry, c.Effective, in.Line)
	if !ok {
		return nil, notFound("invoice %s has no line %.40q", in.Number, in.Line)
	}
	return &read[api.Explanation]{lowest(exists, position), explained}, nil
}

// nameOf gives the ids that callers know to those whom licenses serve.
func (s *server) nameOf(provider string) explain.Names {
	return func(a events.Assignee) string { return s.assignee(provider, a).ID }
}

func (s *server) explainLicense(ctx context.Context, in *getLicenseIn) (*read[api.LicenseLife], error) {
	found, err := s.getLicense(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, s.Audit, *found.Position); err != nil {
		return nil, err
	}
	life, err := explain.Life(ctx, s.past(), in.Provider, in.License, past.After(*found.Position), s.nameOf(in.Provider))
	return &read[api.LicenseLife]{found.Position, api.LicenseLife{License: found.Body, Text: explain.InWords(&found.Body, life), Events: life}}, err
}

type whatIfIn struct {
	ProviderPath
	api.ReadOptions
	Body api.WhatIf
}

func (s *server) whatIf(ctx context.Context, in *whatIfIn) (*read[api.WhatIfAnswer], error) {
	c, wrong := catalogOf(in.Body.Catalog)
	from, errFrom := events.ParseMonth(in.Body.From)
	to, errTo := events.ParseMonth(in.Body.To)
	for field, err := range map[string]error{"body.from": errFrom, "body.to": errTo} {
		if err != nil {
			wrong = append(wrong, api.FieldError{Location: field, Message: err.Error()})
		}
	}
	for i := range wrong {
		wrong[i].Location = inCatalog(wrong[i].Location)
	}
	if len(wrong) > 0 {
		p := api.NewProblem(api.CodeInvalid, "this cannot be read")
		p.Errors = wrong
		return nil, p
	}
	c = catalog.Fill(c)
	var currency string
	position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, a license.Account) error {
		currency = a.Currency
		switch {
		case from >= to:
			return invalid("body.to", "the month after the last one is later than the first")
		case to > a.Open:
			return invalid("body.to", "%s is not closed: the month after the last is %s at most", a.Open, a.Open)
		case to-from > longestWhatIf:
			return invalid("body.from", "at most %d months at a time", longestWhatIf)
		}
		_, book, err := licenses.LoadSystem(tx)
		if err != nil {
			return err
		}
		var problems catalog.Problems
		if c, problems = book.Instead(c, to-1); len(problems) > 0 {
			p := api.NewProblem(api.CodeInvalid, "the catalog cannot be supposed: "+problems.Error())
			for _, wrong := range problems {
				p.Errors = append(p.Errors, api.FieldError{Location: "body.catalog." + wrong.Field, Message: wrong.Message})
			}
			return p
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.wait(ctx, s.Audit, *position); err != nil {
		return nil, err
	}
	months, err := explain.WhatIf(ctx, s.past(), in.Provider, c, from, to)
	if err != nil {
		return nil, err
	}
	return &read[api.WhatIfAnswer]{position, whatIfAnswer(currency, months)}, nil
}

// longestWhatIf bounds the months of one question.
const longestWhatIf = 120

// inCatalog is where something stands in a body that has the catalog as a part.
func inCatalog(location string) string {
	const body = "body."
	if location == "body.from" || location == "body.to" || len(location) < len(body) {
		return location
	}
	return body + "catalog." + location[len(body):]
}

func whatIfAnswer(currency string, months []explain.Supposed) api.WhatIfAnswer {
	var was, would events.Money
	add := func(a, b events.Money) events.Money { return events.Money{Decimal: a.Add(b.Decimal)} }
	less := func(a, b events.Money) string { return events.Money{Decimal: a.Sub(b.Decimal)}.String() }
	answer := api.WhatIfAnswer{Currency: currency, Months: make([]api.WhatIfMonth, len(months))}
	for i := range months {
		m := &months[i]
		was, would = add(was, m.Was.Total), add(would, m.WouldBe.Total)
		// What would have been issued has no number, digest or position: it never was.
		m.Was.Currency, m.WouldBe.Currency = currency, currency
		row := api.WhatIfMonth{
			Month: m.Month.String(), Was: invoiceRow(&m.Was), WouldBe: invoiceRow(&m.WouldBe), Lines: make([]api.WhatIfLine, len(m.Lines)),
			Difference: less(m.WouldBe.Total, m.Was.Total),
		}
		for k, l := range m.Lines {
			row.Lines[k] = api.WhatIfLine{
				Kind: string(l.Kind), Company: l.Company, LicenseType: l.LicenseType, Month: l.Month.String(),
				Was: l.Was.String(), WouldBe: l.WouldBe.String(), Difference: less(l.WouldBe, l.Was),
			}
		}
		answer.Months[i] = row
	}
	answer.Was, answer.WouldBe, answer.Difference = was.String(), would.String(), less(would, was)
	return answer
}
