package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"licenseledger/ledger/api"
)

// listing is a call that answers with rows: a page of them as JSON, or all as CSV.
type listing[I, R, P any] struct {
	call
	// options are those of the input.
	options func(in *I) api.PageOptions
	// order is the field by which the rows come, the only one that sort may say, unless there are others in orders.
	order  string
	orders []string
	// open prepares the list and gives the way to read it.
	open func(ctx context.Context, in *I) (pager[R], error)
	// page is the JSON answer.
	page func(rows []R, next string) P
	// columns and cells make CSV.
	columns []string
	cells   func(R) []string
}

// pager reads a page: at most limit rows behind a key, "" for the first. A page may be shorter and still have a next one.
type pager[R any] func(ctx context.Context, after string, limit int) (page[R], error)

type page[R any] struct {
	rows     []R
	next     string // the key behind which the list goes on; "" at its end
	position *uint64
}

// cut makes a page of rows that were read one more than asked for.
func cut[R any](rows []R, limit int, key func(R) string, position *uint64) page[R] {
	if len(rows) <= limit {
		return page[R]{rows: rows, position: position}
	}
	return page[R]{rows: rows[:limit], next: key(rows[limit-1]), position: position}
}

type streamed struct {
	Body func(huma.Context)
}

// csvWait is how long a reader of CSV may take for one page.
const csvWait = 30 * time.Second

func list[I, R, P any](s *server, l listing[I, R, P]) {
	handle := func(ctx context.Context, in *I) (*streamed, error) {
		o := l.options(in)
		after, err := openCursor(requestOf(ctx), o.Cursor)
		if err != nil {
			return nil, err
		}
		media, err := chooseMedia(requestOf(ctx).accept, api.MediaJSON, api.MediaCSV)
		if err != nil {
			return nil, err
		}
		read, err := l.open(ctx, in)
		if err != nil {
			return nil, err
		}
		limit := o.Limit
		if media == api.MediaCSV && requestOf(ctx).query.Get("limit") == "" {
			limit = 0
		}
		// What the first page meets is still answered as a refusal.
		first, err := read(ctx, after, pageSize(limit))
		if err != nil {
			return nil, err
		}
		if media == api.MediaCSV {
			return &streamed{func(c huma.Context) { l.writeCSV(s, c, read, first, limit) }}, nil
		}
		return &streamed{func(c huma.Context) {
			rows := first.rows
			if rows == nil {
				rows = []R{} // an empty list, not null
			}
			writeJSON(c, first.position, l.page(rows, sealCursor(requestOf(ctx), first.next)))
		}}, nil
	}
	register(s, l.call, handle)
	op := operationOf(s.api.OpenAPI(), huma.Operation{Method: l.method, Path: "/v1" + l.path})
	for _, p := range op.Parameters {
		if p.Name == "sort" {
			p.Description = "the order in which the rows come, the only one"
			*p.Schema = huma.Schema{Type: huma.TypeString, Enum: []any{l.order}}
			if l.orders != nil {
				p.Description = "a field to sort by; with - before it, descending, where the list can"
				p.Schema.Enum = nil
				for _, order := range l.orders {
					p.Schema.Enum = append(p.Schema.Enum, order)
				}
			}
			p.Schema.PrecomputeMessages()
		}
	}
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[P](), true, "")
	op.Responses["200"] = &huma.Response{
		Description: "A page of the list, or, as CSV, all of it.",
		Headers:     map[string]*huma.Param{api.HeaderPosition: positionHeader()},
		Content: map[string]*huma.MediaType{
			api.MediaJSON: {Schema: schema},
			api.MediaCSV:  {Schema: &huma.Schema{Type: huma.TypeString, Description: "columns: " + strings.Join(l.columns, ", ")}},
		},
	}
}

func positionHeader() *huma.Param {
	return &huma.Param{Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: "number of the last entry that the answer has seen"}}
}

