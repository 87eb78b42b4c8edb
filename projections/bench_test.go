package projections_test

import (
	"context"
	"fmt"
	"testing"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

// BenchmarkFollow is a catch-up of 100,000 small entries by views that do next to nothing.
func BenchmarkFollow(b *testing.B) {
	const entries = 100_000
	records := viewtest.Pack("b", history("L1", entries), 500)
	bytes := 0
	for _, r := range records {
		bytes += len(r.Body)
	}
	src := viewtest.NewSource(records...)
	for _, views := range []int{1, 5} {
		b.Run(fmt.Sprintf("%d views", views), func(b *testing.B) {
			b.SetBytes(int64(bytes))
			for b.Loop() {
				dir := viewtest.TempDir(b)
				ctx, cancel := context.WithCancel(b.Context())
				var stores []*projections.Store
				for i := range views {
					s, err := projections.Open(dir, &counter{name: string(rune('a' + i))})
					if err != nil {
						b.Fatal(err)
					}
					stores = append(stores, s)
				}
				done := make(chan error)
				go func() { done <- projections.Follow(ctx, src, projections.Options{}, stores...) }()
				for _, s := range stores {
					if err := s.Wait(ctx, entries-1); err != nil {
						b.Fatal(err)
					}
				}
				cancel()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				for _, s := range stores {
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// counter is a view without rows.
type counter struct{ name string }

func (c *counter) Name() string                             { return c.name }
func (*counter) Usage() bool                                { return true }
func (*counter) Begin(*bbolt.Tx) (projections.Batch, error) { return counterBatch{}, nil }

type counterBatch struct{}

func (counterBatch) Apply(*events.Entry) error { return nil }
func (counterBatch) Flush() error              { return nil }
func (counterBatch) Done(bool)                 {}
