package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) invoiceExplain() *cobra.Command {
	var q api.ExplainQuery
	cmd := c.command(command{
		use:   "explain NUMBER [flags]",
		short: "Tell why an invoice is what it is",
		long: `Tell for every line of an invoice, or for one of them, what it consists of: which
license served whom on which days, what the meters counted, what came late or was
corrected. The parts add up to the line. Positions name the entries of the log behind
each part, with --line those entries follow in words. The number draft stands for the
running month.`,
		example: `  ledgerctl invoice explain S-000001
  ledgerctl invoice explain S-000001 --line bafa59cde67d`,
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ExplainInvoice(ctx, c.provider, args[0], q)
			if err != nil {
				return err
			}
			return c.print(answer, explanationGrid(answer), func(w io.Writer, _ grid) { writeExplanation(w, answer) })
		},
	})
	cmd.Flags().StringVar(&q.Line, "line", "", "`ID` of the line, as invoice show -o json has it (all lines without)")
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

// explanationGrid has a row for every part of every line.
func explanationGrid(e api.Explanation) grid {
	g := grid{columns: programs("invoice line kind license_type company license assignee_kind assignee_id from through days_active billed_days amount currency positions text")}
	lines := e.Lines
	if e.Line != nil {
		lines = []api.Explanation{e}
	}
	for _, line := range lines {
		for _, p := range line.Parts {
			_, kind, id := assigneeCells(p.Assignee)
			g.add(line.Invoice, line.Line.ID, line.Line.Kind, p.LicenseType, p.Company, p.License, kind, id, p.From, p.Through,
				p.DaysActive, p.BilledDays, p.Amount, line.Currency, p.Positions, p.Text)
		}
	}
	return g
}

// writeExplanation writes an explanation for people.
func writeExplanation(w io.Writer, e api.Explanation) {
	fmt.Fprintln(w, printable(e.Text))
	g := grid{columns: append(right("amount"), left("why positions")...)}
	for _, p := range e.Parts {
		g.add(p.Amount, p.Text, p.Positions)
	}
	if len(g.rows) > 0 {
		g.footer = []any{e.Amount, "in all", blank{}}
		fmt.Fprintln(w)
		writeTable(w, g)
	}
	for _, line := range e.Lines {
		fmt.Fprintln(w)
		writeExplanation(w, line)
	}
	if len(e.Events) > 0 {
		fmt.Fprintln(w)
		writeTable(w, eventGrid(e.Events))
	}
}

func eventGrid(events []api.ExplainedEvent) grid {
	g := grid{columns: append(left("position at effective actor"), append(extra("kind license"), left("text")...)...)}
	for _, e := range events {
		g.add(e.Position, e.At, e.Effective, e.Actor, e.Kind, e.License, e.Text)
	}
	return g
}

func (c *cli) licenseExplain() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "explain LICENSE [flags]",
		short:   "Tell the whole life of a license",
		long:    "Tell all that ever happened to a license, with the entries of the log that say so.",
		example: "  ledgerctl license explain 01JPB2Z8Q0T3W6X9YAMC5D7E8F",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.LicenseLife(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			g := eventGrid(answer.Events)
			return c.print(answer, g, func(w io.Writer, g grid) {
				fmt.Fprintf(w, "%s\n\n", printable(answer.Text))
				writeTable(w, g)
			})
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) whatIfCommand() *cobra.Command {
	var body api.WhatIf
	var file string
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "what-if --file FILE --from MONTH --to MONTH [flags]",
		short: "Tell what past months would have cost under another catalog",
		long: `Tell what the statements of past months would have been under another catalog, in JSON
as catalog show -o json prints it: the same licenses, days and readings, other prices
and policies. The catalog counts from its effective month on. Nothing is recorded.`,
		example: `  ledgerctl catalog show -o json > catalog.json   # then edit it, "effective" too
  ledgerctl what-if --file catalog.json --from 2026-01 --to 2026-04`,
		pace: paceStream,
		run: func(ctx context.Context, _ []string) (err error) {
			if body.Catalog, err = c.readCatalog(file); err != nil {
				return err
			}
			ctx, cancel := c.bounded(ctx)
			defer cancel()
			answer, err := c.WhatIf(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.print(answer, whatIfGrid(answer), func(w io.Writer, g grid) {
				g.footer = []any{"in all", blank{}, blank{}, blank{}, blank{}, answer.Was, answer.WouldBe, answer.Difference, answer.Currency}
				writeTable(w, g)
			})
		},
	})
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "`FILE` with the catalog; - for standard input")
	flags.StringVar(&body.From, "from", "", "the first `MONTH`, as 2026-01")
	flags.StringVar(&body.To, "to", "", "the `MONTH` after the last, as 2026-04")
	required(cmd, "file", "from", "to")
	readFlags(cmd, &o)
	return cmd
}

// whatIfGrid has a row for every line that either statement of a month has.
func whatIfGrid(answer api.WhatIfAnswer) grid {
	g := grid{columns: append(left("statement kind company license_type month"), append(right("was would_be difference"), left("currency")...)...)}
	for _, m := range answer.Months {
		for _, l := range m.Lines {
			g.add(m.Month, l.Kind, l.Company, l.LicenseType, l.Month, l.Was, l.WouldBe, l.Difference, answer.Currency)
		}
	}
	return g
}
