package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/safebox/safebox/storage"
)

// concurrent reads the statements that build and drop indexes without keeping writers out.
var concurrent = regexp.MustCompile(`(?i)^(create|drop)\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+(?:not\s+)?exists\s+)?([a-z_][a-z0-9_]*)`)

// indexStep is a step that builds or drops an index concurrently.
type indexStep struct {
	name string
	drop bool
}

// indexOf reads a statement, nil for one that does neither.
func indexOf(sql string) *indexStep {
	m := concurrent.FindStringSubmatch(sql)
	if m == nil {
		return nil
	}
	return &indexStep{name: strings.ToLower(m[2]), drop: strings.EqualFold(m[1], "drop")}
}

// look asks the catalogue for the index.
func (x *indexStep) look(ctx context.Context, db *sql.DB) (exists, valid bool, err error) {
	err = db.QueryRowContext(ctx, `SELECT x.indisvalid AND x.indisready AND x.indislive
		FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid
		WHERE i.relname = $1 AND i.relnamespace = to_regnamespace(quote_ident(current_schema()))`, x.name).Scan(&valid)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("look for the index %s: %w", x.name, err)
	}
	return true, valid, nil
}

// refuseTaken refuses to build an index under a name that somebody else's has. It is asked before the intent is recorded:
// with an intent, an index of that name is taken for our own.
func (j *job) refuseTaken(ctx context.Context, x *indexStep) error {
	if x == nil || x.drop {
		return nil
	}
	exists, _, err := x.look(ctx, j.db)
	if err == nil && exists {
		err = &takenError{fmt.Sprintf("the index %s, which the revision builds, exists already", x.name)}
	}
	return err
}

// reconcile finds out, with an intent recorded, whether the step is done. An index that was left invalid is dropped, so that
// it can be built again.
func (j *job) reconcile(ctx context.Context, x *indexStep, again bool) (done bool, err error) {
	if !again {
		return false, nil
	}
	exists, valid, err := x.look(ctx, j.db)
	switch {
	case err != nil:
		return false, err
	case x.drop:
		return !exists, nil
	case exists && !valid:
		_, err := j.db.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+x.name)
		if err == nil {
			j.Logger.WarnContext(ctx, "dropped an index that an earlier attempt left invalid", "index", x.name)
		}
		return false, err
	default:
		return exists, nil
	}
}

// sweepTimeout bounds the way back from an index that could not be built.
const sweepTimeout = 10 * time.Second

// sweep drops what an attempt that failed has left of an index: writers need not keep it up until the next one.
func (j *job) sweep(ctx context.Context, x *indexStep) error {
	if x == nil || x.drop || ctx.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	if exists, valid, err := x.look(ctx, j.db); err != nil || !exists || valid {
		return nil // the next run looks again
	}
	if _, err := j.db.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+x.name); err != nil {
		return fmt.Errorf("drop what was left of %s: %w", x.name, err)
	}
	return nil
}

// outsideSettings makes the session ready for a statement outside a transaction, and returns what puts the old settings
// back. An index is built while it waits for transactions that are older than it, in which nobody queues behind it.
func (j *job) outsideSettings(ctx context.Context, index bool) (restore func(), err error) {
	if j.Dialect != storage.PostgreSQL {
		return func() {}, nil
	}
	lock := lockTimeout
	if index {
		lock = "0"
	}
	return setSession(ctx, j.db, setting{"lock_timeout", lock}, setting{"statement_timeout", "0"}, setting{"synchronous_commit", "off"},
		setting{"client_min_messages", "notice"})
}

// lazily puts before a step's statements what makes its commit wait for no disk: the commit of the books at the end brings
// every one before it to the disk, and a server that breaks down before loses steps together with their records.
func (j *job) lazily(statements ...string) []string {
	if j.Dialect != storage.PostgreSQL {
		return statements
	}
	return append([]string{"SET LOCAL synchronous_commit = off"}, statements...)
}
