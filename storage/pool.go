package storage

import (
	"fmt"
	"math"
	"time"
)

// Pool is SQLAlchemy's pool policy.
type Pool struct {
	Size        int           // DB_POOL_SIZE: connections kept open
	MaxOverflow int           // DB_MAX_OVERFLOW: further connections under load, closed when handed back
	Recycle     time.Duration // DB_POOL_RECYCLE_SECONDS: a connection is replaced after this long; negative: never
	Timeout     time.Duration // DB_POOL_TIMEOUT_SECONDS: the longest wait for a connection
}

// DefaultPool is the policy that Safebox operators know.
var DefaultPool = Pool{Size: 10, MaxOverflow: 20, Recycle: 1800 * time.Second, Timeout: 30 * time.Second}

// maxPool is the largest pool that makes sense: PostgreSQL itself takes at most 262143 connections.
const maxPool = 1 << 18

// NewPool makes a policy of the values of DB_POOL_SIZE, DB_MAX_OVERFLOW, DB_POOL_RECYCLE_SECONDS and
// DB_POOL_TIMEOUT_SECONDS, and validates it. A recycle of -1 means never.
func NewPool(size, overflow int, recycle, timeout float64) (Pool, error) {
	p := Pool{Size: size, MaxOverflow: overflow}
	switch {
	case recycle == -1:
		p.Recycle = -1
	case math.IsNaN(recycle) || recycle <= 0 || recycle > maxSeconds:
		return Pool{}, fmt.Errorf("%w: DB_POOL_RECYCLE_SECONDS=%v: want the seconds after which a connection is replaced, more than 0 and at most %d, or -1 for never", ErrConfig, recycle, int64(maxSeconds))
	default:
		p.Recycle = time.Duration(recycle * float64(time.Second))
	}
	if math.IsNaN(timeout) || timeout <= 0 || timeout > maxSeconds {
		return Pool{}, fmt.Errorf("%w: DB_POOL_TIMEOUT_SECONDS=%v: want the seconds that a caller waits for a connection, more than 0 and at most %d", ErrConfig, timeout, int64(maxSeconds))
	}
	p.Timeout = time.Duration(timeout * float64(time.Second))
	return p, p.Validate()
}

// maxSeconds is a hundred years: longer times are slips of the pen.
const maxSeconds = 100 * 365 * 24 * 3600

// Validate tells what is wrong with the policy; the error wraps ErrConfig and names the variable.
func (p Pool) Validate() error {
	switch {
	case p.Size == 0:
		return fmt.Errorf("%w: DB_POOL_SIZE=0 means a pool without a limit in SQLAlchemy; here every pool has one, so that a burst cannot take all of the server's connections: set how many connections to keep open, 1 or more", ErrConfig)
	case p.Size < 0 || p.Size > maxPool:
		return fmt.Errorf("%w: DB_POOL_SIZE=%d: want the number of connections to keep open, 1 to %d", ErrConfig, p.Size, maxPool)
	case p.MaxOverflow == -1:
		return fmt.Errorf("%w: DB_MAX_OVERFLOW=-1 means overflow without a limit in SQLAlchemy; here it has one, so that a burst cannot take all of the server's connections: set how many connections may be added under load, 0 or more", ErrConfig)
	case p.MaxOverflow < 0 || p.MaxOverflow > maxPool:
		return fmt.Errorf("%w: DB_MAX_OVERFLOW=%d: want the number of connections that may be added under load, 0 to %d", ErrConfig, p.MaxOverflow, maxPool)
	case p.Recycle == 0:
		return fmt.Errorf("%w: DB_POOL_RECYCLE_SECONDS=0 would replace every connection at once: set the seconds after which one is replaced, or -1 for never", ErrConfig)
	case p.Timeout <= 0:
		return fmt.Errorf("%w: DB_POOL_TIMEOUT_SECONDS: want the seconds that a caller waits for a connection, more than 0", ErrConfig)
	}
	return nil
}

// Max is the most connections that the pool has at one time.
func (p Pool) Max() int { return p.Size + p.MaxOverflow }

// PoolTimeoutError says that no connection became free in time.
type PoolTimeoutError struct {
	InUse  int           // connections in use when the wait ended
	Max    int           // connections that the pool may have
	Waited time.Duration // how long the caller waited
}

// Error names the figures an operator sizes the pool by.
func (e *PoolTimeoutError) Error() string {
	waited := e.Waited.Round(time.Millisecond)
	if waited >= 10*time.Second {
		waited = waited.Round(time.Second)
	}
	return fmt.Sprintf("pool exhausted: %d of %d connections in use for %s", e.InUse, e.Max, waited)
}

// Transient is true: a connection may be free later.
func (e *PoolTimeoutError) Transient() bool { return true }
