package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

func (c *cli) usageReport() *cobra.Command {
	var report api.Report
	var readings []string
	var file, dir string
	var o api.ChangeOptions
	cmd := c.command(command{
		use:   "report --agent AGENT --seq N --reading METER=VALUE[@TIME] [flags]",
		short: "Report usage as an agent does",
		long: `Report what an agent measured, under its own report number, or with --void give that
number up. A report is recorded whole or refused whole. Repeated with the same
content it is answered duplicate and not counted again, so it can be repeated at
any time, as long as its times stay the same: a reading without TIME is of now.

With --file every line is a report in JSON, as the ledger takes it; --agent then
counts for lines that name none. Reports are sent one after the other and answered
one by one; the exit code is 1 if any was refused. With -o json every answer is an
object on a line of its own.

With --spool-dir readings go through a durable spool in that folder, which numbers
the reports: they are on disk before anything is sent, and what cannot be sent now
the next such command sends, exactly once; without readings it only does that. A
machine that is often offline reports so. The folder belongs to one agent; do not
copy it.`,
		example: `  ledgerctl usage report --agent pc-17 --seq 42 --reading backup_bytes=1234@2026-03-11T04:00:00Z
  ledgerctl usage report --agent pc-17 --seq 43 --void "disk lost"
  ledgerctl usage report --file reports.jsonl
  ledgerctl usage report --agent pc-17 --spool-dir /var/lib/pc-17 --reading backup_bytes=1234`,
		pace: paceStream,
		run: func(ctx context.Context, _ []string) error {
			if file == "" {
				return c.reportOne(ctx, report, readings, dir, o)
			}
			input, err := c.open(file)
			if err != nil {
				return err
			}
			defer input.Close()
			return c.sendReports(ctx, reportLines(input, report.Agent), o)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&report.Agent, "agent", "", "whose report it is: the `ENDPOINT`'s id")
	flags.StringVar(&report.Spool, "spool", "", "`SPOOL` of the agent, within which it numbers its reports")
	flags.Uint64Var(&report.Seq, "seq", 0, "`NUMBER` of the report: 1, 2, 3, ...")
	flags.StringVar(&report.Company, "company", "", "the endpoint's `COMPANY`, if the endpoint is not yet known")
	flags.StringArrayVar(&readings, "reading", nil, "a measured value, as `METER=VALUE@TIME`; TIME is RFC 3339 or a day; may be repeated")
	flags.StringVar(&report.Void, "void", "", "give the number up, for this `REASON`")
	flags.StringVarP(&file, "file", "f", "", "`FILE` of reports, one per line; - for standard input")
	flags.StringVar(&dir, "spool-dir", "", "send through the durable spool in this `FOLDER`, which is made if there is none")
	cmd.MarkFlagsOneRequired("reading", "void", "file", "spool-dir")
	cmd.MarkFlagsMutuallyExclusive("reading", "void", "file")
	for _, name := range []string{"spool", "seq", "company"} {
		cmd.MarkFlagsMutuallyExclusive(name, "file")
	}
	dryRunFlag(cmd, &o)
	for _, name := range []string{"spool", "seq", "void", "file", "dry-run"} {
		cmd.MarkFlagsMutuallyExclusive(name, "spool-dir")
	}
	return cmd
}

// reportOne sends the report that the flags describe, or in a folder's spool its readings.
func (c *cli) reportOne(ctx context.Context, report api.Report, readings []string, dir string, o api.ChangeOptions) error {
	switch {
	case report.Agent == "":
		return &usageError{text: "--agent is missing"}
	case report.Seq == 0 && dir == "":
		return &usageError{text: "--seq is missing: reports are numbered from 1"}
	}
	now := time.Now().UTC().Truncate(time.Second)
	var again strings.Builder
	for _, text := range readings {
		reading, err := parseReading(text, now)
		if err != nil {
			return &usageError{text: "--reading " + quoted(text) + ": " + err.Error()}
		}
		report.Readings = append(report.Readings, reading)
		fmt.Fprintf(&again, " --reading %s=%s@%s", reading.Meter, reading.Value, reading.At.Format(time.RFC3339Nano))
	}
	if dir != "" {
		return c.reportThrough(ctx, dir, report)
	}
	err := c.sendReports(ctx, func(yield func(numbered) bool) { yield(numbered{report: report}) }, o)
	var call *api.CallError
	if len(readings) > 0 && errors.As(err, &call) && call.Unknown {
		return &hintedError{err, "it may have been recorded: repeat it with the same times:" + again.String()}
	}
	return err
}

// parseReading reads METER=VALUE@TIME; without a time it is of now.
func parseReading(text string, now time.Time) (api.Reading, error) {
	meter, value, ok := strings.Cut(text, "=")
	if !ok || meter == "" {
		return api.Reading{}, errors.New("METER=VALUE@TIME is needed, as backup_bytes=1234@2026-03-11T04:00:00Z")
	}
	reading := api.Reading{Meter: meter, At: now}
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		t, err := parseTime(value[at+1:])
		if err != nil {
			return api.Reading{}, err
		}
		value, reading.At = value[:at], t
	}
	reading.Value = json.Number(value)
	if _, err := json.Marshal(reading.Value); err != nil || value == "" {
		return api.Reading{}, fmt.Errorf("%s is not a decimal number", quoted(value))
	}
	return reading, nil
}

// numbered is a report with the line that it stood on, 0 if it came from flags; err says why the line is none.
type numbered struct {
	line   int
	report api.Report
	err    error
}

// reportLines reads reports in JSON Lines. A line that is no report is told and does not stop the others, but one that
// is longer than any report may be does.
func reportLines(r io.Reader, agent string) iter.Seq[numbered] {
	return func(yield func(numbered) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, api.MaxBody)
		n := 1
		for ; lines.Scan(); n++ {
			if strings.TrimSpace(lines.Text()) == "" {
				continue
			}
			next := numbered{line: n, report: api.Report{Agent: agent}}
			next.err = decodeStrict(lines.Bytes(), &next.report)
			if next.err == nil && next.report.Agent == "" {
				next.err = errors.New("it names no agent: give --agent, or one in the line")
			}
			if !yield(next) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(numbered{line: n, err: &unreadableError{err}})
		}
	}
}

