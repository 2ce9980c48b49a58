package locktest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/safebox/safebox/initlock"
)

// ErrKilled is what every statement on a killed Lease ends with.
var ErrKilled = errors.New("the session that held the lock was killed")

// Memory is a database of one lock and one marker in memory: a Locker and a Marker for tests and examples. The zero
// value is an empty database. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	rec     initlock.Record
	lease   *memoryLease
	waiters map[chan struct{}]bool
	trouble error
	reads   int
	tries   int
}

// Read implements initlock.Marker.
func (m *Memory) Read(ctx context.Context) (initlock.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	return m.rec, errors.Join(ctx.Err(), m.trouble)
}

// Changed implements initlock.Marker.
func (m *Memory) Changed(ctx context.Context) <-chan struct{} {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiters == nil {
		m.waiters = map[chan struct{}]bool{}
	}
	m.waiters[c] = true
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.waiters, c)
		close(c)
	})
	return c
}

// TryLock implements initlock.Locker.
func (m *Memory) TryLock(ctx context.Context, name string) (initlock.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if err := errors.Join(ctx.Err(), m.trouble); err != nil {
		return nil, err
	}
	if m.lease != nil {
		return nil, initlock.ErrLocked
	}
	m.lease = &memoryLease{m: m, holder: initlock.Holder{Name: name, Since: time.Now()}}
	return m.lease, nil
}

// Holder implements initlock.Locker.
func (m *Memory) Holder(context.Context) (initlock.Holder, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lease == nil {
		return initlock.Holder{}, false, m.trouble
	}
	return m.lease.holder, true, m.trouble
}

// Set replaces the marker.
func (m *Memory) Set(rec initlock.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rec = rec
}

// Fail makes every statement outside a Lease fail with err from now on; nil heals.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trouble = err
}

// Kill ends the session that holds the lock, if there is one.
func (m *Memory) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lease = nil
}

// Asked counts the reads of the marker and the attempts at the lock so far.
func (m *Memory) Asked() (reads, tries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads, m.tries
}

// wake is called with mu held.
func (m *Memory) wake() {
	for c := range m.waiters {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

type memoryLease struct {
	m      *Memory
	holder initlock.Holder
	epoch  int64
}

// do runs a statement on the session that holds the lock.
func (l *memoryLease) do(ctx context.Context, statement func()) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.lease != l {
		return ErrKilled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	statement()
	return nil
}

func (l *memoryLease) Read(ctx context.Context) (rec initlock.Record, err error) {
	err = l.do(ctx, func() { rec = l.m.rec })
	return rec, err
}

func (l *memoryLease) Begin(ctx context.Context, r initlock.Record) (int64, error) {
	err := l.do(ctx, func() {
		old := l.m.rec
		l.epoch = old.Epoch + 1
		l.m.rec = initlock.Record{
			State: initlock.Running, Epoch: l.epoch, Digest: r.Digest, Holder: r.Holder,
			Revision: old.Revision, OldestCompatible: old.OldestCompatible, StartedAt: time.Now(),
		}
	})
	return l.epoch, err
}

func (l *memoryLease) Finish(ctx context.Context, r initlock.Record) error {
	fenced := false
	err := l.do(ctx, func() {
		rec := &l.m.rec
		if fenced = rec.Epoch != r.Epoch; fenced {
			return
		}
		rec.State, rec.Activity, rec.FinishedAt = r.State, "", time.Now()
		if r.State == initlock.Ready {
			rec.Revision, rec.OldestCompatible = r.Revision, r.OldestCompatible
		} else {
			rec.Error, rec.Code = r.Error, r.Code
		}
		l.m.wake()
	})
	if fenced {
		return initlock.ErrFenced
	}
	return err
}

func (l *memoryLease) Activity(ctx context.Context, text string) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.rec.Epoch == l.epoch && l.m.rec.State == initlock.Running {
		l.m.rec.Activity = text
	}
	return ctx.Err()
}

func (l *memoryLease) Release(context.Context) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.lease != l {
		return ErrKilled
	}
	l.m.lease = nil
	l.m.wake()
	return nil
}
