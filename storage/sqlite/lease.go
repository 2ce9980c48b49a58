package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

var (
	qInitCreateMarker = queries.Get("init_create_marker")
	qInitBegin        = queries.Get("init_begin")
	qInitReady        = queries.Get("init_ready")
	qInitFailed       = queries.Get("init_failed")
)

// lease is the lock, held by this process, and the connection that the work runs on. It is used by one goroutine at a
// time.
type lease struct {
	db      *DB
	file    *lockFile
	session *sql.DB
	stmts   *statements
}

// Read implements initlock.Lease.
func (l *lease) Read(ctx context.Context) (initlock.Record, error) {
	return readMarker(func(q storage.Query, dest ...any) error { return l.db.queryRowOn(ctx, l.stmts, q, nil, dest...) })
}

// Begin implements initlock.Lease.
func (l *lease) Begin(ctx context.Context, r initlock.Record) (epoch int64, err error) {
	tx, err := l.session.BeginTx(ctx, nil)
	if err != nil {
		return 0, wrapFor(ctx, stmtBegin, err)
	}
	defer tx.Rollback() // after the commit it has nothing to do, before it the first error tells
	here := &statements{on: tx}
	defer here.close() //nolint:errcheck // they end with the transaction
	if _, err := l.db.execOn(ctx, here, qInitCreateMarker); err != nil {
		return 0, err
	}
	if err := l.db.queryRowOn(ctx, here, qInitBegin, []any{r.Digest, r.Holder, eventStamp(time.Now())}, &epoch); err != nil {
		return 0, err
	}
	return epoch, wrapFor(ctx, stmtCommit, tx.Commit())
}

// Finish implements initlock.Lease.
func (l *lease) Finish(ctx context.Context, r initlock.Record) error {
	q, args := qInitReady, []any{r.Epoch, r.Revision, r.OldestCompatible, eventStamp(time.Now())}
	if r.State == initlock.Failed {
		q, args = qInitFailed, []any{r.Epoch, r.Error, r.Code, eventStamp(time.Now())}
	}
	rows, err := l.db.execOn(ctx, l.stmts, q, args...)
	if err == nil && rows == 0 {
		return initlock.ErrFenced
	}
	return err
}

// Activity implements initlock.Lease. It is told in the lock file: the database may be locked by the work itself.
func (l *lease) Activity(_ context.Context, text string) error { return l.file.tell(text) }

// Release implements initlock.Lease. The connection is closed first, so that whatever the work left open on it is rolled
// back before another may lead.
func (l *lease) Release(context.Context) error {
	return errors.Join(l.stmts.close(), l.session.Close(), l.file.unlock())
}
