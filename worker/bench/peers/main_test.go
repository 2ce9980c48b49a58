package peers

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
	"github.com/safebox/safebox/worker"
	"github.com/safebox/safebox/worker/bench"
)

func TestMain(m *testing.M) {
	worker.TuneMemory(os.Getenv) // as the program does
	dbtest.Main(m, removeGraphile)
}

// patience bounds each measurement.
const patience = 15 * time.Minute

var silent = slog.New(slog.DiscardHandler)

// cluster is one replica with the default settings of its dialect, on the database of the URL.
func cluster(tb testing.TB, url string) bench.Cluster {
	tb.Helper()
	u, err := storage.ParseURL(url)
	must(tb, err)
	lanes := map[storage.Dialect]int{storage.PostgreSQL: 4, storage.SQLite: 1}[u.Dialect]
	prepare := func(ctx context.Context, conn *sql.DB) error {
		_, err := migrations.Prepare(ctx, conn, migrations.Options{Dialect: u.Dialect, Logger: silent})
		return err
	}
	return bench.Cluster{
		Storage: storage.Options{URL: u, Logger: silent}, Replicas: 1, Lanes: lanes, Batch: 500, Logger: silent,
		Initialise: func(ctx context.Context, db storage.DB) (initlock.Result, error) {
			return db.Initialise(ctx, initlock.Options{
				Digest: migrations.Digest(u.Dialect, migrations.Seed{}, nil), Revision: migrations.Latest(),
				OldestCompatible: migrations.OldestCompatible, Name: "bench", Logger: silent,
			}, prepare)
		},
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// drainBatch is SAFEBOX_BATCH for a drain, as an operator sets it who has a long backlog. What comes in slowly makes no batch of
// that size, nor of the default's.
const drainBatch = 4000

// bulk is cluster in batches of drainBatch.
func bulk(tb testing.TB, url string) bench.Cluster {
	tb.Helper()
	c := cluster(tb, url)
	c.Batch = drainBatch
	return c
}

// execute runs statements that take no arguments, on a connection of their own.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.200s: %w", s, err)
		}
	}
	return nil
}

//go:embed apply.sql
var applySQL string

// templates are prepared databases, of which each measurement gets a copy.
type templates struct {
	server *dbtest.PostgreSQLServer
	number int
}

// add makes a template: fill gets the URL of an empty database.
func (t *templates) add(ctx context.Context, name string, fill func(url string) error) error {
	if err := execute(ctx, t.server.URL(""), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := fill(t.server.URL(name)); err != nil {
		return err
	}
	// All begin alike: statistics are there, and the pages are as a vacuum leaves them.
	return execute(ctx, t.server.URL(name), "VACUUM (ANALYZE)")
}

// with runs the work on a copy of a template.
func (t *templates) with(ctx context.Context, template string, work func(url string) error) error {
	t.number++
	name := fmt.Sprintf("copy_%d", t.number)
	admin := t.server.URL("")
	if err := execute(ctx, admin, "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY file_copy", "CHECKPOINT"); err != nil {
		return err
	}
	err := work(t.server.URL(name))
	if drop := execute(context.WithoutCancel(ctx), admin, "DROP DATABASE "+name+" WITH (FORCE)"); err == nil {
		err = drop
	}
	return err
}

// filled fills an empty database with a workload that nobody has drained.
func filled(ctx context.Context, tb testing.TB, s bench.Shape) func(url string) error {
	return func(url string) error {
		c := cluster(tb, url)
		if err := c.Open(ctx, s, nil); err != nil {
			return err
		}
		if _, err := c.Append(ctx, s.Activity(), nil); err != nil {
			return err
		}
		return execute(ctx, url, applySQL)
	}
}

func environment(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
