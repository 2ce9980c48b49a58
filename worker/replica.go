package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// idlePatience is how long a replica that runs until it is idle goes on without learning the backlog.
const idlePatience = 30 * time.Second

// A replica that runs until it is idle looks at the backlog again after idlePause, or when so many events may be processed at
// the quickest, and after longestIdlePause in any case.
const (
	idlePause        = 50 * time.Millisecond
	quickest         = 5 * time.Microsecond // for an event
	longestIdlePause = time.Second
)

// MaxAttempts is how often an event is tried before it is parked.
const MaxAttempts = 5

// together is how many partitions with few events share a transaction of the ledger, which is quick.
const together = 32

// Observer is told what the replica does.
type Observer interface {
	bus.Observer
	// Backlog is the number of events in the log after a group's cursors.
	Backlog(group string, n int64)
	// OldestPending is when the oldest of them was recorded; zero when there is none.
	OldestPending(at time.Time)
	// Parked counts the parked events and the wallets that wait behind them.
	Parked(events, wallets int64)
	// Schema is the revision of the database, told when it is ready.
	Schema(revision string)
	// ReplicaState is told the state: starting, ready or draining.
	ReplicaState(state string)
	// Marker is the state of the ready marker in the database, whoever wrote it.
	Marker(state initlock.State)
	// ClockOffset is how far the database's clock is ahead of this machine's.
	ClockOffset(d time.Duration)
	// Guard counts the values that break a guard.
	Guard(guard string, violations int)
	// Backups is when the last backup was taken and when one was last found good; zero where none was.
	Backups(taken, verified time.Time)
	// Measured is told after a heartbeat that read all of Backlog, OldestPending, Parked and Marker; Unmeasured after one
	// that could not, which makes what they told before old news.
	Measured(at time.Time)
	Unmeasured()
}

// Appender appends events and answers each after the commit.
type Appender interface {
	Append(ctx context.Context, topic string, events []event.Event) ([]event.Receipt, error)
}

// Options of New. DB and Initialise are required.
type Options struct {
	DB       storage.DB
	Instance string
	Version  string
	Lanes    int           // most batches processed at once; 0: 4
	Batch    int           // most events in one transaction; 0: 500
	Drain    time.Duration // time to finish after ctx ends; 0: 25 s
	// UntilIdle ends the run when every event in the log is processed or parked.
	UntilIdle bool
	// Initialise makes the database ready, or waits until another process has.
	Initialise func(ctx context.Context) (initlock.Result, error)
	// Guards counts the values that break each guard, by name. It is asked now and then while the replica runs; it has to be
	// cheap where the database itself keeps the values unique. nil: nobody is asked.
	Guards func(context.Context) (map[string]int, error)
	// HTTP serves until its context ends and then finishes the requests in hand; nil: no HTTP. It is started first.
	HTTP     func(ctx context.Context, probes Probes, appender Appender) error
	Observer Observer // nil: none
	// Span begins a span of a trace, as bus.Options has it; nil: nothing is traced.
	Span func(ctx context.Context, name string) (_ context.Context, end func())
	// Supervisor is what started the process and wants to know how it fares; nil: nobody does.
	Supervisor Supervisor
	Logger     *slog.Logger
}

// DrainError says that the drain took longer than it may: the batches in hand were rolled back, and nothing is lost.
type DrainError struct{ After time.Duration }

func (e *DrainError) Error() string {
	return fmt.Sprintf("the batches in hand were not finished within %s: they were rolled back, and another replica processes them", e.After)
}

// Probes tell an orchestrator how a replica fares.
type Probes struct {
	// Ready tells each condition of doing its work now.
	Ready func(context.Context) []api.Check
	// Stuck says what does not move although it should, and only a restart would mend; "" when all does. It asks no database.
	Stuck func() string
}

