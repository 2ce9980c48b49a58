package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
)

// DB is the handle on a PostgreSQL database.
type DB struct {
	options storage.Options
	pool    *pgxpool.Pool
	direct  *pgx.ConnConfig // to the server itself: for the lock, migrations and LISTEN; copy it before changing it
	tracer  *tracer
	life    *life
	log     *slog.Logger

	timeouts atomic.Int64
	wary     atomic.Int32 // appends that look for their identities in the log before they write
	closing  atomic.Bool
	eras     seen // of the cursors; one that was set back is not found until Cursors has looked for it without them
	heads    seen // of the log; an append to one that was set back takes a position that there is, and looks again

	passedOver atomic.Int64 // Unix nanoseconds since when others have stood for the initialisation lock; 0: they do not
}

// Open connects to the server, trying again while none answers, until the policy's timeout has passed.
func Open(ctx context.Context, o storage.Options) (*DB, error) {
	o = o.WithDefaults()
	if err := o.Policy.Validate(); err != nil {
		return nil, err
	}
	db := &DB{options: o, log: o.Logger}
	db.tracer = newTracer(o.Observer)
	db.life = newLife(o.Policy, db.tracer, &db.closing)
	config, err := poolConfig(o, db.tracer)
	if err != nil {
		return nil, err
	}
	if o.Spans {
		config.ConnConfig.Tracer = withSpans(db.tracer)
	}
	db.life.attach(config)
	if db.direct, err = directConfig(o, db.tracer); err != nil {
		return nil, err
	}
	// The context of Open bounds the opening; the pool lives on after it.
	if db.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config); err != nil {
		return nil, configError("the connection pool", err)
	}
	if err := db.await(ctx, config.ConnConfig); err != nil {
		db.pool.Close()
		return nil, err
	}
	return db, nil
}

// Dialect is postgresql.
func (db *DB) Dialect() storage.Dialect { return storage.PostgreSQL }

// Ping asks the server for an answer.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.queryRow(ctx, queries.Get("ping"), nil, &one)
}

// ClockOffset implements storage.DB: the server read its clock, as far as one can know, in the middle of the round trip.
func (db *DB) ClockOffset(ctx context.Context) (offset, within time.Duration, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer c.Release()
	var at time.Time
	began := time.Now()
	if err := db.queryRowOn(ctx, c, queries.Get("clock"), nil, &at); err != nil {
		return 0, 0, err
	}
	within = time.Since(began) / 2
	return at.Sub(began.Add(within)), within, nil
}

// Pool tells the state of the pool now.
func (db *DB) Pool() storage.PoolStats {
	s := db.pool.Stat()
	return storage.PoolStats{
		Idle:          int(s.IdleConns()),
		InUse:         int(s.AcquiredConns()),
		Max:           int(s.MaxConns()),
		Acquires:      s.AcquireCount(),
		EmptyAcquires: s.EmptyAcquireCount(),
		EmptyWait:     s.EmptyAcquireWaitTime(),
		Timeouts:      db.timeouts.Load(),
		Opened:        db.life.opened.Load(),
		Closed:        db.life.closedByReason(),
	}
}

// closeGrace is how long Close lets borrowers hand their connections back before it cuts them off.
const closeGrace = 2 * time.Second

// Close gives every connection back. One that is still borrowed after a moment is cut, so that the server rolls back
// what it was doing.
func (db *DB) Close() error {
	if !db.closing.CompareAndSwap(false, true) {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.pool.Close()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(closeGrace):
	}
	if n := db.life.cut(); n > 0 {
		db.log.Warn("connections were still in use when the database was closed; cut them", "connections", n)
	}
	select {
	case <-done:
	case <-time.After(closeGrace):
		db.log.Warn("closing the database did not wait for a caller that keeps its connection", "connections", db.pool.Stat().AcquiredConns())
	}
	return nil
}
