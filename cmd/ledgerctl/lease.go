package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
)

func (c *cli) leaseCommands() *cobra.Command {
	return c.family("lease", "Signed leases: what programs may do offline", c.leaseCheck(), c.leaseKeys())
}

func (c *cli) endpointLease() *cobra.Command {
	var o api.ReadOptions
	cmd := c.command(command{
		use:   "lease ENDPOINT [flags]",
		short: "Show what an endpoint may do offline",
		long: `Show the lease that the endpoint's agent would get now: what it may do, and until
when, if it cannot reach the ledger again. With -o json the signed text comes with
it; ledgerctl lease check verifies that offline.`,
		example: "  ledgerctl endpoint lease pc-17\n  ledgerctl endpoint lease pc-17 -o json > pc-17.lease",
		run: func(ctx context.Context, args []string) error {
			answer, err := c.EndpointLease(ctx, c.provider, args[0], o)
			if err != nil {
				return err
			}
			return c.printOne(answer, leaseGrid(&answer.Claims, nil))
		},
	})
	afterFlag(cmd, &o)
	return cmd
}

// leaseGrid shows what a lease says, and what it allows where that was judged.
func leaseGrid(l *lease.Claims, s *lease.State) grid {
	g := grid{columns: left("subject provider status license_types keys backup_until restore_until restore_limit offline_until refresh_at issued_at issuer")}
	var types []string
	for _, held := range l.Licenses {
		types = append(types, held.Type)
	}
	slices.Sort(types)
	var keys []string
	for _, held := range l.Keys {
		keys = append(keys, held.Key)
	}
	restore := any("always")
	if !l.RestoreUntil.IsZero() {
		restore = l.RestoreUntil
	}
	cells := []any{
		l.Subject, l.Provider, l.Status, slices.Compact(types), keys, l.BackupUntil, restore, positive(l.RestoreLimit),
		l.OfflineUntil, l.RefreshAt, l.Issued(), l.Issuer,
	}
	if s != nil {
		g.columns = slices.Concat(people("state"), programs("mode reason"), left("backup restore"), g.columns)
		cells = slices.Concat([]any{s.Text(), string(s.Mode), string(s.Reason), s.Backup, s.Restore}, cells)
	}
	g.add(cells...)
	return g
}

func (c *cli) leaseKeys() *cobra.Command {
	return c.command(command{
		use:   "keys",
		short: "Print the keys that verify leases",
		long: `Print the ledger's public keys as a JWK Set, whatever -o says: it is the file that
ledgerctl lease check reads, and every program that knows JWT.`,
		example: "  ledgerctl lease keys > jwks.json",
		offline: true,
		run: func(ctx context.Context, _ []string) error {
			if err := c.checkServer(); err != nil {
				return err
			}
			keys, err := c.LeaseKeys(ctx)
			if err == nil {
				_, err = c.stdout.Write(append(bytes.TrimSpace(keys), '\n'))
			}
			return err
		},
	})
}

// checkedLease is the answer to a check: the claims, and what they allow.
type checkedLease struct {
	Mode    lease.Mode   `json:"mode"`
	Reason  lease.Reason `json:"reason,omitempty"`
	Backup  bool         `json:"backup"`
	Restore bool         `json:"restore"`
	lease.Claims
}

func (c *cli) leaseCheck() *cobra.Command {
	var jwks string
	var now, seen api.Instant
	cmd := c.command(command{
		use:   "check FILE --jwks FILE [flags]",
		short: "Verify a lease offline, and tell what it allows",
		long: `Verify a lease with keys out of a file and tell what it allows at a time, as a
backup program would. Neither ledger nor token is needed. FILE holds the signed
text, or an answer with it as -o json prints one; - is standard input. What does
not verify ends with exit code 3.`,
		example: "  ledgerctl lease keys > jwks.json\n  ledgerctl lease check pc-17.lease --jwks jwks.json --now 2026-03-20",
		offline: true,
		run: func(_ context.Context, args []string) error {
			keys, err := c.readKeys(jwks)
			if err != nil {
				return err
			}
			text, err := c.readLease(args[0])
			if err != nil {
				return err
			}
			claims, err := lease.Verify(text, keys)
			if err != nil {
				return err
			}
			at, err := now.Time()
			if err == nil && at.IsZero() {
				at = time.Now().UTC()
			}
			latest, err2 := seen.Time()
			if err != nil || err2 != nil {
				return &usageError{text: "--now and --seen are times"}
			}
			s := lease.Judge(&claims, at, latest)
			return c.printOne(checkedLease{s.Mode, s.Reason, s.Backup, s.Restore, claims}, leaseGrid(&claims, &s))
		},
	})
	cmd.Flags().StringVar(&jwks, "jwks", "", "`FILE` with the keys, a JWK Set")
	instantFlag(cmd, &now, "now", "judge as of this `TIME`, not of now")
	instantFlag(cmd, &seen, "seen", "the latest `TIME` that the program has seen; its clock may not be far behind it")
	required(cmd, "jwks")
	return cmd
}

func (c *cli) readKeys(file string) (lease.KeySet, error) {
	text, err := c.readFile(file)
	if err != nil {
		return nil, err
	}
	keys, err := lease.ParseKeys(text)
	if err != nil {
		return nil, &usageError{text: file + ": " + err.Error(), hint: "ledgerctl lease keys prints such a file"}
	}
	return keys, nil
}

// readLease reads the signed text, alone or within an answer.
func (c *cli) readLease(file string) (string, error) {
	text, err := c.readFile(file)
	if err != nil {
		return "", err
	}
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("{")) {
		return string(text), nil
	}
	var answer struct {
		Text string `json:"lease"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Text == "" {
		return "", &usageError{text: file + ` is JSON without a "lease"`, hint: "ledgerctl endpoint lease -o json prints such a file"}
	}
	return answer.Text, nil
}

// readFile reads an input file that is not longer than any lease.
func (c *cli) readFile(name string) ([]byte, error) {
	file, err := c.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const most = 2 * lease.MaxText
	text, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil || len(text) > most {
		return nil, &usageError{text: fmt.Sprintf("%s: it cannot be read, or has more than %d bytes", strings.TrimSpace(name), most)}
	}
	return text, nil
}
