package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/storage"
)

var (
	qInitBackend  = queries.Get("init_backend")
	qInitLocked   = queries.Get("init_locked")
	qInitStand    = queries.Get("init_stand")
	qInitTryLock  = queries.Get("init_try_lock")
	qInitLockHeld = queries.Get("init_lock_held")
	qInitUnlock   = queries.Get("init_unlock")
	qInitHolder   = queries.Get("init_holder")
)

// roleInit stands in the application_name of the session that holds the lock: safebox/init/<instance>.
const roleInit = "init"

// PoolerError says that what answers at the direct address is no server but a pooler in front of one. A session lock
// taken through a pooler belongs to a session that is not ours: it may stay behind when we die, or end while we work.
type PoolerError struct {
	Address string
}

func (e *PoolerError) Error() string {
	return fmt.Sprintf("%v: a connection pooler answers at %s, and the initialisation lock cannot be held through a pooler: "+
		"set SAFEBOX_DATABASE_DIRECT to the URL of the PostgreSQL server itself", storage.ErrConfig, e.Address)
}

// Unwrap is storage.ErrConfig.
func (e *PoolerError) Unwrap() error { return storage.ErrConfig }

// locker takes the session advisory lock on a connection of its own to the server itself.
type locker struct{ db *DB }

// TryLock implements initlock.Locker. It asks through the pool first, so that being refused costs a few statements and no
// connection, however many wait.
func (l locker) TryLock(ctx context.Context, name string) (initlock.Lease, error) {
	if err := l.free(ctx, nil); err != nil {
		return nil, err
	}
	withdraw, err := l.stand(ctx)
	if err != nil {
		return nil, err
	}
	defer withdraw()
	session := openSession(lockConfig(l.db.direct, applicationName(roleInit, name)))
	beat := &heartbeat{db: l.db, session: session}
	if err := l.take(ctx, session, beat); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	beat.start() //nolint:contextcheck // it lives as long as the lease
	return &lease{db: l.db, session: session, beat: beat}, nil
}

// free is ErrLocked while somebody holds the lock.
func (l locker) free(ctx context.Context, on querier) error {
	var held bool
	if err := l.db.queryRowOn(ctx, on, qInitLocked, nil, &held); err != nil {
		return err
	}
	if held {
		l.db.passedOver.Store(0)
		return initlock.ErrLocked
	}
	return nil
}

// courtesy is how long a process that wants the lock leaves it to others to open a session for it. Opening one takes over a
// second where fifty replicas start on two cores; who waits longer may be one of many on a server that is full, of whom
// each must be refused before it gives back the connection that it has.
const courtesy = 2 * time.Second

// stand makes this process the only one that opens a session for the lock, until it withdraws. Where another one does it is
// ErrLocked, unless others have for so long that courtesy ends. The lock of a transaction on the pool's connection stands
// for that: it goes with the process, and works through a pooler.
func (l locker) stand(ctx context.Context) (withdraw func(), err error) {
	c, err := l.db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		c.Release()
		return nil, wrap(stmtBegin, err)
	}
	withdraw = func() {
		tx.Rollback(ctx) //nolint:errcheck // the pool closes a connection on which it fails, and that frees the lock too
		c.Release()
	}
	var alone bool
	if err = l.db.queryRowOn(ctx, tx, qInitStand, nil, &alone); err == nil && alone {
		err = l.free(ctx, tx) // whoever stood before may have the lock now
	}
	switch {
	case err != nil:
		withdraw()
		return nil, err
	case alone:
		l.db.passedOver.Store(0)
		return withdraw, nil
	}
	withdraw()
	if l.db.waitsItsTurn() {
		return nil, initlock.ErrLocked
	}
	return func() {}, nil
}

// waitsItsTurn tells whether courtesy asks a process to wait that was passed over once more.
func (db *DB) waitsItsTurn() bool {
	now := time.Now().UnixNano()
	return db.passedOver.CompareAndSwap(0, now) || now-db.passedOver.Load() < int64(courtesy)
}

