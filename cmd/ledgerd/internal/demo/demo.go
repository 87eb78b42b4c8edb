// Package demo plays a real fleet into a ledger: 14,021 daily reports of 2,085
// storage devices, 11 to 17 March 2026, through the doors that everybody uses.
//
// A device is an endpoint, its model its company. On the day it first reports it is
// allocated a server license, bought on the spot; each day at 12:00 UTC it reports one
// reading of power_on_hours over NATS; a device whose last report is before the last day is released
// at 12:00 on the day after. Then the clock passes the end of March, and the statement is there:
//
//	hgst-huh721212aln604   486 licenses    9,618 days    2170.83
//
// Playing it again on the same ledger changes nothing: licenses are held, reports are
// duplicates. A demo that was interrupted goes on.
//
// The data (fleet-2026-03.csv.gz) is an excerpt of the drive statistics that Backblaze publishes for free use with the
// source named.
package demo

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"licenseledger/ledger/api"
)

//go:embed fleet-2026-03.csv.gz
var fleet []byte

// Names that the demo uses.
const (
	Provider = "demo"
	Meter    = "power_on_hours"
)

// Times of the demo: where its ledger's clock stands at first, and in the end.
var (
	Start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	End   = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
)

// Report is one line of the trace.
type Report struct {
	Date   time.Time // 12:00 UTC of the day
	Device string
	Model  string // as a company's id
	Hours  int64
	Seq    uint64 // the device's own number of the report, from 1
}

// Trace reads the embedded data, in its order.
func Trace() ([]Report, error) {
	z, err := gzip.NewReader(bytes.NewReader(fleet))
	if err != nil {
		return nil, fmt.Errorf("unpack the fleet: %w", err)
	}
	rows := csv.NewReader(z)
	rows.FieldsPerRecord = 4
	if _, err := rows.Read(); err != nil {
		return nil, fmt.Errorf("read the fleet: %w", err)
	}
	var trace []Report
	seqs := make(map[string]uint64)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return trace, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the fleet: %w", err)
		}
		day, err := time.Parse(time.DateOnly, row[0])
		if err != nil {
			return nil, fmt.Errorf("read the fleet: %w", err)
		}
		hours, err := strconv.ParseInt(row[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the fleet: %w", err)
		}
		seqs[row[1]]++
		trace = append(trace, Report{day.Add(12 * time.Hour), row[1], companyID(row[2]), hours, seqs[row[1]]})
	}
}

// companyID makes an id of a model: lower case, every run of other characters than letters and digits a hyphen.
func companyID(model string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(model) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			b.WriteRune(c)
		} else if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
			b.WriteByte('-')
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

// Player plays the trace.
type Player struct {
	HTTP *api.Client // with the operator's token
	NATS *nats.Conn  // may publish to intake.>
	// Progress is told what has been done of the current step; done == of at its end.
	Progress func(step string, done, of int)
}

// Result counts what the ledger answered.
type Result struct {
	Devices, Recorded, Duplicates int64
	Statement                     api.Invoice
}

// underWay is how many requests are sent at once.
const underWay = 256

// Play plays the whole trace and lets March pass.
func (p Player) Play(ctx context.Context) (Result, error) {
	var r Result
	trace, err := Trace()
	if err != nil {
		return r, err
	}
	if err := p.setUp(ctx, trace); err != nil {
		return r, err
	}
	held, err := p.licenses(ctx)
	if err != nil {
		return r, err
	}
	last := make(map[string]int, 2500) // a device's last line
	for i, t := range trace {
		last[t.Device] = i
	}
	r.Devices = int64(len(last))
	var leaving []string // devices that reported for the last time on the day before
	for begin := 0; begin < len(trace); {
		day := trace[begin].Date
		end := begin
		for end < len(trace) && trace[end].Date.Equal(day) {
			end++
		}
		today := trace[begin:end]
		if err := p.move(ctx, day); err != nil {
			return r, err
		}
		if err := p.release(ctx, day, leaving, held); err != nil {
			return r, err
		}
		if err := p.allocate(ctx, day, today, held); err != nil {
			return r, err
		}
		if err := p.report(ctx, day, today, &r); err != nil {
			return r, err
		}
		leaving = leaving[:0]
		for i, t := range today {
			if last[t.Device] == begin+i && end < len(trace) {
				leaving = append(leaving, t.Device)
			}
		}
		begin = end
	}
	p.Progress("the clock passes the end of March", 0, 1)
	if err := p.move(ctx, End); err != nil {
		return r, err
	}
	p.Progress("the clock passes the end of March", 1, 1)
	r.Statement, err = p.HTTP.Invoice(ctx, Provider, "S-000001", api.ReadOptions{})
	return r, err
}

