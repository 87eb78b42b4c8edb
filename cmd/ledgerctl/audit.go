package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/proof"
)

func (c *cli) auditCommands() *cobra.Command {
	return c.family("audit", "History as it was recorded, and proof that nothing was changed",
		c.auditReplay(), c.auditAsOf(), c.auditVerify(), c.auditProve(), c.auditCheck(), c.auditCheckpoint(), c.auditKey())
}

func (c *cli) auditReplay() *cobra.Command {
	var q api.AuditQuery
	var all bool
	cmd := c.command(command{
		use:   "replay [flags]",
		short: "Play back what was recorded",
		long: `Play back the entries of the log, in order: those of the provider, or, for the operator, of
all with --all. With -o json it is JSON Lines, each line exactly as it was appended; with -o csv
a row per event. It is streamed, however much there is.`,
		example: `  ledgerctl audit replay --from 2026-03-01 --to 2026-04-01 -o json > march.jsonl
  ledgerctl audit replay --all --kind statement.issued.v1 -o csv`,
		ledger: true,
		pace:   paceLong,
		run: func(ctx context.Context, _ []string) error {
			if q.Provider = c.provider; all {
				q.Provider = ""
			}
			lines, err := c.AuditEntries(ctx, q)
			if err != nil {
				return err
			}
			defer lines.Close()
			return c.replay(lines)
		},
	})
	flags := cmd.Flags()
	instantFlag(cmd, &q.From, "from", "entries from this `TIME` on")
	instantFlag(cmd, &q.To, "to", "entries before this `TIME`")
	flags.Uint64Var(&q.First, "first", 0, "entries from this `NUMBER` on")
	flags.Uint64Var(&q.Last, "last", 0, "entries up to this `NUMBER`")
	flags.StringVar(&q.Kind, "kind", "", "only entries with an event of this `KIND`, as license.allocated.v1")
	flags.BoolVar(&all, "all", false, "the whole log, not only the provider's part")
	afterFlag(cmd, &q.ReadOptions)
	return cmd
}

// replay prints entries as they come.
func (c *cli) replay(lines io.Reader) error {
	out := bufio.NewWriterSize(c.stdout, 64<<10)
	show := c.newProgress()
	defer show.end()
	write := func(line []byte, _ *events.Entry) error {
		_, err := out.Write(append(line, '\n'))
		return err
	}
	switch c.format {
	case formatCSV:
		rows := csv.NewWriter(out)
		if err := rows.Write([]string{"entry", "event", "time", "effective", "provider", "actor", "command", "kind", "data"}); err != nil {
			return err
		}
		write = func(_ []byte, e *events.Entry) error { return writeEvents(rows, e) }
	case formatTable:
		write = func(_ []byte, e *events.Entry) error {
			_, err := fmt.Fprintf(out, "%9d  %-24s  %-16s  %-20s  %s\n", e.Number, events.FormatTime(e.Time), visible(e.Provider), visible(e.Actor), visible(kindsOf(e)))
			return err
		}
	}
	in := bufio.NewScanner(lines)
	in.Buffer(make([]byte, 0, 64<<10), events.MaxEntry+1)
	n := 0
	for in.Scan() {
		e, err := events.DecodeEntry(in.Bytes())
		if err != nil {
			return fmt.Errorf("an entry cannot be read: %w", err)
		}
		if err := write(in.Bytes(), &e); err != nil {
			return err
		}
		n++
		show.text("%d entries, at %s", n, events.FormatTime(e.Time))
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("the answer broke off after %d entries: %w", n, err)
	}
	return out.Flush()
}

