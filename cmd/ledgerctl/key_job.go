package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) keyJob() *cobra.Command {
	var body api.JobStart
	var file string
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "job KEY --instance INSTANCE --job JOB [flags]",
		short: "Start a job, and take seats for its objects",
		long: `Start a job, as the backup program of an instance does. The objects of a backup job
stand in a file, a JSON list in the order in which they start, each with id, kind and
the users that have to do with it. An object is backed up whole or skipped; a user
counts once over all objects, jobs and instances of the key. If objects are skipped,
the command says which, and still ends with 0: the others are backed up.`,
		example: `  ledgerctl key job 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1 --job nightly --objects objects.json
  echo '[{"id":"ann@globex.example","kind":"user-mailbox"}]' |
    ledgerctl key job 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1 --job nightly --objects -
  ledgerctl key job 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1 --job bring-back --kind restore`,
		pace: paceStream,
		run: func(ctx context.Context, args []string) error {
			if file != "" {
				const hint = `they are a list like [{"id":"sales","kind":"group-mailbox","users":[{"id":"ann@globex.example"}]}]`
				if err := c.readBody(file, "the objects in", hint, &body.Objects); err != nil {
					return err
				}
			}
			ctx, cancel := c.bounded(ctx)
			defer cancel()
			answer, err := c.StartJob(ctx, c.provider, args[0], body, o)
			if err != nil {
				return err
			}
			g := grid{columns: append(left("id outcome reason"), right("seats_missing")...)}
			skipped := 0
			for _, object := range answer.Objects {
				if object.Outcome == api.ObjectSkipped {
					skipped++
				}
				g.add(object.ID, object.Outcome, object.Reason, positive(object.SeatsMissing))
			}
			text := outcome(o.DryRun, answer.Receipt, api.Preview{})
			if len(answer.Objects) > 0 {
				text += fmt.Sprintf("; %d of %d objects are backed up", len(answer.Objects)-skipped, len(answer.Objects))
			}
			return c.print(answer, g, func(w io.Writer, g grid) {
				if len(g.rows) > 0 {
					writeTable(w, g)
				}
				fmt.Fprintln(w, text)
			})
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&body.Instance, "instance", "", "the `INSTANCE` that it runs on")
	flags.StringVar(&body.Job, "job", "", "name of the `JOB`")
	flags.StringVar(&body.Kind, "kind", api.JobBackup, "`KIND` of the job: backup, restore or archive")
	flags.StringVar(&file, "objects", "", "`FILE` with the objects of a backup job, a JSON list; - for standard input")
	required(cmd, "instance", "job")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keyRemoveJob() *cobra.Command {
	var instance string
	var o api.ChangeOptions
	cmd := c.command(command{
		use:     "remove-job KEY JOB --instance INSTANCE [flags]",
		short:   "Tell that an instance has a job no more",
		long:    "Tell that an instance has a job no more. Its users keep their seats until they are released.",
		example: "  ledgerctl key remove-job 01K9PZ3V5Q6W7X8Y9ZABCDEFGH nightly --instance srv-1",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.RemoveJob(ctx, c.provider, args[0], instance, args[1], o)
			if err != nil {
				return err
			}
			g := grid{columns: left("instance job")}
			g.add(answer.Instance, answer.Job)
			return c.printChange(answer, g, outcome(o.DryRun, answer.Receipt, api.Preview{}))
		},
	})
	cmd.Flags().StringVar(&instance, "instance", "", "the `INSTANCE` that had it")
	required(cmd, "instance")
	changeFlags(cmd, &o)
	return cmd
}

func (c *cli) keySeats() *cobra.Command {
	var q api.SeatQuery
	var all bool
	cmd := c.command(command{
		use:   "seats KEY [flags]",
		short: "List who has the seats of a key",
		long: `List who has the seats of a key, in the order in which they were assigned. An instance
sees the users that it licensed itself: those of others are Unknown, and can be
released by the id of the seat.`,
		example: "  ledgerctl key seats 01K9PZ3V5Q6W7X8Y9ZABCDEFGH --instance srv-1",
		run: func(ctx context.Context, args []string) (err error) {
			var page api.SeatPage
			if all {
				page.Seats, err = collect(c.AllSeats(ctx, c.provider, args[0], q))
			} else {
				page, err = c.Seats(ctx, c.provider, args[0], q)
			}
			if err != nil {
				return err
			}
			return c.printList(page, seatGrid(page.Seats...), page.NextCursor)
		},
	})
	cmd.Flags().StringVar(&q.Instance, "instance", "", "as this `INSTANCE` sees them")
	pageFlags(cmd, &q.PageOptions, &all)
	readFlags(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) keyRelease() *cobra.Command {
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "release KEY SEAT-OR-USER [flags]",
		short: "Take a seat from its user",
		long: `Take a seat from its user, by the id of the seat or of the user: not earlier than 30
days after it was assigned, if the catalog says nothing else. While the user is in a
job, the job's next run assigns a seat again, and the days begin anew: the answer
names these jobs.`,
		example: "  ledgerctl key release 01K9PZ3V5Q6W7X8Y9ZABCDEFGH ann@globex.example --dry-run",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.ReleaseSeat(ctx, c.provider, args[0], args[1], o)
			if err != nil {
				return err
			}
			g := seatGrid(answer.Seat)
			return c.print(answer, g, func(w io.Writer, g grid) {
				writeFields(w, g)
				fmt.Fprintln(w, outcome(o.DryRun, answer.Receipt, api.Preview{}))
				if answer.Warning != "" {
					fmt.Fprintf(w, "warning: %s\n", printable(answer.Warning))
				}
				for _, j := range answer.Jobs {
					fmt.Fprintf(w, "  job %s on %s\n", printable(j.Job), printable(j.Instance))
				}
			})
		},
	})
	changeFlags(cmd, &o)
	return cmd
}

func seatGrid(seats ...api.Seat) grid {
	g := grid{columns: left("seat user name instance assigned_at releasable_at")}
	for _, s := range seats {
		g.add(s.ID, s.User, s.Name, s.Instance, s.AssignedAt, s.ReleasableAt)
	}
	return g
}
