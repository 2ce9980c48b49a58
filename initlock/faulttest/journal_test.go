package faulttest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/safebox/safebox/storage/dbtest"
)

// journal collects what a process prints and wakes those who wait for a part of it.
type journal struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{} // closed and replaced when more is printed
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	close(j.changed)
	j.changed = make(chan struct{})
	return j.buf.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// await waits until one line has all the texts, and returns that line; "" when the process ended or the time is over.
func (j *journal) await(ended <-chan struct{}, texts ...string) string {
	end := time.After(limit)
	for {
		j.mu.Lock()
		text, changed := j.buf.String(), j.changed
		j.mu.Unlock()
		if line := lineWith(text, texts...); line != "" {
			return line
		}
		select {
		case <-changed:
		case <-ended:
			return lineWith(j.text(), texts...)
		case <-end:
			return ""
		}
	}
}

func lineWith(text string, parts ...string) string {
next:
	for line := range strings.Lines(text) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		return strings.TrimSpace(line)
	}
	return ""
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, within time.Duration, yes func() bool) {
	t.Helper()
	if !dbtest.Until(within, yes) {
		t.Fatalf("%s: not within %v", what, within)
	}
}
