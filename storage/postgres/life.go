package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/safebox/safebox/storage"
)

// The reasons for which a connection of the pool is closed; they are values of a metric label.
const (
	closedRecycle  = "recycle"
	closedOverflow = "overflow"
	closedIdle     = "idle"
	closedBroken   = "broken"
	closedShutdown = "shutdown"
)

// life follows the pool's connections from opening to closing, and closes those above the policy's size.
type life struct {
	policy  storage.Pool
	tracer  *tracer
	closing *atomic.Bool

	opened atomic.Int64
	live   atomic.Int64 // open and not about to be closed as overflow

	mu     sync.Mutex
	closed map[string]int64
	conns  map[*pgx.Conn]*birth
}

// birth is what is remembered of an open connection.
type birth struct {
	at       time.Time
	overflow bool
}

func newLife(p storage.Pool, t *tracer, closing *atomic.Bool) *life {
	return &life{
		policy: p, tracer: t, closing: closing, conns: map[*pgx.Conn]*birth{},
		closed: map[string]int64{closedRecycle: 0, closedOverflow: 0, closedIdle: 0, closedBroken: 0, closedShutdown: 0},
	}
}

// attach hooks into the pool. What is handed back is looked at in the tracer's TraceRelease and not in AfterRelease: with
// that hook the pool takes every connection back in a goroutine, and a caller who asks again at once finds none idle and
// opens another.
func (l *life) attach(c *pgxpool.Config) {
	c.AfterConnect = l.born
	c.BeforeClose = l.gone
	l.tracer.released = l.released
}

func (l *life) born(_ context.Context, c *pgx.Conn) error {
	registerColumns(c.TypeMap())
	l.opened.Add(1)
	l.live.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = &birth{at: time.Now()}
	return nil
}

// overflowClose bounds how long a caller who hands a connection back waits for it to be closed.
const overflowClose = 100 * time.Millisecond

// released closes a connection that is not to be kept, which makes the pool forget it.
func (l *life) released(c *pgx.Conn) {
	if c.IsClosed() || c.PgConn().IsBusy() || c.PgConn().TxStatus() != 'I' || l.keep(c) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), overflowClose)
	defer cancel()
	_ = c.Close(ctx) // the pool takes away what is left of it
}

// keep decides about a connection that was handed back. One above the size is closed, unless a caller waits for it.
func (l *life) keep(c *pgx.Conn) bool {
	for {
		n := l.live.Load()
		if n <= int64(l.policy.Size) || l.tracer.waiting.Load() > 0 {
			return true
		}
		if l.live.CompareAndSwap(n, n-1) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.conns[c]; b != nil {
		b.overflow = true
	}
	return false
}

func (l *life) gone(c *pgx.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.conns[c]
	if b == nil {
		return
	}
	delete(l.conns, c)
	if !b.overflow {
		l.live.Add(-1)
	}
	l.closed[l.reason(c, b)]++
}

func (l *life) reason(c *pgx.Conn, b *birth) string {
	switch {
	case l.closing.Load():
		return closedShutdown
	case b.overflow:
		return closedOverflow
	case c.IsClosed() || c.PgConn().IsBusy() || c.PgConn().TxStatus() != 'I':
		return closedBroken
	case l.policy.Recycle > 0 && time.Since(b.at) >= l.policy.Recycle:
		return closedRecycle
	}
	return closedIdle
}

func (l *life) closedByReason() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]int64, len(l.closed))
	for reason, n := range l.closed {
		out[reason] = n
	}
	return out
}

// cut closes the sockets of all connections that are still open, and counts them. Only the socket is touched, because a
// borrower may be using the connection at this moment: it gets an error.
func (l *life) cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.PgConn().Conn().Close() // it is being given up
	}
	return len(l.conns)
}
