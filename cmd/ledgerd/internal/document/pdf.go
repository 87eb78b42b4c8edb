package document

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// Millimetres and points of a page.
const (
	margin     = 10.0
	lineHeight = 5.0
	fontSize   = 8.5
)

// PDF is the bill as a PDF file. Long bills go on over as many pages as they need, each with the table's heads.
func (b *Bill) PDF() ([]byte, error) {
	draw, err := newPen(b.title())
	if err != nil {
		return nil, fmt.Errorf("PDF of invoice %s: %w", b.Number, err)
	}
	p := draw.Fpdf
	p.AddPage()
	draw.bold(18)
	p.CellFormat(0, 10, draw.text(b.title()), "", 1, "L", false, 0, "")
	p.Ln(3)
	for _, f := range b.fields() {
		draw.quiet()
		p.CellFormat(22, lineHeight, draw.text(f[0]), "", 0, "L", false, 0, "")
		draw.plain()
		p.MultiCell(0, lineHeight, draw.text(f[1]), "", "L", false)
	}
	p.Ln(5)
	draw.heads()
	for _, r := range b.rows() {
		draw.row(r)
	}
	p.Ln(5)
	draw.quiet()
	for _, n := range b.notes() {
		p.MultiCell(0, lineHeight, draw.text(n), "", "L", false)
	}
	var out bytes.Buffer
	if err := p.Output(&out); err != nil {
		return nil, fmt.Errorf("PDF of invoice %s: %w", b.Number, err)
	}
	return out.Bytes(), nil
}

// pen draws one document.
type pen struct {
	*fpdf.Fpdf
	font *sfnt.Font // says which signs there are: of others the library makes a broken file, or none
	buf  sfnt.Buffer
}

func newPen(title string) (*pen, error) {
	font, err := sfnt.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("font: %w", err)
	}
	d := &pen{Fpdf: fpdf.New("P", "mm", "A4", ""), font: font}
	// Nothing in the file says when it was made, and its parts come in one order.
	d.SetCatalogSort(true)
	d.SetCreationDate(time.Unix(0, 0).UTC())
	d.SetModificationDate(time.Unix(0, 0).UTC())
	d.SetTitle(title, true)
	d.SetLang("en")
	d.AddUTF8FontFromBytes("go", "", goregular.TTF)
	d.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	d.SetMargins(margin, 15, margin)
	d.SetAutoPageBreak(true, 18)
	d.AliasNbPages("{pages}")
	d.SetFooterFunc(func() {
		d.SetY(-12)
		d.quiet()
		d.CellFormat(0, lineHeight, fmt.Sprintf("%s, page %d of {pages}", d.text(title), d.PageNo()), "", 0, "L", false, 0, "")
	})
	return d, d.Error()
}

func (d *pen) bold(size float64) { d.SetFont("go", "B", size); d.SetTextColor(28, 39, 51) }

func (d *pen) plain() { d.SetFont("go", "", fontSize); d.SetTextColor(28, 39, 51) }

func (d *pen) quiet() { d.SetFont("go", "", fontSize); d.SetTextColor(92, 107, 122) }

// text is s with a question mark for what the font has no sign for.
func (d *pen) text(s string) string {
	return strings.Map(func(r rune) rune {
		if i, err := d.font.GlyphIndex(&d.buf, r); r > 0xFFFF || err != nil || i == 0 {
			return '?'
		}
		return r
	}, s)
}

// heads are the table's heads, with a rule below.
func (d *pen) heads() {
	d.bold(fontSize)
	d.SetDrawColor(28, 39, 51)
	for _, c := range columns {
		d.CellFormat(c.width, lineHeight+1, c.Title, "B", 0, align(c.Right), false, 0, "")
	}
	d.Ln(-1)
}

// row draws a row, on the next page if this one has no room for all of it. Texts that are too long for their column are broken.
func (d *pen) row(r row) {
	var lines [len(columns)][]string
	style := d.plain
	if r.Sum {
		style = func() { d.bold(fontSize) }
	}
	style()
	height := lineHeight
	for i, c := range columns {
		width := c.width
		if r.Sum && i == 0 {
			width = sumWidth()
		}
		lines[i] = d.SplitText(d.text(r.Cells[i]), width-0.5)
		height = max(height, lineHeight*float64(len(lines[i])))
	}
	height += 1
	if _, bottom := d.pageEnd(); d.GetY()+height > bottom {
		d.AddPage()
		d.heads()
		style()
	}
	left, top := d.GetX(), d.GetY()
	if r.Sum {
		d.SetFillColor(243, 246, 248)
		d.Rect(left, top, tableWidth(), height, "F")
	}
	x := left
	for i, c := range columns {
		width := c.width
		if r.Sum && i == 0 {
			width = sumWidth()
		}
		for n, line := range lines[i] {
			d.SetXY(x, top+0.5+lineHeight*float64(n))
			d.CellFormat(width, lineHeight, line, "", 0, align(c.Right), false, 0, "")
		}
		x += c.width
	}
	d.SetDrawColor(212, 219, 226)
	if r.Total {
		d.SetDrawColor(28, 39, 51)
	}
	d.Line(left, top+height, left+tableWidth(), top+height)
	d.SetXY(left, top+height)
}

func (d *pen) pageEnd() (width, bottom float64) {
	w, h := d.GetPageSize()
	_, below := d.GetAutoPageBreak()
	return w, h - below
}

func tableWidth() (sum float64) {
	for _, c := range columns {
		sum += c.width
	}
	return sum
}

// sumWidth is the width of a sum's words: all columns but that of the amount.
func sumWidth() float64 { return tableWidth() - columns[len(columns)-1].width }

func align(right bool) string {
	if right {
		return "R"
	}
	return "L"
}
