package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
)

// stmtAcquire names failures to get a connection, which are no statement's.
const stmtAcquire = "acquire"

// acquire borrows a connection, waiting at most the policy's timeout: then the error is *storage.PoolTimeoutError.
// The caller releases it.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, db.options.Policy.Timeout)
	defer cancel()
	c, err := db.pool.Acquire(bounded)
	took := time.Since(began)
	if err == nil {
		db.options.Observer.Acquire(took, false)
		return c, nil
	}
	stat := db.pool.Stat()
	timedOut := bounded.Err() != nil && ctx.Err() == nil && stat.AcquiredConns() >= stat.MaxConns()
	db.options.Observer.Acquire(took, timedOut)
	if timedOut {
		db.timeouts.Add(1)
		return nil, &storage.PoolTimeoutError{InUse: int(stat.AcquiredConns()), Max: int(stat.MaxConns()), Waited: took}
	}
	if ctx.Err() != nil {
		return nil, wrap(stmtAcquire, ctx.Err())
	}
	return nil, &storage.Error{Statement: stmtAcquire, Class: connectClass(err), Err: sanitize(err)}
}

// querier is what a pool's connection, a transaction and a plain connection have in common.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// on picks what a statement runs on: the given connection or transaction or, without one, a connection of the pool.
func (db *DB) on(ctx context.Context, given querier) (q querier, release func(), err error) {
	if given != nil {
		return given, func() {}, nil
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, c.Release, nil
}

// exec runs a statement in autocommit on a connection of the pool.
func (db *DB) exec(ctx context.Context, q storage.Query, args ...any) error {
	_, err := db.execOn(ctx, nil, q, args...)
	return err
}

// execOn runs a statement on a connection or transaction and tells how many rows it touched.
func (db *DB) execOn(ctx context.Context, given querier, q storage.Query, args ...any) (int64, error) {
	on, release, err := db.on(ctx, given)
	if err != nil {
		return 0, err
	}
	defer release()
	tag, err := on.Exec(ctx, q.SQL, args...)
	return tag.RowsAffected(), wrap(q.Name, err)
}

// query runs a statement in autocommit on a connection of the pool; closing the rows gives the connection back. Errors
// that come up while the rows are read are wrapped too.
func (db *DB) query(ctx context.Context, q storage.Query, args ...any) (pgx.Rows, error) {
	return db.queryOn(ctx, nil, q, args...)
}

// queryOn is query on a connection or transaction.
func (db *DB) queryOn(ctx context.Context, given querier, q storage.Query, args ...any) (pgx.Rows, error) {
	on, release, err := db.on(ctx, given)
	if err != nil {
		return nil, err
	}
	inner, err := on.Query(ctx, q.SQL, args...)
	if err != nil {
		release()
		return nil, wrap(q.Name, err)
	}
	return &rows{Rows: inner, name: q.Name, release: release}, nil
}

// queryRow runs a statement that returns at most one row and scans it into dest, on the given connection or transaction
// or, when that is nil, on one of the pool. The arguments come as a slice. Without a row the error is pgx.ErrNoRows.
func (db *DB) queryRow(ctx context.Context, q storage.Query, args []any, dest ...any) error {
	return db.queryRowOn(ctx, nil, q, args, dest...)
}

// queryRowOn is queryRow on a connection or transaction.
func (db *DB) queryRowOn(ctx context.Context, given querier, q storage.Query, args []any, dest ...any) error {
	on, release, err := db.on(ctx, given)
	if err != nil {
		return err
	}
	defer release()
	err = on.QueryRow(ctx, q.SQL, args...).Scan(dest...)
	if errors.Is(err, pgx.ErrNoRows) {
		return pgx.ErrNoRows
	}
	return wrap(q.Name, err)
}

// call is a statement with its arguments.
type call struct {
	storage.Query
	args []any
}

// queryAfter runs a statement after another, whose rows do not matter: a lock, or settings. Both take one round trip and one
// transaction, and the second sees what was committed before the first had ended.
func (db *DB) queryAfter(ctx context.Context, first, second call, read func(pgx.Rows) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var b pgx.Batch
	b.Queue(first.SQL, first.args...)
	b.Queue(second.SQL, second.args...)
	results := conn.SendBatch(ctx, &b)
	if _, err := results.Exec(); err != nil {
		results.Close() //nolint:errcheck // the first error is the one that matters
		return wrap(first.Name, err)
	}
	rows, _ := results.Query() // reading the rows returns the error of the query
	err = read(rows)
	rows.Close()
	if closeErr := results.Close(); err == nil { // Close carries the error of the commit
		err = closeErr
	}
	return wrap(second.Name, err)
}

// rows wraps the errors of pgx.Rows with the statement's name, and gives the connection back once.
type rows struct {
	pgx.Rows
	name    string
	release func()
}

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.give()
	return false
}

func (r *rows) Close() {
	r.Rows.Close()
	r.give()
}

func (r *rows) give() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

func (r *rows) Err() error             { return wrap(r.name, r.Rows.Err()) }
func (r *rows) Scan(dest ...any) error { return wrap(r.name, r.Rows.Scan(dest...)) }
