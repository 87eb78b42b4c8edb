package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof says that a proof file proves nothing: it is damaged, or what it holds is not what was signed.
var ErrProof = errors.New("the proof does not hold")

// FileFormat is the format of a [File].
const FileFormat = "licenseledger/proof/v1"

// maxFile bounds a proof file in bytes: an invoice of a hundred thousand lines fits.
const maxFile = 64 << 20

// File proves entries, and an invoice, to who has the ledger's public key and nothing else. It is one object of JSON.
type File struct {
	Format     string  `json:"format"`     // FileFormat
	Checkpoint string  `json:"checkpoint"` // the signed note that covers the entries
	Entries    []Entry `json:"entries"`    // of an invoice: the entry that issued it, then those that it names
	// Invoice is there where the file proves one.
	Invoice *Invoice `json:"invoice,omitempty"`
}

// Entry is an entry and its way to the checkpoint's root.
type Entry struct {
	Number uint64      `json:"entry"`  // its place among the leaves
	Line   string      `json:"line"`   // exactly as it was appended, without the newline
	Hashes []tlog.Hash `json:"hashes"` // from the leaf to the root (RFC 6962, section 2.1.1)
}

// Invoice names an invoice. Its first entry in the file issued it, and names the SHA-256 of the lines.
type Invoice struct {
	Provider string   `json:"provider"`
	Number   string   `json:"number"`
	Lines    []string `json:"lines"` // the canonical lines (domain B6), each without its newline
}

// Prove makes the proof of entries, whose lines are given by their numbers, by the newest checkpoint of a source. signed is that checkpoint, which must be known to
// be the ledger's.
func Prove(ctx context.Context, src Source, signed []byte, numbers []uint64, line func(n uint64) ([]byte, error)) (*File, error) {
	c, err := ReadCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	f := &File{Format: FileFormat, Checkpoint: string(signed)}
	r := hashes(ctx, src, c)
	for _, n := range numbers {
		if n >= c.Size {
			return nil, fmt.Errorf("entry %d: the checkpoint covers %d entries: %w", n, c.Size, ErrNoTile)
		}
		text, err := line(n)
		if err != nil {
			return nil, err
		}
		way, err := tlog.ProveRecord(int64(c.Size), int64(n), r)
		if err != nil {
			return nil, fmt.Errorf("prove entry %d: %w", n, err)
		}
		if err := tlog.CheckRecord(way, int64(c.Size), c.Root, int64(n), LeafHash(text)); err != nil {
			return nil, fmt.Errorf("%w: entry %d is not the one that was signed", ErrEntries, n)
		}
		if !utf8.Valid(text) {
			return nil, fmt.Errorf("prove entry %d: it is not UTF-8", n)
		}
		f.Entries = append(f.Entries, Entry{Number: n, Line: string(text), Hashes: way})
	}
	return f, nil
}

// Parse reads a proof file. Errors wrap [ErrProof]. It checks nothing but the form.
func Parse(text []byte) (*File, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrProof, len(text))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f := new(File)
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProof, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows its end", ErrProof)
	}
	if f.Format != FileFormat {
		return nil, fmt.Errorf("%w: its format is %.40q, not %q", ErrProof, f.Format, FileFormat)
	}
	if len(f.Entries) == 0 {
		return nil, fmt.Errorf("%w: it has no entry", ErrProof)
	}
	return f, nil
}

// Checked is what a proof file has proved.
type Checked struct {
	Checkpoint Checkpoint
	Entries    []Head
	Invoice    *CheckedInvoice
}

// Head is what begins an entry: enough to say what it is about.
type Head struct {
	Number   uint64    `json:"entry"`
	Time     time.Time `json:"time"`
	Provider string    `json:"provider"`
	Kinds    []string  `json:"-"`
}

// CheckedInvoice is an invoice that was proved.
type CheckedInvoice struct {
	Provider, Number, Month string
	Currency, Total         string
	Lines                   int
	Digest                  string // SHA-256 of the canonical lines, in hexadecimal
}

// Check says what the file proves to who trusts the key. Errors wrap [ErrCheckpoint] or [ErrProof].
func (f *File) Check(key note.Verifier) (Checked, error) {
	c, err := OpenCheckpoint([]byte(f.Checkpoint), key)
	if err != nil {
		return Checked{}, err
	}
	out := Checked{Checkpoint: c}
	parsed := make([]entry, len(f.Entries))
	for i := range f.Entries {
		e := &f.Entries[i]
		if e.Number >= c.Size {
			return Checked{}, fmt.Errorf("%w: the checkpoint covers %d entries, not entry %d", ErrProof, c.Size, e.Number)
		}
		if err := tlog.CheckRecord(e.Hashes, int64(c.Size), c.Root, int64(e.Number), LeafHash([]byte(e.Line))); err != nil {
			return Checked{}, fmt.Errorf("%w: entry %d does not lead to the root of the checkpoint of %d entries", ErrProof, e.Number, c.Size)
		}
		if parsed[i], err = readEntry(e.Line); err != nil {
			return Checked{}, err
		}
		if parsed[i].Number != e.Number {
			return Checked{}, fmt.Errorf("%w: the line of entry %d is that of entry %d", ErrProof, e.Number, parsed[i].Number)
		}
		head := parsed[i].Head
		for _, ev := range parsed[i].Events {
			head.Kinds = append(head.Kinds, ev.Kind)
		}
		out.Entries = append(out.Entries, head)
	}
	if f.Invoice != nil {
		if out.Invoice, err = f.Invoice.check(parsed); err != nil {
			return Checked{}, fmt.Errorf("invoice %.40q of provider %.80q: %w", f.Invoice.Number, f.Invoice.Provider, err)
		}
	}
	return out, nil
}

