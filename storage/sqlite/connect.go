package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
)

// access is what a connection is for.
type access int

const (
	forReading access = iota
	forWriting
)

// connect gives a pool of connections to the file, for reading; none is opened yet.
func (db *DB) connect() (*sql.DB, error) {
	init := func(c *sqlite3.Conn) error {
		if err := setUp(c, forReading, db.options.Policy.Timeout); err != nil {
			return err
		}
		db.opened.Add(1)
		return nil
	}
	term := func(*sqlite3.Conn) error {
		db.gone.Add(1)
		return nil
	}
	return driver.Open(dsn(db.path, forReading, !db.options.MustExist), init, term)
}

// openWriter opens a connection for writing.
func (db *DB) openWriter(ctx context.Context) (*sqlite3.Conn, error) {
	conn, err := sqlite3.OpenContext(ctx, dsn(db.path, forWriting, !db.options.MustExist))
	if err != nil {
		return nil, err
	}
	conn.SetInterrupt(ctx)
	if err := setUp(conn, forWriting, db.options.Policy.Timeout); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	db.opened.Add(1)
	return conn, nil
}

// openOne gives one connection of its own, for writing, that is neither counted nor shared with anyone: what holds the
// initialisation lock works on it.
func (db *DB) openOne(ctx context.Context) (*sql.DB, error) {
	one, err := driver.Open(dsn(db.path, forWriting, !db.options.MustExist), func(c *sqlite3.Conn) error {
		return setUp(c, forWriting, db.options.Policy.Timeout)
	})
	if err != nil {
		return nil, err
	}
	one.SetMaxOpenConns(1)
	one.SetMaxIdleConns(1)
	if err := one.PingContext(ctx); err != nil {
		return nil, errors.Join(wrap(stmtOpen, err), one.Close())
	}
	return one, nil
}

// dsn is SQLite's URI of a file, whatever characters its path has. The transaction mode is set even where it is the
// driver's default, because defaults change.
func dsn(path string, as access, create bool) string {
	mode, lock := "rw", "deferred"
	if create {
		mode = "rwc"
	}
	if as == forWriting {
		lock = "immediate"
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=" + mode + "&_txlock=" + lock
}

// What a batch writes lies all over the tables of wallets and entries. A cache that holds the pages which are written again and
// again keeps them from being read each time, and a longer write-ahead log from being written back into the file each time.
const (
	cacheSize       = "cache_size=-32768"       // KiB; SQLite's default is 2,000
	checkpointEvery = "wal_autocheckpoint=4000" // pages of 4 KiB; SQLite's default is 1,000
)

// setUp gives a new connection its pragmas: first of all how long it waits for others.
func setUp(c *sqlite3.Conn, as access, timeout time.Duration) error {
	if err := c.BusyTimeout(timeout); err != nil {
		return err
	}
	if err := c.Exec("PRAGMA foreign_keys=ON"); err != nil {
		return err
	}
	if as == forReading {
		return c.Exec("PRAGMA query_only=ON")
	}
	if err := turnOnLog(c, timeout); err != nil {
		return err
	}
	for _, pragma := range []string{cacheSize, checkpointEvery} {
		if err := c.Exec("PRAGMA " + pragma); err != nil {
			return err
		}
	}
	return c.Exec("PRAGMA synchronous=FULL")
}

// noLogError says that the file cannot have a write-ahead log.
type noLogError struct{ mode string }

func (e *noLogError) Error() string {
	return fmt.Sprintf("the file does not take a write-ahead log (its journal mode stays %q): it must be on a local disk", e.mode)
}

// turnOnLog puts the file into WAL mode, which it keeps. Of several processes that do so at one moment SQLite turns all
// but one away without waiting, so this waits.
func turnOnLog(c *sqlite3.Conn, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		mode, err := journalMode(c)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return &noLogError{mode}
		case !errors.Is(err, sqlite3.BUSY) || time.Now().After(deadline):
			return err
		}
		select {
		case <-c.GetInterrupt().Done():
			return err
		case <-time.After(pause):
		}
	}
}

func journalMode(c *sqlite3.Conn) (mode string, err error) {
	s, _, err := c.Prepare("PRAGMA journal_mode=WAL")
	if err != nil {
		return "", err
	}
	if s.Step() {
		mode = s.ColumnText(0)
	}
	return mode, errors.Join(s.Err(), s.Close())
}
