// Package document shows an invoice to people: as a page for browsers, and as a PDF to send and to keep.
//
// The idea: one layout, two pens. [Bill.rows] says what stands in which column; the page and the PDF only draw it.
// The rows are those of [api.Invoice.Bill], which the command line prints too: what was used and what
// that comes to, what else was added or taken off, the total.
//
//	bill := document.Bill{Invoice: invoice, Provider: "acme", Name: "Acme Backup"}
//	page, err := bill.HTML()
//	file, err := bill.PDF()
//
// The same bill makes the same bytes, always: no document knows when or where it was made. Both are
// complete in themselves: they load nothing and run nothing.
//
// The PDF is A4 and uses the Go fonts, which have Latin, Greek and Cyrillic letters; what they have no sign for, in a
// provider's name, is drawn as a question mark. The page has all letters that the browser has.
package document
