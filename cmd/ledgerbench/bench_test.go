package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"licenseledger/events"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		os.Exit(runChild(job, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Every workload runs with next to no data, and says what it is about to say.
func TestWorkloads(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	profile := t.TempDir() + "/cpu"
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"all", "-o", "json", "--rounds", "1", "--scale", "0.001", "-cpuprofile", profile}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	want := map[string][]string{
		"intake-batched, views following":              {"async"},
		"intake-batched, views catching up afterwards": {"async", "fsync"},
		"checkpoints, the tree":                        {"plain copy"},
		"checkpoints, with the copy itself":            {"no copy"},
		"intake-single, 4 connections":                 {"echo", "fsync"},
		"intake-single, a connection each":             {"echo, a connection each"},
		"commands, 64 callers":                         {"fsync"},
		"commands, one caller":                         {"fsync alone"},
		"replay, ":                                     {"ordered consumer"},
		"grid, pages":                                  {"few, pages"},
		"grid, filters":                                {"few, filters"},
		"grid, searches":                               {"few, searches"},
		"as-of, ":                                      {"now"},
		"month-end, ":                                  {"fsync"},
		"verify, re-hash":                              {"SHA-256 and tlog"},
		"verify, rebuild aside":                        {"replay"},
		"memory, coming in":                            {"after 100", "after 1,000"},
		"memory, settled":                              {"after 100", "after 1,000"},
	}
	for line := range strings.Lines(stdout.String()) {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		name := r.Workload + ", " + r.Variant
		baselines, ok := want[name]
		if !ok {
			t.Errorf("a row that nobody expects: %s", name)
		}
		delete(want, name)
		if !(r.Ours > 0) || r.Unit == "" || len(r.Baselines) != len(baselines) {
			t.Errorf("%s: %s", name, line)
		}
		for _, b := range baselines {
			if !(r.Baselines[b] > 0) || math.Abs(r.Ratios[b]-r.Ours/r.Baselines[b]) > 1e-9 || !(r.Goals[b] > 0) {
				t.Errorf("%s: baseline %s: %s", name, b, line)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v\n%s", want, stdout.String())
	}
	for _, name := range []string{"intake-batched", "intake-batched.later", "intake-single", "intake-single.each", "commands", "replay", "month-end", "verify", "memory"} {
		if info, err := os.Stat(profile + "." + name); err != nil || info.Size() == 0 {
			t.Errorf("the profile of %s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		say  string
	}{
		{nil, "requires at least 1 arg"},
		{[]string{"intake"}, `no workload "intake": all, intake-batched`},
		{[]string{"replay", "-o", "xml"}, "table or json"},
		{[]string{"replay", "--rounds", "0"}, "at least 1"},
		{[]string{"postgres"}, "--postgres URL"},
		{[]string{"replay", "--fast"}, "unknown flag"},
		{[]string{"soak", "replay"}, "unknown command"},
		{[]string{"soak", "-o", "xml"}, "table or json"},
		{[]string{"soak", "--for", "30s"}, "at least --kill-every 1m0s"},
		{[]string{"soak", "--load", "2"}, "--load 2: above 0, at most 1"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), c.say) || stdout.Len() > 0 {
			t.Errorf("%q: exit code %d\n%s%s", c.args, code, stderr.String(), stdout.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"replay", "--dir", "/dev/null/none"}, &stdout, &stderr); code != exitFailed {
		t.Errorf("a folder that cannot be: exit code %d\n%s", code, stderr.String())
	}
}

// scores are three rounds of three contestants.
func scores() map[string]*score {
	one := func(value, perEvent float64, resident int64) sample {
		return sample{value: value, perEvent: perEvent, resident: resident, extra: map[string]float64{"records": value / 10}}
	}
	return map[string]*score{
		"us":    {samples: []sample{one(300, 53, 80<<20), one(100, 53, 81<<20), one(200, 53, 82<<20)}, others: []float64{0.1, 0.2, 0.3}},
		"async": {samples: []sample{one(50, 145, 0), one(40, 145, 0), one(60, 145, 0)}, others: []float64{0, 0, 0}},
		"fsync": {samples: []sample{one(4, 145, 1<<20), one(5, 145, 1<<20), one(6, 145, 1<<20)}, others: []float64{0.5, 0.5, 0.5}},
	}
}

func TestCompare(t *testing.T) {
	r := compare("readings/s", "us", scores(), map[string]float64{"async": 3, "fsync": 100})
	r.judge()
	if r.Ours != 200 || r.Baselines["async"] != 50 || r.Ratios["async"] != 4 || r.Ratios["fsync"] != 40 || r.Extra["records"] != 20 {
		t.Errorf("%+v", r)
	}
	if len(r.Missed) != 1 || r.Missed[0] != "fsync" {
		t.Errorf("missed %v", r.Missed)
	}
	if r.Spread[ours] != 1 || r.Others != 0.2 || r.BytesPerEvent[ours] != 53 || r.ResidentMemory[ours] != 81<<20 {
		t.Errorf("%+v", r)
	}
	if _, ok := r.ResidentMemory["async"]; ok {
		t.Error("memory that was not measured is shown")
	}
	r.Lower = true
	if r.judge(); len(r.Missed) != 1 || r.Missed[0] != "async" {
		t.Errorf("lower is better: missed %v", r.Missed)
	}
}

func TestTable(t *testing.T) {
	r := compare("readings/s", "us", scores(), map[string]float64{"async": 3, "fsync": 100})
	r.Workload, r.Variant = "intake-batched", "views following"
	var out bytes.Buffer
	if err := writeTable(&out, []row{r}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, words := range [][]string{
		{"workload", "ratio", "goal"},
		{"intake-batched, views following", "200", "async", "50.0", "4.00", "at least 3.00", "met", "53 / 145", "81 MiB", "20 %"},
		{"fsync", "5.00", "40.0", "at least 100", "missed", "81 MiB / 1 MiB"},
		{"20.0", "records"},
	} {
		for _, w := range words {
			if i >= len(lines) || !strings.Contains(lines[i], w) {
				t.Errorf("line %d lacks %q:\n%s", i, w, out.String())
			}
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.1234: "0.123", 1.234: "1.23", 56.78: "56.8", 999.6: "1,000", 1234567.8: "1,234,568", -1234: "-1,234"} {
		if got := number(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

// Every other round goes backwards, and a contestant that fails ends the contest.
func TestContest(t *testing.T) {
	var order []string
	one := func(name string) contestant {
		return contestant{name, func(context.Context, string) (sample, error) {
			order = append(order, name)
			return sample{value: float64(len(order))}, nil
		}}
	}
	b := &bench{stderr: new(bytes.Buffer), work: t.TempDir(), rounds: 3}
	got, err := b.contest(t.Context(), one("a"), one("b"))
	if err != nil || strings.Join(order, "") != "abbaab" {
		t.Errorf("%v, %v", order, err)
	}
	if got["a"].value() != 4 || len(got["b"].samples) != 3 {
		t.Errorf("%+v", got)
	}
	failure := errors.New("broken")
	_, err = b.contest(t.Context(), contestant{"c", func(context.Context, string) (sample, error) { return sample{}, failure }})
	if !errors.Is(err, failure) || !strings.Contains(err.Error(), "c, round 1") {
		t.Error(err)
	}
}

// The ledger and its baselines get the same readings, and the ledger takes them.
func TestFleet(t *testing.T) {
	f := fleet{agents: 3, start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	reports, messages := f.reports(2, 10), f.messages(20)
	for i := range f.agents {
		s, a := f.series(i), f.agent(i)
		var last time.Time
		for k := range 2 {
			r, err := a.report(uint64(k+1), s, 10)
			if err != nil {
				t.Fatal(err)
			}
			var sent struct {
				Seq      uint64
				Company  string
				Readings []struct {
					Meter string
					Value json.Number
					At    time.Time
				}
			}
			if err := json.Unmarshal(reports[i][k], &sent); err != nil {
				t.Fatalf("%v\n%s", err, reports[i][k])
			}
			if sent.Seq != r.Seq || sent.Company != a.company || len(sent.Readings) != 10 {
				t.Errorf("agent %d, report %d: %s", i, k, reports[i][k])
			}
			for n, reading := range r.Readings {
				got := sent.Readings[n]
				if got.Meter != reading.Meter || got.Value.String() != reading.Value.String() || !got.At.Equal(reading.At) {
					t.Errorf("agent %d, report %d, reading %d: %+v, sent as %+v", i, k, n, reading, got)
				}
				text := string(messages[i][10*k+n])
				for _, part := range []string{reading.Meter, reading.Value.String(), events.FormatTime(reading.At), a.company} {
					if !strings.Contains(text, part) {
						t.Errorf("message %s lacks %s", text, part)
					}
				}
				if reading.At.Before(last) {
					t.Errorf("agent %d: times do not advance", i)
				}
				last = reading.At
			}
		}
	}
}

// A child that cannot start says why.
func TestChildThatFails(t *testing.T) {
	for _, j := range []job{{Kind: "none"}, {Kind: "nats", Dir: "/dev/null/none"}, {Kind: "ledger", Dir: "/dev/null/none"}, {Kind: "echo", Dir: "/dev/null/none"}} {
		if _, err := startChild(t.Context(), j, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "start a process for "+j.Kind) {
			t.Errorf("%+v: %v", j, err)
		}
	}
}