// take takes the lock on the session, after making sure that the session is ours alone, and tells the heartbeat which
// session it is.
func (l locker) take(ctx context.Context, session *sql.DB, beat *heartbeat) error {
	c, err := session.Conn(ctx)
	if err != nil {
		return l.refuse(err)
	}
	err = c.Raw(func(driverConn any) error {
		conn := driverConn.(*noticeConn).Conn.Conn() // oneSession makes no other
		beat.pid, beat.socket = conn.PgConn().PID(), conn.PgConn().Conn()
		if err := l.checkSession(ctx, conn); err != nil {
			return err
		}
		var locked bool
		if err := ask(ctx, conn, qInitTryLock, &locked); err != nil {
			return err
		}
		if !locked {
			return initlock.ErrLocked
		}
		var held bool
		if err := ask(ctx, conn, qInitLockHeld, &held); err != nil {
			return err
		}
		if !held {
			return l.pooler()
		}
		return nil
	})
	if closed := c.Close(); err == nil {
		err = wrap(stmtLockSession, closed)
	}
	return err
}

// refuse sorts the error of a session that could not be opened: what only another configuration mends is not tried again.
//
// A server that is full is relieved of the pool's idle connections: where as many replicas start as it takes connections,
// each would keep one and wait for one more, and none would ever lead.
func (l locker) refuse(err error) error {
	if fatal := l.db.fatal(err, l.db.direct); fatal != nil {
		return fatal
	}
	class := connectClass(err)
	if class == storage.TooManyConnections {
		l.db.pool.Reset()
	}
	return &storage.Error{Statement: stmtLockSession, Class: class, Err: sanitize(err)}
}

// backendLooks is how often the session is asked which backend it is on, each time in a transaction of its own: after
// each a pooler is free to give it another.
const backendLooks = 3

// checkSession makes sure that no pooler stands between us and the server: the server told its process id when the
// session began, and every statement runs on that process. It is done before the lock is taken, since a lock taken
// through a pooler would be left to nobody.
func (l locker) checkSession(ctx context.Context, c *pgx.Conn) error {
	for range backendLooks {
		var pid uint32
		if err := ask(ctx, c, qInitBackend, &pid); err != nil {
			return err
		}
		if pid != c.PgConn().PID() {
			return l.pooler()
		}
	}
	return nil
}

func (l locker) pooler() error { return &PoolerError{Address: addresses(l.db.direct)} }

// ask runs a statement of one value in the simple protocol, which prepares nothing that a pooler could lose.
func ask(ctx context.Context, c *pgx.Conn, q storage.Query, answer any) error {
	return wrap(q.Name, c.QueryRow(ctx, q.SQL, pgx.QueryExecModeSimpleProtocol).Scan(answer))
}

// Holder implements initlock.Locker.
func (l locker) Holder(ctx context.Context) (initlock.Holder, bool, error) {
	var pid int32
	var began *time.Time
	var name, state, query string
	err := l.db.queryRow(ctx, qInitHolder, nil, &pid, &name, &began, &state, &query)
	if errors.Is(err, pgx.ErrNoRows) {
		return initlock.Holder{}, false, nil
	}
	if err != nil {
		return initlock.Holder{}, false, err
	}
	h := initlock.Holder{Name: fmt.Sprintf("%s (server process %d)", strings.TrimSpace(name), pid), Activity: activity(state, query)}
	if began != nil {
		h.Since = *began
	}
	return h, true, nil
}

// verbs are the first words of a statement, as far as they are nothing but words of SQL.
var verbs = regexp.MustCompile(`^\s*([A-Za-z]+)((?:\s+[A-Za-z]+){0,2})\b`)

// activity is what a session does, in a few words: the state, and the statement's first words, which hold no literal.
func activity(state, query string) string {
	words := strings.ToUpper(strings.Join(strings.Fields(verbs.FindString(query)), " "))
	switch {
	case words == "":
		return state
	case state == "active":
		return words
	default:
		return state + ", last " + words
	}
}
