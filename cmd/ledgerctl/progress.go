package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress shows on a terminal how far long work is, on one line of stderr; nothing where stderr is no terminal, or stdout is one that shows the
// result meanwhile.
type progress struct {
	w    io.Writer // nil: shows nothing
	last time.Time
}

func (c *cli) newProgress() *progress {
	if isTerminal(c.stderr) && !isTerminal(c.stdout) {
		return &progress{w: c.stderr}
	}
	return &progress{}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// text replaces what was shown, a few times a second.
func (p *progress) text(format string, args ...any) {
	if p.w == nil || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// end removes what was shown.
func (p *progress) end() {
	if p.w != nil && !p.last.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.last = time.Time{}
	}
}