// Replica is one worker process.
type Replica struct {
	options Options
	logger  *slog.Logger
	tell    Supervisor
	phase   atomic.Int32
	leader  atomic.Bool
	down    atomic.Pointer[takenDown] // while the replica waits for its schema
	vitals  vitals
	clock   readings     // of the database's clock
	offset  atomic.Int64 // what they come to, in nanoseconds

	revision string // the oldest of the schema that it works with, as far as is known
}

type phase int32

const (
	starting phase = iota
	ready
	draining
)

func (p phase) String() string { return [...]string{"starting", "ready", "draining"}[p] }

// New makes a replica; Run starts it.
func New(o Options) *Replica {
	if o.Lanes == 0 {
		o.Lanes = 4
	}
	if o.Batch == 0 {
		o.Batch = 500
	}
	if o.Drain == 0 {
		o.Drain = 25 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Supervisor == nil {
		o.Supervisor = unsupervised{}
	}
	return &Replica{options: o, logger: o.Logger, tell: o.Supervisor, vitals: vitals{stuckAfter: stuckAfter}}
}

// Run lives until ctx ends, which starts the drain, or until the log is processed with UntilIdle. It returns nil when all
// that was begun is finished.
func (r *Replica) Run(ctx context.Context) (err error) {
	b := bus.New(r.options.DB, bus.Options{Observer: r.options.Observer, Now: r.now, Span: r.options.Span, Logger: r.logger}) //nolint:contextcheck // it outlives ctx, until it is closed
	defer b.Close()                                                                                                           //nolint:errcheck // it has nothing to report

	r.setPhase(starting)
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer r.supervise()() //nolint:contextcheck // it gives signs of life through the drain, after ctx has ended
	web := r.serve(ctx, b)
	defer func() { err = errors.Join(err, web.stop()) }()
	go func() { // a server that ends by itself ends the replica
		select {
		case <-web.done:
			stop(web.err)
		case <-running.Done():
		}
	}()
	if err := r.initialise(running); err != nil {
		return unlessStopped(running, ctx, err)
	}
	for {
		err := r.process(running, b, web)
		var down *takenDown
		if r.options.UntilIdle || !errors.As(err, &down) {
			return unlessStopped(running, ctx, err)
		}
		if err := r.awaitSchema(running, down); err != nil {
			return unlessStopped(running, ctx, nil) // it was told to end, and had nothing in hand
		}
	}
}

// unlessStopped drops what the end of running led to when it was stopped from inside: the reason for that is told elsewhere.
func unlessStopped(running, outer context.Context, err error) error {
	if outer.Err() == nil && running.Err() != nil {
		return nil // the server's own error is joined when it is stopped
	}
	return err
}

func (r *Replica) initialise(ctx context.Context) error {
	res, err := r.options.Initialise(ctx)
	if err != nil {
		return err
	}
	r.leader.Store(res.Outcome == initlock.OutcomeLed)
	r.revision = res.Record.Revision
	if res.Outcome == initlock.OutcomeNewer {
		r.revision = res.Record.OldestCompatible
	}
	if r.options.Observer != nil {
		r.options.Observer.Schema(res.Record.Revision)
	}
	return nil
}

// process runs lanes and heartbeat until ctx ends, then drains. It is a *takenDown when the schema was taken down: then
// nothing is drained, and the web goes on.
func (r *Replica) process(ctx context.Context, b *bus.Bus, web *webServer) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	router, err := bus.NewRouter(r.logger, r.options.Drain)
	if err != nil {
		return err
	}
	sub, err := b.Subscriber(bus.SubscriberOptions{
		Group: Group, Handler: Ledger{}, Lanes: r.options.Lanes, Batch: r.options.Batch, Together: together, MaxAttempts: MaxAttempts,
	})
	if err != nil {
		return err
	}
	router.Handle(Group, event.Topic, sub) //nolint:contextcheck // the context is the message's

	looking, enough := context.WithTimeout(ctx, time.Second)
	err = r.readClock(looking) // before the first lag is measured
	enough()
	if err != nil {
		r.logger.Debug("the database's clock could not be read; the next heartbeat tries again", "error", err)
	}
	hard, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	if err := router.Start(hard); err != nil {
		return err
	}
	r.setPhase(ready)                                          // not before it has subscribed, without which it ends
	pulse := r.startPulse(func(down *takenDown) { end(down) }) //nolint:contextcheck // it beats through the drain, after ctx has ended
	defer pulse.stop()                                         //nolint:contextcheck // the same
	r.vitals.subscriber.Store(sub)
	r.tell.Ready()
	r.logger.Info("processing events", "lanes", r.options.Lanes, "batch", r.options.Batch)
	err = r.waitForEnd(ctx, router)
	if down := asDown(ctx); down != nil && err == nil {
		abandon()
		if err := router.Close(); err != nil {
			r.logger.Debug("the batches in hand ended with the schema", "error", err)
		}
		return down
	}

	r.setPhase(draining)
	r.tell.Stopping()
	r.tell.Status("draining: finishing the batches in hand")
	pulse.beatNow()
	r.logger.Info("draining: no new batches are claimed, those in hand are finished", "within", r.options.Drain)
	drained := make(chan error, 1)
	go func() {
		err := router.Close()
		_ = web.stop() // Run tells its error
		drained <- err
	}()
	select {
	case e := <-drained:
		err = errors.Join(err, e)
	case <-time.After(r.options.Drain):
		abandon()
		err = errors.Join(err, &DrainError{r.options.Drain})
	}
	if err == nil {
		r.logger.Info("drained")
	}
	return err
}

