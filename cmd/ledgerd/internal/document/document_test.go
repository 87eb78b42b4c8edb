package document_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ledongthuc/pdf"
	"golang.org/x/net/html"

	"licenseledger/cmd/ledgerd/internal/document"
	"licenseledger/ledger/api"
)

var update = flag.Bool("update", false, "write the golden page anew")

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

// statement has a line of every kind. Figures: B3 (18.00 is charged 20.00) and B5 of the rules, its notes say what B7 wants (amounts exclude tax), and what a month before came to below zero.
func statement() document.Bill {
	return document.Bill{Provider: "acme", Name: "Acme Backup", Invoice: api.Invoice{
		Number: "S-000002", Kind: api.InvoiceStatement, Month: "2024-09", Period: api.Period{From: day("2024-09-01"), To: day("2024-10-01")},
		IssuedAt: day("2024-10-01"), Currency: "USD",
		Lines: []api.Line{
			{ID: "a", Kind: api.LineCarried, Amount: "-1.00", Month: "2024-08"},
			{ID: "b", Kind: api.LineUsage, Company: "globex", LicenseType: "desktop", Policy: "days-active", Unit: "endpoint", UnitPrice: "3.00", Quantity: "6", DaysActive: 180, BilledDays: 180, Month: "2024-09", Amount: "18.00"},
			{ID: "c", Kind: api.LineAdjustment, Company: "initech", LicenseType: "server", Policy: "days-active", Unit: "endpoint", UnitPrice: "6.99", Quantity: "1", Month: "2024-08", Amount: "3.00"},
			{ID: "d", Kind: api.LineAdjustment, Policy: "minimum", Month: "2024-08", Amount: "-3.00"},
			{ID: "e", Kind: api.LineMinimum, Month: "2024-09", Amount: "2.00"},
		},
		Subtotal: "18.00", MinimumAdjustment: "2.00", Total: "19.00", Status: api.InvoicePending,
		Digest: "cd428da70bfddecdbfdf00194618798309b6589653b9d12107e417b49b816a67", Position: 1204,
	}}
}

// texts are what a bill shows, one after the other.
func statementTexts() []string {
	return []string{
		"Statement S-000002",
		"Provider", "Acme Backup (acme)", "Period", "2024-09-01 to 2024-09-30", "Issued", "2024-10-01 00:00 UTC", "Currency", "USD", "Payment", "pending",
		"Company", "License type", "Charged", "Quantity", "Unit", "Days", "Unit price", "Amount",
		"globex", "desktop", "days-active", "6", "endpoint", "180", "3.00", "18.00",
		"Subtotal", "18.00",
		"initech", "server", "adjustment of 2024-08", "1", "endpoint", "6.99", "3.00",
		"minimum of 2024-08", "-3.00",
		"carried over", "-1.00",
		"Minimum", "2.00",
		"Total USD", "19.00",
		"Amounts exclude tax.", "SHA-256 of the lines: cd428da70bfddecdbfdf00194618798309b6589653b9d12107e417b49b816a67",
		"Recorded as entry 1204 of the ledger, where every line can be explained and proved.",
	}
}

