package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) paymentCommands() *cobra.Command {
	return c.family("payment", "What became of the charges of statements", c.paymentRecord(), c.paymentList())
}

func (c *cli) paymentRecord() *cobra.Command {
	var body api.PaymentRecord
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "record --invoice NUMBER --outcome OUTCOME [flags]",
		short: "Record what became of a charge",
		long: `Record whether the charge of a statement was collected or failed. With the first
failure grace begins, after which the provider's paid licenses expire.
Only the operator may do this.`,
		example: `  ledgerctl payment record --invoice S-000001 --outcome failed --reason "card expired"
  ledgerctl payment record --invoice S-000001 --outcome collected`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.RecordPayment(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			return c.printChange(answer, paymentGrid(answer.Payment), outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Invoice, "invoice", "", "`NUMBER` of the statement")
	flags.StringVar(&body.Outcome, "outcome", "", "`OUTCOME`: collected or failed")
	flags.StringVar(&body.Reason, "reason", "", "`REASON` of a failure")
	required(cmd, "invoice", "outcome")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) paymentList() *cobra.Command {
	var q api.ListQuery
	var all bool
	cmd := c.command(command{
		use:     "list [flags]",
		short:   "List the recorded outcomes of charges",
		example: "  ledgerctl payment list --all",
		run: func(ctx context.Context, _ []string) (err error) {
			var page api.PaymentPage
			if all {
				page.Payments, err = collect(c.AllPayments(ctx, c.provider, q))
			} else {
				page, err = c.Payments(ctx, c.provider, q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, paymentGrid(page.Payments...), page.NextCursor)
		},
	})
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func paymentGrid(payments ...api.Payment) grid {
	g := grid{columns: left("invoice outcome at reason")}
	for _, p := range payments {
		g.add(p.Invoice, p.Outcome, p.At, p.Reason)
	}
	return g
}

func (c *cli) adjustmentCommand() *cobra.Command {
	var body api.Adjustment
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "adjustment --month MONTH --amount AMOUNT --reason REASON [flags]",
		short: "Correct a closed month",
		long: `Correct what a closed month came to. It stands on the running month's statement, as
lines that name the month; where that month's minimum changes with it, so does one for
that. It prints these lines. Only the operator may do this.`,
		example: `  ledgerctl adjustment --month 2026-02 --company globex --license-type server --amount=-10.00 --reason "double count"`,
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.Adjust(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			g := grid{columns: append(left("kind month company license_type policy"), right("amount")...)}
			for _, l := range answer.Lines {
				g.add(l.Kind, l.Month, l.Company, l.LicenseType, l.Policy, l.Amount)
			}
			return c.print(answer, g, func(w io.Writer, g grid) {
				writeTable(w, g)
				fmt.Fprintln(w, outcome(o.DryRun, answer.Receipt, answer.Preview))
			})
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Month, "month", "", "the closed `MONTH`, as 2026-02")
	flags.StringVar(&body.Company, "company", "", "`COMPANY` that it is about")
	flags.StringVar(&body.LicenseType, "license-type", "", "license `TYPE` that it is about")
	flags.StringVar(&body.License, "license", "", "id of the `LICENSE` that it is about")
	flags.StringVar(&body.Amount, "amount", "", "`AMOUNT` by which the month's usage changes, as 3.00 or -10.00")
	flags.StringVar(&body.Reason, "reason", "", "`REASON`, which the log keeps")
	required(cmd, "month", "amount", "reason")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) nextPaymentCommand() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "next-payment [flags]",
		short: "Show what the running month leads to",
		long: `Show what will be charged on the 1st if nothing changes: what is paid and assigned
goes on to the month's end, trials that end before are paid, meters stand as they are.
Accrued is the usage through today; credit is what more can be used at no extra charge.`,
		example: "  ledgerctl next-payment",
		run: func(ctx context.Context, _ []string) error {
			answer, err := c.NextPayment(ctx, c.provider, o)
			if err != nil {
				return err
			}
			lines := sumGrid(answer.Lines, answer.Currency)
			return c.print(answer, lines, func(w io.Writer, _ grid) {
				g := grid{columns: left("amount accrued credit currency due payment_method")}
				g.add(answer.Amount, answer.Accrued, answer.Credit, answer.Currency, answer.Due, answer.PaymentMethod)
				writeFields(w, g)
				fmt.Fprintln(w)
				writeTable(w, lines)
			})
		},
	})
	readFlags(cmd, &o)
	return cmd
}

