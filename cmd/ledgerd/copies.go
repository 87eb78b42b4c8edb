package main

import (
	"context"
	"errors"
	"path/filepath"

	"licenseledger/cmd/ledgerd/internal/recover"
	"licenseledger/ledger/proof"
	"licenseledger/projections/audit"
)

func journalFolder(data string) string { return filepath.Join(data, "journal") }

func viewsFolder(data string) string { return filepath.Join(data, "views") }

// signedEntries is the number of entries that the tiles of a folder hold, by their checkpoint; 0 where there is none.
func signedEntries(ctx context.Context, data string) (uint64, error) {
	signed, err := audit.Folder(viewsFolder(data)).Checkpoint(ctx)
	if errors.Is(err, proof.ErrNoTile) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	c, err := proof.ReadCheckpoint(signed)
	return c.Size, err
}

// openJournal compares the stream of the embedded server with its other copies, tiles and journal, repairs its end, and
// opens the journal. (A cluster keeps several copies itself.)
func (d *daemon) openJournal(ctx context.Context, c config) error {
	if d.server == nil {
		return nil
	}
	if err := checkSigning(ctx, c.data); err != nil {
		return err
	}
	size, err := signedEntries(ctx, c.data)
	if err != nil {
		return err
	}
	d.journal, err = recover.Open(ctx, recover.Config{
		Log: d.log, Dir: journalFolder(c.data), Tiles: audit.Folder(viewsFolder(c.data)), Size: size, Logger: d.logger,
		Covered: func() uint64 {
			if d.audit == nil {
				return size
			}
			return d.audit.Next() // its position moves when its tiles are on disk
		},
	})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, func(context.Context) error { return d.journal.Close() })
	return nil
}
