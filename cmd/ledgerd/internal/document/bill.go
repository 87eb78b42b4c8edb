package document

import (
	"strconv"
	"time"

	"licenseledger/ledger/api"
)

// Bill is an invoice and whose it is.
type Bill struct {
	api.Invoice
	Provider string // id
	Name     string // display name; may be the id
}

// column is a column of the table.
type column struct {
	Title string
	Right bool    // figures
	width float64 // in mm of a PDF
}

// columns of the table; their widths fill a page between its margins.
var columns = [...]column{
	{"Company", false, 36}, {"License type", false, 30}, {"Charged", false, 26}, {"Quantity", true, 24},
	{"Unit", false, 20}, {"Days", true, 12}, {"Unit price", true, 18}, {"Amount", true, 24},
}

// row is a line of the invoice, or a sum.
type row struct {
	Cells [len(columns)]string // of a sum the first and the last alone
	Sum   bool
	Total bool // the last sum
}

func (b *Bill) rows() []row {
	bill := b.Bill()
	rows := make([]row, len(bill))
	for i, from := range bill {
		r := &rows[i]
		r.Cells[len(columns)-1] = from.Amount
		l := from.Line
		if l == nil {
			r.Cells[0], r.Sum, r.Total = from.Label, true, i == len(bill)-1
			continue
		}
		copy(r.Cells[:], []string{l.Company, l.LicenseType, from.Label, l.Quantity.String(), l.Unit, days(l.BilledDays), l.UnitPrice})
	}
	return rows
}

func days(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// title names the document.
func (b *Bill) title() string {
	switch {
	case b.Status == api.InvoiceDraft:
		return "Draft of " + b.Month
	case b.Kind == api.InvoicePrepaid:
		return "Prepaid invoice " + b.Number
	}
	return "Statement " + b.Number
}

// fields are what stands above the table.
func (b *Bill) fields() [][2]string {
	provider := b.Provider
	if b.Name != "" && b.Name != b.Provider {
		provider = b.Name + " (" + b.Provider + ")"
	}
	last := b.Period.To.UTC().Add(-time.Nanosecond) // the end is excluded
	fields := [][2]string{
		{"Provider", provider},
		{"Period", b.Period.From.UTC().Format(time.DateOnly) + " to " + last.Format(time.DateOnly)},
	}
	if b.Key != "" {
		fields = append(fields, [2]string{"Key", b.Key})
	}
	if !b.IssuedAt.IsZero() {
		fields = append(fields, [2]string{"Issued", b.IssuedAt.UTC().Format("2006-01-02 15:04 UTC")})
	}
	return append(fields, [2]string{"Currency", b.Currency}, [2]string{"Payment", b.payment()})
}

func (b *Bill) payment() string {
	switch b.Status {
	case api.InvoiceDraft:
		return "not due: this would be issued if the month ended today"
	case api.InvoiceCollected:
		return "collected"
	case api.InvoiceFailed:
		return "failed"
	}
	return "pending"
}

// notes stand below the table.
func (b *Bill) notes() []string {
	notes := []string{"Amounts exclude tax."}
	if b.Digest != "" {
		notes = append(notes, "SHA-256 of the lines: "+b.Digest)
	}
	if b.Status != api.InvoiceDraft {
		notes = append(notes, "Recorded as entry "+strconv.FormatUint(b.Position, 10)+" of the ledger, where every line can be explained and proved.")
	}
	return notes
}
