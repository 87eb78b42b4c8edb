package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) companyCommands() *cobra.Command {
	return c.family("company", "Customers of a provider", c.companySet(), c.companyShow(), c.companyList())
}

func (c *cli) companySet() *cobra.Command {
	var body api.CompanySettings
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "set COMPANY --name NAME [flags]",
		short: "Create or update a company",
		long: `Create a company, or replace its settings: what is not given gets its default,
also where it was something else before.`,
		example: `  ledgerctl company set globex --name Globex --allocation automatic \
      --allowed-types server,desktop --metered backup-storage`,
		run: func(ctx context.Context, args []string) error {
			if body.AllowedTypes != nil && len(body.AllowedTypes) == 0 {
				return &usageError{text: "--allowed-types names no type; without it, the company may use all"}
			}
			answer, err := c.PutCompany(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, companyGrid(answer.Company), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Name, "name", "", "`NAME` for display")
	flags.StringVar(&body.Allocation, "allocation", "", "`HOW` it gets licenses: manual, or automatic: bought on the spot where none is free (the ledger's default is manual)")
	flags.StringVar(&body.Pool, "pool", "", "`POOL` that it takes licenses from: company, its own alone, or global, the provider's too (the ledger's default is global)")
	flags.StringSliceVar(&body.AllowedTypes, "allowed-types", nil, "license `TYPES` that it may use, separated by commas (without the flag, all)")
	flags.StringSliceVar(&body.Metered, "metered", nil, "metered license `TYPES` that it switched on, separated by commas")
	flags.StringVar(&body.ExternalID, "external-id", "", "its `ID` in another system")
	required(cmd, "name")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) companyShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show COMPANY [flags]",
		short:   "Show a company and its settings",
		example: "  ledgerctl company show globex",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.Company(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, companyGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) companyList() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List the provider's companies",
		example: "  ledgerctl company list --limit 20",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.CompanyPage
			if all {
				page.Companies, err = collect(c.AllCompanies(ctx, c.provider, q))
			} else {
				page, err = c.Companies(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, companyGrid(page.Companies...), page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func companyGrid(companies ...api.Company) grid {
	g := grid{columns: slices.Concat(left("id name allocation pool"), people("allowed_types"), programs("allowed_types"), left("metered external_id"))}
	for _, company := range companies {
		g.add(company.ID, company.Name, company.Allocation, company.Pool, allowedTypes(company.AllowedTypes), company.AllowedTypes, company.Metered, company.ExternalID)
	}
	return g
}

// allowedTypes says what no list stands for.
func allowedTypes(types []string) any {
	if len(types) == 0 {
		return "all"
	}
	return types
}
