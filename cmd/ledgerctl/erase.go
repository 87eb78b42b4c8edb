package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) eraseCommand() *cobra.Command {
	var body api.Erasure
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "erase --kind KIND --id ID [flags]",
		short: "Forget a person, or everybody of a provider",
		long: `Remove the id and the name of a person from the ledger's file of names, and from its
disk. The log has only pseudonyms: figures and proofs stay as they are, and lists show
the pseudonym from then on. Tokens and permissions are not touched: revoke them first.
Backups keep what they have. --everyone forgets all people of a provider that is gone,
and what leads to them; only the operator may do that.`,
		example: `  ledgerctl erase --kind administrator --id ann
  ledgerctl erase --everyone --dry-run`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.Erase(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			g := grid{columns: left("kind id everyone known")}
			g.add(answer.Kind, answer.ID, answer.Everyone, answer.Known)
			text := "forgotten"
			switch {
			case o.DryRun:
				text = "dry run, nothing was forgotten"
			case !answer.Known:
				text = "there was nothing to forget"
			}
			return c.printChange(answer, g, text)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Kind, "kind", "", "`KIND` of person: administrator, auditor, domain-user, or user of a key")
	flags.StringVar(&body.ID, "id", "", "`ID` of the person, as callers know it")
	flags.BoolVar(&body.Everyone, "everyone", false, "all people of the provider")
	changeFlags(cmd, &o)
	return cmd
}
