package document

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
)

//go:embed bill.html
var page string

// HTML is the bill as a page in UTF-8, to look at and to print.
func (b *Bill) HTML() ([]byte, error) {
	t, err := template.New("bill").Parse(page)
	if err != nil {
		return nil, fmt.Errorf("page of invoice %s: %w", b.Number, err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title": b.title(), "Fields": b.fields(), "Columns": columns, "Rows": b.rows(), "Notes": b.notes(),
	})
	if err != nil {
		return nil, fmt.Errorf("page of invoice %s: %w", b.Number, err)
	}
	return out.Bytes(), nil
}
