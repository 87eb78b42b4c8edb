package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Headers and limits of the contract.
const (
	HeaderPosition       = "Ledger-Position" // of a read: the last entry that the answer has seen
	HeaderRequest        = "Ledger-Request"  // of a report over NATS: a name for this request, which its answer repeats
	HeaderIdempotencyKey = "Idempotency-Key" // of a change: the caller's name for it

	MaxBody      = 1 << 20 // bytes of a request body; more is CodeTooLarge
	MaxRequest   = 64      // bytes of HeaderRequest; more is CodeInvalid
	MaxReadings  = 500     // readings of one report
	DefaultLimit = 50      // rows of a page, where the caller does not say
	MaxLimit     = 1000    // rows of a page, at most
)

// Media types of bodies and answers.
const (
	MediaJSON        = "application/json"
	MediaProblem     = "application/problem+json"
	MediaCloudEvents = "application/cloudevents-batch+json"
	MediaCSV         = "text/csv"
	MediaJSONLines   = "application/jsonl"
	MediaHTML        = "text/html"
	MediaPDF         = "application/pdf"
	MediaText        = "text/plain"               // checkpoints and keys
	MediaOctets      = "application/octet-stream" // tiles
)

// ReadOptions are the parameters that every read accepts.
type ReadOptions struct {
	After uint64    `query:"after" doc:"wait, at most 10 s, until the view has seen this entry"`
	AsOf  time.Time `query:"as_of" doc:"answer as it was at this moment, where history can answer"`

	// Seen, if not nil, is where the Client puts the entry number up to which the answer has seen the log.
	Seen *uint64
}

// PageOptions are the parameters that every list accepts.
type PageOptions struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"rows of a page"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before"`
	Sort   string `query:"sort" example:"-valid_until" doc:"a field of the rows; with - before it, descending"`
}

// ListQuery is the query of a list that has no filters of its own.
type ListQuery struct {
	ReadOptions
	PageOptions
}

// ChangeOptions are what every change accepts beside its body.
type ChangeOptions struct {
	// IdempotencyKey names the change for 24 hours of the ledger's time: sent again with the same body it gets the first
	// answer again. Where it is empty, the Client makes one, so that it can repeat the call safely.
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" pattern:"^[!-~]+$" doc:"the same key and body: the first answer again, for 24 hours; the same key with another body is refused"`

	// DryRun asks for the answer without recording anything: no position, but what would be saved or what it would cost.
	DryRun bool `query:"dry_run" doc:"answer, but record nothing"`

	// Checkpoint asks for the signed checkpoint that covers the change, in the receipt.
	Checkpoint bool `query:"checkpoint" doc:"answer also with the signed checkpoint that covers the change"`
}

// Receipt is a part of the answer to every change.
type Receipt struct {
	Position *uint64 `json:"position,omitempty" example:"412" doc:"number of the last entry of the change; absent from a dry run"`

	// Checkpoint is there where it was asked for, unless none covers the change within 10 s; then GET /audit/checkpoint has it a little later.
	Checkpoint string `json:"checkpoint,omitempty" doc:"only with checkpoint=true: the signed note (C2SP tlog-checkpoint) that covers the change"`
}

// Preview is a part of the answer to a change that moves money; only a dry run fills it.
type Preview struct {
	Savings  string `json:"savings,omitempty" format:"decimal" example:"4.49" doc:"dry run only: what this saves on the next statement"`
	Cost     string `json:"cost,omitempty" format:"decimal" example:"6.99" doc:"dry run only: what this adds to the next statement"`
	Currency string `json:"currency,omitempty" example:"USD" doc:"of savings and cost"`
}

// Instant is a moment in a query: a time as RFC 3339 has it, or a day, as 2026-03-11, for its first instant in UTC.
type Instant string

// At is the moment t.
func At(t time.Time) Instant { return Instant(t.UTC().Format(time.RFC3339Nano)) }

// Time is the moment; the zero time where it is empty.
func (i Instant) Time() (time.Time, error) {
	if i == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, string(i)); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is not a time like 2026-03-11T04:00:00Z or a day like 2026-03-11", string(i))
}

// Query is what a read is asked with: ReadOptions or a struct that embeds them.
type Query interface{ seen() *uint64 }

func (o ReadOptions) seen() *uint64 { return o.Seen }

// encodeQuery writes the fields of a struct that carry a query tag and are not zero. Lists are joined by commas.
func encodeQuery(q any) url.Values {
	values := url.Values{}
	if q != nil {
		addQuery(values, reflect.ValueOf(q))
	}
	return values
}

func addQuery(values url.Values, v reflect.Value) {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if field.Anonymous {
			addQuery(values, value)
			continue
		}
		name := field.Tag.Get("query")
		if name == "" || value.IsZero() {
			continue
		}
		switch x := value.Interface().(type) {
		case string:
			values.Set(name, x)
		case Instant:
			values.Set(name, string(x))
		case bool:
			values.Set(name, strconv.FormatBool(x))
		case int:
			values.Set(name, strconv.Itoa(x))
		case uint64:
			values.Set(name, strconv.FormatUint(x, 10))
		case *uint64:
			values.Set(name, strconv.FormatUint(*x, 10))
		case time.Time:
			values.Set(name, x.UTC().Format(time.RFC3339Nano))
		case []string:
			values.Set(name, strings.Join(x, ","))
		default:
			panic(fmt.Sprintf("api: query field %s of type %T", name, x))
		}
	}
}

// encodeBody is the JSON of a body, or nil where there is none.
func encodeBody(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding the body: %w", err)
	}
	if len(b) > MaxBody {
		p := NewProblem(CodeTooLarge, fmt.Sprintf("the body has %d bytes, at most %d are taken", len(b), MaxBody))
		p.Hint = "nothing was sent; divide it"
		return nil, p
	}
	return b, nil
}
