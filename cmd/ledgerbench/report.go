package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is the result of a workload, or of one variant of it.
type row struct {
	Workload string `json:"workload"`
	Variant  string `json:"variant,omitempty"`
	// Ours and the baselines are medians over all rounds, in the unit.
	Ours      float64            `json:"ours"`
	Unit      string             `json:"unit"`
	Baselines map[string]float64 `json:"baselines"`
	Ratios    map[string]float64 `json:"ratios"` // ours to each baseline
	// Goals are the least ratios wanted; or, if Lower, the greatest. Missed names the baselines whose ratio misses its goal.
	Goals  map[string]float64 `json:"goals"`
	Lower  bool               `json:"lower_is_better,omitempty"`
	Missed []string           `json:"missed"`

	BytesPerEvent  map[string]float64 `json:"bytes_per_event,omitempty"` // in the stream, by contestant
	ResidentMemory map[string]int64   `json:"resident_bytes,omitempty"`  // RssAnon of the process, by contestant
	Processor      map[string]float64 `json:"processor_us,omitempty"`    // microseconds of the process per event, by contestant
	Extra          map[string]float64 `json:"extra,omitempty"`
	// Spread is (highest - lowest) / median over the rounds, by contestant; Others the share of the processors' time
	// that other programs took, median over all runs.
	Spread map[string]float64 `json:"spread,omitempty"`
	Others float64            `json:"others"`
}

const ours = "ours"

// compare makes a row of scores: the contestant called us against the others that have goals.
func compare(unit, us string, scores map[string]*score, goals map[string]float64) row {
	r := row{
		Ours: scores[us].value(), Unit: unit, Goals: goals, Missed: []string{},
		Baselines: map[string]float64{}, Ratios: map[string]float64{},
		BytesPerEvent: map[string]float64{}, ResidentMemory: map[string]int64{}, Processor: map[string]float64{}, Spread: map[string]float64{}, Extra: map[string]float64{},
	}
	add := func(name string, s *score) {
		r.Spread[name] = s.spread()
		if n := s.median(func(s sample) float64 { return s.perEvent }); n > 0 {
			r.BytesPerEvent[name] = math.Round(10*n) / 10
		}
		if n := s.median(func(s sample) float64 { return float64(s.resident) }); n > 0 {
			r.ResidentMemory[name] = int64(n)
		}
		if n := s.median(func(s sample) float64 { return s.processor }); n > 0 {
			r.Processor[name] = math.Round(100*n) / 100
		}
	}
	add(ours, scores[us])
	others := slices.Clone(scores[us].others)
	for name := range goals {
		add(name, scores[name])
		r.Baselines[name] = scores[name].value()
		r.Ratios[name] = r.Ours / r.Baselines[name]
		others = append(others, scores[name].others...)
	}
	for name := range scores[us].samples[0].extra {
		r.Extra[name] = scores[us].median(func(s sample) float64 { return s.extra[name] })
	}
	r.Others = median(others)
	return r
}

// judge says which goals are missed.
func (r *row) judge() {
	r.Missed = []string{}
	for _, name := range slices.Sorted(maps.Keys(r.Goals)) {
		if ratio := r.Ratios[name]; r.Lower && ratio > r.Goals[name] || !r.Lower && ratio < r.Goals[name] {
			r.Missed = append(r.Missed, name)
		}
	}
}

func writeJSON(w io.Writer, rows []row) error {
	enc := json.NewEncoder(w)
	for i := range rows {
		rows[i].judge()
		if err := enc.Encode(rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func writeTable(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "workload\tours\t\tbaseline\t\tratio\tgoal\t\tbytes per event\tµs per event\tresident\tspread\tother programs")
	for i := range rows {
		r := &rows[i]
		r.judge()
		name := r.Workload
		if r.Variant != "" {
			name += ", " + r.Variant
		}
		ourValue, unit := number(r.Ours), r.Unit
		others := fmt.Sprintf("%.0f %%", 100*r.Others)
		for _, base := range slices.Sorted(maps.Keys(r.Baselines)) {
			goal, verdict := "", ""
			if g, ok := r.Goals[base]; ok {
				goal, verdict = "at least "+number(g), "met"
				if r.Lower {
					goal = "at most " + number(g)
				}
				if slices.Contains(r.Missed, base) {
					verdict = "missed"
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, ourValue, unit, base, number(r.Baselines[base]), number(r.Ratios[base]),
				goal, verdict, pair(r.BytesPerEvent, base, func(v float64) string { return fmt.Sprintf("%.0f", v) }),
				pair(r.Processor, base, number),
				pair(r.ResidentMemory, base, func(v int64) string { return fmt.Sprintf("%.0f MiB", float64(v)/(1<<20)) }),
				pair(r.Spread, base, func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }), others)
			name, ourValue, unit, others = "", "", "", ""
		}
		for _, extra := range slices.Sorted(maps.Keys(r.Extra)) {
			fmt.Fprintf(w, "\t%s\t%s\n", number(r.Extra[extra]), strings.ReplaceAll(extra, "_", " "))
		}
	}
	return w.Flush()
}

// pair shows our value and a baseline's.
func pair[V int64 | float64](values map[string]V, base string, show func(V) string) string {
	our, ok := values[ours]
	other, both := values[base]
	switch {
	case ok && both:
		return show(our) + " / " + show(other)
	case ok:
		return show(our)
	case both:
		return "- / " + show(other)
	}
	return ""
}

// number shows three digits that count, with separators.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
