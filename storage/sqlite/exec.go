package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/safebox/safebox/storage"
)

// runner is where statements run, but for the writer's transaction: the pool of readers, a snapshot or a connection of its own.
type runner interface {
	// prepared gives the statement ready to run here.
	prepared(ctx context.Context, q storage.Query) (*sql.Stmt, error)
}

// execOn runs a statement and tells how many rows it touched.
func (db *DB) execOn(ctx context.Context, on runner, q storage.Query, args ...any) (int64, error) {
	began := time.Now()
	s, err := on.prepared(ctx, q) //nolint:sqlclosecheck // it is closed with what it was prepared on
	var result sql.Result
	if err == nil {
		result, err = s.ExecContext(ctx, args...)
	}
	if err = db.ended(ctx, q.Name, began, err); err != nil {
		return 0, err
	}
	n, _ := result.RowsAffected() // this driver always knows
	return n, nil
}

// queryOn runs a statement that returns rows; the caller closes them. What their methods return is wrapped.
func (db *DB) queryOn(ctx context.Context, on runner, q storage.Query, args ...any) (*rows, error) {
	began := time.Now()
	s, err := on.prepared(ctx, q) //nolint:sqlclosecheck // it is closed with what it was prepared on
	if err == nil {
		var inner *sql.Rows
		if inner, err = s.QueryContext(ctx, args...); err == nil { //nolint:rowserrcheck // the caller's to do
			return &rows{found: inner, ended: func(err error) error { return db.ended(ctx, q.Name, began, err) }, ctx: ctx, name: q.Name}, nil
		}
	}
	return nil, db.ended(ctx, q.Name, began, err)
}

// queryRowOn runs a statement that returns at most one row and scans it; without a row the error is sql.ErrNoRows. The
// arguments come as a slice.
func (db *DB) queryRowOn(ctx context.Context, on runner, q storage.Query, args []any, dest ...any) error {
	began := time.Now()
	s, err := on.prepared(ctx, q) //nolint:sqlclosecheck // it is closed with what it was prepared on
	if err == nil {
		err = s.QueryRowContext(ctx, args...).Scan(dest...)
	}
	return db.ended(ctx, q.Name, began, err)
}

// query reads in autocommit, on a connection of the readers' pool; closing the rows gives it back.
func (db *DB) query(ctx context.Context, q storage.Query, args ...any) (*rows, error) {
	if err := db.reading.take(ctx); err != nil {
		return nil, err
	}
	r, err := db.queryOn(ctx, &db.reads, q, args...)
	if err != nil {
		db.reading.give()
		return nil, err
	}
	r.release = db.reading.give
	return r, nil
}

// queryRow reads one row in autocommit; without a row the error is sql.ErrNoRows. The arguments come as a slice.
func (db *DB) queryRow(ctx context.Context, q storage.Query, args []any, dest ...any) error {
	if err := db.reading.take(ctx); err != nil {
		return err
	}
	defer db.reading.give()
	return db.queryRowOn(ctx, &db.reads, q, args, dest...)
}

// snapshot lets read run several statements that see the file as it was at one moment.
func (db *DB) snapshot(ctx context.Context, read func(runner) error) error {
	if err := db.reading.take(ctx); err != nil {
		return err
	}
	defer db.reading.give()
	tx, err := db.readers.BeginTx(ctx, nil)
	if err != nil {
		return wrap(stmtBegin, err)
	}
	defer tx.Rollback() // it only read
	// Prepared here and not once for all: that would need a second connection while this one is taken.
	here := &statements{on: tx}
	defer here.close() //nolint:errcheck // they end with the transaction
	return read(here)
}

// ended tells the observer of a statement and wraps its error.
func (db *DB) ended(ctx context.Context, name string, began time.Time, err error) error {
	took := time.Since(began)
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		db.options.Observer.Statement(ctx, name, took, "")
		return err
	}
	err = wrapFor(ctx, name, err)
	db.options.Observer.Statement(ctx, name, took, storage.ClassOf(err))
	return err
}

// statements are prepared once on a pool or a connection, by name.
type statements struct {
	on interface {
		PrepareContext(context.Context, string) (*sql.Stmt, error)
	}
	mu  sync.Mutex
	all map[string]*sql.Stmt
}

func (s *statements) prepared(ctx context.Context, q storage.Query) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.all[q.Name]; ok {
		return stmt, nil
	}
	stmt, err := s.on.PrepareContext(ctx, q.SQL) //nolint:sqlclosecheck // it is closed with what it was prepared on
	if err != nil {
		return nil, err
	}
	if s.all == nil {
		s.all = map[string]*sql.Stmt{}
	}
	s.all[q.Name] = stmt
	return stmt, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	s.all = nil
	return errors.Join(errs...)
}

// rows are the rows of a statement. Their end, which is when the statement ends, is told to the observer.
type rows struct {
	found   found
	ended   func(error) error
	ctx     context.Context
	name    string
	release func()
	closed  bool
}

// found is where rows come from: database/sql, or a statement on the writer's connection.
type found interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Next goes to the next row; false after the last one and after an error.
func (r *rows) Next() bool { return r.found.Next() }

// Scan reads the row into the destinations.
func (r *rows) Scan(dest ...any) error { return wrap(r.name, r.found.Scan(dest...)) }

// Err is the error that ended the rows.
func (r *rows) Err() error { return wrapFor(r.ctx, r.name, r.found.Err()) }

// Close ends the statement. A second call does nothing.
func (r *rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	failed := r.found.Err()
	err := r.found.Close()
	if r.release != nil {
		r.release()
	}
	if failed == nil {
		failed = err
	}
	return r.ended(failed)
}

// each scans every row into dest, calls f after each, and closes the rows.
func (r *rows) each(dest []any, f func() error) error {
	for r.Next() {
		if err := r.Scan(dest...); err != nil {
			return errors.Join(err, r.Close())
		}
		if err := f(); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	return r.Close()
}
