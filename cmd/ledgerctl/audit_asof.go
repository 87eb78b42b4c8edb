package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

// then is a provider as it was at a moment.
type then struct {
	At          time.Time       `json:"at"`
	Position    uint64          `json:"position"` // the provider's last entry until then
	Provider    api.Provider    `json:"provider"`
	Counters    api.Counters    `json:"counters"`
	NextPayment api.NextPayment `json:"next_payment"`
	Licenses    []api.License   `json:"licenses"`
}

func (c *cli) auditAsOf() *cobra.Command {
	var filter api.LicenseFilter
	var after uint64
	cmd := c.command(command{
		use:   "as-of TIME [flags]",
		short: "Show how everything stood at a time",
		long: `Show the provider as it stood at a time: how many licenses there were and which, and
what the next payment was to be. It is what somebody who asked then was answered,
whatever was recorded since. Every list and show command takes --as-of too.`,
		example: `  ledgerctl audit as-of 2026-03-11T04:00:00Z
  ledgerctl audit as-of 2026-03-11 --status used -o csv`,
		pace: paceStream,
		run: func(ctx context.Context, args []string) error {
			at, err := parseTime(args[0])
			if err != nil {
				return &usageError{text: err.Error()}
			}
			ctx, cancel := c.bounded(ctx)
			defer cancel()
			answer, err := c.asOf(ctx, api.ReadOptions{AsOf: at, After: after}, filter)
			if err != nil {
				return err
			}
			licenses := licenseGrid(answer.Licenses...)
			return c.print(answer, licenses, func(w io.Writer, _ grid) { writeThen(w, answer, licenses) })
		},
	})
	filterFlags(cmd, &filter)
	cmd.Flags().Uint64Var(&after, "after", 0, "wait until this `POSITION` is visible")
	return cmd
}

func (c *cli) asOf(ctx context.Context, o api.ReadOptions, filter api.LicenseFilter) (t then, err error) {
	t.At = o.AsOf
	seen := o
	seen.Seen = &t.Position
	if t.Provider, err = c.Provider(ctx, c.provider, seen); err != nil {
		return t, err
	}
	if t.Counters, err = c.LicenseCounters(ctx, c.provider, api.CountersQuery{ReadOptions: o, LicenseFilter: filter}); err != nil {
		return t, err
	}
	if t.NextPayment, err = c.NextPayment(ctx, c.provider, o); err != nil {
		return t, err
	}
	t.Licenses, err = collect(c.AllLicenses(ctx, c.provider, api.LicenseQuery{ReadOptions: o, LicenseFilter: filter}))
	return t, err
}

func writeThen(w io.Writer, t then, licenses grid) {
	g := grid{columns: left("at position provider all active_trial paid released used next_payment accrued currency due payment_method")}
	n, p := t.Counters, t.NextPayment
	g.add(t.At, t.Position, t.Provider.ID, n.All, n.ActiveTrial, n.Paid, n.Released, n.Used, p.Amount, p.Accrued, p.Currency, p.Due, p.PaymentMethod)
	writeFields(w, g)
	fmt.Fprintln(w)
	writeTable(w, licenses)
}
