package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/safebox/safebox/storage"
)

// DB is the handle on a SQLite file.
type DB struct {
	options storage.Options
	path    string // absolute
	log     *slog.Logger

	writer  writer
	readers *sql.DB
	reading *slots
	reads   statements // prepared on readers
	watcher watcher

	opened  atomic.Int64
	gone    atomic.Int64
	closing atomic.Bool
}

// Open opens the file, making it and its folder where they are missing, unless the options say that it must exist.
func Open(ctx context.Context, o storage.Options) (*DB, error) {
	o = o.WithDefaults()
	if err := o.Policy.Validate(); err != nil {
		return nil, err
	}
	path, err := prepareFile(o)
	if err != nil {
		return nil, err
	}
	db := &DB{options: o, path: path, log: o.Logger}
	db.reading = newSlots(o.Policy.Size, o.Policy.Timeout, o.Observer)
	db.writer.slots = newSlots(1, o.Policy.Timeout, o.Observer)
	db.writer.open, db.writer.closed = db.openWriter, func() { db.gone.Add(1) }
	if db.readers, err = db.connect(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	db.readers.SetMaxOpenConns(o.Policy.Size)
	db.readers.SetMaxIdleConns(o.Policy.Size)
	db.readers.SetConnMaxLifetime(max(o.Policy.Recycle, 0))
	db.reads.on = db.readers
	if err := db.Ping(ctx); err != nil {
		_ = db.Close() // the error of opening is the one to tell
		return nil, openError(path, err)
	}
	return db, nil
}

// Dialect is sqlite.
func (db *DB) Dialect() storage.Dialect { return storage.SQLite }

// Ping reads the file's catalogue, which fails when the file is no database.
func (db *DB) Ping(ctx context.Context) error {
	var tables int
	return db.queryRow(ctx, queries.Get("ping"), nil, &tables)
}

// ClockOffset implements storage.DB: the file has no clock, and every process that writes into it reads this machine's.
func (db *DB) ClockOffset(context.Context) (offset, within time.Duration, err error) {
	return 0, 0, nil
}

// Pool tells the state of the readers and the writer together.
func (db *DB) Pool() storage.PoolStats {
	r, w := db.reading.stats(), db.writer.slots.stats()
	stats := db.readers.Stats()
	opened, gone := db.opened.Load(), db.gone.Load()
	closed := map[string]int64{"recycle": stats.MaxLifetimeClosed, "overflow": 0, "idle": 0, "broken": 0, "shutdown": 0}
	if rest := gone - stats.MaxLifetimeClosed; rest > 0 {
		if db.closing.Load() {
			closed["shutdown"] = rest
		} else {
			closed["broken"] = rest
		}
	}
	inUse := r.inUse + w.inUse
	return storage.PoolStats{
		Idle:          max(int(opened-gone)-inUse, 0),
		InUse:         inUse,
		Max:           r.max + w.max,
		Acquires:      r.acquires + w.acquires,
		EmptyAcquires: r.waits + w.waits,
		EmptyWait:     r.waited + w.waited,
		Timeouts:      r.timeouts + w.timeouts,
		Opened:        opened,
		Closed:        closed,
	}
}

// closeGrace is how long Close waits for a transaction that is still open.
const closeGrace = 2 * time.Second

// Close gives everything back. A transaction that is still open after a moment is left to its caller, who rolls it back:
// then its connection is closed too.
func (db *DB) Close() error {
	if !db.closing.CompareAndSwap(false, true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	var errs []error
	errs = append(errs, db.watcher.close())
	if db.readers != nil {
		errs = append(errs, db.reads.close(), db.readers.Close())
	}
	if err := db.writer.close(ctx); err != nil {
		db.log.Warn("a transaction was still open when the database was closed; it is rolled back when it ends", "error", err)
	}
	return errors.Join(errs...)
}

// openError says what is wrong with a file that cannot be read as a database.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, sqlite3.NOTADB):
		return fmt.Errorf("%w: %s is not a SQLite database (or an encrypted one): check the path in DATABASE", storage.ErrConfig, path)
	case errors.Is(err, sqlite3.CANTOPEN):
		return fmt.Errorf("%w: the SQLite file %s cannot be opened: %w; check the path in DATABASE and the rights on it", storage.ErrConfig, path, err)
	}
	return fmt.Errorf("opening the SQLite file %s: %w", path, err)
}
