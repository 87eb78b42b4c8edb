package httpapi

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/document"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

func (s *server) invoices() {
	const path, tag = "/providers/{provider}/invoices", "Invoices"
	list(s, listing[invoicesIn, api.Invoice, api.InvoicePage]{
		call: call{
			method: "GET", path: path, id: "list-invoices", summary: "The issued invoices", tag: tag,
			about: "Statements of months, and the prepaid invoices of annual keys; the newest last. A month selects its statement and what was issued in it. A page " +
				"may be shorter than limit and still have a next one. CSV has no lines.",
			allow: []string{auth.ManageLicenses},
		},
		options: func(in *invoicesIn) api.PageOptions { return in.PageOptions },
		// A month's statement is issued behind what was issued in the month, so the two are one order.
		orders: []string{"issued_at", "month"},
		open:   s.listInvoices,
		page: func(rows []api.Invoice, next string) api.InvoicePage {
			return api.InvoicePage{Invoices: rows, NextCursor: next}
		},
		columns: []string{
			"number", "kind", "month", "from", "to", "issued_at", "currency", "subtotal", "minimum_adjustment", "total", "status", "digest", "position",
		},
		cells: func(v api.Invoice) []string {
			return []string{
				v.Number, v.Kind, v.Month, instant(v.Period.From), instant(v.Period.To), instant(v.IssuedAt), v.Currency,
				v.Subtotal, v.MinimumAdjustment, v.Total, v.Status, v.Digest, strconv.FormatUint(v.Position, 10),
			}
		},
	})
	oneInvoice(s, call{
		method: "GET", path: path + "/draft", id: "get-invoice-draft", summary: "The running month's statement as it stands today", tag: tag,
		about: "It is what would be issued if the month ended with this day. Number and status are `draft`; issued_at and position are absent.",
		allow: []string{auth.ManageLicenses},
	}, s.draft)
	oneInvoice(s, call{
		method: "GET", path: path + "/{number}", id: "get-invoice", summary: "An invoice", tag: tag,
		allow: []string{auth.ManageLicenses},
	}, s.issued)
}

type invoicesIn struct {
	ProviderPath
	api.InvoiceQuery
}

// linesPerPage bounds the lines of all invoices of a page.
const linesPerPage = 20_000

func (s *server) listInvoices(_ context.Context, in *invoicesIn) (pager[api.Invoice], error) {
	var only events.Month
	if in.Month != "" {
		var err error
		if only, err = events.ParseMonth(in.Month); err != nil {
			return nil, invalid("query.month", "%v", err)
		}
	}
	return func(ctx context.Context, after string, limit int) (p page[api.Invoice], err error) {
		if only != 0 && after == "" {
			after = invoices.PlaceBefore(only.Start())
		}
		exists, err := s.exists(ctx, in.Provider, in.After)
		if err != nil {
			return p, err
		}
		var found []invoices.Invoice
		position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) (err error) {
			found, err = invoices.Invoices(tx, in.Provider, after, limit+1)
			return err
		})
		if err != nil {
			return p, err
		}
		p.position = lowest(exists, position)
		lines := 0
		for i := range found {
			row, n := issuedRow(&found[i])
			if only != 0 && row.IssuedAt.After(only.End()) {
				return p, nil
			}
			if lines += n; i == limit || len(p.rows) > 0 && lines > linesPerPage {
				p.next = found[i-1].Place
				return p, nil
			}
			if only == 0 || monthOf(&row) == only {
				p.rows = append(p.rows, row)
			}
		}
		return p, nil
	}, nil
}

// issuedRow is an invoice of either kind, and how many lines it has.
func issuedRow(v *invoices.Invoice) (row api.Invoice, lines int) {
	if v.Prepaid != nil {
		return prepaidRow(v.Prepaid), 1
	}
	return invoiceRow(v.Statement), len(v.Statement.Lines)
}

// monthOf is the month that an invoice is asked for by: a statement's own, or that in which a prepaid one was issued.
func monthOf(v *api.Invoice) events.Month {
	if m, err := events.ParseMonth(v.Month); err == nil {
		return m
	}
	return events.MonthOf(v.IssuedAt)
}

