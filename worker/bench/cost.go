package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/safebox/safebox/storage"
)

// Cost is what the database did for one event.
type Cost struct {
	Commits    float64 `json:"commits"`
	Statements float64 `json:"statements"` // that the replicas and the producer sent
	// Rows are those inserted, updated and deleted, and WALBytes is the growth of the server's log; PostgreSQL counts them.
	Rows     float64 `json:"rows,omitempty"`
	WALBytes float64 `json:"wal_bytes,omitempty"`
	// FileBytes is the growth of SQLite's file, after its own log was folded back into it.
	FileBytes float64 `json:"file_bytes,omitempty"`
}

// counters are what a database has done so far.
type counters struct{ commits, statements, rows, walBytes, fileBytes int64 }

// since is what happened between two readings, for each of n events.
func (c counters) since(before counters, n int) Cost {
	each := func(now, then int64) float64 { return float64(now-then) / float64(n) }
	return Cost{
		Commits: each(c.commits, before.commits), Statements: each(c.statements, before.statements),
		Rows: each(c.rows, before.rows), WALBytes: each(c.walBytes, before.walBytes), FileBytes: each(c.fileBytes, before.fileBytes),
	}
}

// tally counts statements, as storage.Observer.
type tally struct{ statements, commits atomic.Int64 }

func (t *tally) Statement(_ context.Context, name string, _ time.Duration, _ storage.Class) {
	t.statements.Add(1)
	if name == "commit" {
		t.commits.Add(1)
	}
}

func (t *tally) Acquire(time.Duration, bool) {}

// read reads the counters while no other handle of the cluster is open: a session tells the server what it did when it ends.
func (c Cluster) read(ctx context.Context, t *tally) (n counters, err error) {
	n.statements = t.statements.Load()
	if c.Storage.URL.Dialect == storage.SQLite {
		n.commits = t.commits.Load()
		info, err := os.Stat(c.Storage.URL.Path)
		if err != nil {
			return n, fmt.Errorf("measuring the database file: %w", err)
		}
		n.fileBytes = info.Size()
		return n, nil
	}
	err = c.with(ctx, "counters", func(db storage.DB) error {
		return db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) error {
			if err := alone(ctx, conn); err != nil {
				return err
			}
			return conn.QueryRowContext(ctx, `
				SELECT xact_commit, tup_inserted + tup_updated + tup_deleted,
					pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint
				FROM pg_stat_database WHERE datname = current_database()`).Scan(&n.commits, &n.rows, &n.walBytes)
		})
	})
	return n, err
}

// alone waits until the sessions of the other handles have ended.
func alone(ctx context.Context, conn *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var others int
		err := conn.QueryRowContext(ctx, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'safebox/bench/%'
				AND application_name NOT IN ('safebox/bench/counters', 'safebox/bench/snapshot')`).Scan(&others)
		if err != nil || others == 0 {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("the sessions of the replicas did not end within 10 s")
		}
	}
}

// server describes the database and the settings of it that decide what a commit costs.
func (c Cluster) server(ctx context.Context) (description string, err error) {
	query := `SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync') ||
		', synchronous_commit ' || current_setting('synchronous_commit')`
	if c.Storage.URL.Dialect == storage.SQLite {
		query = `SELECT 'SQLite ' || sqlite_version() || ', WAL, synchronous FULL'`
	}
	err = c.with(ctx, "counters", func(db storage.DB) error {
		return db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) error {
			return conn.QueryRowContext(ctx, query).Scan(&description)
		})
	})
	return description, err
}

// Hold lets another session hold a snapshot while the work goes on, as a dump does.
func (c Cluster) Hold(ctx context.Context, work func() error) error {
	return c.with(ctx, "snapshot", func(db storage.DB) error {
		return db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) error {
			if db.Dialect() == storage.PostgreSQL {
				if _, err := conn.ExecContext(ctx, "SET idle_in_transaction_session_timeout = 0"); err != nil {
					return err
				}
			}
			tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: isolation(db.Dialect())})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			var n int64
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM event_cursor").Scan(&n); err != nil {
				return err
			}
			if err := work(); err != nil {
				return err
			}
			// It must have held to the end.
			return tx.QueryRowContext(ctx, "SELECT count(*) FROM event_cursor").Scan(&n)
		})
	})
}

func isolation(d storage.Dialect) sql.IsolationLevel {
	if d == storage.PostgreSQL {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}
