package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/query"
)

// narrator tells people what a command is at while it takes long, and whom it waits for. It is the observer of the
// initialisation.
type narrator struct {
	progress *terminal.Progress
	quit     chan struct{}
	done     sync.WaitGroup

	mu       sync.Mutex
	activity string
	since    time.Time
	waiting  bool
}

// redraw is how often a line is drawn anew on a terminal; elsewhere terminal.Progress has one a second.
const redraw = 100 * time.Millisecond

// narrate begins to tell; end ends it. db is asked whom a process waits for.
func narrate(ctx context.Context, out io.Writer, db storage.DB) *narrator {
	n := &narrator{progress: terminal.NewProgress(out), quit: make(chan struct{})}
	n.done.Go(func() {
		ticker := time.NewTicker(redraw)
		defer ticker.Stop()
		for {
			select {
			case <-n.quit:
				n.progress.Clear()
				return
			case <-ticker.C:
				n.progress.Say(func() string { return n.line(ctx, db) })
			}
		}
	})
	return n
}

func (n *narrator) end() {
	close(n.quit)
	n.done.Wait()
}

func (n *narrator) say(activity string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.activity, n.since, n.waiting = activity, time.Now(), false
}

// line is what the command is at, and since when.
func (n *narrator) line(ctx context.Context, db storage.DB) string {
	n.mu.Lock()
	activity, since, waiting := n.activity, n.since, n.waiting
	n.mu.Unlock()
	switch {
	case activity == "":
		return "looking at the database"
	case waiting:
		activity += holder(ctx, db)
	}
	if d := time.Since(since).Round(time.Second); d > time.Second {
		activity += ", for " + d.String()
	}
	return terminal.Line(activity)
}

// holder says who has the initialisation lock and what it does, as far as the database tells.
func holder(ctx context.Context, db storage.DB) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := db.Marker().Read(ctx)
	if err != nil {
		return ""
	}
	e, err := db.Election(ctx)
	if err != nil {
		return ""
	}
	return " (" + lockLine(query.NewInit(m, e)) + ")"
}

// InitState implements initlock.Observer.
func (n *narrator) InitState(s string) {
	if s == "waiting" {
		n.say("waiting for the initialisation lock")
		n.mu.Lock()
		n.waiting = true
		n.mu.Unlock()
	}
}

// InitPhase implements initlock.Observer.
func (*narrator) InitPhase(string, time.Duration) {}

// InitElection implements initlock.Observer.
func (*narrator) InitElection(initlock.Outcome) {}
