package recover

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/proof"
)

// world is a log in memory with its tiles.
func world(t *testing.T, records int) (*ledgertest.Stream, fstest.MapFS, uint64) {
	t.Helper()
	stream := ledgertest.NewStream(t, ledgertest.NewClock(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
	for range records {
		stream.Foreign()
	}
	files := fstest.MapFS{}
	tree := &proof.Tree{}
	put := func(tile tlog.Tile, b []byte) error {
		files[proof.Path(tile)] = &fstest.MapFile{Data: append([]byte(nil), b...)}
		return nil
	}
	var bundle []byte
	for _, r := range stream.Records() {
		for line := range events.Lines(r.Body) {
			bundle = proof.AppendLine(bundle, line)
			if err := tree.Append(proof.LeafHash(line), put); err != nil {
				t.Fatal(err)
			}
			if tree.Size()%proof.Width == 0 {
				_ = put(tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(tree.Size()/proof.Width) - 1, W: proof.Width}, bundle)
				bundle = nil
			}
		}
	}
	if edge, ok := proof.EdgeTile(proof.EntriesLevel, tree.Size()); ok {
		_ = put(edge, bundle)
	}
	if err := tree.Edge(put); err != nil {
		t.Fatal(err)
	}
	return stream, files, tree.Size()
}

// The scrub goes on while all is well, and says what differs where it does not: in the stream, in a bundle, in a tile of hashes.
func TestScrub(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(s *ledgertest.Stream, files fstest.MapFS)
		want   error
	}{
		{"nothing", func(*ledgertest.Stream, fstest.MapFS) {}, nil},
		{"a record is lost", func(s *ledgertest.Stream, _ fstest.MapFS) { s.Lose(7) }, ledger.ErrGap},
		{"a bundle changed", func(_ *ledgertest.Stream, files fstest.MapFS) { files["tile/entries/000"].Data[100] ^= 1 }, ErrTiles},
		{"a bundle is gone", func(_ *ledgertest.Stream, files fstest.MapFS) { delete(files, "tile/entries/000") }, proof.ErrNoTile},
		{"a hash changed", func(_ *ledgertest.Stream, files fstest.MapFS) { files["tile/0/000"].Data[100] ^= 1 }, proof.ErrHashTile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stream, files, size := world(t, 300)
			tt.damage(stream, files)
			s := &Scrub{
				Log: stream.Open(), Tiles: proof.Folder{FS: fs.FS(files)}, Size: func() uint64 { return size }, Rate: 1 << 40,
				Logger: slog.New(slog.DiscardHandler),
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.want == nil {
				done := make(chan struct{})
				go func() { s.Run(ctx); close(done) }()
				for s.Stats().Passes < 2 {
					wait(ctx, time.Millisecond)
				}
				cancel()
				<-done
				if st := s.Stats(); s.Err() != nil || st.Damaged || st.Records < 600 {
					t.Errorf("%v, %+v", s.Err(), st)
				}
				return
			}
			s.Run(ctx) // ends by itself
			if err := s.Err(); !errors.Is(err, tt.want) || !s.Stats().Damaged {
				t.Errorf("it found %v, want %v", err, tt.want)
			}
		})
	}
}
