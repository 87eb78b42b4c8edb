package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) catalogCommands() *cobra.Command {
	return c.family("catalog", "What is sold, at which prices", c.catalogShow(), c.catalogPublish())
}

func (c *cli) catalogShow() *cobra.Command {
	var q api.CatalogQuery
	cmd := c.command(command{
		use:   "show [flags]",
		short: "Show the catalog",
		long: `Show the catalog in force in a month, or in the running one. With -o json it is what
catalog publish reads.`,
		example: "  ledgerctl catalog show --month 2026-05",
		ledger:  true,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.Catalog(ctx, q)
			if err != nil {
				return err
			}
			return c.print(answer, catalogGrid(answer), func(w io.Writer, g grid) { writeCatalog(w, answer) })
		},
	})
	cmd.Flags().StringVar(&q.Month, "month", "", "the `MONTH`, as 2026-05 (the ledger's default is the running one)")
	afterFlag(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) catalogPublish() *cobra.Command {
	var file string
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "publish --file FILE [flags]",
		short: "Publish a catalog from a coming month on",
		long: `Publish a catalog, in JSON as catalog show -o json prints it, from a month that has
not begun. For the same month again, it replaces the first. Money is written as a
string: "6.99".`,
		example: `  ledgerctl catalog show -o json > catalog.json   # then edit it, "effective" too
  ledgerctl catalog publish --file catalog.json --dry-run`,
		ledger: true,
		pace:   paceStream,
		run: func(ctx context.Context, _ []string) error {
			body, err := c.readCatalog(file)
			if err != nil {
				return err
			}
			ctx, cancel := c.bounded(ctx)
			defer cancel()
			answer, err := c.PublishCatalog(ctx, body, o)
			if err != nil {
				return err
			}
			return c.print(answer, catalogGrid(answer.Catalog), func(w io.Writer, _ grid) {
				writeCatalog(w, answer.Catalog)
				fmt.Fprintln(w, outcome(o.DryRun, answer.Receipt, api.Preview{}))
			})
		},
	})
	cmd.Flags().StringVarP(&file, "file", "f", "", "`FILE` with the catalog; - for standard input")
	required(cmd, "file")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) readCatalog(file string) (catalog api.Catalog, err error) {
	if err := c.readBody(file, "the catalog", `ledgerctl catalog show -o json shows one; money is a string in it, "6.99"`, &catalog); err != nil {
		return catalog, err
	}
	// What a file leaves out is empty, not null.
	if catalog.Minimum == nil {
		catalog.Minimum = map[string]string{}
	}
	for i := range catalog.Types {
		if catalog.Types[i].Includes == nil {
			catalog.Types[i].Includes = []string{}
		}
	}
	return catalog, nil
}

// writeCatalog writes a catalog for people.
func writeCatalog(w io.Writer, catalog api.Catalog) {
	fmt.Fprintf(w, "from     %s\n", visible(catalog.Effective))
	var minimum []string
	for _, currency := range slices.Sorted(maps.Keys(catalog.Minimum)) {
		minimum = append(minimum, catalog.Minimum[currency]+" "+currency)
	}
	fmt.Fprintf(w, "minimum  %s\n\n", visible(strings.Join(minimum, ", ")))
	writeTable(w, catalogGrid(catalog))
}

// catalogGrid has a column of prices for every currency.
func catalogGrid(catalog api.Catalog) grid {
	currencies := map[string]bool{}
	for _, t := range catalog.Types {
		for currency := range t.Prices {
			currencies[currency] = true
		}
	}
	g := grid{columns: append(extra("effective"), left("id family unit term")...)}
	names := slices.Sorted(maps.Keys(currencies))
	for _, currency := range names {
		g.columns = append(g.columns, right("price_"+currency)...)
	}
	g.columns = slices.Concat(g.columns, right("trial_days free_units"), left("policy"), extra("meter aggregate includes requires"),
		extra("included_units release_lock_days"), left("closed"))
	for _, t := range catalog.Types {
		row := []any{catalog.Effective, t.ID, t.Family, t.Unit, t.Term}
		for _, currency := range names {
			row = append(row, t.Prices[currency])
		}
		g.add(append(row, t.TrialDays, t.FreeUnits, t.Policy, t.Meter, t.Aggregate, t.Includes, t.Requires, t.IncludedUnits, t.ReleaseLockDays, t.Closed)...)
	}
	return g
}
