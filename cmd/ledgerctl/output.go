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

// grid is rows of cells. A cell is a string, bool, integer, json.Number, time.Time or list of strings; nil, "" and the
// zero time are absent.
type grid struct {
	columns []column
	rows    [][]any
	footer  []any // below a table, nowhere else
}

type column struct {
	name  string // of the field: license_type
	right bool   // as numbers and money stand
	in    where
}

// where says where a column is shown.
type where int

const (
	inTable  where = 1 << iota
	inFields       // where a thing is shown alone
	inCSV
)

// left and right are columns that are shown everywhere, programs those of CSV alone. Names are separated by blanks.
func left(names string) []column { return columns(names, column{in: inTable | inFields | inCSV}) }
func right(names string) []column {
	return columns(names, column{in: inTable | inFields | inCSV, right: true})
}
func programs(names string) []column { return columns(names, column{in: inCSV}) }

// people are columns that CSV has otherwise, extra those for which a table has no room.
func people(names string) []column { return columns(names, column{in: inTable | inFields}) }
func extra(names string) []column  { return columns(names, column{in: inFields | inCSV}) }

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
	lines := make([][]string, 1+len(g.rows))
	for i, column := range g.columns {
		if column.in&inCSV == 0 {
			continue
		}
		lines[0] = append(lines[0], column.name)
		for k, row := range g.rows {
			lines[1+k] = append(lines[1+k], plain(row[i]))
		}
	}
	return csv.NewWriter(w).WriteAll(lines)
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
		if column.in&inTable == 0 {
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
		if column.in&inFields != 0 {
			width = max(width, len(column.name))
		}
	}
	for k, row := range g.rows {
		if k > 0 {
			fmt.Fprintln(w)
		}
		for i, column := range g.columns {
			if column.in&inFields != 0 {
				fmt.Fprintf(w, "%-*s  %s\n", width, heading(column.name), visible(row[i]))
			}
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
	case []string:
		text = strings.Join(cell, ", ")
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
		return strings.Join(cell, " ")
	}
	panic(fmt.Sprintf("a cell of type %T", cell))
}

// assigneeColumns are an assignee as --assignee takes it for people, kind and id apart for programs.
func assigneeColumns() []column {
	return append(people("assignee"), programs("assignee_kind assignee_id")...)
}

func assigneeCells(a *api.Assignee) (assignee, kind, id any) {
	if a == nil {
		return nil, nil, nil
	}
	return a.Kind + ":" + a.ID, a.Kind, a.ID
}

// positive is a number that is absent where it is 0.
func positive[N int | uint64](n N) any {
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
