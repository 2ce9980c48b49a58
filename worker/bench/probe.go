package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/safebox/safebox/initlock"
)

// probe observes replicas: what they have processed, and when they last did.
type probe struct {
	done atomic.Int64
	at   atomic.Pointer[time.Time]
	lags *lags // nil: not collected
}

func (p *probe) processed() int { return int(p.done.Load()) }

// last is when the last batch was committed.
func (p *probe) last() time.Time {
	if at := p.at.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// Batch implements bus.Observer.
func (p *probe) Batch(events int, _ map[string]time.Duration) {
	now := time.Now()
	p.at.Store(&now)
	p.done.Add(int64(events))
}

// Lag implements bus.Observer.
func (p *probe) Lag(_ context.Context, d time.Duration) {
	if p.lags != nil {
		p.lags.add(d)
	}
}

// The rest of worker.Observer is of no interest here.

func (p *probe) Appended(string, string, int)        {}
func (p *probe) Processed(string, string, int)       {}
func (p *probe) Retried(string)                      {}
func (p *probe) LaneBusy(int)                        {}
func (p *probe) Backlog(string, int64)               {}
func (p *probe) OldestPending(time.Time)             {}
func (p *probe) Parked(int64, int64)                 {}
func (p *probe) Schema(string)                       {}
func (p *probe) Handled(string, time.Duration, bool) {}
func (p *probe) ReplicaState(string)                 {}
func (p *probe) Marker(initlock.State)               {}
func (p *probe) ClockOffset(time.Duration)           {}
func (p *probe) Guard(string, int)                   {}
func (p *probe) Measured(time.Time)                  {}
func (p *probe) Unmeasured()                         {}
func (p *probe) Backups(_, _ time.Time)              {}

// tell says every tenth of a second how much is processed, until it is stopped.
func (p *probe) tell(told func(done int)) (stop func()) {
	if told == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				told(p.processed())
			case <-quit:
				return
			}
		}
	})
	return func() { close(quit); over.Wait() }
}
