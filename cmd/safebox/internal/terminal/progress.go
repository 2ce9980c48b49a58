package terminal

import (
	"fmt"
	"io"
	"time"
)

// Progress tells how long work goes. On a terminal it is one line that is drawn anew at most ten times a second;
// elsewhere it is at most one line a second, and none at all for work that is done within the first.
// It is used by one goroutine.
type Progress struct {
	out   io.Writer
	live  bool
	every time.Duration
	last  time.Time
	drawn bool
}

// NewProgress begins now.
func NewProgress(out io.Writer) *Progress {
	p := &Progress{out: out, live: Is(out), every: time.Second, last: time.Now()}
	if p.live {
		p.every, p.last = 100*time.Millisecond, time.Time{}
	}
	return p
}

// Say shows the line that text makes, unless it is too soon: then text is not called.
func (p *Progress) Say(text func() string) {
	now := time.Now()
	if now.Sub(p.last) < p.every {
		return
	}
	p.last = now
	if !p.live {
		fmt.Fprintln(p.out, text())
		return
	}
	p.drawn = true
	fmt.Fprintf(p.out, "\r\x1b[K%s", text())
}

// Clear takes the line off the terminal, so that something else can be printed in its place.
func (p *Progress) Clear() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