// writeEvents writes an entry as a row per event.
func writeEvents(rows *csv.Writer, e *events.Entry) error {
	for i := range e.Events {
		ev := &e.Events[i]
		text, err := events.AppendEvent(nil, ev)
		if err != nil {
			return err
		}
		_, data, _ := strings.Cut(string(text), `,"data":`)
		effective := ""
		if !ev.Effective.IsZero() {
			effective = events.FormatTime(ev.Effective)
		}
		err = rows.Write([]string{
			strconv.FormatUint(e.Number, 10), strconv.Itoa(i), events.FormatTime(e.Time), effective, e.Provider, e.Actor, e.Command,
			ev.Data.Kind(), strings.TrimSuffix(data, "}"),
		})
		if err != nil {
			return err
		}
	}
	rows.Flush()
	return rows.Error()
}

// kindsOf names each kind of an entry once.
func kindsOf(e *events.Entry) (kinds []string) {
	for i := range e.Events {
		if kind := e.Events[i].Data.Kind(); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (c *cli) auditVerify() *cobra.Command {
	var key, old, save string
	var hashesOnly bool
	cmd := c.command(command{
		use:   "verify [FOLDER] --key KEY [flags]",
		short: "Verify that nothing in the log was changed",
		long: `Read all tiles, compute the Merkle tree anew and compare it with the signed checkpoint: in a
FOLDER, offline (ledgerd has it in DIR/views/audit), or through HTTP. With --old it is also compared
with a checkpoint that was stored before: a history that was written anew, forked, or cut off is
found, whoever signed it. Exit code 3 says that something does not verify, and what.

Entries are for the operator alone; with --hashes-only nobody needs a token, and still nothing
that was signed can have been taken back.`,
		example: `  ledgerctl audit verify data/views/audit --key data/keys/checkpoint.pub
  ledgerctl audit verify --hashes-only --key ledger.pub --old last.checkpoint --save last.checkpoint`,
		offline: true,
		pace:    paceLong,
		run: func(ctx context.Context, args []string) error {
			verifier, err := readKey(key)
			if err != nil {
				return err
			}
			o := proof.Options{HashesOnly: hashesOnly}
			if old != "" {
				if o.Old, err = os.ReadFile(old); err != nil {
					return &usageError{text: "reading the stored checkpoint: " + err.Error()}
				}
			}
			var src proof.Source
			if len(args) > 0 {
				if info, err := os.Stat(args[0]); err != nil || !info.IsDir() {
					return &usageError{text: quoted(args[0]) + " is not a folder of tiles", hint: "ledgerd has them in views/audit of its data folder"}
				}
				src = proof.Folder{FS: os.DirFS(args[0])}
			} else {
				if err := c.connect(false); err != nil && (!hashesOnly || c.Token != "" || c.tokenFile != "") {
					return err
				}
				// What is verified must not grow meanwhile.
				if src, err = c.frozen(ctx); err != nil {
					return err
				}
			}
			show := c.newProgress()
			defer show.end()
			o.Progress = func(done, total uint64) { show.text("%d of %d entries", done, total) }
			checkpoint, err := proof.Verify(ctx, src, verifier, o)
			if err != nil {
				return err
			}
			show.end()
			if save != "" {
				signed, err := src.Checkpoint(ctx)
				if err == nil {
					err = saveFile(save, signed)
				}
				if err != nil {
					return fmt.Errorf("storing the checkpoint: %w", err)
				}
			}
			return c.printOne(verified{true, checkpoint.Origin, checkpoint.Size, checkpoint.Root.String(), old != ""}, verifiedGrid(checkpoint, old != ""))
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&key, "key", "", "`KEY` of the ledger, or the file that holds it: ledgerd writes it to keys/checkpoint.pub")
	required(cmd, "key")
	flags.StringVar(&old, "old", "", "compare with the checkpoint that is stored in this `FILE`")
	flags.StringVar(&save, "save", "", "store the checkpoint in this `FILE`, for the next time")
	flags.BoolVar(&hashesOnly, "hashes-only", false, "leave out the entries, and look at the tiles of hashes alone")
	return cmd
}

// verified is what a verification came to, for programs.
type verified struct {
	Verified bool   `json:"verified"`
	Origin   string `json:"origin"`
	Entries  uint64 `json:"entries"`
	Root     string `json:"root"`
	Old      bool   `json:"agrees_with_old"`
}

func verifiedGrid(checkpoint proof.Checkpoint, old bool) grid {
	g := grid{columns: slices.Concat(left("verified origin entries root"), left("agrees_with_old"))}
	g.add(true, checkpoint.Origin, checkpoint.Size, checkpoint.Root.String(), old)
	return g
}

// frozen is the ledger's tiles as they are under the checkpoint of now.
func (c *cli) frozen(ctx context.Context) (proof.Source, error) {
	signed, err := c.AuditCheckpoint(ctx)
	return &remote{c.Client, signed}, err
}

// remote is the tiles of a ledger, through HTTP.
type remote struct {
	client *api.Client
	signed []byte
}

func (r *remote) Checkpoint(context.Context) ([]byte, error) { return r.signed, nil }

func (r *remote) Tile(ctx context.Context, t tlog.Tile) ([]byte, error) {
	data, err := r.client.AuditTile(ctx, proof.Path(t))
	if api.CodeOf(err) == api.CodeNotFound {
		return nil, fmt.Errorf("%w: %w", proof.ErrNoTile, err)
	}
	return data, err
}

func (c *cli) auditProve() *cobra.Command {
	q := api.ProofQuery{}
	cmd := c.command(command{
		use:   "prove [ENTRY] [flags]",
		short: "Make a file that proves an entry or an invoice",
		long: `Print a small file that proves an entry, or an invoice of the provider with all its lines, to
whoever has the ledger's public key: ledgerctl audit check checks it offline.`,
		example: `  ledgerctl audit prove --invoice S-000001 > S-000001.proof
  ledgerctl audit prove 412 > entry.proof`,
		ledger: true,
		run: func(ctx context.Context, args []string) error {
			switch {
			case len(args) > 0 && q.Invoice == "":
				n, err := strconv.ParseUint(args[0], 10, 63)
				if err != nil {
					return &usageError{text: quoted(args[0]) + " is not the number of an entry"}
				}
				q.Entry = &n
			case len(args) == 0 && q.Invoice != "":
				if q.Provider = c.provider; q.Provider == "" {
					return &usageError{text: "which provider?", hint: "give --provider PROVIDER or set LEDGER_PROVIDER"}
				}
			default:
				return &usageError{text: "an entry or --invoice is needed, and not both"}
			}
			file, err := c.AuditProof(ctx, q)
			if err == nil {
				_, err = c.stdout.Write(file)
			}
			return err
		},
	})
	cmd.Flags().StringVar(&q.Invoice, "invoice", "", "prove the invoice with this `NUMBER`")
	afterFlag(cmd, &q.ReadOptions)
	return cmd
}

func (c *cli) auditCheck() *cobra.Command {
	var key string
	cmd := c.command(command{
		use:   "check FILE --key KEY [flags]",
		short: "Check a proof, offline",
		long: `Check a proof file (- is standard input) with the ledger's public key and nothing else, and
tell what it proves. Exit code 3 says that it does not hold.`,
		example: "  ledgerctl audit check S-000001.proof --key ledger.pub",
		offline: true,
		run: func(_ context.Context, args []string) error {
			verifier, err := readKey(key)
			if err != nil {
				return err
			}
			in, err := c.open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			text, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			file, err := proof.Parse(text)
			if err != nil {
				return err
			}
			checked, err := file.Check(verifier)
			if err != nil {
				return err
			}
			return c.printChecked(checked)
		},
	})
	cmd.Flags().StringVar(&key, "key", "", "`KEY` of the ledger, or the file that holds it")
	required(cmd, "key")
	return cmd
}

// proved is what a proof file proves, for programs.
type proved struct {
	Proved     bool           `json:"proved"`
	Origin     string         `json:"origin"`
	Checkpoint uint64         `json:"checkpoint"`
	Entries    []provedEntry  `json:"entries"`
	Invoice    *provedInvoice `json:"invoice,omitempty"`
}

type provedEntry struct {
	Entry    uint64    `json:"entry"`
	Time     time.Time `json:"time"`
	Provider string    `json:"provider,omitempty"`
	Kinds    []string  `json:"kinds"`
}

type provedInvoice struct {
	Provider string `json:"provider"`
	Number   string `json:"number"`
	Month    string `json:"month"`
	Lines    int    `json:"lines"`
	Total    string `json:"total"`
	Currency string `json:"currency"`
	Digest   string `json:"digest"`
}

func (c *cli) printChecked(checked proof.Checked) error {
	answer := proved{Proved: true, Origin: checked.Checkpoint.Origin, Checkpoint: checked.Checkpoint.Size}
	g := grid{columns: left("proves origin checkpoint provider entry time kinds invoice month lines total currency digest")}
	var invoice [6]any
	if v := checked.Invoice; v != nil {
		answer.Invoice = &provedInvoice{v.Provider, v.Number, v.Month, v.Lines, v.Total, v.Currency, v.Digest}
		invoice = [6]any{v.Number, v.Month, v.Lines, v.Total, v.Currency, v.Digest}
	}
	for i, e := range checked.Entries {
		answer.Entries = append(answer.Entries, provedEntry{e.Number, e.Time, e.Provider, e.Kinds})
		what := "an entry"
		if checked.Invoice != nil {
			what = "an invoice, issued by an entry"
			if i > 0 {
				continue // those that the first one names
			}
		}
		g.add(what, checked.Checkpoint.Origin, checked.Checkpoint.Size, e.Provider, e.Number, e.Time, e.Kinds,
			invoice[0], invoice[1], invoice[2], invoice[3], invoice[4], invoice[5])
	}
	return c.printOne(answer, g)
}

func (c *cli) auditCheckpoint() *cobra.Command {
	return c.command(command{
		use:   "checkpoint [flags]",
		short: "Print the newest signed checkpoint",
		long: `Print the newest signed checkpoint: the number of entries and the root of their Merkle tree. Who
stores it can tell for ever, with audit verify --old, whether anything before it was changed.`,
		example: "  ledgerctl audit checkpoint > last.checkpoint",
		ledger:  true,
		run: func(ctx context.Context, _ []string) error {
			signed, err := c.AuditCheckpoint(ctx)
			if err == nil {
				_, err = c.stdout.Write(signed)
			}
			return err
		},
	})
}

func (c *cli) auditKey() *cobra.Command {
	return c.command(command{
		use:   "key [flags]",
		short: "Print the public key that checkpoints verify with",
		long: `Print the public key that checkpoints verify with. Who trusts nobody has it from elsewhere: from
keys/checkpoint.pub of the ledger's folder, on paper, or from the first time.`,
		example: "  ledgerctl audit key > ledger.pub",
		ledger:  true,
		run: func(ctx context.Context, _ []string) error {
			key, err := c.Client.AuditKey(ctx)
			if err == nil {
				_, err = fmt.Fprintln(c.stdout, key)
			}
			return err
		},
	})
}

// readKey takes a public key, or the name of the file that holds it.
func readKey(text string) (note.Verifier, error) {
	if !strings.Contains(text, "+") {
		content, err := os.ReadFile(text)
		if err != nil {
			return nil, &usageError{text: "reading the ledger's key: " + err.Error(), hint: "ledgerd writes it to keys/checkpoint.pub of its data folder; ledgerctl audit key prints it"}
		}
		text = string(content)
	}
	key, err := proof.ParseVerifier(text)
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return key, nil
}

// saveFile lets a file appear whole, or leaves the one that is there.
func saveFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".checkpoint-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone when it has its name
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
