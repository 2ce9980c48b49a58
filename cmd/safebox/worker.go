package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/safebox/safebox/cmd/safebox/internal/sdnotify"
	"github.com/safebox/safebox/cmd/safebox/internal/tracing"
	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/metrics"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/query"
)

func (a *app) workerCommand() *cobra.Command {
	var untilIdle bool
	c := &cobra.Command{
		Use: "worker", Short: "Run a replica: prepare the database or wait for it, then process events",
		Long: "worker is what an orchestrator starts, any number of times and at the same moment. SIGTERM makes it finish what it has\n" +
			"in hand and exit 0; a second signal, unless it is the same within half a second, ends it at once.",
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.work(cmd.Context(), untilIdle)
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				a.log.Info("stopped before there was any work in hand")
				return nil
			}
			return err
		},
	}
	c.Flags().BoolVar(&untilIdle, "until-idle", false, "process what there is and exit")
	c.Flags().StringVar(&a.named, "instance", "", "the name of this replica (default: host, process id and four letters)")
	c.Flags().MarkHidden("instance") //nolint:errcheck // the flag is there
	return c
}

// work opens in this order: the metrics, which observe all the rest; the address, so that a wrong one is told before
// anything is written; the database; the replica. It closes in the reverse.
func (a *app) work(ctx context.Context, untilIdle bool) error {
	if a.named != "" {
		a.instance = a.named
	}
	if err := a.refuseMemory("worker"); err != nil {
		return err
	}
	worker.TuneMemory(a.getenv)
	traces, err := tracing.Start(ctx, a.getenv, version, a.instance, a.log)
	if err != nil {
		return err
	}
	defer stopTracing(traces, a.log) //nolint:contextcheck // ctx has ended by then
	registry := metrics.New(metrics.Options{
		TraceID: traces.TraceID(),
		Version: version, Commit: commit(), Dialect: a.conf.Database.Dialect,
		Statements: storage.Statements(a.conf.Database.Dialect), Groups: []string{ledgerGroup}, Guards: migrations.Guards(), Logger: a.log,
	})
	supervisor, err := sdnotify.New(a.getenv, os.Getpid(), a.log)
	if err != nil {
		a.log.Warn("the service manager cannot be told all of how this process fares", "error", err)
	}
	p, err := a.prepare(registry)
	if err != nil {
		return err
	}
	if a.conf.Secrets.Empty() {
		a.log.Info("events with secrets (access keys, emergency codes, NWC secrets) are refused: set " + event.KeyVariable + " to seal them with")
	}
	server, err := api.Listen(ctx, api.ServerOptions{
		Addr: a.conf.HTTPAddr, Explicit: a.conf.HTTPChosen, IngestToken: a.conf.IngestToken, Logger: a.log,
	})
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // whoever served has closed it
	o := a.options("worker")
	o.Observer, o.Spans = registry, traces != nil
	return a.with(ctx, o, func(ctx context.Context, db storage.DB) error {
		registry.WatchPool(db.Pool)
		return worker.New(worker.Options{
			DB: db, Instance: a.instance, Version: version, Lanes: a.conf.Lanes, Batch: a.conf.Batch, Drain: a.conf.Drain,
			UntilIdle: untilIdle, Observer: registry, Logger: a.log, HTTP: a.http(server, db, registry, traces), Supervisor: supervisor,
			Guards: guards(db), Span: traces.Span(),
			Initialise: func(ctx context.Context) (initlock.Result, error) {
				return a.initialise(ctx, db, p.lock, counted(p.work, registry.Guard))
			},
		}).Run(ctx)
	})
}

// tracesLeft bounds how long the end of a worker waits for a collector to take its last spans.
const tracesLeft = 2 * time.Second

func stopTracing(t *tracing.Tracing, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), tracesLeft)
	defer cancel()
	if err := t.Stop(ctx); err != nil {
		logger.Warn("the last spans could not be sent", "error", err)
	}
}

// counted is a leader's work that tells how many values break each guard, for whoever looks before the process ends.
func counted(work func(context.Context, *sql.DB) error, guard func(name string, violations int)) func(context.Context, *sql.DB) error {
	return func(ctx context.Context, db *sql.DB) error {
		err := work(ctx, db)
		var bad *migrations.GuardError
		if errors.As(err, &bad) {
			for name, n := range byGuard(bad.Violations) {
				guard(name, n)
			}
		}
		return err
	}
}

// guards counts the values that break each guard of a database. Where the unique indexes are in place, it reads the
// catalogue alone.
func guards(db storage.DB) func(context.Context) (map[string]int, error) {
	return func(ctx context.Context) (map[string]int, error) {
		var found []migrations.Violation
		err := db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) (err error) {
			found, err = migrations.Guard(ctx, conn, db.Dialect())
			return err
		})
		return byGuard(found), err
	}
}

// byGuard counts violations by guard; a guard that nothing breaks has none.
func byGuard(found []migrations.Violation) map[string]int {
	n := map[string]int{}
	for _, name := range migrations.Guards() {
		n[name] = 0
	}
	for _, v := range found {
		n[v.Guard]++
	}
	return n
}

// http serves the replica's HTTP surface until ctx ends.
func (a *app) http(server *api.Server, db storage.DB, registry *metrics.Registry, traces *tracing.Tracing) func(context.Context, worker.Probes, worker.Appender) error {
	return func(ctx context.Context, probes worker.Probes, appender worker.Appender) error {
		return server.Serve(ctx, traces.Handler(api.New(api.Options{
			Appender: appender, Ready: probes.Ready, Stuck: probes.Stuck, Metrics: registry.Handler(), IngestToken: a.conf.IngestToken,
			AdminToken: a.conf.AdminToken, Operations: worker.Operations{DB: db, Logger: a.log}, Observer: registry, Logger: a.log,
			Queries: query.Answers{DB: db, StatusOptions: a.statusOptions()},
		})))
	}
}
