package initlock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	reportEvery  = 10 * time.Second // between two log lines of a waiter
	looksPerTry  = 5                // pauses between two attempts at a lock whose marker has not changed
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 500 * time.Millisecond
)

// waiting is what a waiter remembers.
type waiting struct {
	since      time.Time // zero: not waiting
	total      time.Duration
	nextReport time.Time

	subscribed bool
	changed    <-chan struct{}

	tried      time.Time // when the lock was last asked for, and what the marker showed then
	triedState State
	triedEpoch int64
}

// due tells whether to ask for the lock now: when the marker shows something new, else once in a few looks. What it
// saves is work for the database; that a dead leader's lock is free is noticed a few looks later.
func (w *waiting) due(seen Record, pollEvery time.Duration) bool {
	now := time.Now()
	if seen.State == w.triedState && seen.Epoch == w.triedEpoch && !w.tried.IsZero() && now.Sub(w.tried) < looksPerTry*pollEvery {
		return false
	}
	w.tried, w.triedState, w.triedEpoch = now, seen.State, seen.Epoch
	return true
}

func (r *runner) startWait() {
	if !r.wait.since.IsZero() {
		return
	}
	r.wait.since = time.Now()
	r.wait.nextReport = r.wait.since.Add(reportEvery)
	r.Observer.InitState("waiting")
	r.log.Info("another process is initialising the database: waiting for it", "epoch", r.p.awaited)
}

func (r *runner) endWait() {
	if r.wait.since.IsZero() {
		return
	}
	took := time.Since(r.wait.since)
	r.wait.total += took
	r.wait.since = time.Time{}
	r.Observer.InitPhase("wait", took)
}

// pause ends when the marker may have changed, or after PollEvery at most. Nothing is held meanwhile: no statement, no
// transaction, no snapshot.
func (r *runner) pause(ctx context.Context) error {
	w := &r.wait
	if !w.subscribed {
		w.subscribed = true
		w.changed = r.marker.Changed(ctx)
	}
	if now := time.Now(); !now.Before(w.nextReport) {
		w.nextReport = now.Add(reportEvery)
		r.report(ctx)
	}
	timer := time.NewTimer(jitter(r.PollEvery))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return r.ended(ctx)
	case <-timer.C:
	case _, open := <-w.changed:
		if !open {
			w.changed = nil // polling goes on
		}
	}
	r.p = r.p.woke()
	return nil
}

// report says who holds the lock, since when, and what it runs.
func (r *runner) report(ctx context.Context) {
	rec := r.p.seen
	var h Holder
	var held bool
	err := bounded(ctx, func(ctx context.Context) (err error) {
		h, held, err = r.locker.Holder(ctx)
		return err
	})
	if err != nil || !held {
		h = Holder{Name: rec.Holder, Since: rec.StartedAt}
	}
	if rec.State == Running && rec.Activity != "" {
		h.Activity = rec.Activity
	}
	r.log.Info("still waiting for the database to be initialised", "waited", time.Since(r.wait.since).Round(time.Second),
		"holder", h.Name, "since", h.Since, "activity", h.Activity, "epoch", rec.Epoch)
}

// answerWithin bounds a question to the database that is answered at once where somebody is there to answer: a proxy may
// swallow the question and keep the connection open.
const answerWithin = 10 * time.Second

// unansweredError says that a question took longer than answerWithin. The next may go another way.
type unansweredError struct{ err error }

func (e *unansweredError) Error() string {
	return fmt.Sprintf("no answer within %s: %v", answerWithin, e.err)
}
func (e *unansweredError) Unwrap() error   { return e.err }
func (e *unansweredError) Transient() bool { return true }

// bounded asks the database something, for answerWithin at most.
func bounded(ctx context.Context, ask func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err := ask(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return &unansweredError{err}
	}
	return err
}

// ended is the error of a process that was told to stop while it waited.
func (r *runner) ended(ctx context.Context) error {
	return fmt.Errorf("told to stop before the database was ready: %w", ctx.Err())
}

// trouble counts how long one kind of step has failed in a row.
type trouble struct {
	since   time.Time
	backoff time.Duration
}

// retry decides about an error of the database: nil, after a pause, when the step is to be tried again.
func (r *runner) retry(ctx context.Context, t *trouble, doing string, err error) error {
	if ctx.Err() != nil {
		return r.ended(ctx)
	}
	var passing interface{ Transient() bool }
	if !errors.As(err, &passing) || !passing.Transient() {
		return fmt.Errorf("%s: %w", doing, err)
	}
	now := time.Now()
	if t.since.IsZero() {
		*t = trouble{now, firstBackoff}
		r.log.Warn("the database fails the initialisation; trying again", "doing", doing, "for", r.RetryFor, "error", err)
	}
	if now.Sub(t.since) >= r.RetryFor {
		return fmt.Errorf("%s: tried for %s: %w", doing, r.RetryFor, err)
	}
	timer := time.NewTimer(jitter(t.backoff))
	defer timer.Stop()
	t.backoff = min(2*t.backoff, maxBackoff)
	select {
	case <-ctx.Done():
		return r.ended(ctx)
	case <-timer.C:
		return nil
	}
}

// jitter is between a half and the whole of d, so that processes that started together do not ask together.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
