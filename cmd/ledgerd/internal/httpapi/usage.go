package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"mime"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/errgroup"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/usage"
)

const usagePath = "/providers/{provider}/usage"

func (s *server) usage() {
	report := call{
		method: "POST", path: usagePath, id: "report-usage", summary: "Report usage", tag: "Usage", anyone: true, raw: true,
		about: "A report, or with the media type `" + api.MediaCloudEvents + "` a batch of CloudEvents, each of which is a report of its own: one bad " +
			"event does not spoil the others. Reports go by their agents' own numbers: a repeated one is answered `duplicate`, and needs no idempotency key.",
		codes: []api.Code{api.CodePermissionDenied, api.CodeSequenceReused},
	}
	register(s, report, s.reportUsage)
	op := operationOf(s.api.OpenAPI(), huma.Operation{Method: report.method, Path: "/v1" + report.path})
	schema := func(t reflect.Type) *huma.Schema {
		return neverNull(s.api.OpenAPI().Components.Schemas.Schema(t, true, ""))
	}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		api.MediaJSON:        {Schema: schema(reflect.TypeFor[api.Report]())},
		api.MediaCloudEvents: {Schema: schema(reflect.TypeFor[[]api.CloudEvent]())},
	}}
	op.Responses["200"].Content = map[string]*huma.MediaType{api.MediaJSON: {Schema: &huma.Schema{
		AnyOf: []*huma.Schema{schema(reflect.TypeFor[api.ReportAnswer]()), schema(reflect.TypeFor[api.BatchAnswer]())},
	}}}

	list(s, listing[usageIn, api.UsageRow, api.UsagePage]{
		call: call{
			method: "GET", path: usagePath, id: "list-usage", summary: "Aggregated readings", tag: "Usage",
			about: "In the order of company, meter, endpoint and day or month, as far as they are grouped by. Usage is kept per day: from and to are the first instants of days, and may be given as days.",
			allow: []string{auth.UsageHistory},
		},
		options: func(in *usageIn) api.PageOptions { return in.PageOptions },
		order:   "company",
		open:    s.listUsage,
		page: func(rows []api.UsageRow, next string) api.UsagePage {
			return api.UsagePage{Rows: rows, NextCursor: next}
		},
		columns: []string{"company", "endpoint", "day", "month", "meter", "value"},
		cells: func(r api.UsageRow) []string {
			return []string{text(r.Company), text(r.Endpoint), r.Day, r.Month, text(r.Meter), r.Value.String()}
		},
	})
	list(s, listing[gapsIn, api.Gap, api.GapPage]{
		call: call{
			method: "GET", path: usagePath + "/gaps", id: "list-usage-gaps", summary: "Report numbers that are missing", tag: "Usage",
			about: "By agent, spool and number; `to` is the number after the last missing one.",
			allow: []string{auth.UsageHistory},
		},
		options: func(in *gapsIn) api.PageOptions { return in.PageOptions },
		order:   "agent",
		open:    s.listGaps,
		page: func(rows []api.Gap, next string) api.GapPage {
			return api.GapPage{Gaps: rows, NextCursor: next}
		},
		columns: []string{"agent", "spool", "from", "to"},
		cells: func(g api.Gap) []string {
			return []string{text(g.Agent), text(g.Spool), strconv.FormatUint(g.From, 10), strconv.FormatUint(g.To, 10)}
		},
	})
}

type reportUsageIn struct {
	ProviderPath
	api.ChangeOptions
}

