package bench

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bus"
	"github.com/safebox/safebox/worker/event"
)

// appendBatch is how many events one append of the batched kind takes.
const appendBatch = 1000

// Cluster is a number of replicas on one database, and whoever feeds them.
type Cluster struct {
	Storage  storage.Options // its role and instance are set here
	Replicas int             // 0: 1
	Lanes    int             // of each; 0: 4
	Batch    int             // the most events in one transaction; 0: 500
	// Initialise makes the database ready; it is called for each handle, as each process would.
	Initialise func(ctx context.Context, db storage.DB) (initlock.Result, error)
	Logger     *slog.Logger // nil: slog.Default
}

// Timing is how long a number of events took.
type Timing struct {
	Events int
	Took   time.Duration
	Calls  Latency // of the appends
}

// Rate is events a second.
func (t Timing) Rate() float64 { return float64(t.Events) / t.Took.Seconds() }

// with opens a handle of its own, as another process would, and closes it after the work.
func (c Cluster) with(ctx context.Context, name string, work func(storage.DB) error) (err error) {
	db, err := c.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return work(db)
}

func (c Cluster) open(ctx context.Context, name string) (storage.DB, error) {
	o := c.Storage
	o.Role, o.Instance = "bench", name
	return storage.Open(ctx, o)
}

