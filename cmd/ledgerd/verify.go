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

	"licenseledger/cmd/ledgerd/internal/recover"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

// verify compares everything that a ledger keeps: the tiles with their signed checkpoint, the journal with itself, the stream with both, and
// every view with one that is built anew. It works on copies, in a folder beside, so that it changes nothing. The first difference of each is printed.
func verify(ctx context.Context, data string, stdout io.Writer, logger *slog.Logger) (err error) {
	unlock, err := lockLedger(data)
	if err != nil {
		return err
	}
	defer unlock()
	// One that was killed has left its folder.
	old, err := filepath.Glob(filepath.Join(data, "verifying-*"))
	for _, dir := range old {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	aside, err := os.MkdirTemp(data, "verifying-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()

	v := &verification{out: newProgress(stdout), data: data, aside: aside, logger: logger}
	key, err := verifierOf(ctx, data)
	if err != nil {
		return err
	}
	size, err := recover.VerifyTiles(ctx, audit.Folder(viewsFolder(data)), key, func(done, total uint64) { v.out.show("tiles: entries hashed", int(done), int(total)) })
	v.say("tiles", fmt.Sprintf("%d entries lead to the signed checkpoint", size), err)
	records, err := recover.VerifyJournal(journalFolder(data))
	v.say("journal", fmt.Sprintf("%d records are whole", records), err)
	if err := v.stream(ctx, size); err != nil {
		return err
	}
	if v.differ {
		return errDiffers
	}
	return nil
}

type verification struct {
	out         *progress
	data, aside string
	logger      *slog.Logger
	differ      bool
}

// say prints what became of a part.
func (v *verification) say(part, good string, err error) {
	if err != nil {
		v.differ = true
		good = "DIFFERS: " + oneLine(err)
	}
	v.out.line("%-9s %s", part, good)
}

// stream compares a copy of the stream with tiles and journal, and the views with it.
func (v *verification) stream(ctx context.Context, size uint64) error {
	copied := filepath.Join(v.aside, "nats")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(v.data, "nats"))); err != nil {
		return fmt.Errorf("copy the stream: %w", err)
	}
	server, err := natsd.Start(ctx, natsd.Config{Dir: copied, Logger: v.logger})
	if errors.Is(err, natsd.ErrNoChecksum) {
		v.say("stream", "", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer server.Shutdown()
	conn, err := server.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	log, err := stream.Open(ctx, conn, stream.Config{Replicas: 1})
	if err == nil {
		var entries uint64
		entries, err = recover.VerifyStream(ctx, recover.Config{
			Log: log, Dir: journalFolder(v.data), Tiles: audit.Folder(viewsFolder(v.data)), Size: size, Logger: v.logger,
		}, func(done, total uint64) { v.out.show("stream: records read", int(done), int(total)) })
		v.say("stream", fmt.Sprintf("%d entries are chained, and are those of tiles and journal", entries), err)
	} else {
		v.say("stream", "", err)
	}
	if err != nil {
		v.out.line("%-9s %s", "views", "not compared: there is no whole stream to build them from")
		return ctx.Err()
	}
	return v.views(ctx, log)
}

// views builds every view anew and compares it with a copy of the live one, which follows to the end of the stream first.
func (v *verification) views(ctx context.Context, log *stream.Stream) error {
	live, fresh := filepath.Join(v.aside, "live"), filepath.Join(v.aside, "fresh")
	if err := errors.Join(os.CopyFS(live, os.DirFS(viewsFolder(v.data))), os.Mkdir(fresh, 0o700)); err != nil {
		return fmt.Errorf("copy the views: %w", err)
	}
	for _, make := range []func() projections.View{
		func() projections.View { return licenses.New() }, func() projections.View { return usage.View{} },
		func() projections.View { return invoices.New() }, func() projections.View { return notices.View{} }, func() projections.View { return audit.New(signing(v.data)) },
	} {
		name := make().Name()
		if _, err := os.Stat(filepath.Join(live, name+".db")); errors.Is(err, fs.ErrNotExist) {
			v.out.line("%-9s %s", name, "not there: the next start builds it")
			continue
		}
		err := v.view(ctx, log, live, fresh, make)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.say(name, "the view is the one that the stream gives", err)
	}
	return nil
}

func (v *verification) view(ctx context.Context, log *stream.Stream, live, fresh string, make func() projections.View) error {
	var files [2]string
	for i, dir := range []string{fresh, live} {
		v.out.show("view "+make().Name(), i, 2)
		files[i] = filepath.Join(v.aside, make().Name()+[]string{".fresh", ".live"}[i])
		if err := dumpAtTail(ctx, log, dir, make(), files[i], v.logger); err != nil {
			return fmt.Errorf("%s: %w", []string{"built anew", "the live one"}[i], err)
		}
	}
	return compareDumps(files[0], files[1])
}
