package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/migrations"
	"github.com/safebox/safebox/storage"
)

// readiness is how long a publisher waits for the workers that prepare the database.
const readiness = 30 * time.Second

var errNotEmpty = errors.New("the database holds tables and is not ready")

// awaitReady waits until the database is ready. An empty one it prepares itself, as a worker would and by the same
// protocol; any other is prepared by a worker or by safebox init alone.
func (a *app) awaitReady(ctx context.Context, db storage.DB) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readiness, fmt.Errorf("%w after %v of waiting", storage.ErrNotInitialised, readiness))
	defer cancel()
	for {
		m, err := db.Marker().Read(ctx)
		if err != nil {
			return err
		}
		unusable := usable(m)
		switch {
		case m.State == initlock.Absent:
			return a.prepareEmpty(ctx, db)
		case m.State != initlock.Running || unusable == nil:
			return unusable
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), unusable)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// prepareEmpty prepares a database without tables of ours. Whether it is empty is asked twice: first without the lock, so that
// nothing is written to one that is not, and again under it.
func (a *app) prepareEmpty(ctx context.Context, db storage.DB) error {
	if err := db.Inspect(ctx, func(ctx context.Context, conn *sql.DB) error { return empty(ctx, conn, db.Dialect()) }); err != nil {
		return notEmpty(err)
	}
	p, err := a.prepare(nil)
	if err != nil {
		return err
	}
	p.lock.Logger, p.options.Logger = a.quiet(), a.quiet()
	_, err = db.Initialise(ctx, p.lock, func(ctx context.Context, conn *sql.DB) error {
		if err := empty(ctx, conn, db.Dialect()); err != nil {
			return err
		}
		return p.work(ctx, conn)
	})
	return notEmpty(err)
}

func empty(ctx context.Context, conn *sql.DB, d storage.Dialect) error {
	s, err := migrations.Current(ctx, conn, d)
	if err != nil {
		return err
	}
	if s.Revision != "" || s.Problem != "" {
		return errNotEmpty
	}
	return nil
}

func notEmpty(err error) error {
	if !errors.Is(err, errNotEmpty) {
		return err
	}
	return &failure{
		Code: exitAgain, Err: fmt.Errorf("%w: %w", storage.ErrNotInitialised, errNotEmpty),
		Todo: "run `safebox init`, which adopts and migrates it, then publish again",
	}
}
