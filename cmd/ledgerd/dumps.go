package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/stream"
	"licenseledger/projections"
)

// dumpAtTail lets a view follow to the end of the log and writes its rows to a file.
func dumpAtTail(ctx context.Context, log *stream.Stream, dir string, view projections.View, file string, logger *slog.Logger) (err error) {
	store, err := projections.Open(dir, view)
	if err != nil {
		return err
	}
	followCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- projections.Follow(followCtx, log, projections.Options{
			Fatal: func(err error) bool { return errors.Is(err, ledger.ErrGap) || errors.Is(err, events.ErrMalformed) }, Log: logger,
		}, store)
	}()
	err = store.WaitTail(ctx, log)
	cancel()
	<-done // its error is the store's
	if err == nil {
		err = dump(store, file)
	}
	return errors.Join(err, store.Close())
}

// dump writes a view's rows. Damage that bbolt meets with a panic or a fault is an error.
func dump(store *projections.Store, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its file is damaged: %v", p)
		}
		err = errors.Join(err, f.Close())
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	_, err = projections.Dump(store, f)
	return err
}

// compareDumps names the first row that differs.
func compareDumps(want, got string) error {
	var lines [2]*bufio.Reader
	for i, name := range []string{want, got} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		lines[i] = bufio.NewReaderSize(f, 1<<16)
	}
	for n := 1; ; n++ {
		w, werr := lines[0].ReadString('\n')
		g, gerr := lines[1].ReadString('\n')
		switch {
		case werr == io.EOF && gerr == io.EOF && w == g:
			return nil
		case werr != nil && werr != io.EOF, gerr != nil && gerr != io.EOF:
			return errors.Join(werr, gerr)
		case w != g:
			return fmt.Errorf("row %d is %.200q, and the stream gives %.200q", n, g, w)
		}
	}
}
