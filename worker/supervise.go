package worker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safebox/safebox/worker/bus"
)

// A Supervisor is told of the replica's life: systemd, for one. Its methods may be called at the same time, and none blocks
// for long.
type Supervisor interface {
	// Watchdog is the time within which it wants each sign of life; 0: it wants none.
	Watchdog() time.Duration
	// Extend says that the start goes on, and asks for at least d more.
	Extend(d time.Duration)
	// Ready says that the replica takes work.
	Ready()
	// Alive is a sign of life.
	Alive()
	// Status says in one line, for people, what the replica does. It holds no secret.
	Status(text string)
	// Stopping says that the drain began.
	Stopping()
}

type unsupervised struct{}

func (unsupervised) Watchdog() time.Duration { return 0 }
func (unsupervised) Extend(time.Duration)    {}
func (unsupervised) Ready()                  {}
func (unsupervised) Alive()                  {}
func (unsupervised) Status(string)           {}
func (unsupervised) Stopping()               {}

const (
	// startEvery is the time between two words to the supervisor while the replica starts; each asks for startMore.
	startEvery = 10 * time.Second
	startMore  = 60 * time.Second
	// stuckAfter is how long a replica that works may take for what does not wait for the database. A heartbeat, which does,
	// has a time limit of its own and comes round whether or not the database answers.
	stuckAfter = 30 * time.Second
)

// vitals are what a replica is seen to be alive by. Waiting for the database is no sign of death, however long it takes: a
// restart would mend nothing. What counts is that the heartbeat comes round within its time limits, that no handler sits at a
// batch, which is pure computing, and that the engine's locks can be had.
type vitals struct {
	beat       atomic.Pointer[time.Time] // when the last heartbeat ended, well or not; before it, when the first began
	subscriber atomic.Pointer[bus.Subscriber]
	stuckAfter time.Duration
}

// stuck says what does not move although it should; "" when all does. Before the first heartbeat and the first subscriber there
// is nothing to look at.
func (v *vitals) stuck() string {
	if last := v.beat.Load(); last != nil {
		if d := time.Since(*last); d > v.stuckAfter {
			return fmt.Sprintf("the heartbeat has not come round for %s", d.Round(time.Second))
		}
	}
	if s := v.subscriber.Load(); s != nil {
		if d := s.Handling(); d > v.stuckAfter {
			return fmt.Sprintf("a handler has been at one batch for %s", d.Round(time.Second))
		}
	}
	return ""
}

// cameRound notes that the heartbeat did, or begins to.
func (v *vitals) cameRound() {
	now := time.Now()
	v.beat.Store(&now)
}

// supervise gives the supervisor its signs of life until the returned function is called.
func (r *Replica) supervise() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	r.tell.Extend(startMore)
	r.tell.Status("preparing the database, or waiting for the replica that does")
	done.Go(func() { r.keepTelling(ctx) })
	return func() {
		cancel()
		done.Wait()
	}
}

func (r *Replica) keepTelling(ctx context.Context) {
	every, watchdog := startEvery, r.tell.Watchdog()
	if watchdog > 0 {
		every = max(time.Millisecond, min(every, watchdog/3)) // one may be late or lost
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if phase(r.phase.Load()) == starting {
			r.tell.Extend(startMore)
		}
		if stuck := r.vitals.stuck(); stuck != "" {
			r.logger.Error("this replica is stuck, and gives its supervisor no sign of life until it moves again", "stuck", stuck)
			r.tell.Status("stuck: " + stuck)
		} else if watchdog > 0 {
			r.tell.Alive()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellWork says what the replica does while it works; the words about its start and its drain stay.
func (r *Replica) tellWork(text string) {
	if phase(r.phase.Load()) == ready {
		r.tell.Status(text)
	}
}