// pageSize is how many rows are read at once where limit rows are wanted, 0 for all.
func pageSize(limit int) int {
	if limit == 0 {
		return api.MaxLimit
	}
	return min(limit, api.MaxLimit)
}

func writeJSON(c huma.Context, position *uint64, v any) {
	c.SetHeader("Content-Type", api.MediaJSON)
	setPosition(c, position)
	c.SetStatus(http.StatusOK)
	e := json.NewEncoder(c.BodyWriter())
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a caller that is gone needs no answer
}

func setPosition(c huma.Context, position *uint64) {
	if position != nil {
		c.SetHeader(api.HeaderPosition, strconv.FormatUint(*position, 10))
	}
}

// writeCSV writes the list page by page. An error in the middle breaks the connection off, so that nobody takes a part for the whole.
func (l *listing[I, R, P]) writeCSV(s *server, c huma.Context, read pager[R], p page[R], limit int) {
	ctx := c.Context()
	_, w := humago.Unwrap(c)
	control := http.NewResponseController(w)
	c.SetHeader("Content-Type", api.MediaCSV+"; charset=utf-8")
	setPosition(c, p.position)
	c.SetStatus(http.StatusOK)
	var b bytes.Buffer
	out := csv.NewWriter(&b)
	out.UseCRLF = true
	_ = out.Write(l.columns)
	for left := limit; ; {
		for _, row := range p.rows {
			_ = out.Write(l.cells(row))
		}
		out.Flush()
		_ = control.SetWriteDeadline(time.Now().Add(csvWait))
		if _, err := w.Write(b.Bytes()); err != nil {
			panic(http.ErrAbortHandler)
		}
		b.Reset()
		if left -= len(p.rows); p.next == "" || limit > 0 && left <= 0 {
			return
		}
		size := api.MaxLimit
		if limit > 0 {
			size = pageSize(left)
		}
		var err error
		if p, err = read(ctx, p.next, size); err != nil {
			_ = s.problem(ctx, err) // logs it
			panic(http.ErrAbortHandler)
		}
	}
}

// text is a cell of text that no spreadsheet takes for a formula.
func text(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// instant is a cell with a time; empty for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// chooseMedia picks from what is offered what the caller likes best; the first where it does not care.
func chooseMedia(accept string, offered ...string) (string, error) {
	if strings.TrimSpace(accept) == "" {
		return offered[0], nil
	}
	best, bestQ := "", 0.0
	for want := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(want)
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		i := slices.IndexFunc(offered, func(o string) bool {
			return media == o || media == "*/*" || strings.HasSuffix(media, "/*") && strings.HasPrefix(o, strings.TrimSuffix(media, "*"))
		})
		if i >= 0 && q > bestQ {
			best, bestQ = offered[i], q
		}
	}
	if best == "" {
		p := invalid("header.Accept", "this is not answered as %.80s", accept)
		p.Hint = "accept " + strings.Join(offered, " or ")
		return "", p
	}
	return best, nil
}

// scope is a checksum of what makes a list the one it is: path and query, but for where in it the caller is.
func scope(r *request) []byte {
	rest := make(url.Values, len(r.query))
	for name, values := range r.query {
		switch name {
		case "cursor", "limit", "after":
		default:
			rest[name] = values
		}
	}
	sum := sha256.Sum256([]byte(r.url.EscapedPath() + "?" + rest.Encode()))
	return sum[:6]
}

func sealCursor(r *request, key string) string {
	if key == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(scope(r), key...))
}

// openCursor is the key that a cursor holds.
func openCursor(r *request, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	own := scope(r)
	if err != nil || len(b) <= len(own) || !bytes.Equal(b[:len(own)], own) {
		return "", foreignCursor()
	}
	return string(b[len(own):]), nil
}

func foreignCursor() *api.Problem {
	p := invalid("query.cursor", "this is no cursor of this list with this filter")
	p.Hint = "begin without a cursor"
	return p
}
