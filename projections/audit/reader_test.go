package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/proof"
	"licenseledger/projections"
	"licenseledger/projections/viewtest"
)

// opened is a view that has seen these entries.
func opened(t testing.TB, entries []events.Entry) (dir string, r *Reader) {
	t.Helper()
	dir = viewtest.TempDir(t)
	store, err := projections.Open(dir, newTestView())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	src := viewtest.NewSource(viewtest.Pack("r", entries, 13, 1, 40)...)
	go func() { done <- projections.Follow(ctx, src, projections.Options{Log: quiet}, store) }()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Wait(ctx, uint64(len(entries)-1)); err != nil {
		t.Fatal(err)
	}
	return dir, NewReader(dir, store)
}

// chosen is what a query chooses, by looking at every entry.
func chosen(entries []events.Entry, q Query) []uint64 {
	var list []uint64
	for i := range entries {
		e := &entries[i]
		below := q.Below == 0 || e.Number < q.Below
		kind := q.Kind == "" || slices.ContainsFunc(e.Events, func(ev events.Event) bool { return ev.Data.Kind() == q.Kind })
		if e.Number >= q.First && below && kind && (q.Provider == "" || e.Provider == q.Provider) &&
			!e.Time.Before(q.From) && (q.To.IsZero() || e.Time.Before(q.To)) {
			list = append(list, e.Number)
		}
	}
	return list
}

// Whatever is asked for is answered as if every entry had been looked at, with the bytes that were appended.
func TestQueries(t *testing.T) {
	entries := eventstest.History(11, 1200)
	_, r := opened(t, entries)
	providers, kinds := []string{"", "nobody"}, []string{"", "usage.recorded.v1", "no.such.v1", "ledger.opened.v1"}
	for i := range entries {
		if p := entries[i].Provider; !slices.Contains(providers, p) {
			providers = append(providers, p)
		}
		if k := entries[i].Events[0].Data.Kind(); !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	times := rapid.Custom(func(rt *rapid.T) time.Time {
		at := entries[rapid.IntRange(0, len(entries)-1).Draw(rt, "entry")].Time
		return rapid.SampledFrom([]time.Time{
			{}, at, at.Add(time.Millisecond), events.DateOf(at).Start(), at.AddDate(0, 0, 2), at.AddDate(-50, 0, 0), at.AddDate(500, 0, 0),
		}).Draw(rt, "time")
	})
	number := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 1300))
	rapid.Check(t, func(rt *rapid.T) {
		q := Query{
			First: number.Draw(rt, "first"), Below: number.Draw(rt, "below"),
			From: times.Draw(rt, "from"), To: times.Draw(rt, "to"),
			Provider: rapid.SampledFrom(providers).Draw(rt, "provider"), Kind: rapid.SampledFrom(kinds).Draw(rt, "kind"),
		}
		var got []uint64
		for e, err := range r.Entries(context.Background(), q) {
			if err != nil {
				rt.Fatal(err)
			}
			if want, err := events.AppendEntry(nil, &entries[e.Number]); err != nil || !bytes.Equal(e.Line, want) {
				rt.Fatalf("entry %d is %q, want %q: %v", e.Number, e.Line, want, err)
			}
			got = append(got, e.Number)
		}
		if want := chosen(entries, q); !slices.Equal(got, want) {
			rt.Fatalf("%+v chooses %v, want %v", q, got, want)
		}
	})
	for _, n := range []uint64{0, 255, 256, 1199} {
		line, err := r.Entry(t.Context(), n)
		if want, _ := events.AppendEntry(nil, &entries[n]); err != nil || !bytes.Equal(line, want) {
			t.Errorf("entry %d is %q: %v", n, line, err)
		}
	}
	if _, err := r.Entry(t.Context(), 1200); !errors.Is(err, proof.ErrNoTile) {
		t.Errorf("an entry that is not there gave %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range r.Entries(stopped, Query{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a reader that was stopped gave %v", err)
		}
	}
}

// Of a provider's history the others' entries are not read: their bundles may be unreadable.
func TestAProvidersReplayReadsNothingElse(t *testing.T) {
	at := eventstest.Time("2026-03-01T00:00:00Z")
	entries := []events.Entry{eventstest.Entry(0, at, "", &events.LedgerOpened{Ledger: "L", Catalog: events.Catalog{
		Effective: eventstest.Month("2026-01"), Minimum: map[string]events.Money{}, Types: []events.Type{},
	}})}
	for n := uint64(1); n < 1600; n++ {
		who := "others"
		if n < 200 && n%50 == 7 || n > 1300 && n%50 == 7 {
			who = "acme"
		}
		entries = append(entries, eventstest.Entry(n, at.Add(time.Duration(n)*time.Second), who, &events.ProviderSet{Name: "x", Currency: "USD"}))
	}
	dir, r := opened(t, entries)
	for _, bundle := range []string{"001", "002", "003", "004"} {
		if err := os.WriteFile(filepath.Join(folder(dir), "tile", "entries", bundle), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := chosen(entries, Query{Provider: "acme"})
	var got []uint64
	for e, err := range r.Entries(t.Context(), Query{Provider: "acme"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Number)
	}
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the entries are %v, want %v", got, want)
	}
	// A kind that only the first bundle holds takes no other.
	got = nil
	for e, err := range r.Entries(t.Context(), Query{Kind: "ledger.opened.v1"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Number)
	}
	if !slices.Equal(got, []uint64{0}) {
		t.Errorf("the opening is %v", got)
	}
	var failed error
	for _, failed = range r.Entries(t.Context(), Query{Provider: "others"}) {
	}
	if !errors.Is(failed, proof.ErrEntries) || !strings.Contains(failed.Error(), "entry 256") {
		t.Errorf("an unreadable bundle gave %v", failed)
	}
}