type invoiceIn struct {
	ProviderPath
	Number string `path:"number" pattern:"^[A-Za-z0-9-]{1,32}$" example:"S-000001"`
	api.ReadOptions
}

type draftIn struct {
	ProviderPath
	api.ReadOptions
}

// oneInvoice registers a call that answers with one invoice, of which load also tells whose it is.
func oneInvoice[I any](s *server, c call, load func(ctx context.Context, in *I) (document.Bill, *uint64, error)) {
	register(s, c, func(ctx context.Context, in *I) (*streamed, error) {
		media, err := chooseMedia(requestOf(ctx).accept, api.MediaJSON, api.MediaCSV, api.MediaHTML, api.MediaPDF)
		if err != nil {
			return nil, err
		}
		bill, position, err := load(ctx, in)
		if err != nil {
			return nil, err
		}
		var file []byte
		switch media {
		case api.MediaHTML:
			file, err = bill.HTML()
		case api.MediaPDF:
			file, err = bill.PDF()
		}
		if err != nil {
			return nil, err
		}
		return &streamed{func(c huma.Context) {
			switch media {
			case api.MediaJSON:
				writeJSON(c, position, bill.Invoice)
			case api.MediaCSV:
				writeLines(c, position, bill.Invoice)
			default:
				writeDocument(c, position, media, bill.Number, file)
			}
		}}, nil
	})
	op := operationOf(s.api.OpenAPI(), huma.Operation{Method: c.method, Path: "/v1" + c.path})
	op.Responses["200"] = &huma.Response{
		Description: "The invoice, also as a document for people; or, as CSV, its lines.",
		Headers:     map[string]*huma.Param{api.HeaderPosition: positionHeader()},
		Content: map[string]*huma.MediaType{
			api.MediaJSON: {Schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Invoice](), true, "")},
			api.MediaCSV:  {Schema: &huma.Schema{Type: huma.TypeString, Description: "columns: " + strings.Join(lineColumns, ", ")}},
			api.MediaHTML: {Schema: &huma.Schema{Type: huma.TypeString, Description: "a page that loads and runs nothing"}},
			api.MediaPDF:  {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "A4; the same invoice makes the same bytes"}},
		},
	}
}

// writeDocument writes an invoice for people. The page may do nothing but look as it does, whatever somebody has put into a name.
func writeDocument(c huma.Context, position *uint64, media, number string, file []byte) {
	if media == api.MediaHTML {
		c.SetHeader("Content-Type", api.MediaHTML+"; charset=utf-8")
		c.SetHeader("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	} else {
		c.SetHeader("Content-Type", media)
		c.SetHeader("Content-Disposition", `inline; filename="`+number+`.pdf"`)
	}
	c.SetHeader("Content-Length", strconv.Itoa(len(file)))
	setPosition(c, position)
	c.SetStatus(http.StatusOK)
	_, _ = c.BodyWriter().Write(file) // a caller that is gone needs no answer
}

// billTo is an invoice's provider: how it is called now, or was at the time that is asked about.
func (s *server) billTo(ctx context.Context, provider string, after uint64) (bill document.Bill, position *uint64, err error) {
	bill.Provider = provider
	position, err = s.inProvider(ctx, provider, after, func(_ *bbolt.Tx, a license.Account) error {
		bill.Name = a.Name
		return nil
	})
	return bill, position, err
}

func (s *server) issued(ctx context.Context, in *invoiceIn) (bill document.Bill, position *uint64, err error) {
	bill, exists, err := s.billTo(ctx, in.Provider, in.After)
	if err != nil {
		return bill, nil, err
	}
	position, err = s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) error {
		found, err := findInvoice(tx, in.Provider, in.Number)
		if err == nil {
			bill.Invoice, _ = issuedRow(&found)
		}
		return err
	})
	return bill, lowest(exists, position), err
}

// findInvoice reads an issued invoice of either kind, which must exist.
func findInvoice(tx *bbolt.Tx, provider, number string) (v invoices.Invoice, err error) {
	if license.IsPrepaid(number) {
		prepaid, ok, err := invoices.PrepaidByNumber(tx, provider, number)
		if v.Prepaid = &prepaid; err != nil || ok {
			return v, err
		}
	} else {
		statement, ok, err := invoices.ByNumber(tx, provider, number)
		if v.Statement = &statement; err != nil || ok {
			return v, err
		}
	}
	return v, notFound("provider %q has no invoice %q", provider, number)
}

