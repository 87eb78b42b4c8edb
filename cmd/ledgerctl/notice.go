package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) noticesCommand() *cobra.Command {
	var q api.NoticeQuery
	var all bool
	cmd := c.command(command{
		use:   "notices [flags]",
		short: "List good and bad news of the provider",
		long: `List what somebody should know or decide, newest first: trials that end, machines without
a license, charges that failed. What asks for something (--standing) stays until it is done; news
make room for newer ones.`,
		example: "  ledgerctl notices --standing --news bad",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.NoticePage
			if all {
				page.Notices, err = collect(c.AllNotices(ctx, c.provider, q))
			} else {
				page, err = c.Notices(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			g := grid{columns: slices.Concat(left("at news kind text"), extra("until"),
				programs("standing company endpoint license license_type assignee_kind assignee_id count invoice month amount currency position"))}
			for _, n := range page.Notices {
				var a api.Assignee
				if n.Assignee != nil {
					a = *n.Assignee
				}
				g.add(n.At, n.News, n.Kind, n.Text, n.Until, n.Standing, n.Company, n.Endpoint, n.License, n.LicenseType, a.Kind, a.ID,
					positive(n.Count), n.Invoice, n.Month, n.Amount, n.Currency, n.Position)
			}
			return c.printList(page, g, page.NextCursor)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&q.News, "news", "", "only `SORT` of news: good or bad")
	flags.StringVar(&q.Kind, "kind", "", "only notices of this `KIND`, as payment-failed")
	flags.StringVar(&q.Company, "company", "", "only those about this `COMPANY`")
	flags.BoolVar(&q.Standing, "standing", false, "only what asks for something")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) changesCommand() *cobra.Command {
	var q api.ChangesQuery
	cmd := c.command(command{
		use:   "changes [flags]",
		short: "Show what changed since a position",
		long: `Show what changed for the provider since a position, event by event. With -o json it
is the ledger's JSON Lines; --since then goes on behind the last line's position.`,
		example: "  ledgerctl changes --since 412 -o json",
		pace:    paceLong,
		run: func(ctx context.Context, _ []string) error {
			lines, err := c.Changes(ctx, c.provider, q)
			if err != nil {
				return err
			}
			defer lines.Close()
			g := grid{columns: slices.Concat(left("position at kind"), extra("effective"), left("data"))}
			var b bytes.Buffer
			for line, err := range api.Lines[api.Changed](lines) {
				if err != nil {
					return err
				}
				if c.format == formatJSON {
					if err := json.NewEncoder(&b).Encode(line); err != nil {
						return err
					}
					if _, err := b.WriteTo(c.stdout); err != nil {
						return err
					}
					continue
				}
				g.add(line.Position, line.At, line.Kind, line.Effective, string(line.Data))
			}
			if c.format == formatJSON {
				return nil
			}
			return c.print(nil, g, writeTable)
		},
	})
	cmd.Flags().Uint64Var(&q.Since, "since", 0, "`POSITION` of the last entry that is known; without it, from the beginning")
	afterFlag(cmd, &q.ReadOptions)
	return cmd
}
