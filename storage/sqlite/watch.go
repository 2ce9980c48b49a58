package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/safebox/safebox/storage"
)

// watcher asks on a connection of its own, which never writes, whether any other has changed the file.
type watcher struct {
	mu     sync.Mutex
	pool   *sql.DB
	conn   *sql.Conn
	stmts  *statements
	closed bool
}

// dataVersion is a number that differs from the one before when the file was changed in between, by this process or by
// another. It costs a few microseconds and takes no lock.
func (db *DB) dataVersion(ctx context.Context) (version int64, err error) {
	w := &db.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.ready(ctx, db); err != nil {
		return 0, wrapFor(ctx, stmtOpen, err)
	}
	err = db.queryRowOn(ctx, w.stmts, qDataVersion, nil, &version)
	return version, err
}

var qDataVersion = queries.Get("data_version")

var errClosed = &storage.Error{Statement: stmtOpen, Class: storage.Connection, Err: errors.New("the database is closed")}

func (w *watcher) ready(ctx context.Context, db *DB) (err error) {
	switch {
	case w.closed:
		return errClosed
	case w.conn != nil:
		return nil
	case w.pool == nil:
		if w.pool, err = db.connect(); err != nil {
			return err
		}
	}
	if w.conn, err = w.pool.Conn(ctx); err != nil {
		return err
	}
	w.stmts = &statements{on: w.conn}
	return nil
}

func (w *watcher) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	var errs []error
	if w.conn != nil {
		errs = append(errs, w.stmts.close(), w.conn.Close())
	}
	if w.pool != nil {
		errs = append(errs, w.pool.Close())
	}
	return errors.Join(errs...)
}