func (s *server) draft(ctx context.Context, in *draftIn) (bill document.Bill, position *uint64, err error) {
	now, err := s.at(ctx)
	if err != nil {
		return bill, nil, err
	}
	bill, exists, err := s.billTo(ctx, in.Provider, in.After)
	if err != nil {
		return bill, nil, err
	}
	position, err = s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) error {
		found, ok, err := invoices.Draft(tx, in.Provider, events.DateOf(now))
		if err == nil && !ok {
			err = notFound("there is no provider %q", in.Provider)
		}
		found.Number = api.InvoiceDraft
		bill.Invoice = invoiceRow(&found)
		return err
	})
	bill.Status = api.InvoiceDraft
	return bill, lowest(exists, position), err
}

func invoiceRow(v *invoices.Statement) api.Invoice {
	row := api.Invoice{
		Number: v.Number, Kind: api.InvoiceStatement, Month: v.Month.String(),
		Period: api.Period{From: v.Month.Start(), To: v.Month.End()}, IssuedAt: v.IssuedAt, Currency: v.Currency,
		Lines:    make([]api.Line, len(v.Lines)),
		Subtotal: v.Subtotal.String(), MinimumAdjustment: v.Minimum.String(), Total: v.Total.String(),
		Status: cmp.Or(string(v.Outcome), api.InvoicePending), Position: v.Entry,
	}
	digest, _ := v.Digest.MarshalText() // never fails
	row.Digest = string(digest)
	for i := range v.Lines {
		row.Lines[i] = lineRow(&v.Lines[i])
	}
	return row
}

// prepaidRow is a prepaid invoice on the wire. Its one line is no usage: its subtotal is none.
func prepaidRow(v *invoices.Prepaid) api.Invoice {
	line := catalog.PrepaidLine(&v.PrepaidIssued)
	none := catalog.Seats(v.UnitPrice, 0).String()
	row := api.Invoice{
		Number: v.Number, Kind: api.InvoicePrepaid, Key: v.Key, Period: api.Period{From: v.From, To: v.To}, IssuedAt: v.IssuedAt, Currency: v.Currency,
		Lines: []api.Line{lineRow(&line)}, Subtotal: none, MinimumAdjustment: none, Total: v.Amount.String(),
		Status: cmp.Or(string(v.Outcome), api.InvoicePending), Position: v.Entry,
	}
	digest, _ := v.Digest.MarshalText() // never fails
	row.Digest = string(digest)
	return row
}

// lineRow is a line on the wire. What only lines of a license type have is absent from the others.
func lineRow(l *catalog.Line) api.Line {
	row := api.Line{
		ID: l.ID, Kind: string(l.Kind), Company: l.Company, LicenseType: l.LicenseType, Policy: string(l.Policy), Unit: l.Unit,
		DaysActive: l.DaysActive, BilledDays: l.BilledDays, Month: l.Month.String(), Amount: l.Amount.String(),
	}
	if l.LicenseType != "" {
		row.UnitPrice, row.Quantity = l.UnitPrice.String(), json.Number(l.Quantity.String())
	}
	return row
}

var lineColumns = []string{
	"invoice", "id", "kind", "company", "license_type", "policy", "unit", "unit_price", "quantity", "days_active", "billed_days", "month", "amount", "currency",
}

func writeLines(c huma.Context, position *uint64, v api.Invoice) {
	c.SetHeader("Content-Type", api.MediaCSV+"; charset=utf-8")
	setPosition(c, position)
	c.SetStatus(http.StatusOK)
	out := csv.NewWriter(c.BodyWriter())
	out.UseCRLF = true
	_ = out.Write(lineColumns)
	for _, l := range v.Lines {
		_ = out.Write([]string{
			v.Number, l.ID, l.Kind, text(l.Company), text(l.LicenseType), l.Policy, text(l.Unit), l.UnitPrice, l.Quantity.String(),
			strconv.Itoa(l.DaysActive), strconv.Itoa(l.BilledDays), l.Month, l.Amount, v.Currency,
		})
	}
	out.Flush() // a caller that is gone needs no answer
}
