package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/safebox/safebox/storage"
)

// writer is the one connection that writes. Whoever has its slot has it.
type writer struct {
	slots  *slots
	open   func(context.Context) (*sqlite3.Conn, error)
	closed func()                   // told of each connection's end
	conn   *sqlite3.Conn            // nil: there is none
	stmts  map[string]*sqlite3.Stmt // prepared on conn, by name
}

// transaction is the writer's transaction. It is used by one goroutine.
//
// It works on SQLite's own interface: database/sql would box, convert and lock for every row of a batch. Its statements are
// prepared once in the life of the connection.
type transaction struct {
	db   *DB
	done bool
	dead error // SQLite has rolled back by itself, for this
}

var (
	errTxDone = errors.New("the transaction has ended")
	errTxDead = errors.New("the transaction was rolled back by the error before")
)

// write begins a transaction that holds SQLite's write lock. It waits for other goroutines and for other processes, for
// each at most the policy's timeout. The caller commits it or rolls it back.
func (db *DB) write(ctx context.Context) (*transaction, error) {
	if err := db.writer.slots.take(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	err := db.writer.ready(ctx)
	if err == nil {
		err = db.writer.exec(ctx, "BEGIN IMMEDIATE")
	}
	err = wrapFor(ctx, stmtBegin, err)
	db.options.Observer.Statement(ctx, stmtBegin, time.Since(began), storage.ClassOf(err))
	if err != nil {
		if !db.writer.idle() {
			db.writer.discard()
		}
		db.writer.slots.give()
		return nil, err
	}
	return &transaction{db: db}, nil
}

// exec runs a statement and tells how many rows it touched.
func (tx *transaction) exec(ctx context.Context, q storage.Query, args ...any) (n int64, err error) {
	err = tx.run(ctx, q, func(stmt *sqlite3.Stmt) error {
		p := params{stmt: stmt}
		p.all(args...)
		if err := p.once(); err != nil {
			return err
		}
		n = tx.db.writer.conn.Changes()
		return nil
	})
	return n, err
}

// many runs a statement once for each row. To the observer it is one statement.
func many[R any](ctx context.Context, tx *transaction, q storage.Query, rows []R, bind func(*params, R)) error {
	if len(rows) == 0 {
		return nil
	}
	return tx.run(ctx, q, func(stmt *sqlite3.Stmt) error {
		p := params{stmt: stmt}
		for _, r := range rows {
			bind(&p, r)
			if err := p.once(); err != nil {
				return err
			}
		}
		return nil
	})
}

// run lets use work with a statement that returns no rows, or none that anybody reads.
func (tx *transaction) run(ctx context.Context, q storage.Query, use func(*sqlite3.Stmt) error) error {
	began := time.Now()
	stmt, err := tx.prepared(ctx, q)
	if err == nil {
		err = errors.Join(use(stmt), stmt.ClearBindings())
	}
	return tx.ended(ctx, q.Name, began, err)
}

// query runs a statement that returns rows. They must be closed before the next statement changes what they read.
func (tx *transaction) query(ctx context.Context, q storage.Query, args ...any) (*rows, error) {
	began := time.Now()
	stmt, err := tx.prepared(ctx, q)
	if err == nil {
		p := params{stmt: stmt}
		p.all(args...)
		err = p.err
	}
	if err != nil {
		return nil, tx.ended(ctx, q.Name, began, err)
	}
	end := func(err error) error { return tx.ended(ctx, q.Name, began, err) }
	return &rows{found: &cursor{stmt}, ended: end, ctx: ctx, name: q.Name}, nil
}

// queryRow reads one row; without one the error is sql.ErrNoRows. The arguments come as a slice.
func (tx *transaction) queryRow(ctx context.Context, q storage.Query, args []any, dest ...any) error {
	rows, err := tx.query(ctx, q, args...)
	if err != nil {
		return err
	}
	if !rows.Next() {
		if err := rows.Close(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	return errors.Join(rows.Scan(dest...), rows.Close())
}

// prepared gives a statement, to run under ctx.
func (tx *transaction) prepared(ctx context.Context, q storage.Query) (*sqlite3.Stmt, error) {
	switch {
	case tx.done:
		return nil, errTxDone
	case tx.dead != nil:
		return nil, errTxDead
	}
	w := &tx.db.writer
	w.conn.SetInterrupt(ctx)
	if stmt := w.stmts[q.Name]; stmt != nil {
		return stmt, nil
	}
	stmt, rest, err := w.conn.PrepareFlags(q.SQL, sqlite3.PREPARE_PERSISTENT)
	if err == nil && strings.TrimSpace(rest) != "" {
		err = errors.Join(fmt.Errorf("%s is more than one statement", q.Name), stmt.Close())
	}
	if err != nil {
		return nil, err
	}
	w.stmts[q.Name] = stmt
	return stmt, nil
}

// ended is DB.ended. After an error it looks whether SQLite has ended the transaction: on some errors, a full disk or an
// interrupted statement, it does.
func (tx *transaction) ended(ctx context.Context, name string, began time.Time, err error) error {
	err = tx.db.ended(ctx, name, began, err)
	if err != nil && !tx.done && tx.dead == nil && tx.db.writer.idle() {
		tx.dead = err
	}
	return err
}

// commit makes the transaction durable and gives the writer back. After an error nothing of it remains.
func (tx *transaction) commit(ctx context.Context) error {
	if tx.done {
		return wrap(stmtCommit, errTxDone)
	}
	if tx.dead != nil {
		tx.rollback()
		return wrap(stmtCommit, errTxDead)
	}
	if tx.db.closing.Load() {
		tx.rollback()
		return errClosed
	}
	began := time.Now()
	err := tx.db.writer.exec(ctx, "COMMIT")
	err = wrapFor(ctx, stmtCommit, err)
	tx.db.options.Observer.Statement(ctx, stmtCommit, time.Since(began), storage.ClassOf(err))
	if err != nil {
		tx.rollback()
		return err
	}
	tx.end()
	return nil
}

// rollback gives the writer back with nothing done. After commit it does nothing. It takes no context: it is often the end
// of the caller's that brings a rollback about.
func (tx *transaction) rollback() {
	if tx.done {
		return
	}
	defer tx.end()
	w := &tx.db.writer
	if w.idle() {
		return
	}
	began := time.Now()
	ctx := context.Background()
	err := w.exec(ctx, "ROLLBACK")
	tx.db.options.Observer.Statement(ctx, stmtRollback, time.Since(began), storage.ClassOf(wrap(stmtRollback, err)))
	if !w.idle() {
		w.discard() // closing the connection rolls back
	}
}

func (tx *transaction) end() {
	tx.done = true
	if tx.db.closing.Load() { // Close could not wait for this transaction
		tx.db.writer.discard()
	}
	tx.db.writer.slots.give()
}

// ready opens the connection when there is none.
func (w *writer) ready(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	conn, err := w.open(ctx)
	if err != nil {
		return err
	}
	w.conn, w.stmts = conn, map[string]*sqlite3.Stmt{}
	return nil
}

// exec runs a statement without parameters on the connection.
func (w *writer) exec(ctx context.Context, text string) error {
	w.conn.SetInterrupt(ctx)
	return w.conn.Exec(text)
}

// idle tells whether no transaction is open on the connection.
func (w *writer) idle() bool { return w.conn == nil || w.conn.GetAutocommit() }

// discard closes the connection; the next transaction opens a new one.
func (w *writer) discard() {
	if w.conn == nil {
		return
	}
	for _, stmt := range w.stmts {
		_ = stmt.Close()
	}
	_ = w.conn.Close() // what was committed is in the file already
	w.conn, w.stmts = nil, nil
	w.closed()
}

// close waits for the transaction that is open, writes the log back into the file as far as it goes, and closes for good.
func (w *writer) close(ctx context.Context) error {
	if err := w.slots.take(ctx); err != nil {
		return err
	}
	defer w.slots.give()
	if w.conn != nil {
		_ = w.exec(ctx, "PRAGMA wal_checkpoint(PASSIVE)") // the next process reads the log all the same
	}
	w.discard()
	return nil
}
