package bench

import (
	"context"
	"fmt"
	"strings"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
)

// Options of Run.
type Options struct {
	Cluster
	Shape
	// Rate is how many single events a second are appended while the replicas are at work; 0: everything is appended in
	// batches of 1,000 first, and drained then.
	Rate float64
	// Snapshot lets another session hold a snapshot from before the first event of the activity to the end.
	Snapshot bool
	// Progress is told how far a phase is. It may be called by several goroutines, one after the other.
	Progress func(phase string, done, of int)
}

// Result is what a run measured.
type Result struct {
	OK       bool            `json:"ok"` // the audit found nothing, and nothing is missing
	Dialect  storage.Dialect `json:"dialect"`
	Server   string          `json:"server"`
	Shape    Shape           `json:"shape"`
	Replicas int             `json:"replicas"`
	Lanes    int             `json:"lanes"`
	Batch    int             `json:"batch"`
	Rate     float64         `json:"rate,omitempty"` // asked for
	Snapshot bool            `json:"snapshot"`
	Phases   []Phase         `json:"phases"`
	Lag      *Latency        `json:"lag,omitempty"` // from an event's append to the commit of its processing; of a paced run
	Windows  []Window        `json:"lag_windows,omitempty"`
	Audit    ledger.Audit    `json:"audit"`
}

// Phase is a part of a run.
type Phase struct {
	Name    string   `json:"name"`
	Events  int      `json:"events"`
	Seconds float64  `json:"seconds"`
	Rate    float64  `json:"events_per_second"`
	Calls   *Latency `json:"append,omitempty"` // of its appends, one call each
	Cost    Cost     `json:"per_event"`
}

// Run measures a workload on an empty database, which it fills. A run that went wrong is a *WrongError.
func Run(ctx context.Context, o Options) (r Result, err error) {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	r = Result{
		Dialect: o.Storage.URL.Dialect, Shape: o.Shape, Replicas: o.Replicas, Lanes: o.Lanes, Batch: o.Batch,
		Rate: o.Rate, Snapshot: o.Snapshot, Phases: []Phase{},
	}
	if err := o.Check(); err != nil {
		return r, err
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	b := bencher{o, &r, &tally{}}
	b.Storage.Observer = b.tally
	if err := b.Open(ctx, o.Shape, b.progress("opening wallets", o.Opened())); err != nil {
		return r, err
	}
	if r.Server, err = b.server(ctx); err != nil {
		return r, err
	}
	work := func() error { return b.measure(ctx) }
	if o.Snapshot {
		err = b.Hold(ctx, work)
	} else {
		err = work()
	}
	if err != nil {
		return r, err
	}
	o.Progress("auditing", 0, 0)
	r.Audit, err = b.Audit(ctx, o.Opened()+o.Events)
	r.OK = err == nil
	return r, err
}

type bencher struct {
	Options
	result *Result
	tally  *tally
}

func (b bencher) progress(phase string, of int) func(int) {
	return func(done int) { b.Progress(phase, done, of) }
}

func (b bencher) measure(ctx context.Context) error {
	if b.Rate > 0 {
		return b.phase(ctx, "append and drain", func() (Timing, error) {
			f, err := b.Flow(ctx, b.Activity(), b.Events, b.Rate, b.progress("appending and draining", b.Events))
			b.result.Lag, b.result.Windows = &f.Lag, f.Windows
			return f.Timing, err
		})
	}
	err := b.phase(ctx, "append", func() (Timing, error) {
		return b.Append(ctx, b.Activity(), b.progress("appending", b.Events))
	})
	if err != nil {
		return err
	}
	return b.phase(ctx, "drain", func() (Timing, error) {
		return b.Drain(ctx, b.Events, b.progress("draining", b.Events))
	})
}

// phase measures a part of the run, with what it cost the database.
func (b bencher) phase(ctx context.Context, name string, work func() (Timing, error)) error {
	before, err := b.read(ctx, b.tally)
	if err != nil {
		return err
	}
	t, err := work()
	if err != nil {
		return err
	}
	after, err := b.read(ctx, b.tally)
	if err != nil {
		return err
	}
	p := Phase{Name: name, Events: t.Events, Seconds: t.Took.Seconds(), Rate: t.Rate(), Cost: after.since(before, t.Events)}
	if t.Calls.Count > 0 {
		p.Calls = &t.Calls
	}
	b.result.Phases = append(b.result.Phases, p)
	return nil
}

// Audit proves that so many events are in the log, each processed exactly once and in order, or says what is wrong.
func (c Cluster) Audit(ctx context.Context, events int) (a ledger.Audit, err error) {
	err = c.with(ctx, "auditor", func(db storage.DB) error {
		a, err = db.Audit(ctx, event.Topic, worker.Group)
		return err
	})
	if err != nil {
		return a, err
	}
	var wrong []string
	if a.Events != int64(events) || a.Pending != 0 || a.Parked != 0 {
		wrong = append(wrong, fmt.Sprintf("%d events are in the log instead of %d, %d of them not processed and %d parked",
			a.Events, events, a.Pending, a.Parked))
	}
	for _, f := range a.Findings {
		if len(wrong) == 10 {
			wrong = append(wrong, "and more")
			break
		}
		wrong = append(wrong, fmt.Sprintf("audit: %s: %s: %s", f.Check, f.Subject, f.Detail))
	}
	if len(wrong) > 0 || !a.OK {
		return a, &WrongError{Detail: strings.Join(wrong, "; ")}
	}
	return a, nil
}
