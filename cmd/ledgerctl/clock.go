package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) clockCommands() *cobra.Command {
	return c.family("clock", "The ledger's clock, where it is a test clock", c.clockShow(), c.clockSet())
}

func (c *cli) clockShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show [flags]",
		short:   "Show the ledger's time",
		long:    "Show the time of a ledger that was started with --test-clock.",
		example: "  ledgerctl clock show",
		ledger:  true,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.Clock(ctx, o)
			if err != nil {
				return err
			}
			return c.printOne(answer, clockGrid(answer))
		},
	})
	afterFlag(cmd, &o)
	return cmd
}

func (c *cli) clockSet() *cobra.Command {
	var now time.Time
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "set --now TIME [flags]",
		short: "Move the ledger's test clock forward",
		long: `Move the clock of a ledger that was started with --test-clock. Month ends, trial
ends and renewals happen as it passes them; the command ends when all that was due
is recorded and visible, however long that takes, unless --timeout says otherwise.`,
		example: `  ledgerctl clock set --now 2026-04-01
  ledgerctl clock set --now 2026-04-01T09:30:00Z`,
		ledger: true,
		pace:   paceLong,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.SetClock(ctx, api.Clock{Now: now.UTC()}, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, clockGrid(answer.Clock), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	timeFlag(cmd, &now, "now", "`TIME` to move it to")
	required(cmd, "now")
	changeFlags(cmd, &o)
	return cmd
}

func clockGrid(clock api.Clock) grid {
	g := grid{columns: left("now")}
	g.add(clock.Now)
	return g
}
