package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/terminal"
	"github.com/safebox/safebox/cmd/safebox/internal/throwaway"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bench"
)

// benchFarewell is how long removing the database may take after a failure or a Ctrl-C.
const benchFarewell = 10 * time.Second

func (a *app) benchCommand() *cobra.Command {
	var o bench.Options
	c := a.printing(&cobra.Command{
		Use: "bench", Short: "Measure the cluster on a throw-away database beside DATABASE",
		Long: "bench appends a workload of mixed wallet events and lets replicas drain it, on a database of its own: on the server of\n" +
			"DATABASE, whose role needs CREATEDB for it, or in a folder beside its SQLite file. It prints events a second,\n" +
			"latencies, and what the database did for each event, and removes the database. With --rate, single events are\n" +
			"appended at that pace while the replicas are at work, and the lag is what counts. The audit ends every run: one\n" +
			"that went wrong exits 65. DATABASE itself is not touched, but its server or its disk is kept busy.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := benchUsage(o); err != nil {
				return &usageError{err}
			}
			return a.bench(cmd.Context(), o)
		},
	})
	f := c.Flags()
	f.IntVar(&o.Events, "events", 200_000, "how many events of activity, beside the two that open each wallet")
	f.IntVar(&o.Wallets, "wallets", 10_000, "how many wallets they are about")
	f.Float64Var(&o.Zipf, "zipf", 0, "the k-th wallet gets a share of 1/k^`S` of the events; 0: all the same")
	f.Float64Var(&o.Hot, "hot", 0, "the `SHARE` of the events that is on one wallet, from 0 to 1")
	f.Float64Var(&o.Rate, "rate", 0, "append so many single events a second while they are drained; 0: append all in batches, then drain")
	f.IntVar(&o.Replicas, "replicas", 1, "how many replicas drain")
	f.BoolVar(&o.Snapshot, "snapshot", false, "let another session hold a snapshot meanwhile, as a dump does")
	f.Uint64Var(&o.Seed, "seed", 1, "which events to draw")
	return c
}

// The longest paced run, and the most replicas, which would only wait for one another's connections.
const (
	benchLongest  = 24 * time.Hour
	benchReplicas = 16
)

func benchUsage(o bench.Options) error {
	switch err := o.Check(); {
	case err != nil:
		return fmt.Errorf("--%w", err)
	case o.Replicas < 1 || o.Replicas > benchReplicas:
		return fmt.Errorf("--replicas: expected 1 to %d", benchReplicas)
	case !(o.Rate >= 0 && o.Rate <= 1e6):
		return errors.New("--rate: expected 0 to 1000000 events a second")
	case o.Rate > 0 && float64(o.Events)/o.Rate > benchLongest.Seconds():
		return fmt.Errorf("--rate: so many events at that rate take longer than %s", benchLongest)
	}
	return nil
}

func (a *app) bench(ctx context.Context, o bench.Options) (err error) {
	p, err := a.prepare(nil)
	if err != nil {
		return err
	}
	worker.TuneMemory(a.getenv) // as each of the replicas would
	o.Storage = a.options("bench")
	var remove func(context.Context) error
	o.Storage.URL, remove, err = throwaway.Database(ctx, a.conf.Database, "bench")
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchFarewell)
		defer cancel()
		err = errors.Join(err, remove(ctx))
	}()
	if o.Storage.Direct.Dialect == storage.PostgreSQL {
		o.Storage.Direct = o.Storage.Direct.WithDatabase(o.Storage.URL.Database())
	}
	o.Storage.Logger, o.Logger, p.lock.Logger, p.options.Logger = a.quiet(), a.quiet(), a.quiet(), a.quiet()
	o.Lanes, o.Batch = a.conf.Lanes, a.conf.Batch
	o.Initialise = func(ctx context.Context, db storage.DB) (initlock.Result, error) {
		return a.initialise(ctx, db, p.lock, p.work)
	}

	line := terminal.NewProgress(a.err)
	o.Progress = func(phase string, done, of int) {
		line.Say(func() string {
			if of == 0 {
				return "  " + phase
			}
			return fmt.Sprintf("  %s: %s of %s events", phase, terminal.Count(done), terminal.Count(of))
		})
	}
	result, err := bench.Run(ctx, o)
	line.Clear()
	var wrong *bench.WrongError
	if err != nil && !errors.As(err, &wrong) {
		return err
	}
	return errors.Join(err, a.print(result, func() error { return a.showBench(result) }))
}

// showBench prints a result for people.
func (a *app) showBench(r bench.Result) error {
	if err := a.printf("%s; %s on %s, %s of %s each, batches of %s", r.Server, terminal.Plural(r.Shape.Events, "event"),
		terminal.Plural(r.Shape.Wallets, "wallet"), terminal.Plural(r.Replicas, "replica"), terminal.Plural(r.Lanes, "lane"),
		terminal.Count(r.Batch)); err != nil {
		return err
	}
	t := terminal.NewTable(a.out, "PHASE", ":EVENTS", ":SECONDS", ":EVENTS/S", ":COMMITS", ":STATEMENTS", ":"+benchBytes(r), ":ROWS")
	for _, p := range r.Phases {
		bytes, rows := p.Cost.WALBytes, fmt.Sprintf("%.2f", p.Cost.Rows)
		if r.Dialect == storage.SQLite {
			bytes, rows = p.Cost.FileBytes, "not counted"
		}
		t.Row(p.Name, terminal.Count(p.Events), fmt.Sprintf("%.2f", p.Seconds), terminal.Count(int(p.Rate)),
			fmt.Sprintf("%.4f", p.Cost.Commits), fmt.Sprintf("%.4f", p.Cost.Statements), terminal.Count(int(bytes)), rows)
	}
	if err := errors.Join(a.printf(""), t.Flush(), a.printf("")); err != nil {
		return err
	}
	t = terminal.NewTable(a.out, "LATENCY, ms", ":COUNT", ":P50", ":P90", ":P99", ":MAX")
	row := func(name string, l bench.Latency) {
		t.Row(name, terminal.Count(l.Count), fmt.Sprintf("%.1f", l.P50), fmt.Sprintf("%.1f", l.P90), fmt.Sprintf("%.1f", l.P99),
			fmt.Sprintf("%.1f", l.Max))
	}
	for _, p := range r.Phases {
		if p.Calls != nil {
			row(benchCall(r), *p.Calls)
		}
	}
	if r.Lag != nil {
		row("append to processed, warm", *r.Lag)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if !r.OK {
		return nil // the error tells
	}
	return a.printf("\nThe audit is clean: %s in the log, each processed exactly once and in order.", terminal.Plural(r.Audit.Events, "event"))
}

// benchBytes is what the bytes of an event are counted in: the server's log, or the file.
func benchBytes(r bench.Result) string {
	if r.Dialect == storage.SQLite {
		return "FILE BYTES"
	}
	return "WAL BYTES"
}

func benchCall(r bench.Result) string {
	if r.Rate > 0 {
		return "append of 1 event, from when it was due"
	}
	return "append of 1,000 events"
}
