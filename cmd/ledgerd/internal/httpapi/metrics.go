package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"licenseledger/cmd/ledgerd/internal/intake"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/projections"
)

// countRequests registers what the door counts itself.
func (s *server) countRequests() error {
	s.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ledger_http_requests_total", Help: "HTTP requests by route, method and status.",
	}, []string{"route", "method", "status"})
	s.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ledger_http_request_seconds", Help: "Time from request to answer by route.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route"})
	for _, c := range []prometheus.Collector{s.requests, s.seconds, viewMetrics(s.views()), sequencerMetrics(s.Stats), intakeMetrics(s.Intake)} {
		if err := s.Registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// number is a metric whose value is kept elsewhere.
type number struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func numberOf(kind prometheus.ValueType, name, help string, labels ...string) number {
	return number{prometheus.NewDesc(name, help, labels, nil), kind}
}

func (n number) send(ch chan<- prometheus.Metric, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(n.desc, n.kind, v, labels...)
}

var (
	metricRecords    = numberOf(prometheus.CounterValue, "ledger_records_total", "Records that this process wrote.")
	metricEntries    = numberOf(prometheus.CounterValue, "ledger_entries_total", "Entries that this process wrote.")
	metricBytes      = numberOf(prometheus.CounterValue, "ledger_record_bytes_total", "Bytes of the records that this process wrote.")
	metricConflicts  = numberOf(prometheus.CounterValue, "ledger_conflicts_total", "Times that another writer was first.")
	metricRetries    = numberOf(prometheus.CounterValue, "ledger_append_retries_total", "Times that a record was sent again.")
	metricOverloaded = numberOf(prometheus.CounterValue, "ledger_overloaded_total", "Commands refused because too much was waiting.")
	metricQueue      = numberOf(prometheus.GaugeValue, "ledger_queue_commands", "Commands that wait for their answer.")
	metricQueueBytes = numberOf(prometheus.GaugeValue, "ledger_queue_bytes", "Estimated bytes of the commands that wait for their answer.")

	metricReports     = numberOf(prometheus.CounterValue, "ledger_intake_reports_total", "Reports that came over NATS, by what became of them.", "status", "code")
	metricReadings    = numberOf(prometheus.CounterValue, "ledger_intake_readings_total", "Readings of the recorded reports that came over NATS.")
	metricReportQueue = numberOf(prometheus.GaugeValue, "ledger_intake_waiting_reports", "Reports over NATS that wait for their answer.")
	metricReportBytes = numberOf(prometheus.GaugeValue, "ledger_intake_waiting_bytes", "Bytes of the reports over NATS that wait for their answer.")

	metricViewNext   = numberOf(prometheus.GaugeValue, "ledger_view_next_entry", "Number of the next entry that the view will show.", "view")
	metricViewLag    = numberOf(prometheus.GaugeValue, "ledger_view_lag_entries", "Entries of the stream that the view does not show yet.", "view")
	metricViewQueued = numberOf(prometheus.GaugeValue, "ledger_view_queued_bytes", "Bytes of records that wait for the view.", "view")
	metricViewUp     = numberOf(prometheus.GaugeValue, "ledger_view_up", "1 while the view can go on, 0 when it has stopped.", "view")
	metricViewSize   = numberOf(prometheus.GaugeValue, "ledger_view_file_bytes", "Size of the view's file.", "view")
	metricViewTx     = numberOf(prometheus.CounterValue, "ledger_view_transactions_total", "Transactions that the view committed.", "view")
	metricViewTime   = numberOf(prometheus.CounterValue, "ledger_view_commit_seconds_total", "Time that the view spent in committing.", "view")
)

// sequencerMetrics shows the sequencer's counters.
type sequencerMetrics func() ledger.Stats

func (m sequencerMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m sequencerMetrics) Collect(ch chan<- prometheus.Metric) {
	st := m()
	metricRecords.send(ch, float64(st.Records))
	metricEntries.send(ch, float64(st.Entries))
	metricBytes.send(ch, float64(st.Bytes))
	metricConflicts.send(ch, float64(st.Conflicts))
	metricRetries.send(ch, float64(st.Retries))
	metricOverloaded.send(ch, float64(st.Overloaded))
	metricQueue.send(ch, float64(st.Waiting))
	metricQueueBytes.send(ch, float64(st.WaitingBytes))
}

// intakeMetrics shows the NATS intake's counters.
type intakeMetrics func() intake.Stats

func (m intakeMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m intakeMetrics) Collect(ch chan<- prometheus.Metric) {
	st := m()
	metricReports.send(ch, float64(st.Recorded), api.ReportRecorded, "")
	metricReports.send(ch, float64(st.Duplicate), api.ReportDuplicate, "")
	for code, n := range st.Refused {
		metricReports.send(ch, float64(n), api.ReportRefused, string(code))
	}
	metricReadings.send(ch, float64(st.Readings))
	metricReportQueue.send(ch, float64(st.Waiting))
	metricReportBytes.send(ch, float64(st.WaitingBytes))
}

// viewMetrics shows where the views stand.
type viewMetrics []*projections.Store

func (m viewMetrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

func (m viewMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, v := range m {
		st := v.Stats()
		up := 1.0
		if st.Err != nil {
			up = 0
		}
		metricViewNext.send(ch, float64(st.Next), st.View)
		metricViewLag.send(ch, float64(st.Lag), st.View)
		metricViewQueued.send(ch, float64(st.Queued), st.View)
		metricViewUp.send(ch, up, st.View)
		metricViewSize.send(ch, float64(st.FileSize), st.View)
		metricViewTx.send(ch, float64(st.Transactions), st.View)
		metricViewTime.send(ch, st.CommitTime.Seconds(), st.View)
	}
}
