package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	migrate "github.com/rubenv/sql-migrate"

	"github.com/safebox/safebox/storage"
)

const (
	createChecksums = `CREATE TABLE IF NOT EXISTS safebox_migration_checksum (
		id text NOT NULL PRIMARY KEY, sha256 text NOT NULL, applied_at text NOT NULL)`
	createVersion = `CREATE TABLE IF NOT EXISTS alembic_version (
		version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))`
	shortLockTimeout   = "SET LOCAL lock_timeout = '2s'"
	noStatementTimeout = "SET LOCAL statement_timeout = 0"
)

// keepBooks makes the bookkeeping tables and writes what the plan found missing in them, in one transaction.
func (j *job) keepBooks(ctx context.Context, p plan) error {
	// sql-migrate makes its own table, so that it is what its own tool expects.
	err := j.patiently(ctx, "create "+recordsTable, func(context.Context) error {
		_, err := migrate.MigrationSet{}.GetMigrationRecords(j.db, engine(j.Dialect))
		return err
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", recordsTable, err)
	}
	err = j.patiently(ctx, "keep the books", func(ctx context.Context) error { return j.writeBooks(ctx, p) })
	if err != nil {
		return fmt.Errorf("record the applied revisions: %w", err)
	}
	return nil
}

func (j *job) writeBooks(ctx context.Context, p plan) error {
	return j.transact(ctx, func(tx *sql.Tx) error {
		for _, create := range []string{createChecksums, createVersion} {
			if _, err := tx.ExecContext(ctx, create); err != nil {
				return err
			}
		}
		now := time.Now().UTC()
		for _, r := range p.record {
			if _, err := tx.ExecContext(ctx, "INSERT INTO gorp_migrations (id, applied_at) VALUES ($1, $2)", r.File, now); err != nil {
				return err
			}
		}
		for _, r := range p.trust {
			if _, err := tx.ExecContext(ctx, rememberChecksum(r, now)); err != nil {
				return err
			}
		}
		if p.version == "" {
			return nil
		}
		for _, statement := range setVersion(p.version) {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
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

// rememberChecksum and setVersion are plain text, since sql-migrate takes no parameters; they hold nothing but names
// and sums of this build's own files.
func rememberChecksum(r Revision, at time.Time) string {
	return fmt.Sprintf(`INSERT INTO safebox_migration_checksum (id, sha256, applied_at) VALUES ('%s', '%s', '%s')
		ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256, applied_at = excluded.applied_at`,
		r.File, r.SHA256, at.UTC().Format(time.RFC3339))
}

func forgetChecksum(r Revision) string {
	return fmt.Sprintf("DELETE FROM safebox_migration_checksum WHERE id = '%s'", r.File)
}

func setVersion(id string) []string {
	statements := []string{"DELETE FROM alembic_version"}
	if id != "" {
		statements = append(statements, fmt.Sprintf("INSERT INTO alembic_version (version_num) VALUES ('%s')", id))
	}
	return statements
}

// source is the migrations as sql-migrate runs them: the statements of each file and, in the same transaction, the
// checksum and alembic_version.
func (s *set) source(at time.Time) migrate.MigrationSource {
	all := make([]*migrate.Migration, len(s.migrations))
	for i, m := range s.migrations {
		r := s.revisions[i]
		up := append(preamble(s.dialect), m.Up...)
		up = append(up, rememberChecksum(r, at))
		down := append(preamble(s.dialect), m.Down...)
		down = append(down, forgetChecksum(r))
		if after, before := s.alembicOf(i), s.alembicOf(i-1); after != before {
			up = append(up, setVersion(after)...)
			down = append(down, setVersion(before)...)
		}
		all[i] = &migrate.Migration{
			Id: m.Id, Up: up, Down: down,
			DisableTransactionUp: m.DisableTransactionUp, DisableTransactionDown: m.DisableTransactionDown,
		}
	}
	return migrate.MemoryMigrationSource{Migrations: all}
}

// apply runs the revisions after place from, up to place to, one at a time, and names those it ran.
func (j *job) apply(ctx context.Context, from, to int) ([]string, error) {
	done := []string{}
	for place := from + 1; place <= to; place++ {
		r := j.set.revisions[place]
		j.progress("migrating to " + r.ID)
		started := time.Now()
		err := j.patiently(ctx, "migrate to "+r.ID, func(ctx context.Context) error {
			_, err := migrate.MigrationSet{}.ExecMaxContext(ctx, j.db, engine(j.Dialect), j.set.source(started), migrate.Up, 1)
			return cause(err)
		})
		if err != nil {
			return done, &StepError{r.ID, err}
		}
		j.Logger.InfoContext(ctx, "migrated", "revision", r.ID, "name", r.Name, "took", time.Since(started).Round(time.Millisecond))
		done = append(done, r.ID)
	}
	return done, nil
}

// cause takes the error out of sql-migrate's wrapper, which does not unwrap.
func cause(err error) error {
	var e *migrate.TxError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
