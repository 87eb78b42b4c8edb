package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"licenseledger/cmd/ledgerd/doors"
	"licenseledger/events"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/licenses"
)

// years are two years of many providers: each gets a license now and then, releases an old one, and reports usage.
type years struct {
	h         *house
	dir       string
	providers int
	entries   uint64
	end       time.Time
}

func annalsProvider(i int) string { return fmt.Sprintf("provider-%04d", i) }

// checkpointKey signs the checkpoints of a measurement.
func checkpointKey(origin string) (proof.Key, error) { return proof.NewKey(origin, [32]byte{1}) }

// openYears writes so many entries, and waits until the views have them. The audit view is the first.
func openYears(ctx context.Context, b *bench, entries int, views ...projections.View) (y *years, err error) {
	y = &years{dir: filepath.Join(b.work, "ledger"), providers: max(2, entries/1000), end: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if y.h, err = openLog(ctx, y.dir, false, b.stderr, append([]projections.View{audit.New(checkpointKey)}, views...)...); err != nil {
		return nil, err
	}
	if err := y.write(ctx, entries); err != nil {
		return nil, errors.Join(err, y.h.close(ctx))
	}
	return y, nil
}

func (y *years) write(ctx context.Context, entries int) error {
	begin := y.end.AddDate(-2, 0, 0)
	a, err := openAnnals(ctx, y.h.log, begin, false)
	if err != nil {
		return err
	}
	for i := range y.providers {
		if err := a.provider(ctx, annalsProvider(i), []string{"company-1"}); err != nil {
			return err
		}
	}
	y.h.follow()
	step := y.end.Sub(begin) / time.Duration(entries)
	serving := make([][]events.License, y.providers)
	open := slices.Repeat([]events.Month{events.MonthOf(begin)}, y.providers)
	for n := 0; a.next < uint64(entries); n++ {
		i := n % y.providers
		a.at = events.Stamp(begin.Add(time.Duration(n) * step))
		for ; open[i] < events.MonthOf(a.at); open[i]++ {
			due := []events.Data{&events.MonthClosed{Month: open[i]}}
			for k := range serving[i] {
				l := &serving[i][k]
				l.ExpiresAt = (open[i] + 1).End()
				due = append(due, &events.LicenseRenewed{License: *l})
			}
			if err := a.add(ctx, annalsProvider(i), due...); err != nil {
				return err
			}
		}
		var data []events.Data
		switch turn := n / y.providers; {
		case turn%10 == 0:
			l, got := a.bought("server", "company-1", fmt.Sprintf("pc-%d", turn))
			serving[i], data = append(serving[i], l), got
		case turn%10 == 5 && len(serving[i]) > kept:
			l := serving[i][0]
			serving[i] = serving[i][1:]
			l.Status, l.Assigned, l.ExpiresAt = events.Released, false, a.at
			data = []events.Data{&events.LicenseReleased{License: l}}
		default:
			value, err := events.ParseQuantity(fmt.Append(nil, n))
			if err != nil {
				return err
			}
			u := &events.UsageRecorded{Agent: "pc-0", Seq: uint64(turn + 1), Company: "company-1"}
			for _, m := range meters {
				u.Readings = append(u.Readings, events.Reading{Meter: m, Value: value, At: a.at.Add(-time.Minute)})
			}
			u.Digest = events.DigestReadings(u.Readings)
			data = []events.Data{u}
		}
		if err := a.add(ctx, annalsProvider(i), data...); err != nil {
			return err
		}
	}
	y.entries = a.next
	if err := a.flush(ctx); err != nil {
		return err
	}
	return y.h.visible(ctx)
}

// lines yields the entries' lines from the tiles.
func (y *years) lines(ctx context.Context) iter.Seq2[[]byte, error] {
	return proof.Entries(ctx, audit.Folder(viewsFolder(y.dir)), 0, y.entries)
}

// leaves are the hashes of a Merkle tree in memory.
type leaves []tlog.Hash

// ReadHashes makes it a [tlog.HashReader].
func (l leaves) ReadHashes(at []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(at))
	for i, n := range at {
		list[i] = l[n]
	}
	return list, nil
}

