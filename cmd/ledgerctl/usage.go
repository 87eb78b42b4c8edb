package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) usageCommands() *cobra.Command {
	return c.family("usage", "What agents reported, and what it cost",
		c.usageReport(), c.usageList(), c.usageHistory(), c.usageGaps())
}

func (c *cli) usageList() *cobra.Command {
	var q api.UsageQuery
	var all bool
	cmd := c.command(command{
		use:   "list [flags]",
		short: "Aggregate readings",
		long: `Aggregate the readings of a meter over a range of time, which excludes its end: one
row for each company, endpoint, day or month, or for several of them at once.`,
		example: `  ledgerctl usage list --meter storage_bytes --from 2026-03-01 --to 2026-04-01 \
      --group-by company,day --aggregate max`,
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.UsagePage
			if all {
				page.Rows, err = collect(c.AllUsage(ctx, c.provider, q))
			} else {
				page, err = c.Usage(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, usageGrid(q.GroupBy, page.Rows), page.NextCursor)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&q.Meter, "meter", "", "only readings of this `METER`")
	instantFlag(cmd, &q.From, "from", "first `TIME`: RFC 3339 or a day")
	instantFlag(cmd, &q.To, "to", "`TIME` after the last")
	flags.StringSliceVar(&q.GroupBy, "group-by", nil, "one row for each: `FIELDS` of company, endpoint, day, month, separated by commas")
	flags.StringVar(&q.Aggregate, "aggregate", "", "`HOW` values become one: sum, max, last or count (the ledger's default is sum)")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

// usageGrid shows people the columns that the rows are grouped by.
func usageGrid(groupBy []string, rows []api.UsageRow) grid {
	var g grid
	for _, name := range []string{"company", "endpoint", "day", "month"} {
		if slices.Contains(groupBy, name) {
			g.columns = append(g.columns, left(name)...)
		} else {
			g.columns = append(g.columns, programs(name)...)
		}
	}
	g.columns = slices.Concat(g.columns, left("meter"), right("value"))
	for _, r := range rows {
		g.add(r.Company, r.Endpoint, r.Day, r.Month, r.Meter, r.Value)
	}
	return g
}

func (c *cli) usageHistory() *cobra.Command {
	var q api.UsageHistoryQuery
	var all bool
	cmd := c.command(command{
		use:   "history [flags]",
		short: "Show what was used in a month, and its cost",
		long: `Show a month's usage: a row for every license and whom it served, and one per company
for each metered or peak type. The costs add up to the statement's subtotal.`,
		example: "  ledgerctl usage history --month 2026-03 --company globex",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.UsageHistoryPage
			if all {
				page.Rows, err = collect(c.AllUsageHistory(ctx, c.provider, q))
			} else {
				page, err = c.UsageHistory(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, usageHistoryGrid(page.Rows), page.NextCursor)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&q.Month, "month", "", "the `MONTH`, as 2026-03")
	flags.StringVar(&q.Company, "company", "", "only that of this `COMPANY`")
	flags.StringVarP(&q.Q, "q", "q", "", "only rows in which these `WORDS` occur, or words that begin so")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func usageHistoryGrid(rows []api.UsageHistoryRow) grid {
	g := grid{columns: slices.Concat(
		left("license license_type company"), assigneeColumns(), left("status activated deactivated"),
		right("days_active billed_days cost"), left("currency"))}
	for _, r := range rows {
		assignee, kind, id := assigneeCells(r.Assignee)
		g.add(r.License, r.LicenseType, r.Company, assignee, kind, id, r.Status, r.Activated, r.Deactivated, r.DaysActive, r.BilledDays, r.Cost, r.Currency)
	}
	return g
}

func (c *cli) usageGaps() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:   "gaps [flags]",
		short: "List report numbers that are missing",
		long: `List the ranges of report numbers that agents skipped; a range excludes its end. A gap
closes when the report arrives, or when its number is given up:
ledgerctl usage report --agent AGENT --seq N --void REASON.`,
		example: "  ledgerctl usage gaps --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.GapPage
			if all {
				page.Gaps, err = collect(c.AllUsageGaps(ctx, c.provider, q))
			} else {
				page, err = c.UsageGaps(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			g := grid{columns: append(left("agent spool"), right("from to")...)}
			for _, gap := range page.Gaps {
				g.add(gap.Agent, gap.Spool, gap.From, gap.To)
			}
			return c.printList(page, g, page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}