func TestStatement(t *testing.T) {
	bill := statement()
	page, file := made(t, bill)
	if diff := cmp.Diff(statementTexts(), textsOfHTML(t, page)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
	pages := textsOfPDF(t, file)
	want := append(statementTexts(), "Statement S-000002, page 1 of 1")
	if diff := cmp.Diff(broken(want), broken(pages[0])); len(pages) != 1 || diff != "" {
		t.Errorf("%d pages, the first (-want +got):\n%s", len(pages), diff)
	}
	golden(t, "statement.html", page)
}

// What is drawn of the same bill are the same bytes, today and tomorrow.
func TestSameBytes(t *testing.T) {
	page, file := made(t, statement())
	for range 3 {
		again, againFile := made(t, statement())
		if !bytes.Equal(page, again) || !bytes.Equal(file, againFile) {
			t.Fatal("the same bill is drawn in another way")
		}
	}
	if bytes.Contains(file, []byte(time.Now().Format("D:2006"))) {
		t.Error("the PDF knows when it was made")
	}
}

func TestKinds(t *testing.T) {
	draft := statement()
	draft.Number, draft.Status, draft.Position, draft.IssuedAt, draft.Name = api.InvoiceDraft, api.InvoiceDraft, 0, time.Time{}, "acme"
	prepaid := document.Bill{Provider: "acme", Name: "acme", Invoice: api.Invoice{
		Number: "P-000001", Kind: api.InvoicePrepaid, Key: "01KJKB3Q003QXZ9ZHX8E49F18N", Period: api.Period{From: day("2026-01-05"), To: day("2027-01-05")},
		IssuedAt: day("2026-01-05"), Currency: "USD", Lines: []api.Line{{ID: "a", Kind: api.LinePrepaid, LicenseType: "mailbox", Unit: "seat", UnitPrice: "10.80", Quantity: "6", Amount: "64.80"}},
		Subtotal: "0.00", MinimumAdjustment: "0.00", Total: "64.80", Status: api.InvoiceFailed, Position: 7,
	}}
	for name, tt := range map[string]struct {
		bill  document.Bill
		has   []string
		lacks []string
	}{
		"draft": {draft, []string{"Draft of 2024-09", "acme", "not due: this would be issued if the month ended today"}, []string{"Issued", "acme (acme)", "Recorded"}},
		"prepaid": {prepaid, []string{"Prepaid invoice P-000001", "Key", "01KJKB3Q003QXZ9ZHX8E49F18N", "2026-01-05 to 2027-01-04", "failed", "mailbox", "prepaid", "6", "seat", "10.80", "64.80",
			"Recorded as entry 7"}, []string{"Subtotal", "SHA-256"}},
	} {
		t.Run(name, func(t *testing.T) {
			page, file := made(t, tt.bill)
			for what, text := range map[string]string{"page": strings.Join(textsOfHTML(t, page), "\n"), "PDF": strings.Join(textsOfPDF(t, file)[0], "\n")} {
				for _, has := range tt.has {
					if !strings.Contains(text, has) {
						t.Errorf("the %s lacks %q:\n%s", what, has, text)
					}
				}
				for _, lacks := range tt.lacks {
					if strings.Contains(text, lacks) {
						t.Errorf("the %s has %q:\n%s", what, lacks, text)
					}
				}
			}
		})
	}
}

// A long bill goes on over many pages. Each has the table's heads; no line is lost, torn apart or there twice.
func TestLongBill(t *testing.T) {
	bill := statement()
	bill.Lines = nil
	const n = 1000
	for i := range n {
		bill.Lines = append(bill.Lines, api.Line{
			Kind: api.LineUsage, Company: fmt.Sprintf("company-%d", i), LicenseType: strings.Repeat("a-long-type-", i%6), Policy: "days-active",
			Unit: "endpoint", UnitPrice: "6.99", Quantity: json.Number(fmt.Sprint(i)), BilledDays: 30, Amount: fmt.Sprintf("%d.25", i),
		})
	}
	page, file := made(t, bill)
	if got := strings.Count(string(page), "<tr>"); got != n+1 {
		t.Errorf("the page has %d rows and heads, want %d", got, n+1)
	}
	pages := textsOfPDF(t, file)
	if len(pages) < n/60 {
		t.Fatalf("%d lines on %d pages", n, len(pages))
	}
	next := 0
	for i, texts := range pages {
		if i > 0 && !cmp.Equal(texts[:8], []string{"Company", "License type", "Charged", "Quantity", "Unit", "Days", "Unit price", "Amount"}) {
			t.Errorf("page %d begins with %q", i+1, texts[:8])
		}
		if last, want := texts[len(texts)-1], fmt.Sprintf("Statement S-000002, page %d of %d", i+1, len(pages)); last != want {
			t.Errorf("page %d ends with %q", i+1, last)
		}
		// The first cell of a line is drawn before its last one, on the same page.
		for _, text := range texts {
			switch text {
			case fmt.Sprintf("company-%d", next):
				next++
			case fmt.Sprintf("%d.25", next):
				t.Fatalf("page %d has the amount of line %d without its company", i+1, next)
			}
		}
	}
	if next != n {
		t.Errorf("%d lines of %d are there", next, n)
	}
}

// A name may be anything. It never breaks a document, nor does it become a part of the page.
func FuzzName(f *testing.F) {
	for _, name := range []string{"", "Acme", "Ačme Резерв ΑΒΓ", "備份", "😀", "<script>alert(1)</script>", "a\x00b\tc\r\nd", "\xff\xfe", "{{.Rows}}", "{pages}", strings.Repeat("long ", 60), "\u202eRTL", "ﷺ"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		bill := statement()
		bill.Name = name
		page, file := made(t, bill)
		if got, want := tags(t, page), tags(t, madeOf(t, statement)); !cmp.Equal(got, want) {
			t.Errorf("name %q changes the page's tags: %s", name, cmp.Diff(want, got))
		}
		text := broken(textsOfPDF(t, file)[0])
		if want := broken(statementTexts()[3:]); !strings.Contains(text, want) {
			t.Errorf("name %q spoils the PDF:\n%s", name, text)
		}
	})
}