// verify: the tiles read and hashed again, and the views rebuilt beside the ones that are there.
func verify(ctx context.Context, b *bench) (rows []row, err error) {
	fmt.Fprintln(b.stderr, "  building the log")
	y, err := openYears(ctx, b, max(2000, b.of(1_000_000)))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, y.h.close(ctx)) }()
	y.h.pause()
	tiles := audit.Folder(viewsFolder(y.dir))
	signed, err := tiles.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	head, err := proof.ReadCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	key, err := checkpointKey(proof.Origin(events.ULIDAt(y.end.AddDate(-2, 0, 0), [10]byte{1})))
	if err != nil {
		return nil, err
	}
	// The baseline has the lines in memory: what it does is to hash.
	var text []byte
	var ends []int
	for line, err := range y.lines(ctx) {
		if err != nil {
			return nil, err
		}
		text = append(text, line...)
		ends = append(ends, len(text))
	}
	lines, n := cut(text, ends), float64(y.entries)
	rate := func(work func() error) (sample, error) {
		began := time.Now()
		err := work()
		return sample{value: n / time.Since(began).Seconds(), perEvent: float64(len(text)) / n}, err
	}
	scores, err := b.contest(ctx,
		contestant{"re-hash", func(ctx context.Context, _ string) (sample, error) {
			return rate(func() error {
				return b.profiled(func() error {
					c, err := proof.Verify(ctx, tiles, key.Verifier(), proof.Options{})
					if err == nil && c.Size != y.entries {
						err = fmt.Errorf("the checkpoint covers %d of %d entries", c.Size, y.entries)
					}
					return err
				})
			})
		}},
		contestant{"SHA-256 and tlog", func(context.Context, string) (sample, error) {
			return rate(func() error {
				stored := make(leaves, 0, 2*len(lines))
				for i, line := range lines {
					hashes, err := tlog.StoredHashesForRecordHash(int64(i), tlog.RecordHash(line), stored)
					if err != nil {
						return err
					}
					stored = append(stored, hashes...)
				}
				root, err := tlog.TreeHash(int64(len(lines)), stored)
				if err == nil && root != head.Root {
					err = errors.New("the lines do not have the root that was signed")
				}
				return err
			})
		}},
		contestant{"SHA-256 alone", func(context.Context, string) (sample, error) {
			return rate(func() error {
				for _, line := range lines {
					if sha256.Sum256(line) == ([32]byte{}) {
						return errors.New("a hash of zeros")
					}
				}
				return nil
			})
		}},
	)
	if err != nil {
		return nil, err
	}
	long := *b
	long.rounds = min(b.rounds, 2) // of half a minute each
	rebuilt, err := long.contest(ctx,
		contestant{"aside", func(ctx context.Context, dir string) (sample, error) {
			return rate(func() error { return y.aside(ctx, dir) })
		}},
		contestant{"replay", func(ctx context.Context, dir string) (s sample, err error) {
			stores, err := openViews(dir, viewsOf()...)
			if err != nil {
				return s, err
			}
			defer func() { err = errors.Join(err, closeViews(stores)) }()
			return rate(func() error {
				defer followed(y.h.log, y.h.logger, stores)()
				return visible(ctx, y.h.log, stores)
			})
		}},
	)
	if err != nil {
		return nil, err
	}
	first := compare("entries/s", "re-hash", scores, map[string]float64{"SHA-256 and tlog": 0.4})
	first.Variant = "re-hash"
	first.Extra["SHA-256_alone,_entries_per_s"] = scores["SHA-256 alone"].value()
	second := compare("entries/s", "aside", rebuilt, map[string]float64{"replay": 0.9})
	second.Variant = "rebuild aside"
	return []row{first, second}, nil
}

// aside folds all views from the tiles, at the same time.
func (y *years) aside(ctx context.Context, dir string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, v := range viewsOf() {
		g.Go(func() error {
			a, err := projections.NewAside(dir, v, y.decoded(ctx))
			if err != nil {
				return err
			}
			return a.Close()
		})
	}
	return g.Wait()
}

func (y *years) decoded(ctx context.Context) iter.Seq2[*events.Entry, error] {
	return func(yield func(*events.Entry, error) bool) {
		for line, err := range y.lines(ctx) {
			var e events.Entry
			if err == nil {
				e, err = events.DecodeEntry(line)
			}
			if !yield(&e, err) || err != nil {
				return
			}
		}
	}
}

// asOf: the licenses of a provider as they were a year ago, against now.
func asOf(ctx context.Context, b *bench) (rows []row, err error) {
	fmt.Fprintln(b.stderr, "  building the log")
	y, err := openYears(ctx, b, max(4000, b.of(1_000_000)), licenses.New())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, y.h.close(ctx)) }()
	then := y.end.AddDate(-1, 0, 12) // in the middle of a month
	read := &doors.Past{Audit: audit.NewReader(viewsFolder(y.dir), y.h.stores[0]), Dir: b.work}
	page := func(tx *bbolt.Tx, provider string, then *licenses.Then) error {
		list, _, err := licenses.Page(tx, licenses.Filter{Provider: provider, Then: then}, licenses.Order{}, "", pageOf)
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("provider %s has no licenses", provider)
		}
		return err
	}
	questions := max(20, b.of(500))
	measure := func(ask func(provider string) error) (s sample, err error) {
		r := rand.New(rand.NewPCG(1, 2))
		s.value, err = laps(questions, func() error { return ask(annalsProvider(r.IntN(y.providers))) })
		return s, err
	}
	scores, err := b.contest(ctx,
		contestant{"a year ago", func(ctx context.Context, _ string) (sample, error) {
			return measure(func(provider string) error {
				stood, _, ok, err := read.Licenses(ctx, provider, then)
				if err == nil && !ok {
					err = fmt.Errorf("the month before %s was not closed for provider %s", then, provider)
				}
				if err != nil {
					return err
				}
				return y.h.stores[1].Read(ctx, func(tx *bbolt.Tx, _ uint64) error { return page(tx, provider, stood) })
			})
		}},
		contestant{"now", func(ctx context.Context, _ string) (sample, error) {
			return measure(func(provider string) error {
				return y.h.stores[1].Read(ctx, func(tx *bbolt.Tx, _ uint64) error { return page(tx, provider, nil) })
			})
		}},
	)
	if err != nil {
		return nil, err
	}
	r := compare("ms, median", "a year ago", scores, map[string]float64{"now": 20})
	r.Lower = true
	return []row{r}, nil
}
