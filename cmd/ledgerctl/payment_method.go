package main

import (
	"context"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) paymentMethodCommands() *cobra.Command {
	return c.family("payment-method", "How a provider pays", c.paymentMethodSet(), c.paymentMethodShow(), c.paymentMethodRemove())
}

func (c *cli) paymentMethodSet() *cobra.Command {
	var body api.PaymentMethodSettings
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "set --account ACCOUNT [flags]",
		short:   "Set the provider's payment method",
		long:    "Set the provider's payment method. From then on it is active, and paid licenses can be bought.",
		example: "  ledgerctl payment-method set --account acme-billing",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.PutPaymentMethod(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, paymentMethodGrid(answer.PaymentMethod), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	cmd.Flags().StringVar(&body.Account, "account", "", "the provider's `ACCOUNT` at the payment system")
	cmd.Flags().StringVar(&body.System, "system", api.SystemFastSpring, "the payment `SYSTEM`")
	required(cmd, "account")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) paymentMethodShow() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "show [flags]",
		short: "Show the provider's payment method and its status",
		long: `Show the provider's payment method. Its status is none, active, or failing: a
charge failed and is not yet collected, and no new paid licenses can be bought.`,
		example: "  ledgerctl payment-method show",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.PaymentMethod(ctx, c.provider, o)
			if err != nil {
				return err
			}
			return c.printOne(answer, paymentMethodGrid(answer))
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) paymentMethodRemove() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "remove [flags]",
		short: "Leave the provider without a payment method",
		long: `Leave the provider without a payment method: nothing new can be bought, and at the
month's end paid licenses expire.`,
		example: "  ledgerctl payment-method remove --dry-run",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.DeletePaymentMethod(ctx, c.provider, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, paymentMethodGrid(answer.PaymentMethod), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func paymentMethodGrid(m api.PaymentMethod) grid {
	g := grid{columns: left("system account status")}
	g.add(m.System, m.Account, m.Status)
	return g
}