// entry is what a check has to know of an entry's line.
type entry struct {
	Head
	Events []struct {
		Kind string          `json:"kind"`
		Data json.RawMessage `json:"data"`
	} `json:"events"`
}

func readEntry(line string) (entry, error) {
	var e entry
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return e, fmt.Errorf("%w: an entry's line is not JSON: %v", ErrProof, err)
	}
	return e, nil
}

// issued is the event that makes a statement final, or issues a prepaid invoice; closed the one that cuts a statement's month.
type issued struct {
	Number   string `json:"number"`
	Month    string `json:"month"`
	Cut      uint64 `json:"cut"`
	Catalog  uint64 `json:"catalog"`
	Currency string `json:"currency"`
	Total    string `json:"total"`
	Amount   string `json:"amount"` // of a prepaid invoice, in the place of the total
	Digest   string `json:"digest"`
}

type closed struct {
	Month string `json:"month"`
}

// event reads the first event of one of these kinds, if the entry has one for which good is true.
func event[T any](e *entry, good func(T) bool, kinds ...string) (found T, ok bool) {
	for _, ev := range e.Events {
		for _, kind := range kinds {
			var data T
			if ev.Kind == kind && json.Unmarshal(ev.Data, &data) == nil && good(data) {
				return data, true
			}
		}
	}
	return found, false
}

// check compares the invoice with the proved entries.
func (v *Invoice) check(entries []entry) (*CheckedInvoice, error) {
	statement, ok := event(&entries[0], func(i issued) bool { return i.Number == v.Number }, "statement.issued.v1")
	prepaid := false
	if !ok { // that of a key rests on no month: its line is all in its event
		statement, prepaid = event(&entries[0], func(i issued) bool { return i.Number == v.Number }, "prepaid.issued.v1")
		statement.Total, ok = statement.Amount, prepaid
	}
	if !ok || entries[0].Provider != v.Provider {
		return nil, fmt.Errorf("%w: entry %d does not issue it", ErrProof, entries[0].Number)
	}
	named := func(n uint64) *entry {
		for i := range entries {
			if entries[i].Number == n {
				return &entries[i]
			}
		}
		return &entry{}
	}
	cut := named(statement.Cut)
	if _, ok := event(cut, func(c closed) bool { return c.Month == statement.Month }, "month.closed.v1"); !prepaid && (!ok || cut.Provider != v.Provider) {
		return nil, fmt.Errorf("%w: entry %d, which ends its month, is not with it", ErrProof, statement.Cut)
	}
	catalog := named(statement.Catalog)
	if _, ok := event(catalog, func(struct{}) bool { return true }, "catalog.published.v1", "ledger.opened.v1"); !ok || catalog.Provider != "" {
		return nil, fmt.Errorf("%w: entry %d, which published the catalog, is not with it", ErrProof, statement.Catalog)
	}
	digest := sha256.New()
	sum := new(big.Rat)
	for i, line := range v.Lines {
		if strings.Contains(line, "\n") {
			return nil, fmt.Errorf("%w: line %d is more than one", ErrProof, i+1)
		}
		_, _ = io.WriteString(digest, line+"\n") // a hash takes everything
		var amount struct {
			Amount string `json:"amount"`
		}
		if err := json.Unmarshal([]byte(line), &amount); err != nil {
			return nil, fmt.Errorf("%w: line %d is not JSON", ErrProof, i+1)
		}
		if err := addMoney(sum, amount.Amount); err != nil {
			return nil, fmt.Errorf("%w: line %d: %v", ErrProof, i+1, err)
		}
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != statement.Digest {
		return nil, fmt.Errorf("%w: its lines have the digest %s, and %.64s was recorded", ErrProof, got, statement.Digest)
	}
	total := new(big.Rat)
	if err := addMoney(total, statement.Total); err != nil {
		return nil, fmt.Errorf("%w: its total: %v", ErrProof, err)
	}
	if sum.Cmp(total) != 0 {
		return nil, fmt.Errorf("%w: its lines add up to %s, its total is %s", ErrProof, sum.FloatString(2), statement.Total)
	}
	return &CheckedInvoice{
		Provider: v.Provider, Number: v.Number, Month: statement.Month,
		Currency: statement.Currency, Total: statement.Total, Lines: len(v.Lines), Digest: statement.Digest,
	}, nil
}

// addMoney adds a decimal number; texts that are larger than money, or other numbers, are refused.
func addMoney(sum *big.Rat, text string) error {
	amount, ok := new(big.Rat), false
	if len(text) <= 40 && !strings.ContainsAny(text, "/eEpPxXbBoO_") {
		amount, ok = amount.SetString(text)
	}
	if !ok {
		return fmt.Errorf("%.40q is not an amount", text)
	}
	sum.Add(sum, amount)
	return nil
}
