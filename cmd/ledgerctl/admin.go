package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) adminCommands() *cobra.Command {
	return c.family("admin", "Administrators of a provider, and what they may do", c.adminSet(), c.adminShow(), c.adminList())
}

func (c *cli) adminSet() *cobra.Command {
	var body api.AdministratorSettings
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "set ADMINISTRATOR [flags]",
		short: "Create or update an administrator",
		long: `Create an administrator, or replace name and permissions: what is not given is none,
also where there was something before. The name is only for display.

Permissions: licenses.manage for licenses, licenses.buy for whatever starts a paid
one, keys.activate for keys, usage.history for the usage history.`,
		example: `  ledgerctl admin set ann --name "Ann Smith" --permissions licenses.manage,usage.history`,
		run: func(ctx context.Context, args []string) error {
			answer, err := c.PutAdministrator(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, adminGrid(answer.Administrator), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	cmd.Flags().StringVar(&body.Name, "name", "", "`NAME` for display")
	cmd.Flags().StringSliceVar(&body.Permissions, "permissions", nil, "`PERMISSIONS`, separated by commas")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) adminShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show ADMINISTRATOR [flags]",
		short:   "Show an administrator",
		example: "  ledgerctl admin show ann",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.Administrator(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, adminGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) adminList() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List the provider's administrators",
		example: "  ledgerctl admin list --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.AdministratorPage
			if all {
				page.Administrators, err = collect(c.AllAdministrators(ctx, c.provider, q))
			} else {
				page, err = c.Administrators(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, adminGrid(page.Administrators...), page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func adminGrid(administrators ...api.Administrator) grid {
	g := grid{columns: left("id name permissions")}
	for _, a := range administrators {
		g.add(a.ID, a.Name, a.Permissions)
	}
	return g
}

func (c *cli) tokenCommands() *cobra.Command {
	return c.family("token", "Who may come in", c.tokenIssue(), c.tokenList(), c.tokenRevoke())
}

func (c *cli) tokenIssue() *cobra.Command {
	var body api.TokenIssue
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "issue --subject SUBJECT [flags]",
		short: "Make a token",
		long: `Make a token for the provider itself, an administrator, an auditor, an agent or an
instance of the backup program. It is printed once and kept nowhere: the ledger knows
it by its hash alone.`,
		example: `  ledgerctl token issue --subject administrator:ann
  ledgerctl token issue --subject agent:pc-17 -o csv`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.IssueToken(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			g := grid{columns: slices.Concat(left("id subject issued_at"), left("token"))}
			g.add(answer.ID, answer.Subject, answer.IssuedAt, answer.Secret)
			text := outcome(o.DryRun, answer.Receipt, api.Preview{})
			switch {
			case o.DryRun:
			case answer.Secret == "":
				text += "; it was shown before, and cannot be shown again: token revoke ends it"
			default:
				text += "; it is shown only now"
			}
			return c.printChange(answer, g, text)
		},
	})
	cmd.Flags().StringVar(&body.Subject, "subject", "", "`SUBJECT`: provider, administrator:ann, auditor:eve, agent:pc-17 or instance:srv-1")
	required(cmd, "subject")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) tokenList() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List the provider's tokens that are not revoked",
		long:    "List what the ledger knows of the provider's tokens: whose they are, not what they are.",
		example: "  ledgerctl token list --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.TokenPage
			if all {
				page.Tokens, err = collect(c.AllTokens(ctx, c.provider, q))
			} else {
				page, err = c.Tokens(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			g := grid{columns: left("id subject issued_at")}
			for _, t := range page.Tokens {
				g.add(t.ID, t.Subject, t.IssuedAt)
			}
			return c.printList(page, g, page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) tokenRevoke() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "revoke TOKEN [flags]",
		short:   "End a token",
		long:    "End a token, which is named by its id. From then on the ledger does not know it.",
		example: "  ledgerctl token revoke 01JPB2Z8Q0T3W6X9YAMC5D7E8F",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.RevokeToken(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			g := grid{columns: left("id")}
			g.add(answer.ID)
			return c.printChange(answer, g, outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}
