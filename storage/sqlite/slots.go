package sqlite

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/safebox/safebox/storage"
)

// slots counts out connections: at most so many callers have one, and the others wait in line for a bounded time.
type slots struct {
	free     chan struct{}
	timeout  time.Duration
	observer storage.Observer

	acquires, waits, waited, timeouts atomic.Int64
}

func newSlots(n int, timeout time.Duration, o storage.Observer) *slots {
	s := &slots{free: make(chan struct{}, n), timeout: timeout, observer: o}
	for range n {
		s.free <- struct{}{}
	}
	return s
}

// take waits for a slot. The caller gives it back.
func (s *slots) take(ctx context.Context) error {
	select {
	case <-s.free:
		s.acquires.Add(1)
		s.observer.Acquire(0, false)
		return nil
	default:
	}
	began := time.Now()
	timer := time.NewTimer(s.timeout)
	defer timer.Stop()
	select {
	case <-s.free:
		took := time.Since(began)
		s.acquires.Add(1)
		s.waits.Add(1)
		s.waited.Add(int64(took))
		s.observer.Acquire(took, false)
		return nil
	case <-ctx.Done():
		s.observer.Acquire(time.Since(began), false)
		return &storage.Error{Statement: stmtOpen, Class: storage.Canceled, Err: ctx.Err()}
	case <-timer.C:
		took := time.Since(began)
		s.timeouts.Add(1)
		s.observer.Acquire(took, true)
		return &storage.PoolTimeoutError{InUse: cap(s.free), Max: cap(s.free), Waited: took}
	}
}

func (s *slots) give() { s.free <- struct{}{} }

type slotStats struct {
	inUse, max      int
	acquires, waits int64
	waited          time.Duration
	timeouts        int64
}

func (s *slots) stats() slotStats {
	return slotStats{
		inUse: cap(s.free) - len(s.free), max: cap(s.free),
		acquires: s.acquires.Load(), waits: s.waits.Load(), waited: time.Duration(s.waited.Load()), timeouts: s.timeouts.Load(),
	}
}
