package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) keyCommands() *cobra.Command {
	return c.family("key", "Annual keys: seats, jobs and the instances that use them",
		c.keyOrder(), c.keyList(), c.keyShow(), c.keyActivate(), c.keyJob(), c.keyRemoveJob(), c.keySeats(), c.keyRelease(),
		c.keyAdd(), c.keyRenew(), c.keyConvert(), c.keyLease())
}

func (c *cli) keyOrder() *cobra.Command {
	var body api.KeyOrder
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "order --license-type TYPE --seats NUMBER [flags]",
		short: "Order an annual key",
		long: `Order an annual key. It can be used at once; its year begins when it is activated for
the first time. The secret is what is pasted into the backup program.`,
		example: "  ledgerctl key order --license-type backup-user --seats 50 --company globex --dry-run",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.OrderKey(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.printKeyChange(answer, o)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.LicenseType, "license-type", "", "annual `TYPE` of the catalog")
	flags.IntVar(&body.Seats, "seats", 0, "`NUMBER` of users that it is for")
	flags.StringVar(&body.Company, "company", "", "`COMPANY` whose it is; without it, the provider's own")
	required(cmd, "license-type", "seats")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyList() *cobra.Command {
	var q api.KeyQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List annual keys",
		long:    "List annual keys in the order in which they were ordered.",
		example: "  ledgerctl key list --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.KeyPage
			if all {
				page.Keys, err = collect(c.AllKeys(ctx, c.provider, q))
			} else {
				page, err = c.Keys(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, keyGrid(page.Keys...), page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) keyShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:     "show KEY [flags]",
		short:   "Show an annual key: its seats, how many are used, and until when it is valid",
		example: "  ledgerctl key show 01K9PZ3V5Q6W7X8Y9ZABCDEFGH",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.Key(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, keyGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) keyActivate() *cobra.Command {
	var body api.KeyInstance
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "activate KEY --instance INSTANCE [flags]",
		short: "Let an instance use a key",
		long: `Let an installation of the backup program use a key. The first activation begins the
key's year; any number of instances may use it. Who has the secret alone takes
ledgerctl instance activate.`,
		example: "  ledgerctl key activate 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ActivateKey(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printKeyChange(answer, o)
		},
	})
	cmd.Flags().StringVar(&body.Instance, "instance", "", "`INSTANCE`: an installation of the backup program")
	required(cmd, "instance")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyAdd() *cobra.Command {
	var body api.KeySeats
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "add KEY --seats NUMBER [flags]",
		short:   "Add seats to a key",
		long:    "Add seats to a key. Its end stays; what is left of its term is what they cost.",
		example: "  ledgerctl key add 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --seats 10 --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.AddSeats(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printKeyChange(answer, o)
		},
	})
	cmd.Flags().IntVar(&body.Seats, "seats", 0, "`NUMBER` of further seats")
	required(cmd, "seats")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyRenew() *cobra.Command {
	var body api.KeySeats
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "renew KEY --seats NUMBER [flags]",
		short: "Buy a further year of a key",
		long: `Buy a further year of a key: from its end, or, if it has expired, from now. With at
least as many seats users keep theirs. With fewer, all seats are free again when the
year begins, and are taken in the order in which objects start.`,
		example: "  ledgerctl key renew 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --seats 50 --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.RenewKey(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printKeyChange(answer, o)
		},
	})
	cmd.Flags().IntVar(&body.Seats, "seats", 0, "`NUMBER` of seats of the further year")
	required(cmd, "seats")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyConvert() *cobra.Command {
	var body api.KeyConversion
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "convert KEY [flags]",
		short: "Make a per-user key of one of the older model",
		long: `Make a per-user key of one of the older model, which counted a license per mailbox and
per started 512 MB of public folders. As many seats cost nothing; more are added.`,
		example: "  ledgerctl key convert 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --mailboxes 40 --public-folder-bytes 1073741824",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ConvertKey(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			return c.printKeyChange(answer, o)
		},
	})
	flags := cmd.Flags()
	flags.IntVar(&body.Mailboxes, "mailboxes", 0, "`NUMBER` of mailboxes that the older key counted")
	flags.Int64Var(&body.PublicFolderBytes, "public-folder-bytes", 0, "`BYTES` of public folders that it counted")
	flags.IntVar(&body.Seats, "seats", 0, "`NUMBER` of seats of the per-user key; without it, as many as the older one had licenses")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyLease() *cobra.Command {
	var q api.KeyLeaseQuery
	cmd := c.command(command{
		use:   "lease KEY [flags]",
		short: "Show what a key allows offline",
		long: `Show the lease that an instance would get now: what the key allows, and until when,
if the ledger cannot be reached again. With -o json the signed text comes with it;
ledgerctl lease check verifies that offline.`,
		example: "  ledgerctl key lease 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1 -o json > srv-1.lease",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.KeyLease(ctx, c.provider, args[0], q)
			if err != nil {
				return err
			}
			return c.printOne(answer, leaseGrid(&answer.Claims, nil))
		},
	})
	cmd.Flags().StringVar(&q.Instance, "instance", "", "the `INSTANCE` that it is for; without it, the key as such")
	afterFlag(cmd, &q.ReadOptions)
	return cmd
}

// printKeyChange prints a key after a change, and what is due for it.
func (c *cli) printKeyChange(answer api.KeyAnswer, o api.ChangeOptions) error {
	text := outcome(o.DryRun, answer.Receipt, answer.Preview)
	if !o.DryRun && answer.Invoice != "" {
		text += "; invoice " + answer.Invoice + " of " + answer.Amount + " is due"
	}
	g := keyGrid(answer.Key)
	g.columns = append(g.columns, programs("amount invoice")...)
	g.rows[0] = append(g.rows[0], answer.Amount, answer.Invoice)
	return c.print(answer, g, func(w io.Writer, g grid) {
		writeFields(w, g)
		fmt.Fprintln(w, printable(text))
	})
}

// keyGrid shows keys. A secret is shown where a key stands alone: a list is looked at by many.
func keyGrid(keys ...api.Key) grid {
	g := grid{columns: append(left("key license_type company"), right("seats used")...)}
	g.columns = append(append(append(g.columns, left("status valid_until")...), extra("expires_at renewed_for suspend_at converted created_at")...),
		column{name: "secret", in: inFields})
	for _, k := range keys {
		g.add(k.ID, k.LicenseType, k.Company, k.Seats, k.Used, k.Status, k.ValidUntil, k.ExpiresAt, positive(k.RenewedFor), k.SuspendAt, k.Converted, k.CreatedAt, k.Secret)
	}
	return g
}
