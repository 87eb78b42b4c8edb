package past_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
	"licenseledger/projections/viewtest"
)

// live follows the entries with views until the test ends.
func live(t *testing.T, dir string, entries []events.Entry, views ...projections.View) []*projections.Store {
	t.Helper()
	var stores []*projections.Store
	for _, v := range views {
		s, err := projections.Open(dir, v)
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	src := viewtest.NewSource(viewtest.Pack("r", entries, 13, 1, 40)...)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	following.Go(func() { _ = projections.Follow(ctx, src, projections.Options{Log: quiet}, stores...) })
	t.Cleanup(func() {
		cancel()
		following.Wait()
		for _, s := range stores {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	for _, s := range stores {
		if err := s.Wait(ctx, uint64(len(entries)-1)); err != nil {
			t.Fatal(err)
		}
	}
	return stores
}

func open(t *testing.T, entries []events.Entry) *past.Past {
	t.Helper()
	dir := viewtest.TempDir(t)
	key := func(origin string) (proof.Key, error) { return proof.NewKey(origin, [32]byte{1}) }
	return &past.Past{Audit: audit.NewReader(dir, live(t, dir, entries, audit.New(key))[0]), Dir: t.TempDir()}
}

// rowsOf are the lines of a dump that are about a provider.
func rowsOf(dump, provider string) []string {
	var rows []string
	for line := range strings.Lines(dump) {
		// Its id is a part of the key of every row that is its own.
		if key := strings.SplitN(line, `" "`, 3)[1]; slices.ContainsFunc(strings.Split(key, `\x00`), func(part string) bool {
			return part == provider || strings.HasSuffix(part, provider)
		}) {
			rows = append(rows, line)
		}
	}
	return rows
}

// What a provider's rows were at any entry is what the live view had, had the ledger ended there (design, "same bytes").
func TestViewIsAsItWasLive(t *testing.T) {
	entries := eventstest.History(5, 900)
	p := open(t, entries)
	for _, n := range []int{1, 200, 517, 900} {
		for _, view := range []func() projections.View{
			func() projections.View { return licenses.New() },
			func() projections.View { return usage.View{} },
			func() projections.View { return invoices.New() },
			func() projections.View { return notices.View{} },
		} {
			var was bytes.Buffer
			store := live(t, viewtest.TempDir(t), entries[:n], view())[0]
			if _, err := projections.Dump(store, &was); err != nil {
				t.Fatal(err)
			}
			for _, provider := range providers(entries) {
				moments := []past.Moment{past.After(uint64(n - 1))}
				if n == len(entries) || entries[n].Time.After(entries[n-1].Time) {
					moments = append(moments, past.At(entries[n-1].Time))
				}
				if n == len(entries) {
					moments = append(moments, past.Moment{})
				}
				for _, m := range moments {
					aside, err := p.View(t.Context(), view(), provider, m)
					if err != nil {
						t.Fatal(err)
					}
					var is bytes.Buffer
					if err := aside.Dump(&is); err != nil {
						t.Fatal(err)
					}
					if err := aside.Close(); err != nil {
						t.Fatal(err)
					}
					got, want := rowsOf(is.String(), provider), rowsOf(was.String(), provider)
					if !slices.Equal(got, want) {
						t.Fatalf("view %s, provider %s, %d entries (- live, + aside):\n%s", store.Name(), provider, n, cmp.Diff(want, got))
					}
				}
			}
		}
	}
}

func providers(entries []events.Entry) (ids []string) {
	for i := range entries {
		if p := entries[i].Provider; p != "" && !slices.Contains(ids, p) {
			ids = append(ids, p)
		}
	}
	return ids
}

// A provider's history is its own entries and the ledger's, in order, and nothing else.
func TestEntries(t *testing.T) {
	entries := eventstest.History(7, 600)
	p := open(t, entries)
	for _, provider := range append(providers(entries), "nobody") {
		var got, want []uint64
		for e, err := range p.Entries(t.Context(), provider, past.Moment{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Number)
		}
		for i := range entries {
			e := &entries[i]
			_, moved := e.Events[0].Data.(*events.ClockMoved)
			if e.Provider == provider || e.Provider == "" && !moved {
				want = append(want, e.Number)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("provider %s has entries %v, not %v", provider, got, want)
		}
	}
}

// A reader that gives up is an error of the view, and nothing is left behind.
func TestEnded(t *testing.T) {
	p := open(t, eventstest.History(3, 50))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := p.View(ctx, licenses.New(), "p1", past.Moment{}); !errors.Is(err, context.Canceled) || a != nil {
		t.Errorf("%v, %v", a, err)
	}
}
