package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// River's settings: the fastest that were found on two cores.
const (
	riverWorkers = 64
	riverPool    = 32
	riverFetch   = 5 * time.Millisecond
)

// riverInTx completes each job in the transaction that applies its event: exactly once, as the ledger promises.
var riverInTx = peer{"River, completing in the transaction", loadRiver, runRiver(true)}

// riverPlain lets River complete jobs afterwards, in batches: at least once.
var riverPlain = peer{"River", loadRiver, runRiver(false)}

// eventJob is an event as a River job.
type eventJob struct {
	Partition int             `json:"p"`
	Position  int64           `json:"pos"`
	Type      string          `json:"typ"`
	Subject   string          `json:"subj"`
	Data      json.RawMessage `json:"d"`
	Time      time.Time       `json:"happened"`
}

func (eventJob) Kind() string { return "event" }

const applyStatement = "SELECT bench_apply($1, $2, $3, $4, $5, $6)"

func (j eventJob) args() []any {
	return []any{j.Partition, j.Position, j.Type, j.Subject, j.Data, j.Time}
}

type eventWorker struct {
	river.WorkerDefaults[eventJob]
	pool *pgxpool.Pool
	inTx bool
}

func (w *eventWorker) Work(ctx context.Context, job *river.Job[eventJob]) error {
	if !w.inTx {
		_, err := w.pool.Exec(ctx, applyStatement, job.Args.args()...)
		return err
	}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it may be committed
	if _, err := tx.Exec(ctx, applyStatement, job.Args.args()...); err != nil {
		return err
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func riverConnections(ctx context.Context, url string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns = riverPool
	return pgxpool.NewWithConfig(ctx, c)
}

func loadRiver(ctx context.Context, url string) error {
	pool, err := riverConnections(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent})
	if err != nil {
		return err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `
		INSERT INTO river_job (kind, max_attempts, args)
		SELECT 'event', 25, jsonb_build_object('p', partition, 'pos', position, 'typ', type, 'subj', subject, 'd', data, 'happened', time)
		FROM bench_queue ORDER BY n`)
	return err
}

func runRiver(inTx bool) func(context.Context, string, int) (time.Duration, error) {
	return func(ctx context.Context, url string, n int) (took time.Duration, err error) {
		pool, err := riverConnections(ctx, url)
		if err != nil {
			return 0, err
		}
		defer pool.Close()
		workers := river.NewWorkers()
		river.AddWorker(workers, &eventWorker{pool: pool, inTx: inTx})
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
			Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}}, Workers: workers, Logger: silent,
			FetchCooldown: riverFetch, FetchPollInterval: riverFetch,
		})
		if err != nil {
			return 0, err
		}
		ended, cancel := client.SubscribeConfig(&river.SubscribeConfig{
			Kinds: []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed}, ChanSize: n,
		})
		defer cancel()
		began := time.Now()
		if err := client.Start(ctx); err != nil {
			return 0, err
		}
		for range n {
			select {
			case e := <-ended:
				if e.Kind != river.EventKindJobCompleted {
					err = fmt.Errorf("job %d failed: %v", e.Job.ID, e.Job.Errors)
				}
			case <-ctx.Done():
				err = ctx.Err()
			}
			if err != nil {
				break
			}
		}
		took = time.Since(began)
		stopping, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer done()
		if stop := client.Stop(stopping); err == nil {
			err = stop
		}
		return took, err
	}
}
