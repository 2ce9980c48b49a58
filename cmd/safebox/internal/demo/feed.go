package demo

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/safebox/safebox/cmd/safebox/internal/publish"
	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/worker/event"
)

// led waits until a replica has prepared the database, and tells which.
func (s *show) led(ctx context.Context) error {
	for end := time.Now().Add(stall); ; {
		m, err := s.db.Marker().Read(ctx)
		if err != nil {
			return err
		}
		if m.State == initlock.Ready {
			s.report.Leader = m.Holder
			s.say("led", "%s prepared the database (revision %s) in %d ms, for all three",
				m.Holder, m.Revision, m.FinishedAt.Sub(m.StartedAt).Milliseconds())
			return nil
		}
		if err := s.herd.died(nil); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("no replica prepared the database within %v; the end of the log of %s:\n%s",
				stall, s.herd.replicas[0].name, s.herd.replicas[0].log.last(20))
		}
		if err := pause(ctx, look); err != nil {
			return err
		}
	}
}

// feed appends events while the replicas process them, and returns when all are processed. When killAt of them are
// processed it kills a replica; the last part is appended only after that. Zero kills none.
func (s *show) feed(ctx context.Context, events []event.Event, killAt int) error {
	w := watch{show: s, line: terminal.NewProgress(s.Live), moved: time.Now(), begun: time.Now()}
	if err := w.start(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	killed, over := make(chan struct{}), make(chan struct{})
	var appending error // may be read when over is closed
	go func() {
		defer close(over)
		appending = s.append(ctx, events, killAt, killed)
	}()
	following := s.follow(ctx, &w, killAt, killed, over, &appending)
	w.line.Clear()
	cancel()
	<-over
	return following
}

// follow watches until everything is appended and processed, and kills a replica on the way.
func (s *show) follow(ctx context.Context, w *watch, killAt int, killed chan<- struct{}, over <-chan struct{}, appending *error) error {
	for done := false; ; {
		idle, err := w.look(ctx)
		if err != nil {
			return err
		}
		if done && idle {
			return nil
		}
		if killAt > 0 && s.killed == nil && w.processed >= int64(killAt) {
			w.line.Clear()
			if err := s.kill(w.processed); err != nil {
				return err
			}
			close(killed)
		}
		select {
		case <-over:
			if *appending != nil {
				return *appending
			}
			if done { // over stays closed: look again only after a while
				err = pause(ctx, look)
			}
			done = true
		case <-time.After(look):
		}
		if err != nil {
			return err
		}
	}
}

// append appends the events at a pace that lets one watch. Its last third waits for the kill, if there is to be one.
func (s *show) append(ctx context.Context, events []event.Event, killAt int, killed <-chan struct{}) error {
	size := max(100, len(events)/int(watched/pace))
	for at := 0; at < len(events); at += size {
		if killAt > 0 && at >= len(events)*2/3 {
			select {
			case <-killed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		receipts, err := publish.Append(ctx, s.db, events[at:min(at+size, len(events))], stall)
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		for i, r := range receipts {
			switch r.Result {
			case event.Duplicate:
				s.report.Duplicates++
			case event.Conflict:
				return fmt.Errorf("publishing: the log has event %s with other content", events[at+i].ID)
			}
		}
		if err := pause(ctx, pace); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the replica that led, as a power cut would.
func (s *show) kill(processed int64) error {
	s.killed = s.herd.replicas[0]
	for _, r := range s.herd.replicas {
		if r.name == s.report.Leader {
			s.killed = r
		}
	}
	if err := s.killed.signal(syscall.SIGKILL); err != nil {
		return err
	}
	s.report.Killed = s.killed.name
	s.say("killed", "%s (pid %d) with SIGKILL after %s events, in the middle of its work",
		s.killed.name, s.killed.pid(), terminal.Count(processed))
	return nil
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
