package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"licenseledger/cmd/ledgerd/internal/intake"
)

// countReports publishes what the intake counts; the HTTP door publishes the rest.
func countReports(registry *prometheus.Registry, reports *intake.Service) {
	counter := func(name, help string, value func(intake.Stats) int64) {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			return float64(value(reports.Stats()))
		}))
	}
	counter("ledger_intake_recorded_total", "Reports recorded over NATS.", func(s intake.Stats) int64 { return s.Recorded })
	counter("ledger_intake_duplicate_total", "Reports over NATS that had been recorded before.", func(s intake.Stats) int64 { return s.Duplicate })
	counter("ledger_intake_readings_total", "Readings recorded over NATS.", func(s intake.Stats) int64 { return s.Readings })
	counter("ledger_intake_refused_total", "Reports over NATS that were refused.", func(s intake.Stats) (n int64) {
		for _, count := range s.Refused {
			n += count
		}
		return n
	})
}