func (p Player) setUp(ctx context.Context, trace []Report) error {
	once := api.ChangeOptions{}
	if _, err := p.HTTP.PutProvider(ctx, Provider, api.ProviderSettings{Name: "Demo fleet", Currency: "USD"}, once); err != nil {
		return err
	}
	if _, err := p.HTTP.PutPaymentMethod(ctx, Provider, api.PaymentMethodSettings{System: "fastspring", Account: "demo"}, once); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, t := range trace {
		if !seen[t.Model] {
			seen[t.Model] = true
			settings := api.CompanySettings{Name: strings.ToUpper(t.Model), Allocation: "automatic"}
			if _, err := p.HTTP.PutCompany(ctx, Provider, t.Model, settings, once); err != nil {
				return err
			}
		}
	}
	return nil
}

// licenses finds what was allocated before, where a demo goes on: device to license, empty for one that was released.
func (p Player) licenses(ctx context.Context) (map[string]string, error) {
	held := make(map[string]string)
	q := api.LicenseQuery{PageOptions: api.PageOptions{Limit: 1000}}
	for l, err := range p.HTTP.AllLicenses(ctx, Provider, q) {
		if err != nil {
			return nil, err
		}
		if l.Assignee == nil {
			continue
		}
		held[l.Assignee.ID] = l.ID
		if l.Status == "released" {
			held[l.Assignee.ID] = ""
		}
	}
	return held, nil
}

// move moves the clock to t, unless it stands there or later.
func (p Player) move(ctx context.Context, t time.Time) error {
	now, err := p.HTTP.Clock(ctx, api.ReadOptions{})
	if err != nil {
		return err
	}
	if !now.Now.Before(t) {
		return nil
	}
	_, err = p.HTTP.SetClock(ctx, api.Clock{Now: t}, api.ChangeOptions{})
	return err
}

func (p Player) allocate(ctx context.Context, day time.Time, today []Report, held map[string]string) error {
	var fresh []Report
	for _, t := range today {
		if _, ok := held[t.Device]; !ok {
			fresh = append(fresh, t)
		}
	}
	ids := make([]string, len(fresh))
	err := p.each(ctx, day.Format(time.DateOnly)+" licenses", len(fresh), func(ctx context.Context, i int) error {
		t := fresh[i]
		a, err := p.HTTP.AllocateLicense(ctx, Provider, api.LicenseAllocate{
			LicenseType: "server", Company: t.Model, Assignee: api.Assignee{Kind: "endpoint", ID: t.Device},
		}, api.ChangeOptions{IdempotencyKey: "demo-" + t.Device})
		ids[i] = a.License.ID
		return err
	})
	for i, t := range fresh {
		held[t.Device] = ids[i]
	}
	return err
}

func (p Player) release(ctx context.Context, day time.Time, devices []string, held map[string]string) error {
	devices = slices.DeleteFunc(slices.Clone(devices), func(d string) bool { return held[d] == "" })
	return p.each(ctx, day.Format(time.DateOnly)+" releases", len(devices), func(ctx context.Context, i int) error {
		_, err := p.HTTP.ReleaseLicense(ctx, Provider, held[devices[i]], api.ChangeOptions{})
		return err
	})
}

func (p Player) report(ctx context.Context, day time.Time, today []Report, r *Result) error {
	return p.each(ctx, day.Format(time.DateOnly)+" reports", len(today), func(ctx context.Context, i int) error {
		status, err := p.send(ctx, today[i])
		switch status {
		case api.ReportRecorded:
			atomic.AddInt64(&r.Recorded, 1)
		case api.ReportDuplicate:
			atomic.AddInt64(&r.Duplicates, 1)
		}
		return err
	})
}

// send reports over NATS, as an agent does: the same number until it is acknowledged.
func (p Player) send(ctx context.Context, t Report) (status string, err error) {
	body, err := json.Marshal(map[string]any{
		"seq": t.Seq, "company": t.Model,
		"readings": []map[string]any{{"meter": Meter, "value": t.Hours, "at": t.Date}},
	})
	if err != nil {
		return "", err
	}
	for attempt := 1; ; attempt++ {
		rctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		msg, err := p.NATS.RequestWithContext(rctx, "intake."+Provider+"."+t.Device, body)
		cancel()
		var answer struct {
			Status  string `json:"status"`
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		if err == nil {
			err = json.Unmarshal(msg.Data, &answer)
		}
		switch {
		case err == nil && answer.Code == "":
			return answer.Status, nil
		case err == nil && answer.Code != string(api.CodeOverloaded) && answer.Code != string(api.CodeUnavailable) && answer.Code != string(api.CodeOutcomeUnknown):
			return "", fmt.Errorf("report %d of %s was refused: %s: %s", t.Seq, t.Device, answer.Code, answer.Message)
		case ctx.Err() != nil || attempt == 20:
			return "", fmt.Errorf("report %d of %s: %s %w", t.Seq, t.Device, answer.Code, errors.Join(err, ctx.Err()))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(attempt) * 50 * time.Millisecond):
		}
	}
}

// each does n things, many at a time, and tells of its progress.
func (p Player) each(ctx context.Context, step string, n int, do func(ctx context.Context, i int) error) error {
	if n == 0 {
		return nil
	}
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(underWay)
	for i := range n {
		g.Go(func() error {
			if err := do(ctx, i); err != nil {
				return err
			}
			p.Progress(step, int(done.Add(1)), n)
			return nil
		})
	}
	return g.Wait()
}