func BenchmarkPDF(b *testing.B) {
	bill := statement()
	for range 1000 {
		bill.Lines = append(bill.Lines, bill.Lines[1])
	}
	for b.Loop() {
		if _, err := bill.PDF(); err != nil {
			b.Fatal(err)
		}
	}
}

func made(t *testing.T, bill document.Bill) (page, file []byte) {
	t.Helper()
	page, err := bill.HTML()
	if err != nil {
		t.Fatal(err)
	}
	file, err = bill.PDF()
	if err != nil {
		t.Fatal(err)
	}
	return page, file
}

func madeOf(t *testing.T, bill func() document.Bill) []byte {
	t.Helper()
	page, _ := made(t, bill())
	return page
}

// textsOfHTML are the texts that are seen on a page.
func textsOfHTML(t *testing.T, page []byte) (texts []string) {
	t.Helper()
	hidden := 0
	each(t, page, func(token html.Token) {
		switch {
		case token.Data == "style" || token.Data == "title":
			hidden = map[html.TokenType]int{html.StartTagToken: 1}[token.Type]
		case token.Type == html.TextToken && hidden == 0 && strings.TrimSpace(token.Data) != "":
			texts = append(texts, strings.TrimSpace(token.Data))
		}
	})
	return texts
}

// tags are a page's tags with their attributes.
func tags(t *testing.T, page []byte) (tags []string) {
	t.Helper()
	each(t, page, func(token html.Token) {
		if token.Type != html.TextToken {
			tags = append(tags, token.String())
		}
	})
	return tags
}

func each(t *testing.T, page []byte, fn func(html.Token)) {
	t.Helper()
	for z := html.NewTokenizer(bytes.NewReader(page)); z.Next() != html.ErrorToken; {
		fn(z.Token())
	}
}

// textsOfPDF are the texts of each page, in the order in which they are drawn.
func textsOfPDF(t *testing.T, file []byte) (pages [][]string) {
	t.Helper()
	r, err := pdf.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= r.NumPage(); n++ {
		rows, err := r.Page(n).GetTextByRow()
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, row := range rows {
			for _, text := range row.Content {
				if text.S != "" {
					texts = append(texts, text.S)
				}
			}
		}
		pages = append(pages, texts)
	}
	return pages
}

// broken is texts without regard to where their lines are broken.
func broken(texts []string) string {
	return strings.Join(strings.Fields(strings.Join(texts, " ")), " ")
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