func (c *cli) estimateCommand() *cobra.Command {
	var body api.Estimate
	var items []string
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "estimate --month MONTH --items ITEMS [flags]",
		short: "Tell what something would cost in a month",
		long: `Tell what a month's statement would be if nothing but the items were used in it. An
item is TYPE:QUANTITY, or TYPE:QUANTITY:DAYS for less than the whole month. Nothing is
recorded.`,
		example: `  ledgerctl estimate --month 2026-05 --items server:10,microsoft-365:25
  ledgerctl estimate --month 2026-05 --items server:3:10 --items backup-storage:100.5`,
		run: func(ctx context.Context, _ []string) (err error) {
			for _, text := range items {
				item, err := parseItem(text)
				if err != nil {
					return &usageError{text: "--items " + quoted(text) + ": " + err.Error()}
				}
				body.Items = append(body.Items, item)
			}
			answer, err := c.Estimate(ctx, c.provider, body, o)
			if err != nil {
				return err
			}
			lines := sumGrid(answer.Lines, answer.Currency)
			return c.print(answer, lines, func(w io.Writer, _ grid) {
				g := lines
				for _, sum := range [][2]string{{"Subtotal", answer.Subtotal}, {"Minimum", answer.MinimumAdjustment}, {"Total " + answer.Currency, answer.Total}} {
					cells := slices.Repeat([]any{blank{}}, len(g.columns))
					cells[0], cells[amountColumn] = sum[0], sum[1]
					g.add(cells...)
				}
				writeTable(w, g)
			})
		},
	})
	cmd.Flags().StringVar(&body.Month, "month", "", "`MONTH` whose prices count, as 2026-05")
	cmd.Flags().StringSliceVar(&items, "items", nil, "`ITEMS` as server:3 or server:3:10 (for 10 days), separated by commas")
	required(cmd, "month", "items")
	afterFlag(cmd, &o)
	return cmd
}

// parseItem reads TYPE:QUANTITY or TYPE:QUANTITY:DAYS.
func parseItem(text string) (item api.EstimateItem, err error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" {
		return item, errors.New("TYPE:QUANTITY or TYPE:QUANTITY:DAYS is needed, as server:3")
	}
	if n, err := strconv.ParseFloat(parts[1], 64); err != nil || n <= 0 || strings.Trim(parts[1], "0123456789.") != "" {
		return item, errors.New("the quantity is no number above 0")
	}
	item.LicenseType, item.Quantity = parts[0], json.Number(parts[1])
	if len(parts) == 3 {
		if item.Days, err = strconv.Atoi(parts[2]); err != nil || item.Days < 1 {
			return item, errors.New("the days are no whole number above 0")
		}
	}
	return item, nil
}

// amountColumn is where the amount stands in a sumGrid.
const amountColumn = 9

// sumGrid has lines of what is not an invoice yet.
func sumGrid(lines []api.Line, currency string) grid {
	g := grid{columns: slices.Concat(left("kind company license_type policy"), right("quantity"), left("unit"), right("billed_days unit_price"), left("month"),
		right("amount"), programs("currency"))}
	for _, l := range lines {
		g.add(l.Kind, l.Company, l.LicenseType, l.Policy, l.Quantity, l.Unit, positive(l.BilledDays), l.UnitPrice, l.Month, l.Amount, currency)
	}
	return g
}