// Open prepares the database and opens the wallets of a shape: their events are appended and processed.
func (c Cluster) Open(ctx context.Context, s Shape, told func(done int)) error {
	err := c.with(ctx, "leader", func(db storage.DB) error {
		_, err := c.Initialise(ctx, db)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := c.Append(ctx, s.Opening(), told); err != nil {
		return err
	}
	_, err = c.Drain(ctx, s.Opened(), nil)
	return err
}

// Append appends events in batches of 1,000, one after the other. The time is that of the appends alone.
func (c Cluster) Append(ctx context.Context, events iter.Seq[event.Event], told func(done int)) (t Timing, err error) {
	var calls []time.Duration
	err = c.with(ctx, "producer", func(db storage.DB) error {
		batch := make([]event.Event, 0, appendBatch)
		flush := func() error {
			began := time.Now()
			receipts, err := db.Append(ctx, event.Topic, batch)
			if err != nil {
				return err
			}
			calls = append(calls, time.Since(began))
			for i, r := range receipts {
				if r.Result != event.Appended {
					return fmt.Errorf("the log has event %s already: a benchmark needs an empty database", batch[i].ID)
				}
			}
			t.Events, batch = t.Events+len(batch), batch[:0]
			if told != nil {
				told(t.Events)
			}
			return nil
		}
		for e := range events {
			if batch = append(batch, e); len(batch) == cap(batch) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if len(batch) == 0 {
			return nil
		}
		return flush()
	})
	for _, d := range calls {
		t.Took += d
	}
	t.Calls = NewLatency(calls)
	return t, err
}

// Drain runs the replicas until every event in the log is processed, which must be as many as the caller says. The time is
// that from their start, on open pools, to the last commit.
func (c Cluster) Drain(ctx context.Context, events int, told func(done int)) (Timing, error) {
	p := &probe{}
	h, err := c.start(ctx, p, true)
	if err != nil {
		return Timing{}, err
	}
	stopTelling := p.tell(told)
	err = h.wait()
	stopTelling()
	t := Timing{Events: events, Took: p.last().Sub(h.began)}
	if done := p.processed(); err == nil && done != events {
		err = &WrongError{Detail: fmt.Sprintf("%d events were processed, and %d were there", done, events)}
	}
	return t, err
}

// Flow is what a paced run measured.
type Flow struct {
	Timing
	Lag     Latency  // from an event's append to the commit of its processing, after the warm-up
	Windows []Window // the same, by spans of the run
}

// warmUp is the beginning of a run, in which the replicas open their connections and prepare their statements.
func warmUp(run time.Duration) time.Duration { return min(2*time.Second, run/5) }

// Flow runs the replicas and appends single events at a rate a second meanwhile. An append is timed from when it was due.
func (c Cluster) Flow(ctx context.Context, events iter.Seq[event.Event], n int, rate float64, told func(done int)) (f Flow, err error) {
	p := &probe{lags: &lags{began: time.Now()}}
	h, err := c.start(ctx, p, false)
	if err != nil {
		return f, err
	}
	began := time.Now()
	p.lags.began = began
	stopTelling := p.tell(told)
	defer stopTelling()
	var calls []time.Duration
	err = c.with(ctx, "producer", func(db storage.DB) error {
		if calls, err = pace(ctx, db, events, rate, c.Logger); err != nil {
			return err
		}
		return idle(ctx, db)
	})
	h.stop()
	if err = errors.Join(err, h.wait()); err != nil {
		return f, err
	}
	if done := p.processed(); done != n {
		return f, &WrongError{Detail: fmt.Sprintf("%d events were processed, and %d were appended", done, n)}
	}
	f.Timing = Timing{Events: n, Took: p.last().Sub(began), Calls: NewLatency(calls)}
	warm := p.lags.after(warmUp(f.Took))
	f.Lag, f.Windows = latencyOf(warm), windows(warm, max(time.Second, f.Took.Round(time.Second)/10))
	return f, nil
}

// producers is how many single appends are under way at once, at most.
const producers = 256

// pace appends single events at a rate, and returns how long each took from when it was due.
func pace(ctx context.Context, log event.Log, events iter.Seq[event.Event], rate float64, logger *slog.Logger) ([]time.Duration, error) {
	b := bus.New(log, bus.Options{Logger: logger}) //nolint:contextcheck // it is closed below
	defer b.Close()                                //nolint:errcheck // it has nothing to report
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type due struct {
		event event.Event
		at    time.Time
	}
	var (
		queue = make(chan due)
		mu    sync.Mutex
		calls []time.Duration
		all   sync.WaitGroup
	)
	for range producers {
		all.Go(func() {
			for d := range queue {
				receipts, err := b.Append(ctx, event.Topic, []event.Event{d.event})
				if err == nil && receipts[0].Result != event.Appended {
					err = fmt.Errorf("the log has event %s already: a benchmark needs an empty database", d.event.ID)
				}
				if err != nil {
					cancel(err)
					continue
				}
				took := time.Since(d.at)
				mu.Lock()
				calls = append(calls, took)
				mu.Unlock()
			}
		})
	}
	began, n := time.Now(), 0
	for e := range events {
		at := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		n++
		if wait := time.Until(at); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		queue <- due{e, at}
	}
	close(queue)
	all.Wait()
	return calls, context.Cause(ctx)
}

// idle waits until everything in the log is processed.
func idle(ctx context.Context, db storage.DB) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		n, err := worker.Backlog(ctx, db)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// herd is the replicas at work.
type herd struct {
	began time.Time
	stop  context.CancelFunc
	ends  chan error
	n     int
	dbs   []storage.DB
}

// start opens a handle for each replica and lets them go.
func (c Cluster) start(ctx context.Context, p *probe, untilIdle bool) (*herd, error) {
	h := &herd{ends: make(chan error, max(1, c.Replicas))}
	for i := range max(1, c.Replicas) {
		db, err := c.open(ctx, fmt.Sprintf("replica-%d", i+1))
		if err != nil {
			return nil, errors.Join(err, h.close())
		}
		h.dbs = append(h.dbs, db)
	}
	running, cancel := context.WithCancel(ctx)
	h.stop, h.began = cancel, time.Now()
	for i, db := range h.dbs {
		r := worker.New(worker.Options{
			DB: db, Instance: fmt.Sprintf("replica-%d", i+1), Version: "bench", Lanes: c.Lanes, Batch: c.Batch, UntilIdle: untilIdle,
			Initialise: func(ctx context.Context) (initlock.Result, error) { return c.Initialise(ctx, db) }, Observer: p, Logger: c.Logger,
		})
		h.n++
		go func() {
			err := r.Run(running)
			if err != nil {
				cancel() // the others need not go on
			}
			h.ends <- err
		}()
	}
	return h, nil
}

// wait returns when all replicas have ended, and gives their handles back.
func (h *herd) wait() error {
	var err error
	for range h.n {
		err = errors.Join(err, <-h.ends)
	}
	h.stop()
	return errors.Join(err, h.close())
}

func (h *herd) close() error {
	var err error
	for _, db := range h.dbs {
		err = errors.Join(err, db.Close())
	}
	return err
}

// WrongError says that a run did not do what it was measured for.
type WrongError struct{ Detail string }

func (e *WrongError) Error() string {
	return "the run went wrong, so its figures count for nothing: " + e.Detail
}

// ExitCode is that of a failed audit.
func (e *WrongError) ExitCode() int { return 65 }
