package proof_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseledger/ledger/proof"
)

// The lines of an invoice, and a ledger that has issued it: entry 0 opens it, 300 ends the month, 301 issues.
var invoiceLines = []string{
	`{"id":"0a","kind":"usage","company":"globex","unit_price":"6.99","month":"2026-03","amount":"18.00"}`,
	`{"id":"0b","kind":"minimum","company":"","unit_price":"20.00","month":"2026-03","amount":"2.00"}`,
}

// prepaidLine is that of a prepaid invoice, which entry 310 issues.
const prepaidLine = `{"id":"0c","kind":"prepaid","company":"","unit_price":"21.60","month":"2026-04","amount":"109.48"}`

func ledgerWithInvoice() []string {
	list := lines(400)
	digest := sha256.Sum256([]byte(strings.Join(invoiceLines, "\n") + "\n"))
	event := func(n int, provider, kind, data string) {
		list[n] = fmt.Sprintf(`{"entry":%d,"time":"2026-04-01T00:00:00.000Z",%s"events":[{"kind":%q,"data":%s}]}`, n, provider, kind, data)
	}
	prepaid := sha256.Sum256([]byte(prepaidLine + "\n"))
	event(310, `"provider":"acme",`, "prepaid.issued.v1", fmt.Sprintf(`{"number":"P-000001","key":"x","catalog":0,"currency":"USD","amount":"109.48","digest":"%x"}`, prepaid))
	event(0, ``, "ledger.opened.v1", `{"ledger":"x"}`)
	event(300, `"provider":"acme",`, "month.closed.v1", `{"month":"2026-03"}`)
	event(301, `"provider":"acme",`, "statement.issued.v1",
		fmt.Sprintf(`{"number":"S-000001","month":"2026-03","cut":300,"catalog":0,"rules":1,"currency":"USD","subtotal":"18.00","total":"20.00","digest":"%x"}`, digest))
	return list
}

