package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress is a line on a terminal that tells how far a verb has come. What others write goes through it, so that the line
// does not stand in its midst; off a terminal that is all it does.
type progress struct {
	out  io.Writer
	term bool

	mu    sync.Mutex
	shown time.Time // guarded by mu; zero when there is no line
}

// newProgress is a line on standard error, so that standard output holds the results alone.
func newProgress(c console) *progress {
	kind, _ := c.machine.env("TERM")
	return &progress{out: c.err, term: c.errTerm && kind != "dumb"}
}

const (
	progressEvery = 100 * time.Millisecond
	progressBar   = 24
	eraseLine     = "\r\x1b[K"
)

// show draws the line anew, unless it was drawn a moment ago.
func (p *progress) show(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.term || total <= 0 || time.Since(p.shown) < progressEvery {
		return
	}
	p.shown = time.Now()
	full := int(done * progressBar / total)
	fmt.Fprintf(p.out, "%s%s%s  %3d%%  %s of %s", eraseLine, strings.Repeat("█", full), strings.Repeat("░", progressBar-full),
		done*100/total, humanSize(done), humanSize(total))
}

// say draws text in place of the bar, where nobody knows how far there is to go.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.term {
		p.shown = time.Now()
		fmt.Fprint(p.out, eraseLine, text)
	}
}

// clear takes the line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
}

func (p *progress) clearLocked() {
	if !p.shown.IsZero() {
		io.WriteString(p.out, eraseLine)
		p.shown = time.Time{}
	}
}

// Write writes in place of the line.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clearLocked()
	return p.out.Write(b)
}
