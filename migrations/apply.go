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
	shortLockTimeout   = "SET LOCAL lock_timeout = '2s'"
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
			for _, statement := range append(createBooks(j.Dialect), books...) {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("record the applied revisions: %w", err)
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
	for _, statement := range preamble(j.Dialect) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
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
	doing, done := "migrate to "+r.ID, "migrated"
	if up {
		j.progress("migrating to " + r.ID)
	} else {
		j.progress("taking back " + r.ID)
		doing, done = "take back "+r.ID, "taken back"
	}
	started := time.Now()
	err := j.patiently(ctx, doing, func(ctx context.Context) error {
		return j.transact(ctx, func(tx *sql.Tx) error { return execute(ctx, tx, j.set.statements(place, up, started)) })
	})
	if err != nil {
		return &StepError{r.ID, err}
	}
	j.Logger.InfoContext(ctx, done, "revision", r.ID, "name", r.Name, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

func execute(ctx context.Context, tx *sql.Tx, statements []statement) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s.SQL); err != nil {
			return err
		}
	}
	return nil
}