// waitForEnd returns when the replica has to drain: nil when it was asked to, or is idle and was to run until then.
func (r *Replica) waitForEnd(ctx context.Context, router *bus.Router) error {
	var look <-chan time.Time
	answered := time.Now()
	if r.options.UntilIdle {
		look = time.After(idlePause)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-router.Failed():
			return fmt.Errorf("the router ended by itself: %w", errors.Join(err, bus.ErrClosed))
		case <-look:
			pause := idlePause
			backlog, err := Backlog(ctx, r.options.DB)
			switch {
			case ctx.Err() != nil:
				return nil
			case err == nil && backlog == 0:
				return nil
			case err == nil:
				answered = time.Now()
				pause = min(max(pause, time.Duration(backlog)*quickest), longestIdlePause)
			case time.Since(answered) > idlePatience:
				return fmt.Errorf("the backlog could not be read for %s: %w", idlePatience, err)
			}
			look = time.After(pause)
		}
	}
}

func (r *Replica) setPhase(p phase) {
	r.phase.Store(int32(p))
	if r.options.Observer != nil {
		r.options.Observer.ReplicaState(p.String())
	}
}

// now reads the database's clock, as far as it is known here.
func (r *Replica) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())) }

// Checks tells whether the replica can do its work now.
func (r *Replica) Checks(ctx context.Context) []api.Check {
	p := phase(r.phase.Load())
	prepared := "the database is prepared, by this replica or another, and the replica has subscribed to the log"
	if p == starting {
		prepared = "the replica prepares the database, waits for the one that does, or subscribes to the log"
	}
	if down := r.down.Load(); down != nil {
		prepared = down.Error()
	}
	checks := []api.Check{
		{Name: "initialised", OK: p != starting, Detail: prepared},
		{Name: "not_draining", OK: p != draining, Detail: "the replica takes new work"},
		{Name: "database", OK: true, Detail: "the database answers"},
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := r.options.DB.Ping(ctx); err != nil {
		checks[2].OK, checks[2].Detail = false, err.Error()
	}
	return checks
}

// Backlog is the number of events in the log after the ledger's cursors: a difference of positions, not a count.
func Backlog(ctx context.Context, log event.Log) (int64, error) {
	cursors, err := log.Cursors(ctx, event.Topic, Group)
	if err != nil {
		return 0, err
	}
	heads, err := log.Heads(ctx, event.Topic)
	if err != nil {
		return 0, err
	}
	var n int64
	for p := range heads {
		n += max(0, heads[p]-cursors[p])
	}
	return n, nil
}
