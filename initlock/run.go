package initlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"
)

// lastWords is how long a leader may take to declare how it ended and to give the lock back, even when it was told to
// stop.
const lastWords = 10 * time.Second

// maxErrorText bounds the error text in the marker, in bytes.
const maxErrorText = 4096

// Run makes the database ready, or waits until another process has: when it returns without an error the marker is
// ready with this build's digest, or the schema is newer and this build may use it. The work runs at most once at a
// time over all processes, under the lock; it must be repeatable, because a leader may die at any point of it.
//
// The errors are: the work's own; *LeaderError when the leader that we waited on failed; *IncompatibleError when the
// schema is too new; *PanicError when the work panicked; ErrFenced when another leader began while we worked; the
// context's, promptly, when it ends; else the database's, after RetryFor where it might have passed.
//
// A panic of the work is declared as a failure and returned rather than raised again: the caller has connections and
// servers to close in order, and its way to the exit code 70 is that of any other error.
//
// Work that fails after ctx ended was told to stop and is not declared as a failure: those who wait take over.
func Run(ctx context.Context, l Locker, m Marker, o Options, work func(context.Context, Lease) error) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the subscription to the marker
	o = o.withDefaults()
	r := &runner{
		Options: o,
		locker:  l,
		marker:  m,
		work:    work,
		log:     o.Logger.With("instance", o.Name),
		p:       process{me: build{o.Digest, o.Known, o.Force}},
	}
	err := r.run(ctx)
	return r.result(err)
}

// runner is the shell around a process: it does what the process says and tells it what came of it.
type runner struct {
	Options
	locker Locker
	marker Marker
	work   func(context.Context, Lease) error
	log    *slog.Logger

	p    process
	wait waiting
	err  error // of our work

	worked                     time.Duration
	reading, locking, declared trouble
}

