package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/safebox/safebox/storage"
)

const (
	lockTimeout        = "2s"
	shortLockTimeout   = "SET LOCAL lock_timeout = '" + lockTimeout + "'"
	noStatementTimeout = "SET LOCAL statement_timeout = 0"
)

// createBooks are the statements that make the bookkeeping tables. gorp_migrations is as sql-migrate makes it, so that it
// is what its own tool expects.
func createBooks(d storage.Dialect) []string {
	records := `CREATE TABLE IF NOT EXISTS gorp_migrations (id text NOT NULL PRIMARY KEY, applied_at timestamp with time zone)`
	if d == storage.SQLite {
		records = `CREATE TABLE IF NOT EXISTS gorp_migrations (id varchar(255) NOT NULL PRIMARY KEY, applied_at datetime)`
	}
	return []string{
		records,
		`CREATE TABLE IF NOT EXISTS safebox_migration_checksum (id text NOT NULL PRIMARY KEY, sha256 text NOT NULL, applied_at text NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))`,
	}
}

// keepBooks makes the bookkeeping tables and writes into them, in one transaction.
func (j *job) keepBooks(ctx context.Context, books []string) error {
	err := j.patiently(ctx, "keep the books", func(ctx context.Context) error {
		return j.transact(ctx, func(tx *sql.Tx) error {
			return execute(ctx, tx, append(createBooks(j.Dialect), books...)...)
		})
	})
	if err != nil {
		return fmt.Errorf("record the applied revisions: %w", err)
	}
	return nil
}

// execute runs statements one after another, up to the first that fails.
func execute(ctx context.Context, tx *sql.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return explain(err)
		}
	}
	return nil
}

// transact runs f in a transaction; on PostgreSQL with the short lock timeout.
func (j *job) transact(ctx context.Context, f func(*sql.Tx) error) (err error) {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(tx))
		}
	}()
	if err := execute(ctx, tx, preamble(j.Dialect)...); err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// preamble is what every transaction of a migration begins with.
func preamble(d storage.Dialect) []string {
	if d == storage.PostgreSQL {
		return []string{shortLockTimeout, noStatementTimeout}
	}
	return nil
}

// apply runs the revisions after place from, up to place to, one at a time, and names those it ran.
func (j *job) apply(ctx context.Context, from, to int) ([]string, error) {
	done := []string{}
	for place := from + 1; place <= to; place++ {
		if err := j.run(ctx, place, true); err != nil {
			return done, err
		}
		done = append(done, j.set.revisions[place].ID)
	}
	return done, nil
}

// revert takes back the revisions from place from down to the one after place to, one at a time, and names those it
// took back.
func (j *job) revert(ctx context.Context, from, to int) ([]string, error) {
	done := []string{}
	for place := from; place > to; place-- {
		if err := j.run(ctx, place, false); err != nil {
			return done, err
		}
		done = append(done, j.set.revisions[place].ID)
	}
	return done, nil
}

// run takes one revision up or down.
func (j *job) run(ctx context.Context, place int, up bool) error {
	r := j.set.revisions[place]
	now, done := "migrating to ", "migrated"
	if !up {
		now, done = "taking back ", "taken back"
	}
	j.progress(now + r.ID)
	started := time.Now()
	if err := j.carry(ctx, place, up); err != nil {
		return err
	}
	j.Logger.InfoContext(ctx, done, "revision", r.ID, "name", r.Name, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// task is what a run does with a revision.
func task(id string, up bool) string {
	if up {
		return "migrate to " + id
	}
	return "take back " + id
}

func (j *job) carry(ctx context.Context, place int, up bool) error {
	if j.set.steps(place, up) != nil {
		return j.walk(ctx, place, up)
	}
	var all []string
	for _, s := range j.set.statements(place, up, time.Now()) {
		all = append(all, s.SQL)
	}
	err := j.patiently(ctx, task(j.id(place), up), func(ctx context.Context) error {
		return j.revise(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, all...) })
	})
	if err != nil {
		return &StepError{Revision: j.id(place), Err: err}
	}
	return nil
}
