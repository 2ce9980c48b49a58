package faulttest

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

// steps is how many steps follow the preparation, each a transaction of its own that writes two rows.
const steps = 20

// open opens the database as a process of its own does.
func open(ctx context.Context, url, name string, log io.Writer) (storage.DB, error) {
	u, err := storage.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, storage.Options{URL: u, Role: "worker", Instance: name, Logger: slog.New(slog.NewTextHandler(log, nil))})
}

// initialise prepares the database, leaving a trail: what it did itself, and how much of the trail it found when it began.
func initialise(ctx context.Context, db storage.DB, name string, leading func(epoch int64)) (initlock.Result, error) {
	o := initlock.Options{
		Digest: "the work of these tests", Revision: migrations.Latest(), OldestCompatible: migrations.OldestCompatible, Name: name,
	}
	return db.Initialise(ctx, o, func(ctx context.Context, conn *sql.DB) error {
		var epoch int64
		if err := conn.QueryRowContext(ctx, "SELECT epoch FROM safebox_init").Scan(&epoch); err != nil {
			return err
		}
		leading(epoch)
		for _, statement := range []string{
			cmp.Or(os.Getenv(victimFirst), "SELECT 1"),
			"CREATE TABLE IF NOT EXISTS trail (epoch bigint NOT NULL, step integer NOT NULL)",
			"CREATE TABLE IF NOT EXISTS arrival (epoch bigint NOT NULL, found bigint NOT NULL)",
			fmt.Sprintf("INSERT INTO arrival SELECT %d, count(*) FROM trail", epoch),
		} {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		o := migrations.Options{
			Dialect: db.Dialect(), Logger: slog.New(slog.DiscardHandler),
			Progress: func(activity string) { initlock.Note(ctx, activity) },
		}
		if _, err := migrations.Prepare(ctx, conn, o); err != nil {
			return err
		}
		for step := range steps {
			if err := walk(ctx, conn, db.Dialect(), epoch, step); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		}
		return nil
	})
}

// walk is one step: two rows, slowly. Every second step is one statement that commits by itself, so that there is one
// running on the server when its process dies; the others are transactions that wait for their process in between.
func walk(ctx context.Context, conn *sql.DB, d storage.Dialect, epoch int64, step int) error {
	if step%2 == 0 {
		rows := "SELECT 1 UNION ALL SELECT 2"
		if d == storage.PostgreSQL {
			rows = "SELECT pg_sleep(0.01) UNION ALL SELECT pg_sleep(0.01)"
		}
		_, err := conn.ExecContext(ctx, fmt.Sprintf("INSERT INTO trail SELECT %d, %d FROM (%s) AS slow", epoch, step, rows))
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for range 2 {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO trail VALUES (%d, %d)", epoch, step)); err != nil {
			return err
		}
		pause(ctx)
	}
	return tx.Commit()
}

// sound holds a database to numbers 2 and 3 of the package's promises: fresh is what a database shows that nothing
// happened to.
func sound(t *testing.T, db *sql.DB, d storage.Dialect, fresh []string) {
	t.Helper()
	same(t, fresh, describe(t, db, d))
	if half := rows(t, db, "SELECT epoch, step, count(*) FROM trail GROUP BY epoch, step HAVING count(*) <> 2"); len(half) > 0 {
		t.Errorf("steps that are there by half (epoch, step, rows): %q", half)
	}
	late := rows(t, db, `SELECT a.epoch, a.found, (SELECT count(*) FROM trail t WHERE t.epoch < a.epoch)
		FROM arrival a WHERE a.found <> (SELECT count(*) FROM trail t WHERE t.epoch < a.epoch)`)
	if len(late) > 0 {
		t.Errorf("a dead leader's statements committed after its successor began (epoch, rows found, rows now): %q", late)
	}
	last := one(t, db, "SELECT count(*) FROM trail t JOIN safebox_init m ON m.epoch = t.epoch AND m.state = 'ready'")
	if last != fmt.Sprint(2*steps) {
		t.Errorf("the leader that declared the database ready left %s rows; want %d", last, 2*steps)
	}
}