// unreadableError is input that cannot be read on.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string { return e.err.Error() }
func (e *unreadableError) Unwrap() error { return e.err }

// sendReports sends reports in turn and prints what became of each. It stops where it is not the report that is refused:
// when the server is away, or does not know the token.
func (c *cli) sendReports(ctx context.Context, reports iter.Seq[numbered], o api.ChangeOptions) error {
	total, refused := 0, 0
	for next := range reports {
		total++
		result, err := c.sendReport(ctx, next, o)
		if err != nil {
			if next.line > 0 {
				err = &hintedError{err, fmt.Sprintf("it stopped at line %d; send the whole file again: what was recorded is answered duplicate", next.line)}
			}
			return err
		}
		if result.Status == api.ReportRefused {
			refused++
		}
		if err := c.printReport(result, total == 1); err != nil {
			return err
		}
	}
	if refused > 0 {
		return &refusedError{fmt.Sprintf("%d of %d reports", refused, total)}
	}
	return nil
}

// reported is what became of a report: the ledger's answer, or why it was refused.
type reported struct {
	Line   int              `json:"line,omitempty"` // of the file, where that is all that is known of it
	Agent  string           `json:"-"`
	Spool  string           `json:"-"`
	Seq    uint64           `json:"seq,omitempty"`
	Status string           `json:"status"`
	Code   api.Code         `json:"code,omitempty"`
	Detail string           `json:"detail,omitempty"`
	Errors []api.FieldError `json:"errors,omitempty"`
	api.Receipt
}

func (c *cli) sendReport(ctx context.Context, next numbered, o api.ChangeOptions) (reported, error) {
	var unreadable *unreadableError
	if errors.As(next.err, &unreadable) {
		return reported{}, fmt.Errorf("reading line %d: %w", next.line, next.err)
	}
	if next.err != nil {
		return reported{Line: next.line, Status: api.ReportRefused, Code: api.CodeInvalid, Detail: next.err.Error()}, nil
	}
	r := reported{Agent: next.report.Agent, Spool: next.report.Spool, Seq: next.report.Seq}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := c.ReportUsage(ctx, c.provider, next.report, o)
	var p *api.Problem
	if errors.As(err, &p) && p.Code != "" && p.Status < 500 && p.Status != http.StatusUnauthorized {
		r.Status, r.Code, r.Errors = api.ReportRefused, p.Code, p.Errors
		_, r.Detail = problemText(p)
		return r, nil
	}
	r.Status, r.Receipt = answer.Status, answer.Receipt
	return r, err
}

// printReport prints a line at once: whoever watches or reads a pipe need not wait for the last report.
func (c *cli) printReport(r reported, first bool) error {
	var b strings.Builder
	switch c.format {
	case formatJSON:
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(r); err != nil {
			return err
		}
	case formatCSV:
		lines := [][]string{{"line", "agent", "spool", "seq", "status", "position", "code", "detail"}}
		if !first {
			lines = nil
		}
		line, seq, position := "", "", ""
		if r.Line > 0 {
			line = strconv.Itoa(r.Line)
		} else {
			seq = strconv.FormatUint(r.Seq, 10)
		}
		if r.Position != nil {
			position = strconv.FormatUint(*r.Position, 10)
		}
		lines = append(lines, []string{line, r.Agent, r.Spool, seq, r.Status, position, string(r.Code), r.reason()})
		if err := csv.NewWriter(&b).WriteAll(lines); err != nil {
			return err
		}
	default:
		b.WriteString(printable(r.String()) + "\n")
	}
	_, err := io.WriteString(c.stdout, b.String())
	return err
}

// String is a line for people: "pc-17 seq 42: recorded, position 7".
func (r reported) String() string {
	text := fmt.Sprintf("%s seq %d: %s", r.Agent, r.Seq, r.Status)
	if r.Spool != "" {
		text = fmt.Sprintf("%s spool %s seq %d: %s", r.Agent, r.Spool, r.Seq, r.Status)
	}
	if r.Line > 0 {
		text = fmt.Sprintf("line %d: %s", r.Line, r.Status)
	}
	if r.Position != nil {
		text += ", position " + strconv.FormatUint(*r.Position, 10)
	}
	if r.Code != "" {
		text += ", " + string(r.Code) + ": " + r.reason()
	}
	return text
}

// reason is why a report was refused, the wrong fields with it.
func (r reported) reason() string {
	text := r.Detail
	for _, e := range r.Errors {
		if e.Message == r.Detail {
			continue
		}
		text += "; " + strings.TrimPrefix(e.Location+": "+e.Message, ": ")
	}
	return strings.TrimPrefix(text, "; ")
}
