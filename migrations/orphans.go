package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/safebox/safebox/storage"
)

// revise is transact for the statements of a revision. On SQLite foreign keys are off meanwhile, because a table that is
// rebuilt (made anew, filled, the old one dropped, the new one renamed) would else take the rows that refer to it along; in
// exchange nothing is committed that leaves a row without the one it refers to.
func (j *job) revise(ctx context.Context, f func(*sql.Tx) error) (err error) {
	if j.Dialect != storage.SQLite {
		return j.transact(ctx, f)
	}
	var on bool
	if err := j.db.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&on); err != nil {
		return fmt.Errorf("read whether foreign keys are enforced: %w", err)
	}
	if on {
		if _, err := j.db.ExecContext(ctx, "PRAGMA foreign_keys = off"); err != nil {
			return fmt.Errorf("leave foreign keys alone: %w", err)
		}
		defer func() {
			if _, back := j.db.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = on"); back != nil {
				err = errors.Join(err, fmt.Errorf("enforce foreign keys again: %w", back))
			}
		}()
	}
	return j.transact(ctx, func(tx *sql.Tx) error {
		before, err := countOrphans(ctx, tx)
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		after, err := countOrphans(ctx, tx)
		if err != nil {
			return err
		}
		return compareOrphans(before, after)
	})
}

// reference is a table and the one that it refers to.
type reference struct{ child, parent string }

// countOrphans counts the rows whose parent is missing.
func countOrphans(ctx context.Context, tx *sql.Tx) (map[reference]int, error) {
	rows, err := tx.QueryContext(ctx, `SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY "table", parent`)
	if err != nil {
		return nil, fmt.Errorf("check the foreign keys: %w", err)
	}
	defer rows.Close()
	all := map[reference]int{}
	for rows.Next() {
		var r reference
		var n int
		if err := rows.Scan(&r.child, &r.parent, &n); err != nil {
			return nil, fmt.Errorf("check the foreign keys: %w", err)
		}
		all[r] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("check the foreign keys: %w", err)
	}
	return all, nil
}

func compareOrphans(before, after map[reference]int) error {
	var worse []string
	for r, n := range after {
		if more := n - before[r]; more > 0 {
			worse = append(worse, fmt.Sprintf("%s of %s to %s", count(more, "reference", "references"), r.child, r.parent))
		}
	}
	if len(worse) == 0 {
		return nil
	}
	sort.Strings(worse)
	return fmt.Errorf("it leaves rows without the rows that they refer to: %s; correct the revision's statements, which lose them", strings.Join(worse, ", "))
}
