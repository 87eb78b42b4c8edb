package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/license"
)

// fleet is who reports: agents, divided over 4 providers with 4 companies each. Everything about it follows from these
// numbers, so the ledger and its baselines get the same readings.
type fleet struct {
	agents int
	start  time.Time // of the first reading
}

const (
	fleetProviders = 4
	fleetCompanies = 4
)

func (f fleet) providers() (ids []string) {
	for i := range fleetProviders {
		ids = append(ids, fmt.Sprintf("provider-%d", i+1))
	}
	return ids
}

func (f fleet) companies() (ids []string) {
	for i := range fleetCompanies {
		ids = append(ids, fmt.Sprintf("company-%d", i+1))
	}
	return ids
}

// agent is one of the fleet.
type agent struct{ provider, company, id string }

func (f fleet) agent(i int) agent {
	return agent{
		provider: fmt.Sprintf("provider-%d", i%fleetProviders+1),
		company:  fmt.Sprintf("company-%d", i/fleetProviders%fleetCompanies+1),
		id:       fmt.Sprintf("pc-%04d", i+1),
	}
}

// sampling is how often an agent reads its meters.
const sampling = 15 * time.Minute

// meters are what an agent reads, all at the same time: what was uploaded since the last time, what is stored, files
// that changed, and the part of a processor that it used.
var meters = []string{"backup_bytes", "storage_bytes", "files_changed", "cpu_seconds"}

// series is one agent's readings, one after the other, from the fleet's start on.
type series struct {
	rand   *rand.Rand
	at     time.Time
	meter  int
	stored int64
	upload int64
}

func (f fleet) series(i int) *series {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	// Agents do not read their meters at the same second.
	return &series{rand: r, at: f.start.Add(time.Duration(i%900) * time.Second), stored: 50_000_000_000 + r.Int64N(2_000_000_000_000)}
}

// next appends the meter's value and gives meter and time.
func (s *series) next(b []byte) (value []byte, meter string, at time.Time) {
	meter, at = meters[s.meter], s.at
	switch s.meter {
	case 0:
		s.upload = s.rand.Int64N(3_000_000_000)
		value = strconv.AppendInt(b, s.upload, 10)
	case 1:
		s.stored += s.upload - s.rand.Int64N(2_500_000_000)
		s.stored = max(s.stored, 0)
		value = strconv.AppendInt(b, s.stored, 10)
	case 2:
		value = strconv.AppendInt(b, s.rand.Int64N(40_000), 10)
	case 3:
		value = strconv.AppendInt(b, s.rand.Int64N(900), 10)
		value = append(value, '.', byte('1'+s.rand.IntN(9)))
	}
	if s.meter++; s.meter == len(meters) {
		s.meter, s.at = 0, s.at.Add(sampling)
	}
	return value, meter, at
}

// appendReport appends a report as agents send it.
func (a agent) appendReport(b []byte, seq uint64, s *series, readings int) []byte {
	b = append(b, `{"spool":"","seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"company":"`...)
	b = append(b, a.company...)
	b = append(b, `","readings":[`...)
	var digits [32]byte
	for i := range readings {
		if i > 0 {
			b = append(b, ',')
		}
		value, meter, at := s.next(digits[:0])
		b = appendReading(b, meter, value, at)
	}
	return append(b, `]}`...)
}

func appendReading(b []byte, meter string, value []byte, at time.Time) []byte {
	b = append(b, `{"meter":"`...)
	b = append(b, meter...)
	b = append(b, `","value":`...)
	b = append(b, value...)
	b = append(b, `,"at":"`...)
	b = append(b, events.FormatTime(at)...)
	return append(b, `"}`...)
}

// appendMessage appends one reading as a message of its own: what the subject says of provider and agent is not repeated.
func (a agent) appendMessage(b []byte, s *series) []byte {
	var digits [32]byte
	value, meter, at := s.next(digits[:0])
	b = append(b, `{"company":"`...)
	b = append(b, a.company...)
	b = append(b, `","meter":"`...)
	b = append(b, meter...)
	b = append(b, `","value":`...)
	b = append(b, value...)
	b = append(b, `,"at":"`...)
	b = append(b, events.FormatTime(at)...)
	return append(b, `"}`...)
}

// reports builds n reports of every agent.
func (f fleet) reports(n, readings int) [][][]byte {
	all := make([][][]byte, f.agents)
	for i := range all {
		s, a := f.series(i), f.agent(i)
		var text []byte
		ends := make([]int, n)
		for k := range n {
			text = a.appendReport(text, uint64(k+1), s, readings)
			ends[k] = len(text)
		}
		all[i] = cut(text, ends)
	}
	return all
}

// messages builds n readings of every agent, as a message each.
func (f fleet) messages(n int) [][][]byte {
	all := make([][][]byte, f.agents)
	for i := range all {
		s, a := f.series(i), f.agent(i)
		var text []byte
		ends := make([]int, n)
		for k := range n {
			text = a.appendMessage(text, s)
			ends[k] = len(text)
		}
		all[i] = cut(text, ends)
	}
	return all
}

// cut divides a text at the ends, so that the collector sees one piece instead of many.
func cut(text []byte, ends []int) [][]byte {
	pieces, start := make([][]byte, len(ends)), 0
	for i, end := range ends {
		pieces[i] = text[start:end:end]
		start = end
	}
	return pieces
}

// report makes the next report as the door hands it on.
func (a agent) report(seq uint64, s *series, readings int) (license.Report, error) {
	r := license.Report{Agent: a.id, Seq: seq, Company: a.company}
	var digits [32]byte
	for range readings {
		text, meter, at := s.next(digits[:0])
		value, err := events.ParseQuantity(text)
		if err != nil {
			return r, err
		}
		r.Readings = append(r.Readings, events.Reading{Meter: meter, Value: value, At: at})
	}
	r.Digest = events.DigestReadings(r.Readings)
	return r, r.Check()
}
