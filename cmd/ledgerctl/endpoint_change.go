package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) endpointInstall() *cobra.Command {
	var body api.EndpointInstall
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "install --endpoint ENDPOINT [flags]",
		short: "Tell that the agent was installed",
		long: `Tell that the backup agent was installed on a machine: the first time its trial of
the type begins. After the trial it answers the license in force; where there is none,
a company that allocates automatically gets one, and in another one somebody has to
allocate one. Installed again, name and sockets change.`,
		example: `  ledgerctl endpoint install --endpoint pc-17 --company globex --license-type server
  ledgerctl endpoint install --endpoint vm-1 --company globex --license-type vm-server --sockets 4`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.InstallEndpoint(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			text := outcome(o.DryRun, answer.Receipt, answer.Preview)
			switch {
			case answer.License == nil && body.LicenseType == "":
				return c.printChange(answer, licenseGrid(), text)
			case answer.License == nil:
				return c.printChange(answer, licenseGrid(), text+"; no license serves it: license allocate gives it one")
			}
			return c.printChange(answer, licenseGrid(*answer.License), text)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Endpoint, "endpoint", "", "id of the `ENDPOINT`, unique within the provider")
	flags.StringVar(&body.Company, "company", "", "`COMPANY` that it belongs to")
	flags.StringVar(&body.LicenseType, "license-type", "", "`TYPE` of license that the agent needs")
	flags.StringVar(&body.Name, "name", "", "`NAME` for display")
	flags.IntVar(&body.Sockets, "sockets", 0, "`NUMBER` of sockets of a virtualization host")
	required(cmd, "endpoint")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) endpointMove() *cobra.Command {
	var body api.EndpointMove
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "move ENDPOINT --company COMPANY [flags]",
		short:   "Move an endpoint to another company",
		long:    "Move an endpoint, and the licenses that serve it, to another company. Today is billed to the old one.",
		example: "  ledgerctl endpoint move pc-17 --company initech",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.MoveEndpoint(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, endpointGrid(answer.Endpoint), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	cmd.Flags().StringVar(&body.Company, "company", "", "`COMPANY` that it belongs to from now on")
	required(cmd, "company")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) endpointRemove() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "remove ENDPOINT [flags]",
		short:   "Release all that an endpoint holds, and forget it",
		long:    "Release all licenses that serve an endpoint, and forget it. The day of the release is still billed.",
		example: "  ledgerctl endpoint remove pc-17 --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ReleaseEndpoint(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.Licenses...), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}
