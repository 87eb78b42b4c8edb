package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress shows how far long work is: one line that changes on a terminal, a line now and then elsewhere. It is safe
// for concurrent use.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	step     string
	shown    time.Time
	open     bool // the terminal's line is not ended
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// show says that done of n things of a step are done.
func (p *progress) show(step string, done, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	every := 2 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	if done < n && step == p.step && now.Sub(p.shown) < every {
		return
	}
	if step != p.step {
		p.endLine()
	}
	if step != p.step && done < n && !p.terminal {
		p.step, p.shown = step, now
		return // a step that is over at once needs one line, not two
	}
	p.step, p.shown = step, now
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%-32s %d of %d", step, done, n)
		p.open = true
		return
	}
	fmt.Fprintf(p.w, "%-32s %d of %d\n", step, done, n)
}

// line ends what is shown and prints a line.
func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLine()
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *progress) endLine() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}