func prove(t *testing.T, k proof.Key, list []string, numbers ...uint64) *proof.File {
	t.Helper()
	files := write(t, k, list)
	f, err := proof.Prove(context.Background(), proof.Folder{FS: files}, files[proof.CheckpointFile].Data, numbers,
		func(n uint64) ([]byte, error) { return []byte(list[n]), nil })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A prepaid invoice is proved by its event and the catalog; a changed line, amount or number is not.
func TestProofOfAPrepaidInvoice(t *testing.T) {
	k := key(t, 1)
	list := ledgerWithInvoice()
	for name, row := range map[string]struct {
		entries []uint64
		invoice proof.Invoice
		good    bool
	}{
		"as it is":            {[]uint64{310, 0}, proof.Invoice{Provider: "acme", Number: "P-000001", Lines: []string{prepaidLine}}, true},
		"another line":        {[]uint64{310, 0}, proof.Invoice{Provider: "acme", Number: "P-000001", Lines: []string{strings.Replace(prepaidLine, "109.48", "9.48", 1)}}, false},
		"another number":      {[]uint64{310, 0}, proof.Invoice{Provider: "acme", Number: "P-000002", Lines: []string{prepaidLine}}, false},
		"another provider":    {[]uint64{310, 0}, proof.Invoice{Provider: "b", Number: "P-000001", Lines: []string{prepaidLine}}, false},
		"without its catalog": {[]uint64{310}, proof.Invoice{Provider: "acme", Number: "P-000001", Lines: []string{prepaidLine}}, false},
		"no lines":            {[]uint64{310, 0}, proof.Invoice{Provider: "acme", Number: "P-000001", Lines: []string{}}, false},
	} {
		f := prove(t, k, list, row.entries...)
		f.Invoice = &row.invoice
		checked, err := f.Check(k.Verifier())
		if row.good != (err == nil) || err != nil && !errors.Is(err, proof.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
		if row.good && (checked.Invoice.Total != "109.48" || checked.Invoice.Month != "" || checked.Invoice.Lines != 1) {
			t.Errorf("%s: %+v", name, checked.Invoice)
		}
	}
}

func text(t *testing.T, f *proof.File) []byte {
	t.Helper()
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An entry is proved to who has the public key and the file, and nothing else.
func TestProofOfAnEntry(t *testing.T) {
	k := key(t, 1)
	list := ledgerWithInvoice()
	for _, n := range []uint64{0, 1, 255, 256, 301, 399} {
		f, err := proof.Parse(text(t, prove(t, k, list, n)))
		if err != nil {
			t.Fatal(err)
		}
		checked, err := f.Check(k.Verifier())
		if err != nil || checked.Checkpoint.Size != 400 || len(checked.Entries) != 1 || checked.Entries[0].Number != n {
			t.Errorf("entry %d: %+v, %v", n, checked, err)
		}
	}
	one := prove(t, k, lines(1), 0)
	if _, err := one.Check(k.Verifier()); err != nil {
		t.Errorf("the only entry: %v", err)
	}
	files := write(t, k, list)
	src := proof.Folder{FS: files}
	line := func(n uint64) ([]byte, error) { return []byte(list[n]), nil }
	if _, err := proof.Prove(t.Context(), src, files["checkpoint"].Data, []uint64{400}, line); !errors.Is(err, proof.ErrNoTile) {
		t.Errorf("an entry that is not covered gave %v", err)
	}
	wrong := func(uint64) ([]byte, error) { return []byte(list[7]), nil }
	if _, err := proof.Prove(t.Context(), src, files["checkpoint"].Data, []uint64{8}, wrong); !errors.Is(err, proof.ErrEntries) {
		t.Errorf("an entry that was changed is proved: %v", err)
	}
}

// An invoice is proved with its lines (domain B6, section 8).
func TestProofOfAnInvoice(t *testing.T) {
	k := key(t, 1)
	whole := func() *proof.File {
		f := prove(t, k, ledgerWithInvoice(), 301, 300, 0)
		f.Invoice = &proof.Invoice{Provider: "acme", Number: "S-000001", Lines: slices.Clone(invoiceLines)}
		return f
	}
	f, err := proof.Parse(text(t, whole()))
	if err != nil {
		t.Fatal(err)
	}
	checked, err := f.Check(k.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(strings.Join(invoiceLines, "\n") + "\n"))
	want := proof.CheckedInvoice{Provider: "acme", Number: "S-000001", Month: "2026-03", Currency: "USD", Total: "20.00", Lines: 2, Digest: fmt.Sprintf("%x", digest)}
	if checked.Invoice == nil || *checked.Invoice != want {
		t.Errorf("proved %+v, want %+v", checked.Invoice, want)
	}

	for _, row := range []struct {
		name   string
		change func(f *proof.File)
		is     error
		says   string
	}{
		{"an amount", func(f *proof.File) { f.Invoice.Lines[0] = strings.Replace(f.Invoice.Lines[0], "18.00", "17.00", 1) }, proof.ErrProof, "digest"},
		{"a line dropped", func(f *proof.File) { f.Invoice.Lines = f.Invoice.Lines[:1] }, proof.ErrProof, "digest"},
		{"lines swapped", func(f *proof.File) { slices.Reverse(f.Invoice.Lines) }, proof.ErrProof, "digest"},
		{"two lines in one", func(f *proof.File) { f.Invoice.Lines = []string{strings.Join(f.Invoice.Lines, "\n")} }, proof.ErrProof, "more than one"},
		{"no JSON", func(f *proof.File) { f.Invoice.Lines[1] = "x" }, proof.ErrProof, "line 2"},
		{"no amount", func(f *proof.File) { f.Invoice.Lines[1] = `{"amount":"1e9"}` }, proof.ErrProof, "not an amount"},
		{"another number", func(f *proof.File) { f.Invoice.Number = "S-000002" }, proof.ErrProof, "does not issue it"},
		{"another provider", func(f *proof.File) { f.Invoice.Provider = "initech" }, proof.ErrProof, "does not issue it"},
		{"without the month's end", func(f *proof.File) { f.Entries = slices.Delete(f.Entries, 1, 2) }, proof.ErrProof, "entry 300"},
		{"without the catalog", func(f *proof.File) { f.Entries = f.Entries[:2] }, proof.ErrProof, "entry 0"},
		{"the entry edited", func(f *proof.File) { f.Entries[0].Line = strings.Replace(f.Entries[0].Line, "20.00", "10.00", 1) }, proof.ErrProof, "does not lead to the root"},
		{"another entry's place", func(f *proof.File) { f.Entries[0].Number = 302 }, proof.ErrProof, "does not lead to the root"},
		{"beyond the checkpoint", func(f *proof.File) { f.Entries[0].Number = 1 << 63 }, proof.ErrProof, "covers 400 entries"},
		{"a hash dropped", func(f *proof.File) { f.Entries[0].Hashes = f.Entries[0].Hashes[1:] }, proof.ErrProof, "does not lead"},
		{"a hash changed", func(f *proof.File) { f.Entries[0].Hashes[3][5] ^= 1 }, proof.ErrProof, "does not lead"},
		{"the checkpoint's size", func(f *proof.File) { f.Checkpoint = strings.Replace(f.Checkpoint, "\n400\n", "\n401\n", 1) }, proof.ErrCheckpoint, "not signed"},
		{"another key", func(f *proof.File) {
			other := prove(t, key(t, 2), ledgerWithInvoice(), 301, 300, 0)
			f.Checkpoint, f.Entries = other.Checkpoint, other.Entries
		}, proof.ErrCheckpoint, "not signed by " + origin},
	} {
		f := whole()
		row.change(f)
		if _, err := f.Check(k.Verifier()); !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) || !proof.Tampered(err) {
			t.Errorf("%s: gave %v, want %q", row.name, err, row.says)
		}
	}

	// Signed, but its total is not the sum of its lines.
	list := ledgerWithInvoice()
	list[301] = strings.Replace(list[301], `"total":"20.00"`, `"total":"21.00"`, 1)
	f = prove(t, k, list, 301, 300, 0)
	f.Invoice = &proof.Invoice{Provider: "acme", Number: "S-000001", Lines: invoiceLines}
	if _, err := f.Check(k.Verifier()); !errors.Is(err, proof.ErrProof) || !strings.Contains(err.Error(), "add up to 20.00") {
		t.Errorf("a wrong total gave %v", err)
	}
}

func TestParse(t *testing.T) {
	good := string(text(t, prove(t, key(t, 1), lines(3), 1)))
	for _, bad := range []string{
		"", "[]", "{}", good + "{}", strings.Replace(good, "proof/v1", "proof/v2", 1), strings.Replace(good, `"checkpoint"`, `"chequepoint"`, 1),
		strings.Replace(good, `"entries": [`, `"entries": [], "x": [`, 1), strings.Replace(good, `"entry": 1`, `"entry": -1`, 1), good[:len(good)-3],
		`{"format":"licenseledger/proof/v1","checkpoint":"","entries":[]}`,
	} {
		if _, err := proof.Parse([]byte(bad)); !errors.Is(err, proof.ErrProof) {
			t.Errorf("%.80q gave %v", bad, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	k := key(f, 1)
	list := ledgerWithInvoice()
	files := write(f, k, list)
	whole, err := proof.Prove(context.Background(), proof.Folder{FS: files}, files[proof.CheckpointFile].Data, []uint64{301, 300, 0},
		func(n uint64) ([]byte, error) { return []byte(list[n]), nil })
	if err != nil {
		f.Fatal(err)
	}
	whole.Invoice = &proof.Invoice{Provider: "acme", Number: "S-000001", Lines: invoiceLines}
	b, err := json.Marshal(whole)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":"licenseledger/proof/v1","checkpoint":"x","entries":[{"entry":1,"line":"","hashes":[]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := proof.Parse(text)
		if err != nil {
			return
		}
		checked, err := file.Check(k.Verifier())
		if err != nil {
			return
		}
		// Whatever else the file says: what it proves is what stands in the ledger.
		for i, e := range file.Entries {
			if e.Number >= uint64(len(list)) || e.Line != list[e.Number] || checked.Entries[i].Number != e.Number {
				t.Errorf("entry %d is proved to be %q", e.Number, e.Line)
			}
		}
		if v := checked.Invoice; v != nil && (v.Total != "20.00" || v.Provider != "acme" || v.Number != "S-000001" || !slices.Equal(file.Invoice.Lines, invoiceLines)) {
			t.Errorf("proved invoice %+v", v)
		}
	})
}
