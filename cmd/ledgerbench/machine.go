package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// load is processor time spent since the machine started. All is zero on systems without /proc.
type load struct {
	busy, all time.Duration // of all processors
	own       time.Duration // of this process and its children that ended
}

// others is the share of the processors' time since before that other programs took.
func (l load) others(before load) float64 {
	all := l.all - before.all
	if all <= 0 {
		return 0
	}
	return max(0, float64(l.busy-before.busy-(l.own-before.own))/float64(all))
}

func readLoad() load {
	const tick = 10 * time.Millisecond
	var l load
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return l
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseInt(field, 10, 64)
		if i == 0 || i > 8 || err != nil {
			continue // the name; times of guests, which are counted before
		}
		l.all += time.Duration(n) * tick
		if i != 4 && i != 5 { // idle, waiting for disks
			l.busy += time.Duration(n) * tick
		}
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			l.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return l
}

// residentAnonymous is RssAnon of a process in bytes: its heap and stacks, without mapped files.
func residentAnonymous(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := bytes.CutPrefix(s.Bytes(), []byte("RssAnon:")); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("the system does not tell RssAnon")
}

// processorTime is what a process has used of the processors.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the 12th and 13th fields behind it are times in user and system mode.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("the system does not tell processor time")
	}
	var used time.Duration
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		used += time.Duration(n) * 10 * time.Millisecond
	}
	return used, nil
}

// inMemory says whether a folder lies on a file system without a disk.
func inMemory(dir string) (bool, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return false, err
	}
	const tmpfs, ramfs = 0x01021994, 0x858458f6
	return int64(fs.Type) == tmpfs || int64(fs.Type) == ramfs, nil
}

// profiles are files to write profiles to; empty: none.
type profiles struct{ CPU, Memory, Trace string }

// of names the profiles of a workload.
func (p profiles) of(workload string) profiles {
	for _, file := range []*string{&p.CPU, &p.Memory, &p.Trace} {
		if *file != "" {
			*file += "." + workload
		}
	}
	return p
}

// start begins to profile; stop writes the files.
func (p profiles) start() (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var errs []error
		for _, s := range stops {
			errs = append(errs, s())
		}
		return errors.Join(errs...)
	}
	create := func(name string, begin func(*os.File) (end func() error, err error)) {
		if name == "" || err != nil {
			return
		}
		var f *os.File
		if f, err = os.Create(name); err != nil {
			return
		}
		var end func() error
		if end, err = begin(f); err != nil {
			err = errors.Join(err, f.Close())
			return
		}
		stops = append(stops, func() error { return errors.Join(end(), f.Close()) })
	}
	create(p.CPU, func(f *os.File) (func() error, error) {
		return func() error { pprof.StopCPUProfile(); return nil }, pprof.StartCPUProfile(f)
	})
	create(p.Trace, func(f *os.File) (func() error, error) {
		return func() error { trace.Stop(); return nil }, trace.Start(f)
	})
	create(p.Memory, func(f *os.File) (func() error, error) {
		return func() error { return pprof.Lookup("allocs").WriteTo(f, 0) }, nil
	})
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}
