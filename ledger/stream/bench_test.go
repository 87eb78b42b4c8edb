package stream_test

import (
	"context"
	"fmt"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
)

// BenchmarkAppend is the embedded server, one replica, fsync before each acknowledgement, one record in flight.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 90 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := startEmbedded(b).create()
			ctx := context.Background()
			r := ledgertest.RecordAfter(events.Record{}, "record", size)
			b.SetBytes(int64(size))
			after := uint64(0)
			for b.Loop() {
				if err := s.Append(ctx, r, after); err != nil {
					b.Fatal(err)
				}
				after++
			}
		})
	}
}

// BenchmarkRead is one record of a stream that was written before.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{400, 4 << 10, 90 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			s := startEmbedded(b).create()
			ctx := context.Background()
			r := ledgertest.RecordAfter(events.Record{}, "record", size)
			n := uint64(min(20000, 64<<20/size))
			for after := range n {
				if err := s.Append(ctx, r, after); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(size))
			read := 0
			b.ResetTimer()
			for read < b.N {
				for got, err := range s.Read(ctx, 1) {
					if err != nil {
						b.Fatal(err)
					}
					if read++; read == b.N || got.Seq == n {
						break
					}
				}
			}
		})
	}
}
