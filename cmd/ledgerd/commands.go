package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"licenseledger/cmd/ledgerd/internal/recover"
	"licenseledger/ledger/proof"
	"licenseledger/projections/audit"
)

// exitDiffers is the exit code of verify where something does not verify.
const exitDiffers = 3

// errDiffers says that something does not verify; what, was printed.
var errDiffers = errors.New("the ledger does not verify")

// surroundings are what a command works in.
type surroundings struct {
	env            func(string) (string, bool)
	stdout, stderr io.Writer
}

// maintain runs a command beside serving: verify, restore or backup; false if the name is none of these.
func (s surroundings) maintain(ctx context.Context, name string, args []string) (code int, known bool) {
	var data, from, to string
	var verbose bool
	flags := pflag.NewFlagSet("ledgerd "+name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	flags.StringVar(&data, "data", "", "the ledger's folder")
	var about string
	var do func(logger *slog.Logger) error
	switch name {
	case "verify":
		about = "compares the stream, the tiles, the journal and the views of a ledger that does not run, and names the first difference in each; exit code 3 if there is one"
		do = func(logger *slog.Logger) error { return verify(ctx, data, s.stdout, logger) }
	case "restore":
		about = "makes the stream of a ledger that does not run again, from its tiles and its journal; or, with --from, a whole ledger from a backup"
		flags.StringVar(&from, "from", "", "a file that ledgerd backup has written; --data is then a folder that does not exist or is empty")
		do = func(logger *slog.Logger) error { return restore(ctx, data, from, s.stdout, logger) }
	case "backup":
		about = "copies everything that cannot be computed again into one file, also while ledgerd runs"
		flags.StringVar(&to, "to", "", "the file to write; it must not exist")
		do = func(*slog.Logger) error { return backup(ctx, data, to, s.stdout) }
	default:
		return 0, false
	}
	flags.BoolVar(&verbose, "verbose", false, "log more")
	err := flags.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(s.stdout, "ledgerd %s %s.\n\nFlags (each also as an environment variable, such as LEDGER_DATA):\n%s", name, about, flags.FlagUsages())
		return 0, true
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if err == nil {
		err = environment(flags, s.env)
	}
	if err == nil && data == "" {
		err = errors.New("which ledger? Give --data DIR")
	}
	if err == nil && name == "backup" && to == "" {
		err = errors.New("where shall the backup go? Give --to FILE")
	}
	if err != nil {
		fmt.Fprintf(s.stderr, "ledgerd %s: %s (ledgerd %s --help lists the flags)\n", name, oneLine(err), name)
		return exitUsage, true
	}
	level := slog.LevelError
	if verbose {
		level = slog.LevelDebug
	}
	switch err := do(slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: level}))); {
	case errors.Is(err, errDiffers):
		fmt.Fprintf(s.stderr, "ledgerd %s: %s\n", name, oneLine(err))
		return exitDiffers, true
	case err != nil:
		fmt.Fprintf(s.stderr, "ledgerd %s: %s\n", name, hint(err))
		if proof.Tampered(err) {
			return exitDiffers, true
		}
		return exitFailed, true
	}
	return 0, true
}

// lockLedger locks the folder of a ledger that is there.
func lockLedger(data string) (unlock func(), err error) {
	if _, err := os.Stat(data); err != nil {
		return nil, err
	}
	return lockData(data)
}

// restore makes the stream again, or the whole ledger from a backup.
func restore(ctx context.Context, data, from string, stdout io.Writer, logger *slog.Logger) error {
	out := newProgress(stdout)
	if from != "" {
		m, err := recover.Unpack(from, data)
		if err != nil {
			return err
		}
		out.line("%s is whole: a backup of %s, of %d signed entries and %d newer records.", from, m.At.Format(time.RFC3339), m.Signed, m.Records)
	}
	unlock, err := lockLedger(data)
	if err != nil {
		return err
	}
	defer unlock()
	key, err := verifierOf(ctx, data)
	if err != nil {
		return err
	}
	made, err := recover.Restore{
		Data: data, Tiles: audit.Folder(viewsFolder(data)), Key: key, Journal: journalFolder(data), Logger: logger,
		Progress: func(done, total uint64) { out.show("restoring entries", int(done), int(total)) },
	}.Run(ctx)
	if err != nil {
		return err
	}
	out.line("The stream holds %d entries again; %d of them were checked against the signed checkpoint.", made.Entries, made.Signed)
	if made.Aside != "" {
		out.line("What was there before is in %s. The next start builds the views again.", made.Aside)
	}
	return nil
}

// backup writes everything that cannot be computed again into one file.
func backup(ctx context.Context, data, to string, stdout io.Writer) error {
	if _, err := os.Stat(filepath.Join(data, "nats")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no ledger with a stream of its own: %w", data, err)
	}
	m, err := recover.Backup(ctx, data, viewsFolder(data), journalFolder(data), to, time.Now())
	if err != nil {
		return err
	}
	newProgress(stdout).line("%s holds %d signed entries, %d newer records, names and keys. It is as secret as the ledger.", to, m.Signed, m.Records)
	return nil
}
