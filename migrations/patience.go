package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// The pauses between two tries for a lock grow from the first to the longest; each is shortened by a random part.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// patiently runs work, and again after a pause for as long as it fails because others hold a lock; it ends with the
// context. Work must leave nothing behind when it fails.
func (j *job) patiently(ctx context.Context, what string, work func(context.Context) error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := work(ctx)
		switch {
		case err == nil || !locked(j.Dialect, err):
			return err
		case ctx.Err() != nil: // nor does a statement that was cancelled wait for others, which SQLite calls temporary, too
			return errors.Join(ctx.Err(), err)
		}
		wait := pause/2 + rand.N(pause/2)
		j.Logger.WarnContext(ctx, "others hold a lock that is needed; trying again", "doing", what, "attempt", try,
			"in", wait.Round(time.Millisecond), "holders", j.holders(ctx))
		j.progress("waiting for a lock to " + what)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("gave up waiting for a lock to %s after %s: %w", what, count(try, "try", "tries"), errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// locked tells whether an error means that someone else held a lock for too long, or that the server broke a deadlock.
func locked(d storage.Dialect, err error) bool {
	if d == storage.PostgreSQL {
		state := sqlState(err)
		return state == "55P03" || state == "40P01" // lock_not_available, deadlock_detected
	}
	var busy interface{ Temporary() bool } // the file stayed locked for the whole busy timeout
	return errors.As(err, &busy) && busy.Temporary()
}

// holders describes the sessions with locks on the schema's tables, oldest transaction first. Their statements stay
// out of it: those may hold secrets.
func (j *job) holders(ctx context.Context) string {
	if j.Dialect != storage.PostgreSQL {
		return "another process is writing to the file"
	}
	rows, err := j.db.QueryContext(ctx, `
		SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), c.relname, l.mode,
		       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS age
		FROM pg_locks l
		JOIN pg_class c ON c.oid = l.relation
		JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'p') AND l.pid <> pg_backend_pid()
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND c.relnamespace = to_regnamespace(quote_ident(current_schema()))
		ORDER BY age DESC, a.pid LIMIT 10`)
	if err != nil {
		return "unknown: " + err.Error()
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var pid int
		var application, state, relation, mode string
		var age float64
		if err := rows.Scan(&pid, &application, &state, &relation, &mode, &age); err != nil {
			return "unknown: " + err.Error()
		}
		all = append(all, fmt.Sprintf("pid %d (%s, %s, transaction open for %s) holds %s on %s", pid, application, state,
			time.Duration(age*float64(time.Second)).Round(time.Millisecond), mode, relation))
	}
	if err := rows.Err(); err != nil {
		return "unknown: " + err.Error()
	}
	if len(all) == 0 {
		return "none any more"
	}
	return strings.Join(all, "; ")
}

// setting is a parameter of a session on PostgreSQL.
type setting struct{ name, value string }

// setSession sets parameters of the session on PostgreSQL, and returns what puts the old values back.
func setSession(ctx context.Context, db *sql.DB, settings ...setting) (restore func(), err error) {
	var read, write []string
	var values, old []any
	for i, s := range settings {
		read = append(read, fmt.Sprintf("current_setting('%s')", s.name))
		write = append(write, fmt.Sprintf("set_config('%s', $%d, false)", s.name, i+1))
		values, old = append(values, s.value), append(old, new(string))
	}
	set := "SELECT " + strings.Join(write, ", ")
	if err := db.QueryRowContext(ctx, "SELECT "+strings.Join(read, ", ")).Scan(old...); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, set, values...); err != nil {
		return nil, err
	}
	return func() {
		// A connection that cannot take its old settings back is broken, and the next statement on it says so.
		_, _ = db.ExecContext(context.WithoutCancel(ctx), set, old...)
	}, nil
}
