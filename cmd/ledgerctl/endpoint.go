package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) endpointCommands() *cobra.Command {
	return c.family("endpoint", "Machines with the backup agent",
		c.endpointInstall(), c.endpointMove(), c.endpointRemove(), c.endpointList(), c.endpointShow(), c.endpointLease())
}

func (c *cli) endpointList() *cobra.Command {
	var q api.EndpointQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List endpoints",
		example: "  ledgerctl endpoint list --company globex",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.EndpointPage
			if all {
				page.Endpoints, err = collect(c.AllEndpoints(ctx, c.provider, q))
			} else {
				page, err = c.Endpoints(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, endpointGrid(page.Endpoints...), page.NextCursor)
		},
	})
	cmd.Flags().StringVar(&q.Company, "company", "", "only those of this `COMPANY`")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) endpointShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show ENDPOINT [flags]",
		short:   "Show an endpoint",
		example: "  ledgerctl endpoint show pc-17",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.Endpoint(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, endpointGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func endpointGrid(endpoints ...api.Endpoint) grid {
	g := grid{columns: append(left("id company name"), right("sockets")...)}
	for _, e := range endpoints {
		g.add(e.ID, e.Company, e.Name, positive(e.Sockets))
	}
	return g
}
