package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) providerCommands() *cobra.Command {
	return c.family("provider", "Organizations that buy licenses and pay", c.providerSet(), c.providerShow(), c.providerList())
}

func (c *cli) providerSet() *cobra.Command {
	var body api.ProviderSettings
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "set PROVIDER --name NAME [flags]",
		short: "Create or update a provider",
		long: `Create a provider, or update it. The currency is fixed when the provider is
created. Only the operator may do this.`,
		example: `  ledgerctl provider set acme --name "Acme Backup" --currency EUR`,
		ledger:  true,
		run: func(ctx context.Context, args []string) error {
			answer, err := c.PutProvider(ctx, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, providerGrid(answer.Provider), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	cmd.Flags().StringVar(&body.Name, "name", "", "`NAME` for display")
	cmd.Flags().StringVar(&body.Currency, "currency", "", "`CODE` of its currency, as USD or EUR (the ledger's default is USD)")
	required(cmd, "name")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) providerShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show [PROVIDER] [flags]",
		short:   "Show a provider",
		long:    "Show the named provider, or without a name the one that --provider names.",
		example: "  ledgerctl provider show acme",
		ledger:  true,
		run: func(ctx context.Context, args []string) error {
			id := c.provider
			if len(args) > 0 {
				id = args[0]
			}
			if id == "" {
				return &usageError{text: "PROVIDER is missing"}
			}
			answer, err := c.Provider(ctx, id, o)
			if err != nil {
				return err
			}
			return c.printOne(answer, providerGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) providerList() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List the providers",
		long:    "List the providers that the token may see.",
		example: "  ledgerctl provider list --all -o csv",
		ledger:  true,
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.ProviderPage
			if all {
				page.Providers, err = collect(c.AllProviders(ctx, q))
			} else {
				page, err = c.Providers(ctx, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, providerGrid(page.Providers...), page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func providerGrid(providers ...api.Provider) grid {
	g := grid{columns: left("id name currency")}
	for _, p := range providers {
		g.add(p.ID, p.Name, p.Currency)
	}
	return g
}
