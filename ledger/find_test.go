package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
)

// looks counts how often a log is asked for a record.
type looks struct {
	ledger.Log
	n int
}

func (l *looks) Get(ctx context.Context, seq uint64) (events.Stored, error) {
	l.n++
	return l.Log.Get(ctx, seq)
}

func TestFind(t *testing.T) {
	ctx := context.Background()
	one := func(int) int { return 0 }
	for _, test := range []struct {
		name    string
		records int
		size    func(i int) int // bytes: about 30,000 for each entry
		most    int             // looks
	}{
		{"one record", 1, one, 1},
		{"one record of many entries", 1, func(int) int { return 300000 }, 1},
		{"two records", 2, one, 2},
		{"even records", 2000, one, 8},
		{"uneven records", 100, func(i int) int { return (i * 7919 % 11) * 30000 }, 16},
		{"large ones last", 100, func(i int) int { return max(0, i-80) * 20000 }, 16},
		{"large ones first", 100, func(i int) int { return max(0, 20-i) * 20000 }, 16},
	} {
		t.Run(test.name, func(t *testing.T) {
			stream := ledgertest.NewStream(t, nil)
			log := &looks{Log: stream.Open()}
			var prev events.Record
			var holds []uint64 // the record of each entry
			for i := range test.records {
				r := ledgertest.RecordAfter(prev, fmt.Sprintf("record-%d", i), test.size(i))
				if err := log.Append(ctx, r, uint64(i)); err != nil {
					t.Fatal(err)
				}
				for range ledgertest.NextEntry(r) - r.First {
					holds = append(holds, uint64(i)+1)
				}
				prev = r
			}
			for entry, want := range holds {
				log.n = 0
				got, err := ledger.Find(ctx, log, uint64(entry))
				if err != nil || got.Seq != want {
					t.Fatalf("entry %d: record %d, %v; want record %d", entry, got.Seq, err, want)
				}
				if log.n > test.most {
					t.Errorf("entry %d: %d looks at %d records; want at most %d", entry, log.n, test.records, test.most)
				}
			}
			for _, entry := range []uint64{uint64(len(holds)), uint64(len(holds)) + 1, 1 << 63, 1<<64 - 1} {
				if got, err := ledger.Find(ctx, log, entry); !errors.Is(err, ledger.ErrNoRecord) {
					t.Errorf("entry %d of %d: record %d, %v; want ErrNoRecord", entry, len(holds), got.Seq, err)
				}
			}
		})
	}
}

func TestFindFails(t *testing.T) {
	ctx := context.Background()
	stream := ledgertest.NewStream(t, nil)
	log := stream.Open()
	if _, err := ledger.Find(ctx, log, 0); !errors.Is(err, ledger.ErrNoRecord) {
		t.Errorf("in an empty log: %v, want ErrNoRecord", err)
	}
	for range 100 {
		stream.Foreign()
	}
	for broken := range 4 {
		log.NoAnswers(broken)
		_, err := ledger.Find(ctx, log, uint64(rand.N(98))+1)
		if want := broken > 0; errors.Is(err, ledgertest.ErrNoAnswer) != want {
			t.Errorf("%d calls without an answer: %v", broken, err)
		}
		log.NoAnswers(0)
	}
}

// lies is a log whose records do not number on, or hold fewer entries than they should.
type lies struct {
	ledger.Log
	records []events.Stored
}

func (l lies) Last(context.Context) (uint64, error) { return uint64(len(l.records)), nil }

func (l lies) Get(_ context.Context, seq uint64) (events.Stored, error) {
	return l.records[seq-1], nil
}

func TestFindInADamagedLog(t *testing.T) {
	record := func(seq, first uint64, body string) events.Stored {
		return events.Stored{Record: events.Record{First: first, Body: []byte(body)}, Seq: seq}
	}
	for name, records := range map[string][]events.Stored{
		"too few entries":         {record(1, 0, "\n"), record(2, 5, "\n"), record(3, 6, "\n")},
		"a beginning that is not": {record(1, 4, "\n"), record(2, 5, "\n"), record(3, 6, "\n")},
		"numbers that fall":       {record(1, 9, "\n"), record(2, 5, "\n"), record(3, 6, "\n"), record(4, 7, "\n")},
	} {
		if got, err := ledger.Find(context.Background(), lies{records: records}, 3); !errors.Is(err, ledger.ErrGap) {
			t.Errorf("%s: record %d, %v; want ErrGap", name, got.Seq, err)
		}
	}
}
