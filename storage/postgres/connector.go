package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/storage"
)

// ErrLockLost says that the session which held the initialisation lock is gone. Whatever was to follow on it must not
// run on another session, which does not hold the lock; it is transient in the sense that a new run may take the lock.
var ErrLockLost = errors.New("the connection that held the initialisation lock is gone, and the lock with it: " +
	"nothing more is done without the lock; look for the reason in the server's log and start again")

// oneSession is a connector that connects once. database/sql replaces a broken connection by itself; here it must not,
// because the lock died with the connection.
type oneSession struct {
	driver.Connector
	used atomic.Bool
}

// Connect opens the session the first time, and is ErrLockLost after that.
func (c *oneSession) Connect(ctx context.Context) (driver.Conn, error) {
	if c.used.Swap(true) {
		return nil, &storage.Error{Statement: stmtLockSession, Class: storage.Connection, Err: ErrLockLost}
	}
	return c.Connector.Connect(ctx)
}

// stmtLockSession names failures to get the lock's session, which are no statement's.
const stmtLockSession = "init_session"

// openSession gives a *sql.DB of exactly one session, which is never recycled and never replaced. It is opened by the
// first statement.
func openSession(c *pgx.ConnConfig) *sql.DB {
	return oneConnection(&oneSession{Connector: listening(c)})
}

// oneConnection gives a *sql.DB that keeps its one connection for as long as it is open.
func oneConnection(c driver.Connector) *sql.DB {
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	db.SetConnMaxLifetime(0)
	db.SetConnMaxIdleTime(0)
	return db
}

// schemaConfig is the configuration of a connection for work on the schema: plans and descriptions of statements are not
// kept, because the next statement may change what they describe, and no time limit of the role or the database ends an
// index that takes long to build.
func schemaConfig(direct *pgx.ConnConfig, application string) *pgx.ConnConfig {
	c := direct.Copy()
	c.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	c.StatementCacheCapacity = 0
	c.DescriptionCacheCapacity = 0
	c.RuntimeParams["application_name"] = application
	c.RuntimeParams["statement_timeout"] = "0"
	c.RuntimeParams["idle_session_timeout"] = "0"
	return c
}

// lockConfig is the configuration of the session that holds the initialisation lock: it is schemaConfig, but the server
// ends the session when it falls silent, in a transaction or between two.
func lockConfig(direct *pgx.ConnConfig, application string) *pgx.ConnConfig {
	c := schemaConfig(direct, application)
	silence := strconv.FormatInt(lockSilence.Milliseconds(), 10)
	c.RuntimeParams["idle_session_timeout"] = silence
	c.RuntimeParams["idle_in_transaction_session_timeout"] = silence
	return c
}
