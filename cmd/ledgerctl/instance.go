package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) instanceCommands() *cobra.Command {
	return c.family("instance", "Installations of the backup program that use annual keys",
		c.instanceTrial(), c.instanceActivate(), c.instanceLease())
}

func (c *cli) instanceTrial() *cobra.Command {
	var body api.KeyInstance
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "trial INSTANCE [flags]",
		short: "Start the trial of an instance without a key",
		long: `Start the trial of an instance without a key: all backups, and restores of a few items
per folder, for 30 days if the catalog says nothing else. Afterwards neither, until a
key is activated. An instance has one trial.`,
		example: "  ledgerctl instance trial srv-1",
		run: func(ctx context.Context, args []string) error {
			body.Instance = args[0]
			answer, err := c.StartTrial(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			g := grid{columns: append(left("instance status trial_ends_at"), append(right("restore_limit"), left("keys")...)...)}
			g.add(answer.ID, answer.Status, answer.TrialEndsAt, positive(answer.RestoreLimit), answer.Keys)
			return c.printChange(answer, g, outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) instanceActivate() *cobra.Command {
	var body api.Activation
	var file string
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "activate INSTANCE --secret-file FILE [flags]",
		short: "Use a key that somebody ordered, by its secret",
		long: `Use a key by its secret, as the backup program does with what is pasted into it. The
secret is the credential: neither token nor provider is needed. The instance's own
token is shown once; it takes the place of the one that the instance got before.`,
		example: "  ledgerctl instance activate srv-1 --secret-file key.txt\n  ledgerctl instance activate srv-1 --secret-file - < key.txt",
		offline: true, // it has no token to show
		run: func(ctx context.Context, args []string) error {
			if err := c.checkServer(); err != nil {
				return err
			}
			text, err := c.readFile(file)
			if err != nil {
				return err
			}
			body.Instance, body.Secret = args[0], strings.TrimSpace(string(text))
			answer, err := c.Activate(ctx, body, o)
			if err != nil {
				return err
			}
			g := grid{columns: append(left("provider instance token"), keyGrid().columns...)}
			g.rows = [][]any{append([]any{answer.Provider, answer.Instance, answer.Token}, keyGrid(answer.Key).rows[0]...)}
			return c.print(answer, g, func(w io.Writer, g grid) {
				writeFields(w, g)
				fmt.Fprintln(w, outcome(o.DryRun, answer.Receipt, api.Preview{}))
			})
		},
	})
	cmd.Flags().StringVar(&file, "secret-file", "", "`FILE` with the key's secret; - for standard input")
	required(cmd, "secret-file")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) instanceLease() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "lease INSTANCE [flags]",
		short: "Show what an instance may do offline",
		long: `Show the lease that the instance would get now, of all its keys or of its trial: what
it may do, and until when, if it cannot reach the ledger again. With -o json the
signed text comes with it; ledgerctl lease check verifies that offline.`,
		example: "  ledgerctl instance lease srv-1 -o json > srv-1.lease",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.InstanceLease(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, leaseGrid(&answer.Claims, nil))
		},
	})
	afterFlag(cmd, &o)
	return cmd
}
