package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"licenseledger/cmd/ledgerd/internal/recover"
	"licenseledger/ledger/journal"
	"licenseledger/ledger/proof"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
)

// The scrub reads the stream at four MiB a second, which no disk minds, and begins when the work of a start is done.
const (
	scrubRate  = 4 << 20
	scrubFirst = time.Minute
	scrubPause = 6 * time.Hour
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

func asideFolder(data string) string { return filepath.Join(data, recover.AsideFolder) }

// copyAside copies, after an unclean stop and before the server opens its store, which may cut what it cannot read, the files of the store that hold
// what the tiles do not. A copy that is still there from an earlier start, whose comparison failed, is the better one.
func copyAside(data, streams string) error {
	if _, err := os.Stat(asideFolder(data)); err == nil {
		return nil
	}
	var after uint64
	view := audit.New(signing(data))
	if _, err := os.Stat(filepath.Join(viewsFolder(data), view.Name()+".db")); err == nil {
		store, err := projections.Open(viewsFolder(data), view)
		if err != nil {
			return err
		}
		after = store.Stats().Sequence
		if err := store.Close(); err != nil {
			return err
		}
	}
	return natsd.CopyBlocks(streams, asideFolder(data), after)
}

// openScrub removes the copy that was made aside, now that all copies agree, and begins to read the stream again in the background.
func (d *daemon) openScrub(ctx context.Context, c config) error {
	if d.server == nil {
		return nil
	}
	if err := os.RemoveAll(asideFolder(c.data)); err != nil {
		return fmt.Errorf("remove the copy of the store: %w", err)
	}
	d.scrub = &recover.Scrub{
		Log: d.log, Tiles: audit.Folder(viewsFolder(c.data)), Size: d.audit.Next, Rate: scrubRate, First: scrubFirst, Pause: scrubPause, Logger: d.logger,
	}
	scrubCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.scrub.Run(scrubCtx)
	}()
	d.stops = append(d.stops, func(context.Context) error { cancel(); <-done; return nil })
	return nil
}

// copiesMetrics shows the numbers of journal and scrub.
type copiesMetrics struct {
	journal *journal.Journal
	scrub   *recover.Scrub
}

var (
	metricJournalBytes = prometheus.NewDesc("ledger_journal_bytes", "Size of the tail journal; it grows while the audit view is behind.", nil, nil)
	metricScrubPasses  = prometheus.NewDesc("ledger_scrub_passes_total", "Times that the whole stream was read again and found to be what was signed.", nil, nil)
	metricScrubBytes   = prometheus.NewDesc("ledger_scrub_bytes_total", "Bytes of records that were read again.", nil, nil)
	metricScrubDamaged = prometheus.NewDesc("ledger_scrub_damaged", "1 when the stream or its second copy was found damaged, else 0.", nil, nil)
)

func (m copiesMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m copiesMetrics) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v)
	}
	st := m.scrub.Stats()
	damaged := 0.0
	if st.Damaged {
		damaged = 1
	}
	send(metricJournalBytes, prometheus.GaugeValue, float64(m.journal.Stats().Bytes))
	send(metricScrubPasses, prometheus.CounterValue, float64(st.Passes))
	send(metricScrubBytes, prometheus.CounterValue, float64(st.Bytes))
	send(metricScrubDamaged, prometheus.GaugeValue, damaged)
}