func (s *server) reportUsage(ctx context.Context, in *reportUsageIn) (*streamed, error) {
	req := requestOf(ctx)
	var answer any
	var err error
	if media, _, _ := mime.ParseMediaType(req.media); media == api.MediaCloudEvents {
		answer, err = s.reportEvents(ctx, in)
	} else {
		answer, err = s.reportOne(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	return &streamed{func(c huma.Context) { writeJSON(c, nil, s.covered(ctx, answer)) }}, nil
}

func (s *server) reportOne(ctx context.Context, in *reportUsageIn) (answer api.ReportAnswer, err error) {
	body := requestOf(ctx).body
	report, err := intake.Decode(body)
	if err != nil {
		if !json.Valid(body) {
			return answer, broken("the body is not JSON")
		}
		return answer, err
	}
	receipt, err := s.report(ctx, in, "", report, sha256.Sum256(body))
	if err != nil {
		return answer, err
	}
	return api.ReportAnswer{Seq: report.Seq, Status: statusOf(receipt), Receipt: receiptOf(receipt, in.ChangeOptions)}, nil
}

// report submits a report of an agent for which the caller may speak.
func (s *server) report(ctx context.Context, in *reportUsageIn, part string, report license.Report, request events.Digest) (ledger.Receipt, error) {
	who := requestOf(ctx).who
	if err := auth.Allow(who, in.Provider, auth.Agent(report.Agent)); err != nil {
		return ledger.Receipt{}, err
	}
	cmd := intake.Command(in.Provider, who.String(), report, request)
	cmd.DryRun = in.DryRun
	if in.IdempotencyKey != "" {
		cmd.ID, cmd.Request = license.KeyedDoor+cmd.Actor+"/"+in.IdempotencyKey+part, requestOf(ctx).digest
	}
	return s.hand(ctx, cmd)
}

// statusOf says what became of a report. The first answer to a repeated idempotency key has the report's events again.
func statusOf(r ledger.Receipt) string {
	if r.Duplicate && len(r.Events) == 0 {
		return api.ReportDuplicate
	}
	return api.ReportRecorded
}

// batchWays is how many events of one batch wait for the ledger at a time.
const batchWays = 256

// reportEvents submits the events of a batch, the first one of every agent before the others: it may make the agent known.
func (s *server) reportEvents(ctx context.Context, in *reportUsageIn) (answer api.BatchAnswer, err error) {
	batch, err := intake.CloudEvents(requestOf(ctx).body)
	if err != nil {
		if !json.Valid(requestOf(ctx).body) {
			return answer, broken("the body is not JSON")
		}
		return answer, err
	}
	receipts, errs := make([]ledger.Receipt, len(batch)), make([]error, len(batch))
	var firsts, others []int
	seen := make(map[string]bool)
	for i := range batch {
		switch agent := batch[i].Report.Agent; {
		case batch[i].Err != nil:
			errs[i] = batch[i].Err
		case seen[agent]:
			others = append(others, i)
		default:
			seen[agent] = true
			firsts = append(firsts, i)
		}
	}
	for _, some := range [][]int{firsts, others} {
		var ways errgroup.Group
		ways.SetLimit(batchWays)
		for _, i := range some {
			ways.Go(func() error {
				// The space keeps these keys apart from all that callers can choose.
				receipts[i], errs[i] = s.report(ctx, in, " "+strconv.Itoa(i), batch[i].Report, batch[i].Request)
				return nil
			})
		}
		_ = ways.Wait()
	}
	answer.Results = make([]api.EventResult, len(batch))
	last := ledger.Receipt{}
	for i := range batch {
		result := api.EventResult{ID: batch[i].ID}
		if errs[i] != nil {
			p := s.problem(ctx, errs[i])
			if p.Code == api.CodeIdempotencyMismatch {
				return answer, p
			}
			result.Status, result.Code = api.ReportRefused, p.Code
		} else {
			result.Status = statusOf(receipts[i])
			last.Entry = max(last.Entry, receipts[i].Entry)
		}
		answer.Results[i] = result
	}
	if last.Entry > 0 {
		answer.Receipt = receiptOf(last, in.ChangeOptions)
	}
	return answer, nil
}

type usageIn struct {
	ProviderPath
	api.UsageQuery
}

// asked turns the view's complaint about a question into ours.
func asked(err error) error {
	var wrong *usage.QueryError
	if errors.As(err, &wrong) {
		return invalid("query."+wrong.Field, "%s", wrong.Reason)
	}
	return err
}

func (s *server) listUsage(_ context.Context, in *usageIn) (pager[api.UsageRow], error) {
	group, err := usage.ParseGroup(strings.Join(in.GroupBy, ","))
	if err != nil {
		return nil, asked(err)
	}
	q := usage.Query{Provider: in.Provider, Meter: in.Meter, Group: group, Aggregate: usage.Aggregate(in.Aggregate)}
	if q.From, err = in.From.Time(); err != nil {
		return nil, invalid("query.from", "%v", err)
	}
	if q.To, err = in.To.Time(); err != nil {
		return nil, invalid("query.to", "%v", err)
	}
	return func(ctx context.Context, after string, limit int) (page[api.UsageRow], error) {
		var p page[api.UsageRow]
		exists, err := s.exists(ctx, in.Provider, in.After)
		if err != nil {
			return p, err
		}
		position, err := s.see(ctx, s.Usage, in.After, func(tx *bbolt.Tx) error {
			q.Cursor, q.Limit = after, limit
			rows, next, err := usage.View{}.Rows(tx, q)
			for i := range rows {
				p.rows = append(p.rows, usageRow(&rows[i], group))
			}
			p.next = next
			return err
		})
		p.position = lowest(exists, position)
		return p, asked(err)
	}, nil
}

func usageRow(r *usage.Row, g usage.Group) api.UsageRow {
	row := api.UsageRow{Company: r.Company, Endpoint: r.Endpoint, Meter: r.Meter, Value: json.Number(r.Value.String())}
	if g.Day {
		row.Day = r.Day.String()
	}
	if g.Month {
		row.Month = r.Month.String()
	}
	return row
}

type gapsIn struct {
	ProviderPath
	api.ListQuery
}

func (s *server) listGaps(_ context.Context, in *gapsIn) (pager[api.Gap], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Gap], error) {
		var p page[api.Gap]
		exists, err := s.exists(ctx, in.Provider, in.After)
		if err != nil {
			return p, err
		}
		position, err := s.see(ctx, s.Usage, in.After, func(tx *bbolt.Tx) error {
			gaps, next, err := usage.View{}.Gaps(tx, in.Provider, limit, after)
			for _, g := range gaps {
				p.rows = append(p.rows, api.Gap{Agent: g.Agent, Spool: g.Spool, From: g.From, To: g.To})
			}
			p.next = next
			return err
		})
		p.position = lowest(exists, position)
		return p, asked(err)
	}, nil
}