func (r *runner) run(ctx context.Context) error {
	for r.p.next != stepDone {
		var err error
		switch r.p.next {
		case stepRead:
			err = r.read(ctx)
		case stepTryLock:
			err = r.tryLock(ctx)
		case stepWait:
			err = r.pause(ctx)
		default:
			panic(fmt.Sprintf("initlock: step %d outside the lock", r.p.next))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// result turns how it ended into what the caller and the observer are told.
func (r *runner) result(err error) (Result, error) {
	r.endWait()
	res := Result{Record: r.p.seen, Waited: r.wait.total, Worked: r.worked, Outcome: OutcomeFailed}
	if err == nil {
		res.Outcome, err = r.decided()
	}
	r.Observer.InitElection(res.Outcome)
	if res.Outcome == OutcomeFailed {
		r.Observer.InitState("failed")
		return res, err
	}
	r.Observer.InitState("ready")
	r.log.Info("the database is ready", "outcome", string(res.Outcome), "revision", res.Record.Revision,
		"epoch", res.Record.Epoch, "waited", res.Waited, "worked", res.Worked)
	return res, nil
}

func (r *runner) decided() (Outcome, error) {
	rec := r.p.seen
	switch r.p.verdict {
	case alreadyReady:
		return OutcomeAlreadyReady, nil
	case followed:
		return OutcomeFollowed, nil
	case led:
		return OutcomeLed, nil
	case newer:
		r.log.Warn("the schema is newer than this build, which may use it; nothing is migrated",
			"revision", rec.Revision, "known", r.Known, "oldest_compatible", rec.OldestCompatible)
		return OutcomeNewer, nil
	case incompatible:
		return OutcomeFailed, &IncompatibleError{Known: r.Known, Schema: rec.Revision, OldestCompatible: rec.OldestCompatible}
	case leaderFailed:
		return OutcomeFailed, &LeaderError{Holder: rec.Holder, Epoch: rec.Epoch, Text: rec.Error, Code: rec.Code}
	case fenced:
		return OutcomeFailed, fmt.Errorf("epoch %d of the initialisation: %w: start again", r.p.epoch, ErrFenced)
	case workFailed, abandoned:
		return OutcomeFailed, r.err
	default:
		panic(fmt.Sprintf("initlock: done with verdict %d", r.p.verdict))
	}
}

// read is the step on which a process that finds everything ready begins and ends.
func (r *runner) read(ctx context.Context) error {
	var rec Record
	err := bounded(ctx, func(ctx context.Context) (err error) {
		rec, err = r.marker.Read(ctx)
		return err
	})
	if err != nil {
		return r.retry(ctx, &r.reading, "reading the ready marker", err)
	}
	r.reading = trouble{}
	r.p = r.p.sawMarker(rec)
	return nil
}

// tryLock asks for the lock, and leads when it gets it.
func (r *runner) tryLock(ctx context.Context) error {
	if !r.wait.due(r.p.seen, r.PollEvery) {
		r.p = r.p.refused()
		return nil
	}
	var lease Lease
	err := bounded(ctx, func(ctx context.Context) (err error) {
		lease, err = r.locker.TryLock(ctx, r.Name)
		return err
	})
	switch {
	case errors.Is(err, ErrLocked):
		r.locking = trouble{}
		r.p = r.p.refused()
		r.startWait()
		return nil
	case err != nil:
		if err := r.retry(ctx, &r.locking, "taking the initialisation lock", err); err != nil {
			return err
		}
		r.p = r.p.woke() // the marker may be ready by now
		return nil
	}
	r.p = r.p.locked()
	err = r.lead(ctx, lease)
	if s, ok := err.(*setback); ok { //nolint:errorlint // made by lost and handed over as it is
		return r.retry(ctx, s.trouble, s.doing, s.err)
	}
	return err
}

// lead does everything that is done under the lock. The lock is given back even if the work ends its goroutine, and
// before any pause: a setback is retried by the caller.
func (r *runner) lead(ctx context.Context, lease Lease) error {
	defer r.release(ctx, lease)

	rec, err := lease.Read(ctx)
	if err != nil {
		return r.lost(&r.locking, "reading the ready marker under the lock", err)
	}
	if r.p = r.p.sawMarker(rec); r.p.next != stepBegin {
		return nil
	}
	if ctx.Err() != nil {
		return r.ended(ctx)
	}
	epoch, err := lease.Begin(ctx, Record{Digest: r.Digest, Holder: r.Name, Revision: r.Revision, OldestCompatible: r.OldestCompatible})
	if err != nil {
		return r.lost(&r.locking, "writing the ready marker", err)
	}
	r.locking = trouble{}
	r.p = r.p.begun(epoch)
	r.endWait()
	r.Observer.InitState("leading")
	r.log.Info("this process initialises the database", "epoch", epoch, "revision", r.Revision)

	began := time.Now()
	r.err = r.guardedWork(ctx, lease)
	took := time.Since(began)
	r.worked += took
	r.Observer.InitPhase("initialise", took)

	switch {
	case r.err == nil:
		r.p = r.p.succeeded()
	case ctx.Err() != nil:
		r.log.Info("told to stop in the midst of the initialisation: another process takes over", "epoch", epoch)
		r.p = r.p.stopped()
		return nil
	default:
		r.p = r.p.failed()
	}
	return r.finish(ctx, lease)
}

// guardedWork runs the work and makes an error of its panic.
func (r *runner) guardedWork(ctx context.Context, lease Lease) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
			r.log.Error("the initialisation panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	note := func(ctx context.Context, text string) {
		if err := lease.Activity(ctx, text); err != nil {
			r.log.Debug("cannot tell what the leader is doing", "activity", text, "error", err)
		}
	}
	return r.work(context.WithValue(ctx, noteKey{}, note), lease)
}

// finish declares how the work ended.
func (r *runner) finish(ctx context.Context, lease Lease) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()

	rec := Record{
		State: Ready, Epoch: r.p.epoch, Digest: r.Digest, Holder: r.Name,
		Revision: r.Revision, OldestCompatible: r.OldestCompatible,
	}
	if r.err != nil {
		rec.State, rec.Error, rec.Code = Failed, errorText(r.err), r.Code(r.err)
	}
	err := lease.Finish(last, rec)
	switch {
	case err == nil:
		r.p = r.p.finished()
		r.p.seen = rec
		if stored, err := lease.Read(last); err == nil {
			r.p.seen = stored // with the database's times
		}
		return nil
	case errors.Is(err, ErrFenced):
		r.p = r.p.outrun()
		return nil
	case r.err != nil:
		r.log.Warn("cannot declare that the initialisation failed: those who wait find the lock free and try for themselves",
			"epoch", rec.Epoch, "error", err)
		r.p = r.p.lost()
		return nil
	default:
		return r.lost(&r.declared, "declaring the database ready", err)
	}
}

// setback is an error of the database under the lock.
type setback struct {
	trouble *trouble
	doing   string
	err     error
}

func (s *setback) Error() string { return s.doing + ": " + s.err.Error() }
func (s *setback) Unwrap() error { return s.err }

// lost takes in that the lock's connection failed us.
func (r *runner) lost(t *trouble, doing string, err error) error {
	r.p = r.p.lost()
	return &setback{t, doing, err}
}

func (r *runner) release(ctx context.Context, lease Lease) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := lease.Release(last); err != nil {
		r.log.Debug("the initialisation lock was gone before it was given back", "error", err)
	}
	r.p = r.p.released()
}

// errorText is an error as the marker can hold it.
func errorText(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "?")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "..."
	}
	return text
}
