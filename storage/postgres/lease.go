package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

var (
	qInitCreateMarker = queries.Get("init_create_marker")
	qInitBegin        = queries.Get("init_begin")
	qInitActivity     = queries.Get("init_activity")
	qInitReady        = queries.Get("init_ready")
	qInitFailed       = queries.Get("init_failed")
	qInitNotify       = queries.Get("init_notify")
)

// activityTimeout bounds what telling people about the work may cost the work.
const activityTimeout = 2 * time.Second

// lease is the lock, held by a session that cannot be replaced. It is used by one goroutine at a time.
type lease struct {
	db      *DB
	session *sql.DB
	beat    *heartbeat
	epoch   int64
}

// Read implements initlock.Lease.
func (l *lease) Read(ctx context.Context) (initlock.Record, error) {
	var exists bool
	if err := wrap(qInitMarkerExists.Name, l.session.QueryRowContext(ctx, qInitMarkerExists.SQL).Scan(&exists)); err != nil || !exists {
		return initlock.Record{}, err
	}
	return scanMarker(func(dest ...any) error {
		err := l.session.QueryRowContext(ctx, qInitMarker.SQL).Scan(dest...)
		if errors.Is(err, sql.ErrNoRows) {
			return sql.ErrNoRows
		}
		return wrap(qInitMarker.Name, err)
	})
}

// Begin implements initlock.Lease. It looks for the table before it makes it, because CREATE TABLE IF NOT EXISTS asks for
// the right to create even where there is nothing to be created.
func (l *lease) Begin(ctx context.Context, r initlock.Record) (int64, error) {
	tx, err := l.session.BeginTx(ctx, nil)
	if err != nil {
		return 0, wrap(stmtBegin, err)
	}
	defer tx.Rollback() // after the commit it has nothing to do, before it the first error tells
	var exists bool
	if err := tx.QueryRowContext(ctx, qInitMarkerExists.SQL).Scan(&exists); err != nil {
		return 0, wrap(qInitMarkerExists.Name, err)
	}
	if !exists {
		if _, err := tx.ExecContext(ctx, qInitCreateMarker.SQL); err != nil {
			return 0, wrap(qInitCreateMarker.Name, err)
		}
	}
	if err := tx.QueryRowContext(ctx, qInitBegin.SQL, r.Digest, r.Holder).Scan(&l.epoch); err != nil {
		return 0, wrap(qInitBegin.Name, err)
	}
	return l.epoch, wrap(stmtCommit, tx.Commit())
}

// Finish implements initlock.Lease.
func (l *lease) Finish(ctx context.Context, r initlock.Record) error {
	q, args := qInitReady, []any{r.Epoch, r.Revision, r.OldestCompatible}
	if r.State == initlock.Failed {
		q, args = qInitFailed, []any{r.Epoch, r.Error, r.Code}
	}
	done, err := l.session.ExecContext(ctx, q.SQL, args...)
	if err != nil {
		return wrap(q.Name, err)
	}
	rows, err := done.RowsAffected()
	if err != nil {
		return wrap(q.Name, err)
	}
	if rows == 0 {
		return initlock.ErrFenced
	}
	if _, err := l.session.ExecContext(ctx, qInitNotify.SQL); err != nil {
		l.db.log.DebugContext(ctx, "cannot wake those who wait; they poll", "error", wrap(qInitNotify.Name, err))
	}
	return nil
}

// Activity implements initlock.Lease, on a connection of the pool.
func (l *lease) Activity(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, activityTimeout)
	defer cancel()
	return l.db.exec(ctx, qInitActivity, l.epoch, text)
}

// Release implements initlock.Lease. The session ends whatever becomes of the unlocking, which only makes the lock free
// a moment sooner.
func (l *lease) Release(ctx context.Context) error {
	l.beat.stop()
	var unlocked bool
	err := l.session.QueryRowContext(ctx, qInitUnlock.SQL).Scan(&unlocked)
	if err == nil && !unlocked {
		err = &storage.Error{Statement: qInitUnlock.Name, Class: storage.Other, Err: ErrLockLost}
	}
	return errors.Join(wrap(qInitUnlock.Name, err), l.session.Close())
}

// sessionCheck bounds how long a session that failed the work may take to show whether it is still there.
const sessionCheck = 2 * time.Second

// blame says of an error of the work that the session is gone, where it is: the error itself may be anything then, and
// whoever sorts it must be told that the database went away and nobody's work is wrong.
func (l *lease) blame(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrLockLost) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sessionCheck)
	defer cancel()
	if errors.Is(l.session.PingContext(ctx), ErrLockLost) {
		return &storage.Error{Statement: stmtLockSession, Class: storage.Connection, Err: fmt.Errorf("%w; what failed first: %w", ErrLockLost, err)}
	}
	return err
}
