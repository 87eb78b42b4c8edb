package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) licenseUnassign() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "unassign LICENSE [flags]",
		short: "Put a license back into its pool",
		long: `Put a license back into its pool. It stays paid and is renewed, and costs nothing
while it serves nobody.`,
		example: "  ledgerctl license unassign 01JPB2Z8Q0T3W6X9YAMC5D7E8F",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.UnassignLicense(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseChange() *cobra.Command {
	var body api.LicenseChange
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "change LICENSE --license-type TYPE [flags]",
		short: "Change a license to another type",
		long: `Change a license to another type of the same unit: a new one serves at once, the old
one is released. Today is billed with the old one. It prints both, the new one first.`,
		example: "  ledgerctl license change 01JPB2Z8Q0T3W6X9YAMC5D7E8F --license-type ultimate --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ChangeLicense(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License, answer.Closed), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	cmd.Flags().StringVar(&body.LicenseType, "license-type", "", "`TYPE` that serves from now on")
	required(cmd, "license-type")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseRenew() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "renew LICENSE [flags]",
		short: "Let a new license follow one that has ended",
		long: `Let a new paid license serve whom an expired or released one served, if nothing else
serves it by now. What is in force is renewed by itself: auto-renew switches that.`,
		example: "  ledgerctl license renew 01JPB2Z8Q0T3W6X9YAMC5D7E8F",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.RenewLicense(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseAutoRenew() *cobra.Command {
	var body api.AutoRenew
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "auto-renew LICENSE --enabled=true|false [flags]",
		short:   "Switch the renewal of a license",
		long:    "Switch the renewal of a license. Without it, the license is valid to the end of its month or trial.",
		example: "  ledgerctl license auto-renew 01JPB2Z8Q0T3W6X9YAMC5D7E8F --enabled=false",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.SetAutoRenew(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	cmd.Flags().BoolVar(&body.Enabled, "enabled", false, "whether it is renewed")
	required(cmd, "enabled")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseGroup() *cobra.Command {
	var body api.LicenseGroup
	var filter api.LicenseFilter
	var all bool
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "group --action ACTION --licenses LICENSES|FILTER|--all [flags]",
		short: "Do the same to many licenses",
		long: `Do the same to the named licenses, to those that the filters select, or with --all to
every license of the provider. What is possible is done; the others are listed with
the reason, and the command then ends with 1.`,
		example: `  ledgerctl license group --action auto-renew-off --licenses 01JPB2Z8Q0T3W6X9YAMC5D7E8F,01JPB300C4S8ZV4H3Y2W1K5N7D
  ledgerctl license group --action release --company globex --status used --dry-run`,
		pace: paceLong,
		run: func(ctx context.Context, _ []string) error {
			chosen := 0
			for _, ways := range []bool{len(body.Licenses) > 0, filter != api.LicenseFilter{}, all} {
				if ways {
					chosen++
				}
			}
			if chosen != 1 {
				return &usageError{text: "which licenses? Name them with --licenses, or give filters, or --all: one of these"}
			}
			if len(body.Licenses) == 0 {
				body.Filter = &filter
			}
			answer, err := c.GroupLicenses(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			g, refused := grid{columns: left("license ok code")}, 0
			for _, r := range answer.Results {
				if g.add(r.License, r.OK, string(r.Code)); !r.OK {
					refused++
				}
			}
			if err := c.print(answer, g, func(w io.Writer, g grid) {
				writeTable(w, g)
				fmt.Fprintln(w, outcome(o.DryRun, answer.Receipt, answer.Preview))
			}); err != nil {
				return err
			}
			if refused > 0 {
				return &refusedError{fmt.Sprintf("%d of %d licenses were left as they are", refused, len(answer.Results))}
			}
			return nil
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Action, "action", "", "`ACTION`: auto-renew-on, auto-renew-off or release")
	flags.StringSliceVar(&body.Licenses, "licenses", nil, "ids of the `LICENSES`, separated by commas")
	filterFlags(cmd, &filter)
	flags.BoolVar(&all, "all", false, "all licenses of the provider")
	required(cmd, "action")
	changeFlags(cmd, &o)
	return cmd
}
