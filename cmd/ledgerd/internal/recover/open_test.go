package recover

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseledger/ledger/ledgertest"
)

// The chain of ids decides which journalled records are true: one that was dropped, or lost its place to another, is not.
func TestChain(t *testing.T) {
	r := func(seq uint64, id, prev string, first, next uint64) journalled {
		return journalled{Seq: seq, ID: id, Prev: prev, First: first, Next: next}
	}
	for _, tt := range []struct {
		name string
		all  []journalled
		want string
	}{
		{"empty", nil, ""},
		{"in order", []journalled{r(1, "a", "", 0, 2), r(2, "b", "a", 2, 3), r(3, "c", "b", 3, 4)}, "a b c"},
		{"one lost its place", []journalled{r(1, "a", "", 0, 2), r(2, "x", "a", 2, 5), r(2, "b", "a", 2, 3), r(3, "c", "b", 3, 4)}, "a b c"},
		{"one is missing", []journalled{r(1, "a", "", 0, 2), r(3, "c", "b", 3, 4)}, "c"},
		{"journalled twice", []journalled{r(1, "a", "", 0, 2), r(2, "b", "a", 2, 3), r(1, "a", "", 0, 2), r(2, "b", "a", 2, 3)}, "a b"},
		{"entries are missing", []journalled{r(1, "a", "", 0, 2), r(2, "b", "a", 3, 4)}, "b"},
	} {
		var got []string
		for _, r := range (notes{all: tt.all}).chain() {
			got = append(got, r.ID)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}

// A journal that misses records, is damaged, or is not there at all is made whole from the stream; a stream that misses its end, from the journal.
func TestOpen(t *testing.T) {
	stream, _, _ := world(t, 20)
	dir := filepath.Join(t.TempDir(), "journal")
	open := func(s *ledgertest.Stream) error {
		j, err := Open(t.Context(), Config{Log: s.Open(), Dir: dir, Covered: func() uint64 { return 0 }, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = j.Close()
		}
		return err
	}
	whole := func(what string, n int) {
		t.Helper()
		known, err := readNotes(dir)
		if chain := known.chain(); err != nil || len(chain) != n || len(known.report.Damaged) > 0 {
			t.Errorf("%s: %d records of %d are journalled, %v, %v", what, len(chain), n, known.report, err)
		}
	}
	check := func(what string, n int, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		whole(what, n)
	}
	check("no journal", 20, open(stream))
	stream.Foreign()
	check("it misses the last", 21, open(stream))
	all := stream.Records()
	stream.Truncate(15)
	check("the stream misses its end", 21, open(stream))
	for i, r := range stream.Records() {
		if r.ID != all[i].ID || string(r.Body) != string(all[i].Body) {
			t.Errorf("record %d is another one", r.Seq)
		}
	}
	file := filepath.Join(dir, "00000001.journal")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[300] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	check("it is damaged", 21, open(stream))
	if aside, err := filepath.Glob(dir + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Errorf("moved aside: %v, %v", aside, err)
	}

	stream.Truncate(3)
	for range 20 {
		stream.Foreign()
	}
	if err := open(stream); !errors.Is(err, ErrNeither) {
		t.Errorf("another stream: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	check("another stream without a journal", 23, open(stream))
}
