package migrations

import (
	"context"
	"errors"
	"fmt"

	"github.com/safebox/safebox/storage"
)

// foreseeGuards refuses, before anything is written, what would keep a guard from holding: duplicates, and an index of
// someone else's that has the name of the guard's own.
func (j *job) foreseeGuards(ctx context.Context, c catalogue) error {
	found, err := violations(ctx, j.db, c)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return &GuardError{Violations: found}
	}
	t := c[guardedTable]
	for _, g := range guards {
		if x, taken := t.Indexes[g.indexName()]; taken && !x.Invalid && !g.satisfied(t) {
			return &PlanError{
				Problem: fmt.Sprintf("the index %s exists but does not make %s unique", g.indexName(), g.name()),
				Do:      "Rename or drop it, then start again: the right one is built in its place.",
			}
		}
	}
	return nil
}

// buildGuards makes the unique index of each guard that has none, and names those it made.
func (j *job) buildGuards(ctx context.Context) ([]string, error) {
	c, err := readCatalogue(ctx, j.db, j.Dialect)
	if err != nil {
		return nil, err
	}
	found, err := violations(ctx, j.db, c)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return nil, &GuardError{found, Latest()}
	}
	made := []string{}
	for _, g := range guards {
		t := c[guardedTable]
		if g.satisfied(t) {
			continue
		}
		j.progress("building the unique index " + g.indexName())
		if err := j.buildGuard(ctx, g, t); err != nil {
			return made, err
		}
		j.Logger.InfoContext(ctx, "unique index built", "index", g.indexName())
		made = append(made, g.indexName())
	}
	return made, nil
}

func (j *job) buildGuard(ctx context.Context, g guard, t table) error {
	_, stale := t.Indexes[g.indexName()]
	build := func(ctx context.Context) error {
		_, err := j.db.ExecContext(ctx, g.create(j.Dialect))
		return err
	}
	if j.Dialect == storage.PostgreSQL {
		build = func(ctx context.Context) error { return j.buildConcurrently(ctx, g, stale) }
	}
	err := j.patiently(ctx, "build "+g.indexName(), build)
	if err == nil {
		return nil
	}
	// Someone else may have inserted a duplicate since the search: then that is what to tell.
	if found, lookErr := duplicates(ctx, j.db, g); lookErr == nil && len(found) > 0 {
		return &GuardError{found, Latest()}
	}
	return fmt.Errorf("build the unique index %s: %w", g.indexName(), err)
}

// buildConcurrently builds the index without blocking writers. It waits for every transaction that is older than it,
// in which nobody queues behind it, so the short lock timeout of other DDL does not apply. An index that a failed
// attempt left invalid is dropped first, and again after a failure.
func (j *job) buildConcurrently(ctx context.Context, g guard, stale bool) error {
	restore, err := setSession(ctx, j.db, setting{"lock_timeout", "0"}, setting{"statement_timeout", "0"})
	if err != nil {
		return err
	}
	defer restore()
	drop := "DROP INDEX CONCURRENTLY IF EXISTS " + g.indexName()
	if stale {
		if _, err := j.db.ExecContext(ctx, drop); err != nil {
			return err
		}
		j.Logger.WarnContext(ctx, "dropped an index that an earlier attempt left invalid", "index", g.indexName())
	}
	_, err = j.db.ExecContext(ctx, g.create(j.Dialect))
	if err != nil {
		if _, dropErr := j.db.ExecContext(ctx, drop); dropErr != nil {
			err = errors.Join(err, fmt.Errorf("drop what it left: %w", dropErr))
		}
	}
	return err
}
