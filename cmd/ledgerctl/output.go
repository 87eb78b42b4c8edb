package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"licenseledger/ledger/api"
)

// grid is rows of cells under the names that the contract has for them. A cell is a string, bool, integer, json.Number,
// time.Time or list of strings; nil, "" and the zero time are absent.
type grid struct {
	columns []column
	rows    [][]any
	footer  []any // below a table; not in CSV
}

type column struct {
	name  string // of the field: license_type
	right bool   // as numbers and money stand
	extra bool   // only where a single thing is shown, and in CSV
}

// left, right and extra are columns; several may be named at once, separated by blanks.
func left(names string) []column  { return columns(names, column{}) }
func right(names string) []column { return columns(names, column{right: true}) }
func extra(names string) []column { return columns(names, column{extra: true}) }

func columns(names string, like column) []column {
	var list []column
	for _, name := range strings.Fields(names) {
		like.name = name
		list = append(list, like)
	}
	return list
}

func (g *grid) add(cells ...any) {
	if len(cells) != len(g.columns) {
		panic(fmt.Sprintf("a row of %d cells under %d columns", len(cells), len(g.columns)))
	}
	g.rows = append(g.rows, cells)
}

// printList prints a page or a whole list; where it goes on is said on stderr.
func (c *cli) printList(answer any, g grid, next string) error {
	err := c.print(answer, g, writeTable)
	if err == nil && next != "" && c.format != formatJSON {
		_, err = fmt.Fprintf(c.stderr, "there is more: --cursor %s goes on, --all shows everything\n", printable(next))
	}
	return err
}

// printOne prints a single thing: for people its fields, one per line.
func (c *cli) printOne(answer any, g grid) error { return c.print(answer, g, writeFields) }

// printChange prints what a change has touched; people are told what became of it.
func (c *cli) printChange(answer any, g grid, outcome string) error {
	return c.print(answer, g, func(w io.Writer, g grid) {
		write := writeTable
		if len(g.rows) == 1 {
			write = writeFields
		}
		write(w, g)
		fmt.Fprintln(w, outcome)
	})
}

// print writes an answer as --output has it, at once.
func (c *cli) print(answer any, g grid, table func(io.Writer, grid)) error {
	var b bytes.Buffer
	var err error
	switch c.format {
	case formatJSON:
		err = writeJSON(&b, answer)
	case formatCSV:
		err = writeCSV(&b, g)
	default:
		table(&b, g)
	}
	if err != nil {
		return err
	}
	_, err = c.stdout.Write(b.Bytes())
	return err
}

// outcome says where a change stands in the ledger, or what it would come to.
func outcome(dryRun bool, r api.Receipt, p api.Preview) string {
	var text string
	switch {
	case dryRun:
		text = "dry run, nothing was recorded"
	case r.Position != nil:
		text = "recorded, position " + strconv.FormatUint(*r.Position, 10)
	default:
		text = "done"
	}
	if p.Cost != "" {
		text += "; it costs " + p.Cost + " " + p.Currency
	}
	if p.Savings != "" {
		text += "; it saves " + p.Savings + " " + p.Currency
	}
	return printable(text)
}

func writeJSON(w io.Writer, answer any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answer)
}

func writeCSV(w io.Writer, g grid) error {
	out := csv.NewWriter(w)
	header := make([]string, len(g.columns))
	for i, column := range g.columns {
		header[i] = column.name
	}
	lines := [][]string{header}
	for _, row := range g.rows {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = plain(cell)
		}
		lines = append(lines, line)
	}
	return out.WriteAll(lines)
}

// writeTable aligns the columns, numbers to the right, two blanks apart.
func writeTable(w io.Writer, g grid) {
	if len(g.rows) == 0 {
		fmt.Fprintln(w, "none")
		return
	}
	shown := g.rows
	if g.footer != nil {
		shown = append(shown[:len(shown):len(shown)], g.footer)
	}
	lines := make([]strings.Builder, 1+len(shown))
	gap := 0
	for i, column := range g.columns {
		if column.extra {
			continue
		}
		cells := make([]string, len(lines))
		cells[0] = strings.ToUpper(heading(column.name))
		for k, row := range shown {
			cells[1+k] = visible(row[i])
		}
		width := 0
		for _, cell := range cells {
			width = max(width, utf8.RuneCountInString(cell))
		}
		for k, cell := range cells {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
			if column.right {
				cell = pad + cell
			} else {
				cell += pad
			}
			lines[k].WriteString(strings.Repeat(" ", gap) + cell)
		}
		gap = 2
	}
	for _, line := range lines {
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// writeFields writes each row as lines of name and value; rows are apart by an empty line.
func writeFields(w io.Writer, g grid) {
	width := 0
	for _, column := range g.columns {
		width = max(width, len(column.name))
	}
	for k, row := range g.rows {
		if k > 0 {
			fmt.Fprintln(w)
		}
		for i, cell := range row {
			fmt.Fprintf(w, "%-*s  %s\n", width, heading(g.columns[i].name), visible(cell))
		}
	}
}

func heading(name string) string { return strings.ReplaceAll(name, "_", " ") }

// visible is a cell for people, "-" where it is absent.
func visible(cell any) string {
	text := plain(cell)
	switch cell := cell.(type) {
	case bool:
		text = "no"
		if cell {
			text = "yes"
		}
	case blank:
		return ""
	}
	if text == "" {
		return "-"
	}
	return printable(text)
}

// blank is a cell in which nothing is missing.
type blank struct{}

// plain is a cell for programs, empty where it is absent.
func plain(cell any) string {
	switch cell := cell.(type) {
	case nil, blank:
		return ""
	case string:
		return cell
	case json.Number:
		return cell.String()
	case bool:
		return strconv.FormatBool(cell)
	case int:
		return strconv.Itoa(cell)
	case uint64:
		return strconv.FormatUint(cell, 10)
	case time.Time:
		if cell.IsZero() {
			return ""
		}
		return cell.UTC().Format(time.RFC3339Nano)
	case []string:
		return strings.Join(cell, ",")
	}
	panic(fmt.Sprintf("a cell of type %T", cell))
}

// assigneeCell is an assignee as --assignee takes it, absent where there is none.
func assigneeCell(a *api.Assignee) any {
	if a == nil {
		return nil
	}
	return a.Kind + ":" + a.ID
}

// positive is a number that is absent where it is 0.
func positive(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

// collect takes all rows of a list. It is not nil, as JSON has an empty list for no rows.
func collect[R any](rows iter.Seq2[R, error]) ([]R, error) {
	list := []R{}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, nil
}
