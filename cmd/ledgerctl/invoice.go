package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) invoiceCommands() *cobra.Command {
	return c.family("invoice", "Statements of months, and prepaid invoices", c.invoiceList(), c.invoiceShow(), c.invoiceExplain())
}

func (c *cli) invoiceList() *cobra.Command {
	var q api.InvoiceQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List invoices",
		long:    "List the provider's invoices, with their sum if the list is complete.",
		example: "  ledgerctl invoice list --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.InvoicePage
			if all {
				page.Invoices, err = collect(c.AllInvoices(ctx, c.provider, q))
			} else {
				page, err = c.Invoices(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			g := invoiceGrid(page.Invoices)
			if page.NextCursor == "" && q.Cursor == "" {
				g.footer = invoiceTotals(page.Invoices)
			}
			return c.printList(page, g, page.NextCursor)
		},
	})
	cmd.Flags().StringVar(&q.Month, "month", "", "only those of this `MONTH`, as 2026-03")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func invoiceGrid(invoices []api.Invoice) grid {
	g := grid{columns: slices.Concat(left("number kind month"), extra("from to"), left("issued_at currency"),
		right("subtotal minimum_adjustment total"), left("status"), extra("digest position"))}
	for _, i := range invoices {
		g.add(i.Number, i.Kind, i.Month, i.Period.From, i.Period.To, i.IssuedAt, i.Currency, i.Subtotal, i.MinimumAdjustment, i.Total, i.Status, i.Digest, positive(i.Position))
	}
	return g
}

// invoiceTotals is the row below several invoices; none if their money cannot be added.
func invoiceTotals(invoices []api.Invoice) []any {
	if len(invoices) < 2 {
		return nil
	}
	var total decimal.Decimal
	currency := invoices[0].Currency
	for _, i := range invoices {
		amount, err := decimal.NewFromString(i.Total)
		if err != nil || i.Currency != currency {
			return nil
		}
		total = total.Add(amount)
	}
	none := blank{}
	return []any{fmt.Sprintf("%d in all", len(invoices)), none, none, none, none, none, currency, none, none, total.StringFixed(2), none, none, none}
}

func (c *cli) invoiceShow() *cobra.Command {
	var o api.ReadOptions
	var as string
	cmd := c.command(command{
		use:   "show NUMBER [flags]",
		short: "Show an invoice as a bill",
		long: `Show an invoice as a bill: its lines, then what leads from them to the total. The
number draft stands for the running month's statement as it stands today. With
-o csv it is the lines, whose amounts add up to the total; with --as it is a
document, to send and to keep.`,
		example: `  ledgerctl invoice show S-000001
  ledgerctl invoice show S-000001 --as pdf > S-000001.pdf
  ledgerctl invoice show draft`,
		run: func(ctx context.Context, args []string) error {
			if as != "" {
				return c.invoiceDocument(ctx, args[0], as, o)
			}
			invoice, err := c.Invoice(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.print(invoice, lineGrid(invoice), func(w io.Writer, _ grid) { writeBill(w, c.provider, invoice) })
		},
	})
	cmd.Flags().StringVar(&as, "as", "", "write it as a `DOCUMENT`, pdf or html, whatever -o says")
	readFlags(cmd, &o)
	return cmd
}

// invoiceDocument writes an invoice to the output as the ledger draws it.
func (c *cli) invoiceDocument(ctx context.Context, number, as string, o api.ReadOptions) (err error) {
	media, ok := map[string]string{"pdf": api.MediaPDF, "html": api.MediaHTML}[as]
	switch {
	case !ok:
		return &usageError{text: "--as " + quoted(as) + " is no document", hint: "say pdf or html"}
	case media == api.MediaPDF && isTerminal(c.stdout):
		return &usageError{text: "a PDF is nothing for a terminal", hint: "write it to a file: > " + number + ".pdf"}
	}
	file, err := c.InvoiceDocument(ctx, c.provider, number, media, o)
	if err != nil {
		return err
	}
	_, err = io.Copy(c.stdout, file)
	return errors.Join(err, file.Close())
}

// lineGrid has the lines for programs.
func lineGrid(invoice api.Invoice) grid {
	g := grid{columns: programs("invoice id kind company license_type policy unit unit_price quantity days_active billed_days month amount currency")}
	for _, l := range invoice.Lines {
		g.add(invoice.Number, l.ID, l.Kind, l.Company, l.LicenseType, l.Policy, l.Unit, l.UnitPrice, l.Quantity, l.DaysActive, l.BilledDays, l.Month, l.Amount, invoice.Currency)
	}
	return g
}

// writeBill writes an invoice for people: what was used, the subtotal, what else was added or taken off, the total.
func writeBill(w io.Writer, provider string, invoice api.Invoice) {
	title := "Statement"
	if invoice.Kind == api.InvoicePrepaid {
		title = "Prepaid invoice"
	}
	lastDay := invoice.Period.To.UTC().Add(-time.Nanosecond)
	for _, field := range [][2]string{
		{title, invoice.Number},
		{"Provider", provider},
		{"Period", invoice.Period.From.UTC().Format(time.DateOnly) + " to " + lastDay.Format(time.DateOnly)},
		{"Issued", visible(invoice.IssuedAt)},
		{"Status", invoice.Status},
	} {
		fmt.Fprintf(w, "%-*s  %s\n", max(len(title), len("Provider")), field[0], printable(field[1]))
	}
	fmt.Fprintln(w)
	writeTable(w, billGrid(invoice))
	fmt.Fprintf(w, "\nDigest    %s\nPosition  %s\n", visible(invoice.Digest), visible(positive(invoice.Position)))
}

func billGrid(invoice api.Invoice) grid {
	none := blank{}
	g := grid{columns: append(left("company license_type policy"), append(right("quantity"), append(left("unit"), right("days unit_price amount")...)...)...)}
	for _, row := range invoice.Bill() {
		if row.Line == nil {
			g.add(row.Label, none, none, none, none, none, none, row.Amount)
			continue
		}
		l := row.Line
		cells := []any{l.Company, l.LicenseType, row.Label, l.Quantity, l.Unit, positive(l.BilledDays), l.UnitPrice, l.Amount}
		for i, cell := range cells {
			if plain(cell) == "" {
				cells[i] = none
			}
		}
		g.add(cells...)
	}
	return g
}
