package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) licenseCommands() *cobra.Command {
	return c.family("license", "Monthly licenses: buy, hand out, release, list",
		c.licenseBuy(), c.licenseList(), c.licenseShow(), c.licenseAllocate(), c.licenseUnassign(), c.licenseChange(), c.licenseRelease(),
		c.licenseRenew(), c.licenseAutoRenew(), c.licenseGroup(), c.licenseCounters(), c.licenseExplain())
}

func (c *cli) licenseBuy() *cobra.Command {
	var body api.LicenseBuy
	var autoRenew bool
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "buy --license-type TYPE --quantity N [flags]",
		short: "Buy licenses into a pool",
		long: `Buy licenses into a company's pool, or without --company into the provider's. An
active payment method is needed. A license costs from the day on which it is
allocated; --dry-run tells what it would cost.`,
		example: "  ledgerctl license buy --license-type server --quantity 5 --company globex",
		run: func(ctx context.Context, _ []string) error {
			body.AutoRenew = &autoRenew
			answer, err := c.BuyLicenses(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.Licenses...), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.LicenseType, "license-type", "", "`TYPE` to buy, as catalog show names it")
	flags.IntVar(&body.Quantity, "quantity", 0, "`NUMBER` of licenses")
	flags.StringVar(&body.Company, "company", "", "`COMPANY` into whose pool (without it, the provider's)")
	flags.BoolVar(&autoRenew, "auto-renew", true, "renew them every month")
	required(cmd, "license-type", "quantity")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseList() *cobra.Command {
	var q api.LicenseQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List licenses",
		long:    "List the provider's licenses that the filters select, with what they cost per month.",
		example: "  ledgerctl license list --company globex --status used --month 2026-03",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.LicensePage
			if all {
				page.Licenses, err = collect(c.AllLicenses(ctx, c.provider, q))
			} else {
				page, err = c.Licenses(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, licenseGrid(page.Licenses...), page.NextCursor)
		},
	})
	filterFlags(cmd, &q.LicenseFilter)
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) licenseShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show LICENSE [flags]",
		short:   "Show a license and what can be done with it",
		example: "  ledgerctl license show 01JPB2Z8Q0T3W6X9YAMC5D7E8F",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.License(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, licenseGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseAllocate() *cobra.Command {
	var body api.LicenseAllocate
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "allocate --license LICENSE|--license-type TYPE --assignee KIND:ID [flags]",
		short: "Give a license to an assignee",
		long: `Give an assignee the named license, or a free one of a type: from the company's
pool, then, where the company may use it, from the provider's; then, where the
company's allocation is automatic, one that is bought on the spot.

Kinds of assignees: endpoint, administrator, domain-user, domain, branding.
Administrators and brandings need no company.`,
		example: `  ledgerctl license allocate --license-type server --company globex --assignee endpoint:pc-17
  ledgerctl license allocate --license-type connect --assignee administrator:ann`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.AllocateLicense(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.License, "license", "", "id of the `LICENSE`")
	flags.StringVar(&body.LicenseType, "license-type", "", "a free license of this `TYPE`")
	flags.StringVar(&body.Company, "company", "", "`COMPANY` of the assignee")
	flags.Var((*assigneeFlag)(&body.Assignee), "assignee", "whom it serves, as endpoint:pc-17")
	cmd.MarkFlagsOneRequired("license", "license-type")
	cmd.MarkFlagsMutuallyExclusive("license", "license-type")
	required(cmd, "assignee")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseRelease() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "release LICENSE [flags]",
		short: "End a license",
		long: `End a license for good. The day of release is still billed. --dry-run tells what
it saves on the next statement.`,
		example: "  ledgerctl license release 01JPB2Z8Q0T3W6X9YAMC5D7E8F --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ReleaseLicense(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printChange(answer, licenseGrid(answer.License), outcome(o.DryRun, answer.Receipt, answer.Preview))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) licenseCounters() *cobra.Command {
	var q api.CountersQuery
	cmd := c.command(command{
		use:     "counters [flags]",
		short:   "Count licenses",
		long:    "Count the licenses that the filters select. Used are those in force (trial or paid) that serve somebody.",
		example: "  ledgerctl license counters --company globex",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.LicenseCounters(ctx, c.provider, q)
			if err != nil {
				return err
			}
			g := grid{columns: right("all active_trial paid released used")}
			g.add(answer.All, answer.ActiveTrial, answer.Paid, answer.Released, answer.Used)
			return c.print(answer, g, writeTable)
		},
	})
	filterFlags(cmd, &q.LicenseFilter)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func filterFlags(cmd *cobra.Command, f *api.LicenseFilter) {
	flags := cmd.Flags()
	flags.StringVar(&f.Company, "company", "", "only those of this `COMPANY`")
	flags.StringVar(&f.LicenseType, "license-type", "", "only those of this `TYPE`")
	flags.StringVar(&f.Status, "status", "", "only those with this `STATUS`: trial, paid, expired, released, or used: in force and assigned")
	flags.StringVar(&f.Month, "month", "", "only those in force in this `MONTH`, as 2026-03, as they were at its end")
	flags.StringVarP(&f.Q, "q", "q", "", "only those in which these `WORDS` occur, or words that begin so")
}

// assigneeFlag takes an assignee as endpoint:pc-17. The id may have colons of its own.
type assigneeFlag api.Assignee

func (a *assigneeFlag) Type() string { return "kind:id" }

func (a *assigneeFlag) String() string {
	if a.Kind == "" {
		return ""
	}
	return a.Kind + ":" + a.ID
}

func (a *assigneeFlag) Set(text string) error {
	kinds := []string{api.KindEndpoint, api.KindAdministrator, api.KindDomainUser, api.KindDomain, api.KindBranding}
	kind, id, _ := strings.Cut(text, ":")
	if !slices.Contains(kinds, kind) {
		return fmt.Errorf("KIND:ID is needed, as endpoint:pc-17; a kind is %s or %s", strings.Join(kinds[:4], ", "), kinds[4])
	}
	if id == "" {
		return errors.New("the id is missing: KIND:ID is needed, as endpoint:pc-17")
	}
	a.Kind, a.ID = kind, id
	return nil
}

func licenseGrid(licenses ...api.License) grid {
	g := grid{columns: slices.Concat(
		left("id license_type company"), assigneeColumns(), left("status"), programs("assigned"), left("auto_renew valid_until"), extra("expires_at"),
		right("price"), left("currency"), extra("actions"))}
	for _, l := range licenses {
		assignee, kind, id := assigneeCells(l.Assignee)
		g.add(l.ID, l.LicenseType, l.Company, assignee, kind, id, l.Status, l.Assigned, l.AutoRenew, l.ValidUntil, l.ExpiresAt, l.Price, l.Currency, l.Actions)
	}
	return g
}
